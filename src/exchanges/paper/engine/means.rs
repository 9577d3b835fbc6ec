//! What an account can pay and deliver, and what its open orders hold of it.
//!
//! Holds are summed up from the open orders whenever somebody asks, so that nothing can leak. Must not know how orders
//! are matched.

use rust_decimal::{Decimal, RoundingStrategy};

use super::afford::{closable, closes};
use super::book::Book;
use super::instrument::{AssetClass, Instrument, QUANTITY_DECIMALS};
use super::ledger::Ledger;
use super::refusal::Refusal;
use super::store::{Entry, Place, Seq, collared};
use super::{Engine, Listed};
use crate::model::{AccountInfo, OrderClass, OrderRequest, OrderType, Position, PositionIntent, Side, Size, worth};

/// What a short sale holds: this many times what buying back would cost.
const SHORT_RESERVE: Decimal = Decimal::from_parts(103, 0, 0, false, 2);

/// Units that money buys, rounded down.
pub(super) fn units(money: Decimal, price: Decimal) -> Decimal {
    money.checked_div(price).unwrap_or_default().round_dp_with_strategy(QUANTITY_DECIMALS, RoundingStrategy::ToZero)
}

/// What an order does to the position, and what a unit of it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    pub intent: PositionIntent,
    pub reserve: Decimal,
}

impl Engine {
    /// Whether the account can pay or deliver what is asked for. `instead` is an open order that it would replace.
    pub(super) fn means(&self, ledger: &Ledger, listed: &Listed, request: &OrderRequest, instead: Option<Seq>) -> Result<Means, Refusal> {
        let existing = ledger.units(request.symbol.as_str());
        let old = instead.and_then(|seq| self.store.get(seq));
        let closes = !existing.is_zero() && existing.is_sign_positive() == (request.side == Side::Sell);
        let price = reserve_price(listed, request);
        let before = old.map_or((Decimal::ZERO, Decimal::ZERO), |old| (old.order.filled, old.order.filled_value));
        // As many as the money comes to now, not at the worst price that is held for: no more must be closed than there is.
        let shown = || listed.book.indication(request.side).ok_or(Refusal::NoPrice);
        let wanted = match request.size {
            Size::Quantity(quantity) => quantity.value() - before.0,
            Size::Notional(money) => units(money.value() - before.1, shown()?),
        };
        if closes && matches!(request.class, OrderClass::Bracket { .. } | OrderClass::Oto { .. }) {
            return Err(Refusal::form(format!("{} orders must be entry orders: this one would close a position", request.class.as_str())));
        }
        let exits = matches!(request.class, OrderClass::Oco { .. });
        let delivers = request.side == Side::Sell && listed.instrument.class == AssetClass::Crypto;
        if closes || exits || delivers {
            let given_back = old.map_or(Decimal::ZERO, |old| self.remaining(old));
            let held = (self.spoken_for(ledger, request.symbol.as_str()) - given_back).max(Decimal::ZERO);
            let available = if closes { (existing.abs() - held).max(Decimal::ZERO) } else { Decimal::ZERO };
            if wanted > available {
                return Err(Refusal::InsufficientQuantity { requested: wanted, available, existing, held });
            }
            let intent = if request.side == Side::Sell { PositionIntent::SellToClose } else { PositionIntent::BuyToClose };
            return Ok(Means { intent, reserve: Decimal::ZERO });
        }
        if request.side == Side::Sell {
            self.may_short(&listed.instrument, request)?;
        }
        let reserve = price.ok_or(Refusal::NoPrice)?;
        let (money, quantity) = match request.size {
            Size::Quantity(_) => (worth(reserve, wanted), wanted),
            Size::Notional(money) => (money.value() - before.1, units(money.value() - before.1, reserve)),
        };
        let needed = money + self.charge(&listed.instrument, request.side, reserve, quantity, before);
        let available = self.power(ledger, listed.instrument.marginable) + old.map_or(Decimal::ZERO, |old| self.hold(old));
        if needed > available {
            return Err(Refusal::InsufficientBuyingPower { needed, available });
        }
        let intent = if request.side == Side::Sell { PositionIntent::SellToOpen } else { PositionIntent::BuyToOpen };
        Ok(Means { intent, reserve })
    }

