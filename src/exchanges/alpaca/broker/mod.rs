//! One account at Alpaca as a broker: asked over REST, told of by the order stream.
//!
//! Whoever keeps the order stream hands every event in with [`AlpacaBroker::hear`] and says with
//! [`AlpacaBroker::stream_is`] whether the stream listens. Must not know how the stream is kept nor who listens.

mod calls;
mod lists;
mod names;
mod replay;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::history::{Asset, AssetCache};
use super::orders::{ReadError, read_account, read_order, read_update};
use super::rest::{ACCOUNT_PATH, Ask, Page, RestClient, RestSettings, Urgency, Verb, encode};
use crate::events::{AccountRef, Event, EventBus, FillEvent, OrderEvent, OrderKey, OrderUpdate, Source};
use crate::exchanges::{BrokerError, BrokerMetrics, Cached, Capabilities, Connection};
use crate::model::{AccountId, ExchangeName, Order, Symbol, TimeInForce, VenueOrderId};
use names::Names;

/// The type of this broker, as configured.
pub const KIND: &str = "alpaca";

/// For an order, a change of one, a cancel, and for all small questions.
const WITHIN: Duration = Duration::from_secs(5);
/// For a page of a list.
const LIST_WITHIN: Duration = Duration::from_secs(10);
/// How long a venue without a history of events is not asked for it again.
const NO_HISTORY: Duration = Duration::from_secs(3_600);
/// What may be traded changes overnight.
const ASSET_LIFETIME: Duration = Duration::from_secs(3_600);

/// One account.
#[derive(Debug, Clone)]
pub struct AlpacaSettings {
    pub name: ExchangeName,
    /// The configured name of the account, such as `paper`: it stands in order events.
    pub account_name: Arc<str>,
    /// The venue's own id of it.
    pub account: AccountId,
    /// Money may move.
    pub live: bool,
    pub rest: RestSettings,
}

/// One account at Alpaca.
pub struct AlpacaBroker {
    of: AccountRef,
    account_name: Arc<str>,
    capabilities: Capabilities,
    rest: RestClient,
    bus: EventBus,
    metrics: Arc<BrokerMetrics>,
    state: Mutex<State>,
    /// The last question was answered, if only with a refusal.
    answered: AtomicBool,
    names: Mutex<Names>,
    /// Set while it is known that the venue keeps no history of events.
    no_history: Mutex<Cached<()>>,
    assets: AssetCache,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    opened: bool,
    listening: bool,
}

/// An event that cannot stand in our types; bots may want its words all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an order event of Alpaca cannot be read: {error}")]
pub struct Unread {
    pub event: Arc<OrderEvent>,
    pub error: ReadError,
}

impl AlpacaBroker {
    /// Asks nobody anything: [`connect`](crate::exchanges::Broker::connect) does.
    pub fn new(settings: AlpacaSettings, bus: EventBus) -> AlpacaBroker {
        let metrics = Arc::new(BrokerMetrics::new(Instant::now()));
        AlpacaBroker {
            of: AccountRef { broker: settings.name, account: settings.account },
            account_name: settings.account_name,
            capabilities: AlpacaBroker::supports(settings.live),
            rest: RestClient::new(settings.rest, Arc::clone(&metrics)),
            bus,
            metrics,
            state: Mutex::default(),
            answered: AtomicBool::new(false),
            names: Mutex::default(),
            no_history: Mutex::new(Cached::new(NO_HISTORY)),
            assets: AssetCache::new(ASSET_LIFETIME),
        }
    }

    /// What every account supports; `live` where money may move.
    pub fn supports(live: bool) -> Capabilities {
        capabilities(live)
    }

    /// What the venue says of a symbol, an hour old at most; `None` where it does not know it.
    pub fn asset(&self, symbol: &Symbol) -> Result<Option<Asset>, BrokerError> {
        let asset = self.assets.get_or_try(symbol, Instant::now(), || self.rest.asset(symbol, WITHIN));
        asset.inspect_err(|error| self.metrics.failed(error))
    }

