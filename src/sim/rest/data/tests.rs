use std::collections::BTreeMap;

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::model::Amount;
use crate::sim::SimConfig;
use crate::sim::message::{SimBody, SimMessage};

const NOW: &str = "2026-11-20T20:30:30Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

struct Host {
    market: MarketData,
    key: SimKey,
    now: Timestamp,
}

impl Host {
    /// Has been running for half an hour.
    fn new(seed: u64) -> Host {
        let config = SimConfig { seed, ..SimConfig::default() };
        let key = SimKey { feeds: vec!["iex".to_owned()], ..SimKey::default() };
        Host { market: MarketData::new(&config, at("2026-11-20T20:00:10Z")), key, now: at(NOW) }
    }

    fn trade(&self, symbol: &str, when: &str, price: &str, size: u64) {
        let body = SimBody::Trade { id: 7, price: price.parse().unwrap(), size: Amount::from_u64(size) };
        self.market.note(&[SimMessage { symbol: symbol.into(), at: at(when), body }]);
    }

    fn text(&self, target: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let request = Request { method: "GET", path, query: &query, credentials: None, body: b"", ledger_until: None };
        let path: Vec<&str> = path.trim_matches('/').split('/').collect();
        let response = respond(&self.market, &self.key, &request, &path, self.now).unwrap();
        (response.status, String::from_utf8(response.body).unwrap())
    }

    fn get(&self, target: &str) -> Value {
        let (status, text) = self.text(target);
        assert_eq!(status, 200, "{target}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn refused(&self, target: &str) -> (u16, String) {
        let (status, text) = self.text(target);
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1, "{target}: {text}");
        (status, body["message"].as_str().unwrap().to_owned())
    }

    /// All pages of a series: by symbol, every item as it was written; and how many pages there were.
    fn all(&self, target: &str, name: &str) -> (BTreeMap<String, Vec<String>>, usize) {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut token, mut pages) = (None::<String>, 0);
        loop {
            let next = token.map_or(String::new(), |token| format!("&page_token={token}"));
            let (status, text) = self.text(&format!("{target}{next}"));
            assert_eq!(status, 200, "{text}");
            let body: BTreeMap<&str, &RawValue> = serde_json::from_str(&text).unwrap();
            let columns: BTreeMap<String, Vec<&RawValue>> = serde_json::from_str(body[name].get()).unwrap();
            for (symbol, items) in columns {
                assert!(!items.is_empty());
                found.entry(symbol).or_default().extend(items.iter().map(|item| item.get().to_owned()));
            }
            pages += 1;
            token = serde_json::from_str(body["next_page_token"].get()).unwrap();
            if token.is_none() {
                return (found, pages);
            }
        }
    }
}

fn number(value: &Value) -> Decimal {
    value.to_string().parse().unwrap()
}

