//! When a market trades: days, holidays, early closes, the phases of a day.
//!
//! Must not read the clock, and must not know who asks: the time is passed in.

mod holidays;
mod us_equities;

pub use us_equities::{Calendar, MarketDay};
