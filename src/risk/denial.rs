//! Why something does not leave: the rule, the numbers, and the setting to change.
//!
//! Must not know how a rule is checked.

use std::fmt;

use rust_decimal::Decimal;

/// The rule that said no; its name is a label of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    Halted,
    ReduceOnly,
    /// The client order id names an order that is open already.
    DuplicateId,
    /// The new name of an order names another bot than the one that the order belongs to.
    ForeignName,
    AllowedSymbols,
    MarketClosed,
    /// The price is too old, or there never was one.
    StalePrice,
    /// A limit cannot be checked, or a market order protected, without a price.
    NoPrice,
    MaxDailyLoss,
    MaxOrderQuantity,
    MaxOrderValue,
    PriceCollar,
    MaxPositionSize,
    MaxOpenOrders,
    MaxOrdersPerMinute,
}

impl Rule {
    /// The setting that decides; empty where none does.
    pub fn config_key(self) -> &'static str {
        match self {
            Rule::Halted | Rule::ReduceOnly | Rule::DuplicateId | Rule::ForeignName | Rule::NoPrice => "",
            Rule::AllowedSymbols => "risk_limits.allowed_symbols",
            Rule::MarketClosed => "risk_limits.require_open_market",
            Rule::StalePrice => "risk_limits.max_price_age",
            Rule::MaxDailyLoss => "risk_limits.max_daily_loss",
            Rule::MaxOrderQuantity => "risk_limits.max_order_quantity",
            Rule::MaxOrderValue => "risk_limits.max_order_value",
            Rule::PriceCollar => "risk_limits.price_collar",
            Rule::MaxPositionSize => "risk_limits.max_position_size",
            Rule::MaxOpenOrders => "risk_limits.max_open_orders",
            Rule::MaxOrdersPerMinute => "risk_limits.max_orders_per_minute",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Halted => "halted",
            Rule::ReduceOnly => "reduce_only",
            Rule::DuplicateId => "duplicate_id",
            Rule::ForeignName => "foreign_name",
            Rule::AllowedSymbols => "allowed_symbols",
            Rule::MarketClosed => "market_closed",
            Rule::StalePrice => "stale_price",
            Rule::NoPrice => "no_price",
            Rule::MaxDailyLoss => "max_daily_loss",
            Rule::MaxOrderQuantity => "max_order_quantity",
            Rule::MaxOrderValue => "max_order_value",
            Rule::PriceCollar => "price_collar",
            Rule::MaxPositionSize => "max_position_size",
            Rule::MaxOpenOrders => "max_open_orders",
            Rule::MaxOrdersPerMinute => "max_orders_per_minute",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The numbers that a rule compared, in the rule's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    pub asked: Decimal,
    pub allowed: Decimal,
    /// What was used up before.
    pub used: Decimal,
}

/// A no: nothing has left and nothing was counted. Its text says what happened, with the numbers, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", Advice(self))]
pub struct Denial {
    pub rule: Rule,
    pub reason: String,
    /// The setting that decides, such as `risk_limits.max_order_value`; empty where none does.
    pub config_key: &'static str,
    /// Whose limit it is; `None` is the account's.
    pub bot: Option<String>,
    pub measure: Option<Measure>,
}

struct Advice<'a>(&'a Denial);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { config_key, bot, .. } = self.0;
        match bot {
            _ if config_key.is_empty() => Ok(()),
            None => write!(f, "; the setting is {config_key}"),
            Some(bot) => write!(f, "; the setting is {config_key} of the bot {bot}"),
        }
    }
}
