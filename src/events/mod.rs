//! Facts that cross threads, in the past tense, commands in the imperative, and the bus that carries them.
//!
//! Must not know how a venue spelled them or how a bot will read them. (The market facts of the price path are
//! `model::MarketEvent`: they travel in batches of thousands and stay free of text.)

mod bus;
mod event;
mod order;

pub use bus::{EventBus, Subscription, Topics};
pub use event::{AccountRef, BrokerHealth, Command, Event, FillEvent, HeardOrder, MarketDataEvent, MarketSight, OrderKey, OrderUpdate, PositionUpdate, Source};
pub use order::{OrderEvent, OrderSummary};
