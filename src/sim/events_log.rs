//! What happened to the orders of each account, kept for those who ask later: numbered, bounded, oldest forgotten first.
//!
//! Pure: time is passed in. Must not know HTTP or who listens.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::exchange::Update;
use crate::model::Timestamp;

/// Events kept of one account and kind.
const KEPT: usize = 10_000;
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID_LENGTH: usize = 26;

/// The two streams of server-sent events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum EventKind {
    Trades,
    Activities,
}

/// A number that sorts as a text does, and as time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ulid(u128);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub kind: EventKind,
    pub id: Ulid,
    pub at: Timestamp,
    /// The whole document, `event_id` and `at` in it.
    pub text: Arc<str>,
}

/// Where a reader begins or ends; both ends belong to what is between them, save the id to begin after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Time(Timestamp),
    Id(Ulid),
}

#[derive(Debug)]
pub(super) struct EventLog {
    logs: HashMap<(String, EventKind), VecDeque<Event>>,
    /// The last that each log has forgotten.
    forgotten: HashMap<(String, EventKind), Ulid>,
    last: u128,
    last_at: Timestamp,
    rng: fastrand::Rng,
}

impl Default for EventLog {
    fn default() -> EventLog {
        EventLog { logs: HashMap::new(), forgotten: HashMap::new(), last: 0, last_at: Timestamp::default(), rng: fastrand::Rng::with_seed(0x65_7665_6e74) }
    }
}

impl Ulid {
    pub(super) fn parse(text: &str) -> Option<Ulid> {
        let letter = |byte: u8| LETTERS.iter().position(|known| known.eq_ignore_ascii_case(&byte));
        let fits = text.len() == ID_LENGTH && text.as_bytes()[0] <= b'7';
        fits.then(|| text.bytes().try_fold(0_u128, |sum, byte| Some(sum << 5 | letter(byte)? as u128)).map(Ulid))?
    }
}

impl std::fmt::Display for Ulid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (0..ID_LENGTH).rev().try_for_each(|place| write!(f, "{}", LETTERS[(self.0 >> (place * 5)) as usize & 31] as char))
    }
}

impl Event {
    pub(super) fn is_past(&self, end: Mark) -> bool {
        match end {
            Mark::Time(time) => self.at > time,
            Mark::Id(id) => self.id > id,
        }
    }

    /// Nothing that comes after it is before the end.
    pub(super) fn reaches(&self, end: Mark) -> bool {
        self.is_past(end) || matches!(end, Mark::Id(id) if self.id == id)
    }

    fn is_before(&self, start: Mark) -> bool {
        match start {
            Mark::Time(time) => self.at < time,
            Mark::Id(id) => self.id <= id,
        }
    }
}

