//! What has to be true before anything leaves: limits, the check, and the proof that it was made.
//!
//! Must not know brokers, threads or any I/O: time, prices and positions are passed in.

mod approved;
mod book;
mod denial;
mod entry;
mod gate;
mod halt;
mod limits;
mod protect;
mod rate;
mod rules;

pub use approved::Approved;
pub use denial::{Denial, Measure, Rule};
pub use gate::{BotUsage, Gate, Usage};
pub use halt::{HaltBook, HaltBookError, HaltMode, HaltRecord, HaltScope, ScopeError};
pub use limits::{Holdings, Limits, Sight};
pub use protect::protect;

#[cfg(test)]
mod tests;
