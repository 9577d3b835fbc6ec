//! One event, one line: the text an operator reads and the JSON that bots read, both safe to print.
//!
//! Pure: the time and the thread's name are passed in.

use std::fmt::{self, Write};

use log::Level;
use serde::Serialize;

use crate::model::Timestamp;

const MAX_MESSAGE: usize = 2_000;
const MAX_NAME: usize = 64;
const CUT: &str = "…";
const OWN: &str = "alpaca_broker::";

/// A log event taken apart, its texts already harmless.
#[derive(Debug, Serialize)]
pub struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    ts: String,
    level: &'static str,
    thread: String,
    target: String,
    message: String,
}

impl Line {
    pub fn new(time: Timestamp, level: Level, thread: &str, target: &str, message: fmt::Arguments<'_>) -> Line {
        let mut ts = time.to_string();
        ts.truncate("2026-11-20T14:30:00.123".len());
        ts.push('Z');
        Line {
            kind: "log",
            ts,
            level: level.as_str(),
            thread: printable(thread, MAX_NAME),
            target: printable(short_target(target), MAX_NAME),
            message: escape(message, MAX_MESSAGE),
        }
    }

    /// With its line end.
    pub fn text(&self) -> String {
        format!("{} {:<5} [{}] {}: {}\n", self.ts, self.level, self.thread, self.target, self.message)
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Our own modules go by their last name, foreign crates by their first.
fn short_target(target: &str) -> &str {
    match target.strip_prefix(OWN) {
        Some(own) => own.rsplit("::").next().unwrap_or(own),
        None => target.split("::").next().unwrap_or(target),
    }
}

/// A text that moves no cursor, starts no line and turns no reading direction, of at most `limit` bytes. What is
/// escaped is escaped as JSON does it, so a JSON text stays one.
pub fn printable(text: &str, limit: usize) -> String {
    escape(format_args!("{text}"), limit)
}

fn escape(text: fmt::Arguments<'_>, limit: usize) -> String {
    let mut escaped = Escaped { text: String::new(), limit };
    if escaped.write_fmt(text).is_err() {
        while escaped.text.len() + CUT.len() > limit && escaped.text.pop().is_some() {}
        escaped.text.push_str(CUT);
    }
    escaped.text
}

/// Refuses to grow beyond its limit, so that a huge message is never built.
struct Escaped {
    text: String,
    limit: usize,
}

impl Write for Escaped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let before = self.text.len();
            match c {
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                c if acts_on_a_terminal(c) => write!(self.text, "\\u{:04x}", u32::from(c))?,
                c => self.text.push(c),
            }
            if self.text.len() > self.limit {
                self.text.truncate(before);
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Control characters, and the Unicode marks that break lines or reorder what is shown.
fn acts_on_a_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(target: &str, message: &str) -> Line {
        let time = "2026-11-20T14:30:00.123456789Z".parse().unwrap();
        Line::new(time, Level::Info, "alp-data", target, format_args!("{message}"))
    }

    #[test]
    fn reads_as_promised() {
        let line = line("alpaca_broker::exchanges::stream", "message");
        assert_eq!(line.text(), "2026-11-20T14:30:00.123Z INFO  [alp-data] stream: message\n");
        assert_eq!(line.json(), r#"{"type":"log","ts":"2026-11-20T14:30:00.123Z","level":"INFO","thread":"alp-data","target":"stream","message":"message"}"#);
        assert_eq!(short_target("rustls::conn"), "rustls");
    }

    #[test]
    fn an_injected_line_stays_one_harmless_line() {
        let evil = "AAPL\n2026-11-20T14:30:00.123Z INFO  [desk] filled\r\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\0";
        let text = line("x", evil).text();
        assert_eq!(text.lines().count(), 1);
        assert!(text.trim_end().chars().all(|c| !acts_on_a_terminal(c)), "{text:?}");
        assert!(text.contains(r"AAPL\n2026") && text.contains(r"\u001b[2J"));
    }

    #[test]
    fn a_huge_message_is_cut() {
        let text = line("x", &"é".repeat(1_000_000)).message;
        assert!(text.len() <= MAX_MESSAGE && text.len() > MAX_MESSAGE - 8 && text.ends_with(CUT), "{}", text.len());
        assert_eq!(printable(&"a".repeat(MAX_MESSAGE), MAX_MESSAGE).len(), MAX_MESSAGE);
    }

    proptest! {
        #[test]
        fn json_stays_json(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let shown = printable(&json, usize::MAX);
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
