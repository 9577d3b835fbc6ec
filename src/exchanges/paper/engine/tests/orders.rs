//! Market and limit orders, times in force, money orders, events.

use super::*;

#[test]
fn a_market_order_fills_at_the_ask_and_tells_all_of_it() {
    let mut stage = Stage::plain();
    let born = stage.place(buy("10"));
    assert_eq!(born.status, OrderStatus::PendingNew);
    let events = stage.engine.take_events();
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::OrderUpdated(update) => Some((update.change, update.order.status, update.execution_id.is_some())),
            _ => None,
        })
        .collect();
    let expected =
        [(OrderChange::PendingNew, OrderStatus::PendingNew, false), (OrderChange::New, OrderStatus::New, true), (OrderChange::Fill, OrderStatus::Filled, true)];
    assert_eq!(steps, expected);
    let [.., Event::OrderUpdated(fill), Event::Filled(told), Event::PositionChanged(position)] = events.as_slice() else { panic!("{events:?}") };
    let executed = fill.fill.as_ref().unwrap();
    assert_eq!((executed.price, executed.quantity, executed.position), (dec("100.01"), dec("10"), dec("10")));
    assert_eq!(fill.execution_id.as_ref(), Some(&executed.execution_id));
    assert_eq!((&told.fill, told.of.account.as_str()), (executed, ME));
    assert_eq!((position.quantity, position.average_price), (dec("10"), Some(dec("100.01"))));
    assert_eq!(stage.account().cash, dec("98999.9"));
    assert_eq!(stage.engine.fills(&me()).count(), 1);
}

#[test]
fn a_limit_rests_and_is_filled_at_its_limit_when_the_quote_crosses_it() {
    let mut stage = Stage::plain();
    stage.place(bid_for("2", "99.50"));
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.apple("99.49", "99.51");
    assert!(stage.told().is_empty());
    stage.apple("99.30", "99.40");
    assert_eq!(stage.told(), ["fill 99.5 2"]);
    assert_eq!(stage.cancel("bot-1"), Err(Refusal::NotOpen(OrderStatus::Filled)));
}

#[test]
fn a_marketable_limit_takes_what_is_displayed() {
    let mut stage = Stage::plain();
    stage.place(bid_for("2", "101"));
    assert_eq!(stage.told(), ["pending_new", "new", "fill 100.01 2"]);
}

#[test]
fn immediate_or_cancel_never_rests() {
    let mut stage = Stage::new(bounded());
    stage.place(lasting(TimeInForce::Ioc, bid_for("150", "100.01")));
    assert_eq!(stage.told(), ["pending_new", "new", "partial_fill 100.01 100", "canceled"]);
    assert_eq!(stage.order("bot-1").filled, dec("100"));
    stage.place(lasting(TimeInForce::Ioc, bid_for("1", "99")));
    assert_eq!(stage.told(), ["pending_new", "new", "canceled"]);
}

#[test]
fn fill_or_kill_is_all_or_nothing() {
    let mut stage = Stage::new(bounded());
    stage.place(lasting(TimeInForce::Fok, buy("101")));
    assert_eq!(stage.told(), ["pending_new", "new", "canceled"]);
    stage.place(lasting(TimeInForce::Fok, buy("100")));
    assert_eq!(stage.told(), ["pending_new", "new", "fill 100.01 100"]);
}

#[test]
fn money_buys_fractions_rounded_down() {
    let mut stage = Stage::plain();
    stage.place(by_money(Side::Buy, "50"));
    assert_eq!(stage.told()[2], "fill 100.01 0.499950004");
    stage.place(by_money(Side::Sell, "20"));
    assert_eq!(stage.told()[2], "fill 99.99 0.200020002");
    assert_eq!(stage.order("bot-1").quantity(), None);
}

#[test]
fn money_is_spent_in_parts_where_little_is_displayed() {
    let mut stage = Stage::new(bounded());
    stage.place(by_money(Side::Buy, "15000"));
    assert_eq!(stage.told()[2], "partial_fill 100.01 100");
    stage.apple("99.99", "100");
    assert_eq!(stage.told(), ["fill 100 49.99"]);
    assert_eq!(stage.order("bot-1").filled_value, dec("15000"));
}

#[test]
fn a_sale_by_money_sells_no_more_than_is_held() {
    let mut stage = Stage::plain();
    stage.place(by_money(Side::Buy, "50"));
    let mut slow = Stage::new(EngineSettings { latency: seconds(5), ..plain() });
    slow.place(by_money(Side::Buy, "50"));
    slow.wait(5);
    slow.place(by_money(Side::Sell, "49.90"));
    slow.apple("50", "50.01");
    slow.wait(5);
    assert_eq!((slow.status("bot-2"), slow.units("AAPL")), (OrderStatus::Filled, dec("0")));
}

#[test]
fn pairs_trade_at_all_hours_and_obey_no_session() {
    let mut stage = Stage::closed(plain());
    stage.quote("BTC/USD", "50000", "1", "50010", "1");
    stage.place(bitcoin(buy("0.123456789")));
    assert_eq!(stage.told(), ["pending_new", "new", "fill 50010 0.123456789"]);
    stage.place(bitcoin(offer_of("0.1", "60000")));
    stage.session(MarketSession::Regular);
    stage.session(MarketSession::Closed);
    assert_eq!(stage.status("bot-2"), OrderStatus::New);
}

#[test]
fn orders_are_found_by_either_name_however_it_is_written() {
    let mut stage = Stage::plain();
    let id = stage.place(bid_for("1", "90")).id.clone();
    let written = id.as_str().replace('-', "").to_uppercase();
    assert_eq!(stage.engine.order(&me(), &OrderKey::Venue(written.parse().unwrap())).unwrap().id, id);
    assert!(stage.engine.order(&"other".parse().unwrap(), &OrderKey::Venue(id)).is_none(), "an order of somebody else is seen");
    let named: Vec<_> = stage.engine.orders(&me()).rev().map(|(number, order)| (number, order.request.client_order_id.to_string())).collect();
    assert_eq!(named, [(1, "bot-1".to_owned())]);
}

#[test]
fn everything_open_is_cancelled_and_each_wish_is_answered() {
    let mut stage = Stage::plain();
    stage.place(bid_for("1", "90"));
    stage.place(bid_for("1", "91"));
    stage.place(bracket(bid_for("1", "95"), "110", "80"));
    stage.place(bitcoin(bid_for("1", "40000")));
    stage.told();
    let now = stage.tick();
    let outcome = stage.engine.cancel_all(&me(), Some(&"AAPL".parse().unwrap()), now);
    assert_eq!(outcome.len(), 5);
    assert!(outcome.iter().all(|(_, _, result)| result.is_ok()), "{outcome:?}");
    assert_eq!(stage.told(), ["canceled"; 5]);
    assert_eq!(stage.engine.open_orders(&me()).count(), 1);
}

#[test]
fn an_order_waits_for_a_price_and_a_session_that_shows_one() {
    let mut stage = Stage::closed(plain());
    stage.session(MarketSession::Regular);
    assert_eq!(stage.refuses(buy("1")), Refusal::NoPrice);
    stage.quote("AAPL", "99", "1", "0", "0");
    stage.trade("AAPL", "100", "5");
    stage.place(buy("1"));
    assert_eq!(stage.told(), ["pending_new", "new"]);
    stage.apple("99", "101");
    assert_eq!(stage.told(), ["fill 101 1"]);
}

pub(super) fn bounded() -> EngineSettings {
    EngineSettings { fills: FillRules::HONEST, ..plain() }
}
