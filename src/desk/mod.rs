//! The order desk: commands of bots in, through the risk check, to the brokers; answers and order updates out.
//!
//! | file | what |
//! |---|---|
//! | `desk` | one command, one answer |
//! | `asked` | one command as it came |
//! | `placing` | an order on its way, at most once |
//! | `changing` | a change on its way |
//! | `cancelling` | taking orders back |
//! | `keeping` | what became of a command, kept before it is told |
//! | `claims` | who is at work on a command |
//! | `lookups` | what became of commands that were not answered |
//! | `ledger` | every word about an order, once |
//! | `reconcile` | whether what we know of a venue is what it holds |
//! | `questions` | what somebody only wants to know |
//! | `seat` | a broker with its risk gate |
//! | `seats` | whom commands can be for |
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
mod asked;
mod books;
mod cancelling;
mod changing;
mod claims;
#[expect(clippy::module_inception, reason = "the desk of the order desk")]
mod desk;
mod halts;
mod keeping;
pub mod ledger;
mod lookups;
mod placing;
mod pump;
mod questions;
pub mod reconcile;
mod seat;
mod seats;
mod sights;
mod stock;
mod workers;

pub use answer::{Answer, DifferenceView, ProfitView, ReconcileView, RepairView, Verdict};
use desk::order_text;
pub use desk::{Desk, MaySend, STALE_AFTER, WantPrices, asset_class};
pub use halts::{HaltFile, HaltFileError};
pub use lookups::Finders;
pub use pump::Pump;
pub use seat::{Role, Seat, SessionOf};
pub use seats::{Place, Seats};
pub use sights::Sights;
pub use stock::Stock;

#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod doubt_tests;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod late_tests;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;

pub use workers::{DeskStats, Outgoing, UNDER_WAY, WORKERS, start_workers};
