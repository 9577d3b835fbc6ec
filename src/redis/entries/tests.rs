use super::*;
use crate::redis::fixtures::{bot, tcp};
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::{Stop, StopKind};
use ::redis::Value;
use crossbeam_channel::bounded;

const PLACE: StreamPlace = StreamPlace { key: "orders", group: "desk", consumer: "one", field: "command", kept: 100_000 };
const LONG: Duration = Duration::from_secs(10);

struct Reading {
    entries: Receiver<Entry>,
    done: Sender<EntryId>,
    stop: Stop,
    stats: Arc<EntryStats>,
    thread: std::thread::JoinHandle<()>,
}

fn start(server: &RedisServer, room: usize) -> Reading {
    let (inbox, entries) = bounded(room);
    let (done, finished) = bounded(1_024);
    let stop = Stop::new().unwrap();
    let stats = Arc::<EntryStats>::default();
    let (settings, token, counted) = (Arc::new(tcp(server)), stop.token(), Arc::clone(&stats));
    let thread = std::thread::spawn(move || run_entry_reader(settings, PLACE, inbox, finished, token, counted));
    Reading { entries, done, stop, stats, thread }
}

impl Reading {
    fn next(&self) -> Entry {
        self.entries.recv_timeout(LONG).expect("an entry within ten seconds")
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
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
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
    first.done.send(early).unwrap();
    while pending(&mut bot) != 1 {
        std::thread::yield_now();
    }
    first.end();

    let other = start(&server, 8);
    let entry = other.next();
    assert_eq!((entry.id, entry.again), (second, true));
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
    [one, two, three].into_iter().for_each(|id| reading.done.send(id).unwrap());
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
    reading.done.send(ids[0]).unwrap();
    until("there is a new session", || reading.stats.connects.get() > before);
    let handed = [reading.next(), reading.next(), reading.next()].map(|entry| (entry.id, entry.again));
    assert_eq!(handed.as_slice(), ids.iter().map(|id| (*id, false)).collect::<Vec<_>>());
    reading.end();
}

#[test]
fn what_is_finished_after_the_stop_is_acknowledged_and_nothing_new_is_taken() {
    let server = RedisServer::start();
    let mut bot = bot(&server);
    let reading = start(&server, 8);
    let (one, two) = (add(&mut bot, "command", "one"), add(&mut bot, "command", "two"));
    assert_eq!([reading.next().id, reading.next().id], [one, two]);
    reading.stop.stop(StopKind::Shutdown);
    let late = add(&mut bot, "command", "after the stop");
    // Longer than a read waits in Redis: the reader is at its last acknowledgements.
    std::thread::sleep(Duration::from_millis(300));
    let stopped = Instant::now();
    reading.done.send(one).unwrap();
    reading.done.send(two).unwrap();
    drop(reading.done);
    reading.thread.join().unwrap();
    assert!(stopped.elapsed() < Duration::from_millis(100), "{:?}", stopped.elapsed());
    assert!(reading.entries.try_recv().is_err());
    let read: Vec<(String, Value, i64, i64)> = ::redis::cmd("XPENDING").arg("orders").arg("desk").arg("-").arg("+").arg(10).query(&mut bot).unwrap();
    assert!(read.iter().all(|(id, ..)| *id == late.to_string()), "{read:?}");
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
    let age = wall_now().nanos() - reading.next().taken.nanos();
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
fn led(server: &RedisServer, kept: u64, count: usize, read: usize) -> (Reader, Session, Receiver<Entry>, Sender<EntryId>, Stop) {
    let mut bot = bot(server);
    for _ in 0..count {
        add(&mut bot, "command", "x");
    }
    let stop = Stop::new().unwrap();
    let ((inbox, entries), (done, finished)) = (bounded(count), bounded(count));
    let mut reader = Reader::new(StreamPlace { kept, ..PLACE }, inbox, finished, stop.token(), Arc::default());
    let connector = Connector::new(Arc::new(tcp(server)), "commands");
    let Ok(mut session) = Session::open(&connector, &stop.token()) else { panic!("no session") };
    assert!(reader.make_group(&mut session).is_ok());
    while entries.len() < read {
        let Ok(answer) = session.ask("XREADGROUP", &reader.read_command(None)) else { panic!("nothing read") };
        assert!(reader.take(entries_of(answer, "command"), false, &mut session).is_ok());
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
    handed.iter().filter(|id| **id != slow).for_each(|id| done.send(*id).unwrap());
    assert!(reader.acknowledge(&mut session).is_ok() && reader.trim(&mut session).is_ok());
    let left = ids(&server);
    assert!(left.len() < all.len() && left.len() >= all.len() - 500 && all.ends_with(&left) && left.contains(&slow), "{}", left.len());

    done.send(slow).unwrap();
    assert!(reader.acknowledge(&mut session).is_ok() && reader.trim(&mut session).is_ok());
    let left = ids(&server);
    assert!(left.len() >= 1_600 - 16 * BURST && left.len() < 1_600 - 900 && all.ends_with(&left), "{}", left.len());
}

#[test]
fn as_many_finished_entries_are_kept_as_wished() {
    let server = RedisServer::start();
    let (mut reader, mut session, entries, done, _stop) = led(&server, 500, 1_024, 1_024);
    entries.try_iter().for_each(|entry| done.send(entry.id).unwrap());
    assert!(reader.acknowledge(&mut session).is_ok() && reader.trim(&mut session).is_ok());
    let left = ids(&server).len();
    // Redis removes whole nodes of a hundred.
    assert!((500..=600).contains(&left), "{left}");
}
