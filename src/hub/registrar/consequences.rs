//! What a registration entails: for Redis, for the price handler, for the venue.
//!
//! Must not know why.

use std::collections::BTreeMap;

use crate::exchanges::SymbolWant;
use crate::hub::prices::StreamId;
use crate::hub::registry::{Interest, LeaseEnd, Registry};
use crate::model::{FeedSet, SymbolId};

/// What the registrar wants done.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Fields of the durable hash.
    pub stored: Vec<(String, LeaseEnd)>,
    pub removed: Vec<String>,
    /// Channel and message.
    pub replies: Vec<(String, String)>,
    /// What the price handler must know before anything is subscribed.
    pub interests: Vec<InterestChange>,
    /// What the venue must be asked for, by stream.
    pub wants: BTreeMap<StreamId, Vec<SymbolWant>>,
    /// What kinds of requests these make.
    pub requests: BTreeMap<StreamId, Requests>,
    /// Ask Redis now whether anybody listens to what was given up.
    pub ask_listeners: bool,
}

/// What a venue will be asked for: it takes a request to subscribe and another to unsubscribe.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    adds: bool,
    drops: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterestChange {
    pub id: SymbolId,
    pub name: String,
    pub stream: StreamId,
    pub interest: Interest,
}

impl Requests {
    pub(super) fn note(&mut self, before: FeedSet, after: FeedSet) {
        self.adds |= after.iter().any(|feed| !before.contains(feed));
        self.drops |= before.iter().any(|feed| !after.contains(feed));
    }

    pub fn join(&mut self, other: Requests) {
        self.adds |= other.adds;
        self.drops |= other.drops;
    }

    pub fn count(self) -> u32 {
        u32::from(self.adds) + u32::from(self.drops)
    }
}

impl Consequences {
    /// The change of one durable field is decided by what came last.
    pub fn settle(&mut self, registry: &Registry) {
        if self.stored.is_empty() || self.removed.is_empty() {
            return;
        }
        self.stored.retain(|(field, _)| registry.stores(field));
        self.removed.retain(|field| !registry.stores(field));
    }
}
