use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::*;
use crate::contract::Wish;
use crate::observe::Heartbeats;
use crate::runtime::promise::{kept, within};
use crate::runtime::{Stop, StopKind};

const LONG: Duration = Duration::from_secs(60);

/// Carries nothing out. Whatever names the symbol SLOW is under way until the test lets it go.
struct Stub {
    begun: Sender<String>,
    let_go: Receiver<()>,
    finished: Mutex<Vec<String>>,
    /// How often anything was begun again.
    tries: std::sync::atomic::AtomicU64,
    late: Late,
}

/// The exchange LATE, which has come when the test says so.
#[derive(Default)]
struct Late {
    come: std::sync::atomic::AtomicUsize,
    /// New commands for it have waited long enough.
    too_late: std::sync::atomic::AtomicBool,
}

fn label(command: &DeskCommand) -> String {
    let id = client_order_id(command).map(ToString::to_string).unwrap_or_default();
    format!("{} {id}", command.action)
}

impl Serve for Stub {
    fn handle(&self, command: DeskCommand, _: &str, _: Timestamp, _: bool) -> Option<Answer> {
        let label = label(&command);
        self.begun.send(label.clone()).unwrap();
        if matches!(&command.wish, Wish::Order(crate::events::Command::Place(request)) if request.symbol.as_str() == "SLOW") {
            // The end of the test lets everybody go.
            assert!(!self.let_go.recv_timeout(LONG).is_err_and(|error| error.is_timeout()), "not let go in time");
        }
        self.finished.lock().push(label);
        Some(Answer::new(command.action, Verdict::Accepted))
    }

    fn refuse(&self, bad: &BadCommand) -> Answer {
        Answer::denied("unknown", &bad.reason)
    }

    fn begin_again(&self, _: &str) -> u64 {
        self.tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }

    fn ended(&self, _: &str) {}

    fn fate(&self, command: &DeskCommand, again: bool) -> (usize, Fate) {
        let come = self.late.come.load(std::sync::atomic::Ordering::SeqCst);
        if come > 0 || command.exchange.as_ref().is_none_or(|name| name.as_str() != "late") {
            return (come, Fate::Goes);
        }
        let denied = !again && self.late.too_late.load(std::sync::atomic::Ordering::SeqCst);
        (come, if denied { Fate::Denied(Box::new(Answer::denied(command.action, "nobody has come"))) } else { Fate::Waits })
    }

    fn give_up(&self, command: &DeskCommand, _: &str, reason: &str) -> Answer {
        let client_order_id = client_order_id(command).map(ToString::to_string);
        Answer { client_order_id, advice: Some("look_up"), ..Answer::denied(command.action, reason) }
    }
}

struct Table {
    entries: Sender<Entry>,
    begun: Receiver<String>,
    let_go: Sender<()>,
    answers: Receiver<ControlCommand>,
    done: Receiver<Done>,
    stats: Arc<DeskStats>,
    stub: Arc<Stub>,
    stop: Stop,
    tasks: Vec<Task<()>>,
    next: std::cell::Cell<u64>,
}

fn table(answers: usize) -> Table {
    let (begin, begun) = bounded(4_096);
    let (let_go, wait) = bounded(4_096);
    let (entries, inbox) = bounded(4_096);
    let (control, answers) = bounded(answers);
    let (tell, done) = bounded(4_096);
    let stub = Arc::new(Stub { begun: begin, let_go: wait, finished: Mutex::default(), tries: std::sync::atomic::AtomicU64::new(0), late: Late::default() });
    let stats = Arc::<DeskStats>::default();
    let out = Outgoing { control, done: tell, stats: Arc::clone(&stats) };
    let (stop, threads) = (Stop::new().unwrap(), Threads::new(bounded(64).0));
    let tasks = start(&threads, &stub, inbox, &out, &stop.token(), Heartbeats::new().register("desk")).unwrap();
    Table { entries, begun, let_go, answers, done, stats, stub, stop, tasks, next: std::cell::Cell::new(1) }
}

impl Table {
    fn send_as(&self, fields: &str, again: bool) -> EntryId {
        self.send_for_the(if again { 2 } else { 1 }, fields)
    }

    fn send_for_the(&self, deliveries: u32, fields: &str) -> EntryId {
        let id: EntryId = format!("{}-0", self.next.replace(self.next.get() + 1)).parse().unwrap();
        self.entries.send(Entry { id, payload: Some(format!("{{{fields}}}").into_bytes()), taken: wall_now(), again: deliveries > 1, deliveries }).unwrap();
        id
    }

