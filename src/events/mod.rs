//! Facts that cross threads, in the past tense, as the producers hand them on.
//!
//! Must not know how a venue spelled them or how a bot will read them. (Market facts are `model::MarketEvent`: they
//! travel in batches of thousands and stay free of text.)

mod order;

pub use order::{OrderEvent, OrderSummary};
