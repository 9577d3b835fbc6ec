//! What a broker can do. What it cannot is refused before it leaves, never ignored.
//!
//! Must not know any venue.

use super::error::BrokerError;
use crate::model::{OrderClass, OrderRequest, OrderType, Size, TimeInForce};

/// What one broker supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The broker's type, as configured.
    pub broker: String,
    /// Words of [`OrderType::as_str`].
    pub order_types: Vec<&'static str>,
    pub times_in_force: Vec<TimeInForce>,
    /// Words of [`OrderClass::as_str`].
    pub classes: Vec<&'static str>,
    pub modify: bool,
    pub cancel_all: bool,
    pub extended_hours: bool,
    pub notional: bool,
    pub fractional: bool,
    pub short_selling: bool,
    /// Executions can be read back.
    pub fills: bool,
    /// Orders are looked up many at a time.
    pub batch_orders: bool,
    /// A client order id is never taken twice, not even after its order has ended: sending an order again is safe.
    pub unique_client_ids: bool,
    /// Everything can be asked at no cost: the venue lives in this process.
    pub local: bool,
    /// Money may move.
    pub live: bool,
}

impl Capabilities {
    pub fn check(&self, request: &OrderRequest) -> Result<(), BrokerError> {
        let refuse = |what: String| Err(BrokerError::Unsupported { broker: self.broker.clone(), what });
        let kind: OrderType = request.kind;
        let class: OrderClass = request.class;
        if !self.order_types.contains(&kind.as_str()) {
            return refuse(format!("{} orders", kind.as_str()));
        }
        if !self.times_in_force.contains(&request.time_in_force) {
            return refuse(format!("the time in force {}", request.time_in_force.as_str()));
        }
        if !self.classes.contains(&class.as_str()) {
            return refuse(format!("orders of the class {}", class.as_str()));
        }
        if request.extended_hours && !self.extended_hours {
            return refuse("orders for extended hours".to_owned());
        }
        match request.size {
            Size::Notional(_) if !self.notional => refuse("orders by money".to_owned()),
            Size::Quantity(quantity) if !self.fractional && !quantity.value().fract().is_zero() => refuse("fractions of a unit".to_owned()),
            _ => Ok(()),
        }
    }
}
