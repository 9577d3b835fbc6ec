//! Market facts into publications: sequence numbers, folding under pressure, last values. Pure.
//!
//! [`handle_price_update`] writes straight into the outgoing buffer while there is room. Without room it folds: one
//! pending trade and one pending quote a symbol, whatever the rate, until [`PriceBook::flush`] finds room again.
//! Must not know sockets, threads or how a venue spells anything.

mod allowance;
mod slot;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::allowance::Allowance;
use self::slot::Slot;
use super::registry::Interest;
use crate::contract::PriceMessage;
use crate::model::{Fact, Feed, MarketEvent, MarketKind, SymbolId, TimeText, Timestamp};

/// How often a symbol's last values are written at most.
pub const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);
/// Last values are written together, this far apart: each alone would wake us and Redis between two prices.
const SNAPSHOT_TURN: Duration = Duration::from_millis(25);
/// How many symbols' last values are written a second: eleven thousand symbols that all move must not make last values
/// a tenth of Redis's work.
const SNAPSHOTS_A_SECOND: u32 = 8_000;
/// Bars, statuses and corrections that wait for room; beyond it the oldest goes, counted.
const FACTS_MAX: usize = 8_192;

/// One of the market-data streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u8);

/// The outgoing buffer with the length that says "no more now".
#[derive(Debug)]
pub struct Outbox<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
    commands: usize,
}

impl<'a> Outbox<'a> {
    pub fn new(bytes: &'a mut Vec<u8>, limit: usize) -> Outbox<'a> {
        Outbox { bytes, limit, commands: 0 }
    }

    pub fn has_room(&self) -> bool {
        self.bytes.len() < self.limit
    }

    /// How many replies Redis will send for what was written.
    pub fn commands(&self) -> usize {
        self.commands
    }
}

/// What the book has done since it was last asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PriceCounts {
    /// Updates that somebody wanted.
    pub taken: u64,
    pub published: u64,
    /// Updates folded into newer ones.
    pub merged: u64,
    pub unwanted: u64,
    pub facts_dropped: u64,
    pub snapshots: u64,
}

/// Finds the public name of a symbol that came in by the wildcard.
pub type NameOf = Box<dyn Fn(SymbolId) -> Option<String> + Send>;

/// Every symbol's state. One thread owns it.
pub struct PriceBook {
    slots: Vec<Option<Slot>>,
    first_seq: u64,
    sim: bool,
    wildcard: Option<(Interest, NameOf)>,
    pending: VecDeque<SymbolId>,
    facts: VecDeque<QueuedFact>,
    /// Symbols whose last values are to be written, with the time from which they may: oldest first.
    unsaved: VecDeque<(Instant, SymbolId)>,
    allowance: Allowance,
    /// Before this no last values are written.
    next_turn: Option<Instant>,
    times: TimeText,
    scratch: Vec<u8>,
    counts: PriceCounts,
}

struct QueuedFact {
    symbol: SymbolId,
    at: Timestamp,
    fact: Box<Fact>,
}

impl PriceBook {
    /// `started` makes the first sequence numbers, so that they grow across restarts.
    pub fn new(started: Timestamp, sim: bool) -> PriceBook {
        PriceBook {
            slots: Vec::new(),
            first_seq: u64::try_from(started.micros()).unwrap_or(0),
            sim,
            wildcard: None,
            pending: VecDeque::new(),
            facts: VecDeque::new(),
            unsaved: VecDeque::new(),
            allowance: Allowance::new(SNAPSHOTS_A_SECOND),
            next_turn: None,
            times: TimeText::default(),
            scratch: Vec::with_capacity(512),
            counts: PriceCounts::default(),
        }
    }

    /// Publishes symbols that nobody named in these dialects.
    pub fn set_wildcard(&mut self, interest: Interest, name_of: NameOf) {
        self.wildcard = Some((interest, name_of));
    }

