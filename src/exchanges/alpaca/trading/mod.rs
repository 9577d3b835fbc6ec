//! The session of an order stream: keys, listening, order updates.
//!
//! Pure: told what arrived and what time it is, it says what to send. Must not know sockets, threads, or what an order
//! update means to anybody.

mod update;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

pub(super) use self::update::{Fields, fields, loose_text, read_update, too_deep};
use super::notices::{Oddities, clean};
use crate::events::OrderEvent;
use crate::exchanges::{Advice, Effects, Incoming, Notice, Outgoing, Session, SessionEnd};
use crate::runtime::{Secret, StreamState};

const AUTHENTICATED_WITHIN: Duration = Duration::from_secs(5);
const LISTENING_WITHIN: Duration = Duration::from_secs(5);
const UPDATES: &str = "trade_updates";
const HEARTBEAT: &[u8] = &[0x01];

/// What a stream is opened with.
#[derive(Debug, Clone)]
pub struct TradingSettings {
    /// The account's configured name.
    pub account: Arc<str>,
    pub key_id: Secret,
    pub secret_key: Secret,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No connection, or one that is given up.
    Closed,
    Authenticating,
    /// Waiting for the venue to say that it will send order updates.
    Subscribing,
    Streaming,
}

/// The order updates of one account.
#[derive(Debug)]
pub struct TradingSession {
    settings: TradingSettings,
    stage: Stage,
    step_due: Option<Instant>,
    oddities: Oddities,
}

impl TradingSession {
    pub fn new(settings: TradingSettings) -> TradingSession {
        TradingSession { settings, stage: Stage::Closed, step_due: None, oddities: Oddities::default() }
    }

    fn go(&mut self, stage: Stage, due: Option<Instant>, out: &mut Effects<OrderEvent>) {
        if self.stage != stage {
            self.stage = stage;
            out.notices.push(Notice::StateChanged(self.state()));
        }
        self.step_due = due;
    }

    fn end(&mut self, advice: Advice, cause: String, out: &mut Effects<OrderEvent>) {
        self.stage = Stage::Closed;
        self.step_due = None;
        out.end.get_or_insert(SessionEnd { cause, advice });
    }

    fn clean(&self, text: &str) -> String {
        clean(text, &[&self.settings.key_id, &self.settings.secret_key])
    }

    fn auth_message(&self) -> Outgoing {
        let (key, secret) = (self.settings.key_id.expose(), self.settings.secret_key.expose());
        // The venue takes {"action":"auth","key":…,"secret":…} as well; its own clients send this.
        let message = serde_json::json!({"action": "authenticate", "data": {"key_id": key, "secret_key": secret}});
        Outgoing::Text(message.to_string())
    }

    fn text(&mut self, now: Instant, text: &str, out: &mut Effects<OrderEvent>) {
        let envelope = if too_deep(text) { None } else { fields(text) };
        let Some(envelope) = envelope else {
            out.malformed += 1;
            return;
        };
        let name = |key: &str| envelope.get(key).and_then(|raw| loose_text(raw));
        let data = envelope.get("data").copied().filter(|raw| raw.get() != "null");
        match (name("stream").as_deref(), name("action").as_deref()) {
            (Some(UPDATES), _) => self.update(now, data, out),
            (Some("authorization"), _) => self.authorization(now, data, out),
            (Some("listening"), _) => self.listening(now, data, out),
            (None, Some("error")) | (Some("error"), _) => self.error(now, data, out),
            (None, None) => out.malformed += 1,
            (stream, action) => {
                out.unknown += 1;
                let kind = self.clean(stream.or(action).unwrap_or_default());
                self.oddities.note(now, &kind, &mut out.notices, || format!("order stream messages of an unknown kind: {kind}"));
            }
        }
    }

    fn update(&mut self, now: Instant, data: Option<&RawValue>, out: &mut Effects<OrderEvent>) {
        let Some(data) = data else { return };
        match read_update(&self.settings.account, data.get()) {
            Ok(event) => out.events.push(event),
            Err(fault) => {
                out.malformed += 1;
                let text = || format!("an order update of Alpaca cannot be read ({fault}); the order is found again by asking for it");
                self.oddities.note(now, fault, &mut out.notices, text);
            }
        }
    }

