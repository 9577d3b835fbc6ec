use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::*;
use crossbeam_channel::bounded;

use crate::desk::fixtures::{Does, Life, Venue, buy, close, live, lost, result, seat_at, venue, venue_of, venue_that};
use crate::observe::Heartbeats;
use crate::risk::Limits;
use crate::runtime::{StopKind, wall_now};

/// Looks as the thread would, at these milliseconds after the beginning.
fn look(life: &Life, at: &[u64]) {
    let (start, mut lookups) = (Instant::now(), Lookups::new(&life.desk, &life.seat));
    lookups.refresh(start).unwrap();
    for millis in at {
        lookups.refresh(start + Duration::from_millis(*millis)).unwrap();
        lookups.look(&life.stop.token(), start + Duration::from_millis(*millis), || ());
    }
}

const TWICE: [u64; 4] = [500, 1_000, 2_000, 5_000];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A life after one that ended while it sent `b-1`.
fn after_death(venue: &Arc<Venue>, expires_in: i64, folder: &tempfile::TempDir) -> Life {
    let life = live(folder, venue);
    life.leave_submitting("b-1", expires_in);
    drop(life);
    live(folder, venue)
}

fn finders(life: &Life) -> Finders {
    let threads = Threads::new(crossbeam_channel::bounded(8).0);
    Finders { threads, heartbeats: Heartbeats::new(), desk: Arc::clone(&life.desk), token: life.stop.token() }
}

#[test]
fn an_order_whose_answer_was_lost_is_found_and_adopted() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses]);
    life.tell(&buy("b-1", 1));
    venue.deaf.store(true, Relaxed);
    look(&life, &[500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000]);
    assert_eq!((life.state("b-1"), venue.calls().len()), (Some(CommandState::Unknown), 1), "who cannot be asked proves nothing");
    venue.deaf.store(false, Relaxed);
    look(&life, &[500]);
    assert_eq!((life.state("b-1"), life.streamed()), (Some(CommandState::Answered), vec!["unknown".to_owned(), "accepted".to_owned()]));
    assert_eq!(life.tell(&buy("b-1", 1))["repeated"], true);
    assert_eq!(venue.calls(), ["place b-1"]);
}

#[test]
fn what_a_dead_process_had_sent_is_found_by_the_next() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.tell(&buy("b-1", 1));
    let life = {
        life.leave_submitting("b-1", 30);
        drop(life);
        live(&folder, &venue)
    };
    look(&life, &[500]);
    assert_eq!((life.state("b-1"), venue.calls().len()), (Some(CommandState::Answered), 1));
}

#[test]
fn what_a_dead_process_had_not_sent_is_sent_under_the_same_name_once() {
    let (folder, venue) = (folder(), venue());
    let life = after_death(&venue, 30, &folder);
    look(&life, &[500]);
    assert_eq!((life.state("b-1"), life.streamed(), venue.calls().len()), (Some(CommandState::Unknown), vec!["unknown".to_owned()], 0));
    look(&life, &TWICE);
    assert_eq!((venue.calls(), life.streamed()), (vec!["place b-1".to_owned()], vec!["unknown".to_owned(), "accepted".to_owned()]));
    assert_eq!((life.record("b-1").unwrap().sent, life.counted()), (2, 1));
}

#[test]
fn what_has_expired_never_arrived() {
    let (folder, venue) = (folder(), venue());
    let life = after_death(&venue, -1, &folder);
    look(&life, &TWICE);
    assert_eq!((venue.calls().len(), life.streamed(), life.counted()), (0, vec!["unknown".to_owned(), "never_arrived".to_owned()], 0));
    let told = life.tell(&buy("b-1", 1));
    assert_eq!((result(&told).0, told["reason"].as_str()), ("rejected", Some("the venue never heard of it, and it has expired since")));
}

