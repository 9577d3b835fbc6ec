//! The control thread against real servers: questions, stored words, restarts, refusals.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use crossbeam_channel::bounded;

use super::*;
use crate::config::RedisPlace;
use crate::redis::fixtures::{behind, bot, certificates, promote, query, sentinel, settings, tcp};
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::promise::{kept, within};
use crate::runtime::{Secret, Stop, StopKind, Task, Threads};

const LONG: Duration = Duration::from_secs(60);
const KEY: &str = "broker:registrations";

struct Rig {
    stop: Stop,
    task: Option<Task<()>>,
    inbox: Sender<ControlCommand>,
    events: Receiver<ControlEvent>,
    stats: Arc<ControlStats>,
}

impl Rig {
    fn new(settings: RedisSettings) -> Rig {
        Rig::guarded(settings, Box::new(|| true))
    }

    fn guarded(settings: RedisSettings, may_write: Gate) -> Rig {
        let (exits, _) = bounded(4);
        let ((inbox, commands), (tell, events)) = (bounded(1024), bounded(1));
        let (stop, stats) = (Stop::new().unwrap(), Arc::new(ControlStats::default()));
        let (token, own_stats) = (stop.token(), Arc::clone(&stats));
        let body = move || run_control(Arc::new(settings), commands, tell, may_write, token, own_stats);
        let task = Threads::new(exits).spawn("control", body).unwrap();
        Rig { stop, task: Some(task), inbox, events, stats }
    }

    fn up(settings: RedisSettings) -> Rig {
        let rig = Rig::new(settings);
        assert!(matches!(rig.event(), ControlEvent::Connected { role: "master", .. }));
        rig
    }

    fn event(&self) -> ControlEvent {
        self.events.recv_timeout(LONG).expect("an event")
    }

    fn send(&self, command: ControlCommand) {
        self.inbox.send_timeout(command, LONG).unwrap();
    }

    fn store(&self, set: &[(&str, i64)], remove: &[&str]) {
        let set = set.iter().map(|(field, value)| ((*field).to_owned(), *value)).collect();
        self.send(ControlCommand::StoreRegistrations { key: KEY, set, remove: remove.iter().map(|field| (*field).to_owned()).collect() });
    }

    fn load(&self) -> Result<HashMap<String, String>, RedisError> {
        let (reply, loaded) = bounded(1);
        self.send(ControlCommand::Load { key: KEY, reply });
        loaded.recv_timeout(LONG).expect("an answer")
    }

    fn num_sub(&self, channels: &[&str]) -> Result<Vec<(String, u64)>, RedisError> {
        let (reply, counted) = bounded(1);
        self.send(ControlCommand::NumSub { channels: channels.iter().map(|channel| (*channel).to_owned()).collect(), reply });
        counted.recv_timeout(LONG).expect("an answer")
    }

    /// How long the stop took.
    fn end(&mut self) -> Duration {
        let asked = Instant::now();
        self.stop.stop(StopKind::Shutdown);
        self.task.take().unwrap().join_within(LONG).unwrap();
        asked.elapsed()
    }
}

