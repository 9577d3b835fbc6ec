//! Logging in to real servers: every form of address, every refusal.

use std::io::Write as _;
use std::net::TcpListener;

use super::*;
use crate::redis::fixtures::{behind, certificates, query, sentinel, settings, tcp};
use crate::redis::test_server::{RedisOptions, RedisServer};
use crate::runtime::promise::{kept, within};
use crate::runtime::{Secret, Stop, StopKind};

fn at(port: u16) -> RedisPlace {
    RedisPlace::Tcp { host: "127.0.0.1".to_owned(), port }
}

fn connect(settings: RedisSettings) -> Result<Link, RedisError> {
    let stop = Stop::new().unwrap();
    Connector::new(Arc::new(settings), "test").connect(&stop.token())
}

#[test]
fn tcp_unix_and_db_log_in_and_learn_the_version() {
    let server = RedisServer::start();
    let link = connect(RedisSettings { db: 3, ..tcp(&server) }).unwrap();
    assert_eq!(link.server().product, "redis");
    assert!(link.server().version.split('.').count() == 3, "{:?}", link.server());
    assert_eq!(link.peer().unwrap().port(), server.port());
    let by_name = RedisPlace::Tcp { host: "localhost".to_owned(), port: server.port() };
    assert!(connect(settings(by_name)).is_ok());
    let unix = RedisOptions::default().unix().start();
    assert!(connect(settings(RedisPlace::Unix(unix.socket()))).is_ok());
}

#[test]
fn a_db_that_is_not_there_is_named() {
    let server = RedisServer::start();
    let error = connect(RedisSettings { db: 99, ..tcp(&server) }).unwrap_err();
    assert!(matches!(&error, RedisError::Refused { command: "SELECT", .. }), "{error}");
}

