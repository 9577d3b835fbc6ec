//! The trading stream's protocol: silent until the client authenticates, then told what to listen to.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Gate, Output};

const TRADE_UPDATES: &str = "trade_updates";

#[derive(Debug)]
pub(in crate::sim) struct TradingSession {
    authorized: bool,
    deadline: Option<Instant>,
}

impl TradingSession {
    pub(in crate::sim) fn new(now: Instant, auth_timeout: Duration) -> TradingSession {
        TradingSession { authorized: false, deadline: Some(now + auth_timeout) }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn opened(&mut self, credentials: Option<(&str, &str)>, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        if let Some((key, secret)) = credentials {
            self.authenticate(key, secret, gate, out);
        }
    }

    /// This stream has no error message for it: the venue just hangs up.
    pub(super) fn timed_out(&mut self, out: &mut Vec<Output>) {
        self.deadline = None;
        out.push(Output::Close);
    }

    pub(super) fn received(&mut self, message: Option<&Value>, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        let Some(message) = message else { return complain("invalid JSON", out) };
        match message["action"].as_str() {
            Some("authenticate") => {
                let data = &message["data"];
                self.authenticate(data["key_id"].as_str().unwrap_or_default(), data["secret_key"].as_str().unwrap_or_default(), gate, out);
            }
            Some("auth") => self.authenticate(message["key"].as_str().unwrap_or_default(), message["secret"].as_str().unwrap_or_default(), gate, out),
            Some("listen") if !self.authorized => out.push(authorization("unauthorized", "listen")),
            Some("listen") => self.listen(&message["data"]["streams"], out),
            _ => complain("unknown action", out),
        }
    }

    fn authenticate(&mut self, key: &str, secret: &str, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        match gate.admit(key, secret, None) {
            Ok(grant) => {
                self.authorized = true;
                self.deadline = None;
                out.push(Output::Authenticated(grant));
                out.push(authorization("authorized", "authenticate"));
            }
            Err(_) => {
                out.push(authorization("unauthorized", "authenticate"));
                out.push(Output::Close);
            }
        }
    }

    /// A list replaces the one before; what is not offered is left out of the answer.
    fn listen(&mut self, streams: &Value, out: &mut Vec<Output>) {
        let Some(wanted) = streams.as_array() else { return complain("streams must be a list", out) };
        let listening = wanted.iter().any(|name| name == TRADE_UPDATES);
        let granted: &[&str] = if listening { &[TRADE_UPDATES] } else { &[] };
        out.push(Output::Listening(listening));
        out.push(Output::Send(json!({"stream": "listening", "data": {"streams": granted}})));
    }
}

fn authorization(status: &str, action: &str) -> Output {
    Output::Send(json!({"stream": "authorization", "data": {"status": status, "action": action}}))
}

fn complain(text: &str, out: &mut Vec<Output>) {
    out.push(Output::Send(json!({"action": "error", "data": {"error_message": text}})));
}
