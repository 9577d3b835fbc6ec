//! Accounts of which it becomes known while the desk is running which they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::Verdict;
use super::fixtures::{Does, Life, Venue, away, buy, live, live_among, result, venue};
use super::reconcile::Reconcilers;
use super::seat::COUNTED_WITHIN;
use super::seats::{Fate, Missing};
use super::*;
use crate::contract::parse_command;
use crate::events::EventBus;
use crate::journal::CommandState;
use crate::observe::Heartbeats;
use crate::risk::Limits;
use crate::runtime::{StopKind, Threads, wall_now};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn threads() -> Threads {
    Threads::new(crossbeam_channel::bounded(8).0)
}

/// A life whose account is not known yet.
fn late(folder: &tempfile::TempDir, venue: &Arc<Venue>) -> Life {
    live_among(folder, venue, Limits::default(), |seat| Seats::new([(seat.place(), None)]))
}

/// A real account that nobody knows, before the one that has come.
fn real() -> Place {
    Place { exchange: "alpaca".parse().unwrap(), account_name: "real".to_owned(), kind: "alpaca".to_owned(), live: true }
}

fn beside_real(folder: &tempfile::TempDir, venue: &Arc<Venue>) -> Life {
    let life = live_among(folder, venue, Limits::default(), |seat| Seats::new([(real(), None), (seat.place(), Some(Arc::clone(seat)))]));
    life.seat.count(&life.ledger).unwrap();
    life
}

