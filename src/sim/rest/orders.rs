//! Placing, listing and cancelling orders.
//!
//! Numbers may come as JSON numbers or as texts, and are read as decimals from their own digits.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Request, Response};
use crate::model::Timestamp;
use crate::sim::exchange::{Exchange, Order, OrderKind, OrderRequest, OrderView, Refusal, Side, Size, TimeInForce};

const MAX_CLIENT_ID: usize = 128;
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// What a client sends; an empty text and null count as absent.
#[derive(Deserialize)]
struct Body<'a> {
    symbol: Option<String>,
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
    #[serde(borrow)]
    notional: Option<&'a RawValue>,
    side: Option<String>,
    r#type: Option<String>,
    time_in_force: Option<String>,
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
    extended_hours: Option<bool>,
    client_order_id: Option<String>,
    order_class: Option<String>,
}

fn refuse(message: impl Into<String>) -> Refusal {
    Refusal::new(422, 42_210_000, message)
}

/// A decimal above zero.
fn number(field: &str, raw: Option<&RawValue>) -> Result<Option<Decimal>, Refusal> {
    let text = raw.map_or("null", RawValue::get).trim_matches('"');
    if text.is_empty() || text == "null" {
        return Ok(None);
    }
    let parsed = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
    match parsed {
        Ok(value) if value > Decimal::ZERO && value < Decimal::from(1_000_000_000_000_u64) => Ok(Some(value)),
        _ => Err(refuse(format!("{field} must be a number > 0"))),
    }
}

fn request_of(body: &[u8]) -> Result<OrderRequest, Refusal> {
    let undecodable = |_| Refusal::new(400, 40_010_000, "failed to decode request body");
    let body: Body<'_> = serde_json::from_slice(body).map_err(undecodable)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    if !matches!(body.order_class.as_deref(), None | Some("" | "simple")) {
        return Err(refuse("this simulated exchange takes orders of class simple only"));
    }
    let size = match (number("qty", body.qty)?, number("notional", body.notional)?) {
        (Some(quantity), None) => Size::Quantity(quantity),
        (None, Some(notional)) => Size::Notional(notional),
        (None, None) => return Err(Refusal::new(422, 40_010_001, "qty or notional is required")),
        (Some(_), Some(_)) => return Err(Refusal::new(422, 40_010_001, "only one of qty or notional is accepted")),
    };
    let side = match body.side.as_deref() {
        Some("buy") => Side::Buy,
        Some("sell") => Side::Sell,
        _ => return Err(refuse("side must be buy or sell")),
    };
    let kind = match (body.r#type.as_deref(), number("limit_price", body.limit_price)?) {
        (Some("market"), None) => OrderKind::Market,
        (Some("market"), Some(_)) => return Err(refuse("market orders require no limit price")),
        (Some("limit"), Some(price)) => OrderKind::Limit(price),
        (Some("limit"), None) => return Err(refuse("limit orders require limit price")),
        _ => return Err(refuse("this simulated exchange takes orders of type market and limit only")),
    };
    let time_in_force = match body.time_in_force.as_deref() {
        Some("day") => TimeInForce::Day,
        Some("gtc") => TimeInForce::Gtc,
        Some("ioc") => TimeInForce::Ioc,
        _ => return Err(refuse("this simulated exchange takes the times in force day, gtc and ioc only")),
    };
    let client_order_id = given(body.client_order_id);
    if client_order_id.as_ref().is_some_and(|id| id.chars().count() > MAX_CLIENT_ID) {
        return Err(refuse(format!("client_order_id must be no more than {MAX_CLIENT_ID} characters")));
    }
    Ok(OrderRequest {
        symbol: given(body.symbol).ok_or_else(|| refuse("symbol is required"))?,
        size,
        side,
        kind,
        time_in_force,
        extended_hours: body.extended_hours.unwrap_or_default(),
        client_order_id,
    })
}

pub(super) fn place(exchange: &mut Exchange, account: &str, body: &[u8], now: Timestamp) -> Result<Response, Refusal> {
    let order = exchange.submit(account, request_of(body)?, now)?;
    Ok(Response::view(&order.view()))
}

pub(super) fn cancel_all(exchange: &mut Exchange, account: &str, now: Timestamp) -> Response {
    let canceled: Vec<_> = exchange.cancel_all(account, now).into_iter().map(|id| json!({"id": id, "status": 200})).collect();
    Response::json(207, &canceled.into())
}

pub(super) fn list(exchange: &Exchange, account: &str, request: &Request<'_>) -> Result<Response, Refusal> {
    let time = |name: &str| request.query(name).map(|text| moment(text).ok_or_else(|| refuse(format!("invalid {name}")))).transpose();
    let (after, until) = (time("after")?, time("until")?);
    // A cursor stands for the place of an order in the list.
    let place = |name: &str| -> Result<Option<u64>, Refusal> {
        let Some(id) = request.query(name) else { return Ok(None) };
        let wanted = exchange.order(account, id)?.id.clone();
        Ok(exchange.orders(account).find(|(_, order)| order.id == wanted).map(|(seq, _)| seq))
    };
    let (after_seq, before_seq) = (place("after_order_id")?, place("before_order_id")?);
    let open = match request.query("status").unwrap_or("open") {
        "open" => Some(true),
        "closed" => Some(false),
        "all" => None,
        _ => return Err(refuse("status must be open, closed or all")),
    };
    let limit = request.query("limit").map_or(Ok(DEFAULT_LIMIT), str::parse::<usize>).map_err(|_| refuse("invalid limit"))?;
    let symbols: Option<Vec<&str>> = request.query("symbols").map(|list| list.split(',').collect());
    let side = request.query("side");
    let wanted = |(seq, order): &(u64, &Order)| {
        let view = &order.request;
        open.is_none_or(|open| order.status.is_open() == open)
            && after.is_none_or(|after| order.submitted_at > after)
            && until.is_none_or(|until| order.submitted_at < until)
            && after_seq.is_none_or(|after| *seq > after)
            && before_seq.is_none_or(|before| *seq < before)
            && symbols.as_ref().is_none_or(|names| names.contains(&view.symbol.as_str()))
            && side.is_none_or(|side| view.side.as_str() == side)
    };
    let chosen = exchange.orders(account).filter(wanted);
    let limit = limit.min(MAX_LIMIT);
    let list: Vec<OrderView<'_>> = match request.query("direction") {
        Some("asc") => chosen.take(limit).map(|(_, order)| order.view()).collect(),
        _ => chosen.rev().take(limit).map(|(_, order)| order.view()).collect(),
    };
    Ok(Response::view(&list))
}

/// A time, or a date for its midnight.
fn moment(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).ok()
}