fn hash(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn stores_loads_counts_and_leases() {
    let server = RedisServer::start();
    let mut rig = Rig::new(tcp(&server));
    let ControlEvent::Connected { product, version, role } = rig.event() else { panic!("not connected") };
    assert_eq!((product, role), ("redis", "master"));
    assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
    assert_eq!(rig.load(), Ok(HashMap::new()));
    rig.store(&[("a", 1), ("b", 0), ("c", 3)], &[]);
    rig.store(&[("a", 5)], &["c", "never there"]);
    let mut raw = bot(&server);
    ::redis::cmd("HSET").arg(KEY).arg(b"\xff").arg("1").exec(&mut raw).unwrap();
    assert_eq!(rig.load(), Ok(hash(&[("a", "5"), ("b", "0")])));
    let mut listening = raw.as_pubsub();
    listening.subscribe("price:AAPL").unwrap();
    assert_eq!(rig.num_sub(&["price:AAPL", "price:MSFT"]), Ok(vec![("price:AAPL".to_owned(), 1), ("price:MSFT".to_owned(), 0)]));
    assert_eq!(rig.num_sub(&[]), Ok(vec![]));
    rig.send(ControlCommand::SetLease { key: "broker:status".to_owned(), value: b"{}".to_vec(), ttl: Duration::from_secs(5) });
    assert_eq!(rig.load().map(|all| all.len()), Ok(2));
    let left: i64 = query(&server, &["PTTL", "broker:status"]);
    assert!((1..=5000).contains(&left), "{left}");
    assert_eq!((rig.stats.errors.get(), rig.stats.dropped.get(), rig.stats.waiting.get()), (0, 0, 0));
    rig.end();
}

#[test]
fn a_burst_of_logs_is_published_in_order() {
    let server = RedisServer::start();
    let mut rig = Rig::up(tcp(&server));
    let mut connection = bot(&server);
    let (give, heard) = mpsc::channel::<String>();
    let mut pubsub = connection.as_pubsub();
    pubsub.subscribe("broker:logs").unwrap();
    for n in 0..500 {
        rig.send(ControlCommand::Publish { channel: "broker:logs".to_owned(), payload: n.to_string().into_bytes() });
    }
    rig.store(&[("after", 0)], &[]);
    pubsub.set_read_timeout(Some(LONG)).unwrap();
    for _ in 0..500 {
        give.send(pubsub.get_message().unwrap().get_payload().unwrap()).unwrap();
    }
    drop(give);
    assert!(heard.iter().enumerate().all(|(n, payload)| payload == n.to_string()));
    assert_eq!(rig.load(), Ok(hash(&[("after", "0")])));
    assert_eq!(rig.stats.dropped.get(), 0);
    rig.end();
}

#[test]
fn keys_wait_while_they_may_not_be_written_and_questions_do_not() {
    let server = RedisServer::start();
    let allowed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&allowed);
    let mut rig = Rig::guarded(tcp(&server), Box::new(move || asked.load(Ordering::Relaxed)));
    rig.event();
    rig.store(&[("a", 1), ("b", 1)], &[]);
    rig.store(&[("a", 2)], &["b"]);
    rig.send(ControlCommand::SetLease { key: "broker:status".to_owned(), value: b"{}".to_vec(), ttl: Duration::from_secs(60) });
    assert_eq!(rig.load(), Ok(HashMap::new()));
    assert_eq!(query::<i64>(&server, &["EXISTS", "broker:status"]), 0);
    allowed.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + LONG;
    while rig.stats.waiting.get() > 0 {
        assert!(Instant::now() < deadline, "never written");
        std::thread::yield_now();
    }
    assert_eq!(rig.load(), Ok(hash(&[("a", "2")])));
    assert_eq!(query::<i64>(&server, &["EXISTS", "broker:status"]), 1);
    allowed.store(false, Ordering::Relaxed);
    rig.store(&[("a", 3)], &[]);
    rig.end();
    assert_eq!(query::<String>(&server, &["HGET", KEY, "a"]), "2");
}

#[test]
fn what_is_said_while_redis_is_away_is_written_when_it_is_back() {
    kept(|| {
        let mut server = RedisServer::start();
        let mut rig = Rig::up(tcp(&server));
        rig.store(&[("a", 1), ("b", 1)], &[]);
        server.kill();
        assert!(matches!(rig.event(), ControlEvent::Lost(_)));
        rig.store(&[("a", 2), ("c", 2)], &["b"]);
        rig.store(&[("a", 3)], &["c"]);
        let lease = |value: &str, ttl| ControlCommand::SetLease { key: "broker:status".to_owned(), value: value.as_bytes().to_vec(), ttl };
        rig.send(lease("old", Duration::from_secs(60)));
        rig.send(lease("new", Duration::from_secs(60)));
        rig.send(ControlCommand::SetLease { key: "short".to_owned(), value: vec![], ttl: Duration::from_millis(1) });
        rig.send(ControlCommand::Publish { channel: "broker:logs".to_owned(), payload: b"nobody hears it".to_vec() });
        let began = Instant::now();
        assert!(matches!(rig.load(), Err(RedisError::Closed { .. } | RedisError::Unreachable { .. })));
        assert!(matches!(rig.num_sub(&["x"]), Err(RedisError::Closed { .. } | RedisError::Unreachable { .. })));
        within(Duration::from_millis(500), began.elapsed())?;
        assert_eq!(rig.stats.dropped.get(), 1);
        server.restart();
        let listening = Instant::now();
        assert!(matches!(rig.event(), ControlEvent::Connected { .. }));
        within(Duration::from_millis(500), listening.elapsed())?;
        assert_eq!(rig.load(), Ok(hash(&[("a", "3")])));
        assert_eq!(query::<String>(&server, &["GET", "broker:status"]), "new");
        assert!(!query::<bool>(&server, &["EXISTS", "short"]));
        assert_eq!((rig.stats.connects.get(), rig.stats.losses.get()), (2, 1));
        within(Duration::from_millis(700), rig.end())?;
        Ok(())
    });
}

