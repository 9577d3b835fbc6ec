//! How long an order, a cancel or a change is on its way from its acceptance to the market.
//!
//! Must not know the clock.

use std::time::Duration;

/// A fixed time and a random one on top, evenly spread from zero to `jitter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    pub fixed: Duration,
    pub jitter: Duration,
}

impl Latency {
    pub const NONE: Latency = Latency { fixed: Duration::ZERO, jitter: Duration::ZERO };

    /// Nanoseconds of one way.
    pub fn draw(self, random: &mut fastrand::Rng) -> i64 {
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let fixed = u64::try_from(self.fixed.as_nanos()).unwrap_or(u64::MAX);
        let extra = if jitter == 0 { 0 } else { random.u64(0..=jitter) };
        i64::try_from(fixed.saturating_add(extra)).unwrap_or(i64::MAX)
    }
}