    /// Takes an event of the order stream and tells everybody on the bus.
    ///
    /// # Errors
    /// When it cannot stand in our types; nobody was told, and the event comes back.
    pub fn hear(&self, event: OrderEvent) -> Result<(), Unread> {
        let event = Arc::new(event);
        let update = self.understand(&event, Source::Stream)?;
        self.metrics.fills.add(u64::from(update.fill.is_some()));
        self.metrics.told(&update, update.order.parent.is_some());
        let filled = update.fill.clone().map(|fill| Event::Filled(FillEvent { of: self.of.clone(), fill }));
        self.bus.publish(&Event::OrderUpdated(update));
        if let Some(filled) = filled {
            self.bus.publish(&filled);
        }
        Ok(())
    }

    fn understand(&self, event: &Arc<OrderEvent>, source: Source) -> Result<OrderUpdate, Unread> {
        let mut update = read_update(&self.of, event, source).map_err(|error| Unread { event: Arc::clone(event), error })?;
        self.names.lock().learn(Arc::make_mut(&mut update.order));
        Ok(update)
    }

    /// Whether the order stream of the account listens.
    pub fn stream_is(&self, up: bool) {
        let mut state = self.state.lock();
        state.listening = up;
        self.note(*state);
    }

    /// Ends every question that is under way and every later one: for the end of the process.
    pub fn close(&self) {
        self.rest.close();
    }

    fn note(&self, state: State) {
        match state {
            State { opened: true, listening: true } => self.metrics.connected(Instant::now()),
            _ => self.metrics.disconnected(Instant::now()),
        }
    }

    fn connection_now(&self) -> Connection {
        match *self.state.lock() {
            State { opened: false, .. } => Connection::Disconnected,
            State { listening: true, .. } => Connection::Connected,
            State { listening: false, .. } if self.answered.load(Ordering::Relaxed) => Connection::Degraded,
            State { listening: false, .. } => Connection::Connecting,
        }
    }

    /// Makes sure that the keys are those of the account.
    fn open(&self) -> Result<(), BrokerError> {
        if self.state.lock().opened {
            return Ok(());
        }
        let page = self.send(Verb::Get, ACCOUNT_PATH, None, Urgency::Question, WITHIN)?;
        let account = read_account(&page.body).map_err(|error| self.unreadable("the account", error))?;
        if account.id != self.of.account {
            let cause = format!("they are those of the account {}, not of {}", account.id, self.of.account);
            return Err(BrokerError::Unauthorised { broker: self.of.broker.to_string(), cause });
        }
        let mut state = self.state.lock();
        state.opened = true;
        self.note(*state);
        Ok(())
    }

    fn ask(&self, verb: Verb, path: &str, body: Option<String>, urgency: Urgency) -> Result<Page, BrokerError> {
        self.check_open()?;
        self.send(verb, path, body, urgency, WITHIN)
    }

    fn list(&self, path: &str, urgency: Urgency) -> Result<Page, BrokerError> {
        self.check_open()?;
        self.send(Verb::Get, path, None, urgency, LIST_WITHIN)
    }

    fn check_open(&self) -> Result<(), BrokerError> {
        if self.state.lock().opened {
            return Ok(());
        }
        Err(BrokerError::NotConnected { broker: self.of.broker.to_string(), cause: "nobody has connected it".to_owned() })
    }

    fn send(&self, verb: Verb, path: &str, body: Option<String>, urgency: Urgency, within: Duration) -> Result<Page, BrokerError> {
        let page = self.rest.ask(&Ask { verb, path, body, urgency, within });
        match &page {
            Err(BrokerError::RateLimited { .. }) => {}
            Err(BrokerError::NotConnected { .. } | BrokerError::Unavailable { .. } | BrokerError::OutcomeUnknown { .. }) => {
                self.answered.store(false, Ordering::Relaxed);
            }
            Err(BrokerError::Unauthorised { .. }) => self.answered.store(false, Ordering::Relaxed),
            _ => self.answered.store(true, Ordering::Relaxed),
        }
        page
    }

