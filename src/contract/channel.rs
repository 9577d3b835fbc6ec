//! The names of channels and keys.

use crate::model::{ExchangeName, Feed};

/// Where bots register; the ticker dialect grew here.
pub const BROKER_REGISTRATION: &str = "BROKER_REGISTRATION";
/// The same, where the typed dialect grew. Both channels take both dialects.
pub const BROKER_REGISTRATION_TYPED: &str = "broker:registration";
/// Refusals, for everybody to see.
pub const REPLIES: &str = "broker:replies";
/// Each log line as JSON.
pub const LOGS: &str = "broker:logs";
/// The health report, whenever it changes.
pub const HEALTH: &str = "broker:health";
/// Key: the status report, with a lease of [`STATUS_LEASE_MS`].
pub const STATUS: &str = "broker:status";
pub const STATUS_LEASE_MS: u64 = 5_000;
/// Key: the kill switch.
pub const HALT: &str = "broker:halt";
/// Stream: what bots ask of the order desk; its consumer group is [`DESK_GROUP`].
pub const ORDERS: &str = "broker:orders";
pub const DESK_GROUP: &str = "desk";
/// Stream: commands that could not be read, and those during which the broker ended again and again, with the reason.
pub const DEAD_ORDERS: &str = "broker:orders:dead";
/// Key: which broker serves this Redis, with a lease of its own.
pub const LEADER: &str = "broker:leader";
/// Key: the counter that gives each holder of [`LEADER`] a greater token than the one before.
pub const FENCE: &str = "broker:fence";
/// Hash: who wants what, `bot|exchange|symbol|feed|dialect` to the lease end in Unix milliseconds, 0 for none.
pub const REGISTRATIONS: &str = "broker:registrations";
/// Hash a symbol: the latest message of each type.
pub const LAST_PREFIX: &str = "broker:last:";
pub const TICKER_PREFIX: &str = "TICKER_UPDATES_";
pub const ORDER_PREFIX: &str = "order:";
/// Stream an account: every order update of the last days, in order; and one a bot where that is wanted.
pub const ORDER_UPDATES_PREFIX: &str = "broker:order_updates:";

/// The kinds of messages on price and order channels: their `type` in the ticker dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageType {
    Price,
    Quote,
    Bar,
    Status,
    Luld,
    Correction,
    Cancel,
    Order,
}

impl MessageType {
    /// Those that carry a `seq`.
    pub const MARKET: [MessageType; 7] =
        [MessageType::Price, MessageType::Quote, MessageType::Bar, MessageType::Status, MessageType::Luld, MessageType::Correction, MessageType::Cancel];

    pub const fn as_str(self) -> &'static str {
        match self {
            MessageType::Price => "price",
            MessageType::Quote => "quote",
            MessageType::Bar => "bar",
            MessageType::Status => "status",
            MessageType::Luld => "luld",
            MessageType::Correction => "correction",
            MessageType::Cancel => "cancel",
            MessageType::Order => "order",
        }
    }

    /// What a bot registers for to get it. A correction or a cancel takes a price back, so it goes where prices go.
    pub const fn feed(self) -> Feed {
        match self {
            MessageType::Price | MessageType::Correction | MessageType::Cancel | MessageType::Order => Feed::Price,
            MessageType::Quote => Feed::Quote,
            MessageType::Bar => Feed::Bar,
            MessageType::Status | MessageType::Luld => Feed::Status,
        }
    }

    /// The channel prefix in the typed dialect. Corrections and cancels share the channel of the exceptional: the old
    /// bots on `price:` read every message there as a price.
    pub const fn typed_prefix(self) -> &'static str {
        match self {
            MessageType::Price => "price:",
            MessageType::Quote => "quote:",
            MessageType::Bar => "bar:",
            MessageType::Status | MessageType::Luld | MessageType::Correction | MessageType::Cancel => "status:",
            MessageType::Order => ORDER_PREFIX,
        }
    }
}

/// The kinds of streams that the service holds at an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamType {
    MarketData,
    OrderUpdates,
}

impl StreamType {
    pub const fn as_str(self) -> &'static str {
        match self {
            StreamType::MarketData => "market_data",
            StreamType::OrderUpdates => "order_updates",
        }
    }
}

/// How a symbol is written in channels and keys: alone at the default exchange (`None`), else with the exchange before it.
pub fn public_name(exchange: Option<&ExchangeName>, symbol: &str) -> String {
    exchange.map_or_else(|| symbol.to_owned(), |exchange| format!("{exchange}:{symbol}"))
}

/// The channel of a symbol in the ticker dialect.
pub fn get_ticker_channel(public_name: &str) -> String {
    format!("{TICKER_PREFIX}{public_name}")
}

/// The channel of a symbol and a kind of message in the typed dialect.
pub fn typed_channel(kind: MessageType, public_name: &str) -> String {
    format!("{}{public_name}", kind.typed_prefix())
}

/// The channel of an account's orders in the typed dialect.
pub fn order_channel(account_id: &str) -> String {
    format!("{ORDER_PREFIX}{account_id}")
}

/// The stream of an account's order updates.
pub fn order_updates(account_id: &str) -> String {
    format!("{ORDER_UPDATES_PREFIX}{account_id}")
}

/// The stream of those that concern one bot.
pub fn order_updates_of_bot(account_id: &str, bot: &str) -> String {
    format!("{ORDER_UPDATES_PREFIX}{account_id}:{bot}")
}

/// A bot may choose where its answers go, but not among the channels on which others trust us.
pub fn is_reply_channel(name: &str) -> bool {
    let plain = !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_graphic());
    let own = name.starts_with("broker:") && !name.starts_with("broker:replies:");
    let taken = own
        || name == BROKER_REGISTRATION
        || name.starts_with(TICKER_PREFIX)
        || ["price:", "quote:", "bar:", "status:", ORDER_PREFIX].iter().any(|p| name.starts_with(p));
    plain && !taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_other_exchanges_carry_their_name() {
        let binance: ExchangeName = "binance".parse().unwrap();
        assert_eq!(get_ticker_channel(&public_name(None, "AAPL")), "TICKER_UPDATES_AAPL");
        assert_eq!(typed_channel(MessageType::Price, &public_name(Some(&binance), "BTCUSDT")), "price:binance:BTCUSDT");
    }

    #[test]
    fn answers_cannot_be_sent_where_others_trust_us() {
        for good in ["broker:replies:b1", "bot1:answers", "x"] {
            assert!(is_reply_channel(good), "{good}");
        }
        for bad in ["", "TICKER_UPDATES_AAPL", "price:AAPL", "order:abc", "broker:status", "broker:replies", "BROKER_REGISTRATION", "a b", "a\r\nb"] {
            assert!(!is_reply_channel(bad), "{bad:?}");
        }
    }
}
