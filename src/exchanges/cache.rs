//! A value that is good for a while: contracts, the account.
//!
//! Must not read the clock or know how the value is fetched.

use std::time::{Duration, Instant};

/// The last value and when it ends to be good.
#[derive(Debug, Clone)]
pub struct Cached<T> {
    lifetime: Duration,
    kept: Option<(T, Instant)>,
}

impl<T: Clone> Cached<T> {
    pub fn new(lifetime: Duration) -> Cached<T> {
        Cached { lifetime, kept: None }
    }

    /// The value, while it is good.
    pub fn get(&self, now: Instant) -> Option<T> {
        self.kept.as_ref().filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    pub fn put(&mut self, value: T, now: Instant) {
        self.kept = Some((value, now + self.lifetime));
    }

    pub fn forget(&mut self) {
        self.kept = None;
    }

    /// The value if it is good, else what `fetch` brings, which is kept.
    pub fn get_or_try<E>(&mut self, now: Instant, fetch: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some(value) = self.get(now) {
            return Ok(value);
        }
        let value = fetch()?;
        self.put(value.clone(), now);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_fetched_once_a_lifetime_and_an_error_is_not_kept() {
        let start = Instant::now();
        let mut cache = Cached::new(Duration::from_secs(5));
        assert_eq!(cache.get_or_try(start, || Err::<u32, _>("down")), Err("down"));
        assert_eq!(cache.get_or_try(start, || Ok::<_, &str>(1)), Ok(1));
        assert_eq!(cache.get_or_try(start + Duration::from_secs(4), || Ok::<_, &str>(2)), Ok(1));
        assert_eq!(cache.get_or_try(start + Duration::from_secs(5), || Ok::<_, &str>(3)), Ok(3));
        cache.forget();
        assert_eq!(cache.get(start + Duration::from_secs(5)), None);
    }
}
