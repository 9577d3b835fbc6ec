//! Commands over a venue that loses answers and a process that dies: at most once there, an answer always.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::json;

use super::fixtures::{Does, away, buy, live, live_with, lost, result, venue};
use crate::exchanges::BrokerError;
use crate::journal::{CommandState, Journal};
use crate::model::{OrderStatus, Timestamp};
use crate::risk::Limits;
use crate::runtime::{StopKind, wall_now};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Until not even a word fits any more.
fn fill(journal: &Journal) {
    for size in [2_000, 200, 20, 1] {
        let padding = "x".repeat(size);
        while journal.write(|step| step.note("p", wall_now(), "d", &padding)).is_ok() {}
    }
}

fn full() -> BrokerError {
    BrokerError::RateLimited { after: Some(Duration::from_millis(10)) }
}

#[test]
fn five_deliveries_of_one_command_are_one_order_and_five_answers() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let answers: Vec<_> = (0..5).map(|n| life.tell_at(&buy("b-1", 1), &format!("{}-0", n / 2), wall_now(), n % 2 == 1).unwrap()).collect();
    assert!(answers.iter().all(|answer| result(answer).0 == "accepted" && answer["order"]["id"] == "v-b-1"), "{answers:?}");
    assert!(answers.iter().skip(1).all(|answer| answer["repeated"] == true));
    drop(life);
    let life = live(&folder, &venue);
    assert_eq!(life.tell_at(&buy("b-1", 1), "9-0", Timestamp::default(), true).unwrap()["repeated"], true, "after a restart, however late");
    assert_eq!((venue.calls(), life.streamed()), (vec!["place b-1".to_owned()], vec!["accepted".to_owned()]));
}

#[test]
fn the_same_in_another_spelling_is_the_same_and_another_body_is_a_conflict() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.tell(&buy("b-1", 10));
    let same =
        r#"{"qty":"1e1","type":"limit","limit_price":90.00,"side":"buy","symbol":"AAPL","time_in_force":"gtc","client_order_id":"b-1","action":"place"}"#;
    assert_eq!(life.tell(same)["repeated"], true);
    let other = life.tell(&buy("b-1", 11));
    assert_eq!((result(&other), other["rule"].as_str()), (("denied", "fix_request"), Some("id_conflict")));
    assert_eq!((life.streamed(), venue.calls().len()), (vec!["accepted".to_owned(), "place is denied".to_owned()], 1));
    assert_eq!(life.tell(&buy("b-1", 10))["repeated"], true, "the order is as it was");
}

#[test]
fn a_denial_is_repeated_and_one_that_time_may_change_leaves_the_name_free() {
    let (folder, venue) = (folder(), venue());
    let life = live_with(&folder, &venue, Limits { max_order_quantity: Some(5.into()), ..Limits::default() });
    let denied = life.tell(&buy("b-1", 6));
    assert_eq!(life.tell(&buy("b-1", 6))["reason"], denied["reason"]);
    assert_eq!(life.streamed(), ["denied"]);
    life.lease.store(false, Relaxed);
    let unsure = life.tell(&buy("b-2", 1));
    assert_eq!((result(&unsure), unsure["reason"].as_str()), (("denied", "retry"), Some("another broker may hold the lease")));
    assert_eq!((life.counted(), life.state("b-2"), venue.calls().len()), (0, None, 0));
    life.lease.store(true, Relaxed);
    assert_eq!(result(&life.tell(&buy("b-2", 1))).0, "accepted");
    assert_eq!(life.streamed(), ["denied", "place is denied", "accepted"]);
}

#[test]
fn what_the_venue_did_not_take_is_sent_again_while_it_may_be() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Fails(full()), Does::Fails(away())]);
    assert_eq!(result(&life.tell(&buy("b-1", 1))).0, "accepted");
    venue.will([Does::Fails(away()), Does::Fails(away()), Does::Fails(away())]);
    assert_eq!(result(&life.tell(&buy("b-2", 1))), ("denied", "retry"));
    let patient = BrokerError::RateLimited { after: Some(Duration::from_secs(60)) };
    venue.will([Does::Fails(patient)]);
    assert_eq!(life.tell(&buy("b-3", 1))["retry_after_ms"], 60_000);
    assert_eq!((venue.calls().len(), life.counted()), (7, 1));
    assert_eq!(result(&life.tell(&buy("b-2", 1))).0, "accepted", "the name is free");
    assert_eq!(life.tell(&buy("b-2", 2))["rule"], "id_conflict");
}

