//! New orders: their birth, their legs, their way to the market.
//!
//! Must not know how they are matched.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::admission::{Admitted, trailing_stop};
use super::refusal::Refusal;
use super::store::{Entry, Place, Seq, Terms, Wish};
use super::timers::Due;
use super::{Engine, form};
use crate::model::{
    AccountId, ClientOrderId, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, PositionIntent, Side, TimeInForce, Timestamp,
};

impl Engine {
    /// Takes an order; returns it as it is on arrival. What follows comes as events.
    pub fn place(&mut self, account: &AccountId, request: OrderRequest, now: Timestamp) -> Result<Arc<Order>, Refusal> {
        let now = self.begin(now);
        let admitted = self.admit(account, &request)?;
        let seq = self.birth(account, request, admitted, now);
        let change = if admitted.queued { OrderChange::Accepted } else { OrderChange::PendingNew };
        self.step(seq, change, None, now);
        let legs = self.store.get(seq).map(|entry| entry.legs.clone()).unwrap_or_default();
        legs.into_iter().for_each(|leg| self.step(leg, OrderChange::Held, None, now));
        let born = self.store.get(seq).map(|entry| Arc::clone(&entry.order)).ok_or(Refusal::UnknownOrder)?;
        if !admitted.queued {
            self.send(seq, now);
        }
        Ok(born)
    }

    /// Puts an order on its way to the market.
    pub(super) fn send(&mut self, seq: Seq, now: Timestamp) {
        let due = self.arrival(now);
        if let Some(entry) = self.store.get_mut(seq) {
            entry.due = due.nanos();
        }
        if due == now {
            self.enter(seq, now);
        } else {
            self.timers.set(due, Due::Enter(seq));
        }
    }

    /// When something that leaves now reaches the market.
    pub(super) fn arrival(&mut self, now: Timestamp) -> Timestamp {
        Timestamp::from_nanos(now.nanos().saturating_add(self.settings.latency.draw(&mut self.chance)))
    }

    /// An order reaches the market.
    pub(super) fn enter(&mut self, seq: Seq, at: Timestamp) {
        let Some(entry) = self.store.get_mut(seq).filter(|entry| entry.place == Place::Underway) else { return };
        entry.place = Place::Market;
        let cancelling = entry.wish == Some(Wish::Cancel);
        let together = matches!(entry.order.request.class, OrderClass::Oco { .. }).then(|| entry.legs.clone()).unwrap_or_default();
        self.step(seq, OrderChange::New, None, at);
        if cancelling {
            self.step(seq, OrderChange::PendingCancel, None, at);
        }
        together.iter().for_each(|leg| self.wake(*leg, at));
        self.meet(seq, at);
        together.into_iter().for_each(|leg| self.meet(leg, at));
    }

    /// An order that waited for another stands in the market.
    pub(super) fn wake(&mut self, seq: Seq, at: Timestamp) {
        if let Some(entry) = self.store.get_mut(seq).filter(|entry| entry.place == Place::Waiting) {
            entry.place = Place::Market;
            self.step(seq, OrderChange::New, None, at);
        }
    }

    /// An order meets the market for the first time.
    pub(super) fn meet(&mut self, seq: Seq, at: Timestamp) {
        let stop = self.store.get(seq).filter(|entry| self.trades_now(entry) && entry.terms(self.settings.collar) == Terms::Dormant);
        if let Some(side) = stop.map(|entry| entry.order.request.side) {
            self.trigger_at_touch(seq, side, at);
        }
        self.attempt(seq, at);
        let open = self.store.get(seq).filter(|entry| entry.place == Place::Market);
        if open.is_some_and(|entry| matches!(entry.order.request.time_in_force, TimeInForce::Ioc | TimeInForce::Fok)) {
            self.end(seq, OrderChange::Canceled, "it could not be filled at once", at);
        }
    }