    fn send(&self, fields: &str) -> EntryId {
        self.send_as(fields, false)
    }

    fn place(&self, id: &str, symbol: &str) -> EntryId {
        self.send(&place(id, symbol))
    }

    fn begins(&self) -> String {
        self.begun.recv_timeout(LONG).expect("a command is begun in time")
    }

    fn finishes(&self) -> EntryId {
        self.ends().id
    }

    fn ends(&self) -> Done {
        self.done.recv_timeout(LONG).expect("an entry is finished in time")
    }

    /// Channel and body.
    fn answer(&self) -> (String, Value) {
        let Ok(ControlCommand::Publish { channel, payload }) = self.answers.recv_timeout(LONG) else { panic!("no answer in time") };
        (channel, serde_json::from_slice(&payload).unwrap())
    }

    fn end(self) {
        self.stop.stop(StopKind::Shutdown);
        drop(self.let_go);
        self.tasks.into_iter().for_each(|task| task.join_within(LONG).unwrap());
    }
}

fn place(id: &str, symbol: &str) -> String {
    format!(r#""action":"place","client_order_id":"{id}","symbol":"{symbol}","side":"buy","qty":"1""#)
}

#[test]
fn a_bot_that_floods_a_slow_venue_is_denied_and_nobody_else_waits() {
    let table = table(4_096);
    let first = table.place("loud-0", "SLOW");
    assert_eq!(table.begins(), "place loud-0");
    for n in 1..=OF_ONE_BOT {
        table.place(&format!("loud-{n}"), "AAPL");
    }
    let denied = [table.place("loud-998", "AAPL"), table.send(r#""action":"cancel","client_order_id":"loud-999","reply_to":"me""#)];
    assert_eq!([table.finishes(), table.finishes()], denied);
    let (channel, answer) = table.answer();
    assert_eq!((channel.as_str(), &answer["result"], &answer["reason"]), ("broker:replies", &"denied".into(), &TOO_MANY.into()));
    assert_eq!((&answer["client_order_id"], &answer["advice"]), (&"loud-998".into(), &"retry_after".into()));
    assert_eq!(table.answer().0, "me");

    for (fields, begun) in [
        (place("calm-1", "AAPL"), "place calm-1"),
        (r#""action":"halt","bot":"loud""#.to_owned(), "halt "),
        (r#""action":"positions""#.to_owned(), "positions "),
        (r#""action":"cancel_all""#.to_owned(), "cancel_all "),
    ] {
        let id = table.send(&fields);
        assert_eq!((table.begins().as_str(), table.finishes()), (begun, id));
    }
    // What was read before the flood may have been carried out: it is looked at.
    let again = table.send_as(&place("loud-1000", "AAPL"), true);
    table.let_go.send(()).unwrap();
    assert_eq!(table.finishes(), first);
    let last = (0..=OF_ONE_BOT).map(|_| table.finishes()).last();
    assert_eq!((last, table.stats.denied.get()), (Some(again), 2));
    table.end();
}

#[test]
fn more_slow_bots_than_workers_leave_halts_cancels_and_questions_free() {
    let table = table(4_096);
    for n in 0..WORKERS {
        table.place(&format!("slow{n}-1"), "SLOW");
        table.begins();
    }
    table.place("calm-1", "AAPL");
    for action in [r#""action":"halt""#, r#""action":"orders""#, r#""action":"cancel","order_id":"v1""#, r#""action":"resume""#] {
        let id = table.send(action);
        table.begins();
        assert_eq!(table.finishes(), id, "{action}");
    }
    // One worker that is free is enough for all the others.
    table.let_go.send(()).unwrap();
    assert_eq!(table.begins(), "place calm-1");
    table.end();
}

#[test]
fn the_commands_of_a_bot_keep_their_order() {
    let table = table(4_096);
    table.place("b-1", "SLOW");
    table.send(r#""action":"cancel","client_order_id":"b-1""#);
    table.send(r#""action":"cancel_all","reply_to":"broker:replies:b""#);
    table.place("b-2", "AAPL");
    let other = table.place("c-1", "AAPL");
    assert_eq!(table.finishes(), other);
    table.let_go.send(()).unwrap();
    (0..4).for_each(|_| drop(table.finishes().to_string()));
    assert_eq!(*table.stub.finished.lock(), ["place c-1", "place b-1", "cancel b-1", "cancel_all ", "place b-2"]);
    table.end();
}

#[test]
fn at_the_stop_what_is_under_way_is_finished_and_nothing_is_begun() {
    let table = table(4_096);
    let under_way = table.place("b-1", "SLOW");
    table.begins();
    // One waits in the bot's queue; the rest need not even be dispatched.
    table.place("b-2", "AAPL");
    let quick = table.place("c-1", "AAPL");
    table.begins();
    assert_eq!(table.finishes(), quick);
    table.stop.stop(StopKind::Shutdown);
    // The dispatcher may be gone by now.
    let id = "9-0".parse().unwrap();
    let _ =
        table.entries.send(Entry { id, payload: Some(format!("{{{}}}", place("d-1", "AAPL")).into_bytes()), taken: wall_now(), again: false, deliveries: 1 });
    table.let_go.send(()).unwrap();
    assert_eq!(table.finishes(), under_way);
    assert!(table.done.recv_timeout(LONG).is_err_and(|error| error.is_disconnected()), "something else was finished");
    assert!(table.begun.try_recv().is_err());
    table.end();
}

#[test]
fn an_answer_waits_a_moment_for_room() {
    kept(|| {
        let table = table(1);
        let begun = Instant::now();
        // The queue is full after the first; the second is answered while somebody makes room.
        for _ in 0..2 {
            table.send(r#""action":"positions","reply_to":"me""#);
        }
        let first = table.finishes();
        assert_eq!(first.to_string(), "1-0");
        std::thread::sleep(ANSWER_WITHIN / 4);
        assert_eq!(table.answer().0, "me");
        // Room that was made too late is not waited for.
        within(ANSWER_WITHIN, begun.elapsed())?;
        assert_eq!(table.answer().0, "me");
        assert_eq!(table.finishes().to_string(), "2-0");
        assert_eq!(table.stats.answers_dropped.get(), 0);

        // Nobody makes room: given up, counted, acknowledged.
        for _ in 0..2 {
            table.send(r#""action":"positions","reply_to":"me""#);
        }
        let (_, last) = (table.finishes(), table.finishes());
        assert_eq!((last.to_string(), table.stats.answers_dropped.get()), ("4-0".to_owned(), 1));
        table.end();
        Ok(())
    });
}

#[test]
fn what_cannot_be_read_is_refused_and_acknowledged() {
    let table = table(4_096);
    let bad: Vec<EntryId> = (0..2 * OTHERS_WAITING).map(|_| table.send(r#""action":"dance""#)).collect();
    let mut told = Vec::new();
    for _ in &bad {
        let done = table.ends();
        let burial = done.bury.unwrap();
        assert_eq!(burial.payload, br#"{"action":"dance"}"#);
        assert!(burial.reason.contains("dance") || burial.reason.contains("action"), "{}", burial.reason);
        told.push(done.id);
    }
    told.sort();
    assert_eq!((told, table.stats.malformed.get()), (bad.clone(), bad.len() as u64));
    assert!(bad.iter().all(|_| table.answer().1["result"] == "denied"));
    table.end();
}

#[test]
fn what_a_worker_was_given_at_the_stop_is_not_begun() {
    let (begin, begun) = bounded(1);
    let stub =
        Arc::new(Stub { begun: begin, let_go: bounded(0).1, finished: Mutex::default(), tries: std::sync::atomic::AtomicU64::new(0), late: Late::default() });
    let ((control, _answers), (tell, done), (finish, _finished)) = (bounded(1), bounded(1), bounded(1));
    let (give, jobs) = bounded::<Given>(1);
    let stop = Stop::new().unwrap();
    let out = Outgoing { control, done: tell, stats: Arc::default() };
    let worker = Worker { desk: stub, jobs, out, token: stop.token(), finish, lane: Lane::Orders };
    let command = parse_command(format!("{{{}}}", place("b-1", "AAPL")).as_bytes()).unwrap();
    let work = Work::Carry { command: Box::new(command), taken: wall_now(), since: (wall_now(), Instant::now()), again: None };
    give.send(("b".into(), Job { done: "1-0".parse::<EntryId>().unwrap().into(), reply_to: None, work })).unwrap();
    stop.stop(StopKind::Shutdown);
    worker.run();
    assert!(begun.try_recv().is_err() && done.try_recv().is_err());
}

#[test]
fn what_was_begun_again_and_again_is_denied_and_buried_and_never_carried_out() {
    let table = table(4_096);
    let tried = table.send_for_the(2, &place("b-1", "AAPL"));
    assert_eq!((table.begins(), table.ends()), ("place b-1".to_owned(), tried.into()));
    table.stub.tries.store(TRIES, std::sync::atomic::Ordering::Relaxed);
    let poison = table.send_for_the(9, &format!(r#"{},"reply_to":"me""#, place("b-2", "AAPL")));
    let done = table.ends();
    let burial = done.bury.unwrap();
    assert_eq!((done.id, burial.reason.as_str()), (poison, "the broker ended 3 times while it carried this out; it is not tried again"));
    assert!(String::from_utf8(burial.payload).unwrap().contains("b-2"));
    let (channel, answer) = table.answer();
    assert_eq!((channel.as_str(), &answer["result"], &answer["reason"]), ("me", &"denied".into(), &burial.reason.into()));
    assert_eq!((&answer["client_order_id"], &answer["advice"]), (&"b-2".into(), &"look_up".into()));
    assert_eq!(table.stats.poisonous.get(), 1);
    assert!(table.begun.try_recv().is_err());
    table.end();
}

#[test]
fn a_clock_that_is_set_while_a_command_waits_makes_it_neither_older_nor_younger() {
    let (then, started) = (Timestamp::from_nanos(1_800_000_000 * 1_000_000_000), Instant::now());
    let after = |seconds: i64| Timestamp::from_nanos(then.nanos() + seconds * 1_000_000_000);
    for set in [-300, 0, 300] {
        let now = after(120 + set);
        let taken = of_that_age(after(-3), (then, started), (now, started + Duration::from_secs(120)));
        assert_eq!(now.nanos() - taken.nanos(), 123_000_000_000, "{set}");
    }
}

fn for_late(fields: &str) -> String {
    format!(r#"{fields},"exchange":"late""#)
}

#[test]
fn nobody_waits_behind_a_command_for_an_account_that_is_not_known_yet() {
    let table = table(4_096);
    // More than there are workers.
    for n in 0..=WORKERS {
        table.send_as(&for_late(&place(&format!("a{n}-1"), "AAPL")), true);
    }
    table.send(&for_late(&place("b-1", "AAPL")));
    let elsewhere = table.place("b-2", "AAPL");
    assert_eq!((table.begins(), table.finishes()), ("place b-2".to_owned(), elsewhere));
    table.stub.late.come.store(1, std::sync::atomic::Ordering::SeqCst);
    // Sent afterwards, and perhaps dispatched before anybody has looked again.
    table.send(&for_late(r#""action":"cancel","client_order_id":"b-1""#));
    let mut all: Vec<u64> = (0..WORKERS + 3).map(|_| table.finishes().to_string().trim_end_matches("-0").parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5, 6, 8]);
    let told: Vec<String> = table.stub.finished.lock().iter().filter(|label| label.contains(" b-")).cloned().collect();
    assert_eq!(told, ["place b-2", "place b-1", "cancel b-1"]);
    table.end();
}

#[test]
fn what_waited_too_long_is_denied_and_what_was_read_before_stays_in_redis() {
    let table = table(4_096);
    let waiting = table.send(&for_late(&place("b-1", "AAPL")));
    table.send_as(&for_late(&place("b-2", "AAPL")), true);
    table.place("b-3", "AAPL");
    assert_eq!(table.begins(), "place b-3");
    table.finishes();
    table.stub.late.too_late.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(table.finishes(), waiting);
    let later = table.send(&for_late(&place("b-4", "AAPL")));
    assert_eq!((table.finishes(), table.stats.denied.get()), (later, 2));
    table.stop.stop(StopKind::Shutdown);
    assert!(table.done.recv_timeout(LONG).is_err_and(|error| error.is_disconnected()), "something else was finished");
    assert!(table.begun.try_recv().is_err());
    table.end();
}

#[test]
fn only_so_many_new_commands_wait_for_an_account() {
    let table = table(4_096);
    for n in 0..aside::ROOM {
        table.send(&for_late(&place(&format!("b-{n}"), "AAPL")));
    }
    let denied = table.send(&for_late(&place("c-1", "AAPL")));
    assert_eq!(table.finishes(), denied);
    assert_eq!(table.answer().1["reason"], TOO_MANY);
    table.send_as(&for_late(&place("c-2", "AAPL")), true);
    table.stub.late.come.store(1, std::sync::atomic::Ordering::SeqCst);
    let done = (0..=OF_ONE_BOT).map(|_| table.begins()).any(|begun| begun == "place c-2");
    assert!(done, "what was read before waits in any case");
    table.end();
}
