//! What an operator sees: log lines, metrics, health, the HTTP pages, the word to systemd.
//!
//! Must not know who counts or why; must not decide anything for the service.

mod health;
mod heartbeat;
mod http;
mod line;
mod log;
mod metrics;
mod notify;

pub use health::{Facts, Health, StreamFact, assess};
pub use heartbeat::{Heartbeat, Heartbeats};
pub use http::{HttpServer, Pages};
pub use line::printable;
pub use log::{LogError, LogHandle, init, log_panics};
pub use metrics::{Counter, Exposition, Gauge, Histogram};
pub use notify::Notifier;
