//! The rules, one function each: a limit, what is asked, and what is used already.
//!
//! Must not count anything nor know what passed before.

use std::time::Duration;

use rust_decimal::{Decimal, RoundingStrategy};

use super::denial::{Denial, Measure, Rule};
use super::limits::{Limits, Sight};
use super::protect::beyond;
use crate::model::{MarketSession, OrderRequest, OrderType, Side, Size, Symbol, Timestamp, Trail, worth};

/// Whose limits are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// `None` for those of the account.
    pub bot: Option<&'a str>,
    pub limits: &'a Limits,
}

/// Two decimals compare by value; shown they lose the zeros at their end.
fn measure(asked: Decimal, allowed: Decimal, used: Decimal) -> Measure {
    Measure { asked: asked.normalize(), allowed: allowed.normalize(), used: used.normalize() }
}

impl Scope<'_> {
    pub fn deny(&self, rule: Rule, reason: String, measure: Option<Measure>) -> Denial {
        self.deny_by(rule, rule.config_key(), reason, measure)
    }

    pub fn deny_by(&self, rule: Rule, config_key: &'static str, reason: String, measure: Option<Measure>) -> Denial {
        Denial { rule, reason, config_key, bot: self.bot.map(str::to_owned), measure }
    }

    pub fn no_price(&self, needs: Rule, request: &OrderRequest) -> Denial {
        let OrderRequest { symbol, side, .. } = request;
        let reason = format!("no price of {symbol} is known to check this {} order by", side.as_str());
        self.deny_by(Rule::NoPrice, needs.config_key(), reason, None)
    }

    /// Who the numbers in a text belong to.
    fn whose(&self) -> String {
        self.bot.map_or_else(|| "the account".to_owned(), |bot| format!("the bot {bot}"))
    }

    pub fn symbol(&self, symbol: &Symbol) -> Result<(), Denial> {
        match &self.limits.allowed_symbols {
            Some(allowed) if !allowed.contains(symbol) => {
                Err(self.deny(Rule::AllowedSymbols, format!("{symbol} is not among the {} symbols that {} may trade", allowed.len(), self.whose()), None))
            }
            _ => Ok(()),
        }
    }

    pub fn market(&self, request: &OrderRequest, session: MarketSession) -> Result<(), Denial> {
        let symbol = &request.symbol;
        let open = session == MarketSession::Regular || session.is_extended() && request.extended_hours;
        if !self.limits.require_open_market || symbol.is_pair() || open {
            return Ok(());
        }
        let reason = match session {
            MarketSession::Pre => format!("the market of {symbol} has not opened yet, and the order is not for extended hours"),
            MarketSession::Post => format!("the market of {symbol} has closed, and the order is not for extended hours"),
            MarketSession::Closed | MarketSession::Regular => format!("the market of {symbol} is closed"),
        };
        Err(self.deny(Rule::MarketClosed, reason, None))
    }

    pub fn price_age(&self, symbol: &Symbol, sight: &Sight, now: Timestamp) -> Result<(), Denial> {
        let Some(allowed) = self.limits.max_price_age else { return Ok(()) };
        self.fresh(Rule::StalePrice.config_key(), symbol, sight, allowed, now)
    }

    pub fn fresh(&self, config_key: &'static str, symbol: &Symbol, sight: &Sight, allowed: Duration, now: Timestamp) -> Result<(), Denial> {
        let priced = sight.price(Side::Buy).or_else(|| sight.price(Side::Sell)).is_some();
        let (reason, measured) = match sight.age(now).filter(|_| priced) {
            Some(age) if age <= allowed => return Ok(()),
            Some(age) => {
                (format!("the last price of {symbol} is {age:?} old, allowed are {allowed:?}"), Some(measure(seconds(age), seconds(allowed), Decimal::ZERO)))
            }
            None => (format!("no price of {symbol} was seen yet, and one not older than {allowed:?} is needed"), None),
        };
        Err(self.deny_by(Rule::StalePrice, config_key, reason, measured))
    }

    /// True when the account has lost so much that positions may only be reduced.
    pub fn is_loss_reached(&self, loss: Decimal) -> bool {
        self.limits.max_daily_loss.is_some_and(|allowed| loss >= allowed)
    }

    pub fn quantity(&self, request: &OrderRequest, sight: &Sight) -> Result<(), Denial> {
        let Some(allowed) = self.limits.max_order_quantity else { return Ok(()) };
        let Some(asked) = units(request, sight) else { return Err(self.no_price(Rule::MaxOrderQuantity, request)) };
        if asked <= allowed {
            return Ok(());
        }
        let m = measure(asked, allowed, Decimal::ZERO);
        Err(self.deny(Rule::MaxOrderQuantity, format!("the order is for {} units, allowed are {}", m.asked, m.allowed), Some(m)))
    }

    pub fn value(&self, request: &OrderRequest, sight: &Sight) -> Result<(), Denial> {
        let Some(allowed) = self.limits.max_order_value else { return Ok(()) };
        let Some(asked) = value(request, sight, self.limits.max_slippage) else { return Err(self.no_price(Rule::MaxOrderValue, request)) };
        if asked <= allowed {
            return Ok(());
        }
        let m = measure(asked, allowed, Decimal::ZERO);
        Err(self.deny(Rule::MaxOrderValue, format!("the order is worth {}, allowed are {}", m.asked, m.allowed), Some(m)))
    }

    /// Prices at which the order would trade at once: a limit beyond the quote, a stop that the market has passed
    /// already. On the other side an order waits, however far it is. The limit behind a stop is held against the stop.
    pub fn collar(&self, request: &OrderRequest, sight: &Sight) -> Result<(), Denial> {
        let Some(collar) = self.limits.price_collar else { return Ok(()) };
        let side = request.side;
        if request.kind.limit().is_none() && request.kind.stop().is_none() {
            return Ok(());
        }
        let Some(quote) = sight.price(side) else { return Err(self.no_price(Rule::PriceCollar, request)) };
        if let Some(stop) = request.kind.stop() {
            self.within("stop", stop.value(), side.opposite(), quote, "the quote", collar)?;
        }
        match (request.kind, side) {
            (OrderType::Limit { limit }, _) => self.within("limit", limit.value(), side, quote, "the quote", collar),
            (OrderType::StopLimit { stop, limit }, Side::Buy) if stop.value() > quote => {
                self.within("limit", limit.value(), side, stop.value(), "its stop", collar)
            }
            (OrderType::StopLimit { stop, limit }, Side::Sell) if stop.value() < quote => {
                self.within("limit", limit.value(), side, stop.value(), "its stop", collar)
            }
            (OrderType::StopLimit { limit, .. }, _) => self.within("limit", limit.value(), side, quote, "the quote", collar),
            _ => Ok(()),
        }
    }

    fn within(&self, what: &str, price: Decimal, towards: Side, from: Decimal, of: &str, collar: Decimal) -> Result<(), Denial> {
        let m = measure(price, beyond(towards, from, collar), from);
        let inside = match towards {
            Side::Buy => m.asked <= m.allowed,
            Side::Sell => m.asked >= m.allowed,
        };
        if inside {
            return Ok(());
        }
        let (beyond, most) = if towards == Side::Buy { ("above", "at most") } else { ("below", "at least") };
        let reason = format!("the {what} {} is too far {beyond} {of} of {}, allowed is {most} {}", m.asked, m.used, m.allowed);
        Err(self.deny(Rule::PriceCollar, reason, Some(m)))
    }

    /// `position` is the one that leaves the order the least room, `open` what the other orders of its side may fill.
    pub fn position(&self, request: &OrderRequest, asked: Decimal, position: Decimal, open: Decimal) -> Result<(), Denial> {
        let Some(allowed) = self.limits.max_position_size else { return Ok(()) };
        let used = request.side.signed(position).saturating_add(open);
        let after = used.saturating_add(asked);
        if after <= allowed {
            return Ok(());
        }
        let m = measure(asked, allowed, used);
        let way = if request.side == Side::Buy { "long" } else { "short" };
        let reason = format!(
            "{} could come to {} units of {} {way}, allowed are {}: the position is {}, open orders add {}, this order {}",
            self.whose(),
            after.normalize(),
            request.symbol,
            m.allowed,
            position.normalize(),
            open.normalize(),
            m.asked
        );
        Err(self.deny(Rule::MaxPositionSize, reason, Some(m)))
    }

    pub fn open_orders(&self, open: impl Fn() -> u32) -> Result<(), Denial> {
        let Some(allowed) = self.limits.max_open_orders else { return Ok(()) };
        let open = open();
        if open < allowed {
            return Ok(());
        }
        let m = measure(Decimal::ONE, allowed.into(), open.into());
        Err(self.deny(Rule::MaxOpenOrders, format!("{} has {open} open orders, allowed are {allowed}", self.whose()), Some(m)))
    }

    pub fn rate(&self, sent: impl Fn() -> u32) -> Result<(), Denial> {
        let Some(allowed) = self.limits.max_orders_per_minute else { return Ok(()) };
        let sent = sent();
        if sent < allowed {
            return Ok(());
        }
        let m = measure(Decimal::ONE, allowed.into(), sent.into());
        let reason = format!("{} has sent {sent} orders and changes in the last minute, allowed are {allowed}", self.whose());
        Err(self.deny(Rule::MaxOrdersPerMinute, reason, Some(m)))
    }
}

