//! Commands as the desk reads them, and what of the messages is the answer to one.
//!
//! Must not know how either travels.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::contract::{Verdict, decimal_text};
use crate::model::{Exit, Modification, OrderClass, OrderRequest, OrderType, Size, StopLoss, TakeProfit, Trail};

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub result: Verdict,
    pub client_order_id: Option<String>,
    pub reason: Option<String>,
    /// The whole message as it came; empty when none came.
    pub text: String,
}

#[derive(Deserialize)]
struct Message {
    r#type: String,
    action: Option<String>,
    result: Option<Verdict>,
    event: Option<String>,
    #[serde(default)]
    answer: bool,
    client_order_id: Option<String>,
    order_data: Option<Named>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    client_order_id: Option<String>,
}

/// What is sent, and by what its answer is known.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    action: &'static str,
    names: Vec<String>,
    pub text: String,
}

impl Asked {
    pub fn new(action: &'static str, mut fields: Map<String, Value>) -> Asked {
        let named = ["client_order_id", "new_client_order_id"].into_iter().filter_map(|name| fields.get(name)?.as_str().map(str::to_owned));
        let names = named.collect();
        fields.insert("action".to_owned(), action.into());
        Asked { action, names, text: Value::Object(fields).to_string() }
    }

    pub fn name(&self) -> Option<String> {
        self.names.first().cloned()
    }

    /// The answer, if this message is it: a reply, or the order stream's entry for the order. `sent` counts how often
    /// it was asked.
    pub fn answered_by(&self, text: &str, sent: u32) -> Option<Answer> {
        let message: Message = serde_json::from_str(text).ok()?;
        let (result, name) = match message.r#type.as_str() {
            "order_reply" if message.action.as_deref() == Some(self.action) => (message.result?, message.client_order_id),
            "order" if message.answer && matches!(self.action, "place" | "close_position") => {
                (serde_json::from_value(message.event?.into()).ok()?, message.order_data?.client_order_id)
            }
            _ => return None,
        };
        // Some refusals name no order.
        if !self.names.is_empty() && name.as_ref().is_some_and(|name| !self.names.contains(name)) {
            return None;
        }
        // What is refused the second time may have been done the first time.
        let twice = sent > 1 && result == Verdict::Rejected && matches!(self.action, "cancel" | "modify");
        let reason = if twice { Some(format!("it was sent {sent} times and once refused: look the order up")) } else { message.reason };
        Some(Answer { result: if twice { Verdict::Unknown } else { result }, client_order_id: name.or_else(|| self.name()), reason, text: text.to_owned() })
    }
}

/// The fields of a `place`.
pub fn place_fields(order: &OrderRequest) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    set("client_order_id", order.client_order_id.as_str().into());
    set("symbol", order.symbol.as_str().into());
    set("side", order.side.as_str().into());
    match order.size {
        Size::Quantity(quantity) => set("qty", number(quantity.value())),
        Size::Notional(money) => set("notional", number(money.value())),
    }
    set("type", order.kind.as_str().into());
    for (name, price) in [("limit_price", order.kind.limit()), ("stop_price", order.kind.stop())] {
        if let Some(price) = price {
            set(name, number(price.value()));
        }
    }
    match order.kind {
        OrderType::TrailingStop { trail: Trail::Price(price) } => set("trail_price", number(price.value())),
        OrderType::TrailingStop { trail: Trail::Percent(percent) } => set("trail_percent", number(percent.value())),
        _ => {}
    }
    set("time_in_force", order.time_in_force.as_str().into());
    set("extended_hours", order.extended_hours.into());
    let (profit, loss) = match order.class {
        OrderClass::Simple => (None, None),
        OrderClass::Bracket { profit, loss } => (Some(profit), Some(loss)),
        OrderClass::Oco { loss } | OrderClass::Oto { exit: Exit::Loss(loss) } => (None, Some(loss)),
        OrderClass::Oto { exit: Exit::Profit(profit) } => (Some(profit), None),
    };
    set("order_class", order.class.as_str().into());
    if let Some(TakeProfit { limit }) = profit {
        set("take_profit", json!({ "limit_price": number(limit.value()) }));
    }
    if let Some(StopLoss { stop, limit }) = loss {
        set("stop_loss", json!({ "stop_price": number(stop.value()), "limit_price": limit.map(|price| number(price.value())) }));
    }
    fields
}

/// The fields of a `modify`, beside the order's name.
pub fn modify_fields(change: &Modification) -> Map<String, Value> {
    let fields = [
        ("qty", change.quantity.map(|quantity| number(quantity.value()))),
        ("limit_price", change.limit.map(|price| number(price.value()))),
        ("stop_price", change.stop.map(|price| number(price.value()))),
        ("trail", change.trail.map(number)),
        ("time_in_force", change.time_in_force.map(|word| word.as_str().into())),
        ("new_client_order_id", change.client_order_id.as_ref().map(|name| name.as_str().into())),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn number(value: Decimal) -> Value {
    decimal_text(value).into()
}
