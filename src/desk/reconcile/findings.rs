//! What a look has found: updates that nobody had told, positions that differ.
//!
//! Must not know how it was found.

use rust_decimal::Decimal;

use crate::events::OrderUpdate;
use crate::model::{OrderChange, Symbol};

/// An update that nobody had told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    pub order_id: String,
    pub client_order_id: String,
    pub change: OrderChange,
    pub quantity: Option<Decimal>,
}

impl Repair {
    pub(super) fn of(update: &OrderUpdate) -> Repair {
        Repair {
            order_id: update.order.id.to_string(),
            client_order_id: update.order.request.client_order_id.to_string(),
            change: update.change,
            quantity: update.fill.as_ref().map(|fill| fill.quantity),
        }
    }
}

/// A position of which the venue says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    pub symbol: Symbol,
    pub ours: Decimal,
    pub venues: Decimal,
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    pub checked: usize,
    pub repaired: Vec<Repair>,
    pub replayed: usize,
    pub differ: Vec<Differs>,
    /// Something is not accounted for yet.
    pub again_soon: bool,
}

impl Findings {
    pub fn tell(&self, account: &str) {
        if self.replayed > 0 || !self.repaired.is_empty() {
            log::warn!(
                "account {account}: {} updates had been missed and were told now, {} of them found by comparing",
                self.replayed + self.repaired.len(),
                self.repaired.len()
            );
        }
        for Differs { symbol, ours, venues } in &self.differ {
            log::error!("account {account}: the position in {symbol} is {venues}, by the executions that we know it would be {ours}; the venue's word counts");
        }
    }
}
