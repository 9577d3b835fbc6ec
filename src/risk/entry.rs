//! One order as the book counts it.
//!
//! Must not know other orders.

use std::collections::{BTreeMap, VecDeque};

use rust_decimal::Decimal;

use crate::events::OrderUpdate;
use crate::model::{ClientOrderId, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, Side, Symbol, Timestamp, VenueOrderId};

/// How many ended orders are remembered, so that late and repeated news of them are known for what they are.
pub(super) const ENDED: usize = 4_096;
/// How many changes of one order are told apart.
const CHANGES: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub symbol: Symbol,
    pub bot: Option<Box<str>>,
    pub side: Side,
    pub oco: bool,
    /// Units asked for; for an order by money an estimate.
    pub quantity: Decimal,
    pub filled: Decimal,
    /// Units of these that were booked as this order's own, and not as those of the one before it.
    pub booked: Decimal,
    /// Executions up to here were counted when the order was adopted.
    counted_until: Option<Timestamp>,
    /// The approval that it stands for, as long as the venue has not said that it has the order.
    pub approval: Option<u64>,
    /// By their approvals, what the quantity becomes should a change under way succeed, oldest first.
    changes: Vec<(u64, Decimal)>,
    /// When the venue answered a change last.
    answered_at: Option<Timestamp>,
    /// `None` until the venue has said something.
    pub venue: Option<VenueOrderId>,
    /// What the venue calls it, as somebody told before the venue said anything.
    pub expected_as: Option<VenueOrderId>,
    pub parent: Option<VenueOrderId>,
    pub legs: Vec<VenueOrderId>,
    pub replaces: Option<VenueOrderId>,
    /// The order was replaced by this one, of which nothing else was heard yet.
    pub awaits: Option<VenueOrderId>,
    /// Waits for the order that it hangs on.
    pub held: bool,
}

impl Entry {
    pub fn new(request: &OrderRequest, bot: Option<Box<str>>, quantity: Decimal) -> Entry {
        Entry {
            symbol: request.symbol.clone(),
            bot,
            side: request.side,
            oco: matches!(request.class, OrderClass::Oco { .. }),
            quantity,
            filled: Decimal::ZERO,
            booked: Decimal::ZERO,
            counted_until: None,
            approval: None,
            changes: Vec::new(),
            answered_at: None,
            venue: None,
            expected_as: None,
            parent: None,
            legs: Vec::new(),
            replaces: None,
            awaits: None,
            held: false,
        }
    }

    /// Units that may still be filled: the larger of before and after while a change is under way.
    pub fn remaining(&self) -> Decimal {
        let quantity = self.changes.iter().fold(self.quantity, |largest, (_, changed)| largest.max(*changed));
        quantity.saturating_sub(self.filled).max(Decimal::ZERO)
    }

    pub fn is_of(&self, bot: Option<&str>) -> bool {
        bot.is_none() || self.bot.as_deref() == bot
    }

    pub fn is_called(&self, venue: &VenueOrderId) -> bool {
        self.venue.as_ref().or(self.expected_as.as_ref()) == Some(venue)
    }

    /// Takes over what the venue says of it. Not every report repeats what it hangs together with.
    pub fn describe(&mut self, order: &Order) {
        if let Some(quantity) = order.quantity() {
            self.quantity = quantity;
        }
        self.venue = Some(order.id.clone());
        self.parent = order.parent.clone().or(self.parent.take());
        self.replaces = order.replaces.clone().or(self.replaces.take());
        self.list_legs(order);
        self.oco |= matches!(order.request.class, OrderClass::Oco { .. });
        self.held = order.status == OrderStatus::Held;
    }

    pub fn list_legs(&mut self, order: &Order) {
        if !order.legs.is_empty() {
            self.legs.clone_from(&order.legs);
        }
    }

