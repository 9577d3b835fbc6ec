//! Variables: the lines of a `.env` file and, before them, the process environment.
//!
//! The format is what Docker's `--env-file` and python-dotenv read alike: nothing in a value is expanded, so a password
//! may contain `$`. Values are looked up here and never put into the process environment.

use std::collections::BTreeMap;
use std::path::Path;

use super::interpolate::is_name;
use super::problem::{Problem, Report, nearest};

/// Every name that is read without being written in a file, and those of the shipped exchange files.
pub(super) const NAMES: [&str; 27] = [
    "ALPACA_API_KEY_ID",
    "ALPACA_API_SECRET_KEY",
    "APCA_API_BASE_URL",
    "APCA_API_DATA_URL",
    "APCA_API_STREAM_URL",
    "APCA_TRADING_STREAM_URL",
    "BINANCE_TESTNET_API_KEY",
    "BINANCE_TESTNET_SECRET",
    "BROKER_CONFIG",
    "BROKER_DATA_DIR",
    "BROKER_EXCHANGES_DIR",
    "BROKER_LIVE",
    "BROKER_SYMBOLS",
    "IB_CLIENT_ID",
    "IB_HOST",
    "IB_PORT",
    "LOG_LEVEL",
    "PAPER_ALPACA_API_KEY_ID",
    "PAPER_ALPACA_API_SECRET_KEY",
    "PAPER_BASE_CURRENCY",
    "PAPER_INITIAL_BALANCE",
    "REDIS_DB",
    "REDIS_HOST",
    "REDIS_PASSWORD",
    "REDIS_PORT",
    "REDIS_URL",
    "REDIS_USERNAME",
];

/// A variable that is set and not empty.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub value: String,
    /// `environment: REDIS_PORT` or `configs/.env:3: REDIS_PORT`.
    pub at: String,
}

#[derive(Clone, Default)]
pub(super) struct Variables(BTreeMap<String, Variable>);

impl Variables {
    /// The environment wins over the file; empty values count as not set in both.
    pub fn new(environment: &BTreeMap<String, String>, file: BTreeMap<String, Variable>) -> Variables {
        let mut all = file;
        for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
            all.insert(name.clone(), Variable { value: value.clone(), at: format!("environment: {name}") });
        }
        all.retain(|_, variable| !variable.value.is_empty());
        Variables(all)
    }

    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.0.get(name)
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A name one letter off is a key that silently does nothing.
    pub fn warn_of_misspelt(&self, used: &[String], report: &mut Report) {
        for (name, variable) in &self.0 {
            let ours = ["ALPACA_", "APCA_", "BROKER_", "PAPER_", "BINANCE_TESTNET_", "IB_"].iter().any(|prefix| name.starts_with(prefix));
            if !ours || NAMES.contains(&name.as_str()) || used.contains(name) {
                continue;
            }
            let meant = match name.as_str() {
                "APCA_API_KEY_ID" => Some("PAPER_ALPACA_API_KEY_ID"),
                "APCA_API_SECRET_KEY" => Some("PAPER_ALPACA_API_SECRET_KEY"),
                other => nearest(other, NAMES),
            };
            if let Some(meant) = meant {
                report.warn(format!("{}: this variable is not read; did you mean {meant}?", variable.at));
            }
        }
    }
}

/// Reads `NAME=value` lines; the texts of problems never repeat a value.
pub(super) fn parse(path: &Path, text: &str, report: &mut Report) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (at, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), at + 1);
        match parse_line(line) {
            Ok(Some((name, value))) => {
                let at = format!("{place}: {name}");
                if let Some(Variable { at: first, .. }) = found.insert(name, Variable { value, at: at.clone() }) {
                    report.warn(format!("{at}: set twice; this line wins over {first}"));
                }
            }
            Ok(None) => {}
            Err(text) => report.problems.push(Problem { at: place, text: text.to_owned() }),
        }
    }
    found
}

fn parse_line(line: &str) -> Result<Option<(String, String)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").map_or(line, str::trim_start);
    let (name, value) = line.split_once('=').ok_or("not a NAME=value line; put a # before a comment")?;
    let name = name.trim_end();
    if !is_name(name) {
        return Err("the name before = may have letters, digits and _ only");
    }
    let value = value.trim_start();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (inner, after) = value[1..].split_once(quote).ok_or("the quote is not closed on its line")?;
            if !after.trim().is_empty() && !after.trim_start().starts_with('#') {
                return Err("there is text after the closing quote");
            }
            inner
        }
        Some('#') => "",
        _ => value.split_once(" #").or_else(|| value.split_once("\t#")).map_or(value, |(value, _)| value).trim_end(),
    };
    Ok(Some((name.to_owned(), value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_docker_and_python_read() {
        for (line, wanted) in [
            ("A=1", Some(("A", "1"))),
            ("  A = 1  ", Some(("A", "1"))),
            ("export A=1", Some(("A", "1"))),
            ("A=", Some(("A", ""))),
            ("A=\"x y\" # note", Some(("A", "x y"))),
            ("A='x#y'", Some(("A", "x#y"))),
            ("A=x#y", Some(("A", "x#y"))),
            ("A=x # note", Some(("A", "x"))),
            ("A= # note", Some(("A", ""))),
            ("A=p$w${B}==", Some(("A", "p$w${B}=="))),
            ("# A=1", None),
            ("", None),
        ] {
            let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(parse_line(line), Ok(wanted), "{line}");
        }
        for line in ["A", "A B=1", "=1", "1A=1", "A=\"x", "A='x'y"] {
            assert!(parse_line(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,60}") {
            let _ = parse_line(&text);
        }
    }
}
