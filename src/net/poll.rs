//! Waiting for a socket, a wake-up or a deadline, whichever comes first.

use std::io;
use std::os::fd::AsFd;
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
    let wanted = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::ReadWrite => PollFlags::IN | PollFlags::OUT,
    };
    let wake = token.wake_fd();
    loop {
        let mut fds = [PollFd::new(&socket, wanted), PollFd::new(&wake, PollFlags::IN)];
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut fds, Some(&timespec(left))) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let (events, woken) = (fds[0].revents(), !fds[1].revents().is_empty());
        let broken = events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        return Ok(Readiness { readable: events.contains(PollFlags::IN) || broken, writable: events.contains(PollFlags::OUT) || broken, woken });
    }
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
        stop.nudge();
        assert!(wait_ready(&near, Interest::Read, &token, soon()).unwrap().woken);
        token.clear_wake();
        assert!(!wait_ready(&near, Interest::Read, &token, soon()).unwrap().woken);
        stop.stop(StopKind::Shutdown);
        assert!(wait_ready(&near, Interest::Write, &token, soon()).unwrap().woken);
    }
}