    /// Books what this update adds to the filled units, and returns that. Executions are counted once: a smaller
    /// number than before is old news, unless the venue says that it took something back.
    pub fn fill(&mut self, update: &OrderUpdate) -> Decimal {
        let told = update.order.filled;
        let corrected = matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect);
        let filled = if corrected { told } else { told.max(self.filled) };
        let more = filled.saturating_sub(self.filled);
        self.filled = filled;
        if !corrected && self.is_counted(update) {
            return Decimal::ZERO;
        }
        self.booked = self.booked.saturating_add(more);
        more
    }

    /// Of a replacement nobody can tell what was carried over and what was executed since; the time can.
    fn is_counted(&self, update: &OrderUpdate) -> bool {
        let at = update.fill.as_ref().map_or(update.at, |fill| fill.at);
        self.replaces.is_some() && self.counted_until.is_some_and(|until| at <= until)
    }

    /// These executions are in the positions already, and so is what its predecessor had filled.
    pub fn count(&mut self, executed: &Executed, carried: Decimal) {
        (self.booked, self.counted_until) = (executed.units, executed.last);
        self.filled = self.filled.max(executed.units.saturating_add(carried));
    }

    pub fn change(&mut self, approval: u64, quantity: Decimal) {
        if self.changes.len() >= CHANGES {
            let (_, oldest) = self.changes.remove(0);
            self.changes.iter_mut().for_each(|(_, change)| *change = oldest.max(*change));
        }
        self.changes.push((approval, quantity));
    }

    /// What was under way is so still, though the order was read anew.
    pub fn keep_changes(&mut self, before: &Entry) {
        self.changes.clone_from(&before.changes);
        self.answered_at = before.answered_at;
    }

    /// That change never left. One that was answered meanwhile is gone already.
    pub fn withdraw_change(&mut self, approval: u64) {
        self.changes.retain(|(change, _)| *change != approval);
    }

    /// The change never left, whichever it was: with others under way the one that counts least is taken for it.
    pub fn withdraw_any_change(&mut self) {
        if let Some((n, _)) = self.changes.iter().enumerate().min_by_key(|(_, (_, quantity))| *quantity) {
            self.changes.remove(n);
        }
    }

    /// Forgets the oldest change when the venue has answered one, and not twice for the same answer. What was replaced
    /// by another order keeps counting the larger of both until that one is heard of.
    pub fn answered(&mut self, update: &OrderUpdate) {
        let in_place = match update.change {
            OrderChange::Replaced => update.order.status.is_open(),
            // A venue restates orders for reasons of its own, too.
            OrderChange::Restated => self.changes.first().map(|(_, quantity)| *quantity) == update.order.quantity(),
            _ => false,
        };
        let answer = in_place || update.change == OrderChange::ReplaceRejected;
        if answer && self.answered_at < Some(update.at) {
            self.answered_at = Some(update.at);
            if !self.changes.is_empty() {
                self.changes.remove(0);
            }
        }
    }

    /// From here on this is the order that took its place under the same name.
    pub fn replaced_by(&mut self, update: &OrderUpdate) {
        self.filled = carried_over(update, self.filled, &Executed::default());
        self.booked = Decimal::ZERO;
        self.changes.clear();
        self.awaits = None;
    }
}

/// What of the filled units of a replacement its predecessor had filled already. Some venues carry them over, others
/// begin at zero. `executed` is what is known to be its own.
pub(super) fn carried_over(update: &OrderUpdate, predecessor: Decimal, executed: &Executed) -> Decimal {
    let new = update.fill.as_ref().filter(|fill| executed.last.is_none_or(|last| fill.at > last));
    let own = executed.units.saturating_add(new.map_or(Decimal::ZERO, |fill| fill.quantity));
    update.order.filled.saturating_sub(own).max(Decimal::ZERO).min(predecessor)
}

/// What was executed of one order, and until when.
#[derive(Debug, Clone, Default)]
pub(super) struct Executed {
    /// In whose position it is.
    pub bot: Option<Box<str>>,
    pub units: Decimal,
    pub last: Option<Timestamp>,
}

/// The orders that ended last.
#[derive(Debug, Default)]
pub(super) struct Ended {
    entries: BTreeMap<ClientOrderId, Entry>,
    oldest_first: VecDeque<ClientOrderId>,
}

impl Ended {
    pub fn get(&self, id: &ClientOrderId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub fn get_mut(&mut self, id: &ClientOrderId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    /// Remembers it; returns what is forgotten for it.
    pub fn put(&mut self, id: ClientOrderId, entry: Entry) -> Option<Entry> {
        if self.entries.insert(id.clone(), entry).is_none() {
            self.oldest_first.push_back(id);
        }
        if self.entries.len() <= ENDED { None } else { self.oldest_first.pop_front().and_then(|oldest| self.entries.remove(&oldest)) }
    }
}
