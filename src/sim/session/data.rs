//! The market-data protocol: greeting, authentication, subscriptions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Gate, Grant, Output, Subscriptions, error_value, is_final};
use crate::config::Codec;
use crate::model::Symbol;
use crate::sim::message::{Channel, Family};

/// One market-data endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) struct DataPath {
    pub path: &'static str,
    pub family: Family,
    /// The plan's name of a feed; other endpoints are in every plan.
    pub feed: Option<&'static str>,
}

const fn endpoint(path: &'static str, family: Family, feed: Option<&'static str>) -> DataPath {
    DataPath { path, family, feed }
}

const PATHS: [DataPath; 12] = [
    endpoint("/v2/iex", Family::Stocks, Some("iex")),
    endpoint("/v2/sip", Family::Stocks, Some("sip")),
    endpoint("/v2/delayed_sip", Family::Stocks, Some("delayed_sip")),
    endpoint("/v2/test", Family::Test, None),
    endpoint("/v1beta1/boats", Family::Stocks, Some("boats")),
    endpoint("/v1beta1/overnight", Family::Stocks, Some("overnight")),
    endpoint("/v1beta1/indicative", Family::Options, Some("indicative")),
    endpoint("/v1beta1/opra", Family::Options, Some("opra")),
    endpoint("/v1beta1/news", Family::News, None),
    endpoint("/v1beta3/crypto/us", Family::Crypto, None),
    endpoint("/v1beta3/crypto/us-1", Family::Crypto, None),
    endpoint("/v1beta3/crypto/eu-1", Family::Crypto, None),
];

impl DataPath {
    pub(in crate::sim) fn find(path: &str) -> Option<DataPath> {
        PATHS.into_iter().find(|known| known.path == path)
    }

    pub(in crate::sim) fn offers(&self) -> &'static [Channel] {
        use Channel::*;
        match self.family {
            Family::Crypto => &[Trades, Quotes, Bars, UpdatedBars, DailyBars, Orderbooks],
            Family::Options => &[Trades, Quotes],
            Family::News => &[News],
            Family::Stocks | Family::Test => &[Trades, Quotes, Bars, UpdatedBars, DailyBars, Statuses, Lulds, Imbalances],
        }
    }

    /// The channels whose names count against a plan's limit.
    fn counts(&self) -> &'static [Channel] {
        match self.family {
            Family::Options => &[Channel::Quotes],
            Family::News => &[],
            Family::Stocks | Family::Crypto | Family::Test => &[Channel::Trades, Channel::Quotes],
        }
    }
}

#[derive(Debug)]
pub(in crate::sim) struct DataSession {
    path: DataPath,
    codec: Codec,
    grant: Option<Grant>,
    subscriptions: Arc<Subscriptions>,
    patience: Duration,
    deadline: Option<Instant>,
}

impl DataSession {
    pub(in crate::sim) fn new(path: DataPath, codec: Codec, now: Instant, auth_timeout: Duration) -> DataSession {
        DataSession { path, codec, grant: None, subscriptions: Arc::default(), patience: auth_timeout, deadline: Some(now + auth_timeout) }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn opened(&mut self, credentials: Option<(&str, &str)>, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        if self.path.family == Family::Options && self.codec == Codec::Json {
            self.deadline = None;
            return refuse(412, out);
        }
        out.push(Output::Send(json!([{"T": "success", "msg": "connected"}])));
        if let Some((key, secret)) = credentials {
            self.authenticate(key, secret, gate, out);
        }
    }

    pub(super) fn timed_out(&mut self, out: &mut Vec<Output>) {
        self.deadline = None;
        refuse(404, out);
    }

    pub(super) fn received(&mut self, now: Instant, message: Option<&Value>, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        let Some(message) = message else { return refuse(400, out) };
        match message["action"].as_str() {
            Some("auth") if self.grant.is_some() => refuse(403, out),
            Some("auth") => {
                // A client that was told 406 tries again on the same socket, and may take its time over it.
                self.deadline = Some(now + self.patience);
                match (message["key"].as_str(), message["secret"].as_str()) {
                    (Some(key), Some(secret)) => self.authenticate(key, secret, gate, out),
                    _ => refuse(400, out),
                }
            }
            Some("subscribe" | "unsubscribe") if self.grant.is_none() => refuse(401, out),
            Some("subscribe") => self.change(message, Subscriptions::add, out),
            Some("unsubscribe") => self.change(message, Subscriptions::remove, out),
            _ => refuse(400, out),
        }
    }

    fn authenticate(&mut self, key: &str, secret: &str, gate: &mut dyn Gate, out: &mut Vec<Output>) {
        match gate.admit(key, secret, Some(&self.path)) {
            Ok(grant) => {
                self.grant = Some(grant.clone());
                self.deadline = None;
                out.push(Output::Authenticated(grant));
                out.push(Output::Send(json!([{"T": "success", "msg": "authenticated"}])));
            }
            Err(code) => refuse(code, out),
        }
    }

    fn change(&mut self, message: &Value, apply: fn(&mut Subscriptions, Channel, &[String]), out: &mut Vec<Output>) {
        let mut next = Subscriptions::clone(&self.subscriptions);
        let mut named = false;
        for channel in Channel::ALL {
            let Some(names) = names(&message[channel.key()]) else { return refuse(400, out) };
            if names.is_empty() {
                continue;
            }
            if !self.path.offers().contains(&channel) {
                return refuse(410, out);
            }
            if self.path.family == Family::Options && channel == Channel::Quotes && names.iter().any(|name| name == "*") {
                return refuse(413, out);
            }
            named = true;
            apply(&mut next, channel, &names);
        }
        if !named {
            return refuse(400, out);
        }
        let limit = self.grant.as_ref().and_then(|grant| grant.symbol_limit);
        let counts = self.path.counts();
        let (before, after) = (self.subscriptions.counted(counts), next.counted(counts));
        if limit.is_some_and(|limit| after > limit && after > before) {
            return refuse(405, out);
        }
        self.subscriptions = Arc::new(next);
        out.push(Output::Subscribed(self.path, Arc::clone(&self.subscriptions)));
    }
}

/// The well-formed names of one channel; an absent or empty list names nothing, a malformed one is `None`.
fn names(list: &Value) -> Option<Vec<String>> {
    match list {
        Value::Null => Some(Vec::new()),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().filter(|name| *name == "*" || name.parse::<Symbol>().is_ok()).map(str::to_owned)).collect()
        }
        _ => None,
    }
}

fn refuse(code: u16, out: &mut Vec<Output>) {
    out.push(Output::Send(json!([error_value(code)])));
    if is_final(code) {
        out.push(Output::Close);
    }
}
