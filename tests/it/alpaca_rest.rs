//! The REST client of Alpaca against the built-in exchange.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alpaca_broker::exchanges::alpaca::{Ask, BarsWanted, Page, PastMarket, RestClient, RestSettings, Urgency, Verb, encode};
use alpaca_broker::exchanges::{BrokerError, BrokerMetrics};
use alpaca_broker::model::{Symbol, Timestamp};
use alpaca_broker::net::Endpoint;
use alpaca_broker::runtime::{Secret, Threads};
use alpaca_broker::sim::{Sim, SimConfig, SimKey};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(10);

fn start(change: impl FnOnce(&mut SimConfig)) -> Sim {
    let mut config = SimConfig::default();
    change(&mut config);
    Sim::start(config, &Threads::new(crossbeam_channel::bounded(1).0)).unwrap()
}

fn client(sim: &Sim, secret: &str) -> RestClient {
    let api: Endpoint = format!("http://{}", sim.address()).parse().unwrap();
    let settings = RestSettings {
        broker: "alpaca".to_owned(),
        data: Some(api.clone()),
        api,
        key_id: Secret::new("SIM"),
        secret_key: Secret::new(secret),
        tls: ureq::tls::TlsConfig::default(),
    };
    RestClient::new(settings, Arc::new(BrokerMetrics::new(Instant::now())))
}

fn ask(client: &RestClient, verb: Verb, path: &str, body: Option<Value>) -> Result<Page, BrokerError> {
    client.ask(&Ask { verb, path, body: body.map(|body| body.to_string()), urgency: Urgency::Order, within: WITHIN })
}

fn symbols<const N: usize>(names: [&str; N]) -> [Symbol; N] {
    names.map(|name| name.parse().unwrap())
}

fn read(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap()
}

fn order(id: &str) -> Value {
    json!({"symbol":"AAPL","qty":"1","side":"buy","type":"limit","limit_price":"1.00","time_in_force":"day","client_order_id":id})
}

