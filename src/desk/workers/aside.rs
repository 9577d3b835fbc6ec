//! Commands for an account of which nobody knows yet which it is: they wait here, so that nobody waits behind them.
//!
//! What was read before waits for its seat however long that takes, for an earlier life may have carried it out; at the stop
//! it stays in Redis. Must not know why a command waits.

use std::time::{Duration, Instant};

use crate::redis::Entry;

/// So many new ones may wait.
pub(super) const ROOM: usize = 2_048;
/// How soon it is looked again whether they still have to.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Aside {
    entries: Vec<Entry>,
    looked: Option<Instant>,
    /// Seats that were there.
    come: usize,
}

impl Aside {
    pub fn has_room(&self) -> bool {
        self.entries.len() < ROOM
    }

    pub fn put(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// All that wait, once more seats are there: they go before whatever came after them.
    pub fn let_go(&mut self, come: usize) -> Vec<Entry> {
        if std::mem::replace(&mut self.come, come) == come { Vec::new() } else { std::mem::take(&mut self.entries) }
    }

    /// All that wait, when it is time to look again.
    pub fn due(&mut self, now: Instant) -> Vec<Entry> {
        if self.entries.is_empty() || self.looked.is_some_and(|at| now.saturating_duration_since(at) < LOOK_AGAIN) {
            return Vec::new();
        }
        self.looked = Some(now);
        std::mem::take(&mut self.entries)
    }

    /// How long nobody has to look.
    pub fn patience(&self) -> Duration {
        if self.entries.is_empty() { Duration::from_secs(1) } else { LOOK_AGAIN }
    }
}
