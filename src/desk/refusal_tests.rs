//! The desk over a venue that says no: what the sender is answered, what everybody hears, and that nothing stays counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, unbounded};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::*;
use crate::contract::parse_command;
use crate::events::{AccountRef, Event, EventBus, MarketDataEvent, MarketSight, OrderKey, OrderUpdate, Source, Subscription, Topics};
use crate::exchanges::paper::broker::{PaperBroker, PaperSettings};
use crate::exchanges::paper::models::Latency;
use crate::exchanges::{Broker, BrokerError, BrokerMetrics, CancelOutcome, Capabilities, Connection};
use crate::journal::Journal;
use crate::model::{AccountInfo, Balance, Fill, MarketSession, Modification, Order, OrderChange, OrderRequest, Position, Symbol, Timestamp};
use crate::observe::Heartbeats;
use crate::redis::{ControlCommand, Entry, EntryId};
use crate::risk::{Approved, Gate, Limits};
use crate::runtime::{Stop, StopKind, Threads, wall_now};

const PATIENCE: Duration = Duration::from_secs(20);

/// A paper account that fails a call when it is told to, once.
#[derive(Debug)]
struct Moody {
    paper: PaperBroker,
    capabilities: Capabilities,
    fails: Mutex<HashMap<&'static str, (BrokerError, bool)>>,
}

impl Moody {
    fn in_mood(&self, call: &'static str) -> Result<(), BrokerError> {
        let mut fails = self.fails.lock();
        match fails.get(call).cloned() {
            Some((error, always)) => {
                if !always {
                    fails.remove(call);
                }
                Err(error)
            }
            None => Ok(()),
        }
    }
}

impl Broker for Moody {
    fn of(&self) -> AccountRef {
        self.paper.of()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn connect(&self) -> Result<(), BrokerError> {
        self.paper.connect()
    }

    fn disconnect(&self) {
        self.paper.disconnect();
    }

    fn connection(&self) -> Connection {
        self.paper.connection()
    }

    fn place(&self, order: Approved<OrderRequest>) -> Result<Order, BrokerError> {
        self.in_mood("place")?;
        self.paper.place(order)
    }

    fn modify(&self, order: &OrderKey, change: Approved<Modification>) -> Result<Order, BrokerError> {
        self.in_mood("modify")?;
        self.paper.modify(order, change)
    }

    fn cancel(&self, order: &OrderKey) -> Result<(), BrokerError> {
        self.paper.cancel(order)
    }

    fn cancel_all(&self, symbol: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError> {
        self.in_mood("cancel_all")?;
        self.paper.cancel_all(symbol)
    }

    fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.paper.open_orders()
    }

    fn order(&self, order: &OrderKey) -> Result<Option<Order>, BrokerError> {
        self.paper.order(order)
    }

    fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        self.paper.fills(since, limit)
    }

    fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        self.paper.positions()
    }

    fn account(&self) -> Result<AccountInfo, BrokerError> {
        self.in_mood("account")?;
        self.paper.account()
    }

    fn balances(&self) -> Result<Vec<Balance>, BrokerError> {
        self.paper.balances()
    }

    fn metrics(&self) -> &BrokerMetrics {
        self.paper.metrics()
    }
}

struct Table {
    desk: Arc<Desk>,
    broker: Arc<Moody>,
    seat: Arc<Seat>,
    bus: EventBus,
    heard: Subscription,
    folder: tempfile::TempDir,
    ledger: Arc<Ledger>,
    entries: AtomicU32,
    /// Up to where the stream was read.
    read: AtomicU64,
    _stop: Stop,
}

