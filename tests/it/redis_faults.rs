use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use alpaca_broker::config::{Config, RedisPlace};
use alpaca_broker::sim::{LoadSpec, SimConfig};

use crate::support::bot::Bot;
use crate::support::promise::{kept, undisturbed, within};
use crate::support::redis_server::{RedisOptions, RedisServer};
use crate::support::rig::{PATIENCE, Rig, RigOptions, wait_until};
use crate::support::stall::{GROWTH_MAX_KIB, stall};

const REGISTRATIONS: &str = "broker:registrations";

fn account() -> String {
    SimConfig::default().keys[0].account_id.clone()
}

fn order(n: usize) -> String {
    format!(r#"{{"event":"new","order":{{"id":"o-{n}","symbol":"AAPL","status":"new","side":"buy","filled_qty":"0"}}}}"#)
}

fn register(rig: &Rig, symbol: &str) {
    let mut bot = Bot::listening(&rig.redis.url(), &[]);
    bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"subscribe","ticker":"{symbol}"}}"#));
    assert!(rig.exchange.wait_for(|all| all.iter().any(|c| c.symbols.iter().any(|s| s == symbol)), PATIENCE));
}

#[test]
fn a_redis_that_takes_no_writes_at_the_start_passes_prices_on_all_the_same() {
    let symbols = |config: &mut Config| config.symbols = vec!["AAPL".parse().unwrap()];
    let mut rig = Rig::start();
    rig.stop_broker().0.unwrap();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut rig.redis_client()).unwrap();
    rig.start_broker(symbols);
    assert!(rig.exchange.wait_for(|all| all.iter().any(|c| c.is_open() && c.symbols.contains(&"AAPL".to_owned())), PATIENCE));
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL"]);
    rig.exchange.trade("AAPL", "150.00", 1);
    bot.until("the price", |message| message.text.contains(r#""price":150.00,"#));
    assert_eq!(rig.status()["redis"]["lease"], false);
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0").exec(&mut rig.redis_client()).unwrap();
    rig.wait_ready();
    assert_eq!(rig.metric("broker_stream_connects_total"), 2.0, "one for market data, one for orders");
}

/// A raw subscriber that tries until the server answers PING and counts from there; ready before any client library is.
struct EarlyBot {
    socket: TcpStream,
    listening: Instant,
    heard: Vec<u8>,
}

impl EarlyBot {
    fn on(port: u16, channels: &str) -> EarlyBot {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "Redis does not answer");
            if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) {
                let mut pong = [0; 7];
                if socket.write_all(b"PING\r\n").is_ok() && socket.read_exact(&mut pong).is_ok() && &pong == b"+PONG\r\n" {
                    let listening = Instant::now();
                    socket.write_all(format!("SUBSCRIBE {channels}\r\n").as_bytes()).unwrap();
                    return EarlyBot { socket, listening, heard: Vec::new() };
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Reads until the text has come so many times; how long after the first PONG that was.
    fn until(&mut self, text: &str, times: usize) -> Duration {
        let mut part = vec![0; 64 * 1024];
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            let all = String::from_utf8_lossy(&self.heard);
            if all.matches(text).count() >= times {
                return self.listening.elapsed();
            }
            let read = self.socket.read(&mut part).unwrap_or(0);
            assert!(read > 0, "{text} came {} times of {times}", all.matches(text).count());
            self.heard.extend_from_slice(&part[..read]);
        }
    }

    /// The numbers of the orders on the account's channel, in the order heard.
    fn orders(&self) -> Vec<usize> {
        let all = String::from_utf8_lossy(&self.heard);
        let ids = all.split(r#""order_id":"o-"#).skip(1);
        ids.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
    }
}

#[test]
fn a_redis_killed_under_load_and_restarted_is_served_within_half_a_second_and_loses_no_order_update() {
    kept(|| {
        const ORDERS: usize = 500;
        let mut rig = Rig::start();
        register(&rig, "AAPL");
        register(&rig, "MSFT");
        let load =
            rig.exchange.load(LoadSpec { symbols: vec!["AAPL".to_owned(), "MSFT".to_owned()], per_second: 2_000, per_frame: 10, total: 12_000 }).unwrap();
        wait_until("the load flows", || rig.metric("broker_prices_published_total") > 200.0);
        let before = registrations(&rig);
        assert_eq!(before.len(), 2);
        rig.redis.kill();
        for n in 0..ORDERS {
            rig.exchange.order_update(&account(), &order(n));
        }
        wait_until("the order updates are with the broker", || rig.metric("broker_orders_received_total") >= ORDERS as f64);
        wait_until("the status says that Redis is away", || rig.status()["redis"]["orders"] == false && rig.status()["state"] == "degraded");
        let port = rig.redis.port();
        let early = std::thread::spawn(move || {
            let mut bot = EarlyBot::on(port, &format!("TICKER_UPDATES_AAPL order:{}", account()));
            let price = bot.until(r#""type":"price""#, 1);
            bot.until(r#""order_id":"o-499""#, 1);
            (bot, price)
        });
        rig.redis.restart();
        let (bot, first_price) = early.join().unwrap();
        let mut orders = bot.orders();
        let first_round = orders.clone();
        orders.dedup();
        assert!(first_round.len() >= ORDERS);
        let mut wanted = 0;
        for n in orders {
            // Sent again from the first unconfirmed one, if at all: never a step forward over a gap.
            assert!(n <= wanted, "order update {wanted} is missing before {n}");
            wanted = wanted.max(n + 1);
        }
        assert_eq!(wanted, ORDERS);
        wait_until("the registrations are written again", || registrations(&rig) == before);
        rig.wait_ready();
        wait_until("all orders are confirmed", || rig.status()["orders"]["waiting"] == 0);
        let report = load.wait(PATIENCE).unwrap();
        let last = report.symbols["AAPL"].last_price.to_string();
        wait_until("the last value of the load is kept, with nobody having registered again", || {
            let kept: Option<String> = redis::cmd("HGET").arg("broker:last:AAPL").arg("price").query(&mut rig.redis_client()).unwrap();
            kept.is_some_and(|text| text.contains(&format!(r#""price":{last},"#)) && text.contains(r#""stale":false"#))
        });
        within(Duration::from_millis(500), first_price)
    });
}

fn registrations(rig: &Rig) -> std::collections::BTreeMap<String, String> {
    redis::cmd("HGETALL").arg(REGISTRATIONS).query(&mut rig.redis_client()).unwrap()
}

/// The order stream is up, and nobody has asked for the one connection for market data.
fn only_orders_are_heard(rig: &Rig) {
    let stream = |name: &str| rig.broker.boards().into_iter().find(|board| &*board.name == name);
    wait_until("the order stream is up", || stream("ord-sim").is_some_and(|board| board.state().is_live()));
    assert_eq!(stream("alp-data").unwrap().stats.attempts.get(), 0);
}

#[test]
fn without_redis_at_the_start_the_service_stays_up_and_serves_once_it_appears() {
    let mut rig = Rig::begin(RigOptions {
        config: Box::new(|config: &mut Config| config.symbols = vec!["AAPL".parse().unwrap()]),
        redis: RedisOptions::default(),
        ..RigOptions::default()
    });
    rig.stop_broker().0.unwrap();
    rig.redis.kill();
    rig.start_broker(|config| config.symbols = vec!["AAPL".parse().unwrap()]);
    only_orders_are_heard(&rig);
    wait_until("the status says what is missing", || {
        let status = rig.status();
        let missing = status["health"]["reasons"].to_string().contains("is not ours: prices, commands and order updates wait");
        missing && status["state"] == "degraded" && status["redis"]["prices"] == false && status["redis"]["control"] == false
    });
    rig.redis.restart();
    let back = Instant::now();
    assert!(rig.exchange.wait_for(|all| all.iter().any(|c| c.is_open() && c.symbols.contains(&"AAPL".to_owned())), PATIENCE));
    assert!(back.elapsed() < Duration::from_secs(3), "the data stream came {:?} after Redis", back.elapsed());
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL"]);
    rig.wait_ready();
    rig.exchange.trade("AAPL", "151.00", 1);
    bot.until("the price", |message| message.text.contains(r#""price":151.00,"#));
}

#[test]
fn each_of_our_connections_killed_alone_comes_back_alone() {
    kept(|| {
        let rig = Rig::start();
        register(&rig, "AAPL");
        let mut client = rig.redis_client();
        let ours = || -> Vec<String> {
            clients(&mut rig.redis_client()).into_iter().map(|(name, _)| name).filter(|name| name.starts_with("alpaca-broker-")).collect()
        };
        let names = ["commands", "control", "lease", "orders", "prices", "registrations"].map(|name| format!("alpaca-broker-{name}"));
        wait_until("every connection stands", || ours() == names);
        let ours = names;
        for name in &ours {
            let before = clients(&mut client);
            let id = &before.iter().find(|(one, _)| one == name).unwrap().1;
            let killed: i64 = redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).query(&mut client).unwrap();
            assert_eq!(killed, 1);
            let others = |list: &[(String, String)]| list.iter().filter(|(one, _)| one != name && ours.contains(one)).cloned().collect::<Vec<_>>();
            wait_until("the connection stands again", || clients(&mut client).iter().any(|(one, new)| one == name && new != id));
            // Some log in twice, and are up with the second.
            wait_until("all connections are up", || rig.metric("broker_redis_up") == 5.0);
            // Save one that Redis kept waiting for half a second.
            undisturbed(others(&clients(&mut client)) == others(&before), &format!("the others were not left alone when {name} was killed"))?;
        }
        rig.wait_ready();
        let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL", &format!("order:{}", account()), "TICKER_UPDATES_MSFT"]);
        register(&rig, "MSFT");
        rig.exchange.trade("AAPL", "150.00", 1);
        rig.exchange.trade("MSFT", "400.00", 1);
        rig.exchange.order_update(&account(), &order(1));
        // The order has a copy on its symbol's channel.
        bot.until_heard(4);
        Ok(())
    });
}

/// Names and ids of the clients that have a name.
fn clients(client: &mut redis::Connection) -> Vec<(String, String)> {
    let list: String = redis::cmd("CLIENT").arg("LIST").query(client).unwrap();
    let field = |line: &str, key: &str| line.split(' ').find_map(|part| part.strip_prefix(key)).unwrap_or_default().to_owned();
    let mut all: Vec<_> = list.lines().map(|line| (field(line, "name="), field(line, "id="))).filter(|(name, _)| !name.is_empty()).collect();
    all.sort();
    all
}

#[test]
fn a_replica_is_refused_and_a_master_demoted_under_us_is_left() {
    let master = RedisServer::start();
    let mut rig = Rig::begin(RigOptions { redis: RedisOptions::default().replica_of(master.port()), ..RigOptions::default() });
    only_orders_are_heard(&rig);
    // An accepted connection would be up well within this time.
    std::thread::sleep(Duration::from_millis(700));
    only_orders_are_heard(&rig);
    assert_eq!(rig.metric("broker_redis_up"), 0.0, "a replica takes PUBLISH without a word, and nobody hears it");
    assert_eq!(rig.status()["state"], "degraded");
    let mut replica = rig.redis_client();
    let _: String = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query(&mut replica).unwrap();
    rig.wait_ready();
    let _: String = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(master.port()).query(&mut replica).unwrap();
    // The listener for registrations may stay: a replica passes on what is published at its master.
    wait_until("all that speak have left it", || {
        let redis = &rig.status()["redis"];
        redis["prices"] == false && redis["orders"] == false && redis["control"] == false
    });
    rig.stop_broker().0.unwrap();
}

#[test]
fn a_redis_that_hangs_and_goes_on_loses_no_order_update_and_no_registration() {
    let rig = Rig::start();
    register(&rig, "AAPL");
    let mut bot = Bot::listening(&rig.redis.url(), &[&format!("order:{}", account())]);
    rig.redis.stop();
    for n in 0..100 {
        rig.exchange.order_update(&account(), &order(n));
        rig.exchange.trade("AAPL", "150.00", 1);
    }
    wait_until("the connections are given up", || rig.status()["redis"]["orders"] == false && rig.status()["redis"]["prices"] == false);
    rig.redis.cont();
    let last = |bot: &mut Bot| bot.until("the last order", |message| message.body["order_id"] == "o-99");
    last(&mut bot);
    let mut wanted = 0;
    for message in &bot.heard {
        let n: u64 = message.body["order_id"].as_str().unwrap()[2..].parse().unwrap();
        assert!(n <= wanted, "order update {wanted} is missing before {n}");
        wanted = wanted.max(n + 1);
    }
    rig.wait_ready();
    assert_eq!(registrations(&rig).len(), 1);
}

#[test]
fn a_port_that_accepts_and_says_nothing_is_no_redis_and_orders_are_heard_all_the_same() {
    kept(|| {
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = mute.local_addr().unwrap().port();
        let place = Box::new(move |config: &mut Config| config.redis.place = RedisPlace::Tcp { host: "127.0.0.1".to_owned(), port });
        let mut rig = Rig::begin(RigOptions { config: place, ..RigOptions::default() });
        only_orders_are_heard(&rig);
        assert_eq!(rig.metric("broker_redis_up"), 0.0);
        let (ended, took) = rig.stop_broker();
        ended.unwrap();
        within(Duration::from_secs(2), took)?;
        Ok(())
    });
}

#[test]
fn ten_seconds_without_an_answer_at_full_rate_cost_little_memory_and_the_exchange_never_waits() {
    kept(|| {
        let report = stall(Path::new(env!("CARGO_BIN_EXE_alpaca-broker")), Duration::from_secs(10));
        assert!(report.growth_kib() <= GROWTH_MAX_KIB, "{report:?}");
        assert_eq!(report.losses, 0, "{report:?}");
        within(report.planned + Duration::from_secs(2), report.took)?;
        within(Duration::from_secs(2), report.first_message)?;
        within(Duration::from_secs(4), report.all_fresh)?;
        Ok(())
    });
}