    fn birth(&mut self, account: &AccountId, request: OrderRequest, admitted: Admitted, now: Timestamp) -> Seq {
        let class = request.class;
        let place = if admitted.queued { Place::Queued } else { Place::Underway };
        let mut order = self.blank(request, now);
        order.intent = Some(admitted.means.intent);
        if let (OrderType::TrailingStop { trail }, Some(mark)) = (order.request.kind, admitted.high_water) {
            order.high_water = Some(mark);
            order.trailing_stop = self.instrument(order.request.symbol.as_str()).map(|i| trailing_stop(i, order.request.side, trail, mark));
        }
        let seq = self.adopt(account, order, place, admitted.means.reserve);
        if class != OrderClass::Simple {
            self.bear_legs(account, seq, now);
        }
        seq
    }

    /// An order before its first event.
    pub(super) fn blank(&mut self, request: OrderRequest, now: Timestamp) -> Order {
        Order::new(self.new_order_id(), request, OrderStatus::PendingNew, now)
    }

    /// Enters an order into the books.
    pub(super) fn adopt(&mut self, account: &AccountId, order: Order, place: Place, reserve: Decimal) -> Seq {
        let name = order.request.client_order_id.clone();
        let entry = Entry {
            account: account.clone(),
            order: Arc::new(order),
            place,
            wish: None,
            triggered: false,
            rests: false,
            ahead: None,
            reserve,
            parent: None,
            legs: Vec::new(),
            sibling: None,
            replaces: None,
            due: 0,
        };
        let open = entry.is_open();
        let seq = self.store.insert(entry);
        if let Some(ledger) = self.accounts.get_mut(account) {
            ledger.names.insert(name, seq);
            ledger.orders.insert(seq);
            if open {
                ledger.open.insert(seq);
            }
        }
        seq
    }

    fn bear_legs(&mut self, account: &AccountId, parent: Seq, now: Timestamp) {
        let Some(entry) = self.store.get(parent) else { return };
        let (request, parent_id) = (entry.order.request.clone(), entry.order.id.clone());
        let (profit, loss) = form::exits(&request.class);
        let profit = profit.map(|limit| OrderType::Limit { limit });
        let loss = loss.map(|loss| loss.limit.map_or(OrderType::Stop { stop: loss.stop }, |limit| OrderType::StopLimit { stop: loss.stop, limit }));
        let oco = matches!(request.class, OrderClass::Oco { .. });
        let side = if oco { request.side } else { request.side.opposite() };
        let intent = if side == Side::Sell { PositionIntent::SellToClose } else { PositionIntent::BuyToClose };
        let mut legs = Vec::new();
        for kind in profit.into_iter().chain(loss) {
            let client_order_id = self.new_name(account);
            let leg = OrderRequest { client_order_id, side, kind, class: OrderClass::Simple, ..request.clone() };
            let mut order = self.blank(leg, now);
            order.parent = Some(parent_id.clone());
            order.intent = Some(intent);
            let id = order.id.clone();
            let seq = self.adopt(account, order, Place::Waiting, Decimal::ZERO);
            if let Some(entry) = self.store.get_mut(seq) {
                entry.parent = Some(parent);
            }
            legs.push((seq, id));
        }
        self.edit(parent, |order| order.legs = legs.iter().map(|(_, id)| id.clone()).collect());
        let numbers: Vec<Seq> = legs.into_iter().map(|(seq, _)| seq).collect();
        match (oco, numbers.as_slice()) {
            (true, [loss]) => self.pair(parent, *loss),
            (false, [profit, loss]) => self.pair(*profit, *loss),
            _ => {}
        }
        if let Some(entry) = self.store.get_mut(parent) {
            entry.legs = numbers;
        }
    }

    /// Makes two exits end each other.
    pub(super) fn pair(&mut self, one: Seq, other: Seq) {
        for (seq, sibling) in [(one, other), (other, one)] {
            if let Some(entry) = self.store.get_mut(seq) {
                entry.sibling = Some(sibling);
            }
        }
    }

    /// A name for an order that nobody named.
    pub(super) fn new_name(&mut self, account: &AccountId) -> ClientOrderId {
        loop {
            let name = self.new_id();
            let used = self.accounts.get(account).is_some_and(|ledger| ledger.names.contains_key(name.as_str()));
            if let (false, Ok(name)) = (used, name.parse()) {
                return name;
            }
        }
    }
}
