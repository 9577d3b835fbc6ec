//! When an order of which nobody knows is looked up, and what it takes to say that it never arrived. Pure.
//!
//! Must not know the clock, threads or brokers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Since it is looked for.
const LOOKS: [Duration; 6] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(30)];
const THEN_EACH: Duration = Duration::from_secs(30);
/// A venue may not show yet what it has taken: it is gone when it was missed twice, so far apart.
const MISSED_FOR: Duration = Duration::from_secs(2);

/// What is looked for.
#[derive(Debug)]
pub(super) struct Schedule {
    /// By name.
    looks: HashMap<String, Look>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    since: Instant,
    done: usize,
    due: Instant,
    first_missed: Option<Instant>,
    hurried: bool,
}

impl Look {
    fn new(now: Instant) -> Look {
        Look { since: now, done: 0, due: now + LOOKS[0], first_missed: None, hurried: false }
    }
}

impl Schedule {
    pub fn new() -> Schedule {
        Schedule { looks: HashMap::new() }
    }

    /// What is unsettled now: what is new is looked for, what is gone is forgotten. What somebody waits for urgently is
    /// looked at next, once.
    pub fn keep(&mut self, unsettled: &[(String, bool)], now: Instant) {
        self.looks.retain(|name, _| unsettled.iter().any(|(other, _)| other == name));
        for (name, urgent) in unsettled {
            let look = self.looks.entry(name.clone()).or_insert_with(|| Look::new(now));
            if *urgent && !look.hurried {
                (look.hurried, look.due) = (true, look.due.min(now));
            }
        }
    }

    /// What is to be looked at now, the longest due first.
    pub fn due(&self, now: Instant) -> Vec<String> {
        let mut due: Vec<_> = self.looks.iter().filter(|(_, look)| look.due <= now).collect();
        due.sort_by_key(|(_, look)| look.due);
        due.into_iter().map(|(name, _)| name.clone()).collect()
    }

    pub fn next(&self) -> Option<Instant> {
        self.looks.values().map(|look| look.due).min()
    }

    /// Nobody could be asked, which proves nothing.
    pub fn unasked(&mut self, name: &str, now: Instant) {
        if let Some(look) = self.looks.get_mut(name) {
            look.done += 1;
            look.due = match LOOKS.get(look.done) {
                Some(after) => (look.since + *after).max(now),
                None => now + THEN_EACH,
            };
        }
    }

    /// The venue has none of this name. Says whether that is proved by now.
    pub fn missed(&mut self, name: &str, now: Instant) -> bool {
        self.unasked(name, now);
        let Some(look) = self.looks.get_mut(name) else { return false };
        let first = *look.first_missed.get_or_insert(now);
        now.saturating_duration_since(first) >= MISSED_FOR
    }

    /// It was sent once more.
    pub fn begin_again(&mut self, name: &str, now: Instant) {
        if let Some(look) = self.looks.get_mut(name) {
            *look = Look { hurried: look.hurried, ..Look::new(now) };
        }
    }

    pub fn end(&mut self, name: &str) {
        self.looks.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsettled<const N: usize>(names: [(&str, bool); N]) -> [(String, bool); N] {
        names.map(|(name, urgent)| (name.to_owned(), urgent))
    }

    fn begun() -> (Schedule, Instant) {
        let (mut schedule, start) = (Schedule::new(), Instant::now());
        schedule.keep(&unsettled([("b-1", false)]), start);
        (schedule, start)
    }

    #[test]
    fn it_is_looked_at_soon_and_then_ever_more_seldom_without_end() {
        let (mut schedule, start) = begun();
        let mut at = Vec::new();
        for _ in 0..8 {
            let now = schedule.next().unwrap();
            assert_eq!(schedule.due(now), ["b-1"]);
            at.push((now - start).as_millis());
            schedule.unasked("b-1", now);
        }
        assert_eq!(at, [500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 90_000]);
    }

    #[test]
    fn a_venue_that_cannot_be_asked_proves_nothing_and_two_misses_have_to_lie_apart() {
        let (mut schedule, start) = begun();
        let after = |millis| start + Duration::from_millis(millis);
        schedule.unasked("b-1", after(500));
        assert!(!schedule.missed("b-1", after(1_000)));
        assert!(!schedule.missed("b-1", after(2_000)));
        schedule.unasked("b-1", after(2_500));
        assert!(schedule.missed("b-1", after(5_000)));
        schedule.begin_again("b-1", after(5_000));
        assert!(!schedule.missed("b-1", after(5_500)));
        assert_eq!(schedule.next(), Some(after(6_000)));
    }

    #[test]
    fn what_is_settled_is_forgotten_and_what_is_urgent_comes_next_once() {
        let (mut schedule, start) = begun();
        schedule.keep(&unsettled([("b-1", true), ("b-2", false)]), start);
        assert_eq!(schedule.due(start), ["b-1"]);
        schedule.unasked("b-1", start);
        schedule.keep(&unsettled([("b-1", true), ("b-2", false)]), start);
        assert!(schedule.due(start).is_empty());
        schedule.keep(&unsettled([("b-2", false)]), start);
        assert_eq!(schedule.due(start + Duration::from_secs(60)), ["b-2"]);
        schedule.end("b-2");
        assert_eq!(schedule.next(), None);
    }
}