#[test]
fn an_unknown_outcome_is_told_and_is_never_sent_by_a_second_delivery() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses]);
    assert_eq!(result(&life.tell(&buy("b-1", 1))), ("unknown", "look_up"));
    assert_eq!(result(&life.tell(&buy("b-1", 1))), ("unknown", "look_up"));
    assert_eq!((life.state("b-1"), life.streamed(), life.counted()), (Some(CommandState::Unknown), vec!["unknown".to_owned()], 1));
    assert_eq!(venue.calls(), ["place b-1"]);
}

#[test]
fn the_record_stands_before_the_venue_hears_of_it() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let (ledger, account) = (Arc::clone(&life.ledger), life.seat.of.account.clone());
    let (tell, seen) = crossbeam_channel::bounded(1);
    *venue.on_place.lock() = Some(Box::new(move || {
        let record = ledger.journal().command(&account, "b-1").unwrap().unwrap();
        tell.send((record.state, record.request.is_some())).unwrap();
    }));
    life.tell(&buy("b-1", 1));
    assert_eq!(seen.recv().unwrap(), (CommandState::Submitting, true));
    let sources: Vec<_> = life.ledger.journal().timeline("b-1").unwrap().into_iter().map(|moment| moment.source).collect();
    assert!(["bot", "risk", "http", "desk"].iter().all(|source| sources.iter().any(|other| other == source)), "{sources:?}");
}

#[test]
fn what_cannot_be_kept_is_not_sent() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let journal: &Journal = life.ledger.journal();
    life.tell(&buy("b-0", 1));
    journal.limit_pages(1);
    fill(journal);
    let denied = life.tell(&buy("b-1", 1));
    assert_eq!((result(&denied), denied["rule"].as_str()), (("denied", "stop"), Some("not_ready")), "{denied}");
    assert!(denied["reason"].as_str().unwrap().starts_with("commands cannot be kept: "));
    assert_eq!((venue.calls().len(), life.counted()), (1, 1));
    assert_eq!(result(&life.tell(r#"{"action":"cancel","client_order_id":"b-0"}"#)).0, "accepted", "cancels pass");
    journal.limit_pages(0);
    assert_eq!(result(&life.tell(&buy("b-1", 1))).0, "accepted");
}

#[test]
fn an_answer_that_cannot_be_kept_is_not_told_and_the_next_life_finds_the_order() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let (ledger, stop) = (Arc::clone(&life.ledger), life.stop.clone());
    *venue.on_place.lock() = Some(Box::new(move || {
        ledger.journal().limit_pages(1);
        fill(ledger.journal());
        stop.stop(StopKind::Shutdown);
    }));
    assert_eq!(life.tell_at(&buy("b-1", 1), "1-0", wall_now(), false), None);
    assert_eq!(life.state("b-1"), Some(CommandState::Submitting));
    *venue.on_place.lock() = None;
    life.ledger.journal().limit_pages(0);
    drop(life);
    let life = live(&folder, &venue);
    assert_eq!(result(&life.tell_at(&buy("b-1", 1), "1-0", wall_now(), true).unwrap()), ("unknown", "look_up"));
    assert_eq!(venue.calls(), ["place b-1"]);
}

#[test]
fn a_name_that_only_the_venue_remembers_is_the_order_or_a_conflict() {
    let (folder, venue) = (folder(), venue());
    drop({
        let before = live(&folder, &venue);
        before.tell(&buy("b-1", 1));
        before.tell(&buy("b-2", 1));
        before.tell(&buy("b-3", 1));
        before
    });
    let elsewhere = self::folder();
    let life = live(&elsewhere, &venue);
    venue.orders.lock().values_mut().for_each(|order| order.status = OrderStatus::Filled);
    life.seat.count(&life.ledger).unwrap();
    assert_eq!(life.tell(&buy("b-1", 1))["order"]["id"], "v-b-1");
    assert_eq!(life.tell(&buy("b-2", 2))["rule"], "id_conflict");
    let again = life.tell_at(&buy("b-3", 1), "7-0", wall_now(), true).unwrap();
    assert_eq!((again["repeated"].as_bool(), again["order"]["id"].as_str()), (Some(true), Some("v-b-3")));
    assert_eq!(venue.calls().iter().filter(|call| *call == "place b-3").count(), 1, "asked first, for it came again");
    assert_eq!(life.streamed(), ["accepted", "place is denied", "accepted"]);
}

#[test]
fn what_comes_again_and_cannot_be_asked_for_is_looked_up_and_not_sent() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.deaf.store(true, Relaxed);
    assert_eq!(result(&life.tell_at(&buy("b-1", 1), "1-0", wall_now(), true).unwrap()), ("unknown", "look_up"));
    assert_eq!((life.record("b-1").unwrap().sent, venue.calls().len()), (0, 0));
}

