//! What becomes of a trade update on its way to the stream.

use std::time::Instant;

use serde_json::{Value, json};

use super::state::{Faults, Target};
use super::{Fault, Measure};
use crate::model::Timestamp;

/// How often a duplicated update comes.
const COPIES: usize = 3;
const NULL: &str = "null";

impl Faults {
    /// The `data` texts that the account's listeners are told instead of this one, in order.
    pub(in crate::sim) fn told(&mut self, account: &str, data: &str, target: &Target<'_>, now: Instant) -> Vec<String> {
        let mut strikes = |fault| self.strike(fault, target, now).is_some();
        if strikes(Fault::LoseTradeUpdate) {
            return Vec::new();
        }
        let edits = [Fault::UnknownStatus, Fault::UnknownEvent, Fault::UnknownField].map(|fault| strikes(fault).then_some(fault));
        let null = strikes(Fault::NullTradeUpdate);
        let copies = if strikes(Fault::DuplicateTradeUpdate) { COPIES } else { 1 };
        let waiting = self.held.iter().position(|(of, _)| of == account);
        // One at a time is held back: the next one of its account calls it forth.
        let holds = waiting.is_none() && self.strike(Fault::ReorderTradeUpdates, target, now).is_some();
        let mut text = edits.into_iter().flatten().fold(data.to_owned(), |text, fault| edited(text, |value| estrange(value, fault)));
        if let Some(Measure::Skew(nanos)) = self.measure(Fault::ClockSkew, target, now) {
            text = edited(text, |value| skew_field(value, "timestamp", nanos));
        }
        if holds {
            self.held.push((account.to_owned(), text));
            self.note();
            return Vec::new();
        }
        let mut told = Vec::new();
        if null {
            told.push(NULL.to_owned());
        }
        told.extend(std::iter::repeat_n(text, copies));
        if let Some(at) = waiting {
            told.push(self.held.remove(at).1);
            self.note();
        }
        told
    }

    /// A time that the exchange tells, as it is told.
    pub(in crate::sim) fn skewed(&self, at: Timestamp, target: &Target<'_>, now: Instant) -> Timestamp {
        match self.measure(Fault::ClockSkew, target, now) {
            Some(Measure::Skew(nanos)) => Timestamp::from_nanos(at.nanos().saturating_add(nanos)),
            _ => at,
        }
    }
}

/// Shifts a time in a document.
fn skew_field(value: &mut Value, field: &str, nanos: i64) {
    let shifted = value[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    if let Some(at) = shifted {
        value[field] = Timestamp::from_nanos(at.nanos().saturating_add(nanos)).to_string().into();
    }
}

fn estrange(value: &mut Value, fault: Fault) {
    match fault {
        Fault::UnknownStatus => value["order"]["status"] = "entangled".into(),
        Fault::UnknownEvent => value["event"] = "teleported".into(),
        _ => {
            value["zz_unknown"] = json!({"nested": [1, null, "two"]});
            value["order"]["zz_unknown"] = json!(42);
        }
    }
}

/// The text after a change; one that is no object stays as it is.
fn edited(text: String, change: impl FnOnce(&mut Value)) -> String {
    match serde_json::from_str::<Value>(&text) {
        Ok(mut value) if value.is_object() && (value["order"].is_object() || value["order"].is_null()) => {
            change(&mut value);
            value.to_string()
        }
        _ => text,
    }
}