fn seconds(span: Duration) -> Decimal {
    Decimal::from(span.as_secs()).saturating_add(Decimal::new(span.subsec_nanos().into(), 9))
}

/// Units of an order; of one by money those that the lowest price it may meet would buy. `None` without a price.
pub(super) fn units(request: &OrderRequest, sight: &Sight) -> Option<Decimal> {
    match request.size {
        Size::Quantity(quantity) => Some(quantity.value()),
        Size::Notional(money) => {
            let named = request.kind.limit().or(request.kind.stop()).map(|price| price.value());
            let price = [named, sight.price(request.side)].into_iter().flatten().min()?;
            let units = money.value().checked_div(price)?;
            Some(units.round_dp_with_strategy(9, RoundingStrategy::AwayFromZero))
        }
    }
}

/// The most that an order may be worth. What trades at the market once triggered may slip by `slippage` more.
/// `None` when that depends on a price that nobody knows.
fn value(request: &OrderRequest, sight: &Sight, slippage: Option<Decimal>) -> Option<Decimal> {
    let quantity = match request.size {
        Size::Notional(money) => return Some(money.value()),
        Size::Quantity(quantity) => quantity.value(),
    };
    let (side, quote) = (request.side, sight.price(request.side));
    let slipped = |price: Decimal| if side == Side::Buy { beyond(side, price, slippage.unwrap_or_default()) } else { price };
    let price = match (request.kind, side) {
        (OrderType::Limit { limit } | OrderType::StopLimit { limit, .. }, Side::Buy) => limit.value(),
        // A seller may be paid more than his limit.
        (OrderType::Limit { limit }, Side::Sell) => quote.map_or(limit.value(), |bid| bid.max(limit.value())),
        (OrderType::StopLimit { stop, limit }, Side::Sell) => stop.value().max(limit.value()),
        (OrderType::Stop { stop }, Side::Buy) => slipped(quote.map_or(stop.value(), |ask| ask.max(stop.value()))),
        (OrderType::Stop { stop }, Side::Sell) => stop.value(),
        (OrderType::Market, _) => slipped(quote?),
        (OrderType::TrailingStop { trail: Trail::Price(trail) }, Side::Buy) => slipped(quote?.saturating_add(trail.value())),
        (OrderType::TrailingStop { trail: Trail::Percent(trail) }, Side::Buy) => slipped(beyond(side, quote?, trail.value() / Decimal::ONE_HUNDRED)),
        (OrderType::TrailingStop { .. }, Side::Sell) => quote?,
    };
    Some(worth(price, quantity))
}
