use super::*;

fn market(side: Side) -> OrderRequest {
    order_of("a-1", side, "10", OrderType::Market)
}

fn quoted(bid: &str, ask: &str) -> Sight {
    Sight { bid: Some(dec(bid)), ask: Some(dec(ask)), ..sight() }
}

#[test]
fn a_market_order_leaves_with_a_limit_on_the_tick_and_never_beyond_what_is_allowed() {
    for (side, bid, ask, slippage, limit) in [
        (Side::Buy, "149.99", "150.01", "0.001", "150.16"),
        (Side::Sell, "149.99", "150.01", "0.001", "149.85"),
        (Side::Buy, "0.5", "0.5001", "0.001", "0.5006"),
        (Side::Sell, "0.5", "0.5001", "0.001", "0.4995"),
        // Just above and just below the price where the tick changes.
        (Side::Buy, "0.9998", "0.9999", "0.001", "1"),
        (Side::Sell, "1", "1.01", "0.001", "0.999"),
        // So little is allowed that the quote itself is the limit.
        (Side::Buy, "99.99", "100", "0.00001", "100"),
        (Side::Sell, "99.99", "100", "0", "99.99"),
        // The tick of stocks is too coarse for such prices.
        (Side::Buy, "0.00001233", "0.00001234", "0.01", "0.00001246"),
        (Side::Sell, "0.00001233", "0.00001234", "0.01", "0.00001221"),
        (Side::Buy, "1.0001", "1.0002", "0.001", "1.0012"),
    ] {
        let sent = protect(market(side), &quoted(bid, ask), dec(slippage)).unwrap();
        assert_eq!(sent.kind.limit().map(|price| price.to_string()).as_deref(), Some(limit), "{side:?} {bid} {ask} {slippage}");
        assert_eq!((sent.size, sent.time_in_force), (market(side).size, TimeInForce::Day));
    }
}

#[test]
fn money_becomes_units_that_cost_no_more() {
    let units = |side| match protect(by_money("a-1", side, "1000"), &quoted("99", "100"), dec("0.01")).unwrap().size {
        Size::Quantity(quantity) => quantity.to_string(),
        Size::Notional(_) => panic!("still by money"),
    };
    assert_eq!(units(Side::Buy), "9.900990099");
    assert_eq!(units(Side::Sell), "10.101010101");
}

#[test]
fn what_cannot_be_protected_does_not_leave() {
    assert_eq!(protect(market(Side::Buy), &Sight { ask: Some(dec("0")), ..sight() }, dec("0.001")), None);
    assert_eq!(protect(market(Side::Sell), &sight(), dec("1")), None);
}

#[test]
fn other_orders_are_left_alone() {
    let stop = order_of("a-1", Side::Sell, "1", OrderType::Stop { stop: "90".parse().unwrap() });
    for request in [buy("a-1", "1"), stop] {
        assert_eq!(protect(request.clone(), &Sight::blind(MarketSession::Regular), dec("0.001")), Some(request));
    }
}

#[test]
fn the_gate_hands_out_what_may_leave_and_the_stricter_of_two_limits_counts() {
    let slippage = |fraction: &str| Limits { max_slippage: Some(dec(fraction)), ..Limits::default() };
    let mut gate = gate_with_bot(slippage("0.01"), "strict", slippage("0.001"));
    let limit_of = |sent: Result<OrderRequest, Denial>| sent.unwrap().kind.limit().map(|price| price.to_string());
    let named = |id: &str| order_of(id, Side::Buy, "1", OrderType::Market);
    assert_eq!(limit_of(ask(&mut gate, named("loose-1"), "0")).as_deref(), Some("101"));
    assert_eq!(limit_of(ask(&mut gate, named("strict-1"), "0")).as_deref(), Some("100.1"));
}
