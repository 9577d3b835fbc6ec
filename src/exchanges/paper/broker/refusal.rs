//! What the engine and the file say, as errors of a broker.
//!
//! Must not know orders.

use crate::events::OrderKey;
use crate::exchanges::BrokerError;
use crate::exchanges::paper::engine::Refusal;
use crate::exchanges::paper::store::StoreError;
use crate::model::{ClientOrderId, ExchangeName};

pub(super) fn of_placement(refusal: Refusal, name: Option<&ClientOrderId>) -> BrokerError {
    match (refusal, name) {
        (Refusal::DuplicateClientId, Some(name)) => BrokerError::DuplicateClientId(name.to_string()),
        // A paper account lists what it was shown a price of, and knows of no other symbol whether there is one.
        (Refusal::UnknownSymbol, _) => BrokerError::Rejected { code: None, reason: Refusal::NoPrice.to_string() },
        (refusal, _) => BrokerError::Rejected { code: None, reason: refusal.to_string() },
    }
}

pub(super) fn of_order(refusal: Refusal, order: &OrderKey) -> BrokerError {
    match refusal {
        Refusal::UnknownOrder => unknown(order),
        Refusal::NotOpen(status) | Refusal::NotReplaceable(status) if !status.is_open() => BrokerError::NotOpen(status),
        refusal => BrokerError::Rejected { code: None, reason: refusal.to_string() },
    }
}

pub(super) fn of_change(refusal: Refusal, order: &OrderKey, name: Option<&ClientOrderId>) -> BrokerError {
    match refusal {
        Refusal::DuplicateClientId => of_placement(refusal, name),
        refusal => of_order(refusal, order),
    }
}

pub(super) fn unknown(order: &OrderKey) -> BrokerError {
    BrokerError::UnknownOrder(match order {
        OrderKey::Venue(id) => id.to_string(),
        OrderKey::Client(id) => id.to_string(),
    })
}

pub(super) fn of_store(broker: &ExchangeName, cause: &StoreError) -> BrokerError {
    BrokerError::Storage { broker: broker.to_string(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_without_a_price_is_not_called_unlisted() {
        let error = of_placement(Refusal::UnknownSymbol, None);
        assert_eq!(error, BrokerError::Rejected { code: None, reason: "nobody has shown a price for this symbol yet; try again when there is one".to_owned() });
    }
}
