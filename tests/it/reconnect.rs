use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use alpaca_broker::config::Config;
use alpaca_broker::net::Endpoint;
use alpaca_broker::sim::{ConnectionRecord, FaultAction, SimConfig, Stage, StageFault};

use crate::support::bot::Bot;
use crate::support::promise::{Late, kept, within};
use crate::support::proxy::{Manner, Proxy};
use crate::support::rig::{PATIENCE, Rig, RigOptions, wait_until};

const IEX: &str = "/v2/iex";

/// A service whose market data comes through a proxy, and a bot that holds AAPL and has seen a price.
struct Scene {
    rig: Rig,
    proxy: Proxy,
    bot: Bot,
    prices: u32,
}

impl Scene {
    fn start() -> Scene {
        let (give, take) = mpsc::channel();
        let config = Box::new(move |config: &mut Config| {
            let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], config.market_data.host.port)));
            config.market_data.host.port = proxy.port();
            give.send(proxy).unwrap();
        });
        let rig = Rig::with(RigOptions { config, ..RigOptions::default() });
        let proxy = take.recv().unwrap();
        Scene::with(rig, proxy)
    }

    fn with(rig: Rig, proxy: Proxy) -> Scene {
        let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL"]);
        bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"AAPL"}"#);
        let mut scene = Scene { rig, proxy, bot, prices: 0 };
        scene.restored(1);
        scene.tick();
        scene
    }

    /// Waits until the data stream stands on its `visits`th connection with its subscription.
    fn restored(&self, visits: usize) {
        let stands = |all: &[ConnectionRecord]| all.iter().filter(|c| is_data(c) && c.is_open()).any(|c| c.symbols.contains(&"AAPL".to_owned()));
        wait_until("the data stream stands again", || {
            self.proxy.visits().len() == visits && stands(&self.rig.exchange.connections()) && self.data_state() == "streaming"
        });
    }

    fn data_state(&self) -> String {
        self.rig.broker.boards()[0].state().to_string()
    }

    /// One trade, seen by the bot and kept as fresh.
    fn tick(&mut self) {
        self.prices += 1;
        let price = format!("{}.25", 100 + self.prices);
        self.rig.exchange.trade("AAPL", &price, 1);
        let wanted = format!(r#""price":{price},"#);
        self.bot.until("the trade", |message| message.text.contains(&wanted));
        self.marked("false");
    }

    fn marked(&self, stale: &str) {
        let wanted = format!(r#""stale":{stale}"#);
        let mut client = self.rig.redis_client();
        wait_until("the last value is marked", || {
            let last: Option<String> = redis::cmd("HGET").arg("broker:last:AAPL").arg("price").query(&mut client).unwrap();
            last.is_some_and(|text| text.contains(&wanted))
        });
    }

    fn arm(&self, stage: Stage, action: FaultAction) {
        self.rig.exchange.arm(StageFault { stage, action, path_contains: Some(IEX.to_owned()), times: 1 });
    }
}

fn is_data(record: &ConnectionRecord) -> bool {
    record.path.starts_with(IEX)
}

/// Cuts the stream, lets the next attempt fail like this, and sees the one after it restore everything within `bound`.
fn comes_back(stage: Stage, action: FaultAction, bound: Duration) -> Result<(), Late> {
    let mut scene = Scene::start();
    scene.arm(stage, action);
    let cut = Instant::now();
    scene.proxy.cut();
    scene.marked("true");
    scene.restored(3);
    let took = cut.elapsed();
    scene.tick();
    scene.proxy.assert_manners();
    assert_eq!(scene.rig.metric("broker_stream_attempts_total"), 4.0, "three of the data stream, one of the order stream");
    scene.bot.assert_contiguous();
    within(bound, took)
}

fn all_at_once(cases: &[(Stage, FaultAction, Duration)]) {
    std::thread::scope(|scope| {
        for (stage, action, bound) in cases {
            scope.spawn(|| kept(|| comes_back(*stage, *action, *bound)));
        }
    });
}

#[test]
fn a_connection_that_ends_at_any_stage_is_followed_by_one_that_restores_everything() {
    // At most 250 ms and 500 ms of backoff; the rest is for a busy machine.
    let stages = [Stage::Upgrade, Stage::Greeting, Stage::Auth, Stage::Ack, Stage::Streaming];
    all_at_once(&stages.map(|stage| (stage, FaultAction::Close, Duration::from_secs(4))));
}

#[test]
fn an_exchange_that_falls_silent_at_any_stage_is_given_up_after_its_five_seconds() {
    let stages = [Stage::Upgrade, Stage::Greeting, Stage::Auth, Stage::Ack];
    all_at_once(&stages.map(|stage| (stage, FaultAction::Mute, Duration::from_secs(9))));
}

#[test]
fn a_dead_connection_that_nobody_closed_is_found_by_a_ping() {
    kept(|| {
        let mut scene = Scene::start();
        let dead = Instant::now();
        scene.proxy.half_open();
        scene.marked("true");
        let found = dead.elapsed();
        assert!(found >= Duration::from_secs(14), "{found:?}");
        within(Duration::from_secs(17), found)?;
        scene.restored(2);
        scene.tick();
        scene.proxy.assert_manners();
        assert_eq!(scene.rig.metric("broker_stream_losses_total"), 1.0, "the order stream, as quiet, lives on by its pongs");
        Ok(())
    });
}

#[test]
fn frames_that_are_no_websocket_cost_the_connection_and_no_more() {
    let long_ping = [&[0x89, 0x7e, 0, 126][..], &[0; 126]].concat();
    let frames: [(&str, &[u8]); 7] = [
        ("text that is not UTF-8", &[0x81, 2, 0xff, 0xfe]),
        ("a reserved bit", &[0xc1, 0]),
        ("a masked frame", &[0x81, 0x80, 0, 0, 0, 0]),
        ("a ping that is too long", &long_ping),
        ("a ping in parts", &[0x09, 0]),
        ("a frame of a tebibyte", &[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]),
        ("an unknown opcode", &[0x83, 0]),
    ];
    std::thread::scope(|scope| {
        for (what, bytes) in frames {
            scope.spawn(move || {
                let mut scene = Scene::start();
                scene.proxy.inject(bytes);
                wait_until(&format!("the connection is given up after {what}"), || scene.rig.metric("broker_stream_losses_total") == 1.0);
                scene.restored(2);
                scene.tick();
                scene.proxy.assert_manners();
            });
        }
    });
}

#[test]
fn a_refused_port_is_tried_again_until_it_opens() {
    kept(|| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut far = 0;
        let (give, take) = mpsc::channel();
        let config = Box::new(move |config: &mut Config| {
            give.send(std::mem::replace(&mut config.market_data.host.port, port)).unwrap();
        });
        let rig = Rig::begin(RigOptions { config, ..RigOptions::default() });
        far += take.recv().unwrap();
        let attempts = || rig.broker.boards().first().map_or(0, |board| board.stats.attempts.get());
        wait_until("three attempts were refused", || attempts() >= 3);
        assert_eq!(rig.status()["state"], "degraded");
        let opened = Instant::now();
        let proxy = Proxy::on(port, SocketAddr::from(([127, 0, 0, 1], far)));
        rig.wait_ready();
        within(Duration::from_secs(3), opened.elapsed())?;
        Scene::with(rig, proxy).proxy.assert_manners();
        Ok(())
    });
}

