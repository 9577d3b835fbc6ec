//! What only a sceptic asks for: commands that meet each other, or an earlier life, in the worst moment.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::fixtures::{Does, buy, close, live, lost, result, venue};
use super::ledger::Ledger;
use super::seat::Seat;
use crate::contract::parse_command;
use crate::events::{OrderKey, OrderUpdate, Source};
use crate::journal::CommandState;
use crate::model::{Fill, Order, OrderChange, OrderStatus};
use crate::runtime::wall_now;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn two_that_close_one_position_at_the_same_moment_sell_it_once() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.holds(10);
    let (desk, (tell, said)) = (Arc::downgrade(&life.desk), crossbeam_channel::bounded(1));
    *venue.on_place.lock() = Some(Box::new(move || {
        let command = parse_command(close("other-1").as_bytes()).unwrap();
        tell.send(desk.upgrade().unwrap().handle(command, "9-0", wall_now(), false).unwrap().to_json()).unwrap();
    }));
    assert_eq!(result(&life.tell(&close("b-1"))).0, "accepted");
    let second: serde_json::Value = serde_json::from_str(&said.recv().unwrap()).unwrap();
    assert_eq!((result(&second), venue.calls()), (("denied", "retry"), vec!["place b-1".to_owned()]));
    *venue.on_place.lock() = None;
    assert_eq!(result(&life.tell(&close("other-1"))), ("denied", "retry"), "the first may still be filled");
    venue.holds(0);
    life.ledger.end_unknown(&life.seat.of, &"v-b-1".parse().unwrap()).unwrap();
    assert_eq!(result(&life.tell(&close("other-1"))), ("denied", "fix_request"), "the name was free, and nothing is held any more");
}

#[test]
fn nobody_closes_what_a_close_of_unknown_outcome_may_be_selling() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.holds(10);
    venue.will([Does::Fails(lost())]);
    assert_eq!(result(&life.tell(&close("b-1"))), ("unknown", "look_up"));
    assert_eq!(result(&life.tell(&close("other-1"))), ("denied", "retry"));
    assert_eq!(venue.calls(), ["place b-1"]);
}

#[test]
fn a_close_without_an_answer_is_over_when_the_stream_has_told_its_end() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.holds(10);
    venue.will([Does::Loses]);
    assert_eq!(result(&life.tell(&close("b-1"))), ("unknown", "look_up"));
    let order = venue.orders.lock()["b-1"].clone();
    hear(&life.ledger, &life.seat, OrderChange::New, order.clone(), None);
    assert_eq!(result(&life.tell(&close("b-2"))), ("denied", "retry"));
    hear_fill(&life.ledger, &life.seat, &order);
    // Of an order that has ended the venue may never show anything any more.
    venue.orders.lock().remove("b-1");
    venue.holds(5);
    assert_eq!(result(&life.tell(&close("b-2"))).0, "accepted");
}

