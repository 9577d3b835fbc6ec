//! An order: what was asked for, how far it got, and how the venue writes it.

use rust_decimal::Decimal;
use serde::Serialize;

use super::Refusal;
use crate::model::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Side {
    Buy,
    Sell,
}

impl Side {
    pub(in crate::sim) fn as_str(self) -> &'static str {
        match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
        }
    }

    /// `quantity` as a change of the position.
    pub(super) fn signed(self, quantity: Decimal) -> Decimal {
        match self {
            Side::Buy => quantity,
            Side::Sell => -quantity,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum OrderKind {
    Market,
    Limit(Decimal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum TimeInForce {
    Day,
    Gtc,
    Ioc,
}

impl TimeInForce {
    fn as_str(self) -> &'static str {
        match self {
            TimeInForce::Day => "day",
            TimeInForce::Gtc => "gtc",
            TimeInForce::Ioc => "ioc",
        }
    }
}

/// How much: so many units, or units worth so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Size {
    Quantity(Decimal),
    Notional(Decimal),
}

/// An order as a customer asks for it; its numbers are above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct OrderRequest {
    pub symbol: String,
    pub size: Size,
    pub side: Side,
    pub kind: OrderKind,
    pub time_in_force: TimeInForce,
    pub extended_hours: bool,
    pub client_order_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum OrderStatus {
    PendingNew,
    New,
    Filled,
    Canceled,
}

impl OrderStatus {
    pub(in crate::sim) fn as_str(self) -> &'static str {
        match self {
            OrderStatus::PendingNew => "pending_new",
            OrderStatus::New => "new",
            OrderStatus::Filled => "filled",
            OrderStatus::Canceled => "canceled",
        }
    }

    pub(in crate::sim) fn is_open(self) -> bool {
        matches!(self, OrderStatus::PendingNew | OrderStatus::New)
    }
}

#[derive(Debug, Clone)]
pub(in crate::sim) struct Order {
    pub id: String,
    pub account: String,
    pub client_order_id: String,
    pub asset_id: String,
    pub asset_class: &'static str,
    pub request: OrderRequest,
    pub position_intent: &'static str,
    pub status: OrderStatus,
    pub submitted_at: Timestamp,
    pub updated_at: Timestamp,
    pub filled_at: Option<Timestamp>,
    pub canceled_at: Option<Timestamp>,
    pub filled: Decimal,
    pub filled_price: Option<Decimal>,
    /// What a market buy is expected to cost a unit: held until it fills.
    pub reserve_price: Decimal,
}

impl Order {
    /// Units still to be bought or sold, when `price` has to be paid for each.
    pub(super) fn open_quantity(&self, price: Decimal) -> Decimal {
        if !self.status.is_open() {
            return Decimal::ZERO;
        }
        match self.request.size {
            Size::Quantity(quantity) => quantity - self.filled,
            Size::Notional(notional) => units(notional, price),
        }
    }

    /// Money that the open rest of a buy holds back.
    pub(super) fn hold(&self) -> Decimal {
        match (self.request.side, self.status.is_open()) {
            (Side::Buy, true) => cost(self.request.size, self.reserve_price),
            _ => Decimal::ZERO,
        }
    }

    pub(in crate::sim) fn is_cancelable(&self) -> Result<(), Refusal> {
        if self.status.is_open() {
            return Ok(());
        }
        let message = format!("order is already in \"{}\" state", self.status.as_str());
        Err(Refusal::new(422, 42_210_000, message))
    }

    pub(in crate::sim) fn view(&self) -> OrderView<'_> {
        let (quantity, notional) = match self.request.size {
            Size::Quantity(quantity) => (Some(plain(quantity)), None),
            Size::Notional(notional) => (None, Some(plain(notional))),
        };
        let (kind, limit) = match self.request.kind {
            OrderKind::Market => ("market", None),
            OrderKind::Limit(price) => ("limit", Some(plain(price))),
        };
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        OrderView {
            id: &self.id,
            client_order_id: &self.client_order_id,
            created_at: self.submitted_at.to_string(),
            updated_at: self.updated_at.to_string(),
            submitted_at: self.submitted_at.to_string(),
            filled_at: time(self.filled_at),
            expired_at: None,
            expires_at: None,
            cancel_requested_at: None,
            canceled_at: time(self.canceled_at),
            failed_at: None,
            replaced_at: None,
            replaced_by: None,
            replaces: None,
            asset_id: &self.asset_id,
            symbol: &self.request.symbol,
            asset_class: self.asset_class,
            notional,
            qty: quantity,
            filled_qty: plain(self.filled),
            filled_avg_price: self.filled_price.map(plain),
            order_class: "",
            order_type: kind,
            kind,
            side: self.request.side.as_str(),
            position_intent: self.position_intent,
            time_in_force: self.request.time_in_force.as_str(),
            limit_price: limit,
            stop_price: None,
            status: self.status.as_str(),
            extended_hours: self.request.extended_hours,
            legs: None,
            trail_percent: None,
            trail_price: None,
            hwm: None,
            ratio_qty: None,
            subtag: None,
            source: None,
        }
    }
}

/// A decimal as the venue writes it: no trailing zeros, no exponent.
pub(in crate::sim) fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

/// How many units `notional` buys, to the nine decimals that the venue keeps.
pub(super) fn units(notional: Decimal, price: Decimal) -> Decimal {
    notional.checked_div(price).unwrap_or_default().round_dp_with_strategy(9, rust_decimal::RoundingStrategy::ToZero)
}

pub(super) fn cost(size: Size, price: Decimal) -> Decimal {
    match size {
        Size::Quantity(quantity) => quantity.saturating_mul(price),
        Size::Notional(notional) => notional,
    }
}

type Never = Option<&'static str>;

/// The order object, every key present.
#[derive(Debug, Serialize)]
pub(in crate::sim) struct OrderView<'a> {
    id: &'a str,
    client_order_id: &'a str,
    created_at: String,
    updated_at: String,
    submitted_at: String,
    filled_at: Option<String>,
    expired_at: Never,
    expires_at: Never,
    cancel_requested_at: Never,
    canceled_at: Option<String>,
    failed_at: Never,
    replaced_at: Never,
    replaced_by: Never,
    replaces: Never,
    asset_id: &'a str,
    symbol: &'a str,
    asset_class: &'a str,
    notional: Option<String>,
    qty: Option<String>,
    filled_qty: String,
    filled_avg_price: Option<String>,
    order_class: &'a str,
    order_type: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    side: &'a str,
    position_intent: &'a str,
    time_in_force: &'a str,
    limit_price: Option<String>,
    stop_price: Never,
    status: &'a str,
    extended_hours: bool,
    legs: Never,
    trail_percent: Never,
    trail_price: Never,
    hwm: Never,
    ratio_qty: Never,
    subtag: Never,
    source: Never,
}
