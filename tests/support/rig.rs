//! A private Redis, the built-in exchange and the service in this process, wired together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alpaca_broker::config::{
    Account, AlpacaSettings, BrokerSettings, Codec, Config, CryptoVenue, DefaultOrderType, DialectRule, Environment, MarketData, PaperSettings, RedisPlace,
    RedisSettings, RegistrationLimits, SimSettings, Slippage, StockFeed, VenueSettings,
};
use alpaca_broker::hub::{AlpacaBroker, BrokerHandle, CyclePace, HubError, HubOptions};
use alpaca_broker::model::{Feed, FeedSet};
use alpaca_broker::net::Endpoint;
use alpaca_broker::risk::Limits;
use alpaca_broker::runtime::{Secret, Threads};
use alpaca_broker::sim::{Sim, SimConfig, SimControl};
use tempfile::TempDir;

use super::redis_server::{RedisOptions, RedisServer};

/// How long anything may take that should take no time, on a machine that builds beside the test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The service under test with its surroundings; all of it ends with this value.
pub struct Rig {
    pub redis: RedisServer,
    pub exchange: SimControl,
    pub broker: BrokerHandle,
    sim: Option<Sim>,
    thread: Option<JoinHandle<Result<(), HubError>>>,
    dir: TempDir,
}

/// What a rig is made of; the default is a silent market and no limit on cycles.
pub struct RigOptions {
    pub sim: SimConfig,
    /// Changes the configuration before the start.
    pub config: Box<dyn FnOnce(&mut Config)>,
    pub pace: CyclePace,
    pub redis: RedisOptions,
}

impl Default for RigOptions {
    fn default() -> RigOptions {
        RigOptions { sim: SimConfig::default(), config: Box::new(|_| {}), pace: CyclePace::unlimited(Instant::now()), redis: RedisOptions::default() }
    }
}

impl Rig {
    pub fn start() -> Rig {
        Rig::with(RigOptions::default())
    }

    /// Starts everything and waits until both streams and all Redis connections stand.
    pub fn with(options: RigOptions) -> Rig {
        let rig = Rig::begin(options);
        rig.wait_ready();
        rig
    }

    /// Starts everything and waits for nothing.
    pub fn begin(options: RigOptions) -> Rig {
        let redis = options.redis.start();
        let dir = tempfile::tempdir().unwrap();
        let sim = Sim::start(options.sim, &Threads::new(crossbeam_channel::bounded(1).0)).unwrap();
        let mut config = configuration(redis.port(), &sim, dir.path());
        (options.config)(&mut config);
        let hub = HubOptions { pace: options.pace, ..HubOptions::default() };
        let (broker, thread) = start_broker(config, hub);
        Rig { redis, exchange: sim.control(), broker, sim: Some(sim), thread: Some(thread), dir }
    }

    pub fn wait_ready(&self) {
        wait_until("the service is ready", || self.status()["state"] == "running");
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.broker.status_json()).unwrap()
    }

    /// A metric's value, summed over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.broker.metrics();
        let lines = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn exchange_address(&self) -> std::net::SocketAddr {
        self.sim.as_ref().unwrap().address()
    }

    /// A client connection to the private Redis.
    pub fn redis_client(&self) -> redis::Connection {
        redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap()
    }

    /// Stops the service alone, and says how it ended and how long that took.
    pub fn stop_broker(&mut self) -> (Result<(), HubError>, Duration) {
        let started = Instant::now();
        self.broker.stop();
        let ended = self.thread.take().unwrap().join().unwrap();
        (ended, started.elapsed())
    }

    /// Starts the service again, on the same Redis, exchange and data folder.
    pub fn start_broker(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = configuration(self.redis.port(), self.sim.as_ref().unwrap(), self.dir.path());
        change(&mut config);
        let (broker, thread) = start_broker(config, HubOptions { pace: CyclePace::unlimited(Instant::now()), ..HubOptions::default() });
        self.broker = broker;
        self.thread = Some(thread);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.broker.stop();
            let _ = thread.join();
        }
        if let Some(sim) = self.sim.take() {
            sim.stop();
        }
    }
}

