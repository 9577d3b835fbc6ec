//! Why a request is not granted, in the venue's terms: status, code, words, and the fields that go with them.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::exchanges::paper::engine;
use crate::model::OrderStatus;

/// The code of a request that could be read and makes no sense.
pub(in crate::sim) const UNPROCESSABLE: u32 = 42_210_000;
/// The code of a request that the account does not allow.
pub(in crate::sim) const FORBIDDEN: u32 = 40_310_000;
const NOT_FOUND: u32 = 40_410_000;
const NOT_UNIQUE: u32 = 40_010_001;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Refusal {
    pub status: u16,
    pub code: u32,
    pub message: String,
    /// Context fields of the error body.
    pub context: Vec<(&'static str, Value)>,
}

impl Refusal {
    pub(in crate::sim) fn new(status: u16, code: u32, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), context: Vec::new() }
    }

    pub(in crate::sim) fn unprocessable(message: impl Into<String>) -> Refusal {
        Refusal::new(422, UNPROCESSABLE, message)
    }

    pub(in crate::sim) fn forbidden(message: impl Into<String>) -> Refusal {
        Refusal::new(403, FORBIDDEN, message)
    }

    pub(in crate::sim) fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(404, NOT_FOUND, message)
    }

    pub(in crate::sim) fn no_order(id: &str) -> Refusal {
        Refusal::not_found(format!("order not found for {id}"))
    }

    pub(in crate::sim) fn with(mut self, field: &'static str, value: impl Into<Value>) -> Refusal {
        self.context.push((field, value.into()));
        self
    }

    /// The error body.
    pub(in crate::sim) fn body(&self) -> Value {
        let own = [("code", Value::from(self.code)), ("message", Value::from(self.message.as_str()))];
        let fields = own.into_iter().chain(self.context.iter().cloned());
        Value::Object(fields.map(|(field, value)| (field.to_owned(), value)).collect::<Map<_, _>>())
    }
}

/// A decimal as the venue writes it: no trailing zeros, no exponent.
pub(in crate::sim) fn plain(value: Decimal) -> String {
    value.normalize().to_string()
}

/// Money, to the cent.
pub(in crate::sim) fn money(value: Decimal) -> String {
    plain(value.round_dp(2))
}

/// What the engine's refusal is about.
pub(super) struct About<'a> {
    pub symbol: &'a str,
    /// The order as the client named it.
    pub order: &'a str,
    /// Open orders that have spoken for the same units.
    pub related: Vec<String>,
    /// The asset itself cannot be sold short, whoever asks.
    pub never_shorted: bool,
}

pub(super) fn of_engine(refusal: engine::Refusal, about: &About<'_>) -> Refusal {
    use engine::Refusal as E;
    let symbol = about.symbol;
    match refusal {
        E::UnknownAccount => Refusal::not_found("account not found"),
        E::UnknownSymbol => Refusal::unprocessable(format!("asset {symbol:?} not found")),
        E::DuplicateClientId => Refusal::new(422, NOT_UNIQUE, "client_order_id must be unique"),
        E::NotTradable => Refusal::unprocessable(format!("asset {symbol} is not tradable")),
        E::Form(text) | E::FractionalRule(text) => Refusal::unprocessable(text),
        E::PriceIncrement { field, price } => sub_penny(field, price),
        E::InsufficientBuyingPower { needed, available } => {
            Refusal::forbidden("insufficient buying power").with("buying_power", money(available)).with("cost_basis", money(needed))
        }
        E::InsufficientQuantity { requested, available, existing, held } => {
            let message = format!("insufficient qty available for order (requested: {}, available: {})", plain(requested), plain(available));
            let refusal = Refusal::forbidden(message).with("symbol", symbol).with("existing_qty", plain(existing)).with("held_for_orders", plain(held));
            refusal.with("available", plain(available)).with("related_orders", about.related.clone())
        }
        E::NotShortable if about.never_shorted => Refusal::unprocessable(format!("asset {symbol:?} cannot be sold short")),
        E::NotShortable => not_allowed_to_short(),
        E::WashTrade { existing } => Refusal::forbidden("potential wash trade detected. use complex orders")
            .with("existing_order_id", existing.as_str())
            .with("reject_reason", "opposite side order exists"),
        E::NoPrice => Refusal::forbidden(format!("no quote for {symbol}")),
        E::AuctionClosed(time) => Refusal::unprocessable(format!("{} orders are not accepted at this time", time.as_str())),
        E::UnknownOrder => Refusal::no_order(about.order),
        E::NotOpen(status) => already(status),
        E::NotReplaceable(status) => Refusal::unprocessable(format!("cannot replace order in {status} status")),
        E::Unchanged => Refusal::unprocessable("order parameters are not changed"),
    }
}

pub(super) fn sub_penny(field: &str, price: Decimal) -> Refusal {
    Refusal::unprocessable(format!("invalid {field} {}. sub-penny increment does not fulfill minimum pricing criteria", plain(price)))
}

pub(super) fn not_allowed_to_short() -> Refusal {
    Refusal::forbidden("account is not allowed to short")
}

fn already(status: OrderStatus) -> Refusal {
    Refusal::unprocessable(format!("order is already in \"{status}\" state"))
}
