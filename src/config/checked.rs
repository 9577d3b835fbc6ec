//! From the tree and the variables to the typed [`Config`]: defaults, ranges, and what must fit together.
//!
//! The one place that knows the names of the file's keys, apart from those of an account.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::accounts::{self, endpoint, nowhere};
use super::address::{self, DEFAULT_PORT, RedisAddress};
use super::brokers::{self, BrokerFile};
use super::dotenv::Variables;
use super::problem::{ConfigError, Report};
use super::section::{Given, Section, items, split};
use super::settings::{
    Account, Codec, Config, CryptoVenue, DialectRule, Environment, MarketData, RedisPlace, RedisSettings, RegistrationLimits, SimSettings, StockFeed,
};
use crate::model::{Dialect, ExchangeName, Feed, FeedSet, Symbol};
use crate::net::Endpoint;
use crate::runtime::Secret;

pub(super) const DIALECTS: [(&str, DialectRule); 4] =
    [("auto", DialectRule::Auto), ("both", DialectRule::Both), ("ticker", DialectRule::Only(Dialect::Ticker)), ("typed", DialectRule::Only(Dialect::Typed))];
pub(super) const STOCK_FEEDS: [(&str, StockFeed); 4] =
    [("iex", StockFeed::Iex), ("sip", StockFeed::Sip), ("delayed_sip", StockFeed::DelayedSip), ("test", StockFeed::Test)];
pub(super) const CRYPTO_VENUES: [(&str, CryptoVenue); 3] = [("us", CryptoVenue::Us), ("us-1", CryptoVenue::Us1), ("eu-1", CryptoVenue::Eu1)];
pub(super) const CODECS: [(&str, Codec); 2] = [("json", Codec::Json), ("msgpack", Codec::MsgPack)];
/// The names of the `log` crate, then those of Python.
const LEVELS: [(&str, log::LevelFilter); 10] = [
    ("off", log::LevelFilter::Off),
    ("error", log::LevelFilter::Error),
    ("warn", log::LevelFilter::Warn),
    ("info", log::LevelFilter::Info),
    ("debug", log::LevelFilter::Debug),
    ("trace", log::LevelFilter::Trace),
    ("WARNING", log::LevelFilter::Warn),
    ("CRITICAL", log::LevelFilter::Error),
    ("FATAL", log::LevelFilter::Error),
    ("NOTSET", log::LevelFilter::Trace),
];

/// What was read and has to be understood.
pub(super) struct Inputs<'a> {
    pub top: Section,
    pub brokers: &'a [BrokerFile],
    pub variables: &'a Variables,
    /// `--sim`.
    pub sim: bool,
}

/// `used` collects the names of variables in the exchange files.
pub(super) fn check(inputs: Inputs, used: &mut Vec<String>, report: &mut Report) -> Result<Config, ConfigError> {
    let Inputs { top, brokers, variables, sim } = inputs;
    Checker { top, variables, report }.check(brokers, sim, used)
}

struct Checker<'a> {
    top: Section,
    variables: &'a Variables,
    report: &'a mut Report,
}

