//! What the CLI says to a broker and hears from it, as text in and text out. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::args::Instrument;
use crate::model::{Dialect, ExchangeName, Feed, Symbol, Timestamp};
use crate::observe::printable;

pub const REGISTRATION: &str = "broker:registration";
const MAX_TEXT: usize = 500;

/// Whether something is asked for or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Register,
    Unregister,
}

/// A registration of any symbols, whichever exchanges they trade on.
#[derive(Debug, Clone)]
pub struct Holding {
    pub instruments: Vec<Instrument>,
    pub bot: String,
    pub feeds: Vec<Feed>,
    pub dialect: Dialect,
    pub ttl_s: Option<u32>,
    pub reply_to: String,
}

#[derive(Serialize)]
struct Request<'a> {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbols: Option<&'a [&'a str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tickers: Option<&'a [&'a str]>,
    bot: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<&'a str>,
    feeds: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_s: Option<u32>,
    reply_to: &'a str,
}

impl Holding {
    /// One message for each exchange.
    pub fn requests(&self, action: Action) -> Vec<String> {
        let mut by_exchange: BTreeMap<Option<&ExchangeName>, Vec<&Symbol>> = BTreeMap::new();
        for instrument in &self.instruments {
            by_exchange.entry(instrument.exchange.as_ref()).or_default().push(&instrument.symbol);
        }
        by_exchange.into_iter().map(|(exchange, symbols)| self.request(action, exchange, &symbols)).collect()
    }

    fn request(&self, action: Action, exchange: Option<&ExchangeName>, symbols: &[&Symbol]) -> String {
        let names: Vec<&str> = symbols.iter().map(|symbol| symbol.as_str()).collect();
        let (word, symbols, tickers) = match (self.dialect, action) {
            (Dialect::Ticker, Action::Register) => ("subscribe", None, Some(names.as_slice())),
            (Dialect::Ticker, Action::Unregister) => ("unsubscribe", None, Some(names.as_slice())),
            (Dialect::Typed, Action::Register) => ("register", Some(names.as_slice()), None),
            (Dialect::Typed, Action::Unregister) => ("unregister", Some(names.as_slice()), None),
        };
        let request = Request {
            action: word,
            symbols,
            tickers,
            bot: &self.bot,
            exchange: exchange.map(ExchangeName::as_str),
            feeds: self.feeds.iter().map(|feed| feed.as_str()).collect(),
            ttl_s: self.ttl_s.filter(|_| action == Action::Register),
            reply_to: &self.reply_to,
        };
        serde_json::to_string(&request).unwrap_or_default()
    }

    /// Where the messages will arrive.
    pub fn channels(&self) -> Vec<String> {
        let of = |instrument: &Instrument| match self.dialect {
            Dialect::Ticker => vec![format!("TICKER_UPDATES_{instrument}")],
            Dialect::Typed => self.feeds.iter().map(|feed| format!("{feed}:{instrument}")).collect(),
        };
        self.instruments.iter().flat_map(of).collect()
    }
}

/// What the broker says to a registration.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub action: String,
    pub accepted: Vec<String>,
    pub refused: Vec<Refusal>,
    /// Refused beyond those listed.
    pub refused_more: usize,
    /// Why nothing of the whole message is served.
    pub reason: Option<String>,
}

impl Answer {
    pub fn refuses(&self) -> bool {
        !self.refused.is_empty() || self.reason.is_some()
    }

    /// No answer to a message, but news of the venue, which refuses what was accepted before.
    pub fn is_news(&self) -> bool {
        self.action == "refused" && self.reason.is_none()
    }

    /// What is refused and why, a line each.
    pub fn refusals(&self) -> impl Iterator<Item = String> {
        let whole = self.reason.iter().map(|reason| shown(reason));
        let listed = self.refused.iter().map(|refusal| format!("{}: {}", shown(&refusal.symbol), shown(&refusal.reason)));
        let more = (self.refused_more > 0).then(|| format!("and {} more", self.refused_more));
        whole.chain(listed).chain(more)
    }
}

