//! What waits to be sent on one connection: bounded in bytes; a client that lets it fill up is told so and cut off.

use std::collections::VecDeque;

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
    queue: VecDeque<Out>,
    bytes: usize,
    signal: Option<Signal>,
    sealed: bool,
}

impl Outbox {
    pub(super) fn new(wake: Stop, limit: usize) -> Outbox {
        Outbox { state: Mutex::default(), wake, limit }
    }

    /// Queues and wakes the connection's thread; after a signal nothing is queued any more.
    pub(super) fn push(&self, out: Out) {
        let mut state = self.state.lock();
        if state.sealed || state.signal.is_some() {
            return;
        }
        // A thread that has something to send is awake already, unless the socket takes nothing: then it waits for that.
        let mut sleeps = state.queue.is_empty();
        state.bytes += size(&out);
        if state.bytes > self.limit {
            *state = State { signal: Some(Signal::SlowClient), ..State::default() };
            sleeps = true;
        } else {
            state.queue.push_back(out);
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

    /// What is queued still goes out, and nothing after it.
    pub(super) fn seal(&self) {
        self.state.lock().sealed = true;
    }

    pub(super) fn signalled(&self) -> Option<Signal> {
        self.state.lock().signal
    }

    /// What goes next, up to `most` bytes (and at least one thing).
    pub(super) fn take(&self, most: usize, into: &mut Vec<Out>) {
        let mut state = self.state.lock();
        let mut taken = 0;
        while taken < most
            && let Some(out) = state.queue.pop_front()
        {
            taken += size(&out);
            into.push(out);
        }
        state.bytes = state.bytes.saturating_sub(taken);
    }
}

fn size(out: &Out) -> usize {
    match out {
        Out::Frame { bytes, .. } => bytes.len(),
        Out::Close(_) => 0,
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
        outbox.take(4, &mut taken);
        assert_eq!((taken.len(), outbox.signalled()), (2, None));
        token.clear_wake();
        outbox.push(frame(3));
        assert!(!woken(), "woken though it has not sent what it has");
        (0..2).for_each(|_| outbox.push(frame(3)));
        assert_eq!((outbox.signalled(), woken()), (Some(Signal::SlowClient), true));
        outbox.push(frame(1));
        taken.clear();
        outbox.take(100, &mut taken);
        assert!(taken.is_empty());
    }
}
