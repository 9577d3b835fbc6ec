//! What bots say on the registration channels: both dialects into one command.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::channel::is_reply_channel;
use super::reply::Refusal;
use crate::model::{Dialect, ExchangeName, Feed, FeedSet, NameError, Symbol};

/// The holder of registrations that name no bot.
pub const ANONYMOUS_BOT: &str = "legacy";
/// The holder of the symbols in the configuration file.
pub const CONFIG_BOT: &str = "config";
/// The holder of the symbols that are traded through the order desk.
pub const DESK_BOT: &str = "desk";
/// A longer message is refused before anything reads it.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;
const DEFAULT_LEASE: Duration = Duration::from_secs(60);
const MAX_LEASE_S: u64 = 86_400;
const MAX_BOT: usize = 16;

/// Who holds a registration: `[a-z0-9_]{1,16}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BotName(Arc<str>);

impl BotName {
    pub fn anonymous() -> BotName {
        BotName(ANONYMOUS_BOT.into())
    }

    pub fn config() -> BotName {
        BotName(CONFIG_BOT.into())
    }

    pub fn desk() -> BotName {
        BotName(DESK_BOT.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_anonymous(&self) -> bool {
        &*self.0 == ANONYMOUS_BOT
    }
}

impl FromStr for BotName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<BotName, NameError> {
        let plain = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if plain && (1..=MAX_BOT).contains(&text.len()) { Ok(BotName(text.into())) } else { Err(NameError) }
    }
}

impl fmt::Display for BotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Register,
    Unregister,
}

/// A registration in either dialect, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationCommand {
    pub action: Action,
    pub dialect: Dialect,
    pub bot: BotName,
    /// `None`: the default exchange.
    pub exchange: Option<ExchangeName>,
    pub symbols: Vec<Symbol>,
    /// Texts that are no symbols, with the reason.
    pub refused: Vec<Refusal>,
    /// When unregistering, `None` means every feed.
    pub feeds: Option<FeedSet>,
    /// `None`: held until unregistered, for those without a name.
    pub lease: Option<Duration>,
    pub reply_to: Option<String>,
}

/// A message that is no registration at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRegistration {
    pub reason: String,
    pub bot: Option<BotName>,
    pub reply_to: Option<String>,
}

/// Both dialects have the same fields; the action tells them apart.
#[derive(Deserialize)]
struct Wire {
    action: String,
    #[serde(default)]
    ticker: Option<String>,
    #[serde(default)]
    tickers: Option<Vec<String>>,
    #[serde(default)]
    symbols: Option<Vec<String>>,
    #[serde(default)]
    bot: Option<String>,
    #[serde(default)]
    exchange: Option<String>,
    #[serde(default)]
    feeds: Option<Vec<String>>,
    #[serde(default)]
    ttl_s: Option<u64>,
    #[serde(default)]
    reply_to: Option<String>,
}

/// Reads one message of a registration channel.
///
/// # Errors
/// When nothing of it can be served; single bad symbols are refused in the command itself.
pub fn parse_registration(payload: &[u8]) -> Result<RegistrationCommand, BadRegistration> {
    let bare = |reason: String| BadRegistration { reason, bot: None, reply_to: None };
    if payload.len() > MAX_MESSAGE_BYTES {
        return Err(bare(format!("a registration has at most {MAX_MESSAGE_BYTES} bytes")));
    }
    // serde_json quotes parts of the input in its errors; only the place is repeated.
    let wire: Wire = serde_json::from_slice(payload)
        .map_err(|e| bare(format!("not a registration: JSON object with \"action\" and \"ticker\" or \"symbols\" expected (column {})", e.column())))?;
    let reply_to = wire.reply_to.filter(|channel| is_reply_channel(channel));
    let bot = match wire.bot.as_deref() {
        None | Some("") => BotName::anonymous(),
        Some(name) => match name.parse::<BotName>() {
            Ok(bot) if ![CONFIG_BOT, DESK_BOT].contains(&bot.as_str()) => bot,
            Ok(bot) => return Err(BadRegistration { reason: format!("the bot name {bot:?} is taken by the broker itself"), bot: None, reply_to }),
            Err(_) => return Err(BadRegistration { reason: format!("a bot name has 1 to {MAX_BOT} small letters, digits and _"), bot: None, reply_to }),
        },
    };
    let bad = |reason: String| BadRegistration { reason, bot: Some(bot.clone()), reply_to: reply_to.clone() };
    let (action, dialect) = match wire.action.as_str() {
        "subscribe" => (Action::Register, Dialect::Ticker),
        "unsubscribe" => (Action::Unregister, Dialect::Ticker),
        "register" => (Action::Register, Dialect::Typed),
        "unregister" => (Action::Unregister, Dialect::Typed),
        _ => return Err(bad("the action is none of subscribe, unsubscribe, register, unregister".to_owned())),
    };
    let exchange = match wire.exchange.as_deref().map(str::parse::<ExchangeName>).transpose() {
        Ok(exchange) => exchange,
        Err(error) => return Err(bad(format!("the exchange is no name: {error}"))),
    };
    let feeds = match wire.feeds.as_deref().map(read_feeds).transpose() {
        Ok(feeds) => feeds.filter(|set| !set.is_empty()),
        Err(reason) => return Err(bad(reason)),
    };
    let lease = match wire.ttl_s {
        _ if bot.is_anonymous() => None,
        None => Some(DEFAULT_LEASE),
        Some(seconds @ 1..=MAX_LEASE_S) => Some(Duration::from_secs(seconds)),
        Some(_) => return Err(bad(format!("ttl_s is from 1 to {MAX_LEASE_S}"))),
    };
    let texts = wire.ticker.into_iter().chain(wire.tickers.unwrap_or_default()).chain(wire.symbols.unwrap_or_default());
    let (mut symbols, mut refused) = (Vec::new(), Vec::new());
    for text in texts {
        match text.parse::<Symbol>() {
            Ok(symbol) => symbols.push(symbol),
            Err(error) => refused.push(Refusal::new(&text, &error.to_string())),
        }
    }
    symbols.sort();
    symbols.dedup();
    if symbols.is_empty() && refused.is_empty() {
        return Err(bad("no symbol: give \"ticker\", \"tickers\" or \"symbols\"".to_owned()));
    }
    Ok(RegistrationCommand { action, dialect, bot, exchange, symbols, refused, feeds, lease, reply_to })
}

