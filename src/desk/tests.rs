//! The desk over a paper account: what a sender is answered, and what reaches the account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use serde_json::Value;

use super::ledger::Ledger;
use super::*;
use crate::contract::parse_command;
use crate::events::{EventBus, MarketDataEvent, MarketSight};
use crate::exchanges::Broker;
use crate::exchanges::paper::broker::{PaperBroker, PaperSettings};
use crate::exchanges::paper::models::Latency;
use crate::journal::Journal;
use crate::model::{MarketSession, Timestamp};
use crate::observe::Heartbeats;
use crate::risk::{Gate, Limits};
use crate::runtime::{Stop, StopKind, wall_now};

struct Table {
    desk: Arc<Desk>,
    broker: Arc<PaperBroker>,
    sights: Arc<Sights>,
    seats: Vec<Arc<Seat>>,
    ledger: Arc<Ledger>,
    entries: std::sync::atomic::AtomicU32,
    stop: Stop,
    pump: Option<std::thread::JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Drop for Table {
    fn drop(&mut self) {
        self.stop.stop(StopKind::Shutdown);
        self.pump.take().map(std::thread::JoinHandle::join);
    }
}

fn table(limits: Limits, bots: BTreeMap<String, Limits>) -> Table {
    laid(tempfile::tempdir().unwrap(), limits, bots)
}

fn laid(folder: tempfile::TempDir, limits: Limits, bots: BTreeMap<String, Limits>) -> Table {
    let bus = EventBus::new();
    let settings = PaperSettings {
        latency: Latency { fixed: Duration::ZERO, jitter: Duration::ZERO },
        ..PaperSettings::new("paper".parse().unwrap(), "paper-1".parse().unwrap(), folder.path().join("paper.db"))
    };
    let broker = Arc::new(PaperBroker::new(settings, bus.clone(), Arc::new(wall_now)));
    let sights = Arc::new(Sights::default());
    let gate = Gate::new(limits, bots).for_account(broker.of());
    let seat = Arc::new(Seat::new(
        Arc::clone(&broker) as _,
        Role {
            account_name: "paper".to_owned(),
            prices: "alpaca".parse().unwrap(),
            session_of: Box::new(|_, _| MarketSession::Regular),
            sights: Arc::clone(&sights),
            untyped_is_limit: false,
            takes_orders: true,
        },
        gate,
    ));
    let stop = Stop::new().unwrap();
    let seats = vec![seat];
    let heartbeat = Heartbeats::new().register("pump");
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), wall_now()).unwrap();
    let ledger = Arc::new(Ledger::new(Arc::new(journal), bounded(1).0, false, wall_now));
    let pump = Pump { bus: bus.clone(), seats: Arc::new(seats.iter().cloned().collect()), ledger: Arc::clone(&ledger), token: stop.token(), heartbeat };
    let heard = Pump::subscribe(&bus);
    let pump = Some(std::thread::spawn(move || pump.run(heard)));
    broker.connect().unwrap();
    broker.set_session(MarketSession::Regular);
    seats[0].count(&ledger).unwrap();
    let halts = Arc::new(HaltFile::open(folder.path().join("halts.json")).unwrap());
    let desk = Desk::new(Arc::new(seats.iter().cloned().collect()), Arc::clone(&ledger), Box::new(|_, _| ()), halts, Box::new(|| true), stop.token(), wall_now);
    let entries = std::sync::atomic::AtomicU32::new(1);
    let table = Table { desk: Arc::new(desk), broker, sights, seats, ledger, entries, stop, pump, folder };
    table.show("AAPL", "99.99", "100.01");
    table
}

