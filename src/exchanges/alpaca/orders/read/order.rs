//! The order object, and lists of it.

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::super::field::Object;
use super::{ReadError, symbol};
use crate::model::{
    Exit, Money, Order, OrderClass, OrderRequest, OrderStatus, OrderTimes, OrderType, Percent, PositionIntent, Quantity, Side, Size, StopLoss, TakeProfit,
    TimeInForce, Timestamp, Trail, VenueOrderId, worth,
};

/// An order of a list; its id is known even where the rest cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: String,
    pub submitted: Option<Timestamp>,
    pub order: Result<Order, ReadError>,
    /// Those that hang on it, where the list shows them inside.
    pub legs: Vec<Listed>,
}

/// What became of one order when all were to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    pub id: VenueOrderId,
    pub status: u16,
    pub code: Option<String>,
    pub reason: Option<String>,
}

/// Reads an order object; the text of the order is the object as it came.
pub fn read_order(json: &str) -> Result<Order, ReadError> {
    let object = Object::read(json).ok_or(ReadError::Form)?;
    read_object(&object, json)
}

/// Reads a list of orders, one by one: what cannot be read costs nobody the others.
pub fn read_orders(json: &str) -> Result<Vec<Listed>, ReadError> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| ReadError::List)?;
    Ok(items.into_iter().map(|item| listed(item.get())).collect())
}

fn listed(json: &str) -> Listed {
    let Some(object) = Object::read(json) else {
        return Listed { id: String::new(), submitted: None, order: Err(ReadError::Form), legs: Vec::new() };
    };
    let order = read_object(&object, json);
    let legs = object.list("legs").into_iter().map(|leg| {
        let mut leg = listed(leg.get());
        if let (Ok(leg), Ok(parent)) = (&mut leg.order, &order) {
            leg.parent = Some(parent.id.clone());
        }
        leg
    });
    Listed { id: object.text("id").unwrap_or_default(), submitted: object.time("submitted_at"), legs: legs.collect(), order }
}

/// Reads the answer to a cancel of everything.
pub fn read_cancelled(json: &str) -> Result<Vec<Cancelled>, ReadError> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| ReadError::List)?;
    let read = |item: &RawValue| {
        let object = Object::read(item.get()).ok_or(ReadError::Form)?;
        let body = object.raw("body").and_then(|body| Object::read(body.get()));
        Ok(Cancelled {
            id: object.parse("id").ok_or(ReadError::Field("id"))?,
            status: object.parse("status").ok_or(ReadError::Field("status"))?,
            code: body.as_ref().and_then(|body| body.text("code")),
            reason: body.as_ref().and_then(|body| body.text("message")),
        })
    };
    items.into_iter().map(read).collect()
}

fn read_object(object: &Object<'_>, json: &str) -> Result<Order, ReadError> {
    let id = object.parse("id").ok_or(ReadError::Field("id"))?;
    let filled = object.number("filled_qty").unwrap_or_default();
    let legs: Vec<Object<'_>> = object.list("legs").into_iter().filter_map(|leg| Object::read(leg.get())).collect();
    let request = request(object, &legs, filled)?;
    let trailing = matches!(request.kind, OrderType::TrailingStop { .. });
    let mut order = Order::new(id, request, status(object, filled), Timestamp::default());
    order.filled = filled;
    order.filled_value = object.number("filled_avg_price").map(|price| worth(price, filled)).unwrap_or_default();
    order.fees = object.number("commission").unwrap_or_default();
    order.intent = object.text("position_intent").and_then(|word| intent(&word));
    order.trailing_stop = object.number("stop_price").filter(|_| trailing);
    order.high_water = object.number("hwm");
    order.legs = legs.iter().filter_map(|leg| leg.parse("id")).collect();
    order.replaces = object.parse("replaces");
    order.replaced_by = object.parse("replaced_by");
    order.times = times(object);
    order.text = Some(json.into());
    Ok(order)
}

fn request(object: &Object<'_>, legs: &[Object<'_>], filled: Decimal) -> Result<OrderRequest, ReadError> {
    let client_order_id = object.text("client_order_id").ok_or(ReadError::NoClientId)?;
    let name = object.text("symbol").ok_or(ReadError::NoSymbol)?;
    let kind = kind(object);
    Ok(OrderRequest {
        client_order_id: client_order_id.parse().map_err(|_| ReadError::Field("client_order_id"))?,
        symbol: symbol(&name, object.text("asset_class").as_deref()).ok_or(ReadError::Field("symbol"))?,
        side: object.text("side").and_then(|word| side(&word)).ok_or(ReadError::Field("side"))?,
        size: size(object, filled).ok_or(ReadError::Field("qty"))?,
        kind,
        time_in_force: time_in_force(object),
        extended_hours: object.is_true("extended_hours"),
        class: class(object, legs),
    })
}

