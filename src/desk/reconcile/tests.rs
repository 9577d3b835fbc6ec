//! Looks at a venue that does as it is told.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::bounded;
use rust_decimal::Decimal;

use super::*;
use crate::desk::fixtures::words;
use crate::desk::seat::Role;
use crate::desk::sights::Sights;
use crate::events::{AccountRef, OrderKey, OrderUpdate, Source};
use crate::exchanges::fixtures::{Held, Venue};
use crate::exchanges::{Broker, Capabilities};
use crate::journal::Journal;
use crate::model::{Fill, MarketSession, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, Side, Size, Symbol, TimeInForce, VenueOrderId};
use crate::risk::{Gate, Limits};
use crate::runtime::{Stop, StopKind};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// When the ledger hears of everything.
const NOW: i64 = 100_000;

fn of() -> AccountRef {
    AccountRef { broker: "alpaca".parse().unwrap(), account: "acc".parse().unwrap() }
}

struct Bench {
    venue: Arc<Venue>,
    ledger: Arc<Ledger>,
    seat: Arc<Seat>,
    pass: Pass,
    began: Instant,
    _folder: tempfile::TempDir,
}

fn bench() -> Bench {
    bench_with(true)
}

fn bench_with(fills: bool) -> Bench {
    let venue = Arc::new(venue_of("acc", fills));
    let folder = tempfile::tempdir().unwrap();
    let (ledger, seat) = (ledger_in(&folder), seat_at(&venue));
    let pass = Pass::new(Arc::clone(&seat), Arc::clone(&ledger), at(NOW));
    Bench { venue, ledger, seat, pass, began: Instant::now(), _folder: folder }
}

fn venue_of(account: &str, fills: bool) -> Venue {
    let of = AccountRef { account: account.parse().unwrap(), ..of() };
    Venue::new(of, Capabilities { fills, ..Capabilities::all("fake") })
}

fn ledger_in(folder: &tempfile::TempDir) -> Arc<Ledger> {
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), at(0)).unwrap();
    Arc::new(Ledger::new(Arc::new(journal), bounded(1).0, false, || at(NOW)))
}

fn seat_at(venue: &Arc<Venue>) -> Arc<Seat> {
    let gate = Gate::new(Limits::default(), std::collections::BTreeMap::new()).for_account(venue.of());
    let role = Role {
        account_name: venue.of().account.to_string(),
        prices: "alpaca".parse().unwrap(),
        session_of: Box::new(|_: &Symbol, _| MarketSession::Regular),
        sights: Arc::new(Sights::default()),
        untyped_is_limit: false,
        takes_orders: true,
    };
    Arc::new(Seat::new(Arc::clone(venue) as _, role, gate))
}

fn order(id: &str, status: OrderStatus, filled: &str, submitted: i64, updated: i64) -> Order {
    let request = OrderRequest {
        client_order_id: format!("b-{id}").parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        size: Size::Quantity("10".parse().unwrap()),
        kind: OrderType::Market,
        time_in_force: TimeInForce::Gtc,
        extended_hours: false,
        class: OrderClass::Simple,
    };
    let mut order = Order::new(id.parse().unwrap(), request, status, at(submitted));
    order.filled = filled.parse().unwrap();
    order.filled_value = order.filled * Decimal::from(100);
    order.times.updated = at(updated);
    order
}

fn fill(id: &str, order: &str, quantity: &str, seconds: i64) -> Fill {
    Fill {
        execution_id: id.parse().unwrap(),
        order_id: order.parse().unwrap(),
        client_order_id: format!("b-{order}").parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        price: 100.into(),
        quantity: quantity.parse().unwrap(),
        fees: 0.into(),
        position: 0.into(),
        at: at(seconds),
    }
}

