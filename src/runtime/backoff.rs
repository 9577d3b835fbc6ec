//! Delays between attempts: capped, growing, jittered, and reset only after real health.
//!
//! Pure: it neither sleeps nor reads a clock.

use std::time::{Duration, Instant};

/// Never two attempts closer than this, whatever the jitter says.
const FLOOR: Duration = Duration::from_millis(200);

/// One attempt sequence. The first delay is `first`, each next one `growth` times longer up to `cap`; the delay drawn
/// lies between half of that and all of it.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    growth: f64,
    healthy_after: Duration,
    next: Duration,
    healthy_since: Option<Instant>,
    jitter: fastrand::Rng,
}

impl Backoff {
    pub fn new(first: Duration, cap: Duration, growth: f64, healthy_after: Duration, seed: u64) -> Backoff {
        Backoff { first, cap, growth, healthy_after, next: first, healthy_since: None, jitter: fastrand::Rng::with_seed(seed) }
    }

    /// The attempt succeeded; health counts from here.
    pub fn succeeded(&mut self, now: Instant) {
        self.healthy_since.get_or_insert(now);
    }

    /// The attempt or the connection failed: how long to wait before the next one.
    pub fn failed(&mut self, now: Instant) -> Duration {
        let health = self.healthy_since.take().map(|since| now.saturating_duration_since(since));
        if health.is_some_and(|lasted| lasted >= self.healthy_after) {
            self.next = self.first;
        }
        let base = self.next;
        self.next = base.mul_f64(self.growth).min(self.cap);
        base.mul_f64(0.5 + 0.5 * self.jitter.f64()).max(FLOOR)
    }

    /// As [`Backoff::failed`], with a sequence of its own that starts at `first` and ends at `cap`.
    pub fn failed_patiently(&mut self, now: Instant, first: Duration, cap: Duration) -> Duration {
        self.next = self.next.max(first);
        let cap_before = std::mem::replace(&mut self.cap, cap);
        let delay = self.failed(now).max(first.mul_f64(0.5));
        self.cap = cap_before;
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Backoff {
        Backoff::new(Duration::from_millis(250), Duration::from_secs(30), 2.0, Duration::from_secs(60), 7)
    }

    #[test]
    fn grows_to_its_cap_and_never_below_the_floor() {
        let (mut backoff, now) = (quick(), Instant::now());
        let delays: Vec<Duration> = (0..20).map(|_| backoff.failed(now)).collect();
        assert!(delays.iter().all(|d| (FLOOR..=Duration::from_secs(30)).contains(d)), "{delays:?}");
        assert!(delays[19] >= Duration::from_secs(15));
    }

    #[test]
    fn resets_after_health_and_not_after_a_short_success() {
        let (mut backoff, now) = (quick(), Instant::now());
        for _ in 0..20 {
            backoff.failed(now);
        }
        backoff.succeeded(now);
        assert!(backoff.failed(now + Duration::from_secs(1)) >= Duration::from_secs(15));
        backoff.succeeded(now);
        assert!(backoff.failed(now + Duration::from_secs(61)) <= Duration::from_millis(250));
    }

    #[test]
    fn ten_minutes_of_outage_see_at_most_25_attempts() {
        let (mut backoff, now) = (quick(), Instant::now());
        let mut spent = Duration::ZERO;
        let mut attempts = 0;
        while spent < Duration::from_secs(600) {
            spent += backoff.failed(now);
            attempts += 1;
        }
        assert!(attempts <= 40, "{attempts} attempts in ten minutes");
    }
}
