//! One stream, and what of the journal belongs in it.
//!
//! Must not know connections.

use std::time::Instant;

use crate::contract::channel::{order_updates, order_updates_of_bot};
use crate::journal::{Journal, JournalError, Row};
use crate::model::{AccountId, Timestamp};
use crate::redis::{EntryNumber, Next, Target};

/// The field of an entry.
const FIELD: &str = "event";

#[derive(Debug)]
pub(super) struct Stream {
    pub account: AccountId,
    /// Only what concerns this bot, by its own numbers.
    pub bot: Option<String>,
    pub target: Target,
    /// The last number in the journal.
    pub given: u64,
    /// Copies are sent above this number; `None` before the first look. A bot's stream has no copies.
    pub copied: Option<u64>,
    /// What the journal knows of that, and when it is told again.
    pub noted: u64,
    pub note_at: Instant,
    /// A number that Redis found unfit.
    pub unfit: Option<u64>,
    pub retry_at: Instant,
    pub trim_at: Instant,
    pub look_at: Instant,
}

impl Stream {
    pub fn new(account: AccountId, bot: Option<String>, now: Instant) -> Stream {
        let key = match &bot {
            Some(bot) => order_updates_of_bot(account.as_str(), bot),
            None => order_updates(account.as_str()),
        };
        let target = Target::new(key, FIELD);
        Stream { account, bot, target, given: 0, copied: None, noted: 0, note_at: now, unfit: None, retry_at: now, trim_at: now, look_at: now }
    }

    /// Above this number there is something to do.
    pub fn after(&self) -> u64 {
        match (self.target.next(), self.copied) {
            (Next::Append(at), Some(copied)) => at.min(copied),
            (Next::Append(at), None) => at,
            (Next::Look | Next::Make, _) => self.noted,
        }
    }

    /// Up to where copies were sent, if the journal does not know of it.
    pub fn to_be_noted(&self) -> Option<u64> {
        self.copied.filter(|copied| self.bot.is_none() && *copied > self.noted)
    }

    /// How many are not in the stream yet.
    pub fn waiting(&self) -> u64 {
        let at = if let Next::Append(at) = self.target.next() { at } else { self.noted };
        self.given.saturating_sub(at)
    }

    pub fn number(&self, row: &Row) -> u64 {
        match (&self.bot, &row.bot) {
            (Some(_), Some((_, n))) => *n,
            _ => row.n,
        }
    }

    pub fn rows(&self, journal: &Journal, after: u64, limit: usize) -> Result<Vec<Row>, JournalError> {
        match &self.bot {
            Some(bot) => journal.updates_of_bot(&self.account, bot, after, limit),
            None => journal.updates(&self.account, after, limit),
        }
    }

    /// The first number that is not older than `since`, and one more than was given when all are. Numbers and times rise
    /// together, so halving finds it without a look at every row.
    pub fn first_since(&self, journal: &Journal, since: Timestamp) -> Result<u64, JournalError> {
        let first_above = |n: u64| -> Result<Option<Row>, JournalError> { Ok(self.rows(journal, n, 1)?.pop()) };
        let (mut old, mut new) = (0, self.given + 1);
        while old + 1 < new {
            let middle = old + (new - old) / 2;
            // What is not there any more was older than anything that is.
            if first_above(middle - 1)?.is_some_and(|row| row.at >= since) { new = middle } else { old = middle }
        }
        Ok(first_above(new - 1)?.map_or(self.given + 1, |row| self.number(&row)))
    }
}

/// The JSON of an entry with its id at the end.
pub(super) fn with_id(entry: &str, id: EntryNumber) -> String {
    match entry.trim_end().strip_suffix('}') {
        Some(open) => {
            let comma = if open.trim_end().ends_with('{') { "" } else { "," };
            format!("{open}{comma}\"stream_id\":\"{id}\"}}")
        }
        None => entry.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_last_field() {
        let id = EntryNumber { epoch: 7, n: 3 };
        assert_eq!(with_id(r#"{"a":{"b":1}}"#, id), r#"{"a":{"b":1},"stream_id":"7-3"}"#);
        assert_eq!(with_id("{ } ", id), r#"{ "stream_id":"7-3"}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&with_id("{}", id)).is_ok());
    }
}
