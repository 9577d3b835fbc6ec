//! Child processes: what they say, how much processor time and memory they took. Each is killed when dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub struct Child {
    process: Process,
    stdin: ChildStdin,
    lines: Receiver<String>,
    name: String,
}

impl Child {
    /// This program again, in a role.
    pub fn role(role: &str, args: &impl Serialize) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--role", role, &serde_json::to_string(args).unwrap()]);
        Child::start(role, &mut command)
    }

    pub fn start(name: &str, command: &mut Command) -> Child {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (line, lines) = unbounded();
        let stdout = process.stdout.take().unwrap();
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Child { stdin: process.stdin.take().unwrap(), process, lines, name: name.to_owned() }
    }

    pub fn say(&mut self, word: &str) {
        writeln!(self.stdin, "{word}").unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// What follows the tag on the first line that begins with it.
    pub fn wait_for<T: DeserializeOwned>(&self, tag: &str, patience: Duration) -> T {
        self.wait_while(tag, patience, patience, || {})
    }

    /// The same; does something meanwhile.
    pub fn wait_while<T: DeserializeOwned>(&self, tag: &str, patience: Duration, every: Duration, mut meanwhile: impl FnMut()) -> T {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(every.min(deadline.saturating_duration_since(Instant::now()))) {
                Ok(line) => {
                    if let Some(body) = line.strip_prefix(tag) {
                        return serde_json::from_str(body).unwrap_or_else(|error| panic!("{} says {line:?}: {error}", self.name));
                    }
                }
                Err(error) => {
                    assert!(error.is_timeout(), "{} ended before it said {tag}", self.name);
                    assert!(Instant::now() < deadline, "{} has not said {tag} in {patience:?}", self.name);
                    meanwhile();
                }
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Processor time of all threads that live, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap_or_else(|error| panic!("no account of process {pid}: {error}"));
    let accounts = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    accounts.filter_map(|account| account.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e9
}

/// Resident memory, now and at most, in KiB.
pub fn resident_kib(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}
