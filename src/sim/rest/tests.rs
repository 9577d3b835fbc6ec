use std::time::Duration;

use super::*;

struct Desk {
    exchange: Exchange,
    keys: Vec<SimKey>,
    clock: i64,
}

impl Desk {
    fn new() -> Desk {
        let keys = vec![SimKey::default(), SimKey { key_id: "TWO".to_owned(), account_id: "two".to_owned(), ..SimKey::default() }];
        let accounts: Vec<String> = keys.iter().map(|key| key.account_id.clone()).collect();
        let symbols = [("AAPL", "100.00"), ("BTC/USD", "50000")].map(|(s, p)| (s.parse().unwrap(), p.parse().unwrap()));
        Desk { exchange: Exchange::new(1, &symbols, &accounts, Duration::ZERO, Timestamp::from_nanos(0)), keys, clock: 1_790_000_000 }
    }

    fn call_as(&mut self, key: &str, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.clock += 1;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let request = Request { method, path, query: &query, credentials: Some((key, "SIM-SECRET")), body: body.as_bytes() };
        let response = respond(&mut self.exchange, &self.keys, &request, Timestamp::from_nanos(self.clock * 1_000_000_000));
        (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
    }

    fn call(&mut self, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.call_as("SIM", method, target, body)
    }
}

const BUY: &str = r#"{"symbol":"AAPL","qty":1.0,"side":"buy","type":"market","time_in_force":"day","client_order_id":"bot-1"}"#;
const REST: &str = r#"{"symbol":"AAPL","qty":"2","notional":"","side":"buy","type":"limit","limit_price":90.5,"time_in_force":"gtc","order_class":""}"#;

#[test]
fn strangers_and_strange_paths_are_told_so() {
    let mut desk = Desk::new();
    let (status, body) = desk.call_as("NOBODY", "GET", "/v2/account", "");
    assert_eq!((status, body["code"].as_u64()), (401, Some(40_110_000)));
    assert_eq!(desk.call("GET", "/v2/nothing", "").0, 404);
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
fn lists_filter_page_and_turn() {
    let mut desk = Desk::new();
    let placed: Vec<String> = (0..4).map(|_| desk.call("POST", "/v2/orders", REST).1["id"].as_str().unwrap().to_owned()).collect();
    desk.call("POST", "/v2/orders", BUY);
    let mut ids = |query: &str| -> Vec<String> {
        let list = desk.call("GET", &format!("/v2/orders?{query}"), "").1;
        list.as_array().unwrap_or_else(|| panic!("{list}")).iter().map(|o| o["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("direction=asc"), placed);
    assert_eq!(ids("limit=1"), placed[3..]);
    assert_eq!(ids("status=all").len(), 5);
    assert_eq!(ids("status=closed").len(), 1);
    assert_eq!(ids("direction=asc&limit=2"), placed[..2]);
    assert_eq!(ids(&format!("direction=asc&after_order_id={}&before_order_id={}", placed[0], placed[2])), placed[1..2]);
    assert!(ids("symbols=MSFT").is_empty() && ids("side=sell").is_empty() && ids("until=2020-01-01").is_empty());
    assert_eq!(ids("after=2020-01-01T00:00:00Z&symbols=AAPL,MSFT").len(), 4);
    assert_eq!(desk.call("GET", "/v2/orders?after=yesterday", "").0, 422);
}

#[test]
fn unreadable_and_unsupported_orders_are_refused_with_a_reason() {
    let mut desk = Desk::new();
    let with = |extra: &str| format!(r#"{{"symbol":"AAPL","side":"buy","time_in_force":"day",{extra}}}"#);
    for (body, code, word) in [
        ("{".to_owned(), 40_010_000, "decode"),
        (with(r#""type":"market""#), 40_010_001, "required"),
        (with(r#""type":"market","qty":1,"notional":5"#), 40_010_001, "only one"),
        (with(r#""type":"market","qty":"-1""#), 42_210_000, "> 0"),
        (with(r#""type":"market","qty":"1e40""#), 42_210_000, "> 0"),
        (with(r#""type":"stop","qty":1,"stop_price":5"#), 42_210_000, "type market and limit"),
        (with(r#""type":"limit","qty":1"#), 42_210_000, "limit price"),
        (with(r#""type":"market","qty":1,"order_class":"bracket""#), 42_210_000, "class simple"),
        (with(r#""type":"market","qty":1,"side":"hold""#), 40_010_000, "decode"),
        (with(r#""type":"market","qty":1e6"#), 40_310_000, "buying power"),
    ] {
        let (_, answer) = desk.call("POST", "/v2/orders", &body);
        assert!(answer["code"] == code && answer["message"].as_str().unwrap().contains(word), "{body}: {answer}");
    }
}

#[test]
fn the_clock_is_open_and_names_the_coming_session() {
    // A Friday, 15:00 in New York.
    let response = views::clock("2026-11-20T20:00:00.5Z".parse().unwrap()).unwrap();
    let wanted = json!({"timestamp":"2026-11-20T15:00:00.500000000-05:00","is_open":true,
        "next_close":"2026-11-20T16:00:00-05:00","next_open":"2026-11-23T09:30:00-05:00"});
    assert_eq!(serde_json::from_slice::<Value>(&response.body).unwrap(), wanted);
}

#[test]
fn latest_prices_are_numbers_of_the_book() {
    let mut desk = Desk::new();
    let (_, many) = desk.call("GET", "/v2/stocks/quotes/latest?symbols=AAPL,NOPE", "");
    assert_eq!((&many["quotes"]["AAPL"]["ap"], many["quotes"].as_object().unwrap().len()), (&json!(100.01), 1));
    let (_, one) = desk.call("GET", "/v2/stocks/AAPL/trades/latest", "");
    assert_eq!((&one["symbol"], &one["trade"]["p"], &one["trade"]["i"]), (&json!("AAPL"), &json!(100), &json!(1)));
    assert_eq!(desk.call("GET", "/v2/stocks/NOPE/trades/latest", "").0, 404);
    assert_eq!(desk.call("GET", "/v2/assets/BTC/USD", "").1["class"], "crypto");
    assert_eq!(desk.call("GET", "/v2/assets/AAPL", "").1["tradable"], true);
}
