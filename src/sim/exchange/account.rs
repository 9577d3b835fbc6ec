//! One customer's money and positions. Decimal throughout.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rust_decimal::Decimal;

use super::Seq;
use crate::model::Timestamp;

/// What a new account starts with, as the venue's paper accounts do.
const OPENING_CASH: Decimal = Decimal::from_parts(100_000, 0, 0, false, 0);

#[derive(Debug)]
pub(in crate::sim) struct Account {
    pub id: String,
    pub number: String,
    pub created_at: Timestamp,
    pub cash: Decimal,
    pub positions: BTreeMap<String, Position>,
    /// All orders that are remembered, in the order of their submission.
    pub(super) orders: BTreeSet<Seq>,
    pub(super) client_ids: HashMap<String, Seq>,
}

/// Units of one asset: below zero when sold short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::sim) struct Position {
    pub quantity: Decimal,
    pub entry_price: Decimal,
}

impl Account {
    pub(super) fn new(id: String, number: String, created_at: Timestamp) -> Account {
        Account { id, number, created_at, cash: OPENING_CASH, positions: BTreeMap::new(), orders: BTreeSet::new(), client_ids: HashMap::new() }
    }

    pub(in crate::sim) fn position(&self, symbol: &str) -> Position {
        self.positions.get(symbol).copied().unwrap_or_default()
    }

    /// Books an execution; returns the position after it.
    pub(super) fn execute(&mut self, symbol: &str, signed: Decimal, price: Decimal) -> Decimal {
        self.cash -= signed.saturating_mul(price);
        let position = self.positions.entry(symbol.to_owned()).or_default();
        position.change(signed, price);
        let quantity = position.quantity;
        if quantity.is_zero() {
            self.positions.remove(symbol);
        }
        quantity
    }
}

impl Position {
    fn change(&mut self, signed: Decimal, price: Decimal) {
        let after = self.quantity + signed;
        let grows = self.quantity.is_zero() || self.quantity.is_sign_negative() == signed.is_sign_negative();
        if grows && !after.is_zero() {
            let paid = self.entry_price.saturating_mul(self.quantity) + price.saturating_mul(signed);
            self.entry_price = paid.checked_div(after).unwrap_or(price).round_dp(9);
        } else if signed.abs() > self.quantity.abs() {
            self.entry_price = price;
        }
        self.quantity = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn entry_prices_average_keep_and_restart() {
        let mut account = Account::new(String::new(), String::new(), Timestamp::default());
        assert_eq!(account.execute("X", dec("10"), dec("100")), dec("10"));
        assert_eq!(account.execute("X", dec("10"), dec("110")), dec("20"));
        assert_eq!(account.position("X").entry_price, dec("105"));
        assert_eq!(account.execute("X", dec("-5"), dec("200")), dec("15"));
        assert_eq!(account.position("X").entry_price, dec("105"));
        assert_eq!(account.execute("X", dec("-20"), dec("90")), dec("-5"));
        assert_eq!(account.position("X").entry_price, dec("90"));
        assert_eq!(account.execute("X", dec("5"), dec("80")), dec("0"));
        assert!(account.positions.is_empty());
        assert_eq!(account.cash, dec("100300"));
    }
}
