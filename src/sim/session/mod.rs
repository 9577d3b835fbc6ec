//! The protocols of the two streams, as pure machines: a client's message in, answers and changes out.
//!
//! Must not know sockets, codecs or who else is connected; who may enter is asked of a [`Gate`].

mod data;
mod subscriptions;
mod trading;

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

pub(super) use data::{DataPath, DataSession};
pub(super) use subscriptions::Subscriptions;
pub(super) use trading::TradingSession;

/// What a customer may do, once let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub account_id: String,
    pub symbol_limit: Option<usize>,
}

/// Decides who comes in.
pub(super) trait Gate {
    /// `path` is the market-data endpoint, `None` the trading stream. The error is the venue's code.
    fn admit(&mut self, key: &str, secret: &str, path: Option<&DataPath>) -> Result<Grant, u16>;
}

/// What a session wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Output {
    Send(Value),
    Authenticated(Grant),
    /// From now on the whole list is this, which is to be acknowledged.
    Subscribed(DataPath, Arc<Subscriptions>),
    Listening(bool),
    Close,
}

/// Where a connection stands: the places where a fault can be armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The HTTP request, before the answer to it.
    Upgrade,
    /// After the upgrade, before anything is said.
    Greeting,
    /// When the client authenticates.
    Auth,
    /// When the client subscribes, unsubscribes or listens.
    Ack,
    /// After the first acknowledged subscription.
    Streaming,
}

/// Either protocol.
#[derive(Debug)]
pub(super) enum Session {
    Data(DataSession),
    Trading(TradingSession),
}

impl Session {
    /// The connection stands; `credentials` are those of the upgrade's headers.
    pub(super) fn opened(&mut self, credentials: Option<(&str, &str)>, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        match self {
            Session::Data(session) => session.opened(credentials, gate, out),
            Session::Trading(session) => session.opened(credentials, gate, out),
        }
    }

    /// A message arrived; `None` stands for one that could not be read.
    pub(super) fn received(&mut self, now: Instant, message: Option<&Value>, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        match self {
            Session::Data(session) => session.received(now, message, gate, out),
            Session::Trading(session) => session.received(message, gate, out),
        }
    }

    pub(super) fn timed_out(&mut self, out: &mut Vec<Output>) {
        match self {
            Session::Data(session) => session.timed_out(out),
            Session::Trading(session) => session.timed_out(out),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Session::Data(session) => session.deadline(),
            Session::Trading(session) => session.deadline(),
        }
    }
}

/// The stage that a client's message belongs to.
pub(super) fn stage_of(message: &Value) -> Option<Stage> {
    match message["action"].as_str()? {
        "auth" | "authenticate" => Some(Stage::Auth),
        "subscribe" | "unsubscribe" | "listen" => Some(Stage::Ack),
        _ => None,
    }
}

/// The message with its secrets blotted out.
pub(super) fn masked(message: &Value) -> Value {
    match message {
        Value::Object(fields) => {
            let hidden = |key: &str| key.contains("secret") || key.contains("token");
            fields.iter().map(|(key, value)| (key.clone(), if hidden(key) { "***".into() } else { masked(value) })).collect()
        }
        Value::Array(items) => items.iter().map(masked).collect(),
        other => other.clone(),
    }
}

/// The data stream's error message of a code.
pub(super) fn error_value(code: u16) -> Value {
    serde_json::json!({"T": "error", "code": code, "msg": error_text(code)})
}

/// Whether the venue hangs up after an error of that code.
pub(super) fn is_final(code: u16) -> bool {
    matches!(code, 402 | 404 | 407 | 409 | 411 | 412 | 500)
}

pub(super) fn error_text(code: u16) -> &'static str {
    match code {
        400 => "invalid syntax",
        401 => "not authenticated",
        402 => "auth failed",
        403 => "already authenticated",
        404 => "auth timeout",
        405 => "symbol limit exceeded",
        406 => "connection limit exceeded",
        407 => "slow client",
        408 => "v2 not enabled",
        409 => "insufficient subscription",
        410 => "invalid subscribe action for this feed",
        411 => "insufficient scope",
        412 => "option messages are only available in MsgPack format",
        413 => "star subscription is not allowed for option quotes",
        _ => "internal error",
    }
}

#[cfg(test)]
mod tests;