#[test]
fn a_command_waits_only_so_long() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let sent = |seconds: i64| Timestamp::from_nanos(wall_now().nanos() - seconds * 1_000_000_000);
    let market = r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":1}"#;
    let late = life.tell_at(market, "1-0", sent(7), false).unwrap();
    assert_eq!(
        (late["rule"].as_str(), late["reason"].as_str()),
        (Some("expired"), Some("the command was sent 7 s ago; after 5 s it is not carried out any more"))
    );
    assert_eq!(life.tell_at(&buy("b-2", 1), "2-0", sent(31), true).unwrap()["rule"], "expired");
    assert_eq!(result(&life.tell_at(&buy("b-3", 1), "3-0", sent(20), false).unwrap()).0, "accepted");
    let longer = buy("b-4", 1).replacen('{', &format!(r#"{{"expires_at":"{}","#, sent(-60)), 1);
    assert_eq!(result(&life.tell_at(&longer, "4-0", sent(300), false).unwrap()).0, "accepted");
    assert_eq!(life.streamed(), ["denied", "denied", "accepted", "accepted"]);
}

#[test]
fn a_cancel_is_done_again_without_harm_and_says_what_it_found() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    for name in ["b-1", "b-2", "b-3"] {
        life.tell(&buy(name, 1));
    }
    let cancel = |name: &str| life.tell(&format!(r#"{{"action":"cancel","client_order_id":"{name}"}}"#));
    venue.will([Does::Loses]);
    assert_eq!((result(&cancel("b-1")).0, venue.calls().len()), ("accepted", 4), "it was cancelled, as a look shows");
    venue.will([Does::Fails(lost()), Does::Fails(lost())]);
    assert_eq!((result(&cancel("b-2")), venue.calls().len()), (("unknown", "look_up"), 6), "sent twice");
    venue.set("b-3", |order| order.status = OrderStatus::Filled);
    venue.will([Does::Fails(lost())]);
    let filled = cancel("b-3");
    assert_eq!((result(&filled).0, filled["order"]["status"].as_str()), ("rejected", Some("filled")));
    assert_eq!(life.streamed().split_off(3), ["cancel is accepted", "cancel is unknown", "cancel is rejected"]);
    venue.will([Does::Fails(BrokerError::Rejected { code: None, reason: "no".to_owned() })]);
    life.tell(&buy("b-4", 1));
    let calls = venue.calls().len();
    assert_eq!((cancel("b-4")["reason"].as_str(), venue.calls().len()), (Some("the order is rejected and cannot be changed any more"), calls + 1));
}

#[test]
fn a_cancel_of_an_order_that_nobody_knows_of_is_remembered() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses]);
    life.tell(&buy("b-1", 1));
    let cancel = life.tell(r#"{"action":"cancel","client_order_id":"b-1"}"#);
    assert_eq!((result(&cancel), life.record("b-1").unwrap().cancel_wanted), (("unknown", "look_up"), true));
    assert_eq!((venue.calls(), life.streamed()), (vec!["place b-1".to_owned()], vec!["unknown".to_owned(), "cancel is unknown".to_owned()]));
}

#[test]
fn a_change_always_has_a_name_and_is_made_once() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    life.tell(&buy("b-1", 4));
    let change = r#"{"action":"modify","client_order_id":"b-1","qty":5}"#;
    let changed = life.tell_at(change, "1763733269123-1", wall_now(), false).unwrap();
    assert_eq!((result(&changed).0, changed["client_order_id"].as_str()), ("accepted", Some("b-1")));
    assert_eq!(changed["order"]["client_order_id"], "b-m17637332691231");
    let again = life.tell_at(change, "1763733269123-1", wall_now(), true).unwrap();
    assert_eq!((again["repeated"].as_bool(), &again["order"]), (Some(true), &changed["order"]));
    assert_eq!((venue.calls().len(), life.streamed()), (2, vec!["accepted".to_owned(), "modify is accepted".to_owned()]));
    let named = |quantity: u32| format!(r#"{{"action":"modify","client_order_id":"b-m17637332691231","qty":{quantity},"new_client_order_id":"b-3"}}"#);
    venue.will([Does::Loses]);
    assert_eq!(result(&life.tell(&named(6))), ("unknown", "look_up"));
    assert_eq!(result(&life.tell(&named(6))), ("unknown", "look_up"));
    assert_eq!(life.tell(&named(7))["rule"], json!("id_conflict"));
    assert_eq!(venue.calls().len(), 3);
}

