use super::*;
use crate::redis::fixtures::{query, shipped_rights, tcp};
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::promise::{kept, within};
use crate::runtime::{Stop, StopKind};
use crossbeam_channel::{Receiver, bounded};

const PLACE: LeasePlace = LeasePlace { leader: "leader", fence: "fence" };
const LONG: Duration = Duration::from_secs(60);
const SHORT: Terms = Terms {
    ttl: Duration::from_millis(2_000),
    renew_every: Duration::from_millis(300),
    look_every: Duration::from_millis(50),
    watch_for: Duration::from_millis(3_000),
};

struct Broker {
    state: Arc<LeaseState>,
    stop: Stop,
    changed: Receiver<()>,
    thread: std::thread::JoinHandle<()>,
}

fn start(server: &RedisServer, journal: &str, since_ms: i64) -> Broker {
    start_with(server, journal, since_ms, SHORT)
}

fn start_with(server: &RedisServer, journal: &str, since_ms: i64, terms: Terms) -> Broker {
    let holder = Holder { journal: journal.to_owned(), host: "here".to_owned(), pid: 7, since_ms };
    let (tell, changed) = bounded(64);
    let state = Arc::new(LeaseState::new(move || {
        let _ = tell.try_send(());
    }));
    let stop = Stop::new().unwrap();
    let (settings, token, shared) = (Arc::new(tcp(server)), stop.token(), Arc::clone(&state));
    let thread = std::thread::spawn(move || run(settings, PLACE, holder, terms, token, shared));
    Broker { state, stop, changed, thread }
}

impl Broker {
    fn is_granted(&self) -> bool {
        let deadline = Instant::now() + LONG;
        while !self.state.is_held() && self.state.refused().is_none() && self.changed.recv_deadline(deadline).is_ok() {}
        self.state.is_held()
    }

    fn until(&self, what: &str, is: impl Fn(&LeaseState) -> bool) {
        let deadline = Instant::now() + LONG;
        while !is(&self.state) {
            assert!(self.changed.recv_deadline(deadline).is_ok(), "never: {what}: {:?}", self.state);
        }
    }

    /// As a process that is killed: nothing is given back.
    fn freeze(server: &RedisServer, journal: &str, since_ms: i64, left: Duration) {
        let note = Note { holder: Holder { journal: journal.to_owned(), host: "there".to_owned(), pid: 8, since_ms }, token: 40 };
        let text = String::from_utf8(note.write()).unwrap();
        let _: () = query(server, &["SET", "leader", &text, "PX", &left.as_millis().to_string()]);
    }

    fn end(self) {
        self.stop.stop(StopKind::Shutdown);
        self.thread.join().unwrap();
        assert!(!self.state.is_held());
    }
}

fn token_in(server: &RedisServer) -> u64 {
    Note::read(&query::<Vec<u8>>(server, &["GET", "leader"])).token
}

#[test]
fn the_second_broker_is_refused_and_starts_at_once_when_the_first_has_stopped() {
    kept(|| {
        let server = RedisServer::start();
        let first = start(&server, "a", 1);
        assert!(first.is_granted());
        assert_eq!((first.state.token(), token_in(&server)), (1, 1));
        let second = start(&server, "b", 2);
        assert!(!second.is_granted());
        assert!(second.state.refused().unwrap().starts_with("process 7 on here since 1970-01-01T00:00:00"), "{:?}", second.state);
        second.thread.join().unwrap();

        first.end();
        assert_eq!(query::<i64>(&server, &["EXISTS", "leader"]), 0);
        let third = start(&server, "c", 3);
        let asked = Instant::now();
        assert!(third.is_granted());
        within(SHORT.ttl, asked.elapsed())?;
        assert_eq!(third.state.token(), 2);
        third.end();
        Ok(())
    });
}

