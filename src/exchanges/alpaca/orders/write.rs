//! The bodies of requests: a new order, or a change of one.
//!
//! Numbers leave as texts. Must not check what the venue will check.

use rust_decimal::Decimal;
use serde::Serialize;

use crate::model::{Exit, Modification, OrderClass, OrderPrice, OrderRequest, OrderType, Size, StopLoss, TakeProfit, Trail};

#[derive(Serialize)]
struct ProfitBody {
    limit_price: String,
}

#[derive(Serialize)]
struct LossBody {
    stop_price: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
}

#[derive(Serialize)]
struct OrderBody<'a> {
    symbol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notional: Option<String>,
    side: &'static str,
    r#type: &'static str,
    time_in_force: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail_percent: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    extended_hours: bool,
    client_order_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_class: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    take_profit: Option<ProfitBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_loss: Option<LossBody>,
}

#[derive(Serialize)]
struct ChangeBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_in_force: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_order_id: Option<&'a str>,
}

/// The body of a new order.
pub fn write_order(request: &OrderRequest) -> String {
    let (qty, notional) = match request.size {
        Size::Quantity(quantity) => (Some(number(quantity.value())), None),
        Size::Notional(money) => (None, Some(number(money.value()))),
    };
    let (trail_price, trail_percent) = match request.kind {
        OrderType::TrailingStop { trail: Trail::Price(price) } => (Some(number(price.value())), None),
        OrderType::TrailingStop { trail: Trail::Percent(percent) } => (None, Some(number(percent.value()))),
        _ => (None, None),
    };
    let (take_profit, stop_loss) = exits(request);
    // The price of an order that is itself the winning exit stands with the exits.
    let limit = request.kind.limit().filter(|_| !matches!(request.class, OrderClass::Oco { .. }));
    let body = OrderBody {
        symbol: request.symbol.as_str(),
        qty,
        notional,
        side: request.side.as_str(),
        r#type: request.kind.as_str(),
        time_in_force: request.time_in_force.as_str(),
        limit_price: limit.map(price),
        stop_price: request.kind.stop().map(price),
        trail_price,
        trail_percent,
        extended_hours: request.extended_hours,
        client_order_id: request.client_order_id.as_str(),
        order_class: (request.class != OrderClass::Simple).then(|| request.class.as_str()),
        take_profit,
        stop_loss,
    };
    // A struct of texts always serialises.
    serde_json::to_string(&body).unwrap_or_default()
}

/// The body of a change: what stays is left out.
pub fn write_modification(change: &Modification) -> String {
    let body = ChangeBody {
        qty: change.quantity.map(|quantity| number(quantity.value())),
        time_in_force: change.time_in_force.map(|time| time.as_str()),
        limit_price: change.limit.map(price),
        stop_price: change.stop.map(price),
        trail: change.trail.map(number),
        client_order_id: change.client_order_id.as_ref().map(|id| id.as_str()),
    };
    serde_json::to_string(&body).unwrap_or_default()
}

fn exits(request: &OrderRequest) -> (Option<ProfitBody>, Option<LossBody>) {
    match request.class {
        OrderClass::Simple => (None, None),
        OrderClass::Bracket { profit, loss } => (Some(profit_body(profit)), Some(loss_body(loss))),
        OrderClass::Oco { loss } => (request.kind.limit().map(|limit| profit_body(TakeProfit { limit })), Some(loss_body(loss))),
        OrderClass::Oto { exit: Exit::Profit(profit) } => (Some(profit_body(profit)), None),
        OrderClass::Oto { exit: Exit::Loss(loss) } => (None, Some(loss_body(loss))),
    }
}

fn profit_body(profit: TakeProfit) -> ProfitBody {
    ProfitBody { limit_price: price(profit.limit) }
}

fn loss_body(loss: StopLoss) -> LossBody {
    LossBody { stop_price: price(loss.stop), limit_price: loss.limit.map(price) }
}

fn price(price: OrderPrice) -> String {
    number(price.value())
}

fn number(value: Decimal) -> String {
    value.normalize().to_string()
}