#[test]
fn an_entry_that_was_answered_is_not_carried_out_again_after_a_death_and_hears_the_same() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    for name in ["b-1", "b-2"] {
        life.tell(&buy(name, 1));
    }
    let cancel = r#"{"action":"cancel","client_order_id":"b-1"}"#;
    let all = r#"{"action":"cancel_all"}"#;
    life.lease.store(false, Relaxed);
    let entries = [("1-0", cancel.to_owned()), ("2-0", all.to_owned()), ("3-0", buy("b-3", 1))];
    let first: Vec<_> = entries.iter().map(|(entry, text)| life.tell_at(text, entry, wall_now(), false).unwrap()).collect();
    let (calls, told) = (venue.calls(), life.streamed());
    assert_eq!(first.iter().map(|answer| result(answer).0).collect::<Vec<_>>(), ["accepted", "accepted", "denied"]);
    drop(life);
    let life = live(&folder, &venue);
    for ((entry, text), before) in entries.iter().zip(&first) {
        let mut again = life.tell_at(text, entry, wall_now(), true).unwrap();
        assert_eq!(again.as_object_mut().unwrap().remove("repeated"), Some(true.into()), "{again}");
        assert_eq!(again, *before);
    }
    assert_eq!((venue.calls(), life.streamed()), (calls, told));
    assert_eq!(result(&life.tell(&buy("b-3", 1))).0, "accepted", "another entry is another try");
}

#[test]
fn a_venue_that_wants_to_be_left_alone_for_long_holds_nobody_up() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let until = Timestamp::from_nanos(wall_now().nanos() + 3_600_000_000_000);
    let patient = buy("b-1", 1).replacen('{', &format!(r#"{{"expires_at":"{until}","#), 1);
    venue.will([Does::Fails(BrokerError::RateLimited { after: Some(Duration::from_secs(30)) })]);
    let denied = life.tell(&patient);
    assert_eq!((result(&denied), denied["retry_after_ms"].as_u64()), (("denied", "retry_after"), Some(30_000)));
    assert_eq!(result(&life.tell(&patient)).0, "accepted");
}

#[test]
fn another_body_is_a_conflict_while_the_first_is_under_way() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let (desk, (tell, said)) = (Arc::downgrade(&life.desk), crossbeam_channel::bounded(2));
    *venue.on_place.lock() = Some(Box::new(move || {
        for quantity in [1, 2] {
            let command = crate::contract::parse_command(buy("b-1", quantity).as_bytes()).unwrap();
            let answer = desk.upgrade().unwrap().handle(command, &format!("9-{quantity}"), wall_now(), false).unwrap();
            tell.send(answer.to_json()).unwrap();
        }
    }));
    assert_eq!(result(&life.tell(&buy("b-1", 1))).0, "accepted");
    let answers: Vec<serde_json::Value> = said.try_iter().map(|json| serde_json::from_str(&json).unwrap()).collect();
    assert_eq!(result(&answers[0]), ("unknown", "look_up"));
    assert_eq!((result(&answers[1]), answers[1]["rule"].as_str()), (("denied", "fix_request"), Some("id_conflict")));
}

#[test]
fn an_order_that_may_be_on_its_way_is_not_called_unknown_to_whoever_changes_it() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    venue.will([Does::Loses]);
    life.tell(&buy("b-1", 1));
    venue.blind.store(true, Relaxed);
    let change = || life.tell(r#"{"action":"modify","client_order_id":"b-1","qty":5,"new_client_order_id":"b-2"}"#);
    assert_eq!((result(&change()), life.state("b-2")), (("denied", "retry"), None));
    venue.blind.store(false, Relaxed);
    assert_eq!(result(&change()).0, "accepted");
}

#[test]
fn who_comes_when_the_account_could_not_be_counted_for_long_waits_no_more() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let begun = std::time::Instant::now();
    life.seat.mistrust_since(begun - Duration::from_secs(10));
    life.seat.mistrust();
    for name in ["b-1", "b-2"] {
        assert_eq!(life.tell(&buy(name, 1))["rule"], "not_ready");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    life.seat.count(&life.ledger).unwrap();
    assert_eq!(result(&life.tell(&buy("b-1", 1))).0, "accepted");
}

#[test]
fn an_order_whose_end_was_wished_for_meanwhile_is_settled_once_that_has_arrived() {
    let (folder, venue) = (folder(), venue());
    let life = live(&folder, &venue);
    let desk = Arc::downgrade(&life.desk);
    *venue.on_place.lock() = Some(Box::new(move || {
        let cancel = crate::contract::parse_command(br#"{"action":"cancel","client_order_id":"b-1"}"#).unwrap();
        desk.upgrade().unwrap().handle(cancel, "9-0", wall_now(), false).unwrap();
    }));
    venue.will([Does::Obeys, Does::Fails(away())]);
    assert_eq!(result(&life.tell(&buy("b-1", 1))), ("unknown", "look_up"));
    let record = life.record("b-1").unwrap();
    assert_eq!((record.state, record.cancel_wanted), (CommandState::Unknown, true), "whoever looks it up goes on");
    assert_eq!(venue.calls(), ["place b-1", "cancel b-1"]);
    *venue.on_place.lock() = None;
}
