//! When a market trades: days, holidays, early closes, the phases of a day.
//!
//! Must not read the clock.
