//! How much is filled at what price: sizes, queues, halts, bands, age.

use super::orders::bounded;
use super::*;
use crate::exchanges::paper::models::{Fixed, MarketImpact};

#[test]
fn our_own_fills_use_up_what_is_displayed_until_the_next_quote() {
    let mut stage = Stage::new(bounded());
    stage.place(buy("60"));
    stage.place(buy("60"));
    stage.place(buy("10"));
    assert_eq!(stage.told(), ["pending_new", "new", "fill 100.01 60", "pending_new", "new", "partial_fill 100.01 40", "pending_new", "new"]);
    stage.quote("AAPL", "99.99", "100", "100.02", "25");
    assert_eq!(stage.told(), ["fill 100.02 20", "partial_fill 100.02 5"]);
}

#[test]
fn what_cannot_be_taken_at_once_takes_on_until_the_market_leaves_its_limit() {
    let mut stage = Stage::new(bounded());
    stage.place(bid_for("250", "100.05"));
    stage.quote("AAPL", "99.99", "100", "100.03", "100");
    stage.quote("AAPL", "100.05", "7", "100.06", "100");
    assert_eq!(stage.told(), ["pending_new", "new", "partial_fill 100.01 100", "partial_fill 100.03 100"]);
    stage.trade("AAPL", "100.05", "7");
    stage.trade("AAPL", "100.05", "10");
    assert_eq!(stage.told(), ["partial_fill 100.05 10"]);
}

#[test]
fn a_resting_order_waits_for_its_turn() {
    let mut stage = Stage::new(bounded());
    stage.place(bid_for("50", "99.99"));
    stage.trade("AAPL", "99.99", "60");
    stage.trade("AAPL", "100", "500");
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.trade("AAPL", "99.99", "70");
    assert_eq!(stage.told(), ["partial_fill 99.99 30"]);
    stage.trade("AAPL", "99.98", "15");
    assert_eq!(stage.told(), ["partial_fill 99.99 15"]);
    stage.apple("99.90", "99.95");
    assert_eq!(stage.told(), ["fill 99.99 5"]);
}

#[test]
fn the_queue_shortens_when_less_is_displayed_and_is_unknown_before_its_price_is_shown() {
    let mut stage = Stage::new(bounded());
    stage.place(bid_for("10", "99.95"));
    stage.trade("AAPL", "99.95", "1000");
    assert_eq!(stage.told(), ["pending_new", "new"], "nobody has seen the queue at 99.95");
    stage.quote("AAPL", "99.95", "40", "100.01", "100");
    stage.quote("AAPL", "99.95", "5", "100.01", "100");
    stage.trade("AAPL", "99.95", "8");
    assert_eq!(stage.told(), ["partial_fill 99.95 3"]);
    stage.apple("99.90", "100.01");
    stage.trade("AAPL", "99.95", "4");
    assert_eq!(stage.told(), ["partial_fill 99.95 4"]);
}

#[test]
fn two_orders_share_one_trade() {
    let mut stage = Stage::new(EngineSettings { fills: FillRules { volume_share: dec("0.5"), ..FillRules::HONEST }, ..plain() });
    stage.quote("AAPL", "99", "10", "100.01", "100");
    stage.place(bid_for("10", "99.99"));
    stage.place(bid_for("10", "99.99"));
    stage.told();
    stage.trade("AAPL", "99.99", "30");
    assert_eq!(stage.told(), ["fill 99.99 10", "partial_fill 99.99 5"]);
}

#[test]
fn slippage_is_paid_and_a_limit_bounds_it() {
    let mut stage = Stage::new(EngineSettings { slippage: Box::new(Fixed(dec("0.25"))), ..plain() });
    stage.place(buy("1"));
    stage.place(bid_for("1", "100.10"));
    stage.place(sell("1"));
    stage.place(lasting(TimeInForce::Day, offer_of("1", "99.90")));
    let told = stage.told();
    let fills: Vec<_> = told.iter().filter(|told| told.starts_with("fill")).collect();
    assert_eq!(fills, ["fill 100.26 1", "fill 100.1 1", "fill 99.74 1", "fill 99.9 1"]);
}

#[test]
fn a_large_order_moves_the_market_more() {
    let impact = MarketImpact { base: dec("0.0001"), slope: dec("0.001"), ceiling: dec("0.002") };
    let mut stage = Stage::new(EngineSettings { slippage: Box::new(impact), ..plain() });
    stage.place(buy("1"));
    stage.place(buy("50"));
    stage.place(buy("500"));
    let told = stage.told();
    let fills: Vec<_> = told.iter().filter(|told| told.starts_with("fill")).collect();
    assert_eq!(fills, ["fill 100.0211 1", "fill 100.0701 50", "fill 100.2101 500"]);
}

#[test]
fn nothing_is_filled_while_halted_nor_by_a_quote_from_before() {
    let mut stage = Stage::plain();
    stage.place(bid_for("1", "99.50"));
    stage.see("AAPL", MarketSight::Halted);
    stage.apple("99", "99.10");
    stage.place(buy("1"));
    stage.told();
    stage.see("AAPL", MarketSight::Resumed);
    stage.place(buy("1"));
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.apple("99", "99.20");
    assert_eq!(stage.told(), ["fill 99.2 1", "fill 99.2 1", "fill 99.2 1"]);
}

