//! What has to be true before anything leaves: limits, the check, and the proof that it was made.
//!
//! Must not know brokers, threads or any I/O: time, prices and positions are passed in.

mod adopted;
mod approved;
mod book;
mod denial;
mod entry;
mod gate;
mod halt;
mod kin;
mod limits;
mod position;
mod protect;
mod rate;
mod reducing;
mod rules;
mod sender;
mod usage;

pub use approved::{Approved, Ticket};
pub use denial::{Denial, Measure, Rule};
pub use gate::Gate;
pub use halt::{HaltBook, HaltBookError, HaltMode, HaltRecord, HaltScope, ScopeError};
pub use limits::{Holdings, Limits, Sight};
pub use protect::protect;
pub use usage::{BotUsage, Usage};

#[cfg(test)]
mod tests;
