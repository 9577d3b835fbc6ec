//! What the operator decides: files and environment in, one checked `Config` out.
//!
//! Must not know threads, sockets or messages.

mod settings;

pub use settings::{
    Account, Codec, Config, CryptoVenue, DialectRule, Environment, MarketData, RedisPlace, RedisSettings, RegistrationLimits, SimSettings, StockFeed,
};
