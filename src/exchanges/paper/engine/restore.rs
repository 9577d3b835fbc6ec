//! Taking up an account where another run left it.
//!
//! Must not know where it was kept.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::Engine;
use super::ledger::Ledger;
use super::means::reserve_price;
use super::store::{Place, Seq};
use super::timers::Due;
use crate::model::{AccountId, Fill, Order, OrderChange, OrderClass, OrderStatus, OrderType, Position, PositionIntent, Timestamp, VenueOrderId};

/// All that an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    pub id: AccountId,
    pub currency: String,
    pub cash: Decimal,
    pub realised: Decimal,
    pub fees: Decimal,
    pub equity_at_open: Decimal,
    /// Flat ones too, for what they have gained.
    pub positions: Vec<Position>,
    /// As submitted; closed ones too, so that no name is used twice.
    pub orders: Vec<Arc<Order>>,
    /// Open stops that have been triggered.
    pub triggered: Vec<VenueOrderId>,
    /// Oldest first.
    pub fills: Vec<Fill>,
}

impl Engine {
    /// All that an account is, as [`Engine::restore`] takes it.
    pub fn state(&self, id: &AccountId) -> Option<AccountState> {
        let ledger = self.accounts.get(id)?;
        Some(AccountState {
            id: ledger.id.clone(),
            currency: ledger.currency.clone(),
            cash: ledger.cash,
            realised: ledger.realised,
            fees: ledger.fees,
            equity_at_open: ledger.equity_at_open,
            positions: ledger.positions.values().cloned().collect(),
            orders: self.orders(id).map(|(_, order)| Arc::clone(order)).collect(),
            triggered: self.triggered(ledger),
            fills: ledger.fills.iter().cloned().collect(),
        })
    }

    fn triggered(&self, ledger: &Ledger) -> Vec<VenueOrderId> {
        let open = ledger.open.iter().filter_map(|seq| self.store.get(*seq));
        open.filter(|entry| entry.triggered).map(|entry| entry.order.id.clone()).collect()
    }

    /// Takes up an account after a restart; nothing is told. Resting orders rest again behind the queue, what was on its
    /// way starts its way again, and stops that were not triggered wait for their price.
    pub fn restore(&mut self, state: AccountState, now: Timestamp) {
        let now = self.begin(now);
        let mut ledger = Ledger::new(state.id.clone(), &state.currency, state.cash);
        (ledger.realised, ledger.fees, ledger.equity_at_open) = (state.realised, state.fees, state.equity_at_open);
        ledger.positions = state.positions.into_iter().map(|position| (position.symbol.clone(), position)).collect();
        state.fills.into_iter().for_each(|fill| ledger.remember(fill));
        self.accounts.insert(state.id.clone(), ledger);
        let taken: Vec<Seq> = state.orders.into_iter().map(|order| self.take_up(&state.id, order)).collect();
        for id in &state.triggered {
            if let Some(entry) = self.store.by_id(id).and_then(|seq| self.store.get_mut(seq)) {
                entry.triggered = true;
            }
        }
        taken.iter().for_each(|seq| self.tie(*seq));
        taken.into_iter().for_each(|seq| self.go_on(seq, now));
    }

    fn take_up(&mut self, account: &AccountId, order: Arc<Order>) -> Seq {
        let place = match order.status {
            status if !status.is_open() => Place::Done,
            OrderStatus::Accepted => Place::Queued,
            OrderStatus::PendingNew => Place::Underway,
            OrderStatus::Held => Place::Waiting,
            _ => Place::Market,
        };
        let opens = matches!(order.intent, Some(PositionIntent::BuyToOpen | PositionIntent::SellToOpen));
        let reserve = self.listed.get(&order.request.symbol).filter(|_| opens).and_then(|listed| reserve_price(listed, &order.request));
        self.adopt(account, Arc::unwrap_or_clone(order), place, reserve.unwrap_or_default())
    }

    /// Finds the orders that an order hangs together with.
    fn tie(&mut self, seq: Seq) {
        let Some(entry) = self.store.get(seq) else { return };
        let order = Arc::clone(&entry.order);
        let legs: Vec<Seq> = order.legs.iter().filter_map(|id| self.store.by_id(id)).collect();
        let parent = order.parent.as_ref().and_then(|id| self.store.by_id(id));
        let replaces = order.replaces.as_ref().and_then(|id| self.store.by_id(id)).filter(|_| order.status == OrderStatus::PendingNew);
        if order.status.is_open() || !legs.is_empty() {
            match (order.request.class, legs.as_slice()) {
                (OrderClass::Oco { .. }, [loss]) => self.pair(seq, *loss),
                (OrderClass::Bracket { .. }, [profit, loss]) => self.pair(*profit, *loss),
                _ => {}
            }
        }
        if let Some(entry) = self.store.get_mut(seq) {
            (entry.legs, entry.parent, entry.replaces) = (legs, parent, replaces);
        }
    }

    /// What was under way when the other run ended.
    fn go_on(&mut self, seq: Seq, now: Timestamp) {
        let Some(entry) = self.store.get(seq) else { return };
        let (status, replaces, place) = (entry.order.status, entry.replaces, entry.place);
        let parent = entry.parent.and_then(|parent| self.store.get(parent)).map(|parent| parent.order.status);
        let lone = status == OrderStatus::PendingReplace && !self.is_being_replaced(seq);
        match (place, replaces) {
            (Place::Queued, _) => self.timers.set(now, Due::Release(seq)),
            (Place::Underway, Some(old)) => self.timers.set(now, Due::Replace { old, new: seq }),
            (Place::Underway, None) => self.timers.set(now, Due::Enter(seq)),
            (Place::Waiting, _) if parent == Some(OrderStatus::Filled) => self.timers.set(now, Due::Wake(seq)),
            (Place::Market, _) if status == OrderStatus::PendingCancel => self.timers.set(now, Due::Cancel(seq)),
            (Place::Market, _) if lone => self.edit(seq, |order| {
                order.status = order.status.after(OrderChange::ReplaceRejected).unwrap_or(order.status);
            }),
            _ => {}
        }
        if let Some(entry) = self.store.get_mut(seq).filter(|entry| entry.place == Place::Market) {
            entry.rests = match entry.order.request.kind {
                OrderType::Limit { .. } => true,
                OrderType::StopLimit { .. } => entry.triggered,
                _ => false,
            };
        }
    }

    fn is_being_replaced(&self, old: Seq) -> bool {
        let symbol = self.store.get(old).map(|entry| &entry.order.request.symbol);
        symbol.is_some_and(|symbol| self.store.open_of(symbol.as_str()).iter().any(|seq| self.store.get(*seq).is_some_and(|entry| entry.replaces == Some(old))))
    }
}
