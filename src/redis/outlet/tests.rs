//! The outlet against real servers that die, hang, come back and refuse.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;
use crate::config::RedisPlace;
use crate::redis::fixtures::{behind, bot, certificates, promote, query, sentinel, settings, tcp};
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::promise::{kept, within};
use crate::runtime::{Secret, Stop, StopKind};

const LONG: Duration = Duration::from_secs(60);

struct Rig {
    outlet: Outlet,
    stats: Arc<OutletStats>,
    stop: Stop,
    slowest_pump: Duration,
    total: Pumped,
}

impl Rig {
    fn new(settings: RedisSettings) -> Rig {
        Rig::guarded(settings, Box::new(|_| true))
    }

    fn guarded(settings: RedisSettings, guard: Guard) -> Rig {
        let (exits, _) = crossbeam_channel::bounded(16);
        let (stop, stats) = (Stop::new().unwrap(), Arc::new(OutletStats::default()));
        let outlet = Outlet::new("test", Arc::new(settings), Threads::new(exits), stop.token(), Arc::clone(&stats)).guarded(guard);
        Rig { outlet, stats, stop, slowest_pump: Duration::ZERO, total: Pumped::default() }
    }

    fn up(settings: RedisSettings) -> Rig {
        let mut rig = Rig::new(settings);
        assert!(rig.until(LONG, |_, pumped| pumped.connected), "{:?}", rig.outlet.trouble());
        rig
    }

    fn pump(&mut self) -> Pumped {
        let began = Instant::now();
        let pumped = self.outlet.pump(began);
        self.slowest_pump = self.slowest_pump.max(began.elapsed());
        self.total.answered += pumped.answered;
        self.total.receivers += pumped.receivers;
        self.total.errors += pumped.errors;
        pumped
    }

    fn publish(&mut self, channel: &str, payload: &str) {
        resp::publish(self.outlet.buffer(), channel.as_bytes(), payload.as_bytes());
        self.outlet.queued(1);
    }

    /// Drives the outlet as a handler does; false when the time is over.
    fn until(&mut self, patience: Duration, mut done: impl FnMut(&mut Rig, &Pumped) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let pumped = self.pump();
            if done(self, &pumped) {
                return true;
            }
            let interest = if self.outlet.wants_write() { Interest::ReadWrite } else { Interest::Read };
            self.outlet.wait(self.outlet.next_deadline().min(deadline), interest).unwrap();
        }
        false
    }
}

/// A subscriber of the redis crate that has subscribed when this returns, and sends on what it hears.
fn listen(server: &RedisServer, channel: &str) -> mpsc::Receiver<String> {
    let mut connection = bot(server);
    let (give, heard) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    let channel = channel.to_owned();
    std::thread::spawn(move || {
        let mut pubsub = connection.as_pubsub();
        pubsub.subscribe(channel).unwrap();
        ready.send(()).unwrap();
        while let Ok(message) = pubsub.get_message() {
            if give.send(message.get_payload().unwrap()).is_err() {
                return;
            }
        }
    });
    is_ready.recv_timeout(LONG).unwrap();
    heard
}

/// The id of our connection, from `CLIENT LIST`.
fn client_id(server: &RedisServer, name: &str) -> String {
    let list: String = query(server, &["CLIENT", "LIST"]);
    let line = list.lines().find(|line| line.contains(&format!("name={name} "))).unwrap();
    line.split(' ').find_map(|field| field.strip_prefix("id=")).unwrap().to_owned()
}

#[test]
fn a_hundred_thousand_messages_arrive_in_order_and_every_reply_is_counted() {
    const COUNT: u64 = 100_000;
    let server = RedisServer::start();
    let heard = listen(&server, "numbers");
    let mut rig = Rig::up(tcp(&server));
    let capacity = rig.outlet.out.capacity();
    let mut next = 0;
    let finished = rig.until(Duration::from_secs(60), |rig, _| {
        while next < COUNT && rig.outlet.has_room() {
            rig.publish("numbers", &next.to_string());
            next += 1;
        }
        rig.total.answered == COUNT
    });
    assert!(finished, "{:?} {:?}", rig.total, rig.outlet.trouble());
    assert_eq!((rig.total.receivers, rig.total.errors, rig.outlet.unanswered(), rig.outlet.unsent()), (COUNT, 0, 0, 0));
    assert_eq!((rig.stats.commands.get(), rig.stats.losses.get()), (COUNT, 0));
    assert!(rig.outlet.out.capacity() <= 2 * capacity);
    for expected in 0..COUNT {
        assert_eq!(heard.recv_timeout(LONG).unwrap(), expected.to_string());
    }
}

