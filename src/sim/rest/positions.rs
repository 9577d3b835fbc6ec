//! What an account holds, and the ways to close it.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;
use serde_json::value::RawValue;

use super::body::{parse, refuse};
use super::{Request, Response};
use crate::model::{OrderClass, OrderType, Position, Quantity, Side, Size, TimeInForce, Timestamp, VenueOrderId};
use crate::sim::exchange::{Exchange, OrderWish, Refusal, money, plain};

/// Quantities have so many decimals.
const DECIMALS: u32 = 9;

#[derive(Serialize)]
struct PositionView<'a> {
    asset_id: &'a str,
    symbol: String,
    exchange: &'static str,
    asset_class: &'static str,
    asset_marginable: bool,
    qty: String,
    qty_available: String,
    side: &'static str,
    avg_entry_price: String,
    market_value: String,
    cost_basis: String,
    unrealized_pl: String,
    unrealized_plpc: String,
    unrealized_intraday_pl: String,
    unrealized_intraday_plpc: String,
    current_price: String,
    lastday_price: String,
    change_today: String,
}

fn none() -> Refusal {
    Refusal::not_found("position does not exist")
}

/// A part of the whole, as a fraction.
fn share(part: Decimal, whole: Decimal) -> String {
    plain(part.checked_div(whole.abs()).unwrap_or_default().round_dp(6))
}

fn view<'a>(exchange: &'a Exchange, account: &str, position: &Position) -> Option<PositionView<'a>> {
    let asset = exchange.asset(position.symbol.as_str())?;
    let entry = position.average_price().unwrap_or_default();
    let current = position.mark.unwrap_or(entry);
    let last_day = exchange.book(asset.symbol.as_str()).map_or(current, |book| book.last_day);
    // What was held before today counts from the last day's price, the rest from what it cost.
    let before = exchange.customer(account).map_or(Decimal::ZERO, |customer| customer.held_over_night(position));
    let intraday_basis = before * last_day + (position.quantity - before) * entry;
    let intraday = position.market_value() - intraday_basis;
    let held = exchange.held(account, asset.symbol.as_str());
    let short = position.quantity.is_sign_negative();
    Some(PositionView {
        asset_id: &asset.id,
        symbol: asset.symbol.as_str().replace('/', ""),
        exchange: asset.exchange(),
        asset_class: asset.class(),
        asset_marginable: !asset.pair,
        qty: plain(position.quantity),
        qty_available: plain(if short { position.quantity + held } else { position.quantity - held }),
        side: if short { "short" } else { "long" },
        avg_entry_price: plain(entry),
        market_value: money(position.market_value()),
        cost_basis: money(position.cost),
        unrealized_pl: money(position.unrealised()),
        unrealized_plpc: share(position.unrealised(), position.cost),
        unrealized_intraday_pl: money(intraday),
        unrealized_intraday_plpc: share(intraday, intraday_basis),
        current_price: plain(current),
        lastday_price: plain(last_day),
        change_today: share(current - last_day, last_day),
    })
}

pub(super) fn list(exchange: &Exchange, account: &str) -> Result<Response, Refusal> {
    exchange.customer(account)?;
    let positions = exchange.positions(account);
    let held = positions.iter().filter(|position| !position.quantity.is_zero());
    let views: Vec<PositionView<'_>> = held.filter_map(|position| view(exchange, account, position)).collect();
    Ok(Response::view(&views))
}

fn find(exchange: &Exchange, account: &str, symbol: &str) -> Result<Position, Refusal> {
    let asset = exchange.asset(symbol).ok_or_else(none)?;
    exchange.position(account, asset.symbol.as_str()).ok_or_else(none)
}

pub(super) fn show(exchange: &Exchange, account: &str, symbol: &str) -> Result<Response, Refusal> {
    let position = find(exchange, account, symbol)?;
    let view = view(exchange, account, &position).ok_or_else(none)?;
    Ok(Response::view(&view))
}

/// Closes a position, or as much of it as the query says.
pub(super) fn close(exchange: &mut Exchange, account: &str, symbol: &str, request: &Request<'_>, now: Timestamp) -> Result<Response, Refusal> {
    let position = find(exchange, account, symbol)?;
    let whole = position.quantity.abs();
    let quantity = match (request.query("qty"), request.query("percentage")) {
        (Some(_), Some(_)) => return Err(refuse("only one of qty or percentage is accepted")),
        (Some(text), None) => parse::<Quantity>("qty", text)?.value(),
        (None, Some(text)) => part(whole, parse::<Quantity>("percentage", text)?.value())?,
        (None, None) => whole,
    };
    close_units(exchange, account, &position, quantity, now).map(|text| Response { status: 200, body: text.into_bytes() })
}

fn part(whole: Decimal, percentage: Decimal) -> Result<Decimal, Refusal> {
    if percentage > Decimal::ONE_HUNDRED {
        return Err(refuse("percentage must be at most 100"));
    }
    Ok((whole * percentage / Decimal::ONE_HUNDRED).round_dp_with_strategy(DECIMALS, RoundingStrategy::ToZero))
}

/// Places the order that closes so many units; returns it as the venue writes it.
fn close_units(exchange: &mut Exchange, account: &str, position: &Position, quantity: Decimal, now: Timestamp) -> Result<String, Refusal> {
    let pair = position.symbol.is_pair();
    let wish = OrderWish {
        symbol: position.symbol.to_string(),
        side: if position.quantity.is_sign_negative() { Side::Buy } else { Side::Sell },
        size: Size::Quantity(Quantity::new(quantity).map_err(|error| refuse(format!("qty {error}")))?),
        kind: OrderType::Market,
        time_in_force: if pair { TimeInForce::Gtc } else { TimeInForce::Day },
        extended_hours: false,
        class: OrderClass::Simple,
        client_order_id: None,
        intent: None,
    };
    let arrival = exchange.place(account, wish, now)?;
    Ok(exchange.arrival_text(account, &arrival))
}

#[derive(Serialize)]
struct Closed {
    symbol: String,
    status: u16,
    body: Box<RawValue>,
}

fn cancels_orders(request: &Request<'_>) -> bool {
    request.query("cancel_orders").is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
}

/// Asks for the end of the orders that are to be cancelled before everything is closed; returns those that were open.
pub(super) fn cancel_first(exchange: &mut Exchange, account: &str, request: &Request<'_>, now: Timestamp) -> Vec<VenueOrderId> {
    if !cancels_orders(request) {
        return Vec::new();
    }
    exchange.cancel_all(account, now).into_iter().map(|(id, _)| id).collect()
}

/// Closes everything; what became of each position stands in the answer. Orders whose cancel is still on its way hold their
/// units: whoever serves a request lets [`cancel_first`] arrive before.
pub(super) fn close_all(exchange: &mut Exchange, account: &str, request: &Request<'_>, now: Timestamp) -> Result<Response, Refusal> {
    exchange.customer(account)?;
    cancel_first(exchange, account, request, now);
    let mut outcomes = Vec::new();
    for position in exchange.positions(account).into_iter().filter(|position| !position.quantity.is_zero()) {
        let result = close_units(exchange, account, &position, position.quantity.abs(), now);
        let (status, body) = match result {
            Ok(text) => (200, text),
            Err(refusal) => (refusal.status, refusal.body().to_string()),
        };
        let symbol = position.symbol.as_str().replace('/', "");
        outcomes.push(Closed { symbol, status, body: RawValue::from_string(body).unwrap_or_default() });
    }
    Ok(Response { status: 207, ..Response::view(&outcomes) })
}
