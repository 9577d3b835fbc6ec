//! Market data over REST: the past in pages, the latest of everything, code tables, news.
//!
//! Pure, and asks the market alone: the exchange is not held up by a long page. Prices are JSON numbers here, written
//! from their decimals, never through a float.

mod auctions;
mod bars;
mod latest;
mod meta;
mod news;
mod page;
mod query;
mod ticks;
mod timeframe;
mod token;
mod write;

use serde_json::json;

use super::{Request, Response};
use crate::model::Timestamp;
use crate::sim::config::SimKey;
use crate::sim::market::MarketData;

/// Who asks for what, of which market, and when.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub market: &'a MarketData,
    pub key: &'a SimKey,
    pub request: &'a Request<'a>,
    pub now: Timestamp,
    /// Pairs are asked for, else stocks.
    pub pairs: bool,
}

/// Why data is not given; the hosts of data have no codes.
#[derive(Debug)]
pub(super) struct Bad {
    pub status: u16,
    pub message: String,
}

impl Bad {
    fn request(message: impl Into<String>) -> Bad {
        Bad { status: 400, message: message.into() }
    }
}

impl From<Bad> for Response {
    fn from(bad: Bad) -> Response {
        Response::json(bad.status, &json!({"message": bad.message}))
    }
}

/// Which series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bars,
    Trades,
    Quotes,
    Auctions,
}

impl Kind {
    fn find(name: &str) -> Option<Kind> {
        [Kind::Bars, Kind::Trades, Kind::Quotes, Kind::Auctions].into_iter().find(|kind| kind.plural() == name)
    }

    fn plural(self) -> &'static str {
        match self {
            Kind::Bars => "bars",
            Kind::Trades => "trades",
            Kind::Quotes => "quotes",
            Kind::Auctions => "auctions",
        }
    }

    fn singular(self) -> &'static str {
        self.plural().trim_end_matches('s')
    }
}

/// Answers what is asked under the data paths; `None` for any other path.
pub(super) fn respond(market: &MarketData, key: &SimKey, request: &Request<'_>, path: &[&str], now: Timestamp) -> Option<Response> {
    let (rest, pairs) = match path {
        ["v2", "stocks", rest @ ..] => (rest, false),
        ["v1beta3", "crypto", _, rest @ ..] => (rest, true),
        ["v1beta1", "news"] => (&["news"][..], false),
        _ => return None,
    };
    if request.method != "GET" {
        return Some(Response::error(405));
    }
    let ask = Ask { market, key, request, now, pairs };
    Some(route(&ask, rest).unwrap_or_else(Response::from))
}

fn route(ask: &Ask<'_>, path: &[&str]) -> Result<Response, Bad> {
    match *path {
        ["news"] => news::page(ask),
        ["snapshots"] => latest::snapshots(ask),
        ["meta", "exchanges"] if !ask.pairs => Ok(meta::exchanges()),
        ["meta", "conditions", kind] if !ask.pairs => meta::conditions(ask, kind),
        ["latest", "orderbooks"] if ask.pairs => latest::orderbooks(ask),
        ["latest", kind] if ask.pairs => latest::many(ask, lasting(kind)?),
        [kind, "latest"] if !ask.pairs => latest::many(ask, lasting(kind)?),
        [symbol, kind, "latest"] if !ask.pairs => latest::one(ask, symbol, lasting(kind)?),
        [symbol, "snapshot"] if !ask.pairs => latest::snapshot(ask, symbol),
        [kind] if Kind::find(kind).is_some() => series(ask, None, known(kind)?),
        [symbol, kind] if !ask.pairs => series(ask, Some(symbol), known(kind)?),
        _ => Err(nowhere()),
    }
}

/// A page of a series; of one symbol alone where it is part of the path.
fn series(ask: &Ask<'_>, symbol: Option<&str>, kind: Kind) -> Result<Response, Bad> {
    match kind {
        Kind::Bars => page::respond(ask, symbol, kind, &bars::Source::of(ask)?),
        Kind::Trades => page::respond(ask, symbol, kind, &ticks::Trades),
        Kind::Quotes => page::respond(ask, symbol, kind, &ticks::Quotes),
        Kind::Auctions if ask.pairs => Err(nowhere()),
        Kind::Auctions => page::respond(ask, symbol, kind, &auctions::Auctions),
    }
}

fn known(kind: &str) -> Result<Kind, Bad> {
    Kind::find(kind).ok_or_else(nowhere)
}

/// A series that has a latest item.
fn lasting(kind: &str) -> Result<Kind, Bad> {
    known(kind).and_then(|kind| if kind == Kind::Auctions { Err(nowhere()) } else { Ok(kind) })
}

fn nowhere() -> Bad {
    Bad { status: 404, message: "endpoint not found.".to_owned() }
}

#[cfg(test)]
mod tests;
