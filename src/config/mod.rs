//! What the operator decides: files and environment in, one checked [`Config`] out.
//!
//! A value is looked for in the process environment, then in `.env` beside the file, then in the file, then there is a
//! default; an empty variable counts as not set. The files of brokers, in the folder `exchanges`, read the variables
//! that they name. Every mistake is collected and told with its place, what was found and what is allowed. Must not
//! know threads, sockets or messages.

mod accounts;
mod address;
mod brokers;
mod checked;
mod dotenv;
mod interpolate;
mod load;
mod problem;
mod section;
mod settings;
mod show;
mod yaml;

#[cfg(test)]
mod tests;

/// The broker's own file in the data folder.
pub const JOURNAL_FILE: &str = "broker.db";

pub use brokers::{AlpacaSettings, BinanceSettings, BrokerSettings, DefaultOrderType, DisabledBroker, IbSettings, PaperSettings, Slippage, VenueSettings};
pub use load::{Loaded, Sources};
pub use problem::{ConfigError, Problem};
pub use settings::{
    Account, Codec, Config, CryptoVenue, DialectRule, Environment, MarketData, RedisPlace, RedisSettings, RegistrationLimits, SimSettings, StockFeed,
};