#[test]
fn client_kill_and_a_demotion_are_noticed_without_a_command() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let mut rig = Rig::up(tcp(&server));
    let _: u64 = query(&server, &["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(matches!(rig.event(), ControlEvent::Lost(_)));
    assert!(matches!(rig.event(), ControlEvent::Connected { .. }));
    let _: () = query(&server, &["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    let ControlEvent::Lost(text) = rig.event() else { panic!("not lost") };
    assert!(text.contains("replica"), "{text}");
    let _: () = query(&server, &["REPLICAOF", "NO", "ONE"]);
    assert!(matches!(rig.event(), ControlEvent::Connected { .. }));
    rig.end();
}

#[test]
fn follows_the_sentinels_to_a_new_master() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let (sentinel, _dir) = sentinel(&old);
    let mut rig = Rig::up(behind(&[&sentinel], "hub"));
    promote(&sentinel, &new);
    assert!(matches!(rig.event(), ControlEvent::Lost(_)));
    assert!(matches!(rig.event(), ControlEvent::Connected { .. }));
    rig.store(&[("a", 1)], &[]);
    assert_eq!(rig.load(), Ok(hash(&[("a", "1")])));
    assert!(query::<bool>(&new, &["EXISTS", KEY]));
    rig.end();
}

#[test]
fn a_hanging_server_costs_a_question_one_read_and_a_stop_is_seen() {
    kept(|| {
        let server = RedisServer::start();
        let mut rig = Rig::up(tcp(&server));
        server.stop();
        let began = Instant::now();
        for n in 0..200_u8 {
            rig.send(ControlCommand::Publish { channel: "broker:logs".to_owned(), payload: vec![n] });
        }
        assert!(matches!(rig.event(), ControlEvent::Lost(_)));
        assert!(rig.load().is_err());
        within(Duration::from_millis(2500), began.elapsed())?;
        within(Duration::from_millis(1500), rig.end())?;
        Ok(())
    });
}

#[test]
fn something_else_under_our_key_is_set_aside() {
    let server = RedisServer::start();
    let mut rig = Rig::up(tcp(&server));
    let _: () = query(&server, &["SET", KEY, "not a hash"]);
    assert_eq!(rig.load(), Ok(HashMap::new()));
    assert_eq!(query::<String>(&server, &["GET", &format!("{KEY}:set-aside")]), "not a hash");
    let _: () = query(&server, &["SET", KEY, "not a hash again"]);
    rig.store(&[("a", 1)], &[]);
    assert!(matches!(rig.event(), ControlEvent::Connected { .. }), "asks for everything to be written");
    assert_eq!(rig.load(), Ok(hash(&[("a", "1")])));
    assert_eq!((rig.stats.losses.get(), rig.stats.errors.get()), (0, 2));
    rig.end();
}

#[test]
fn words_that_redis_refuses_for_now_are_written_later() {
    let server = RedisServer::start();
    let mut rig = Rig::up(tcp(&server));
    let _: () = query(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    rig.store(&[("a", 1)], &[]);
    assert_eq!(rig.load(), Ok(HashMap::new()));
    assert_eq!((rig.stats.errors.get(), rig.stats.waiting.get()), (1, 1));
    let _: () = query(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    let deadline = Instant::now() + LONG;
    while rig.stats.waiting.get() > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(rig.load(), Ok(hash(&[("a", "1")])));
    rig.end();
}

#[test]
fn a_denied_command_is_an_answer_and_the_connection_stands() {
    let acl = "user default off\nuser broker on >hunter2 ~* &* +@all -pubsub\n";
    let server = RedisOptions::default().acl(acl).start();
    let login = |user: &str, password: &str| RedisSettings { username: Some(user.to_owned()), password: Some(Secret::new(password)), ..tcp(&server) };
    let mut rig = Rig::up(login("broker", "hunter2"));
    assert!(matches!(rig.num_sub(&["x"]), Err(RedisError::Denied { command: "PUBSUB NUMSUB", .. })));
    assert_eq!(rig.load(), Ok(HashMap::new()));
    rig.end();
    let mut wrong = Rig::new(login("broker", "hunter3"));
    let error = wrong.load().unwrap_err();
    assert!(error.kind() == "auth" && !format!("{error:?}").contains("hunter3"), "{error}");
    wrong.end();
}

#[test]
fn unix_and_tls_work_and_the_last_words_are_said() {
    kept(|| {
        let ours = certificates();
        let tls = RedisOptions::default().tls(&ours.chain, &ours.key, &ours.ca).start();
        let unix = RedisOptions::default().unix().start();
        let over_tls = RedisSettings { ca_file: Some(ours.ca), ..settings(RedisPlace::Tls { host: "127.0.0.1".to_owned(), port: tls.port() }) };
        for settings in [over_tls, settings(RedisPlace::Unix(unix.socket()))] {
            let mut rig = Rig::up(settings.clone());
            let many: Vec<(String, i64)> = (0..5000).map(|n| (format!("bot|alpaca|SYM{n}|price|ticker"), n)).collect();
            rig.send(ControlCommand::StoreRegistrations { key: KEY, set: many, remove: vec![] });
            rig.store(&[("last", 1)], &[]);
            within(Duration::from_millis(2500), rig.end())?;
            let mut again = Rig::up(settings);
            assert_eq!(again.load().map(|all| (all.len(), all.get("last").cloned())), Ok((5001, Some("1".to_owned()))));
            again.end();
        }
        Ok(())
    });
}