    fn may_short(&self, instrument: &Instrument, request: &OrderRequest) -> Result<(), Refusal> {
        if !self.settings.shorting || !instrument.shortable {
            return Err(Refusal::NotShortable);
        }
        match request.size {
            Size::Quantity(quantity) if quantity.value().fract().is_zero() => Ok(()),
            _ => Err(Refusal::FractionalRule("fractions cannot be sold short".to_owned())),
        }
    }

    /// Money that may be spent on new positions.
    pub(super) fn power(&self, ledger: &Ledger, on_margin: bool) -> Decimal {
        let (mut equity, mut used, mut short) = (ledger.cash, Decimal::ZERO, Decimal::ZERO);
        for position in ledger.positions.values().filter(|position| !position.quantity.is_zero()) {
            let value = self.value(position);
            equity += value;
            used += value.abs();
            short += value.min(Decimal::ZERO);
        }
        let holds: Decimal = ledger.open.iter().filter_map(|seq| self.store.get(*seq)).map(|entry| self.hold(entry)).sum();
        let power = self.settings.margin.saturating_mul(equity) - used - holds;
        // What a short sale brought in belongs to the lender.
        let own = ledger.cash + short - holds;
        if on_margin { power.max(Decimal::ZERO) } else { power.min(own).max(Decimal::ZERO) }
    }

    /// Money that an order holds, for its units and for what they will be charged. A replacement that is under way
    /// holds what it needs beyond the order it replaces: the two together hold the larger of both.
    pub(super) fn hold(&self, entry: &Entry) -> Decimal {
        if entry.reserve.is_zero() {
            return Decimal::ZERO;
        }
        let order = &entry.order;
        let (money, quantity) = match order.request.size {
            Size::Quantity(_) => {
                let left = order.remaining().unwrap_or_default();
                (worth(entry.reserve, left), left)
            }
            Size::Notional(money) => {
                let left = (money.value() - order.filled_value).max(Decimal::ZERO);
                (left, units(left, entry.reserve))
            }
        };
        let instrument = self.instrument(order.request.symbol.as_str());
        let before = (order.filled, order.filled_value);
        let own = money + instrument.map_or(Decimal::ZERO, |instrument| self.charge(instrument, order.request.side, entry.reserve, quantity, before));
        let old = entry.replaces.and_then(|old| self.store.get(old)).filter(|old| old.is_open());
        old.map_or(own, |old| (own - self.hold(old)).max(Decimal::ZERO))
    }

    /// Units that open orders on the closing side of a position hold. Of two exits that end each other one counts; exits
    /// that wait hold what their entry has filled so far.
    pub(super) fn spoken_for(&self, ledger: &Ledger, symbol: &str) -> Decimal {
        let quantity = ledger.units(symbol);
        if quantity.is_zero() {
            return Decimal::ZERO;
        }
        let closing = if quantity.is_sign_positive() { Side::Sell } else { Side::Buy };
        let open = self.store.open_of(symbol).iter().filter_map(|seq| Some((*seq, self.store.get(*seq)?)));
        let mine = open.filter(|(_, entry)| entry.account == ledger.id && entry.order.request.side == closing);
        let single = mine.filter(|(seq, entry)| !entry.sibling.is_some_and(|other| other < *seq && self.is_open(other)));
        single.map(|(_, entry)| self.speaks_for(entry)).sum()
    }

    fn speaks_for(&self, entry: &Entry) -> Decimal {
        if entry.place == Place::Waiting {
            let parent = entry.parent.and_then(|parent| self.store.get(parent)).filter(|parent| parent.is_entry());
            return parent.map_or(Decimal::ZERO, |parent| parent.order.filled);
        }
        let old = entry.replaces.and_then(|old| self.store.get(old)).filter(|old| old.is_open());
        let own = self.remaining(entry);
        old.map_or(own, |old| (own - self.remaining(old)).max(Decimal::ZERO))
    }

