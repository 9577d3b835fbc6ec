//! When a burst may wait for Redis, whole and in order, and when it has to be folded. Pure.
//!
//! While Redis keeps up, it is given every update. What it cannot take at once waits on the lane as long as nothing in it
//! is late. Then we are *pressed*: the lane is drained whatever Redis does, until it has run empty and nothing folded is left.

use std::time::{Duration, Instant};

/// An update that has waited so long is late: newer ones are on their way, and it is folded into them.
pub(super) const LATE: Duration = Duration::from_millis(100);
/// A lane that has not run empty for so long has a venue behind it that sends faster than we pass on, though nothing is
/// late on our side. It is folded for before the venue drops us as a slow reader.
const BEHIND: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Pressure {
    pressed: bool,
    /// Since when the lane has not run empty.
    busy_since: Option<Instant>,
}

/// How Redis takes what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    Full,
    /// There is no connection.
    Down,
}

impl Pressure {
    /// May updates that were read then be taken from the lane now? If there is no room for them, they are folded.
    pub fn may_take(&mut self, read: Instant, way: Way, now: Instant) -> bool {
        let busy = now.saturating_duration_since(*self.busy_since.get_or_insert(now));
        if way == Way::Open {
            return true;
        }
        let late = now.saturating_duration_since(read) >= LATE;
        self.pressed |= late || busy >= BEHIND || way == Way::Down;
        self.pressed
    }

    pub fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// The lane has run empty; `folded` says that something still waits for room.
    pub fn ran_empty(&mut self, folded: bool) {
        self.busy_since = None;
        self.pressed &= folded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_waits_whole_until_it_is_late_and_then_all_is_taken() {
        let (mut pressure, start) = (Pressure::default(), Instant::now());
        assert!(pressure.may_take(start, Way::Open, start));
        assert!(!pressure.may_take(start, Way::Full, at(start, 99)), "not late yet");
        assert!(pressure.may_take(start, Way::Full, at(start, 100)));
        assert!(pressure.may_take(at(start, 100), Way::Full, at(start, 100)), "once pressed, the lane is drained");
        pressure.ran_empty(true);
        assert!(pressure.is_pressed(), "folded values still wait");
        pressure.ran_empty(false);
        assert!(!pressure.may_take(at(start, 101), Way::Full, at(start, 101)), "the next burst waits again");
    }

    #[test]
    fn without_a_connection_nothing_waits() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        assert!(pressure.may_take(now, Way::Down, now) && pressure.is_pressed());
    }

    #[test]
    fn a_venue_that_stays_faster_is_folded_for_though_nothing_is_late() {
        let (mut pressure, start) = (Pressure::default(), Instant::now());
        for ms in (0..5_000).step_by(10) {
            assert!(!pressure.may_take(at(start, ms), Way::Full, at(start, ms)));
            assert!(pressure.may_take(at(start, ms), Way::Open, at(start, ms)));
        }
        assert!(pressure.may_take(at(start, 5_000), Way::Full, at(start, 5_000)));
        pressure.ran_empty(false);
        assert!(!pressure.may_take(at(start, 5_010), Way::Full, at(start, 5_010)));
    }
}