fn told(change: OrderChange, order: Order, fill: Option<Fill>, id: Option<&str>) -> OrderUpdate {
    let at = order.times.updated;
    let execution_id = id.map(|id| id.parse().unwrap());
    OrderUpdate { of: of(), change, order: Arc::new(order), execution_id, fill, reason: None, at, source: Source::Stream, words: None }
}

/// What the account `acc` was told.
fn events_of(ledger: &Ledger) -> Vec<String> {
    let rows = ledger.journal().updates(&of().account, 0, 10_000).unwrap();
    let read = |row: &crate::journal::Row| {
        let entry: serde_json::Value = serde_json::from_str(&row.entry).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", entry["order_data"]["id"].as_str().unwrap(), text("event"), text("qty")).trim().to_owned()
    };
    rows.iter().map(read).collect()
}

impl Bench {
    fn held(&self) -> parking_lot::MutexGuard<'_, Held> {
        self.venue.held()
    }

    fn hear(&self, update: OrderUpdate) {
        self.ledger.take(&[update]).unwrap();
    }

    fn look(&mut self, whole: bool, now: i64) -> Findings {
        let at_instant = self.began + Duration::from_secs(u64::try_from(now - NOW).unwrap());
        self.pass.run(whole, false, at(now), at_instant).unwrap()
    }

    fn events(&self) -> Vec<String> {
        events_of(&self.ledger)
    }

    fn known(&self, id: &str) -> crate::journal::Known {
        let id: VenueOrderId = id.parse().unwrap();
        self.ledger.journal().order(&of().account, &OrderKey::Venue(id)).unwrap().unwrap()
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.held().asked)
    }
}

#[test]
fn where_nothing_was_missed_nothing_is_told() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.hear(told(OrderChange::New, order("v1", OrderStatus::New, "0", NOW, NOW), None, Some("x-new")));
    bench.held().orders.push(order("v1", OrderStatus::New, "0", NOW, NOW));
    for (whole, now) in [(true, NOW + 5), (false, NOW + 25), (true, NOW + 30)] {
        assert_eq!(bench.look(whole, now), Findings { checked: 1, ..Findings::default() });
    }
    assert_eq!(bench.events(), ["v1 new"]);
    assert!(bench.seat.is_counted());
}

#[test]
fn a_lost_fill_and_a_lost_order_are_found_by_a_sweep() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.hear(told(OrderChange::New, order("v1", OrderStatus::New, "0", NOW, NOW), None, Some("x-new")));
    bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW, NOW + 8), order("v2", OrderStatus::Canceled, "4", NOW + 5, NOW + 9)];
    bench.held().fills = vec![fill("x-1", "v1", "10", NOW + 8), fill("x-2", "v2", "4", NOW + 7)];
    let findings = bench.look(false, NOW + 20);
    assert_eq!((findings.repaired.len(), findings.again_soon), (4, false));
    assert_eq!(bench.events(), ["v1 new", "v1 fill 10", "v2 new", "v2 partial_fill 4", "v2 canceled"]);
    assert_eq!(bench.look(false, NOW + 40).repaired, []);
}

#[test]
fn what_came_and_went_before_the_first_live_event_is_not_passed_over() {
    let mut bench = bench();
    bench.look(true, NOW);
    // Away for an hour; the first word afterwards is about another order.
    bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW + 600, NOW + 601), order("v2", OrderStatus::New, "0", NOW + 3_600, NOW + 3_600)];
    bench.held().fills = vec![fill("x-1", "v1", "10", NOW + 601)];
    bench.hear(told(OrderChange::New, order("v2", OrderStatus::New, "0", NOW + 3_600, NOW + 3_600), None, Some("x-new")));
    bench.look(true, NOW + 3_601);
    assert_eq!(bench.events(), ["v2 new", "v1 new", "v1 fill 10"]);
}

#[test]
fn between_two_looks_two_minutes_apart_nothing_is_passed_over() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.held().orders = vec![order("v1", OrderStatus::Canceled, "0", NOW + 10, NOW + 11)];
    bench.look(false, NOW + 120);
    assert_eq!(bench.events(), ["v1 new", "v1 canceled"]);
}

