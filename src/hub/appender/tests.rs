//! The thread against real servers: nothing is lost, repeated or written over, whatever becomes of Redis.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ::redis::FromRedisValue;
use crossbeam_channel::bounded;

use super::*;
use crate::config::RedisPlace;
use crate::events::Source;
use crate::journal::Draft;
use crate::model::Timestamp;
use crate::observe::Heartbeats;
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::{Secret, Stop, StopKind, Task, Threads, wall_now};

const LONG: Duration = Duration::from_secs(60);
const KEY: &str = "broker:order_updates:acc";
const WEEK: Duration = Duration::from_secs(7 * 86_400);

struct Rig {
    _folder: tempfile::TempDir,
    journal: Arc<Journal>,
    leads: Arc<AtomicBool>,
    settings: RedisSettings,
    bot_streams: bool,
    running: Option<Running>,
}

struct Running {
    stop: Stop,
    task: Task<usize>,
    wake: Sender<()>,
    stats: Arc<AppenderStats>,
    foreign: Receiver<String>,
}

fn account() -> AccountId {
    "acc".parse().unwrap()
}

fn settings(server: &RedisServer) -> RedisSettings {
    let place = RedisPlace::Tcp { host: "127.0.0.1".to_owned(), port: server.port() };
    RedisSettings { place, db: 0, username: None, password: None, ca_file: None }
}

