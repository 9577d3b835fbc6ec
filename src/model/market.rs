//! Facts of the market, as the hub hands them from a producer to the price handler.
//!
//! Must not know wire letters such as `bp`, dialects or channels.

use super::{Amount, Digits, Price, Timestamp};

/// A symbol's number in the hub's table: what travels between threads instead of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SymbolId(pub u32);

/// One fact about one symbol at one time of the venue's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct MarketEvent {
    pub symbol: SymbolId,
    pub at: Timestamp,
    pub kind: MarketKind,
}

/// Trades and quotes are values: a newer one replaces an older one under pressure. All else is a [`Fact`], rare and
/// never folded, and boxed so that the common kinds stay small.
#[derive(Debug, Clone, PartialEq)]
pub enum MarketKind {
    Trade(Trade),
    Quote(Quote),
    Fact(Box<Fact>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trade {
    pub price: Price,
    pub size: Amount,
}

/// A price of zero says that nobody stands on that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    pub bid: Amount,
    pub bid_size: Amount,
    pub ask: Amount,
    pub ask_size: Amount,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    Bar(Bar),
    Status(Status),
    Luld(Luld),
    Correction(Correction),
    Cancel(TradeCancel),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarKind {
    Minute,
    /// A minute bar sent again because late trades changed it.
    UpdatedMinute,
    Day,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub kind: BarKind,
    pub open: Digits,
    pub high: Digits,
    pub low: Digits,
    pub close: Digits,
    pub volume: Amount,
    pub vwap: Option<Digits>,
    pub trade_count: Option<u64>,
}

/// A trading status, with the venue's own codes: their meaning depends on the tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub code: String,
    pub message: String,
    pub reason_code: String,
    pub reason: String,
    pub tape: String,
}

/// Limit-up and limit-down prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Luld {
    pub limit_up: Digits,
    pub limit_down: Digits,
    pub indicator: String,
    pub tape: String,
}

/// A trade was printed wrongly and is replaced by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    pub original_id: i64,
    pub original_price: Digits,
    pub original_size: Amount,
    pub corrected_id: i64,
    pub corrected_price: Digits,
    pub corrected_size: Amount,
    pub exchange: String,
    pub tape: String,
}

/// A trade is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeCancel {
    pub id: i64,
    pub price: Digits,
    pub size: Amount,
    /// `C` cancelled, `E` an error.
    pub action: String,
    pub exchange: String,
    pub tape: String,
}