#[test]
fn an_order_is_placed_found_and_canceled_and_its_id_is_taken() {
    let sim = start(|_| {});
    let client = client(&sim, "SIM-SECRET");
    let placed = ask(&client, Verb::Post, "/v2/orders", Some(order("bot/1"))).unwrap();
    assert!(placed.request_id.is_some_and(|id| id.starts_with("sim-")));
    let found = ask(&client, Verb::Get, &format!("/v2/orders:by_client_order_id?client_order_id={}", encode("bot/1")), None).unwrap();
    let id = read(&found)["id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&client, Verb::Post, "/v2/orders", Some(order("bot/1"))), Err(BrokerError::DuplicateClientId("bot/1".to_owned())));
    let changed = ask(&client, Verb::Patch, &format!("/v2/orders/{id}"), Some(json!({"limit_price":"1.10"}))).unwrap();
    let newer = read(&changed)["id"].as_str().unwrap().to_owned();
    let canceled = ask(&client, Verb::Delete, &format!("/v2/orders/{newer}"), None).unwrap();
    assert_eq!((canceled.status, canceled.body.as_str()), (204, ""));
    assert_eq!(ask(&client, Verb::Delete, "/v2/orders", None).unwrap().status, 207);
    let nobody = "/v2/orders/00000000-0000-4000-8000-000000000000";
    assert_eq!(ask(&client, Verb::Get, nobody, None).unwrap_err().kind(), "unknown_order");
    sim.stop();
}

#[test]
fn the_exchange_refuses_in_words_that_reach_the_caller() {
    let sim = start(|_| {});
    let client = client(&sim, "SIM-SECRET");
    let mut dear = order("b-2");
    (dear["qty"], dear["limit_price"]) = ("1000000".into(), "220.00".into());
    let refused = ask(&client, Verb::Post, "/v2/orders", Some(dear)).unwrap_err();
    let BrokerError::Rejected { code, reason } = &refused else { panic!("{refused}") };
    assert_eq!(code.as_deref(), Some("40310000"));
    assert!(reason.contains("insufficient buying power") && reason.contains("(request sim-"), "{reason}");
    let wrong = self::client(&sim, "WRONG-SECRET");
    let refused = ask(&wrong, Verb::Get, "/v2/account", None).unwrap_err();
    assert_eq!(refused.kind(), "unauthorised");
    assert!(!refused.to_string().contains("WRONG-SECRET"));
    sim.stop();
}

#[test]
fn the_budget_is_the_exchanges() {
    let limited = SimKey { trading_per_minute: Some(100), ..SimKey::default() };
    let sim = start(|config| config.keys = vec![limited]);
    let client = client(&sim, "SIM-SECRET");
    let question = |urgency| client.ask(&Ask { verb: Verb::Get, path: "/v2/clock", body: None, urgency, within: WITHIN });
    question(Urgency::Question).unwrap();
    let left = client.requests_left().unwrap();
    assert!(left <= 99, "{left}");
    // The minute may turn meanwhile.
    let refused = (0..400).find_map(|_| question(Urgency::Question).err()).unwrap();
    assert!(matches!(refused, BrokerError::RateLimited { after: Some(after) } if after <= Duration::from_secs(60)), "{refused}");
    question(Urgency::Cancel).unwrap();
    sim.stop();
}

#[test]
fn what_the_exchange_breaks_is_told_apart() {
    let sim = start(|_| {});
    let control = sim.control();
    for (fault, read, write) in [
        ("rest-503", "unavailable", "outcome_unknown"),
        ("rest-429", "rate_limited", "rate_limited"),
        ("order-504", "a page", "outcome_unknown"),
        ("order-reset", "a page", "outcome_unknown"),
        ("order-lost", "a page", "outcome_unknown"),
    ] {
        let client = client(&sim, "SIM-SECRET");
        control.fault(fault.parse().unwrap());
        let kind = |answer: Result<Page, BrokerError>| answer.map_or_else(|error| error.kind(), |_| "a page");
        assert_eq!(kind(ask(&client, Verb::Get, "/v2/account", None)), read, "{fault}");
        assert_eq!(kind(ask(&client, Verb::Post, "/v2/orders", Some(order(fault)))), write, "{fault}");
        control.clear_faults();
    }
    sim.stop();
}

#[test]
fn latest_prices_and_snapshots_are_read_digit_for_digit() {
    let sim = start(|_| {});
    let client = client(&sim, "SIM-SECRET");
    sim.control().trade("AAPL", "228.5075", 7);
    sim.control().quote("BTC/USD", "98000.5", 1, "98001.25", 2);
    let stocks = PastMarket::Stocks(Some("iex"));
    let [aapl, btc, gone] = symbols(["AAPL", "BTC/USD", "NOSUCH"]);
    let trades = client.latest_trades(stocks, &[aapl.clone(), gone], WITHIN).unwrap();
    assert_eq!((trades.len(), trades[&aapl].price.to_string().as_str(), trades[&aapl].size.to_string().as_str()), (1, "228.5075", "7"));
    let quotes = client.latest_quotes(PastMarket::Crypto, std::slice::from_ref(&btc), WITHIN).unwrap();
    assert_eq!((quotes[&btc].bid.to_string(), quotes[&btc].ask.to_string()), ("98000.5".to_owned(), "98001.25".to_owned()));
    let shots = client.snapshots(stocks, std::slice::from_ref(&aapl), WITHIN).unwrap();
    assert_eq!(shots[&aapl].trade, trades.get(&aapl).cloned());
    assert!(client.snapshots(PastMarket::Crypto, std::slice::from_ref(&btc), WITHIN).unwrap()[&btc].quote.is_some());
    sim.stop();
}

#[test]
fn bars_are_put_together_from_pages() {
    let sim = start(|_| {});
    let client = client(&sim, "SIM-SECRET");
    let pair = symbols(["AAPL", "MSFT"]);
    let now = sim.control().now();
    let ago = |minutes: i64| Timestamp::from_nanos(now.nanos() - minutes * 60_000_000_000);
    let wanted = BarsWanted { market: PastMarket::Stocks(None), symbols: &pair, timeframe: "1Min", from: ago(40 * 24 * 60), to: Some(ago(60)), most: 12_000 };
    let bars = client.bars(&wanted, WITHIN).unwrap();
    let count: usize = bars.values().map(Vec::len).sum();
    assert_eq!(count, 12_000, "more than a page holds");
    for series in bars.values() {
        assert!(series.windows(2).all(|two| two[0].at < two[1].at), "in order, none twice");
        assert!(series.iter().all(|bar| bar.low <= bar.open && bar.open <= bar.high && bar.trades > 0));
    }
    let few = client.bars(&BarsWanted { most: 5, ..wanted }, WITHIN).unwrap();
    assert_eq!(few.values().map(Vec::len).sum::<usize>(), 5);
    sim.stop();
}

#[test]
fn clock_calendar_and_assets_are_read() {
    let sim = start(|_| {});
    let client = client(&sim, "SIM-SECRET");
    let clock = client.clock(WITHIN).unwrap();
    assert!(clock.is_open && clock.at < clock.next_close && clock.next_close < clock.next_open, "{clock:?}");
    let days = client.calendar("2026-11-23".parse().unwrap(), "2026-11-29".parse().unwrap(), WITHIN).unwrap();
    assert_eq!(days.iter().map(|day| (day.date.to_string(), day.close.hour())).next_back(), Some(("2026-11-27".to_owned(), 13)));
    assert_eq!((days.len(), days[0].session.map(|(from, to)| (from.hour(), to.hour()))), (4, Some((4, 20))));
    let [aapl, btc, gone] = symbols(["AAPL", "BTC/USD", "NOSUCH"]);
    assert!(client.asset(&aapl, WITHIN).unwrap().is_some_and(|asset| asset.is_active && asset.shortable && asset.min_order_size.is_none()));
    let pair = client.asset(&btc, WITHIN).unwrap().unwrap();
    assert_eq!((pair.class.as_str(), pair.price_increment.map(|step| step.to_string())), ("crypto", Some("0.01".to_owned())));
    assert_eq!(client.asset(&gone, WITHIN), Ok(None));
    sim.stop();
}
