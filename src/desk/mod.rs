//! The order desk: commands of bots in, through the risk check, to the brokers; answers and order updates out.
//!
//! | file | what |
//! |---|---|
//! | `desk` | one command, one answer |
//! | `seat` | a broker with its risk gate |
//! | `sights` | the last prices, for the check |
//! | `halts` | halts, kept over restarts |
//! | `pump` | what brokers tell, counted |
//! | `workers` | the threads that carry commands out |
//! | `stock` | what is shown of it all |
//! | `books` | what one bot holds and has earned |
//! | `answer` | what a sender reads |
//!
//! Must not know which brokers there are, nor how prices come.

mod answer;
mod books;
#[expect(clippy::module_inception, reason = "the desk of the order desk")]
mod desk;
mod halts;
pub mod ledger;
mod pump;
pub mod reconcile;
mod seat;
mod sights;
mod stock;
mod workers;

pub use answer::{Answer, DifferenceView, ProfitView, ReconcileView, RepairView, Verdict};
pub use desk::{Desk, STALE_AFTER, WantPrices, asset_class};
pub use halts::{HaltFile, HaltFileError};
pub use pump::Pump;
pub use seat::{Seat, SessionOf};
pub use sights::Sights;
pub use stock::Stock;

#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;

pub use workers::{DeskStats, Outgoing, WORKERS, start_workers};
