use std::sync::Arc;

use crossbeam_channel::bounded;

use super::*;
use crate::desk::fixtures::words;
use crate::events::OrderEvent;
use crate::model::{Order, OrderRequest, OrderType, Side, Size, TimeInForce};

pub(super) struct Bench {
    pub ledger: Ledger,
    _folder: tempfile::TempDir,
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

pub(super) fn of() -> AccountRef {
    AccountRef { broker: "alpaca".parse().unwrap(), account: "acc".parse().unwrap() }
}

pub(super) fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), at(0)).unwrap();
    Bench { ledger: Ledger::new(Arc::new(journal), bounded(1).0, false, || at(1_000)), _folder: folder }
}

/// `v1`, a purchase of ten, as it stands at `updated`.
pub(super) fn order(status: OrderStatus, filled: &str, updated: i64) -> Order {
    let request = OrderRequest {
        client_order_id: "b-1".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        size: Size::Quantity("10".parse().unwrap()),
        kind: OrderType::Market,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: crate::model::OrderClass::Simple,
    };
    let mut order = Order::new("v1".parse().unwrap(), request, status, at(1));
    order.filled = filled.parse().unwrap();
    order.filled_value = order.filled * rust_decimal::Decimal::from(100);
    order.times.updated = at(updated);
    order
}

pub(super) fn fill(id: &str, quantity: &str, seconds: i64) -> Fill {
    Fill {
        execution_id: id.parse().unwrap(),
        order_id: "v1".parse().unwrap(),
        client_order_id: "b-1".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        price: 100.into(),
        quantity: quantity.parse().unwrap(),
        fees: 0.into(),
        position: 0.into(),
        at: at(seconds),
    }
}

pub(super) fn told(change: OrderChange, order: Order, fill: Option<Fill>, id: Option<&str>) -> OrderUpdate {
    let at = order.times.updated;
    let execution_id = id.map(|id| id.parse().unwrap());
    OrderUpdate { of: of(), change, order: Arc::new(order), execution_id, fill, reason: None, at, source: Source::Stream, words: None }
}

impl Bench {
    pub(super) fn report(&self, order: &Order, fills: &[Fill], manner: Manner) -> Reported {
        self.ledger.report(&of(), &[(order, fills, manner)]).unwrap().remove(0)
    }

    pub(super) fn take(&self, update: OrderUpdate) -> Taken {
        self.ledger.take(&[update]).unwrap()[0]
    }

    pub(super) fn events(&self) -> Vec<String> {
        let rows = self.ledger.journal().updates(&of().account, 0, 1_000).unwrap();
        let read = |row: &crate::journal::Row| {
            let entry: serde_json::Value = serde_json::from_str(&row.entry).unwrap();
            let mark = ["late", "reconciled", "estimated"].iter().find(|mark| entry.get(**mark).is_some()).map_or("", |mark| mark);
            format!("{} {} {mark}", entry["event"].as_str().unwrap(), entry["qty"].as_str().unwrap_or_default()).trim().to_owned()
        };
        rows.iter().map(read).collect()
    }

    pub(super) fn known(&self) -> Known {
        self.ledger.journal().order(&of().account, &OrderKey::Venue("v1".parse().unwrap())).unwrap().unwrap()
    }
}

fn bust(previous: &str, order: Order) -> OrderUpdate {
    let extra = vec![("previous_execution_id".to_owned(), format!("\"{previous}\"").into())];
    let words = OrderEvent { extra, ..words("trade_bust", "x-bust") };
    OrderUpdate { words: Some(Arc::new(words)), ..told(OrderChange::TradeBust, order, None, Some("x-bust")) }
}

fn new() -> OrderUpdate {
    told(OrderChange::New, order(OrderStatus::New, "0", 2), None, Some("x-new"))
}

fn filled() -> OrderUpdate {
    told(OrderChange::Fill, order(OrderStatus::Filled, "10", 4), Some(fill("x-2", "6", 4)), Some("x-2"))
}

fn partly() -> OrderUpdate {
    told(OrderChange::PartialFill, order(OrderStatus::PartiallyFilled, "4", 3), Some(fill("x-1", "4", 3)), Some("x-1"))
}

#[test]
fn what_the_venue_says_three_times_is_told_once() {
    let bench = bench();
    for turn in 0..3 {
        let taken: Vec<Taken> = [new(), partly(), filled()].map(|update| bench.take(update)).to_vec();
        let expected: Vec<Taken> = (1..=3).map(|n| if turn == 0 { Taken::New(n) } else { Taken::Known(n) }).collect();
        assert_eq!(taken, expected);
    }
    assert_eq!(bench.events(), ["new", "partial_fill 4", "fill 6"]);
    assert_eq!(bench.ledger.journal().executions(&of().account, None, None).unwrap().len(), 2);
}

