use super::*;
use crate::redis::fixtures::{bot, shipped_rights, tcp};
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::promise::{kept, within};
use crate::runtime::{Stop, StopKind};
use ::redis::Value;
use crossbeam_channel::bounded;

const PLACE: StreamPlace = StreamPlace { key: "orders", group: "desk", consumer: "one", field: "command", kept: 100_000, dead: "dead" };
const LONG: Duration = Duration::from_secs(60);

struct Reading {
    entries: Receiver<Entry>,
    done: Sender<Done>,
    stop: Stop,
    stats: Arc<EntryStats>,
    thread: std::thread::JoinHandle<()>,
}

fn start(server: &RedisServer, room: usize) -> Reading {
    start_behind(server, room, Box::new(|| true))
}

fn start_behind(server: &RedisServer, room: usize, gate: Gate) -> Reading {
    let (inbox, entries) = bounded(room);
    let (done, finished) = bounded(1_024);
    let stop = Stop::new().unwrap();
    let stats = Arc::<EntryStats>::default();
    let (settings, token, counted) = (Arc::new(tcp(server)), stop.token(), Arc::clone(&stats));
    let thread = std::thread::spawn(move || run_entry_reader(settings, PLACE, inbox, finished, gate, token, counted));
    Reading { entries, done, stop, stats, thread }
}

impl Reading {
    fn next(&self) -> Entry {
        self.entries.recv_timeout(LONG).expect("an entry in time")
    }

    fn end(self) {
        self.stop.stop(StopKind::Shutdown);
        drop((self.entries, self.done));
        self.thread.join().unwrap();
    }
}

fn add(connection: &mut ::redis::Connection, field: &str, value: &str) -> EntryId {
    add_as(connection, "*", field, value)
}

fn add_as(connection: &mut ::redis::Connection, id: &str, field: &str, value: &str) -> EntryId {
    ::redis::cmd("XADD").arg("orders").arg(id).arg(field).arg(value).query::<String>(connection).unwrap().parse().unwrap()
}

fn pending(connection: &mut ::redis::Connection) -> usize {
    let (count, ..): (usize, Value, Value, Value) = ::redis::cmd("XPENDING").arg("orders").arg("desk").query(connection).unwrap();
    count
}

fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_was_not_acknowledged_comes_again_and_what_was_does_not() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let early = add(&mut bot, "command", "before the group");
    let first = start(&server, 8);
    let entry = first.next();
    assert_eq!((entry.id, entry.payload.as_deref(), entry.again), (early, Some(&b"before the group"[..]), false));
    let second = add(&mut bot, "command", "two");
    assert_eq!(first.next().id, second);
    first.done.send(early.into()).unwrap();
    while pending(&mut bot) != 1 {
        std::thread::yield_now();
    }
    first.end();

    let other = start(&server, 8);
    let entry = other.next();
    assert_eq!((entry.id, entry.again, entry.deliveries), (second, true, 2));
    assert!((wall_now().nanos() - entry.taken.nanos()) < 60_000_000_000);
    let third = add(&mut bot, "words", "no command");
    let entry = other.next();
    assert_eq!((entry.id, entry.payload, entry.again), (third, None, false));
    other.end();
}

#[test]
fn a_flushed_redis_is_read_again() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let reading = start(&server, 1);
    add(&mut bot, "command", "one");
    reading.next();
    let _: () = ::redis::cmd("FLUSHALL").query(&mut bot).unwrap();
    add(&mut bot, "command", "two");
    assert_eq!(reading.next().payload.as_deref(), Some(&b"two"[..]));
    reading.end();
}

#[test]
fn a_new_session_hands_out_nothing_that_is_being_worked_on() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let reading = start(&server, 8);
    // One is taken by a worker, the other lies in the inbox.
    let (one, two) = (add(&mut bot, "command", "one"), add(&mut bot, "command", "two"));
    assert_eq!(reading.next().id, one);
    until("both are handed on", || reading.stats.entries.get() == 2);
    let before = reading.stats.connects.get();
    let _: i64 = ::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").query(&mut bot).unwrap();
    until("there is a new session", || reading.stats.connects.get() > before);
    let three = add(&mut bot, "command", "three");
    let entries = [reading.next(), reading.next()];
    assert_eq!(entries.each_ref().map(|entry| (entry.id, entry.again)), [(two, false), (three, false)]);
    [one, two, three].into_iter().for_each(|id| reading.done.send(id.into()).unwrap());
    until("all are acknowledged", || reading.stats.acknowledged.get() == 3);
    assert_eq!(pending(&mut bot), 0);
    reading.end();
}