    fn learn(&self, mut order: Order) -> Order {
        self.names.lock().learn(&mut order);
        order
    }

    /// The answer to an order or a change of one; where it cannot be read, the wish was taken all the same.
    fn taken(&self, page: &Page) -> Result<Order, BrokerError> {
        let order = read_order(&page.body).map_err(|error| BrokerError::OutcomeUnknown {
            broker: self.of.broker.to_string(),
            cause: format!("it took it, but the order that it answers cannot be read: {error}"),
        })?;
        Ok(self.learn(order))
    }

    fn look_up(&self, key: &OrderKey, urgency: Urgency) -> Result<Option<Order>, BrokerError> {
        let known = match key {
            OrderKey::Venue(id) => Some(id.clone()),
            OrderKey::Client(id) => self.names.lock().venue_id(id).cloned(),
        };
        let path = match (known, key) {
            (Some(id), _) => format!("/v2/orders/{}?nested=true", encode(id.as_str())),
            (None, OrderKey::Client(id)) => format!("/v2/orders:by_client_order_id?client_order_id={}&nested=true", encode(id.as_str())),
            (None, OrderKey::Venue(_)) => return Ok(None),
        };
        match self.ask(Verb::Get, &path, None, urgency) {
            Ok(page) => read_order(&page.body).map(|order| Some(self.learn(order))).map_err(|error| self.unreadable("an order", error)),
            Err(BrokerError::UnknownOrder(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The venue's name of an order, without a question where it is known.
    fn venue_id(&self, key: &OrderKey, urgency: Urgency) -> Result<VenueOrderId, BrokerError> {
        match key {
            OrderKey::Venue(id) => return Ok(id.clone()),
            OrderKey::Client(id) => {
                if let Some(known) = self.names.lock().venue_id(id) {
                    return Ok(known.clone());
                }
            }
        }
        self.look_up(key, urgency)?.map(|order| order.id).ok_or_else(|| unknown(key))
    }

    /// Why the venue would not touch an order: often it has ended.
    fn why_not(&self, id: &VenueOrderId, key: &OrderKey, refusal: BrokerError, urgency: Urgency) -> BrokerError {
        match refusal {
            BrokerError::UnknownOrder(_) => unknown(key),
            BrokerError::Rejected { .. } => match self.look_up(&OrderKey::Venue(id.clone()), urgency) {
                Ok(Some(order)) if !order.status.is_open() => BrokerError::NotOpen(order.status),
                _ => refusal,
            },
            other => other,
        }
    }

    fn unreadable(&self, what: &str, error: ReadError) -> BrokerError {
        BrokerError::Unavailable { broker: self.of.broker.to_string(), cause: format!("{what} cannot be read: {error}") }
    }
}

/// Short selling, margin and fractions are decided by the account and the asset; the venue refuses what they do not allow.
fn capabilities(live: bool) -> Capabilities {
    Capabilities {
        broker: KIND.to_owned(),
        order_types: vec!["market", "limit", "stop", "stop_limit", "trailing_stop"],
        times_in_force: TimeInForce::ALL.to_vec(),
        classes: vec!["simple", "bracket", "oco", "oto"],
        modify: true,
        cancel_all: true,
        extended_hours: true,
        notional: true,
        fractional: true,
        short_selling: true,
        fills: true,
        batch_orders: true,
        local: false,
        unique_client_ids: true,
        live,
    }
}

fn unknown(key: &OrderKey) -> BrokerError {
    BrokerError::UnknownOrder(match key {
        OrderKey::Venue(id) => id.to_string(),
        OrderKey::Client(id) => id.to_string(),
    })
}

impl fmt::Debug for AlpacaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlpacaBroker").field("of", &self.of).field("connection", &self.connection_now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
