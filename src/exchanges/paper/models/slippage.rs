//! How much worse than the displayed price an order is filled that takes what is displayed.
//!
//! Must not know limits: a limit order is never filled beyond its limit, whatever a model says.

use std::fmt;

use rust_decimal::Decimal;

use crate::model::Side;

/// An order about to take what somebody displays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taking {
    pub side: Side,
    /// The displayed price on the other side.
    pub price: Decimal,
    pub quantity: Decimal,
    /// Units displayed at that price.
    pub displayed: Decimal,
}

/// A model of slippage.
pub trait SlippageModel: fmt::Debug + Send + Sync {
    /// How much worse one unit is than the displayed price: zero or more, in money.
    fn amount(&self, taking: &Taking) -> Decimal;
}

/// Orders are filled at the displayed price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSlippage;

impl SlippageModel for NoSlippage {
    fn amount(&self, _taking: &Taking) -> Decimal {
        Decimal::ZERO
    }
}

/// The same amount of money for every unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed(pub Decimal);

impl SlippageModel for Fixed {
    fn amount(&self, _taking: &Taking) -> Decimal {
        self.0
    }
}

/// A share of the displayed price: 0.001 is 0.1 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentage(pub Decimal);

impl SlippageModel for Percentage {
    fn amount(&self, taking: &Taking) -> Decimal {
        taking.price.saturating_mul(self.0)
    }
}

/// Slippage that grows with the size of the order:
/// `price * min(base + slope * quantity / displayed, ceiling)`.
/// Where nothing is displayed it is `price * ceiling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketImpact {
    /// Share of the price that the smallest order pays.
    pub base: Decimal,
    /// Share of the price that an order as large as the displayed size pays on top.
    pub slope: Decimal,
    /// Share of the price that no order exceeds.
    pub ceiling: Decimal,
}

impl SlippageModel for MarketImpact {
    fn amount(&self, taking: &Taking) -> Decimal {
        let share = taking.quantity.checked_div(taking.displayed).map_or(self.ceiling, |ratio| self.slope.saturating_mul(ratio).saturating_add(self.base));
        taking.price.saturating_mul(share.min(self.ceiling))
    }
}
