//! What an account can pay and deliver, when an order comes and when it is executed.

use super::*;
use crate::exchanges::paper::models::{CommissionRate, PerShare};

/// A cash account in a market that shows how much stands there.
fn thrifty() -> EngineSettings {
    EngineSettings { margin: Decimal::ONE, shorting: false, fills: FillRules::HONEST, ..plain() }
}

fn charging(settings: EngineSettings, share: &str) -> EngineSettings {
    EngineSettings { fees: Box::new(CommissionRate(dec(share))), ..settings }
}

#[test]
fn an_order_buys_no_more_than_can_be_paid_when_the_price_runs_away() {
    let mut stage = Stage::new(thrifty());
    stage.quote("AAPL", "99.99", "1", "100.01", "1");
    stage.place(buy("900"));
    stage.quote("AAPL", "299", "1000", "300", "1000");
    // 99,899.99 is left, and 332 at 300 are 99,600.
    assert_eq!(stage.told(), ["pending_new", "new", "partial_fill 100.01 1", "partial_fill 300 332", "canceled"]);
    assert_eq!((stage.account().cash, stage.units("AAPL")), (dec("299.99"), dec("333")));
    assert_eq!(stage.available(), dec("299.99"), "what has ended holds nothing");
}

#[test]
fn the_money_of_other_orders_is_not_spent() {
    let mut stage = Stage::new(thrifty());
    stage.place(lasting(TimeInForce::Gtc, bid_for("500", "90")));
    stage.quote("AAPL", "99.99", "1", "100.01", "1");
    stage.place(buy("500"));
    stage.told();
    stage.quote("AAPL", "299", "1000", "300", "1000");
    // 100,000 - 45,000 that the bid holds - 100.01, and 182 at 300 are 54,600.
    assert_eq!(stage.told(), ["partial_fill 300 182", "canceled"]);
    stage.quote("AAPL", "79", "1000", "80", "1000");
    assert_eq!((stage.told(), stage.account().cash), (vec!["fill 90 500".to_owned()], dec("299.99")));
}

#[test]
fn an_order_that_waited_for_the_opening_is_judged_again() {
    let mut stage = Stage::new(thrifty());
    stage.session(MarketSession::Closed);
    stage.place(buy("900"));
    stage.place(buy("10"));
    stage.session(MarketSession::Pre);
    stage.apple("149", "150");
    stage.told();
    stage.session(MarketSession::Regular);
    assert_eq!(stage.told(), ["canceled", "pending_new", "new"], "900 at 150 are too dear, and 10 are not");
}

#[test]
fn an_order_that_nobody_saw_grow_dear_is_bounded_at_the_opening() {
    let mut stage = Stage::new(thrifty());
    stage.session(MarketSession::Closed);
    stage.place(buy("900"));
    stage.place(lasting(TimeInForce::Opg, buy("50")));
    stage.session(MarketSession::Regular);
    stage.told();
    stage.quote("AAPL", "199", "5000", "200", "5000");
    // The opening holds 5,125.51 for its 50, so that 94,874.49 are there for the other: 474 at 200.
    assert_eq!(stage.told(), ["partial_fill 200 474", "canceled", "partial_fill 200 26", "canceled"]);
    assert_eq!(stage.account().cash, Decimal::ZERO);
}

#[test]
fn all_or_nothing_stays_nothing_when_it_cannot_be_paid() {
    let mut stage = Stage::new(EngineSettings { latency: seconds(2), ..thrifty() });
    stage.place(lasting(TimeInForce::Fok, buy("900")));
    stage.quote("AAPL", "149", "2000", "150", "2000");
    stage.wait(2);
    assert_eq!((stage.told(), stage.account().cash), (["pending_new", "new", "canceled"].map(str::to_owned).to_vec(), dec("100000")));
}

