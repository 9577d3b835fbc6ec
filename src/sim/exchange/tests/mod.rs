use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::exchanges::paper::models::FillRules;
use crate::model::{OrderClass, OrderType, Side, Size, TimeInForce};
use crate::sim::config::SimKey;

const ME: &str = "me";

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((1_790_000_000 + seconds) * 1_000_000_000)
}

/// A market without chance: what is marketable is filled whole.
fn exchange(latency: Duration) -> Exchange {
    let key = |account: &str| SimKey { account_id: account.to_owned(), ..SimKey::default() };
    let symbols = [("AAPL", "100.00"), ("BTC/USD", "50000")].map(|(s, p)| (s.parse().unwrap(), p.parse().unwrap()));
    let config = SimConfig { symbols: symbols.to_vec(), keys: vec![key(ME), key("other")], ..SimConfig::default() };
    let fills = FillRules { partials: Decimal::ZERO, ..FillRules::ALPACA_PAPER };
    let latency = Latency { fixed: latency, ..Latency::NONE };
    let settings = EngineSettings { fills, latency, ..EngineSettings::alpaca_paper(broker(), config.seed) };
    Exchange::with(settings, &config, at(0))
}

fn order(side: Side, size: Size, kind: OrderType) -> OrderWish {
    OrderWish {
        symbol: "AAPL".to_owned(),
        size,
        side,
        kind,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
        client_order_id: None,
        intent: None,
    }
}

fn units(quantity: &str) -> Size {
    Size::Quantity(quantity.parse().unwrap())
}

fn money(amount: &str) -> Size {
    Size::Notional(amount.parse().unwrap())
}

fn limit(price: &str) -> OrderType {
    OrderType::Limit { limit: price.parse().unwrap() }
}

fn buy(quantity: &str) -> OrderWish {
    order(Side::Buy, units(quantity), OrderType::Market)
}

fn cash(exchange: &Exchange) -> Decimal {
    exchange.info(ME).unwrap().cash
}

fn quote(bid: &str, ask: &str) -> Quote {
    let size = "100".parse().unwrap();
    Quote { bid: bid.parse().unwrap(), bid_size: size, ask: ask.parse().unwrap(), ask_size: size }
}

fn told(exchange: &mut Exchange) -> Vec<Value> {
    exchange.take_updates().iter().map(|update| serde_json::from_str(&update.data).unwrap()).collect()
}

fn events(updates: &[Value]) -> Vec<&str> {
    updates.iter().filter_map(|u| u["event"].as_str()).collect()
}

#[test]
fn a_market_order_fills_at_the_ask_and_tells_all_of_it() {
    let mut exchange = exchange(Duration::ZERO);
    let answer = exchange.place(ME, buy("10"), at(1)).unwrap();
    assert_eq!(answer.order.status.as_str(), "pending_new");
    let updates = told(&mut exchange);
    assert_eq!(events(&updates), ["pending_new", "new", "fill"]);
    assert!(updates[0]["execution_id"].is_null() && updates[1]["execution_id"].is_string());
    let fill = &updates[2];
    assert_eq!((&fill["price"], &fill["qty"], &fill["position_qty"]), (&"100.01".into(), &"10".into(), &"10".into()));
    assert_eq!((&fill["order"]["status"], &fill["order"]["filled_qty"]), (&"filled".into(), &"10".into()));
    assert_eq!(fill["order"].as_object().unwrap().len(), 38, "a key of the order object is missing");
    assert_eq!(cash(&exchange), dec("98999.9"));
    assert!(exchange.positions("other").is_empty());
}

#[test]
fn latency_delays_the_acknowledgement_and_a_cancel_can_win() {
    let mut exchange = exchange(Duration::from_secs(2));
    let first = exchange.place(ME, order(Side::Buy, units("1"), limit("99")), at(1)).unwrap();
    exchange.place(ME, buy("1"), at(2)).unwrap();
    assert_eq!(exchange.next_due(), Some(at(3)));
    exchange.cancel(ME, &first.order.id.as_str().replace('-', ""), at(2)).unwrap();
    exchange.due(at(3));
    assert_eq!(events(&told(&mut exchange)), ["pending_new", "pending_new", "new", "pending_cancel"]);
    exchange.due(at(4));
    exchange.quoted("AAPL", &quote("98.00", "98.10"), at(5));
    let updates = told(&mut exchange);
    let mut ends = events(&updates);
    ends.sort_unstable();
    assert_eq!(ends, ["canceled", "fill", "new"]);
    assert_eq!(exchange.next_due(), None);
}

#[test]
fn a_limit_rests_until_the_quote_crosses_it() {
    let mut exchange = exchange(Duration::ZERO);
    let resting = exchange.place(ME, order(Side::Buy, units("2"), limit("99.50")), at(1)).unwrap();
    assert_eq!(events(&told(&mut exchange)), ["pending_new", "new"]);
    exchange.quoted("AAPL", &quote("99.49", "99.51"), at(2));
    assert!(told(&mut exchange).is_empty());
    exchange.quoted("AAPL", &quote("99.30", "99.40"), at(3));
    let updates = told(&mut exchange);
    assert_eq!((events(&updates), &updates[0]["price"]), (vec!["fill"], &"99.5".into()));
    let refusal = exchange.cancel(ME, resting.order.id.as_str(), at(4)).unwrap_err();
    assert_eq!((refusal.status, refusal.code), (422, 42_210_000));
    exchange.quoted("AAPL", &quote("99.30", "99.40"), at(5));
    assert!(told(&mut exchange).is_empty());
}

