//! What the exchange did, kept for whoever has to prove something afterwards: every order that it accepted, every order
//! event that it produced, who was listening and when. Whether anybody heard of it plays no part.
//!
//! Pure: time is passed in. Must not know HTTP or who asks.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::sim::exchange::{Acceptance, Update};

/// Entries beyond this number are forgotten, oldest first, and the reader is told how many.
const KEPT: usize = 1_000_000;

#[derive(Debug)]
pub(super) struct History {
    begun: Instant,
    kept: usize,
    forgotten: u64,
    entries: VecDeque<Box<RawValue>>,
}

/// Some of the entries, from the first that was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// How many are kept no more; the number of the oldest that is kept is one higher.
    pub forgotten: u64,
    /// The number of the last entry that there is.
    pub last: u64,
    /// Since the exchange began.
    pub ms: f64,
    pub entries: Vec<Box<RawValue>>,
}

/// What the exchange says of one order event, without the other forty fields of its order.
#[derive(Deserialize)]
struct Told<'a> {
    event: &'a str,
    #[serde(default)]
    execution_id: Option<&'a str>,
    #[serde(borrow, default)]
    qty: Option<&'a RawValue>,
    #[serde(borrow, default)]
    price: Option<&'a RawValue>,
    #[serde(default)]
    timestamp: Option<&'a str>,
    #[serde(borrow)]
    order: ToldOrder<'a>,
}

#[derive(Deserialize)]
struct ToldOrder<'a> {
    id: &'a str,
    #[serde(default)]
    client_order_id: Option<&'a str>,
    #[serde(default)]
    filled_qty: Option<&'a str>,
    #[serde(default)]
    status: Option<&'a str>,
}

#[derive(Serialize)]
struct Entry<'a> {
    n: u64,
    ms: f64,
    kind: &'static str,
    account: &'a str,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What<'a> {
    Event {
        event: &'a str,
        order_id: &'a str,
        client_order_id: Option<&'a str>,
        execution_id: Option<&'a str>,
        qty: Option<&'a RawValue>,
        price: Option<&'a RawValue>,
        filled_qty: Option<&'a str>,
        status: Option<&'a str>,
        timestamp: Option<&'a str>,
    },
    Unreadable {
        text: &'a str,
    },
    Accepted {
        order_id: &'a str,
        client_order_id: &'a str,
        instead_of: Option<&'a str>,
    },
    Listener {
        connection: u64,
    },
}

impl Default for History {
    fn default() -> History {
        History::keeping(KEPT)
    }
}

impl History {
    fn keeping(kept: usize) -> History {
        History { begun: Instant::now(), kept, forgotten: 0, entries: VecDeque::new() }
    }

    /// An order event was produced.
    pub(super) fn produced(&mut self, update: &Update, now: Instant) {
        let what = match serde_json::from_str::<Told<'_>>(&update.data) {
            Ok(told) => What::Event {
                event: told.event,
                order_id: told.order.id,
                client_order_id: told.order.client_order_id,
                execution_id: told.execution_id,
                qty: told.qty,
                price: told.price,
                filled_qty: told.order.filled_qty,
                status: told.order.status,
                timestamp: told.timestamp,
            },
            Err(_) => What::Unreadable { text: &update.data },
        };
        self.write("event", &update.account, what, now);
    }

    /// An order was taken in.
    pub(super) fn accepted(&mut self, of: &Acceptance, now: Instant) {
        let what = What::Accepted {
            order_id: of.order.id.as_str(),
            client_order_id: of.order.request.client_order_id.as_str(),
            instead_of: of.instead_of.as_ref().map(|id| id.as_str()),
        };
        self.write("accepted", &of.account, what, now);
    }

    /// A connection begins or ends to listen to the updates of an account.
    pub(super) fn listens(&mut self, connection: u64, account: &str, on: bool, now: Instant) {
        self.write(if on { "listening" } else { "silent" }, account, What::Listener { connection }, now);
    }

    /// At most so many entries after the `n`th.
    pub(super) fn after(&self, n: u64, most: usize, now: Instant) -> Page {
        let skipped = usize::try_from(n.saturating_sub(self.forgotten)).unwrap_or(usize::MAX).min(self.entries.len());
        let entries = self.entries.range(skipped..).take(most).cloned().collect();
        Page { forgotten: self.forgotten, last: self.last(), ms: self.ms(now), entries }
    }

    fn last(&self) -> u64 {
        self.forgotten + self.entries.len() as u64
    }

    fn ms(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.begun).as_secs_f64() * 1_000.0
    }

    fn write(&mut self, kind: &'static str, account: &str, what: What<'_>, now: Instant) {
        let entry = Entry { n: self.last() + 1, ms: self.ms(now), kind, account, what };
        match serde_json::value::to_raw_value(&entry) {
            Ok(text) => self.entries.push_back(text),
            Err(error) => return log::error!("simulated exchange: an entry of the history cannot be written: {error}"),
        }
        if self.entries.len() > self.kept {
            self.entries.pop_front();
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn update(data: &str) -> Update {
        Update { account: "me".to_owned(), data: data.to_owned() }
    }

    fn entries(history: &History, after: u64, most: usize) -> Vec<Value> {
        history.after(after, most, Instant::now()).entries.iter().map(|entry| serde_json::from_str(entry.get()).unwrap()).collect()
    }

    #[test]
    fn events_are_kept_in_short() {
        let mut history = History::default();
        history.produced(&update(r#"{"event":"fill","execution_id":"e1","qty":"2","price":"1.5","order":{"id":"o1","client_order_id":"c1","filled_qty":"2","status":"filled","x":1}}"#), Instant::now());
        history.produced(&update("null"), Instant::now());
        history.listens(7, "me", true, Instant::now());
        let all = entries(&history, 0, 10);
        assert_eq!(
            (&all[0]["event"], &all[0]["execution_id"], &all[0]["qty"], &all[0]["filled_qty"]),
            (&json!("fill"), &json!("e1"), &json!("2"), &json!("2"))
        );
        assert_eq!(
            (&all[1]["kind"], &all[1]["text"], &all[2]["kind"], &all[2]["connection"]),
            (&json!("event"), &json!("null"), &json!("listening"), &json!(7))
        );
    }

    #[test]
    fn a_reader_goes_on_where_he_was_and_hears_what_is_kept_no_more() {
        let mut history = History::keeping(3);
        (1..=5).for_each(|n| history.listens(n, "me", true, Instant::now()));
        let numbers = |after, most| entries(&history, after, most).iter().map(|entry| entry["n"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!((numbers(0, 10), numbers(3, 1), numbers(4, 10), numbers(9, 10)), (vec![3, 4, 5], vec![4], vec![5], vec![]));
        let page = history.after(0, 1, Instant::now());
        assert_eq!((page.forgotten, page.last), (2, 5));
    }
}
