//! How a paper market differs from a perfect one: slippage, fees, latency, and how much of an order is filled.
//!
//! Pure functions of their arguments. Must not know orders, accounts, clocks or randomness beyond the generator that is
//! handed in.

mod fees;
mod fills;
mod latency;
mod slippage;

pub use fees::{Combined, CommissionRate, Execution, FeeModel, NoFees, PerShare, RegulatoryFees};
pub use fills::FillRules;
pub use latency::Latency;
pub use slippage::{Fixed, MarketImpact, NoSlippage, Percentage, SlippageModel, Taking};
