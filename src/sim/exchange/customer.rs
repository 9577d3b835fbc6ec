//! What the venue knows of a customer beside money and orders: number, settings, what he held over night.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde::Serialize;

use super::activity::Ledger;
use crate::model::{AccountId, Position, Symbol, Timestamp};

#[derive(Debug)]
pub(in crate::sim) struct Customer {
    pub id: AccountId,
    pub number: String,
    pub created_at: Timestamp,
    pub configuration: Configuration,
    pub ledger: Ledger,
    /// Units held when the last trading day ended.
    overnight: HashMap<Symbol, Decimal>,
}

/// What a customer may set, as the venue writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::sim) struct Configuration {
    pub fractional_trading: bool,
    pub max_margin_multiplier: String,
    pub no_shorting: bool,
    pub suspend_trade: bool,
    pub trade_confirm_email: String,
    pub ptp_no_exception_entry: bool,
    pub max_options_trading_level: Option<u8>,
    pub disable_overnight_trading: bool,
    /// Known only in the shape before July 2026.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pdt_check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtbp_check: Option<String>,
}

impl Configuration {
    fn new(margin: Decimal, day_trading: bool) -> Configuration {
        let check = |word: &str| day_trading.then(|| word.to_owned());
        Configuration {
            fractional_trading: true,
            max_margin_multiplier: margin.normalize().to_string(),
            no_shorting: false,
            suspend_trade: false,
            trade_confirm_email: "all".to_owned(),
            ptp_no_exception_entry: false,
            max_options_trading_level: None,
            disable_overnight_trading: false,
            pdt_check: check("entry"),
            dtbp_check: check("entry"),
        }
    }
}

impl Customer {
    pub(super) fn new(id: AccountId, number: String, created_at: Timestamp, margin: Decimal, day_trading: bool) -> Customer {
        let configuration = Configuration::new(margin, day_trading);
        Customer { id, number, created_at, configuration, ledger: Ledger::default(), overnight: HashMap::new() }
    }

    /// The trading day is over with these positions.
    pub(super) fn day_ended(&mut self, positions: &[Position]) {
        self.overnight = positions.iter().map(|position| (position.symbol.clone(), position.quantity)).collect();
    }

    /// Units of a position that were held before today.
    pub(in crate::sim) fn held_over_night(&self, position: &Position) -> Decimal {
        let before = self.overnight.get(&position.symbol).copied().unwrap_or_default();
        if before.is_sign_negative() == position.quantity.is_sign_negative() {
            // The smaller of both in size: what was sold today is not held any more.
            if before.abs() < position.quantity.abs() { before } else { position.quantity }
        } else {
            Decimal::ZERO
        }
    }
}
