//! What open orders may still do, and what was filled: the sums that the rules compare.
//!
//! Must not know limits, prices or the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rust_decimal::Decimal;

use super::entry::{Ended, Entry, carried_over};
use crate::events::OrderUpdate;
use crate::model::{ClientOrderId, Order, OrderRequest, OrderStatus, Side, Symbol, Timestamp, VenueOrderId};

/// How long after a fill the position that the caller tells may still be the one before it.
const SETTLING: Duration = Duration::from_secs(30);
/// From so many symbols on, those without orders and recent fills are forgotten.
const MANY_SYMBOLS: usize = 1_024;

pub(super) type Positions = BTreeMap<Symbol, Decimal>;

#[derive(Debug, Default)]
pub(super) struct Book {
    open: BTreeMap<ClientOrderId, Entry>,
    by_symbol: BTreeMap<Symbol, OfSymbol>,
    ended: Ended,
    /// What the venue calls the orders above.
    names: BTreeMap<VenueOrderId, ClientOrderId>,
    /// From a leg to the order that it hangs on, as that order lists them.
    hangs_on: BTreeMap<VenueOrderId, VenueOrderId>,
    bots: BTreeMap<String, Positions>,
}

#[derive(Debug, Default)]
struct OfSymbol {
    orders: BTreeSet<ClientOrderId>,
    /// What the caller told last.
    told: Option<Decimal>,
    /// The account's position by the fills.
    position: Option<Decimal>,
    moved_at: Option<Timestamp>,
}

/// The account's position, between the worst for a seller and the worst for a buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub low: Decimal,
    pub high: Decimal,
}

impl Range {
    pub fn exactly(position: Decimal) -> Range {
        Range { low: position, high: position }
    }

    /// The position that leaves an order of this side the least room.
    pub fn worst(self, side: Side) -> Decimal {
        match side {
            Side::Buy => self.high,
            Side::Sell => self.low,
        }
    }
}

impl Book {
    pub fn is_open(&self, id: &ClientOrderId) -> bool {
        self.open.contains_key(id)
    }

    /// Open orders of a bot, or of everybody. Of two exits that exclude each other one counts, and so does one of an
    /// order and its replacement.
    pub fn open_orders(&self, bot: Option<&str>) -> u32 {
        let counted = |entry: &&Entry| entry.is_of(bot) && !self.is_replacement_under_way(entry) && !self.is_second_exit(entry);
        u32::try_from(self.open.values().filter(counted).count()).unwrap_or(u32::MAX)
    }

    /// Units that the open orders of one side may still fill. Exits of a bracket only take back what their entry did,
    /// and are left out.
    pub fn exposure(&self, symbol: &Symbol, side: Side, bot: Option<&str>, except: Option<&ClientOrderId>) -> Decimal {
        let entries = self.entries(symbol, side, bot, except).filter(|entry| self.parent(entry).is_none());
        entries.fold(Decimal::ZERO, |sum, entry| sum.saturating_add(entry.remaining()))
    }

    /// Units of a position that the open orders of one side would take back, exits included. Of two that exclude each
    /// other the larger one counts; what waits for its entry has nothing to take back yet.
    pub fn spoken_for(&self, symbol: &Symbol, side: Side, bot: Option<&str>, except: Option<&ClientOrderId>) -> Decimal {
        let mut alone = Decimal::ZERO;
        let mut groups: BTreeMap<&VenueOrderId, Decimal> = BTreeMap::new();
        for entry in self.entries(symbol, side, bot, except).filter(|entry| !entry.held) {
            match self.parent(entry).or(entry.venue.as_ref().filter(|_| entry.oco)) {
                Some(group) => {
                    let largest = groups.entry(group).or_default();
                    *largest = entry.remaining().max(*largest);
                }
                None => alone = alone.saturating_add(entry.remaining()),
            }
        }
        groups.values().fold(alone, |sum, units| sum.saturating_add(*units))
    }

