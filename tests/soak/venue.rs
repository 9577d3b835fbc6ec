use std::time::Duration;

use serde_json::{Value, json};

use crate::checker::{Entry, History, Said, check};
use crate::report::in_words;
use crate::stage::{Cursor, Stage};

/// A fill that the stream did not tell is found by comparing, within this time.
const REPAIR: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(20);

/// Places an order at the exchange, past the broker; its id.
fn placed(stage: &Stage, order: &Value) -> String {
    let (status, answer) = stage.venue.hand().post("/v2/orders", order);
    assert_eq!(status, 200, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn buy() -> Value {
    json!({"symbol": "KO", "qty": "2", "side": "buy", "type": "market", "time_in_force": "day"})
}

/// Rests until the market comes to it.
fn resting() -> Value {
    json!({"symbol": "KO", "qty": "2", "side": "buy", "type": "limit", "limit_price": "10.00", "time_in_force": "day"})
}

/// What the stream says of an order, without the desk's answers.
fn of<'a>(entries: &'a [Entry], id: &'a str) -> impl Iterator<Item = &'a Entry> {
    entries.iter().filter(move |entry| matches!(&entry.said, Said::Order { order, answer: false, .. } if order == id))
}

fn events<'a>(entries: &'a [Entry], id: &'a str) -> Vec<&'a str> {
    of(entries, id).filter_map(|entry| if let Said::Order { event, .. } = &entry.said { Some(event.as_str()) } else { None }).collect()
}

fn body(entry: &Entry) -> Value {
    serde_json::from_str(&entry.text).unwrap()
}

/// The last entry about an order that is not marked as late, in full.
fn state(entries: &[Entry], id: &str) -> Value {
    of(entries, id).map(body).filter(|body| body["late"] != true).last().unwrap()
}

fn truth(stage: &Stage) -> History {
    stage.venue.history(&mut Cursor::default()).clone()
}

/// Waits until the bots know all that the exchange did, and nothing else.
fn settled(stage: &mut Stage, patience: Duration) -> Vec<Entry> {
    let history = truth(stage);
    let found = stage.stream_when(patience, |entries| check(&history, entries, &[]).is_clean());
    found.unwrap_or_else(|| {
        let entries = stage.stream();
        let told: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
        panic!("{}\n{}\n{}", in_words(&check(&history, &entries, &[])), told.join("\n"), stage.service.log())
    })
}

#[test]
fn what_the_exchange_tells_three_times_is_one_fill() {
    let mut stage = Stage::open(&[]);
    stage.venue.hand().fault("duplicate-trade-update=20");
    let id = placed(&stage, &buy());
    let entries = settled(&mut stage, SOON);
    assert_eq!(events(&entries, &id).iter().filter(|event| **event == "fill").count(), 1, "{:?}", events(&entries, &id));
    // Those of a second order come behind all copies of the first.
    placed(&stage, &buy());
    settled(&mut stage, SOON);
}

#[test]
fn a_fill_that_the_stream_swallowed_is_repaired_and_marked() {
    let mut stage = Stage::open(&[]);
    let hand = stage.venue.hand();
    let id = placed(&stage, &resting());
    assert!(stage.stream_when(SOON, |entries| events(entries, &id).contains(&"new")).is_some(), "{}", stage.service.log());
    hand.fault("lose-trade-update=20");
    hand.quote("KO", "9.90", "9.95");
    let entries = settled(&mut stage, REPAIR);
    let fills: Vec<Value> = of(&entries, &id).map(body).filter(|body| body["execution_id"].is_string() && body["order_data"]["filled_qty"] != "0").collect();
    assert!(!fills.is_empty() && fills.iter().all(|fill| fill["reconciled"] == true && fill["source"] == "report"), "{fills:?}");
    assert_eq!(state(&entries, &id)["order_data"]["status"], "filled");
}

#[test]
fn a_fill_before_its_order_leaves_the_right_state() {
    let mut stage = Stage::open(&[]);
    let hand = stage.venue.hand();
    // Each update is told after the one that should follow it.
    hand.fault("reorder-trade-updates=2");
    let id = placed(&stage, &buy());
    hand.fault("reorder-trade-updates=1");
    placed(&stage, &json!({"symbol": "PFE", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "day"}));
    let entries = settled(&mut stage, SOON);
    assert_eq!(state(&entries, &id)["order_data"]["status"], "filled", "{:?}", events(&entries, &id));
}

#[test]
fn a_status_that_no_list_knows_is_passed_on_and_the_order_goes_on() {
    let mut stage = Stage::open(&[]);
    stage.venue.hand().fault("unknown-status=1");
    let id = placed(&stage, &resting());
    let known = ["new", "pending_new", "accepted", "filled", "partially_filled"];
    let strange = |entries: &[Entry]| {
        let mut of = of(entries, &id).map(body);
        of.any(|body| body["order_data"]["status"].as_str().is_some_and(|status| !known.contains(&status)))
    };
    assert!(stage.stream_when(SOON, |entries| strange(entries)).is_some(), "{:?}", stage.stream());
    stage.venue.hand().cancel(&id);
    let entries = settled(&mut stage, SOON);
    assert_eq!(state(&entries, &id)["order_data"]["status"], "canceled");
}

#[test]
fn an_event_that_no_list_knows_is_passed_on() {
    let mut stage = Stage::open(&[]);
    stage.venue.hand().fault("unknown-event=1");
    let id = placed(&stage, &resting());
    let known = ["new", "pending_new", "accepted"];
    let strange = |entries: &[Entry]| events(entries, &id).iter().any(|event| !known.contains(event));
    assert!(stage.stream_when(SOON, |entries| strange(entries)).is_some(), "{:?}", stage.stream());
    stage.venue.hand().cancel(&id);
    settled(&mut stage, SOON);
}

#[test]
fn executions_are_taken_back_and_corrected() {
    let mut stage = Stage::open(&[]);
    let hand = stage.venue.hand();
    let id = placed(&stage, &buy());
    let entries = settled(&mut stage, SOON);
    let fill = of(&entries, &id).map(body).find(|body| body["event"] == "fill").unwrap();
    let amended = |event: &str, execution: &str, filled: &str, status: &str| {
        let mut order = fill["order_data"].clone();
        (order["filled_qty"], order["status"]) = (filled.into(), status.into());
        json!({"data": {"event": event, "execution_id": execution, "price": fill["price"], "qty": filled, "position_qty": filled, "timestamp": fill["timestamp"],
               "order": order}})
    };
    for (event, execution, filled, status) in [("trade_bust", "bust-1", "0", "accepted"), ("trade_correct", "correct-1", "1", "partially_filled")] {
        let (code, answer) = hand.post("/admin/order_update", &amended(event, execution, filled, status));
        assert_eq!(code, 200, "{answer}");
        let found = stage.stream_when(SOON, |entries| events(entries, &id).contains(&event));
        let entries = found.unwrap_or_else(|| panic!("no {event}: {}", stage.service.log()));
        let told: Vec<Value> = of(&entries, &id).map(body).filter(|body| body["event"] == event).collect();
        assert_eq!((told.len(), &told[0]["execution_id"], &told[0]["order_data"]["filled_qty"]), (1, &execution.into(), &filled.into()));
    }
}

#[test]
fn the_stream_is_written_again_whole_when_redis_has_forgotten_everything() {
    let mut stage = Stage::open(&[]);
    (0..5).for_each(|_| drop(placed(&stage, &buy())));
    let before = settled(&mut stage, SOON);
    redis::cmd("FLUSHALL").exec(&mut crate::stage::client(&stage.redis.url()).unwrap()).unwrap();
    placed(&stage, &buy());
    let after = settled(&mut stage, SOON);
    assert_eq!(after[..before.len()], before, "what stood there stands there again");
}
