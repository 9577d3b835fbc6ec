//! What can be traded, and by which rules of its class.
//!
//! Must not know prices.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::model::{Side, Symbol, TimeInForce};

/// Quantities have so many decimals.
pub(super) const QUANTITY_DECIMALS: u32 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssetClass {
    /// Obeys the market's session.
    Equity,
    /// Trades always.
    Crypto,
}

/// Something that can be traded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    pub symbol: Symbol,
    pub class: AssetClass,
    pub tradable: bool,
    pub shortable: bool,
    pub fractionable: bool,
    pub marginable: bool,
}

impl Instrument {
    /// The usual rules: a pair is traded always, in fractions, and never on credit.
    pub fn of(symbol: &Symbol) -> Instrument {
        let pair = symbol.is_pair();
        let class = if pair { AssetClass::Crypto } else { AssetClass::Equity };
        Instrument { symbol: symbol.clone(), class, tradable: true, shortable: !pair, fractionable: true, marginable: !pair }
    }

    pub fn is_equity(&self) -> bool {
        self.class == AssetClass::Equity
    }

    pub(super) fn takes(&self, time_in_force: TimeInForce) -> bool {
        self.is_equity() || matches!(time_in_force, TimeInForce::Gtc | TimeInForce::Ioc)
    }

    /// Decimals that the price of an order may have.
    pub(super) fn order_decimals(&self, price: Decimal) -> u32 {
        match self.class {
            AssetClass::Equity if price >= Decimal::ONE => 2,
            AssetClass::Equity => 4,
            AssetClass::Crypto => 9,
        }
    }

    /// A price that slipped, as it is printed: rounded against who trades.
    pub(super) fn printed(&self, side: Side, price: Decimal) -> Decimal {
        let decimals = if self.is_equity() { 4 } else { 9 };
        let strategy = if side == Side::Buy { RoundingStrategy::ToPositiveInfinity } else { RoundingStrategy::ToNegativeInfinity };
        price.round_dp_with_strategy(decimals, strategy).normalize()
    }

    /// So much of an order as can be traded: whole units of a whole stock order, nine decimals else.
    pub(super) fn tradable_part(&self, part: Decimal, whole: Decimal) -> Decimal {
        let decimals = if self.is_equity() && whole.fract().is_zero() { 0 } else { QUANTITY_DECIMALS };
        part.round_dp_with_strategy(decimals, RoundingStrategy::ToZero)
    }
}
