//! What the market shows reaches the orders: triggers, trailing stops, queues, fills.
//!
//! Must not know accounts.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::Engine;
use super::admission::trailing_stop;
use super::book::{PriceBand, SeenQuote, SeenTrade};
use super::matching::{Deal, accepts};
use super::store::{Seq, Terms};
use crate::events::MarketSight;
use crate::model::{OrderType, Side, Symbol, TimeInForce, Timestamp};

/// Numbers of a market stay below this, so that money never overflows.
const BOUND: Decimal = Decimal::from_parts(0xd4a5_1000, 0xe8, 0, false, 0);
/// A quote vouches for where trades may be for so many nanoseconds.
const QUOTE_VOUCHES: i64 = 60_000_000_000;

fn is_possible(seen: &MarketSight) -> bool {
    let all = |numbers: &[Decimal]| numbers.iter().all(|number| *number >= Decimal::ZERO && *number < BOUND);
    match *seen {
        MarketSight::Trade { price, size } => all(&[price, size]),
        MarketSight::Quote { bid, bid_size, ask, ask_size } => all(&[bid, bid_size, ask, ask_size]),
        MarketSight::Limits { down, up } => all(&[down, up]),
        MarketSight::Halted | MarketSight::Resumed | MarketSight::Session(_) => true,
    }
}

/// When an order has its turn: smaller is earlier.
fn turn(terms: Terms, side: Side) -> (u8, Decimal) {
    match terms {
        Terms::Any => (0, Decimal::ZERO),
        Terms::Limit(limit) => (1, -side.signed(limit)),
        Terms::Dormant => (2, Decimal::ZERO),
    }
}

impl Engine {
    /// The market shows something. What is not listed, and numbers that no market has, are left out; so are trades that
    /// are told late or lie far from a quote of the last minute: one print out of place must trigger no stop.
    pub fn see(&mut self, symbol: &Symbol, seen: &MarketSight, now: Timestamp) {
        let told = now;
        let now = self.begin(now);
        let oldest = self.oldest(now).max(Some(Timestamp::from_nanos(now.nanos().saturating_sub(QUOTE_VOUCHES))));
        if let MarketSight::Session(session) = seen {
            return self.set_session(*session, now);
        }
        let Some(listed) = self.listed.get_mut(symbol).filter(|_| is_possible(seen)) else { return };
        let book = &mut listed.book;
        match *seen {
            MarketSight::Quote { bid, bid_size, ask, ask_size } => {
                book.quoted(SeenQuote { bid, bid_size, ask, ask_size, at: now });
                self.each_in_turn(symbol, |engine, seq| engine.on_quote(seq, now));
            }
            MarketSight::Trade { price, size } if price > Decimal::ZERO && book.believes(price, told, oldest) => {
                book.traded(SeenTrade { price, size, at: now }, told);
                let mut taken = Decimal::ZERO;
                self.each_in_turn(symbol, |engine, seq| engine.on_trade(seq, price, size, &mut taken, now));
            }
            MarketSight::Halted => book.halted = true,
            MarketSight::Resumed => {
                book.halted = false;
                self.unsettle(symbol);
            }
            MarketSight::Limits { down, up } => book.band = (!down.is_zero() || !up.is_zero()).then_some(PriceBand { down, up }),
            MarketSight::Trade { .. } | MarketSight::Session(_) => {}
        }
    }

    /// What was displayed is no word any more: orders meet the market anew with its next quote.
    pub(super) fn unsettle(&mut self, symbol: &Symbol) {
        if let Some(listed) = self.listed.get_mut(symbol) {
            listed.book.fresh = false;
        }
        self.each_open(symbol, |engine, seq| {
            if let Some(entry) = engine.store.get_mut(seq) {
                (entry.rests, entry.ahead) = (false, None);
            }
        });
    }

    /// Calls `act` for the orders of a symbol that are open now.
    pub(super) fn each_open(&mut self, symbol: &Symbol, mut act: impl FnMut(&mut Engine, Seq)) {
        let mut open = std::mem::take(&mut self.scratch);
        open.clear();
        open.extend_from_slice(self.store.open_of(symbol.as_str()));
        open.iter().for_each(|seq| act(self, *seq));
        self.scratch = open;
    }

    /// Calls `act` for the open orders of a symbol as a market serves them: those at any price first, then the better
    /// prices, then who came first; stops last, for they are no orders of the market before they are triggered.
    fn each_in_turn(&mut self, symbol: &Symbol, mut act: impl FnMut(&mut Engine, Seq)) {
        let collar = self.settings.collar;
        let mut open = std::mem::take(&mut self.scratch);
        open.clear();
        open.extend_from_slice(self.store.open_of(symbol.as_str()));
        if open.len() > 1 {
            let turn = |seq: &Seq| self.store.get(*seq).map(|entry| turn(entry.terms(collar), entry.order.request.side));
            // What stands in its order already, as most do, costs one comparison each.
            open.sort_by_key(turn);
        }
        open.iter().for_each(|seq| act(self, *seq));
        self.scratch = open;
    }

