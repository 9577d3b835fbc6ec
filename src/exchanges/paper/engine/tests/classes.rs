//! Bracket, one-cancels-other, one-triggers-other.

use super::orders::bounded;
use super::*;

#[test]
fn the_exits_of_a_bracket_wait_for_the_whole_entry() {
    let mut stage = Stage::new(bounded());
    let entry = stage.place(bracket(buy("150"), "110", "90"));
    assert_eq!(stage.told(), ["pending_new", "held", "held", "new", "partial_fill 100.01 100"]);
    let legs: Vec<_> = entry.legs.iter().map(|id| stage.by_id(id)).collect();
    assert_eq!(legs.iter().map(|leg| leg.status).collect::<Vec<_>>(), [OrderStatus::Held; 2]);
    assert!(legs.iter().all(|leg| leg.parent.as_ref() == Some(&entry.id) && leg.request.side == Side::Sell));
    assert_eq!((legs[0].request.kind, legs[1].request.kind), (limit("110"), stop("90")));
    assert_eq!(stage.held("AAPL"), dec("100"), "what the entry has filled belongs to its exits");
    stage.apple("99.99", "100.01");
    assert_eq!(stage.told(), ["fill 100.01 50", "new", "new"]);
    assert_eq!(stage.held("AAPL"), dec("150"));
}

#[test]
fn one_exit_cancels_the_other() {
    let mut stage = Stage::plain();
    stage.place(bracket(buy("10"), "110", "90"));
    stage.told();
    stage.apple("89", "89.10");
    assert_eq!(stage.told(), ["fill 89 10", "canceled"]);
    assert_eq!((stage.units("AAPL"), stage.held("AAPL")), (dec("0"), dec("0")));
    assert_eq!(stage.engine.open_orders(&me()).count(), 0);
}

#[test]
fn a_partial_fill_of_one_exit_shrinks_the_other() {
    let mut stage = Stage::new(bounded());
    let entry = stage.place(bracket(buy("100"), "110", "90"));
    stage.told();
    stage.quote("AAPL", "110.50", "30", "110.60", "100");
    assert_eq!(stage.told(), ["partial_fill 110 30", "restated"]);
    assert_eq!(stage.by_id(&entry.legs[1]).quantity(), Some(dec("70")));
    assert_eq!(stage.held("AAPL"), dec("70"));
    stage.quote("AAPL", "85", "20", "86", "100");
    assert_eq!(stage.told(), ["partial_fill 85 20", "restated"]);
    assert_eq!(stage.by_id(&entry.legs[0]).quantity(), Some(dec("80")));
    stage.quote("AAPL", "85", "500", "86", "100");
    assert_eq!(stage.told(), ["fill 85 50", "canceled"]);
    assert_eq!(stage.units("AAPL"), dec("0"));
}

#[test]
fn the_end_of_one_part_ends_the_rest() {
    let mut stage = Stage::plain();
    let entry = stage.place(bracket(bid_for("10", "95"), "110", "90"));
    stage.told();
    let now = stage.tick();
    stage.engine.cancel(&me(), &OrderKey::Venue(entry.legs[1].clone()), now).unwrap();
    assert_eq!(stage.told(), ["canceled"; 3]);
    let entry = stage.place(bracket(buy("10"), "110", "90"));
    stage.told();
    let now = stage.tick();
    stage.engine.cancel(&me(), &OrderKey::Venue(entry.legs[0].clone()), now).unwrap();
    assert_eq!(stage.told(), ["canceled"; 2]);
    assert_eq!((stage.status("bot-2"), stage.units("AAPL")), (OrderStatus::Filled, dec("10")));
}

#[test]
fn a_bracket_expires_as_a_whole() {
    let mut stage = Stage::plain();
    stage.place(bracket(bid_for("10", "95"), "110", "90"));
    stage.told();
    stage.session(MarketSession::Post);
    assert_eq!(stage.told(), ["expired"; 3]);
}

