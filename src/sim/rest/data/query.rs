//! What the query of a data request says.

use jiff::civil::Date;

use super::{Ask, Bad};
use crate::model::{Symbol, Timestamp};
use crate::sim::market::time_of;

const DEFAULT_LIMIT: usize = 1_000;
const MAX_LIMIT: usize = 10_000;
const DAY: i64 = 86_400_000_000_000;
/// Data younger than that is recent, which not every plan includes.
const RECENT: i64 = 15 * 60 * 1_000_000_000;
const FEEDS: [&str; 6] = ["iex", "sip", "otc", "boats", "overnight", "delayed_sip"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Ascending,
    Descending,
}

/// From when to when, both included, and in which order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub from: Timestamp,
    pub to: Timestamp,
    pub sort: Sort,
}

/// The symbols that are asked for, in order, each once.
pub(super) fn symbols(ask: &Ask<'_>) -> Result<Vec<String>, Bad> {
    let named = ask.request.query("symbols").ok_or_else(|| Bad::request("symbols is required"))?;
    let mut symbols = named.split(',').map(|name| symbol(ask, name.trim())).collect::<Result<Vec<_>, _>>()?;
    symbols.sort();
    symbols.dedup();
    Ok(symbols)
}

/// A well-formed name of the right class, which nothing need be known of.
pub(super) fn symbol(ask: &Ask<'_>, name: &str) -> Result<String, Bad> {
    let fits = name.parse::<Symbol>().is_ok_and(|symbol| symbol.is_pair() == ask.pairs);
    if fits { Ok(name.to_owned()) } else { Err(Bad::request(format!("invalid symbol: {name}"))) }
}

/// The range of a series; from the beginning of the day until now, if nothing is said. Checks the feed with it.
pub(super) fn range(ask: &Ask<'_>) -> Result<Range, Bad> {
    let today = if ask.pairs { Timestamp::from_nanos(ask.now.nanos() / DAY * DAY) } else { midnight(ask, ask.market.calendar().date_at(ask.now)) };
    let from = moment(ask, "start", false)?.unwrap_or(today);
    let to = moment(ask, "end", true)?.unwrap_or(ask.now);
    if to < from && ask.request.query("end").is_some() {
        return Err(Bad::request("end should not be before start"));
    }
    feed(ask, to)?;
    let sort = match ask.request.query("sort") {
        None | Some("asc") => Sort::Ascending,
        Some("desc") => Sort::Descending,
        Some(other) => return Err(Bad::request(format!("invalid sort: {other}"))),
    };
    Ok(Range { from: from.max(time_of(crate::sim::market::EARLIEST)), to: to.min(ask.now), sort })
}

pub(super) fn limit(ask: &Ask<'_>, default: Option<usize>, most: Option<usize>) -> Result<usize, Bad> {
    let (default, most) = (default.unwrap_or(DEFAULT_LIMIT), most.unwrap_or(MAX_LIMIT));
    let Some(text) = ask.request.query("limit") else { return Ok(default) };
    let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
    limit.ok_or_else(|| Bad::request(format!("invalid limit: {text}, a number from 1 to {most} is expected")))
}

/// Refuses a feed that nobody knows, and recent data of one that is not in the plan.
pub(super) fn feed(ask: &Ask<'_>, to: Timestamp) -> Result<(), Bad> {
    let Some(feed) = ask.request.query("feed").filter(|_| !ask.pairs) else { return Ok(()) };
    if !FEEDS.contains(&feed) {
        return Err(Bad::request(format!("invalid feed: {feed}")));
    }
    let allowed = feed != "sip" || ask.key.feeds.iter().any(|held| held == feed);
    if !allowed && to.nanos() > ask.now.nanos() - RECENT {
        return Err(Bad { status: 403, message: "subscription does not permit querying recent SIP data".to_owned() });
    }
    Ok(())
}

/// A time, or a day: its beginning in the market's zone (UTC for pairs), or its end where it ends something.
pub(super) fn moment(ask: &Ask<'_>, name: &str, end: bool) -> Result<Option<Timestamp>, Bad> {
    let Some(text) = ask.request.query(name) else { return Ok(None) };
    // A plus sign that was not escaped has become a space.
    if let Ok(at) = text.parse().or_else(|_| text.replace(' ', "+").parse()) {
        return Ok(Some(at));
    }
    let day: Option<Date> = text.parse().ok().filter(|_| text.len() == 10);
    let wanted = if end { day.and_then(|day| day.tomorrow().ok()) } else { day };
    let Some(day) = wanted else { return Err(Bad::request(format!("invalid {name}: {text}, an RFC 3339 time or a date is expected"))) };
    let begins = midnight(ask, day);
    Ok(Some(if end { Timestamp::from_nanos(begins.nanos() - 1) } else { begins }))
}

fn midnight(ask: &Ask<'_>, date: Date) -> Timestamp {
    if !ask.pairs {
        return ask.market.calendar().midnight(date);
    }
    format!("{date}T00:00:00Z").parse().unwrap_or_default()
}