impl Rig {
    fn new(server: &RedisServer) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(&folder.path().join("broker.db"), wall_now()).unwrap();
        let leads = Arc::new(AtomicBool::new(true));
        Rig { _folder: folder, journal: Arc::new(journal), leads, settings: settings(server), bot_streams: false, running: None }
    }

    fn start(&mut self) {
        let (exits, _) = bounded(4);
        let ((wake, woken), (tell, foreign)) = (bounded(1), bounded(1));
        let (stop, stats, leads) = (Stop::new().unwrap(), Arc::<AppenderStats>::default(), Arc::clone(&self.leads));
        let appender = Appender {
            journal: Arc::clone(&self.journal),
            redis: Arc::new(self.settings.clone()),
            settings: AppenderSettings { bot_streams: self.bot_streams, retention: WEEK },
            ticker: Box::new(|account| account.as_str() == "acc"),
            wake: woken,
            may_append: Box::new(move || leads.load(Ordering::SeqCst)),
            stop: stop.token(),
            stats: Arc::clone(&stats),
            heartbeat: Heartbeats::new().register("handle-orders"),
            foreign: tell,
        };
        let task = Threads::new(exits).spawn("handle-orders", move || run_appender(appender)).unwrap();
        self.running = Some(Running { stop, task, wake, stats, foreign });
    }

    fn started(server: &RedisServer) -> Rig {
        let mut rig = Rig::new(server);
        rig.start();
        rig
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn stats(&self) -> &AppenderStats {
        &self.running().stats
    }

    /// Appends so many updates to the journal.
    fn tell(&self, count: u64) {
        self.tell_as(count, None, wall_now());
    }

    fn tell_as(&self, count: u64, bot: Option<&str>, at: Timestamp) {
        self.tell_with(&account(), count, |draft| Draft { bot: bot.map(str::to_owned), at, ..draft });
    }

    fn tell_with(&self, account: &AccountId, count: u64, change: impl Fn(Draft) -> Draft) {
        let first = self.journal.stream(account).unwrap().last + 1;
        let drafts = (first..first + count).map(|n| Draft {
            order_id: format!("v{n}"),
            client_order_id: "b-1".into(),
            symbol: "AAPL".into(),
            bot: None,
            event: "fill".into(),
            source: Source::Stream,
            entry: format!(r#"{{"type":"order","fact":{n}}}"#),
            typed: Some(format!(r#"{{"typed":{n}}}"#)),
            keys: vec![n.to_string()],
            at: wall_now(),
        });
        let put = |step: &crate::journal::Step<'_>| drafts.into_iter().try_for_each(|draft| step.append(account, &change(draft)).map(drop));
        self.journal.write::<_, crate::journal::JournalError>(put).unwrap();
        if let Some(running) = &self.running {
            let _ = running.wake.try_send(());
        }
    }

    fn epoch(&self) -> u64 {
        self.journal.stream(&account()).unwrap().epoch.unwrap()
    }

    /// Waits until the stream holds these numbers of our epoch, and nothing else of it.
    fn shows(&self, server: &RedisServer, numbers: std::ops::RangeInclusive<u64>) {
        let mut found = Vec::new();
        let shown = reached(|| {
            found = entries(server, KEY);
            let epoch = self.journal.stream(&account()).unwrap().epoch.unwrap_or(0);
            let ours = found.iter().filter(|(id, _)| id.starts_with(&format!("{epoch}-")));
            let expected = numbers.clone().map(|n| (format!("{epoch}-{n}"), format!(r#"{{"type":"order","fact":{n},"stream_id":"{epoch}-{n}"}}"#)));
            ours.cloned().eq(expected)
        });
        assert!(shown, "{numbers:?} expected of epoch {:?}: {found:?}", self.journal.stream(&account()));
    }

    /// Waits until this number was appended and copied.
    fn settled(&self, n: u64) {
        until("all is copied", || self.journal.stream(&account()).unwrap().copied == n);
    }

    fn end(&mut self) -> usize {
        let running = self.running.take().unwrap();
        running.stop.stop(StopKind::Shutdown);
        running.task.join_within(LONG).unwrap()
    }

    fn is_foreign(&mut self) -> String {
        let running = self.running.take().unwrap();
        let told = running.foreign.recv_timeout(LONG).expect("to be told that the stream is another's");
        running.task.join_within(LONG).unwrap();
        told
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop.stop(StopKind::Shutdown);
        }
    }
}

fn reached(mut is: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + LONG;
    while !is() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

fn until(what: &str, is: impl FnMut() -> bool) {
    assert!(reached(is), "not in time: {what}");
}

fn bot(server: &RedisServer) -> ::redis::Connection {
    ::redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}

fn query<T: FromRedisValue>(server: &RedisServer, command: &[&str]) -> T {
    ::redis::cmd(command[0]).arg(&command[1..]).query(&mut bot(server)).unwrap()
}

fn entries(server: &RedisServer, key: &str) -> Vec<(String, String)> {
    let raw: Vec<(String, Vec<(String, String)>)> = ::redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut bot(server)).unwrap_or_default();
    raw.into_iter().map(|(id, mut fields)| (id, fields.pop().unwrap().1)).collect()
}

/// What is heard on the channels of the account and of the symbol, until `last` comes.
fn listen(server: &RedisServer) -> impl FnMut(&str) -> Vec<String> + use<> {
    let mut connection = bot(server);
    connection.set_read_timeout(Some(LONG)).unwrap();
    connection.send_packed_command(&::redis::cmd("SUBSCRIBE").arg("TICKER_UPDATES_AAPL").arg("order:acc").get_packed_command()).unwrap();
    for _ in 0..2 {
        connection.recv_response().unwrap();
    }
    move |last| {
        let mut heard = Vec::new();
        while heard.last().map(String::as_str) != Some(last) {
            let (_, _, payload): (String, String, String) = ::redis::from_redis_value(connection.recv_response().expect("a message in time")).unwrap();
            heard.push(payload);
        }
        heard
    }
}

fn copies(epoch: u64, numbers: std::ops::RangeInclusive<u64>) -> Vec<String> {
    numbers.flat_map(|n| [format!(r#"{{"type":"order","fact":{n},"stream_id":"{epoch}-{n}"}}"#), format!(r#"{{"typed":{n}}}"#)]).collect()
}

#[test]
fn updates_appear_in_order_once_with_their_copies() {
    let server = RedisServer::start();
    let mut heard = listen(&server);
    let mut rig = Rig::new(&server);
    rig.tell(3);
    rig.start();
    rig.shows(&server, 1..=3);
    rig.tell(300);
    rig.shows(&server, 1..=303);
    assert_eq!(heard(r#"{"typed":303}"#), copies(rig.epoch(), 1..=303));
    until("all is counted", || rig.stats().waiting.get() == 0 && rig.stats().copied.get() == 303);
    assert_eq!((rig.stats().received.get(), rig.stats().appended.get(), rig.stats().refused()), (300, 303, 0));
    assert_eq!(rig.stats().last()[&account()].n, 303);
    assert_eq!(rig.end(), 0);
    assert_eq!(rig.journal.stream(&account()).unwrap().copied, 303);

    // A process that starts again goes on where this one ended.
    rig.tell(1);
    rig.start();
    rig.shows(&server, 1..=304);
    assert_eq!(heard(r#"{"typed":304}"#), copies(rig.epoch(), 304..=304));
    assert_eq!(rig.end(), 0);
}

#[test]
fn the_tail_that_a_killed_redis_lost_is_appended_again() {
    let mut server = RedisOptions::default().with("--appendonly", "yes").with("--appendfsync", "everysec").start();
    let dir: Vec<String> = query(&server, &["CONFIG", "GET", "dir"]);
    let log = std::path::Path::new(&dir[1]).join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut rig = Rig::started(&server);
    rig.tell(200);
    rig.shows(&server, 1..=200);
    for round in 1..=3_u64 {
        server.kill();
        let length = std::fs::metadata(&log).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 1_777 * round).unwrap();
        rig.tell(10);
        server.restart();
        rig.shows(&server, 1..=200 + 10 * round);
    }
    until("all is counted", || rig.stats().waiting.get() == 0);
    assert!(rig.stats().appended.get() > 230, "some were appended twice: {}", rig.stats().appended.get());
    assert_eq!(rig.end(), 0);
}

#[test]
fn a_stream_that_vanished_is_made_anew_and_old_copies_are_not_repeated() {
    let server = RedisServer::start();
    let mut rig = Rig::started(&server);
    rig.tell(5);
    rig.settled(5);
    let mut heard = listen(&server);
    let _: () = query(&server, &["FLUSHALL"]);
    rig.tell(1);
    rig.shows(&server, 1..=6);
    assert_eq!(heard(r#"{"typed":6}"#), copies(rig.epoch(), 6..=6));
    // Found by looking, with nothing new to append.
    let _: i64 = query(&server, &["DEL", KEY]);
    rig.shows(&server, 1..=6);
    // And by the next process.
    assert_eq!(rig.end(), 0);
    let _: i64 = query(&server, &["DEL", KEY]);
    rig.start();
    rig.shows(&server, 1..=6);
    rig.tell(1);
    rig.shows(&server, 1..=7);
    assert_eq!(heard(r#"{"typed":7}"#), copies(rig.epoch(), 7..=7));
}

#[test]
fn only_the_window_of_retention_is_made_anew_and_older_entries_are_trimmed() {
    let server = RedisServer::start();
    let old = Timestamp::from_nanos(wall_now().nanos() - 8 * 86_400 * 1_000_000_000);
    let mut rig = Rig::new(&server);
    rig.tell_as(7, None, old);
    rig.tell(3);
    rig.start();
    rig.shows(&server, 8..=10);
    rig.end();
    // A stream that is full of what is old: whole nodes of it go, as Redis trims.
    let epoch = rig.epoch();
    let _: i64 = query(&server, &["DEL", KEY]);
    let _: () = query(&server, &["CONFIG", "SET", "stream-node-max-entries", "1"]);
    for n in 1..=9 {
        let _: String =
            query(&server, &["XADD", KEY, &format!("{epoch}-{n}"), "event", &format!(r#"{{"type":"order","fact":{n},"stream_id":"{epoch}-{n}"}}"#)]);
    }
    rig.start();
    rig.shows(&server, 8..=10);
}

#[test]
fn another_journals_stream_is_left_alone() {
    let server = RedisServer::start();
    let mut rig = Rig::started(&server);
    rig.tell(2);
    rig.shows(&server, 1..=2);
    let theirs = format!("{}-1", rig.epoch() + 1);
    let _: String = query(&server, &["XADD", KEY, &theirs, "event", "theirs"]);
    rig.tell(1);
    assert!(rig.is_foreign().contains("another journal"));
    assert_eq!(entries(&server, KEY).len(), 3);
    rig.start();
    assert!(rig.is_foreign().contains(&theirs));
}

#[test]
fn an_entry_whose_answer_was_lost_counts_as_present() {
    let server = RedisServer::start();
    let rig = Rig::started(&server);
    rig.tell(2);
    rig.settled(2);
    let mut heard = listen(&server);
    let epoch = rig.epoch();
    let _: String = query(&server, &["XADD", KEY, &format!("{epoch}-3"), "event", &format!(r#"{{"type":"order","fact":3,"stream_id":"{epoch}-3"}}"#)]);
    rig.tell(2);
    rig.shows(&server, 1..=4);
    assert_eq!(heard(r#"{"typed":4}"#), copies(epoch, 3..=4));
    assert_eq!(rig.stats().appended.get(), 3);
}

#[test]
fn a_redis_that_hangs_is_given_up_and_found_again() {
    let server = RedisServer::start();
    let rig = Rig::started(&server);
    rig.tell(1);
    rig.shows(&server, 1..=1);
    server.stop();
    rig.tell(50);
    until("the connection is given up", || rig.stats().redis.losses.get() > 0);
    server.cont();
    rig.shows(&server, 1..=51);
}

#[test]
fn an_older_copy_of_the_journal_is_not_taken_for_the_right_one() {
    let server = RedisServer::start();
    let mut rig = Rig::started(&server);
    rig.tell(2);
    rig.shows(&server, 1..=2);
    rig.end();
    let _: String = query(&server, &["XADD", KEY, &format!("{}-3", rig.epoch()), "event", "unknown here"]);
    rig.start();
    assert!(rig.is_foreign().contains("move this journal away"));
}

#[test]
fn a_new_journal_goes_on_above_the_epoch_of_the_old_one() {
    let server = RedisServer::start();
    let later = u64::try_from(wall_now().millis()).unwrap() + 1_000_000;
    let _: String = query(&server, &["XADD", KEY, &format!("{later}-40"), "event", "old"]);
    let mut rig = Rig::new(&server);
    rig.tell(2);
    rig.start();
    rig.shows(&server, 1..=2);
    assert_eq!((rig.epoch(), entries(&server, KEY).len()), (later + 1, 3));
    // Redis comes back with what it held before this journal's time.
    rig.end();
    let _: i64 = query(&server, &["DEL", KEY]);
    let _: String = query(&server, &["XADD", KEY, &format!("{later}-40"), "event", "old"]);
    rig.start();
    rig.shows(&server, 1..=2);
}

#[test]
fn nothing_is_lost_while_redis_takes_nothing() {
    let server = RedisServer::start();
    let rig = Rig::started(&server);
    rig.tell(1);
    rig.settled(1);
    let mut heard = listen(&server);
    // No memory, and no replica that would have it too.
    for (round, (option, bad)) in (1..).zip([("maxmemory", "1mb"), ("min-replicas-to-write", "3")]) {
        let (refused, last) = (rig.stats().refused(), 2 * round + 1);
        let _: () = query(&server, &["CONFIG", "SET", option, bad]);
        rig.tell(2);
        until("it is refused", || rig.stats().refused() > refused);
        until("both wait", || rig.stats().waiting.get() == 2);
        let _: () = query(&server, &["CONFIG", "SET", option, "0"]);
        rig.shows(&server, 1..=last);
        assert_eq!(heard(&format!(r#"{{"typed":{last}}}"#)), copies(rig.epoch(), last - 1..=last));
    }
}

#[test]
fn what_has_no_copies_no_symbol_or_a_quiet_account_is_not_shouted() {
    let server = RedisServer::start();
    let mut heard = listen(&server);
    let rig = Rig::started(&server);
    rig.tell_with(&account(), 1, |draft| Draft { typed: None, ..draft });
    rig.tell_with(&account(), 1, |draft| Draft { symbol: String::new(), ..draft });
    rig.tell_with(&"other".parse().unwrap(), 1, |draft| draft);
    rig.shows(&server, 1..=2);
    until("the other is there", || entries(&server, "broker:order_updates:other").len() == 1);
    rig.tell(1);
    let expected = [vec![r#"{"typed":2}"#.to_owned()], copies(rig.epoch(), 3..=3)].concat();
    assert_eq!(heard(r#"{"typed":3}"#), expected);
}

#[test]
fn a_long_backlog_keeps_no_other_account_waiting() {
    let server = RedisServer::start();
    let mut rig = Rig::new(&server);
    rig.tell(5_000);
    rig.tell_with(&"other".parse().unwrap(), 1, |draft| draft);
    rig.start();
    // Both in one look: on a busy machine much may happen between two.
    let mut connection = bot(&server);
    let mut lengths = (0, 0);
    until("the other is there", || {
        lengths = ::redis::pipe().atomic().cmd("XLEN").arg("broker:order_updates:other").cmd("XLEN").arg(KEY).query::<(u64, u64)>(&mut connection).unwrap();
        lengths.0 == 1
    });
    assert!(lengths.1 < 5_000, "{lengths:?}");
    rig.shows(&server, 1..=5_000);
}

#[test]
fn connections_that_break_at_any_moment_lose_and_repeat_nothing() {
    let server = RedisServer::start();
    let mut heard = listen(&server);
    let rig = Rig::started(&server);
    let mut killer = bot(&server);
    // A connection that breaks while it is dialled is no loss, and its pause would outlast all of the breaks below.
    until("it is connected", || rig.stats().redis.up.get() == 1);
    for _ in 0..30 {
        rig.tell(100);
        let _: i64 = ::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes").query(&mut killer).unwrap();
    }
    rig.shows(&server, 1..=3_000);
    assert!(rig.stats().redis.losses.get() > 0);
    // A copy may come twice where its answer was lost, but each one comes.
    let heard = heard(r#"{"typed":3000}"#);
    assert!((1..=3_000).all(|n| heard.contains(&format!(r#"{{"typed":{n}}}"#))));
}

#[test]
fn a_replica_gets_nothing_until_it_is_the_master_again() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let mut rig = Rig::started(&server);
    rig.tell(1);
    rig.shows(&server, 1..=1);
    let _: () = query(&server, &["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    rig.tell(2);
    until("it is refused", || rig.stats().redis.losses.get() > 0 && rig.stats().redis.up.get() == 0);
    let _: () = query(&server, &["REPLICAOF", "NO", "ONE"]);
    rig.shows(&server, 1..=3);
    rig.end();
}

#[test]
fn an_acl_that_forbids_appending_is_waited_out() {
    let server = RedisOptions::default().acl("user default on nopass ~* &* +@all\nuser broker on >secret ~* &* +@all -xadd").start();
    let mut rig = Rig::new(&server);
    rig.settings.username = Some("broker".to_owned());
    rig.settings.password = Some(Secret::new("secret"));
    rig.start();
    rig.tell(2);
    until("it is refused", || rig.stats().refused() > 0);
    let _: () = query(&server, &["ACL", "SETUSER", "broker", "+xadd"]);
    rig.shows(&server, 1..=2);
}

#[test]
fn the_rights_that_we_ship_are_enough() {
    let shipped = include_str!("../../../configs/redis/users.acl").lines().find(|line| line.starts_with("user broker ")).unwrap();
    let lines = format!("user default on nopass ~* &* +@all\n{}", shipped.replace("resetpass", "resetpass >secret"));
    let server = RedisOptions::default().acl(&lines).start();
    let mut rig = Rig::new(&server);
    rig.settings.username = Some("broker".to_owned());
    rig.settings.password = Some(Secret::new("secret"));
    let mut heard = listen(&server);
    rig.tell_as(2, None, Timestamp::from_nanos(wall_now().nanos() - 8 * 86_400 * 1_000_000_000));
    rig.tell(2);
    rig.start();
    rig.shows(&server, 3..=4);
    assert_eq!(heard(r#"{"typed":4}"#), copies(rig.epoch(), 3..=4));
    assert_eq!(rig.stats().refused(), 0);
}

#[test]
fn what_is_no_stream_is_set_aside() {
    let server = RedisServer::start();
    let _: () = query(&server, &["SET", KEY, "something"]);
    let rig = Rig::started(&server);
    rig.tell(2);
    rig.shows(&server, 1..=2);
    let _: i64 = query(&server, &["DEL", KEY]);
    let _: () = query(&server, &["SET", KEY, "again"]);
    rig.tell(1);
    rig.shows(&server, 1..=3);
    assert_eq!(query::<String>(&server, &["GET", &format!("{KEY}:set-aside")]), "again");
}

#[test]
fn each_bot_has_a_stream_of_its_own() {
    let server = RedisServer::start();
    let mut rig = Rig::new(&server);
    rig.bot_streams = true;
    rig.start();
    rig.tell_as(2, Some("one"), wall_now());
    rig.tell(1);
    rig.tell_as(1, Some("two"), wall_now());
    rig.tell_as(1, Some("one"), wall_now());
    rig.shows(&server, 1..=5);
    let epoch = rig.epoch();
    let entry = |n: u64, fact: u64| (format!("{epoch}-{n}"), format!(r#"{{"type":"order","fact":{fact},"stream_id":"{epoch}-{n}"}}"#));
    let one = format!("{KEY}:one");
    until("the bot's own", || entries(&server, &one) == [entry(1, 1), entry(2, 2), entry(3, 5)]);
    until("the other's", || entries(&server, &format!("{KEY}:two")) == [entry(1, 4)]);
    let _: i64 = query(&server, &["DEL", &one]);
    rig.tell_as(1, Some("one"), wall_now());
    until("the bot's own again", || entries(&server, &one) == [entry(1, 1), entry(2, 2), entry(3, 5), entry(4, 6)]);
}

#[test]
fn who_is_not_the_broker_writes_nothing() {
    let server = RedisServer::start();
    let mut rig = Rig::new(&server);
    rig.leads.store(false, Ordering::SeqCst);
    rig.start();
    rig.tell(2);
    until("it is seen", || rig.stats().waiting.get() == 2);
    assert_eq!((rig.stats().redis.connects.get(), query::<i64>(&server, &["DBSIZE"])), (0, 0));
    assert_eq!(rig.journal.stream(&account()).unwrap().epoch, None);
    rig.leads.store(true, Ordering::SeqCst);
    rig.shows(&server, 1..=2);
    rig.leads.store(false, Ordering::SeqCst);
    rig.tell(1);
    until("it is seen", || rig.stats().waiting.get() == 1);
    assert_eq!(rig.end(), 1);
    assert_eq!(entries(&server, KEY).len(), 2);
}

#[test]
fn a_backlog_is_drained_fast() {
    let server = RedisServer::start();
    let mut rig = Rig::new(&server);
    rig.tell(20_000);
    let began = Instant::now();
    rig.start();
    until("all are appended", || rig.stats().appended.get() == 20_000);
    let took = began.elapsed();
    let _ = writeln!(std::io::stderr(), "20,000 updates in {took:?}");
    until("all are copied", || rig.stats().copied.get() == 20_000);
    assert_eq!(query::<u64>(&server, &["XLEN", KEY]), 20_000);
}

#[test]
fn the_keeper_forgets_what_is_older_than_any_stream() {
    let server = RedisServer::start();
    let rig = Rig::new(&server);
    let days = |days: i64| Timestamp::from_nanos(wall_now().nanos() - days * 86_400 * 1_000_000_000);
    rig.tell_as(1_500, None, days(9));
    rig.tell_as(1, None, days(7));
    let (stop, journal) = (Stop::new().unwrap(), Arc::clone(&rig.journal));
    let keeper = Keeper { journal, retention: WEEK, stop: stop.token(), heartbeat: Heartbeats::new().register("journal-keeper") };
    let (exits, _) = bounded(1);
    let task = Threads::new(exits).spawn("journal-keeper", move || run_keeper(keeper)).unwrap();
    until("only the younger is there", || rig.journal.updates(&account(), 0, 9).unwrap().iter().map(|row| row.n).eq([1_501]));
    let log = rig.journal.path().with_extension("db-wal");
    assert!(log.exists());
    stop.stop(StopKind::Shutdown);
    task.join_within(LONG).unwrap();
}
