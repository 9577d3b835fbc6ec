//! Texts for operators: made safe to log, and said at most once a minute each.
//!
//! Must not know what happened.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::exchanges::Notice;
use crate::runtime::Secret;

const QUIET: Duration = Duration::from_secs(60);
/// Subjects remembered at once; a venue that invents new ones all the time shares the last place.
const SUBJECTS: usize = 64;
const MAX_TEXT: usize = 160;

/// Makes a venue's words safe to log: without our keys, without control characters, bounded.
pub(super) fn clean(text: &str, secrets: &[&Secret]) -> String {
    let hidden = secrets.iter().filter(|secret| !secret.is_empty()).fold(None::<String>, |hidden, secret| {
        let so_far = hidden.as_deref().unwrap_or(text);
        if so_far.contains(secret.expose()) { Some(so_far.replace(secret.expose(), "***")) } else { hidden }
    });
    let text = hidden.as_deref().unwrap_or(text);
    let printable = |c: char| if c.is_control() || is_invisible(c) { '?' } else { c };
    let mut shown: String = text.chars().take(MAX_TEXT).map(printable).collect();
    if shown.len() < text.len() && text.chars().nth(MAX_TEXT).is_some() {
        shown.push('…');
    }
    shown
}

/// Characters that reorder or hide their neighbours on a terminal.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Says each thing once a minute.
#[derive(Debug, Default)]
pub(super) struct Oddities {
    said: BTreeMap<String, Instant>,
}

impl Oddities {
    /// `subject` is what must not repeat, `text` what is said of it.
    pub fn note(&mut self, now: Instant, subject: &str, notices: &mut Vec<Notice>, text: impl FnOnce() -> String) {
        let subject = subject.chars().take(MAX_TEXT).collect::<String>();
        if self.said.len() >= SUBJECTS && !self.said.contains_key(&subject) {
            self.said.retain(|_, said| now.saturating_duration_since(*said) < QUIET);
        }
        let subject = if self.said.len() >= SUBJECTS && !self.said.contains_key(&subject) { String::new() } else { subject };
        let quiet = self.said.get(&subject).is_some_and(|said| now.saturating_duration_since(*said) < QUIET);
        if !quiet {
            self.said.insert(subject, now);
            notices.push(Notice::Oddity(text()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_loses_keys_and_controls_and_its_end() {
        let (key, empty) = (Secret::new("PK123"), Secret::new(""));
        assert_eq!(clean("no such key PK123\r\n\u{202e}x", &[&key, &empty]), "no such key ***???x");
        assert_eq!(clean(&"ä".repeat(1_000), &[&key]).chars().count(), MAX_TEXT + 1);
        let split_by_the_end = format!("{}PK123", "x".repeat(MAX_TEXT - 2));
        assert!(!clean(&split_by_the_end, &[&key]).contains("PK"));
    }

    #[test]
    fn each_thing_is_said_once_a_minute_and_memory_is_bounded() {
        let (mut oddities, mut notices, now) = (Oddities::default(), Vec::new(), Instant::now());
        for second in [0, 1, 59, 60, 61] {
            oddities.note(now + Duration::from_secs(second), "a", &mut notices, || second.to_string());
        }
        assert_eq!(notices, [Notice::Oddity("0".to_owned()), Notice::Oddity("60".to_owned())]);
        for n in 0..10_000 {
            oddities.note(now, &n.to_string(), &mut notices, String::new);
        }
        assert!(oddities.said.len() <= SUBJECTS + 1 && notices.len() <= SUBJECTS + 3);
    }
}