#[test]
fn bars_of_minutes_hours_days_weeks_and_months_agree() {
    let host = Host::new(1);
    let bars = |frame: &str, range: &str| host.get(&format!("/v2/stocks/bars?symbols=AAPL&timeframe={frame}&limit=10000&{range}"))["bars"]["AAPL"].clone();
    let day = "start=2026-11-18&end=2026-11-18";
    let minutes = bars("1Min", day);
    let minutes = minutes.as_array().unwrap();
    assert_eq!((minutes.len(), &minutes[0]["t"], &minutes[389]["t"]), (390, &json!("2026-11-18T14:30:00Z"), &json!("2026-11-18T20:59:00Z")));
    for (frame, count, first) in [("5Min", 78, "14:30"), ("7T", 57, "14:27"), ("1Hour", 7, "14:00"), ("4Hour", 2, "13:00"), ("1Day", 1, "05:00")] {
        let longer = bars(frame, day);
        let longer = longer.as_array().unwrap();
        assert_eq!((longer.len(), &longer[0]["t"].as_str().unwrap()[11..16]), (count, first), "{frame}");
        let sum = |bars: &[Value], field: &str| bars.iter().map(|bar| number(&bar[field])).sum::<Decimal>();
        let extreme = |bars: &[Value], field: &str| {
            bars.iter()
                .map(|bar| number(&bar[field]))
                .fold(None, |best: Option<Decimal>, next| Some(best.map_or(next, |best| if field == "h" { best.max(next) } else { best.min(next) })))
        };
        for field in ["v", "n"] {
            assert_eq!(sum(longer, field), sum(minutes, field), "{frame}");
        }
        for field in ["h", "l"] {
            assert_eq!(extreme(longer, field), extreme(minutes, field), "{frame}");
        }
        assert_eq!((&longer[0]["o"], &longer[count - 1]["c"]), (&minutes[0]["o"], &minutes[389]["c"]));
    }
    let times =
        |frame: &str, range: &str| bars(frame, range).as_array().unwrap().iter().map(|bar| bar["t"].as_str().unwrap()[..10].to_owned()).collect::<Vec<_>>();
    assert_eq!(times("1Week", "start=2026-11-02&end=2026-11-20"), ["2026-11-02", "2026-11-09", "2026-11-16"]);
    assert_eq!(times("3Month", "start=2026-01-01&end=2026-11-20"), ["2026-01-01", "2026-04-01", "2026-07-01", "2026-10-01"]);
    assert_eq!(times("1Day", "start=2026-07-01&end=2026-07-07"), ["2026-07-01", "2026-07-02", "2026-07-06", "2026-07-07"]);
    assert_eq!(times("1Day", "start=2026-07-01&end=2026-07-07&sort=desc"), ["2026-07-07", "2026-07-06", "2026-07-02", "2026-07-01"]);
    let week = bars("1Week", "start=2026-11-09&end=2026-11-09");
    let days = bars("1Day", "start=2026-11-09&end=2026-11-13");
    let volume: Decimal = days.as_array().unwrap().iter().map(|day| number(&day["v"])).sum();
    assert_eq!((number(&week[0]["v"]), days.as_array().unwrap().len()), (volume, 5));
}

