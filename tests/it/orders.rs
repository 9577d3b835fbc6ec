use std::path::Path;

use serde_json::Value;

use crate::support::bot::Bot;
use crate::support::process::{Ended, Program, ask, broker, service, wait_running};
use crate::support::redis_server::RedisServer;
use crate::support::rig::wait_until;

/// The service with invented prices and a paper account without limits, as a process of its own.
struct Trading {
    folder: tempfile::TempDir,
    redis: RedisServer,
    program: Program,
}

impl Trading {
    fn start() -> Trading {
        let folder = tempfile::tempdir().unwrap();
        let paper = "broker_type: paper\nenabled: true\ntrading:\n  default_order_type: market\npaper:\n  latency_ms: 0\n  partial_fills: false\n";
        std::fs::create_dir_all(folder.path().join("exchanges")).unwrap();
        std::fs::write(folder.path().join("exchanges/paper.yaml"), paper).unwrap();
        // Every symbol is quoted some twenty times a second: no order waits for its first price longer than it may.
        std::fs::write(folder.path().join("broker.yaml"), "http: 127.0.0.1:0\nsim:\n  rate: 1000\n").unwrap();
        let redis = RedisServer::start();
        let program = run(folder.path(), &redis);
        Trading { folder, redis, program }
    }

    /// The way a process ends that nobody asked.
    fn killed(self) -> Trading {
        self.killed_and_meanwhile(|| ())
    }

    fn killed_and_meanwhile(self, act: impl FnOnce()) -> Trading {
        self.program.signal("KILL");
        self.program.end();
        let mut redis = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        // A reader that is dead and not yet buried would be handed what is sent now.
        wait_until("Redis has seen the end of the reader", || {
            let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut redis).unwrap();
            !clients.contains("xreadgroup")
        });
        act();
        // What the dead one said of itself is not taken for the next one's.
        redis::cmd("DEL").arg("broker:status").exec(&mut redis).unwrap();
        let program = run(self.folder.path(), &self.redis);
        Trading { program, ..self }
    }

    fn bot(&self) -> Bot {
        Bot::listening(&self.redis.url(), &["order:*", "orders:answers"])
    }

    fn cli(&self, line: &str) -> Ended {
        let data = self.folder.path().join("data");
        let words: Vec<&str> = line.split_whitespace().chain(["--data-dir", data.to_str().unwrap()]).collect();
        ask(&mut broker(self.folder.path(), &words))
    }
}

fn run(folder: &Path, redis: &RedisServer) -> Program {
    let program = service(folder, &redis.url(), &[], &["--sim"]);
    wait_running(&mut redis::Client::open(redis.url()).unwrap().get_connection().unwrap(), &program);
    program
}

