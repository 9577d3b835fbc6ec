//! Alpaca: the market-data streams and the order stream as pure protocol, the client of its REST hosts, and the account as
//! a broker.
//!
//! Only `rest` knows sockets and the clock. Must not know Redis or bots.

mod broker;
mod data;
mod history;
mod notices;
mod orders;
mod rest;
mod trading;
mod wire;

pub use broker::{AlpacaBroker, AlpacaSettings, KIND, Unread};
pub use data::{DataSession, DataSettings, Market};
pub use history::{Asset, BarsWanted, PastBar, PastMarket, PastQuote, PastTrade, Snapshot, VenueClock, VenueDay};
pub use orders::ReadError;
pub use rest::{
    ACCOUNT_PATH, AccountFacts, Ask, KEY_ID_HEADER, Page, RestClient, RestError, RestSettings, SECRET_KEY_HEADER, Urgency, Verb, encode, parse_account,
};
pub use trading::{TradingSession, TradingSettings};

use crate::config::Codec;

/// What the upgrade request of a market-data stream carries beyond WebSocket's own headers: it decides the codec. The
/// order stream takes none.
pub fn upgrade_headers(codec: Codec) -> &'static [(&'static str, &'static str)] {
    match codec {
        Codec::Json => &[("Content-Type", "application/json")],
        Codec::MsgPack => &[("Content-Type", "application/msgpack")],
    }
}
