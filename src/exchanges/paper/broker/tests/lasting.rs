//! What is still known after a restart, and after a hundred thousand orders more.

use super::*;
use crate::model::{OrderChange, StopLoss, TakeProfit, VenueOrderId};

fn forgetful(settings: &mut PaperSettings) {
    settings.remembered = 3;
}

fn request(name: &str, side: Side, quantity: &str, kind: OrderType) -> OrderRequest {
    approved(name, side, quantity, kind).into_inner()
}

fn place(desk: &Desk, request: OrderRequest) -> Order {
    let approved = Gate::default().check(request, &Sight::blind(MarketSession::Regular), &Holdings::default(), Timestamp::default()).unwrap();
    let placed = desk.broker.place(approved).unwrap();
    desk.pass(1);
    placed
}

fn bracket(name: &str, profit: &str, stop: &str) -> OrderRequest {
    let class = OrderClass::Bracket { profit: TakeProfit { limit: profit.parse().unwrap() }, loss: StopLoss { stop: stop.parse().unwrap(), limit: None } };
    OrderRequest { class, time_in_force: TimeInForce::Gtc, ..request(name, Side::Buy, "10", OrderType::Market) }
}

#[test]
fn a_name_is_used_for_ever_and_its_order_is_found() {
    let desk = Desk::with(forgetful);
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    for n in 0..8 {
        desk.place(&format!("bot-{n}"), Side::Buy, "1", OrderType::Market).unwrap();
    }
    assert!(desk.broker.held.lock().venue.as_ref().unwrap().engine.has_forgotten());
    for n in 0..8 {
        let name = format!("bot-{n}");
        assert_eq!(desk.status(&name), OrderStatus::Filled);
        assert_eq!(desk.place(&name, Side::Buy, "1", OrderType::Market), Err(BrokerError::DuplicateClientId(name)));
    }
    assert_eq!(desk.broker.cancel(&key("bot-0")), Err(BrokerError::NotOpen(OrderStatus::Filled)));
    assert_eq!((desk.broker.connection(), desk.broker.order(&key("never-1")).unwrap()), (Connection::Connected, None));
    desk.place("bot-8", Side::Buy, "1", OrderType::Market).unwrap();
}

#[test]
fn exits_end_each_other_however_long_ago_their_entry_was_filled() {
    let desk = Desk::with(forgetful);
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    let entry = place(&desk, bracket("bot-1", "110", "90"));
    let legs = desk.broker.order(&OrderKey::Venue(entry.id.clone())).unwrap().unwrap().legs;
    for n in 2..9 {
        let name = format!("bot-{n}");
        desk.place(&name, Side::Buy, "1", limit("50")).unwrap();
        desk.broker.cancel(&key(&name)).unwrap();
        desk.pass(1);
    }
    let desk = desk.again(forgetful);
    desk.broker.set_session(MarketSession::Regular);
    desk.show("111", "111.02");
    let status = |leg: VenueOrderId| desk.broker.order(&OrderKey::Venue(leg)).unwrap().unwrap().status;
    let statuses: Vec<_> = legs.into_iter().map(status).collect();
    assert_eq!(statuses, [OrderStatus::Filled, OrderStatus::Canceled]);
}

#[test]
fn a_stop_that_was_triggered_stays_so_after_a_restart() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    desk.place("bot-1", Side::Buy, "20", OrderType::Market).unwrap();
    let kind = OrderType::StopLimit { stop: "99".parse().unwrap(), limit: "98.5".parse().unwrap() };
    desk.place("bot-2", Side::Sell, "10", kind).unwrap();
    desk.place("bot-3", Side::Sell, "10", OrderType::StopLimit { stop: "90".parse().unwrap(), limit: "90".parse().unwrap() }).unwrap();
    desk.show("98.00", "98.02");
    assert_eq!((desk.status("bot-2"), desk.status("bot-3")), (OrderStatus::New, OrderStatus::New));
    let desk = desk.again(|_| {});
    desk.broker.set_session(MarketSession::Regular);
    desk.show("99.50", "99.52");
    assert_eq!(desk.status("bot-2"), OrderStatus::Filled, "it is a limit order since its stop was met");
    assert_eq!(desk.status("bot-3"), OrderStatus::New, "and this one never was");
}

#[test]
fn what_was_not_refused_by_the_venue_counts_as_no_refusal() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    let rejected = || desk.broker.metrics().rejected.get();
    desk.place("bot-1", Side::Buy, "100000", OrderType::Market).unwrap_err();
    desk.place("bot-2", Side::Buy, "1", OrderType::Market).unwrap();
    desk.place("bot-2", Side::Buy, "1", OrderType::Market).unwrap_err();
    assert_eq!(rejected(), 2);
    until_full(&desk);
    desk.broker.disconnect();
    desk.place("bot-3", Side::Buy, "1", OrderType::Market).unwrap_err();
    let errors = desk.broker.metrics().errors();
    assert!(errors["storage"] >= 1 && errors["not_connected"] >= 1 && errors["rejected"] == 1);
    assert_eq!(rejected(), 2);
}

#[test]
fn an_exit_whose_work_the_other_has_done_is_no_failure() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    place(&desk, bracket("bot-1", "110", "90"));
    desk.show("111.00", "111.02");
    let canceled = desk.heard.facts.try_iter().filter(|event| matches!(event, Event::OrderUpdated(update) if update.change == OrderChange::Canceled)).count();
    let metrics = desk.broker.metrics();
    assert_eq!((canceled, metrics.filled.get(), metrics.unfilled.get(), metrics.canceled.get()), (1, 2, 0, 1));
    desk.place("bot-2", Side::Buy, "1", limit("90")).unwrap();
    desk.broker.cancel(&key("bot-2")).unwrap();
    desk.pass(1);
    assert_eq!(desk.broker.metrics().unfilled.get(), 1);
}