fn answered(bot: &mut Bot, fields: &str) -> Value {
    bot.command(&format!(r#"{{{fields},"reply_to":"orders:answers"}}"#));
    bot.until("the answer", |message| message.channel == "orders:answers").body
}

#[test]
fn what_a_bot_was_told_outlives_a_kill() {
    let trading = Trading::start();
    let mut bot = trading.bot();
    let placed = answered(&mut bot, r#""action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":"3""#);
    assert_eq!(placed["result"], "accepted", "{placed}");
    bot.since(0, "the fill", |message| message.body["event"] == "fill");
    let resting =
        answered(&mut bot, r#""action":"place","client_order_id":"b-2","symbol":"AAPL","side":"buy","qty":1,"limit_price":"10","time_in_force":"gtc""#);
    assert_eq!(resting["result"], "accepted", "{resting}");
    let halted = answered(&mut bot, r#""action":"halt","bot":"wild","reason":"too fast""#);
    assert_eq!(halted["result"], "accepted", "{halted}");
    let fills = answered(&mut bot, r#""action":"fills""#)["fills"].clone();

    let trading = trading.killed();
    let mut bot = trading.bot();
    assert_eq!(answered(&mut bot, r#""action":"fills""#)["fills"], fills);
    assert_eq!(answered(&mut bot, r#""action":"positions""#)["positions"][0]["qty"], "3");
    assert_eq!(answered(&mut bot, r#""action":"orders""#)["orders"][0]["client_order_id"], "b-2");
    // The same order again is answered as it was.
    let again = answered(&mut bot, r#""action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":"3""#);
    assert_eq!((&again["repeated"], &again["order"]), (&true.into(), &placed["order"]), "{again}");
    let wild = answered(&mut bot, r#""action":"place","client_order_id":"wild-1","symbol":"AAPL","side":"buy","qty":"3""#);
    assert_eq!(wild["result"], "denied", "{wild}");
    assert!(wild["reason"].as_str().unwrap().contains("too fast"), "{wild}");
}

#[test]
fn a_command_sent_while_the_broker_is_away_is_carried_out_once() {
    let trading = Trading::start();
    let mut bot = trading.bot();
    let order = r#"{"action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":"3","reply_to":"orders:answers"}"#;
    let trading = trading.killed_and_meanwhile(|| drop(bot.command(order)));
    let answer = bot.until("the answer", |message| message.channel == "orders:answers").body;
    assert_eq!((&answer["result"], &answer["client_order_id"]), (&"accepted".into(), &"b-1".into()), "{answer}");
    bot.since(0, "the fill", |message| message.body["event"] == "fill");
    let trading = trading.killed();
    let mut bot = trading.bot();
    let fills = answered(&mut bot, r#""action":"fills""#);
    assert_eq!(fills["fills"].as_array().map(Vec::len), Some(1), "{fills}");
    let mut redis = redis::Client::open(trading.redis.url()).unwrap().get_connection().unwrap();
    wait_until("every entry is acknowledged", || {
        let (pending, ..): (usize, redis::Value, redis::Value, redis::Value) =
            redis::cmd("XPENDING").arg("broker:orders").arg("desk").query(&mut redis).unwrap();
        pending == 0
    });
}

#[test]
fn a_stop_leaves_nothing_unacknowledged_that_was_answered() {
    let mut trading = Trading::start();
    for round in 1..=3 {
        let mut bot = trading.bot();
        let mut redis = redis::Client::open(trading.redis.url()).unwrap().get_connection().unwrap();
        let fields = format!(r#""action":"place","client_order_id":"b-{round}","symbol":"AAPL","side":"buy","qty":"1""#);
        assert_eq!(answered(&mut bot, &fields)["result"], "accepted");
        trading.program.signal("TERM");
        let ended = trading.program.end();
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        assert!(!ended.errors.contains("did not end"), "{}", ended.errors);
        let (pending, ..): (usize, redis::Value, redis::Value, redis::Value) =
            redis::cmd("XPENDING").arg("broker:orders").arg("desk").query(&mut redis).unwrap();
        assert_eq!(pending, 0, "round {round}");
        redis::cmd("DEL").arg("broker:status").exec(&mut redis).unwrap();
        let program = run(trading.folder.path(), &trading.redis);
        trading = Trading { program, ..trading };
    }
}

#[test]
fn the_command_line_trades() {
    let trading = Trading::start();
    let good = |line: &str| {
        let ended = trading.cli(line);
        assert_eq!(ended.code, Some(0), "{line}: {} {}", ended.out, ended.errors);
        ended.out
    };
    assert!(good("order buy 3 aapl --id cli-1").starts_with("accepted  place cli-1\n"));
    assert!(good("order buy 1 AAPL --limit 10 --tif gtc --id cli-2").contains("cli-2"));
    wait_until("the first order is filled", || good("fills").contains("cli-1"));
    assert!(good("positions").lines().nth(1).unwrap().starts_with("AAPL"), "no position");
    assert!(good("orders").contains("cli-2"));
    assert!(good("balance").contains("USD"));
    assert_eq!(good("cancel cli-2"), "accepted  cancel cli-2");
    wait_until("nothing is open", || good("orders") == "no open orders");
    assert!(good("cancel-all").contains("nothing was open"));
    good("halt --all --reason test");
    let denied = trading.cli("order buy 1 AAPL");
    assert_eq!(denied.code, Some(1));
    assert!(denied.out.starts_with("denied  place cli-") && denied.out.contains("test"), "{}", denied.out);
    wait_until("the status tells the halt", || good("status").contains("halt     halted for all: test"));
    good("resume --all");
    assert!(good("order sell 3 AAPL --notional").starts_with("accepted"));
    let elsewhere = trading.cli("orders --broker binance");
    assert!(elsewhere.errors.contains("no such broker or account takes orders; there is paper (account paper)"), "{}", elsewhere.errors);
    let status: Value = serde_json::from_str(&good("status --json")).unwrap();
    assert_eq!((&status["brokers"][0]["name"], &status["brokers"][0]["live"]), (&"paper".into(), &false.into()));
}

#[test]
fn the_kill_switch_in_redis_halts_while_it_is_there() {
    let trading = Trading::start();
    let mut bot = trading.bot();
    let mut redis = redis::Client::open(trading.redis.url()).unwrap().get_connection().unwrap();
    let resting =
        answered(&mut bot, r#""action":"place","client_order_id":"b-1","symbol":"AAPL","side":"buy","qty":1,"limit_price":"10","time_in_force":"gtc""#);
    assert_eq!(resting["result"], "accepted", "{resting}");
    redis::cmd("SET").arg("broker:halt").arg(r#"{"reason":"news","cancel_open":true}"#).exec(&mut redis).unwrap();
    wait_until("what was open is cancelled", || trading.cli("orders").out == "no open orders");
    let mark = bot.heard.len();
    let denied = answered(&mut bot, r#""action":"place","client_order_id":"b-2","symbol":"AAPL","side":"buy","qty":1"#);
    assert_eq!((&denied["result"], denied["reason"].as_str().unwrap().contains("broker:halt news")), (&"denied".into(), true), "{denied}");
    bot.since(mark, "the denial as an order update", |message| message.body["event"] == "denied");
    redis::cmd("DEL").arg("broker:halt").exec(&mut redis).unwrap();
    let mut tried = 2;
    wait_until("the halt is lifted", || {
        tried += 1;
        answered(&mut bot, &format!(r#""action":"place","client_order_id":"b-{tried}","symbol":"AAPL","side":"buy","qty":1"#))["result"] == "accepted"
    });
}
