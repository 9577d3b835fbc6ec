//! What everybody may ask about the lease, from any thread.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::claim::Holder;

/// Whether this process is the one broker of its Redis.
pub struct LeaseState {
    base: Instant,
    /// Held until so many nanoseconds after `base`; 0 when it is not.
    until: AtomicU64,
    token: AtomicU64,
    /// Nobody had it when we looked last, and Redis refused to let us write it, as it would anybody.
    nobodys: AtomicBool,
    /// What the last change told others.
    told_held: AtomicBool,
    another: OnceLock<Holder>,
    on_change: Box<dyn Fn() + Send + Sync>,
}

impl LeaseState {
    /// `on_change` is called by the thread of the lease, and must not wait.
    pub fn new(on_change: impl Fn() + Send + Sync + 'static) -> LeaseState {
        LeaseState {
            base: Instant::now(),
            until: AtomicU64::new(0),
            token: AtomicU64::new(0),
            nobodys: AtomicBool::new(false),
            told_held: AtomicBool::new(false),
            another: OnceLock::new(),
            on_change: Box::new(on_change),
        }
    }

    /// False as soon as another broker may hold it, by our own clock: whether Redis answers makes no difference.
    pub fn is_held(&self) -> bool {
        self.is_held_at(Instant::now())
    }

    fn is_held_at(&self, now: Instant) -> bool {
        self.until.load(Ordering::Acquire) > self.at(now)
    }

    /// Whether bots may be served what another broker can give them as well, such as prices: held, or nobody's because Redis
    /// takes no writes. That is too little to send an order on, and no reason to leave bots without prices.
    pub fn may_serve(&self, now: Instant) -> bool {
        self.is_held_at(now) || self.nobodys.load(Ordering::Acquire)
    }

    /// Greater than that of every holder before us; 0 before the lease was ever ours.
    pub fn token(&self) -> u64 {
        self.token.load(Ordering::Acquire)
    }

    /// Who else holds it, in words, once that is certain: this process has to end.
    pub fn refused(&self) -> Option<String> {
        self.another.get().map(ToString::to_string)
    }

    pub(super) fn hold(&self, until: Instant, token: u64) {
        let renewed = self.token.swap(token, Ordering::AcqRel) == token;
        self.until.store(self.at(until), Ordering::Release);
        self.nobodys.store(false, Ordering::Release);
        if self.tell().is_none() && !renewed {
            (self.on_change)();
        }
    }

    pub(super) fn give_up(&self) {
        self.until.store(0, Ordering::Release);
        self.nobodys.store(false, Ordering::Release);
        self.tell();
    }

    /// Whether it is nobody's, as far as Redis has just told.
    pub(super) fn set_nobodys(&self, nobodys: bool) {
        if self.nobodys.swap(nobodys, Ordering::AcqRel) != nobodys {
            (self.on_change)();
        }
    }

    pub(super) fn refuse(&self, holder: Holder) {
        self.until.store(0, Ordering::Release);
        self.nobodys.store(false, Ordering::Release);
        let _ = self.another.set(holder);
        self.told_held.store(false, Ordering::Release);
        (self.on_change)();
    }

    /// Tells the others if it is held and was not, or the other way round; says which way.
    pub(super) fn tell(&self) -> Option<bool> {
        let held = self.is_held();
        if self.told_held.swap(held, Ordering::AcqRel) == held {
            return None;
        }
        (self.on_change)();
        Some(held)
    }

    fn at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for LeaseState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseState").field("held", &self.is_held()).field("token", &self.token()).field("another", &self.another).finish_non_exhaustive()
    }
}
