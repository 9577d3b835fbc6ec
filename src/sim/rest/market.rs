//! The latest trade and quote of stocks.
//!
//! Prices are JSON numbers here, as in all market data: written from their digits, never through a float.

use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

use super::{Request, Response};
use crate::sim::exchange::{Book, Exchange, Refusal, plain};

#[derive(Serialize)]
#[serde(untagged)]
enum Latest {
    Trade {
        t: String,
        x: &'static str,
        p: Box<RawValue>,
        s: Box<RawValue>,
        c: [&'static str; 1],
        i: i64,
        z: &'static str,
    },
    Quote {
        t: String,
        ax: &'static str,
        ap: Box<RawValue>,
        r#as: Box<RawValue>,
        bx: &'static str,
        bp: Box<RawValue>,
        bs: Box<RawValue>,
        c: [&'static str; 1],
        z: &'static str,
    },
}

fn number(value: rust_decimal::Decimal) -> Option<Box<RawValue>> {
    RawValue::from_string(plain(value)).ok()
}

fn view(book: &Book, kind: &str) -> Option<Latest> {
    Some(if kind == "trades" {
        let last = &book.last;
        Latest::Trade { t: last.at.to_string(), x: "V", p: number(last.price)?, s: number(last.size)?, c: ["@"], i: last.id, z: "C" }
    } else {
        Latest::Quote {
            t: book.quoted_at.to_string(),
            ax: "V",
            ap: number(book.ask)?,
            r#as: number(book.ask_size)?,
            bx: "V",
            bp: number(book.bid)?,
            bs: number(book.bid_size)?,
            c: ["R"],
            z: "C",
        }
    })
}

/// Of many symbols; the unknown are left out.
pub(super) fn latest(exchange: &Exchange, kind: &str, request: &Request<'_>) -> Response {
    let symbols = request.query("symbols").unwrap_or_default().split(',').filter(|symbol| !symbol.contains('/'));
    let found: BTreeMap<&str, Latest> = symbols.filter_map(|symbol| Some((symbol, view(exchange.book(symbol)?, kind)?))).collect();
    Response::view(&BTreeMap::from([(kind, found)]))
}

/// Of one symbol, under the singular name.
pub(super) fn latest_of(exchange: &Exchange, kind: &str, symbol: &str) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct One<'a> {
        symbol: &'a str,
        #[serde(flatten)]
        latest: BTreeMap<&'a str, Latest>,
    }
    let missing = || Refusal::new(404, 40_410_000, format!("no {kind} found for {symbol}"));
    let latest = exchange.book(symbol).and_then(|book| view(book, kind)).ok_or_else(missing)?;
    Ok(Response::view(&One { symbol, latest: BTreeMap::from([(kind.trim_end_matches('s'), latest)]) }))
}
