//! Alpaca: the market-data streams, the order stream and the account page, as pure protocol.
//!
//! Must not know sockets, threads, the clock, Redis or bots.

mod data;
mod notices;
mod rest;
mod trading;
mod wire;

pub use data::{DataSession, DataSettings, Market};
pub use rest::{ACCOUNT_PATH, AccountFacts, KEY_ID_HEADER, RestError, SECRET_KEY_HEADER, parse_account};
pub use trading::{AuthForm, TradingSession, TradingSettings};

use crate::config::Codec;

/// What the upgrade request of a market-data stream carries beyond WebSocket's own headers: it decides the codec. The
/// order stream takes none.
pub fn upgrade_headers(codec: Codec) -> &'static [(&'static str, &'static str)] {
    match codec {
        Codec::Json => &[("Content-Type", "application/json")],
        Codec::MsgPack => &[("Content-Type", "application/msgpack")],
    }
}
