//! Every step of an order: its new state, the event that tells it, and its end.
//!
//! Must not know why a step is taken.

use std::sync::Arc;

use super::Engine;
use super::store::Seq;
use crate::events::{AccountRef, Event, OrderUpdate, Source};
use crate::model::{AccountId, ExecutionId, Fill, Order, OrderChange, OrderStatus, OrderTimes, Timestamp, VenueOrderId};

impl Engine {
    /// Takes one step of an order and tells it. A step that no order can take is a fault of this engine.
    pub(super) fn step(&mut self, seq: Seq, change: OrderChange, reason: Option<&str>, at: Timestamp) {
        self.step_filled(seq, change, reason, None, at);
    }

    pub(super) fn step_filled(&mut self, seq: Seq, change: OrderChange, reason: Option<&str>, fill: Option<Fill>, at: Timestamp) {
        let Some(entry) = self.store.get_mut(seq) else { return };
        let order = Arc::make_mut(&mut entry.order);
        // The first event of an order says where it begins.
        if change != OrderChange::PendingNew || order.status != OrderStatus::PendingNew {
            match order.status.after(change) {
                // Back in the market, or there in place of another: what was filled stays filled.
                Ok(OrderStatus::New) if !order.filled.is_zero() => order.status = OrderStatus::PartiallyFilled,
                Ok(next) => order.status = next,
                Err(illegal) => {
                    debug_assert!(false, "{illegal}: {order:?}");
                    return;
                }
            }
        }
        stamp(&mut order.times, change, at);
        self.tell(seq, change, reason, fill, at);
        self.settle(seq);
    }

    /// Tells something about an order that is no step of it.
    pub(super) fn tell(&mut self, seq: Seq, change: OrderChange, reason: Option<&str>, fill: Option<Fill>, at: Timestamp) {
        let execution_id = match &fill {
            Some(fill) => Some(fill.execution_id.clone()),
            None if change == OrderChange::PendingNew => None,
            None => Some(self.new_execution()),
        };
        let Some(entry) = self.store.get(seq) else { return };
        let of = self.of(&entry.account);
        let update = OrderUpdate {
            of,
            change,
            order: Arc::clone(&entry.order),
            execution_id,
            fill,
            reason: reason.map(str::to_owned),
            at,
            source: Source::Stream,
            words: None,
        };
        self.events.push(Event::OrderUpdated(update));
    }

    pub(super) fn of(&self, account: &AccountId) -> AccountRef {
        AccountRef { broker: self.settings.broker.clone(), account: account.clone() }
    }

    pub(super) fn edit(&mut self, seq: Seq, edit: impl FnOnce(&mut Order)) {
        if let Some(entry) = self.store.get_mut(seq) {
            edit(Arc::make_mut(&mut entry.order));
        }
    }

    /// Takes an order that has ended out of the market.
    fn settle(&mut self, seq: Seq) {
        let Some(entry) = self.store.get(seq).filter(|entry| entry.is_open() && !entry.order.status.is_open()) else { return };
        if let Some(ledger) = self.accounts.get_mut(&entry.account) {
            ledger.open.remove(&seq);
        }
        if let Some(forgotten) = self.store.close(seq)
            && let Some(ledger) = self.accounts.get_mut(&forgotten.account)
            && let Some(number) = ledger.names.get(&forgotten.order.request.client_order_id).copied()
        {
            ledger.orders.remove(&number);
        }
    }

    pub(super) fn new_id(&mut self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let bits = self.names.u128(..);
        let mut text = String::with_capacity(36);
        for digit in 0..32u32 {
            if matches!(digit, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            let nibble = match digit {
                12 => 4,
                16 => (bits >> 64) as usize & 0x3 | 0x8,
                _ => (bits >> (digit * 4)) as usize & 0xf,
            };
            text.push(char::from(HEX[nibble & 0xf]));
        }
        text
    }

    pub(super) fn new_execution(&mut self) -> ExecutionId {
        loop {
            if let Ok(id) = self.new_id().parse() {
                return id;
            }
        }
    }

    pub(super) fn new_order_id(&mut self) -> VenueOrderId {
        loop {
            let id = self.new_id();
            if let (false, Ok(id)) = (self.store.knows(&id), id.parse()) {
                return id;
            }
        }
    }
}

fn stamp(times: &mut OrderTimes, change: OrderChange, at: Timestamp) {
    times.updated = at;
    match change {
        OrderChange::PartialFill | OrderChange::Fill => times.filled = Some(at),
        OrderChange::Canceled => times.canceled = Some(at),
        OrderChange::Expired => times.expired = Some(at),
        OrderChange::Rejected => times.failed = Some(at),
        OrderChange::Replaced => times.replaced = Some(at),
        _ => {}
    }
}
