//! Cancels and changes that are under way while something else happens.

use super::orders::bounded;
use super::*;

fn slow() -> Stage {
    Stage::new(EngineSettings { latency: seconds(3), ..bounded() })
}

fn to(price: &str) -> Modification {
    Modification { limit: Some(price.parse().unwrap()), ..Modification::default() }
}

fn for_quantity(quantity: &str) -> Modification {
    Modification { quantity: Some(quantity.parse().unwrap()), ..Modification::default() }
}

#[test]
fn latency_delays_an_order_and_the_quote_of_its_arrival_counts() {
    let mut stage = slow();
    stage.place(buy("1"));
    assert_eq!(stage.engine.next_due(), Some(at(stage.second + 3)));
    stage.apple("101", "101.02");
    assert_eq!(stage.told(), ["pending_new"]);
    stage.wait(5);
    assert_eq!(stage.told(), ["new", "fill 101.02 1"]);
    assert_eq!(stage.engine.next_due(), None);
    let fill = stage.engine.fills(&me()).next().unwrap();
    assert_eq!(fill.at, at(7), "a late call changes the time of nothing");
}

#[test]
fn a_fill_that_comes_first_beats_the_cancel() {
    let mut stage = Stage::new(EngineSettings { latency: seconds(9), ..bounded() });
    stage.place(bid_for("10", "99"));
    stage.wait(9);
    stage.told();
    stage.cancel("bot-1").unwrap();
    assert_eq!(stage.cancel("bot-1"), Ok(()), "to wish the same twice is no fault");
    stage.quote("AAPL", "98", "10", "98.50", "4");
    assert_eq!((stage.told(), stage.status("bot-1")), (vec!["pending_cancel".to_owned(), "partial_fill 99 4".to_owned()], OrderStatus::PendingCancel));
    stage.quote("AAPL", "98", "10", "98.50", "40");
    stage.wait(9);
    assert_eq!(stage.told(), ["fill 99 6", "order_cancel_rejected"]);
    assert_eq!(stage.status("bot-1"), OrderStatus::Filled);
}

#[test]
fn a_cancel_keeps_what_was_filled_and_never_overtakes_its_order() {
    let mut stage = slow();
    stage.place(bid_for("150", "100.01"));
    stage.cancel("bot-1").unwrap();
    stage.wait(10);
    assert_eq!(stage.told(), ["pending_new", "new", "pending_cancel", "partial_fill 100.01 100", "canceled"]);
    assert_eq!((stage.order("bot-1").filled, stage.units("AAPL")), (dec("100"), dec("100")));
}

#[test]
fn another_order_takes_the_place_and_keeps_what_was_filled() {
    let mut stage = slow();
    stage.place(bid_for("10", "99"));
    stage.wait(3);
    stage.quote("AAPL", "98", "10", "98.50", "4");
    stage.told();
    let new = stage.modify("bot-1", Modification { client_order_id: Some("bot-1b".parse().unwrap()), ..to("98.20") }).unwrap();
    assert_eq!((new.status, new.replaces.as_ref(), new.filled), (OrderStatus::PendingNew, Some(&stage.order("bot-1").id), dec("4")));
    stage.quote("AAPL", "98", "10", "98.50", "1");
    stage.wait(3);
    assert_eq!(stage.told(), ["pending_replace", "partial_fill 99 1", "replaced", "new"]);
    let (old, new) = (stage.order("bot-1"), stage.order("bot-1b"));
    assert_eq!(new.status, OrderStatus::PartiallyFilled);
    assert_eq!((old.status, old.replaced_by.as_ref()), (OrderStatus::Replaced, Some(&new.id)));
    assert_eq!((new.filled, new.filled_value, new.remaining()), (dec("5"), dec("495"), Some(dec("5"))));
    stage.quote("AAPL", "98", "10", "98.10", "100");
    assert_eq!(stage.told(), ["fill 98.2 5"]);
    assert_eq!((stage.order("bot-1b").filled, stage.units("AAPL")), (dec("10"), dec("10")));
}

