//! The checked configuration: every value validated, units in the types.
//!
//! Must not know YAML, file names or environment variables.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::brokers::{BrokerSettings, DisabledBroker};
use crate::model::{Dialect, ExchangeName, FeedSet, Symbol};
use crate::net::Endpoint;
use crate::runtime::Secret;

/// Everything `run` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub redis: RedisSettings,
    /// One order stream each; never empty.
    pub accounts: Vec<Account>,
    pub market_data: MarketData,
    /// The exchange that is meant when a bot names none; its symbols carry no prefix in channels and keys.
    pub default_exchange: ExchangeName,
    /// Where orders can be sent, in the order of their files.
    pub brokers: Vec<BrokerSettings>,
    pub disabled_brokers: Vec<DisabledBroker>,
    /// Registered at start without any bot, held by `config`.
    pub symbols: Vec<Symbol>,
    /// Every symbol of the venue, `*` in the file.
    pub all_symbols: bool,
    pub symbol_feeds: FeedSet,
    pub dialects: DialectRule,
    pub limits: RegistrationLimits,
    /// `None`: on with one account, off with several.
    pub orders_on_ticker_channel: Option<bool>,
    /// A stream of order updates for each bot, besides that of the account.
    pub order_streams_per_bot: bool,
    pub data_dir: PathBuf,
    /// Trusted instead of the public roots when an exchange is reached by TLS.
    pub trusted_ca: Option<PathBuf>,
    /// `None` switches the pages off.
    pub http: Option<SocketAddr>,
    pub log_level: log::LevelFilter,
    /// Set when an account's environment is `sim` or `--sim` was given: the exchange inside this process.
    pub sim: Option<SimSettings>,
}

/// In which dialects symbols are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialectRule {
    /// As registered.
    Auto,
    Both,
    Only(Dialect),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationLimits {
    pub per_bot: usize,
    pub total: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    Sim,
    Paper,
    Live,
}

/// One brokerage account: its keys and where its orders live.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: Arc<str>,
    pub environment: Environment,
    pub key_id: Secret,
    pub secret_key: Secret,
    /// The trading REST host, without `/v2`.
    pub api: Endpoint,
    /// The trading stream with its path.
    pub order_stream: Endpoint,
}

/// The market-data streams and whose keys open them.
#[derive(Debug, Clone)]
pub struct MarketData {
    pub key_id: Secret,
    pub secret_key: Secret,
    /// The stream host, without `/v2/iex`.
    pub host: Endpoint,
    /// The market-data REST host, without `/v2`.
    pub rest: Endpoint,
    pub stock_feed: StockFeed,
    pub crypto_venue: CryptoVenue,
    pub codec: Codec,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockFeed {
    Iex,
    Sip,
    DelayedSip,
    Test,
}

impl StockFeed {
    pub fn path(self) -> &'static str {
        match self {
            StockFeed::Iex => "/v2/iex",
            StockFeed::Sip => "/v2/sip",
            StockFeed::DelayedSip => "/v2/delayed_sip",
            StockFeed::Test => "/v2/test",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoVenue {
    Us,
    Us1,
    Eu1,
}

impl CryptoVenue {
    pub fn path(self) -> &'static str {
        match self {
            CryptoVenue::Us => "/v1beta3/crypto/us",
            CryptoVenue::Us1 => "/v1beta3/crypto/us-1",
            CryptoVenue::Eu1 => "/v1beta3/crypto/eu-1",
        }
    }
}

/// How market data is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Json,
    MsgPack,
}

/// How to reach Redis, and as whom.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    pub place: RedisPlace,
    pub db: u32,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Trusted instead of the public roots.
    pub ca_file: Option<PathBuf>,
}

/// An address that may be logged: it carries no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    Tcp { host: String, port: u16 },
    Tls { host: String, port: u16 },
    Unix(PathBuf),
    Sentinel { master: String, nodes: Vec<(String, u16)> },
}

impl std::fmt::Display for RedisPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RedisPlace::Tcp { host, port } => write!(f, "redis://{host}:{port}"),
            RedisPlace::Tls { host, port } => write!(f, "rediss://{host}:{port}"),
            RedisPlace::Unix(path) => write!(f, "unix://{}", path.display()),
            RedisPlace::Sentinel { master, nodes } => {
                let nodes: Vec<String> = nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect();
                write!(f, "sentinel://{}/{master}", nodes.join(","))
            }
        }
    }
}

/// The exchange inside this process.
#[derive(Debug, Clone)]
pub struct SimSettings {
    pub seed: u64,
    /// Market messages a second over all symbols.
    pub rate: f64,
    pub latency: Duration,
}