    /// Sets in which dialects a symbol's feeds are published, beside what the wildcard publishes; an empty interest
    /// ends it. The sequence numbers stay, so that they grow when the symbol comes back.
    pub fn set_interest(&mut self, now: Instant, id: SymbolId, name: &str, stream: StreamId, interest: Interest) {
        let at = id.0 as usize;
        self.make_place(at);
        let first_seq = self.first_seq;
        let interest = self.wildcard.as_ref().map_or(interest, |(everything, _)| interest.union(*everything));
        let slot = self.slots[at].get_or_insert_with(|| Slot::new(name, stream, interest, first_seq));
        slot.set_interest(interest);
        schedule(&mut self.unsaved, slot, id, now);
    }

    /// The stream is gone: until a symbol's next update, its last values are stale.
    pub fn stream_lost(&mut self, now: Instant, stream: StreamId) {
        for (slot, id) in self.slots.iter_mut().zip(0..) {
            if let Some(slot) = slot.as_mut().filter(|slot| slot.stream == stream && !slot.is_stale()) {
                slot.mark_stale();
                schedule(&mut self.unsaved, slot, SymbolId(id), now);
            }
        }
    }

    /// Reads a little of what the next events will need, so that the processor fetches all of it at once: eleven thousand
    /// symbols do not fit its near caches, and waiting for them one after the other would double what a message costs.
    pub fn warm(&self, events: &[MarketEvent]) {
        let slot = |event: &MarketEvent| self.slots.get(event.symbol.0 as usize).and_then(Option::as_ref);
        std::hint::black_box(events.iter().filter_map(slot).map(Slot::touch).fold(0, u8::wrapping_add));
    }

    /// Writes what waits, as far as there is room: facts, then folded values, then last values that are due.
    pub fn flush(&mut self, now: Instant, out: &mut Outbox<'_>) {
        while out.has_room() {
            let Some(queued) = self.facts.pop_front() else { break };
            self.publish_fact(now, queued.symbol, queued.at, queued.fact, out);
        }
        while out.has_room() {
            let Some(id) = self.pending.pop_front() else { break };
            self.publish_pending(now, id, out);
        }
        if self.next_turn.is_none_or(|turn| turn <= now) {
            self.save_what_is_due(now, out);
        }
    }

    fn save_what_is_due(&mut self, now: Instant, out: &mut Outbox<'_>) {
        while out.has_room()
            && let Some((due, id)) = self.unsaved.front().copied()
            && due <= now
            && self.allowance.take(now)
        {
            self.unsaved.pop_front();
            self.save(id, out);
            self.next_turn = (!self.allowance.is_lifted()).then_some(now + SNAPSHOT_TURN);
        }
    }

    /// Something waits that more room would let out.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty() || !self.facts.is_empty()
    }

    /// When the next last value is to be written.
    pub fn next_due(&self) -> Option<Instant> {
        let (due, _) = self.unsaved.front()?;
        let due = self.allowance.not_before(*due);
        Some(self.next_turn.map_or(due, |turn| turn.max(due)))
    }

    /// At the end everything unsaved is due.
    pub fn save_all_at(&mut self, now: Instant) {
        self.unsaved.iter_mut().for_each(|(due, _)| *due = now);
        self.allowance.lift();
        self.next_turn = None;
    }

    /// Redis may have lost every last value: write them again.
    pub fn save_again(&mut self, now: Instant) {
        for (slot, id) in self.slots.iter_mut().zip(0..) {
            if let Some(slot) = slot.as_mut() {
                slot.unsaved = slot.known();
                schedule(&mut self.unsaved, slot, SymbolId(id), now);
            }
        }
    }

    /// What happened since the last call.
    pub fn take_counts(&mut self) -> PriceCounts {
        std::mem::take(&mut self.counts)
    }

    /// Gives a symbol that only the wildcard brings its slot, if there is a wildcard.
    fn adopt(&mut self, id: SymbolId) {
        let Some((interest, name_of)) = &self.wildcard else { return };
        let Some(name) = name_of(id) else { return };
        let slot = Slot::new(&name, StreamId(0), *interest, self.first_seq);
        let at = id.0 as usize;
        self.make_place(at);
        self.slots[at] = Some(slot);
    }

    /// Makes all tables large enough for a symbol, so that nothing grows while messages come.
    fn make_place(&mut self, at: usize) {
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
            let more = |queue: usize| (at + 1).saturating_sub(queue);
            self.pending.reserve(more(self.pending.len()));
            self.unsaved.reserve(more(self.unsaved.len()));
        }
    }

    fn publish_pending(&mut self, now: Instant, id: SymbolId, out: &mut Outbox<'_>) {
        let Some(slot) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        slot.queued = false;
        self.counts.published += slot.publish_pending(self.sim, &mut self.times, out);
        schedule(&mut self.unsaved, slot, id, now);
    }

    fn publish_fact(&mut self, now: Instant, id: SymbolId, at: Timestamp, fact: Box<Fact>, out: &mut Outbox<'_>) {
        let Some(slot) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        slot.publish_fact(fact, at, self.sim, &mut self.times, out);
        self.counts.published += 1;
        schedule(&mut self.unsaved, slot, id, now);
    }

    fn save(&mut self, id: SymbolId, out: &mut Outbox<'_>) {
        let Some(slot) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        slot.scheduled = false;
        self.counts.snapshots += u64::from(slot.save(&mut self.scratch, &mut self.times, out));
    }
}