    /// The account's position by what the caller tells and by the fills since: for a while after a fill both count.
    pub fn settle(&mut self, symbol: &Symbol, told: Decimal, now: Timestamp) -> Range {
        let Some(of) = self.by_symbol.get_mut(symbol) else { return Range::exactly(told) };
        of.told = Some(told);
        match of.position {
            Some(filled) if filled != told && is_recent(of.moved_at, now) => Range { low: filled.min(told), high: filled.max(told) },
            _ => {
                of.position = Some(told);
                Range::exactly(told)
            }
        }
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
    pub fn approve(&mut self, request: &OrderRequest, quantity: Decimal, told: Decimal, now: Timestamp) {
        if self.by_symbol.len() >= MANY_SYMBOLS {
            self.by_symbol.retain(|_, of| !of.orders.is_empty() || is_recent(of.moved_at, now));
        }
        self.put(request.client_order_id.clone(), Entry::approved(request, quantity));
        if let Some(of) = self.by_symbol.get_mut(&request.symbol) {
            of.told = Some(told);
            of.position.get_or_insert(told);
        }
    }

    /// Counts what an order becomes should a change succeed.
    pub fn approve_change(&mut self, id: &ClientOrderId, quantity: Decimal) {
        if let Some(entry) = self.open.get_mut(id) {
            // The units of an earlier change that nobody has answered yet stay spoken for.
            entry.changing = Some(entry.changing.map_or(quantity, |earlier| earlier.max(quantity)));
        }
    }

    pub fn withdraw(&mut self, id: &ClientOrderId) {
        if let Some(entry) = self.take(id) {
            self.forget(&entry);
        }
    }

    pub fn withdraw_change(&mut self, id: &ClientOrderId) {
        if let Some(entry) = self.open.get_mut(id) {
            entry.changing = None;
        }
    }

    /// Forgets everything and counts these.
    pub fn adopt<'a>(&mut self, open: impl Iterator<Item = &'a Order> + Clone, bots: BTreeMap<String, Positions>) {
        *self = Book { bots, ..Book::default() };
        for order in open.clone() {
            self.list_legs(order);
        }
        for order in open.filter(|order| order.status.is_open()) {
            self.know(order);
        }
    }

    /// Counts an open order of which nothing was heard before, as it stands.
    pub fn know(&mut self, order: &Order) {
        let id = &order.request.client_order_id;
        if !self.is_open(id) && self.ended.get(id).is_none() {
            let mut entry = self.unseen(order);
            entry.describe(order);
            entry.filled = order.filled;
            self.names.insert(order.id.clone(), id.clone());
            self.put(id.clone(), entry);
        }
    }

