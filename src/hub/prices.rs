//! Market facts into publications: sequence numbers, folding under pressure, last values. Pure.
//!
//! [`handle_price_update`] writes straight into the outgoing buffer while there is room. Without room it folds: one
//! pending trade and one pending quote a symbol, whatever the rate, until [`PriceBook::flush`] finds room again.
//! Must not know sockets, threads or how a venue spells anything.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use super::registry::Interest;
use crate::contract::channel::{last_key, typed_channel};
use crate::contract::{MessageType, PriceMessage, Stamp, get_ticker_channel, write_snapshot, write_ticker, write_typed};
use crate::model::{Amount, Digits, Fact, MarketEvent, MarketKind, Quote, SymbolId, Timestamp, Trade};
use crate::redis::resp;

/// How often a symbol's last values are written at most.
pub const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);
/// Bars, statuses and corrections that wait for room; beyond it the oldest goes, counted.
const FACTS_MAX: usize = 8_192;
const KINDS: usize = MessageType::MARKET.len();

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
    slots: Vec<Option<Box<Slot>>>,
    first_seq: u64,
    sim: bool,
    wildcard: Option<(Interest, NameOf)>,
    pending: VecDeque<SymbolId>,
    facts: VecDeque<QueuedFact>,
    /// Symbols whose last values are to be written, with the time from which they may: oldest first.
    unsaved: VecDeque<(Instant, SymbolId)>,
    scratch: Vec<u8>,
    counts: PriceCounts,
}

struct QueuedFact {
    symbol: SymbolId,
    at: Timestamp,
    fact: Box<Fact>,
}

struct Slot {
    name: String,
    stream: StreamId,
    interest: Interest,
    ticker_head: Box<[u8]>,
    typed_heads: [Option<Box<[u8]>>; KINDS],
    next_seq: [u64; KINDS],
    trade: Option<PendingTrade>,
    quote: Option<Pending<Quote>>,
    /// In the queue of pending symbols.
    queued: bool,
    last_trade: Option<(Trade, Stamp)>,
    last_quote: Option<(Quote, Stamp)>,
    last_facts: Vec<(Box<Fact>, Stamp)>,
    /// Kinds whose last value is newer than what Redis has, as bits.
    unsaved: u8,
    /// In the queue of unsaved symbols.
    scheduled: bool,
    stale: bool,
}

struct Pending<T> {
    value: T,
    at: Timestamp,
    merged: u64,
}

