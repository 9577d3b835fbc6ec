//! The nouns of trading: symbols, decimal numbers, times, market facts.
//!
//! No I/O, no clock, no JSON, no knowledge of any exchange or of Redis.

mod digits;
mod feed;
mod market;
mod symbol;
mod time;

pub use digits::{Amount, Digits, DigitsError, Price};
pub use feed::{Dialect, Feed, FeedSet};
pub use market::{Bar, BarKind, Correction, Fact, Luld, MarketEvent, MarketKind, Quote, Status, SymbolId, Trade, TradeCancel};
pub use symbol::{ExchangeName, NameError, Symbol, SymbolError};
pub use time::{TimeText, Timestamp, TimestampError};