#[test]
fn a_lost_execution_of_an_order_that_has_ended_is_found_however_old_the_order_is() {
    let mut bench = bench();
    bench.look(true, NOW);
    let (placed, done) = (NOW - 5_000_000, order("v1", OrderStatus::Filled, "10", NOW - 5_000_000, NOW + 4));
    bench.hear(told(OrderChange::New, order("v1", OrderStatus::New, "0", placed, placed), None, Some("x-new")));
    bench.hear(told(OrderChange::Fill, done.clone(), Some(fill("x-2", "v1", "6", NOW + 4)), Some("x-2")));
    bench.held().orders = vec![done];
    bench.held().fills = vec![fill("x-1", "v1", "4", NOW + 3), fill("x-2", "v1", "6", NOW + 4)];
    assert!(bench.pass.has_open_orders());
    assert_eq!(bench.look(false, NOW + 20).repaired.len(), 1);
    assert!(!bench.pass.has_open_orders());
    assert_eq!(bench.events(), ["v1 new", "v1 fill 6", "v1 partial_fill 4"]);
    assert_eq!(bench.look(false, NOW + 40).checked, 0);
}

#[test]
fn what_the_ledger_of_the_venue_does_not_tell_is_reckoned_after_a_while() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW + 1, NOW + 2)];
    assert!(bench.look(false, NOW + 20).again_soon);
    assert!(bench.look(false, NOW + 25).again_soon);
    assert!(!bench.look(false, NOW + 31).again_soon);
    assert_eq!(bench.events(), ["v1 new", "v1 fill 10"]);
}

#[test]
fn the_venue_tells_its_history_where_it_has_one() {
    let mut bench = bench();
    bench.look(true, NOW);
    let done = order("v1", OrderStatus::Filled, "10", NOW + 1, NOW + 2);
    let replay = [told(OrderChange::New, order("v1", OrderStatus::New, "0", NOW + 1, NOW + 1), None, Some("x-new")), {
        told(OrderChange::Fill, done.clone(), Some(fill("x-1", "v1", "10", NOW + 2)), Some("x-1"))
    }];
    bench.held().replay = Some(replay.map(|update| OrderUpdate { source: Source::Replay, ..update }).to_vec());
    bench.held().orders = vec![done];
    bench.held().fills = vec![fill("activity", "v1", "10", NOW + 2)];
    let findings = bench.look(true, NOW + 10);
    assert_eq!((findings.replayed, findings.repaired.len()), (2, 0));
    assert_eq!(bench.events(), ["v1 new", "v1 fill 10"]);
}

#[test]
fn the_history_of_before_the_first_start_is_told_in_no_hurry() {
    let mut bench = bench();
    let lately = OrderUpdate { source: Source::Replay, ..told(OrderChange::New, order("v0", OrderStatus::New, "0", NOW - 600, NOW - 600), None, Some("x-0")) };
    bench.held().orders = [&lately].into_iter().chain(&replayed(1)).map(|update| Order::clone(&update.order)).collect();
    bench.held().replay = Some([lately].into_iter().chain(replayed(1)).collect());
    assert_eq!(bench.look(true, NOW + 10).replayed, 2);
    assert_eq!(bench.events(), ["v0 new", "v1 new"]);
    let rows = bench.ledger.journal().updates(&of().account, 0, 100).unwrap();
    let copies: Vec<bool> = rows.iter().map(|row| row.typed.is_some()).collect();
    assert_eq!(copies, [false, true], "what went on since we listen is news");
}

fn replayed(updates: usize) -> Vec<OrderUpdate> {
    let one = |n: usize| {
        let when = NOW + i64::try_from(n).unwrap();
        OrderUpdate {
            source: Source::Replay,
            ..told(OrderChange::New, order(&format!("v{n}"), OrderStatus::New, "0", when, when), None, Some(&format!("x-{n}")))
        }
    };
    (1..=updates).map(one).collect()
}

