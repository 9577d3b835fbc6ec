mod account;
mod activities;
mod exits;
mod lists;
mod positions;
mod refusals;
mod sequences;

use std::time::Duration;

use rust_decimal::Decimal;

use super::*;
use crate::exchanges::paper::engine::EngineSettings;
use crate::exchanges::paper::models::{FillRules, Latency, RegulatoryFees};
use crate::model::{MarketSession, Quote};
use crate::sim::config::SimConfig;

struct Desk {
    exchange: Exchange,
    market: MarketData,
    keys: Vec<SimKey>,
    clock: i64,
    /// Time stands still between calls.
    frozen: bool,
}

/// How the engine behind a desk behaves.
#[derive(Default)]
struct Rules {
    latency: Duration,
    /// Nothing beyond the displayed size is filled.
    displayed: bool,
    fees: bool,
    day_trading: bool,
}

impl Desk {
    /// A market without chance: what is marketable is filled whole, at once.
    fn new() -> Desk {
        Desk::with(Rules::default())
    }

    fn with(rules: Rules) -> Desk {
        let keys = vec![SimKey::default(), SimKey { key_id: "TWO".to_owned(), account_id: "two".to_owned(), ..SimKey::default() }];
        let symbols = [("AAPL", "100.00"), ("BTC/USD", "50000"), ("MSFT", "40.00")].map(|(s, p)| (s.parse().unwrap(), p.parse().unwrap()));
        let config = SimConfig { symbols: symbols.to_vec(), keys: keys.clone(), day_trading_fields: rules.day_trading, ..SimConfig::default() };
        let clock = 1_790_000_000;
        let honest = EngineSettings::alpaca_paper("sim".parse().unwrap(), config.seed);
        let settings = EngineSettings {
            latency: Latency { fixed: rules.latency, ..Latency::NONE },
            fills: FillRules { partials: Decimal::ZERO, displayed_size: rules.displayed, ..FillRules::ALPACA_PAPER },
            fees: if rules.fees { Box::new(RegulatoryFees::default()) } else { honest.fees },
            ..honest
        };
        Desk { exchange: Exchange::with(settings, &config, at(clock)), market: MarketData::new(&config, at(clock)), keys, clock, frozen: false }
    }

    fn now(&self) -> Timestamp {
        at(self.clock)
    }

    /// Time passes; what is due happens.
    fn wait(&mut self, seconds: i64) {
        self.clock += seconds;
        self.exchange.due(at(self.clock));
    }

    fn quote(&mut self, symbol: &str, bid: &str, ask: &str, size: &str) {
        self.clock += i64::from(!self.frozen);
        let size = size.parse().unwrap();
        let quote = Quote { bid: bid.parse().unwrap(), bid_size: size, ask: ask.parse().unwrap(), ask_size: size };
        self.exchange.quoted(symbol, &quote, at(self.clock));
    }

    fn session(&mut self, session: MarketSession) {
        self.clock += 1;
        self.exchange.set_session(session, at(self.clock));
    }

    /// What the stream of the first account was told since the last call.
    fn frames(&mut self) -> Vec<Value> {
        self.exchange.take_updates().iter().map(|update| serde_json::from_str(&update.data).unwrap()).collect()
    }