#[test]
fn what_a_broken_session_kept_back_was_not_handed_on_before() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let reading = start(&server, 1);
    let ids: Vec<EntryId> = ["one", "two", "three"].into_iter().map(|text| add(&mut bot, "command", text)).collect();
    // One is in the inbox, another waits for room there.
    until("the inbox is full", || reading.stats.entries.get() >= 2);
    let before = reading.stats.connects.get();
    let _: i64 = ::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").query(&mut bot).unwrap();
    // Noticed with this acknowledgement, while one waits for room.
    reading.done.send(ids[0].into()).unwrap();
    until("there is a new session", || reading.stats.connects.get() > before);
    let handed = [reading.next(), reading.next(), reading.next()].map(|entry| (entry.id, entry.again));
    assert_eq!(handed.as_slice(), ids.iter().map(|id| (*id, false)).collect::<Vec<_>>());
    reading.end();
}

#[test]
fn what_is_finished_after_the_stop_is_acknowledged_and_nothing_new_is_taken() {
    kept(|| {
        let server = RedisServer::start();
        let mut bot = bot(&server);
        let reading = start(&server, 8);
        let (one, two) = (add(&mut bot, "command", "one"), add(&mut bot, "command", "two"));
        assert_eq!([reading.next().id, reading.next().id], [one, two]);
        reading.stop.stop(StopKind::Shutdown);
        let late = add(&mut bot, "command", "after the stop");
        until("the reader is at its last acknowledgements", || reading.stats.up.get() == 0);
        let stopped = Instant::now();
        reading.done.send(one.into()).unwrap();
        reading.done.send(two.into()).unwrap();
        drop(reading.done);
        reading.thread.join().unwrap();
        within(Duration::from_millis(100), stopped.elapsed())?;
        assert!(reading.entries.try_recv().is_err());
        let read: Vec<(String, Value, i64, i64)> = ::redis::cmd("XPENDING").arg("orders").arg("desk").arg("-").arg("+").arg(10).query(&mut bot).unwrap();
        assert!(read.iter().all(|(id, ..)| *id == late.to_string()), "{read:?}");
        Ok(())
    });
}

#[test]
fn an_id_that_a_bot_chose_in_the_future_is_new() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let reading = start(&server, 8);
    add_as(&mut bot, "1000-1", "command", "old");
    let ahead = format!("{}-0", wall_now().millis() + 3_600_000);
    add_as(&mut bot, &ahead, "command", "ahead");
    // The clocks agree here, but for what TIME cannot tell.
    assert!((reading.next().taken.nanos() - 1_000_000_000).abs() < 1_000_000_000);
    let taken = reading.next().taken;
    let age = wall_now().nanos() - taken.nanos();
    assert!((0..60_000_000_000).contains(&age), "{age}");
    reading.end();
}

#[test]
fn a_user_that_may_not_ask_the_time_reads_all_the_same() {
    let server = RedisOptions::default().acl("user default on nopass ~* &* +@all -time").start();
    let mut bot = bot(&server);
    let reading = start(&server, 8);
    let id = add(&mut bot, "command", "one");
    assert_eq!(reading.next().id, id);
    reading.end();
}

/// A reader that the test leads by the hand, over a stream of `count` entries of which it has read `read`.
fn led(server: &RedisServer, kept: u64, count: usize, read: usize) -> (Reader, Session, Receiver<Entry>, Sender<Done>, Stop) {
    let mut bot = bot(server);
    for _ in 0..count {
        add(&mut bot, "command", "x");
    }
    let stop = Stop::new().unwrap();
    let ((inbox, entries), (done, finished)) = (bounded(count), bounded(count));
    let mut reader = Reader::new(StreamPlace { kept, ..PLACE }, inbox, finished, Box::new(|| true), stop.token(), Arc::default());
    let connector = Connector::new(Arc::new(tcp(server)), "commands");
    let Ok(mut session) = Session::open(&connector, &stop.token()) else { panic!("no session") };
    assert!(reader.make_group(&mut session).is_ok());
    while entries.len() < read {
        assert!(reader.read(&mut session).is_ok());
    }
    (reader, session, entries, done, stop)
}

fn ids(server: &RedisServer) -> Vec<EntryId> {
    let entries: Vec<(String, Value)> = ::redis::cmd("XRANGE").arg("orders").arg("-").arg("+").query(&mut bot(server)).unwrap();
    entries.into_iter().map(|(id, _)| id.parse().unwrap()).collect()
}