#[test]
fn a_command_that_is_given_up_is_not_called_denied_where_it_may_have_been_sent() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.leave_submitting("b-1", 30);
    life.tell(&buy("b-2", 1));
    let give_up = |text: &str, entry: &str| {
        let answer = life.desk.give_up(&parse_command(text.as_bytes()).unwrap(), entry, "it ended the broker");
        serde_json::from_str::<serde_json::Value>(&answer.to_json()).unwrap()
    };
    assert_eq!(result(&give_up(&buy("b-1", 1), "1-1")), ("unknown", "look_up"));
    let stands = give_up(&buy("b-2", 1), "2-1");
    assert_eq!((result(&stands).0, &stands["order"]["id"]), ("accepted", &"v-b-2".into()));
    assert_eq!(result(&give_up(&buy("b-3", 1), "3-1")), ("denied", "look_up"), "nothing is sent before it is kept");
    let cancel = r#"{"action":"cancel","client_order_id":"b-2"}"#;
    assert_eq!(result(&give_up(cancel, "4-1")), ("unknown", "look_up"), "a cancel may have arrived");
    assert_eq!(result(&give_up(r#"{"action":"cancel_all"}"#, "5-1")), ("unknown", "look_up"));
}

#[test]
fn a_change_that_only_the_venue_remembers_is_not_called_refused() {
    let (first, second, venue) = (folder(), folder(), venue());
    let change = r#"{"action":"modify","client_order_id":"b-1","qty":5,"new_client_order_id":"b-2"}"#;
    let life = live(&first, &venue);
    life.tell(&buy("b-1", 4));
    assert_eq!(result(&life.tell(change)).0, "accepted");
    drop(life);
    let life = live(&second, &venue);
    let again = life.tell(change);
    assert_eq!((result(&again).0, &again["order"]["id"]), ("accepted", &"v-b-2".into()), "{again}");
    assert_eq!((venue.calls().len(), life.state("b-2")), (2, Some(CommandState::Answered)));
}

#[test]
fn a_change_on_its_way_is_ended_with_everything_else() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.tell(&buy("b-1", 4));
    let desk = Arc::downgrade(&life.desk);
    *venue.on_place.lock() = Some(Box::new(move || {
        let all = parse_command(br#"{"action":"cancel_all"}"#).unwrap();
        desk.upgrade().unwrap().handle(all, "9-0", wall_now(), false).unwrap();
    }));
    let changed = life.tell(r#"{"action":"modify","client_order_id":"b-1","qty":5,"new_client_order_id":"b-2"}"#);
    *venue.on_place.lock() = None;
    assert_eq!((result(&changed).0, venue.calls()), ("accepted", ["place b-1", "cancel_all", "modify b-2", "cancel b-2"].map(str::to_owned).to_vec()));
}

/// What the stream says of an order, as the pump takes it.
fn hear(ledger: &Ledger, seat: &Seat, change: OrderChange, order: Order, fill: Option<Fill>) {
    let execution_id = fill.as_ref().map(|fill| fill.execution_id.clone());
    let (of, at) = (seat.of.clone(), wall_now());
    let update = OrderUpdate { of, change, order: Arc::new(order), execution_id, fill, reason: None, at, source: Source::Stream, words: None };
    ledger.take(std::slice::from_ref(&update)).unwrap();
    seat.observe(&update);
}

/// All of an order is filled.
fn hear_fill(ledger: &Ledger, seat: &Seat, order: &Order) {
    let (request, quantity) = (&order.request, order.quantity().unwrap());
    let mut filled = Order { status: OrderStatus::Filled, filled: quantity, filled_value: quantity * Decimal::from(90), ..order.clone() };
    filled.times.updated = wall_now();
    let fill = Fill {
        execution_id: format!("x-{}", order.id).parse().unwrap(),
        order_id: order.id.clone(),
        client_order_id: request.client_order_id.clone(),
        symbol: request.symbol.clone(),
        side: request.side,
        price: 90.into(),
        quantity,
        fees: 0.into(),
        position: quantity,
        at: filled.times.updated,
    };
    hear(ledger, seat, OrderChange::Fill, filled, Some(fill));
}

#[test]
fn an_answer_that_is_older_than_the_stream_moves_nothing_back() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let (ledger, seat) = (Arc::clone(&life.ledger), Arc::clone(&life.seat));
    *venue.on_answer.lock() = Some(Box::new(move |order| {
        hear(&ledger, &seat, OrderChange::New, order.clone(), None);
        hear_fill(&ledger, &seat, order);
    }));
    assert_eq!(life.tell(&buy("b-1", 4))["order"]["status"], "new");
    let known = life.ledger.journal().order(&life.seat.of.account, &OrderKey::Client("b-1".parse().unwrap())).unwrap().unwrap();
    assert_eq!((known.status, known.filled, life.counted()), (OrderStatus::Filled, 4.into(), 0));
    assert_eq!((life.streamed(), life.seat.positions().into_values().sum()), (["new", "fill", "accepted"].map(str::to_owned).to_vec(), Decimal::from(4)));
}

#[test]
fn a_replacement_that_is_filled_before_the_change_is_answered_counts_once() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.tell(&buy("b-1", 4));
    assert_eq!(life.counted(), 1);
    let (ledger, seat, shown) = (Arc::clone(&life.ledger), Arc::clone(&life.seat), Arc::downgrade(&venue));
    *venue.on_answer.lock() = Some(Box::new(move |order| {
        let old = shown.upgrade().unwrap().orders.lock()["b-1"].clone();
        hear(&ledger, &seat, OrderChange::Replaced, old, None);
        hear(&ledger, &seat, OrderChange::New, order.clone(), None);
        hear_fill(&ledger, &seat, order);
    }));
    let changed = life.tell(r#"{"action":"modify","client_order_id":"b-1","limit_price":"91","new_client_order_id":"b-2"}"#);
    assert_eq!((result(&changed).0, &changed["order"]["status"]), ("accepted", &"new".into()));
    let status = |name: &str| life.ledger.journal().order(&life.seat.of.account, &OrderKey::Client(name.parse().unwrap())).unwrap().unwrap().status;
    assert_eq!((status("b-1"), status("b-2"), life.counted()), (OrderStatus::Replaced, OrderStatus::Filled, 0));
    assert_eq!(life.streamed(), ["accepted", "replaced", "new", "fill", "modify is accepted"]);
}

#[test]
fn an_entry_of_which_redis_has_lost_the_acknowledgement_is_not_carried_out_again() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let tell = |text: &str, entry: &str| life.tell_at(text, entry, wall_now(), false).unwrap();
    let (place, cancel, all) = (buy("b-1", 1), r#"{"action":"cancel","client_order_id":"b-1"}"#, r#"{"action":"cancel_all"}"#);
    let entries = [(place.as_str(), "1-0"), (cancel, "2-0"), (all, "3-0")];
    let first: Vec<_> = entries.iter().map(|(text, entry)| tell(text, entry)).collect();
    let (calls, told) = (venue.calls(), life.streamed());
    for ((text, entry), before) in entries.iter().zip(&first) {
        let again = tell(text, entry);
        assert_eq!((result(&again), &again["repeated"]), (result(before), &true.into()), "{again}");
    }
    assert_eq!((venue.calls(), life.streamed()), (calls, told));
    // Ids that a bot makes up may come again after Redis was flushed.
    life.tell(&buy("b-2", 1));
    assert_eq!(tell(r#"{"action":"cancel","client_order_id":"b-2"}"#, "2-0")["repeated"], serde_json::Value::Null);
    assert_eq!(tell(all, "2-0")["repeated"], serde_json::Value::Null);
    assert_eq!(venue.calls().split_off(3), ["place b-2", "cancel b-2", "cancel_all"]);
}

#[test]
fn names_that_differ_in_case_alone_are_two_orders() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    for name in ["b-One", "b-one"] {
        assert_eq!(life.tell(&buy(name, 1))["order"]["id"], format!("v-{name}"));
    }
    assert_eq!(result(&life.tell(r#"{"action":"cancel","client_order_id":"b-one"}"#)).0, "accepted");
    assert_eq!(venue.calls(), ["place b-One", "place b-one", "cancel b-one"]);
}

#[test]
fn an_answer_that_cannot_be_kept_for_a_while_is_told_when_it_can() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let ledger = Arc::clone(&life.ledger);
    *venue.on_answer.lock() = Some(Box::new(move |_| {
        let journal = ledger.journal();
        journal.limit_pages(1);
        for size in [2_000, 200, 20, 1] {
            while journal.write(|step| step.note("p", wall_now(), "d", &"x".repeat(size))).is_ok() {}
        }
        let ledger = Arc::clone(&ledger);
        std::thread::spawn(move || {
            // Once it was tried in vain, there is room again.
            while ledger.journal().trouble().is_none() {
                std::thread::yield_now();
            }
            ledger.journal().limit_pages(0);
        });
    }));
    assert_eq!(result(&life.tell(&buy("b-1", 1))).0, "accepted");
    assert_eq!((venue.calls(), life.streamed(), life.state("b-1")), (vec!["place b-1".to_owned()], vec!["accepted".to_owned()], Some(CommandState::Answered)));
    *venue.on_answer.lock() = None;
}

#[test]
fn who_ends_everything_of_a_symbol_ends_a_change_that_turns_up_later_too() {
    for (symbol, open) in [("AAPL", false), ("MSFT", true)] {
        let (folder, venue) = (folder(), venue());
        let life = live(&folder, &venue);
        life.tell(&buy("b-1", 4));
        let order = venue.orders.lock()["b-1"].clone();
        hear(&life.ledger, &life.seat, OrderChange::New, order, None);
        venue.will([Does::Loses]);
        life.tell(r#"{"action":"modify","client_order_id":"b-1","qty":5,"new_client_order_id":"b-2"}"#);
        life.tell(&format!(r#"{{"action":"cancel_all","symbol":"{symbol}"}}"#));
        assert_eq!(life.record("b-2").unwrap().cancel_wanted, !open, "{symbol}");
    }
}

#[test]
fn what_was_repeated_once_is_repeated_in_the_same_words() {
    let (first, second, venue) = (folder(), folder(), venue());
    live(&first, &venue).tell(&buy("b-1", 1));
    let life = live(&second, &venue);
    let words = |entry: &str, again: bool| life.desk.handle(parse_command(buy("b-1", 1).as_bytes()).unwrap(), entry, wall_now(), again).unwrap().to_json();
    let found = words("1-0", true);
    assert!(found.ends_with(r#","repeated":true}"#), "{found}");
    assert_eq!((words("2-0", false), words("1-0", true)), (found.clone(), found));
}

#[test]
fn a_close_that_cannot_be_asked_for_is_answered_on_the_stream_too() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.holds(10);
    venue.deaf.store(true, std::sync::atomic::Ordering::Relaxed);
    let denied = life.tell_at(&close("b-1"), "1-0", wall_now(), true).unwrap();
    assert_eq!((result(&denied), life.streamed()), (("denied", "retry"), vec!["close_position is denied".to_owned()]));
    venue.deaf.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(result(&life.tell(&close("b-1"))).0, "accepted");
}
