//! From a bot's order to its answer: XADD, desk, exchange, and back by the reply channel and by the order stream; beside a
//! bare HTTP POST on a kept connection to the same exchange in the same run. Prints one line of JSON.
//!
//! The bare orders are another account's: what the broker does after an answer to keep the updates of an order would
//! otherwise be counted against the next one. `redis` is what the two trips through Redis cost alone, with somebody behind
//! them who answers each entry at once.
//!
//! `ORDER_PATH_EXCHANGE=paper` sends the orders to the paper broker instead, which has no order stream of the venue.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a benchmark talks to whoever runs it")]

#[path = "path/child.rs"]
#[allow(dead_code, reason = "it is made for a larger benchmark")]
mod child;
#[path = "../tests/support/redis_server.rs"]
mod redis_server;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::{Condvar, Mutex};
use redis_server::RedisServer;
use serde_json::{Value, json};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_alpaca-broker");
const ACCOUNT: &str = "5eed0000-0000-4000-8000-000000000001";
/// Whose orders go through the broker, and whose do not.
const THROUGH: &str = "SIM";
const BARE: &str = "BARE";
const SECRET: &str = "SIM-SECRET";
const REPLIES: &str = "bench:replies";
const ECHO: &str = "bench:echo";
const ECHOES: &str = "bench:echoes";
/// Cheap enough that all orders can be buys: none is ever the other side of one that still waits.
const CHEAP: &str = "KO=5.00";
const WARM_UP: u32 = 100;
const ONE_AT_A_TIME: u32 = 1_000;
/// Paced orders come in segments of a second, by turns through the broker and bare.
const SEGMENTS: u32 = 10;
const PER_SECOND: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(20);
/// Ours: no more than so many times the latency of the bare request.
const MOST: f64 = 1.5;

/// Killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// When the answer to each order came, on one of the two ways.
#[derive(Clone, Default)]
struct Arrivals(Arc<(Mutex<HashMap<String, Instant>>, Condvar)>);

impl Arrivals {
    fn note(&self, body: &Value, id: &Value) {
        let at = Instant::now();
        if let Some(id) = id.as_str() {
            let refused = ["rejected", "denied", "unknown"].into_iter().find(|word| body["result"] == *word || body["event"] == *word);
            if refused.is_some() {
                println!("an order was refused: {body}");
                std::process::exit(1);
            }
            self.0.0.lock().entry(id.to_owned()).or_insert(at);
            self.0.1.notify_all();
        }
    }

    fn wait(&self, id: &str) -> Option<Instant> {
        let deadline = Instant::now() + PATIENCE;
        let mut known = self.0.0.lock();
        loop {
            if let Some(at) = known.remove(id) {
                return Some(at);
            }
            if self.0.1.wait_until(&mut known, deadline).timed_out() {
                return None;
            }
        }
    }
}

/// What one manner of sending took, in nanoseconds.
struct Times {
    bare: Histogram<u64>,
    redis: Histogram<u64>,
    reply: Histogram<u64>,
    stream: Histogram<u64>,
    unanswered: u64,
}

impl Times {
    fn new() -> Times {
        let new = || Histogram::new(3).unwrap();
        Times { bare: new(), redis: new(), reply: new(), stream: new(), unanswered: 0 }
    }

    fn ratio(&self, of: &Histogram<u64>, quantile: f64) -> f64 {
        of.value_at_quantile(quantile) as f64 / self.bare.value_at_quantile(quantile).max(1) as f64
    }

    /// Whether neither way back is slower than is allowed.
    fn is_within(&self) -> bool {
        let ways = [&self.reply, &self.stream].into_iter().filter(|way| !way.is_empty());
        self.unanswered == 0 && ways.map(|way| self.ratio(way, 0.5).max(self.ratio(way, 0.99))).all(|ratio| ratio <= MOST)
    }

