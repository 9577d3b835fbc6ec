//! Histories that were made up, each with one thing wrong that must be found.

use serde_json::json;

use super::*;

fn produced(n: u64, event: &str, order: &str, execution: &str) -> Produced {
    Produced { n, event: event.to_owned(), order: order.to_owned(), execution: (!execution.is_empty()).then(|| execution.to_owned()) }
}

fn entry(n: u64, event: &str, order: &str, execution: &str, filled: &str) -> Entry {
    let body = json!({"type": "order", "event": event, "execution_id": execution, "order_data": {"id": order, "client_order_id": "b-1", "filled_qty": filled}});
    Entry::read(&format!("7-{n}"), &body.to_string())
}

fn marked(entry: Entry, mark: &str) -> Entry {
    let mut body: Value = serde_json::from_str(&entry.text).unwrap();
    body[mark] = true.into();
    Entry::read(&format!("{}-{}", entry.id.0, entry.id.1), &body.to_string())
}

/// One order in two executions, and another that is cancelled.
fn truth() -> History {
    let produced = vec![
        produced(1, "new", "o1", "e1"),
        produced(2, "partial_fill", "o1", "e2"),
        produced(3, "fill", "o1", "e3"),
        produced(4, "new", "o2", "e4"),
        produced(5, "canceled", "o2", "e5"),
    ];
    History { produced, ..History::default() }
}

fn stream() -> Vec<Entry> {
    vec![
        entry(1, "new", "o1", "e1", "0"),
        entry(2, "partial_fill", "o1", "e2", "1"),
        entry(3, "fill", "o1", "20261120093000000::e3", "2"),
        entry(4, "new", "o2", "e4", "0"),
        entry(5, "canceled", "o2", "e5", "0"),
    ]
}

/// As the stream would number them.
fn numbered(entries: Vec<Entry>) -> Vec<Entry> {
    (1..).zip(entries).map(|(n, entry)| Entry { id: (7, n), ..entry }).collect()
}

fn found(stream: &[Entry]) -> Verdict {
    check(&truth(), stream, &[stream.to_vec()])
}

fn without(n: usize) -> Vec<Entry> {
    let mut entries = stream();
    entries.remove(n);
    numbered(entries)
}

#[test]
fn a_whole_history_is_clean() {
    let verdict = found(&stream());
    assert!(verdict.is_clean(), "{verdict:?}");
    // What has no execution may be known from a later event alone.
    assert!(found(&without(0)).is_clean());
}

#[test]
fn a_lost_fill_is_found() {
    let verdict = found(&without(1));
    assert!(verdict.lost[0].contains("partial_fill e2") && verdict.lost.len() == 1, "{verdict:?}");
    let verdict = found(&without(2));
    assert!(verdict.lost.iter().any(|what| what.contains("fill e3")) && verdict.lost.iter().any(|what| what.contains("the end of order o1")), "{verdict:?}");
}

#[test]
fn an_order_that_was_never_told_of_is_found_and_one_whose_end_was_not() {
    let mut entries = stream();
    entries.truncate(3);
    assert_eq!(found(&entries).lost, ["order o2 was never told of"]);
    assert_eq!(found(&without(4)).lost, ["the end of order o2 never came"]);
}

#[test]
fn a_duplicate_is_found_under_the_same_id_and_under_another() {
    let mut entries = stream();
    entries.insert(3, entry(3, "fill", "o1", "e3", "2"));
    let verdict = found(&entries);
    assert!(verdict.duplicated.iter().any(|what| what.contains("(7, 3) again")), "{verdict:?}");
    let verdict = found(&numbered(entries));
    assert!(verdict.duplicated.iter().any(|what| what == "fill e3 came 2 times"), "{verdict:?}");
    // The venue's cancellation, and once more without the venue's id.
    let mut entries = stream();
    entries.push(entry(6, "canceled", "o2", "", "0"));
    assert!(found(&entries).duplicated.iter().any(|what| what.contains("canceled of order o2")), "{:?}", found(&entries));
}

#[test]
fn reordering_within_an_order_is_found_unless_it_is_marked() {
    let mut entries = stream();
    entries.swap(1, 2);
    let verdict = found(&numbered(entries.clone()));
    assert!(verdict.lost.is_empty() && verdict.duplicated.is_empty() && verdict.disordered.len() >= 2, "{verdict:?}");
    entries[2] = marked(entries[2].clone(), "late");
    assert!(found(&numbered(entries)).is_clean());
    // Orders among each other are in no order.
    let mut entries = stream();
    entries.rotate_left(3);
    assert!(found(&numbered(entries)).is_clean());
    let mut entries = stream();
    entries.swap(0, 1);
    assert!(!found(&numbered(entries)).disordered.is_empty());
}

