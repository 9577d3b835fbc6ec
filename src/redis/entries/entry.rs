//! One entry of a stream, and what its id says of its age.
//!
//! Must not know connections.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use ::redis::Value;

use crate::model::Timestamp;

/// The id that Redis gave an entry. Later entries have greater ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// By the clock of Redis.
    ms: u64,
    seq: u64,
}

/// No id of an entry: `milliseconds-number` is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no id of an entry: milliseconds-number is expected")]
pub struct EntryIdError;

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<EntryId, EntryIdError> {
        let (ms, seq) = text.split_once('-').ok_or(EntryIdError)?;
        Ok(EntryId { ms: ms.parse().map_err(|_| EntryIdError)?, seq: seq.parse().map_err(|_| EntryIdError)? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// One entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: EntryId,
    /// What the field holds; `None` for an entry without it.
    pub payload: Option<Vec<u8>>,
    /// When Redis took it, by our clock, and never later than now.
    pub taken: Timestamp,
    /// It may have been handed on before, by a process before us.
    pub again: bool,
    /// How often it was handed out, this time included: 1 for a first delivery.
    pub deliveries: u32,
}

/// An entry that was dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub id: EntryId,
    /// Kept for people to look at before it is acknowledged.
    pub bury: Option<Burial>,
}

/// Why an entry is put among the dead letters, and what it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burial {
    pub reason: String,
    pub payload: Vec<u8>,
}

impl From<EntryId> for Done {
    fn from(id: EntryId) -> Done {
        Done { id, bury: None }
    }
}

/// How the clock of Redis, by which ids are given, stands to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ServerClock {
    /// How far theirs is ahead.
    ahead_ns: i64,
    /// When that was learned, by our clock and by one that nobody sets.
    learned: Option<(Timestamp, Instant)>,
}

/// So far our clock may drift before it counts as set.
const SET_NS: i64 = 500_000_000;

impl ServerClock {
    /// From the answer of `TIME` (seconds and microseconds) and our time before and after it.
    pub(super) fn learn(before: Timestamp, answer: (i64, i64), after: Timestamp, at: Instant) -> ServerClock {
        let theirs = answer.0.saturating_mul(1_000_000_000).saturating_add(answer.1.saturating_mul(1_000));
        let half = (after.nanos().saturating_sub(before.nanos())).max(0) / 2;
        ServerClock { ahead_ns: theirs.saturating_sub(before.nanos().saturating_add(half)), learned: Some((after, at)) }
    }

    /// Our clock was set since: how theirs stands to it has to be learned again before an age is told by it.
    pub(super) fn was_set(self, now: Timestamp, at: Instant) -> bool {
        let Some((then, since)) = self.learned else { return false };
        let passed = i64::try_from(at.saturating_duration_since(since).as_nanos()).unwrap_or(i64::MAX);
        now.nanos().saturating_sub(then.nanos()).saturating_sub(passed).unsigned_abs() > SET_NS.unsigned_abs()
    }

    /// An id from the future is taken for new: its sender chose it, or a clock was set back.
    pub(super) fn taken(self, id: EntryId, now: Timestamp) -> Timestamp {
        let theirs = i64::try_from(id.ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        Timestamp::from_nanos(theirs.saturating_sub(self.ahead_ns).min(now.nanos()))
    }
}

/// An id, and what is under the field.
pub(super) type Read = (EntryId, Option<Vec<u8>>);

/// An entry that was handed out and not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: EntryId,
    pub(super) consumer: String,
    pub(super) deliveries: u32,
}

/// Reads the answer of the long form of `XPENDING`.
pub(super) fn pending_of(answer: Value) -> Vec<Pending> {
    let rows: Vec<(String, String, u64, u64)> = ::redis::from_redis_value(answer).unwrap_or_default();
    let read = rows
        .into_iter()
        .filter_map(|(id, consumer, _, count)| Some(Pending { id: id.parse().ok()?, consumer, deliveries: u32::try_from(count).unwrap_or(u32::MAX) }));
    read.collect()
}

