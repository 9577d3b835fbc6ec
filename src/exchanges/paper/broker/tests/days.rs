//! The trading day, and the clock that it is told by.

use super::*;

const DAY: i64 = 24 * 3_600;

fn holding(at: &str) -> Desk {
    let desk = Desk::with(|settings| settings.commission = Decimal::ZERO);
    desk.broker.set_session(MarketSession::Regular);
    desk.show("99.99", "100");
    desk.place("b-1", Side::Buy, "100", OrderType::Market).unwrap();
    let ask = dec(at) + dec("0.01");
    desk.show(at, &ask.to_string());
    desk
}

fn worth(desk: &Desk) -> (Decimal, Decimal) {
    let account = desk.broker.account().unwrap();
    (account.equity, account.equity_at_open)
}

#[test]
fn a_day_that_began_while_nobody_was_there_began_with_the_last_prices() {
    let desk = holding("199.99");
    let evening = worth(&desk).0;
    assert!(evening > dec("109000"));
    desk.set_clock(DAY);
    let desk = desk.again(|settings| settings.commission = Decimal::ZERO);
    assert_eq!(worth(&desk).0, evening, "what is held is worth what it was until somebody shows a price");
    desk.broker.set_session(MarketSession::Regular);
    desk.show("149.99", "150");
    let (noon, opening) = worth(&desk);
    assert_eq!((opening, opening - noon), (evening, dec("5000")), "5,000 were lost since the evening");
}

#[test]
fn prices_are_written_down_without_a_farewell_too() {
    let desk = holding("120");
    desk.pass(61);
    desk.broker.set_session(MarketSession::Post);
    let held = desk.broker.held.lock();
    let saved = held.venue.as_ref().unwrap().store().load(1).unwrap();
    assert_eq!(saved.positions[0].mark, Some(dec("120.005")), "in the file while the account is open");
}

#[test]
fn where_the_market_never_closes_a_day_begins_at_midnight() {
    let desk = holding("110");
    let until_midnight = 14 * 3_600;
    desk.pass(until_midnight - 60 - 3_600);
    desk.show("120", "120.01");
    assert_eq!(worth(&desk).1, dec("100000"));
    desk.pass(3_600 + 60);
    let (now, opening) = worth(&desk);
    assert!(now > dec("101900") && opening == now, "{now} {opening}");
    desk.show("115", "115.01");
    assert_eq!(worth(&desk).1 - worth(&desk).0, dec("500"));
    let desk = desk.again(|settings| settings.commission = Decimal::ZERO);
    desk.broker.set_session(MarketSession::Regular);
    assert_eq!(worth(&desk).1, opening, "and a restart is none");
}

#[test]
fn no_day_begins_while_the_market_is_closed() {
    let desk = holding("110");
    desk.broker.set_session(MarketSession::Closed);
    desk.pass(2 * DAY);
    assert_eq!(worth(&desk).1, dec("100000"));
    desk.broker.set_session(MarketSession::Pre);
    assert_eq!(worth(&desk).1, worth(&desk).0);
}

#[test]
fn a_clock_that_was_set_wrong_for_a_while_delays_nothing() {
    let desk = holding("100");
    desk.set_clock(3_600);
    desk.broker.advance();
    desk.set_clock(-3_600);
    desk.place("b-2", Side::Buy, "1", OrderType::Market).unwrap();
    desk.show("100", "100.01");
    assert_eq!(desk.status("b-2"), OrderStatus::Filled);
    let desk = desk.again(|_| {});
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100", "100.01");
    desk.place("b-3", Side::Buy, "1", OrderType::Market).unwrap();
    desk.show("100", "100.01");
    assert_eq!(desk.status("b-3"), OrderStatus::Filled, "nor after a restart");
    let fills = desk.broker.fills(Timestamp::default(), 10).unwrap();
    assert!(fills.is_sorted_by(|before, after| before.at < after.at));
}
