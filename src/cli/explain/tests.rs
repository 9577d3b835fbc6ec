use std::path::Path;

use clap::Parser;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::args::{Cli, Command};
use super::*;
use crate::events::Source;
use crate::journal::{CommandRecord, CommandState, Draft, Execution, JournalError, Known};
use crate::model::{AccountId, OrderStatus, Side, Timestamp};
use crate::runtime::Stop;

fn account() -> AccountId {
    "acc-1".parse().unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_nanos((1_795_185_000_000 + millis) * 1_000_000)
}

fn open(folder: &Path) -> Journal {
    Journal::open(&folder.join("broker.db"), at(0)).unwrap().0
}

/// What `explain ORDER` prints with this data folder, or why it fails.
fn explain(folder: &Path, words: &str) -> Result<Vec<String>, CliError> {
    struct Sink(std::sync::Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let said = std::sync::Arc::new(Mutex::new(Vec::new()));
    let mut console =
        Console { out: Out::new(Sink(std::sync::Arc::clone(&said)), false), notes: Out::new(std::io::sink(), false), stop: Stop::new().unwrap().token() };
    let cli = Cli::try_parse_from(["x", "explain"].into_iter().chain(words.split_whitespace())).unwrap();
    let Some(Command::Explain(args)) = &cli.command else { panic!("not explain") };
    let folder = folder.display().to_string();
    run(args, &cli.reach, &|name| (name == "BROKER_DATA_DIR").then(|| folder.clone()), &mut console)?;
    let text = String::from_utf8(said.lock().clone()).unwrap();
    Ok(text.lines().map(str::to_owned).collect())
}

fn command(name: &str, state: CommandState) -> CommandRecord {
    CommandRecord {
        name: name.into(),
        action: "place".into(),
        body: "{}".into(),
        entry: "1-1".into(),
        state,
        request: None,
        answer: None,
        received: at(0),
        expires: None,
        sent: 1,
        cancel_wanted: false,
    }
}

fn order(id: &str, name: &str, status: OrderStatus, filled: &str, text: &str) -> Known {
    let filled: rust_decimal::Decimal = filled.parse().unwrap();
    Known {
        id: id.into(),
        client_order_id: name.into(),
        symbol: "AAPL".into(),
        side: Side::Buy,
        status,
        quantity: Some(10.into()),
        filled,
        filled_value: filled * rust_decimal::Decimal::from(150),
        estimated: 0.into(),
        generation: 0,
        acknowledged: true,
        submitted: at(if id == "v1" { 40 } else { 60_000 }),
        updated: at(90),
        heard: at(95),
        bot: Some("scalper".into()),
        ours: true,
        text: text.into(),
    }
}

fn draft(id: &str, name: &str, event: &str, source: Source, millis: i64, entry: Value) -> Draft {
    Draft {
        order_id: id.into(),
        client_order_id: name.into(),
        symbol: "AAPL".into(),
        bot: Some("scalper".into()),
        event: event.into(),
        source,
        entry: entry.to_string(),
        typed: None,
        keys: vec![format!("{id}{event}{millis}")],
        at: at(millis),
    }
}

fn execution(id: &str, order: &str, quantity: i64) -> Execution {
    Execution {
        execution_id: id.into(),
        order_id: order.into(),
        client_order_id: "scalper-17".into(),
        bot: Some("scalper".into()),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        price: 150.into(),
        quantity: quantity.into(),
        fees: 0.into(),
        position: quantity.into(),
        at: at(90),
    }
}

fn entry(event: &str, more: Value) -> Value {
    let mut entry = json!({"type": "order", "event": event, "timestamp": at(80).to_string(), "order_data": {"qty": "10", "filled_qty": "0", "status": "new"}});
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

/// An order that is filled in part, of which an execution is taken back, and that is then replaced.
fn replaced(folder: &Path) -> Journal {
    let journal = open(folder);
    let write = |step: &crate::journal::Step<'_>| {
        step.put_command(&account(), &command("scalper-17", CommandState::Answered))?;
        step.note("scalper-17", at(0), "bot", "place buy 10 AAPL limit 150")?;
        step.note("scalper-17", at(1), "risk", "passed")?;
        step.note("scalper-17", at(2), "http", "POST /v2/orders sent")?;
        step.note("scalper-17", at(52), "http", "200 v1 accepted")?;
        step.append(&account(), &draft("v1", "scalper-17", "new", Source::Stream, 60, entry("new", json!({}))))?;
        let fill = json!({"qty": "3", "price": "150", "execution_id": "e1", "position_qty": "3", "order_data": {"qty": "10", "filled_qty": "3", "filled_avg_price": "150", "status": "partially_filled"}});
        let n = step.append(&account(), &draft("v1", "scalper-17", "partial_fill", Source::Replay, 12_060, entry("partial_fill", fill)))?;
        step.put_execution(&account(), n, &execution("e1", "v1", 3))?;
        step.put_execution(&account(), n + 1, &execution("e2", "v1", 2))?;
        step.void_execution(&account(), "e2")?;
        step.put_order(&account(), &order("v1", "scalper-17", OrderStatus::Replaced, "3", r#"{"id":"v1","replaced_by":"v12","replaces":null,"legs":null}"#))?;
        let later = order("v12", "scalper-18", OrderStatus::New, "0", r#"{"id":"v12","replaces":"v1","replaced_by":null,"legs":[{"id":"v13"}]}"#);
        step.put_order(&account(), &later)?;
        // Its id is the beginning of another's: that is no kinship.
        step.put_order(&account(), &order("v123", "scalper-40", OrderStatus::New, "0", r#"{"id":"v123","replaces":"v122"}"#))?;
        let found = entry("new", json!({"reconciled": true}));
        step.append(&account(), &draft("v12", "scalper-18", "new", Source::Report, 60_000, found))?;
        Ok::<_, JournalError>(())
    };
    journal.write(write).unwrap();
    journal.copied(&account(), 2).unwrap();
    journal
}

const STORY: [&str; 19] = [
    "TIMELINE on account acc-1, times in UTC",
    "2026-11-20T14:30:00.000Z              bot          scalper-17  place buy 10 AAPL limit 150",
    "2026-11-20T14:30:00.001Z       +1 ms  risk         scalper-17  passed",
    "2026-11-20T14:30:00.002Z       +1 ms  HTTP         scalper-17  POST /v2/orders sent",
    "2026-11-20T14:30:00.052Z      +50 ms  HTTP         scalper-17  200 v1 accepted",
    "2026-11-20T14:30:00.060Z       +8 ms  stream       scalper-17  new, at the venue 2026-11-20T14:30:00.080Z",
    "2026-11-20T14:30:12.060Z   +12.000 s  REST replay  scalper-17  partial_fill, 3 @ 150, 3 of 10 filled at 150 on average, order is partially_filled, position 3, execution e1, at the venue 2026-11-20T14:30:00.080Z",
    "2026-11-20T14:31:00.000Z   +47.940 s  REST report  scalper-18  new, found by comparing with the venue, at the venue 2026-11-20T14:30:00.080Z",
    "",
    "ORDERS, one story",
    "scalper-17 (v1)  buy 10 AAPL  replaced, 3 filled at 150 on average; of bot scalper; replaced by v12",
    "scalper-18 (v12)  buy 10 AAPL  new; of bot scalper; replaces v1; with legs v13",
    "",
    "EXECUTIONS",
    "2026-11-20T14:30:00.090Z  buy 3 @ 150  fees 0  e1  scalper-17",
    "2026-11-20T14:30:00.090Z  buy 2 @ 150  fees 0  e2  scalper-17  VOID: the venue took it back",
    "",
    "STILL UNKNOWN",
    "whether the bots were handed update 3 (new) yet",
];

#[test]
fn a_chain_of_replacements_is_one_story_whichever_of_its_names_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let journal = replaced(folder.path());
    for name in ["scalper-17", "scalper-18", "v1", "v12"] {
        let lines = explain(folder.path(), name).unwrap();
        assert_eq!(lines[..STORY.len()], STORY, "{name}");
        assert_eq!(
            lines[STORY.len()..],
            ["what becomes of the last 10 of scalper-18: it is open", "the order v13 belongs to this story and is not in the journal"]
        );
    }
    // After the end of the broker as well.
    drop(journal);
    assert_eq!(explain(folder.path(), "v1").unwrap()[..STORY.len()], STORY);
}

#[test]
fn the_story_is_told_as_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let _journal = replaced(folder.path());
    let lines = explain(folder.path(), "v12 --json").unwrap();
    let told: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((lines.len(), &told["type"], &told["order"]), (1, &json!("explanation"), &json!("v12")));
    let story = &told["stories"][0];
    assert_eq!(story["account_id"], "acc-1");
    assert_eq!((&story["steps"][5]["source"], &story["steps"][5]["after_ms"], &story["steps"][5]["n"]), (&json!("replay"), &json!(12_000), &json!(2)));
    assert_eq!((&story["executions"][1]["void"], &story["orders"][0]["status"]), (&json!(true), &json!("replaced")));
    assert_eq!(story["unknown"].as_array().unwrap().len(), 3);
}

#[test]
fn what_nobody_knows_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    let write = |step: &crate::journal::Step<'_>| {
        step.put_command(&account(), &CommandRecord { cancel_wanted: true, sent: 2, ..command("scalper-1", CommandState::Unknown) })?;
        step.put_command(
            &account(),
            &CommandRecord { answer: Some(r#"{"result":"denied","reason":"too large"}"#.into()), ..command("scalper-2", CommandState::Answered) },
        )?;
        step.put_order(&account(), &Known { estimated: 4.into(), ..order("v3", "scalper-3", OrderStatus::Filled, "10", "{}") })
    };
    journal.write::<_, JournalError>(write).unwrap();
    let unknown = |name: &str| {
        let lines = explain(folder.path(), name).unwrap();
        let heading = lines.iter().position(|line| line == "STILL UNKNOWN").unwrap();
        (lines[heading - 2].clone(), lines[heading + 1..].to_vec())
    };
    let (state, doubts) = unknown("scalper-1");
    assert_eq!(state, "scalper-1  unknown; of bot scalper");
    assert_eq!(
        doubts,
        ["whether the venue took place scalper-1: it was sent, and no answer came (sent 2 times)", "whether scalper-1 was cancelled, as its sender wants"]
    );
    assert_eq!(unknown("scalper-2"), ("scalper-2  denied; of bot scalper; too large".to_owned(), vec!["nothing".to_owned()]));
    assert_eq!(
        unknown("v3").1,
        [
            "the executions of scalper-3: the venue says that 10 are filled, those that are known come to 0",
            "the true prices of scalper-3 up to 4 filled: they were reckoned from the venue's totals"
        ]
    );
}

#[test]
fn an_order_that_is_not_known_fails_and_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let error = explain(folder.path(), "scalper-9").unwrap_err();
    assert_eq!(error.exit_code(), super::super::exit::FAILED);
    assert!(error.to_string().starts_with("there is no journal at ") && error.to_string().contains("broker.db"), "{error}");
    let journal = open(folder.path());
    journal.settle_epoch(&account(), 7).unwrap();
    let error = explain(folder.path(), "scalper-9").unwrap_err();
    assert_eq!(error.exit_code(), super::super::exit::FAILED);
    let text = error.to_string();
    assert!(text.starts_with("no order scalper-9 is known in ") && text.contains("broker.db") && text.ends_with("looked at acc-1"), "{text}");
}

#[test]
fn notes_alone_are_a_story_too() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path());
    journal.write(|step| step.note("scalper-5", at(0), "risk", "denied: too large")).unwrap();
    let lines = explain(folder.path(), "scalper-5").unwrap();
    assert_eq!(lines[..2], ["TIMELINE, times in UTC", "2026-11-20T14:30:00.000Z              risk  denied: too large"]);
    assert_eq!(lines.last().unwrap(), "the journal holds neither a command nor an order of this name");
}
