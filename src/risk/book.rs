//! What open orders may still do, and what was filled: the sums that the rules compare.
//!
//! Must not know limits, prices or the clock.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::entry::{Ended, Entry, Executed, carried_over};
use super::position::{Range, Settling};
use crate::events::OrderUpdate;
use crate::model::{ClientOrderId, Order, OrderRequest, OrderStatus, Side, Symbol, Timestamp, VenueOrderId};

/// From so many symbols on, those without orders and recent fills are forgotten.
const MANY_SYMBOLS: usize = 1_024;

pub(super) type Positions = BTreeMap<Symbol, Decimal>;

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) open: BTreeMap<ClientOrderId, Entry>,
    pub(super) by_symbol: BTreeMap<Symbol, OfSymbol>,
    pub(super) ended: Ended,
    /// What the venue calls the orders above.
    pub(super) names: BTreeMap<VenueOrderId, ClientOrderId>,
    /// From a leg to the order that it hangs on, as that order lists them.
    pub(super) hangs_on: BTreeMap<VenueOrderId, VenueOrderId>,
    /// What was executed of orders that nothing else is known of, and is in the positions already.
    pub(super) executed: BTreeMap<VenueOrderId, Executed>,
    pub(super) bots: BTreeMap<String, Positions>,
}

#[derive(Debug, Default)]
pub(super) struct OfSymbol {
    pub orders: BTreeSet<ClientOrderId>,
    pub position: Settling,
}

impl Book {
    pub fn is_open(&self, id: &ClientOrderId) -> bool {
        self.open.contains_key(id)
    }

    /// What an open order has filled, as far as updates have said. An order that was read elsewhere may know of more, but
    /// the position does not yet.
    pub fn filled(&self, id: &ClientOrderId) -> Decimal {
        self.open.get(id).map_or(Decimal::ZERO, |entry| entry.filled)
    }

    /// Open orders of a bot, or of everybody. Of two exits that exclude each other one counts, and so does one of an
    /// order and its replacement.
    pub fn open_orders(&self, bot: Option<&str>) -> u32 {
        let counted = |entry: &&Entry| entry.is_of(bot) && self.open_predecessor(entry).is_none() && !self.is_second_exit(entry);
        u32::try_from(self.open.values().filter(counted).count()).unwrap_or(u32::MAX)
    }

    /// Units that the open orders of one side may still fill. Exits of a bracket only take back what their entry did,
    /// and are left out.
    pub fn exposure(&self, symbol: &Symbol, side: Side, bot: Option<&str>, except: Option<&ClientOrderId>) -> Decimal {
        let entries = self.entries(symbol, side, bot, except).filter(|entry| self.parent(entry).is_none());
        entries.fold(Decimal::ZERO, |sum, entry| sum.saturating_add(self.adds(entry, except)))
    }

    /// Units of a position that the open orders of one side would take back, exits included. Of two that exclude each
    /// other the larger one counts; what waits for its entry has nothing to take back yet.
    pub fn spoken_for(&self, symbol: &Symbol, side: Side, bot: Option<&str>, except: Option<&ClientOrderId>) -> Decimal {
        let mut alone = Decimal::ZERO;
        let mut groups: BTreeMap<&VenueOrderId, Decimal> = BTreeMap::new();
        let excepted = except.and_then(|id| self.open.get(id)).and_then(|entry| self.exits(entry));
        for entry in self.entries(symbol, side, bot, except).filter(|entry| !entry.held) {
            match self.exits(entry) {
                Some(group) if Some(group) == excepted => {}
                Some(group) => {
                    let largest = groups.entry(group).or_default();
                    *largest = self.adds(entry, except).max(*largest);
                }
                None => alone = alone.saturating_add(self.adds(entry, except)),
            }
        }
        groups.values().fold(alone, |sum, units| sum.saturating_add(*units))
    }

    /// The account's position, given what the caller tells.
    pub fn settle(&mut self, symbol: &Symbol, told: Decimal, now: Timestamp) -> Range {
        self.by_symbol.get_mut(symbol).map_or(Range::exactly(told), |of| of.position.settle(told, now))
    }

    /// What the orders of a bot have bought and sold.
    pub fn bot_position(&self, bot: &str, symbol: &Symbol) -> Decimal {
        self.bots.get(bot).and_then(|positions| positions.get(symbol)).copied().unwrap_or_default()
    }

    pub fn bot_positions(&self) -> &BTreeMap<String, Positions> {
        &self.bots
    }

    pub fn bots_with_orders(&self) -> impl Iterator<Item = &str> {
        self.open.values().filter_map(|entry| entry.bot.as_deref())
    }