#[test]
fn a_killed_server_is_noticed_and_served_again_half_a_second_after_it_listens() {
    kept(|| {
        let mut server = RedisServer::start();
        let mut rig = Rig::up(tcp(&server));
        server.kill();
        assert!(rig.until(LONG, |_, pumped| pumped.lost.is_some()));
        assert!(!rig.outlet.is_up() && !rig.outlet.has_room() && rig.stats.up.get() == 0);
        // Long enough for the delays to have grown to their longest.
        assert!(!rig.until(Duration::from_millis(1500), |_, pumped| pumped.connected));
        assert!(matches!(rig.outlet.trouble(), Some(RedisError::Unreachable { refused: true, .. })), "{:?}", rig.outlet.trouble());
        let restarted = std::thread::spawn(move || {
            server.restart();
            (server, Instant::now())
        });
        let mut asked = false;
        let answered = rig.until(LONG, |rig, pumped| {
            if rig.outlet.is_up() && !asked {
                asked = true;
                rig.publish("x", "y");
            }
            pumped.answered == 1
        });
        let now = Instant::now();
        let (_server, listening) = restarted.join().unwrap();
        assert!(answered);
        within(Duration::from_millis(500), now.saturating_duration_since(listening))?;
        within(Duration::from_millis(50), rig.slowest_pump)?;
        Ok(())
    });
}

#[test]
fn a_hanging_server_is_given_up_within_its_second_and_taken_back_when_it_wakes() {
    kept(|| {
        let server = RedisServer::start();
        let mut rig = Rig::up(tcp(&server));
        server.stop();
        let began = Instant::now();
        let payload = "x".repeat(1000);
        let lost = rig.until(LONG, |rig, pumped| {
            // A handler under load: it fills whatever room there is.
            while rig.outlet.has_room() {
                rig.publish("prices", &payload);
            }
            assert!(rig.outlet.unsent() < MAX_UNSENT + 2 * payload.len());
            pumped.lost.is_some()
        });
        assert!(lost && matches!(rig.outlet.trouble(), Some(RedisError::Silent { .. })), "{:?}", rig.outlet.trouble());
        within(Duration::from_millis(1200), began.elapsed())?;
        assert_eq!((rig.outlet.unsent(), rig.outlet.unanswered()), (0, 0));
        assert!(!rig.until(Duration::from_millis(300), |_, pumped| pumped.connected));
        server.cont();
        assert!(rig.until(LONG, |_, pumped| pumped.connected));
        within(Duration::from_millis(50), rig.slowest_pump)?;
        Ok(())
    });
}

#[test]
fn an_idle_connection_to_a_hanging_server_is_given_up_too() {
    kept(|| {
        let server = RedisServer::start();
        let mut rig = Rig::up(tcp(&server));
        server.stop();
        let began = Instant::now();
        assert!(rig.until(LONG, |_, pumped| pumped.lost.is_some()));
        within(Duration::from_millis(3500), began.elapsed())
    });
}

#[test]
fn client_kill_costs_one_reconnect_and_nothing_that_is_queued_later() {
    let server = RedisServer::start();
    let heard = listen(&server, "x");
    let mut rig = Rig::up(tcp(&server));
    let _: ::redis::Value = query(&server, &["CLIENT", "KILL", "ID", &client_id(&server, "alpaca-broker-test")]);
    assert!(rig.until(LONG, |_, pumped| pumped.lost.is_some()));
    assert!(matches!(rig.outlet.trouble(), Some(RedisError::Closed { .. })));
    assert!(rig.until(LONG, |_, pumped| pumped.connected));
    rig.publish("x", "after");
    assert!(rig.until(LONG, |_, pumped| pumped.answered == 1));
    assert_eq!(heard.recv_timeout(LONG).unwrap(), "after");
    assert_eq!((rig.stats.connects.get(), rig.stats.losses.get()), (2, 1));
}