#[test]
fn a_change_that_comes_too_late_is_refused_on_both_ends() {
    let mut stage = slow();
    stage.place(bid_for("10", "99"));
    stage.wait(3);
    let new = stage.modify("bot-1", to("98")).unwrap();
    stage.told();
    stage.apple("98", "98.50");
    stage.wait(3);
    assert_eq!(stage.told(), ["fill 99 10", "order_replace_rejected", "rejected"]);
    assert_eq!((stage.status("bot-1"), stage.by_id(&new.id).status), (OrderStatus::Filled, OrderStatus::Rejected));
    assert_eq!(stage.units("AAPL"), dec("10"));
}

#[test]
fn a_change_below_what_is_filled_meanwhile_is_refused_and_the_old_order_goes_on() {
    let mut stage = slow();
    stage.place(bid_for("10", "99"));
    stage.wait(3);
    stage.modify("bot-1", for_quantity("4")).unwrap();
    stage.quote("AAPL", "98", "10", "98.50", "6");
    stage.told();
    stage.wait(3);
    assert_eq!(stage.told(), ["order_replace_rejected", "rejected"]);
    assert_eq!(stage.status("bot-1"), OrderStatus::PartiallyFilled);
    stage.apple("98", "98.50");
    assert_eq!(stage.told(), ["fill 99 4"]);
}

#[test]
fn a_change_holds_money_for_the_larger_of_both() {
    let mut stage = slow();
    let all = stage.available();
    stage.place(bid_for("10", "90"));
    stage.wait(3);
    assert_eq!(all - stage.available(), dec("900"));
    stage.modify("bot-1", for_quantity("20")).unwrap();
    assert_eq!(all - stage.available(), dec("1800"));
    stage.wait(3);
    assert_eq!(all - stage.available(), dec("1800"));
    let name = stage.engine.open_orders(&me()).next().unwrap().1.request.client_order_id.to_string();
    stage.modify(&name, for_quantity("5")).unwrap();
    assert_eq!(all - stage.available(), dec("1800"));
    stage.wait(3);
    assert_eq!(all - stage.available(), dec("450"));
    let name = stage.engine.open_orders(&me()).next().unwrap().1.request.client_order_id.to_string();
    assert!(matches!(stage.modify(&name, for_quantity("5000")), Err(Refusal::InsufficientBuyingPower { .. })));
}

#[test]
fn a_cancel_of_the_new_order_arrives_after_it() {
    let mut stage = slow();
    stage.place(bid_for("10", "90"));
    stage.wait(3);
    stage.told();
    stage.modify("bot-1", Modification { client_order_id: Some("bot-1b".parse().unwrap()), ..to("91") }).unwrap();
    stage.cancel("bot-1b").unwrap();
    stage.wait(9);
    assert_eq!(stage.told(), ["pending_replace", "pending_cancel", "replaced", "new", "pending_cancel", "canceled"]);
}

/// An order for 10 that has 2 and is being changed.
fn changing(change: Modification) -> Stage {
    let mut stage = slow();
    stage.place(bid_for("10", "99"));
    stage.wait(3);
    stage.quote("AAPL", "98", "10", "98.50", "2");
    stage.modify("bot-1", Modification { client_order_id: Some("bot-1b".parse().unwrap()), ..change }).unwrap();
    stage.told();
    stage
}

#[test]
fn a_cancel_during_a_change_ends_the_new_order() {
    for asked in ["bot-1", "bot-1b"] {
        let mut stage = changing(to("98"));
        stage.cancel(asked).unwrap();
        stage.cancel("bot-1").unwrap();
        assert_eq!(stage.status("bot-1"), OrderStatus::PendingCancel);
        stage.wait(9);
        assert_eq!(stage.told(), ["pending_cancel", "replaced", "new", "pending_cancel", "canceled"]);
        assert_eq!((stage.engine.open_orders(&me()).count(), stage.available()), (0, dec("199800.5")));
    }
}

