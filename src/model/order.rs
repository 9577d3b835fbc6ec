//! An order as somebody asks for it, and as a venue keeps it.
//!
//! Must not know any venue's spelling.

use rust_decimal::Decimal;

use super::positive::DECIMALS;
use super::{ClientOrderId, Money, NumberError, OrderPrice, OrderStatus, Percent, Quantity, Symbol, Timestamp, VenueOrderId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Buy,
    Sell,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Buy => "buy",
            Side::Sell => "sell",
        }
    }

    pub fn opposite(self) -> Side {
        match self {
            Side::Buy => Side::Sell,
            Side::Sell => Side::Buy,
        }
    }

    /// `quantity` as a change of the position.
    pub fn signed(self, quantity: Decimal) -> Decimal {
        match self {
            Side::Buy => quantity,
            Side::Sell => -quantity,
        }
    }
}

/// How much: so many units, or units worth so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Quantity(Quantity),
    Notional(Money),
}

/// How far a trailing stop keeps from the best price seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trail {
    Price(OrderPrice),
    Percent(Percent),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderType {
    Market,
    Limit { limit: OrderPrice },
    Stop { stop: OrderPrice },
    StopLimit { stop: OrderPrice, limit: OrderPrice },
    TrailingStop { trail: Trail },
}

impl OrderType {
    /// With the prices of a change; those that do not belong to this type are left out.
    ///
    /// # Errors
    /// When the new trail can be none.
    pub fn changed(self, change: &Modification) -> Result<OrderType, NumberError> {
        Ok(match (self, change.trail) {
            (OrderType::Limit { limit }, _) => OrderType::Limit { limit: change.limit.unwrap_or(limit) },
            (OrderType::Stop { stop }, _) => OrderType::Stop { stop: change.stop.unwrap_or(stop) },
            (OrderType::StopLimit { stop, limit }, _) => OrderType::StopLimit { stop: change.stop.unwrap_or(stop), limit: change.limit.unwrap_or(limit) },
            (OrderType::TrailingStop { trail: Trail::Price(_) }, Some(by)) => OrderType::TrailingStop { trail: Trail::Price(OrderPrice::new(by)?) },
            (OrderType::TrailingStop { trail: Trail::Percent(_) }, Some(by)) => OrderType::TrailingStop { trail: Trail::Percent(Percent::new(by)?) },
            (OrderType::Market | OrderType::TrailingStop { .. }, _) => self,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            OrderType::Market => "market",
            OrderType::Limit { .. } => "limit",
            OrderType::Stop { .. } => "stop",
            OrderType::StopLimit { .. } => "stop_limit",
            OrderType::TrailingStop { .. } => "trailing_stop",
        }
    }

    pub fn limit(self) -> Option<OrderPrice> {
        match self {
            OrderType::Limit { limit } | OrderType::StopLimit { limit, .. } => Some(limit),
            _ => None,
        }
    }

    pub fn stop(self) -> Option<OrderPrice> {
        match self {
            OrderType::Stop { stop } | OrderType::StopLimit { stop, .. } => Some(stop),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeInForce {
    Day,
    Gtc,
    Ioc,
    Fok,
    /// At the opening auction.
    Opg,
    /// At the closing auction.
    Cls,
}

impl TimeInForce {
    pub const ALL: [TimeInForce; 6] = [TimeInForce::Day, TimeInForce::Gtc, TimeInForce::Ioc, TimeInForce::Fok, TimeInForce::Opg, TimeInForce::Cls];

    pub fn as_str(self) -> &'static str {
        match self {
            TimeInForce::Day => "day",
            TimeInForce::Gtc => "gtc",
            TimeInForce::Ioc => "ioc",
            TimeInForce::Fok => "fok",
            TimeInForce::Opg => "opg",
            TimeInForce::Cls => "cls",
        }
    }
}

/// The losing exit of a bracket: a stop, or a stop with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopLoss {
    pub stop: OrderPrice,
    pub limit: Option<OrderPrice>,
}

/// The winning exit of a bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeProfit {
    pub limit: OrderPrice,
}

/// The single exit of a one-triggers-other order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Profit(TakeProfit),
    Loss(StopLoss),
}

/// What hangs on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OrderClass {
    #[default]
    Simple,
    /// An entry with two exits, of which one cancels the other.
    Bracket { profit: TakeProfit, loss: StopLoss },
    /// Two exits of a position that is held: the order itself is the winning one.
    Oco { loss: StopLoss },
    /// An entry with one exit.
    Oto { exit: Exit },
}

impl OrderClass {
    pub fn as_str(self) -> &'static str {
        match self {
            OrderClass::Simple => "simple",
            OrderClass::Bracket { .. } => "bracket",
            OrderClass::Oco { .. } => "oco",
            OrderClass::Oto { .. } => "oto",
        }
    }
}

