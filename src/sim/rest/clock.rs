//! The clock and the calendar, as the venue writes them.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::{Request, Response};
use crate::calendar::MarketDay;
use crate::model::{MarketSession, Timestamp};
use crate::sim::config::Hours;
use crate::sim::exchange::Refusal;
use crate::sim::market::MarketData;

/// The markets of the third version: short name, code, name. All keep the same hours.
const MARKETS: [(&str, &str, &str); 4] = [
    ("NYSE", "XNYS", "New York Stock Exchange"),
    ("NASDAQ", "XNAS", "Nasdaq Stock Market"),
    ("ARCA", "ARCX", "NYSE Arca"),
    ("BATS", "BATS", "Cboe BZX Exchange"),
];
const ZONE: &str = "America/New_York";
/// What the calendar shows when no dates are given.
const DEFAULT_DATES: (Date, Date) = (jiff::civil::date(2016, 1, 1), jiff::civil::date(2029, 12, 31));

/// Answers what is asked of clock and calendar; `None` for any other path.
pub(super) fn respond(market: &MarketData, request: &Request<'_>, path: &[&str], now: Timestamp) -> Option<Response> {
    let answer = match path {
        ["v2", "clock"] => Ok(clock(market, now)),
        ["v2", "calendar"] => calendar(market, request),
        ["v3", "clock"] => clocks(market, request, now),
        ["v3", "calendar", name] => phases(market, request, name),
        _ => return None,
    };
    Some(if request.method == "GET" { answer.unwrap_or_else(Response::from) } else { Response::error(405) })
}

fn unprocessable(message: String) -> Refusal {
    Refusal::new(422, 40_010_001, message)
}

/// In the market's zone, with its offset.
fn local(market: &MarketData, at: Timestamp, format: &str) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default();
    at.to_zoned(market.calendar().zone().clone()).strftime(format).to_string()
}

fn second(market: &MarketData, at: Timestamp) -> String {
    local(market, at, "%Y-%m-%dT%H:%M:%S%:z")
}

/// The coming close and the opening after it, or the coming opening and the close after that.
fn coming(market: &MarketData, now: Timestamp) -> (Timestamp, Timestamp) {
    let calendar = market.calendar();
    let close = calendar.next_close(now).unwrap_or(now);
    let open = match market.hours() {
        Hours::Always => calendar.next_open(close),
        Hours::Calendar => calendar.next_open(now),
    };
    (open.unwrap_or(close), close)
}

fn clock(market: &MarketData, now: Timestamp) -> Response {
    let (open, close) = coming(market, now);
    let exact = local(market, now, "%Y-%m-%dT%H:%M:%S.%9f%:z");
    let is_open = market.session_now(now) == MarketSession::Regular;
    Response::json(200, &json!({"timestamp": exact, "is_open": is_open, "next_open": second(market, open), "next_close": second(market, close)}))
}

/// The trading days that are asked for.
fn days<'a>(market: &'a MarketData, request: &Request<'_>) -> Result<impl Iterator<Item = MarketDay> + 'a, Refusal> {
    let date = |name: &str, default: Date| match request.query(name) {
        // A time counts as its date.
        Some(text) => text.get(..10).and_then(|date| date.parse().ok()).ok_or_else(|| unprocessable(format!("invalid {name}: {text}, a date is expected"))),
        None => Ok(default),
    };
    let (start, end) = (date("start", DEFAULT_DATES.0)?, date("end", DEFAULT_DATES.1)?);
    if end < start {
        return Err(unprocessable("end should not be before start".to_owned()));
    }
    let by_settlement = match request.query("date_type").unwrap_or("TRADING") {
        "TRADING" => false,
        "SETTLEMENT" => true,
        other => return Err(unprocessable(format!("invalid date_type: {other}"))),
    };
    // What settles in a week was traded in it or in the week before.
    let from = if by_settlement { start.checked_sub(jiff::Span::new().days(14)).unwrap_or(start) } else { start };
    let days = market.calendar().days(from, end);
    Ok(days.filter(move |day| !by_settlement || (start..=end).contains(&day.settlement)))
}

fn calendar(market: &MarketData, request: &Request<'_>) -> Result<Response, Refusal> {
    let time = |at, format| local(market, at, format);
    let day = |day: MarketDay| {
        json!({
            "date": day.date.to_string(), "open": time(day.open, "%H:%M"), "close": time(day.close, "%H:%M"),
            "session_open": time(day.session_open, "%H%M"), "session_close": time(day.session_close, "%H%M"),
            "settlement_date": day.settlement.to_string(),
        })
    };
    Ok(Response::json(200, &Value::Array(days(market, request)?.map(day).collect())))
}

fn market_view((acronym, mic, name): (&str, &str, &str)) -> Value {
    json!({"acronym": acronym, "mic": mic, "name": name, "timezone": ZONE})
}

fn find(name: &str) -> Result<(&'static str, &'static str, &'static str), Refusal> {
    let found = MARKETS.into_iter().find(|(acronym, mic, _)| name.eq_ignore_ascii_case(acronym) || name.eq_ignore_ascii_case(mic));
    found.ok_or_else(|| Refusal::new(404, 40_410_000, format!("market not found for {name}")))
}

fn phase(session: MarketSession) -> &'static str {
    match session {
        MarketSession::Closed => "closed",
        MarketSession::Pre => "pre",
        MarketSession::Regular => "core",
        MarketSession::Post => "post",
    }
}

fn clocks(market: &MarketData, request: &Request<'_>, now: Timestamp) -> Result<Response, Refusal> {
    let wanted = match request.query("markets") {
        Some(names) => names.split(',').map(|name| find(name.trim())).collect::<Result<Vec<_>, _>>()?,
        None => MARKETS.to_vec(),
    };
    let calendar = market.calendar();
    let (open, close) = coming(market, now);
    let until = match market.hours() {
        Hours::Always => close,
        Hours::Calendar => calendar.next_change(now).0,
    };
    let is_market_day = market.hours() == Hours::Always || calendar.day(calendar.date_at(now)).is_some();
    let clock = |known| {
        json!({
            "market": market_view(known), "timestamp": local(market, now, "%Y-%m-%dT%H:%M:%S.%9f%:z"), "is_market_day": is_market_day,
            "phase": phase(market.session_now(now)), "phase_until": second(market, until),
            "next_market_open": second(market, open), "next_market_close": second(market, close),
        })
    };
    Ok(Response::json(200, &json!({"clocks": wanted.into_iter().map(clock).collect::<Vec<_>>()})))
}

fn phases(market: &MarketData, request: &Request<'_>, name: &str) -> Result<Response, Refusal> {
    let known = find(name)?;
    let utc = match request.query("timezone") {
        None | Some(ZONE) => false,
        Some("UTC") => true,
        Some(other) => return Err(unprocessable(format!("invalid timezone: {other}, UTC or {ZONE} is expected"))),
    };
    let time = |at: Timestamp| if utc { format!("{}Z", &at.to_string()[..19]) } else { second(market, at) };
    let day = |day: MarketDay| {
        json!({
            "date": day.date.to_string(), "pre_start": time(day.session_open), "pre_end": time(day.open), "core_start": time(day.open),
            "core_end": time(day.close), "post_start": time(day.close), "post_end": time(day.session_close),
            "settlement_date": day.settlement.to_string(),
        })
    };
    let days: Vec<Value> = days(market, request)?.map(day).collect();
    Ok(Response::json(200, &json!({"market": market_view(known), "calendar": days})))
}

#[cfg(test)]
mod tests;