#[test]
fn an_acknowledgement_behind_a_fill_is_late_and_changes_nothing() {
    let bench = bench();
    assert_eq!(bench.take(filled()), Taken::New(1));
    assert_eq!(bench.take(new()), Taken::Late(2));
    assert_eq!(bench.take(partly()), Taken::Late(3));
    let known = bench.known();
    assert_eq!((known.status, known.filled.to_string().as_str()), (OrderStatus::Filled, "10"));
    assert_eq!(bench.events(), ["fill 6", "new  late", "partial_fill 4 late"]);
}

#[test]
fn a_report_shows_what_was_missed_and_the_venue_may_still_tell_it() {
    let bench = bench();
    bench.take(new());
    let report = order(OrderStatus::Filled, "10", 4);
    let fills = [fill("x-1", "4", 3), fill("x-2", "6", 4)];
    let reported = bench.report(&report, &fills, Manner::default());
    assert_eq!((reported.taken.len(), reported.unexplained), (2, false));
    assert_eq!(bench.report(&report, &fills, Manner::default()), Reported::default());
    assert_eq!([bench.take(partly()), bench.take(filled())], [Taken::Known(2), Taken::Known(3)]);
    assert_eq!(bench.events(), ["new", "partial_fill 4 reconciled", "fill 6 reconciled"]);
}

#[test]
fn an_execution_by_another_name_is_the_same_execution() {
    let bench = bench();
    bench.take(new());
    bench.take(partly());
    let fills = [fill("activity-1", "4", 3), fill("activity-2", "6", 4)];
    let reported = bench.report(&order(OrderStatus::Filled, "10", 4), &fills, Manner::default());
    assert_eq!(reported.taken.len(), 1);
    // The venue tells the second under its own name after all: what was filled by then says that it is known.
    assert_eq!(bench.take(filled()), Taken::Known(3));
    assert_eq!(bench.events(), ["new", "partial_fill 4", "fill 6 reconciled"]);
}

#[test]
fn what_nothing_accounts_for_is_reckoned_when_it_may_be() {
    let bench = bench();
    bench.take(new());
    let report = order(OrderStatus::Canceled, "7", 5);
    let reported = bench.report(&report, &[fill("x-1", "4", 3)], Manner::default());
    assert_eq!((reported.taken.len(), reported.unexplained), (1, true));
    let reported = bench.report(&report, &[fill("x-1", "4", 3)], Manner::default().estimating(true));
    assert_eq!((reported.taken.len(), reported.unexplained), (2, false));
    assert_eq!(bench.events(), ["new", "partial_fill 4 reconciled", "partial_fill 3 reconciled", "canceled  reconciled"]);
    // Its own account of the three comes later: known.
    let late = told(OrderChange::PartialFill, order(OrderStatus::PartiallyFilled, "7", 4), Some(fill("x-9", "3", 4)), Some("x-9"));
    assert_eq!(bench.take(late), Taken::Known(3));
    let canceled = told(OrderChange::Canceled, order(OrderStatus::Canceled, "7", 5), None, Some("x-end"));
    assert_eq!([bench.take(canceled.clone()), bench.take(canceled)], [Taken::Known(4), Taken::Known(4)]);
}

#[test]
fn an_order_that_came_and_went_unheard_is_told_whole() {
    let bench = bench();
    let reported = bench.report(&order(OrderStatus::Canceled, "4", 5), &[fill("x-1", "4", 3)], Manner::default());
    assert_eq!(reported.taken.len(), 3);
    assert_eq!(bench.events(), ["new  reconciled", "partial_fill 4 reconciled", "canceled  reconciled"]);
    assert!(!bench.known().ours);
}

#[test]
fn a_bust_lets_the_filled_quantity_go_down_and_up_again() {
    let bench = bench();
    for update in [new(), partly(), filled()] {
        bench.take(update);
    }
    let bust = bust("x-2", order(OrderStatus::PartiallyFilled, "4", 6));
    assert_eq!([bench.take(bust.clone()), bench.take(bust)], [Taken::New(4), Taken::Known(4)]);
    assert_eq!(bench.known().filled.to_string(), "4");
    assert_eq!(bench.ledger.journal().executions(&of().account, None, None).unwrap().len(), 1);
    let again = told(OrderChange::Fill, order(OrderStatus::Filled, "10", 7), Some(fill("x-3", "6", 7)), Some("x-3"));
    assert_eq!(bench.take(again), Taken::New(5));
}

