//! When a burst may wait for Redis, whole and in order, and when it has to be folded. Pure.
//!
//! While Redis keeps up, it is given every update. What it cannot take at once waits on the lane as long as nothing in it
//! is late. Then we are *pressed*: the lane is drained whatever Redis does, until Redis has taken everything for a second.

use std::time::{Duration, Instant};

/// An update that has waited so long is late: newer ones are on their way, and it is folded into them.
pub(super) const LATE: Duration = Duration::from_millis(100);
/// A lane that has not run empty for so long has a venue behind it that sends faster than we pass on, though nothing is
/// late on our side. It is folded for before the venue drops us as a slow reader.
const BEHIND: Duration = Duration::from_secs(5);

/// How long Redis must have had room before a burst may wait again. Without it an overload that lasts would make the venue
/// wait for the next late update, again and again.
const CALM: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Pressure {
    pressed_until: Option<Instant>,
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
        let pressed = self.is_pressed(now) || late || busy >= BEHIND || way == Way::Down;
        if pressed {
            self.pressed_until = Some(now + CALM);
        }
        pressed
    }

    pub fn is_pressed(&self, now: Instant) -> bool {
        self.pressed_until.is_some_and(|until| now < until)
    }

    /// The lane has run empty.
    pub fn ran_empty(&mut self) {
        self.busy_since = None;
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
        pressure.ran_empty();
        for ms in (200..3_000).step_by(400) {
            assert!(pressure.may_take(at(start, ms), Way::Open, at(start, ms)));
            assert!(pressure.may_take(at(start, ms), Way::Full, at(start, ms)), "an overload that lasts makes nobody wait");
        }
        assert!(!pressure.may_take(at(start, 4_000), Way::Full, at(start, 4_000)), "after a second of calm the next burst waits");
    }

    #[test]
    fn without_a_connection_nothing_waits() {
        let (mut pressure, now) = (Pressure::default(), Instant::now());
        assert!(pressure.may_take(now, Way::Down, now) && pressure.is_pressed(now));
    }

    #[test]
    fn a_venue_that_stays_faster_is_folded_for_though_nothing_is_late() {
        let (mut pressure, start) = (Pressure::default(), Instant::now());
        for ms in (0..5_000).step_by(10) {
            assert!(!pressure.may_take(at(start, ms), Way::Full, at(start, ms)));
            assert!(pressure.may_take(at(start, ms), Way::Open, at(start, ms)));
        }
        assert!(pressure.may_take(at(start, 5_000), Way::Full, at(start, 5_000)));
        pressure.ran_empty();
        assert!(!pressure.may_take(at(start, 6_000), Way::Full, at(start, 6_000)));
    }
}
