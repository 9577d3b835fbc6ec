//! One command as it came: whom it is for, when it was sent, and until when it may be carried out.
//!
//! Must not know how it is carried out.

use std::time::Duration;

use super::answer::{Answer, Verdict};
use super::desk::STALE_AFTER;
use super::seat::Seat;
use crate::contract::CommandFor;
use crate::model::{ClientOrderId, OrderRequest, OrderType, Timestamp};

/// How long a market order may be on its way that says nothing of it: what it would cost has changed since.
const MARKET_FOR: Duration = Duration::from_secs(5);
/// The same of any other order.
const OTHERS_FOR: Duration = Duration::from_secs(30);

pub(super) struct Asked<'a> {
    pub action: &'static str,
    pub seat: &'a Seat,
    /// The entry that brought it.
    pub entry: &'a str,
    /// It may have been handed out before.
    pub again: bool,
    pub taken: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// An order that names no type.
    pub untyped: bool,
    pub now: Timestamp,
}

impl Asked<'_> {
    pub fn to(&self) -> CommandFor<'_> {
        CommandFor { exchange: &self.seat.of.broker, account: &self.seat.account_name }
    }

    /// Says whose account it is about.
    pub fn complete(&self, answer: Answer) -> Answer {
        of_seat(self.seat, answer)
    }

    pub fn about(&self, name: &ClientOrderId, answer: Answer) -> Answer {
        self.complete(Answer { client_order_id: Some(name.to_string()), ..answer })
    }

    pub fn unknown(&self, name: &ClientOrderId, reason: impl Into<String>) -> Answer {
        self.about(name, Answer { reason: Some(reason.into()), advice: Some("look_up"), ..Answer::new(self.action, Verdict::Unknown) })
    }

    pub fn order_for(request: &OrderRequest) -> Duration {
        if request.kind == OrderType::Market { MARKET_FOR } else { OTHERS_FOR }
    }

    pub fn closing_for() -> Duration {
        MARKET_FOR
    }

    pub fn change_for() -> Duration {
        OTHERS_FOR
    }

    /// The last moment at which it may be sent.
    pub fn expires(&self, patience: Duration) -> Timestamp {
        self.expires_at.unwrap_or_else(|| later(self.taken, patience.min(STALE_AFTER)))
    }

    /// Why it comes too late at `now`.
    pub fn too_late(&self, patience: Duration, now: Timestamp) -> Option<Answer> {
        too_late(self.action, self.taken, self.expires_at, patience, now)
    }
}

/// Why a command comes too late at `now` that was sent at `taken`.
pub(super) fn too_late(action: &str, taken: Timestamp, expires_at: Option<Timestamp>, patience: Duration, now: Timestamp) -> Option<Answer> {
    let denied = |reason: String| Some(Answer { rule: Some("expired".to_owned()), ..Answer::denied(action, reason) });
    if let Some(at) = expires_at {
        return if at <= now { denied("the command has expired".to_owned()) } else { None };
    }
    let (age, patience) = (since(taken, now), patience.min(STALE_AFTER));
    if age <= patience {
        return None;
    }
    denied(format!("the command was sent {} s ago; after {} s it is not carried out any more", age.as_secs(), patience.as_secs()))
}

pub(super) fn of_seat(seat: &Seat, answer: Answer) -> Answer {
    Answer { broker: Some(seat.of.broker.to_string()), account_id: Some(seat.of.account.to_string()), ..answer }
}

pub(super) fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(now.nanos().saturating_sub(then.nanos()).max(0).unsigned_abs())
}

pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
}