#[test]
fn two_executions_of_the_venue_are_two_whatever_it_says_was_filled() {
    let bench = bench();
    let first = told(OrderChange::PartialFill, order(OrderStatus::Filled, "10", 4), Some(fill("x-1", "4", 3)), Some("x-1"));
    assert_eq!(bench.take(first), Taken::New(1));
    assert_eq!(bench.take(filled()), Taken::New(2));
}

#[test]
fn an_execution_that_was_lost_before_one_that_was_heard_is_found() {
    let bench = bench();
    bench.take(new());
    bench.take(filled());
    assert_eq!(bench.ledger.with_gaps(&of().account).unwrap(), ["v1"]);
    let report = order(OrderStatus::Filled, "10", 4);
    let reported = bench.report(&report, &[fill("x-2", "6", 4)], Manner::default());
    assert_eq!((reported.taken.len(), reported.unexplained), (0, true));
    let reported = bench.report(&report, &[fill("x-1", "4", 3), fill("x-2", "6", 4)], Manner::default());
    assert_eq!((reported.taken.len(), reported.unexplained), (1, false));
    assert_eq!(bench.events(), ["new", "fill 6", "partial_fill 4 late"]);
    assert_eq!((bench.known().status, bench.known().filled), (OrderStatus::Filled, 10.into()));
    assert!(bench.ledger.with_gaps(&of().account).unwrap().is_empty());
    assert_eq!(bench.take(partly()), Taken::Known(3));
}

#[test]
fn a_lost_execution_of_which_the_venue_has_no_account_is_reckoned_once() {
    let bench = bench();
    bench.take(new());
    bench.take(filled());
    let report = order(OrderStatus::Filled, "10", 4);
    for _ in 0..2 {
        bench.report(&report, &[], Manner::default().estimating(true));
    }
    assert_eq!(bench.events(), ["new", "fill 6", "partial_fill 4 late"]);
    assert_eq!(bench.take(partly()), Taken::Known(3));
}

#[test]
fn what_a_replacement_carries_over_was_executed_once() {
    let bench = bench();
    bench.take(new());
    bench.take(partly());
    let mut next = order(OrderStatus::New, "4", 5);
    (next.id, next.replaces) = ("v2".parse().unwrap(), Some("v1".parse().unwrap()));
    bench.take(told(OrderChange::New, next.clone(), None, Some("x-new-2")));
    for _ in 0..2 {
        let reported = bench.report(&next, &[], Manner::default().estimating(true));
        assert_eq!(reported, Reported::default());
    }
    assert!(bench.ledger.with_gaps(&of().account).unwrap().is_empty());
    assert_eq!(bench.ledger.journal().executions(&of().account, None, None).unwrap().len(), 1);
}

#[test]
fn a_bust_that_comes_after_the_refill_takes_back_its_execution_and_no_state() {
    let bench = bench();
    for update in [new(), partly(), filled()] {
        bench.take(update);
    }
    bench.take(told(OrderChange::Fill, order(OrderStatus::Filled, "10", 7), Some(fill("x-3", "6", 7)), Some("x-3")));
    assert_eq!(bench.take(bust("x-2", order(OrderStatus::PartiallyFilled, "4", 6))), Taken::Late(5));
    assert_eq!((bench.known().status, bench.known().filled), (OrderStatus::Filled, 10.into()));
    let reported = bench.report(&order(OrderStatus::Filled, "10", 7), &[], Manner::default().estimating(true));
    assert_eq!(reported, Reported::default());
    assert_eq!(bench.ledger.journal().executions(&of().account, None, None).unwrap().len(), 2);
}

#[test]
fn an_execution_behind_the_end_is_counted_and_opens_nothing() {
    let bench = bench();
    bench.take(new());
    bench.take(told(OrderChange::Canceled, order(OrderStatus::Canceled, "0", 5), None, Some("x-end")));
    assert_eq!(bench.take(partly()), Taken::Late(3));
    assert_eq!((bench.known().status, bench.known().filled), (OrderStatus::Canceled, 4.into()));
}

