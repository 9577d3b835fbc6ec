//! Something happened to an order.

use std::sync::Arc;

use crate::model::Digits;

/// One order update of one account. The venue's words are kept as they came, so that an event, a status or a field
/// unknown to us reaches the bots all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEvent {
    /// The configured name of the account, such as `paper`.
    pub account: Arc<str>,
    /// The venue's name of the event, such as `fill`.
    pub event: String,
    pub execution_id: Option<String>,
    /// The price and quantity of this execution.
    pub price: Option<Digits>,
    pub qty: Option<Digits>,
    /// The position after the event.
    pub position_qty: Option<Digits>,
    /// The venue's time, as its own text.
    pub timestamp: Option<String>,
    pub order: OrderSummary,
    /// The venue's whole order object, a JSON text.
    pub order_json: Box<str>,
    /// Fields of the update beyond those above: name and JSON text.
    pub extra: Vec<(String, Box<str>)>,
}

/// What the hub itself reads of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderSummary {
    pub id: String,
    pub client_order_id: Option<String>,
    /// Empty on the parent of a multi-leg order.
    pub symbol: String,
    pub status: String,
    pub side: Option<String>,
    pub filled_qty: Option<Digits>,
    pub filled_avg_price: Option<Digits>,
}
