//! What somebody may do, and what the check is told about the market and the account.
//!
//! Must not know where limits are configured nor where prices and positions come from.

use std::collections::BTreeSet;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::model::{MarketSession, Side, Symbol, Timestamp};

/// The limits of an account, or of one bot on it. `None` is no limit. Where both have one, both must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Units held or owed of one symbol, should the order and everything open on its side be filled.
    pub max_position_size: Option<Decimal>,
    /// What one order may be worth, in account currency.
    pub max_order_value: Option<Decimal>,
    /// Units of one order.
    pub max_order_quantity: Option<Decimal>,
    pub max_open_orders: Option<u32>,
    /// Approved orders and modifications in any sixty seconds.
    pub max_orders_per_minute: Option<u32>,
    pub allowed_symbols: Option<BTreeSet<Symbol>>,
    /// How far beyond the quote a price may be at which an order would trade at once, as a fraction.
    pub price_collar: Option<Decimal>,
    /// No orders for stocks while their market is closed; before the opening and after the close those for extended
    /// hours alone. Pairs always trade.
    pub require_open_market: bool,
    /// How old the last price may be.
    pub max_price_age: Option<Duration>,
    /// From such a loss since the opening on, positions may only be reduced. Always of the whole account.
    pub max_daily_loss: Option<Decimal>,
    /// How much worse than the quote a market order may be filled, as a fraction: it leaves as a limit order, see
    /// [`protect`](super::protect()).
    pub max_slippage: Option<Decimal>,
}

/// What the check knows of a symbol's market. A price of zero or below counts as none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub bid: Option<Decimal>,
    pub ask: Option<Decimal>,
    pub last: Option<Decimal>,
    /// When the prices were seen.
    pub seen_at: Option<Timestamp>,
    pub session: MarketSession,
}

impl Sight {
    /// No price was ever seen.
    pub fn blind(session: MarketSession) -> Sight {
        Sight { bid: None, ask: None, last: None, seen_at: None, session }
    }

    /// What an order of this side meets: the ask for a buyer, the bid for a seller.
    pub fn quote(&self, side: Side) -> Option<Decimal> {
        let quote = match side {
            Side::Buy => self.ask,
            Side::Sell => self.bid,
        };
        quote.filter(|price| *price > Decimal::ZERO)
    }

    /// The quote, or else the last trade.
    pub fn price(&self, side: Side) -> Option<Decimal> {
        self.quote(side).or(self.last.filter(|price| *price > Decimal::ZERO))
    }

    /// How long ago the prices were seen.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        let nanos = now.nanos().saturating_sub(self.seen_at?.nanos()).max(0);
        Some(Duration::from_nanos(nanos.unsigned_abs()))
    }
}

/// What the account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holdings {
    /// Units of the order's symbol; below zero when sold short. It may lag behind the updates given to
    /// [`Gate::observe`](super::Gate::observe) by up to half a minute: until then the worse of both counts.
    pub position: Decimal,
    pub equity: Decimal,
    pub equity_at_open: Decimal,
}
