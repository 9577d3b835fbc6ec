//! The real binary as a child process, with an environment of its own, and what it prints.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};
use parking_lot::Mutex;

use super::rig::{PATIENCE, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_alpaca-broker");
/// The account of the built-in exchange.
pub const ACCOUNT: &str = "5eed0000-0000-4000-8000-000000000001";

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    out: Receiver<String>,
    errors: Arc<Mutex<String>>,
    name: String,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

/// The binary in that folder, knowing nothing of the environment of the tests.
pub fn broker(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear().current_dir(folder);
    command
}

impl Program {
    pub fn start(command: &mut Command) -> Program {
        let name = format!("{command:?}");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let (line, out) = unbounded();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        let errors = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&errors);
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(length @ 1..) = stderr.read(&mut piece) {
                kept.lock().push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Program { child, out, errors, name }
    }

    /// The next line of stdout.
    pub fn line(&self) -> String {
        self.out.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{} printed no line; stderr: {}", self.name, self.errors()))
    }

    /// The first address of that kind that it prints.
    pub fn address(&self, scheme: &str) -> String {
        loop {
            if let Some(address) = self.line().split([' ', ',']).find(|word| word.starts_with(scheme)) {
                return address.to_owned();
            }
        }
    }

    pub fn errors(&self) -> String {
        self.errors.lock().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(done.success(), "kill -{name} failed");
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let mut ended: Option<ExitStatus> = None;
        let deadline = Instant::now() + PATIENCE;
        while ended.is_none() {
            assert!(Instant::now() < deadline, "{} does not end; stderr: {}", self.name, self.errors());
            ended = self.child.try_wait().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        // The readers end with the pipes.
        let out: Vec<String> = self.out.iter().collect();
        wait_until("stderr is read", || Arc::strong_count(&self.errors) == 1);
        Ended { code: ended.unwrap().code(), out: out.join("\n"), errors: self.errors() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command of the binary to its end.
pub fn ask(command: &mut Command) -> Ended {
    Program::start(command).end()
}

/// `alpaca-broker sim` on a free port.
pub struct Exchange {
    pub program: Program,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Exchange {
    pub fn start(folder: &Path, rate: u32) -> Exchange {
        Exchange::start_with(folder, rate, &[])
    }

    /// With further arguments of the command.
    pub fn start_with(folder: &Path, rate: u32, args: &[&str]) -> Exchange {
        let rate = rate.to_string();
        let program = Program::start(&mut broker(folder, &[&["sim", "--listen", "127.0.0.1:0", "--rate", &rate], args].concat()));
        let url = program.address("http://");
        Exchange { program, url }
    }

    /// The variables that point a service at it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let stream = self.url.replacen("http", "ws", 1);
        vec![
            ("APCA_API_BASE_URL", self.url.clone()),
            ("APCA_API_DATA_URL", self.url.clone()),
            ("APCA_API_STREAM_URL", stream.clone()),
            ("APCA_TRADING_STREAM_URL", format!("{stream}/stream")),
            ("PAPER_ALPACA_API_KEY_ID", "SIM".to_owned()),
            ("PAPER_ALPACA_API_SECRET_KEY", "SIM-SECRET".to_owned()),
        ]
    }
}

/// The same with a second port under TLS, and a certificate that only those know who are told.
pub struct SecureExchange {
    pub plain: Exchange,
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    pub certificate: PathBuf,
}

impl SecureExchange {
    pub fn start(folder: &Path, rate: u32) -> SecureExchange {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("exchange.pem"), folder.join("exchange.key"));
        std::fs::write(&certificate, own.cert.pem()).unwrap();
        std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let files = ["--tls-cert", "exchange.pem", "--tls-key", "exchange.key"];
        let plain = Exchange::start_with(folder, rate, &[&["--listen-tls", "127.0.0.1:0"], &files[..]].concat());
        let url = plain.program.address("https://");
        SecureExchange { plain, url, certificate }
    }
}

/// `alpaca-broker run` with a configuration file of its own in that folder, state in `data/` beside it.
pub fn service(folder: &Path, redis: &str, variables: &[(&str, String)], args: &[&str]) -> Program {
    let file = folder.join("broker.yaml");
    if !file.exists() {
        std::fs::write(&file, "http: 127.0.0.1:0\n").unwrap();
    }
    let mut command = broker(folder, &[&["run", "--config", "broker.yaml"], args].concat());
    command.env("REDIS_URL", redis).envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
    Program::start(&mut command)
}

/// Waits until the service at this Redis says that it runs.
pub fn wait_running(redis: &mut redis::Connection, program: &Program) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status: Option<String> = redis::cmd("GET").arg("broker:status").query(redis).unwrap();
        if status.as_ref().is_some_and(|text| text.contains(r#""state":"running""#)) {
            return;
        }
        assert!(Instant::now() < deadline, "the service does not run: {status:?}; stderr: {}", program.errors());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
