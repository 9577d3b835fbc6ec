//! The exchange's own clock: it may begin at any time, and run faster or slower than real time.
//!
//! Pure: the reading of a monotonic clock is passed in.

use std::time::{Duration, Instant};

use crate::model::Timestamp;

/// Slowest and fastest that a clock may run.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=100_000.0;
/// Longest wait that is worth telling apart from for ever.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a clock cannot run at {0} times the speed of time; choose a speed from {min} to {max}", min = SPEEDS.start(), max = SPEEDS.end())]
pub struct SpeedError(pub f64);

/// A clock that showed `start` when the monotonic clock showed `origin`.
#[derive(Debug, Clone, Copy)]
pub(super) struct SimClock {
    origin: Instant,
    start: Timestamp,
    speed: f64,
}

impl SimClock {
    pub(super) fn new(origin: Instant, start: Timestamp, speed: f64) -> Result<SimClock, SpeedError> {
        if SPEEDS.contains(&speed) { Ok(SimClock { origin, start, speed }) } else { Err(SpeedError(speed)) }
    }

    /// What the clock shows.
    pub(super) fn at(&self, now: Instant) -> Timestamp {
        let passed = now.saturating_duration_since(self.origin).as_nanos();
        // At its usual speed no digit may be lost to a float.
        let shown = if self.speed == 1.0 { i64::try_from(passed).unwrap_or(i64::MAX) } else { (passed as f64 * self.speed) as i64 };
        Timestamp::from_nanos(self.start.nanos().saturating_add(shown))
    }

    /// What it shows now.
    pub(super) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// How long to wait in real time until the clock shows `then`, a year at most; nothing when it does already.
    pub(super) fn wait_until(&self, then: Timestamp, now: Instant) -> Duration {
        let ahead = then.nanos().saturating_sub(self.at(now).nanos()).max(0);
        // A nanosecond more, so that a rounded wait is not one too short.
        let wait = Duration::try_from_secs_f64(ahead as f64 / 1e9 / self.speed).unwrap_or(LONGEST);
        if ahead == 0 { Duration::ZERO } else { (wait + Duration::from_nanos(1)).min(LONGEST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(speed: f64) -> (SimClock, Instant) {
        let origin = Instant::now();
        (SimClock::new(origin, Timestamp::from_nanos(1_000_000_000), speed).unwrap(), origin)
    }

    #[test]
    fn time_passes_at_the_given_speed() {
        let minute = Duration::from_secs(60);
        for (speed, seconds) in [(1.0, 61), (60.0, 3_601), (0.5, 31)] {
            let (clock, origin) = clock(speed);
            assert_eq!(clock.at(origin), clock.start);
            assert_eq!(clock.at(origin + minute).seconds(), seconds, "{speed}");
        }
        let (clock, origin) = clock(1.0);
        assert_eq!(clock.at(origin + Duration::from_nanos(123_456_789_123)).nanos(), 124_456_789_123);
    }

    #[test]
    fn waits_are_long_enough_and_hardly_longer() {
        for speed in [1.0, 60.0, 7.3, 0.1] {
            let (clock, origin) = clock(speed);
            for ahead in [1, 999, 1_000_000, 90_000_000_000] {
                let then = Timestamp::from_nanos(clock.start.nanos() + ahead);
                let wait = clock.wait_until(then, origin);
                let reached = clock.at(origin + wait).nanos() - clock.start.nanos();
                assert!(reached + 1 >= ahead && reached <= ahead + 1 + (2.0 * speed) as i64, "{speed}: {reached} for {ahead}");
            }
            assert_eq!(clock.wait_until(clock.start, origin + Duration::from_secs(1)), Duration::ZERO);
            assert_eq!(clock.wait_until(Timestamp::from_nanos(i64::MAX), origin), LONGEST);
        }
    }

    #[test]
    fn absurd_speeds_are_refused() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(SimClock::new(Instant::now(), Timestamp::default(), speed).is_err(), "{speed}");
        }
    }
}