#[test]
fn a_proxy_that_closes_at_once_is_not_stormed() {
    let mut scene = Scene::start();
    scene.proxy.set(Manner::Close);
    scene.proxy.cut();
    wait_until("four more attempts", || scene.proxy.visits().len() >= 5);
    scene.proxy.set(Manner::Pass);
    wait_until("the stream is back", || scene.data_state() == "streaming");
    scene.restored(scene.proxy.visits().len());
    scene.tick();
    scene.proxy.assert_manners();
}

#[test]
fn too_many_requests_are_answered_by_waiting_as_long_as_the_exchange_says() {
    kept(|| {
        let mut scene = Scene::start();
        // The built-in exchange says "Retry-After: 1".
        scene.arm(Stage::Upgrade, FaultAction::Refuse { status: 429 });
        scene.proxy.cut();
        scene.restored(3);
        let visits = scene.proxy.visits();
        let waited = visits[2].came - visits[1].came;
        assert!(waited >= Duration::from_secs(1), "{waited:?}");
        within(Duration::from_millis(2_500), waited)?;
        scene.tick();
        Ok(())
    });
}

#[test]
fn refused_keys_are_not_tried_again_and_the_rest_goes_on() {
    let scene = Scene::start();
    scene.arm(Stage::Auth, FaultAction::Error { code: 402 });
    scene.proxy.cut();
    wait_until("the stream is refused", || scene.data_state() == "refused");
    wait_until("the status says why", || scene.rig.status()["streams"][0]["cause"].as_str().is_some_and(|cause| cause.contains("refuses the keys")));
    assert_eq!(scene.rig.status()["state"], "degraded");
    // An attempt would have followed within 500 ms.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(scene.proxy.visits().len(), 2);
    assert!(scene.rig.exchange.connections().iter().any(|c| c.is_open() && c.listening), "the order stream lives");
}

