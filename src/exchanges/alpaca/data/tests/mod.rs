mod bad_input;
mod frames;
mod random;
mod refusals;
mod steps;
mod subscriptions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::*;
use crate::exchanges::Outgoing;
use crate::model::{Feed, MarketKind};

/// Numbers from 1,000 up for up to `room` symbols.
#[derive(Debug)]
struct Table {
    room: usize,
    names: Mutex<Vec<String>>,
}

impl Names for Table {
    fn intern(&self, symbol: &str) -> Option<SymbolId> {
        let mut names = self.names.lock();
        if names.len() >= self.room || symbol.parse::<Symbol>().is_err() {
            return None;
        }
        names.push(symbol.to_owned());
        Some(SymbolId(999 + names.len() as u32))
    }
}

fn feeds(list: &[Feed]) -> FeedSet {
    list.iter().copied().collect()
}

fn price() -> FeedSet {
    FeedSet::NONE.with(Feed::Price)
}

fn want(symbol: &str, id: u32, feeds: FeedSet) -> SymbolWant {
    SymbolWant { symbol: symbol.parse().expect("a test's symbol is a symbol"), id: SymbolId(id), feeds }
}

/// A session with the clock and the effects of its calls, which each reading empties.
struct Desk {
    session: DataSession,
    now: Instant,
    out: Effects<MarketEvent>,
}

/// What a session sent, as JSON.
type Sent = Vec<serde_json::Value>;

impl Desk {
    fn of(market: Market, codec: Codec, wildcard: FeedSet) -> Desk {
        let settings = DataSettings { key_id: Secret::new("PKTEST"), secret_key: Secret::new("hush-hush"), codec, market, wildcard };
        let session = DataSession::new(settings, Arc::new(Table { room: 3, names: Mutex::default() }));
        Desk { session, now: Instant::now(), out: Effects::default() }
    }

    fn stocks() -> Desk {
        Desk::of(Market::Stocks, Codec::Json, FeedSet::NONE)
    }

    /// Connected and authenticated; the messages up to then are checked elsewhere.
    fn live(mut self) -> Desk {
        self.open();
        self.says(r#"[{"T":"success","msg":"connected"}]"#);
        self.says(r#"[{"T":"success","msg":"authenticated"}]"#);
        self.out.send.remove(0);
        self.out.notices.clear();
        self
    }

    fn open(&mut self) {
        self.session.opened(self.now, &mut self.out);
    }

    fn says(&mut self, text: &str) {
        self.session.received(self.now, Incoming::Text(text), &mut self.out);
    }

    fn error(&mut self, code: i64) {
        self.says(&format!(r#"[{{"T":"error","code":{code},"msg":"word of {code}"}}]"#));
    }

    fn want(&mut self, changes: &[SymbolWant]) {
        self.session.want(self.now, changes, &mut self.out);
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.session.timed_out(self.now, &mut self.out);
    }

    fn sent(&mut self) -> Sent {
        let read = |message: Outgoing| match message {
            Outgoing::Text(text) => serde_json::from_str(&text).expect("JSON is sent"),
            Outgoing::Binary(_) => panic!("MessagePack on a JSON stream"),
        };
        self.out.send.drain(..).map(read).collect()
    }

    fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.out.notices)
    }

    /// Acknowledges with these lists of trades.
    fn acks(&mut self, trades: &[&str]) {
        self.says(&serde_json::json!([{"T": "subscription", "trades": trades, "quotes": []}]).to_string());
    }

    fn trades(&mut self) -> Vec<(u32, String)> {
        let read = |event: MarketEvent| match event.kind {
            MarketKind::Trade(trade) => (event.symbol.0, trade.price.to_string()),
            other => panic!("{other:?} where a trade was sent"),
        };
        self.out.events.drain(..).map(read).collect()
    }
}

fn trade(symbol: &str, price: &str) -> String {
    format!(r#"[{{"T":"t","S":"{symbol}","i":1,"x":"V","p":{price},"s":100,"c":["@"],"t":"2026-01-02T03:04:05.678Z","z":"C"}}]"#)
}

/// A venue that keeps lists as Alpaca does and can be asked to refuse.
#[derive(Debug, Default)]
struct Venue {
    lists: BTreeMap<String, Vec<String>>,
    limit: Option<usize>,
    invalid: Vec<String>,
    asked: usize,
}

impl Venue {
    /// The answer to one request.
    fn answer(&mut self, request: &serde_json::Value) -> String {
        self.asked += 1;
        let subscribe = request["action"] == "subscribe";
        let mut lists = self.lists.clone();
        for (channel, symbols) in request.as_object().expect("a request is an object").iter().filter(|(_, value)| value.is_array()) {
            let list = lists.entry(channel.clone()).or_default();
            for symbol in symbols.as_array().expect("a channel has a list").iter().filter_map(|symbol| symbol.as_str()) {
                if subscribe && self.invalid.iter().any(|invalid| invalid == symbol) {
                    return r#"[{"T":"error","code":400,"msg":"invalid syntax"}]"#.to_owned();
                }
                list.retain(|held| held != symbol);
                if subscribe {
                    list.push(symbol.to_owned());
                }
            }
        }
        let symbols: std::collections::BTreeSet<&String> = lists.values().flatten().collect();
        if subscribe && self.limit.is_some_and(|limit| symbols.len() > limit) {
            return r#"[{"T":"error","code":405,"msg":"symbol limit exceeded"}]"#.to_owned();
        }
        self.lists = lists;
        let mut ack = serde_json::json!({"T": "subscription"});
        for (channel, list) in &self.lists {
            ack[channel.as_str()] = serde_json::json!(list);
        }
        format!("[{ack}]")
    }

    fn list(&self, channel: &str) -> Vec<&str> {
        let mut list: Vec<&str> = self.lists.get(channel).map(|list| list.iter().map(String::as_str).collect()).unwrap_or_default();
        list.sort_unstable();
        list
    }

    /// Answers all that a session sends until it sends no more.
    fn settle(&mut self, desk: &mut Desk) {
        loop {
            let requests = desk.sent();
            if requests.is_empty() {
                return;
            }
            for request in requests {
                let answer = self.answer(&request);
                desk.says(&answer);
            }
            assert!(self.asked < 100_000, "the session asks for ever");
        }
    }
}