    /// Counts an order that is about to leave.
    pub fn approve(&mut self, approval: u64, request: &OrderRequest, bot: Option<&str>, quantity: Decimal, told: Decimal, now: Timestamp) {
        if self.by_symbol.len() >= MANY_SYMBOLS {
            self.by_symbol.retain(|_, of| !of.orders.is_empty() || of.position.has_moved_lately(now));
        }
        let mut entry = Entry::new(request, bot.map(Box::from), quantity);
        entry.approval = Some(approval);
        self.put(request.client_order_id.clone(), entry);
        if let Some(of) = self.by_symbol.get_mut(&request.symbol) {
            of.position.tell(told);
        }
    }

    /// Counts what an order becomes should a change succeed.
    pub fn approve_change(&mut self, approval: u64, id: &ClientOrderId, quantity: Decimal) {
        if let Some(entry) = self.open.get_mut(id) {
            entry.change(approval, quantity);
        }
    }

    /// An order that the venue has is not withdrawn, though its name was approved again; nor one of another approval, when
    /// it is said which one is meant.
    pub fn withdraw(&mut self, id: &ClientOrderId, approval: Option<u64>) {
        let stands_for = self.open.get(id).and_then(|entry| entry.approval);
        if stands_for.is_none() || approval.is_some() && approval != stands_for {
            return;
        }
        if let Some(entry) = self.take(id) {
            self.forget(&entry);
        }
    }

    /// Of all changes under way that of this approval, or just one of them.
    pub fn withdraw_change(&mut self, id: &ClientOrderId, approval: Option<u64>) {
        match (self.open.get_mut(id), approval) {
            (Some(entry), Some(approval)) => entry.withdraw_change(approval),
            (Some(entry), None) => entry.withdraw_any_change(),
            (None, _) => {}
        }
    }

    /// Counts an open order of which no update came yet. Until one comes nothing of it counts as filled: executions are
    /// booked when they are observed.
    pub fn expect(&mut self, order: &Order, own: Option<&str>) {
        let id = &order.request.client_order_id;
        if order.status.is_open() && !self.is_open(id) && self.ended.get(id).is_none() {
            let mut entry = self.unseen(order, own);
            entry.describe(order);
            entry.venue = None;
            self.put(id.clone(), entry);
        }
        if let Some(entry) = self.open.get_mut(id).filter(|entry| entry.venue.is_none()) {
            entry.expected_as = Some(order.id.clone());
        }
    }

    /// `own` is the bot that the order's name says.
    pub fn observe(&mut self, update: &OrderUpdate, own: Option<&str>) {
        let order = &*update.order;
        let id = &order.request.client_order_id;
        if self.is_of_another(order) {
            return;
        }
        self.list_legs(order);
        if !self.is_open(id)
            && let Some(entry) = self.ended.get_mut(id)
        {
            entry.list_legs(order);
            let (more, bot) = (entry.fill(update), entry.bot.clone());
            self.book(update, bot.as_deref(), more);
            return self.bequeath(order, bot.as_deref());
        }
        let executed = self.executed.remove(&order.id);
        let mut entry = self.take(id).unwrap_or_else(|| self.unseen(order, own));
        if let Some(executed) = &executed {
            entry.bot.clone_from(&executed.bot);
        }
        if let Some(old) = entry.venue.take_if(|known| *known != order.id) {
            self.names.remove(&old);
            if order.replaces == Some(old) {
                entry.replaced_by(update);
            }
        } else if !self.names.contains_key(&order.id) {
            let executed = executed.unwrap_or_default();
            let carried = self.predecessor_filled(order).map_or(Decimal::ZERO, |predecessor| carried_over(update, predecessor, &executed));
            entry.count(&executed, carried);
        }
        if let Some(bot) = self.inherited_bot(order).map(Box::from) {
            entry.bot = self.assign(&entry, bot);
        }
        self.hand_over(order);
        entry.describe(order);
        entry.answered(update);
        if order.id.as_str() != id.as_str() {
            entry.approval = None;
        }
        let more = entry.fill(update);
        let bot = entry.bot.clone();
        self.book(update, bot.as_deref(), more);
        self.names.insert(order.id.clone(), id.clone());
        let next = order.replaced_by.clone().filter(|next| order.status == OrderStatus::Replaced && !self.names.contains_key(next));
        entry.awaits = entry.awaits.or(next);
        if order.status.is_open() || entry.awaits.is_some() {
            self.put(id.clone(), entry)
        } else {
            self.end(id, entry)
        }
        self.bequeath(order, bot.as_deref());
    }

    /// Late news of the order that the one of this name took the place of, or the end of an attempt to use its name
    /// again. What we denied ourselves was never counted.
    fn is_of_another(&self, order: &Order) -> bool {
        let known = self.open.get(&order.request.client_order_id);
        match order.status {
            OrderStatus::Denied => known.is_none_or(|known| known.venue.as_ref() != Some(&order.id)),
            OrderStatus::Rejected => known.and_then(|known| known.venue.as_ref()).is_some_and(|venue| *venue != order.id),
            _ => known.is_some_and(|known| known.replaces.as_ref() == Some(&order.id)),
        }
    }

