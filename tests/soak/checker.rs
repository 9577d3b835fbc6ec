//! Compares what the exchange did with what the bots were told, and names every difference.
//!
//! Pure. Must not know sockets, Redis or how the two histories were collected.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rust_decimal::Decimal;
use serde_json::Value;

/// After these nothing more happens to an order, save that an execution is taken back or corrected.
const TERMINAL: [&str; 5] = ["fill", "canceled", "expired", "rejected", "replaced"];
/// What happens to an order once at most, whether or not the venue gives it an id.
const ONCE: [&str; 7] = ["new", "pending_new", "fill", "canceled", "expired", "rejected", "replaced"];
const FILLS: [&str; 2] = ["fill", "partial_fill"];
/// What the venue says of an execution that it has told before.
const AMENDMENTS: [&str; 2] = ["trade_bust", "trade_correct"];

/// An order event that the exchange produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    pub n: u64,
    pub event: String,
    pub order: String,
    pub execution: Option<String>,
}

/// An order that the exchange took in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub order: String,
    pub client: String,
}

/// When a connection began or ended to listen, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ear {
    pub ms: f64,
    pub connection: u64,
    pub on: bool,
}

/// All that the exchange says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    pub produced: Vec<Produced>,
    pub accepted: Vec<Accepted>,
    pub ears: Vec<Ear>,
    /// When it was asked last.
    pub ms: f64,
}

/// `{epoch}-{n}`.
pub type StreamId = (u64, u64);

/// An entry of the stream as a reader has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub id: StreamId,
    pub text: String,
    pub said: Said,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Order {
        event: String,
        order: String,
        client: String,
        execution: Option<String>,
        filled: Decimal,
        /// Told by the venue after something newer: the state of the order did not go back.
        late: bool,
        /// The desk's answer to a command.
        answer: bool,
    },
    Reply {
        action: String,
        client: String,
        result: String,
    },
    /// Nothing that a bot understands.
    Unreadable,
}

/// Every difference, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub lost: Vec<String>,
    pub duplicated: Vec<String>,
    pub disordered: Vec<String>,
    /// Fills that never were.
    pub invented: Vec<String>,
    /// Ids with gaps or of several epochs, entries that changed or cannot be read.
    pub broken: Vec<String>,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        *self == Verdict::default()
    }
}

impl History {
    /// Takes in a page of `/admin/history`; returns the number of its last entry.
    pub fn read(&mut self, page: &Value) -> u64 {
        assert_eq!(page["forgotten"], 0, "the exchange has forgotten a part of its history");
        self.ms = page["ms"].as_f64().unwrap_or(self.ms);
        let mut last = 0;
        for entry in page["entries"].as_array().into_iter().flatten() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            last = entry["n"].as_u64().unwrap_or(last);
            match entry["kind"].as_str() {
                Some("event") if entry["event"].is_string() => self.produced.push(Produced {
                    n: last,
                    event: text("event"),
                    order: text("order_id"),
                    execution: entry["execution_id"].as_str().map(str::to_owned),
                }),
                Some("accepted") => self.accepted.push(Accepted { order: text("order_id"), client: text("client_order_id") }),
                Some(kind @ ("listening" | "silent")) => self.ears.push(Ear {
                    ms: entry["ms"].as_f64().unwrap_or_default(),
                    connection: entry["connection"].as_u64().unwrap_or_default(),
                    on: kind == "listening",
                }),
                _ => {}
            }
        }
        last
    }

    /// The share of the time since somebody listened first that anybody did.
    pub fn connected_share(&self) -> f64 {
        let Some(first) = self.ears.iter().find(|ear| ear.on) else { return 0.0 };
        let (mut open, mut since, mut heard) = (BTreeSet::new(), first.ms, 0.0);
        for ear in &self.ears {
            if !open.is_empty() {
                heard += ear.ms - since;
            }
            since = ear.ms;
            if ear.on {
                open.insert(ear.connection)
            } else {
                open.remove(&ear.connection)
            };
        }
        if !open.is_empty() {
            heard += self.ms - since;
        }
        heard / (self.ms - first.ms).max(f64::MIN_POSITIVE)
    }

    /// Orders by this prefix of their client ids that were taken in other than once, with how often.
    pub fn accepted_other_than_once<'a>(&self, wanted: impl Iterator<Item = &'a str>) -> Vec<(String, usize)> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        self.accepted.iter().for_each(|accepted| *counts.entry(&accepted.client).or_default() += 1);
        wanted.map(|id| (id.to_owned(), counts.get(id).copied().unwrap_or(0))).filter(|(_, count)| *count != 1).collect()
    }
}

