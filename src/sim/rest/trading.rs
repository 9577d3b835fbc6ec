//! Which part of the trading interface a request is for.

use super::{Request, Response, account, activities, orders, positions};
use crate::model::Timestamp;
use crate::sim::exchange::{Exchange, Refusal};

/// Answers what concerns accounts, positions and orders; `None` for all else.
pub(super) fn respond(exchange: &mut Exchange, account: &str, request: &Request<'_>, path: &[&str], now: Timestamp) -> Option<Result<Response, Refusal>> {
    Some(match (request.method, path) {
        ("GET", ["v2", "account"]) => account::show(exchange, account, now),
        ("GET", ["v2", "account", "configurations"]) => account::configuration(exchange, account),
        ("PATCH", ["v2", "account", "configurations"]) => account::configure(exchange, account, request.body),
        ("GET", ["v2", "account", "activities"]) => activities::list(exchange, account, None, request),
        ("GET", ["v2", "account", "activities", kind]) => activities::list(exchange, account, Some(kind), request),
        ("GET", ["v2", "positions"]) => positions::list(exchange, account),
        ("GET", ["v2", "positions", symbol @ ..]) => positions::show(exchange, account, &symbol.join("/")),
        ("DELETE", ["v2", "positions"]) => positions::close_all(exchange, account, request, now),
        ("DELETE", ["v2", "positions", symbol @ ..]) => positions::close(exchange, account, &symbol.join("/"), request, now),
        ("GET", ["v2", "orders"]) => orders::list(exchange, account, request),
        ("POST", ["v2", "orders"]) => orders::place(exchange, account, request.body, now),
        ("DELETE", ["v2", "orders"]) => Ok(orders::cancel_all(exchange, account, now)),
        ("GET", ["v2", "orders", id]) => orders::show(exchange, account, id, request),
        ("PATCH", ["v2", "orders", id]) => orders::replace(exchange, account, id, request.body, now),
        ("DELETE", ["v2", "orders", id]) => orders::cancel(exchange, account, id, now),
        ("GET", ["v2", "orders:by_client_order_id"]) => orders::show_named(exchange, account, request),
        _ => return None,
    })
}