#[test]
fn a_leg_that_is_heard_of_before_its_order_belongs_to_the_same_bot() {
    let bench = bench();
    let mut leg = order(OrderStatus::Filled, "10", 3);
    (leg.id, leg.request.client_order_id) = ("v2".parse().unwrap(), "0b8a5a2e-5c55-4e0e-9f9f-1d6c1c2b3a4d".parse().unwrap());
    let done = Fill { order_id: leg.id.clone(), ..fill("x-2", "10", 3) };
    bench.take(told(OrderChange::Fill, leg, Some(done), Some("x-2")));
    let mut entry = order(OrderStatus::Filled, "0", 2);
    entry.legs = vec!["v2".parse().unwrap()];
    bench.take(OrderUpdate { source: Source::Desk, ..told(OrderChange::Accepted, entry, None, None) });
    let id = OrderKey::Venue("v2".parse().unwrap());
    let known = bench.ledger.journal().order(&of().account, &id).unwrap().unwrap();
    assert_eq!((known.ours, known.bot.as_deref(), known.status), (true, Some("b"), OrderStatus::Filled));
    assert_eq!(bench.ledger.journal().executions(&of().account, Some("b"), None).unwrap().len(), 1);
}

#[test]
fn a_bust_that_nobody_told_is_found() {
    let bench = bench();
    for update in [new(), partly(), filled()] {
        bench.take(update);
    }
    let report = order(OrderStatus::PartiallyFilled, "4", 6);
    let reported = bench.report(&report, &[fill("x-1", "4", 3)], Manner::default());
    assert_eq!(reported.taken[0].change, OrderChange::TradeBust);
    assert_eq!(bench.report(&report, &[fill("x-1", "4", 3)], Manner::default()), Reported::default());
    assert_eq!((bench.known().status, bench.known().filled), (OrderStatus::PartiallyFilled, 4.into()));
    let left = bench.ledger.journal().executions(&of().account, None, None).unwrap();
    assert_eq!((left.len(), left[0].execution_id.as_str()), (1, "x-1"));
    // The venue's own word for it, and the execution in its place.
    assert_eq!(bench.take(bust("x-2", order(OrderStatus::PartiallyFilled, "4", 6))), Taken::Known(4));
    assert_eq!(bench.take(told(OrderChange::Fill, order(OrderStatus::Filled, "10", 7), Some(fill("x-3", "6", 7)), Some("x-3"))), Taken::New(5));
}

#[test]
fn an_acknowledgement_that_the_answer_told_already_is_told_by_no_report() {
    let bench = bench();
    bench.take(OrderUpdate { source: Source::Desk, ..told(OrderChange::Accepted, order(OrderStatus::New, "0", 2), None, None) });
    assert_eq!(bench.take(new()), Taken::Known(1));
    bench.report(&order(OrderStatus::Canceled, "0", 5), &[], Manner::default());
    assert_eq!(bench.events(), ["accepted", "canceled  reconciled"]);
}

#[test]
fn an_order_that_has_ended_by_the_time_of_its_answer_is_ended_by_the_venue_alone() {
    for (status, change) in [(OrderStatus::Canceled, OrderChange::Canceled), (OrderStatus::Rejected, OrderChange::Rejected)] {
        let answer = || OrderUpdate { source: Source::Desk, ..told(OrderChange::Accepted, order(status, "0", 3), None, None) };
        let end = || told(change, order(status, "0", 3), None, Some("x-end"));
        let heard = bench();
        heard.take(answer());
        assert_eq!(heard.take(end()), Taken::New(2), "{:?}", heard.events());
        assert_eq!((heard.known().status, heard.events().len()), (status, 2));
        let found = bench();
        found.take(answer());
        assert!(found.known().status.is_open(), "the venue is asked");
        found.report(&order(status, "0", 3), &[], Manner::default());
        assert_eq!(found.events().last().unwrap(), &format!("{}  reconciled", change.as_str()));
        assert!(matches!(found.take(end()), Taken::Known(_)), "{:?}", found.events());
        let before = bench();
        before.take(end());
        before.take(answer());
        assert_eq!((before.known().status, before.events().len()), (status, 2));
    }
    let filled_by_then = || OrderUpdate { source: Source::Desk, ..told(OrderChange::Accepted, order(OrderStatus::Filled, "10", 4), None, None) };
    let heard = bench();
    heard.take(filled_by_then());
    heard.ledger.take(&[new(), partly(), filled()]).unwrap();
    assert_eq!((heard.events(), heard.known().filled), (["accepted", "new", "partial_fill 4", "fill 6"].map(str::to_owned).to_vec(), 10.into()));
    let found = bench();
    found.take(filled_by_then());
    found.report(&order(OrderStatus::Filled, "10", 4), &[fill("x-1", "4", 3), fill("x-2", "6", 4)], Manner::default());
    assert_eq!(found.events(), ["accepted", "new  reconciled", "partial_fill 4 reconciled", "fill 6 reconciled"]);
}