fn read_feeds(names: &[String]) -> Result<FeedSet, String> {
    names.iter().map(|name| Feed::from_name(name).ok_or_else(|| "a feed is none of price, quote, bar, status".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> RegistrationCommand {
        parse_registration(text.as_bytes()).unwrap_or_else(|bad| panic!("{text}: {bad:?}"))
    }

    #[test]
    fn the_ticker_dialect_as_old_bots_speak_it() {
        let command = parsed(r#"{"action":"subscribe","ticker":"AAPL"}"#);
        assert_eq!((command.action, command.dialect), (Action::Register, Dialect::Ticker));
        assert_eq!((command.bot.is_anonymous(), command.lease, command.feeds), (true, None, None));
        assert_eq!(command.symbols, ["AAPL".parse().unwrap()]);
    }

    #[test]
    fn the_typed_dialect_as_old_bots_speak_it() {
        let command = parsed(r#"{"action":"register","symbols":["MSFT","AAPL","AAPL"],"account_id":"abc"}"#);
        assert_eq!((command.dialect, command.bot.is_anonymous()), (Dialect::Typed, true));
        assert_eq!(command.symbols.len(), 2);
    }

    #[test]
    fn a_named_bot_holds_a_lease() {
        assert_eq!(parsed(r#"{"action":"register","symbols":["A"],"bot":"b1"}"#).lease, Some(Duration::from_secs(60)));
        let full = parsed(
            r#"{"action":"subscribe","tickers":["A"],"bot":"b1","ttl_s":5,"feeds":["price","quote"],"exchange":"binance","reply_to":"b1:answers","new":[1]}"#,
        );
        assert_eq!(full.lease, Some(Duration::from_secs(5)));
        assert_eq!(full.feeds, Some([Feed::Price, Feed::Quote].into_iter().collect()));
        assert_eq!(full.reply_to.as_deref(), Some("b1:answers"));
    }

    #[test]
    fn bad_symbols_are_refused_and_the_others_served() {
        let command = parsed(r#"{"action":"subscribe","tickers":["AAPL","../orders","*","AAPL\r\nPUBLISH"]}"#);
        assert_eq!((command.symbols.len(), command.refused.len()), (1, 3));
        assert!(command.refused.iter().all(|refusal| !refusal.symbol.contains(['\r', '\n'])));
    }

    #[test]
    fn what_is_no_registration_is_refused_with_a_reason() {
        let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
        let giant = format!(r#"{{"action":"subscribe","ticker":"{}"}}"#, "A".repeat(1_000_000));
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "{\"action\"",
            "\u{0}",
            "1e999",
            r#"{"action":"buy","ticker":"A"}"#,
            r#"{"action":"subscribe"}"#,
            r#"{"action":"subscribe","ticker":1}"#,
            r#"{"action":"subscribe","ticker":"A","ticker":"B"}"#,
            r#"{"action":"subscribe","ticker":"A","bot":"Bad Name"}"#,
            r#"{"action":"subscribe","ticker":"A","bot":"config"}"#,
            r#"{"action":"subscribe","ticker":"A","bot":"b","ttl_s":0}"#,
            r#"{"action":"subscribe","ticker":"A","bot":"b","ttl_s":86401}"#,
            r#"{"action":"subscribe","ticker":"A","feeds":["news"]}"#,
            r#"{"action":"subscribe","ticker":"A","exchange":"../x"}"#,
            deep.as_str(),
            giant.as_str(),
        ] {
            let bad = parse_registration(text.as_bytes()).expect_err(&text[..text.len().min(60)]);
            assert!(!bad.reason.is_empty() && bad.reason.len() < 200);
        }
        assert!(parse_registration(b"\xff\xfe{}").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_registration(&bytes);
        }
    }
}
