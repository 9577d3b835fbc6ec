//! What is not taken, and why.

use super::*;

#[test]
fn a_name_is_used_once_even_after_its_order_has_ended() {
    let mut stage = Stage::plain();
    stage.place(buy("1"));
    let again = OrderRequest { client_order_id: "bot-1".parse().unwrap(), ..sell("1") };
    assert_eq!(stage.try_place(again.clone()), Err(Refusal::DuplicateClientId));
    stage.engine.open_account("other".parse().unwrap(), "USD", dec("1000"), at(9));
    let now = stage.tick();
    assert!(stage.engine.place(&"other".parse().unwrap(), OrderRequest { side: Side::Buy, ..again }, now).is_ok(), "names are unique in one account only");
    assert_eq!(stage.engine.place(&"nobody".parse().unwrap(), buy("1"), now), Err(Refusal::UnknownAccount));
}

#[test]
fn what_is_not_listed_or_not_tradable_is_refused() {
    let mut stage = Stage::plain();
    assert_eq!(stage.refuses(OrderRequest { symbol: "NOPE".parse().unwrap(), ..buy("1") }), Refusal::UnknownSymbol);
    stage.engine.list(Instrument { tradable: false, ..Instrument::of(&"AAPL".parse().unwrap()) });
    assert_eq!(stage.refuses(buy("1")), Refusal::NotTradable);
    assert!(stage.engine.book("AAPL").unwrap().quote.is_some(), "a new listing loses the market");
}

#[test]
fn malformed_orders_are_refused() {
    let mut stage = Stage::plain();
    let ioc = |request| lasting(TimeInForce::Ioc, request);
    let form = [
        bitcoin(OrderRequest { class: bracket(buy("1"), "60000", "40000").class, ..buy("1") }),
        OrderRequest { time_in_force: TimeInForce::Day, ..bitcoin(buy("1")) },
        OrderRequest { time_in_force: TimeInForce::Fok, ..bitcoin(buy("1")) },
        extended(buy("1")),
        extended(ioc(bid_for("1", "90"))),
        extended(bracket(bid_for("1", "95"), "110", "90")),
        ioc(order(Side::Buy, "1", stop("110"))),
        ioc(bracket(buy("1"), "110", "90")),
        lasting(TimeInForce::Cls, order(Side::Buy, "1", stop("110"))),
        oco(buy("1"), "90"),
        trailing(Side::Buy, "1", percent("100")),
    ];
    for request in form {
        assert!(matches!(stage.try_place(request.clone()), Err(Refusal::Form(_))), "{request:?}");
    }
    let fractional = [
        lasting(TimeInForce::Gtc, buy("0.5")),
        bracket(buy("0.5"), "110", "90"),
        by_money(Side::Buy, "0.99"),
        OrderRequest { kind: limit("100"), ..by_money(Side::Buy, "50") },
        lasting(TimeInForce::Gtc, by_money(Side::Buy, "50")),
        sell("0.5"),
    ];
    for request in fractional {
        assert!(matches!(stage.try_place(request.clone()), Err(Refusal::FractionalRule(_))), "{request:?}");
    }
    let increments = [
        (bid_for("1", "100.001"), "limit_price"),
        (bid_for("1", "0.99999"), "limit_price"),
        (order(Side::Buy, "1", stop("110.123")), "stop_price"),
        (bracket(buy("1"), "110.001", "90"), "take_profit.limit_price"),
        (bracket(buy("1"), "110", "90.001"), "stop_loss.stop_price"),
    ];
    for (request, wrong) in increments {
        assert!(matches!(stage.try_place(request), Err(Refusal::PriceIncrement { field, .. }) if field == wrong), "{wrong}");
    }
    stage.engine.list(Instrument { fractionable: false, ..Instrument::of(&"AAPL".parse().unwrap()) });
    assert!(matches!(stage.refuses(buy("0.5")), Refusal::FractionalRule(_)));
    assert_eq!(stage.account(), Stage::plain().account(), "a refused order changes something");
}