    /// Units that an order may still fill; of an order by money what it would come to now.
    pub(super) fn remaining(&self, entry: &Entry) -> Decimal {
        entry.order.remaining().unwrap_or_else(|| {
            let Size::Notional(money) = entry.order.request.size else { return Decimal::ZERO };
            let book = self.book(entry.order.request.symbol.as_str());
            let price = book.and_then(|book| book.indication(entry.order.request.side)).unwrap_or_default();
            units((money.value() - entry.order.filled_value).max(Decimal::ZERO), price)
        })
    }

    /// Units that an order by money may close: those that are not spoken for by others. An order that opens may have any.
    pub(super) fn closable(&self, entry: &Entry) -> Decimal {
        if entry.order.request.side == Side::Buy && !closes(&entry.order) {
            return Decimal::MAX;
        }
        let Some(ledger) = self.accounts.get(&entry.account) else { return Decimal::ZERO };
        let symbol = entry.order.request.symbol.as_str();
        let others = self.spoken_for(ledger, symbol) - self.remaining(entry);
        (closable(ledger, symbol, entry.order.request.side) - others.max(Decimal::ZERO)).max(Decimal::ZERO)
    }

    pub(super) fn is_open(&self, seq: Seq) -> bool {
        self.store.get(seq).is_some_and(Entry::is_open)
    }

    pub(super) fn marked(&self, position: &Position) -> Position {
        let mark = self.book(position.symbol.as_str()).and_then(|book| book.mark());
        Position { mark: mark.or(position.mark), ..position.clone() }
    }

    fn value(&self, position: &Position) -> Decimal {
        let mark = self.book(position.symbol.as_str()).and_then(|book| book.mark()).or(position.mark);
        mark.map_or(position.cost, |mark| worth(mark, position.quantity))
    }

    pub(super) fn equity(&self, ledger: &Ledger) -> Decimal {
        ledger.cash + ledger.positions.values().filter(|position| !position.quantity.is_zero()).map(|position| self.value(position)).sum::<Decimal>()
    }

    pub(super) fn describe(&self, ledger: &Ledger) -> AccountInfo {
        let (mut long_value, mut short_value, mut cost) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        for position in ledger.positions.values().filter(|position| !position.quantity.is_zero()) {
            let value = self.value(position);
            cost += position.cost;
            *(if position.quantity.is_sign_positive() { &mut long_value } else { &mut short_value }) += value;
        }
        AccountInfo {
            id: ledger.id.clone(),
            currency: ledger.currency.clone(),
            cash: ledger.cash,
            equity: ledger.cash + long_value + short_value,
            buying_power: self.power(ledger, true),
            long_value,
            short_value,
            realised: ledger.realised,
            unrealised: long_value + short_value - cost,
            fees: ledger.fees,
            equity_at_open: ledger.equity_at_open,
        }
    }
}

/// What one unit may cost at worst; `None` while nobody has shown a price and the order names none.
pub(super) fn reserve_price(listed: &Listed, request: &OrderRequest) -> Option<Decimal> {
    let meets = listed.book.indication(request.side);
    let named = match request.kind {
        OrderType::Limit { limit } | OrderType::StopLimit { limit, .. } => Some(limit.value()),
        OrderType::Stop { stop } if request.side == Side::Buy => Some(collared(stop.value())),
        OrderType::Stop { stop } => Some(stop.value()),
        OrderType::Market | OrderType::TrailingStop { .. } if request.side == Side::Buy => meets.map(collared),
        OrderType::Market | OrderType::TrailingStop { .. } => meets,
    };
    let by_money = matches!(request.size, Size::Notional(_));
    if request.side == Side::Buy || by_money {
        return named;
    }
    named.map(|named| short_reserve(&listed.book, named))
}

/// What a unit sold short at this price holds: more than buying it back would cost.
pub(super) fn short_reserve(book: &Book, price: Decimal) -> Decimal {
    let back = book.indication(Side::Buy);
    back.map_or(price, |back| price.max(back)).saturating_mul(SHORT_RESERVE)
}
