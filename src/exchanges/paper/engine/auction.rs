//! The opening and the closing auction, as far as one can see them from outside: all at one moment, at the price that
//! is displayed, whatever the size.
//!
//! Must not know when they are.

use rust_decimal::Decimal;

use super::Engine;
use super::matching::{Deal, accepts};
use super::store::{Place, Seq};
use crate::model::{MarketSession, OrderChange, OrderType, Symbol, TimeInForce, Timestamp};

impl Engine {
    /// The opening shows its first quote.
    pub(super) fn open_at_touch(&mut self, seq: Seq, at: Timestamp) {
        let Some(entry) = self.store.get(seq) else { return };
        let book = self.book(entry.order.request.symbol.as_str());
        if let Some(touch) = book.and_then(|book| book.touch(entry.order.request.side, None)) {
            self.open_at(seq, touch.price, at);
        }
    }

    /// The opening shows its first trade.
    pub(super) fn open_at(&mut self, seq: Seq, price: Decimal, at: Timestamp) {
        if self.session() == MarketSession::Regular {
            self.auction(seq, Some(price), at);
        }
    }

    /// The market closes: its auction fills what it can and cancels the rest, also of an opening that never came.
    pub(super) fn close_auctions(&mut self, symbol: &Symbol, at: Timestamp) {
        self.each_open(symbol, |engine, seq| {
            let Some(entry) = engine.store.get(seq).filter(|entry| entry.place != Place::Queued && entry.replaces.is_none()) else { return };
            let request = &entry.order.request;
            let listed = engine.listed.get(&request.symbol);
            let price = match request.time_in_force {
                TimeInForce::Opg => None,
                TimeInForce::Cls if entry.place == Place::Market => listed.and_then(|listed| listed.book.closing_price(request.side)),
                TimeInForce::Cls => None,
                _ => return,
            };
            engine.auction(seq, price, at);
        });
    }

    fn auction(&mut self, seq: Seq, price: Option<Decimal>, at: Timestamp) {
        let Some(entry) = self.store.get(seq).filter(|entry| entry.is_open()) else { return };
        let request = &entry.order.request;
        let book = self.book(request.symbol.as_str());
        if book.is_some_and(|book| book.halted) && price.is_some() && request.time_in_force == TimeInForce::Opg {
            return;
        }
        if entry.place != Place::Market && price.is_some() {
            return;
        }
        let price = price.filter(|price| match request.kind {
            OrderType::Limit { limit } => accepts(request.side, limit.value(), *price),
            _ => true,
        });
        let price = price.filter(|price| book.is_some_and(|book| book.admits(*price)));
        match (price, entry.order.remaining()) {
            (Some(price), Some(quantity)) if quantity > Decimal::ZERO => {
                let deal = self.bounded(seq, Deal { price, quantity, complete: true, ends: None });
                self.execute(seq, deal, at);
            }
            _ => self.end(seq, OrderChange::Canceled, "it was not filled in the auction", at),
        }
    }
}