fn come(life: &Life) {
    let look = || life.desk.fate(&parse_command(br#"{"action":"orders"}"#).unwrap(), false);
    let before = look();
    assert_eq!(life.desk.join(&life.seat), Some(Vec::new()));
    let come = look();
    assert!(matches!((before.1, come.1), (Fate::Waits, Fate::Waits)), "its venue has not been reached");
    life.seat.count(&life.ledger).unwrap();
    assert_eq!((come.0, look().0), (before.0, before.0 + 1), "who waited goes before who comes now");
}

fn fate(life: &Life, text: &str, again: bool) -> Fate {
    life.desk.fate(&parse_command(text.as_bytes()).unwrap(), again).1
}

fn told(answer: &Value) -> (&str, &str, &str) {
    let (result, advice) = result(answer);
    (result, advice, answer["rule"].as_str().unwrap_or_default())
}

const NOT_READY: (&str, &str, &str) = ("denied", "retry", "not_ready");

#[test]
fn a_new_command_waits_as_long_as_for_an_account_that_is_not_counted_and_one_read_before_for_ever() {
    let since = Instant::now();
    let awaited = Missing::Awaited { place: real(), since };
    let refused = Missing::Refused { place: real(), cause: "its keys are no good".to_owned() };
    let (before, after) = (since + COUNTED_WITHIN - Duration::from_millis(1), since + COUNTED_WITHIN);
    let waits = |missing: &Missing| [(false, before), (false, after), (true, before), (true, after)].map(|(again, now)| missing.is_waited_for(again, now));
    assert_eq!((waits(&awaited), waits(&refused)), ([true, false, true, true], [false, false, true, true]));
    assert_eq!(waits(&Missing::Unknown("nobody".to_owned())), [false; 4]);
}

#[test]
fn what_is_denied_for_want_of_a_seat_leaves_the_name_free() {
    let (folder, venue) = (folder(), venue());
    let life = late(&folder, &venue);
    for command in [&buy("b-1", 1), r#"{"action":"cancel","client_order_id":"b-1"}"#, r#"{"action":"cancel_all"}"#, r#"{"action":"orders"}"#] {
        assert!(matches!(fate(&life, command, false), Fate::Waits), "{command}");
        let denied = life.tell(command);
        assert_eq!((told(&denied), denied["broker"].as_str()), (NOT_READY, Some("paper")), "{denied}");
    }
    assert_eq!((venue.calls(), life.state("b-1")), (Vec::new(), None));
    come(&life);
    assert!(matches!(fate(&life, &buy("b-1", 1), false), Fate::Goes));
    assert_eq!(life.tell(&buy("b-1", 1))["result"], "accepted");
    assert_eq!((venue.calls(), life.desk.join(&life.seat)), (vec!["place b-1".to_owned()], None), "nobody comes twice");
}

#[test]
fn nobody_trades_on_another_account_because_one_is_late() {
    let (folder, venue) = (folder(), venue());
    let life = beside_real(&folder, &venue);
    let order = |words: &str| buy("b-1", 1).replacen('{', &format!("{{{words}"), 1);
    // The first is the default, and what is named may be the venue's name of it.
    for words in ["", r#""exchange":"alpaca","#, r#""account":"real","#, r#""account":"5eed-1","#] {
        assert!(matches!(fate(&life, &order(words), false), Fate::Waits), "{words}");
        let denied = life.tell(&order(words));
        assert_eq!((told(&denied), denied["broker"].as_str()), (NOT_READY, Some("alpaca")), "{denied}");
    }
    assert_eq!(told(&life.tell(r#"{"action":"cancel_all"}"#)), NOT_READY);
    for words in [r#""exchange":"binance","#, r#""exchange":"paper","account":"other","#] {
        assert!(matches!(fate(&life, &order(words), false), Fate::Goes), "{words}");
        let denied = life.tell(&order(words));
        let reason = "no broker of that name takes orders here; there is alpaca (account real), paper (account main)";
        assert_eq!((result(&denied), denied["reason"].as_str()), (("denied", "fix_request"), Some(reason)), "{denied}");
    }
    assert!(venue.calls().is_empty());
    for (name, words) in [("b-2", r#""exchange":"paper","#), ("b-3", r#""account":"main","#), ("b-4", r#""account":"paper-1","#)] {
        assert_eq!(life.tell(&buy(name, 1).replacen('{', &format!("{{{words}"), 1))["result"], "accepted", "{words}");
    }
}

#[test]
fn an_account_that_is_refused_keeps_its_place_and_what_was_read_before_is_left() {
    let (folder, venue) = (folder(), venue());
    let life = beside_real(&folder, &venue);
    life.desk.seats.refuse(&real().exchange, "real", "its keys are no good".to_owned());
    assert!(matches!(fate(&life, &buy("b-1", 1), true), Fate::Waits));
    let Fate::Denied(denied) = fate(&life, &buy("b-1", 1), false) else { panic!("not denied") };
    assert_eq!((denied.advice, denied.is_final(), denied.client_order_id.as_deref()), (Some("stop"), false, Some("b-1")));
    assert_eq!(denied.reason.as_deref(), Some("account real: its keys are no good"));
    assert!(venue.calls().is_empty());
}

#[test]
fn what_an_earlier_life_carried_out_is_answered_the_same_once_its_account_is_known() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let before = life.tell_at(&buy("b-1", 1), "5-0", wall_now(), false).unwrap();
    let canceled = life.tell_at(r#"{"action":"cancel","client_order_id":"b-1"}"#, "6-0", wall_now(), false).unwrap();
    drop(life);
    let life = late(&folder, &venue);
    for text in [&buy("b-1", 1), r#"{"action":"cancel","client_order_id":"b-1"}"#] {
        assert!(matches!(fate(&life, text, true), Fate::Waits));
    }
    come(&life);
    for (entry, text, before) in [("5-0", buy("b-1", 1), before), ("6-0", r#"{"action":"cancel","client_order_id":"b-1"}"#.to_owned(), canceled)] {
        assert!(matches!(fate(&life, &text, true), Fate::Goes));
        let mut again = life.tell_at(&text, entry, wall_now(), true).unwrap();
        assert_eq!(again.as_object_mut().unwrap().remove("repeated"), Some(true.into()), "{again}");
        assert_eq!(again, before);
    }
    assert_eq!(venue.calls(), ["place b-1", "cancel b-1"]);
}

#[test]
fn what_an_earlier_life_left_unsettled_is_looked_up_once_its_account_is_known() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.tell(&buy("b-1", 1));
    life.leave_submitting("b-1", 30);
    drop(life);
    let life = late(&folder, &venue);
    come(&life);
    let finders = Finders { threads: threads(), heartbeats: Heartbeats::new(), desk: Arc::clone(&life.desk), token: life.stop.token() };
    let looking = finders.spawn_for(&life.seat).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while life.state("b-1") != Some(CommandState::Answered) {
        assert!(Instant::now() < deadline, "not looked up");
        std::thread::sleep(Duration::from_millis(5));
    }
    life.stop.stop(StopKind::Shutdown);
    looking.join_within(Duration::from_secs(20)).unwrap();
    assert_eq!(venue.calls(), ["place b-1"]);
}

#[test]
fn a_seat_that_comes_late_is_counted_before_it_takes_anything() {
    let (folder, venue) = (folder(), venue());
    let life = late(&folder, &venue);
    let (ledger, token) = (Arc::clone(&life.ledger), life.stop.token());
    let reconcilers = Reconcilers { threads: threads(), heartbeats: Heartbeats::new(), ledger, clock: wall_now, token };
    assert_eq!(life.desk.join(&life.seat), Some(Vec::new()));
    let running = reconcilers.spawn_for(&life.seat).unwrap();
    // It waits for the count.
    assert_eq!(life.tell(&buy("b-1", 1))["result"], "accepted");
    assert!(life.seat.is_counted());
    life.stop.stop(StopKind::Shutdown);
    running.join_within(Duration::from_secs(20)).unwrap();
}

#[test]
fn halts_wait_for_nobody_and_bind_who_comes_later() {
    let (folder, venue) = (folder(), venue());
    let life = late(&folder, &venue);
    for (halt, lifted) in [
        (r#"{"action":"halt","reason":"night","scope":"all"}"#, r#"{"action":"resume","scope":"all"}"#),
        (r#"{"action":"halt","reason":"night","scope":"broker"}"#, r#"{"action":"resume","scope":"broker"}"#),
        (r#"{"action":"halt","reason":"night","bot":"b"}"#, r#"{"action":"resume","bot":"b"}"#),
    ] {
        assert!(matches!(fate(&life, halt, false), Fate::Goes));
        assert_eq!(life.tell(halt)["result"], "accepted", "{halt}");
        assert_eq!(life.tell(lifted)["result"], "accepted", "{lifted}");
    }
    // Its account has no name yet: more is halted, and never less lifted.
    let halted = life.tell(r#"{"action":"halt","reason":"night","scope":"account"}"#);
    assert_eq!(
        (&halted["result"], halted["reason"].as_str()),
        (&"accepted".into(), Some("it is not known which account main is: broker:paper is halted in its place"))
    );
    assert_eq!(told(&life.tell(r#"{"action":"resume","scope":"account"}"#)), NOT_READY);
    come(&life);
    let denied = life.tell(&buy("b-1", 1));
    assert_eq!((&denied["result"], &denied["rule"]), (&"denied".into(), &"halted".into()), "{denied}");
    assert!(venue.calls().is_empty());
    assert_eq!(life.tell(r#"{"action":"resume","scope":"broker"}"#)["result"], "accepted");
    assert_eq!(life.tell(&buy("b-2", 1))["result"], "accepted");
}

#[test]
fn what_a_halt_wanted_cancelled_is_cancelled_at_who_comes_later_as_long_as_it_is_in_force() {
    let (folder, venue) = (folder(), venue());
    let life = late(&folder, &venue);
    let halted = life.tell(r#"{"action":"halt","cancel_open":true,"scope":"account"}"#);
    life.tell(r#"{"action":"halt","cancel_open":true,"scope":"all"}"#);
    assert!(halted["reason"].as_str().unwrap().contains("what is open on main is cancelled as soon as"), "{halted}");
    life.desk.kill_switch(Some(r#"{"cancel_open":true}"#));
    life.tell(r#"{"action":"resume","scope":"broker"}"#);
    // What an earlier life sent and nobody has heard of since is wanted no more either.
    life.leave_submitting("b-9", 30);
    let account = &life.seat.of.account;
    let record = life.record("b-9").unwrap();
    life.ledger.journal().write(|step| step.put_command(account, &crate::journal::CommandRecord { state: CommandState::Unknown, ..record })).unwrap();
    venue.will([Does::Fails(away())]);
    let owed = life.desk.join(&life.seat).unwrap();
    assert_eq!(owed, [crate::risk::HaltScope::All], "the other is over");
    life.desk.cancel_owed(&life.seat, owed.clone());
    assert_eq!((venue.calls(), life.record("b-9").unwrap().cancel_wanted), (vec!["cancel_all".to_owned(); 2], true), "until it is done");
    life.desk.kill_switch(None);
    life.desk.cancel_owed(&life.seat, owed);
    assert_eq!(venue.calls().len(), 2, "the halt is over");
}

#[test]
fn a_halt_says_what_it_could_not_cancel_at_a_seat_that_has_just_come() {
    let (folder, venue) = (folder(), venue());
    let life = late(&folder, &venue);
    assert_eq!(life.desk.join(&life.seat), Some(Vec::new()));
    for (text, failure) in
        [(r#"{"action":"halt","cancel_open":true,"scope":"all"}"#, Does::Fails(away())), (r#"{"action":"halt","cancel_open":true}"#, Does::Obeys)]
    {
        let is_left = matches!(failure, Does::Fails(_));
        venue.will([failure]);
        let halted = life.tell(text);
        let said = halted["reason"].as_str().unwrap_or_default();
        assert_eq!((&halted["result"], said.contains("open orders at paper are not cancelled: ")), (&"accepted".into(), is_left), "{halted}");
    }
}

#[test]
fn who_comes_while_his_account_is_halted_ends_what_turns_out_to_be_open_there() {
    let (folder, venue) = (folder(), venue());
    let life = late(&folder, &venue);
    life.leave_submitting("b-9", 30);
    let missing = Missing::Awaited { place: life.seat.place(), since: Instant::now() };
    let command = parse_command(br#"{"action":"halt","cancel_open":true,"scope":"account"}"#).unwrap();
    assert_eq!(life.desk.join(&life.seat), Some(Vec::new()));
    life.desk.handle_without_seat(command, wall_now(), &missing, wall_now());
    assert_eq!((venue.calls(), life.record("b-9").unwrap().cancel_wanted), (vec!["cancel_all".to_owned()], true));
}

#[test]
fn a_halt_that_is_not_tried_again_may_be_in_force_though_its_account_is_awaited() {
    let (folder, venue) = (folder(), venue());
    let life = late(&folder, &venue);
    for (text, verdict) in [
        (r#"{"action":"halt","scope":"all"}"#, Verdict::Unknown),
        (r#"{"action":"resume","scope":"all"}"#, Verdict::Unknown),
        (r#"{"action":"orders"}"#, Verdict::Denied),
    ] {
        assert_eq!(life.desk.give_up(&parse_command(text.as_bytes()).unwrap(), "5-0", "it ends the broker").result, verdict, "{text}");
    }
}

#[test]
fn of_one_bot_only_its_own_orders_are_cancelled_and_only_once_they_are_known() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.tell(&buy("b-1", 1));
    life.tell(&buy("c-1", 1));
    drop(life);
    let life = late(&folder, &venue);
    life.tell(r#"{"action":"halt","cancel_open":true,"bot":"b"}"#);
    let owed = life.desk.join(&life.seat).unwrap();
    let (desk, seat) = (Arc::clone(&life.desk), Arc::clone(&life.seat));
    let canceling = std::thread::spawn(move || desk.cancel_owed(&seat, owed));
    life.seat.count(&life.ledger).unwrap();
    canceling.join().unwrap();
    assert_eq!(venue.calls(), ["place b-1", "place c-1", "cancel b-1"]);
}

#[test]
fn who_is_awaited_is_shown_in_his_place_and_with_real_money() {
    let (folder, venue) = (folder(), venue());
    let life = beside_real(&folder, &venue);
    let halts = Arc::new(HaltFile::open(folder.path().join("none.json")).unwrap());
    let stock = Stock::new(Arc::clone(&life.desk.seats), halts, Arc::default(), EventBus::new());
    let shown = |stock: &Stock| stock.take(Instant::now(), wall_now()).into_iter().map(|b| (b.name, b.live, b.connection, b.account_id)).collect::<Vec<_>>();
    let of = |name: &str, live, connection: &str, id: &str| (name.to_owned(), live, connection.to_owned(), id.to_owned());
    let paper = || of("paper", false, "connected", "paper-1");
    assert_eq!(shown(&stock), [of("alpaca", true, "connecting", ""), paper()]);
    assert_eq!(stock.take(Instant::now(), wall_now())[0].health.score, 0.0);
    life.desk.seats.refuse(&real().exchange, "real", "its keys are no good".to_owned());
    assert_eq!(shown(&stock), [of("alpaca", true, "disconnected", ""), paper()]);
    assert_eq!(stock.take(Instant::now(), wall_now())[0].health.reasons, ["its keys are no good"]);
}