    fn authorization(&mut self, now: Instant, data: Option<&RawValue>, out: &mut Effects<OrderEvent>) {
        let Some(data) = data.and_then(|raw| fields(raw.get())) else {
            out.malformed += 1;
            return;
        };
        let said = |key: &str| data.get(key).and_then(|raw| loose_text(raw)).unwrap_or_default();
        match (said("status").as_str(), self.stage) {
            ("authorized", Stage::Authenticating) => {
                out.send.push(Outgoing::Text(format!(r#"{{"action":"listen","data":{{"streams":["{UPDATES}"]}}}}"#)));
                self.go(Stage::Subscribing, Some(now + LISTENING_WITHIN), out);
            }
            ("authorized", _) | (_, Stage::Closed) => {}
            ("unauthorized", _) if said("action") == "listen" => {
                self.end(Advice::Reconnect, "Alpaca does not know us on the order stream; authenticating again".to_owned(), out);
            }
            ("unauthorized", _) => {
                let cause = "Alpaca refuses the keys on the order stream; set the right key id and secret for this environment and restart";
                self.end(Advice::Refuse, cause.to_owned(), out);
            }
            (other, _) => {
                let other = self.clean(other);
                self.oddities.note(now, "status", &mut out.notices, || format!("an authorization status unknown to us: {other}"));
            }
        }
    }

    fn listening(&mut self, now: Instant, data: Option<&RawValue>, out: &mut Effects<OrderEvent>) {
        let streams = data.and_then(|raw| fields(raw.get())).and_then(|data| streams(&data));
        let Some(streams) = streams else {
            out.malformed += 1;
            return;
        };
        let listening = streams.iter().any(|stream| stream == UPDATES);
        match self.stage {
            Stage::Subscribing if listening => self.go(Stage::Streaming, None, out),
            Stage::Subscribing => {
                let cause = "Alpaca does not offer order updates (trade_updates) to this account; check that the keys may trade";
                self.end(Advice::Refuse, cause.to_owned(), out);
            }
            Stage::Streaming if !listening => self.end(Advice::Reconnect, "Alpaca stopped the order updates of this connection".to_owned(), out),
            Stage::Streaming => {}
            Stage::Closed | Stage::Authenticating => {
                self.oddities.note(now, "listening", &mut out.notices, || "Alpaca confirms order updates that were not asked for".to_owned());
            }
        }
    }

    fn error(&mut self, now: Instant, data: Option<&RawValue>, out: &mut Effects<OrderEvent>) {
        let data = data.and_then(|raw| fields(raw.get())).unwrap_or_default();
        let said = ["error_message", "error", "message"].iter().find_map(|key| data.get(*key).and_then(|raw| loose_text(raw)));
        let said = said.map_or_else(|| "no reason given".to_owned(), |said| self.clean(&said));
        match self.stage {
            Stage::Authenticating | Stage::Subscribing => {
                self.end(Advice::Reconnect, format!("Alpaca reports an error before order updates began: {said}"), out);
            }
            Stage::Closed | Stage::Streaming => {
                self.oddities.note(now, &said, &mut out.notices, || format!("Alpaca reports an error on the order stream: {said}"));
            }
        }
    }
}

fn streams(data: &Fields<'_>) -> Option<Vec<String>> {
    serde_json::from_str(data.get("streams")?.get()).ok()
}

impl Session for TradingSession {
    type Event = OrderEvent;

    fn opened(&mut self, now: Instant, out: &mut Effects<OrderEvent>) {
        self.lost();
        out.send.push(self.auth_message());
        self.go(Stage::Authenticating, Some(now + AUTHENTICATED_WITHIN), out);
    }

    fn received(&mut self, now: Instant, message: Incoming<'_>, out: &mut Effects<OrderEvent>) {
        match message {
            Incoming::Text(text) => self.text(now, text, out),
            Incoming::Binary(HEARTBEAT) => {}
            Incoming::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text(now, text, out),
                Err(_) => out.malformed += 1,
            },
        }
    }

    fn timed_out(&mut self, now: Instant, out: &mut Effects<OrderEvent>) {
        if self.step_due.is_none_or(|due| now < due) {
            return;
        }
        let step = if self.stage == Stage::Authenticating { "the keys" } else { "the request for order updates" };
        self.end(Advice::Reconnect, format!("no answer from Alpaca to {step} within 5 s"), out);
    }

    fn deadline(&self) -> Option<Instant> {
        self.step_due
    }

    fn lost(&mut self) {
        self.stage = Stage::Closed;
        self.step_due = None;
    }

    fn state(&self) -> StreamState {
        match self.stage {
            Stage::Closed => StreamState::Connecting,
            Stage::Authenticating => StreamState::Authenticating,
            Stage::Subscribing => StreamState::Subscribing,
            Stage::Streaming => StreamState::Streaming,
        }
    }
}

#[cfg(test)]
mod tests;
