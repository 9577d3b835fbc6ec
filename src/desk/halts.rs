//! Halts: kept in a file, so that a restart does not lift them, and put before every gate.
//!
//! The file is written before the halt is answered, and a halt is in force before it is written: a disk that fails stops
//! nobody from stopping. Must not know how commands arrive.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;

use super::answer::{Answer, CanceledView, Verdict};
use super::seat::Seat;
use crate::contract::{HaltWord, Scope};
use crate::events::OrderKey;
use crate::exchanges::{BrokerError, CancelOutcome};
use crate::model::Timestamp;
use crate::risk::{HaltBook, HaltMode, HaltScope};
use crate::runtime::files;

/// How long a halt waits for orders that are on their way.
const PASSAGE: Duration = Duration::from_secs(3);
/// How the reason of a halt begins that the key in Redis has caused.
const SWITCH: &str = "broker:halt";
const MAX_REASON: usize = 200;
const HALT: &str = "halt";
const RESUME: &str = "resume";

/// What may stand under the kill switch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    reason: String,
    cancel_open: bool,
    reduce_only: bool,
}

/// The halts in force and where they are kept.
#[derive(Debug)]
pub struct HaltFile {
    path: PathBuf,
    book: Mutex<HaltBook>,
}

/// Why the halts of an earlier process cannot be known.
#[derive(Debug, thiserror::Error)]
#[error("the halts in {} cannot be read: {cause}; nothing may be traded on a guess: repair the file, or delete it to lift all halts", path.display())]
pub struct HaltFileError {
    path: PathBuf,
    cause: String,
}

impl HaltFile {
    /// Reads what an earlier process left.
    ///
    /// # Errors
    /// When there is a file that cannot be understood: a halt must not be lifted by accident.
    pub fn open(path: PathBuf) -> Result<HaltFile, HaltFileError> {
        let book = match std::fs::read_to_string(&path) {
            Ok(text) => HaltBook::from_json(&text).map_err(|error| HaltFileError { path: path.clone(), cause: error.to_string() })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HaltBook::default(),
            Err(error) => return Err(HaltFileError { path, cause: error.to_string() }),
        };
        for record in book.records() {
            log::warn!("still in force since {}: {} for {} ({})", record.since, record.mode.as_str(), record.scope, record.reason);
        }
        Ok(HaltFile { path, book: Mutex::new(book) })
    }

    pub fn restore(&self, seats: &[Arc<Seat>]) {
        let book = self.book.lock();
        seats.iter().for_each(|seat| seat.guarded().gate.adopt_halts(book.clone()));
    }

    /// The halts in force, in words.
    pub fn in_words(&self) -> Vec<String> {
        self.book.lock().records().map(|record| format!("{} for {}: {}", record.mode.as_str(), record.scope, record.reason)).collect()
    }

    pub fn halt(&self, seats: &[Arc<Seat>], seat: &Seat, scope: &Scope, word: HaltWord, reason: String, now: Timestamp) -> Answer {
        let mode = if word == HaltWord::ReduceOnly { HaltMode::ReduceOnly } else { HaltMode::Halted };
        let halt_scope = scope_of(scope, seat);
        log::warn!("{} for {halt_scope}: {reason}", mode.as_str());
        let kept = self.change(seats, |book| {
            book.set(halt_scope.clone(), mode, reason, now);
        });
        // What had passed the check before arrives before it is cancelled.
        for other in seats {
            if !other.wait_for_passage(PASSAGE) {
                log::warn!("an order to {} has been on its way for {PASSAGE:?} while everything is halted", other.of.broker);
            }
        }
        let canceled = if word == HaltWord::HaltAndCancel { cancel_open(seats, seat, scope) } else { Vec::new() };
        let canceled = (word == HaltWord::HaltAndCancel).then(|| canceled.iter().map(CanceledView::from).collect());
        let reason = kept.err().map(|cause| format!("in force, but not kept for a restart: {cause}"));
        Answer { canceled, reason, ..Answer::new(HALT, Verdict::Accepted) }
    }

