//! The phases of the day: queued orders, extended hours, expiry.

use super::*;

#[test]
fn an_order_out_of_hours_waits_for_the_opening_and_its_first_quote() {
    let mut stage = Stage::plain();
    stage.session(MarketSession::Post);
    stage.session(MarketSession::Closed);
    stage.place(buy("1"));
    assert_eq!((stage.told(), stage.status("bot-1")), (vec!["accepted".to_owned()], OrderStatus::Accepted));
    stage.session(MarketSession::Pre);
    assert!(stage.told().is_empty());
    stage.session(MarketSession::Regular);
    assert_eq!(stage.told(), ["pending_new", "new"], "the quote of yesterday must not fill it");
    stage.apple("120", "120.10");
    assert_eq!(stage.told(), ["fill 120.1 1"]);
}

#[test]
fn day_orders_end_with_the_regular_session_and_gtc_orders_stay() {
    let mut stage = Stage::plain();
    stage.place(bid_for("1", "90"));
    stage.place(lasting(TimeInForce::Gtc, bid_for("1", "91")));
    stage.place(extended(bid_for("1", "92")));
    stage.told();
    stage.session(MarketSession::Post);
    assert_eq!(stage.told(), ["expired"]);
    stage.apple("80", "81");
    assert_eq!(stage.told(), ["fill 81 1"], "what belongs to the regular session is filled after it");
    stage.place(extended(bid_for("1", "70")));
    stage.place(bid_for("1", "71"));
    assert_eq!(stage.told(), ["pending_new", "new", "accepted"]);
    stage.session(MarketSession::Closed);
    assert_eq!(stage.told(), ["expired"]);
    assert_eq!((stage.status("bot-2"), stage.status("bot-5")), (OrderStatus::New, OrderStatus::Accepted));
    stage.session(MarketSession::Pre);
    stage.session(MarketSession::Regular);
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.apple("88", "89");
    assert_eq!(stage.told(), ["fill 89 1"], "after the night an order meets the market anew");
}

#[test]
fn orders_for_extended_hours_trade_before_the_opening() {
    let mut stage = Stage::closed(plain());
    stage.place(extended(bid_for("1", "90")));
    assert_eq!(stage.told(), ["accepted"]);
    stage.session(MarketSession::Pre);
    stage.apple("88", "89");
    assert_eq!(stage.told(), ["pending_new", "new", "fill 89 1"]);
    let mut strict = Stage::closed(EngineSettings { extended_hours: false, ..plain() });
    assert!(matches!(strict.refuses(extended(bid_for("1", "90"))), Refusal::Form(_)));
}

#[test]
fn an_order_that_waits_can_be_cancelled_and_its_bracket_survives_the_night() {
    let mut stage = Stage::plain();
    stage.session(MarketSession::Post);
    stage.place(bracket(bid_for("10", "95"), "110", "90"));
    stage.place(bid_for("10", "95"));
    stage.cancel("bot-2").unwrap();
    stage.session(MarketSession::Closed);
    assert_eq!(stage.told(), ["accepted", "held", "held", "accepted", "canceled"]);
    stage.session(MarketSession::Regular);
    stage.apple("94", "94.50");
    assert_eq!(stage.told(), ["pending_new", "new", "fill 94.5 10", "new", "new"]);
}

#[test]
fn what_is_on_its_way_at_the_close_ends_with_the_day() {
    let mut stage = Stage::new(EngineSettings { latency: seconds(5), ..plain() });
    stage.place(buy("1"));
    stage.session(MarketSession::Post);
    stage.wait(10);
    assert_eq!(stage.told(), ["pending_new", "expired"]);
}

#[test]
fn the_equity_at_the_start_of_the_day_is_kept() {
    let mut stage = Stage::plain();
    stage.place(buy("100"));
    stage.session(MarketSession::Closed);
    stage.apple("109.99", "110.01");
    stage.trade("AAPL", "110", "1");
    assert_eq!(stage.account().equity_at_open, dec("100000"));
    stage.session(MarketSession::Pre);
    assert_eq!(stage.account().equity_at_open, dec("100999"));
}

#[test]
fn a_session_may_come_as_a_sight_and_twice() {
    let mut stage = Stage::plain();
    stage.place(bid_for("1", "90"));
    stage.see("AAPL", MarketSight::Session(MarketSession::Regular));
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.see("AAPL", MarketSight::Session(MarketSession::Closed));
    assert_eq!((stage.told(), stage.engine.session()), (vec!["expired".to_owned()], MarketSession::Closed));
}