#[test]
fn an_upgrade_refused_for_the_keys_is_not_tried_again() {
    let scene = Scene::start();
    scene.arm(Stage::Upgrade, FaultAction::Refuse { status: 401 });
    scene.proxy.cut();
    wait_until("the stream is refused", || scene.data_state() == "refused");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(scene.proxy.visits().len(), 2);
}

#[test]
fn a_connection_too_many_is_tried_again_patiently_and_alone() {
    kept(|| {
        let mut scene = Scene::start();
        scene.arm(Stage::Auth, FaultAction::Error { code: 406 });
        scene.proxy.cut();
        wait_until("the stream backs off", || scene.proxy.visits().len() == 2 && scene.data_state() == "backing_off");
        assert!(scene.rig.exchange.wait_for(|all| !all.iter().any(|c| is_data(c) && c.is_open()), PATIENCE), "the refused connection is closed first");
        scene.restored(3);
        let visits = scene.proxy.visits();
        let waited = visits[2].came - visits[1].came;
        assert!(waited >= Duration::from_secs(5), "{waited:?}");
        within(Duration::from_secs(10), waited)?;
        scene.tick();
        scene.proxy.assert_manners();
        Ok(())
    });
}

#[test]
fn both_streams_come_back_from_a_common_cut_and_no_order_update_is_heard_twice() {
    let mut scene = Scene::start();
    let account = SimConfig::default().keys[0].account_id.clone();
    let mut orders = Bot::listening(&scene.rig.redis.url(), &[&format!("order:{account}")]);
    scene.rig.exchange.order_update(&account, &order("1"));
    orders.until_heard(1);
    let all_before = scene.rig.exchange.connections().len();
    scene.rig.exchange.drop_connections();
    let back = |all: &[ConnectionRecord]| all[all_before..].iter().any(|c| c.is_open() && c.listening);
    assert!(scene.rig.exchange.wait_for(|all| all.len() >= all_before + 2 && back(all), PATIENCE));
    scene.restored(2);
    scene.rig.exchange.order_update(&account, &order("2"));
    orders.until_heard(2);
    let ids: Vec<_> = orders.heard.iter().map(|m| m.body["order_id"].clone()).collect();
    assert_eq!(ids, ["1", "2"]);
    scene.tick();
    scene.proxy.assert_manners();
}

fn order(id: &str) -> String {
    format!(r#"{{"event":"new","order":{{"id":"{id}","symbol":"AAPL","status":"new","side":"buy","filled_qty":"0"}}}}"#)
}

#[test]
fn over_tls_with_a_private_authority_a_cut_and_a_mute_handshake_are_survived() {
    kept(|| {
        let dir = tempfile::tempdir().unwrap();
        let (chain, key, ca) = certificate(dir.path());
        let (give, take) = mpsc::channel();
        let config = Box::new(move |config: &mut Config| {
            let here = config.market_data.host.clone();
            let secure = |to: &Endpoint| Endpoint { secure: true, host: "localhost".to_owned(), ..to.clone() };
            config.trusted_ca = Some(ca);
            for account in &mut config.accounts {
                (account.api, account.order_stream) = (secure(&account.api), secure(&account.order_stream));
            }
            let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], here.port)));
            config.market_data.host = Endpoint { port: proxy.port(), ..secure(&here) };
            give.send(proxy).unwrap();
        });
        let sim = SimConfig { tls: Some((chain, key)), ..SimConfig::default() };
        let rig = Rig::with(RigOptions { sim, config, ..RigOptions::default() });
        let mut scene = Scene::with(rig, take.recv().unwrap());
        scene.proxy.set(Manner::Mute);
        let cut = Instant::now();
        scene.proxy.cut();
        scene.marked("true");
        wait_until("the handshake hangs", || scene.proxy.visits().len() == 2);
        scene.proxy.set(Manner::Pass);
        scene.restored(3);
        assert!(cut.elapsed() >= Duration::from_secs(5), "{:?}", cut.elapsed());
        within(Duration::from_secs(9), cut.elapsed())?;
        scene.tick();
        scene.proxy.assert_manners();
        Ok(())
    });
}

/// A server certificate for localhost, its key, and the authority that signed it.
fn certificate(dir: &std::path::Path) -> (std::path::PathBuf, std::path::PathBuf, std::path::PathBuf) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let written = |name: &str, pem: String| {
        let path = dir.join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    (written("chain.pem", own.pem()), written("key.pem", key.serialize_pem()), written("ca.pem", root.pem()))
}