    /// The kill switch in Redis: while the key exists, everything is halted. The text is the reason, or an object with
    /// `reason`, `cancel_open` and `reduce_only`.
    ///
    /// Returns whether it was thrown now, and cancels what is open.
    pub fn switch(&self, seats: &[Arc<Seat>], text: Option<&str>, now: Timestamp) -> bool {
        let thrown = self.book.lock().get(&HaltScope::All).is_some_and(|record| record.reason.starts_with(SWITCH));
        let Some(seat) = seats.first() else { return false };
        match text {
            Some(text) if !thrown => {
                let words: Words = serde_json::from_str(text).unwrap_or_else(|_| Words { reason: text.to_owned(), ..Words::default() });
                let word = match words {
                    Words { reduce_only: true, .. } => HaltWord::ReduceOnly,
                    Words { cancel_open: true, .. } => HaltWord::HaltAndCancel,
                    _ => HaltWord::Halt,
                };
                let reason: String = words.reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
                self.halt(seats, seat, &Scope::All, word, format!("{SWITCH} {reason}"), now);
                return word == HaltWord::HaltAndCancel;
            }
            None if thrown => drop(self.resume(seats, seat, &Scope::All)),
            _ => {}
        }
        false
    }

    pub fn resume(&self, seats: &[Arc<Seat>], seat: &Seat, scope: &Scope) -> Answer {
        let scope = scope_of(scope, seat);
        let mut lifted = None;
        let kept = self.change(seats, |book| lifted = book.resume(&scope));
        if lifted.is_none() {
            let others = self.in_words();
            let others = if others.is_empty() { "nothing is halted".to_owned() } else { format!("in force: {}", others.join("; ")) };
            return Answer::denied(RESUME, format!("no halt for {scope} is in force; {others}"));
        }
        log::warn!("resumed: {scope}");
        let reason = kept.err().map(|cause| format!("lifted, but a restart will bring it back: {cause}"));
        Answer { reason, ..Answer::new(RESUME, Verdict::Accepted) }
    }

    fn change(&self, seats: &[Arc<Seat>], change: impl FnOnce(&mut HaltBook)) -> Result<(), String> {
        let mut book = self.book.lock();
        change(&mut book);
        seats.iter().for_each(|seat| seat.guarded().gate.adopt_halts(book.clone()));
        // Under the lock, so that of two changes the later one is the one that is kept.
        files::replace(&self.path, book.to_json().as_bytes()).map_err(|error| {
            log::error!("the halts cannot be kept in {}: {error}", self.path.display());
            error.to_string()
        })
    }
}

fn scope_of(scope: &Scope, seat: &Seat) -> HaltScope {
    match scope {
        Scope::All => HaltScope::All,
        Scope::Broker => HaltScope::Broker(seat.of.broker.clone()),
        Scope::Account => HaltScope::Account(seat.of.clone()),
        Scope::Bot(bot) => HaltScope::Bot(bot.clone()),
    }
}

fn cancel_open(seats: &[Arc<Seat>], seat: &Seat, scope: &Scope) -> Vec<CancelOutcome> {
    let concerned = seats.iter().filter(|other| match scope {
        Scope::All | Scope::Bot(_) => true,
        Scope::Broker => other.of.broker == seat.of.broker,
        Scope::Account => other.of == seat.of,
    });
    let mut outcomes = Vec::new();
    for other in concerned {
        let canceled = match scope {
            Scope::Bot(bot) => cancel_of_bot(other, bot),
            _ => other.broker.cancel_all(None),
        };
        match canceled {
            Ok(canceled) => outcomes.extend(canceled),
            Err(error) => log::error!("open orders at {} are not cancelled: {error}", other.of.broker),
        }
    }
    outcomes
}

fn cancel_of_bot(seat: &Seat, bot: &str) -> Result<Vec<CancelOutcome>, BrokerError> {
    let open = seat.broker.open_orders()?;
    // By the gate: a leg or a replacement has a name of the venue's.
    let of_bot: Vec<_> = {
        let guarded = seat.guarded();
        open.into_iter().filter(|order| guarded.gate.bot_of_order(order) == Some(bot)).collect()
    };
    Ok(of_bot
        .into_iter()
        .map(|order| {
            let result = seat.broker.cancel(&OrderKey::Venue(order.id.clone()));
            CancelOutcome { order: order.id, client_order_id: order.request.client_order_id, result }
        })
        .collect())
}