    /// A replacement is there: its predecessor ends if it only waited for that.
    fn hand_over(&mut self, order: &Order) {
        let Some(id) = self.predecessor_id(order).filter(|id| **id != order.request.client_order_id).cloned() else { return };
        if self.open.get(&id).is_some_and(|entry| entry.awaits.as_ref() == Some(&order.id))
            && let Some(entry) = self.take(&id)
        {
            self.end(&id, entry);
        }
    }

    fn unseen(&self, order: &Order, own: Option<&str>) -> Entry {
        Entry::new(&order.request, self.inherited_bot(order).or(own).map(Box::from), Decimal::ZERO)
    }

    fn book(&mut self, update: &OrderUpdate, bot: Option<&str>, more: Decimal) {
        if more.is_zero() {
            return;
        }
        let request = &update.order.request;
        let change = request.side.signed(more);
        let told_after = update.fill.as_ref().map(|fill| fill.position);
        self.by_symbol.entry(request.symbol.clone()).or_default().position.fill(change, told_after, update.at);
        if let Some(bot) = bot {
            self.move_position(bot, &request.symbol, change);
        }
    }

    pub(super) fn list_legs(&mut self, order: &Order) {
        self.hangs_on.extend(order.legs.iter().map(|leg| (leg.clone(), order.id.clone())));
    }

    fn take(&mut self, id: &ClientOrderId) -> Option<Entry> {
        let entry = self.open.remove(id)?;
        if let Some(of) = self.by_symbol.get_mut(&entry.symbol) {
            of.orders.remove(id);
        }
        Some(entry)
    }

    pub(super) fn put(&mut self, id: ClientOrderId, entry: Entry) {
        self.by_symbol.entry(entry.symbol.clone()).or_default().orders.insert(id.clone());
        self.open.insert(id, entry);
    }

    pub(super) fn end(&mut self, id: &ClientOrderId, entry: Entry) {
        if let Some(forgotten) = self.ended.put(id.clone(), entry) {
            self.forget(&forgotten);
        }
    }

    fn forget(&mut self, entry: &Entry) {
        entry.venue.as_ref().inspect(|venue| drop(self.names.remove(*venue)));
        for leg in &entry.legs {
            self.hangs_on.remove(leg);
        }
    }

    fn entries(&self, symbol: &Symbol, side: Side, bot: Option<&str>, except: Option<&ClientOrderId>) -> impl Iterator<Item = &Entry> {
        let ids = self.by_symbol.get(symbol).into_iter().flat_map(|of| &of.orders);
        let entries = ids.filter(move |id| except != Some(*id)).filter_map(|id| self.open.get(id));
        entries.filter(move |entry| entry.side == side && entry.is_of(bot))
    }

    /// The order that this one replaces: by its own word, or because that one waits for it.
    fn predecessor_id(&self, order: &Order) -> Option<&ClientOrderId> {
        if let Some(old) = &order.replaces {
            return self.names.get(old);
        }
        let of = self.by_symbol.get(&order.request.symbol)?;
        of.orders.iter().find(|id| self.open.get(*id).is_some_and(|entry| entry.awaits.as_ref() == Some(&order.id)))
    }

    pub(super) fn predecessor(&self, order: &Order) -> Option<&Entry> {
        let id = self.predecessor_id(order)?;
        self.open.get(id).or_else(|| self.ended.get(id))
    }

    fn predecessor_filled(&self, order: &Order) -> Option<Decimal> {
        let counted = || self.executed.get(order.replaces.as_ref()?).map(|executed| executed.units);
        self.predecessor(order).map(|entry| entry.filled).or_else(counted)
    }

    fn parent<'a>(&'a self, entry: &'a Entry) -> Option<&'a VenueOrderId> {
        entry.parent.as_ref().or_else(|| self.hangs_on.get(entry.venue.as_ref()?))
    }

    /// What the exits of one position have in common: of these one alone will be filled.
    fn exits<'a>(&'a self, entry: &'a Entry) -> Option<&'a VenueOrderId> {
        self.parent(entry).or(entry.venue.as_ref().filter(|_| entry.oco))
    }

    fn is_second_exit(&self, entry: &Entry) -> bool {
        self.parent(entry).and_then(|parent| self.named(parent)).is_some_and(|parent| parent.oco)
    }

    /// What an order may fill beyond the one that it replaces, as long as that one is open: of the two the larger counts.
    fn adds(&self, entry: &Entry, except: Option<&ClientOrderId>) -> Decimal {
        let counted = self.open_predecessor(entry).filter(|(id, _)| except != Some(*id));
        let counted = counted.map_or(Decimal::ZERO, |(_, predecessor)| predecessor.remaining());
        entry.remaining().saturating_sub(counted).max(Decimal::ZERO)
    }

    fn open_predecessor(&self, entry: &Entry) -> Option<(&ClientOrderId, &Entry)> {
        let id = self.names.get(entry.replaces.as_ref()?)?;
        self.open.get(id).filter(|open| open.venue == entry.replaces).map(|open| (id, open))
    }
}
