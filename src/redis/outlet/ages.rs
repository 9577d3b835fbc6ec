//! How long the oldest command has been waiting for its answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When commands were queued, in steps of a millisecond: oldest first, answered ones left out.
#[derive(Debug, Default)]
pub(super) struct Ages(VecDeque<(Instant, u64)>);

impl Ages {
    const STEP: Duration = Duration::from_millis(1);

    /// So many commands have been queued in all by now.
    pub fn queued(&mut self, now: Instant, total: u64) {
        match self.0.back_mut() {
            Some((at, last)) if now.saturating_duration_since(*at) < Ages::STEP => *last = total,
            _ => self.0.push_back((now, total)),
        }
    }

    pub fn answered(&mut self, total: u64) {
        while self.0.front().is_some_and(|(_, last)| *last <= total) {
            self.0.pop_front();
        }
    }

    pub fn oldest(&self, now: Instant) -> Duration {
        self.0.front().map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unanswered_command_counts() {
        let (mut ages, start) = (Ages::default(), Instant::now());
        let at = |micros| start + Duration::from_micros(micros);
        ages.queued(at(0), 10);
        ages.queued(at(900), 20);
        ages.queued(at(2_000), 30);
        assert_eq!(ages.0.len(), 2, "a millisecond is one step");
        assert_eq!(ages.oldest(at(5_000)), Duration::from_micros(5_000));
        ages.answered(19);
        assert_eq!(ages.oldest(at(5_000)), Duration::from_micros(5_000));
        ages.answered(20);
        assert_eq!(ages.oldest(at(5_000)), Duration::from_micros(3_000));
        ages.answered(30);
        assert_eq!(ages.oldest(at(9_000)), Duration::ZERO);
    }
}
