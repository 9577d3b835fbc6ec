//! Venues. What they have in common stands here; each venue has a folder of its own and knows no other.
//!
//! Must not know Redis, bots, registrations or threads.

pub mod alpaca;
mod broker;
mod cache;
mod capability;
mod error;
pub mod factory;
#[cfg(test)]
pub(crate) mod fixtures;
mod health;
mod metrics;
pub mod paper;
mod stream;
mod table;

pub use broker::{Broker, CancelOutcome, Connection, Replayed};
pub use cache::Cached;
pub use capability::Capabilities;
pub use error::{BrokerError, OrderAdvice};
pub use health::{HealthWatch, Verdict};
pub use metrics::BrokerMetrics;
pub use stream::{Advice, Effects, Incoming, Names, Notice, Outgoing, RefusedSymbol, Session, SessionEnd, SymbolWant};
pub use table::capability_table;