#[test]
fn a_halt_lets_nothing_be_sent_again() {
    let (folder, venue) = (folder(), venue());
    let life = after_death(&venue, 30, &folder);
    life.tell(r#"{"action":"halt","scope":"all","reason":"news"}"#);
    look(&life, &TWICE);
    assert_eq!((venue.calls().len(), life.streamed()), (0, vec!["unknown".to_owned(), "never_arrived".to_owned()]));
}

#[test]
fn where_a_name_may_be_taken_twice_nothing_is_sent_again() {
    let (folder, venue) = (folder(), venue_that(|able| able.unique_client_ids = false));
    let life = after_death(&venue, 30, &folder);
    look(&life, &TWICE);
    assert_eq!((venue.calls().len(), life.streamed()), (0, vec!["unknown".to_owned(), "never_arrived".to_owned()]));
}

#[test]
fn without_the_lease_nothing_is_sent_again_and_nothing_given_up() {
    let (folder, venue) = (folder(), venue());
    let life = after_death(&venue, 30, &folder);
    life.lease.store(false, Relaxed);
    look(&life, &TWICE);
    assert_eq!((venue.calls().len(), life.state("b-1")), (0, Some(CommandState::Unknown)));
    life.lease.store(true, Relaxed);
    look(&life, &TWICE);
    assert_eq!(venue.calls(), ["place b-1"]);
}

#[test]
fn an_order_that_shows_late_is_not_doubled() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses]);
    life.tell(&buy("b-1", 1));
    venue.blind.store(true, Relaxed);
    look(&life, &TWICE);
    // The venue refuses the name, for it has the order all along.
    assert_eq!((venue.calls(), venue.orders.lock().len()), (vec!["place b-1".to_owned(), "place b-1".to_owned()], 1));
    assert_eq!(life.state("b-1"), Some(CommandState::Unknown));
    venue.blind.store(false, Relaxed);
    look(&life, &[500]);
    assert_eq!((life.streamed(), life.counted()), (vec!["unknown".to_owned(), "accepted".to_owned()], 1));
}

#[test]
fn an_order_that_was_to_be_cancelled_is_when_it_is_found_and_never_sent_again() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses, Does::Fails(lost())]);
    for name in ["b-1", "b-2"] {
        life.tell(&buy(name, 1));
        life.tell(&format!(r#"{{"action":"cancel","client_order_id":"{name}"}}"#));
    }
    look(&life, &[0, 1_000, 2_000, 5_000]);
    assert_eq!(venue.calls(), ["place b-1", "place b-2", "cancel b-1"]);
    assert_eq!((life.state("b-1"), life.state("b-2")), (Some(CommandState::Answered), Some(CommandState::Answered)));
    assert!(life.streamed().contains(&"never_arrived".to_owned()), "{:?}", life.streamed());
}

#[test]
fn the_name_of_another_order_is_a_conflict_however_late_it_shows() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Fails(lost())]);
    life.tell(&buy("b-1", 1));
    let elsewhere = self::folder();
    let other = live(&elsewhere, &venue);
    other.tell(&buy("b-1", 7));
    look(&life, &[500]);
    assert_eq!((life.streamed(), life.counted()), (vec!["unknown".to_owned(), "place is denied".to_owned()], 0));
    assert_eq!(life.tell(&buy("b-1", 1))["rule"], "id_conflict");
}

#[test]
fn a_change_is_found_or_has_never_arrived_and_is_not_sent_again() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let change = |old: &str, new: &str| life.tell(&format!(r#"{{"action":"modify","client_order_id":"{old}","qty":5,"new_client_order_id":"{new}"}}"#));
    life.tell(&buy("b-1", 4));
    venue.will([Does::Loses]);
    change("b-1", "b-2");
    life.tell(&buy("b-3", 4));
    venue.will([Does::Fails(lost())]);
    change("b-3", "b-4");
    look(&life, &TWICE);
    let told = life.streamed();
    assert_eq!(told.iter().filter(|word| *word == "modify is unknown").count(), 2);
    assert!(told.contains(&"modify is accepted".to_owned()) && told.contains(&"modify is rejected".to_owned()), "{told:?}");
    assert_eq!(venue.calls(), ["place b-1", "modify b-2", "place b-3", "modify b-4"]);
    assert_eq!(change("b-3", "b-4")["reason"], "the change never arrived; the order is new");
}

#[test]
fn the_thread_finds_what_a_worker_leaves_unknown() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let thread = finders(&life).spawn_for(&life.seat).unwrap();
    venue.will([Does::Loses]);
    assert_eq!(result(&life.tell(&buy("b-1", 1))).0, "unknown");
    let deadline = Instant::now() + Duration::from_secs(20);
    while life.state("b-1") != Some(CommandState::Answered) {
        assert!(Instant::now() < deadline, "not found within twenty seconds");
        std::thread::yield_now();
    }
    life.stop.stop(StopKind::Shutdown);
    thread.join_within(Duration::from_secs(20)).unwrap();
}

