//! What an account holds: executions, positions, money.
//!
//! Must not know any venue.

use rust_decimal::Decimal;

use super::{AccountId, ClientOrderId, ExecutionId, Side, Symbol, Timestamp, VenueOrderId, worth};

/// One execution of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    pub execution_id: ExecutionId,
    pub order_id: VenueOrderId,
    pub client_order_id: ClientOrderId,
    pub symbol: Symbol,
    pub side: Side,
    pub price: Decimal,
    pub quantity: Decimal,
    /// Commission and regulatory fees of this execution.
    pub fees: Decimal,
    /// The position of the account after it.
    pub position: Decimal,
    pub at: Timestamp,
}

/// Units of one symbol. What was paid is kept as a sum, not as an average, so that gains add up to the last digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub symbol: Symbol,
    /// Below zero when sold short.
    pub quantity: Decimal,
    /// What the units cost, without fees; below zero when sold short.
    pub cost: Decimal,
    /// What a unit is worth now; `None` while nobody has seen a price.
    pub mark: Option<Decimal>,
    /// Gains taken so far, without fees.
    pub realised: Decimal,
}

impl Position {
    pub fn flat(symbol: Symbol) -> Position {
        Position { symbol, quantity: Decimal::ZERO, cost: Decimal::ZERO, mark: None, realised: Decimal::ZERO }
    }

    /// Books an execution; returns the gain that it realised.
    pub fn execute(&mut self, side: Side, price: Decimal, quantity: Decimal) -> Decimal {
        let signed = side.signed(quantity);
        let closes = !self.quantity.is_zero() && self.quantity.is_sign_negative() != signed.is_sign_negative();
        let closed = if closes { quantity.min(self.quantity.abs()) } else { Decimal::ZERO };
        let mut gain = Decimal::ZERO;
        if !closed.is_zero() {
            let cost = if closed == self.quantity.abs() { self.cost } else { worth(self.cost.checked_div(self.quantity.abs()).unwrap_or_default(), closed) };
            let proceeds = side.opposite().signed(worth(price, closed));
            gain = proceeds - cost;
            self.cost -= cost;
        }
        // Booked as the whole less the part that closed, so that cash and cost agree though each product is rounded.
        self.cost += side.signed(worth(price, quantity) - worth(price, closed));
        self.quantity += signed;
        self.realised += gain;
        gain
    }

    pub fn average_price(&self) -> Option<Decimal> {
        self.cost.checked_div(self.quantity).map(|price| price.round_dp(9).normalize())
    }

    /// What the units are worth; their cost while nobody has seen a price.
    pub fn market_value(&self) -> Decimal {
        self.mark.map_or(self.cost, |mark| worth(mark, self.quantity))
    }

    pub fn unrealised(&self) -> Decimal {
        self.market_value() - self.cost
    }
}

/// Money of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    pub currency: String,
    pub total: Decimal,
    /// What open orders have not spoken for.
    pub available: Decimal,
}

/// An account as its venue describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    pub id: AccountId,
    pub currency: String,
    pub cash: Decimal,
    /// Cash and what the positions are worth.
    pub equity: Decimal,
    pub buying_power: Decimal,
    pub long_value: Decimal,
    pub short_value: Decimal,
    /// Gains taken since the account was opened, without fees.
    pub realised: Decimal,
    pub unrealised: Decimal,
    pub fees: Decimal,
    /// The equity at the start of the trading day.
    pub equity_at_open: Decimal,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_position_averages_closes_and_turns() {
        let mut position = Position::flat("X".parse().unwrap());
        assert_eq!(position.execute(Side::Buy, dec("100"), dec("10")), dec("0"));
        assert_eq!(position.execute(Side::Buy, dec("110"), dec("10")), dec("0"));
        assert_eq!(position.average_price(), Some(dec("105")));
        assert_eq!(position.execute(Side::Sell, dec("200"), dec("5")), dec("475"));
        assert_eq!(position.average_price(), Some(dec("105")));
        assert_eq!(position.execute(Side::Sell, dec("90"), dec("20")), dec("-225"));
        assert_eq!((position.quantity, position.average_price()), (dec("-5"), Some(dec("90"))));
        position.mark = Some(dec("80"));
        assert_eq!(position.unrealised(), dec("50"));
        assert_eq!(position.execute(Side::Buy, dec("80"), dec("5")), dec("50"));
        assert_eq!((position.quantity, position.cost, position.realised), (dec("0"), dec("0"), dec("300")));
    }

    #[test]
    fn thirds_lose_no_digit() {
        let mut position = Position::flat("X".parse().unwrap());
        let mut cash = dec("0");
        for (side, price, quantity) in
            [(Side::Buy, "10", "3"), (Side::Buy, "10.01", "4"), (Side::Sell, "9.97", "1"), (Side::Sell, "11", "2.5"), (Side::Sell, "7", "9")]
        {
            position.execute(side, dec(price), dec(quantity));
            cash -= side.signed(worth(dec(price), dec(quantity)));
            assert_eq!(cash + position.cost, position.realised);
        }
    }
}
