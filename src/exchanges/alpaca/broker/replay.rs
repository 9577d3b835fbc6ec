//! What happened while nobody listened, as the venue tells it once more, piece by piece.
//!
//! Events of one moment are never cut apart, and the next piece begins a little before this one ends, for the venue promises no
//! order of what happens nearly at once: some is told twice, and whoever takes it knows it again. Not every host has the history;
//! where it cannot be had, lists tell the same in fewer words. Must not know what the updates are for.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::rest::{Ask, Urgency, Verb, encode};
use super::super::trading::{read_update, too_deep};
use super::{AlpacaBroker, LIST_WITHIN};
use crate::events::{OrderUpdate, Source};
use crate::exchanges::{BrokerError, Replayed};
use crate::model::Timestamp;

/// So many bytes of events make a piece.
const PIECE: usize = 4 * 1024 * 1024;
/// So far apart events may come in any order.
const UNORDERED: Duration = Duration::from_millis(100);
/// So many of one moment are too many to be kept at once.
const MOMENT_MAX: usize = 4 * PIECE;

impl AlpacaBroker {
    pub(super) fn read_history(&self, since: Timestamp, until: Timestamp) -> Result<Option<Replayed>, BrokerError> {
        self.check_open()?;
        if until <= since {
            return Ok(Some(Replayed { updates: Vec::new(), to: until }));
        }
        if self.no_history.lock().get(Instant::now()).is_some() {
            return Ok(None);
        }
        let path = format!("/v2/events/trades?since={}&until={}", encode(&a_little_before(since).to_string()), encode(&until.to_string()));
        let ask = Ask { verb: Verb::Get, path: &path, body: None, urgency: Urgency::Sweep, within: LIST_WITHIN };
        let mut piece = Piece::new(since, until);
        let told = self.rest.ask_events(&ask, |json| piece.hear(json, || self.read_event(json)));
        match told {
            Ok(()) if !piece.is_cut => Ok(Some(piece.up_to(until))),
            // What broke off goes on from where it was whole.
            _ if piece.last > since => {
                let to = piece.last;
                Ok(Some(piece.up_to(to)))
            }
            Ok(()) => {
                log::warn!("{}: too much happened at {since} to be told once more", self.of.broker);
                Ok(None)
            }
            Err(error @ (BrokerError::RateLimited { .. } | BrokerError::NotConnected { .. })) => Err(error),
            Err(error) => {
                // A venue that is away says so again when it is asked for lists.
                if is_lasting(&error) {
                    self.no_history.lock().put((), Instant::now());
                }
                log::info!("{} tells no history of events: {error}", self.of.broker);
                Ok(None)
            }
        }
    }

    fn read_event(&self, json: &str) -> Option<OrderUpdate> {
        let read = || {
            if too_deep(json) {
                return Err("nested too deeply".to_owned());
            }
            let event = read_update(&self.account_name, json).map_err(str::to_owned)?;
            self.understand(&Arc::new(event), Source::Replay).map_err(|unread| unread.to_string())
        };
        read().inspect_err(|error| log::warn!("{}: a past event is left out: {error}", self.of.broker)).ok()
    }
}

/// What was heard of a window so far.
struct Piece {
    until: Timestamp,
    updates: Vec<(Timestamp, OrderUpdate)>,
    bytes: usize,
    /// The moment of the latest event: others of the same may come.
    last: Timestamp,
    /// It ends before the window does.
    is_cut: bool,
}

impl Piece {
    fn new(since: Timestamp, until: Timestamp) -> Piece {
        Piece { until, updates: Vec::new(), bytes: 0, last: since, is_cut: false }
    }

    fn hear(&mut self, json: &str, read: impl FnOnce() -> Option<OrderUpdate>) -> ControlFlow<()> {
        // One that does not say when it was belongs to the one before, and so does one that comes out of order.
        let at = moment(json).unwrap_or(self.last).clamp(self.last, self.until);
        let is_full = self.bytes >= PIECE && at > self.last && at < self.until;
        self.last = at;
        self.bytes += json.len();
        if is_full || self.bytes > MOMENT_MAX {
            self.is_cut = true;
            return ControlFlow::Break(());
        }
        self.updates.extend(read().map(|update| (at, update)));
        ControlFlow::Continue(())
    }

    fn up_to(self, to: Timestamp) -> Replayed {
        let whole = self.updates.into_iter().filter(|(at, _)| *at < to || to == self.until);
        Replayed { updates: whole.map(|(_, update)| update).collect(), to }
    }
}

fn a_little_before(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_sub(i64::try_from(UNORDERED.as_nanos()).unwrap_or(i64::MAX)).max(0))
}

/// When the venue wrote the event down, by which it is asked for.
fn moment(json: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Written {
        at: String,
    }
    serde_json::from_str::<Written>(json).ok()?.at.parse().ok()
}

/// The host has no history, or not for us: another answer is not to be had soon.
fn is_lasting(error: &BrokerError) -> bool {
    match error {
        BrokerError::UnknownOrder(_) | BrokerError::Unauthorised { .. } | BrokerError::Unsupported { .. } => true,
        BrokerError::Rejected { code: Some(code), .. } => code.starts_with("403") || code.starts_with("404"),
        _ => false,
    }
}