    pub fn observe(&mut self, update: &OrderUpdate) {
        let order = &*update.order;
        let id = &order.request.client_order_id;
        if self.is_of_another(order) {
            return;
        }
        self.list_legs(order);
        if !self.is_open(id)
            && let Some(entry) = self.ended.get_mut(id)
        {
            let (more, bot) = (entry.fill(update), entry.bot.clone());
            return self.book(update, bot.as_deref(), more);
        }
        let mut entry = self.take(id).unwrap_or_else(|| self.unseen(order));
        if let Some(old) = entry.venue.take_if(|known| *known != order.id) {
            self.names.remove(&old);
            if order.replaces == Some(old) {
                (entry.filled, entry.changing, entry.awaits) = (carried_over(update, &entry), None, None);
            }
        } else if let Some(predecessor) = self.predecessor(order).filter(|_| !self.names.contains_key(&order.id)) {
            entry.filled = carried_over(update, predecessor);
        }
        self.hand_over(order);
        entry.describe(order);
        entry.answered(update);
        let more = entry.fill(update);
        self.book(update, entry.bot.clone().as_deref(), more);
        self.names.insert(order.id.clone(), id.clone());
        entry.awaits = order.replaced_by.clone().filter(|next| order.status == OrderStatus::Replaced && !self.names.contains_key(next));
        if order.status.is_open() || entry.awaits.is_some() { self.put(id.clone(), entry) } else { self.end(id, entry) }
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

    /// A replacement is there: its predecessor ends if it only waited for that, and else counts for both until it ends.
    fn hand_over(&mut self, order: &Order) {
        let Some(id) = self.predecessor_id(order).filter(|id| **id != order.request.client_order_id).cloned() else { return };
        let Some(entry) = self.open.get_mut(&id) else { return };
        if entry.awaits.as_ref() == Some(&order.id) {
            if let Some(entry) = self.take(&id) {
                self.end(&id, entry);
            }
        } else if order.status.is_open() {
            entry.changing = entry.changing.max(order.quantity());
        }
    }

    fn unseen(&self, order: &Order) -> Entry {
        let mut entry = Entry::approved(&order.request, Decimal::ZERO);
        if entry.bot.is_none() {
            let parent = order.parent.as_ref().or_else(|| self.hangs_on.get(&order.id));
            let kin = parent.and_then(|parent| self.named(parent)).or_else(|| self.predecessor(order));
            entry.bot = kin.and_then(|kin| kin.bot.clone());
        }
        entry
    }

    fn book(&mut self, update: &OrderUpdate, bot: Option<&str>, more: Decimal) {
        if more.is_zero() {
            return;
        }
        let request = &update.order.request;
        let change = request.side.signed(more);
        let of = self.by_symbol.entry(request.symbol.clone()).or_default();
        of.position = match &update.fill {
            Some(fill) if of.moved_at.is_none_or(|before| update.at >= before) => Some(fill.position),
            _ => of.position.or(of.told).map(|position| position.saturating_add(change)),
        };
        of.moved_at = of.moved_at.max(Some(update.at));
        if let Some(bot) = bot {
            let positions = self.bots.entry(bot.to_owned()).or_default();
            let position = positions.entry(request.symbol.clone()).or_default();
            *position = position.saturating_add(change);
            if position.is_zero() {
                positions.remove(&request.symbol);
            }
            if positions.is_empty() {
                self.bots.remove(bot);
            }
        }
    }

    fn list_legs(&mut self, order: &Order) {
        if order.status.is_open() || self.names.contains_key(&order.id) {
            self.hangs_on.extend(order.legs.iter().map(|leg| (leg.clone(), order.id.clone())));
        }
    }

    fn take(&mut self, id: &ClientOrderId) -> Option<Entry> {
        let entry = self.open.remove(id)?;
        if let Some(of) = self.by_symbol.get_mut(&entry.symbol) {
            of.orders.remove(id);
        }
        Some(entry)
    }

    fn put(&mut self, id: ClientOrderId, entry: Entry) {
        self.by_symbol.entry(entry.symbol.clone()).or_default().orders.insert(id.clone());
        self.open.insert(id, entry);
    }

    fn end(&mut self, id: &ClientOrderId, entry: Entry) {
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
        entries.filter(move |entry| entry.side == side && entry.is_of(bot) && !self.is_replacement_under_way(entry))
    }

    fn named(&self, venue: &VenueOrderId) -> Option<&Entry> {
        let id = self.names.get(venue)?;
        self.open.get(id).or_else(|| self.ended.get(id))
    }

    /// The order that this one replaces: by its own word, or because that one waits for it.
    fn predecessor_id(&self, order: &Order) -> Option<&ClientOrderId> {
        if let Some(old) = &order.replaces {
            return self.names.get(old);
        }
        let of = self.by_symbol.get(&order.request.symbol)?;
        of.orders.iter().find(|id| self.open.get(*id).is_some_and(|entry| entry.awaits.as_ref() == Some(&order.id)))
    }

    fn predecessor(&self, order: &Order) -> Option<&Entry> {
        let id = self.predecessor_id(order)?;
        self.open.get(id).or_else(|| self.ended.get(id))
    }

    fn parent<'a>(&'a self, entry: &'a Entry) -> Option<&'a VenueOrderId> {
        entry.parent.as_ref().or_else(|| self.hangs_on.get(entry.venue.as_ref()?))
    }

    fn is_second_exit(&self, entry: &Entry) -> bool {
        self.parent(entry).and_then(|parent| self.named(parent)).is_some_and(|parent| parent.oco)
    }

    /// Its predecessor is still open and counts for both.
    fn is_replacement_under_way(&self, entry: &Entry) -> bool {
        let predecessor = entry.replaces.as_ref().and_then(|old| self.open.get(self.names.get(old)?));
        predecessor.is_some_and(|open| open.venue == entry.replaces)
    }
}

fn is_recent(then: Option<Timestamp>, now: Timestamp) -> bool {
    let Some(then) = then else { return false };
    u128::try_from(now.nanos().saturating_sub(then.nanos())).unwrap_or(0) < SETTLING.as_nanos()
}
