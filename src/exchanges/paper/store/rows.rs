//! Orders and executions as rows, every field of them.

use std::sync::LazyLock;

use rusqlite::{CachedStatement, Connection, Row, ToSql, params};
use rust_decimal::Decimal;

use super::text::Reader;
use crate::model::{
    Exit, Fill, Order, OrderClass, OrderPrice, OrderRequest, OrderStatus, OrderTimes, OrderType, Size, StopLoss, TakeProfit, Timestamp, Trail, VenueOrderId,
};

/// The columns of an order, as they are written and read.
const COLUMNS: [&str; 38] = [
    "key",
    "id",
    "client_order_id",
    "symbol",
    "side",
    "quantity",
    "notional",
    "kind",
    "limit_price",
    "stop_price",
    "trail_price",
    "trail_percent",
    "time_in_force",
    "extended_hours",
    "class",
    "profit_limit",
    "loss_stop",
    "loss_limit",
    "status",
    "open",
    "filled",
    "filled_value",
    "fees",
    "intent",
    "trailing_stop",
    "high_water",
    "parent",
    "legs",
    "replaces",
    "replaced_by",
    "created",
    "submitted",
    "updated",
    "filled_at",
    "canceled_at",
    "expired_at",
    "failed_at",
    "replaced_at",
];

/// What an order is found by never changes: to write it again would write the page of its index again.
const FOUND_BY: usize = 3;

static WRITE_ORDER: LazyLock<String> = LazyLock::new(|| {
    let changes: Vec<String> = COLUMNS[FOUND_BY..].iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let marks = vec!["?"; COLUMNS.len()].join(", ");
    format!("INSERT INTO orders ({}) VALUES ({marks}) ON CONFLICT (key) DO UPDATE SET {}", COLUMNS.join(", "), changes.join(", "))
});

/// Names of legs stand one a line: an identifier has no line end.
const BETWEEN_LEGS: &str = "\n";

