//! Executions in the ledger of the account.

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::super::field::Object;
use super::order::side;
use super::{ReadError, symbol};
use crate::model::{ClientOrderId, ExecutionId, Fill, Side, Symbol, Timestamp, VenueOrderId};

/// An entry of the ledger. The client order id is not in it, nor the position that it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub execution_id: ExecutionId,
    pub order_id: VenueOrderId,
    pub symbol: Symbol,
    pub side: Side,
    pub price: Decimal,
    pub quantity: Decimal,
    pub position: Option<Decimal>,
    pub at: Timestamp,
}

/// An entry's own id, and what it says.
pub type Entry = (String, Result<Execution, ReadError>);

impl Execution {
    /// As an execution of the order of this name. The position is zero where the venue does not say it: whoever needs it
    /// adds it up.
    pub fn named(self, client_order_id: ClientOrderId) -> Fill {
        Fill {
            execution_id: self.execution_id,
            order_id: self.order_id,
            client_order_id,
            symbol: self.symbol,
            side: self.side,
            price: self.price,
            quantity: self.quantity,
            fees: Decimal::ZERO,
            position: self.position.unwrap_or_default(),
            at: self.at,
        }
    }
}

/// The entries of a page; the next one begins after the id of the last. Old ones name no order and cannot be read.
pub fn read_executions(json: &str) -> Result<Vec<Entry>, ReadError> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| ReadError::List)?;
    let read = |item: &RawValue| {
        let Some(object) = Object::read(item.get()) else { return (String::new(), Err(ReadError::Form)) };
        let token = object.text("id").unwrap_or_default();
        let execution = execution(&object, &token);
        (token, execution)
    };
    Ok(items.into_iter().map(read).collect())
}

fn execution(object: &Object<'_>, token: &str) -> Result<Execution, ReadError> {
    // The stamp of the entry stands before the name of the execution.
    let name = token.split_once("::").map_or(token, |(_, name)| name);
    let name_of_symbol = object.text("symbol").ok_or(ReadError::NoSymbol)?;
    Ok(Execution {
        execution_id: name.parse().map_err(|_| ReadError::Field("id"))?,
        order_id: object.parse("order_id").ok_or(ReadError::Field("order_id"))?,
        symbol: symbol(&name_of_symbol, object.text("asset_class").as_deref()).ok_or(ReadError::Field("symbol"))?,
        side: object.text("side").and_then(|word| side(&word)).ok_or(ReadError::Field("side"))?,
        price: object.number("price").ok_or(ReadError::Field("price"))?,
        quantity: object.number("qty").ok_or(ReadError::Field("qty"))?,
        position: object.number("position_qty"),
        at: object.time("transaction_time").ok_or(ReadError::Field("transaction_time"))?,
    })
}
