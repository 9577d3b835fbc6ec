//! Waiting for a socket, a wake-up or a deadline, whichever comes first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::runtime::StopToken;

/// What the caller wants to do with the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
    ReadWrite,
    /// Nothing but to learn that the connection broke.
    Neither,
}

/// What a wait ended with; `woken` and the rest can come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
    /// The stop token was stopped or nudged.
    pub woken: bool,
}

impl Readiness {
    pub fn timed_out(self) -> bool {
        self == Readiness::default()
    }
}

/// Blocks until the socket is ready, the token wakes us, or the deadline passes. A broken socket counts as ready: the
/// next read or write will say what happened.
///
/// # Errors
/// Those of `poll`, save an interruption, which is retried.
pub fn wait_ready(socket: impl AsFd, interest: Interest, token: &StopToken, deadline: Instant) -> io::Result<Readiness> {
    let wake = token.wake_fd();
    let mut fds = [PollFd::new(&socket, flags(interest)), PollFd::new(&wake, PollFlags::IN)];
    poll_until(&mut fds, deadline)?;
    Ok(readiness(fds[0].revents(), !fds[1].revents().is_empty()))
}

/// As [`wait_ready`] for any number of sockets, by one thread; the answers stand in the order of the sockets.
///
/// # Errors
/// As [`wait_ready`].
pub fn wait_any(sockets: &[(BorrowedFd<'_>, Interest)], token: &StopToken, deadline: Instant) -> io::Result<Vec<Readiness>> {
    let wake = token.wake_fd();
    let mut fds: Vec<PollFd<'_>> = sockets.iter().map(|(socket, interest)| PollFd::new(socket, flags(*interest))).collect();
    fds.push(PollFd::new(&wake, PollFlags::IN));
    poll_until(&mut fds, deadline)?;
    let woken = fds.pop().is_some_and(|wake| !wake.revents().is_empty());
    Ok(fds.iter().map(|fd| readiness(fd.revents(), woken)).collect())
}

/// As [`wait_ready`] for somebody who has been stopped already and has a last word to hear; true when there is one.
pub fn wait_readable(socket: impl AsFd, deadline: Instant) -> bool {
    let mut fds = [PollFd::new(&socket, PollFlags::IN)];
    poll_until(&mut fds, deadline).is_ok() && !fds[0].revents().is_empty()
}

fn poll_until(fds: &mut [PollFd<'_>], deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(fds, Some(&timespec(left))) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn flags(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::ReadWrite => PollFlags::IN | PollFlags::OUT,
        Interest::Neither => PollFlags::empty(),
    }
}

fn readiness(events: PollFlags, woken: bool) -> Readiness {
    let broken = events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
    Readiness { readable: events.contains(PollFlags::IN) || broken, writable: events.contains(PollFlags::OUT) || broken, woken }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(duration.subsec_nanos()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Stop, StopKind};
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn data_a_nudge_a_stop_and_time_each_end_the_wait() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let stop = Stop::new().unwrap();
        let token = stop.token();
        let soon = || Instant::now() + Duration::from_millis(1);
        assert!(wait_ready(&near, Interest::Read, &token, soon()).unwrap().timed_out());
        far.write_all(b"x").unwrap();
        assert!(wait_ready(&near, Interest::Read, &token, soon()).unwrap().readable);
        assert!(wait_ready(&near, Interest::Neither, &token, soon()).unwrap().timed_out());
        stop.nudge();
        assert!(wait_ready(&near, Interest::Read, &token, soon()).unwrap().woken);
        token.clear_wake();
        assert!(!wait_ready(&near, Interest::Read, &token, soon()).unwrap().woken);
        stop.stop(StopKind::Shutdown);
        assert!(wait_ready(&near, Interest::Write, &token, soon()).unwrap().woken);
    }

    #[test]
    fn among_many_sockets_the_ready_one_is_named() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let (_quiet_far, quiet) = UnixStream::pair().unwrap();
        let stop = Stop::new().unwrap();
        far.write_all(b"x").unwrap();
        let sockets = [(quiet.as_fd(), Interest::Read), (near.as_fd(), Interest::Read)];
        let ready = wait_any(&sockets, &stop.token(), Instant::now() + Duration::from_secs(5)).unwrap();
        assert_eq!(ready.iter().map(|r| r.readable).collect::<Vec<_>>(), [false, true]);
        assert!(wait_any(&[], &stop.token(), Instant::now()).unwrap().is_empty());
    }
}
