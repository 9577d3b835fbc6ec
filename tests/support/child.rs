//! The real program as a child process, with an environment of its own and its log in a file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use alpaca_broker::runtime::Threads;
use alpaca_broker::sim::{Sim, SimConfig, SimControl};
use tempfile::TempDir;

use super::rig::wait_until;

/// What the program is started with; the caller changes what it needs.
pub struct Launch {
    pub dir: TempDir,
    pub command: Command,
}

/// A running program; killed when dropped.
pub struct Running {
    pub child: Child,
    dir: TempDir,
}

/// An exchange in this process for a program in another.
pub fn exchange(config: SimConfig) -> (Sim, SimControl) {
    let sim = Sim::start(config, &Threads::new(crossbeam_channel::bounded(1).0)).unwrap();
    let control = sim.control();
    (sim, control)
}

impl Launch {
    /// The program between this Redis and this exchange.
    pub fn new(program: &Path, redis_port: u16, exchange: SocketAddr) -> Launch {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("broker.yaml");
        std::fs::write(&file, "http: 127.0.0.1:0\n").unwrap();
        let mut command = Command::new(program);
        command.arg("run").current_dir(dir.path()).env_clear();
        command.env("BROKER_CONFIG", file).env("BROKER_DATA_DIR", dir.path().join("data"));
        command.env("PAPER_ALPACA_API_KEY_ID", "SIM").env("PAPER_ALPACA_API_SECRET_KEY", "SIM-SECRET");
        command.env("REDIS_HOST", "127.0.0.1").env("REDIS_PORT", redis_port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        command.stderr(log);
        let mut launch = Launch { dir, command };
        launch.at("APCA_API_BASE_URL", "http", exchange).at("APCA_API_STREAM_URL", "ws", exchange).at("APCA_TRADING_STREAM_URL", "ws", exchange);
        launch
    }

    pub fn at(&mut self, variable: &str, scheme: &str, address: SocketAddr) -> &mut Launch {
        self.set(variable, &format!("{scheme}://{address}"))
    }

    pub fn set(&mut self, variable: &str, value: &str) -> &mut Launch {
        self.command.env(variable, value);
        self
    }

    pub fn start(mut self) -> Running {
        Running { child: self.command.spawn().unwrap(), dir: self.dir }
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("the log says {text:?}"), || self.log().contains(text));
    }

    fn endpoint(&self) -> PathBuf {
        self.dir.path().join("data/endpoint.json")
    }

    /// Where the status pages are; waits until the program has said so.
    pub fn pages(&self) -> String {
        let mut found = None;
        wait_until("the program says where it is", || {
            let text = std::fs::read_to_string(self.endpoint()).unwrap_or_default();
            let endpoint: Option<serde_json::Value> = serde_json::from_str(&text).ok();
            found = endpoint.and_then(|endpoint| endpoint["http"].as_str().map(str::to_owned));
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// A metric's value, summed over its labels; 0 while nothing can be read.
    pub fn metric(&self, pages: &str, name: &str) -> f64 {
        let page = ureq::get(format!("http://{pages}/metrics")).call().ok().and_then(|mut answer| answer.body_mut().read_to_string().ok());
        let page = page.unwrap_or_default();
        let lines = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(done.success(), "kill -{name} failed");
    }

    /// How it ended; `None` when it did not within the patience.
    pub fn end_within(&mut self, patience: Duration) -> Option<(ExitStatus, Duration)> {
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some((status, started.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
