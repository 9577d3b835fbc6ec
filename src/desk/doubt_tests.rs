//! What only a sceptic asks for: commands that meet each other, or an earlier life, in the worst moment.

use std::sync::Arc;

use super::fixtures::{Does, buy, close, live, lost, result, venue};
use crate::contract::parse_command;
use crate::journal::CommandState;
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
