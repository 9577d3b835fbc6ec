//! The exchange itself: who its customers are, what they may trade, and a paper engine that keeps their orders.
//!
//! Pure: time is passed in, randomness comes from the seed, what happened is taken out as updates. Must not know HTTP,
//! sockets or codecs.

mod activity;
mod book;
mod check;
mod customer;
mod orders;
mod refusal;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;

pub(super) use activity::{Activity, ActivityType};
pub(super) use book::{Asset, Book, Deal};
pub(super) use customer::{Configuration, Customer};
pub(super) use orders::OrderWish;
pub(super) use refusal::{Refusal, UNPROCESSABLE, money, plain};

use super::config::SimConfig;
use crate::events::MarketSight;
use crate::exchanges::paper::engine::{Engine, EngineSettings, Instrument};
use crate::exchanges::paper::models::Latency;
use crate::model::{AccountId, AccountInfo, ExchangeName, MarketSession, Order, Position, Quote, Symbol, Timestamp, VenueOrderId};
use book::Ids;

/// What a new account starts with, as the venue's paper accounts do.
const OPENING_CASH: Decimal = Decimal::from_parts(100_000, 0, 0, false, 0);
const CURRENCY: &str = "USD";

/// Something happened to an order: the `data` of a `trade_updates` message, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    pub account: String,
    pub data: String,
}

/// An order was taken in, as it was then.
#[derive(Debug, Clone)]
pub(super) struct Acceptance {
    pub account: String,
    pub order: Arc<Order>,
    /// The order that it is to replace.
    pub instead_of: Option<VenueOrderId>,
}

#[derive(Debug)]
pub(super) struct Exchange {
    ids: Ids,
    engine: Engine,
    margin: Decimal,
    /// Whether the venue still knows pattern day traders, as it did before July 2026.
    day_trading: bool,
    assets: BTreeMap<Symbol, Asset>,
    books: HashMap<Symbol, Book>,
    customers: BTreeMap<AccountId, Customer>,
    session: MarketSession,
    updates: Vec<Update>,
    accepted: Vec<Acceptance>,
    /// Open orders that hang on another, as they were told last.
    told_legs: HashMap<VenueOrderId, Arc<Order>>,
}

/// The name that the engine gives itself in its events.
#[expect(clippy::expect_used, reason = "the name is a constant of the right form")]
fn broker() -> ExchangeName {
    "sim".parse().expect("a constant name")
}

impl Exchange {
    pub(super) fn new(config: &SimConfig, now: Timestamp) -> Exchange {
        let latency = Latency { fixed: config.order_latency, ..Latency::NONE };
        let settings = EngineSettings { latency, ..EngineSettings::alpaca_paper(broker(), config.seed) };
        Exchange::with(settings, config, now)
    }

    /// An exchange whose engine behaves otherwise than the venue's paper accounts.
    pub(super) fn with(settings: EngineSettings, config: &SimConfig, now: Timestamp) -> Exchange {
        let mut ids = Ids::new(config.seed);
        let margin = settings.margin;
        let mut exchange = Exchange {
            assets: config.symbols.iter().map(|(symbol, _)| (symbol.clone(), Asset::new(symbol, ids.uuid()))).collect(),
            ids,
            engine: Engine::new(settings, now),
            margin,
            day_trading: config.day_trading_fields,
            books: HashMap::new(),
            customers: BTreeMap::new(),
            session: MarketSession::Closed,
            updates: Vec::new(),
            accepted: Vec::new(),
            told_legs: HashMap::new(),
        };
        exchange.set_session(MarketSession::Regular, now);
        for (symbol, price) in &config.symbols {
            exchange.engine.list(Instrument::of(symbol));
            if let Some(price) = price.to_decimal() {
                let book = Book::around(price, now);
                exchange.show(symbol, &book, now);
                exchange.books.insert(symbol.clone(), book);
            }
        }
        for (at, key) in config.keys.iter().enumerate() {
            exchange.open(&key.account_id, &format!("SIM{:08}", at + 1), now);
        }
        exchange
    }

    fn show(&mut self, symbol: &Symbol, book: &Book, now: Timestamp) {
        let quote = MarketSight::Quote { bid: book.bid, bid_size: book.bid_size, ask: book.ask, ask_size: book.ask_size };
        self.engine.see(symbol, &MarketSight::Trade { price: book.last.price, size: book.last.size }, now);
        self.engine.see(symbol, &quote, now);
    }

    fn open(&mut self, account: &str, number: &str, now: Timestamp) {
        let Ok(id) = account.parse::<AccountId>() else {
            log::error!("simulated exchange: {account:?} is no name of an account; its keys can trade nothing");
            return;
        };
        if !self.customers.contains_key(&id) {
            self.engine.open_account(id.clone(), CURRENCY, OPENING_CASH, now);
            let customer = Customer::new(id.clone(), number.to_owned(), now, self.margin, self.day_trading);
            self.customers.insert(id, customer);
        }
    }

