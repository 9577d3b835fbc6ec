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
use super::seats::{Place, Seats};
use crate::contract::HaltWord;
use crate::events::OrderKey;
use crate::exchanges::{BrokerError, CancelOutcome};
use crate::model::Timestamp;
use crate::risk::{HaltBook, HaltMode, HaltScope};
use crate::runtime::{StopToken, Waited, files};

/// How long a halt waits for orders that are on their way.
const PASSAGE: Duration = Duration::from_secs(3);
/// How soon a venue is asked again to cancel what a halt wants cancelled; doubled each time up to the cap.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);
const CANCEL_CAP: Duration = Duration::from_secs(16);
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
    /// Held while the file is written, so that of two changes the later one is the one that is kept.
    writing: Mutex<()>,
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
        Ok(HaltFile { path, book: Mutex::new(book), writing: Mutex::default() })
    }

    pub fn restore(&self, seats: &Seats) {
        let book = self.book.lock();
        seats.seated().iter().for_each(|seat| seat.guarded().gate.adopt_halts(book.clone()));
    }

    /// The seat takes its place under the halts in force; none comes in between. Gives those that want cancelled what is open
    /// there, or `None` when nobody awaits it.
    pub fn admit(&self, seats: &Seats, seat: &Arc<Seat>) -> Option<Vec<HaltScope>> {
        let book = self.book.lock();
        seat.guarded().gate.adopt_halts(book.clone());
        seats.join(seat)
    }

    /// Cancels at a seat that has come late what is open there, until it is done, the halts are over, or we stop.
    pub fn cancel_owed(&self, seat: &Seat, mut owed: Vec<HaltScope>, token: &StopToken) {
        let mut patience = CANCEL_AGAIN;
        loop {
            // Which orders are a bot's is known once the account is counted.
            let can_tell = |scope: &HaltScope| !matches!(scope, HaltScope::Bot(_)) || seat.is_counted();
            owed.retain(|scope| self.book.lock().get(scope).is_some() && !(can_tell(scope) && cancel_at(seat, scope).is_ok()));
            if owed.is_empty() || token.wait(patience) == Waited::Stopped {
                return;
            }
            patience = (patience * 2).min(CANCEL_CAP);
        }
    }

    /// The halts in force, in words.
    pub fn in_words(&self) -> Vec<String> {
        self.book.lock().records().map(|record| format!("{} for {}: {}", record.mode.as_str(), record.scope, record.reason)).collect()
    }

    pub fn halt(&self, seats: &Seats, scope: &HaltScope, word: HaltWord, reason: String, now: Timestamp) -> Answer {
        let mode = if word == HaltWord::ReduceOnly { HaltMode::ReduceOnly } else { HaltMode::Halted };
        log::warn!("{} for {scope}: {reason}", mode.as_str());
        let kept = self.change(seats, |book| {
            book.set(scope.clone(), mode, reason, now);
        });
        // Who comes after this is owed it.
        let owed = if word == HaltWord::HaltAndCancel { seats.owe(scope) } else { Vec::new() };
        let seated = seats.seated();
        // What had passed the check before arrives before it is cancelled.
        for other in seated.iter() {
            if !other.wait_for_passage(PASSAGE) {
                log::warn!("an order to {} has been on its way for {PASSAGE:?} while everything is halted", other.of.broker);
            }
        }
        let concerned = || seated.iter().filter(|other| concerns(scope, other));
        let (canceled, left) = (word == HaltWord::HaltAndCancel).then(|| cancel_everywhere(concerned(), scope)).unzip();
        let kept = kept.err().map(|cause| format!("in force, but not kept for a restart: {cause}"));
        let reasons: Vec<String> = kept.into_iter().chain(left.unwrap_or_default()).chain(later(&owed)).collect();
        Answer { canceled, reason: (!reasons.is_empty()).then(|| reasons.join("; ")), ..Answer::new(HALT, Verdict::Accepted) }
    }

    /// Halts an account of which nobody knows yet which it is: the whole broker is halted, and that account alone is cancelled.
    pub fn halt_awaited(&self, seats: &Seats, place: &Place, word: HaltWord, reason: String, now: Timestamp) -> Answer {
        let scope = HaltScope::Broker(place.exchange.clone());
        let cancels = word == HaltWord::HaltAndCancel;
        let answer = self.halt(seats, &scope, if cancels { HaltWord::Halt } else { word }, reason, now);
        let owed = if cancels { seats.owe_at(&scope, place) } else { Vec::new() };
        // It may have come meanwhile.
        let come = seats.find(Some(&place.exchange), Some(&place.account_name)).ok().filter(|_| cancels);
        let (canceled, left) = come.map(|seat| cancel_everywhere([&seat], &scope)).unzip();
        let instead = format!("it is not known which account {} is: {scope} is halted in its place", place.account_name);
        let reasons: Vec<String> = [instead].into_iter().chain(left.unwrap_or_default()).chain(later(&owed)).chain(answer.reason).collect();
        Answer { canceled, reason: Some(reasons.join("; ")), ..answer }
    }

    /// The kill switch in Redis: while the key exists, everything is halted. The text is the reason, or an object with
    /// `reason`, `cancel_open` and `reduce_only`.
    ///
    /// Returns whether it was thrown now, and cancels what is open.
    pub fn switch(&self, seats: &Seats, text: Option<&str>, now: Timestamp) -> bool {
        let thrown = self.book.lock().get(&HaltScope::All).is_some_and(|record| record.reason.starts_with(SWITCH));
        match text {
            Some(text) if !thrown => {
                let words: Words = serde_json::from_str(text).unwrap_or_else(|_| Words { reason: text.to_owned(), ..Words::default() });
                let word = match words {
                    Words { reduce_only: true, .. } => HaltWord::ReduceOnly,
                    Words { cancel_open: true, .. } => HaltWord::HaltAndCancel,
                    _ => HaltWord::Halt,
                };
                let reason: String = words.reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
                self.halt(seats, &HaltScope::All, word, format!("{SWITCH} {reason}"), now);
                return word == HaltWord::HaltAndCancel;
            }
            None if thrown => drop(self.resume(seats, &HaltScope::All)),
            _ => {}
        }
        false
    }

    pub fn resume(&self, seats: &Seats, scope: &HaltScope) -> Answer {
        let mut lifted = None;
        let kept = self.change(seats, |book| lifted = book.resume(scope));
        if lifted.is_none() {
            let others = self.in_words();
            let others = if others.is_empty() { "nothing is halted".to_owned() } else { format!("in force: {}", others.join("; ")) };
            return Answer::denied(RESUME, format!("no halt for {scope} is in force; {others}"));
        }
        seats.forgive(scope);
        log::warn!("resumed: {scope}");
        let reason = kept.err().map(|cause| format!("lifted, but a restart will bring it back: {cause}"));
        Answer { reason, ..Answer::new(RESUME, Verdict::Accepted) }
    }

    fn change(&self, seats: &Seats, change: impl FnOnce(&mut HaltBook)) -> Result<(), String> {
        let _writing = self.writing.lock();
        let json = {
            let mut book = self.book.lock();
            change(&mut book);
            seats.seated().iter().for_each(|seat| seat.guarded().gate.adopt_halts(book.clone()));
            book.to_json()
        };
        files::replace(&self.path, json.as_bytes()).map_err(|error| {
            log::error!("the halts cannot be kept in {}: {error}", self.path.display());
            error.to_string()
        })
    }
}