struct PendingTrade {
    newest: Pending<Trade>,
    /// All folded volumes; `None` while nothing was folded.
    volume: Option<Decimal>,
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
            scratch: Vec::with_capacity(512),
            counts: PriceCounts::default(),
        }
    }

    /// Publishes symbols that nobody named in these dialects.
    pub fn set_wildcard(&mut self, interest: Interest, name_of: NameOf) {
        self.wildcard = Some((interest, name_of));
    }

    /// Sets in which dialects a symbol's feeds are published, beside what the wildcard publishes; an empty interest ends it. The sequence numbers stay, so
    /// that they grow when the symbol comes back.
    pub fn set_interest(&mut self, now: Instant, id: SymbolId, name: &str, stream: StreamId, interest: Interest) {
        let at = id.0 as usize;
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, || None);
        }
        let first_seq = self.first_seq;
        let interest = self.wildcard.as_ref().map_or(interest, |(everything, _)| interest.union(*everything));
        let slot = self.slots[at].get_or_insert_with(|| Box::new(Slot::new(name.to_owned(), stream, first_seq)));
        slot.interest = interest;
        slot.typed_heads = Default::default();
        if interest.feeds().is_empty() {
            slot.trade = None;
            slot.quote = None;
            slot.mark_stale();
            schedule(&mut self.unsaved, slot, id, now);
        }
    }

    /// The stream is gone: until a symbol's next update, its last values are stale.
    pub fn stream_lost(&mut self, now: Instant, stream: StreamId) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if let Some(slot) = slot.as_deref_mut().filter(|slot| slot.stream == stream && !slot.stale) {
                slot.mark_stale();
                schedule(&mut self.unsaved, slot, SymbolId(u32::try_from(at).unwrap_or(u32::MAX)), now);
            }
        }
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
        while out.has_room() && self.unsaved.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, id)) = self.unsaved.pop_front() else { break };
            self.save(id, out);
        }
    }

    /// Something waits that more room would let out.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty() || !self.facts.is_empty()
    }

    /// When the next last value is to be written.
    pub fn next_due(&self) -> Option<Instant> {
        self.unsaved.front().map(|(due, _)| *due)
    }

    /// At the end everything unsaved is due.
    pub fn save_all_at(&mut self, now: Instant) {
        self.unsaved.iter_mut().for_each(|(due, _)| *due = now);
    }

    /// Redis may have lost every last value: write them again.
    pub fn save_again(&mut self, now: Instant) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if let Some(slot) = slot.as_deref_mut() {
                slot.unsaved = slot.known();
                schedule(&mut self.unsaved, slot, SymbolId(u32::try_from(at).unwrap_or(u32::MAX)), now);
            }
        }
    }

    /// What happened since the last call.
    pub fn take_counts(&mut self) -> PriceCounts {
        std::mem::take(&mut self.counts)
    }

    fn slot_for(&mut self, id: SymbolId, kind: MessageType) -> Option<&mut Slot> {
        let at = id.0 as usize;
        if self.slots.get(at).is_none_or(Option::is_none) {
            let (interest, name_of) = self.wildcard.as_ref()?;
            let mut slot = Slot::new(name_of(id)?, StreamId(0), self.first_seq);
            slot.interest = *interest;
            if self.slots.len() <= at {
                self.slots.resize_with(at + 1, || None);
            }
            self.slots[at] = Some(Box::new(slot));
        }
        self.slots.get_mut(at)?.as_deref_mut().filter(|slot| slot.interest.feeds().contains(kind.feed()))
    }

    fn publish_pending(&mut self, now: Instant, id: SymbolId, out: &mut Outbox<'_>) {
        let Some(slot) = self.slots.get_mut(id.0 as usize).and_then(Option::as_deref_mut) else { return };
        slot.queued = false;
        if let Some(PendingTrade { newest, volume }) = slot.trade.take() {
            let size = volume.and_then(Digits::from_decimal).and_then(|digits| Amount::new(digits).ok()).unwrap_or(newest.value.size);
            let trade = Trade { size, ..newest.value };
            let stamp = slot.stamp(MessageType::Price, newest.at, newest.merged, self.sim);
            self.counts.published += 1;
            slot.publish(PriceMessage::Trade(&trade), &stamp, &mut self.scratch, out);
            slot.last_trade = Some((trade, stamp));
        }
        if let Some(pending) = slot.quote.take() {
            let stamp = slot.stamp(MessageType::Quote, pending.at, pending.merged, self.sim);
            self.counts.published += 1;
            slot.publish(PriceMessage::Quote(&pending.value), &stamp, &mut self.scratch, out);
            slot.last_quote = Some((pending.value, stamp));
        }
        schedule(&mut self.unsaved, slot, id, now);
    }

    fn publish_fact(&mut self, now: Instant, id: SymbolId, at: Timestamp, fact: Box<Fact>, out: &mut Outbox<'_>) {
        let kind = PriceMessage::Fact(&fact).kind();
        let Some(slot) = self.slots.get_mut(id.0 as usize).and_then(Option::as_deref_mut) else { return };
        let stamp = slot.stamp(kind, at, 0, self.sim);
        self.counts.published += 1;
        slot.publish(PriceMessage::Fact(&fact), &stamp, &mut self.scratch, out);
        match slot.last_facts.iter_mut().find(|(held, _)| PriceMessage::Fact(held).kind() == kind) {
            Some(held) => *held = (fact, stamp),
            None => slot.last_facts.push((fact, stamp)),
        }
        schedule(&mut self.unsaved, slot, id, now);
    }

    /// One `HSET` with every kind whose last value Redis does not have yet.
    fn save(&mut self, id: SymbolId, out: &mut Outbox<'_>) {
        let Some(slot) = self.slots.get_mut(id.0 as usize).and_then(Option::as_deref_mut) else { return };
        slot.scheduled = false;
        let unsaved = std::mem::take(&mut slot.unsaved);
        let trade = slot.last_trade.as_ref().map(|(trade, stamp)| (PriceMessage::Trade(trade), stamp));
        let quote = slot.last_quote.as_ref().map(|(quote, stamp)| (PriceMessage::Quote(quote), stamp));
        let facts = slot.last_facts.iter().map(|(fact, stamp)| (PriceMessage::Fact(fact), stamp));
        let all = trade.into_iter().chain(quote).chain(facts);
        let wanted = |message: &PriceMessage<'_>| unsaved & bit(message.kind()) != 0;
        let count = all.clone().filter(|(message, _)| wanted(message)).count();
        if count == 0 {
            return;
        }
        resp::header(out.bytes, b'*', 2 + 2 * count);
        resp::bulk(out.bytes, b"HSET");
        resp::bulk(out.bytes, last_key(&slot.name).as_bytes());
        for (message, stamp) in all.filter(|(message, _)| wanted(message)) {
            self.scratch.clear();
            write_snapshot(&mut self.scratch, &slot.name, message, stamp, slot.stale);
            resp::bulk(out.bytes, message.kind().as_str().as_bytes());
            resp::bulk(out.bytes, &self.scratch);
        }
        out.commands += 1;
        self.counts.snapshots += 1;
    }
}

