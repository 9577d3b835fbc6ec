use std::path::Path;
use std::time::{Duration, Instant};

use alpaca_broker::sim::{ConnectionRecord, LoadSpec, Sim, SimConfig, SimControl};

use crate::support::bot::Bot;
use crate::support::child::{Launch, Running, exchange};
use crate::support::redis_server::RedisServer;
use crate::support::rig::{PATIENCE, wait_until};

const STATUS: &str = "broker:status";
/// What a broker needs that looks whether it may serve, and no more: whatever else it tries stands in `ACL LOG`.
const LOOKS_ONLY: &[&str] = &[
    "SETUSER",
    "second",
    "on",
    "nopass",
    "+@all",
    "resetkeys",
    "%R~*",
    "~broker:leader",
    "~broker:fence",
    "resetchannels",
    "&BROKER_REGISTRATION",
    "&broker:registration",
    "&broker:logs",
    "(+xgroup|create ~broker:orders)",
];

/// A Redis and an exchange for two brokers.
struct Stage {
    redis: RedisServer,
    exchange: SimControl,
    sim: Sim,
}

impl Stage {
    fn set() -> Stage {
        let (sim, exchange) = exchange(SimConfig::default());
        Stage { redis: RedisServer::start(), exchange, sim }
    }

    fn launch(&self) -> Launch {
        let mut launch = Launch::new(Path::new(env!("CARGO_BIN_EXE_alpaca-broker")), self.redis.port(), self.sim.address());
        launch.set("BROKER_SYMBOLS", "AAPL");
        launch
    }

    fn serving(&self) -> Running {
        let running = self.launch().start();
        let subscribed = |all: &[ConnectionRecord]| all.iter().any(|c| c.is_open() && c.symbols == ["AAPL"]);
        assert!(self.exchange.wait_for(subscribed, PATIENCE), "{}", running.log());
        wait_until("the status says who serves", || self.status_pid() == u64::from(running.pid()));
        running
    }

    fn data_connections(&self) -> usize {
        self.exchange.connections().iter().filter(|c| c.path.starts_with("/v2/iex")).count()
    }

    fn status_pid(&self) -> u64 {
        let status: Option<String> = redis::cmd("GET").arg(STATUS).query(&mut self.client()).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status.unwrap_or_default()).unwrap_or_default();
        status["pid"].as_u64().unwrap_or(0)
    }

    fn client(&self) -> redis::Connection {
        redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap()
    }
}

#[test]
fn a_second_broker_by_mistake_is_noticed_by_nobody_and_says_who_the_first_is() {
    let stage = Stage::set();
    let first = stage.serving();
    let mut redis = stage.client();
    let () = redis::cmd("ACL").arg(LOOKS_ONLY).query(&mut redis).unwrap();
    let () = redis::cmd("ACL").arg("LOG").arg("RESET").query(&mut redis).unwrap();
    let mut bot = Bot::listening(&stage.redis.url(), &["TICKER_UPDATES_AAPL", "b1:answers"]);
    let load = LoadSpec { symbols: vec!["AAPL".to_owned()], per_second: 100, per_frame: 1, total: 100_000 };
    let _load = stage.exchange.load(load).unwrap();

    let mut launch = stage.launch();
    launch.set("REDIS_USERNAME", "second").set("REDIS_PASSWORD", "any");
    let mut second = launch.start();
    wait_until("both hear registrations", || {
        let (_, listeners): (String, u32) = redis::cmd("PUBSUB").arg("NUMSUB").arg("broker:registration").query(&mut redis).unwrap();
        listeners == 2
    });
    bot.say("broker:registration", r#"{"action":"register","symbols":["MSFT"],"bot":"b1","ttl_s":600,"reply_to":"b1:answers"}"#);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        assert!(Instant::now() < deadline, "it does not end: {}", second.log());
        bot.until_heard(bot.heard.len() + 10);
        if let Some(status) = second.child.try_wait().unwrap() {
            break status;
        }
    };
    assert_eq!(status.code(), Some(75), "{}", second.log());
    assert!(second.log().contains(&format!("process {} on ", first.pid())), "{}", second.log());

    assert_eq!(stage.data_connections(), 1, "{:?}", stage.exchange.connections());
    let tried: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut redis).unwrap();
    assert!(tried.is_empty(), "the second has tried to say something: {tried:?}");
    assert_eq!(stage.status_pid(), u64::from(first.pid()));
    bot.until_heard(bot.heard.len() + 100);
    bot.assert_contiguous();
    let answers: Vec<_> = bot.heard.iter().filter(|message| message.channel == "b1:answers").collect();
    assert_eq!(answers.len(), 1, "{answers:?}; the first says {}", first.log());
}