#[test]
fn old_entries_go_but_none_that_is_unread_or_under_way() {
    let server = RedisServer::start();
    let (mut reader, mut session, entries, done, _stop) = led(&server, 100, 1_600, 16 * BURST);
    let all = ids(&server);
    let handed: Vec<EntryId> = entries.try_iter().map(|entry| entry.id).collect();
    assert_eq!(handed, all[..16 * BURST]);
    assert!(reader.trim(&mut session).is_ok());
    assert_eq!(ids(&server), all, "all of it was under way or unread");

    // All but one is finished.
    let slow = handed[500];
    handed.iter().filter(|id| **id != slow).for_each(|id| done.send((*id).into()).unwrap());
    assert!(reader.acknowledge(&mut session).is_ok() && reader.trim(&mut session).is_ok());
    let left = ids(&server);
    assert!(left.len() < all.len() && left.len() >= all.len() - 500 && all.ends_with(&left) && left.contains(&slow), "{}", left.len());

    done.send(slow.into()).unwrap();
    assert!(reader.acknowledge(&mut session).is_ok() && reader.trim(&mut session).is_ok());
    let left = ids(&server);
    assert!(left.len() >= 1_600 - 16 * BURST && left.len() < 1_600 - 900 && all.ends_with(&left), "{}", left.len());
}

#[test]
fn as_many_finished_entries_are_kept_as_wished() {
    let server = RedisServer::start();
    let (mut reader, mut session, entries, done, _stop) = led(&server, 500, 1_024, 1_024);
    entries.try_iter().for_each(|entry| done.send(entry.id.into()).unwrap());
    assert!(reader.acknowledge(&mut session).is_ok() && reader.trim(&mut session).is_ok());
    let left = ids(&server).len();
    // Redis removes whole nodes of a hundred.
    assert!((500..=600).contains(&left), "{left}");
}

/// An entry's consumer and how often Redis has handed it out.
fn handed_out(connection: &mut ::redis::Connection, id: EntryId) -> (String, u32) {
    let mut question = ::redis::cmd("XPENDING");
    question.arg("orders").arg("desk").arg(id.to_string()).arg(id.to_string()).arg(1);
    let rows: Vec<(String, String, u64, u32)> = question.query(connection).unwrap();
    let (_, consumer, _, count) = rows.into_iter().next().unwrap();
    (consumer, count)
}

#[test]
fn each_life_counts_a_delivery_and_a_new_session_of_the_same_life_none() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let id = add(&mut bot, "command", "poison");
    for life in 1..=4 {
        let reading = start(&server, 8);
        let entry = reading.next();
        assert_eq!((entry.id, entry.deliveries, entry.again), (id, life, life > 1));
        for _ in 0..2 {
            let before = reading.stats.connects.get();
            let _: i64 = ::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").query(&mut bot).unwrap();
            until("there is a new session", || reading.stats.connects.get() > before);
            // Handed on once all that is pending was looked at.
            let next = add(&mut bot, "command", "next");
            assert_eq!(reading.next().id, next);
            reading.done.send(next.into()).unwrap();
        }
        assert_eq!(handed_out(&mut bot, id), ("one".to_owned(), life));
        reading.end();
    }
}

#[test]
fn what_another_consumer_left_lying_is_taken_over_and_what_it_works_on_is_not() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let (mut reader, mut session, entries, _done, _stop) = led(&server, 100, 3, 0);
    let read = |bot: &mut ::redis::Connection, consumer: &str| {
        let mut command = ::redis::cmd("XREADGROUP");
        let _: Value = command.arg("GROUP").arg("desk").arg(consumer).arg("COUNT").arg(1).arg("STREAMS").arg("orders").arg(">").query(bot).unwrap();
    };
    let [left, taken, own] = ids(&server).try_into().unwrap();
    read(&mut bot, "dead");
    read(&mut bot, "alive");
    read(&mut bot, "one");
    for (consumer, id) in [("dead", left), ("one", own)] {
        let mut command = ::redis::cmd("XCLAIM");
        command.arg("orders").arg("desk").arg(consumer).arg(0).arg(id.to_string()).arg("IDLE").arg(LEFT_LYING_MS).arg("JUSTID");
        let _: Value = command.query(&mut bot).unwrap();
    }
    let mut pass = Pass::others(LEFT_LYING_MS);
    while reader.recover(&mut session, &mut pass).is_ok_and(|more| more) {}
    let claimed = entries.try_iter().map(|entry| (entry.id, entry.again, entry.deliveries)).collect::<Vec<_>>();
    assert_eq!(claimed, [(left, true, 2)]);
    assert_eq!(handed_out(&mut bot, left), ("one".to_owned(), 2));
    assert_eq!(handed_out(&mut bot, taken), ("alive".to_owned(), 1));
}

