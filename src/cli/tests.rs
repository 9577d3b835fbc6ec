//! The commands against a private Redis and a broker that says what the test tells it to.

use super::*;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use super::out::Out;
use crate::redis::test_server::{RedisOptions, RedisServer};

const STATUS: &str = r#"{"type":"status","state":"running","epoch":1,"pid":7,"version":"0.1.0","started_at":1763700000000,
    "health":{"score":1.0,"reasons":[]},"streams":[{"name":"alp-data","state":"streaming","since":1763700000000,"symbols":1}],"symbols":1,"bots":1}"#;

struct Redis {
    server: RedisServer,
}

impl Redis {
    fn start() -> Redis {
        Redis { server: RedisOptions::default().unix().start() }
    }

    fn url(&self) -> String {
        format!("{}?db=3", self.server.url())
    }

    fn connect(&self) -> redis::Connection {
        let connection = redis::Client::open(self.url()).unwrap().get_connection().unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connection
    }

    fn set_status(&self, status: &str) {
        redis::cmd("SET").arg("broker:status").arg(status).exec(&mut self.connect()).unwrap();
    }

    fn publish(&self, channel: &str, message: &str) -> u64 {
        redis::cmd("PUBLISH").arg(channel).arg(message).query(&mut self.connect()).unwrap()
    }

    /// Hears registrations from before this returns, hands each on, and answers what `answer` makes of it.
    fn broker(&self, answer: impl Fn(&serde_json::Value) -> Option<String> + Send + 'static) -> Receiver<serde_json::Value> {
        let (heard, requests) = unbounded();
        let (mut listening, mut speaking) = (self.connect(), self.connect());
        let (up, is_up) = crossbeam_channel::bounded(1);
        std::thread::spawn(move || {
            let mut listener = listening.as_pubsub();
            listener.subscribe("broker:registration").unwrap();
            up.send(()).unwrap();
            while let Ok(message) = listener.get_message() {
                let request: serde_json::Value = serde_json::from_slice(message.get_payload_bytes()).unwrap();
                if let Some(answer) = answer(&request) {
                    redis::cmd("PUBLISH").arg(request["reply_to"].as_str().unwrap()).arg(answer).exec(&mut speaking).unwrap();
                }
                if heard.send(request).is_err() {
                    break;
                }
            }
        });
        is_up.recv_timeout(Duration::from_secs(20)).unwrap();
        requests
    }
}

/// A command at work, its output line by line.
struct Running {
    stop: Stop,
    out: Receiver<String>,
    notes: Arc<Mutex<Vec<String>>>,
    thread: std::thread::JoinHandle<u8>,
}