fn table(limits: Limits, able: impl FnOnce(&mut Capabilities)) -> Table {
    let (folder, bus) = (tempfile::tempdir().unwrap(), EventBus::new());
    let settings = PaperSettings {
        latency: Latency { fixed: Duration::ZERO, jitter: Duration::ZERO },
        ..PaperSettings::new("paper".parse().unwrap(), "paper-1".parse().unwrap(), folder.path().join("paper.db"))
    };
    let paper = PaperBroker::new(settings, bus.clone(), Arc::new(wall_now));
    let mut capabilities = paper.capabilities().clone();
    able(&mut capabilities);
    let broker = Arc::new(Moody { paper, capabilities, fails: Mutex::default() });
    broker.connect().unwrap();
    broker.paper.set_session(MarketSession::Regular);
    let sights = Arc::new(Sights::default());
    let size = 1_000_000.into();
    let seen = MarketSight::Quote { bid: "99.99".parse().unwrap(), bid_size: size, ask: "100.01".parse().unwrap(), ask_size: size };
    let event = MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: "AAPL".parse().unwrap(), at: wall_now(), seen };
    broker.paper.see(&event);
    sights.see(&event, event.at);
    let gate = Gate::new(limits, BTreeMap::new()).for_account(broker.of());
    let session_of = Box::new(|_: &Symbol, _| MarketSession::Regular);
    let (account_name, prices) = ("main".to_owned(), "alpaca".parse().unwrap());
    let role = Role { account_name, prices, session_of, sights, untyped_is_limit: false, takes_orders: true };
    let seat = Arc::new(Seat::new(Arc::clone(&broker) as _, role, gate));
    let halts = Arc::new(HaltFile::open(folder.path().join("halts.json")).unwrap());
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), wall_now()).unwrap();
    let ledger = Arc::new(Ledger::new(Arc::new(journal), bounded(1).0, false, wall_now));
    seat.count(&ledger).unwrap();
    let stop = Stop::new().unwrap();
    let desk = Desk::new(
        Arc::new([Arc::clone(&seat)].into_iter().collect()),
        Arc::clone(&ledger),
        Box::new(|_, _| ()),
        halts,
        Box::new(|| true),
        stop.token(),
        wall_now,
    );
    let heard = bus.subscribe(Topics::FACTS, 1_024);
    Table { desk: Arc::new(desk), broker, seat, bus, heard, folder, ledger, entries: AtomicU32::new(1), read: AtomicU64::new(0), _stop: stop }
}

impl Table {
    fn fail(&self, call: &'static str, error: BrokerError) {
        self.broker.fails.lock().insert(call, (error, false));
    }

    fn fail_always(&self, call: &'static str, error: BrokerError) {
        self.broker.fails.lock().insert(call, (error, true));
    }

    fn tell(&self, text: &str) -> Value {
        let answer = match parse_command(text.as_bytes()) {
            Ok(command) => self.desk.handle(command, &format!("{}-0", self.entries.fetch_add(1, Relaxed)), wall_now(), false).unwrap(),
            Err(bad) => self.desk.refuse(&bad),
        };
        serde_json::from_str(&answer.to_json()).unwrap()
    }

    /// A limit order that rests.
    fn rest(&self, id: &str, quantity: u32) -> Value {
        self.tell(&place(id, quantity))
    }

    /// What the pump would do with what the account has told.
    fn listen(&self) {
        for event in self.heard.facts.try_iter() {
            if let Event::OrderUpdated(update) = event {
                self.seat.observe(&update);
            }
        }
    }

    /// What the stream has told since the last time: the word, whose it is, and the reason.
    fn streamed(&self) -> Vec<(String, String, Option<String>)> {
        let rows = self.ledger.journal().updates(&self.seat.of.account, self.read.load(Relaxed), 1_000).unwrap();
        self.read.fetch_add(rows.len() as u64, Relaxed);
        let told = |row: &crate::journal::Row| {
            let entry: Value = serde_json::from_str(&row.entry).unwrap();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let name = text(&entry["client_order_id"]).or_else(|| text(&entry["order_data"]["client_order_id"]));
            let word = text(&entry["event"]).unwrap_or_else(|| format!("reply {}", entry["result"].as_str().unwrap()));
            (word, name.unwrap_or_default(), text(&entry["reason"]))
        };
        rows.iter().map(told).collect()
    }

    fn counted(&self) -> u32 {
        self.seat.guarded().gate.usage(wall_now()).open_orders
    }
}