impl Checker<'_> {
    fn check(mut self, files: &[BrokerFile], sim_alone: bool, used: &mut Vec<String>) -> Result<Config, ConfigError> {
        let redis = self.redis();
        let accounts = accounts::read(&mut self.top, self.variables, sim_alone, self.report);
        let market_data = self.market_data(&accounts.list);
        let limits = self.limits();
        let (symbols, all_symbols) = self.symbols(limits);
        let symbol_feeds = self.symbol_feeds();
        let dialects = self.top.text("dialects", self.report).and_then(|given| given.choose(&DIALECTS, self.report)).unwrap_or(DialectRule::Auto);
        let orders_on_ticker_channel = self.orders_on_ticker_channel();
        let per_bot = self.top.text("order_streams_per_bot", self.report);
        let order_streams_per_bot = per_bot.and_then(|given| given.choose(&[("true", true), ("false", false)], self.report)).unwrap_or(false);
        let data_dir = self.top.pick("data_dir", self.variables, "BROKER_DATA_DIR", self.report);
        let data_dir = data_dir.map_or_else(|| PathBuf::from("./data"), |given| PathBuf::from(given.text));
        let trusted_ca = self.top.pick("trusted_ca", self.variables, "BROKER_TRUSTED_CA", self.report);
        let trusted_ca = trusted_ca.filter(|given| !given.text.is_empty()).map(|given| PathBuf::from(given.text));
        let http = self.http();
        let log_level = self.top.pick("log_level", self.variables, "LOG_LEVEL", self.report);
        let log_level = log_level.and_then(|given| given.choose(&LEVELS, self.report)).unwrap_or(log::LevelFilter::Info);
        let sim = self.sim();
        let Checker { top, report, variables } = self;
        top.finish(report);
        let default_exchange = alpaca();
        let context = brokers::Context { variables, accounts: &accounts.list, default_exchange: &default_exchange, sim: sim_alone };
        let brokers = brokers::check(files, &context, used, report);
        if !report.problems.is_empty() {
            return Err(ConfigError::Refused(std::mem::take(&mut report.problems)));
        }
        let Some(market_data) = market_data else {
            return Err(ConfigError::NoKeys { live_keys_unused: accounts.live_keys_unused });
        };
        let sim = accounts.list.iter().any(|account| account.environment == Environment::Sim).then_some(sim);
        Ok(Config {
            redis,
            accounts: accounts.list,
            market_data,
            default_exchange,
            brokers: brokers.enabled,
            disabled_brokers: brokers.disabled,
            symbols,
            all_symbols,
            symbol_feeds,
            dialects,
            limits,
            orders_on_ticker_channel,
            order_streams_per_bot,
            data_dir,
            trusted_ca,
            http,
            log_level,
            sim,
        })
    }

    fn redis(&mut self) -> RedisSettings {
        let mut section = self.top.section("redis", self.report);
        let file_url = section.text("url", self.report).filter(|given| !given.text.is_empty());
        let file_host = section.text("host", self.report).filter(|given| !given.text.is_empty());
        let port = section.pick("port", self.variables, "REDIS_PORT", self.report);
        let db = section.pick("db", self.variables, "REDIS_DB", self.report).and_then(|given| given.whole(0..=65535, self.report));
        let username = section.pick("username", self.variables, "REDIS_USERNAME", self.report).map(|given| given.text);
        let password = section.pick("password", self.variables, "REDIS_PASSWORD", self.report).and_then(|given| self.password(&given));
        let ca_file = section.text("ca_file", self.report).filter(|given| !given.text.is_empty());
        let plaintext = section.text("allow_plaintext", self.report).and_then(|given| given.truth(self.report)).unwrap_or(false);
        section.finish(self.report);

        let of_variable = |name: &str| self.variables.get(name).map(|v| Given::of_variable(name, v));
        let host_variable = of_variable("REDIS_HOST");
        let url = of_variable("REDIS_URL").or(file_url.filter(|_| host_variable.is_none()));
        let address = match url {
            Some(url) => self.redis_url(&url),
            None => self.redis_host(host_variable.or(file_host), port),
        };
        self.warn_of_plaintext(&address.place, plaintext);
        let ca_file = ca_file.and_then(|given| self.ca_file(&given, &address.place));
        let (username, password) = match address.password {
            Some(password) => (address.username, Some(password)),
            None => (address.username.or(username), password),
        };
        RedisSettings { place: address.place, db: address.db.or(db).unwrap_or(0), username, password, ca_file }
    }

    fn redis_url(&mut self, url: &Given) -> RedisAddress {
        address::parse(&url.text).unwrap_or_else(|error| {
            self.report.refuse(url.at.clone(), format!("no Redis address: {error}"));
            local_redis()
        })
    }

    fn redis_host(&mut self, host: Option<Given>, port: Option<Given>) -> RedisAddress {
        let host = host.and_then(|given| {
            if given.text.contains("://") {
                self.report.refuse(given.at, "is a whole address, allowed is a host name; an address goes into REDIS_URL or redis.url");
                return None;
            }
            if !address::is_host(&given.text) {
                given.refuse(self.report, "a host name or an IP address");
                return None;
            }
            Some(given.text)
        });
        let port = port.and_then(|given| {
            if given.text.contains("://") {
                self.report.refuse(
                    given.at,
                    "is a whole address, as container platforms set it for a service named redis; set REDIS_URL to it, or REDIS_PORT to a number",
                );
                return None;
            }
            given.whole(1..=65535, self.report)
        });
        let mut address = local_redis();
        address.place = RedisPlace::Tcp { host: host.unwrap_or_else(|| "localhost".to_owned()), port: port.unwrap_or(DEFAULT_PORT) };
        address
    }

    fn password(&mut self, given: &Given) -> Option<Secret> {
        if given.plain {
            self.report.refuse(given.at.clone(), "is not in quotes and would be read as a number; put quotes around it");
            return None;
        }
        Some(Secret::new(given.text.as_str()))
    }

    fn warn_of_plaintext(&mut self, place: &RedisPlace, allowed: bool) {
        let local = |host: &str| host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let open = match place {
            RedisPlace::Tcp { host, .. } => !local(host),
            RedisPlace::Sentinel { nodes, .. } => !nodes.iter().all(|(host, _)| local(host)),
            RedisPlace::Tls { .. } | RedisPlace::Unix(_) => false,
        };
        if open && !allowed {
            self.report.warn(format!("{place} is reached without TLS: whoever can listen on the way reads and forges prices and orders; use rediss://, or say redis.allow_plaintext: true for a private network"));
        }
    }

    fn ca_file(&mut self, given: &Given, place: &RedisPlace) -> Option<PathBuf> {
        let path = PathBuf::from(&given.text);
        if !matches!(place, RedisPlace::Tls { .. }) {
            self.report.refuse(given.at.clone(), "is used with a rediss:// address only; delete the line, or use rediss://");
            return None;
        }
        if let Err(error) = std::fs::File::open(&path) {
            self.report.refuse(given.at.clone(), format!("{}, which cannot be read: {error}", given.found()));
            return None;
        }
        Some(path)
    }

    fn market_data(&mut self, accounts: &[Account]) -> Option<MarketData> {
        let mut section = self.top.section("market_data", self.report);
        let account = section.text("account", self.report);
        let host = section.pick("host", self.variables, "APCA_API_STREAM_URL", self.report);
        let rest = section.pick("rest", self.variables, "APCA_API_DATA_URL", self.report);
        let stock_feed = section.text("stock_feed", self.report).and_then(|given| given.choose(&STOCK_FEEDS, self.report)).unwrap_or(StockFeed::Iex);
        let crypto_venue = section.text("crypto_venue", self.report).and_then(|given| given.choose(&CRYPTO_VENUES, self.report)).unwrap_or(CryptoVenue::Us);
        let codec = section.text("codec", self.report).and_then(|given| given.choose(&CODECS, self.report)).unwrap_or(Codec::Json);
        section.finish(self.report);

        let host = host.and_then(|given| self.stream_host(&given)).unwrap_or_else(|| alpaca_host("stream.data.alpaca.markets"));
        let rest = rest.and_then(|given| endpoint(&given, &["/v2"], "https://", self.report)).unwrap_or_else(|| alpaca_host("data.alpaca.markets"));
        let first = accounts.first()?;
        let owner = match account {
            None => first,
            Some(_) if first.environment == Environment::Sim => first,
            Some(given) => {
                let owner = accounts.iter().find(|account| *account.name == *given.text);
                if owner.is_none() {
                    let names: Vec<&str> = accounts.iter().map(|account| &*account.name).collect();
                    given.refuse(self.report, format!("the name of a usable account: {}", names.join(", ")));
                }
                owner?
            }
        };
        let (host, rest) = if owner.environment == Environment::Sim { (nowhere(), nowhere()) } else { (host, rest) };
        Some(MarketData { key_id: owner.key_id.clone(), secret_key: owner.secret_key.clone(), host, rest, stock_feed, crypto_venue, codec })
    }

    fn stream_host(&mut self, given: &Given) -> Option<Endpoint> {
        let host = endpoint(given, &["/v2", "/v1beta3"], "wss://", self.report)?;
        if host.path.contains("/v2") || host.path.contains("/v1beta") {
            given.refuse(self.report, "the host alone, without the path of a feed; market_data.stock_feed names the feed");
            return None;
        }
        Some(host)
    }

    fn limits(&mut self) -> RegistrationLimits {
        let mut section = self.top.section("limits", self.report);
        let at = section.at.clone();
        let per_bot = section.text("per_bot", self.report).and_then(|given| given.whole(1..=1_000_000, self.report));
        let total = section.text("total", self.report).and_then(|given| given.whole(1..=1_000_000, self.report));
        section.finish(self.report);
        let limits = RegistrationLimits { per_bot: per_bot.unwrap_or(5_000), total: total.unwrap_or(20_000) };
        if limits.per_bot > limits.total {
            self.report.refuse(at, format!("per_bot ({}) is more than total ({}); no bot could reach it", limits.per_bot, limits.total));
        }
        limits
    }

    fn symbols(&mut self, limits: RegistrationLimits) -> (Vec<Symbol>, bool) {
        let node = self.top.take("symbols");
        let of_file = items(node, self.report);
        let given = match self.variables.get("BROKER_SYMBOLS") {
            Some(variable) => split(&Given::of_variable("BROKER_SYMBOLS", variable)),
            None => of_file,
        };
        if let [only] = &given[..]
            && only.text == "*"
        {
            return (Vec::new(), true);
        }
        let mut symbols: Vec<Symbol> = Vec::new();
        for one in &given {
            if one.text == "*" {
                self.report.refuse(one.at.clone(), "found '*' beside other symbols; '*' stands alone and means every symbol");
            } else if let Some(symbol) = one.symbol(self.report)
                && !symbols.contains(&symbol)
            {
                symbols.push(symbol);
            }
        }
        if let Some(first) = given.first().filter(|_| symbols.len() > limits.total) {
            self.report.refuse(first.at.clone(), format!("found {} symbols, allowed are {} (limits.total)", symbols.len(), limits.total));
        }
        (symbols, false)
    }

    fn symbol_feeds(&mut self) -> FeedSet {
        let node = self.top.take("symbol_feeds");
        let names = Feed::ALL.map(|feed| (feed.as_str(), feed));
        let given = items(node, self.report);
        if given.is_empty() {
            return FeedSet::NONE.with(Feed::Price);
        }
        given.iter().filter_map(|one| one.choose(&names, self.report)).collect()
    }

    fn orders_on_ticker_channel(&mut self) -> Option<bool> {
        let given = self.top.text("orders_on_ticker_channel", self.report)?;
        given.choose(&[("auto", None), ("true", Some(true)), ("false", Some(false))], self.report).flatten()
    }

    fn http(&mut self) -> Option<SocketAddr> {
        let default = SocketAddr::from(([127, 0, 0, 1], 9464));
        let Some(given) = self.top.text("http", self.report) else { return Some(default) };
        if matches!(&*given.text, "off" | "false") {
            return None;
        }
        let Ok(address) = given.text.parse::<SocketAddr>() else {
            given.refuse(self.report, "an IP address with a port such as 127.0.0.1:9464, or off");
            return None;
        };
        if !address.ip().is_loopback() {
            self.report.warn(format!("{}: the status pages at {address} are open to the network; they are read-only, but name symbols and accounts", given.at));
        }
        Some(address)
    }

    fn sim(&mut self) -> SimSettings {
        let mut section = self.top.section("sim", self.report);
        let seed = section.text("seed", self.report).and_then(|given| given.whole(0..=u64::MAX, self.report)).unwrap_or(1);
        let rate = section.text("rate", self.report).and_then(|given| given.number(0.1..=1_000_000.0, "a number", self.report)).unwrap_or(50.0);
        let latency = section.text("latency_ms", self.report).and_then(|given| given.whole(0..=60_000, self.report)).unwrap_or(5);
        section.finish(self.report);
        SimSettings { seed, rate, latency: Duration::from_millis(latency) }
    }
}

fn local_redis() -> RedisAddress {
    let place = RedisPlace::Tcp { host: "localhost".to_owned(), port: DEFAULT_PORT };
    RedisAddress { place, db: None, username: None, password: None }
}

fn alpaca_host(host: &str) -> Endpoint {
    Endpoint { secure: true, host: host.to_owned(), port: 443, path: "/".to_owned() }
}

#[expect(clippy::expect_used, reason = "a constant that fits the form of a name, as every test that loads a configuration proves")]
fn alpaca() -> ExchangeName {
    "alpaca".parse().expect("a name of small letters")
}
