//! The stage: exchange, Redis and broker as child processes, each of which can be killed and put up again.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::checker::{Entry, History};
use crate::support::process::{ACCOUNT, Exchange, broker};
use crate::support::redis_server::{RedisOptions, RedisServer};

/// How long anything may take that should be quick, on a machine that builds beside the test.
const PATIENCE: Duration = Duration::from_secs(30);
const PAGE: usize = 1_000;

/// Limits would only stand in the way of a load.
const ALPACA: &str = "broker_type: alpaca\nenabled: true\ncredentials:\n  account: paper\ntrading:\n  default_order_type: market\n";
const BROKER: &str = "http: 127.0.0.1:0\nsymbols: [F, INTC, KO, PFE]\naccounts:\n  - name: paper\n    environment: paper\n";

/// The exchange, which survives everything.
pub struct Venue {
    exchange: Exchange,
    agent: ureq::Agent,
}

/// The broker under test, killed and started at will. Everything that it keeps lies in its folder.
pub struct Service {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
    child: Option<Child>,
}

pub struct Stage {
    pub venue: Venue,
    pub redis: RedisServer,
    pub service: Service,
    _folder: TempDir,
}

impl Stage {
    /// Everything runs, and nothing has happened yet.
    pub fn open(args: &[&str]) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let venue = Venue::open(folder.path(), args);
        let redis = RedisOptions::default().with("--appendonly", "yes").with("--appendfsync", "everysec").start();
        let service = Service::new(&venue, &redis.url());
        let mut stage = Stage { venue, redis, service, _folder: folder };
        stage.service.start(None);
        stage.wait_connected();
        stage
    }

    pub fn stream_key(&self) -> String {
        format!("broker:order_updates:{ACCOUNT}")
    }

    /// Waits until the broker listens to the orders of the account.
    pub fn wait_connected(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut cursor = Cursor::default();
        loop {
            let history = self.venue.history(&mut cursor);
            let on = history.ears.iter().filter(|ear| ear.on).count();
            if 2 * on > history.ears.len() {
                return;
            }
            assert!(Instant::now() < deadline, "the broker does not listen to its orders: {}", self.service.log());
            self.service.revive();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All that Redis has of the stream.
    pub fn stream(&self) -> Vec<Entry> {
        let mut connection = client(&self.redis.url()).expect("Redis answers at the end");
        range(&mut connection, &self.stream_key())
    }

    /// Waits until the stream satisfies, and returns it; `None` when it does not in time.
    pub fn stream_when(&mut self, patience: Duration, mut holds: impl FnMut(&[Entry]) -> bool) -> Option<Vec<Entry>> {
        let deadline = Instant::now() + patience;
        loop {
            let entries = self.stream();
            if holds(&entries) {
                return Some(entries);
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.service.revive();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A connection that gives up soon: its server may be dead.
pub fn client(url: &str) -> redis::RedisResult<redis::Connection> {
    let connection = redis::Client::open(url)?.get_connection_with_timeout(Duration::from_secs(1))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok(connection)
}

type Row = (String, Vec<(String, String)>);

fn entry((id, fields): Row) -> Entry {
    let text = fields.into_iter().find_map(|(name, value)| (name == "event").then_some(value));
    Entry::read(&id, &text.unwrap_or_default())
}

fn range(connection: &mut redis::Connection, key: &str) -> Vec<Entry> {
    let (mut all, mut from): (Vec<Entry>, String) = (Vec::new(), "-".to_owned());
    loop {
        let rows: Vec<Row> = redis::cmd("XRANGE").arg(key).arg(&from).arg("+").arg("COUNT").arg(PAGE).query(connection).unwrap();
        let Some((last, _)) = rows.last() else { return all };
        from = format!("({last}");
        all.extend(rows.into_iter().map(entry));
    }
}

/// What came after the cursor; nothing when nothing came in a little while.
pub fn read_after(connection: &mut redis::Connection, key: &str, cursor: &str) -> redis::RedisResult<Vec<(String, Entry)>> {
    let found: Option<Vec<(String, Vec<Row>)>> =
        redis::cmd("XREAD").arg("COUNT").arg(PAGE).arg("BLOCK").arg(100).arg("STREAMS").arg(key).arg(cursor).query(connection)?;
    let rows = found.into_iter().flatten().flat_map(|(_, rows)| rows);
    Ok(rows.map(|row| (row.0.clone(), entry(row))).collect())
}

/// How far a reader of the exchange's history is, and what he has.
#[derive(Debug, Default)]
pub struct Cursor {
    last: u64,
    pub history: History,
}

impl Venue {
    fn open(folder: &Path, args: &[&str]) -> Venue {
        let exchange = Exchange::start_with(folder, 50, args);
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Venue { exchange, agent: ureq::Agent::new_with_config(config) }
    }

    /// For a thread of its own.
    pub fn hand(&self) -> Hand {
        Hand { url: self.exchange.url.clone(), agent: self.agent.clone() }
    }

    /// All that has happened, added to what the cursor has.
    pub fn history<'a>(&self, cursor: &'a mut Cursor) -> &'a History {
        self.hand().history(cursor)
    }
}

/// Somebody who deals with the exchange directly.
#[derive(Clone)]
pub struct Hand {
    url: String,
    agent: ureq::Agent,
}

impl Hand {
    pub fn history<'a>(&self, cursor: &'a mut Cursor) -> &'a History {
        loop {
            let page = self.get(&format!("/admin/history?after={}", cursor.last));
            cursor.last = cursor.history.read(&page).max(cursor.last);
            if cursor.last >= page["last"].as_u64().unwrap() {
                return &cursor.history;
            }
        }
    }

    pub fn get(&self, path: &str) -> Value {
        self.signed(self.agent.get(format!("{}{path}", self.url))).call().unwrap().body_mut().with_config().limit(1 << 28).read_json().unwrap()
    }

    /// The status and the answer; `Null` when there is none.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut answer = self.signed(self.agent.post(format!("{}{path}", self.url))).send(body.to_string()).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or_default())
    }

    pub fn cancel(&self, id: &str) {
        self.signed(self.agent.delete(format!("{}/v2/orders/{id}", self.url))).call().unwrap();
    }

    pub fn fault(&self, text: &str) {
        let (status, answer) = self.post("/admin/faults", &json!({"fault": text}));
        assert_eq!(status, 200, "{text}: {answer}");
    }

    pub fn quote(&self, symbol: &str, bid: &str, ask: &str) {
        let (status, answer) = self.post("/admin/market", &json!({"symbol": symbol, "bid": bid, "ask": ask, "bid_size": 1_000, "ask_size": 1_000}));
        assert_eq!(status, 200, "{answer}");
    }

    fn signed<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        request.header("APCA-API-KEY-ID", "SIM").header("APCA-API-SECRET-KEY", "SIM-SECRET")
    }
}

impl Service {
    fn new(venue: &Venue, redis: &str) -> Service {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("broker.yaml"), BROKER).unwrap();
        std::fs::create_dir_all(folder.path().join("exchanges")).unwrap();
        std::fs::write(folder.path().join("exchanges/alpaca.yaml"), ALPACA).unwrap();
        let mut variables = venue.exchange.variables();
        variables.push(("REDIS_URL", redis.to_owned()));
        variables.push(("LOG_LEVEL", "info".to_owned()));
        Service { folder, variables, child: None }
    }

    /// Starts it; `crash` is where it is to die, as `point:count`.
    pub fn start(&mut self, crash: Option<&str>) {
        let mut command: Command = broker(self.folder.path(), &["run", "--config", "broker.yaml"]);
        command.envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.envs(crash.map(|crash| ("ALPACA_BROKER_CRASH_AT", crash)));
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// SIGKILL, and gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Puts it up again when it has ended by itself, as a supervisor of processes does; whether it had.
    pub fn revive(&mut self) -> bool {
        let ended = !self.is_running();
        if ended {
            self.start(None);
        }
        ended
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Waits until it has ended by itself; `false` when it does not.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The end of what it said, for whoever has to find out why.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
