//! One reader of server-sent events, and an event's way to it.
//!
//! Must not know what was kept before it came.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sim::clock::SimClock;
use crate::sim::events_log::{Event, EventKind, Mark};
use crate::sim::fault::{Fault, Faults, Target, after};
use crate::sim::server::outbox::{Out, Outbox, Signal};

/// A reader of server-sent events.
#[derive(Debug)]
pub(in crate::sim::server) struct Watcher {
    pub path: &'static str,
    pub kind: EventKind,
    pub account: String,
    pub end: Option<Mark>,
    pub clock: SimClock,
    pub outbox: Arc<Outbox>,
}

impl Watcher {
    pub(super) fn target(&self) -> Target<'_> {
        Target { trading: true, path: self.path }
    }

    /// Lets a fault of open streams happen; `false` when it is none of those that readers of events know.
    pub(super) fn struck(&self, fault: Fault) -> bool {
        match fault {
            Fault::Drop => self.outbox.signal(Signal::Drop),
            Fault::HalfOpen => self.outbox.signal(Signal::Mute),
            // There are no close frames here: what is queued goes out, and the connection ends.
            Fault::Close => self.outbox.push(Out::Close(0)),
            _ => return false,
        }
        true
    }

    /// How late it hears of the ledger.
    pub(super) fn lag(&self, faults: &Faults) -> Option<Duration> {
        if self.kind == EventKind::Activities && faults.any() { faults.lag(&self.target(), Instant::now()) } else { None }
    }

    pub(super) fn tell(&self, account: &str, event: &Event, faults: &Faults) {
        if self.kind != event.kind || self.account != account {
            return;
        }
        let now = Instant::now();
        let mute = faults.any() && faults.until(Fault::Mute, &self.target(), now).is_some();
        if !mute && self.end.is_none_or(|end| !event.is_past(end)) {
            let due = self.lag(faults).map(|lag| now + self.clock.wait_until(after(event.at, lag), now));
            self.outbox.push_late(Out::Frame { text: true, bytes: format!("data: {}\n\n", event.text).into() }, due);
        }
        if self.end.is_some_and(|end| event.reaches(end)) {
            self.outbox.push(Out::Close(0));
        }
    }
}