#[test]
fn nobody_trades_with_himself() {
    let mut stage = Stage::plain();
    let existing = stage.place(bid_for("1", "99")).id.clone();
    assert_eq!(stage.refuses(offer_of("1", "99")), Refusal::WashTrade { existing: existing.clone() });
    stage.apple("98.99", "99.01");
    assert_eq!(stage.refuses(sell("1")), Refusal::WashTrade { existing: existing.clone() }, "it would meet our own bid before the market's");
    assert_eq!(stage.refuses(trailing(Side::Sell, "1", Trail::Price("0.01".parse().unwrap()))), Refusal::WashTrade { existing: existing.clone() });
    assert_eq!(stage.refuses(order(Side::Sell, "1", stop("99"))), Refusal::WashTrade { existing });
    stage.apple("99.99", "100.01");
    stage.cancel("bot-1").unwrap();
    stage.place(offer_of("1", "101"));
    assert!(matches!(stage.refuses(bid_for("1", "101")), Refusal::WashTrade { .. }));
    stage.place(bid_for("1", "100.99"));
    let mut lax = Stage::new(EngineSettings { refuse_wash_trades: false, ..plain() });
    lax.place(bid_for("1", "99"));
    lax.place(sell("1"));
    assert_eq!(lax.units("AAPL"), dec("-1"));
}

#[test]
fn what_lies_far_away_is_no_trade_with_oneself() {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    stage.place(bid_for("1", "80"));
    stage.place(trailing(Side::Sell, "1", Trail::Price("5".parse().unwrap())));
    stage.place(trailing(Side::Sell, "1", percent("10")));
    stage.place(order(Side::Sell, "1", stop("90")));
    stage.place(order(Side::Sell, "1", stop_limit("90", "85")));
    stage.place(sell("1"));
    assert!(matches!(stage.refuses(trailing(Side::Sell, "1", percent("20"))), Refusal::WashTrade { .. }), "its stop is 79.99");
    // A stop as it stands, not where it began.
    assert!(matches!(stage.refuses(bid_for("1", "95")), Refusal::WashTrade { .. }));
    stage.apple("119.99", "120.01");
    assert!(matches!(stage.refuses(bid_for("1", "107.99")), Refusal::WashTrade { .. }), "90 still stands");
    stage.cancel("bot-5").unwrap();
    stage.cancel("bot-6").unwrap();
    stage.place(bid_for("1", "107.98"));
    let wider = Modification { trail: Some(dec("13")), ..Modification::default() };
    assert!(matches!(stage.modify("bot-3", wider), Err(Refusal::WashTrade { .. })));
    let narrower = Modification { trail: Some(dec("12")), ..Modification::default() };
    stage.modify("bot-3", narrower).unwrap();
}

#[test]
fn short_selling_needs_permission() {
    let mut stage = Stage::new(EngineSettings { shorting: false, ..plain() });
    assert_eq!(stage.refuses(sell("1")), Refusal::NotShortable);
    let mut stage = Stage::plain();
    assert!(matches!(stage.refuses(bitcoin(sell("1"))), Refusal::InsufficientQuantity { .. }));
    stage.engine.list(Instrument { shortable: false, ..Instrument::of(&"AAPL".parse().unwrap()) });
    assert_eq!(stage.refuses(sell("1")), Refusal::NotShortable);
}

#[test]
fn ioc_and_fok_are_for_open_markets() {
    let mut stage = Stage::plain();
    stage.session(MarketSession::Closed);
    assert!(matches!(stage.refuses(lasting(TimeInForce::Ioc, buy("1"))), Refusal::Form(_)));
}

#[test]
fn the_oldest_closed_orders_are_forgotten_and_their_names_are_not() {
    let mut stage = Stage::plain();
    stage.engine.store.room = 50;
    let first = stage.place(lasting(TimeInForce::Ioc, bid_for("1", "90"))).id.clone();
    stage.place(bid_for("1", "80"));
    for _ in 0..50 {
        stage.place(lasting(TimeInForce::Ioc, bid_for("1", "90")));
        stage.engine.take_events();
    }
    assert_eq!(stage.engine.orders(&me()).count(), 51, "open ones are remembered beside the closed");
    assert!(stage.engine.order(&me(), &OrderKey::Venue(first)).is_none() && stage.engine.order(&me(), &key("bot-1")).is_none());
    assert_eq!(stage.status("bot-2"), OrderStatus::New);
    let again = OrderRequest { client_order_id: "bot-1".parse().unwrap(), ..buy("1") };
    assert_eq!(stage.try_place(again), Err(Refusal::DuplicateClientId));
}