#[test]
fn a_history_in_pieces_is_told_once_and_in_order() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.held().orders = replayed(7).iter().map(|update| Order::clone(&update.order)).collect();
    (bench.held().replay, bench.held().piece) = (Some(replayed(7)), 3);
    bench.asked();
    assert_eq!(bench.look(true, NOW + 200).replayed, 7);
    assert_eq!(bench.asked().iter().filter(|what| *what == "replay").count(), 3);
    assert_eq!(bench.events(), (1..=7).map(|n| format!("v{n} new")).collect::<Vec<_>>());
}

#[test]
fn a_history_that_goes_on_passes_nothing_over_at_a_venue_whose_clock_is_behind() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.held().replay = Some(Vec::new());
    bench.held().left = Some(1);
    assert!(bench.pass.run(true, false, at(NOW + 1_000), bench.began).is_err());
    bench.held().left = None;
    let late = order("v1", OrderStatus::New, "0", NOW + 720, NOW + 720);
    bench.held().orders = vec![late.clone()];
    bench.held().replay = Some(vec![OrderUpdate { source: Source::Replay, ..told(OrderChange::New, late, None, Some("x-1")) }]);
    assert_eq!(bench.look(true, NOW + 1_010).replayed, 1);
}

#[test]
fn a_history_that_is_cut_short_goes_on_from_there() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.held().orders = replayed(9).iter().map(|update| Order::clone(&update.order)).collect();
    (bench.held().replay, bench.held().piece) = (Some(replayed(9)), 2);
    bench.asked();
    // Three of five pieces, and then the requests of a minute are used up; and again.
    for left in [3, 1] {
        bench.held().left = Some(left);
        assert!(bench.pass.run(true, false, at(NOW + 200), bench.began).is_err());
        assert_eq!(bench.asked().len(), left + 1);
    }
    assert_eq!(bench.events().len(), 8);
    bench.held().left = None;
    assert_eq!(bench.look(true, NOW + 210).replayed, 1);
    assert_eq!(bench.asked().iter().filter(|what| *what == "replay").count(), 1);
    assert_eq!(bench.events(), (1..=9).map(|n| format!("v{n} new")).collect::<Vec<_>>());
    // From then on the window is the usual one.
    bench.held().replay = Some(replayed(9));
    assert_eq!((bench.look(true, NOW + 220).replayed, bench.events().len()), (0, 9));
}

#[test]
fn a_venue_that_goes_away_in_the_middle_is_asked_for_the_same_again() {
    for answers in 0..6 {
        let mut bench = bench();
        bench.look(true, NOW);
        bench.seat.mistrust();
        bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW + 100, NOW + 101)];
        bench.held().fills = vec![fill("x-1", "v1", "10", NOW + 101)];
        bench.held().left = Some(answers);
        assert!(bench.pass.run(true, false, at(NOW + 500), bench.began).is_err(), "{answers}");
        assert!(!bench.seat.is_counted());
        bench.held().left = None;
        bench.look(true, NOW + 1_000);
        assert_eq!(bench.events(), ["v1 new", "v1 fill 10"], "{answers}");
        assert!(bench.seat.is_counted());
    }
}

#[test]
fn a_dry_look_changes_nothing() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW + 1, NOW + 2)];
    bench.held().fills = vec![fill("x-1", "v1", "10", NOW + 2)];
    let before = bench.ledger.journal().compared(&of().account).unwrap();
    for _ in 0..2 {
        let findings = bench.pass.run(true, true, at(NOW + 9), bench.began).unwrap();
        assert_eq!(findings.repaired.len(), 2);
    }
    assert!(bench.events().is_empty());
    assert!(before.is_some() && bench.ledger.journal().compared(&of().account).unwrap() == before);
}

