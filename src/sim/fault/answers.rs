//! What an exchange that is behind, or whose clock is wrong, takes for the truth when it answers.

use std::time::{Duration, Instant};

use super::state::{Faults, Target};
use super::{Fault, Measure};
use crate::model::Timestamp;

const CLOCKS: [&str; 2] = ["/v2/clock", "/v3/clock"];

impl Faults {
    /// The time by which a request is answered: that of a wrong clock where the clock is asked for.
    pub(in crate::sim) fn answered_at(&self, wall: Timestamp, target: &Target<'_>, now: Instant) -> Timestamp {
        if CLOCKS.contains(&target.path.trim_end_matches('/')) { self.skewed(wall, target, now) } else { wall }
    }

    /// How far the ledger of an account is behind.
    pub(in crate::sim) fn lag(&self, target: &Target<'_>, now: Instant) -> Option<Duration> {
        if let Some(Measure::By(lag)) = self.measure(Fault::ActivitiesLag, target, now) { Some(lag) } else { None }
    }
}

/// A time so much earlier.
pub(in crate::sim) fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
}

/// A time so much later.
pub(in crate::sim) fn after(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
}
