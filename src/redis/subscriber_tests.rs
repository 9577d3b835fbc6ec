//! The subscriber against real servers: floods, restarts, hangs, refusals.

use crossbeam_channel::{Receiver, bounded};

use super::*;
use crate::config::RedisPlace;
use crate::redis::fixtures::{behind, bot, certificates, promote, sentinel, settings, tcp};
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::promise::{kept, within};
use crate::runtime::{Stop, StopKind, Task, Threads};

const LONG: Duration = Duration::from_secs(60);
const CHANNELS: [&str; 2] = ["BROKER_REGISTRATION", "broker:registration"];

struct Rig {
    stop: Stop,
    task: Option<Task<()>>,
    heard: Receiver<Inbound>,
    stats: Arc<SubscriberStats>,
}

impl Rig {
    fn new(settings: RedisSettings, room: usize) -> Rig {
        let (exits, _) = bounded(4);
        let (inbox, heard) = bounded(room);
        let (stop, stats) = (Stop::new().unwrap(), Arc::new(SubscriberStats::default()));
        let (token, own_stats) = (stop.token(), Arc::clone(&stats));
        let channels = CHANNELS.map(str::to_owned).to_vec();
        let task = Threads::new(exits).spawn("subscriber", move || run_subscriber(Arc::new(settings), channels, inbox, token, own_stats)).unwrap();
        Rig { stop, task: Some(task), heard, stats }
    }

    fn next(&self) -> Inbound {
        self.heard.recv_timeout(LONG).expect("something heard")
    }

    /// How long the stop took.
    fn end(&mut self) -> Duration {
        let asked = Instant::now();
        self.stop.stop(StopKind::Shutdown);
        self.task.take().unwrap().join_within(LONG).unwrap();
        asked.elapsed()
    }
}

fn publish(connection: &mut ::redis::Connection, channel: &str, payload: &[u8]) -> u64 {
    ::redis::cmd("PUBLISH").arg(channel).arg(payload).query(connection).unwrap()
}

fn message(channel: &str, payload: &[u8]) -> Inbound {
    Inbound::Message { channel: channel.to_owned(), payload: payload.to_vec() }
}

#[test]
fn hears_both_channels_and_reports_what_is_too_long() {
    let server = RedisServer::start();
    let mut rig = Rig::new(tcp(&server), 16);
    assert_eq!(rig.next(), Inbound::Connected);
    let mut bot = bot(&server);
    let (most, more) = (vec![b'x'; MAX_PAYLOAD], vec![b'x'; MAX_PAYLOAD + 1]);
    assert_eq!(publish(&mut bot, CHANNELS[0], b"\xff not UTF-8"), 1);
    publish(&mut bot, CHANNELS[1], &more);
    publish(&mut bot, CHANNELS[1], &most);
    assert_eq!(rig.next(), message(CHANNELS[0], b"\xff not UTF-8"));
    assert_eq!(rig.next(), Inbound::Oversized { channel: CHANNELS[1].to_owned(), bytes: MAX_PAYLOAD + 1 });
    assert_eq!(rig.next(), message(CHANNELS[1], &most));
    assert_eq!((rig.stats.messages.get(), rig.stats.oversized.get()), (2, 1));
    rig.end();
}

#[test]
fn survives_a_restart_and_a_client_kill() {
    let mut server = RedisServer::start();
    let mut rig = Rig::new(tcp(&server), 16);
    assert_eq!(rig.next(), Inbound::Connected);
    server.restart();
    assert!(matches!(rig.next(), Inbound::Lost(_)));
    assert_eq!(rig.next(), Inbound::Connected);
    let killed: u64 = ::redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").query(&mut bot(&server)).unwrap();
    assert_eq!(killed, 1);
    assert!(matches!(rig.next(), Inbound::Lost(_)));
    assert_eq!(rig.next(), Inbound::Connected);
    publish(&mut bot(&server), CHANNELS[0], b"after");
    assert_eq!(rig.next(), message(CHANNELS[0], b"after"));
    assert_eq!((rig.stats.connects.get(), rig.stats.losses.get()), (3, 2));
    rig.end();
}