#[test]
fn immediate_or_cancel_never_rests_and_cancel_all_ends_the_rest() {
    let mut exchange = exchange(Duration::ZERO);
    let mut request = order(Side::Buy, units("2"), limit("90"));
    let resting = exchange.place(ME, request.clone(), at(1)).unwrap();
    request.time_in_force = TimeInForce::Ioc;
    exchange.place(ME, request, at(1)).unwrap();
    assert_eq!(events(&told(&mut exchange)), ["pending_new", "new", "pending_new", "new", "canceled"]);
    assert_eq!(exchange.cancel_all(ME, at(2)), [(resting.order.id.clone(), Ok(()))]);
    assert_eq!(exchange.info(ME).unwrap().buying_power, dec("200000"));
}

#[test]
fn money_orders_buy_fractions() {
    let mut exchange = exchange(Duration::ZERO);
    exchange.place(ME, order(Side::Buy, money("50"), OrderType::Market), at(1)).unwrap();
    let updates = told(&mut exchange);
    assert_eq!((&updates[2]["qty"], &updates[2]["order"]["notional"]), (&"0.499950004".into(), &"50".into()));
    assert!(updates[2]["order"]["qty"].is_null());
}

#[test]
fn what_cannot_be_paid_or_delivered_is_refused() {
    let mut exchange = exchange(Duration::ZERO);
    let code = |result: Result<orders::Arrival, Refusal>| result.map_err(|r| (r.status, r.code)).unwrap_err();
    assert_eq!(code(exchange.place(ME, buy("2000"), at(1))), (403, 40_310_000));
    exchange.place(ME, order(Side::Buy, units("1900"), limit("50")), at(1)).unwrap();
    exchange.place(ME, order(Side::Buy, units("1900"), limit("50")), at(1)).unwrap();
    assert_eq!(code(exchange.place(ME, buy("200"), at(1))), (403, 40_310_000), "open orders hold no money");
    exchange.cancel_all(ME, at(1));
    exchange.place(ME, buy("5"), at(1)).unwrap();
    let sell = |quantity: &str| order(Side::Sell, units(quantity), limit("150"));
    exchange.place(ME, sell("3"), at(1)).unwrap();
    let refusal = exchange.place(ME, sell("3"), at(1)).unwrap_err();
    assert_eq!(refusal.message, "insufficient qty available for order (requested: 3, available: 2)");
    let mut crypto = sell("1");
    (crypto.symbol, crypto.time_in_force) = ("BTCUSD".to_owned(), TimeInForce::Gtc);
    assert_eq!(code(exchange.place(ME, crypto, at(1))), (403, 40_310_000));
}

#[test]
fn selling_short_and_covering_keeps_the_books() {
    let mut exchange = exchange(Duration::ZERO);
    let sell = |quantity: &str| order(Side::Sell, units(quantity), OrderType::Market);
    exchange.place(ME, sell("10"), at(1)).unwrap();
    let updates = told(&mut exchange);
    assert_eq!((&updates[2]["position_qty"], &updates[2]["order"]["position_intent"]), (&"-10".into(), &"sell_to_open".into()));
    assert_eq!(exchange.place(ME, sell("0.5"), at(1)).unwrap_err().status, 422);
    exchange.place(ME, buy("10"), at(2)).unwrap();
    assert_eq!(cash(&exchange), dec("99999.8"));
}

#[test]
fn malformed_wishes_and_double_ids_are_refused() {
    let mut exchange = exchange(Duration::ZERO);
    let mut named = buy("1");
    named.client_order_id = Some("bot-1".parse().unwrap());
    exchange.place(ME, named.clone(), at(1)).unwrap();
    assert_eq!(exchange.place(ME, named.clone(), at(1)).unwrap_err().code, 40_010_001);
    assert!(exchange.place("other", named, at(1)).is_ok(), "ids are unique in one account only");
    for (size, kind, tif) in [
        (units("1"), limit("100.001"), TimeInForce::Day),
        (units("0.5"), OrderType::Market, TimeInForce::Gtc),
        (money("0.5"), OrderType::Market, TimeInForce::Day),
        (money("5"), limit("100"), TimeInForce::Day),
    ] {
        let mut request = order(Side::Buy, size, kind);
        request.time_in_force = tif;
        assert_eq!(exchange.place(ME, request, at(1)).unwrap_err().status, 422, "{size:?} {kind:?}");
    }
    let mut unknown = buy("1");
    unknown.symbol = "NOPE".to_owned();
    assert_eq!(exchange.place(ME, unknown, at(1)).unwrap_err().status, 422);
}

#[test]
fn two_exchanges_of_one_seed_say_the_same() {
    let play = || {
        let mut exchange = exchange(Duration::ZERO);
        exchange.place(ME, buy("1"), at(1)).unwrap();
        exchange.take_updates()
    };
    assert_eq!(play(), play());
}
