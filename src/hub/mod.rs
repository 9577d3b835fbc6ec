//! The price and order service: producers, the price lane and its handler, the appender of order updates, the registry,
//! the brokers, and the stop/start sequence.
//!
//! Must not know how a venue spells anything (`exchanges`), how Redis is reached (`redis`), or the command line.

mod accounts;
mod appender;
mod brokers;
mod employ;
mod lanes;
mod order_room;
mod order_sink;
mod pace;
mod pages;
mod pressure;
mod price_handler;
mod prices;
mod producer;
mod publisher;
mod registrar;
mod registry;
mod report;
mod service;
mod stream;
mod streams;
mod symbols;
mod tap;

pub use appender::{Appender, AppenderSettings, AppenderStats, Keeper, run_appender, run_keeper};
pub use lanes::{PriceBatch, PriceItem, PriceLane, PriceLaneEntry, PriceSink, price_lane};
pub use pace::CyclePace;
pub use prices::{Outbox, PriceBook, PriceCounts, StreamId, handle_price_update};
pub use producer::Sink;
pub use publisher::PublisherError;
pub use registrar::{Consequences, InterestChange, Registrar, RegistrarStats};
pub use registry::{Instrument, Interest, Registry};
pub use service::{AlpacaBroker, BrokerHandle, HubError, HubOptions};
pub use stream::StreamBoard;
pub use symbols::SymbolTable;