/// Takes one market fact: published at once where there is room, folded or queued where there is none.
pub fn handle_price_update(book: &mut PriceBook, now: Instant, event: MarketEvent, out: &mut Outbox<'_>) {
    let MarketEvent { symbol: id, at, kind } = event;
    let message_type = match &kind {
        MarketKind::Trade(_) => MessageType::Price,
        MarketKind::Quote(_) => MessageType::Quote,
        MarketKind::Fact(fact) => PriceMessage::Fact(fact).kind(),
    };
    if book.slot_for(id, message_type).is_none() {
        book.counts.unwanted += 1;
        return;
    }
    book.counts.taken += 1;
    let sim = book.sim;
    // What waits must go first, or a symbol's updates would change their order.
    let room = out.has_room();
    let Some(slot) = book.slots.get_mut(id.0 as usize).and_then(Option::as_deref_mut) else { return };
    slot.freshen();
    match kind {
        MarketKind::Trade(trade) if room && slot.trade.is_none() => {
            let stamp = slot.stamp(MessageType::Price, at, 0, sim);
            book.counts.published += 1;
            slot.publish(PriceMessage::Trade(&trade), &stamp, &mut book.scratch, out);
            slot.last_trade = Some((trade, stamp));
            schedule(&mut book.unsaved, slot, id, now);
        }
        MarketKind::Quote(quote) if room && slot.quote.is_none() => {
            let stamp = slot.stamp(MessageType::Quote, at, 0, sim);
            book.counts.published += 1;
            slot.publish(PriceMessage::Quote(&quote), &stamp, &mut book.scratch, out);
            slot.last_quote = Some((quote, stamp));
            schedule(&mut book.unsaved, slot, id, now);
        }
        MarketKind::Trade(trade) => {
            book.counts.merged += slot.fold_trade(trade, at);
            enqueue(&mut book.pending, slot, id);
        }
        MarketKind::Quote(quote) => {
            let merged = slot.quote.as_ref().map_or(0, |older| older.merged + 1);
            book.counts.merged += u64::from(merged > 0);
            slot.quote = Some(Pending { value: quote, at, merged });
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

const fn bit(kind: MessageType) -> u8 {
    1 << kind as u8
}

/// The RESP head of `PUBLISH channel`: all but the payload.
fn publish_head(channel: &str) -> Box<[u8]> {
    let mut head = Vec::new();
    resp::header(&mut head, b'*', 3);
    resp::bulk(&mut head, b"PUBLISH");
    resp::bulk(&mut head, channel.as_bytes());
    head.into_boxed_slice()
}

impl Slot {
    fn new(name: String, stream: StreamId, first_seq: u64) -> Slot {
        Slot {
            ticker_head: publish_head(&get_ticker_channel(&name)),
            typed_heads: Default::default(),
            name,
            stream,
            interest: Interest::default(),
            next_seq: [first_seq; KINDS],
            trade: None,
            quote: None,
            queued: false,
            last_trade: None,
            last_quote: None,
            last_facts: Vec::new(),
            unsaved: 0,
            scheduled: false,
            stale: false,
        }
    }

    fn stamp(&mut self, kind: MessageType, at: Timestamp, merged: u64, sim: bool) -> Stamp {
        let seq = self.next_seq[kind as usize];
        self.next_seq[kind as usize] = seq + 1;
        self.unsaved |= bit(kind);
        Stamp { at, seq, merged, sim }
    }

    fn publish(&mut self, message: PriceMessage<'_>, stamp: &Stamp, scratch: &mut Vec<u8>, out: &mut Outbox<'_>) {
        let kind = message.kind();
        if self.interest.ticker.contains(kind.feed()) {
            scratch.clear();
            write_ticker(scratch, &self.name, message, stamp);
            out.bytes.extend_from_slice(&self.ticker_head);
            resp::bulk(out.bytes, scratch);
            out.commands += 1;
        }
        if self.interest.typed.contains(kind.feed()) {
            scratch.clear();
            write_typed(scratch, &self.name, message, stamp);
            let head = self.typed_heads[kind as usize].get_or_insert_with(|| publish_head(&typed_channel(kind, &self.name)));
            out.bytes.extend_from_slice(head);
            resp::bulk(out.bytes, scratch);
            out.commands += 1;
        }
    }

    /// Keeps the newest price and the sum of the volumes; says how many updates that took away.
    fn fold_trade(&mut self, trade: Trade, at: Timestamp) -> u64 {
        let Some(older) = self.trade.take() else {
            self.trade = Some(PendingTrade { newest: Pending { value: trade, at, merged: 0 }, volume: None });
            return 0;
        };
        let so_far = older.volume.or_else(|| older.newest.value.size.to_decimal());
        let volume = so_far.zip(trade.size.to_decimal()).and_then(|(sum, more)| sum.checked_add(more));
        self.trade = Some(PendingTrade { newest: Pending { value: trade, at, merged: older.newest.merged + 1 }, volume });
        1
    }

    fn mark_stale(&mut self) {
        self.stale = true;
        self.unsaved = self.known();
    }

    fn freshen(&mut self) {
        if self.stale {
            self.stale = false;
            self.unsaved = self.known();
        }
    }

    fn known(&self) -> u8 {
        let facts = self.last_facts.iter().map(|(fact, _)| bit(PriceMessage::Fact(fact).kind()));
        let trade = self.last_trade.map(|_| bit(MessageType::Price));
        let quote = self.last_quote.map(|_| bit(MessageType::Quote));
        facts.chain(trade).chain(quote).fold(0, |all, one| all | one)
    }
}

impl std::fmt::Debug for PriceBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PriceBook").field("slots", &self.slots.len()).field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "prices_tests.rs"]
mod tests;
