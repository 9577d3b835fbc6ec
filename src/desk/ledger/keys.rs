//! By what a fact is known again, whichever way it comes a second time.
//!
//! | key | of what |
//! |---|---|
//! | `x:` | an execution id of the venue |
//! | `rc:` | what an order had filled in all after an execution that a report showed |
//! | `s:` | a step without an execution id: order, event, filled, time |
//! | `t:` | a step that a report showed |
//! | `r:` | the same: the venue's own word for it may still come, once |
//! | `e:` | what was reckoned |
//! | `a:` | an answer of the desk |
//! | `p:` | no fact but a mark: a report showed executions of this order |
//! | `g:` | no fact but a mark: an execution of this order was lost on its way |
//!
//! Must not know the journal.

use crate::events::{OrderEvent, OrderUpdate, Source};
use crate::journal::Known;
use crate::model::OrderChange;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Keys {
    /// Any of these says that it is no news.
    pub known_by: Vec<String>,
    /// What it is known by from now on.
    pub kept: Vec<String>,
    /// This says so too, but only once.
    pub once: Option<String>,
}

impl Keys {
    pub fn of(update: &OrderUpdate, known: Option<&Known>, estimated: bool) -> Keys {
        let order = &update.order;
        if update.source == Source::Desk {
            let answer = format!("a:{}:{}", order.request.client_order_id, update.change.as_str());
            let mut kept = vec![answer.clone()];
            if update.change == OrderChange::Accepted && order.status.is_open() {
                kept.push(of_step_in_report(update, known, order.status.as_str()));
            }
            return Keys { known_by: vec![answer], kept, once: None };
        }
        let report = update.source == Source::Report;
        let generation = known.map_or(0, |known| known.generation);
        let filled = order.filled.normalize();
        let mut keys = Keys::default();
        if let Some(id) = &update.execution_id {
            keys.both(of_execution(id.as_str()));
        }
        if estimated {
            // By its own name alone: where among the others it belongs nobody knows.
            keys.kept.push(format!("e:{}:{generation}", order.id));
            keys.kept.push(of_shown(order.id.as_str(), generation));
            return keys;
        }
        if update.fill.is_some() && !matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect) {
            let shown = format!("rc:{}:{generation}:{filled}", order.id);
            if report {
                // Whether it is among those that were told was seen by what they come to.
                keys.kept.push(shown);
                keys.kept.push(of_shown(order.id.as_str(), generation));
                return keys;
            }
            // Two executions that the venue told are two, whatever it says was filled in all.
            keys.known_by.push(shown);
            if known.is_some_and(|known| filled <= known.estimated) {
                keys.known_by.push(format!("e:{}:{generation}", order.id));
            }
            return keys;
        }
        if report {
            keys.both(format!("t:{}:{}:{}", order.id, update.change.as_str(), order.times.updated.nanos()));
            keys.kept.push(of_step_in_report(update, known, update.change.as_str()));
            return keys;
        }
        if update.execution_id.is_none() {
            let word = update.words.as_ref().map_or(update.change.as_str(), |words| &words.event);
            keys.both(format!("s:{}:{word}:{filled}:{}", order.id, order.times.updated.nanos()));
        }
        keys.once = Some(of_step_in_report(update, known, update.change.as_str()));
        keys
    }

    fn both(&mut self, key: String) {
        self.known_by.push(key.clone());
        self.kept.push(key);
    }
}

/// A step that was shown is one that the venue may tell of as well: the same word, about what was filled by then.
fn of_step_in_report(update: &OrderUpdate, known: Option<&Known>, word: &str) -> String {
    let id = &update.order.id;
    if matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect) {
        // It begins a new count itself.
        return format!("r:{id}:{word}:{}", update.order.filled.normalize());
    }
    let generation = known.map_or(0, |known| known.generation);
    format!("r:{id}:{generation}:{word}")
}

pub(super) fn of_shown(order_id: &str, generation: u64) -> String {
    format!("p:{order_id}:{generation}")
}

pub(super) const GAP: &str = "g:";

pub(super) fn of_gap(order_id: &str) -> String {
    format!("{GAP}{order_id}")
}

pub(super) fn of_execution(id: &str) -> String {
    format!("x:{id}")
}

/// Of words that could not be read to the end: their execution id, or all they say.
pub(super) fn of_words(words: &OrderEvent) -> String {
    if let Some(id) = &words.execution_id {
        return of_execution(id);
    }
    let said = format!("{}|{}|{}", words.event, words.timestamp.as_deref().unwrap_or_default(), words.order_json);
    let digest = ring::digest::digest(&ring::digest::SHA256, said.as_bytes());
    let short: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("h:{short}")
}