/// How orders are found by their venue's name: as it is written with or without dashes, in small or capital letters.
pub(super) fn key(id: &str) -> String {
    id.bytes().filter(|byte| *byte != b'-').map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// `SELECT` of whole orders, ready for a condition.
pub(super) fn select_orders(condition: &str) -> String {
    format!("SELECT {} FROM orders {condition}", COLUMNS[1..].join(", "))
}

pub(super) fn write_order(db: &Connection, order: &Order) -> rusqlite::Result<()> {
    let request = &order.request;
    let (quantity, notional) = match request.size {
        Size::Quantity(quantity) => (Some(quantity.to_string()), None),
        Size::Notional(money) => (None, Some(money.to_string())),
    };
    let price = |price: Option<OrderPrice>| price.map(|price| price.to_string());
    let number = |number: Option<Decimal>| number.map(|number| number.to_string());
    let (trail_price, trail_percent) = match request.kind {
        OrderType::TrailingStop { trail: Trail::Price(price) } => (Some(price.to_string()), None),
        OrderType::TrailingStop { trail: Trail::Percent(percent) } => (None, Some(percent.to_string())),
        _ => (None, None),
    };
    let (profit, loss) = exits(request.class);
    let nanos = |at: Option<Timestamp>| at.map(Timestamp::nanos);
    let name = |id: &Option<VenueOrderId>| id.as_ref().map(ToString::to_string);
    let legs: Vec<&str> = order.legs.iter().map(VenueOrderId::as_str).collect();
    let times = &order.times;
    let mut statement: CachedStatement<'_> = db.prepare_cached(&WRITE_ORDER)?;
    let values: [&dyn ToSql; COLUMNS.len()] = [
        &key(order.id.as_str()),
        &order.id.as_str(),
        &request.client_order_id.as_str(),
        &request.symbol.as_str(),
        &request.side.as_str(),
        &quantity,
        &notional,
        &request.kind.as_str(),
        &price(request.kind.limit()),
        &price(request.kind.stop()),
        &trail_price,
        &trail_percent,
        &request.time_in_force.as_str(),
        &request.extended_hours,
        &request.class.as_str(),
        &price(profit.map(|exit| exit.limit)),
        &price(loss.map(|exit| exit.stop)),
        &price(loss.and_then(|exit| exit.limit)),
        &order.status.as_str(),
        &order.status.is_open(),
        &order.filled.to_string(),
        &order.filled_value.to_string(),
        &order.fees.to_string(),
        &order.intent.map(|intent| intent.as_str()),
        &number(order.trailing_stop),
        &number(order.high_water),
        &name(&order.parent),
        &legs.join(BETWEEN_LEGS),
        &name(&order.replaces),
        &name(&order.replaced_by),
        &times.created.nanos(),
        &times.submitted.nanos(),
        &times.updated.nanos(),
        &nanos(times.filled),
        &nanos(times.canceled),
        &nanos(times.expired),
        &nanos(times.failed),
        &nanos(times.replaced),
    ];
    statement.execute(values.as_slice()).map(drop)
}

fn exits(class: OrderClass) -> (Option<TakeProfit>, Option<StopLoss>) {
    match class {
        OrderClass::Simple => (None, None),
        OrderClass::Bracket { profit, loss } => (Some(profit), Some(loss)),
        OrderClass::Oco { loss } | OrderClass::Oto { exit: Exit::Loss(loss) } => (None, Some(loss)),
        OrderClass::Oto { exit: Exit::Profit(profit) } => (Some(profit), None),
    }
}

pub(super) fn read_order(row: &Row<'_>) -> rusqlite::Result<Order> {
    let mut column = Reader::new(row);
    let id = column.parsed("identifier")?;
    let client_order_id = column.parsed("identifier")?;
    let symbol = column.parsed("symbol")?;
    let side = column.side()?;
    let (quantity, notional) = (column.optional("quantity")?, column.optional("amount of money")?);
    let size = quantity.map(Size::Quantity).or(notional.map(Size::Notional)).ok_or_else(|| column.bad("size"))?;
    let kind = read_kind(&mut column)?;
    let time_in_force = column.time_in_force()?;
    let extended_hours = column.flag()?;
    let class = read_class(&mut column)?;
    let status = column.text()?;
    let status = OrderStatus::from_name(&status).ok_or_else(|| column.bad("status"))?;
    column.flag()?;
    Ok(Order {
        id,
        request: OrderRequest { client_order_id, symbol, side, size, kind, time_in_force, extended_hours, class },
        status,
        filled: column.decimal()?,
        filled_value: column.decimal()?,
        fees: column.decimal()?,
        intent: column.intent()?,
        trailing_stop: column.optional("price")?,
        high_water: column.optional("price")?,
        parent: column.optional("identifier")?,
        legs: read_legs(&mut column)?,
        replaces: column.optional("identifier")?,
        replaced_by: column.optional("identifier")?,
        times: OrderTimes {
            created: column.time()?,
            submitted: column.time()?,
            updated: column.time()?,
            filled: column.optional_time()?,
            canceled: column.optional_time()?,
            expired: column.optional_time()?,
            failed: column.optional_time()?,
            replaced: column.optional_time()?,
        },
        text: None,
    })
}

fn read_kind(column: &mut Reader<'_, '_>) -> rusqlite::Result<OrderType> {
    let kind = column.text()?;
    let (limit, stop) = (column.optional("price")?, column.optional("price")?);
    let trail: Option<OrderPrice> = column.optional("price")?;
    let trail = trail.map(Trail::Price).or(column.optional("share")?.map(Trail::Percent));
    let kind = match (kind.as_str(), limit, stop, trail) {
        ("market", None, None, None) => OrderType::Market,
        ("limit", Some(limit), None, None) => OrderType::Limit { limit },
        ("stop", None, Some(stop), None) => OrderType::Stop { stop },
        ("stop_limit", Some(limit), Some(stop), None) => OrderType::StopLimit { stop, limit },
        ("trailing_stop", None, None, Some(trail)) => OrderType::TrailingStop { trail },
        _ => return Err(column.bad("type of an order")),
    };
    Ok(kind)
}

fn read_class(column: &mut Reader<'_, '_>) -> rusqlite::Result<OrderClass> {
    let class = column.text()?;
    let profit = column.optional("price")?.map(|limit| TakeProfit { limit });
    let stop = column.optional("price")?;
    let limit = column.optional("price")?;
    let loss = stop.map(|stop| StopLoss { stop, limit });
    let class = match (class.as_str(), profit, loss) {
        ("simple", None, None) => OrderClass::Simple,
        ("bracket", Some(profit), Some(loss)) => OrderClass::Bracket { profit, loss },
        ("oco", None, Some(loss)) => OrderClass::Oco { loss },
        ("oto", Some(profit), None) => OrderClass::Oto { exit: Exit::Profit(profit) },
        ("oto", None, Some(loss)) => OrderClass::Oto { exit: Exit::Loss(loss) },
        _ => return Err(column.bad("class of an order")),
    };
    Ok(class)
}

fn read_legs(column: &mut Reader<'_, '_>) -> rusqlite::Result<Vec<VenueOrderId>> {
    let legs = column.text()?;
    legs.split(BETWEEN_LEGS).filter(|leg| !leg.is_empty()).map(|leg| leg.parse().map_err(|_| column.bad("identifier"))).collect()
}

pub(super) const SELECT_FILLS: &str = "SELECT execution_id, order_id, client_order_id, symbol, side, price, quantity, fees, position, at FROM fills";

/// Executions are numbered as they come, for those of one instant.
pub(super) fn write_fill(db: &Connection, fill: &Fill, seq: i64) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO fills (at, seq, execution_id, order_id, client_order_id, symbol, side, price, quantity, fees, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let row = params![
        fill.at.nanos(),
        seq,
        fill.execution_id.as_str(),
        fill.order_id.as_str(),
        fill.client_order_id.as_str(),
        fill.symbol.as_str(),
        fill.side.as_str(),
        fill.price.to_string(),
        fill.quantity.to_string(),
        fill.fees.to_string(),
        fill.position.to_string(),
    ];
    statement.execute(row).map(drop)
}

pub(super) fn read_fill(row: &Row<'_>) -> rusqlite::Result<Fill> {
    let mut column = Reader::new(row);
    Ok(Fill {
        execution_id: column.parsed("identifier")?,
        order_id: column.parsed("identifier")?,
        client_order_id: column.parsed("identifier")?,
        symbol: column.parsed("symbol")?,
        side: column.side()?,
        price: column.decimal()?,
        quantity: column.decimal()?,
        fees: column.decimal()?,
        position: column.decimal()?,
        at: column.time()?,
    })
}