fn start_broker(config: Config, options: HubOptions) -> (BrokerHandle, JoinHandle<Result<(), HubError>>) {
    let broker = AlpacaBroker::new(config, options).unwrap();
    let handle = broker.handle();
    let thread = std::thread::Builder::new().name("supervisor".to_owned()).spawn(move || broker.run()).unwrap();
    (handle, thread)
}

/// The configuration of a service between this Redis and this exchange.
pub fn configuration(redis_port: u16, sim: &Sim, data_dir: &Path) -> Config {
    let here = Endpoint { secure: false, host: "127.0.0.1".to_owned(), port: sim.address().port(), path: "/".to_owned() };
    let (key_id, secret_key) = (Secret::new("SIM"), Secret::new("SIM-SECRET"));
    Config {
        redis: RedisSettings {
            place: RedisPlace::Tcp { host: "127.0.0.1".to_owned(), port: redis_port },
            db: 0,
            username: None,
            password: None,
            ca_file: None,
        },
        accounts: vec![Account {
            name: Arc::from("sim"),
            environment: Environment::Sim,
            key_id: key_id.clone(),
            secret_key: secret_key.clone(),
            api: here.clone(),
            order_stream: here.join("stream"),
        }],
        market_data: MarketData {
            key_id,
            secret_key,
            host: here.clone(),
            rest: here,
            stock_feed: StockFeed::Iex,
            crypto_venue: CryptoVenue::Us,
            codec: Codec::Json,
        },
        default_exchange: "alpaca".parse().unwrap(),
        brokers: Vec::new(),
        disabled_brokers: Vec::new(),
        symbols: Vec::new(),
        all_symbols: false,
        symbol_feeds: FeedSet::NONE.with(Feed::Price),
        dialects: DialectRule::Auto,
        limits: RegistrationLimits { per_bot: 5_000, total: 20_000 },
        orders_on_ticker_channel: None,
        order_streams_per_bot: false,
        data_dir: data_dir.to_owned(),
        trusted_ca: None,
        http: None,
        log_level: log::LevelFilter::Info,
        sim: Some(SimSettings { seed: 1, rate: 0.0, latency: Duration::ZERO }),
    }
}

/// A paper account with the plan's settings, save that orders reach the market at once.
pub fn paper_broker(limits: Limits) -> BrokerSettings {
    let dec = |text: &str| text.parse::<rust_decimal::Decimal>().unwrap();
    BrokerSettings {
        name: "paper".parse().unwrap(),
        file: "paper.yaml".to_owned(),
        venue: VenueSettings::Paper(PaperSettings {
            initial_balance: dec("100000"),
            base_currency: "USD".to_owned(),
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            slippage: Slippage::Percentage(dec("0.0005")),
            commission_rate: dec("0.001"),
            regulatory_fees: false,
            margin: dec("1"),
            shorting: false,
            extended_hours: true,
            partial_fills: true,
            random_partials: dec("0"),
            queue: true,
            prices: "alpaca".parse().unwrap(),
            data_file: "paper.db".to_owned(),
            seed: 1,
        }),
        default_order_type: DefaultOrderType::Market,
        limits,
        bot_limits: BTreeMap::new(),
    }
}

/// The account of the configuration, taking orders.
pub fn alpaca_broker(config: &Config) -> BrokerSettings {
    BrokerSettings {
        name: "alpaca".parse().unwrap(),
        file: "alpaca.yaml".to_owned(),
        venue: VenueSettings::Alpaca(AlpacaSettings { account: config.accounts[0].clone() }),
        ..paper_broker(Limits::default())
    }
}

/// Waits for something that has no event to wait on, and says what when it does not come.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
