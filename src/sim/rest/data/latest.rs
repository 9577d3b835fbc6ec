//! The latest of everything, and snapshots of it.

use std::fmt::Write as _;

use super::query::{feed, symbol, symbols};
use super::{Ask, Bad, Kind, Response, write};
use crate::sim::market::{Listed, time_of};

/// Levels shown of an order book.
const LEVELS: u32 = 5;

fn ok(body: String) -> Response {
    Response { status: 200, body: body.into_bytes() }
}

/// `"name":value` for each symbol that has one, between braces.
fn each(ask: &Ask<'_>, value: impl Fn(&Listed) -> Option<String>) -> Result<String, Bad> {
    feed(ask, ask.now)?;
    let found = symbols(ask)?.into_iter().filter_map(|name| Some(format!(r#""{name}":{}"#, value(ask.market.listed(&name)?)?)));
    Ok(format!("{{{}}}", found.collect::<Vec<_>>().join(",")))
}

fn latest(ask: &Ask<'_>, listed: &Listed, kind: Kind) -> Option<String> {
    let mut out = String::new();
    match kind {
        Kind::Bars => {
            let (minute, sum) = ask.market.latest_minute(listed, ask.now)?;
            write::bar(time_of(minute), &sum, &mut out);
        }
        Kind::Trades => write::trade(&ask.market.last(listed)?.0, listed.pair, &mut out),
        Kind::Quotes => write::quote(&ask.market.last(listed)?.1, listed.pair, &mut out),
        Kind::Auctions => return None,
    }
    Some(out)
}

/// Of many symbols; the unknown are left out.
pub(super) fn many(ask: &Ask<'_>, kind: Kind) -> Result<Response, Bad> {
    let found = each(ask, |listed| latest(ask, listed, kind))?;
    Ok(ok(format!(r#"{{"{}":{found}}}"#, kind.plural())))
}

/// Of one symbol, under the singular name.
pub(super) fn one(ask: &Ask<'_>, name: &str, kind: Kind) -> Result<Response, Bad> {
    let listed = single(ask, name)?;
    let latest = latest(ask, listed, kind).ok_or_else(|| missing(name))?;
    Ok(ok(format!(r#"{{"symbol":"{name}","{}":{latest}}}"#, kind.singular())))
}

pub(super) fn orderbooks(ask: &Ask<'_>) -> Result<Response, Bad> {
    let found = each(ask, |listed| {
        let mut out = String::new();
        write::book(&ask.market.last(listed)?.1, LEVELS, &mut out);
        Some(out)
    })?;
    Ok(ok(format!(r#"{{"orderbooks":{found}}}"#)))
}

/// Snapshots of many: bare for stocks, under a name of their own for pairs.
pub(super) fn snapshots(ask: &Ask<'_>) -> Result<Response, Bad> {
    let found = each(ask, |listed| fields(ask, listed).map(|fields| format!("{{{fields}}}")))?;
    Ok(ok(if ask.pairs { format!(r#"{{"snapshots":{found}}}"#) } else { found }))
}

pub(super) fn snapshot(ask: &Ask<'_>, name: &str) -> Result<Response, Bad> {
    let fields = fields(ask, single(ask, name)?).ok_or_else(|| missing(name))?;
    Ok(ok(format!(r#"{{"symbol":"{name}",{fields}}}"#)))
}

fn fields(ask: &Ask<'_>, listed: &Listed) -> Option<String> {
    let mut out = String::new();
    for (name, kind) in [("latestTrade", Kind::Trades), ("latestQuote", Kind::Quotes), ("minuteBar", Kind::Bars)] {
        let _ = write!(out, r#""{name}":{},"#, latest(ask, listed, kind)?);
    }
    let mut days = ask.market.latest_days(listed, ask.now);
    for (name, end) in [("dailyBar", ","), ("prevDailyBar", "")] {
        let _ = write!(out, r#""{name}":"#);
        match days.next() {
            Some((minute, sum)) => write::bar(time_of(minute), &sum, &mut out),
            None => out.push_str("null"),
        }
        out.push_str(end);
    }
    Some(out)
}

fn single<'a>(ask: &Ask<'a>, name: &str) -> Result<&'a Listed, Bad> {
    feed(ask, ask.now)?;
    let name = symbol(ask, name)?;
    ask.market.listed(&name).ok_or_else(|| missing(&name))
}

fn missing(name: &str) -> Bad {
    Bad { status: 404, message: format!("no data found for {name}") }
}
