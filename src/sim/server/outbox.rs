//! What waits to be sent on one connection: bounded in bytes; a client that lets it fill up is told so and cut off.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::Mutex;
use tungstenite::Bytes;

use crate::runtime::Stop;

/// One thing to send.
#[derive(Debug, Clone)]
pub(super) enum Out {
    Frame {
        text: bool,
        bytes: Bytes,
    },
    /// As a frame, in fragments of which the last is empty.
    Fragments {
        text: bool,
        bytes: Bytes,
    },
    /// So many pings.
    Pings(u32),
    /// A close frame with this code; nothing goes after it.
    Close(u16),
}

/// What happens to a connection beside the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Cut without a close frame.
    Drop,
    /// Stay open and say nothing more.
    Mute,
    /// The queue ran over.
    SlowClient,
}

#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    wake: Stop,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Waiting>,
    bytes: usize,
    signal: Option<Signal>,
    sealed: bool,
}

#[derive(Debug)]
struct Waiting {
    out: Out,
    /// Not to be sent before; what comes after it waits too, as on a wire.
    due: Option<Instant>,
    counted: usize,
}

impl Outbox {
    pub(super) fn new(wake: Stop, limit: usize) -> Outbox {
        Outbox { state: Mutex::default(), wake, limit }
    }

    /// Queues and wakes the connection's thread; after a signal nothing is queued any more.
    pub(super) fn push(&self, out: Out) {
        let counted = size(&out);
        self.put(Waiting { out, due: None, counted });
    }

    /// As [`Outbox::push`], to be sent at `due`.
    pub(super) fn push_late(&self, out: Out, due: Option<Instant>) {
        let counted = size(&out);
        self.put(Waiting { out, due, counted });
    }

    /// As [`Outbox::push_late`], however large it is.
    pub(super) fn push_forced(&self, out: Out, due: Option<Instant>) {
        self.put(Waiting { out, due, counted: 0 });
    }

    fn put(&self, waiting: Waiting) {
        let mut state = self.state.lock();
        if state.sealed || state.signal.is_some() {
            return;
        }
        // A thread that has something to send is awake already, unless the socket takes nothing or the time has not come:
        // then it waits for that.
        let mut sleeps = state.queue.is_empty();
        state.bytes += waiting.counted;
        if state.bytes > self.limit {
            *state = State { signal: Some(Signal::SlowClient), ..State::default() };
            sleeps = true;
        } else {
            state.queue.push_back(waiting);
        }
        drop(state);
        if sleeps {
            self.wake.nudge();
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        *self.state.lock() = State { signal: Some(signal), ..State::default() };
        self.wake.nudge();
    }

    /// Calls the connection's thread to look around.
    pub(super) fn nudge(&self) {
        self.wake.nudge();
    }

    /// What is queued still goes out, and nothing after it.
    pub(super) fn seal(&self) {
        self.state.lock().sealed = true;
    }

    pub(super) fn signalled(&self) -> Option<Signal> {
        self.state.lock().signal
    }

    /// What goes next, up to `most` bytes (and at least one thing); returns when the rest is due, if that is later.
    pub(super) fn take(&self, most: usize, now: impl Fn() -> Instant, into: &mut Vec<Out>) -> Option<Instant> {
        let mut state = self.state.lock();
        let mut taken = 0;
        let mut freed = 0;
        let mut later = None;
        while taken < most
            && let Some(first) = state.queue.front()
        {
            if let Some(due) = first.due.filter(|due| *due > now()) {
                later = Some(due);
                break;
            }
            let Some(next) = state.queue.pop_front() else { break };
            taken += size(&next.out);
            freed += next.counted;
            into.push(next.out);
        }
        state.bytes = state.bytes.saturating_sub(freed);
        later
    }
}

fn size(out: &Out) -> usize {
    match out {
        Out::Frame { bytes, .. } | Out::Fragments { bytes, .. } => bytes.len(),
        Out::Pings(_) | Out::Close(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;
    use crate::net::{Interest, wait_ready};

    fn frame(length: usize) -> Out {
        Out::Frame { text: true, bytes: vec![b'x'; length].into() }
    }

    #[test]
    fn runs_over_once_and_for_good() {
        let stop = Stop::new().unwrap();
        let (outbox, token) = (Outbox::new(stop.clone(), 10), stop.token());
        let (_far, near) = UnixStream::pair().unwrap();
        let woken = || wait_ready(&near, Interest::Read, &token, Instant::now()).unwrap().woken;
        let mut taken = Vec::new();
        (0..3).for_each(|_| outbox.push(frame(3)));
        outbox.take(4, Instant::now, &mut taken);
        assert_eq!((taken.len(), outbox.signalled()), (2, None));
        token.clear_wake();
        outbox.push(frame(3));
        assert!(!woken(), "woken though it has not sent what it has");
        (0..2).for_each(|_| outbox.push(frame(3)));
        assert_eq!((outbox.signalled(), woken()), (Some(Signal::SlowClient), true));
        outbox.push(frame(1));
        taken.clear();
        outbox.take(100, Instant::now, &mut taken);
        assert!(taken.is_empty());
    }

    #[test]
    fn what_is_late_holds_up_what_follows_and_what_is_forced_is_not_counted() {
        let stop = Stop::new().unwrap();
        let outbox = Outbox::new(stop, 10);
        let now = Instant::now();
        let due = now + std::time::Duration::from_secs(1);
        outbox.push(frame(1));
        outbox.push_late(frame(2), Some(due));
        outbox.push_forced(frame(1_000), None);
        let mut taken = Vec::new();
        assert_eq!((outbox.take(100, || now, &mut taken), taken.len()), (Some(due), 1));
        assert_eq!((outbox.take(10_000, || due, &mut taken), taken.len(), outbox.signalled()), (None, 3, None));
    }
}
