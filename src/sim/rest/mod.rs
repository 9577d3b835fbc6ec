//! The REST interface: a request in, an answer out.
//!
//! Pure: works on the exchange that it is handed, at the time that it is told. Must not know sockets.

mod account;
mod activities;
mod assets;
mod body;
mod clock;
mod data;
mod moment;
mod orders;
mod positions;
mod trading;

use serde_json::{Value, json};

use super::config::SimKey;
use super::exchange::{Exchange, Refusal};
use super::market::MarketData;
use crate::model::{Timestamp, VenueOrderId};

pub(super) struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a [(String, String)],
    pub credentials: Option<(&'a str, &'a str)>,
    pub body: &'a [u8],
    /// The ledger of the account shows nothing younger.
    pub ledger_until: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Response {
    fn json(status: u16, value: &Value) -> Response {
        Response { status, body: value.to_string().into_bytes() }
    }

    /// A body that is a struct of texts, which always serialises.
    fn view(value: &impl serde::Serialize) -> Response {
        Response { status: 200, body: serde_json::to_vec(value).unwrap_or_default() }
    }

    /// An error in the venue's form.
    pub(super) fn error(status: u16) -> Response {
        let message = match status {
            401 => "unauthorized.",
            404 => "endpoint not found.",
            405 => "method not allowed.",
            429 => "too many requests.",
            _ => "the simulated exchange refuses this request.",
        };
        Response::json(status, &json!({"code": u32::from(status) * 100_000 + 10_000, "message": message}))
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        Response::json(refusal.status, &refusal.body())
    }
}

impl Request<'_> {
    /// Every value of a query parameter that may be repeated, with or without the brackets of a list.
    fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.query.iter().filter(move |(known, value)| known.trim_end_matches("[]") == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A query parameter; an empty one counts as absent.
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Whose key a request comes with.
fn customer<'a>(keys: &'a [SimKey], request: &Request<'_>) -> Option<&'a SimKey> {
    let known = |key: &&SimKey| request.credentials.is_some_and(|(id, secret)| key.key_id == id && key.secret.expose() == secret);
    keys.iter().find(known)
}

/// Answers what can be answered without the exchange: market data, the clock, the calendar. `None` for all else.
pub(super) fn respond_without_exchange(market: &MarketData, keys: &[SimKey], request: &Request<'_>, now: Timestamp) -> Option<Response> {
    let Some(key) = customer(keys, request) else { return Some(Response::error(401)) };
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    data::respond(market, key, request, &path, now).or_else(|| clock::respond(market, request, &path, now))
}

/// Does of a request what has to arrive at the market before it can be answered: cancels before everything is closed.
/// Returns the account and the orders that it waits for.
pub(super) fn prepare<'k>(exchange: &mut Exchange, keys: &'k [SimKey], request: &Request<'_>, now: Timestamp) -> Option<(&'k str, Vec<VenueOrderId>)> {
    if (request.method, request.path.trim_matches('/')) != ("DELETE", "v2/positions") {
        return None;
    }
    let account = customer(keys, request)?.account_id.as_str();
    Some((account, positions::cancel_first(exchange, account, request, now)))
}

/// Answers a request that [`respond_without_exchange`] does not.
pub(super) fn respond(exchange: &mut Exchange, market: &MarketData, keys: &[SimKey], request: &Request<'_>, now: Timestamp) -> Response {
    let Some(key) = customer(keys, request) else { return Response::error(401) };
    let account = key.account_id.as_str();
    let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if let Some(answer) = trading::respond(exchange, account, request, &path, now) {
        return answer.unwrap_or_else(Response::from);
    }
    let answer = match (request.method, path.as_slice()) {
        ("GET", ["v2", "assets"]) => assets::list(exchange, market, request),
        ("GET", ["v2", "assets", symbol @ ..]) => assets::one(exchange, &symbol.join("/")),
        (_, ["v2", "account" | "assets" | "orders" | "positions"]) => return Response::error(405),
        _ => return Response::error(404),
    };
    answer.unwrap_or_else(Response::from)
}

#[cfg(test)]
mod tests;
