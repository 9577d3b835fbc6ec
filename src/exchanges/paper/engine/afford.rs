//! How much of a deal its account can pay or deliver at the moment it is made.
//!
//! What was held when the order came is a guess: markets gap, and what one order relied on another may have used. Must
//! not know how orders are matched.

use rust_decimal::Decimal;

use super::book::Book;
use super::instrument::{Instrument, QUANTITY_DECIMALS};
use super::ledger::Ledger;
use super::matching::Deal;
use super::means::{short_reserve, units};
use super::store::{Entry, Seq};
use super::{Engine, Listed};
use crate::exchanges::paper::models::Execution;
use crate::model::{Order, PositionIntent, Side, TimeInForce, worth};

const TOO_DEAR: &str = "the buying power does not suffice for more at this price";
const NOTHING_TO_CLOSE: &str = "there is no more of the position to close";

/// Units and money of an order that were executed before.
pub(super) type Before = (Decimal, Decimal);

/// Units of the position that an order on `side` closes.
pub(super) fn closable(ledger: &Ledger, symbol: &str, side: Side) -> Decimal {
    (-side.signed(ledger.units(symbol))).max(Decimal::ZERO)
}

pub(super) fn closes(order: &Order) -> bool {
    matches!(order.intent, Some(PositionIntent::BuyToClose | PositionIntent::SellToClose))
}

/// Money that a new unit binds: its price, or what a short sale holds.
fn binds(book: &Book, side: Side, price: Decimal) -> Decimal {
    if side == Side::Buy { price } else { short_reserve(book, price) }
}

impl Engine {
    /// What such an execution is charged.
    pub(super) fn charge(&self, instrument: &Instrument, side: Side, price: Decimal, quantity: Decimal, (before, before_value): Before) -> Decimal {
        let execution = Execution { side, price, quantity, before, before_value, security: instrument.is_equity() };
        self.settings.fees.fees(&execution).max(Decimal::ZERO)
    }

    /// What of a deal its account can pay or deliver. Where that is less, the order ends with it.
    pub(super) fn bounded(&self, seq: Seq, deal: Deal) -> Deal {
        let Some(entry) = self.store.get(seq) else { return deal };
        let request = &entry.order.request;
        let (Some(ledger), Some(listed)) = (self.accounts.get(&entry.account), self.listed.get(&request.symbol)) else { return deal };
        let closable = closable(ledger, request.symbol.as_str(), request.side);
        if deal.quantity <= closable {
            return deal;
        }
        let (most, why) = if closes(&entry.order) { (closable, NOTHING_TO_CLOSE) } else { (self.affordable(entry, ledger, listed, deal), TOO_DEAR) };
        if deal.quantity <= most {
            return deal;
        }
        let whole = request.time_in_force == TimeInForce::Fok;
        let quantity = if whole { Decimal::ZERO } else { listed.instrument.tradable_part(most, deal.quantity) };
        Deal { quantity, complete: false, ends: Some(why), ..deal }
    }

    /// Units of a deal that the account can pay. What was held for them may be used; beyond that whatever power there is.
    /// Who has no credit never spends more than the money that is there.
    fn affordable(&self, entry: &Entry, ledger: &Ledger, listed: &Listed, deal: Deal) -> Decimal {
        let order = &entry.order;
        let (side, instrument) = (order.request.side, &listed.instrument);
        let unit = binds(&listed.book, side, deal.price);
        let fees = |quantity| self.charge(instrument, side, deal.price, quantity, (order.filled, order.filled_value));
        let cost = |quantity| worth(unit, quantity) + fees(quantity);
        let credit = instrument.marginable && self.settings.margin > Decimal::ONE;
        let purse = if credit || side == Side::Sell { Decimal::MAX } else { ledger.cash };
        let within = self.overrun(entry, listed, deal) <= Decimal::ZERO;
        let budget = if within { purse } else { (self.power(ledger, instrument.marginable) + self.hold(entry)).min(purse) };
        if cost(deal.quantity) <= budget {
            return deal.quantity;
        }
        let money = (budget - fees(deal.quantity)).max(Decimal::ZERO);
        let most = instrument.tradable_part(units(money, unit), deal.quantity).min(deal.quantity);
        // Money is rounded, and a model of fees may ask more for less.
        let step = if most.fract().is_zero() { Decimal::ONE } else { Decimal::new(1, QUANTITY_DECIMALS) };
        [most, most - step].into_iter().find(|quantity| *quantity > Decimal::ZERO && cost(*quantity) <= budget).unwrap_or_default()
    }

    /// Money that a deal costs beyond what was held for it; below zero when it costs less.
    fn overrun(&self, entry: &Entry, listed: &Listed, deal: Deal) -> Decimal {
        let order = &entry.order;
        let side = order.request.side;
        let fees = |price| self.charge(&listed.instrument, side, price, deal.quantity, (order.filled, order.filled_value));
        let cost = worth(binds(&listed.book, side, deal.price), deal.quantity) + fees(deal.price);
        cost - worth(entry.reserve, deal.quantity) - fees(entry.reserve)
    }

    /// What an order is about to pay beyond what it holds for a part of itself is held no more for the rest: all of it
    /// binds what it was granted, and the rest is judged anew.
    pub(super) fn use_up(&mut self, seq: Seq, deal: Deal) {
        let Some(entry) = self.store.get(seq).filter(|entry| !entry.reserve.is_zero()) else { return };
        let Some(listed) = self.listed.get(&entry.order.request.symbol) else { return };
        let overrun = self.overrun(entry, listed, deal);
        let left = entry.order.remaining().unwrap_or_default() - deal.quantity;
        if overrun > Decimal::ZERO
            && left > Decimal::ZERO
            && let Some(entry) = self.store.get_mut(seq)
        {
            entry.reserve = (entry.reserve - overrun / left).max(Decimal::ZERO);
        }
    }
}