#[test]
fn what_is_refused_when_sent_again_may_have_arrived_the_first_time() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses]);
    life.tell(&buy("b-1", 1));
    venue.blind.store(true, Relaxed);
    venue.will([Does::Fails(BrokerError::Rejected { code: None, reason: "insufficient buying power".to_owned() })]);
    let shown = Arc::downgrade(&venue);
    *venue.on_place.lock() = Some(Box::new(move || shown.upgrade().unwrap().blind.store(false, Relaxed)));
    look(&life, &TWICE);
    assert_eq!((venue.calls().len(), life.state("b-1"), life.streamed()), (2, Some(CommandState::Unknown), vec!["unknown".to_owned()]));
    look(&life, &[500]);
    assert_eq!((life.streamed(), life.counted()), (vec!["unknown".to_owned(), "accepted".to_owned()], 1));
}

#[test]
fn a_change_that_another_has_overtaken_is_refused_and_not_looked_for_for_ever() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let change = |new: &str| life.tell(&format!(r#"{{"action":"modify","client_order_id":"b-1","qty":5,"new_client_order_id":"{new}"}}"#));
    life.tell(&buy("b-1", 4));
    venue.will([Does::Fails(lost())]);
    change("b-2");
    assert_eq!(result(&change("b-3")).0, "accepted");
    look(&life, &TWICE);
    assert_eq!(life.state("b-2"), Some(CommandState::Answered), "{:?}", life.streamed());
    let told = change("b-2");
    assert_eq!((result(&told).0, told["reason"].as_str()), ("rejected", Some("another change came first: b-3 stands in the place of the order")));
}

#[test]
fn the_end_of_a_change_that_is_wanted_while_the_venue_is_asked_for_it_comes() {
    // It has arrived, or has not and leaves the order that it was to change: asked for by its name four times, then for that one.
    for (does, asks, left) in [(Does::Loses, 1, "b-2"), (Does::Fails(lost()), 5, "b-1")] {
        let (folder, venue) = (folder(), venue());
        let life = live(&folder, &venue);
        life.tell(&buy("b-1", 4));
        venue.will([does]);
        life.tell(r#"{"action":"modify","client_order_id":"b-1","qty":5,"new_client_order_id":"b-2"}"#);
        let (desk, asked) = (Arc::downgrade(&life.desk), std::sync::atomic::AtomicU32::new(0));
        *venue.on_ask.lock() = Some(Box::new(move || {
            if asked.fetch_add(1, Relaxed) + 1 == asks {
                let cancel = parse_command(br#"{"action":"cancel","client_order_id":"b-2"}"#).unwrap();
                desk.upgrade().unwrap().handle(cancel, "9-0", wall_now(), false).unwrap();
            }
        }));
        look(&life, &TWICE);
        *venue.on_ask.lock() = None;
        assert_eq!((life.state("b-2"), venue.calls().last()), (Some(CommandState::Answered), Some(&format!("cancel {left}"))), "{:?}", life.streamed());
    }
}

#[test]
fn each_look_is_a_sign_of_life() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses, Does::Loses, Does::Loses]);
    ["b-1", "b-2", "b-3"].iter().for_each(|name| drop(life.tell(&buy(name, 1))));
    let (start, mut lookups, beats) = (Instant::now(), Lookups::new(&life.desk, &life.seat), std::cell::Cell::new(0));
    lookups.refresh(start).unwrap();
    lookups.look(&life.stop.token(), start + Duration::from_secs(1), || beats.set(beats.get() + 1));
    assert_eq!(beats.get(), 3);
}