#[test]
fn a_quiet_connection_is_kept_and_a_hanging_one_left_within_three_seconds() {
    kept(|| {
        let server = RedisServer::start();
        let mut rig = Rig::new(tcp(&server), 16);
        assert_eq!(rig.next(), Inbound::Connected);
        assert!(rig.heard.recv_timeout(Duration::from_millis(2600)).is_err());
        publish(&mut bot(&server), CHANNELS[0], b"still here");
        assert_eq!(rig.next(), message(CHANNELS[0], b"still here"));
        server.stop();
        let began = Instant::now();
        assert!(matches!(rig.next(), Inbound::Lost(_)));
        within(Duration::from_millis(3200), began.elapsed())?;
        server.cont();
        assert_eq!(rig.next(), Inbound::Connected);
        server.stop();
        within(Duration::from_millis(2000), rig.end())?;
        Ok(())
    });
}

#[test]
fn a_full_inbox_drops_and_counts_and_a_stop_is_seen_all_the_same() {
    kept(|| {
        let server = RedisServer::start();
        let mut rig = Rig::new(tcp(&server), 2);
        assert_eq!(rig.next(), Inbound::Connected);
        let mut bot = bot(&server);
        for n in 0..4_u8 {
            publish(&mut bot, CHANNELS[0], &[n]);
        }
        let deadline = Instant::now() + LONG;
        while rig.stats.dropped.get() == 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!((rig.next(), rig.next()), (message(CHANNELS[0], &[0]), message(CHANNELS[0], &[1])));
        // The third waited its second in vain; the fourth found the room made just now.
        assert_eq!(rig.next(), message(CHANNELS[0], &[3]));
        for n in 0..4_u8 {
            publish(&mut bot, CHANNELS[0], &[n]);
        }
        within(Duration::from_millis(700), rig.end())?;
        Ok(())
    });
}

#[test]
fn follows_the_sentinels_to_a_new_master() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let (sentinel, _dir) = sentinel(&old);
    let mut rig = Rig::new(behind(&[&sentinel], "hub"), 4);
    assert_eq!(rig.next(), Inbound::Connected);
    promote(&sentinel, &new);
    assert!(matches!(rig.next(), Inbound::Lost(_)));
    assert_eq!(rig.next(), Inbound::Connected);
    assert_eq!(publish(&mut bot(&new), CHANNELS[0], b"x"), 1);
    assert_eq!(rig.next(), message(CHANNELS[0], b"x"));
    rig.end();
}

#[test]
fn a_refused_subscription_is_not_taken_for_silence() {
    let server = RedisOptions::default().acl("user default on nopass ~* resetchannels &BROKER_REGISTRATION +@all\n").start();
    let mut rig = Rig::new(RedisSettings { db: 1, ..tcp(&server) }, 4);
    // One channel of two: subscribed, and yet not to what we need.
    assert!(rig.heard.recv_timeout(Duration::from_millis(600)).is_err());
    assert_eq!(rig.stats.connects.get(), 0);
    rig.end();
}

#[test]
fn waits_for_a_server_that_comes_late_and_speaks_tls() {
    let ours = certificates();
    let mut server = RedisOptions::default().tls(&ours.chain, &ours.key, &ours.ca).start();
    server.kill();
    let over_tls = RedisSettings { ca_file: Some(ours.ca), ..settings(RedisPlace::Tls { host: "localhost".to_owned(), port: server.port() }) };
    let mut rig = Rig::new(over_tls, 4);
    assert!(rig.heard.recv_timeout(Duration::from_millis(200)).is_err());
    server.restart();
    assert_eq!(rig.next(), Inbound::Connected);
    assert!(rig.heard.recv_timeout(Duration::from_millis(1800)).is_err());
    rig.end();
}