    fn shown(&self) -> Value {
        let us = |times: &Histogram<u64>, quantile: f64| (times.value_at_quantile(quantile) as f64 / 100.0).round() / 10.0;
        let round = |ratio: f64| (ratio * 100.0).round() / 100.0;
        let way = |times: &Histogram<u64>| {
            json!({"answers": times.len(), "p50_us": us(times, 0.5), "p99_us": us(times, 0.99), "ratio_p50": round(self.ratio(times, 0.5)),
                   "ratio_p99": round(self.ratio(times, 0.99))})
        };
        json!({"bare": {"answers": self.bare.len(), "p50_us": us(&self.bare, 0.5), "p99_us": us(&self.bare, 0.99)}, "redis": way(&self.redis),
               "reply": way(&self.reply), "stream": way(&self.stream), "unanswered": self.unanswered})
    }
}

/// The shortest way to the exchange: one connection, one request after the other.
struct Bare {
    stream: TcpStream,
    address: String,
    buffer: Vec<u8>,
}

impl Bare {
    fn connect(address: &str) -> Bare {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Bare { stream, address: address.to_owned(), buffer: Vec::new() }
    }

    fn place(&mut self, n: u32) -> Duration {
        let body = json!({"symbol": "KO", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": format!("bare-{n}")});
        let body = body.to_string();
        let request = format!(
            "POST /v2/orders HTTP/1.1\r\nhost: {}\r\napca-api-key-id: {BARE}\r\napca-api-secret-key: {SECRET}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let asked = Instant::now();
        self.stream.write_all(request.as_bytes()).unwrap();
        self.buffer.clear();
        let mut piece = [0; 16 * 1024];
        loop {
            let count = self.stream.read(&mut piece).unwrap();
            assert!(count > 0, "the exchange hung up");
            self.buffer.extend_from_slice(&piece[..count]);
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut answer = httparse::Response::new(&mut headers);
            let Ok(httparse::Status::Complete(head)) = answer.parse(&self.buffer) else { continue };
            let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length")).unwrap();
            let length: usize = std::str::from_utf8(length.value).unwrap().parse().unwrap();
            if self.buffer.len() >= head + length {
                assert_eq!(answer.code, Some(200), "{}", String::from_utf8_lossy(&self.buffer));
                return asked.elapsed();
            }
        }
    }
}

/// A bot that orders through Redis and hears the answers on both ways.
struct Bot {
    connection: redis::Connection,
    exchange: String,
    replies: Arrivals,
    stream: Option<Arrivals>,
    echoes: Arrivals,
}

impl Bot {
    fn new(url: &str, exchange: &str) -> Bot {
        let open = || redis::Client::open(url).unwrap().get_connection().unwrap();
        let (replies, echoes) = (Arrivals::default(), Arrivals::default());
        hear(open(), REPLIES, &replies);
        hear(open(), ECHOES, &echoes);
        let (mut reader, mut speaker) = (open(), open());
        thread::spawn(move || echo(&mut reader, &mut speaker));
        let stream = (exchange == "alpaca").then(Arrivals::default);
        if let Some(noted) = stream.clone() {
            let mut connection = open();
            thread::spawn(move || follow(&mut connection, &noted));
        }
        Bot { connection: open(), exchange: exchange.to_owned(), replies, stream, echoes }
    }

    fn send(&mut self, n: u32) -> (String, Instant) {
        self.send_to("broker:orders", n)
    }

    /// How long Redis alone takes to bring an order to somebody and his answer back.
    fn echoed(&mut self, n: u32) -> Duration {
        let (id, asked) = self.send_to(ECHO, n);
        self.echoes.wait(&id).expect("an echo in time") - asked
    }

    fn send_to(&mut self, stream: &str, n: u32) -> (String, Instant) {
        let id = format!("bench-{n}");
        let command = json!({"action": "place", "exchange": self.exchange, "client_order_id": id, "symbol": "KO", "side": "buy", "type": "market",
                             "qty": "1", "time_in_force": "day", "reply_to": REPLIES});
        let command = command.to_string();
        let asked = Instant::now();
        redis::cmd("XADD").arg(stream).arg("*").arg("command").arg(command).exec(&mut self.connection).unwrap();
        (id, asked)
    }

    fn take(&self, id: &str, asked: Instant, times: &mut Times) {
        let ways = [Some((&self.replies, &mut times.reply)), self.stream.as_ref().map(|stream| (stream, &mut times.stream))];
        for (arrivals, times_of) in ways.into_iter().flatten() {
            match arrivals.wait(id) {
                Some(at) => times_of.record((at - asked).as_nanos() as u64).unwrap(),
                None => times.unanswered += 1,
            }
        }
    }
}

/// Notes what is published on a channel.
fn hear(mut connection: redis::Connection, channel: &str, arrivals: &Arrivals) {
    let noted = arrivals.clone();
    redis::ConnectionLike::req_packed_command(&mut connection, &redis::cmd("SUBSCRIBE").arg(channel).get_packed_command()).unwrap();
    thread::spawn(move || {
        while let Ok(value) = connection.recv_response() {
            let Some(message) = redis::Msg::from_owned_value(value) else { continue };
            let body: Value = serde_json::from_str(&message.get_payload::<String>().unwrap()).unwrap();
            noted.note(&body, &body["client_order_id"]);
        }
    });
}

/// Answers each entry at once, with what it holds.
fn echo(reader: &mut redis::Connection, speaker: &mut redis::Connection) {
    type Rows = Vec<(String, Vec<(String, String)>)>;
    redis::cmd("XGROUP").arg(&["CREATE", ECHO, "desk", "0", "MKSTREAM"]).exec(reader).unwrap();
    loop {
        let mut read = redis::cmd("XREADGROUP");
        read.arg(&["GROUP", "desk", "broker", "COUNT", "64", "BLOCK", "0", "STREAMS", ECHO, ">"]);
        let found: redis::RedisResult<Option<Vec<(String, Rows)>>> = read.query(reader);
        let Ok(found) = found else { return };
        for (_, fields) in found.into_iter().flatten().flat_map(|(_, rows)| rows) {
            for (_, text) in fields {
                if redis::cmd("PUBLISH").arg(ECHOES).arg(text).exec(speaker).is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads the order stream, and notes the desk's answers.
fn follow(connection: &mut redis::Connection, noted: &Arrivals) {
    type Rows = Vec<(String, Vec<(String, String)>)>;
    let mut cursor = "0-0".to_owned();
    loop {
        let key = format!("broker:order_updates:{ACCOUNT}");
        let found: redis::RedisResult<Option<Vec<(String, Rows)>>> =
            redis::cmd("XREAD").arg("BLOCK").arg(0).arg("STREAMS").arg(key).arg(&cursor).query(connection);
        let Ok(found) = found else { return };
        for (id, fields) in found.into_iter().flatten().flat_map(|(_, rows)| rows) {
            cursor = id;
            let Some(body) = fields.iter().find_map(|(_, text)| serde_json::from_str::<Value>(text).ok()) else { continue };
            if body["answer"] == true {
                noted.note(&body, &body["order_data"]["client_order_id"]);
            }
        }
    }
}

fn exchange() -> (Process, String) {
    let mut command = Command::new(BINARY);
    command
        .args(["sim", "--listen", "127.0.0.1:0", "--rate", "50", "--symbols", CHEAP])
        .args([THROUGH, BARE].map(|key| format!("--key={key}:{SECRET}:unlimited")))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.0.stdout.take().unwrap()));
    let line = lines.find_map(|line| line.ok().filter(|line| line.contains("http://"))).unwrap();
    thread::spawn(move || lines.for_each(drop));
    let address = line.split([' ', ',']).find_map(|word| word.strip_prefix("http://")).unwrap().to_owned();
    (process, address)
}

fn broker(folder: &TempDir, name: &str, exchange: &str, redis: &str) -> Process {
    let path = |file: &str| folder.path().join(file);
    std::fs::create_dir_all(path("exchanges")).unwrap();
    std::fs::write(
        path("broker.yaml"),
        "http: off\nlog_level: warn\nsymbols: [KO]\nsymbol_feeds: [price, quote]\naccounts:\n  - name: paper\n    environment: paper\n",
    )
    .unwrap();
    let only = if name == "alpaca" { "credentials:\n  account: paper\n" } else { "paper:\n  latency_ms: 0\n  partial_fills: false\n" };
    let text = format!("broker_type: {name}\nenabled: true\ntrading:\n  default_order_type: market\n{only}");
    std::fs::write(path(&format!("exchanges/{name}.yaml")), text).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["run", "--config", "broker.yaml"]).current_dir(folder.path()).env_clear().env("REDIS_URL", redis);
    command.env("PAPER_ALPACA_API_KEY_ID", THROUGH).env("PAPER_ALPACA_API_SECRET_KEY", SECRET);
    command.env("APCA_API_BASE_URL", format!("http://{exchange}")).env("APCA_API_DATA_URL", format!("http://{exchange}"));
    command.env("APCA_API_STREAM_URL", format!("ws://{exchange}")).env("APCA_TRADING_STREAM_URL", format!("ws://{exchange}/stream"));
    let log = std::fs::File::create(path("log")).unwrap();
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

fn wait_running(redis: &str, folder: &TempDir) {
    let mut connection = redis::Client::open(redis).unwrap().get_connection().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status: Option<String> = redis::cmd("GET").arg("broker:status").query(&mut connection).unwrap();
        let quoted: bool = redis::cmd("HEXISTS").arg("broker:last:KO").arg("quote").query(&mut connection).unwrap();
        // An order that no price can fill would rest.
        if quoted && status.is_some_and(|text| text.contains(r#""state":"running""#)) {
            return;
        }
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "the broker does not run: {}", log());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Calls at a pace.
fn paced(count: u32, mut act: impl FnMut(u32)) {
    let begun = Instant::now();
    for n in 0..count {
        let due = begun + Duration::from_secs(1) * n / PER_SECOND;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        act(n);
    }
}

fn main() {
    let name = std::env::var("ORDER_PATH_EXCHANGE").unwrap_or_else(|_| "alpaca".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start();
    let (_exchange, address) = exchange();
    let service = broker(&folder, &name, &address, &redis.url());
    wait_running(&redis.url(), &folder);
    let (mut bare, mut bot) = (Bare::connect(&address), Bot::new(&redis.url(), &name));
    let (mut alone, mut many, mut warm) = (Times::new(), Times::new(), Times::new());
    let (mut next_bare, mut next) = (0_u32, 0_u32);
    let number = |of: &mut u32| std::mem::replace(of, *of + 1);
    for n in 0..WARM_UP + ONE_AT_A_TIME {
        let times = if n < WARM_UP { &mut warm } else { &mut alone };
        let took = bare.place(number(&mut next_bare));
        times.bare.record(took.as_nanos() as u64).unwrap();
        times.redis.record(bot.echoed(n).as_nanos() as u64).unwrap();
        let (id, asked) = bot.send(number(&mut next));
        bot.take(&id, asked, times);
    }
    let mut cpu = 0.0;
    for _ in 0..SEGMENTS {
        paced(PER_SECOND, |_| many.bare.record(bare.place(number(&mut next_bare)).as_nanos() as u64).unwrap());
        paced(PER_SECOND, |n| many.redis.record(bot.echoed(n).as_nanos() as u64).unwrap());
        let before = child::cpu_seconds(service.0.id());
        let mut sent = Vec::new();
        paced(PER_SECOND, |_| sent.push(bot.send(number(&mut next))));
        sent.into_iter().for_each(|(id, asked)| bot.take(&id, asked, &mut many));
        cpu += child::cpu_seconds(service.0.id()) - before;
    }
    let line = json!({
        "bench": "order_path", "exchange": name, "one_at_a_time": alone.shown(), "paced": many.shown(), "paced_per_second": PER_SECOND,
        "broker_cpu_us_per_order": (cpu * 1e6 / f64::from(SEGMENTS * PER_SECOND)).round(), "most_ratio": MOST,
        "passed": alone.is_within() && many.is_within(),
    });
    println!("{line}");
}