#[test]
fn users_and_passwords_are_told_apart_without_showing_them() {
    let acl = "user default on >open-sesame ~* &* +@all\nuser broker on >hunter2 ~* &* +@all\nuser off off >hunter2 ~* &* +@all\nuser bare on >hunter2 ~* &* -@all +publish\n";
    let server = RedisOptions::default().acl(acl).start();
    let with = |user: Option<&str>, password: Option<&str>| {
        connect(RedisSettings { username: user.map(str::to_owned), password: password.map(Secret::new), ..tcp(&server) })
    };
    assert!(with(None, Some("open-sesame")).is_ok());
    assert!(with(Some("broker"), Some("hunter2")).is_ok());
    for (user, password) in [(Some("broker"), "secret-wrong"), (Some("nobody"), "secret-wrong"), (None, "secret-wrong"), (Some("off"), "hunter2")] {
        let error = with(user, Some(password)).unwrap_err();
        assert!(matches!(error, RedisError::WrongPassword { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains(password));
    }
    assert!(matches!(with(None, None).unwrap_err(), RedisError::PasswordNeeded { .. }));
    assert!(matches!(with(Some("bare"), Some("hunter2")).unwrap_err(), RedisError::Denied { command: "ROLE", .. }));
}

#[test]
fn info_is_not_needed() {
    let server = RedisOptions::default().acl("user default on nopass ~* &* -@all +publish +role\n").start();
    let link = connect(tcp(&server)).unwrap();
    assert_eq!(link.server(), &ServerInfo::default());
}

#[test]
fn a_replica_is_refused() {
    let master = RedisServer::start();
    let replica = RedisOptions::default().replica_of(master.port()).start();
    let error = connect(tcp(&replica)).unwrap_err();
    assert!(matches!(&error, RedisError::NotMaster { role, .. } if role == "replica"), "{error}");
}

#[test]
fn a_server_that_is_still_loading_is_asked_again_later() {
    // Slow to load, and willing to answer meanwhile.
    let slow = RedisOptions::default().with("--key-load-delay", "2000").with("--loading-process-events-interval-bytes", "1024");
    let mut server = slow.start();
    let pairs: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let _: () = query(&server, &[&["MSET"], &pairs.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    let _: () = query(&server, &["SAVE"]);
    server.restart();
    // On a busy machine a server that loads may answer too late as well.
    let error = loop {
        match connect(tcp(&server)).unwrap_err() {
            RedisError::Silent { .. } => {}
            error => break error,
        }
    };
    assert!(matches!(error, RedisError::Loading { .. }), "{error}");
    let deadline = Instant::now() + Duration::from_secs(60);
    while connect(tcp(&server)).is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(query::<u64>(&server, &["DBSIZE"]), 1000);
}

#[test]
fn a_full_server_says_so() {
    let server = RedisOptions::default().with("--maxclients", "1").start();
    // The place of the probe that saw the server listen may be freed only now.
    let deadline = Instant::now() + Duration::from_secs(10);
    let _held = loop {
        match connect(tcp(&server)) {
            Ok(link) => break link,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let error = connect(tcp(&server)).unwrap_err();
    // The refusal may overtake our login, or be lost in the reset that follows it.
    assert!(matches!(error, RedisError::Full { .. } | RedisError::Closed { .. }), "{error}");
}

#[test]
fn what_is_not_redis_is_told_from_what_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let web = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert!(matches!(connect(settings(at(port))).unwrap_err(), RedisError::Protocol { .. }));
    web.join().unwrap().unwrap();
    assert!(matches!(connect(settings(at(port))).unwrap_err(), RedisError::Unreachable { refused: true, .. }));
    let nowhere = settings(RedisPlace::Unix("/nonexistent/redis.sock".into()));
    assert!(matches!(connect(nowhere).unwrap_err(), RedisError::Unreachable { refused: true, .. }));
}

#[test]
fn a_mute_server_is_given_up_in_time_and_a_stop_ends_the_wait() {
    kept(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = at(listener.local_addr().unwrap().port());
        let began = Instant::now();
        assert!(matches!(connect(settings(place.clone())).unwrap_err(), RedisError::Silent { .. }));
        within(LOGIN_WITHIN + Duration::from_secs(2), began.elapsed())?;
        let stop = Stop::new().unwrap();
        let token = stop.token();
        let dialling = std::thread::spawn(move || Connector::new(Arc::new(settings(place)), "test").connect(&token));
        listener.accept().unwrap();
        listener.accept().unwrap();
        stop.stop(StopKind::Shutdown);
        assert!(matches!(dialling.join().unwrap(), Err(RedisError::Stopped)));
        Ok(())
    });
}

#[test]
fn sentinels_lead_to_the_master() {
    let (master, mut dead) = (RedisServer::start(), RedisServer::start());
    dead.kill();
    let (sentinel, _dir) = sentinel(&master);
    assert_eq!(connect(behind(&[&dead, &sentinel], "hub")).unwrap().peer().unwrap().port(), master.port());
    let error = connect(behind(&[&dead, &sentinel], "other")).unwrap_err();
    assert!(matches!(&error, RedisError::Sentinel { cause, .. } if cause.contains("does not know")), "{error}");
}

#[test]
fn tls_trusts_the_given_ca_alone() {
    let ours = certificates();
    let server = RedisOptions::default().tls(&ours.chain, &ours.key, &ours.ca).start();
    let place = RedisPlace::Tls { host: "127.0.0.1".to_owned(), port: server.port() };
    assert!(connect(RedisSettings { ca_file: Some(ours.ca), ..settings(place.clone()) }).is_ok());
    let untrusted = connect(settings(place.clone())).unwrap_err();
    assert!(matches!(&untrusted, RedisError::Tls { cause, .. } if cause.contains("UnknownIssuer")), "{untrusted}");
    let missing = connect(RedisSettings { ca_file: Some(ours.dir.path().join("none.pem")), ..settings(place) }).unwrap_err();
    assert!(matches!(&missing, RedisError::Tls { .. }), "{missing}");
    let plain = connect(tcp(&server)).unwrap_err();
    assert!(matches!(plain, RedisError::Protocol { .. } | RedisError::Closed { .. }), "{plain}");
}
