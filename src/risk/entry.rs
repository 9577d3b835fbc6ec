//! One order as the book counts it.
//!
//! Must not know other orders.

use std::collections::{BTreeMap, VecDeque};

use rust_decimal::Decimal;

use crate::events::OrderUpdate;
use crate::model::{ClientOrderId, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, Side, Symbol, Timestamp, VenueOrderId};

/// How many ended orders are remembered, so that late and repeated news of them are known for what they are.
const ENDED: usize = 4_096;
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
    /// What the quantity becomes should a change under way succeed, oldest first.
    changes: Vec<Decimal>,
    /// When the venue answered a change last.
    answered_at: Option<Timestamp>,
    /// `None` until the venue has said something.
    pub venue: Option<VenueOrderId>,
    pub parent: Option<VenueOrderId>,
    pub legs: Vec<VenueOrderId>,
    pub replaces: Option<VenueOrderId>,
    /// The order was replaced by this one, of which nothing else was heard yet.
    pub awaits: Option<VenueOrderId>,
    /// Waits for the order that it hangs on.
    pub held: bool,
}

impl Entry {
    pub fn approved(request: &OrderRequest, quantity: Decimal) -> Entry {
        Entry {
            symbol: request.symbol.clone(),
            bot: request.client_order_id.bot().map(Box::from),
            side: request.side,
            oco: matches!(request.class, OrderClass::Oco { .. }),
            quantity,
            filled: Decimal::ZERO,
            changes: Vec::new(),
            answered_at: None,
            venue: None,
            parent: None,
            legs: Vec::new(),
            replaces: None,
            awaits: None,
            held: false,
        }
    }

    /// Units that may still be filled: the larger of before and after while a change is under way.
    pub fn remaining(&self) -> Decimal {
        let quantity = self.changes.iter().fold(self.quantity, |largest, changed| largest.max(*changed));
        quantity.saturating_sub(self.filled).max(Decimal::ZERO)
    }

    pub fn is_of(&self, bot: Option<&str>) -> bool {
        bot.is_none() || self.bot.as_deref() == bot
    }

    /// Takes over what the venue says of it. Not every report repeats what it hangs together with.
    pub fn describe(&mut self, order: &Order) {
        if let Some(quantity) = order.quantity() {
            self.quantity = quantity;
        }
        self.venue = Some(order.id.clone());
        self.parent = order.parent.clone().or(self.parent.take());
        self.replaces = order.replaces.clone().or(self.replaces.take());
        if !order.legs.is_empty() {
            self.legs.clone_from(&order.legs);
        }
        self.oco |= matches!(order.request.class, OrderClass::Oco { .. });
        self.held = order.status == OrderStatus::Held;
    }

    /// Books what this update adds to the filled units, and returns that. Executions are counted once: a smaller
    /// number than before is old news, unless the venue says that it took something back.
    pub fn fill(&mut self, update: &OrderUpdate) -> Decimal {
        let told = update.order.filled;
        let corrected = matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect);
        let filled = if corrected { told } else { told.max(self.filled) };
        let more = filled.saturating_sub(self.filled);
        self.filled = filled;
        more
    }

    pub fn change(&mut self, quantity: Decimal) {
        if self.changes.len() >= CHANGES {
            let oldest = self.changes.remove(0);
            self.changes.iter_mut().for_each(|change| *change = oldest.max(*change));
        }
        self.changes.push(quantity);
    }

    /// The last change never left.
    pub fn withdraw_change(&mut self) {
        self.changes.pop();
    }

    /// Forgets the oldest change when the venue has answered one, and not twice for the same answer. What was replaced
    /// by another order keeps counting the larger of both until that one is heard of.
    pub fn answered(&mut self, update: &OrderUpdate) {
        let in_place = match update.change {
            OrderChange::Replaced => update.order.status.is_open(),
            // A venue restates orders for reasons of its own, too.
            OrderChange::Restated => self.changes.first().copied() == update.order.quantity(),
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
        self.filled = carried_over(update, self);
        self.changes.clear();
        self.awaits = None;
    }
}

/// What of the filled units of a replacement its predecessor had filled already. Some venues carry them over, others
/// begin at zero.
pub(super) fn carried_over(update: &OrderUpdate, predecessor: &Entry) -> Decimal {
    let new = update.fill.as_ref().map_or(Decimal::ZERO, |fill| fill.quantity);
    update.order.filled.saturating_sub(new).max(Decimal::ZERO).min(predecessor.filled)
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
