//! Named threads that report their end, panics included, and are joined with a deadline.
//!
//! Must not know what runs inside.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// Enough for a rustls handshake and a JSON parser at its depth limit.
const STACK_BYTES: usize = 1024 * 1024;

/// The end of a thread, told to whoever supervises.
#[derive(Debug, Clone)]
pub struct ThreadExit {
    pub name: Arc<str>,
    pub outcome: ThreadOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadOutcome {
    Finished,
    Panicked(String),
}

/// Spawns threads whose ends all arrive on one channel.
#[derive(Debug, Clone)]
pub struct Threads {
    exits: Sender<ThreadExit>,
}

/// A running thread that will return a `T`.
#[derive(Debug)]
pub struct Task<T> {
    name: Arc<str>,
    result: Receiver<T>,
}

/// Why a join gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinFailure {
    #[error("thread {0} did not end within {1:?}")]
    TimedOut(Arc<str>, Duration),
    #[error("thread {0} panicked")]
    Panicked(Arc<str>),
}

impl Threads {
    pub fn new(exits: Sender<ThreadExit>) -> Threads {
        Threads { exits }
    }

    /// Starts `body` on a thread of that name (at most 15 bytes are shown by the kernel).
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub fn spawn<T: Send + 'static>(&self, name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<Task<T>> {
        let name: Arc<str> = name.into();
        let (give, result) = bounded(1);
        let (exits, own_name) = (self.exits.clone(), Arc::clone(&name));
        std::thread::Builder::new().name(name.to_string()).stack_size(STACK_BYTES).spawn(move || {
            let outcome = match catch_unwind(AssertUnwindSafe(body)) {
                Ok(value) => {
                    let _ = give.send(value);
                    ThreadOutcome::Finished
                }
                Err(panic) => ThreadOutcome::Panicked(panic_text(panic.as_ref())),
            };
            drop(give);
            // A supervisor that is gone or drowning needs no report.
            let _ = exits.try_send(ThreadExit { name: own_name, outcome });
        })?;
        Ok(Task { name, result })
    }
}

impl<T> Task<T> {
    /// Waits for the thread's result.
    ///
    /// # Errors
    /// When it panicked, or is still at work at the deadline; then it is left to itself.
    pub fn join_within(self, patience: Duration) -> Result<T, JoinFailure> {
        match self.result.recv_timeout(patience) {
            Ok(value) => Ok(value),
            Err(RecvTimeoutError::Timeout) => Err(JoinFailure::TimedOut(self.name, patience)),
            Err(RecvTimeoutError::Disconnected) => Err(JoinFailure::Panicked(self.name)),
        }
    }

    pub fn join_until(self, deadline: Instant) -> Result<T, JoinFailure> {
        self.join_within(deadline.saturating_duration_since(Instant::now()))
    }

    /// Ready when the thread has ended: for `select!`.
    pub fn ended(&self) -> &Receiver<T> {
        &self.result
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_panics_and_delays_are_told_apart() {
        let (exits, ended) = bounded(8);
        let threads = Threads::new(exits);
        let fine = threads.spawn("fine", || 7).unwrap();
        assert_eq!(fine.join_within(Duration::from_secs(5)), Ok(7));
        let bad = threads.spawn("bad", || -> u8 { panic!("on purpose") }).unwrap();
        assert_eq!(bad.join_within(Duration::from_secs(5)), Err(JoinFailure::Panicked("bad".into())));
        let (hold, held) = bounded::<()>(0);
        let slow = threads.spawn("slow", move || held.recv().is_err()).unwrap();
        assert!(matches!(slow.join_within(Duration::from_millis(5)), Err(JoinFailure::TimedOut(..))));
        drop(hold);
        let outcomes: Vec<ThreadExit> = (0..3).map(|_| ended.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
        assert!(outcomes.iter().any(|exit| exit.outcome == ThreadOutcome::Panicked("on purpose".to_owned())));
    }
}