    /// By symbol, with or without the slash of a pair, or by id, with or without dashes.
    pub(super) fn asset(&self, symbol_or_id: &str) -> Option<&Asset> {
        self.assets.get(symbol_or_id).or_else(|| {
            let wanted = book::bare(symbol_or_id);
            self.assets.values().find(|asset| book::bare(&asset.id) == wanted || asset.symbol.as_str().replace('/', "") == symbol_or_id)
        })
    }

    pub(super) fn book(&self, symbol: &str) -> Option<&Book> {
        self.books.get(symbol)
    }

    pub(super) fn customer(&self, account: &str) -> Result<&Customer, Refusal> {
        self.customers.get(account).ok_or_else(|| Refusal::not_found("account not found"))
    }

    pub(super) fn configuration_mut(&mut self, account: &str) -> Result<&mut Configuration, Refusal> {
        let customer = self.customers.get_mut(account).ok_or_else(|| Refusal::not_found("account not found"))?;
        Ok(&mut customer.configuration)
    }

    /// Money and the worth of an account.
    pub(super) fn info(&self, account: &str) -> Result<AccountInfo, Refusal> {
        self.engine.account(&self.customer(account)?.id).ok_or_else(|| Refusal::not_found("account not found"))
    }

    pub(super) fn margin(&self) -> Decimal {
        self.margin
    }

    /// Whether the venue still knows pattern day traders.
    pub(super) fn day_trading(&self) -> bool {
        self.day_trading
    }

    pub(super) fn positions(&self, account: &str) -> Vec<Position> {
        self.customer(account).map(|customer| self.engine.positions(&customer.id)).unwrap_or_default()
    }

    pub(super) fn position(&self, account: &str, symbol: &str) -> Option<Position> {
        self.engine.position(&self.customer(account).ok()?.id, symbol).filter(|position| !position.quantity.is_zero())
    }

    /// Units of a position that open orders have spoken for.
    pub(super) fn held(&self, account: &str, symbol: &str) -> Decimal {
        self.customer(account).map_or(Decimal::ZERO, |customer| self.engine.held(&customer.id, symbol))
    }

    /// What happened since the last call, in order.
    pub(super) fn take_updates(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.updates)
    }

    /// The orders that were taken in since the last call.
    pub(super) fn take_accepted(&mut self) -> Vec<Acceptance> {
        std::mem::take(&mut self.accepted)
    }

    /// When [`Exchange::due`] has something to do.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.engine.next_due()
    }

    /// Does what waits for its time: orders on their way to the market, acknowledgements.
    pub(super) fn due(&mut self, now: Timestamp) {
        self.engine.advance(now);
        self.collect();
    }

    /// The market shows another quote.
    pub(super) fn quoted(&mut self, symbol: &str, quote: &Quote, now: Timestamp) {
        let Some(book) = self.books.get_mut(symbol) else { return };
        book.quoted(quote, now);
        let sight = MarketSight::Quote { bid: book.bid, bid_size: book.bid_size, ask: book.ask, ask_size: book.ask_size };
        self.seen(symbol, &sight, now);
    }

    /// Somebody traded.
    pub(super) fn traded(&mut self, symbol: &str, price: Decimal, size: Decimal, now: Timestamp) {
        let Some(book) = self.books.get_mut(symbol) else { return };
        book.last = Deal { price, size };
        self.seen(symbol, &MarketSight::Trade { price, size }, now);
    }

    /// The market shows something else: a halt, its end, the prices between which it trades.
    pub(super) fn seen(&mut self, symbol: &str, sight: &MarketSight, now: Timestamp) {
        let Some((symbol, _)) = self.assets.get_key_value(symbol) else { return };
        self.engine.see(symbol, sight, now);
        self.collect();
    }

    /// When the next auctions are, so that orders for them are refused shortly before; `None` where there are none.
    pub(super) fn expect_auctions(&mut self, opening: Option<Timestamp>, closing: Option<Timestamp>) {
        self.engine.expect_auctions(opening, closing);
    }

    /// The market of equities opens or closes. When it closes for the night the trading day is over.
    pub(super) fn set_session(&mut self, session: MarketSession, now: Timestamp) {
        let ended = session == MarketSession::Closed && self.session != MarketSession::Closed;
        self.session = session;
        self.engine.set_session(session, now);
        self.collect();
        if ended {
            self.books.values_mut().for_each(Book::day_ended);
            for customer in self.customers.values_mut() {
                customer.day_ended(&self.engine.positions(&customer.id));
            }
        }
    }
}

#[cfg(test)]
mod tests;
