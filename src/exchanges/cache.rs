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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_good_for_its_lifetime() {
        let start = Instant::now();
        let mut cache = Cached::new(Duration::from_secs(5));
        assert_eq!(cache.get(start), None);
        cache.put(1, start);
        assert_eq!((cache.get(start + Duration::from_secs(4)), cache.get(start + Duration::from_secs(5))), (Some(1), None));
        cache.put(3, start + Duration::from_secs(5));
        assert_eq!(cache.get(start + Duration::from_secs(9)), Some(3));
    }
}