#[test]
fn nothing_is_traded_outside_the_band() {
    let mut stage = Stage::new(EngineSettings { slippage: Box::new(Fixed(dec("0.50"))), ..plain() });
    stage.see("AAPL", MarketSight::Limits { down: dec("95"), up: dec("100.20") });
    stage.place(buy("1"));
    assert_eq!(stage.told()[2], "fill 100.2 1");
    stage.apple("100.10", "100.21");
    stage.place(buy("1"));
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.see("AAPL", MarketSight::Limits { down: dec("0"), up: dec("0") });
    stage.apple("100.10", "100.21");
    assert_eq!(stage.told(), ["fill 100.71 1"]);
}

#[test]
fn an_old_quote_and_an_empty_side_fill_nothing() {
    let mut stage = Stage::new(bounded());
    stage.wait(400);
    stage.place(buy("1"));
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.quote("AAPL", "99", "10", "0", "0");
    assert!(stage.told().is_empty());
    stage.apple("99", "100");
    assert_eq!(stage.told(), ["fill 100 1"]);
}

#[test]
fn every_tenth_order_or_so_is_filled_in_parts_as_alpaca_does() {
    let mut stage = Stage::new(EngineSettings::alpaca_paper("paper".parse().unwrap(), 3));
    for _ in 0..300 {
        stage.place(buy("2"));
        stage.apple("99.99", "100.01");
        stage.apple("99.99", "100.01");
        stage.apple("99.99", "100.01");
        stage.place(sell("2"));
        stage.apple("99.99", "100.01");
        stage.apple("99.99", "100.01");
        stage.apple("99.99", "100.01");
    }
    let told = stage.told();
    let partial = told.iter().filter(|told| told.starts_with("partial_fill")).count();
    assert!((15..=60).contains(&partial), "{partial} partial fills of 600 orders");
    assert_eq!(stage.units("AAPL"), dec("0"));
}

#[test]
fn numbers_that_no_market_has_are_left_out() {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    let before = stage.account();
    let huge = Decimal::MAX.to_string();
    stage.quote("AAPL", "-1", "1", "2", "1");
    stage.quote("AAPL", &huge, &huge, &huge, &huge);
    stage.trade("AAPL", "1000000000000", "1");
    stage.trade("AAPL", "0", "5");
    assert_eq!(stage.account(), before);
    stage.quote("AAPL", "999999999998", "0.000000000000000000000000001", "999999999999", "0");
    stage.trade("AAPL", "999999999999", "999999999999");
    assert_eq!(stage.account().long_value, dec("9999999999990"));
}

#[test]
fn the_better_price_is_served_first_and_then_who_came_first() {
    let mut stage = Stage::new(EngineSettings { fills: FillRules { queue: false, ..FillRules::HONEST }, ..plain() });
    ["98", "99", "98.50", "99"].into_iter().for_each(|price| drop(stage.place(bid_for("10", price))));
    let filled = |stage: &Stage| [1, 2, 3, 4].map(|number| stage.order(&format!("bot-{number}")).filled.to_string());
    stage.quote("AAPL", "97", "10", "97.50", "25");
    assert_eq!(filled(&stage), ["0", "10", "5", "10"]);
    stage.trade("AAPL", "97.40", "10");
    assert_eq!(filled(&stage), ["5", "10", "10", "10"]);
    ["103", "102", "101"].into_iter().for_each(|price| drop(stage.place(offer_of("10", price))));
    stage.quote("AAPL", "104", "15", "104.50", "25");
    let sold = [5, 6, 7].map(|number| stage.order(&format!("bot-{number}")).filled.to_string());
    assert_eq!(sold, ["0", "5", "10"]);
}

#[test]
fn a_print_out_of_place_triggers_nothing_and_fills_nothing() {
    let mut stage = Stage::new(EngineSettings { fills: FillRules { queue: false, ..FillRules::HONEST }, ..plain() });
    stage.place(buy("10"));
    stage.place(order(Side::Sell, "10", stop("95")));
    stage.place(bid_for("10", "85"));
    stage.told();
    stage.trade("AAPL", "85", "100");
    stage.trade("AAPL", "111", "100");
    assert!(stage.told().is_empty());
    assert_eq!(stage.engine.book("AAPL").unwrap().trade, None, "it is no word on what a unit is worth");
    stage.trade("AAPL", "94", "100");
    assert_eq!(stage.told(), ["fill 99.99 10"], "six percent are a fall and no error");
    // A quote of long ago vouches for nothing.
    stage.wait(100);
    stage.trade("AAPL", "84", "100");
    assert_eq!(stage.told(), ["fill 85 10"]);
}

#[test]
fn a_trade_that_is_told_late_triggers_nothing() {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    stage.place(order(Side::Sell, "10", stop("98")));
    stage.trade("AAPL", "100", "10");
    stage.told();
    let (now, late) = (stage.now(), MarketSight::Trade { price: dec("97"), size: dec("10") });
    stage.engine.see(&"AAPL".parse().unwrap(), &late, Timestamp::from_nanos(now.nanos() - 1));
    assert!(stage.told().is_empty());
    stage.engine.see(&"AAPL".parse().unwrap(), &late, now);
    assert_eq!(stage.told(), ["fill 99.99 10"]);
}

#[test]
fn a_price_band_ends_with_its_session() {
    let mut stage = Stage::plain();
    stage.see("AAPL", MarketSight::Limits { down: dec("95"), up: dec("105") });
    stage.session(MarketSession::Post);
    assert_eq!(stage.engine.book("AAPL").unwrap().band, None);
    stage.session(MarketSession::Closed);
    stage.session(MarketSession::Regular);
    stage.apple("119", "120");
    stage.place(buy("1"));
    assert_eq!(stage.told(), ["pending_new", "new", "fill 120 1"]);
}
