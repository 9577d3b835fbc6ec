//! One account: its money, its positions, the names and executions of its orders.
//!
//! Must not know prices beyond those of executions, nor the market.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use rust_decimal::Decimal;

use super::store::Seq;
use crate::model::{AccountId, ClientOrderId, Fill, Position, Side, Symbol, worth};

/// Executions beyond this number are forgotten, oldest first.
const MAX_FILLS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Ledger {
    pub id: AccountId,
    pub currency: String,
    pub cash: Decimal,
    pub realised: Decimal,
    pub fees: Decimal,
    pub equity_at_open: Decimal,
    /// Flat ones stay: what they have gained is remembered.
    pub positions: BTreeMap<Symbol, Position>,
    /// All orders that are remembered.
    pub orders: BTreeSet<Seq>,
    pub open: BTreeSet<Seq>,
    /// All names that were ever used.
    pub names: HashMap<ClientOrderId, Seq, foldhash::fast::RandomState>,
    pub fills: VecDeque<Fill>,
}

impl Ledger {
    pub fn new(id: AccountId, currency: &str, cash: Decimal) -> Ledger {
        Ledger {
            id,
            currency: currency.to_owned(),
            cash,
            realised: Decimal::ZERO,
            fees: Decimal::ZERO,
            equity_at_open: cash,
            positions: BTreeMap::new(),
            orders: BTreeSet::new(),
            open: BTreeSet::new(),
            names: HashMap::default(),
            fills: VecDeque::new(),
        }
    }

    pub fn units(&self, symbol: &str) -> Decimal {
        self.positions.get(symbol).map_or(Decimal::ZERO, |position| position.quantity)
    }

    /// Books an execution; returns the position after it.
    pub fn execute(&mut self, symbol: &Symbol, side: Side, price: Decimal, quantity: Decimal, fees: Decimal) -> &Position {
        self.cash -= side.signed(worth(price, quantity)) + fees;
        self.fees += fees;
        let position = self.positions.entry(symbol.clone()).or_insert_with(|| Position::flat(symbol.clone()));
        self.realised += position.execute(side, price, quantity);
        position
    }

    pub fn remember(&mut self, fill: Fill) {
        if self.fills.len() == MAX_FILLS {
            self.fills.pop_front();
        }
        self.fills.push_back(fill);
    }
}
