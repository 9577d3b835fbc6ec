//! Placing, changing, showing and cancelling orders.

mod body;
mod list;

use serde_json::{Value, json};

pub(super) use list::list;

use super::body::refuse;
use super::{Request, Response};
use crate::model::Timestamp;
use crate::sim::exchange::{Exchange, Refusal};

fn one(text: String) -> Response {
    Response { status: 200, body: text.into_bytes() }
}

fn nested(request: &Request<'_>) -> bool {
    request.query("nested").is_some_and(|flag| matches!(flag, "true" | "1" | "True"))
}

pub(super) fn place(exchange: &mut Exchange, account: &str, body: &[u8], now: Timestamp) -> Result<Response, Refusal> {
    let arrival = exchange.place(account, body::place(body)?, now)?;
    Ok(one(exchange.arrival_text(account, &arrival)))
}

pub(super) fn replace(exchange: &mut Exchange, account: &str, id: &str, body: &[u8], now: Timestamp) -> Result<Response, Refusal> {
    exchange.order(account, id)?;
    let arrival = exchange.replace(account, id, body::replace(body)?, now)?;
    Ok(one(exchange.arrival_text(account, &arrival)))
}

pub(super) fn show(exchange: &Exchange, account: &str, id: &str, request: &Request<'_>) -> Result<Response, Refusal> {
    let order = exchange.order(account, id)?;
    Ok(one(exchange.order_text(account, order, nested(request))))
}

pub(super) fn show_named(exchange: &Exchange, account: &str, request: &Request<'_>) -> Result<Response, Refusal> {
    let id = request.query("client_order_id").ok_or_else(|| refuse("client_order_id is required"))?;
    let order = exchange.order_by_client_id(account, id)?;
    Ok(one(exchange.order_text(account, order, nested(request))))
}

pub(super) fn cancel(exchange: &mut Exchange, account: &str, id: &str, now: Timestamp) -> Result<Response, Refusal> {
    exchange.cancel(account, id, now)?;
    Ok(Response { status: 204, body: Vec::new() })
}

pub(super) fn cancel_all(exchange: &mut Exchange, account: &str, now: Timestamp) -> Response {
    let outcomes = exchange.cancel_all(account, now).into_iter().map(|(id, result)| match result {
        Ok(()) => json!({"id": id.as_str(), "status": 200}),
        Err(refusal) => json!({"id": id.as_str(), "status": 500, "body": refusal.body()}),
    });
    Response::json(207, &Value::Array(outcomes.collect()))
}
