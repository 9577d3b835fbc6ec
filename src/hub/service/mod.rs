//! The service: builds lanes, threads and streams, supervises them, and takes them down in order.
//!
//! The one place that may know all others of the hub. Its thread is the supervisor: it owns every join handle and the
//! wanted set.

mod order_side;
mod standing;
mod supervisor;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::Mutex;

use self::supervisor::Listeners;
use crate::config::{Config, DialectRule};
use crate::contract::channel::{BROKER_REGISTRATION_TYPED, LOGS};
use crate::contract::{BROKER_REGISTRATION, public_name};
use crate::desk::HaltFileError;
use crate::events::EventBus;
use crate::exchanges::factory::FactoryError;
use crate::hub::accounts::{Learned, rest_tls};
use crate::hub::brokers::OrderSide;
use crate::hub::lanes::{PriceLaneEntry, price_lane};
use crate::hub::order_room::OrderRoom;
use crate::hub::pace::CyclePace;
use crate::hub::pages::Showcase;
use crate::hub::price_handler::{PriceControl, PriceHandler, PriceStats};
use crate::hub::prices::{PriceBook, StreamId};
use crate::hub::publisher::{PublisherError, UpdatePublisher};
use crate::hub::registrar::{Consequences, Registrar, RegistrarStats, Requests};
use crate::hub::registry::{Instrument, Interest, LeaseEnd};
use crate::hub::report::Reporter;
use crate::hub::stream::StreamBoard;
use crate::hub::streams::{self, STOCKS, Workshop};
use crate::hub::symbols::SymbolTable;
use crate::hub::tap::MarketTap;
use crate::journal::JournalError;
use crate::model::{Dialect, FeedSet};
use crate::net::{DialLimits, Dialer, TlsError, client_config};
use crate::observe::{Heartbeat, Heartbeats, HttpServer, LogHandle, Notifier, Pages};
use crate::redis::{ControlCommand, ControlEvent, ControlStats, Inbound, Outlet, OutletStats, RedisError, SubscriberStats, run_control, run_subscriber};
use crate::runtime::{LockError, ServiceState, Stop, StopKind, Task, ThreadExit, Threads, wall_now};

/// Registration messages that wait for the supervisor; the subscriber waits when it is full, then drops and counts.
const INBOUND: usize = 4_096;
/// Changes that wait for the price handler, which is never far behind; the supervisor waits when it is full.
const PRICE_CONTROL: usize = 4_096;
/// Work for the control thread; what does not fit is dropped and counted, save registrations, which are kept.
const CONTROL: usize = 1_024;
const EXITS: usize = 1_024;
/// How often Redis is asked whether anybody listens to what was given up.
const ASK_LISTENERS_EVERY: Duration = Duration::from_secs(30);
/// How often the desk asks again for the prices of what is held.
const KEEP_PRICES_EVERY: Duration = Duration::from_secs(60);
/// What each step of the shutdown may take; together they stay below two seconds.
const STOP_PRODUCERS: Duration = Duration::from_millis(700);
const STOP_ORDER_SIDE: Duration = Duration::from_millis(150);
const STOP_HANDLERS: Duration = Duration::from_millis(600);
const STOP_REST: Duration = Duration::from_millis(400);
/// How long the last registrations wait for room at a shutdown.
const LAST_STORE: Duration = Duration::from_millis(100);

