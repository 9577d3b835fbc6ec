//! What an operator sees: log lines, metrics, health, the HTTP pages.
//!
//! Must not know who counts or why; must not decide anything for the service.

mod metrics;

pub use metrics::{Counter, Gauge};
