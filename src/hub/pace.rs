//! How often the stop/start cycle may ask the venue: at once for the first, slower under a flood. Pure.

use std::time::{Duration, Instant};

/// A bucket of requests that refills. A cycle costs as many as it sends.
#[derive(Debug, Clone)]
pub struct CyclePace {
    burst: u32,
    every: Duration,
    left: u32,
    refilled: Instant,
}

impl CyclePace {
    /// So many requests at once, then one each `every`.
    pub fn new(burst: u32, every: Duration, now: Instant) -> CyclePace {
        CyclePace { burst, every, left: burst, refilled: now }
    }

    /// For a venue that is asked at most five times a second over a minute of flood, and at once when it is calm.
    pub fn calm(now: Instant) -> CyclePace {
        CyclePace::new(20, Duration::from_millis(250), now)
    }

    pub fn unlimited(now: Instant) -> CyclePace {
        CyclePace::new(u32::MAX, Duration::ZERO, now)
    }

    /// Takes a cycle of so many requests, or says when there will be one. What is missing for its last requests is owed.
    pub fn take(&mut self, requests: u32, now: Instant) -> Result<(), Instant> {
        if !self.every.is_zero() {
            let intervals = (now.saturating_duration_since(self.refilled).as_nanos() / self.every.as_nanos()).min(u128::from(self.burst)) as u32;
            if intervals >= self.burst - self.left {
                self.left = self.burst;
                self.refilled = now;
            } else {
                self.left += intervals;
                self.refilled += self.every * intervals;
            }
            if self.left == 0 {
                return Err(self.refilled + self.every);
            }
            self.refilled += self.every * requests.saturating_sub(self.left);
            self.left = self.left.saturating_sub(requests);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_flood_sees_at_most_five_cycles_a_second() {
        let start = Instant::now();
        let mut pace = CyclePace::calm(start);
        let taken = (0..60_000).filter(|ms| pace.take(1, start + Duration::from_millis(*ms)).is_ok()).count();
        assert!((200..=300).contains(&taken), "{taken} cycles in a minute");
    }

    #[test]
    fn the_calm_get_theirs_at_once_and_the_rest_a_time() {
        let start = Instant::now();
        let mut pace = CyclePace::calm(start);
        for _ in 0..20 {
            assert_eq!(pace.take(1, start), Ok(()));
        }
        assert_eq!(pace.take(1, start), Err(start + Duration::from_millis(250)));
        assert_eq!(pace.take(1, start + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn a_cycle_that_asks_twice_costs_twice() {
        let start = Instant::now();
        let mut pace = CyclePace::calm(start);
        let taken = (0..60_000).filter(|ms| pace.take(2, start + Duration::from_millis(*ms)).is_ok()).count();
        assert!((100..=150).contains(&taken), "{taken} cycles of two requests in a minute");
    }
}
