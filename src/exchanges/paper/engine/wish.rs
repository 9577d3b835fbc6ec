//! Cancelling, and how a cancel may come too late.
//!
//! Must not know how orders are matched.

use super::Engine;
use super::refusal::Refusal;
use super::store::{Place, Seq, Wish};
use super::timers::Due;
use crate::events::OrderKey;
use crate::model::{AccountId, ClientOrderId, OrderChange, OrderStatus, Symbol, Timestamp, VenueOrderId};

impl Engine {
    /// Asks for the end of an order. A fill may come first; then the refusal of the cancel is told.
    pub fn cancel(&mut self, account: &AccountId, key: &OrderKey, now: Timestamp) -> Result<(), Refusal> {
        let now = self.begin(now);
        let seq = self.find(account, key).ok_or(Refusal::UnknownOrder)?;
        self.wish_cancel(seq, now)
    }

    /// Asks for the end of everything open, or of everything open of one symbol; says of each what became of the wish.
    pub fn cancel_all(&mut self, account: &AccountId, symbol: Option<&Symbol>, now: Timestamp) -> Vec<(VenueOrderId, ClientOrderId, Result<(), Refusal>)> {
        let now = self.begin(now);
        let open = self.open_orders(account).filter(|(_, order)| symbol.is_none_or(|symbol| order.request.symbol == *symbol));
        let open: Vec<_> = open.map(|(seq, order)| (seq, order.id.clone(), order.request.client_order_id.clone())).collect();
        // Whoever ended together with another got what was wished for, and so does one whose entry is being cancelled.
        let mut outcome = Vec::with_capacity(open.len());
        for (seq, id, name) in open {
            let hangs = self.store.get(seq).is_some_and(|entry| entry.place == Place::Waiting);
            let result = if self.is_open(seq) && !hangs { self.wish_cancel(seq, now) } else { Ok(()) };
            outcome.push((id, name, result));
        }
        outcome
    }

    fn wish_cancel(&mut self, seq: Seq, now: Timestamp) -> Result<(), Refusal> {
        let Some(entry) = self.store.get(seq) else { return Err(Refusal::UnknownOrder) };
        match (entry.place, entry.wish) {
            (Place::Done, _) => return Err(Refusal::NotOpen(entry.order.status)),
            (_, Some(Wish::Cancel)) => return Ok(()),
            (_, Some(Wish::Replace)) => {
                self.wish_cancel_of_both(seq, now);
                return Ok(());
            }
            (Place::Underway, None) if entry.replaces.is_some_and(|old| self.is_open(old)) => {
                entry.replaces.into_iter().for_each(|old| self.wish_cancel_of_both(old, now));
                return Ok(());
            }
            // It is not in the market: what it waits for is.
            (Place::Waiting, None) => {
                return match entry.parent {
                    Some(parent) => self.wish_cancel(parent, now),
                    None => Err(Refusal::NotOpen(entry.order.status)),
                };
            }
            (Place::Queued, None) => {
                self.end(seq, OrderChange::Canceled, "as asked", now);
                return Ok(());
            }
            (Place::Underway | Place::Market, None) => {}
        }
        let (in_market, due) = (entry.place == Place::Market, entry.due);
        // A cancel never overtakes its order.
        let arrival = self.arrival(now).max(Timestamp::from_nanos(due));
        if arrival == now {
            self.end(seq, OrderChange::Canceled, "as asked", now);
            return Ok(());
        }
        if let Some(entry) = self.store.get_mut(seq) {
            entry.wish = Some(Wish::Cancel);
        }
        if in_market {
            self.step(seq, OrderChange::PendingCancel, None, now);
        }
        self.timers.set(arrival, Due::Cancel(seq));
        Ok(())
    }

    /// Asks for the end of an order whose replacement is under way. Nobody knows yet which of the two will stand, so the
    /// cancel travels with the new order and ends the one that does.
    fn wish_cancel_of_both(&mut self, old: Seq, now: Timestamp) {
        let Some(symbol) = self.store.get(old).map(|entry| entry.order.request.symbol.clone()) else { return };
        let mut open = self.store.open_of(symbol.as_str()).iter().copied();
        let new = open.find(|seq| self.store.get(*seq).is_some_and(|entry| entry.replaces == Some(old)));
        let Some((new, due)) = new.and_then(|new| Some((new, self.store.get(new).filter(|entry| entry.wish.is_none())?.due))) else { return };
        let arrival = self.arrival(now).max(Timestamp::from_nanos(due));
        if let Some(entry) = self.store.get_mut(new) {
            entry.wish = Some(Wish::Cancel);
        }
        self.step(old, OrderChange::PendingCancel, None, now);
        self.timers.set(arrival, Due::Cancel(new));
    }

    /// A cancel reaches the market.
    pub(super) fn arrive_cancel(&mut self, seq: Seq, at: Timestamp) {
        // What was refused never took the place of the other, and the cancel was meant for whichever stands.
        let refused = self.store.get(seq).filter(|entry| entry.order.status == OrderStatus::Rejected);
        let seq = refused.and_then(|entry| entry.replaces).unwrap_or(seq);
        let Some(entry) = self.store.get_mut(seq) else { return };
        entry.wish = None;
        if entry.is_open() {
            self.end(seq, OrderChange::Canceled, "as asked", at);
        } else if entry.order.status == OrderStatus::Filled {
            self.step(seq, OrderChange::CancelRejected, Some("it was filled before the cancel arrived"), at);
        }
    }
}
