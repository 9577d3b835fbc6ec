//! What is measured as a child process: the service itself, and the Python design beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use alpaca_broker::runtime::Threads;
use alpaca_broker::sim::{Sim, SimConfig};
use tempfile::TempDir;

use crate::child::Child;
use crate::universe::symbol_names;

const BINARY: &str = env!("CARGO_BIN_EXE_alpaca-broker");

/// How the service is configured.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Symbols registered by name; `None` is the wildcard.
    pub named: Option<usize>,
    pub quotes: bool,
    pub both_dialects: bool,
}

impl Setup {
    pub const PLAIN: Setup = Setup { named: None, quotes: false, both_dialects: false };

    fn yaml(self) -> String {
        // Without spaces: the whole market has to fit into the 64 KiB that a configuration may have.
        let symbols = self.named.map_or("\"*\"".to_owned(), |count| format!("[{}]", symbol_names(count).join(",")));
        let feeds = if self.quotes { "[price, quote]" } else { "[price]" };
        let dialects = if self.both_dialects { "both" } else { "ticker" };
        format!("symbols: {symbols}\nsymbol_feeds: {feeds}\ndialects: {dialects}\nhttp: off\nlog_level: warn\nlimits:\n  per_bot: 20000\n  total: 20000\n")
    }
}

/// Answers for the account, so that the service has nothing to retry; it has no part in prices.
pub struct Account(Sim);

impl Account {
    pub fn open() -> Account {
        Account(Sim::start(SimConfig::default(), &Threads::new(crossbeam_channel::bounded(1).0)).unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

/// The running service and its folder.
pub struct Service {
    pub child: Child,
    dir: TempDir,
}

impl Service {
    pub fn start(setup: Setup, account: SocketAddr, feed_port: u16, redis_port: u16) -> Service {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("broker.yaml");
        std::fs::write(&config, setup.yaml()).unwrap();
        let mut command = Command::new(BINARY);
        command.arg("run").current_dir(dir.path()).env_clear();
        command.env("BROKER_CONFIG", config).env("BROKER_DATA_DIR", dir.path().join("data"));
        command.env("PAPER_ALPACA_API_KEY_ID", "SIM").env("PAPER_ALPACA_API_SECRET_KEY", "SIM-SECRET");
        command.env("APCA_API_STREAM_URL", format!("ws://127.0.0.1:{feed_port}"));
        command.env("APCA_API_BASE_URL", format!("http://{account}")).env("APCA_API_DATA_URL", format!("http://{account}"));
        command.env("APCA_TRADING_STREAM_URL", format!("ws://{account}/stream"));
        command.env("REDIS_HOST", "127.0.0.1").env("REDIS_PORT", redis_port.to_string());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Child::start("the service", command.stderr(log));
        Service { child, dir }
    }

    /// What it said on stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// The Python design with that interpreter.
pub fn python(interpreter: &Path, feed_port: u16, redis_port: u16, symbols: usize) -> Child {
    let plan: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/plan.py");
    let mut command = Command::new(interpreter);
    command.arg(plan).args(["--url", &format!("ws://127.0.0.1:{feed_port}/v2/iex"), "--redis-port", &redis_port.to_string()]);
    command.args(["--symbols", &symbols.to_string()]).stderr(Stdio::inherit());
    Child::start("the Python design", &mut command)
}
