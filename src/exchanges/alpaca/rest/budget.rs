//! How many requests may still be made, and by whom.
//!
//! Pure: time is passed in. Must not know HTTP beyond what the venue says of its limit.

use std::time::{Duration, Instant};

use super::Urgency;

/// What the venue grants to an ordinary account.
const USUAL: u32 = 200;
const WINDOW: Duration = Duration::from_secs(60);
/// Sweeps of a window, however much is left: three tenths of the limit, and so many where that is small.
const SWEEPS: u32 = 60;
/// Two reset times that differ by less are those of one window, told with other roundings.
const SAME_WINDOW: Duration = Duration::from_secs(2);
/// How long the venue's no holds when it does not say.
const AFTER_NO: Duration = Duration::from_secs(2);

/// What an answer said of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    pub limit: Option<u32>,
    pub remaining: Option<u32>,
    /// From now.
    pub reset: Option<Duration>,
}

/// What is left of the current window.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u32,
    left: u32,
    sweeps: u32,
    resets_at: Instant,
    /// The venue has said no until then.
    refused_until: Option<Instant>,
}

impl Budget {
    pub fn new(now: Instant) -> Budget {
        Budget { limit: USUAL, left: USUAL, sweeps: 0, resets_at: now + WINDOW, refused_until: None }
    }

    /// Takes one request out of the budget, or says how long to wait.
    pub fn take(&mut self, urgency: Urgency, now: Instant) -> Result<(), Duration> {
        self.turn(now);
        if let Some(until) = self.refused_until {
            return Err(until.saturating_duration_since(now));
        }
        let reserve = match urgency {
            Urgency::Cancel => None,
            Urgency::Order => Some(self.limit / 20),
            Urgency::Question => Some(self.limit / 10),
            Urgency::Sweep => Some(self.limit / 3),
        };
        let is_sweep = urgency == Urgency::Sweep;
        if reserve.is_some_and(|reserve| self.left <= reserve) || is_sweep && self.sweeps >= SWEEPS.max(self.limit / 10 * 3) {
            return Err(self.resets_at.saturating_duration_since(now));
        }
        self.left = self.left.saturating_sub(1);
        self.sweeps += u32::from(is_sweep);
        Ok(())
    }

    /// Learns from an answer.
    pub fn learn(&mut self, told: Told, now: Instant) {
        self.turn(now);
        if let Some(limit) = told.limit.filter(|limit| *limit > 0) {
            // A larger limit leaves more than was thought.
            if limit > self.limit {
                self.left += limit - self.limit;
            }
            self.limit = limit;
        }
        // A clock that differs from ours must neither lock us out nor renew the window with each answer.
        let resets_at = told.reset.filter(|reset| !reset.is_zero()).map(|reset| now + reset.min(WINDOW));
        let is_new = resets_at.is_some_and(|at| at > self.resets_at + SAME_WINDOW);
        if let Some(remaining) = told.remaining {
            // Answers overtake each other, and what is under way is not in them yet.
            self.left = if is_new { remaining } else { self.left.min(remaining) };
        }
        if let Some(at) = resets_at {
            self.sweeps = if is_new { 0 } else { self.sweeps };
            self.resets_at = at;
        }
        self.left = self.left.min(self.limit);
    }

    /// The venue has said no; the answer is for how long nobody is to ask.
    pub fn refused(&mut self, after: Option<Duration>, now: Instant) -> Duration {
        self.turn(now);
        let after = after.filter(|after| !after.is_zero()).unwrap_or(AFTER_NO).min(2 * WINDOW);
        let until = now + after;
        self.refused_until = Some(self.refused_until.map_or(until, |known| known.max(until)));
        after
    }

    pub fn left(&self) -> u32 {
        self.left
    }

    /// Begins a new window where the old one is over.
    fn turn(&mut self, now: Instant) {
        self.refused_until = self.refused_until.filter(|until| now < *until);
        if now >= self.resets_at {
            (self.left, self.sweeps, self.resets_at) = (self.limit, 0, now + WINDOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used_up(budget: &mut Budget, urgency: Urgency, now: Instant) -> u32 {
        (0..).find(|_| budget.take(urgency, now).is_err()).unwrap()
    }

    #[test]
    fn the_less_urgent_stop_first_and_cancels_never() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert_eq!(used_up(&mut budget, Urgency::Sweep, now), 60);
        assert_eq!(used_up(&mut budget, Urgency::Question, now), 120);
        assert_eq!(used_up(&mut budget, Urgency::Order, now), 10);
        assert_eq!(budget.take(Urgency::Order, now + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        for _ in 0..500 {
            assert_eq!(budget.take(Urgency::Cancel, now), Ok(()));
        }
        assert_eq!(budget.left(), 0);
        assert_eq!(budget.take(Urgency::Sweep, now + WINDOW), Ok(()));
        assert_eq!(budget.left(), 199);
    }

    #[test]
    fn sweeps_stop_at_a_third_even_before_they_have_had_their_share() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        budget.learn(Told { remaining: Some(70), ..Told::default() }, now);
        assert_eq!(used_up(&mut budget, Urgency::Sweep, now), 4);
    }

    #[test]
    fn the_venue_knows_better_but_its_old_answers_do_not() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        let told = |remaining, reset| Told { limit: Some(1_000), remaining: Some(remaining), reset: Some(Duration::from_secs(reset)) };
        budget.learn(told(990, 30), now);
        assert_eq!(budget.left(), 990);
        assert_eq!(budget.take(Urgency::Order, now), Ok(()));
        budget.learn(told(995, 30), now);
        assert_eq!(budget.left(), 989, "an answer that was overtaken");
        budget.learn(told(999, 50), now + Duration::from_secs(20));
        assert_eq!(budget.left(), 999, "a window that ends later is a new one");
        budget.learn(told(5, 1_000_000), now + Duration::from_secs(20));
        assert!(budget.take(Urgency::Order, now + Duration::from_secs(20)).is_err());
        assert_eq!(budget.take(Urgency::Order, now + Duration::from_secs(81)), Ok(()), "a wrong clock locks nobody out");
        let later = now + Duration::from_secs(82);
        budget.learn(Told { remaining: Some(3), reset: Some(Duration::ZERO), limit: None }, later);
        assert!(budget.take(Urgency::Order, later).is_err(), "nor does a clock that is ahead renew the window");
        budget.learn(Told { limit: Some(0), ..Told::default() }, now);
        assert_eq!(budget.limit, 1_000);
    }

    #[test]
    fn a_no_of_the_venue_holds_for_everybody_and_ends() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert_eq!(budget.refused(Some(Duration::from_secs(5)), now), Duration::from_secs(5));
        assert_eq!(budget.refused(Some(Duration::from_secs(1)), now), Duration::from_secs(1));
        assert_eq!(budget.take(Urgency::Cancel, now + Duration::from_secs(2)), Err(Duration::from_secs(3)));
        assert_eq!(budget.take(Urgency::Cancel, now + Duration::from_secs(5)), Ok(()));
        assert_eq!((budget.refused(None, now), budget.refused(Some(Duration::ZERO), now)), (AFTER_NO, AFTER_NO));
    }
}
