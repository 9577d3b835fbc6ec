//! A matching engine: orders and what the market shows go in, events come out.
//!
//! Pure: time is passed in, chance comes from the seed, nothing is read or written elsewhere. Same settings, same start
//! and same calls give the same events. Must not know threads, clocks, files, JSON or where prices come from.
//!
//! Every call first lets everything happen that was due until then, so that a late caller changes no outcome.

mod admission;
mod afford;
mod auction;
mod book;
mod exits;
mod form;
mod instrument;
mod ledger;
mod matching;
mod means;
mod notice;
mod place;
mod refusal;
mod replace;
mod restore;
mod session;
mod settings;
mod sight;
mod store;
mod timers;
mod wish;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;

pub use book::{Book, PriceBand, SeenQuote, SeenTrade};
pub use exits::OTHER_EXIT_FILLED;
pub use instrument::{AssetClass, Instrument};
pub use refusal::Refusal;
pub use restore::AccountState;
pub use settings::EngineSettings;

use crate::events::{Event, OrderKey};
use crate::model::{AccountId, AccountInfo, Fill, MarketSession, Order, Position, Symbol, Timestamp};
use ledger::Ledger;
use store::{Seq, Store};
use timers::Timers;

/// What is listed under a name: the instrument and its market.
#[derive(Debug)]
struct Listed {
    instrument: Instrument,
    book: Book,
}

/// The engine: one market, several accounts.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    /// For what is decided by chance; names have a generator of their own, so that they change no decision.
    chance: fastrand::Rng,
    names: fastrand::Rng,
    now: Timestamp,
    /// `None` until somebody says.
    session: Option<MarketSession>,
    opening: Option<Timestamp>,
    closing: Option<Timestamp>,
    listed: HashMap<Symbol, Listed, foldhash::fast::RandomState>,
    accounts: BTreeMap<AccountId, Ledger>,
    store: Store,
    timers: Timers,
    events: Vec<Event>,
    /// Room for the orders that one sight concerns.
    scratch: Vec<Seq>,
}

impl Engine {
    pub fn new(settings: EngineSettings, now: Timestamp) -> Engine {
        // Another start gets other names, so that an execution after a restart is never taken for one before it.
        let start = u64::from_ne_bytes(now.nanos().to_ne_bytes());
        Engine {
            chance: fastrand::Rng::with_seed(settings.seed),
            names: fastrand::Rng::with_seed(settings.seed ^ start.rotate_left(17)),
            store: Store::new(settings.remembered),
            settings,
            now,
            session: None,
            opening: None,
            closing: None,
            listed: HashMap::default(),
            accounts: BTreeMap::new(),
            timers: Timers::default(),
            events: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Lists an instrument; one that is listed already gets the new rules and keeps its market.
    pub fn list(&mut self, instrument: Instrument) {
        match self.listed.get_mut(&instrument.symbol) {
            Some(listed) => listed.instrument = instrument,
            None => drop(self.listed.insert(instrument.symbol.clone(), Listed { instrument, book: Book::default() })),
        }
    }

    pub fn instrument(&self, symbol: &str) -> Option<&Instrument> {
        self.listed.get(symbol).map(|listed| &listed.instrument)
    }

    /// The last quote and trade of a symbol, and whether it is halted.
    pub fn book(&self, symbol: &str) -> Option<&Book> {
        self.listed.get(symbol).map(|listed| &listed.book)
    }

    /// The phase of the day; closed until somebody says otherwise.
    pub fn session(&self) -> MarketSession {
        self.session.unwrap_or(MarketSession::Closed)
    }

    /// Opens an account; one that is open already stays as it is.
    pub fn open_account(&mut self, id: AccountId, currency: &str, cash: Decimal, now: Timestamp) {
        self.advance(now);
        self.accounts.entry(id.clone()).or_insert_with(|| Ledger::new(id, currency, cash));
    }

    /// When [`Engine::advance`] has something to do.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// What happened since the last call, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Open orders of which something changed since the last call that no event tells, and whether each is a stop that has
    /// been triggered.
    pub fn take_quiet(&mut self) -> Vec<(Arc<Order>, bool)> {
        let quiet = self.store.take_quiet();
        quiet.into_iter().filter_map(|seq| self.store.get(seq)).map(|entry| (Arc::clone(&entry.order), entry.triggered)).collect()
    }

    /// Whether orders were forgotten, for there were too many.
    pub fn has_forgotten(&self) -> bool {
        self.store.forgot
    }

    /// An order of an account; ids of the venue compare without dashes and capitals.
    pub fn order(&self, account: &AccountId, key: &OrderKey) -> Option<&Arc<Order>> {
        self.find(account, key).and_then(|seq| self.store.get(seq)).map(|entry| &entry.order)
    }

    /// The orders of an account with their numbers, as submitted.
    pub fn orders(&self, account: &AccountId) -> impl DoubleEndedIterator<Item = (u64, &Arc<Order>)> {
        let numbers = self.accounts.get(account).map(|ledger| &ledger.orders);
        numbers.into_iter().flatten().filter_map(|seq| Some((*seq, &self.store.get(*seq)?.order)))
    }

    /// The open orders of an account with their numbers, as submitted.
    pub fn open_orders(&self, account: &AccountId) -> impl DoubleEndedIterator<Item = (u64, &Arc<Order>)> {
        let numbers = self.accounts.get(account).map(|ledger| &ledger.open);
        numbers.into_iter().flatten().filter_map(|seq| Some((*seq, &self.store.get(*seq)?.order)))
    }

    /// The executions of an account, oldest first; the oldest are forgotten.
    pub fn fills(&self, account: &AccountId) -> impl DoubleEndedIterator<Item = &Fill> {
        self.accounts.get(account).into_iter().flat_map(|ledger| &ledger.fills)
    }

    pub fn account(&self, id: &AccountId) -> Option<AccountInfo> {
        self.accounts.get(id).map(|ledger| self.describe(ledger))
    }

    /// What an account holds or owes.
    pub fn positions(&self, id: &AccountId) -> Vec<Position> {
        let positions = self.accounts.get(id).into_iter().flat_map(|ledger| ledger.positions.values());
        positions.filter(|position| !position.quantity.is_zero()).map(|position| self.marked(position)).collect()
    }

    pub fn position(&self, id: &AccountId, symbol: &str) -> Option<Position> {
        let position = self.accounts.get(id)?.positions.get(symbol)?;
        (!position.quantity.is_zero()).then(|| self.marked(position))
    }

    /// Units of a position that open orders on the closing side have spoken for.
    pub fn held(&self, id: &AccountId, symbol: &str) -> Decimal {
        self.accounts.get(id).map_or(Decimal::ZERO, |ledger| self.spoken_for(ledger, symbol))
    }

    fn find(&self, account: &AccountId, key: &OrderKey) -> Option<Seq> {
        let seq = match key {
            OrderKey::Venue(id) => self.store.by_id(id),
            OrderKey::Client(name) => self.accounts.get(account)?.names.get(name).copied(),
        };
        seq.filter(|seq| self.store.get(*seq).is_some_and(|entry| entry.account == *account))
    }
}
