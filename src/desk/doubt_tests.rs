//! What only a sceptic asks for: commands that meet each other, or an earlier life, in the worst moment.

use std::sync::Arc;

use super::fixtures::{buy, live, result, venue};
use crate::contract::parse_command;
use crate::journal::CommandState;
use crate::runtime::wall_now;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
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
