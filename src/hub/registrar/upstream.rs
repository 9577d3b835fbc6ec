//! What the venues have been asked for.
//!
//! Must not know who wants it.

use std::collections::{BTreeMap, HashMap};

use crate::hub::prices::StreamId;
use crate::hub::registry::Instrument;
use crate::model::FeedSet;

/// Per symbol, and how many symbols each stream carries.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    asked: HashMap<Instrument, FeedSet>,
    symbols: BTreeMap<StreamId, usize>,
}

impl Upstream {
    pub fn get(&self, instrument: &Instrument) -> FeedSet {
        self.asked.get(instrument).copied().unwrap_or_default()
    }

    pub fn set(&mut self, instrument: &Instrument, stream: StreamId, feeds: FeedSet) {
        let before = if feeds.is_empty() { self.asked.remove(instrument) } else { self.asked.insert(instrument.clone(), feeds) };
        let symbols = self.symbols.entry(stream).or_default();
        match (before, feeds.is_empty()) {
            (None, false) => *symbols += 1,
            (Some(_), true) => *symbols -= 1,
            _ => {}
        }
    }

    /// How many symbols a stream carries.
    pub fn symbols_of(&self, stream: StreamId) -> usize {
        self.symbols.get(&stream).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Instrument, FeedSet)> {
        self.asked.iter().map(|(instrument, feeds)| (instrument, *feeds))
    }
}
