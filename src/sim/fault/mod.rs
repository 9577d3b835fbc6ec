//! What can go wrong at a venue, on purpose: the list of faults, their texts, and which of them are in force.
//!
//! Pure: time is passed in. Must not know sockets, HTTP or who is connected; the server asks and carries out.

mod answers;
mod frames;
mod pings;
mod spec;
mod state;
mod updates;

use std::fmt;
use std::time::Duration;

pub(super) use answers::{after, before};
pub(super) use pings::PingEraser;
pub use spec::{FaultSpec, FaultTextError, Measure, Scope};
pub use state::{ActiveFault, Left};
pub(super) use state::{Faults, Target};

/// Everything that can be made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Drop,
    HalfOpen,
    StallReads,
    NoPongs,
    Mute,
    Close,
    SlowClient,
    Auth406,
    Upgrade429,
    SlowAcks,
    LoseTradeUpdate,
    DuplicateTradeUpdate,
    ReorderTradeUpdates,
    NullTradeUpdate,
    UnknownStatus,
    UnknownEvent,
    UnknownField,
    Latency,
    Order504,
    Order500,
    OrderReset,
    OrderLost,
    ActivitiesLag,
    Rest429,
    Rest503,
    ClockSkew,
    TruncateJson,
    OversizedFrame,
    FragmentFrames,
    SwapFrames,
    BadUtf8,
    PingFlood,
}

/// What the value after `=` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// No value: it strikes every open stream in its scope, or the next one when none is open.
    Once,
    /// As [`Shape::Once`], with a WebSocket close code.
    Code(u16),
    /// As [`Shape::Once`], with how many.
    Burst(u32),
    /// How many of the things that it meets.
    Count(u32),
    /// For how long it is in force.
    For(Duration),
    /// By how much; in force until it is cleared.
    By(Duration),
    /// By how much, forward or backward; in force until it is cleared.
    Skew(Duration),
    /// The median and the hundredth-worst delay; in force until it is cleared.
    Spread(Duration, Duration),
    /// How large one frame is.
    Bytes(usize),
}

/// What a fault can concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Streams of market data.
    Data,
    /// The stream of trade updates, or REST about orders.
    Trading,
    /// Streams, REST, or both: a scope may narrow it to one side.
    Both,
}

/// One row of the list of faults.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub fault: Fault,
    pub name: &'static str,
    pub shape: Shape,
    pub reach: Reach,
    pub sees: &'static str,
}

const fn row(fault: Fault, name: &'static str, shape: Shape, reach: Reach, sees: &'static str) -> Entry {
    Entry { fault, name, shape, reach, sees }
}

const HALF_MINUTE: Shape = Shape::For(Duration::from_secs(30));
const TEN_SECONDS: Shape = Shape::For(Duration::from_secs(10));
/// More than any client takes in one frame.
const OVERSIZE: usize = 17 * 1024 * 1024;