/// Why the service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the system refuses a thread or a socket: {0}; raise the limits of the process")]
    System(#[from] std::io::Error),
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    #[error(transparent)]
    Brokers(#[from] FactoryError),
    #[error(transparent)]
    Halts(#[from] HaltFileError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Lock(LockError),
    #[error("this Redis is served by {who}; stop that broker, or give this one another Redis or another database of it")]
    AnotherBroker { who: String },
    #[error("this data folder is another broker's: {0}")]
    FolderInUse(LockError),
    /// In words that say what to do.
    #[error("{0}")]
    ForeignStream(String),
    #[error("thread {0} panicked: {1}; state is recovered at the next start")]
    Panicked(Arc<str>, String),
}

/// What a caller may set beside the configuration.
#[derive(Debug)]
pub struct HubOptions {
    pub pace: CyclePace,
    pub log: Option<LogHandle>,
    pub notifier: Notifier,
}

impl From<LockError> for HubError {
    fn from(error: LockError) -> HubError {
        match error {
            LockError::Held { .. } => HubError::FolderInUse(error),
            LockError::Io { .. } => HubError::Lock(error),
        }
    }
}

impl Default for HubOptions {
    fn default() -> HubOptions {
        HubOptions { pace: CyclePace::calm(Instant::now()), log: None, notifier: Notifier::silent() }
    }
}

/// What others may ask of a running service, from any thread.
#[derive(Debug, Clone)]
pub struct BrokerHandle {
    running: Arc<AtomicBool>,
    stop: Sender<()>,
    showcase: Arc<Showcase>,
    http: Arc<Mutex<Option<std::net::SocketAddr>>>,
}

impl BrokerHandle {
    /// Asks for a graceful stop; asking again changes nothing.
    pub fn stop(&self) {
        let _ = self.stop.try_send(());
    }

    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub fn boards(&self) -> Vec<Arc<StreamBoard>> {
        self.showcase.boards.lock().clone()
    }

    pub fn metrics(&self) -> String {
        self.showcase.metrics()
    }

    pub fn status_json(&self) -> String {
        self.showcase.status_json()
    }

    /// Where the pages are, once they are.
    pub fn http_address(&self) -> Option<std::net::SocketAddr> {
        *self.http.lock()
    }
}

/// The service. [`AlpacaBroker::run`] serves until it is stopped.
pub struct AlpacaBroker {
    config: Arc<Config>,
    running: Arc<AtomicBool>,
    state: ServiceState,
    threads: Threads,
    exits: Receiver<ThreadExit>,
    stop_requests: Receiver<()>,
    hints: Receiver<()>,
    inbound: Receiver<Inbound>,
    control_events: Receiver<ControlEvent>,
    control: Sender<ControlCommand>,
    price_control: Sender<PriceControl>,
    registrar: Registrar,
    publisher: UpdatePublisher,
    workshop: Workshop,
    hint: Sender<()>,
    /// Kept only until the shutdown: the lanes end when these and all sinks are gone.
    price_lane: Option<PriceLaneEntry>,
    price_task: Option<Task<()>>,
    subscriber_task: Option<Task<()>>,
    control_task: Option<Task<()>>,
    logs_task: Option<Task<()>>,
    http: Option<HttpServer>,
    early: Stop,
    late: Stop,
    bus: EventBus,
    order_room: OrderRoom,
    /// Under which the durable fields were written.
    lease_token: u64,
    /// Whether bots were to be served when we looked last.
    serving: bool,
    /// There while the service runs.
    order_side: Option<OrderSide>,
    /// Of every account's order stream, whether it could begin or not.
    order_boards: Vec<Arc<StreamBoard>>,
    /// Who we are, while somebody asks the venue.
    learned: Option<Receiver<Learned>>,
    /// What stands under the kill switch, asked of Redis.
    kill_switch: Option<Receiver<Result<Option<String>, RedisError>>>,
    keep_prices_at: Instant,
    pace: CyclePace,
    /// Streams whose producer is to be cycled, as soon as the pace allows.
    due: BTreeMap<StreamId, Requests>,
    cycle_at: Option<Instant>,
    /// Durable fields that the control thread had no room for yet: the lease to write, or `None` to delete.
    unstored: BTreeMap<String, Option<LeaseEnd>>,
    /// Registrations of an earlier process, until they have been read.
    loading: Option<Receiver<Result<HashMap<String, String>, RedisError>>>,
    loaded: bool,
    /// Reading them failed; they are asked for again.
    load_again: bool,
    listeners: Option<Listeners>,
    ask_listeners_at: Instant,
    reporter: Reporter,
    heartbeats: Heartbeats,
    heartbeat: Heartbeat,
    notifier: Notifier,
    next_ping: Instant,
    handle: BrokerHandle,
}

impl AlpacaBroker {
    /// Builds everything and starts the threads that are there at all times; the producers start with [`AlpacaBroker::run`].
    pub fn new(config: Config, options: HubOptions) -> Result<AlpacaBroker, HubError> {
        let config = Arc::new(config);
        let started = wall_now();
        let (exit, exits) = bounded(EXITS);
        let threads = Threads::new(exit);
        let (early, late) = (Stop::new()?, Stop::new()?);
        let (request_stop, stop_requests) = bounded(1);
        let (hint, hints) = bounded(1);
        let heartbeats = Heartbeats::new();
        let redis = Arc::new(config.redis.clone());

        let (inbox, inbound) = bounded(INBOUND);
        let subscriber = Arc::new(SubscriberStats::default());
        let channels = vec![BROKER_REGISTRATION.to_owned(), BROKER_REGISTRATION_TYPED.to_owned()];
        let (settings, token, stats) = (Arc::clone(&redis), early.token(), Arc::clone(&subscriber));
        let subscriber_task = threads.spawn("redis-sub", move || run_subscriber(settings, channels, inbox, token, stats))?;

        let order_room = OrderRoom::open(&config, &redis, &threads, &heartbeats, &hint, started)?;

        let (control, control_inbox) = bounded(CONTROL);
        let (control_event, control_events) = bounded(16);
        let control_stats = Arc::new(ControlStats::default());
        let (settings, token, stats, may_write) = (Arc::clone(&redis), late.token(), Arc::clone(&control_stats), order_room.may_serve());
        let may_write = Box::new(move || may_write(Instant::now()));
        let control_task = threads.spawn("redis-control", move || run_control(settings, control_inbox, control_event, may_write, token, stats))?;

        let (price_entry, lane) = price_lane();
        let (price_control, price_orders) = bounded(PRICE_CONTROL);
        let (prices, price_outlet) = (Arc::new(PriceStats::default()), Arc::new(OutletStats::default()));
        let book = PriceBook::new(started, config.sim.is_some());
        let outlet = Outlet::new("prices", Arc::clone(&redis), threads.clone(), late.token(), Arc::clone(&price_outlet)).guarded(order_room.may_serve());
        let bus = EventBus::new();
        let tap = MarketTap::new(bus.clone());
        let handler = PriceHandler::new(lane, price_orders, book, tap, outlet, Arc::clone(&prices), heartbeats.register("handle-prices"));
        let price_task = threads.spawn("handle-prices", move || handler.run())?;

        let registrar_stats = Arc::new(RegistrarStats::default());
        let showcase = Arc::new(Showcase {
            boards: Mutex::default(),
            report: Mutex::default(),
            ready: Mutex::new(Err("starting".to_owned())),
            live: AtomicBool::new(true),
            prices,
            orders: order_room.stats(),
            commands: Arc::default(),
            journal: Arc::clone(order_room.ledger.journal()),
            lease: Arc::clone(&order_room.lease),
            registrar: Arc::clone(&registrar_stats),
            price_outlet,
            subscriber,
            control: control_stats,
            log: options.log.clone(),
            desk: std::sync::OnceLock::new(),
        });
        let logs_task = options.log.as_ref().map(|log| forward_logs(&threads, log, control.clone(), &late)).transpose()?;
        let http = config.http.and_then(|address| {
            let server = HttpServer::start(address, Arc::clone(&showcase) as _, &threads, late.token());
            server.inspect_err(|error| log::warn!("no pages on {address}: {error}; set http: off or another address")).ok()
        });

        let table = Arc::new(SymbolTable::default());
        let exchange = config.default_exchange.clone();
        let route = Box::new(move |instrument: &Instrument| streams::route(instrument, &exchange));
        let epoch = started.millis();
        let registrar = Registrar::new(config.limits, Arc::clone(&table), config.default_exchange.clone(), config.dialects, route, epoch, registrar_stats);
        let dialer = Arc::new(Dialer::new(client_config(config.trusted_ca.as_deref())?, DialLimits::default()));
        let rest_tls = rest_tls(config.trusted_ca.as_deref())?;
        let running = Arc::new(AtomicBool::new(false));
        let http_address = Arc::new(Mutex::new(http.as_ref().map(|http| http.local_addr)));
        let handle = BrokerHandle { running: Arc::clone(&running), stop: request_stop, showcase: Arc::clone(&showcase), http: http_address };
        Ok(AlpacaBroker {
            reporter: Reporter::new(Arc::clone(&config), showcase, started),
            workshop: Workshop { config: Arc::clone(&config), dialer, table, rest_tls },
            config,
            running,
            state: ServiceState::Stopped,
            publisher: UpdatePublisher::new(threads.clone()),
            threads,
            exits,
            stop_requests,
            hints,
            inbound,
            control_events,
            control,
            price_control,
            registrar,
            hint,
            price_lane: Some(price_entry),
            price_task: Some(price_task),
            subscriber_task: Some(subscriber_task),
            control_task: Some(control_task),
            logs_task,
            http,
            early,
            late,
            bus,
            order_room,
            lease_token: 0,
            serving: false,
            order_side: None,
            order_boards: Vec::new(),
            learned: None,
            kill_switch: None,
            keep_prices_at: Instant::now() + KEEP_PRICES_EVERY,
            pace: options.pace,
            due: BTreeMap::new(),
            cycle_at: None,
            unstored: BTreeMap::new(),
            loading: None,
            loaded: false,
            load_again: false,
            listeners: None,
            ask_listeners_at: Instant::now() + ASK_LISTENERS_EVERY,
            heartbeat: heartbeats.register("supervisor"),
            heartbeats,
            notifier: options.notifier,
            next_ping: Instant::now(),
            handle,
        })
    }

    pub fn handle(&self) -> BrokerHandle {
        self.handle.clone()
    }

    /// Starts, serves until stopped or broken, and stops.
    pub fn run(mut self) -> Result<(), HubError> {
        let served = self.start().and_then(|()| self.serve());
        if let Err(error) = &served {
            log::error!("{error}");
            self.go(ServiceState::Failed);
        }
        self.stop();
        served
    }

    /// Starts the streams. Running already: says so, does nothing.
    pub fn start(&mut self) -> Result<(), HubError> {
        if !self.go(ServiceState::Starting) {
            return Ok(());
        }
        self.add_streams()?;
        let mut out = Consequences::default();
        let (symbols, feeds) = (self.config.symbols.clone(), self.config.symbol_feeds);
        self.registrar.hold_for_config(&symbols, feeds, &mut out);
        self.carry_out(out);
        self.set_wildcard();
        self.learn_accounts()?;
        self.publisher.start_update_publisher()?;
        self.due.clear();
        self.running.store(true, Ordering::Release);
        self.go(ServiceState::Running);
        self.look_at_lease()?;
        self.reporter.write_endpoint(self.handle.http_address());
        self.notifier.ready("streams starting");
        Ok(())
    }

    fn add_streams(&mut self) -> Result<(), HubError> {
        if self.publisher.boards().next().is_some() {
            return Ok(());
        }
        if let Some(lane) = &self.price_lane {
            let board = streams::market_board(STOCKS, self.hint.clone());
            self.publisher.add_stream(Arc::clone(&board), self.workshop.market(STOCKS, &board, lane))?;
        }
        self.show_boards();
        Ok(())
    }

    pub(super) fn show_boards(&self) {
        let mut boards: Vec<Arc<StreamBoard>> = self.publisher.boards().cloned().collect();
        let not_begun = self.order_boards.iter().filter(|board| !boards.iter().any(|begun| begun.name == board.name));
        let not_begun: Vec<_> = not_begun.cloned().collect();
        boards.extend(not_begun);
        *self.handle.showcase.boards.lock() = boards;
    }

    fn set_wildcard(&self) {
        if !self.config.all_symbols {
            return;
        }
        let feeds = self.config.symbol_feeds;
        let interest = match self.config.dialects {
            DialectRule::Auto | DialectRule::Both => Interest { ticker: feeds, typed: feeds },
            DialectRule::Only(Dialect::Ticker) => Interest { ticker: feeds, typed: FeedSet::NONE },
            DialectRule::Only(Dialect::Typed) => Interest { ticker: FeedSet::NONE, typed: feeds },
        };
        let (table, default) = (Arc::clone(&self.workshop.table), self.config.default_exchange.clone());
        let name_of = Box::new(move |id| {
            let instrument = table.instrument(id)?;
            Some(public_name((instrument.exchange != default).then_some(&instrument.exchange), instrument.symbol.as_str()))
        });
        let _ = self.price_control.send(PriceControl::Wildcard { interest, name_of });
    }

    /// Takes everything down: producers, lanes, handlers, the rest. Stopped already: says so, does nothing.
    pub fn stop(&mut self) {
        if !self.go(ServiceState::Stopping) {
            return;
        }
        self.running.store(false, Ordering::Release);
        self.notifier.stopping();
        *self.handle.showcase.ready.lock() = Err("stopping".to_owned());
        self.early.stop(StopKind::Shutdown);
        if let Some(side) = &self.order_side {
            side.take_no_more();
        }
        if self.publisher.is_running()
            && let Err(error) = self.publisher.stop_update_publisher(StopKind::Shutdown, STOP_PRODUCERS)
        {
            log::error!("{error}");
        }
        if let Some(side) = self.order_side.take() {
            side.stop(Instant::now() + STOP_ORDER_SIDE);
        }
        // With the last sender gone the handlers drain what is left and end.
        self.publisher = UpdatePublisher::new(self.threads.clone());
        self.price_lane = None;
        let deadline = Instant::now() + STOP_HANDLERS;
        ended("handle-prices", self.price_task.take().map(|task| task.join_until(deadline)));
        self.order_room.drain(deadline);
        self.report();
        self.store_what_waits(LAST_STORE);
        self.late.stop(StopKind::Shutdown);
        let deadline = Instant::now() + STOP_REST;
        ended("redis-sub", self.subscriber_task.take().map(|task| task.join_until(deadline)));
        ended("redis-control", self.control_task.take().map(|task| task.join_until(deadline)));
        ended("logs", self.logs_task.take().map(|task| task.join_until(deadline)));
        self.order_room.close(deadline);
        ended("http", self.http.take().map(|http| http.join_within(deadline.saturating_duration_since(Instant::now()))));
        self.reporter.remove_endpoint();
        self.go(ServiceState::Stopped);
    }

    fn go(&mut self, next: ServiceState) -> bool {
        let Some(state) = self.state.to(next) else {
            log::warn!("the service is {}: not {next} now", self.state);
            return false;
        };
        log::info!("{} -> {state}", self.state);
        self.state = state;
        true
    }
}

/// Logs what went wrong with a join, and gives the result if nothing did.
fn ended<T>(name: &str, joined: Option<Result<T, crate::runtime::JoinFailure>>) -> Option<T> {
    match joined? {
        Ok(value) => Some(value),
        Err(failure) => {
            log::error!("{name}: {failure}");
            None
        }
    }
}

/// Carries log lines to the bots that listen; a slow Redis costs lines, never time.
fn forward_logs(threads: &Threads, log: &LogHandle, control: Sender<ControlCommand>, late: &Stop) -> std::io::Result<Task<()>> {
    let (lines, token) = (log.lines_for_bots(), late.token());
    threads.spawn("logs", move || {
        loop {
            select! {
                recv(lines) -> line => match line {
                    Ok(line) => {
                        let _ = control.try_send(ControlCommand::Publish { channel: LOGS.to_owned(), payload: line.into_bytes() });
                    }
                    Err(_) => return,
                },
                recv(token.channel()) -> _ => return,
            }
        }
    })
}

impl std::fmt::Debug for AlpacaBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlpacaBroker").field("state", &self.state).finish_non_exhaustive()
    }
}