#[test]
fn the_first_start_is_quiet_and_knows_what_is_open_for_months() {
    let mut bench = bench();
    bench.held().orders = vec![order("v1", OrderStatus::New, "0", NOW - 9_000_000, NOW - 9_000_000), order("v2", OrderStatus::Canceled, "0", NOW - 9, NOW - 8)];
    bench.look(true, NOW);
    let rows = bench.ledger.journal().updates(&of().account, 0, 100).unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.typed.is_none()));
    assert_eq!(bench.known("v1").status, OrderStatus::New);
    // One of them is filled, and nobody tells.
    bench.held().orders[0] = order("v1", OrderStatus::Filled, "10", NOW - 9_000_000, NOW + 5);
    bench.held().fills = vec![fill("x-1", "v1", "10", NOW + 5)];
    bench.asked();
    assert_eq!(bench.look(false, NOW + 20).repaired.len(), 1);
    assert_eq!(bench.asked().iter().filter(|what| *what == "fills").count(), 1);
}

#[test]
fn an_order_that_is_filled_between_the_connection_and_the_first_look_is_told_at_once() {
    let mut bench = bench();
    bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW - 9, NOW - 8), order("v2", OrderStatus::Filled, "10", NOW + 1, NOW + 1)];
    bench.held().fills = vec![fill("x-1", "v1", "10", NOW - 8), fill("x-2", "v2", "10", NOW + 1)];
    bench.look(true, NOW + 2);
    let rows = bench.ledger.journal().updates(&of().account, 0, 100).unwrap();
    let told = |id: &str| rows.iter().filter(|row| row.entry.contains(&format!(r#""{id}""#))).map(|row| row.typed.is_some()).collect::<BTreeSet<_>>();
    assert_eq!((told("v1"), told("v2")), (BTreeSet::from([false]), BTreeSet::from([true])));
}

#[test]
fn an_order_that_the_venue_has_forgotten_ends_after_a_second_look() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.hear(told(OrderChange::New, order("v1", OrderStatus::New, "0", NOW, NOW), None, Some("x-new")));
    assert!(bench.look(true, NOW + 10).again_soon);
    assert!(bench.look(false, NOW + 15).again_soon);
    assert!(bench.known("v1").status.is_open());
    assert_eq!(bench.look(false, NOW + 20).repaired[0].change, OrderChange::Canceled);
    assert_eq!(bench.known("v1").status, OrderStatus::Canceled);
    assert_eq!(bench.look(false, NOW + 40).repaired, []);
    assert_eq!(bench.events(), ["v1 new", "v1 canceled"]);
}

#[test]
fn an_order_that_comes_back_in_between_stays() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.hear(told(OrderChange::New, order("v1", OrderStatus::New, "0", NOW, NOW), None, Some("x-new")));
    bench.look(true, NOW + 10);
    bench.held().orders = vec![order("v1", OrderStatus::New, "0", NOW, NOW)];
    bench.look(false, NOW + 15);
    bench.held().orders.clear();
    bench.look(false, NOW + 21);
    assert!(bench.known("v1").status.is_open());
}

#[test]
fn an_order_that_cannot_be_looked_up_costs_nobody_the_others() {
    let mut bench = bench();
    bench.look(true, NOW);
    for id in ["v1", "v2"] {
        bench.hear(told(OrderChange::New, order(id, OrderStatus::New, "0", 5, 5), None, Some(&format!("x-{id}"))));
    }
    bench.held().orders = vec![order("v2", OrderStatus::Canceled, "0", 5, NOW + 2)];
    bench.held().unreadable.insert("v1".into());
    bench.look(true, NOW + 10);
    assert_eq!(bench.events(), ["v1 new", "v2 new", "v2 canceled"]);
    assert!(bench.seat.is_counted());
}