#[test]
fn an_earlier_life_is_followed_at_once_and_a_dead_stranger_when_his_lease_ends() {
    let server = RedisServer::start();
    Broker::freeze(&server, "a", 1, Duration::from_secs(1_000));
    let broker = start_with(&server, "a", 2, TERMS);
    assert!(broker.is_granted());
    // Above that of the earlier life, though the counter knows nothing of it.
    assert_eq!((broker.state.token(), token_in(&server)), (41, 41));
    assert!(query::<u64>(&server, &["PTTL", "leader"]) <= 10_000);
    broker.end();

    Broker::freeze(&server, "b", 1, Duration::from_millis(700));
    let broker = start(&server, "a", 3);
    assert!(broker.is_granted());
    assert_eq!((broker.state.token(), broker.state.refused()), (42, None));
    broker.end();
}

#[test]
fn a_broker_whose_lease_was_taken_stops_at_once() {
    let server = RedisServer::start();
    let broker = start(&server, "a", 1);
    assert!(broker.is_granted());
    Broker::freeze(&server, "b", 1, Duration::from_secs(1_000));
    broker.until("it is told", |state| state.refused().is_some());
    assert!(!broker.state.is_held() && broker.state.refused().unwrap().contains("process 8 on there"));
    broker.thread.join().unwrap();
    // Not ours any more, so it is not given back either.
    assert_eq!(token_in(&server), 40);
}

#[test]
fn a_flushed_redis_is_no_reason_to_stop() {
    let server = RedisServer::start();
    let broker = start(&server, "a", 1);
    assert!(broker.is_granted());
    for round in 2..5 {
        let _: () = query(&server, &["FLUSHALL"]);
        let deadline = Instant::now() + LONG;
        while broker.state.token() < round {
            assert!(Instant::now() < deadline, "not taken again");
            assert!(broker.state.is_held());
            std::thread::yield_now();
        }
        assert_eq!((broker.state.token(), token_in(&server)), (round, round));
    }
    broker.end();
}

#[test]
fn while_redis_is_away_it_is_held_to_its_end_and_taken_again_afterwards() {
    kept(|| {
        let mut server = RedisServer::start();
        let broker = start(&server, "a", 1);
        assert!(broker.is_granted());
        while broker.changed.try_recv().is_ok() {}
        server.kill();
        let killed = Instant::now();
        assert!(broker.state.is_held());
        broker.until("it has run out", |state| !state.is_held());
        within(SHORT.ttl + Duration::from_secs(2), killed.elapsed())?;
        server.restart();
        assert!(broker.is_granted());
        assert_eq!((broker.state.token(), broker.state.refused()), (2, None));
        broker.end();
        Ok(())
    });
}

#[test]
fn a_redis_that_hangs_beyond_the_end_gives_a_new_token() {
    let server = RedisServer::start();
    let broker = start(&server, "a", 1);
    assert!(broker.is_granted());
    server.stop();
    broker.until("it has run out", |state| !state.is_held());
    server.cont();
    assert!(broker.is_granted());
    let deadline = Instant::now() + LONG;
    while token_in(&server) != broker.state.token() {
        assert!(Instant::now() < deadline, "the token is not the one in Redis");
    }
    broker.end();
}

#[test]
fn while_redis_takes_no_writes_it_is_nobodys_unless_somebody_has_it() {
    let mut server = RedisServer::start();
    Broker::freeze(&server, "b", 1, Duration::from_millis(700));
    let _: () = query(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    let broker = start(&server, "a", 2);
    let began = Instant::now();
    broker.until("it is nobody's", |state| state.may_serve(Instant::now()));
    assert!(began.elapsed() > Duration::from_millis(500), "while another had it: {:?}", began.elapsed());
    assert_eq!((broker.state.is_held(), broker.state.token()), (false, 0));
    let _: () = query(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    assert!(broker.is_granted());
    server.kill();
    broker.until("it has run out", |state| !state.is_held());
    assert!(!broker.state.may_serve(Instant::now()), "who can tell while Redis is away?");
    broker.end();
}

#[test]
fn the_shipped_user_may_do_all_of_it() {
    let server = RedisOptions::default().acl(&shipped_rights()).start();
    let broker = start(&server, "a", 1);
    assert!(broker.is_granted());
    // The counter is lost as well: it is lifted above the last token.
    assert_eq!(query::<i64>(&server, &["DEL", "leader", "fence"]), 2);
    broker.until("it is taken again", |state| state.token() == 2);
    broker.end();
    assert_eq!(query::<Option<String>>(&server, &["GET", "leader"]), None);
}
