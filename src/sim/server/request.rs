//! One HTTP request that is no upgrade: faults, limits, then the interface that it is meant for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use super::sse::Reader;
use super::{Shared, admin};
use crate::sim::config::SimKey;
use crate::sim::fault::{Fault, Target, before};
use crate::sim::http::Head;
use crate::sim::limit::Host;
use crate::sim::rest::{Request, Response};

pub(super) type Headers = Vec<(&'static str, String)>;

/// What a request comes to.
pub(super) enum Reply {
    Answer(Response, Headers),
    /// The connection ends without a word.
    Cut,
    Events(Reader),
}

/// A reply, and how long it is held back.
pub(super) struct Late {
    pub reply: Reply,
    pub by: Option<Duration>,
}

/// Requests a minute that a fault claims where the key has no limit.
const CLAIMED_LIMIT: u32 = 200;
const ORDERS: &str = "/v2/orders";
const PUBLIC: &str = "/v1beta3/crypto/";

pub(super) fn reply(shared: &Shared, head: &Head, body: &[u8], from: SocketAddr) -> Late {
    if let Some(rest) = admin::part(&head.path) {
        return Late { reply: Reply::Answer(admin::answer(shared, head, rest, body, from), Vec::new()), by: None };
    }
    let host = Host::of(&head.path);
    let target = Target { trading: host == Host::Trading, path: &head.path };
    let by = if shared.armed() { shared.hub.lock().faults.latency(&target, Instant::now()) } else { None };
    if let Some(refused) = refusal(shared, &target) {
        return Late { reply: refused, by };
    }
    let credentials = head.credentials();
    let key = credentials.and_then(|(id, secret)| shared.config.keys.iter().find(|key| key.opens_with(id, secret)));
    // What pairs cost is public; whoever comes with a key must have a right one all the same.
    let public = credentials.is_none() && head.method == "GET" && head.path.starts_with(PUBLIC);
    let Some(key) = key.or_else(|| shared.config.keys.first().filter(|_| public)) else {
        return Late { reply: Reply::Answer(Response::error(401), Vec::new()), by };
    };
    let (headers, granted) = count(shared, key, host);
    if !granted {
        return Late { reply: Reply::Answer(too_many(), headers), by };
    }
    let reply = match Reader::requested(head, key) {
        Some(Ok(reader)) => {
            let gap = reader.gap(&shared.hub.lock().events);
            gap.map_or(Reply::Events(reader), |gap| Reply::Answer(gap, headers))
        }
        Some(Err(refused)) => Reply::Answer(refused, headers),
        None => call(shared, head, body, key, &target, headers),
    };
    Late { reply, by }
}

/// The REST interface itself, and what faults make of its answer.
fn call(shared: &Shared, head: &Head, body: &[u8], key: &SimKey, target: &Target<'_>, headers: Headers) -> Reply {
    let places = head.method == "POST" && head.path.trim_end_matches('/') == ORDERS;
    let strikes = |fault| shared.armed() && shared.hub.lock().faults.strike(fault, target, Instant::now()).is_some();
    if places && strikes(Fault::OrderLost) {
        return Reply::Answer(Response::error(504), headers);
    }
    let credentials = Some((key.key_id.as_str(), key.secret.expose()));
    let wall = shared.now();
    let (told_at, ledger_until) = if shared.armed() {
        let (hub, now) = (shared.hub.lock(), Instant::now());
        (hub.faults.answered_at(wall, target, now), hub.faults.lag(target, now).map(|lag| before(wall, lag)))
    } else {
        (wall, None)
    };
    let request = Request { method: &head.method, path: &head.path, query: &head.query, credentials, body, ledger_until };
    let response = shared.answer(&request, told_at);
    if places && response.status == 200 {
        if strikes(Fault::OrderReset) {
            return Reply::Cut;
        }
        for (fault, status) in [(Fault::Order504, 504), (Fault::Order500, 500)] {
            if strikes(fault) {
                return Reply::Answer(Response::error(status), headers);
            }
        }
    }
    Reply::Answer(response, headers)
}

/// What a fault answers in place of the exchange.
fn refusal(shared: &Shared, target: &Target<'_>) -> Option<Reply> {
    if !shared.armed() {
        return None;
    }
    let (hub, now) = (shared.hub.lock(), Instant::now());
    if let Some(until) = hub.faults.until(Fault::Rest429, target, now) {
        let reset = shared.now().seconds() + i64::try_from((until - now).as_secs()).unwrap_or_default() + 1;
        return Some(Reply::Answer(too_many(), limit_headers(CLAIMED_LIMIT, 0, reset)));
    }
    hub.faults.until(Fault::Rest503, target, now).map(|_| Reply::Answer(Response::error(503), Vec::new()))
}

/// What a key without a limit is told.
const NO_LIMIT: u32 = 1_000_000;

/// Counts the request against the limit of its key.
fn count(shared: &Shared, key: &SimKey, host: Host) -> (Headers, bool) {
    let (limit, who) = match host {
        Host::Trading => (key.trading_per_minute, &key.account_id),
        Host::Data => (key.data_per_minute, &key.key_id),
    };
    // A client that is told nothing has to assume the limits of the venue.
    let Some(limit) = limit else { return (limit_headers(NO_LIMIT, NO_LIMIT, shared.now().seconds() + 60), true) };
    let left = shared.limiter.lock().count(who, host, limit, shared.now());
    (limit_headers(left.limit, left.remaining, left.reset), left.granted)
}

fn limit_headers(limit: u32, remaining: u32, reset: i64) -> Headers {
    let names = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"];
    names.into_iter().zip([limit.to_string(), remaining.to_string(), reset.to_string()]).collect()
}

fn too_many() -> Response {
    Response { status: 429, body: json!({"code": 42_910_000, "message": "rate limit exceeded"}).to_string().into_bytes() }
}