fn concerns(scope: &HaltScope, seat: &Seat) -> bool {
    match scope {
        HaltScope::All | HaltScope::Bot(_) => true,
        HaltScope::Broker(broker) => seat.of.broker == *broker,
        HaltScope::Account(account) => seat.of == *account,
    }
}

/// What becomes of what is open where nobody can be asked yet.
fn later(owed: &[String]) -> Option<String> {
    (!owed.is_empty()).then(|| format!("what is open on {} is cancelled as soon as the venue says which account that is", owed.join(", ")))
}

/// Cancels what the halt is about; gives what became of it, and in words where that could not be done: who sent the halt has to
/// know what stays open.
fn cancel_everywhere<'a>(seats: impl IntoIterator<Item = &'a Arc<Seat>>, scope: &HaltScope) -> (Vec<CanceledView>, Vec<String>) {
    let (mut canceled, mut left) = (Vec::new(), Vec::new());
    for seat in seats {
        match cancel_at(seat, scope) {
            Ok(outcomes) => canceled.extend(outcomes.iter().map(CanceledView::from)),
            Err(cause) => left.push(cause),
        }
    }
    (canceled, left)
}

/// Cancels what is open at one seat and the halt is about; why not, when that could not be done.
fn cancel_at(seat: &Seat, scope: &HaltScope) -> Result<Vec<CancelOutcome>, String> {
    let canceled = match scope {
        HaltScope::Bot(bot) => cancel_of_bot(seat, bot),
        _ => seat.broker.cancel_all(None),
    };
    canceled.map_err(|error| format!("open orders at {} are not cancelled: {error}", seat.of.broker)).inspect_err(|cause| log::error!("{cause}"))
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
