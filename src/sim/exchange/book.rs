//! What is traded and what is displayed for it; and where ids come from.

use rust_decimal::Decimal;

use crate::model::{Quote, Symbol, Timestamp};

#[derive(Debug, Clone)]
pub(in crate::sim) struct Asset {
    pub id: String,
    pub symbol: Symbol,
    pub pair: bool,
}

impl Asset {
    pub(super) fn new(symbol: &Symbol, id: String) -> Asset {
        Asset { id, symbol: symbol.clone(), pair: symbol.is_pair() }
    }

    /// Pairs are sold only by who has them.
    pub(super) fn shortable(&self) -> bool {
        !self.pair
    }

    pub(in crate::sim) fn class(&self) -> &'static str {
        if self.pair { "crypto" } else { "us_equity" }
    }

    pub(in crate::sim) fn exchange(&self) -> &'static str {
        if self.pair { "CRYPTO" } else { "NASDAQ" }
    }
}

/// The best quote and the last trade of one symbol.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Book {
    pub bid: Decimal,
    pub bid_size: Decimal,
    pub ask: Decimal,
    pub ask_size: Decimal,
    pub quoted_at: Timestamp,
    pub last: Deal,
    /// The price that the last trading day ended with.
    pub last_day: Decimal,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Deal {
    pub price: Decimal,
    pub size: Decimal,
}

impl Book {
    /// The state before the first quote.
    pub(super) fn around(price: Decimal, now: Timestamp) -> Book {
        let (tick, size) = (Decimal::new(1, 2), Decimal::ONE_HUNDRED);
        let last = Deal { price, size };
        Book { bid: (price - tick).max(Decimal::ZERO), bid_size: size, ask: price + tick, ask_size: size, quoted_at: now, last, last_day: price }
    }

    pub(super) fn quoted(&mut self, quote: &Quote, now: Timestamp) {
        let of = |amount: crate::model::Amount| amount.to_decimal().unwrap_or_default();
        (self.bid, self.bid_size) = (of(quote.bid), of(quote.bid_size));
        (self.ask, self.ask_size) = (of(quote.ask), of(quote.ask_size));
        self.quoted_at = now;
    }

    pub(super) fn day_ended(&mut self) {
        self.last_day = self.last.price;
    }
}

/// Ids that follow from the seed.
#[derive(Debug)]
pub(super) struct Ids(fastrand::Rng);

impl Ids {
    pub(super) fn new(seed: u64) -> Ids {
        Ids(fastrand::Rng::with_seed(seed))
    }

    /// A uuid of version 4 in its usual form.
    pub(super) fn uuid(&mut self) -> String {
        let bits = self.0.u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{bits:032x}");
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
}

/// An id without its dashes: clients may leave them out.
pub(super) fn bare(id: &str) -> String {
    id.replace('-', "").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_shape_of_uuids_and_follow_the_seed() {
        let (mut one, mut other) = (Ids::new(7), Ids::new(7));
        let id = one.uuid();
        assert_eq!(id, other.uuid());
        assert_ne!(id, one.uuid());
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{id}");
    }
}