#[test]
fn one_cancels_other_guards_what_is_held() {
    let mut stage = Stage::plain();
    assert!(matches!(stage.refuses(oco(offer_of("10", "110"), "90")), Refusal::InsufficientQuantity { .. }));
    stage.place(buy("10"));
    stage.told();
    let profit = stage.place(oco(offer_of("10", "110"), "90"));
    assert_eq!(stage.told(), ["pending_new", "held", "new", "new"]);
    assert_eq!(stage.held("AAPL"), dec("10"), "two exits hold the units once");
    assert!(matches!(stage.refuses(sell("1")), Refusal::InsufficientQuantity { .. }));
    stage.apple("111", "111.10");
    assert_eq!(stage.told(), ["fill 110 10", "canceled"]);
    assert_eq!(stage.by_id(&profit.legs[0]).status, OrderStatus::Canceled);
}

#[test]
fn one_triggers_other() {
    let mut stage = Stage::plain();
    stage.place(oto(buy("10"), "95"));
    assert_eq!(stage.told(), ["pending_new", "held", "new", "fill 100.01 10", "new"]);
    stage.apple("94", "94.10");
    assert_eq!(stage.told(), ["fill 94 10"]);
    assert_eq!(stage.account().realised, dec("-60.1"));
}

#[test]
fn a_short_entry_has_buying_exits() {
    let mut stage = Stage::plain();
    stage.place(bracket(sell("10"), "90", "110"));
    assert_eq!(stage.told(), ["pending_new", "held", "held", "new", "fill 99.99 10", "new", "new"]);
    stage.apple("89", "89.50");
    assert_eq!(stage.told(), ["fill 90 10", "canceled"]);
}

#[test]
fn exits_lie_on_their_sides() {
    let mut stage = Stage::plain();
    stage.place(buy("10"));
    for wrong in [
        bracket(buy("1"), "90", "110"),
        bracket(buy("1"), "110", "100.01"),
        bracket(buy("1"), "100.01", "90"),
        bracket(bid_for("1", "95"), "95", "90"),
        bracket(bid_for("1", "95"), "110", "95"),
        oco(offer_of("1", "90"), "95"),
        oto(buy("1"), "101"),
    ] {
        assert!(matches!(stage.try_place(wrong.clone()), Err(Refusal::Form(_))), "{wrong:?}");
    }
    assert!(stage.try_place(bracket(bid_for("1", "95"), "95.01", "94.99")).is_ok());
}

#[test]
fn an_exit_can_be_moved_while_it_waits_and_while_it_stands() {
    let mut stage = Stage::plain();
    let entry = stage.place(bracket(bid_for("10", "99"), "110", "90"));
    stage.told();
    let to = |price: &str| Modification { stop: Some(price.parse().unwrap()), ..Modification::default() };
    let now = stage.tick();
    let moved = stage.engine.modify(&me(), &OrderKey::Venue(entry.legs[1].clone()), to("95"), now).unwrap();
    assert_eq!(stage.told(), ["replaced", "held"]);
    assert_eq!(stage.order("bot-1").legs, [entry.legs[0].clone(), moved.id.clone()]);
    stage.apple("98", "98.50");
    assert_eq!(stage.told(), ["fill 99 10", "new", "new"]);
    let now = stage.tick();
    let again = stage.engine.modify(&me(), &OrderKey::Venue(moved.id.clone()), to("97"), now).unwrap();
    assert_eq!((stage.told(), stage.held("AAPL")), (vec!["replaced".to_owned(), "new".to_owned()], dec("10")));
    let now = stage.tick();
    let wrong = stage.engine.modify(&me(), &OrderKey::Venue(again.id.clone()), to("111"), now);
    assert!(matches!(wrong, Err(Refusal::Form(_))));
    stage.apple("96", "96.10");
    assert_eq!(stage.told(), ["fill 96 10", "canceled"]);
    assert_eq!(stage.by_id(&again.id).parent, Some(entry.id.clone()));
}
