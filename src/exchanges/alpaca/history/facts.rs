//! Past prices, the venue's clock and calendar, and what it trades, as typed values.
//!
//! Must not know JSON or how they are asked for.

use jiff::civil::{Date, Time};
use rust_decimal::Decimal;

use crate::model::{Symbol, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastTrade {
    pub at: Timestamp,
    pub price: Decimal,
    pub size: Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastQuote {
    pub at: Timestamp,
    pub bid: Decimal,
    pub bid_size: Decimal,
    pub ask: Decimal,
    pub ask_size: Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastBar {
    /// When it begins.
    pub at: Timestamp,
    pub open: Decimal,
    pub high: Decimal,
    pub low: Decimal,
    pub close: Decimal,
    pub volume: Decimal,
    pub trades: u64,
    pub vwap: Option<Decimal>,
}

/// The latest of everything; what has never happened is missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    pub trade: Option<PastTrade>,
    pub quote: Option<PastQuote>,
    pub minute: Option<PastBar>,
    pub day: Option<PastBar>,
    pub previous_day: Option<PastBar>,
}

/// Regular hours only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueClock {
    pub at: Timestamp,
    pub is_open: bool,
    pub next_open: Timestamp,
    pub next_close: Timestamp,
}

/// In the market's own time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueDay {
    pub date: Date,
    pub open: Time,
    pub close: Time,
    /// With the hours before and after the regular ones.
    pub session: Option<(Time, Time)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    pub id: String,
    pub symbol: Symbol,
    /// Such as `us_equity` and `crypto`.
    pub class: String,
    /// Where it is listed, such as `NASDAQ`.
    pub listed_at: String,
    pub is_active: bool,
    pub tradable: bool,
    pub marginable: bool,
    pub shortable: bool,
    pub fractionable: bool,
    pub min_order_size: Option<Decimal>,
    pub min_trade_increment: Option<Decimal>,
    pub price_increment: Option<Decimal>,
}