#[test]
fn an_entry_that_was_removed_while_it_was_pending_is_handed_on_empty_or_gone() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let (mut reader, mut session, _entries, _done, _stop) = led(&server, 100, 2, 2);
    let [removed, stays] = ids(&server).try_into().unwrap();
    let _: i64 = ::redis::cmd("XDEL").arg("orders").arg(removed.to_string()).query(&mut bot).unwrap();
    drop(std::mem::take(&mut reader.out));
    let mut pass = Pass::own();
    let (inbox, entries) = bounded(8);
    reader.inbox = inbox;
    while reader.recover(&mut session, &mut pass).is_ok_and(|more| more) {}
    let handed: Vec<Entry> = entries.try_iter().collect();
    assert!(handed.iter().any(|entry| entry.id == stays && entry.payload.is_some()));
    assert!(handed.iter().all(|entry| entry.id == stays || entry.payload.is_none()), "{handed:?}");
}

#[test]
fn a_dead_letter_is_kept_with_its_reason_and_acknowledged() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let reading = start(&server, 8);
    let id = add(&mut bot, "command", "{nonsense");
    let payload = reading.next().payload.unwrap();
    reading.done.send(Done { id, bury: Some(Burial { reason: "no JSON".to_owned(), payload }) }).unwrap();
    until("it is acknowledged", || reading.stats.acknowledged.get() == 1);
    let letters: Vec<(String, Vec<String>)> = ::redis::cmd("XRANGE").arg("dead").arg("-").arg("+").query(&mut bot).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].1, ["id", &id.to_string(), "command", "{nonsense", "reason", "no JSON"]);
    assert_eq!((pending(&mut bot), reading.stats.buried.get()), (0, 1));

    // Something else stands where the letters go.
    let _: () = ::redis::cmd("SET").arg("dead").arg("x").query(&mut bot).unwrap();
    let id = add(&mut bot, "command", "more");
    reading.next();
    reading.done.send(Done { id, bury: Some(Burial { reason: String::new(), payload: Vec::new() }) }).unwrap();
    until("it is acknowledged all the same", || reading.stats.acknowledged.get() == 2);
    reading.end();
}

#[test]
fn behind_a_shut_gate_nothing_is_read_and_what_is_finished_is_acknowledged() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let (open, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let (looked, counted) = (Arc::clone(&open), Arc::clone(&asked));
    let gate = Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        looked.load(Ordering::SeqCst)
    });
    let reading = start_behind(&server, 8, gate);
    let one = add(&mut bot, "command", "one");
    assert_eq!(reading.next().id, one);
    open.store(false, Ordering::SeqCst);
    let shut = asked.load(Ordering::SeqCst);
    // The read that was under way has ended by the second look.
    until("it was looked at twice", || asked.load(Ordering::SeqCst) >= shut + 2);
    let two = add(&mut bot, "command", "two");
    reading.done.send(one.into()).unwrap();
    until("it is acknowledged", || reading.stats.acknowledged.get() == 1);
    assert_eq!((pending(&mut bot), reading.entries.len()), (0, 0));
    open.store(true, Ordering::SeqCst);
    assert_eq!(reading.next().id, two);
    reading.end();
}

#[test]
fn the_shipped_user_may_claim_and_bury() {
    let server = RedisOptions::default().acl(&shipped_rights()).start();
    let mut bot = bot(&server);
    let first = start(&server, 8);
    let id = add(&mut bot, "command", "one");
    assert_eq!(first.next().id, id);
    first.end();
    let second = start(&server, 8);
    assert_eq!(second.next().deliveries, 2);
    second.done.send(Done { id, bury: Some(Burial { reason: "r".to_owned(), payload: Vec::new() }) }).unwrap();
    until("it is buried", || second.stats.acknowledged.get() == 1 && second.stats.buried.get() == 1);
    assert_eq!((second.stats.losses.get(), second.stats.connects.get()), (0, 1));
    second.end();
}

#[test]
fn entries_of_many_megabytes_hold_nobody_up() {
    let server = RedisServer::start();
    let mut redis = bot(&server);
    let large = "x".repeat(6 * 1024 * 1024);
    for _ in 0..6 {
        add(&mut redis, "command", &large);
    }
    let small = add(&mut redis, "command", "small");
    let reading = start(&server, 16);
    let entries: Vec<Entry> = (0..7).map(|_| reading.next()).collect();
    assert_eq!((entries[5].payload.as_ref().unwrap().len(), entries[6].id), (large.len(), small));
    for entry in entries {
        let bury = (entry.id != small).then(|| Burial { reason: "too long".to_owned(), payload: entry.payload.unwrap() });
        reading.done.send(Done { id: entry.id, bury }).unwrap();
    }
    until("all are acknowledged", || pending(&mut bot(&server)) == 0);
    reading.end();
}
