//! The phases of the trading day: what they release, and what they end. Pairs know none.
//!
//! Must not know the calendar.

use super::Engine;
use super::refusal::Refusal;
use super::store::{Place, Seq};
use super::timers::Due;
use crate::model::{MarketSession, OrderChange, Symbol, TimeInForce, Timestamp};

impl Engine {
    /// Lets everything happen that is due until `now`.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.timers.pop(now) {
            self.now = self.now.max(at);
            match due {
                Due::Enter(seq) => self.enter(seq, at),
                Due::Cancel(seq) => self.arrive_cancel(seq, at),
                Due::Replace { old, new } => self.arrive_replace(old, new, at),
                Due::Release(seq) => self.release(seq, at),
                Due::Wake(seq) => {
                    self.wake(seq, at);
                    self.meet(seq, at);
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// The beginning of every call; time never goes back.
    pub(super) fn begin(&mut self, now: Timestamp) -> Timestamp {
        self.advance(now);
        self.now
    }

    /// When the next auctions are that orders are taken for, so that they are refused shortly before. An exchange takes
    /// orders for the auctions of the next trading day from 19:00 New York time on: whoever knows the calendar calls then,
    /// with the times of that day. Where nobody does, orders for the opening are refused from the opening on and those for
    /// the close from the close on, until the market is closed for the night.
    pub fn expect_auctions(&mut self, opening: Option<Timestamp>, closing: Option<Timestamp>) {
        (self.opening, self.closing) = (opening, closing);
    }

    /// The whole market is in another phase: auctions are held, day orders end, orders that waited are released. What was
    /// displayed before fills nothing any more.
    pub fn set_session(&mut self, session: MarketSession, now: Timestamp) {
        let now = self.begin(now);
        let before = self.session();
        let first = self.session.replace(before).is_none();
        if !first && before == session {
            return;
        }
        let symbols = self.equities_with_orders();
        if before == MarketSession::Regular {
            symbols.iter().for_each(|symbol| self.close_auctions(symbol, now));
        }
        let ends_regular = before == MarketSession::Regular && session != MarketSession::Regular;
        let ends_all = before != MarketSession::Closed && session == MarketSession::Closed;
        for symbol in &symbols {
            self.each_open(symbol, |engine, seq| engine.expire(seq, ends_regular, ends_all, now));
        }
        self.session = Some(session);
        if !first {
            self.unsettle_equities(&symbols);
        }
        if before == MarketSession::Closed && session != MarketSession::Closed {
            self.begin_day(now);
        }
        for symbol in &symbols {
            self.each_open(symbol, |engine, seq| engine.release(seq, now));
        }
    }

    /// A day begins: what accounts are worth now is what its gains and losses count from.
    pub fn begin_day(&mut self, now: Timestamp) {
        self.begin(now);
        let equities: Vec<_> = self.accounts.values().map(|ledger| self.equity(ledger)).collect();
        self.accounts.values_mut().zip(equities).for_each(|(ledger, equity)| ledger.equity_at_open = equity);
    }

    /// In the order of their names: chance must not decide who comes first.
    fn equities_with_orders(&self) -> Vec<Symbol> {
        let open = self.store.open_symbols().map(|(symbol, _)| symbol);
        open.filter(|symbol| self.instrument(symbol.as_str()).is_some_and(|instrument| instrument.is_equity())).cloned().collect()
    }

    /// Quotes and price bands are of one phase of the day.
    fn unsettle_equities(&mut self, with_orders: &[Symbol]) {
        let equities = self.listed.values_mut().filter(|listed| listed.instrument.is_equity());
        equities.for_each(|listed| (listed.book.fresh, listed.book.band) = (false, None));
        with_orders.iter().for_each(|symbol| self.unsettle(symbol));
    }

    /// Ends a day order with its day. Those that wait for the next session stay, and exits end with their entry.
    fn expire(&mut self, seq: Seq, ends_regular: bool, ends_all: bool, at: Timestamp) {
        // What shall replace another order shares its fate.
        let Some(entry) = self.store.get(seq).filter(|entry| entry.replaces.is_none()) else { return };
        let request = &entry.order.request;
        let over = ends_all || (ends_regular && !request.extended_hours);
        if over && request.time_in_force == TimeInForce::Day && matches!(entry.place, Place::Underway | Place::Market) {
            self.end(seq, OrderChange::Expired, "the trading day is over", at);
        }
    }

    /// Sends an order on its way that waited for a session, if it has come.
    pub(super) fn release(&mut self, seq: Seq, at: Timestamp) {
        let Some(entry) = self.store.get(seq).filter(|entry| entry.place == Place::Queued) else { return };
        let request = &entry.order.request;
        if !self.instrument(request.symbol.as_str()).is_some_and(|instrument| self.goes_now(instrument, request)) {
            return;
        }
        if let Some(refusal) = self.unaffordable(seq) {
            return self.end(seq, OrderChange::Canceled, &refusal.to_string(), at);
        }
        if let Some(entry) = self.store.get_mut(seq) {
            entry.place = Place::Underway;
        }
        self.step(seq, OrderChange::PendingNew, None, at);
        self.send(seq, at);
    }

    /// Why an order that waited would not be taken any more: prices moved meanwhile. One that may still be taken holds
    /// what it needs now.
    fn unaffordable(&mut self, seq: Seq) -> Option<Refusal> {
        let entry = self.store.get(seq)?;
        let (ledger, listed) = (self.accounts.get(&entry.account)?, self.listed.get(&entry.order.request.symbol)?);
        match self.means(ledger, listed, &entry.order.request, Some(seq)) {
            Ok(means) => {
                if let Some(entry) = self.store.get_mut(seq) {
                    entry.reserve = means.reserve;
                }
                self.edit(seq, |order| order.intent = Some(means.intent));
                None
            }
            // Whoever closes is bounded by the position, and without a price nothing can be said yet.
            Err(Refusal::InsufficientQuantity { .. } | Refusal::NoPrice) => None,
            Err(refusal) => Some(refusal),
        }
    }
}