    fn on_quote(&mut self, seq: Seq, at: Timestamp) {
        if self.in_opening(seq) {
            return self.open_at_touch(seq, at);
        }
        let Some(entry) = self.store.get(seq).filter(|entry| self.trades_now(entry)) else { return };
        let side = entry.order.request.side;
        if matches!(entry.terms(self.settings.collar), Terms::Dormant) {
            self.trigger_at_touch(seq, side, at);
        } else {
            self.queue_up(seq);
        }
        self.attempt(seq, at);
    }

    /// Tests a stop against what it would meet.
    pub(super) fn trigger_at_touch(&mut self, seq: Seq, side: Side, at: Timestamp) {
        let oldest = self.oldest(at);
        let book = self.store.get(seq).and_then(|entry| self.book(entry.order.request.symbol.as_str()));
        if let Some(touch) = book.and_then(|book| book.touch(side, oldest)) {
            self.trigger(seq, touch.price);
        }
    }

    fn on_trade(&mut self, seq: Seq, price: Decimal, size: Decimal, taken: &mut Decimal, at: Timestamp) {
        if self.in_opening(seq) {
            return self.open_at(seq, price, at);
        }
        let Some(entry) = self.store.get(seq).filter(|entry| self.trades_now(entry)) else { return };
        match entry.terms(self.settings.collar) {
            Terms::Dormant => {
                self.trigger(seq, price);
                self.attempt(seq, at);
            }
            Terms::Limit(limit) if entry.rests && self.settings.fills.by_trades => {
                if let Some(deal) = self.share_of_trade(seq, limit, price, size, taken) {
                    self.execute(seq, deal, at);
                }
            }
            Terms::Limit(_) | Terms::Any => {}
        }
    }

    /// What a resting order gets of a trade: nothing before its turn, and never more than its share of the volume.
    fn share_of_trade(&mut self, seq: Seq, limit: Decimal, price: Decimal, size: Decimal, taken: &mut Decimal) -> Option<Deal> {
        let rules = self.settings.fills;
        let entry = self.store.get_mut(seq)?;
        let side = entry.order.request.side;
        if !accepts(side, limit, price) {
            return None;
        }
        let through = price != limit;
        let ahead = if through || !rules.queue { Decimal::ZERO } else { entry.ahead? };
        let waits = ahead.min(size);
        entry.ahead = Some(ahead - waits);
        let order = Arc::clone(&entry.order);
        let listed = self.listed.get(&order.request.symbol)?;
        if !listed.book.admits(limit) {
            return None;
        }
        let whole = size.saturating_mul(rules.volume_share) - *taken;
        let free = (size - waits).saturating_mul(rules.volume_share).min(whole);
        let left = order.remaining()?;
        let quantity = listed.instrument.tradable_part(left.min(free), left);
        if quantity <= Decimal::ZERO {
            return None;
        }
        let deal = self.bounded(seq, Deal { price: limit, quantity, complete: quantity == left, ends: None });
        *taken += deal.quantity;
        Some(deal)
    }

    /// Keeps count of what stands before a resting order at its price. Nobody does once the best price is worse than its
    /// limit, and never more than is displayed there.
    pub(super) fn queue_up(&mut self, seq: Seq) {
        let collar = self.settings.collar;
        let Some(entry) = self.store.get_mut(seq).filter(|entry| entry.rests) else { return };
        let Terms::Limit(limit) = entry.terms(collar) else { return };
        let request = &entry.order.request;
        let Some(quote) = self.listed.get(&request.symbol).and_then(|listed| listed.book.quote) else { return };
        let (best, size) = if request.side == Side::Buy { (quote.bid, quote.bid_size) } else { (quote.ask, quote.ask_size) };
        if best.is_zero() {
            return;
        }
        if best == limit {
            entry.ahead = Some(entry.ahead.map_or(size, |ahead| ahead.min(size)));
        } else if accepts(request.side, limit, best) {
            entry.ahead = Some(Decimal::ZERO);
        }
    }

    /// Shows a price to a stop: it trails, and may be triggered.
    fn trigger(&mut self, seq: Seq, price: Decimal) {
        let Some(entry) = self.store.get_mut(seq) else { return };
        let Some(listed) = self.listed.get(&entry.order.request.symbol) else { return };
        let (side, was_triggered) = (entry.order.request.side, entry.triggered);
        let mut moved = false;
        let stop = match entry.order.request.kind {
            OrderType::Stop { stop } | OrderType::StopLimit { stop, .. } => Some(stop.value()),
            OrderType::TrailingStop { trail } => {
                let best = entry.order.high_water.unwrap_or(price);
                let better = if side == Side::Sell { best.max(price) } else { best.min(price) };
                if entry.order.high_water != Some(better) {
                    let order = Arc::make_mut(&mut entry.order);
                    order.high_water = Some(better);
                    order.trailing_stop = Some(trailing_stop(&listed.instrument, side, trail, better));
                    moved = true;
                }
                entry.order.trailing_stop
            }
            OrderType::Market | OrderType::Limit { .. } => None,
        };
        entry.triggered |= stop.is_some_and(|stop| if side == Side::Buy { price >= stop } else { price <= stop });
        if moved || entry.triggered != was_triggered {
            self.store.changed_quietly(seq);
        }
    }

    pub(super) fn in_opening(&self, seq: Seq) -> bool {
        self.store.get(seq).is_some_and(|entry| entry.order.request.time_in_force == TimeInForce::Opg)
    }
}
