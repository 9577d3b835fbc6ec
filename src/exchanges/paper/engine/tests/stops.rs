//! Stops, stops with a limit, trailing stops.

use super::*;

fn holding() -> Stage {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    stage.told();
    stage
}

#[test]
fn a_stop_becomes_a_market_order_when_its_price_is_met() {
    let mut stage = holding();
    stage.place(order(Side::Sell, "10", stop("99")));
    stage.apple("99.01", "99.03");
    stage.trade("AAPL", "99.01", "1");
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.apple("98.50", "98.60");
    assert_eq!(stage.told(), ["fill 98.5 10"]);
}

#[test]
fn a_trade_triggers_too() {
    let mut stage = holding();
    stage.place(order(Side::Sell, "10", stop("99")));
    stage.trade("AAPL", "98.99", "1");
    assert_eq!(stage.told(), ["pending_new", "new", "fill 99.99 10"]);
}

#[test]
fn a_stop_that_is_met_on_arrival_is_triggered_at_once() {
    let mut stage = holding();
    stage.place(order(Side::Sell, "10", stop("105")));
    assert_eq!(stage.told(), ["pending_new", "new", "fill 99.99 10"]);
}

#[test]
fn a_stop_with_a_limit_is_never_filled_beyond_it() {
    let mut stage = holding();
    stage.place(order(Side::Sell, "10", stop_limit("99", "98.80")));
    stage.apple("98", "98.10");
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.apple("98.90", "99");
    assert_eq!(stage.told(), ["fill 98.8 10"]);
}

#[test]
fn a_stop_that_buys_stays_within_its_collar() {
    let mut stage = Stage::plain();
    stage.place(order(Side::Buy, "10", stop("101")));
    stage.apple("103.90", "104");
    assert_eq!(stage.told(), ["pending_new", "new"], "104 is more than 2.5 % above 101");
    stage.apple("103", "103.20");
    assert_eq!(stage.told(), ["fill 103.525 10"], "it rests at 103.525 since");
}

#[test]
fn a_trailing_stop_follows_the_best_price_and_no_other() {
    let mut stage = holding();
    stage.place(trailing(Side::Sell, "10", Trail::Price("1".parse().unwrap())));
    let trail = |stage: &Stage| (stage.order("bot-2").high_water.unwrap(), stage.order("bot-2").trailing_stop.unwrap());
    assert_eq!(trail(&stage), (dec("99.99"), dec("98.99")));
    stage.apple("102", "102.02");
    assert_eq!(trail(&stage), (dec("102"), dec("101")));
    stage.apple("101.50", "101.60");
    assert_eq!(trail(&stage), (dec("102"), dec("101")));
    assert_eq!(stage.told(), ["pending_new", "new"], "a stop that moves tells nothing");
    stage.apple("100.90", "101.10");
    assert_eq!(stage.told(), ["fill 100.9 10"]);
}

#[test]
fn a_trailing_stop_in_percent_that_buys_trails_downwards() {
    let mut stage = Stage::plain();
    stage.place(trailing(Side::Buy, "10", percent("2.5")));
    assert_eq!(stage.order("bot-1").trailing_stop, Some(dec("102.51")));
    stage.apple("79.90", "80");
    assert_eq!(stage.order("bot-1").trailing_stop, Some(dec("82")));
    stage.apple("82.10", "82.20");
    assert_eq!(stage.told(), ["pending_new", "new", "fill 82.2 10"]);
}

#[test]
fn stops_sleep_outside_the_regular_session() {
    let mut stage = holding();
    stage.place(lasting(TimeInForce::Gtc, order(Side::Sell, "5", stop("99"))));
    stage.place(lasting(TimeInForce::Gtc, trailing(Side::Sell, "5", Trail::Price("1".parse().unwrap()))));
    stage.session(MarketSession::Post);
    stage.apple("90", "91");
    stage.apple("120", "121");
    assert_eq!(stage.told(), ["pending_new", "new", "pending_new", "new"]);
    assert_eq!(stage.order("bot-3").high_water, Some(dec("99.99")));
}