impl Table {
    fn show(&self, symbol: &str, bid: &str, ask: &str) {
        let size = 1_000_000.into();
        let seen = MarketSight::Quote { bid: bid.parse().unwrap(), bid_size: size, ask: ask.parse().unwrap(), ask_size: size };
        let event = MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: symbol.parse().unwrap(), at: wall_now(), seen };
        self.broker.see(&event);
        self.sights.see(&event, wall_now());
    }

    fn tell_at(&self, text: &str, taken: Timestamp, again: bool) -> Value {
        let answer = match parse_command(text.as_bytes()) {
            Ok(command) => {
                let entry = format!("{}-0", self.entries.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                self.desk.handle(command, &entry, taken, again).unwrap()
            }
            Err(bad) => self.desk.refuse(&bad),
        };
        serde_json::from_str(&answer.to_json()).unwrap()
    }

    fn tell(&self, text: &str) -> Value {
        self.tell_at(text, wall_now(), false)
    }

    /// The words of everything that the stream tells.
    fn streamed(&self) -> Vec<String> {
        let rows = self.ledger.journal().updates(&self.seats[0].of.account, 0, 1_000).unwrap();
        let event = |row: &crate::journal::Row| {
            let entry: Value = serde_json::from_str(&row.entry).unwrap();
            entry.get("event").unwrap_or(&entry["type"]).as_str().unwrap().to_owned()
        };
        rows.iter().map(event).collect()
    }

    fn buy(&self, id: &str, quantity: &str) -> Value {
        self.tell(&format!(r#"{{"action":"place","client_order_id":"{id}","symbol":"AAPL","side":"buy","qty":"{quantity}"}}"#))
    }

    /// Waits until the gate has heard of everything that the account did.
    fn settle(&self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let open = self.broker.open_orders().unwrap().len();
            let counted = self.seats[0].guarded().gate.usage(wall_now()).open_orders as usize;
            if open == counted {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{open} orders are open, {counted} are counted");
            std::thread::yield_now();
        }
    }
}

fn limit(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[test]
fn an_order_is_placed_answered_and_found_again() {
    let table = table(Limits::default(), BTreeMap::new());
    let answer = table.buy("bot-1", "10");
    assert_eq!((answer["result"].as_str(), answer["broker"].as_str(), answer["account_id"].as_str()), (Some("accepted"), Some("paper"), Some("paper-1")));
    assert_eq!(answer["order"]["client_order_id"], "bot-1");
    let positions = table.tell(r#"{"action":"positions","exchange":"paper","account":"paper"}"#);
    assert_eq!((positions["positions"][0]["symbol"].as_str(), positions["positions"][0]["qty"].as_str()), (Some("AAPL"), Some("10")));
    let fills = table.tell(r#"{"action":"fills"}"#);
    assert_eq!(fills["fills"][0]["client_order_id"], "bot-1");
    assert_eq!(table.tell(r#"{"action":"order","client_order_id":"bot-1"}"#)["order"]["status"], "filled");
    assert_eq!(table.tell(r#"{"action":"balance"}"#)["account"]["currency"], "USD");
}

#[test]
fn a_name_is_an_order_once() {
    let table = table(Limits::default(), BTreeMap::new());
    table.buy("bot-1", "10");
    let again = table.buy("bot-1", "10");
    assert_eq!((again["result"].as_str(), again["repeated"].as_bool(), again["account_id"].as_str()), (Some("accepted"), Some(true), Some("paper-1")));
    // Handed out again after a crash, however long ago it was sent.
    let text = r#"{"action":"place","client_order_id":"bot-1","symbol":"AAPL","side":"buy","qty":"10"}"#;
    assert_eq!(table.tell_at(text, Timestamp::default(), true)["repeated"], true);
    assert_eq!(table.broker.fills(Timestamp::default(), 10).unwrap().len(), 1);
}

#[test]
fn what_comes_too_late_is_not_done_and_everybody_hears_so() {
    let table = table(Limits::default(), BTreeMap::new());
    let expired = table.tell(r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":1,"expires_at":"2020-01-01T00:00:00Z"}"#);
    assert_eq!((expired["result"].as_str(), expired["reason"].as_str()), (Some("denied"), Some("the command has expired")));
    let text = r#"{"action":"place","client_order_id":"b-2","symbol":"AAPL","side":"buy","qty":1}"#;
    let stale = table.tell_at(text, Timestamp::from_nanos(wall_now().nanos() - 61_000_000_000), true);
    assert_eq!(stale["reason"], "the command was sent 61 s ago; after 5 s it is not carried out any more");
    assert_eq!(table.streamed(), ["denied", "denied"]);
    assert!(table.broker.open_orders().unwrap().is_empty());
}

#[test]
fn a_denial_names_the_rule_and_its_key_and_nothing_reaches_the_account() {
    let table = table(limit(|l| l.max_order_quantity = Some(10.into())), BTreeMap::new());
    let denied = table.buy("bot-1", "10.000000001");
    assert_eq!((denied["result"].as_str(), denied["config_key"].as_str()), (Some("denied"), Some("risk_limits.max_order_quantity")));
    assert!(table.broker.order(&crate::events::OrderKey::Client("bot-1".parse().unwrap())).unwrap().is_none());
    assert_eq!(table.buy("bot-2", "10")["result"], "accepted");
}

#[test]
fn commands_that_make_no_sense_are_answered() {
    let table = table(Limits::default(), BTreeMap::new());
    for (text, reason) in [
        (r#"{"action":"place"}"#, "qty or notional is missing"),
        (r#"{"action":"orders","exchange":"binance"}"#, "no broker of that name takes orders here; there is paper (account paper)"),
        (r#"{"action":"close_position","client_order_id":"b-1","symbol":"MSFT"}"#, "there is no position in MSFT"),
        (r#"{"action":"resume"}"#, "no halt for account paper of the broker paper-1 is in force; nothing is halted"),
    ] {
        let answer = table.tell(text);
        assert_eq!(answer["result"], "denied", "{answer}");
        if !text.contains("resume") {
            assert_eq!(answer["reason"], reason);
        }
    }
    assert_eq!(table.tell(r#"{"action":"cancel","client_order_id":"b-9"}"#)["result"], "rejected");
}

#[test]
fn orders_are_changed_cancelled_and_positions_closed() {
    let table = table(Limits::default(), BTreeMap::new());
    table.tell(r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":5,"limit_price":"90"}"#);
    table.broker.advance();
    let changed = table.tell(r#"{"action":"modify","client_order_id":"b-1","limit_price":"91","new_client_order_id":"b-2"}"#);
    assert_eq!((changed["result"].as_str(), changed["order"]["limit_price"].as_str()), (Some("accepted"), Some("91")), "{changed}");
    table.broker.advance();
    assert_eq!(table.tell(r#"{"action":"cancel","client_order_id":"b-2"}"#)["result"], "accepted");
    table.broker.advance();
    assert_eq!(table.tell(r#"{"action":"orders"}"#)["orders"].as_array().map(Vec::len), Some(0));
    table.buy("b-3", "7");
    table.settle();
    assert_eq!(table.tell(r#"{"action":"close_position","client_order_id":"b-4","symbol":"AAPL"}"#)["result"], "accepted");
    assert_eq!(table.tell(r#"{"action":"positions"}"#)["positions"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_halt_outlives_a_restart_and_lets_cancels_pass() {
    let mut table = table(Limits::default(), BTreeMap::new());
    table.tell(r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":5,"limit_price":"90","time_in_force":"gtc"}"#);
    table.broker.advance();
    table.settle();
    assert_eq!(table.tell(r#"{"action":"halt","scope":"all","reason":"news"}"#)["result"], "accepted");
    table.broker.disconnect();
    let folder = std::mem::replace(&mut table.folder, tempfile::tempdir().unwrap());
    drop(table);

    let table = laid(folder, Limits::default(), BTreeMap::new());
    let denied = table.buy("b-2", "1");
    assert!(denied["reason"].as_str().unwrap().contains("news"), "{denied}");
    assert_eq!(table.tell(r#"{"action":"cancel","client_order_id":"b-1"}"#)["result"], "accepted");
    assert_eq!(table.tell(r#"{"action":"resume","scope":"all"}"#)["result"], "accepted");
    assert_eq!(table.buy("b-3", "1")["result"], "accepted");
}

#[test]
fn a_halt_can_cancel_what_one_bot_has_open() {
    let table = table(Limits::default(), BTreeMap::new());
    for id in ["one-1", "two-1"] {
        table.tell(&format!(r#"{{"action":"place","client_order_id":"{id}","symbol":"AAPL","side":"buy","qty":1,"limit_price":"90","time_in_force":"gtc"}}"#));
    }
    table.broker.advance();
    table.settle();
    let halted = table.tell(r#"{"action":"halt","bot":"one","cancel_open":true}"#);
    assert_eq!(halted["canceled"].as_array().map(Vec::len), Some(1), "{halted}");
    assert_eq!(table.buy("one-2", "1")["result"], "denied");
    assert_eq!(table.buy("two-2", "1")["result"], "accepted");
}

#[test]
fn a_broken_halt_file_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("halts.json");
    std::fs::write(&path, "{").unwrap();
    assert!(HaltFile::open(path).unwrap_err().to_string().contains("delete it to lift all halts"));
}

#[test]
fn a_hundred_orders_at_once_are_all_answered_and_no_limit_is_passed_by_one() {
    let table = table(limit(|l| l.max_position_size = Some(60.into())), BTreeMap::new());
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let place = |worker: usize| {
            let table = &table;
            move || (0..13).map(|n| table.buy(&format!("bot{worker}-{n}"), "1")).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..8).map(|worker| scope.spawn(place(worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let count = |result: &str| answers.iter().filter(|answer| answer["result"] == result).count();
    assert_eq!((answers.len(), count("accepted"), count("denied")), (104, 60, 44));
    let fills = table.broker.fills(Timestamp::default(), 1_000).unwrap();
    let names: std::collections::BTreeSet<_> = fills.iter().map(|fill| fill.client_order_id.to_string()).collect();
    assert_eq!((fills.len(), names.len()), (60, 60));
}

#[test]
fn a_seat_that_could_not_count_lets_nothing_new_pass() {
    let table = table(limit(|l| l.max_position_size = Some(60.into())), BTreeMap::new());
    table.seats[0].mistrust();
    let soon = Timestamp::from_nanos(wall_now().nanos() + 300_000_000);
    let first = format!(r#"{{"action":"place","client_order_id":"bot-1","symbol":"AAPL","side":"buy","qty":1,"expires_at":"{soon}"}}"#);
    let denied = table.tell(&first);
    assert_eq!((denied["rule"].as_str(), denied["advice"].as_str()), (Some("not_ready"), Some("retry")));
    assert!(denied["reason"].as_str().unwrap().contains("could not be counted"), "{denied}");
    assert_eq!(table.tell(r#"{"action":"orders"}"#)["result"], "accepted");
    table.seats[0].count(&table.ledger).unwrap();
    assert_eq!(table.buy("bot-2", "1")["result"], "accepted");
}

#[test]
fn what_was_handed_out_before_and_never_kept_is_placed_unless_the_venue_has_it() {
    let table = table(Limits::default(), BTreeMap::new());
    let text = r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":1}"#;
    assert_eq!(table.tell_at(text, wall_now(), true)["result"], "accepted");
    assert_eq!(table.broker.fills(Timestamp::default(), 9).unwrap().len(), 1);
}

#[test]
fn a_name_of_another_order_is_a_conflict() {
    let table = table(Limits::default(), BTreeMap::new());
    table.buy("bot-1", "10");
    let other = table.buy("bot-1", "11");
    assert_eq!((other["result"].as_str(), other["rule"].as_str()), (Some("denied"), Some("id_conflict")), "{other}");
}

#[test]
fn a_position_that_was_closed_is_the_answer_when_it_is_closed_again() {
    let table = table(Limits::default(), BTreeMap::new());
    table.buy("b-1", "5");
    table.settle();
    let close = r#"{"action":"close_position","client_order_id":"b-2","symbol":"AAPL"}"#;
    assert_eq!(table.tell(close)["result"], "accepted");
    let again = table.tell(close);
    assert_eq!((again["result"].as_str(), again["repeated"].as_bool()), (Some("accepted"), Some(true)), "{again}");
}

#[test]
fn an_old_cancel_all_is_not_done_again() {
    let table = table(Limits::default(), BTreeMap::new());
    let old = Timestamp::from_nanos(wall_now().nanos() - 120_000_000_000);
    assert_eq!(table.tell_at(r#"{"action":"cancel_all"}"#, old, true)["result"], "denied");
    assert_eq!(
        table.tell_at(r#"{"action":"resume","scope":"all"}"#, old, true)["reason"],
        "the command was sent 120 s ago; after 60 s it is not carried out any more"
    );
    assert_eq!(table.tell_at(r#"{"action":"halt","scope":"all"}"#, old, true)["result"], "accepted");
}

#[test]
fn a_halt_waits_for_what_had_passed_the_check() {
    let table = table(Limits::default(), BTreeMap::new());
    std::thread::scope(|scope| {
        let passing = table.seats[0].pass();
        let halting = scope.spawn(|| table.tell(r#"{"action":"halt","scope":"all","cancel_open":true}"#));
        while table.seats[0].guarded().gate.halts().is_empty() {
            std::thread::yield_now();
        }
        assert!(!halting.is_finished(), "the halt did not wait");
        drop(passing);
        assert_eq!(halting.join().unwrap()["result"], "accepted");
    });
}

#[test]
fn an_order_without_a_type_is_what_its_broker_says() {
    let table = table(Limits::default(), BTreeMap::new());
    assert_eq!(table.buy("b-1", "1")["result"], "accepted");
    let typo = table.tell(r#"{"action":"place","client_order_id":"b-2","symbol":"AAPL","side":"buy","qty":1,"limitprice":"1"}"#);
    assert_eq!(typo["result"], "denied", "{typo}");
}

fn of_bot(quantity: u32) -> BTreeMap<String, Limits> {
    BTreeMap::from([("b".to_owned(), limit(|l| l.max_position_size = Some(quantity.into())))])
}

#[test]
fn what_a_bot_has_changed_is_still_its_own_and_after_a_restart_too() {
    let table = table(Limits::default(), of_bot(10));
    table.tell(r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":10,"limit_price":"90","time_in_force":"gtc"}"#);
    table.broker.advance();
    let changed = table.tell(r#"{"action":"modify","client_order_id":"b-1","limit_price":"101"}"#);
    assert_eq!(changed["result"], "accepted", "{changed}");
    table.broker.advance();
    table.settle();
    assert_eq!(table.buy("b-2", "1")["config_key"], "risk_limits.max_position_size");
    table.seats[0].mistrust();
    table.seats[0].count(&table.ledger).unwrap();
    assert_eq!(table.buy("b-3", "1")["config_key"], "risk_limits.max_position_size");
}

#[test]
fn the_exits_of_a_bracket_belong_to_the_bot() {
    let table = table(Limits::default(), of_bot(10));
    let bracket = r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":10,"order_class":"bracket","time_in_force":"gtc",
        "take_profit":{"limit_price":"110"},"stop_loss":{"stop_price":"90"}}"#;
    assert_eq!(table.tell(bracket)["result"], "accepted");
    table.broker.advance();
    table.settle();
    let halted = table.tell(r#"{"action":"halt","bot":"b","cancel_open":true}"#);
    assert_eq!(halted["canceled"].as_array().map(Vec::len), Some(2), "{halted}");
    let usage = table.seats[0].guarded().gate.usage(wall_now());
    assert_eq!(usage.bots.keys().map(String::as_str).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn what_a_bot_holds_is_told_from_the_journal() {
    let table = table(Limits::default(), BTreeMap::new());
    table.buy("bot-1", "10");
    table.buy("other-1", "5");
    table.broker.advance();
    table.settle();
    let held = |of: &str| table.tell(&format!(r#"{{"action":"positions",{of}}}"#))["positions"][0]["qty"].as_str().map(str::to_owned);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while held(r#""bot":"bot""#).is_none() {
        assert!(std::time::Instant::now() < deadline, "the journal never hears of the execution");
        std::thread::yield_now();
    }
    assert_eq!((held(r#""bot":"bot""#).as_deref(), held(r#""external":true"#)), (Some("10"), None));
    assert_eq!(table.tell(r#"{"action":"positions"}"#)["positions"][0]["qty"], "15");
    let compared = table.tell(r#"{"action":"reconcile","dry_run":true}"#);
    assert_eq!((compared["result"].as_str(), compared["reconcile"]["dry_run"].as_bool()), (Some("accepted"), Some(true)), "{compared}");
}
