//! Parameters from the environment, and the line that a run ends with.

use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};

use crate::checker::Verdict;

/// Differences shown in words; all are counted.
const SHOWN: usize = 20;

/// A number from the environment.
pub fn parameter(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The seed of this run, said at once: whoever sees it fail can run it again.
pub fn seed() -> u64 {
    let seed = parameter("SOAK_SEED", fastrand::u64(1..1_000_000));
    say(&format!("SOAK_SEED={seed}"));
    seed
}

/// Past the capture of the test harness: the line is the result.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What is the same in every line, with the numbers of one run.
pub fn line(test: &str, seed: u64, numbers: &Value) -> String {
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok();
    let commit = commit.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let mut line = json!({"soak": test, "commit": commit.trim(), "seed": seed});
    if let (Some(line), Some(numbers)) = (line.as_object_mut(), numbers.as_object()) {
        line.extend(numbers.clone());
    }
    line.to_string()
}

/// The differences, short enough to be read.
pub fn in_words(verdict: &Verdict) -> String {
    let of = |what: &str, list: &[String]| {
        let shown: String = list.iter().take(SHOWN).map(|text| format!("\n    {text}")).collect();
        if list.is_empty() { String::new() } else { format!("\n  {what}: {}{shown}", list.len()) }
    };
    let all = [
        ("lost", &verdict.lost),
        ("duplicated", &verdict.duplicated),
        ("disordered", &verdict.disordered),
        ("invented", &verdict.invented),
        ("broken", &verdict.broken),
    ];
    all.into_iter().map(|(what, list)| of(what, list)).collect()
}
