//! When a burst may wait for Redis, whole and in order, and when it has to be folded. Pure.
//!
//! While Redis keeps up, it is given every update. What it cannot take at once waits on the lane, and behind that in the
//! venue's socket, as long as nothing of it is late. Then we are *pressed*: the lane is drained whatever Redis does, until
//! Redis has taken everything for a second.

use std::time::{Duration, Instant};

/// An update that has waited on the lane for so long is late: newer ones are on their way, and it is folded into them.
pub(super) const LATE: Duration = Duration::from_millis(100);
/// With a slow Redis the venue's socket must have been read empty within this: what waits there is as late as anything.
const BEHIND: Duration = Duration::from_millis(250);
/// With one that is as swift as ever the backlog is gone soon; but not even then may the venue take us for a slow reader.
const FAR_BEHIND: Duration = Duration::from_secs(5);
/// How long Redis must have had room before a burst may wait again. Without it an overload that lasts would make the venue
/// wait for the next late update, again and again.
const CALM: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Pressure {
    pressed_until: Option<Instant>,
}

/// How Redis takes what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// As much is on its way as should be, and it is answered as swiftly as ever.
    Full,
    /// It does not keep up.
    Slow,
    /// There is no connection.
    Down,
}

/// How long updates have been under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waited {
    pub on_the_lane: Duration,
    /// At most, with the time in the venue's socket.
    pub in_all: Duration,
}

impl Pressure {
    /// May updates be taken from the lane now? If there is no room for them, they are folded.
    pub fn may_take(&mut self, waited: Waited, way: Way, now: Instant) -> bool {
        let behind = match way {
            Way::Open => return true,
            Way::Full => waited.in_all >= FAR_BEHIND,
            Way::Slow => waited.in_all >= BEHIND,
            Way::Down => true,
        };
        let pressed = self.is_pressed(now) || behind || waited.on_the_lane >= LATE;
        if pressed {
            self.pressed_until = Some(now + CALM);
        }
        pressed
    }

    pub fn is_pressed(&self, now: Instant) -> bool {
        self.pressed_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(on_the_lane: u64, in_all: u64) -> Waited {
        Waited { on_the_lane: Duration::from_millis(on_the_lane), in_all: Duration::from_millis(in_all) }
    }

    #[test]
    fn a_burst_waits_whole_until_it_is_late() {
        for (waited, way, taken) in [
            (waited(0, 0), Way::Open, true),
            (waited(99, 4_999), Way::Full, false),
            (waited(100, 100), Way::Full, true),
            (waited(0, 5_000), Way::Full, true),
            (waited(99, 249), Way::Slow, false),
            (waited(0, 250), Way::Slow, true),
            (waited(0, 0), Way::Down, true),
            (waited(9_999, 9_999), Way::Open, true),
        ] {
            let mut pressure = Pressure::default();
            let now = Instant::now();
            assert_eq!(pressure.may_take(waited, way, now), taken, "{waited:?} {way:?}");
            assert_eq!(pressure.is_pressed(now), taken && way != Way::Open);
        }
    }

    #[test]
    fn an_overload_that_lasts_makes_nobody_wait_and_a_second_of_calm_ends_it() {
        let (mut pressure, start) = (Pressure::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(pressure.may_take(waited(100, 100), Way::Slow, start));
        for ms in (100..3_000).step_by(400) {
            assert!(pressure.may_take(waited(0, 0), Way::Open, at(ms)));
            assert!(pressure.may_take(waited(0, 0), Way::Slow, at(ms)));
        }
        assert!(!pressure.may_take(waited(0, 0), Way::Slow, at(4_000)));
    }
}