struct Lines(Sender<String>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.0.send(text.trim_end().to_owned()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Notes(Arc<Mutex<Vec<String>>>);

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().push(String::from_utf8_lossy(bytes).trim_end().to_owned());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start(redis: &Redis, line: &str) -> Running {
    let url = redis.url();
    let words = line.split_whitespace().map(str::to_owned).chain(["--redis".to_owned(), url]);
    let cli = Cli::try_parse_from(std::iter::once("alpaca-broker".to_owned()).chain(words)).unwrap();
    let stop = Stop::new().unwrap();
    let (lines, out) = unbounded();
    let notes = Arc::new(Mutex::new(Vec::new()));
    let mut console = Console { out: Out::new(Lines(lines), false), notes: Out::new(Notes(Arc::clone(&notes)), false), stop: stop.token() };
    let thread = std::thread::spawn(move || {
        let ended = dispatch(&cli, &|_| None, &mut console);
        report(&ended, &mut console)
    });
    Running { stop, out, notes, thread }
}

impl Running {
    fn line(&self) -> String {
        self.out.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Its exit code, the rest of its output, and its notes.
    fn end(self) -> (u8, Vec<String>, Vec<String>) {
        let code = self.thread.join().unwrap();
        (code, self.out.iter().collect(), std::mem::take(&mut *self.notes.lock()))
    }

    fn interrupt(self) -> (u8, Vec<String>, Vec<String>) {
        self.stop.stop(StopKind::Shutdown);
        self.end()
    }
}

fn accept_all(request: &serde_json::Value) -> Option<String> {
    let symbols = request.get("tickers").or(request.get("symbols")).unwrap();
    Some(format!(r#"{{"type":"registration","action":"register","accepted":{symbols},"refused":[],"epoch":1}}"#))
}

fn price(symbol: &str, seq: u64) -> String {
    format!(r#"{{"type":"price","symbol":"{symbol}","price":150.250,"volume":7,"timestamp":"2026-11-20T14:30:00.5Z","seq":{seq}}}"#)
}

/// Answers the next command of the stream, and hands it back.
fn answer_a_command(redis: &Redis, answer: &str) -> serde_json::Value {
    let mut connection = redis.connect();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let text: String = loop {
        let entries: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE").arg("broker:orders").arg("-").arg("+").query(&mut connection).unwrap();
        if let Some((id, fields)) = entries.into_iter().next() {
            redis::cmd("XDEL").arg("broker:orders").arg(id).exec(&mut connection).unwrap();
            break fields.into_iter().find(|(name, _)| name == "command").unwrap().1;
        }
        assert!(std::time::Instant::now() < deadline, "no command came");
        std::thread::yield_now();
    };
    let command: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(redis.publish(command["reply_to"].as_str().unwrap(), answer), 1);
    command
}

#[test]
fn a_bot_or_what_is_external_is_asked_for_and_a_comparison_is_printed() {
    let redis = Redis::start();
    redis.set_status(r#"{"type":"status","state":"running","brokers":[{"name":"paper","account":"paper","account_id":"p-1","live":false}]}"#);
    let profit = r#"{"bot":"scalper","realized_pl":"40","unrealized_pl":"0","fees":"0","market_value":"0"}"#;
    for (line, field, value, answer, shown) in [
        ("orders --external", "external", serde_json::json!(true), r#""orders":[]"#.to_owned(), "no open orders"),
        ("fills --bot scalper", "bot", "scalper".into(), r#""fills":[]"#.to_owned(), "no fills"),
        ("positions --bot scalper", "bot", "scalper".into(), r#""positions":[]"#.to_owned(), "no positions"),
        ("balance --bot scalper", "bot", "scalper".into(), format!(r#""profit":{profit}"#), "bot              scalper"),
        (
            "reconcile --dry-run",
            "dry_run",
            true.into(),
            r#""reconcile":{"checked":3,"repaired":[],"fills_found":0,"positions_differ":[],"dry_run":true}"#.to_owned(),
            "3 orders compared, 0 to be repaired, nothing was changed, 0 executions found",
        ),
    ] {
        let running = start(&redis, line);
        let command = answer_a_command(&redis, &format!(r#"{{"type":"order_reply","result":"accepted",{answer}}}"#));
        assert_eq!((command["action"].as_str(), &command[field]), (line.split(' ').next(), &value));
        assert!(crate::contract::parse_command(command.to_string().as_bytes()).is_ok(), "{command}");
        let (code, out, notes) = running.end();
        assert_eq!((code, out[0].as_str()), (exit::OK, shown), "{notes:?}");
    }
}

#[test]
fn status_shows_a_running_broker_and_fails_without_one() {
    let redis = Redis::start();
    let (code, out, notes) = start(&redis, "status").end();
    assert_eq!((code, out.len()), (exit::FAILED, 0));
    assert!(notes[0].starts_with("error: no broker is running at unix://"), "{notes:?}");
    redis.set_status(STATUS);
    let (code, out, _) = start(&redis, "status").end();
    assert!(code == exit::OK && out[0].starts_with("alpaca-broker 0.1.0  running  pid 7"), "{out:?}");
    let (_, out, _) = start(&redis, "status --json").end();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out[0].replace("\\n", " ")).unwrap()["pid"], 7);
    let watching = start(&redis, "status -w");
    assert!(watching.line().contains("running"));
    assert_eq!(watching.interrupt().0, exit::OK);
}

#[test]
fn without_redis_the_address_is_named() {
    let mut redis = Redis::start();
    redis.server.kill();
    for command in ["status", "watch AAPL", "register AAPL", "logs"] {
        let (code, _, notes) = start(&redis, command).end();
        assert!(code == exit::FAILED && notes[0].contains(&redis.url()), "{notes:?}");
    }
}

#[test]
fn registering_prints_what_was_accepted_and_refused() {
    let redis = Redis::start();
    let requests = redis.broker(|request| match request["action"].as_str().unwrap() {
        "register" => Some(
            r#"{"type":"registration","action":"register","bot":"b1","accepted":["AAPL"],"refused":[{"symbol":"X","reason":"limit \u001b[2J"}]}"#.to_owned(),
        ),
        _ => accept_all(request),
    });
    let (code, out, _) = start(&redis, "register AAPL x --bot b1 --dialect typed --feeds price,bar --ttl 600").end();
    assert_eq!((code, out), (exit::FAILED, vec!["accepted  AAPL".to_owned(), "refused   X: limit \\u001b[2J".to_owned()]));
    let request = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((&request["symbols"][1], &request["bot"], &request["ttl_s"], &request["feeds"][1]), (&"X".into(), &"b1".into(), &600.into(), &"bar".into()));
    let (code, out, _) = start(&redis, "unregister AAPL binance:BTCUSDT --json").end();
    assert_eq!((code, out.len()), (exit::OK, 2));
    let actions: Vec<_> = requests.iter().take(2).map(|request| request["action"].clone()).collect();
    assert_eq!(actions, ["unsubscribe", "unsubscribe"]);
}

#[test]
fn nobody_there_and_nobody_answering_are_told_apart() {
    let redis = Redis::start();
    let (code, _, notes) = start(&redis, "register AAPL").end();
    assert!(code == exit::FAILED && notes[0].contains("no broker is running"), "{notes:?}");
    let _requests = redis.broker(|_| None);
    let (code, _, notes) = start(&redis, "register AAPL").end();
    assert!(code == exit::FAILED && notes[0].contains("did not answer within 5 s"), "{notes:?}");
}

#[test]
fn watch_registers_prints_counts_gaps_and_gives_back() {
    let redis = Redis::start();
    redis.set_status(STATUS);
    let last = price("AAPL", 4).replace(r#""seq":4"#, r#""snapshot":true,"stale":true"#);
    redis::cmd("HSET").arg("broker:last:AAPL").arg("price").arg(last).exec(&mut redis.connect()).unwrap();
    let requests = redis.broker(accept_all);
    let watch = start(&redis, "watch aapl --count 3");
    assert!(watch.line().contains("last known, stale  AAPL"));
    let request = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((&request["action"], &request["tickers"][0], &request["ttl_s"]), (&"subscribe".into(), &"AAPL".into(), &60.into()));
    assert!(request["bot"].as_str().unwrap().starts_with("watch_"));
    redis.publish("TICKER_UPDATES_AAPL", &price("AAPL", 5));
    redis.publish("TICKER_UPDATES_AAPL", r#"{"type":"quote","symbol":"AAPL","bid":1,"ask":2,"seq":1}"#);
    redis.publish("TICKER_UPDATES_AAPL", r#"{"type":"order","symbol":"AAPL","event":"fill","qty":"1","price":"150.25"}"#);
    redis.publish("TICKER_UPDATES_AAPL", &price("AAPL", 9));
    let (code, out, notes) = watch.end();
    assert_eq!((code, out.len()), (exit::OK, 3), "{out:?}");
    assert!(out[0].contains("AAPL     price  150.250  x 7") && out[0].contains("seq 5") && !out[0].contains("gap"), "{out:?}");
    assert!(out[1].contains("order  fill  qty 1  at 150.25"), "{out:?}");
    assert!(out[2].contains("seq 9  gap 3"), "{out:?}");
    assert_eq!(notes.last().unwrap(), "3 messages, 1 gaps, 3 lost");
    let given_back = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!((&given_back["action"], &given_back["bot"]), (&"unsubscribe".into(), &request["bot"]));
}

#[test]
fn watch_registers_again_with_a_restarted_broker_and_ends_at_ctrl_c() {
    let redis = Redis::start();
    redis.set_status(STATUS);
    let requests = redis.broker(accept_all);
    let watch = start(&redis, "watch AAPL --dialect typed --json");
    let next = |action: &str| assert_eq!(requests.recv_timeout(Duration::from_secs(20)).unwrap()["action"], action);
    next("register");
    let raw = r#"{"type":"price_update","symbol":"AAPL","price":1,"timestamp":1628107200,"seq":1}"#;
    redis.publish("price:AAPL", raw);
    assert_eq!(watch.line(), raw);
    // The first look at the epoch may still be ahead; each further restart is seen at the latest a second later.
    let mut epoch = 2;
    while requests.is_empty() {
        redis.set_status(&STATUS.replace(r#""epoch":1"#, &format!(r#""epoch":{epoch}"#)));
        epoch += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    next("register");
    let (code, _, notes) = watch.interrupt();
    assert_eq!(code, exit::OK);
    assert!(notes.iter().any(|note| note.contains("restarted")), "{notes:?}");
}

#[test]
fn watch_ends_when_every_symbol_is_refused_or_the_reader_is_gone() {
    let redis = Redis::start();
    let refuse = r#"{"type":"registration","accepted":[],"refused":[{"symbol":"AAPL","reason":"30 symbols are the plan's limit"}]}"#;
    let requests = redis.broker(|request| if request["tickers"][0] == "AAPL" { Some(refuse.to_owned()) } else { accept_all(request) });
    let (code, _, notes) = start(&redis, "watch AAPL").end();
    assert!(code == exit::FAILED && notes[0] == "refused: AAPL: 30 symbols are the plan's limit", "{notes:?}");

    let Running { out, thread, .. } = start(&redis, "watch MSFT");
    while requests.recv_timeout(Duration::from_secs(20)).unwrap()["tickers"][0] != "MSFT" {}
    drop(out);
    redis.publish("TICKER_UPDATES_MSFT", &price("MSFT", 1));
    assert_eq!(thread.join().unwrap(), exit::OK);
    assert_eq!(requests.recv_timeout(Duration::from_secs(20)).unwrap()["action"], "unsubscribe");
}

#[test]
fn watch_tells_what_is_refused_whole_or_later() {
    let redis = Redis::start();
    let whole = r#"{"type":"registration","action":"refused","accepted":[],"refused":[],"reason":"the exchange nowhere is not served here"}"#;
    let requests = redis.broker(|request| if request["exchange"] == "nowhere" { Some(whole.to_owned()) } else { accept_all(request) });
    let (code, _, notes) = start(&redis, "watch nowhere:AAPL").end();
    assert!(code == exit::FAILED && notes[0] == "refused: the exchange nowhere is not served here", "{notes:?}");
    let (code, out, _) = start(&redis, "register nowhere:AAPL").end();
    assert_eq!((code, out[0].as_str()), (exit::FAILED, "refused   the exchange nowhere is not served here"));

    let watch = start(&redis, "watch MSFT -n 1");
    let reply_to = loop {
        let request = requests.recv_timeout(Duration::from_secs(20)).unwrap();
        if request["tickers"][0] == "MSFT" {
            break request["reply_to"].as_str().unwrap().to_owned();
        }
    };
    redis.publish(
        &reply_to,
        r#"{"type":"registration","action":"refused","accepted":[],"refused":[{"symbol":"MSFT","reason":"30 symbols are the plan's limit"}]}"#,
    );
    redis.publish("TICKER_UPDATES_MSFT", &price("MSFT", 1));
    let (code, _, notes) = watch.end();
    assert!(code == exit::OK && notes[0] == "refused: MSFT: 30 symbols are the plan's limit", "{notes:?}");
}

#[test]
fn logs_are_shown_as_they_come() {
    let redis = Redis::start();
    let logs = start(&redis, "logs -f --level info");
    let line = |level: &str| format!(r#"{{"type":"log","ts":"T","level":"{level}","thread":"t","target":"hub","message":"m"}}"#);
    while redis.publish("broker:logs", &line("DEBUG")) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    redis.publish("broker:logs", &line("WARN"));
    assert_eq!(logs.line(), "T WARN  [t] hub: m");
    let (code, rest, notes) = logs.interrupt();
    assert_eq!((code, rest.len()), (exit::OK, 0));
    assert!(notes[0].contains("no broker is running"));
}
