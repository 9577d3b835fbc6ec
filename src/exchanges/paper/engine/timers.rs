//! What is on its way and when it arrives.
//!
//! Must not know what becomes of it then.

use std::collections::BTreeMap;

use super::store::Seq;
use crate::model::Timestamp;

/// Something that arrives later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Enter(Seq),
    Cancel(Seq),
    Replace {
        old: Seq,
        new: Seq,
    },
    /// An order that waited for a session starts its way.
    Release(Seq),
    /// An exit whose entry is filled stands in the market.
    Wake(Seq),
}

/// By time, and in the order of their making at one time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<(Timestamp, u64), Due>,
    made: u64,
}

impl Timers {
    pub fn set(&mut self, at: Timestamp, due: Due) {
        self.made += 1;
        self.due.insert((at, self.made), due);
    }

    pub fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        let at = entry.key().0;
        Some((at, entry.remove()))
    }
}
