//! What the exchange says about its market, before any codec.
//!
//! Must not know connections or wire letters.

use std::sync::Arc;

use super::config::TEST_SYMBOL;
use crate::model::{Amount, Fact, Price, Quote, Timestamp};

/// One message of a market-data stream.
#[derive(Debug, Clone, PartialEq)]
pub struct SimMessage {
    pub symbol: Arc<str>,
    pub at: Timestamp,
    pub body: SimBody,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SimBody {
    Trade { id: i64, price: Price, size: Amount },
    Quote(Quote),
    Fact(Fact),
}

/// The list in a subscription that a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Channel {
    Trades,
    Quotes,
    Bars,
    UpdatedBars,
    DailyBars,
    Statuses,
    Lulds,
    Imbalances,
    Orderbooks,
    News,
}

impl Channel {
    pub(super) const ALL: [Channel; 10] = [
        Channel::Trades,
        Channel::Quotes,
        Channel::Bars,
        Channel::UpdatedBars,
        Channel::DailyBars,
        Channel::Statuses,
        Channel::Lulds,
        Channel::Imbalances,
        Channel::Orderbooks,
        Channel::News,
    ];

    pub(super) fn key(self) -> &'static str {
        match self {
            Channel::Trades => "trades",
            Channel::Quotes => "quotes",
            Channel::Bars => "bars",
            Channel::UpdatedBars => "updatedBars",
            Channel::DailyBars => "dailyBars",
            Channel::Statuses => "statuses",
            Channel::Lulds => "lulds",
            Channel::Imbalances => "imbalances",
            Channel::Orderbooks => "orderbooks",
            Channel::News => "news",
        }
    }
}

/// Which family of endpoints a symbol is served on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Stocks,
    Crypto,
    Options,
    News,
    Test,
}

impl Family {
    pub(super) fn of(symbol: &str) -> Family {
        match symbol {
            TEST_SYMBOL => Family::Test,
            pair if pair.contains('/') => Family::Crypto,
            _ => Family::Stocks,
        }
    }
}

impl SimMessage {
    /// Corrections and cancels follow the trades that they take back.
    pub(super) fn channel(&self) -> Channel {
        use crate::model::BarKind;
        match &self.body {
            SimBody::Trade { .. } | SimBody::Fact(Fact::Correction(_) | Fact::Cancel(_)) => Channel::Trades,
            SimBody::Quote(_) => Channel::Quotes,
            SimBody::Fact(Fact::Bar(bar)) => match bar.kind {
                BarKind::Minute => Channel::Bars,
                BarKind::UpdatedMinute => Channel::UpdatedBars,
                BarKind::Day => Channel::DailyBars,
            },
            SimBody::Fact(Fact::Status(_)) => Channel::Statuses,
            SimBody::Fact(Fact::Luld(_)) => Channel::Lulds,
        }
    }
}