fn place(id: &str, quantity: u32) -> String {
    format!(r#"{{"action":"place","client_order_id":"{id}","symbol":"AAPL","side":"buy","qty":{quantity},"limit_price":"90","time_in_force":"gtc"}}"#)
}

fn failing() -> [(BrokerError, &'static str, &'static str, &'static str); 6] {
    let (broker, cause) = (|| "paper".to_owned(), || "on purpose".to_owned());
    [
        (BrokerError::Rejected { code: None, reason: cause() }, "rejected", "fix_request", "rejected"),
        (BrokerError::NotConnected { broker: broker(), cause: cause() }, "denied", "reconnect", "reply denied"),
        (BrokerError::RateLimited { after: Some(Duration::from_millis(1_500)) }, "denied", "retry_after", "reply denied"),
        (BrokerError::Unavailable { broker: broker(), cause: cause() }, "denied", "retry", "reply denied"),
        (BrokerError::Storage { broker: broker(), cause: cause() }, "denied", "stop", "reply denied"),
        (BrokerError::Unauthorised { broker: broker(), cause: cause() }, "rejected", "stop", "denied"),
    ]
}

#[test]
fn an_order_that_the_venue_did_not_take_is_told_to_all_and_counted_no_more() {
    let table = table(Limits::default(), |_| ());
    for (n, (error, result, advice, word)) in failing().into_iter().enumerate() {
        let (id, reason) = (format!("bot-{n}"), error.to_string());
        let after = if let BrokerError::RateLimited { .. } = &error { json!(1_500) } else { Value::Null };
        table.fail_always("place", error);
        let answer = table.rest(&id, 1);
        assert_eq!((&answer["result"], &answer["advice"], &answer["reason"]), (&json!(result), &json!(advice), &json!(reason)), "{answer}");
        assert_eq!((&answer["client_order_id"], &answer["retry_after_ms"]), (&json!(id), &after));
        assert_eq!(table.streamed(), [(word.to_owned(), id, Some(reason))]);
        assert_eq!(table.counted(), 0);
    }
    table.broker.fails.lock().clear();
    assert_eq!(table.rest("bot-3", 1)["result"], "accepted", "the name of an order that was never taken is free");
    assert_eq!(table.rest("bot-0", 1)["repeated"], true, "what the venue refused stays refused");
}

#[test]
fn an_order_of_which_nobody_knows_is_not_called_refused_and_stays_counted() {
    let table = table(Limits { max_open_orders: Some(1), ..Limits::default() }, |_| ());
    table.fail("place", BrokerError::OutcomeUnknown { broker: "paper".to_owned(), cause: "no answer".to_owned() });
    let answer = table.rest("bot-1", 1);
    assert_eq!((answer["result"].as_str(), answer["advice"].as_str()), (Some("unknown"), Some("look_up")));
    assert_eq!((table.streamed().len(), table.counted()), (1, 1));
    assert_eq!(table.rest("bot-2", 1)["config_key"], "risk_limits.max_open_orders");
}

#[test]
fn what_the_broker_cannot_do_never_reaches_it() {
    let table = table(Limits::default(), |able| {
        able.order_types.retain(|word| *word != "stop");
        able.times_in_force.retain(|time| time.as_str() != "fok");
        able.classes.retain(|word| *word != "bracket");
        able.notional = false;
        able.fractional = false;
        able.extended_hours = false;
    });
    table.fail("place", BrokerError::UnknownOrder("place was asked".to_owned()));
    let cases = [
        (r#""qty":1,"stop_price":"110""#, "stop orders"),
        (r#""qty":1,"time_in_force":"fok""#, "the time in force fok"),
        (
            r#""qty":1,"limit_price":"90","order_class":"bracket","take_profit":{"limit_price":"99"},"stop_loss":{"stop_price":"80"}"#,
            "orders of the class bracket",
        ),
        (r#""notional":"100""#, "orders by money"),
        (r#""qty":"0.5""#, "fractions of a unit"),
        (r#""qty":1,"limit_price":"90","extended_hours":true"#, "orders for extended hours"),
    ];
    for (n, (fields, what)) in cases.into_iter().enumerate() {
        let answer = table.tell(&format!(r#"{{"action":"place","client_order_id":"bot-{n}","symbol":"AAPL","side":"buy",{fields}}}"#));
        assert_eq!(answer["reason"], format!("paper does not support {what}; nothing was sent"));
        assert_eq!((answer["result"].as_str(), answer["advice"].as_str()), (Some("denied"), Some("fix_request")));
        assert_eq!(table.streamed().iter().map(|told| told.0.as_str()).collect::<Vec<_>>(), ["denied"]);
    }
    assert!(table.broker.fails.lock().contains_key("place"), "nothing was sent");
}

#[test]
fn an_order_is_not_placed_when_a_limit_needs_an_account_that_cannot_be_read() {
    let table = table(Limits { max_daily_loss: Some(1_000.into()), ..Limits::default() }, |_| ());
    table.fail("account", BrokerError::Unavailable { broker: "paper".to_owned(), cause: "503".to_owned() });
    let answer = table.rest("bot-1", 1);
    assert_eq!((answer["result"].as_str(), answer["advice"].as_str()), (Some("denied"), Some("retry")));
    assert!(table.broker.open_orders().unwrap().is_empty());
    assert_eq!(table.rest("bot-1", 1)["result"], "accepted");
}

#[test]
fn a_change_that_fails_leaves_the_order_counted_as_it_was() {
    let table = table(Limits { max_position_size: Some(10.into()), ..Limits::default() }, |_| ());
    table.rest("bot-1", 4);
    table.broker.paper.advance();
    table.listen();
    let change = |quantity: u32| table.tell(&format!(r#"{{"action":"modify","client_order_id":"bot-1","qty":{quantity}}}"#));
    let denied = change(11);
    assert_eq!((denied["result"].as_str(), denied["config_key"].as_str()), (Some("denied"), Some("risk_limits.max_position_size")), "{denied}");
    table.fail("modify", BrokerError::Rejected { code: None, reason: "too late".to_owned() });
    let refused = change(10);
    assert_eq!((refused["result"].as_str(), refused["reason"].as_str()), (Some("rejected"), Some("the venue refuses it: too late")));
    assert_eq!(table.rest("bot-2", 6)["result"], "accepted", "4 and 6 make 10");
    assert_eq!(table.rest("bot-3", 1)["result"], "denied");
}

#[test]
fn a_change_of_which_nobody_knows_counts_as_made() {
    let table = table(Limits { max_position_size: Some(10.into()), ..Limits::default() }, |_| ());
    table.rest("bot-1", 4);
    table.broker.paper.advance();
    table.listen();
    table.fail("modify", BrokerError::OutcomeUnknown { broker: "paper".to_owned(), cause: "no answer".to_owned() });
    assert_eq!(table.tell(r#"{"action":"modify","client_order_id":"bot-1","qty":10}"#)["result"], "unknown");
    assert_eq!(table.rest("bot-2", 1)["result"], "denied");
}

#[test]
fn orders_of_a_broker_that_changes_none_are_left_alone() {
    let table = table(Limits::default(), |able| able.modify = false);
    table.rest("bot-1", 4);
    let answer = table.tell(r#"{"action":"modify","client_order_id":"bot-1","qty":5}"#);
    assert_eq!(answer["reason"], "paper does not support changes of orders; nothing was sent");
    let missing = table.tell(r#"{"action":"modify","order_id":"no-such","qty":5}"#);
    assert_eq!((missing["result"].as_str(), missing["reason"].as_str()), (Some("rejected"), Some("no order no-such is known")));
    assert_eq!(table.tell(r#"{"action":"order","client_order_id":"bot-9"}"#)["reason"], "no order bot-9 is known");
}

#[test]
fn a_change_that_was_sent_long_ago_is_not_made() {
    let table = table(Limits::default(), |_| ());
    table.rest("bot-1", 4);
    let command = parse_command(br#"{"action":"modify","client_order_id":"bot-1","qty":5}"#).unwrap();
    let answer = table.desk.handle(command, "9-0", Timestamp::from_nanos(wall_now().nanos() - 3_600_000_000_000), false).unwrap();
    assert_eq!(answer.reason.as_deref(), Some("the command was sent 3600 s ago; after 30 s it is not carried out any more"));
}

#[test]
fn a_halt_holds_though_the_cancels_fail_and_the_disk_does() {
    let table = table(Limits::default(), |_| ());
    table.rest("bot-1", 1);
    table.broker.paper.advance();
    assert_eq!(table.tell(r#"{"action":"cancel_all"}"#)["canceled"][0]["client_order_id"], "bot-1");
    table.rest("bot-2", 1);
    table.broker.paper.advance();
    let away = || BrokerError::NotConnected { broker: "paper".to_owned(), cause: "gone".to_owned() };
    table.fail("cancel_all", away());
    let answer = table.tell(r#"{"action":"cancel_all"}"#);
    assert_eq!((answer["result"].as_str(), answer["advice"].as_str()), (Some("denied"), Some("reconnect")));

    // A folder in the file's place: it cannot be written any more.
    let file = table.folder.path().join("halts.json");
    let _ = std::fs::remove_file(&file);
    std::fs::create_dir(&file).unwrap();
    table.fail("cancel_all", away());
    let halted = table.tell(r#"{"action":"halt","scope":"broker","cancel_open":true,"reason":"news"}"#);
    assert_eq!((&halted["result"], &halted["canceled"]), (&json!("accepted"), &json!([])));
    assert!(halted["reason"].as_str().unwrap().starts_with("in force, but not kept for a restart: "), "{halted}");
    assert_eq!(table.rest("bot-3", 1)["rule"], "halted");
    let again = table.tell(r#"{"action":"halt","scope":"account","cancel_open":true}"#);
    assert_eq!(again["canceled"][0]["client_order_id"], "bot-2");
    let lifted = table.tell(r#"{"action":"resume","scope":"broker"}"#);
    assert!(lifted["reason"].as_str().unwrap().starts_with("lifted, but a restart will bring it back: "), "{lifted}");
    assert!(HaltFile::open(file).unwrap_err().to_string().contains("nothing may be traded on a guess"));
}

/// What was published, by channel and result.
fn published(control: &Receiver<ControlCommand>) -> Vec<(String, String)> {
    let said = control.try_iter().map(|command| match command {
        ControlCommand::Publish { channel, payload } => {
            let answer: Value = serde_json::from_slice(&payload).unwrap();
            (channel, answer["result"].as_str().unwrap().to_owned())
        }
        other => panic!("{other:?}"),
    });
    said.collect()
}

#[test]
fn workers_answer_count_and_acknowledge_every_entry_whatever_becomes_of_it() {
    let table = table(Limits::default(), |_| ());
    let (control, said) = bounded(8);
    let (done, acknowledged) = unbounded();
    let out = Outgoing { control, done, stats: Arc::new(DeskStats::default()) };
    let (give, entries) = bounded(8);
    let (stop, threads) = (Stop::new().unwrap(), Threads::new(bounded(64).0));
    let heartbeat = Heartbeats::new().register("desk");
    let tasks = start_workers(&threads, &table.desk, entries, &out, &stop.token(), heartbeat).unwrap();
    let hand = |number: u32, payload: Option<&str>| {
        let id: EntryId = format!("{}-{number}", wall_now().millis()).parse().unwrap();
        give.send(Entry { id, payload: payload.map(|text| text.as_bytes().to_vec()), taken: wall_now(), again: false, deliveries: 1 }).unwrap();
        // One after the other: the order in which different workers answer is nobody's promise.
        assert_eq!(acknowledged.recv_timeout(PATIENCE).unwrap().id, id);
        published(&said)
    };
    let all = |result: &str| ("broker:replies".to_owned(), result.to_owned());
    let own = |result: &str| ("bot:answers".to_owned(), result.to_owned());
    let with_reply = |text: String| text.replacen('{', r#"{"reply_to":"bot:answers","#, 1);

    assert_eq!(hand(1, Some("nonsense")), [all("denied")]);
    assert_eq!(hand(2, None), [all("denied")]);
    assert_eq!(hand(3, Some(&with_reply(place("bot-1", 1)))), [own("accepted")]);
    table.fail("place", BrokerError::Rejected { code: None, reason: "no".to_owned() });
    assert_eq!(hand(4, Some(&with_reply(place("bot-2", 1)))), [own("rejected"), all("rejected")]);
    table.fail("place", BrokerError::OutcomeUnknown { broker: "paper".to_owned(), cause: "no answer".to_owned() });
    assert_eq!(hand(5, Some(&place("bot-3", 1))), [all("unknown")]);
    assert_eq!(
        hand(6, Some(&with_reply(r#"{"action":"close_position","client_order_id":"bot-4","symbol":"MSFT"}"#.to_owned()))),
        [own("denied"), all("denied")]
    );
    assert_eq!(hand(7, Some(r#"{"action":"cancel","order_id":"no-such"}"#)), [all("rejected")]);
    let stats = &out.stats;
    let counts =
        [&stats.commands, &stats.malformed, &stats.accepted, &stats.denied, &stats.rejected, &stats.unknown, &stats.answers_dropped].map(|count| count.get());
    assert_eq!(counts, [7, 2, 1, 3, 2, 1, 0]);

    // Nobody takes answers any more: they are counted as lost, and the entry is acknowledged all the same.
    drop(said);
    let last: EntryId = "8-0".parse().unwrap();
    give.send(Entry { id: last, payload: Some(b"nonsense".to_vec()), taken: wall_now(), again: false, deliveries: 1 }).unwrap();
    assert_eq!(acknowledged.recv_timeout(PATIENCE).unwrap().id, last);
    assert_eq!(stats.answers_dropped.get(), 1);
    stop.stop(StopKind::Shutdown);
    for task in tasks {
        task.join_within(PATIENCE).unwrap();
    }
}

#[test]
fn a_pump_that_was_cut_off_leaves_the_seat_to_be_counted_again() {
    let table = table(Limits::default(), |_| ());
    let open = || table.broker.open_orders().unwrap();
    (0..4).for_each(|n| assert_eq!(table.rest(&format!("bot-{n}"), 1)["result"], "accepted"));
    let order = Arc::new(open().remove(0));
    let of = table.seat.of.clone();
    let at = order.times.updated;
    let update = OrderUpdate { of, change: OrderChange::New, order, execution_id: None, fill: None, reason: None, at, source: Source::Stream, words: None };
    let stop = Stop::new().unwrap();
    let (seats, ledger, heartbeat) = (Arc::new([Arc::clone(&table.seat)].into_iter().collect()), Arc::clone(&table.ledger), Heartbeats::new().register("pump"));
    let pump = Pump { bus: table.bus.clone(), seats, ledger, token: stop.token(), heartbeat };
    let narrow = table.bus.subscribe(Topics::FACTS, 1);
    // Nothing gets into the journal, so nothing leaves the channel, until the bus has lost its patience.
    let (release, held) = bounded::<()>(0);
    let (begun, holding) = bounded::<()>(1);
    let ledger = Arc::clone(&table.ledger);
    let holder = std::thread::spawn(move || {
        ledger.journal().write(|_| {
            let _ = begun.send(());
            let _ = held.recv();
            Ok::<(), crate::journal::JournalError>(())
        })
    });
    holding.recv().unwrap();
    let running = std::thread::spawn(move || pump.run(narrow));
    let deadline = std::time::Instant::now() + PATIENCE;
    while table.bus.cut_off() == 0 {
        assert!(std::time::Instant::now() < deadline, "the pump is not cut off");
        table.bus.publish(&Event::OrderUpdated(update.clone()));
    }
    drop(release);
    holder.join().unwrap().unwrap();
    while table.seat.is_counted() {
        assert!(std::time::Instant::now() < deadline, "the seat trusts what it has counted");
        std::thread::yield_now();
    }
    table.seat.count(&table.ledger).unwrap();
    assert_eq!(table.counted() as usize, open().len());
    stop.stop(StopKind::Shutdown);
    running.join().unwrap();
}