impl Entry {
    pub fn read(id: &str, text: &str) -> Entry {
        let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
        let id = id.split_once('-').map_or((u64::MAX, u64::MAX), |(epoch, n)| (number(epoch), number(n)));
        Entry { id, text: text.to_owned(), said: said(text).unwrap_or(Said::Unreadable) }
    }

    /// Whether it is the last word on a command of this name.
    pub fn answers(&self) -> Option<&str> {
        let is_final = |word: &str| matches!(word, "accepted" | "rejected" | "denied" | "never_arrived" | "id_conflict" | "expired");
        match &self.said {
            Said::Order { client, event, answer: true, .. } => is_final(event).then_some(client),
            Said::Reply { client, result, .. } => is_final(result).then_some(client),
            // What the venue says of an order answers the command that it came of.
            Said::Order { client, .. } => Some(client),
            Said::Unreadable => None,
        }
    }
}

impl Said {
    /// The last word on a command that owns no order, as `action client_order_id`, and what it is.
    pub fn reply(&self) -> Option<(String, &str)> {
        match self {
            Said::Reply { action, client, result } if result != "unknown" => Some((format!("{action} {client}"), result)),
            _ => None,
        }
    }
}

fn said(text: &str) -> Option<Said> {
    let body: Value = serde_json::from_str(text).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match body["type"].as_str()? {
        "order" => {
            let order = &body["order_data"];
            Some(Said::Order {
                event: body["event"].as_str()?.to_owned(),
                order: text(&order["id"]),
                client: text(&order["client_order_id"]),
                execution: body["execution_id"].as_str().map(bare).map(str::to_owned),
                filled: order["filled_qty"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default(),
                late: body["late"] == true,
                answer: body["answer"] == true,
            })
        }
        "order_reply" => Some(Said::Reply { action: text(&body["action"]), client: text(&body["client_order_id"]), result: text(&body["result"]) }),
        _ => None,
    }
}

/// The ledger of the venue writes the time before an execution's id.
fn bare(execution: &str) -> &str {
    execution.rsplit_once("::").map_or(execution, |(_, id)| id)
}

/// `stream` is all that Redis has at the end, `readers` what each bot was told.
pub fn check(history: &History, stream: &[Entry], readers: &[Vec<Entry>]) -> Verdict {
    let mut verdict = Verdict::default();
    ids(stream, "the stream", &mut verdict);
    let known: BTreeMap<StreamId, &str> = stream.iter().map(|entry| (entry.id, entry.text.as_str())).collect();
    for (number, reader) in readers.iter().enumerate() {
        ids(reader, &format!("reader {number}"), &mut verdict);
        for entry in reader {
            if known.get(&entry.id) != Some(&entry.text.as_str()) {
                verdict.broken.push(format!("reader {number} was told {:?} otherwise than it stands in the stream: {}", entry.id, entry.text));
            }
        }
        if reader.len() < stream.len() {
            verdict.lost.push(format!("reader {number} was told {} of {} entries", reader.len(), stream.len()));
        }
    }
    executions(history, stream, &mut verdict);
    orders(history, stream, &mut verdict);
    verdict
}

/// One epoch, numbers from 1 without a gap, none twice.
fn ids(entries: &[Entry], whose: &str, verdict: &mut Verdict) {
    let mut last: Option<StreamId> = None;
    for entry in entries {
        let wanted = last.map_or((entry.id.0, 1), |(epoch, n)| (epoch, n + 1));
        if entry.id.0 != wanted.0 {
            verdict.broken.push(format!("{whose} has a second epoch at {:?}", entry.id));
        } else if last.is_some_and(|last| entry.id <= last) {
            verdict.duplicated.push(format!("{whose} has {:?} again", entry.id));
        } else if entry.id.1 != wanted.1 {
            verdict.lost.push(format!("{whose} has {:?} where {} should be", entry.id, wanted.1));
        }
        if entry.said == Said::Unreadable {
            verdict.broken.push(format!("{whose}: nobody understands {}", entry.text));
        }
        last = Some(entry.id);
    }
}

/// Every execution of the exchange once, and no other.
fn executions(history: &History, stream: &[Entry], verdict: &mut Verdict) {
    let mut told: HashMap<(&str, &str), usize> = HashMap::new();
    for entry in stream {
        if let Said::Order { event, execution: Some(id), answer: false, .. } = &entry.said {
            *told.entry((event, id)).or_default() += 1;
        }
    }
    verdict.duplicated.extend(told.iter().filter(|(_, count)| **count > 1).map(|((event, id), count)| format!("{event} {id} came {count} times")));
    let mut real: BTreeSet<&str> = BTreeSet::new();
    for produced in &history.produced {
        let Some(id) = produced.execution.as_deref() else { continue };
        let counted = FILLS.contains(&produced.event.as_str()) || AMENDMENTS.contains(&produced.event.as_str());
        real.insert(id);
        if counted && !told.contains_key(&(produced.event.as_str(), id)) {
            verdict.lost.push(format!("{} {id} of order {} never came", produced.event, produced.order));
        }
    }
    for entry in stream {
        let Said::Order { event, execution, order, answer: false, .. } = &entry.said else { continue };
        if FILLS.contains(&event.as_str()) && !execution.as_deref().is_some_and(|id| real.contains(id)) {
            verdict.invented.push(format!("{event} {execution:?} of order {order}, which the exchange does not know"));
        }
    }
}

/// Each order is told of, ends once, and only goes forward.
fn orders(history: &History, stream: &[Entry], verdict: &mut Verdict) {
    let mut produced: HashMap<&str, Vec<&Produced>> = HashMap::new();
    history.produced.iter().for_each(|event| produced.entry(&event.order).or_default().push(event));
    let mut told: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in stream {
        if let Said::Order { order, answer: false, .. } = &entry.said {
            told.entry(order).or_default().push(entry);
        }
    }
    for (order, events) in &produced {
        let entries = told.get(order).map_or(&[][..], Vec::as_slice);
        if entries.is_empty() {
            verdict.lost.push(format!("order {order} was never told of"));
            continue;
        }
        let count = |word: &str| entries.iter().filter(|entry| matches!(&entry.said, Said::Order { event, .. } if event == word)).count();
        for word in ONCE {
            if count(word) > 1 {
                verdict.duplicated.push(format!("{word} of order {order} came {} times", count(word)));
            }
        }
        let ends: usize = TERMINAL.iter().map(|word| count(word)).sum();
        let has_ended = events.iter().any(|event| TERMINAL.contains(&event.event.as_str()));
        match (has_ended, ends) {
            (true, 0) => verdict.lost.push(format!("the end of order {order} never came")),
            (false, 1..) => verdict.invented.push(format!("order {order} ended for the bots alone")),
            _ => {}
        }
        forward(order, events, entries, verdict);
    }
}

fn forward(order: &str, events: &[&Produced], entries: &[&Entry], verdict: &mut Verdict) {
    let place = |word: &str, id: &str| events.iter().find(|event| event.event == word && event.execution.as_deref() == Some(id)).map(|event| event.n);
    let (mut most, mut ended, mut latest) = (Decimal::ZERO, false, 0);
    for entry in entries {
        let Said::Order { event, filled, late: false, execution, .. } = &entry.said else { continue };
        let amends = AMENDMENTS.contains(&event.as_str());
        if ended && !amends {
            verdict.disordered.push(format!("{event} of order {order} came after its end and is not marked late"));
        }
        if *filled < most && !amends {
            verdict.disordered.push(format!("order {order} went from {most} filled back to {filled} with {event}"));
        }
        most = *filled;
        ended |= TERMINAL.contains(&event.as_str());
        if let Some(n) = execution.as_deref().and_then(|id| place(event, id)) {
            if n < latest {
                verdict.disordered.push(format!("{event} of order {order} came after what happened later"));
            }
            latest = latest.max(n);
        }
    }
}

#[cfg(test)]
#[path = "checker_tests.rs"]
mod tests;
