//! Which thread showed signs of life, and when.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// All threads that must not fall silent.
#[derive(Clone)]
pub struct Heartbeats {
    start: Instant,
    watched: Arc<Mutex<Vec<Watched>>>,
}

struct Watched {
    name: Arc<str>,
    last: Weak<AtomicU64>,
}

/// One thread's own pulse; it is watched until this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    start: Instant,
    last: Arc<AtomicU64>,
}

impl Heartbeats {
    pub fn new() -> Heartbeats {
        Heartbeats { start: Instant::now(), watched: Arc::default() }
    }

    /// Watches a thread from now on.
    pub fn register(&self, name: &str) -> Heartbeat {
        let heartbeat = Heartbeat { start: self.start, last: Arc::default() };
        heartbeat.beat();
        self.watched.lock().push(Watched { name: name.into(), last: Arc::downgrade(&heartbeat.last) });
        heartbeat
    }

    /// The thread that has been silent longest, and for how long.
    pub fn oldest(&self, now: Instant) -> Option<(Arc<str>, Duration)> {
        let now = now.saturating_duration_since(self.start);
        let mut watched = self.watched.lock();
        watched.retain(|thread| thread.last.strong_count() > 0);
        let silent = |thread: &Watched| {
            let last = Duration::from_millis(thread.last.upgrade()?.load(Ordering::Relaxed));
            Some((Arc::clone(&thread.name), now.saturating_sub(last)))
        };
        watched.iter().filter_map(silent).max_by_key(|(_, silence)| *silence)
    }
}

impl Default for Heartbeats {
    fn default() -> Heartbeats {
        Heartbeats::new()
    }
}

impl fmt::Debug for Heartbeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeats").field("oldest", &self.oldest(Instant::now())).finish()
    }
}

impl Heartbeat {
    /// "I live": one clock reading and one store.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// The same for somebody who knows what time it is.
    pub fn beat_at(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.start).as_millis();
        self.last.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_silent_thread_is_named_until_it_ends() {
        let all = Heartbeats::new();
        assert_eq!(all.oldest(Instant::now()), None);
        let (prices, orders) = (all.register("prices"), all.register("orders"));
        prices.last.store(0, Ordering::Relaxed);
        orders.last.store(3_000, Ordering::Relaxed);
        let at = |seconds| all.start + Duration::from_secs(seconds);
        assert_eq!(all.oldest(at(4)), Some(("prices".into(), Duration::from_secs(4))));
        drop(prices);
        assert_eq!(all.oldest(at(4)), Some(("orders".into(), Duration::from_secs(1))));
        orders.beat();
        assert!(all.oldest(Instant::now()).unwrap().1 < Duration::from_secs(3));
    }
}
