//! Trading without a venue: a matching engine over prices that somebody else shows, and the broker in front of it.
//!
//! Must not know where the prices come from.

pub mod broker;
pub mod engine;
pub mod models;
pub mod store;