#[test]
fn thousands_of_orders_take_few_requests() {
    let mut bench = bench();
    bench.look(true, NOW);
    for n in 0..300 {
        let id = format!("v{n}");
        // Half of them are so old that no list is asked for them.
        let submitted = if n % 2 == 0 { NOW - 500 } else { NOW - 50_000_000 };
        bench.hear(told(OrderChange::New, order(&id, OrderStatus::New, "0", submitted, submitted), None, Some(&format!("x-{n}"))));
        bench.held().orders.push(order(&id, OrderStatus::Canceled, "0", submitted, NOW + 1));
    }
    bench.asked();
    let mut looks = 0;
    while bench.events().len() < 600 {
        bench.look(false, NOW + 20 * (looks + 1));
        assert!(bench.asked().len() <= 25);
        looks += 1;
        assert!(looks < 10);
    }
}

#[test]
fn a_venue_that_lists_no_ended_orders_is_asked_for_executions() {
    let mut bench = bench();
    bench.held().mute = true;
    bench.look(true, NOW);
    // Placed and filled, and the process died before anything of it was kept.
    bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW + 1, NOW + 2)];
    bench.held().fills = vec![fill("x-1", "v1", "10", NOW + 2)];
    bench.look(true, NOW + 20);
    assert_eq!(bench.events(), ["v1 new", "v1 fill 10"]);
    assert_eq!(bench.look(true, NOW + 40).checked, 0);
}

#[test]
fn a_position_that_differs_twice_is_told_and_the_venues_counts() {
    let mut bench = bench();
    bench.look(true, NOW);
    bench.held().positions = vec![("AAPL".into(), 7.into())];
    let findings = bench.look(true, NOW + 10);
    assert_eq!(findings.differ, [Differs { symbol: "AAPL".parse().unwrap(), ours: 0.into(), venues: 7.into() }]);
    assert_eq!(bench.seat.positions()["AAPL"], 7.into());
    assert_eq!(bench.look(true, NOW + 20).differ, []);
}

#[test]
fn without_an_account_of_executions_they_are_reckoned_at_once() {
    let mut bench = bench_with(false);
    bench.look(true, NOW);
    bench.held().orders = vec![order("v1", OrderStatus::Filled, "10", NOW + 1, NOW + 2)];
    bench.look(true, NOW + 10);
    assert_eq!(bench.events(), ["v1 new", "v1 fill 10"]);
}

#[test]
fn counting_an_account_asks_for_no_order_that_has_ended() {
    let mut bench = bench();
    bench.look(true, NOW);
    for n in 0..50 {
        let mut done = order(&format!("v{n}"), OrderStatus::Filled, "10", NOW + 1, NOW + 2);
        done.request.client_order_id = format!("0b8a5a2e-5c55-4e0e-9f9f-1d6c1c2b3a{n:02}").parse().unwrap();
        let id = format!("x-{n}");
        bench.hear(told(OrderChange::Fill, done, Some(fill(&id, &format!("v{n}"), "10", NOW + 2)), Some(&id)));
    }
    bench.asked();
    bench.look(true, NOW + 3_600);
    let asked = bench.asked();
    assert!(!asked.iter().any(|what| what == "order"), "{asked:?}");
}

#[test]
fn a_position_that_the_venue_does_not_tell_is_added_up() {
    let mut bench = bench();
    bench.held().positions = vec![("AAPL".into(), 7.into())];
    bench.look(true, NOW);
    let done = told(OrderChange::Fill, order("v1", OrderStatus::Filled, "10", NOW, NOW + 1), Some(fill("x-1", "v1", "10", NOW + 1)), Some("x-1"));
    bench.seat.observe(&OrderUpdate { words: Some(Arc::new(words("fill", "x-1"))), ..done });
    assert_eq!(bench.seat.positions()["AAPL"], 17.into());
}

