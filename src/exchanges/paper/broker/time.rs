//! What time it is for an account: what the wall clock says, but never earlier than a moment ago.
//!
//! Must not know accounts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::Timestamp;

/// What time it is: a closure, so that a test can say.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long it goes on already: a clock that nobody can set.
pub type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// While the wall clock is behind, an account's time goes slower by this share, so that the two meet again.
const SLOWER_BY: i64 = 16;

/// Both clocks.
#[derive(Clone)]
pub(super) struct Clocks {
    wall: Clock,
    ticks: Ticks,
}

impl Clocks {
    pub fn new(wall: Clock, ticks: Ticks) -> Clocks {
        Clocks { wall, ticks }
    }

    /// Ticks of this process.
    pub fn of(wall: Clock) -> Clocks {
        let start = Instant::now();
        Clocks::new(wall, Arc::new(move || start.elapsed()))
    }
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clocks").finish_non_exhaustive()
    }
}

/// The time of one account.
#[derive(Debug, Default)]
pub(super) struct AccountTime {
    latest: Timestamp,
    ticked: Duration,
}

impl AccountTime {
    pub fn now(&mut self, clocks: &Clocks) -> Timestamp {
        // In this order: who is held up between the two gains no time by it.
        let (wall, ticks) = ((clocks.wall)(), (clocks.ticks)());
        self.go_on(wall, ticks)
    }

    fn go_on(&mut self, wall: Timestamp, ticks: Duration) -> Timestamp {
        let passed = i64::try_from(ticks.saturating_sub(self.ticked).as_nanos()).unwrap_or(i64::MAX);
        let own = self.latest.nanos().saturating_add(passed - passed / SLOWER_BY);
        self.ticked = ticks;
        self.latest = wall.max(Timestamp::from_nanos(own));
        self.latest
    }

    /// What has happened has happened.
    pub fn not_before(&mut self, at: Timestamp) {
        self.latest = self.latest.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_stops_nothing_and_is_met_again() {
        let mut time = AccountTime::default();
        let (at, ticks) = (|seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000), Duration::from_secs);
        assert_eq!(time.go_on(at(1_000), ticks(5)), at(1_000));
        assert_eq!(time.go_on(at(4_600), ticks(6)), at(4_600), "set forward");
        assert_eq!(time.go_on(at(1_002), ticks(7)).nanos(), at(4_600).nanos() + 937_500_000, "and back");
        assert_eq!(time.go_on(at(1_018), ticks(23)).nanos(), at(4_615).nanos() + 937_500_000);
        let day = 86_400;
        assert_eq!(time.go_on(at(1_018 + day), ticks(23 + 86_400)), at(1_018 + day), "an hour is made up for within a day");
        time.not_before(at(200_000));
        assert_eq!(time.go_on(at(1_034 + day), ticks(39 + 86_400)), at(200_015));
    }
}
