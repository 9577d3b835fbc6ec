//! Why the engine does not do what it was asked.
//!
//! Must not know any venue's codes.

use rust_decimal::Decimal;

use crate::model::{OrderStatus, TimeInForce, VenueOrderId};

/// Nothing was done, and the same would be refused again while nothing else changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no such account; open it first")]
    UnknownAccount,
    #[error("no such symbol is listed here")]
    UnknownSymbol,
    #[error("the client order id was used before; every order needs a new one")]
    DuplicateClientId,
    #[error("the symbol is not tradable")]
    NotTradable,
    #[error("{0}")]
    Form(String),
    #[error("{0}")]
    FractionalRule(String),
    #[error("invalid {field} {price}: it has more decimals than prices of this symbol may have")]
    PriceIncrement { field: &'static str, price: Decimal },
    #[error("insufficient buying power: {needed} is needed, {available} is available")]
    InsufficientBuyingPower { needed: Decimal, available: Decimal },
    #[error("insufficient quantity: {requested} is asked for, {available} of {existing} is available, open orders hold {held}")]
    InsufficientQuantity { requested: Decimal, available: Decimal, existing: Decimal, held: Decimal },
    #[error("this cannot be sold short; hold it first")]
    NotShortable,
    #[error("it could trade with the open order {existing} of the same account; cancel that first, or place both as one complex order")]
    WashTrade { existing: VenueOrderId },
    #[error("nobody has shown a price for this symbol yet; try again when there is one")]
    NoPrice,
    #[error("the auction takes no {} orders any more today", .0.as_str())]
    AuctionClosed(TimeInForce),
    #[error("no such order is known")]
    UnknownOrder,
    #[error("the order is {0} and cannot be cancelled")]
    NotOpen(OrderStatus),
    #[error("the order is {0} and cannot be changed")]
    NotReplaceable(OrderStatus),
    #[error("the change changes nothing")]
    Unchanged,
}

impl Refusal {
    pub(super) fn form(text: impl Into<String>) -> Refusal {
        Refusal::Form(text.into())
    }
}
