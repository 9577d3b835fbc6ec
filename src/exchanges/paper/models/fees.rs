//! What an execution costs beyond its price.
//!
//! Must not know accounts. Rates are fields: they change by decree.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

use crate::model::{Side, worth};

/// One execution that is to be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    pub side: Side,
    pub price: Decimal,
    pub quantity: Decimal,
    /// Units of the same order that were executed, and charged, before.
    pub before: Decimal,
    /// Money that those units were worth.
    pub before_value: Decimal,
    /// Regulators of securities take their part.
    pub security: bool,
}

impl Execution {
    fn value(&self) -> Decimal {
        worth(self.price, self.quantity)
    }
}

/// A model of fees.
pub trait FeeModel: fmt::Debug + Send + Sync {
    /// Money that is charged for one execution: zero or more.
    fn fees(&self, execution: &Execution) -> Decimal;
}

/// Nothing is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFees;

impl FeeModel for NoFees {
    fn fees(&self, _execution: &Execution) -> Decimal {
        Decimal::ZERO
    }
}

/// A share of what the execution is worth: 0.0025 is 0.25 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommissionRate(pub Decimal);

impl FeeModel for CommissionRate {
    fn fees(&self, execution: &Execution) -> Decimal {
        worth(execution.value(), self.0)
    }
}

/// So much a unit, and at least a minimum for the whole order: its first execution pays the minimum, later ones only
/// what the whole exceeds it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerShare {
    pub rate: Decimal,
    pub minimum: Decimal,
}

impl PerShare {
    fn of_order(&self, quantity: Decimal) -> Decimal {
        if quantity.is_zero() { Decimal::ZERO } else { worth(self.rate, quantity).max(self.minimum) }
    }
}

impl FeeModel for PerShare {
    fn fees(&self, execution: &Execution) -> Decimal {
        self.of_order(execution.before + execution.quantity) - self.of_order(execution.before)
    }
}

/// What regulators take of sales of securities: the section 31 fee, a share of the money, and FINRA's trading activity
/// fee, so much a unit up to a cap. Each is rounded up to the cent over the whole order, as it is on a statement: every
/// execution pays what it adds, so that many small ones cost no more than a large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegulatoryFees {
    pub section31_per_million: Decimal,
    pub taf_per_share: Decimal,
    pub taf_cap: Decimal,
}

impl Default for RegulatoryFees {
    fn default() -> RegulatoryFees {
        RegulatoryFees { section31_per_million: Decimal::new(2060, 2), taf_per_share: Decimal::new(195, 6), taf_cap: Decimal::new(979, 2) }
    }
}

impl RegulatoryFees {
    fn of_order(&self, quantity: Decimal, value: Decimal) -> Decimal {
        let section31 = value.saturating_mul(self.section31_per_million) * Decimal::new(1, 6);
        let taf = quantity.saturating_mul(self.taf_per_share);
        up_to_the_cent(section31) + up_to_the_cent(taf).min(self.taf_cap)
    }
}

fn up_to_the_cent(money: Decimal) -> Decimal {
    money.round_dp_with_strategy(2, RoundingStrategy::ToPositiveInfinity)
}

impl FeeModel for RegulatoryFees {
    fn fees(&self, execution: &Execution) -> Decimal {
        if execution.side == Side::Buy || !execution.security {
            return Decimal::ZERO;
        }
        let (quantity, value) = (execution.before + execution.quantity, execution.before_value + execution.value());
        self.of_order(quantity, value) - self.of_order(execution.before, execution.before_value)
    }
}

/// All of several models together.
#[derive(Debug)]
pub struct Combined(pub Vec<Box<dyn FeeModel>>);

impl FeeModel for Combined {
    fn fees(&self, execution: &Execution) -> Decimal {
        self.0.iter().map(|model| model.fees(execution)).sum()
    }
}
