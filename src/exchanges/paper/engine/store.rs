//! All orders of an engine: by number, by id, by symbol while they are open.
//!
//! Must not know prices, money or time. Closed orders beyond the room for them are forgotten, oldest first.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use rust_decimal::Decimal;

use crate::model::{AccountId, Order, OrderClass, OrderType, Side, Symbol, VenueOrderId};

/// Orders are numbered as they come.
pub(super) type Seq = u64;

/// Where an order is, whatever its status says about wishes that are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Waits for a session in which it may trade.
    Queued,
    /// On its way to the market.
    Underway,
    /// Waits for the order that it hangs on.
    Waiting,
    Market,
    Done,
}

/// What somebody wishes of an order and has not reached the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Cancel,
    Replace,
}

/// At what price an order in the market trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    Any,
    Limit(Decimal),
    /// A stop that nothing has triggered.
    Dormant,
}

/// An order and what only the engine knows about it.
#[derive(Debug)]
pub(super) struct Entry {
    pub account: AccountId,
    pub order: Arc<Order>,
    pub place: Place,
    pub wish: Option<Wish>,
    /// A stop that has been triggered.
    pub triggered: bool,
    /// Has met the market once and stands there with its limit since.
    pub rests: bool,
    /// Units displayed before it at its price; `None` while nobody knows.
    pub ahead: Option<Decimal>,
    /// Money held for each unit that is not filled; zero when it closes a position.
    pub reserve: Decimal,
    pub parent: Option<Seq>,
    pub legs: Vec<Seq>,
    /// The exit that ends when this one is filled.
    pub sibling: Option<Seq>,
    /// The order in whose place it will stand, until it does.
    pub replaces: Option<Seq>,
    /// When it reaches the market.
    pub due: i64,
}

impl Entry {
    pub fn is_open(&self) -> bool {
        self.place != Place::Done
    }

    /// Whether orders hang on it that wait for it to be filled.
    pub fn is_entry(&self) -> bool {
        matches!(self.order.request.class, OrderClass::Bracket { .. } | OrderClass::Oto { .. })
    }

    pub fn terms(&self, collar: bool) -> Terms {
        let request = &self.order.request;
        match request.kind {
            OrderType::Market => Terms::Any,
            OrderType::Limit { limit } => Terms::Limit(limit.value()),
            _ if !self.triggered => Terms::Dormant,
            OrderType::StopLimit { limit, .. } => Terms::Limit(limit.value()),
            OrderType::Stop { stop } if collar && request.side == Side::Buy => Terms::Limit(collared(stop.value())),
            OrderType::Stop { .. } | OrderType::TrailingStop { .. } => Terms::Any,
        }
    }
}

/// What a buy without a limit may cost at worst: 4 % above a price below 50, 2.5 % above others.
pub(super) fn collared(price: Decimal) -> Decimal {
    let share = if price < Decimal::from(50) { Decimal::new(104, 2) } else { Decimal::new(1025, 3) };
    price.saturating_mul(share)
}

#[derive(Debug)]
pub(super) struct Store {
    /// Closed orders that are remembered.
    pub(super) room: usize,
    entries: HashMap<Seq, Entry, foldhash::fast::FixedState>,
    by_id: HashMap<String, Seq, foldhash::fast::RandomState>,
    open: BTreeMap<Symbol, Vec<Seq>>,
    closed: VecDeque<Seq>,
    /// Whether any order was forgotten.
    pub(super) forgot: bool,
    /// Open orders of which something changed that no event tells.
    quiet: BTreeSet<Seq>,
    last: Seq,
}

/// An id as it is compared: dashes and capitals do not count.
fn bare(id: &str) -> String {
    id.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

impl Store {
    pub fn new(room: usize) -> Store {
        let (entries, by_id, closed) = (HashMap::default(), HashMap::default(), VecDeque::new());
        Store { room, entries, by_id, open: BTreeMap::new(), closed, forgot: false, quiet: BTreeSet::new(), last: 0 }
    }

    pub fn insert(&mut self, entry: Entry) -> Seq {
        self.last += 1;
        let seq = self.last;
        self.by_id.insert(bare(entry.order.id.as_str()), seq);
        if entry.is_open() {
            match self.open.get_mut(&entry.order.request.symbol) {
                Some(open) => open.push(seq),
                None => drop(self.open.insert(entry.order.request.symbol.clone(), vec![seq])),
            }
        } else {
            self.closed.push_back(seq);
        }
        self.entries.insert(seq, entry);
        seq
    }

    pub fn get(&self, seq: Seq) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    pub fn get_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        self.entries.get_mut(&seq)
    }

    pub fn knows(&self, id: &str) -> bool {
        self.by_id.contains_key(&bare(id))
    }

    pub fn by_id(&self, id: &VenueOrderId) -> Option<Seq> {
        self.by_id.get(&bare(id.as_str())).copied()
    }

    /// Open orders of one symbol, in the order of their arrival.
    pub fn open_of(&self, symbol: &str) -> &[Seq] {
        self.open.get(symbol).map_or(&[], Vec::as_slice)
    }

    pub fn open_symbols(&self) -> impl Iterator<Item = (&Symbol, &[Seq])> {
        self.open.iter().map(|(symbol, open)| (symbol, open.as_slice()))
    }

    /// Takes an order out of the market for good; returns the orders that are forgotten for it.
    pub fn close(&mut self, seq: Seq) -> Option<Entry> {
        let entry = self.entries.get_mut(&seq).filter(|entry| entry.is_open())?;
        entry.place = Place::Done;
        self.quiet.remove(&seq);
        if let Some(open) = self.open.get_mut(&entry.order.request.symbol) {
            if let Ok(at) = open.binary_search(&seq) {
                open.remove(at);
            }
            if open.is_empty() {
                self.open.remove(&entry.order.request.symbol);
            }
        }
        self.closed.push_back(seq);
        if self.closed.len() <= self.room {
            return None;
        }
        let oldest = self.closed.pop_front()?;
        let legs = self.entries.get(&oldest).map(|entry| entry.legs.as_slice()).unwrap_or_default();
        if legs.iter().any(|leg| self.entries.get(leg).is_some_and(Entry::is_open)) {
            self.closed.push_back(oldest);
            return None;
        }
        let forgotten = self.entries.remove(&oldest)?;
        self.by_id.remove(&bare(forgotten.order.id.as_str()));
        self.forgot = true;
        Some(forgotten)
    }

    /// Notes that an open order has changed without an event.
    pub fn changed_quietly(&mut self, seq: Seq) {
        if self.entries.get(&seq).is_some_and(Entry::is_open) {
            self.quiet.insert(seq);
        }
    }

    /// Those that were noted since the last call.
    pub fn take_quiet(&mut self) -> BTreeSet<Seq> {
        std::mem::take(&mut self.quiet)
    }
}
