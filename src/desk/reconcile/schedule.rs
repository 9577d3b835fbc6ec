//! When a seat is looked at. Pure.
//!
//! Must not know what a look does.

use std::time::{Duration, Instant};

use crate::exchanges::Connection;

/// While orders are open: a single lost event is found within half a minute, the look itself included.
const OPEN_EVERY: Duration = Duration::from_secs(20);
/// With nothing open: somebody may have typed an order elsewhere.
const IDLE_EVERY: Duration = Duration::from_secs(120);
/// Something was filled and not accounted for yet.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// After a failure, doubled each time up to the cap.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_CAP: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    No,
    /// Nothing can be asked before the broker is connected.
    Connect,
    /// What is open and what is new.
    Sweep,
    /// Everything since we last heard of the account.
    Whole,
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    next: Option<Instant>,
    failures: u32,
    connected: bool,
}

impl Schedule {
    pub fn due(&mut self, connection: Connection, counted: bool, has_open: impl FnOnce() -> bool, now: Instant) -> Due {
        let connected = connection == Connection::Connected;
        if connected && !self.connected {
            (self.next, self.failures) = (None, 0);
        }
        self.connected = connected;
        if self.failures > 0 && self.next.is_some_and(|next| now < next) {
            return Due::No;
        }
        match connection {
            Connection::Disconnected => {
                self.failed(now);
                return Due::Connect;
            }
            Connection::Connecting | Connection::Degraded => return Due::No,
            Connection::Connected if !counted => return Due::Whole,
            Connection::Connected => {}
        }
        match self.next {
            None => Due::Whole,
            Some(next) if now < next => Due::No,
            // The pace was set for an open order: with none left the next look may wait.
            Some(next) if !has_open() && now < next + IDLE_EVERY - OPEN_EVERY => Due::No,
            Some(_) => Due::Sweep,
        }
    }

    pub fn done(&mut self, again_soon: bool, now: Instant) {
        self.failures = 0;
        self.next = Some(now + if again_soon { AGAIN_AFTER } else { OPEN_EVERY });
    }

    pub fn failed(&mut self, now: Instant) {
        let delay = RETRY_FIRST.saturating_mul(1 << self.failures.min(8)).min(RETRY_CAP);
        self.failures += 1;
        self.next = Some(now + delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Connection = Connection::Connected;

    #[test]
    fn a_seat_is_counted_first_and_then_looked_at_as_long_as_orders_are_open() {
        let (start, mut schedule) = (Instant::now(), Schedule::default());
        assert_eq!(schedule.due(UP, false, || false, start), Due::Whole);
        schedule.done(false, start);
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(schedule.due(UP, true, || true, after(19)), Due::No);
        assert_eq!(schedule.due(UP, true, || true, after(20)), Due::Sweep);
        assert_eq!(schedule.due(UP, true, || false, after(20)), Due::No);
        assert_eq!(schedule.due(UP, true, || false, after(120)), Due::Sweep);
        schedule.done(true, after(120));
        assert_eq!(schedule.due(UP, true, || true, after(125)), Due::Sweep);
        assert_eq!(schedule.due(UP, false, || true, after(121)), Due::Whole);
    }

    #[test]
    fn failures_are_spaced_out_and_a_new_connection_is_looked_at_at_once() {
        let (start, mut schedule) = (Instant::now(), Schedule::default());
        assert_eq!(schedule.due(Connection::Disconnected, false, || false, start), Due::Connect);
        assert_eq!(schedule.due(Connection::Disconnected, false, || false, start + Duration::from_millis(249)), Due::No);
        assert_eq!(schedule.due(Connection::Degraded, false, || false, start + Duration::from_millis(250)), Due::No);
        assert_eq!(schedule.due(UP, false, || false, start + Duration::from_millis(251)), Due::Whole);
        (0..20).for_each(|_| schedule.failed(start));
        assert_eq!(schedule.due(UP, false, || false, start + Duration::from_secs(9)), Due::No);
        assert_eq!(schedule.due(UP, false, || false, start + Duration::from_secs(10)), Due::Whole);
        (0..20).for_each(|_| schedule.failed(start));
        assert_eq!(schedule.due(Connection::Degraded, false, || false, start), Due::No);
        assert_eq!(schedule.due(UP, false, || false, start), Due::Whole);
    }
}