#[test]
fn trades_add_up_to_their_bars_in_stocks_and_crypto() {
    let host = Host::new(3);
    for (root, symbol) in [("/v2/stocks", "MSFT"), ("/v1beta3/crypto/us", "BTC/USD")] {
        let range = "start=2026-11-19T15:00:00Z&end=2026-11-19T15:09:59.999999999Z&limit=10000";
        let bars = host.get(&format!("{root}/bars?symbols={symbol}&timeframe=1Min&{range}"))["bars"][symbol].clone();
        let trades = host.get(&format!("{root}/trades?symbols={symbol}&{range}"))["trades"][symbol].clone();
        let quotes = host.get(&format!("{root}/quotes?symbols={symbol}&{range}"))["quotes"][symbol].clone();
        let bars = bars.as_array().unwrap();
        assert_eq!((bars.len(), quotes.as_array().unwrap().len()), (10, trades.as_array().unwrap().len()));
        for bar in bars {
            let minute = &bar["t"].as_str().unwrap()[..16];
            let of: Vec<&Value> = trades.as_array().unwrap().iter().filter(|trade| trade["t"].as_str().unwrap().starts_with(minute)).collect();
            assert_eq!(of.iter().map(|trade| number(&trade["s"])).sum::<Decimal>(), number(&bar["v"]));
            assert_eq!((of.len() as u64, &of[0]["p"], &of[of.len() - 1]["p"]), (bar["n"].as_u64().unwrap(), &bar["o"], &bar["c"]));
            assert!(of.iter().all(|trade| (number(&bar["l"])..=number(&bar["h"])).contains(&number(&trade["p"]))));
            assert!((number(&bar["l"])..=number(&bar["h"])).contains(&number(&bar["vw"]).round_dp(2)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn pages_of_any_size_are_one_list(limit in 1..400_usize, series in 0..4_usize, sort in prop::sample::select(vec!["asc", "desc"]), seed in 0..3_u64) {
        let host = Host::new(seed);
        // Trades of one moment, which a page may end between.
        for _ in 0..5 {
            host.trade("AAPL", "2026-11-20T20:10:00Z", "228", 1);
        }
        let (path, name) = [
            ("bars?timeframe=3Min&start=2026-11-19T20:40:00Z", "bars"),
            ("bars?timeframe=1Day&start=2026-10-20", "bars"),
            ("trades?start=2026-11-20T19:50:00Z", "trades"),
            ("quotes?start=2026-11-20T19:55:00Z", "quotes"),
        ][series];
        let target = format!("/v2/stocks/{path}&symbols=MSFT,AAPL,NOBODY,F&sort={sort}");
        let (whole, pages) = host.all(&format!("{target}&limit=10000"), name);
        prop_assert_eq!((pages, whole.keys().map(String::as_str).collect::<Vec<_>>()), (1, vec!["AAPL", "F", "MSFT"]));
        let (paged, _) = host.all(&format!("{target}&limit={}", limit.max(7)), name);
        prop_assert_eq!(paged, whole.clone());
        if sort == "desc" {
            let (mut ascending, _) = host.all(&format!("{target}&limit=10000").replace("sort=desc", "sort=asc"), name);
            ascending.values_mut().for_each(|items| items.reverse());
            if name == "bars" {
                prop_assert_eq!(ascending, whole);
            }
        }
    }
}

#[test]
fn a_page_with_much_work_is_short_and_nothing_is_lost() {
    let host = Host::new(1);
    let target = "/v1beta3/crypto/us/bars?symbols=BTC/USD&timeframe=1Month&start=2025-11-01&limit=10000";
    let (found, pages) = host.all(target, "bars");
    assert!(pages > 1 && found["BTC/USD"].len() == 13, "{pages} pages, {} months", found["BTC/USD"].len());
}

#[test]
fn what_was_emitted_comes_after_what_is_invented() {
    let host = Host::new(1);
    host.trade("AAPL", "2026-11-20T20:20:05Z", "230.5", 3);
    host.trade("AAPL", "2026-11-20T20:20:50Z", "229.25", 4);
    host.trade("AAPL", "2026-11-20T20:30:20Z", "231", 9);
    let bars = host.get("/v2/stocks/AAPL/bars?timeframe=1Min&start=2026-11-20T19:58:00Z");
    let times: Vec<&str> = bars["bars"].as_array().unwrap().iter().map(|bar| &bar["t"].as_str().unwrap()[11..16]).collect();
    // The minute that is not over is no bar.
    assert_eq!((&bars["symbol"], times), (&json!("AAPL"), vec!["19:58", "19:59", "20:20"]));
    let last = json!({"t":"2026-11-20T20:20:00Z","o":230.5,"h":230.5,"l":229.25,"c":229.25,"v":7,"n":2,"vw":229.785714});
    assert_eq!(bars["bars"][2], last);
    let (_, trades) = host.text("/v2/stocks/AAPL/trades?start=2026-11-20T20:20:00Z&limit=1");
    let wanted = r#"{"symbol":"AAPL","trades":[{"t":"2026-11-20T20:20:05.000000000Z","x":"V","p":230.5,"s":3,"c":["@"],"i":7,"z":"C"}],"next_page_token":""#;
    assert!(trades.starts_with(wanted), "{trades}");
    let snapshot = host.get("/v2/stocks/AAPL/snapshot");
    assert_eq!((&snapshot["symbol"], &snapshot["minuteBar"], &snapshot["latestTrade"]["p"]), (&json!("AAPL"), &last, &json!(231)));
    assert_eq!((&snapshot["dailyBar"]["t"], &snapshot["prevDailyBar"]["t"]), (&json!("2026-11-20T05:00:00Z"), &json!("2026-11-19T05:00:00Z")));
    assert_eq!(snapshot["dailyBar"], host.get("/v2/stocks/bars?symbols=AAPL&timeframe=1Day")["bars"]["AAPL"][0]);
    assert_eq!(snapshot["dailyBar"]["c"], json!(229.25));
}

#[test]
fn the_latest_have_their_shapes() {
    let host = Host::new(1);
    let many = host.get("/v2/stocks/quotes/latest?symbols=MSFT,AAPL,NOPE");
    assert_eq!((&many["quotes"]["AAPL"]["ap"], many["quotes"].as_object().unwrap().len()), (&json!(228.51), 2));
    assert_eq!(host.get("/v2/stocks/AAPL/trades/latest")["trade"]["p"], json!(228.5));
    assert_eq!(host.get("/v2/stocks/AAPL/bars/latest")["bar"]["t"], "2026-11-20T19:59:00Z");
    let snapshots = host.get("/v2/stocks/snapshots?symbols=AAPL,NOPE");
    assert_eq!(snapshots.as_object().unwrap().keys().collect::<Vec<_>>(), ["AAPL"]);
    let crypto = host.get("/v1beta3/crypto/us/snapshots?symbols=BTC/USD,ETH/USD");
    assert_eq!(crypto["snapshots"]["ETH/USD"]["latestTrade"]["tks"], "S");
    assert_eq!(host.get("/v1beta3/crypto/us/latest/bars?symbols=BTC/USD")["bars"]["BTC/USD"]["t"], "2026-11-20T19:59:00Z");
    let book = &host.get("/v1beta3/crypto/us/latest/orderbooks?symbols=BTC/USD")["orderbooks"]["BTC/USD"];
    assert_eq!((&book["b"][0]["p"], &book["a"][1]["p"]), (&json!(98_249.99), &json!(98_250.02)));
    assert_eq!(host.get("/v2/stocks/NOPE/bars?timeframe=1Day"), json!({"symbol":"NOPE","bars":null,"next_page_token":null}));
    assert_eq!(host.get("/v2/stocks/meta/exchanges")["V"], "IEX");
    assert_eq!(host.get("/v2/stocks/meta/conditions/trade?tape=C")["@"], "Regular Sale");
}

#[test]
fn what_makes_no_sense_is_refused_with_a_message_alone() {
    let host = Host::new(1);
    for (target, status, word) in [
        ("/v2/stocks/bars?timeframe=1Day", 400, "symbols is required"),
        ("/v2/stocks/bars?symbols=AAPL", 400, "timeframe is required"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=61Min", 400, "invalid timeframe"),
        ("/v2/stocks/bars?symbols=aapl&timeframe=1Day", 400, "invalid symbol"),
        ("/v2/stocks/bars?symbols=BTC/USD&timeframe=1Day", 400, "invalid symbol"),
        ("/v1beta3/crypto/us/bars?symbols=AAPL&timeframe=1Day", 400, "invalid symbol"),
        ("/v2/stocks/bars?symbols=AAPL&timeframe=1Day&adjustment=none", 400, "adjustment"),
        ("/v2/stocks/trades?symbols=AAPL&start=2026-11-19&end=2026-11-18", 400, "end should not be before start"),
        ("/v2/stocks/trades?symbols=AAPL&start=yesterday", 400, "invalid start"),
        ("/v2/stocks/trades?symbols=AAPL&limit=0", 400, "invalid limit"),
        ("/v2/stocks/trades?symbols=AAPL&limit=10001", 400, "invalid limit"),
        ("/v2/stocks/trades?symbols=AAPL&sort=up", 400, "invalid sort"),
        ("/v2/stocks/trades?symbols=AAPL&page_token=xyz", 400, "invalid page_token"),
        ("/v2/stocks/trades?symbols=AAPL&feed=cnn", 400, "invalid feed"),
        ("/v2/stocks/trades?symbols=AAPL&feed=sip", 403, "recent SIP data"),
        ("/v2/stocks/AAPL/trades/latest?feed=sip", 403, "recent SIP data"),
        ("/v2/stocks/NOPE/snapshot", 404, "NOPE"),
        ("/v2/stocks/meta/conditions/trade", 400, "tape"),
        ("/v2/stocks/nothing/at/all", 404, "endpoint"),
        ("/v1beta1/news?limit=51", 400, "limit"),
    ] {
        let (got, message) = host.refused(target);
        assert!(got == status && message.contains(word), "{target}: {got} {message}");
    }
    assert!(host.get("/v2/stocks/trades?symbols=AAPL&feed=sip&start=2026-11-19T15:00:00Z&end=2026-11-19T15:01:00Z")["trades"]["AAPL"].is_array());
}

#[test]
fn news_are_invented_paged_and_filtered() {
    let host = Host::new(1);
    let first = host.get("/v1beta1/news?limit=3");
    let token = first["next_page_token"].as_str().unwrap();
    let second = host.get(&format!("/v1beta1/news?limit=3&page_token={token}"));
    let ids = |page: &Value| page["news"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect::<Vec<_>>();
    let both = host.get("/v1beta1/news?limit=6");
    assert_eq!([ids(&first), ids(&second)].concat(), ids(&both));
    assert!(ids(&both).windows(2).all(|pair| pair[0] > pair[1]) && first["news"][0]["source"] == "simulated");
    let of = host.get("/v1beta1/news?symbols=AAPL&limit=50&include_content=true&sort=asc");
    assert!(of["news"].as_array().unwrap().iter().all(|item| item["symbols"][0] == "AAPL" && item["content"] != ""));
}

#[test]
fn seeds_make_histories() {
    let target = "/v2/stocks/bars?symbols=AAPL,F&timeframe=1Hour&start=2020-02-03&end=2020-02-07";
    assert_eq!(Host::new(1).text(target), Host::new(1).text(target));
    assert_ne!(Host::new(1).text(target), Host::new(2).text(target));
}

#[test]
fn auctions_are_what_the_bars_of_the_days_began_and_ended_with() {
    let host = Host::new(1);
    let days = host.get("/v2/stocks/AAPL/bars?timeframe=1Day&start=2026-11-17&end=2026-11-20")["bars"].clone();
    let auctions = host.get("/v2/stocks/AAPL/auctions?start=2026-11-17T18:00:00Z&end=2026-11-20");
    let (days, list) = (days.as_array().unwrap(), auctions["auctions"].as_array().unwrap());
    assert_eq!((list.len(), &auctions["symbol"], &auctions["next_page_token"]), (4, &json!("AAPL"), &Value::Null));
    for (day, auction) in days.iter().zip(list) {
        assert_eq!(auction["o"][0]["p"], day["o"]);
        assert!(auction["c"].as_array().unwrap().iter().all(|close| close["p"] == day["c"]));
    }
    assert_eq!(
        (&list[0]["d"], &list[0]["o"][0]["t"], &list[0]["c"][0]["t"]),
        (&json!("2026-11-17"), &json!("2026-11-17T14:30:00.000000000Z"), &json!("2026-11-17T21:00:00.000000000Z"))
    );
    assert_eq!(list[3]["c"], json!([]), "today has not closed");
    let first = host.get("/v2/stocks/auctions?symbols=AAPL,MSFT&start=2026-11-16&end=2026-11-20&limit=7");
    assert_eq!((first["auctions"]["AAPL"].as_array().unwrap().len(), first["auctions"]["MSFT"].as_array().unwrap().len()), (5, 2));
    let token = first["next_page_token"].as_str().unwrap();
    let second = host.get(&format!("/v2/stocks/auctions?symbols=AAPL,MSFT&start=2026-11-16&end=2026-11-20&limit=7&page_token={token}"));
    assert_eq!((second["auctions"]["MSFT"][0]["d"].clone(), second["auctions"]["MSFT"].as_array().unwrap().len()), (json!("2026-11-18"), 3));
    let back = host.get("/v2/stocks/AAPL/auctions?start=2026-11-17&end=2026-11-20&sort=desc&limit=1");
    assert_eq!(back["auctions"][0]["d"], "2026-11-20");
    for path in ["/v2/stocks/auctions/latest?symbols=AAPL", "/v2/stocks/AAPL/auctions/latest", "/v1beta3/crypto/us/auctions?symbols=BTC/USD"] {
        assert_eq!(host.refused(path).0, 404, "{path}");
    }
}
