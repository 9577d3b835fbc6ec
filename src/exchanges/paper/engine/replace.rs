//! Changing an order: another one takes its place, unless a fill comes first.
//!
//! The quantity of the new order is the whole, as in FIX: what the old one had filled counts as filled of the new one.
//! Must not know how orders are matched.

use std::sync::Arc;

use super::admission::trailing_stop;
use super::refusal::Refusal;
use super::store::{Entry, Place, Seq, Wish};
use super::timers::Due;
use super::{Engine, form};
use crate::events::OrderKey;
use crate::model::{AccountId, Modification, Order, OrderChange, OrderRequest, OrderStatus, OrderType, Side, Size, Timestamp};

impl Engine {
    /// Asks for another order in place of an open one; returns the new one as it is on its way.
    pub fn modify(&mut self, account: &AccountId, key: &OrderKey, change: Modification, now: Timestamp) -> Result<Arc<Order>, Refusal> {
        let now = self.begin(now);
        let old = self.find(account, key).ok_or(Refusal::UnknownOrder)?;
        let entry = self.store.get(old).ok_or(Refusal::UnknownOrder)?;
        replaceable(entry)?;
        let mut request = changed(entry, &change)?;
        let ledger = self.accounts.get(account).ok_or(Refusal::UnknownAccount)?;
        if change.client_order_id.as_ref().is_some_and(|name| ledger.names.contains_key(name)) {
            return Err(Refusal::DuplicateClientId);
        }
        let listed = self.listed.get(&request.symbol).ok_or(Refusal::UnknownSymbol)?;
        form::check(&request, &listed.instrument, &self.settings)?;
        form::check_exits(&request, None)?;
        if request.time_in_force != entry.order.request.time_in_force {
            self.check_auction(request.time_in_force)?;
        }
        self.check_pair(entry, &request)?;
        let (intent, reserve) = if entry.parent.is_none() {
            self.check_wash_trade(account, &request, Some(old))?;
            let means = self.means(ledger, listed, &request, Some(old))?;
            (Some(means.intent), means.reserve)
        } else {
            (entry.order.intent, entry.reserve)
        };
        let place = entry.place;
        request.client_order_id = change.client_order_id.unwrap_or_else(|| self.new_name(account));
        let mut new = self.birth_in_place(old, request, now);
        new.intent = intent;
        let seq = self.adopt(account, new, Place::Underway, reserve);
        let due = if place == Place::Waiting { now } else { self.arrival(now) };
        if let Some(entry) = self.store.get_mut(seq) {
            (entry.replaces, entry.due) = (Some(old), due.nanos());
        }
        let born = self.store.get(seq).map(|entry| Arc::clone(&entry.order)).ok_or(Refusal::UnknownOrder)?;
        if due == now {
            self.arrive_replace(old, seq, now);
        } else {
            if let Some(entry) = self.store.get_mut(old) {
                entry.wish = Some(Wish::Replace);
            }
            self.step(old, OrderChange::PendingReplace, None, now);
            self.timers.set(due, Due::Replace { old, new: seq });
        }
        Ok(born)
    }

    fn birth_in_place(&mut self, old: Seq, request: OrderRequest, now: Timestamp) -> Order {
        let mut order = self.blank(request, now);
        if let Some(entry) = self.store.get(old) {
            order.replaces = Some(entry.order.id.clone());
            inherit(&mut order, &entry.order);
        }
        order
    }

    /// Two exits keep their sides when one of them moves.
    fn check_pair(&self, entry: &Entry, request: &OrderRequest) -> Result<(), Refusal> {
        let Some(sibling) = entry.sibling.and_then(|seq| self.store.get(seq)) else { return Ok(()) };
        let prices = |kind: OrderType| (kind.stop().is_none().then(|| kind.limit()).flatten(), kind.stop());
        let ((mine_limit, mine_stop), (their_limit, their_stop)) = (prices(request.kind), prices(sibling.order.request.kind));
        let (Some(profit), Some(stop)) = (mine_limit.or(their_limit), mine_stop.or(their_stop)) else { return Ok(()) };
        let apart = if request.side == Side::Sell { profit > stop } else { profit < stop };
        if apart { Ok(()) } else { Err(Refusal::form("the winning exit must lie beyond the losing one")) }
    }

    /// A change reaches the market: the new order takes its place, or comes too late.
    pub(super) fn arrive_replace(&mut self, old: Seq, new: Seq, at: Timestamp) {
        let (Some(before), Some(after)) = (self.store.get(old), self.store.get(new)) else { return };
        let room = after.order.quantity().is_some_and(|quantity| quantity > before.order.filled);
        if !before.is_open() || (before.parent.is_none() && !room) {
            return self.too_late(old, new, at);
        }
        let (links, place, id) = ((before.parent, before.legs.clone(), before.sibling), before.place, after.order.id.clone());
        let (triggered, stops) = (before.triggered, before.order.request.kind.stop() == after.order.request.kind.stop());
        let (was, leg) = (Arc::clone(&before.order), before.parent.is_some());
        self.edit(old, |order| order.replaced_by = Some(id));
        if let Some(entry) = self.store.get_mut(old) {
            entry.wish = None;
            (entry.legs, entry.sibling) = (Vec::new(), None);
        }
        self.edit(new, |order| {
            inherit(order, &was);
            if leg || !was.legs.is_empty() {
                order.request.size = was.request.size;
            }
        });
        self.step(old, OrderChange::Replaced, None, at);
        let Some(entry) = self.store.get_mut(new) else { return };
        (entry.replaces, entry.place) = (None, place);
        entry.triggered = triggered && stops;
        let cancelling = entry.wish == Some(Wish::Cancel);
        (entry.parent, entry.legs, entry.sibling) = links.clone();
        self.relink(old, new, links);
        self.trail_anew(new);
        self.store.changed_quietly(new);
        self.step(new, if place == Place::Waiting { OrderChange::Held } else { OrderChange::New }, None, at);
        if cancelling {
            self.step(new, OrderChange::PendingCancel, None, at);
        }
        if place == Place::Market {
            self.meet(new, at);
        }
    }