/// What became of a claim for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimed {
    Entry(Read),
    /// Somebody removed it from the stream; Redis before 7.0 leaves it pending.
    Removed,
    /// Another one was faster, or it was acknowledged.
    Nothing,
}

/// Reads the answer of `XCLAIM` for one entry.
pub(super) fn claimed_of(answer: Value, field: &str) -> Claimed {
    match answer {
        Value::Array(mut entries) => match entries.pop() {
            None => Claimed::Nothing,
            Some(Value::Nil) => Claimed::Removed,
            Some(entry) => entry_of(entry, field).map_or(Claimed::Nothing, Claimed::Entry),
        },
        _ => Claimed::Nothing,
    }
}

/// Reads the answer of `XREADGROUP` for one stream.
pub(super) fn entries_of(answer: Value, field: &str) -> Vec<Read> {
    let streams: Vec<(String, Vec<Value>)> = ::redis::from_redis_value(answer).unwrap_or_default();
    streams.into_iter().flat_map(|(_, entries)| entries).filter_map(|entry| entry_of(entry, field)).collect()
}

/// An entry that was deleted meanwhile has an id and no fields.
fn entry_of(value: Value, field: &str) -> Option<Read> {
    let (id, fields): (String, Value) = ::redis::from_redis_value(value).ok()?;
    let fields: Vec<(Vec<u8>, Vec<u8>)> = ::redis::from_redis_value(fields).unwrap_or_default();
    let payload = fields.into_iter().find(|(name, _)| name == field.as_bytes()).map(|(_, value)| value);
    Some((id.parse().ok()?, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    #[test]
    fn the_clock_of_redis_may_be_off_by_any_amount() {
        let now = Timestamp::from_nanos(1_800_000_000 * 1_000_000_000);
        let id: EntryId = format!("{}-7", now.millis() - 5_000).parse().unwrap();
        assert_eq!(id.to_string(), "1799999995000-7");
        for off in [-HOUR_NS, 0, HOUR_NS] {
            let shifted = EntryId { ms: (now.nanos() + off).unsigned_abs() / 1_000_000 - 5_000, seq: 0 };
            let before = Timestamp::from_nanos(now.nanos() - 20_000_000);
            let theirs = (now.nanos() - 10_000_000 + off) / 1_000;
            let clock = ServerClock::learn(before, (theirs / 1_000_000, theirs % 1_000_000), now, Instant::now());
            assert_eq!(now.nanos() - clock.taken(shifted, now).nanos(), 5_000_000_000, "{off}");
        }
    }

    #[test]
    fn a_clock_that_was_set_since_is_noticed() {
        let (now, at) = (Timestamp::from_nanos(1_800_000_000 * 1_000_000_000), Instant::now());
        let clock = ServerClock::learn(now, (1_800_000_000, 0), now, at);
        let after = |wall_ms: i64, passed_ms: u64| {
            clock.was_set(Timestamp::from_nanos(now.nanos() + wall_ms * 1_000_000), at + std::time::Duration::from_millis(passed_ms))
        };
        assert!(!after(0, 0) && !after(10_000, 10_000) && !after(10_400, 10_000) && !after(9_600, 10_000));
        assert!(after(310_000, 10_000) && after(-290_000, 10_000) && after(0, 60_000), "set forward, back, or the machine slept");
        assert!(!ServerClock::default().was_set(now, at), "what was never learned needs no other lesson");
    }

    #[test]
    fn an_id_from_the_future_is_new() {
        let now = Timestamp::from_nanos(1_800_000_000 * 1_000_000_000);
        for text in ["1800000100000-0", "18446744073709551615-18446744073709551615"] {
            assert_eq!(ServerClock::default().taken(text.parse().unwrap(), now), now, "{text}");
        }
        assert_eq!("1-x".parse::<EntryId>(), Err(EntryIdError));
    }
}