/// An order as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRequest {
    pub client_order_id: ClientOrderId,
    pub symbol: Symbol,
    pub side: Side,
    pub size: Size,
    pub kind: OrderType,
    pub time_in_force: TimeInForce,
    /// May be filled before the opening and after the close.
    pub extended_hours: bool,
    pub class: OrderClass,
}

/// What shall become of an open order; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modification {
    pub quantity: Option<Quantity>,
    pub limit: Option<OrderPrice>,
    pub stop: Option<OrderPrice>,
    /// In the unit of the order's own trail.
    pub trail: Option<Decimal>,
    pub time_in_force: Option<TimeInForce>,
    /// The name of the order that replaces it; made by the venue when absent.
    pub client_order_id: Option<ClientOrderId>,
}

/// What an order is for, as the position was when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionIntent {
    BuyToOpen,
    BuyToClose,
    SellToOpen,
    SellToClose,
}

impl PositionIntent {
    pub fn as_str(self) -> &'static str {
        match self {
            PositionIntent::BuyToOpen => "buy_to_open",
            PositionIntent::BuyToClose => "buy_to_close",
            PositionIntent::SellToOpen => "sell_to_open",
            PositionIntent::SellToClose => "sell_to_close",
        }
    }
}

/// When the stations of an order were passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderTimes {
    pub created: Timestamp,
    pub submitted: Timestamp,
    pub updated: Timestamp,
    pub filled: Option<Timestamp>,
    pub canceled: Option<Timestamp>,
    pub expired: Option<Timestamp>,
    pub failed: Option<Timestamp>,
    pub replaced: Option<Timestamp>,
}

/// An order as its venue keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: VenueOrderId,
    pub request: OrderRequest,
    pub status: OrderStatus,
    pub filled: Decimal,
    /// Money that the executions came to, without fees; the average price is this by `filled`.
    pub filled_value: Decimal,
    pub fees: Decimal,
    pub intent: Option<PositionIntent>,
    /// The stop of a trailing order as it stands.
    pub trailing_stop: Option<Decimal>,
    /// The best price that a trailing order has seen.
    pub high_water: Option<Decimal>,
    /// The order that this one hangs on.
    pub parent: Option<VenueOrderId>,
    /// The orders that hang on this one.
    pub legs: Vec<VenueOrderId>,
    pub replaces: Option<VenueOrderId>,
    pub replaced_by: Option<VenueOrderId>,
    pub times: OrderTimes,
    /// The venue's own writing of it, where bots are to see that in place of ours.
    pub text: Option<std::sync::Arc<str>>,
}

impl Order {
    /// An order of which nothing has happened yet.
    pub fn new(id: VenueOrderId, request: OrderRequest, status: OrderStatus, at: Timestamp) -> Order {
        Order {
            id,
            request,
            status,
            filled: Decimal::ZERO,
            filled_value: Decimal::ZERO,
            fees: Decimal::ZERO,
            intent: None,
            trailing_stop: None,
            high_water: None,
            parent: None,
            legs: Vec::new(),
            replaces: None,
            replaced_by: None,
            times: OrderTimes { created: at, submitted: at, updated: at, ..OrderTimes::default() },
            text: None,
        }
    }

    /// Units asked for; `None` while an order by money has not been filled.
    pub fn quantity(&self) -> Option<Decimal> {
        match self.request.size {
            Size::Quantity(quantity) => Some(quantity.value()),
            Size::Notional(_) => None,
        }
    }

    /// Units that may still be filled; `None` for an order by money.
    pub fn remaining(&self) -> Option<Decimal> {
        self.quantity().map(|quantity| (quantity - self.filled).max(Decimal::ZERO))
    }

    pub fn average_price(&self) -> Option<Decimal> {
        self.filled_value.checked_div(self.filled).map(|price| price.round_dp(DECIMALS).normalize())
    }

    /// Our own name for who placed it: the bot in its client order id.
    pub fn bot(&self) -> Option<&str> {
        self.request.client_order_id.bot()
    }
}

/// Money for so many units at a price, the one place where it is rounded: every book that adds up such amounts agrees
/// with every other to the last digit.
pub fn worth(price: Decimal, quantity: Decimal) -> Decimal {
    price.saturating_mul(quantity).round_dp(12).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_the_prices_that_a_type_has() {
        let change = Modification { limit: "2".parse().ok(), stop: "3".parse().ok(), trail: Some(Decimal::ZERO), ..Modification::default() };
        let limit = |price: &str| OrderType::Limit { limit: price.parse().unwrap() };
        assert_eq!((limit("1").changed(&change), OrderType::Market.changed(&change)), (Ok(limit("2")), Ok(OrderType::Market)));
        let trailing = OrderType::TrailingStop { trail: Trail::Percent("1".parse().unwrap()) };
        assert_eq!(trailing.changed(&change), Err(NumberError::NotPositive));
    }

    #[test]
    fn the_largest_order_has_a_worth() {
        let most: Quantity = "999999999.999999999".parse().unwrap();
        assert_eq!(worth(most.value(), most.value()).to_string(), "999999999999999998");
    }
}
