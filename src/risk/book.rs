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
    /// Since when both say different things though no fill came.
    differs_since: Option<Timestamp>,
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

    /// What an open order has filled, as far as updates have said. An order that was read elsewhere may know of more, but
    /// the position does not yet.
    pub fn filled(&self, id: &ClientOrderId) -> Decimal {
        self.open.get(id).map_or(Decimal::ZERO, |entry| entry.filled)
    }

    /// Whose order it is: by its name, or by that of the order that it hangs on or has replaced.
    pub fn bot(&self, id: &ClientOrderId) -> Option<String> {
        let known = self.open.get(id).or_else(|| self.ended.get(id)).and_then(|entry| entry.bot.as_deref());
        known.or(id.bot()).map(str::to_owned)
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

    /// The account's position by what the caller tells and by the fills since: for a while after a fill both count. The
    /// caller may as well know of a fill first, so what the fills say is given up only when both differ for long.
    pub fn settle(&mut self, symbol: &Symbol, told: Decimal, now: Timestamp) -> Range {
        let Some(of) = self.by_symbol.get_mut(symbol) else { return Range::exactly(told) };
        of.told = Some(told);
        let filled = of.position.unwrap_or(told);
        if filled == told {
            of.differs_since = None;
        } else if is_recent(of.moved_at, now) {
            return Range { low: filled.min(told), high: filled.max(told) };
        } else if !is_recent(Some(*of.differs_since.get_or_insert(now)), now) {
            (of.position, of.differs_since) = (Some(told), None);
        }
        Range::exactly(told)
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
            entry.change(quantity);
        }
    }

    pub fn withdraw(&mut self, id: &ClientOrderId) {
        if let Some(entry) = self.take(id) {
            self.forget(&entry);
        }
    }

    pub fn withdraw_change(&mut self, id: &ClientOrderId) {
        if let Some(entry) = self.open.get_mut(id) {
            entry.withdraw_change();
        }
    }

    /// Forgets everything and counts these.
    pub fn adopt<'a>(&mut self, open: impl Iterator<Item = &'a Order> + Clone, bots: BTreeMap<String, Positions>) {
        *self = Book { bots, ..Book::default() };
        for order in open.clone() {
            self.list_legs(order);
        }
        for order in open.filter(|order| order.status.is_open()) {
            let (id, mut entry) = (&order.request.client_order_id, self.unseen(order));
            entry.describe(order);
            entry.filled = order.filled;
            self.names.insert(order.id.clone(), id.clone());
            self.put(id.clone(), entry);
        }
    }

    /// Counts an open order of which no update came yet. Until one comes nothing of it counts as filled: executions are
    /// booked when they are observed.
    pub fn expect(&mut self, order: &Order) {
        let id = &order.request.client_order_id;
        if order.status.is_open() && !self.is_open(id) && self.ended.get(id).is_none() {
            let mut entry = self.unseen(order);
            entry.describe(order);
            entry.venue = None;
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
                entry.replaced_by(update);
            }
        } else if let Some(predecessor) = self.predecessor(order).filter(|_| !self.names.contains_key(&order.id)) {
            entry.filled = carried_over(update, predecessor);
        }
        entry.bot = entry.bot.or_else(|| self.inherited_bot(order));
        self.hand_over(order);
        entry.describe(order);
        entry.answered(update);
        let more = entry.fill(update);
        self.book(update, entry.bot.clone().as_deref(), more);
        self.names.insert(order.id.clone(), id.clone());
        let next = order.replaced_by.clone().filter(|next| order.status == OrderStatus::Replaced && !self.names.contains_key(next));
        entry.awaits = entry.awaits.or(next);
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

    /// A replacement is there: its predecessor ends if it only waited for that.
    fn hand_over(&mut self, order: &Order) {
        let Some(id) = self.predecessor_id(order).filter(|id| **id != order.request.client_order_id).cloned() else { return };
        if self.open.get(&id).is_some_and(|entry| entry.awaits.as_ref() == Some(&order.id))
            && let Some(entry) = self.take(&id)
        {
            self.end(&id, entry);
        }
    }

    fn unseen(&self, order: &Order) -> Entry {
        let mut entry = Entry::approved(&order.request, Decimal::ZERO);
        entry.bot = entry.bot.or_else(|| self.inherited_bot(order));
        entry
    }

    /// What hangs on an order of a bot or takes its place is that bot's, whatever the venue called it.
    fn inherited_bot(&self, order: &Order) -> Option<Box<str>> {
        let parent = order.parent.as_ref().or_else(|| self.hangs_on.get(&order.id));
        let kin = parent.and_then(|parent| self.named(parent)).or_else(|| self.predecessor(order))?;
        kin.bot.clone()
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
        of.differs_since = None;
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
        entries.filter(move |entry| entry.side == side && entry.is_of(bot))
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

fn is_recent(then: Option<Timestamp>, now: Timestamp) -> bool {
    let Some(then) = then else { return false };
    u128::try_from(now.nanos().saturating_sub(then.nanos())).unwrap_or(0) < SETTLING.as_nanos()
}
