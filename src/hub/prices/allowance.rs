//! How many may be done now, at a steady rate with a burst of a quarter of a second: a bucket that fills with time.

use std::time::{Duration, Instant};

/// How long somebody who found it empty should wait: for a batch, not for the next single one.
const TURN: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Allowance {
    a_second: u32,
    left: u32,
    filled_at: Option<Instant>,
    lifted: bool,
}

impl Allowance {
    pub fn new(a_second: u32) -> Allowance {
        Allowance { a_second, left: a_second / 4, filled_at: None, lifted: false }
    }

    /// No more bounds from now on.
    pub fn lift(&mut self) {
        self.lifted = true;
    }

    pub fn is_lifted(&self) -> bool {
        self.lifted
    }

    /// True when one more may be done.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            self.fill(now);
        }
        let allowed = self.lifted || self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }

    /// When something that is due then will be allowed.
    pub fn not_before(&self, due: Instant) -> Instant {
        match self.filled_at {
            Some(filled_at) if self.left == 0 && !self.lifted => due.max(filled_at + TURN),
            _ => due,
        }
    }

    fn fill(&mut self, now: Instant) {
        let filled_at = *self.filled_at.get_or_insert(now);
        let passed = now.saturating_duration_since(filled_at).min(Duration::from_millis(250));
        if passed >= TURN {
            self.left = u32::try_from(passed.as_micros()).unwrap_or(u32::MAX) / 1_000 * self.a_second / 1_000;
            self.filled_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_the_rate_with_a_burst_and_no_more() {
        let mut allowance = Allowance::new(8_000);
        let start = Instant::now();
        let mut allowed = |from: u64, to: u64| {
            let taken = |ms: u64| (0..10_000).take_while(|_| allowance.take(start + Duration::from_millis(ms))).count();
            (from..to).map(taken).sum::<usize>()
        };
        assert_eq!(allowed(0, 1), 2_000, "the burst");
        assert_eq!(allowed(1, 1_001), 8_000, "the rate");
        assert_eq!(allowed(60_000, 60_001), 2_000, "a burst again after a pause");
    }

    #[test]
    fn says_when_to_come_back_and_can_be_lifted() {
        let mut allowance = Allowance::new(4);
        let start = Instant::now();
        assert_eq!(allowance.not_before(start), start);
        assert!(allowance.take(start) && !allowance.take(start));
        assert_eq!(allowance.not_before(start), start + TURN);
        allowance.lift();
        assert!(allowance.take(start) && allowance.take(start));
        assert_eq!(allowance.not_before(start), start);
    }
}
