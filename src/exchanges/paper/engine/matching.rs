//! Who trades with whom at what price: an order against what is displayed, and against what trades.
//!
//! Must not know who placed an order or why.

use rust_decimal::Decimal;

use super::Engine;
use super::book::Touch;
use super::means::units;
use super::store::{Entry, Place, Seq, Terms};
use crate::events::{Event, FillEvent, PositionUpdate};
use crate::exchanges::paper::models::Taking;
use crate::model::{Fill, OrderChange, Side, Size, TimeInForce, Timestamp, worth};

/// Something that is about to be executed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deal {
    pub price: Decimal,
    pub quantity: Decimal,
    /// Nothing of the order is left afterwards.
    pub complete: bool,
    /// Why the order ends with it though something is left.
    pub ends: Option<&'static str>,
}

/// Whether a taker on `side` with this limit accepts a price.
pub(super) fn accepts(side: Side, limit: Decimal, price: Decimal) -> bool {
    if side == Side::Buy { price <= limit } else { price >= limit }
}

impl Engine {
    /// Matches an order with what is displayed.
    pub(super) fn attempt(&mut self, seq: Seq, at: Timestamp) {
        let Some(entry) = self.store.get(seq).filter(|entry| self.trades_now(entry)) else { return };
        let terms = entry.terms(self.settings.collar);
        let side = entry.order.request.side;
        let Some(touch) = self.touch(entry, at) else { return };
        let crosses = match terms {
            Terms::Dormant => return,
            Terms::Any => true,
            Terms::Limit(limit) => accepts(side, limit, touch.price),
        };
        if !crosses {
            return self.rest(seq);
        }
        if let Some(deal) = self.deal(seq, terms, touch) {
            let deal = self.bounded(seq, deal);
            let symbol = self.store.get(seq).map(|entry| entry.order.request.symbol.clone());
            if let Some(listed) = symbol.and_then(|symbol| self.listed.get_mut(&symbol)) {
                listed.book.take(side, deal.quantity);
            }
            self.execute(seq, deal, at);
        }
    }

    /// An order that has met a market that does not reach its limit stands in it from now on.
    fn rest(&mut self, seq: Seq) {
        if let Some(entry) = self.store.get_mut(seq).filter(|entry| !entry.rests) {
            entry.rests = true;
            self.queue_up(seq);
        }
    }

    /// Whether an order stands in a market that trades it now, outside the auctions.
    pub(super) fn trades_now(&self, entry: &Entry) -> bool {
        let request = &entry.order.request;
        let continuous = !matches!(request.time_in_force, TimeInForce::Opg | TimeInForce::Cls);
        let listed = self.listed.get(&request.symbol);
        entry.place == Place::Market && continuous && listed.is_some_and(|listed| !listed.book.halted && self.goes_now(&listed.instrument, request))
    }

    fn touch(&self, entry: &Entry, at: Timestamp) -> Option<Touch> {
        let oldest = self.oldest(at);
        self.book(entry.order.request.symbol.as_str())?.touch(entry.order.request.side, oldest)
    }

    /// The oldest time of a quote that fills something.
    pub(super) fn oldest(&self, at: Timestamp) -> Option<Timestamp> {
        let patience = i64::try_from(self.settings.fills.stale_after?.as_nanos()).unwrap_or(i64::MAX);
        Some(Timestamp::from_nanos(at.nanos().saturating_sub(patience)))
    }