#[test]
fn a_second_broker_that_waits_serves_all_that_was_asked_for_once_the_first_has_died() {
    let stage = Stage::set();
    let mut first = stage.serving();
    let mut bot = Bot::listening(&stage.redis.url(), &["price:MSFT", "b1:answers"]);
    let wish = |n: u32| format!(r#"{{"action":"register","symbols":["MSFT"],"bot":"b1","ttl_s":60{n},"reply_to":"b1:answers"}}"#);
    bot.say("broker:registration", &wish(1));
    let epoch = bot.until("the answer", |message| message.body["action"] == "register").body["epoch"].clone();
    wait_until("it is kept", || redis::cmd("HLEN").arg("broker:registrations").query::<u32>(&mut stage.client()).unwrap() == 1);
    first.signal("KILL");
    first.end_within(PATIENCE).unwrap();

    // Another installation, which cannot know that the first is dead before its lease ends.
    let second = stage.launch().start();
    wait_until("it hears registrations", || bot.say("broker:registration", &wish(2)) == 1);
    let pages = second.pages();
    assert_eq!((second.metric(&pages, "broker_lease_held"), stage.data_connections()), (0.0, 1));
    let subscribed = |all: &[ConnectionRecord]| all.iter().any(|c| c.is_open() && c.symbols == ["AAPL", "MSFT"]);
    assert!(stage.exchange.wait_for(subscribed, PATIENCE), "{}", second.log());
    assert_eq!(stage.data_connections(), 2, "one connection each");
    stage.exchange.trade("MSFT", "400.00", 1);
    bot.until("the price", |message| message.channel == "price:MSFT");
    // What was said while it waited is answered when it serves.
    bot.since(0, "the answer of the second", |message| message.channel == "b1:answers" && message.body["epoch"].is_i64() && message.body["epoch"] != epoch);
    wait_until("the status says who serves now", || stage.status_pid() == u64::from(second.pid()));
}

#[test]
fn prices_end_with_the_lease_and_not_only_with_the_news_of_who_has_it() {
    let stage = Stage::set();
    let mut first = stage.serving();
    let pages = first.pages();
    let mut bot = Bot::listening(&stage.redis.url(), &["TICKER_UPDATES_AAPL"]);
    stage.exchange.trade("AAPL", "100.00", 1);
    bot.until("a price", |_| true);
    let mut other = stage.client();
    stage.redis.stop();
    wait_until("the lease has run out", || first.metric(&pages, "broker_lease_held") == 0.0);
    let events = || first.metric(&pages, "broker_stream_events_total");
    let before = events();
    stage.exchange.trade("AAPL", "101.00", 1);
    wait_until("the first has the next price", || events() > before);
    // Redis finds this when it wakes, before anybody can log in.
    let holder = r#"{"journal":"ffff","host":"elsewhere","pid":4711,"since_ms":1795185000000,"token":99}"#;
    let take = redis::cmd("SET").arg("broker:leader").arg(holder).arg("PX").arg(60_000).get_packed_command();
    other.send_packed_command(&take).unwrap();
    stage.redis.cont();
    let (status, _) = first.end_within(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(75), "{}", first.log());
    assert!(first.log().contains("process 4711 on elsewhere"), "{}", first.log());
    bot.until_quiet(Duration::from_millis(500));
    assert_eq!(bot.heard.len(), 1, "{:?}", bot.heard);
}
