//! One symbol's state in the price book: what it is published as, what waits of it, what was last.
//!
//! Must not know other symbols or the order in which they are served.

use rust_decimal::Decimal;

use super::{Outbox, StreamId};
use crate::contract::channel::{LAST_PREFIX, typed_channel};
use crate::contract::{MessageType, PriceMessage, Stamp, get_ticker_channel, ticker_start, typed_start, write_snapshot, write_ticker_rest, write_typed_rest};
use crate::hub::registry::Interest;
use crate::model::{Amount, Digits, Fact, Feed, Quote, TimeText, Timestamp, Trade};
use crate::redis::resp::{self, PublishHead};

const KINDS: usize = MessageType::MARKET.len();

pub(super) struct Slot {
    pub stream: StreamId,
    pub interest: Interest,
    /// In the queue of symbols with folded values.
    pub queued: bool,
    /// In the queue of unsaved symbols.
    pub scheduled: bool,
    stale: bool,
    /// Kinds whose last value is newer than what Redis has, as bits.
    pub unsaved: u8,
    next_seq: [u64; KINDS],
    ticker_heads: Heads,
    typed_heads: Heads,
    last_trade: Option<(Trade, Stamp)>,
    last_quote: Option<(Quote, Stamp)>,
    last_facts: Vec<(Box<Fact>, Stamp)>,
    pending: Option<Box<Waiting>>,
    name: Box<str>,
}

/// One dialect's prepared commands. Few symbols are published in both dialects, and hardly any in kinds other than
/// these two.
#[derive(Default)]
struct Heads {
    price: Option<PublishHead>,
    quote: Option<PublishHead>,
}

/// The folded values of a symbol under pressure; kept for the next time, since pressure comes in waves.
#[derive(Default)]
struct Waiting {
    trade: Option<PendingTrade>,
    quote: Option<Pending<Quote>>,
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

impl Slot {
    pub fn new(name: &str, stream: StreamId, interest: Interest, first_seq: u64) -> Slot {
        Slot {
            stream,
            interest,
            queued: false,
            scheduled: false,
            stale: false,
            unsaved: 0,
            next_seq: [first_seq; KINDS],
            ticker_heads: Heads::default(),
            typed_heads: Heads::default(),
            last_trade: None,
            last_quote: None,
            last_facts: Vec::new(),
            pending: None,
            name: name.into(),
        }
    }

    /// One byte of each part that a trade needs.
    pub fn touch(&self) -> u8 {
        let head = self.ticker_heads.price.as_ref().or(self.typed_heads.price.as_ref()).map_or(0, PublishHead::touch);
        let last = self.last_trade.as_ref().map_or(0, |(_, stamp)| u8::from(stamp.sim));
        head.wrapping_add(last).wrapping_add(self.unsaved)
    }

    /// Publishes in other dialects from now on; without any, what waits is let go and what is kept is no longer true.
    pub fn set_interest(&mut self, interest: Interest) {
        self.interest = interest;
        self.ticker_heads = Heads::default();
        self.typed_heads = Heads::default();
        let (price, quote) = (self.wants(Feed::Price), self.wants(Feed::Quote));
        if let Some(waiting) = &mut self.pending {
            waiting.trade.take_if(|_| !price);
            waiting.quote.take_if(|_| !quote);
        }
        if interest.feeds().is_empty() {
            self.mark_stale();
        }
    }

    pub fn wants(&self, feed: Feed) -> bool {
        self.interest.ticker.contains(feed) || self.interest.typed.contains(feed)
    }

    pub fn has_pending_trade(&self) -> bool {
        self.pending.as_ref().is_some_and(|waiting| waiting.trade.is_some())
    }

    pub fn has_pending_quote(&self) -> bool {
        self.pending.as_ref().is_some_and(|waiting| waiting.quote.is_some())
    }

    pub fn publish_trade(&mut self, trade: Trade, at: Timestamp, merged: u64, sim: bool, times: &mut TimeText, out: &mut Outbox<'_>) {
        let stamp = self.stamp(MessageType::Price, at, merged, sim);
        self.publish(PriceMessage::Trade(&trade), &stamp, times, out);
        self.last_trade = Some((trade, stamp));
    }

    pub fn publish_quote(&mut self, quote: Quote, at: Timestamp, merged: u64, sim: bool, times: &mut TimeText, out: &mut Outbox<'_>) {
        let stamp = self.stamp(MessageType::Quote, at, merged, sim);
        self.publish(PriceMessage::Quote(&quote), &stamp, times, out);
        self.last_quote = Some((quote, stamp));
    }

    pub fn publish_fact(&mut self, fact: Box<Fact>, at: Timestamp, sim: bool, times: &mut TimeText, out: &mut Outbox<'_>) {
        let kind = PriceMessage::Fact(&fact).kind();
        let stamp = self.stamp(kind, at, 0, sim);
        self.publish(PriceMessage::Fact(&fact), &stamp, times, out);
        match self.last_facts.iter_mut().find(|(held, _)| PriceMessage::Fact(held).kind() == kind) {
            Some(held) => *held = (fact, stamp),
            None => self.last_facts.push((fact, stamp)),
        }
    }

