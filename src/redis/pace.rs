//! When to try Redis again, and when to tell about a trouble again. Pure: the time is passed in.
//!
//! Not `runtime::Backoff`: that one paces attempts at a venue, which counts them; here the kind of trouble decides, and a
//! Redis that listens again must be found within half a second.

use std::time::{Duration, Instant};

use super::error::{Pace, RedisError};

/// A connection that lasted this long was a good one: its loss starts a new sequence.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(1);
/// How often each kind of trouble is told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// More kinds than there are; beyond it the oldest is told again.
const MAX_KINDS: usize = 32;

impl Pace {
    /// The first delay and the longest. Each next one is twice as long.
    fn bounds(self) -> (Duration, Duration) {
        match self {
            Pace::Soon => (Duration::from_millis(50), Duration::from_millis(300)),
            Pace::Later => (Duration::from_millis(50), Duration::from_secs(2)),
            Pace::Patiently => (Duration::from_secs(5), Duration::from_secs(15)),
        }
    }
}

/// The delays between attempts at one Redis.
#[derive(Debug)]
pub struct Pacer {
    last: Option<(Pace, Duration)>,
    jitter: fastrand::Rng,
}

impl Pacer {
    pub fn new(seed: u64) -> Pacer {
        Pacer { last: None, jitter: fastrand::Rng::with_seed(seed) }
    }

    /// How long to wait after this failure. Another pace than before starts its own sequence.
    pub fn failed(&mut self, error: &RedisError) -> Duration {
        let pace = error.pace();
        let (first, cap) = pace.bounds();
        let base = match self.last {
            Some((before, delay)) if before == pace => (delay * 2).min(cap),
            _ => first,
        };
        self.last = Some((pace, base));
        base + base.mul_f64(0.25 * self.jitter.f64())
    }

    /// How long to wait after a connection was lost: not at all if it had been a good one.
    pub fn lost(&mut self, error: &RedisError, lasted: Duration) -> Duration {
        if lasted >= HEALTHY_AFTER {
            self.last = None;
            return Duration::ZERO;
        }
        self.failed(error)
    }
}

/// Lets each kind of trouble through once a minute and counts what it held back.
#[derive(Debug, Default)]
pub struct Hush {
    told: Vec<(String, Instant, u64)>,
}

impl Hush {
    /// `Some` when it should be told now, with how often it was held back since the last time.
    pub fn tell(&mut self, kind: &str, now: Instant) -> Option<u64> {
        if let Some((_, last, held)) = self.told.iter_mut().find(|(known, ..)| known == kind) {
            if now.saturating_duration_since(*last) < TELL_EVERY {
                *held += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(held));
        }
        if self.told.len() == MAX_KINDS {
            self.told.remove(0);
        }
        self.told.push((kind.to_owned(), now, 0));
        Some(0)
    }

    /// Logs a trouble under its kind, once a minute.
    pub fn warn(&mut self, who: &str, error: &RedisError, now: Instant) {
        if let Some(held) = self.tell(error.kind(), now) {
            log::warn!("{who}: {error}{}", held_back(held));
        }
    }
}

/// The tail of a log line that was held back before.
pub fn held_back(times: u64) -> String {
    if times == 0 { String::new() } else { format!(" ({times} times more since last told)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> RedisError {
        RedisError::Unreachable { place: "p".to_owned(), cause: "refused".to_owned(), refused: true }
    }

    fn wrong() -> RedisError {
        RedisError::WrongPassword { place: "p".to_owned(), code: "WRONGPASS".to_owned() }
    }

    #[test]
    fn a_refused_port_is_tried_often_and_a_wrong_password_seldom() {
        let mut pacer = Pacer::new(1);
        let delays: Vec<Duration> = (0..10).map(|_| pacer.failed(&refused())).collect();
        assert!(delays.iter().all(|d| (Duration::from_millis(50)..=Duration::from_millis(375)).contains(d)), "{delays:?}");
        assert!(delays[9] >= Duration::from_millis(300));
        assert!((0..10).map(|_| pacer.failed(&wrong())).all(|d| d >= Duration::from_secs(5) && d < Duration::from_secs(20)));
        assert!(pacer.failed(&refused()) < Duration::from_millis(100));
    }

    #[test]
    fn a_lost_good_connection_is_dialled_at_once_and_a_flapping_one_is_not() {
        let mut pacer = Pacer::new(1);
        assert_eq!(pacer.lost(&refused(), Duration::from_secs(5)), Duration::ZERO);
        assert!(pacer.lost(&refused(), Duration::from_millis(5)) >= Duration::from_millis(50));
        assert!(pacer.lost(&refused(), Duration::from_millis(5)) >= Duration::from_millis(100));
    }

    #[test]
    fn a_kind_of_trouble_is_told_once_a_minute() {
        let (mut hush, start) = (Hush::default(), Instant::now());
        assert_eq!(hush.tell("NOPERM", start), Some(0));
        assert_eq!(hush.tell("NOPERM", start + Duration::from_secs(1)), None);
        assert_eq!(hush.tell("OOM", start + Duration::from_secs(1)), Some(0));
        assert_eq!(hush.tell("NOPERM", start + Duration::from_secs(60)), Some(1));
    }
}