fn shown(text: &str) -> String {
    printable(text, MAX_TEXT)
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Refusal {
    pub symbol: String,
    pub reason: String,
}

/// What the broker says of itself. Fields of a newer version are passed over, those of an older one are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub state: String,
    pub epoch: u64,
    pub pid: u32,
    pub version: String,
    pub started_at: serde_json::Value,
    pub health: HealthWord,
    pub streams: Vec<StreamWord>,
    pub redis: serde_json::Value,
    pub symbols: u64,
    pub bots: u64,
    pub orders: serde_json::Value,
    pub brokers: Vec<BrokerWord>,
    pub halts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BrokerWord {
    pub name: String,
    pub kind: String,
    pub account: String,
    pub account_id: String,
    pub live: bool,
    pub connection: String,
    pub health: HealthWord,
    pub open_orders: u64,
    pub placed: u64,
    pub fills: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthWord {
    pub score: f64,
    pub reasons: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamWord {
    pub name: String,
    pub state: String,
    pub since: serde_json::Value,
    pub symbols: u64,
}

/// A time however it is written: RFC 3339, or Unix milliseconds.
pub fn time(value: &serde_json::Value) -> Option<Timestamp> {
    match value.as_i64() {
        Some(millis) => millis.checked_mul(1_000_000).map(Timestamp::from_nanos),
        None => value.as_str()?.parse().ok(),
    }
}

/// A message on a price channel, taken apart for a person to read.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: String,
    pub symbol: String,
    pub body: String,
    pub seq: Option<u64>,
    pub merged: u64,
    pub stale: bool,
    pub time: Option<Timestamp>,
}

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// `None` for what is no message of ours.
pub fn read(message: &str) -> Option<Seen> {
    let fields: Fields<'_> = serde_json::from_str(message).ok()?;
    let text = |name: &str| fields.get(name).map(|raw| plain(raw));
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let list = |names: &[(&str, &str)]| {
        let found = names.iter().filter_map(|(name, label)| text(name).map(|value| if label.is_empty() { value } else { format!("{label} {value}") }));
        found.collect::<Vec<_>>().join("  ")
    };
    let kind = text("type")?;
    let body = match kind.as_str() {
        "price" | "price_update" => list(&[("price", ""), ("volume", "x")]),
        "quote" => list(&[("bid", "bid"), ("bid_size", "x"), ("ask", "ask"), ("ask_size", "x")]),
        "bar" => list(&[("timeframe", ""), ("open", "open"), ("high", "high"), ("low", "low"), ("close", "close"), ("volume", "volume")]),
        "order" => list(&[("event", ""), ("qty", "qty"), ("price", "at"), ("position_qty", "position"), ("stream_id", "id")]),
        _ => {
            let known = ["type", "symbol", "timestamp", "seq", "merged", "snapshot", "stale"];
            let rest = fields.iter().filter(|(name, _)| !known.contains(&name.as_ref())).map(|(name, raw)| format!("{name} {}", plain(raw)));
            rest.collect::<Vec<_>>().join("  ")
        }
    };
    let time = fields.get("timestamp").and_then(|raw| match raw.get().parse::<i64>() {
        Ok(seconds) => Timestamp::from_parts(seconds, 0).ok(),
        Err(_) => plain(raw).parse().ok(),
    });
    let stale = text("stale").as_deref() == Some("true");
    Some(Seen { symbol: text("symbol").unwrap_or_default(), body, seq: number("seq"), merged: number("merged").unwrap_or(0), stale, time, kind })
}

/// Numbers digit for digit, texts without their quotes.
fn plain(raw: &RawValue) -> String {
    serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

/// What a sequence number says about the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    First,
    Next,
    /// That many messages are missing.
    Lost(u64),
    /// So far ahead that only a new process counts so: numbers start at the microsecond of the start.
    Restarted,
    /// A number seen before, or an older one.
    Backwards,
}

const RESTART: u64 = 1_000_000;

/// The last number of each symbol and type.
#[derive(Debug, Default)]
pub struct Sequence {
    last: HashMap<(String, String), u64>,
}

impl Sequence {
    pub fn check(&mut self, channel: &str, kind: &str, seq: u64) -> Order {
        let key = (channel.to_owned(), kind.to_owned());
        let Some(last) = self.last.get(&key).copied() else {
            self.last.insert(key, seq);
            return Order::First;
        };
        if seq <= last {
            return Order::Backwards;
        }
        self.last.insert(key, seq);
        match seq - last - 1 {
            0 => Order::Next,
            lost if lost < RESTART => Order::Lost(lost),
            _ => Order::Restarted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(dialect: Dialect, symbols: &[&str]) -> Holding {
        Holding {
            instruments: symbols.iter().map(|text| text.parse().unwrap()).collect(),
            bot: "b1".to_owned(),
            feeds: vec![Feed::Price, Feed::Bar],
            dialect,
            ttl_s: Some(60),
            reply_to: "r".to_owned(),
        }
    }

    #[test]
    fn requests_speak_the_dialect_and_name_the_exchange() {
        assert_eq!(
            holding(Dialect::Typed, &["AAPL", "binance:BTCUSDT", "MSFT"]).requests(Action::Register),
            [
                r#"{"action":"register","symbols":["AAPL","MSFT"],"bot":"b1","feeds":["price","bar"],"ttl_s":60,"reply_to":"r"}"#,
                r#"{"action":"register","symbols":["BTCUSDT"],"bot":"b1","exchange":"binance","feeds":["price","bar"],"ttl_s":60,"reply_to":"r"}"#,
            ]
        );
        assert_eq!(
            holding(Dialect::Ticker, &["AAPL"]).requests(Action::Unregister),
            [r#"{"action":"unsubscribe","tickers":["AAPL"],"bot":"b1","feeds":["price","bar"],"reply_to":"r"}"#]
        );
        assert_eq!(holding(Dialect::Ticker, &["binance:BTCUSDT"]).channels(), ["TICKER_UPDATES_binance:BTCUSDT"]);
        assert_eq!(holding(Dialect::Typed, &["AAPL"]).channels(), ["price:AAPL", "bar:AAPL"]);
    }

    #[test]
    fn prices_are_shown_digit_for_digit() {
        let message = r#"{"type":"price","symbol":"AAPL","price":150.2500,"volume":100,"timestamp":"2026-11-20T14:30:00.5Z","seq":7,"merged":3}"#;
        let seen = read(message).unwrap();
        assert_eq!((seen.kind.as_str(), seen.symbol.as_str(), seen.body.as_str()), ("price", "AAPL", "150.2500  x 100"));
        assert_eq!((seen.seq, seen.merged, seen.time.map(Timestamp::millis)), (Some(7), 3, Some(1_795_185_000_500)));
        let seen = read(r#"{"type":"price_update","symbol":"AAPL","price":1e3,"timestamp":1628107200,"seq":7}"#).unwrap();
        assert_eq!((seen.body.as_str(), seen.time.map(Timestamp::seconds)), ("1e3", Some(1_628_107_200)));
        let seen = read(r#"{"type":"quote","symbol":"A","bid":1.10,"bid_size":2,"ask":1.2,"ask_size":3,"stale":true}"#).unwrap();
        assert_eq!((seen.body.as_str(), seen.stale), ("bid 1.10  x 2  ask 1.2  x 3", true));
        let seen = read(r#"{"type":"status","symbol":"A","code":"H","reason":"news"}"#).unwrap();
        assert_eq!(seen.body, "code H  reason news");
        for nonsense in ["", "7", "[]", "{}", r#"{"symbol":"A"}"#] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn gaps_are_counted_by_channel_and_type() {
        let mut sequence = Sequence::default();
        let orders: Vec<Order> = [5, 6, 9, 9, 4, 10, 5_000_000].into_iter().map(|seq| sequence.check("c", "price", seq)).collect();
        assert_eq!(orders, [Order::First, Order::Next, Order::Lost(2), Order::Backwards, Order::Backwards, Order::Next, Order::Restarted]);
        assert_eq!(sequence.check("c", "quote", 1), Order::First);
    }

    #[test]
    fn answers_and_statuses_are_read_with_fields_missing_or_new() {
        let answer: Answer = serde_json::from_str(r#"{"type":"registration","accepted":["A"],"refused":[{"symbol":"x","reason":"form"}],"new":1}"#).unwrap();
        assert_eq!((answer.accepted.len(), answer.refused[0].reason.as_str()), (1, "form"));
        assert!(answer.refuses() && answer.refusals().eq(["x: form"]) && !answer.is_news());
        let whole: Answer =
            serde_json::from_str(r#"{"type":"registration","action":"refused","accepted":[],"refused":[],"reason":"no\nsuch exchange"}"#).unwrap();
        assert!(whole.refuses() && whole.refusals().eq([r"no\nsuch exchange"]) && !whole.is_news());
        let status: Status = serde_json::from_str(r#"{"type":"status","state":"running","epoch":1763700000000,"new":{}}"#).unwrap();
        assert_eq!((status.state.as_str(), status.epoch), ("running", 1_763_700_000_000));
        assert_eq!(time(&serde_json::json!(1_500)), time(&serde_json::json!("1970-01-01T00:00:01.5Z")));
        assert_eq!(time(&serde_json::Value::Null), None);
    }
}