#[test]
fn a_refused_channel_is_counted_and_the_others_go_on() {
    let server = RedisOptions::default().acl("user default on nopass ~* resetchannels &open:* &__* +@all\n").start();
    let mut rig = Rig::up(tcp(&server));
    for _ in 0..3 {
        rig.publish("closed:1", "no");
        rig.publish("open:1", "yes");
    }
    assert!(rig.until(LONG, |rig, _| rig.total.answered == 6));
    assert_eq!((rig.total.errors, rig.stats.errors.get(), rig.outlet.is_up()), (3, 3, true));
}

#[test]
fn a_demoted_master_is_left() {
    kept(|| {
        let (server, other) = (RedisServer::start(), RedisServer::start());
        let mut rig = Rig::up(tcp(&server));
        let _: ::redis::Value = query(&server, &["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
        // A publishing handler is told nothing by PUBLISH itself; only the ROLE in between can tell.
        let began = Instant::now();
        let lost = rig.until(LONG, |rig, pumped| {
            if rig.outlet.unanswered() == 0 && rig.outlet.is_up() {
                rig.publish("x", "y");
            }
            pumped.lost.is_some()
        });
        assert!(lost && matches!(rig.outlet.trouble(), Some(RedisError::NotMaster { .. })), "{:?}", rig.outlet.trouble());
        within(Duration::from_secs(3), began.elapsed())?;
        assert_eq!(rig.total.errors, 0);
        let _: ::redis::Value = query(&server, &["REPLICAOF", "NO", "ONE"]);
        assert!(rig.until(LONG, |_, pumped| pumped.connected));
        Ok(())
    });
}

#[test]
fn a_master_that_the_sentinels_have_left_is_left_though_it_knows_nothing() {
    kept(|| {
        let (old, new) = (RedisServer::start(), RedisServer::start());
        let (sentinel, _dir) = sentinel(&old);
        let mut rig = Rig::up(behind(&[&sentinel], "hub"));
        promote(&sentinel, &new);
        let began = Instant::now();
        assert!(rig.until(LONG, |_, pumped| pumped.lost.is_some()));
        within(Duration::from_secs(3), began.elapsed())?;
        assert!(matches!(rig.outlet.trouble(), Some(RedisError::NotMaster { .. })), "{:?}", rig.outlet.trouble());
        assert!(rig.until(LONG, |_, pumped| pumped.connected));
        let heard = listen(&new, "x");
        rig.publish("x", "to the new one");
        assert!(rig.until(LONG, |rig, _| rig.outlet.unanswered() == 0));
        assert_eq!(heard.recv_timeout(LONG).unwrap(), "to the new one");
        drop(sentinel);
        assert!(!rig.until(Duration::from_millis(2200), |_, pumped| pumped.lost.is_some()), "sentinels that are away move nobody");
        Ok(())
    });
}

#[test]
fn the_role_answer_is_never_taken_for_a_command_s() {
    let server = RedisServer::start();
    let mut rig = Rig::up(tcp(&server));
    let (mut queued, began) = (0, Instant::now());
    assert!(rig.until(LONG, |rig, _| {
        if began.elapsed() < Duration::from_millis(2500) {
            rig.publish("x", "y");
            queued += 1;
        }
        began.elapsed() >= Duration::from_millis(2500) && rig.outlet.unanswered() == 0
    }));
    assert_eq!((rig.total.answered, rig.total.errors, rig.stats.losses.get()), (queued, 0, 0));
}

#[test]
fn a_slow_server_is_not_left() {
    let server = RedisServer::start();
    let mut rig = Rig::up(tcp(&server));
    for _ in 0..4 {
        let _: ::redis::Value = query(&server, &["CLIENT", "PAUSE", "400", "ALL"]);
        rig.publish("x", "y");
        assert!(rig.until(LONG, |rig, _| rig.outlet.unanswered() == 0));
    }
    assert_eq!(rig.stats.losses.get(), 0);
}

#[test]
fn a_wrong_password_is_told_and_not_hammered() {
    let server = RedisOptions::default().with("--requirepass", "hunter2").start();
    let mut rig = Rig::new(RedisSettings { password: Some(Secret::new("other")), ..tcp(&server) });
    assert!(rig.until(LONG, |rig, _| rig.outlet.trouble().is_some_and(|error| error.kind() == "auth")));
    assert!(!rig.until(Duration::from_millis(700), |_, pumped| pumped.connected));
    assert_eq!(rig.stats.dial_failures.get(), 1);
}

#[test]
fn tls_and_unix_sockets_publish_too() {
    kept(|| {
        let ours = certificates();
        let tls = RedisOptions::default().tls(&ours.chain, &ours.key, &ours.ca).start();
        let unix = RedisOptions::default().unix().start();
        let over_tls = RedisSettings { ca_file: Some(ours.ca), ..settings(RedisPlace::Tls { host: "localhost".to_owned(), port: tls.port() }) };
        for settings in [over_tls, settings(RedisPlace::Unix(unix.socket()))] {
            let mut rig = Rig::up(settings);
            let payload = "p".repeat(700);
            let mut queued = 0;
            assert!(rig.until(LONG, |rig, _| {
                while queued < 3000 && rig.outlet.has_room() {
                    rig.publish("x", &payload);
                    queued += 1;
                }
                rig.total.answered == 3000
            }));
            assert_eq!(rig.stats.losses.get(), 0);
            within(Duration::from_millis(100), rig.slowest_pump)?;
        }
        Ok(())
    });
}

#[test]
fn what_is_appended_while_down_is_thrown_away() {
    let mut server = RedisServer::start();
    server.kill();
    let mut rig = Rig::new(tcp(&server));
    rig.publish("x", "lost");
    rig.pump();
    rig.publish("x", "lost too");
    assert_eq!(rig.outlet.unanswered(), 0);
    server.restart();
    assert!(rig.until(LONG, |_, pumped| pumped.connected));
    assert_eq!(rig.outlet.unsent(), 0);
    rig.publish("x", "sent");
    assert!(rig.until(LONG, |rig, _| rig.outlet.unanswered() == 0));
    assert_eq!(rig.total.answered, 1);
}

#[test]
fn stop_and_drop_end_the_dialling_at_once() {
    kept(|| {
        let server = RedisServer::start();
        server.stop();
        for by_token in [true, false] {
            let (exits, ended) = crossbeam_channel::bounded(16);
            let stop = Stop::new().unwrap();
            let outlet = Outlet::new("test", Arc::new(tcp(&server)), Threads::new(exits), stop.token(), Arc::default());
            assert!(ended.recv_timeout(Duration::from_millis(100)).is_err());
            let began = Instant::now();
            if by_token {
                stop.stop(StopKind::Shutdown);
            } else {
                drop(outlet);
            }
            assert_eq!(&*ended.recv_timeout(LONG).unwrap().name, "dial-test");
            within(Duration::from_millis(300), began.elapsed())?;
        }
        server.cont();
        Ok(())
    });
}

#[test]
fn a_nudge_ends_the_wait_on_a_live_connection() {
    let server = RedisServer::start();
    let mut rig = Rig::up(tcp(&server));
    rig.stop.nudge();
    assert!(rig.outlet.wait(Instant::now() + LONG, Interest::Read).unwrap().woken);
}

#[test]
fn while_it_may_not_send_it_is_as_good_as_down_and_afterwards_as_good_as_new() {
    let server = RedisServer::start();
    let heard = listen(&server, "guarded");
    let allowed = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&allowed);
    let mut rig = Rig::guarded(tcp(&server), Box::new(move |_| asked.load(Ordering::Relaxed)));
    assert!(rig.until(LONG, |rig, pumped| {
        assert!(!pumped.connected && !rig.outlet.is_up() && !rig.outlet.has_room());
        rig.stats.up.get() == 1
    }));
    for word in ["first", "second"] {
        allowed.store(true, Ordering::Relaxed);
        rig.outlet.ask_guard(Instant::now());
        assert!(!rig.outlet.is_up(), "before anybody was told");
        assert!(rig.pump().connected);
        rig.publish("guarded", word);
        assert!(rig.until(LONG, |rig, _| rig.outlet.unanswered() == 0));
        assert_eq!(heard.recv_timeout(LONG).unwrap(), word);
        allowed.store(false, Ordering::Relaxed);
        rig.outlet.ask_guard(Instant::now());
        assert!(!rig.outlet.is_up() && !rig.outlet.has_room());
    }
    assert!(!rig.until(Duration::from_millis(1500), |_, pumped| pumped.connected || pumped.lost.is_some()));
    assert_eq!((rig.stats.connects.get(), rig.stats.up.get()), (1, 1), "the connection is kept, and its role is asked");
}