    /// What an order that crosses the touch gets of it.
    fn deal(&mut self, seq: Seq, terms: Terms, touch: Touch) -> Option<Deal> {
        let entry = self.store.get(seq)?;
        let order = &entry.order;
        let listed = self.listed.get(&order.request.symbol)?;
        let side = order.request.side;
        let room = if self.settings.fills.displayed_size { touch.left } else { Decimal::MAX };
        let left = match order.request.size {
            Size::Quantity(_) => order.remaining()?,
            Size::Notional(money) => units(money.value() - order.filled_value, touch.price),
        };
        let all_or_none = order.request.time_in_force == TimeInForce::Fok;
        if all_or_none && room < left {
            return None;
        }
        let mut quantity = if room < left { listed.instrument.tradable_part(room, left) } else { left };
        if !entry.rests
            && !all_or_none
            && let Some(hundredths) = self.settings.fills.partial(&mut self.chance)
        {
            let part = listed.instrument.tradable_part(quantity * Decimal::new(i64::from(hundredths), 2), quantity);
            quantity = if part.is_zero() { quantity } else { part };
        }
        let price = match terms {
            Terms::Limit(limit) if entry.rests => limit,
            _ => {
                let taking = Taking { side, price: touch.price, quantity, displayed: touch.displayed };
                let slipped = touch.price.saturating_add(side.signed(self.settings.slippage.amount(&taking).max(Decimal::ZERO)));
                let printed = listed.book.within_band(listed.instrument.printed(side, slipped));
                let bounded = match terms {
                    Terms::Limit(limit) if !accepts(side, limit, printed) => limit,
                    _ => printed,
                };
                // Slippage may eat a price up; nobody sells for nothing or less.
                if bounded > Decimal::ZERO { bounded } else { touch.price }
            }
        };
        if !listed.book.admits(price) {
            return None;
        }
        let Size::Notional(money) = order.request.size else {
            let complete = quantity == left;
            return (quantity > Decimal::ZERO).then_some(Deal { price, quantity, complete, ends: None });
        };
        let left = money.value() - order.filled_value;
        quantity = quantity.min(units(left, price));
        let closable = self.closable(entry);
        quantity = quantity.min(closable);
        let complete = quantity == closable || units(left - worth(price, quantity), price).is_zero();
        (quantity > Decimal::ZERO).then_some(Deal { price, quantity, complete, ends: None })
    }

    /// Executes a deal, and ends the order where its account can bear no more of it.
    pub(super) fn execute(&mut self, seq: Seq, deal: Deal, at: Timestamp) {
        if deal.quantity > Decimal::ZERO {
            self.book_deal(seq, deal, at);
        }
        if let Some(reason) = deal.ends {
            self.end(seq, OrderChange::Canceled, reason, at);
        }
    }

    /// What a deal brings: money, position, events, and what hangs on the order.
    fn book_deal(&mut self, seq: Seq, deal: Deal, at: Timestamp) {
        self.use_up(seq, deal);
        let Some(entry) = self.store.get(seq) else { return };
        let deal = Deal { price: deal.price.normalize(), quantity: deal.quantity.normalize(), ..deal };
        let order = &entry.order;
        let (side, symbol, account) = (order.request.side, order.request.symbol.clone(), entry.account.clone());
        let Some(instrument) = self.instrument(symbol.as_str()) else { return };
        let fees = self.charge(instrument, side, deal.price, deal.quantity, (order.filled, order.filled_value));
        // No sale costs more than it brings: there may be nothing else to pay it from.
        let fees = if side == Side::Sell { fees.min(worth(deal.price, deal.quantity)) } else { fees };
        let (order_id, client_order_id) = (order.id.clone(), order.request.client_order_id.clone());
        let execution_id = self.new_execution();
        let Some(ledger) = self.accounts.get_mut(&account) else { return };
        let held = ledger.execute(&symbol, side, deal.price, deal.quantity, fees).clone();
        let fill = Fill {
            execution_id,
            order_id,
            client_order_id,
            symbol: symbol.clone(),
            side,
            price: deal.price,
            quantity: deal.quantity,
            fees,
            position: held.quantity,
            at,
        };
        ledger.remember(fill.clone());
        self.edit(seq, |order| {
            order.filled += deal.quantity;
            order.filled_value += worth(deal.price, deal.quantity);
            order.fees += fees;
        });
        let change = if deal.complete { OrderChange::Fill } else { OrderChange::PartialFill };
        self.step_filled(seq, change, None, Some(fill.clone()), at);
        let of = self.of(&account);
        self.events.push(Event::Filled(FillEvent { of: of.clone(), fill }));
        let held = self.marked(&held);
        let update = PositionUpdate {
            of,
            symbol,
            quantity: held.quantity,
            average_price: held.average_price(),
            unrealised: held.unrealised(),
            realised: held.realised,
            at,
        };
        self.events.push(Event::PositionChanged(update));
        self.after_fill(seq, deal.complete, at);
    }
}