impl EventLog {
    /// Writes an update down; returns what the listeners of the account are to be told.
    pub(super) fn add(&mut self, update: &Update, now: Timestamp) -> Vec<Event> {
        let mut added = Vec::new();
        if let Some(rest) = update.data.trim_start().strip_prefix('{') {
            let (id, at) = self.next(now);
            let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
            let text = format!(r#"{{"event_id":"{id}","at":"{at}","account_id":"{}"{comma}{rest}"#, update.account);
            added.push(Event { kind: EventKind::Trades, id, at, text: text.into() });
        }
        if let Some(activity) = activity(update) {
            let (id, at) = self.next(now);
            let mut activity = activity;
            (activity["event_id"], activity["at"]) = (id.to_string().into(), at.to_string().into());
            added.push(Event { kind: EventKind::Activities, id, at, text: activity.to_string().into() });
        }
        for event in &added {
            let log = self.logs.entry((update.account.clone(), event.kind)).or_default();
            if log.len() >= KEPT
                && let Some(oldest) = log.pop_front()
            {
                self.forgotten.insert((update.account.clone(), event.kind), oldest.id);
            }
            log.push_back(event.clone());
        }
        added
    }

    /// Whether something that came after this id is kept no more.
    pub(super) fn has_forgotten_after(&self, account: &str, kind: EventKind, id: Ulid) -> bool {
        self.forgotten.get(&(account.to_owned(), kind)).is_some_and(|last| id < *last)
    }

    /// What is kept between two marks, oldest first.
    pub(super) fn between(&self, account: &str, kind: EventKind, start: Mark, end: Option<Mark>) -> Vec<Event> {
        let log = self.logs.get(&(account.to_owned(), kind));
        let from = log.into_iter().flatten().skip_while(|event| event.is_before(start));
        from.take_while(|event| end.is_none_or(|end| !event.is_past(end))).cloned().collect()
    }

    /// Ids and times rise strictly, whatever the clock does.
    fn next(&mut self, now: Timestamp) -> (Ulid, Timestamp) {
        self.last_at = if now > self.last_at { now } else { Timestamp::from_nanos(self.last_at.nanos() + 1) };
        let millis = u128::from((self.last_at.nanos() / 1_000_000).max(0).unsigned_abs());
        let fresh = (millis << 80) | (self.rng.u128(..) >> 49);
        self.last = fresh.max(self.last + 1);
        (Ulid(self.last), self.last_at)
    }
}

/// The account activity of an execution.
fn activity(update: &Update) -> Option<Value> {
    // Other events are many, and need not be read for this.
    if !["fill", "trade_"].iter().any(|part| update.data.contains(part)) {
        return None;
    }
    let data: Value = serde_json::from_str(&update.data).ok()?;
    let execution_type = match data["event"].as_str()? {
        "fill" | "partial_fill" => "fill",
        "trade_correct" => "trade_correct",
        "trade_bust" => "trade_bust",
        _ => return None,
    };
    let order = &data["order"];
    let whole = |field: &str| order[field].as_str().and_then(|text| text.parse::<rust_decimal::Decimal>().ok());
    let leaves = whole("qty").zip(whole("filled_qty")).map(|(all, done)| (all - done).normalize().to_string());
    Some(json!({
        "account_id": update.account, "activity_type": "FILL", "execution_type": execution_type, "type": data["event"],
        "order_id": order["id"], "symbol": order["symbol"], "side": order["side"], "order_status": order["status"],
        "price": data["price"], "qty": data["qty"], "cum_qty": order["filled_qty"], "leaves_qty": leaves,
        "ref_id": data["execution_id"], "transaction_time": data["timestamp"],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(n: u64) -> Update {
        Update { account: "me".to_owned(), data: format!(r#"{{"event":"new","n":{n}}}"#) }
    }

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanos(1_790_000_000_000_000_000 + nanos)
    }

    #[test]
    fn ids_rise_and_are_read_as_they_are_written() {
        let mut log = EventLog::default();
        let mut last = String::new();
        for n in 0..1_000 {
            let event = log.add(&update(n), at((n as i64 % 3) * 5)).remove(0);
            let text = event.id.to_string();
            assert_eq!((text.len(), Ulid::parse(&text), text > last), (ID_LENGTH, Some(event.id), true));
            last = text;
        }
        for bad in ["", "x", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAU0", "01ARZ3NDEKTSV4RRFFQ69G5FAÜ"] {
            assert_eq!(Ulid::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reader_resumes_after_an_id_and_at_a_time() {
        let mut log = EventLog::default();
        let events: Vec<Event> = (0..5).map(|n| log.add(&update(n), at(n as i64)).remove(0)).collect();
        let between = |start, end| log.between("me", EventKind::Trades, start, end);
        assert_eq!(between(Mark::Id(events[1].id), None), events[2..]);
        assert_eq!(between(Mark::Id(events[1].id), Some(Mark::Id(events[3].id))), events[2..4]);
        assert_eq!(between(Mark::Time(events[1].at), Some(Mark::Time(events[3].at))), events[1..4]);
        assert!(log.between("other", EventKind::Trades, Mark::Time(at(0)), None).is_empty());
        let document: Value = serde_json::from_str(&events[0].text).unwrap();
        assert_eq!((&document["event_id"], &document["n"]), (&json!(events[0].id.to_string()), &json!(0)));
    }

    #[test]
    fn only_the_latest_are_kept_and_fills_are_activities_too() {
        let mut log = EventLog::default();
        let first = log.add(&update(0), at(0))[0].id;
        (1..KEPT as u64 + 4).for_each(|n| drop(log.add(&update(n), at(n as i64))));
        let last_forgotten = log.between("me", EventKind::Trades, Mark::Id(first), None)[0].id;
        log.add(&update(KEPT as u64 + 4), at(KEPT as i64 + 4));
        let gap = |id| log.has_forgotten_after("me", EventKind::Trades, id);
        assert_eq!((gap(first), gap(last_forgotten), log.has_forgotten_after("me", EventKind::Activities, first)), (true, false, false));
        let kept = log.between("me", EventKind::Trades, Mark::Time(at(0)), None);
        assert_eq!((kept.len(), kept[0].text.contains("\"n\":5}")), (KEPT, true));
        let data = json!({"event":"partial_fill","execution_id":"e","price":"1","qty":"2","order":{"id":"o","qty":"5","filled_qty":"2.0"}}).to_string();
        let added = log.add(&Update { account: "me".to_owned(), data }, at(0));
        let activity: Value = serde_json::from_str(&added[1].text).unwrap();
        assert_eq!((&activity["leaves_qty"], &activity["ref_id"], &activity["execution_type"]), (&json!("3"), &json!("e"), &json!("fill")));
        assert!(log.add(&Update { account: "me".to_owned(), data: "{}".to_owned() }, at(0))[0].text.ends_with("\"account_id\":\"me\"}"));
    }
}