#[test]
fn gaps_and_second_epochs_are_found() {
    let mut entries = stream();
    entries.iter_mut().skip(3).for_each(|entry| entry.id.1 += 1);
    assert!(found(&entries).lost.iter().any(|what| what.contains("(7, 5) where 4 should be")));
    let mut entries = stream();
    entries.iter_mut().for_each(|entry| entry.id.1 += 1);
    assert!(found(&entries).lost.iter().any(|what| what.contains("(7, 2) where 1 should be")));
    let mut entries = stream();
    entries.iter_mut().skip(3).for_each(|entry| entry.id.0 = 8);
    assert!(found(&entries).broken.iter().any(|what| what.contains("second epoch")));
}

#[test]
fn an_entry_that_changed_or_that_a_reader_never_had_is_found() {
    let mut reader = stream();
    reader[1] = entry(2, "partial_fill", "o1", "e9", "1");
    let verdict = check(&truth(), &stream(), &[reader]);
    assert!(verdict.broken[0].contains("otherwise than it stands"), "{verdict:?}");
    let verdict = check(&truth(), &stream(), &[stream()[..4].to_vec()]);
    assert_eq!(verdict.lost, ["reader 0 was told 4 of 5 entries"]);
}

#[test]
fn fills_that_never_were_and_what_nobody_understands_are_found() {
    let mut entries = stream();
    entries.push(entry(6, "partial_fill", "o2", "e77", "0"));
    assert!(found(&entries).invented.iter().any(|what| what.contains("e77")));
    let mut entries = stream();
    entries.push(Entry::read("7-6", "{}"));
    assert_eq!(found(&entries).broken.len(), 2);
}

#[test]
fn a_bust_after_the_end_takes_an_execution_back_and_an_answer_is_no_event() {
    let mut history = truth();
    history.produced.push(produced(6, "trade_bust", "o1", "e3"));
    let mut entries = stream();
    entries.push(entry(6, "trade_bust", "o1", "e3", "1"));
    entries.push(marked(entry(7, "accepted", "o1", "", "0"), "answer"));
    let verdict = check(&history, &entries, &[]);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn orders_taken_in_twice_or_never_are_counted() {
    let accepted = |client: &str| Accepted { order: "o".to_owned(), client: client.to_owned() };
    let history = History { accepted: vec![accepted("b-1"), accepted("b-2"), accepted("b-2")], ..History::default() };
    let wrong = history.accepted_other_than_once(["b-1", "b-2", "b-3"].into_iter());
    assert_eq!(wrong, [("b-2".to_owned(), 2), ("b-3".to_owned(), 0)]);
}

#[test]
fn the_connected_share_weighs_time() {
    let ear = |ms, connection, on| Ear { ms, connection, on };
    let ears = vec![ear(100.0, 1, true), ear(150.0, 2, true), ear(160.0, 1, false), ear(200.0, 2, false), ear(250.0, 3, true)];
    let history = History { ears, ms: 300.0, ..History::default() };
    assert!((history.connected_share() - 0.75).abs() < 1e-9);
    assert!(History::default().connected_share().abs() < f64::EPSILON);
}

#[test]
fn a_page_of_the_exchange_is_read() {
    let page = json!({"forgotten": 0, "last": 3, "ms": 9.5, "entries": [
        {"n": 1, "ms": 1.0, "kind": "listening", "account": "a", "connection": 4},
        {"n": 2, "ms": 2.0, "kind": "accepted", "account": "a", "order_id": "o1", "client_order_id": "b-1", "instead_of": null},
        {"n": 3, "ms": 3.0, "kind": "event", "account": "a", "event": "new", "order_id": "o1", "execution_id": "e1"},
    ]});
    let mut history = History::default();
    assert_eq!(history.read(&page), 3);
    assert_eq!((history.produced, history.accepted.len(), history.ears.len()), (vec![produced(3, "new", "o1", "e1")], 1, 1));
}

#[test]
fn the_last_word_on_a_command_is_known() {
    let reply = |result: &str| Entry::read("7-1", &json!({"type": "order_reply", "client_order_id": "b-1", "result": result}).to_string());
    assert_eq!((reply("denied").answers(), reply("unknown").answers()), (Some("b-1"), None));
    let answer = |event: &str| marked(entry(1, event, "o1", "", "0"), "answer");
    assert_eq!((answer("accepted").answers(), answer("unknown").answers(), entry(1, "new", "o1", "e1", "0").answers()), (Some("b-1"), None, Some("b-1")));
}