    /// Publishes the folded values; says how many messages that made.
    pub fn publish_pending(&mut self, sim: bool, times: &mut TimeText, out: &mut Outbox<'_>) -> u64 {
        let Some(mut waiting) = self.pending.take() else { return 0 };
        let mut published = 0;
        if let Some(PendingTrade { newest, volume }) = waiting.trade.take() {
            let size = volume.and_then(Digits::from_decimal).and_then(|digits| Amount::new(digits).ok()).unwrap_or(newest.value.size);
            self.publish_trade(Trade { size, ..newest.value }, newest.at, newest.merged, sim, times, out);
            published += 1;
        }
        if let Some(Pending { value, at, merged }) = waiting.quote.take() {
            self.publish_quote(value, at, merged, sim, times, out);
            published += 1;
        }
        self.pending = Some(waiting);
        published
    }

    /// Keeps the newest price and the sum of the volumes; says how many updates that took away.
    pub fn fold_trade(&mut self, trade: Trade, at: Timestamp) -> u64 {
        let waiting = &mut self.pending.get_or_insert_default().trade;
        let Some(older) = waiting.take() else {
            *waiting = Some(PendingTrade { newest: Pending { value: trade, at, merged: 0 }, volume: None });
            return 0;
        };
        let so_far = older.volume.or_else(|| older.newest.value.size.to_decimal());
        let volume = so_far.zip(trade.size.to_decimal()).and_then(|(sum, more)| sum.checked_add(more));
        *waiting = Some(PendingTrade { newest: Pending { value: trade, at, merged: older.newest.merged + 1 }, volume });
        1
    }

    /// Keeps the newest quote; says how many updates that took away.
    pub fn fold_quote(&mut self, quote: Quote, at: Timestamp) -> u64 {
        let waiting = &mut self.pending.get_or_insert_default().quote;
        let merged = waiting.as_ref().map_or(0, |older| older.merged + 1);
        *waiting = Some(Pending { value: quote, at, merged });
        u64::from(merged > 0)
    }

    /// One `HSET` with every kind whose last value Redis does not have yet; false when there is none.
    pub fn save(&mut self, scratch: &mut Vec<u8>, times: &mut TimeText, out: &mut Outbox<'_>) -> bool {
        let unsaved = std::mem::take(&mut self.unsaved);
        let trade = self.last_trade.as_ref().map(|(trade, stamp)| (PriceMessage::Trade(trade), stamp));
        let quote = self.last_quote.as_ref().map(|(quote, stamp)| (PriceMessage::Quote(quote), stamp));
        let facts = self.last_facts.iter().map(|(fact, stamp)| (PriceMessage::Fact(fact), stamp));
        let wanted = trade.into_iter().chain(quote).chain(facts).filter(|(message, _)| unsaved & bit(message.kind()) != 0);
        let count = wanted.clone().count();
        if count == 0 {
            return false;
        }
        resp::header(out.bytes, b'*', 2 + 2 * count);
        resp::bulk(out.bytes, b"HSET");
        resp::header(out.bytes, b'$', LAST_PREFIX.len() + self.name.len());
        out.bytes.extend_from_slice(LAST_PREFIX.as_bytes());
        out.bytes.extend_from_slice(self.name.as_bytes());
        out.bytes.extend_from_slice(b"\r\n");
        for (message, stamp) in wanted {
            scratch.clear();
            write_snapshot(scratch, &self.name, message, stamp, self.stale, times);
            resp::bulk(out.bytes, message.kind().as_str().as_bytes());
            resp::bulk(out.bytes, scratch);
        }
        out.commands += 1;
        true
    }

    pub fn mark_stale(&mut self) {
        self.stale = true;
        self.unsaved = self.known();
    }

    pub fn freshen(&mut self) {
        if self.stale {
            self.stale = false;
            self.unsaved = self.known();
        }
    }

    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The kinds of which there is a last value, as bits.
    pub fn known(&self) -> u8 {
        let facts = self.last_facts.iter().map(|(fact, _)| bit(PriceMessage::Fact(fact).kind()));
        let trade = self.last_trade.map(|_| bit(MessageType::Price));
        let quote = self.last_quote.map(|_| bit(MessageType::Quote));
        facts.chain(trade).chain(quote).fold(0, |all, one| all | one)
    }

    fn stamp(&mut self, kind: MessageType, at: Timestamp, merged: u64, sim: bool) -> Stamp {
        let seq = self.next_seq[kind as usize];
        self.next_seq[kind as usize] = seq + 1;
        self.unsaved |= bit(kind);
        Stamp { at, seq, merged, sim }
    }

    #[inline]
    fn publish(&mut self, message: PriceMessage<'_>, stamp: &Stamp, times: &mut TimeText, out: &mut Outbox<'_>) {
        let (kind, name) = (message.kind(), &self.name);
        if self.interest.ticker.contains(kind.feed()) {
            let new = || PublishHead::new(&get_ticker_channel(name), ticker_start(kind, name).as_bytes());
            self.ticker_heads.with(kind, new, |head| head.write(out.bytes, |out| write_ticker_rest(out, message, stamp, times)));
            out.commands += 1;
        }
        if self.interest.typed.contains(kind.feed()) {
            let new = || PublishHead::new(&typed_channel(kind, name), typed_start(kind, name).as_bytes());
            self.typed_heads.with(kind, new, |head| head.write(out.bytes, |out| write_typed_rest(out, message, stamp, times)));
            out.commands += 1;
        }
    }
}

impl Heads {
    #[inline]
    fn with(&mut self, kind: MessageType, new: impl FnOnce() -> PublishHead, write: impl FnOnce(&PublishHead)) {
        match kind {
            MessageType::Price => write(self.price.get_or_insert_with(new)),
            MessageType::Quote => write(self.quote.get_or_insert_with(new)),
            _ => write(&new()),
        }
    }
}

const fn bit(kind: MessageType) -> u8 {
    1 << kind as u8
}
