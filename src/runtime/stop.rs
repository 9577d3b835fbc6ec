//! The stop token: the `running` flag, a channel to select on, a socket that wakes a poll, and what else must be shut.
//!
//! Every generation of a thread has a token of its own, so a stopped thread can never see a later start.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

/// Why a thread is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// A successor takes over: give back what is live.
    Restart,
    /// The process ends: close what is open.
    Shutdown,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    Elapsed,
    Stopped,
}

type Closer = Box<dyn FnOnce() + Send>;

struct Shared {
    running: AtomicBool,
    kind: AtomicU8,
    wake: UnixStream,
    closers: Mutex<Vec<Closer>>,
    /// Dropped to end every wait on the channel.
    open: Mutex<Option<Sender<std::convert::Infallible>>>,
}

/// The side that stops.
#[derive(Clone)]
pub struct Stop {
    shared: Arc<Shared>,
    token: StopToken,
}

/// The side that is stopped: cheap to clone, one wake socket for all clones.
#[derive(Clone)]
pub struct StopToken {
    shared: Arc<Shared>,
    woken: Arc<UnixStream>,
    closed: Receiver<std::convert::Infallible>,
}

impl Stop {
    /// # Errors
    /// When the process has no file descriptors left for the wake socket.
    pub fn new() -> io::Result<Stop> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (open, closed) = bounded(0);
        let shared = Arc::new(Shared {
            running: AtomicBool::new(true),
            kind: AtomicU8::new(StopKind::Shutdown as u8),
            wake,
            closers: Mutex::new(Vec::new()),
            open: Mutex::new(Some(open)),
        });
        let token = StopToken { shared: Arc::clone(&shared), woken: Arc::new(woken), closed };
        Ok(Stop { shared, token })
    }

    pub fn token(&self) -> StopToken {
        self.token.clone()
    }

    /// Stops; calling it again changes nothing, save that a shutdown overrides a restart.
    pub fn stop(&self, kind: StopKind) {
        if kind == StopKind::Shutdown || self.shared.running.load(Ordering::Acquire) {
            self.shared.kind.store(kind as u8, Ordering::Release);
        }
        self.shared.running.store(false, Ordering::Release);
        self.shared.open.lock().take();
        // A full wake socket is already awake.
        let _ = (&self.shared.wake).write(&[1]);
        if kind == StopKind::Shutdown {
            let closers = std::mem::take(&mut *self.shared.closers.lock());
            closers.into_iter().for_each(|close| close());
        }
    }

    /// Wakes the thread's poll without stopping it: something for it lies in one of its channels.
    pub fn nudge(&self) {
        let _ = (&self.shared.wake).write(&[0]);
    }

    pub fn is_running(&self) -> bool {
        self.shared.running.load(Ordering::Acquire)
    }
}

impl StopToken {
    pub fn is_running(&self) -> bool {
        self.shared.running.load(Ordering::Acquire)
    }

    /// Why we stop; meaningful once [`StopToken::is_running`] is false.
    pub fn kind(&self) -> StopKind {
        if self.shared.kind.load(Ordering::Acquire) == StopKind::Restart as u8 { StopKind::Restart } else { StopKind::Shutdown }
    }

    /// Becomes ready (disconnected) at the stop: for `select!`.
    pub fn channel(&self) -> &Receiver<std::convert::Infallible> {
        &self.closed
    }

    /// Readable at the stop and after a nudge: for `poll`.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// Empties the wake socket after a nudge.
    pub fn clear_wake(&self) {
        if self.is_running() {
            let mut bytes = [0; 64];
            while matches!((&*self.woken).read(&mut bytes), Ok(n) if n == bytes.len()) {}
            if !self.is_running() {
                let _ = (&self.shared.wake).write(&[1]);
            }
        }
    }

    /// Sleeps, unless stopped before or meanwhile.
    pub fn wait(&self, duration: Duration) -> Waited {
        match self.closed.recv_timeout(duration) {
            Err(RecvTimeoutError::Timeout) => Waited::Elapsed,
            _ => Waited::Stopped,
        }
    }

    pub fn wait_until(&self, deadline: Instant) -> Waited {
        self.wait(deadline.saturating_duration_since(Instant::now()))
    }

    /// Runs `close` at a shutdown (at once if that has been): for calls that neither poll nor select, such as HTTP
    /// requests.
    pub fn on_shutdown(&self, close: impl FnOnce() + Send + 'static) {
        let mut closers = self.shared.closers.lock();
        if self.is_running() || self.kind() == StopKind::Restart {
            closers.push(Box::new(close));
        } else {
            drop(closers);
            close();
        }
    }
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop").field("running", &self.is_running()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StopToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StopToken").field("running", &self.is_running()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_waits_runs_closers_and_stays() {
        let stop = Stop::new().unwrap();
        let token = stop.token();
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        token.on_shutdown(move || seen.store(true, Ordering::SeqCst));
        assert_eq!(token.wait(Duration::from_millis(1)), Waited::Elapsed);
        stop.stop(StopKind::Shutdown);
        assert_eq!(token.wait(Duration::from_secs(60)), Waited::Stopped);
        assert!(!token.is_running() && closed.load(Ordering::SeqCst));
        stop.stop(StopKind::Restart);
        assert_eq!(token.kind(), StopKind::Shutdown);
    }

    #[test]
    fn an_older_token_never_sees_a_later_start() {
        let first = Stop::new().unwrap();
        first.stop(StopKind::Restart);
        let second = Stop::new().unwrap();
        assert!(second.token().is_running() && !first.token().is_running());
        assert_eq!(first.token().kind(), StopKind::Restart);
    }
}