    fn too_late(&mut self, old: Seq, new: Seq, at: Timestamp) {
        let cancelling = self.store.get(new).is_some_and(|entry| entry.wish == Some(Wish::Cancel));
        if let Some(entry) = self.store.get_mut(old) {
            entry.wish = (cancelling && entry.is_open()).then_some(Wish::Cancel);
            if entry.order.status.after(OrderChange::ReplaceRejected).is_ok() {
                self.step(old, OrderChange::ReplaceRejected, Some("it ended, or was filled as far, before the change arrived"), at);
            }
        }
        self.step(new, OrderChange::Rejected, Some("the order that it should replace was filled or ended first"), at);
    }

    /// Those who knew the old order know the new one.
    fn relink(&mut self, old: Seq, new: Seq, (parent, legs, sibling): (Option<Seq>, Vec<Seq>, Option<Seq>)) {
        let ids = [old, new].map(|seq| self.store.get(seq).map(|entry| entry.order.id.clone()));
        let [Some(old_id), Some(new_id)] = ids else { return };
        if let Some(sibling) = sibling {
            self.pair(new, sibling);
        }
        for leg in legs {
            if let Some(entry) = self.store.get_mut(leg) {
                entry.parent = Some(new);
            }
            self.edit(leg, |order| order.parent = Some(new_id.clone()));
        }
        if let Some(parent) = parent {
            if let Some(entry) = self.store.get_mut(parent) {
                entry.legs.iter_mut().filter(|leg| **leg == old).for_each(|leg| *leg = new);
            }
            self.edit(parent, |order| order.legs.iter_mut().filter(|leg| **leg == old_id).for_each(|leg| *leg = new_id.clone()));
        }
    }

    fn trail_anew(&mut self, seq: Seq) {
        let Some(entry) = self.store.get_mut(seq) else { return };
        let (OrderType::TrailingStop { trail }, Some(mark)) = (entry.order.request.kind, entry.order.high_water) else { return };
        if let Some(listed) = self.listed.get(&entry.order.request.symbol) {
            let order = Arc::make_mut(&mut entry.order);
            order.trailing_stop = Some(trailing_stop(&listed.instrument, order.request.side, trail, mark));
        }
    }
}

/// What the new order takes over from the old one as it stands.
fn inherit(order: &mut Order, old: &Order) {
    (order.filled, order.filled_value, order.fees) = (old.filled, old.filled_value, old.fees);
    (order.high_water, order.trailing_stop) = (old.high_water, old.trailing_stop);
    (order.parent, order.legs) = (old.parent.clone(), old.legs.clone());
}

fn replaceable(entry: &Entry) -> Result<(), Refusal> {
    match (entry.place, entry.wish) {
        (_, Some(Wish::Cancel)) => Err(Refusal::NotReplaceable(OrderStatus::PendingCancel)),
        (_, Some(Wish::Replace)) => Err(Refusal::NotReplaceable(OrderStatus::PendingReplace)),
        (Place::Market | Place::Waiting, None) => Ok(()),
        (Place::Queued | Place::Underway | Place::Done, None) => Err(Refusal::NotReplaceable(entry.order.status)),
    }
}

/// The request of the new order.
fn changed(entry: &Entry, change: &Modification) -> Result<OrderRequest, Refusal> {
    let old = &entry.order.request;
    let mut request = old.clone();
    let linked = entry.parent.is_some() || !entry.legs.is_empty();
    if linked && (change.quantity.is_some_and(|quantity| Size::Quantity(quantity) != old.size) || change.time_in_force.is_some_and(|t| t != old.time_in_force))
    {
        return Err(Refusal::form("of orders that hang together only the prices can be changed"));
    }
    if matches!(old.size, Size::Notional(_)) {
        return Err(Refusal::form("an order by money cannot be changed"));
    }
    if let Some(quantity) = change.quantity {
        if quantity.value() <= entry.order.filled {
            return Err(Refusal::form(format!("{} is filled already; the quantity counts the whole order", entry.order.filled)));
        }
        request.size = Size::Quantity(quantity);
    }
    request.time_in_force = change.time_in_force.unwrap_or(old.time_in_force);
    request.kind = changed_kind(old.kind, change)?;
    if request == *old { Err(Refusal::Unchanged) } else { Ok(request) }
}

fn changed_kind(kind: OrderType, change: &Modification) -> Result<OrderType, Refusal> {
    let has_not = |what: &str| Err(Refusal::form(format!("a {} order has no {what} price", kind.as_str())));
    if change.limit.is_some() && kind.limit().is_none() {
        return has_not("limit");
    }
    if change.stop.is_some() && kind.stop().is_none() {
        return has_not("stop");
    }
    let trailing = matches!(kind, OrderType::TrailingStop { .. });
    if change.trail.is_some() && !trailing {
        return has_not("trailing");
    }
    kind.changed(change).map_err(|_| Refusal::form("the trail must be above zero and have at most nine decimals"))
}