#[test]
fn an_order_that_arrives_after_it_was_given_up_can_be_cancelled() {
    let (folder, venue) = (folder(), venue());
    let life = after_death(&venue, -1, &folder);
    look(&life, &TWICE);
    let cancel = || life.tell(r#"{"action":"cancel","client_order_id":"b-1"}"#);
    assert_eq!(cancel()["reason"], "the order is rejected and cannot be changed any more");
    let elsewhere = self::folder();
    live(&elsewhere, &venue).tell(&buy("b-1", 1));
    assert_eq!(result(&cancel()).0, "accepted");
}

#[test]
fn who_ends_everything_ends_what_turns_up_later_too() {
    let ways: [&dyn Fn(&Life); 4] = [
        &|life| drop(life.tell(r#"{"action":"cancel_all"}"#)),
        &|life| drop(life.tell(r#"{"action":"cancel_all","symbol":"AAPL"}"#)),
        &|life| drop(life.tell(r#"{"action":"halt","bot":"b","cancel_open":true}"#)),
        &|life| life.desk.kill_switch(Some(r#"{"reason":"news","cancel_open":true}"#)),
    ];
    for (at, end_all) in ways.iter().enumerate() {
        let (folder, venue) = (folder(), venue());
        let life = live(&folder, &venue);
        venue.will([Does::Loses]);
        life.tell(&buy("b-1", 1));
        venue.will([Does::Fails(lost())]);
        life.tell(&buy("b-2", 1));
        // The venue does not show yet what it has, to those who end it either.
        let order = venue.orders.lock().remove("b-1").unwrap();
        end_all(&life);
        venue.orders.lock().insert("b-1".to_owned(), order);
        look(&life, &TWICE);
        assert!(!venue.orders.lock()["b-1"].status.is_open(), "{at}");
        assert_eq!((life.state("b-1"), life.state("b-2")), (Some(CommandState::Answered), Some(CommandState::Answered)), "{at}");
        assert_eq!(venue.calls().iter().filter(|call| *call == "place b-2").count(), 1, "{at}");
    }
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses]);
    life.tell(&buy("b-1", 1));
    life.tell(r#"{"action":"cancel_all","symbol":"MSFT"}"#);
    look(&life, &TWICE);
    assert!(venue.orders.lock()["b-1"].status.is_open(), "another symbol");
}

#[test]
fn what_a_dead_process_was_sending_is_not_sent_after_everything_was_cancelled() {
    let ends = [r#"{"action":"cancel_all"}"#, r#"{"action":"cancel_all","symbol":"AAPL"}"#];
    for end_all in ends {
        let (folder, venue) = (folder(), venue());
        let life = after_death(&venue, 30, &folder);
        life.tell(end_all);
        look(&life, &TWICE);
        assert_eq!((venue.calls(), life.state("b-1")), (vec!["cancel_all".to_owned()], Some(CommandState::Answered)), "{end_all}");
    }
}

/// A life in which the outcome of closing ten is not known, and which may send it for a minute.
fn closing(folder: &tempfile::TempDir, venue: &Arc<Venue>) -> Life {
    let life = live(folder, venue);
    venue.holds(10);
    venue.will([Does::Fails(lost())]);
    let until = crate::model::Timestamp::from_nanos(crate::runtime::wall_now().nanos() + 60_000_000_000);
    life.tell(&close("b-1").replacen('{', &format!(r#"{{"expires_at":"{until}","#), 1));
    life
}

#[test]
fn a_position_that_was_closed_otherwise_is_not_closed_again() {
    for held in [0, 4, -10] {
        let (folder, venue) = (folder(), venue());
        let life = closing(&folder, &venue);
        venue.holds(held);
        look(&life, &TWICE);
        assert_eq!((venue.calls(), life.state("b-1"), life.counted()), (vec!["place b-1".to_owned()], Some(CommandState::Answered), 0), "{held}");
    }
    let (folder, venue) = (folder(), venue());
    let life = closing(&folder, &venue);
    look(&life, &TWICE);
    assert_eq!((venue.calls().len(), life.state("b-1")), (2, Some(CommandState::Answered)), "still held");
}

#[test]
fn an_order_that_the_stream_has_told_of_has_arrived_though_it_is_not_shown() {
    let (folder, venue) = (folder(), venue());
    let life = after_death(&venue, -1, &folder);
    let (ledger, of) = (Arc::clone(&life.ledger), life.seat.of.clone());
    *venue.on_answer.lock() = Some(Box::new(move |order| {
        let (order, at) = (Arc::new(order.clone()), crate::runtime::wall_now());
        let source = crate::events::Source::Stream;
        let told = crate::events::OrderUpdate {
            of: of.clone(),
            change: OrderChange::New,
            order,
            execution_id: None,
            fill: None,
            reason: None,
            at,
            source,
            words: None,
        };
        ledger.take(&[told]).unwrap();
    }));
    // The process before had sent `b-1`, which has expired since.
    live(&self::folder(), &venue).tell(&buy("b-1", 1));
    life.tell(&buy("b-2", 1));
    venue.will([Does::Loses]);
    life.tell(r#"{"action":"modify","client_order_id":"b-2","qty":5,"new_client_order_id":"b-3"}"#);
    venue.blind.store(true, Relaxed);
    look(&life, &TWICE);
    assert_eq!((life.state("b-1"), life.state("b-3")), (Some(CommandState::Unknown), Some(CommandState::Unknown)), "{:?}", life.streamed());
    venue.blind.store(false, Relaxed);
    look(&life, &[500]);
    assert_eq!((life.state("b-1"), life.state("b-3")), (Some(CommandState::Answered), Some(CommandState::Answered)));
    let told = life.streamed();
    assert!(told.contains(&"modify is accepted".to_owned()) && !told.iter().any(|word| word == "never_arrived" || word == "modify is rejected"), "{told:?}");
}

#[test]
fn nothing_is_sent_again_of_which_a_clock_that_was_set_back_does_not_tell_the_age() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.leave_submitting("b-1", 305);
    let record = life.record("b-1").unwrap();
    let ahead = CommandRecord { received: crate::model::Timestamp::from_nanos(record.received.nanos() + 300_000_000_000), ..record };
    life.ledger.journal().write(|step| step.put_command(&life.seat.of.account, &ahead)).unwrap();
    look(&life, &TWICE);
    assert_eq!((venue.calls().len(), life.state("b-1")), (0, Some(CommandState::Answered)));
}

#[test]
fn a_venue_that_hangs_delays_the_lookups_of_no_other_account() {
    let (folder, venue, hanging) = (folder(), venue(), venue_of("paper-2", |_| ()));
    let life = live(&folder, &venue);
    let other = seat_at(&hanging, Limits::default());
    life.leave_submitting_at(&other, "b-1", 30);
    let ((say, asked), (answer, hangs)) = (bounded(1), bounded::<()>(0));
    *hanging.on_ask.lock() = Some(Box::new(move || {
        let _ = say.try_send(());
        let _ = hangs.recv();
    }));
    let finders = finders(&life);
    let held_up = finders.spawn_for(&other).unwrap();
    asked.recv_timeout(Duration::from_secs(20)).unwrap();
    let at_work = finders.spawn_for(&life.seat).unwrap();
    venue.will([Does::Loses]);
    assert_eq!(result(&life.tell(&buy("b-1", 1))).0, "unknown");
    let deadline = Instant::now() + Duration::from_secs(20);
    while life.state("b-1") != Some(CommandState::Answered) {
        assert!(Instant::now() < deadline, "not found within twenty seconds");
        std::thread::yield_now();
    }
    let unsettled = life.ledger.journal().unsettled(&other.of.account).unwrap();
    assert_eq!(unsettled.iter().map(|record| record.state).collect::<Vec<_>>(), [CommandState::Submitting]);
    life.stop.stop(StopKind::Shutdown);
    at_work.join_within(Duration::from_secs(20)).unwrap();
    drop(answer);
    held_up.join_within(Duration::from_secs(20)).unwrap();
}