pub(super) const ENTRIES: [Entry; 32] = [
    row(Fault::Drop, "drop", Shape::Once, Reach::Both, "the stream's TCP connection ends without a close frame"),
    row(Fault::HalfOpen, "half-open", Shape::Once, Reach::Both, "the stream stays open and nothing comes any more: no data, no answer, no pong"),
    row(Fault::StallReads, "stall-reads", HALF_MINUTE, Reach::Both, "what is sent on a stream is neither read nor answered; data goes on"),
    row(Fault::NoPongs, "no-pongs", HALF_MINUTE, Reach::Both, "pings on a stream are not answered; everything else is"),
    row(Fault::Mute, "mute", HALF_MINUTE, Reach::Both, "a stream brings no data, which is lost; pings and requests are answered"),
    row(Fault::Close, "close", Shape::Code(1011), Reach::Both, "the stream ends with a close frame of this code; one of server-sent events just ends"),
    row(Fault::SlowClient, "slow-client", Shape::Once, Reach::Both, "error 407 slow client, then a close"),
    row(Fault::Auth406, "auth-406", Shape::Count(1), Reach::Data, "the next authentication on a data stream: error 406 connection limit exceeded"),
    row(Fault::Upgrade429, "upgrade-429", TEN_SECONDS, Reach::Both, "new streams are refused with HTTP 429"),
    row(Fault::SlowAcks, "slow-acks", Shape::By(Duration::from_secs(2)), Reach::Both, "answers to auth, subscribe and listen come late, data behind them too"),
    row(Fault::LoseTradeUpdate, "lose-trade-update", Shape::Count(1), Reach::Trading, "an order changes and the stream does not tell; REST and SSE do"),
    row(Fault::DuplicateTradeUpdate, "duplicate-trade-update", Shape::Count(1), Reach::Trading, "a trade update comes three times with the same execution_id"),
    row(Fault::ReorderTradeUpdates, "reorder-trade-updates", Shape::Count(1), Reach::Trading, "a trade update comes after the one that should follow it"),
    row(Fault::NullTradeUpdate, "null-trade-update", Shape::Count(1), Reach::Trading, "a trade_updates message with \"data\":null comes before the true one"),
    row(Fault::UnknownStatus, "unknown-status", Shape::Count(1), Reach::Trading, "a trade update whose order has a status that no list knows"),
    row(Fault::UnknownEvent, "unknown-event", Shape::Count(1), Reach::Trading, "a trade update whose event no list knows"),
    row(Fault::UnknownField, "unknown-field", Shape::Count(1), Reach::Trading, "a trade update with fields that no document names"),
    row(
        Fault::Latency,
        "latency",
        Shape::Spread(Duration::from_millis(5), Duration::from_millis(50)),
        Reach::Both,
        "data and REST answers come late: half within the first value, 99 % within the second",
    ),
    row(Fault::Order504, "order-504", Shape::Count(1), Reach::Trading, "POST /v2/orders is answered 504, and the order lives"),
    row(Fault::Order500, "order-500", Shape::Count(1), Reach::Trading, "POST /v2/orders is answered 500, and the order lives"),
    row(Fault::OrderReset, "order-reset", Shape::Count(1), Reach::Trading, "the connection of POST /v2/orders ends without an answer, and the order lives"),
    row(Fault::OrderLost, "order-lost", Shape::Count(1), Reach::Trading, "POST /v2/orders is answered 504, and there is no order"),
    row(
        Fault::ActivitiesLag,
        "activities-lag",
        Shape::By(Duration::from_secs(5)),
        Reach::Trading,
        "GET /v2/account/activities does not show what is younger than that, and its SSE comes late by as much",
    ),
    row(Fault::Rest429, "rest-429", TEN_SECONDS, Reach::Both, "REST requests are answered 429 with X-RateLimit headers"),
    row(Fault::Rest503, "rest-503", TEN_SECONDS, Reach::Both, "REST requests are answered 503"),
    row(
        Fault::ClockSkew,
        "clock-skew",
        Shape::Skew(Duration::from_secs(5)),
        Reach::Both,
        "timestamps of data and of trade updates, and all that /v2/clock and /v3/clock say, are wrong by that; may be negative",
    ),
    row(Fault::TruncateJson, "truncate-json", Shape::Count(1), Reach::Both, "a data frame ends in the middle of its document"),
    row(Fault::OversizedFrame, "oversized-frame", Shape::Bytes(OVERSIZE), Reach::Both, "one frame of that size comes before the next data"),
    row(Fault::FragmentFrames, "fragment-frames", Shape::Count(10), Reach::Both, "data frames come in fragments, the last one empty"),
    row(Fault::SwapFrames, "swap-frames", Shape::Count(1), Reach::Both, "a data frame that should be text is binary, and the other way round"),
    row(Fault::BadUtf8, "bad-utf8", Shape::Count(1), Reach::Both, "a text frame that is no UTF-8 comes before the next data"),
    row(Fault::PingFlood, "ping-flood", Shape::Burst(1_000), Reach::Both, "so many pings at once"),
];

impl Fault {
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// What a bot sees of it, in one line.
    pub fn sees(self) -> &'static str {
        self.entry().sees
    }

    pub fn all() -> impl Iterator<Item = Fault> {
        ENTRIES.iter().map(|entry| entry.fault)
    }

    /// The rows stand in the order of the variants.
    pub(super) fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }

    /// It happens to open streams at once, or else to the next one.
    pub(in crate::sim) fn strikes_open(self) -> bool {
        matches!(self, Fault::Drop | Fault::HalfOpen | Fault::Close | Fault::SlowClient | Fault::PingFlood)
    }

    pub(super) fn from_name(name: &str) -> Option<Fault> {
        ENTRIES.iter().find(|entry| entry.name == name).map(|entry| entry.fault)
    }

    /// The text with its usual value, as it may be typed.
    pub fn example(self) -> String {
        FaultSpec::usual(self).to_string()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