/// Takes one market fact: published at once where there is room, folded or queued where there is none.
pub fn handle_price_update(book: &mut PriceBook, now: Instant, event: MarketEvent, out: &mut Outbox<'_>) {
    let MarketEvent { symbol: id, at, kind } = event;
    let feed = match &kind {
        MarketKind::Trade(_) => Feed::Price,
        MarketKind::Quote(_) => Feed::Quote,
        MarketKind::Fact(fact) => PriceMessage::Fact(fact).kind().feed(),
    };
    let index = id.0 as usize;
    if book.slots.get(index).is_none_or(Option::is_none) {
        book.adopt(id);
    }
    let Some(slot) = book.slots.get_mut(index).and_then(Option::as_mut).filter(|slot| slot.wants(feed)) else {
        book.counts.unwanted += 1;
        return;
    };
    book.counts.taken += 1;
    slot.freshen();
    // What waits must go first, or a symbol's updates would change their order.
    let room = out.has_room();
    match kind {
        MarketKind::Trade(trade) if room && !slot.has_pending_trade() => {
            slot.publish_trade(trade, at, 0, book.sim, &mut book.times, out);
            book.counts.published += 1;
            schedule(&mut book.unsaved, slot, id, now);
        }
        MarketKind::Quote(quote) if room && !slot.has_pending_quote() => {
            slot.publish_quote(quote, at, 0, book.sim, &mut book.times, out);
            book.counts.published += 1;
            schedule(&mut book.unsaved, slot, id, now);
        }
        MarketKind::Trade(trade) => {
            book.counts.merged += slot.fold_trade(trade, at);
            enqueue(&mut book.pending, slot, id);
        }
        MarketKind::Quote(quote) => {
            book.counts.merged += slot.fold_quote(quote, at);
            enqueue(&mut book.pending, slot, id);
        }
        MarketKind::Fact(fact) if room && book.facts.is_empty() => book.publish_fact(now, id, at, fact, out),
        MarketKind::Fact(fact) => {
            if book.facts.len() >= FACTS_MAX {
                book.facts.pop_front();
                book.counts.facts_dropped += 1;
            }
            book.facts.push_back(QueuedFact { symbol: id, at, fact });
        }
    }
}

fn enqueue(pending: &mut VecDeque<SymbolId>, slot: &mut Slot, id: SymbolId) {
    if !slot.queued {
        slot.queued = true;
        pending.push_back(id);
    }
}

fn schedule(unsaved: &mut VecDeque<(Instant, SymbolId)>, slot: &mut Slot, id: SymbolId, now: Instant) {
    if !slot.scheduled && slot.unsaved != 0 {
        slot.scheduled = true;
        unsaved.push_back((now + SNAPSHOT_EVERY, id));
    }
}

impl std::fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PriceBook").field("slots", &self.slots.len()).field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