    fn call_as(&mut self, key: &str, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.clock += i64::from(!self.frozen);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let request = Request { method, path, query: &query, credentials: Some((key, "SIM-SECRET")), body: body.as_bytes(), ledger_until: None };
        let now = at(self.clock);
        let response = respond_without_exchange(&self.market, &self.keys, &request, now);
        let response = response.unwrap_or_else(|| respond(&mut self.exchange, &self.market, &self.keys, &request, now));
        (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
    }

    fn call(&mut self, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.call_as("SIM", method, target, body)
    }

    /// An order that is taken; what is not said is a day order to buy one AAPL.
    fn place(&mut self, fields: Value) -> Value {
        let (status, order) = self.try_place(fields);
        assert_eq!(status, 200, "{order}");
        order
    }

    fn try_place(&mut self, fields: Value) -> (u16, Value) {
        let mut body = json!({"symbol": "AAPL", "side": "buy", "type": "market", "time_in_force": "day"});
        if fields.get("notional").is_none() {
            body["qty"] = "1".into();
        }
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.call("POST", "/v2/orders", &body.to_string())
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Event and order of each frame, and the order's status after it.
fn steps(frames: &[Value]) -> Vec<(&str, &str, &str)> {
    frames.iter().map(|frame| (text(frame, "event"), text(&frame["order"], "id"), text(&frame["order"], "status"))).collect()
}

fn events(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| text(frame, "event")).collect()
}

const BUY: &str = r#"{"symbol":"AAPL","qty":1.0,"side":"buy","type":"market","time_in_force":"day","client_order_id":"bot-1"}"#;
const REST: &str = r#"{"symbol":"AAPL","qty":"2","notional":"","side":"buy","type":"limit","limit_price":90.5,"time_in_force":"gtc","order_class":""}"#;

#[test]
fn strangers_and_strange_paths_are_told_so() {
    let mut desk = Desk::new();
    let (status, body) = desk.call_as("NOBODY", "GET", "/v2/account", "");
    assert_eq!((status, body["code"].as_u64()), (401, Some(40_110_000)));
    assert_eq!(desk.call("GET", "/v2/nothing", "").0, 404);
    for unoffered in ["/v2/watchlists", "/v2/account/portfolio/history"] {
        assert_eq!(desk.call("GET", unoffered, ""), (404, json!({"code": 40_410_000, "message": "endpoint not found."})));
    }
    assert_eq!(desk.call("PUT", "/v2/orders", "").0, 405);
    assert_eq!(desk.call("GET", "/v2/orders/nope", "").0, 404);
    assert_eq!(desk.call("GET", "/v2/positions/AAPL", "").1["code"], 40_410_000);
    assert_eq!(desk.call("GET", "/v2/assets/NOPE", "").0, 404);
}

#[test]
fn an_order_lives_through_rest() {
    let mut desk = Desk::new();
    let (status, order) = desk.call("POST", "/v2/orders", BUY);
    assert_eq!((status, &order["status"], &order["qty"], &order["order_class"]), (200, &json!("pending_new"), &json!("1"), &json!("")));
    let (_, filled) = desk.call("GET", &format!("/v2/orders/{}", order["id"].as_str().unwrap().replace('-', "")), "");
    assert_eq!((&filled["status"], &filled["filled_avg_price"]), (&json!("filled"), &json!("100.01")));
    assert_eq!(desk.call("GET", "/v2/orders:by_client_order_id?client_order_id=bot-1", "").1["id"], order["id"]);
    assert_eq!(desk.call_as("TWO", "GET", "/v2/orders:by_client_order_id?client_order_id=bot-1", "").0, 404);
    assert_eq!(desk.call("POST", "/v2/orders", BUY).1["code"], 40_010_001);
    let (_, resting) = desk.call("POST", "/v2/orders", REST);
    let id = resting["id"].as_str().unwrap().to_owned();
    assert_eq!(desk.call_as("TWO", "DELETE", &format!("/v2/orders/{id}"), "").0, 404);
    assert_eq!(desk.call("DELETE", &format!("/v2/orders/{id}"), ""), (204, Value::Null));
    assert_eq!(desk.call("DELETE", &format!("/v2/orders/{id}"), "").0, 422);
    desk.call("POST", "/v2/orders", REST);
    let (status, canceled) = desk.call("DELETE", "/v2/orders", "");
    assert_eq!((status, &canceled[0]["status"]), (207, &json!(200)));
    let (_, position) = desk.call("GET", "/v2/positions/AAPL", "");
    assert_eq!((&position["qty"], &position["avg_entry_price"], &position["side"]), (&json!("1"), &json!("100.01"), &json!("long")));
    assert_eq!(desk.call("GET", "/v2/positions", "").1, json!([position]));
    assert_eq!(desk.call("GET", "/v2/account", "").1["cash"], "99899.99");
}

#[test]
fn data_and_assets_are_found_beside_the_orders() {
    let mut desk = Desk::new();
    let (_, many) = desk.call("GET", "/v2/stocks/quotes/latest?symbols=AAPL,NOPE", "");
    assert_eq!((&many["quotes"]["AAPL"]["ap"], many["quotes"].as_object().unwrap().len()), (&json!(100.01), 1));
    let (_, one) = desk.call("GET", "/v2/stocks/AAPL/trades/latest", "");
    assert_eq!((&one["symbol"], &one["trade"]["p"], &one["trade"]["i"]), (&json!("AAPL"), &json!(100), &json!(1)));
    assert_eq!(desk.call("GET", "/v2/stocks/NOPE/trades/latest", "").0, 404);
    assert_eq!(desk.call("GET", "/v2/assets/BTC/USD", "").1["class"], "crypto");
    assert_eq!(desk.call("GET", "/v2/assets/AAPL", "").1["tradable"], true);
}
