//! How much of the limits is taken.
//!
//! Must not know the limits.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::model::Symbol;

/// What is used of the limits, for status pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    pub open_orders: u32,
    pub orders_last_minute: u32,
    pub bots: BTreeMap<String, BotUsage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BotUsage {
    pub open_orders: u32,
    pub orders_last_minute: u32,
    /// What its orders have bought and sold.
    pub positions: BTreeMap<Symbol, Decimal>,
}