#[test]
fn a_cancel_during_a_change_that_fails_ends_the_old_order() {
    for asked in ["bot-1", "bot-1b"] {
        let mut stage = changing(for_quantity("3"));
        stage.cancel(asked).unwrap();
        stage.quote("AAPL", "98", "10", "98.50", "4");
        stage.wait(9);
        assert_eq!(stage.told(), ["pending_cancel", "partial_fill 99 4", "order_replace_rejected", "rejected", "canceled"]);
        assert_eq!((stage.status("bot-1"), stage.status("bot-1b")), (OrderStatus::Canceled, OrderStatus::Rejected));
        assert_eq!((stage.engine.open_orders(&me()).count(), stage.engine.next_due()), (0, None));
    }
}

#[test]
fn a_cancel_during_a_change_comes_too_late_for_what_is_filled() {
    let mut stage = changing(to("98"));
    stage.cancel("bot-1").unwrap();
    stage.apple("98", "98.50");
    stage.wait(9);
    assert_eq!(stage.told(), ["pending_cancel", "fill 99 8", "order_replace_rejected", "rejected", "order_cancel_rejected"]);
    assert_eq!(stage.status("bot-1"), OrderStatus::Filled);
}

#[test]
fn cancelling_everything_passes_whatever_is_under_way() {
    let mut stage = changing(for_quantity("3"));
    stage.place(bid_for("1", "90"));
    let now = stage.tick();
    let outcome = stage.engine.cancel_all(&me(), None, now);
    assert!(outcome.len() == 3 && outcome.iter().all(|(_, _, result)| result.is_ok()), "{outcome:?}");
    stage.quote("AAPL", "98", "10", "98.50", "4");
    stage.wait(9);
    assert_eq!(stage.engine.open_orders(&me()).count(), 0);
}

#[test]
fn without_latency_a_change_is_made_at_once_and_meets_the_market() {
    let mut stage = Stage::plain();
    stage.place(bid_for("10", "90"));
    stage.told();
    stage.modify("bot-1", to("101")).unwrap();
    assert_eq!(stage.told(), ["replaced", "new", "fill 100.01 10"]);
}

#[test]
fn what_is_under_way_cannot_be_changed() {
    let mut stage = slow();
    stage.place(bid_for("10", "90"));
    assert_eq!(stage.modify("bot-1", to("91")), Err(Refusal::NotReplaceable(OrderStatus::PendingNew)));
    stage.wait(3);
    assert_eq!(stage.modify("bot-1", to("90")), Err(Refusal::Unchanged));
    assert_eq!(stage.modify("bot-1", Modification { client_order_id: Some("bot-1".parse().unwrap()), ..to("91") }), Err(Refusal::DuplicateClientId));
    assert!(matches!(stage.modify("bot-1", Modification { stop: Some("80".parse().unwrap()), ..Modification::default() }), Err(Refusal::Form(_))));
    assert_eq!(stage.modify("nobody", to("91")), Err(Refusal::UnknownOrder));
    stage.cancel("bot-1").unwrap();
    assert_eq!(stage.modify("bot-1", to("91")), Err(Refusal::NotReplaceable(OrderStatus::PendingCancel)));
    stage.wait(3);
    assert_eq!(stage.modify("bot-1", to("91")), Err(Refusal::NotReplaceable(OrderStatus::Canceled)));
}

#[test]
fn a_trailing_stop_can_be_given_another_distance() {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    stage.place(trailing(Side::Sell, "10", percent("5")));
    stage.apple("110", "110.10");
    let new = stage.modify("bot-2", Modification { trail: Some(dec("1")), ..Modification::default() }).unwrap();
    let new = stage.by_id(&new.id);
    assert_eq!((new.high_water, new.trailing_stop), (Some(dec("110")), Some(dec("108.9"))));
}
