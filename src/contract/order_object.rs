//! The order object and the order update in Alpaca's form: what bots see as `order_data`, whichever venue holds the order.
//!
//! Pure functions from our own types to JSON text; decimals are texts and every key is there, empty ones as null. Must
//! not know who keeps orders, nor any transport.

use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::events::OrderUpdate;
use crate::model::{Order, OrderChange, OrderClass, OrderType, Size, Timestamp, Trail};

/// What stands in an order object and not in the order: its asset, and the orders around it.
#[derive(Debug, Clone, Copy)]
pub struct OrderSetting<'a> {
    pub asset_id: &'a str,
    /// `us_equity` or `crypto`.
    pub asset_class: &'a str,
    /// The class of the order that this one hangs on.
    pub class_of_parent: Option<OrderClass>,
    /// The orders that hang on this one, where they are to be shown.
    pub legs: &'a [Arc<Order>],
}

impl<'a> OrderSetting<'a> {
    /// Of an order that is shown by itself.
    pub fn plain(asset_id: &'a str, asset_class: &'a str) -> OrderSetting<'a> {
        OrderSetting { asset_id, asset_class, class_of_parent: None, legs: &[] }
    }
}

/// A value as its text, in quotes.
struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

type Number = Text<Decimal>;
type Time = Text<Timestamp>;
type Never = Option<&'static str>;

fn number(value: Decimal) -> Number {
    Text(value.normalize())
}

/// The order object.
#[derive(Serialize)]
pub struct OrderObject<'a> {
    id: &'a str,
    client_order_id: &'a str,
    created_at: Time,
    updated_at: Time,
    submitted_at: Time,
    filled_at: Option<Time>,
    expired_at: Option<Time>,
    expires_at: Never,
    cancel_requested_at: Never,
    canceled_at: Option<Time>,
    failed_at: Option<Time>,
    replaced_at: Option<Time>,
    replaced_by: Option<&'a str>,
    replaces: Option<&'a str>,
    asset_id: &'a str,
    symbol: &'a str,
    asset_class: &'a str,
    notional: Option<Number>,
    qty: Option<Number>,
    filled_qty: Number,
    filled_avg_price: Option<Number>,
    order_class: &'static str,
    order_type: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    side: &'static str,
    position_intent: Option<&'static str>,
    time_in_force: &'static str,
    limit_price: Option<Number>,
    stop_price: Option<Number>,
    status: &'static str,
    extended_hours: bool,
    legs: Option<Vec<OrderObject<'a>>>,
    trail_percent: Option<Number>,
    trail_price: Option<Number>,
    hwm: Option<Number>,
    ratio_qty: Never,
    subtag: Never,
    source: Never,
}

impl fmt::Debug for OrderObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderObject").field("id", &self.id).field("status", &self.status).finish_non_exhaustive()
    }
}

/// The venue writes an empty class for an order on which nothing hangs.
fn class_of(order: &Order, parent: Option<OrderClass>) -> &'static str {
    match (order.request.class, parent) {
        (OrderClass::Simple, None | Some(OrderClass::Simple)) => "",
        (OrderClass::Simple, Some(parent)) => parent.as_str(),
        (own, _) => own.as_str(),
    }
}

impl<'a> OrderObject<'a> {
    pub fn new(order: &'a Order, setting: OrderSetting<'a>) -> OrderObject<'a> {
        let request = &order.request;
        let (qty, notional) = match request.size {
            Size::Quantity(quantity) => (Some(quantity.value()), None),
            Size::Notional(notional) => (None, Some(notional.value())),
        };
        let (trail_price, trail_percent) = match request.kind {
            OrderType::TrailingStop { trail: Trail::Price(price) } => (Some(price.value()), None),
            OrderType::TrailingStop { trail: Trail::Percent(percent) } => (None, Some(percent.value())),
            _ => (None, None),
        };
        let kind = request.kind.as_str();
        let of_leg = OrderSetting { class_of_parent: Some(request.class), legs: &[], ..setting };
        OrderObject {
            id: order.id.as_str(),
            client_order_id: request.client_order_id.as_str(),
            created_at: Text(order.times.created),
            updated_at: Text(order.times.updated),
            submitted_at: Text(order.times.submitted),
            filled_at: order.times.filled.map(Text),
            expired_at: order.times.expired.map(Text),
            expires_at: None,
            cancel_requested_at: None,
            canceled_at: order.times.canceled.map(Text),
            failed_at: order.times.failed.map(Text),
            replaced_at: order.times.replaced.map(Text),
            replaced_by: order.replaced_by.as_ref().map(|id| id.as_str()),
            replaces: order.replaces.as_ref().map(|id| id.as_str()),
            asset_id: setting.asset_id,
            symbol: request.symbol.as_str(),
            asset_class: setting.asset_class,
            notional: notional.map(number),
            qty: qty.map(number),
            filled_qty: number(order.filled),
            filled_avg_price: order.average_price().map(number),
            order_class: class_of(order, setting.class_of_parent),
            order_type: kind,
            kind,
            side: request.side.as_str(),
            position_intent: order.intent.map(|intent| intent.as_str()),
            time_in_force: request.time_in_force.as_str(),
            limit_price: request.kind.limit().map(|price| number(price.value())),
            stop_price: request.kind.stop().map(|price| price.value()).or(order.trailing_stop).map(number),
            status: order.status.as_str(),
            extended_hours: request.extended_hours,
            legs: (!setting.legs.is_empty()).then(|| setting.legs.iter().map(|leg| OrderObject::new(leg, of_leg)).collect()),
            trail_percent: trail_percent.map(number),
            trail_price: trail_price.map(number),
            hwm: order.high_water.map(number),
            ratio_qty: None,
            subtag: None,
            source: None,
        }
    }

    pub fn to_json(&self) -> String {
        // A struct of texts always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct TradeUpdate<'a> {
    event: &'static str,
    execution_id: Option<&'a str>,
    order: OrderObject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position_qty: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    timestamp: Time,
}

/// The order object as JSON text.
pub fn write_order(order: &Order, setting: OrderSetting<'_>) -> String {
    OrderObject::new(order, setting).to_json()
}

/// The `data` of a `trade_updates` message as JSON text.
pub fn write_trade_update(update: &OrderUpdate, setting: OrderSetting<'_>) -> String {
    // The venue names a step only once its market has taken the order.
    let named = !matches!(update.change, OrderChange::PendingNew | OrderChange::Accepted);
    let fill = update.fill.as_ref();
    let view = TradeUpdate {
        event: update.change.as_str(),
        execution_id: update.execution_id.as_ref().filter(|_| named).map(|id| id.as_str()),
        order: OrderObject::new(&update.order, setting),
        position_qty: fill.map(|fill| number(fill.position)),
        price: fill.map(|fill| number(fill.price)),
        qty: fill.map(|fill| number(fill.quantity)),
        reason: update.reason.as_deref(),
        timestamp: Text(update.at),
    };
    serde_json::to_string(&view).unwrap_or_default()
}

#[cfg(test)]
#[path = "order_object_tests.rs"]
mod tests;