pub(super) fn side(word: &str) -> Option<Side> {
    match word {
        "buy" => Some(Side::Buy),
        "sell" | "sell_short" => Some(Side::Sell),
        _ => None,
    }
}

/// What was filled stands in for a size that is not said.
fn size(object: &Object<'_>, filled: Decimal) -> Option<Size> {
    let quantity = |value| Quantity::new(value).ok().map(Size::Quantity);
    let money = |value| Money::new(value).ok().map(Size::Notional);
    object.number("qty").and_then(quantity).or_else(|| object.number("notional").and_then(money)).or_else(|| quantity(filled))
}

/// By its name where its prices are there, else by the prices that are.
fn kind(object: &Object<'_>) -> OrderType {
    let (limit, stop) = (object.parse("limit_price"), object.parse("stop_price"));
    let trail_price = object.parse("trail_price").map(Trail::Price);
    let trail = trail_price.or_else(|| object.parse::<Percent>("trail_percent").map(Trail::Percent));
    let name = object.text("type").or_else(|| object.text("order_type")).unwrap_or_default();
    match (name.as_str(), limit, stop, trail) {
        ("market", ..) => OrderType::Market,
        ("limit", Some(limit), ..) => OrderType::Limit { limit },
        ("stop", _, Some(stop), _) => OrderType::Stop { stop },
        (_, _, _, Some(trail)) => OrderType::TrailingStop { trail },
        (_, Some(limit), Some(stop), _) => OrderType::StopLimit { stop, limit },
        (_, Some(limit), None, _) => OrderType::Limit { limit },
        (_, None, Some(stop), _) => OrderType::Stop { stop },
        (_, None, None, None) => OrderType::Market,
    }
}

/// One that we do not know may last: an order that is open must not be taken for one that has ended.
fn time_in_force(object: &Object<'_>) -> TimeInForce {
    let name = object.text("time_in_force");
    TimeInForce::ALL.into_iter().find(|known| name.as_deref() == Some(known.as_str())).unwrap_or(TimeInForce::Gtc)
}

/// The prices of the exits stand in the legs alone: an order that is shown without them is shown as a simple one.
fn class(object: &Object<'_>, legs: &[Object<'_>]) -> OrderClass {
    let losing = legs.iter().find_map(|leg| leg.parse("stop_price").map(|stop| StopLoss { stop, limit: leg.parse("limit_price") }));
    let is_winning = |leg: &&Object<'_>| leg.raw("stop_price").is_none();
    let winning = legs.iter().filter(is_winning).find_map(|leg| leg.parse("limit_price").map(|limit| TakeProfit { limit }));
    match (object.text("order_class").as_deref(), winning, losing) {
        (Some("bracket"), Some(profit), Some(loss)) => OrderClass::Bracket { profit, loss },
        (Some("oco"), _, Some(loss)) => OrderClass::Oco { loss },
        (Some("oto"), Some(profit), None) => OrderClass::Oto { exit: Exit::Profit(profit) },
        (Some("oto"), None, Some(loss)) => OrderClass::Oto { exit: Exit::Loss(loss) },
        _ => OrderClass::Simple,
    }
}

fn status(object: &Object<'_>, filled: Decimal) -> OrderStatus {
    let name = object.text("status").unwrap_or_default();
    if let Some(known) = OrderStatus::from_name(&name).filter(|known| !matches!(known, OrderStatus::Denied | OrderStatus::Unknown)) {
        return known;
    }
    match name.as_str() {
        "accepted_for_bidding" => OrderStatus::Accepted,
        "pending_review" => OrderStatus::PendingNew,
        _ if object.number("qty").is_some_and(|quantity| quantity == filled && !filled.is_zero()) => OrderStatus::Filled,
        _ => OrderStatus::New,
    }
}

fn intent(word: &str) -> Option<PositionIntent> {
    let all = [PositionIntent::BuyToOpen, PositionIntent::BuyToClose, PositionIntent::SellToOpen, PositionIntent::SellToClose];
    all.into_iter().find(|known| known.as_str() == word)
}

fn times(object: &Object<'_>) -> OrderTimes {
    let (created, submitted, updated) = (object.time("created_at"), object.time("submitted_at"), object.time("updated_at"));
    OrderTimes {
        created: created.or(submitted).or(updated).unwrap_or_default(),
        submitted: submitted.or(created).or(updated).unwrap_or_default(),
        updated: updated.or(submitted).or(created).unwrap_or_default(),
        filled: object.time("filled_at"),
        canceled: object.time("canceled_at"),
        expired: object.time("expired_at"),
        failed: object.time("failed_at"),
        replaced: object.time("replaced_at"),
    }
}
