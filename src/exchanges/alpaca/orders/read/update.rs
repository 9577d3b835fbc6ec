//! One event of the order stream, as an update.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{ReadError, read_order};
use crate::events::{AccountRef, OrderEvent, OrderUpdate, Source};
use crate::model::{ExecutionId, Fill, Order, OrderChange, Timestamp};

/// What the event means for its order; the event itself is kept with it. An event that we do not know restates the order.
pub fn read_update(of: &AccountRef, event: &Arc<OrderEvent>, source: Source) -> Result<OrderUpdate, ReadError> {
    let order = read_order(&event.order_json)?;
    let change = change(&event.event);
    let at = event.timestamp.as_deref().and_then(|text| text.parse().ok()).unwrap_or(order.times.updated);
    Ok(OrderUpdate {
        of: of.clone(),
        change,
        execution_id: event.execution_id.as_deref().and_then(|id| id.parse().ok()),
        fill: fill(event, &order, change, at),
        reason: extra(event, "reason"),
        order: Arc::new(order),
        at,
        source,
        words: Some(Arc::clone(event)),
    })
}

/// What only we say is no word of the venue.
fn change(word: &str) -> OrderChange {
    let ours = |change: &OrderChange| matches!(change, OrderChange::Denied | OrderChange::OutcomeUnknown | OrderChange::NeverArrived);
    OrderChange::from_name(word).filter(|change| !ours(change)).unwrap_or(OrderChange::Restated)
}

fn fill(event: &OrderEvent, order: &Order, change: OrderChange, at: Timestamp) -> Option<Fill> {
    if !matches!(change, OrderChange::Fill | OrderChange::PartialFill) {
        return None;
    }
    let positive = |digits: Option<&crate::model::Digits>| digits.and_then(|digits| digits.to_decimal()).filter(|value| *value > Decimal::ZERO);
    Some(Fill {
        execution_id: execution_id(event, order)?,
        order_id: order.id.clone(),
        client_order_id: order.request.client_order_id.clone(),
        symbol: order.request.symbol.clone(),
        side: order.request.side,
        price: positive(event.price.as_ref())?,
        quantity: positive(event.qty.as_ref())?,
        fees: Decimal::ZERO,
        position: event.position_qty.as_ref().and_then(|digits| digits.to_decimal()).unwrap_or_default(),
        at,
    })
}

/// Where the venue names none, by what it made of the order: the same execution has the same name again.
fn execution_id(event: &OrderEvent, order: &Order) -> Option<ExecutionId> {
    let own = event.execution_id.as_deref().and_then(|id| id.parse().ok());
    own.or_else(|| format!("{}:{}", order.id, order.filled.normalize()).parse().ok())
}

fn extra(event: &OrderEvent, name: &str) -> Option<String> {
    let (_, json) = event.extra.iter().find(|(known, _)| known == name)?;
    serde_json::from_str::<Option<String>>(json).ok().flatten()
}