#[test]
fn what_an_order_paid_above_its_reserve_is_not_held_for_its_rest() {
    let mut stage = Stage::new(EngineSettings { fills: FillRules::HONEST, ..plain() });
    stage.quote("AAPL", "99.99", "1", "100.01", "1");
    stage.place(buy("1900"));
    stage.quote("AAPL", "149", "500", "150", "800");
    stage.quote("AAPL", "99", "5000", "100", "5000");
    let cash = stage.account().cash;
    assert!(cash < dec("-90000") && cash >= dec("-100000"), "100,000 of credit was granted, {cash} is used");
}

#[test]
fn commission_is_held_and_counts_when_an_order_is_taken() {
    let mut stage = Stage::new(charging(thrifty(), "0.001"));
    let refusal = stage.refuses(bid_for("1000", "100"));
    assert_eq!(refusal, Refusal::InsufficientBuyingPower { needed: dec("100100"), available: dec("100000") });
    stage.place(bid_for("500", "99"));
    assert_eq!(stage.available(), dec("50450.5"), "49,500 and 49.50 of commission are held");
    assert!(matches!(stage.refuses(by_money(Side::Buy, "50450")), Refusal::InsufficientBuyingPower { .. }));
}

#[test]
fn commission_is_paid_from_what_is_there_when_the_price_runs_away() {
    let mut stage = Stage::new(charging(thrifty(), "0.001"));
    stage.quote("AAPL", "99.99", "1", "100.01", "1");
    stage.place(buy("900"));
    stage.quote("AAPL", "199", "1000", "200", "1000");
    let cash = stage.account().cash;
    assert!(cash >= Decimal::ZERO && cash < dec("401"), "{cash}");
}

#[test]
fn a_sale_never_costs_more_than_it_brings() {
    let mut stage = Stage::new(EngineSettings { fees: Box::new(PerShare { rate: Decimal::ZERO, minimum: dec("1") }), ..thrifty() });
    stage.place(buy("1"));
    let before = stage.account().cash;
    stage.quote("AAPL", "0.25", "100", "0.26", "100");
    stage.place(sell("1"));
    assert_eq!(stage.account().cash, before);
}

#[test]
fn a_purchase_by_money_covers_a_short_and_no_more() {
    let mut stage = Stage::plain();
    stage.place(sell("10"));
    assert!(matches!(stage.refuses(by_money(Side::Buy, "50000")), Refusal::InsufficientQuantity { .. }));
    // At the ask 1,020 would buy 10.19, though at the worst price that is held for fewer than 10.
    assert!(matches!(stage.refuses(by_money(Side::Buy, "1020")), Refusal::InsufficientQuantity { .. }));
    let mut slow = Stage::new(EngineSettings { latency: seconds(5), ..plain() });
    slow.place(sell("10"));
    slow.wait(5);
    slow.place(by_money(Side::Buy, "1000"));
    slow.apple("50", "50.01");
    slow.wait(5);
    assert_eq!((slow.status("bot-2"), slow.units("AAPL")), (OrderStatus::Filled, dec("0")));
}

#[test]
fn an_order_that_closes_brings_no_exits() {
    let mut stage = Stage::plain();
    stage.place(sell("10"));
    for closing in [bracket(buy("10"), "110", "90"), oto(buy("10"), "90")] {
        let Refusal::Form(text) = stage.refuses(closing) else { panic!("it is taken, or refused for something else") };
        assert!(text.contains("must be entry orders"), "{text}");
    }
    assert!(stage.try_place(oco(bid_for("10", "90"), "110")).is_ok());
}

#[test]
fn exits_close_what_is_there_and_open_nothing() {
    let mut stage = Stage::plain();
    stage.place(bracket(bid_for("10", "95"), "110", "90"));
    stage.place(offer_of("10", "99"));
    stage.told();
    stage.apple("94", "94.50");
    assert_eq!(stage.units("AAPL"), Decimal::ZERO, "the entry has closed the short sale");
    stage.apple("89", "89.50");
    assert_eq!(stage.units("AAPL"), Decimal::ZERO, "its exits have nothing to close");
    assert_eq!(stage.engine.open_orders(&me()).count(), 0);
}