#[test]
fn a_clock_that_was_set_back_or_is_behind_hides_nothing() {
    let mut bench = bench();
    bench.look(true, NOW);
    // Heard at `NOW`, by a clock that is five minutes further than the one of the sweep.
    bench.hear(told(OrderChange::New, order("v1", OrderStatus::New, "0", NOW - 300, NOW - 300), None, Some("x-new")));
    bench.held().orders = vec![order("v1", OrderStatus::Canceled, "0", NOW - 300, NOW - 290), order("v2", OrderStatus::New, "0", NOW - 10, NOW - 10)];
    let found = bench.pass.run(false, false, at(NOW - 280), bench.began + Duration::from_secs(20)).unwrap();
    assert_eq!(found.repaired.iter().map(|repair| repair.change).collect::<Vec<_>>(), [OrderChange::Canceled, OrderChange::New], "{:?}", bench.events());
}

#[test]
fn what_happened_while_the_clock_was_ahead_is_found_when_it_is_right_again() {
    let mut bench = bench();
    bench.look(true, NOW);
    // The clock is five minutes ahead for a sweep; an order comes and goes unheard at the venue meanwhile.
    bench.pass.run(false, false, at(NOW + 320), bench.began + Duration::from_secs(20)).unwrap();
    bench.held().orders = vec![order("v1", OrderStatus::Canceled, "0", NOW + 25, NOW + 26)];
    bench.pass.run(false, false, at(NOW + 340), bench.began + Duration::from_secs(40)).unwrap();
    bench.pass.run(false, false, at(NOW + 360), bench.began + Duration::from_secs(60)).unwrap();
    bench.pass.run(true, false, at(NOW + 380), bench.began + Duration::from_secs(80)).unwrap();
    assert_eq!(bench.events(), ["v1 new", "v1 canceled"]);
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within twenty seconds");
        std::thread::yield_now();
    }
}

#[test]
fn a_venue_that_hangs_delays_the_repair_of_no_other_account() {
    let (answer, hangs) = bounded(0);
    let hanging = Arc::new(venue_of("acc-2", true).hanging(hangs));
    let venue = Arc::new(venue_of("acc", true));
    let folder = tempfile::tempdir().unwrap();
    let (ledger, stop, heartbeats) = (ledger_in(&folder), Stop::new().unwrap(), Heartbeats::new());
    let (exits, ended) = bounded(8);
    let reconcilers =
        Reconcilers { threads: Threads::new(exits), heartbeats: heartbeats.clone(), ledger: Arc::clone(&ledger), clock: || at(NOW), token: stop.token() };
    let seats = [seat_at(&hanging), seat_at(&venue)];
    let held_up = reconcilers.spawn_for(&seats[0]).unwrap();
    wait_until("the other venue is asked", || hanging.held().asked.contains(&"replay".to_owned()));
    let at_work = reconcilers.spawn_for(&seats[1]).unwrap();
    wait_until("the account is counted", || seats[1].is_counted());
    venue.up.store(false, Relaxed);
    wait_until("the loss of the stream is noticed", || !seats[1].is_counted());
    *venue.held() = Held {
        orders: vec![order("v1", OrderStatus::Filled, "10", NOW + 1, NOW + 2)],
        fills: vec![fill("x-1", "v1", "10", NOW + 2)],
        piece: 1,
        ..Held::default()
    };
    venue.up.store(true, Relaxed);
    wait_until("the fill that nobody told", || events_of(&ledger) == ["v1 new", "v1 fill 10"]);
    assert!(!seats[0].is_counted());
    let (silent, _) = heartbeats.oldest(Instant::now()).unwrap();
    assert_eq!(&*silent, "reconcile-acc-2");
    stop.stop(StopKind::Shutdown);
    at_work.join_within(Duration::from_secs(20)).unwrap();
    drop(answer);
    held_up.join_within(Duration::from_secs(20)).unwrap();
    assert_eq!(ended.iter().take(2).map(|exit| exit.name.to_string()).collect::<Vec<_>>(), ["reconcile-acc", "reconcile-acc-2"]);
}
