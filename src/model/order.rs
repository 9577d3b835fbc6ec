//! An order as somebody asks for it, and as a venue keeps it.
//!
//! Numbers are decimals, bounded so that a price times a quantity always fits. Must not know any venue's spelling.

use rust_decimal::Decimal;

use super::{ClientOrderId, OrderStatus, Symbol, Timestamp, VenueOrderId};

/// Numbers of an order stay below this.
const BOUND: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
/// And have at most so many decimals.
const DECIMALS: u32 = 9;

/// Why a number cannot stand in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("must be above zero")]
    NotPositive,
    #[error("must be below {BOUND}")]
    TooLarge,
    #[error("has more than {DECIMALS} decimals")]
    TooFine,
    #[error("is no decimal number")]
    NotANumber,
}

macro_rules! positive {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Decimal);

        impl $name {
            pub fn new(value: Decimal) -> Result<$name, NumberError> {
                let value = value.normalize();
                if value <= Decimal::ZERO {
                    return Err(NumberError::NotPositive);
                }
                if value >= BOUND {
                    return Err(NumberError::TooLarge);
                }
                if value.scale() > DECIMALS {
                    return Err(NumberError::TooFine);
                }
                Ok($name(value))
            }

            pub fn value(self) -> Decimal {
                self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NumberError;

            fn from_str(text: &str) -> Result<$name, NumberError> {
                let parsed = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
                $name::new(parsed.map_err(|_| NumberError::NotANumber)?)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

positive!(
    /// How many units: above zero.
    Quantity
);
positive!(
    /// A price that an order names: above zero.
    OrderPrice
);
positive!(
    /// An amount of money: above zero.
    Money
);
positive!(
    /// A share of a price, in percent: above zero.
    Percent
);

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
    fn numbers_of_an_order_are_bounded() {
        assert_eq!("0".parse::<Quantity>(), Err(NumberError::NotPositive));
        assert_eq!("-1".parse::<OrderPrice>(), Err(NumberError::NotPositive));
        assert_eq!("1000000000".parse::<Money>(), Err(NumberError::TooLarge));
        assert_eq!("0.0000000001".parse::<Quantity>(), Err(NumberError::TooFine));
        assert_eq!("ten".parse::<Quantity>(), Err(NumberError::NotANumber));
        assert_eq!("1.50".parse::<Quantity>().unwrap().to_string(), "1.5");
        assert_eq!("1e-3".parse::<Quantity>().unwrap().to_string(), "0.001");
    }

    #[test]
    fn the_largest_order_has_a_worth() {
        let most: Quantity = "999999999.999999999".parse().unwrap();
        assert_eq!(worth(most.value(), most.value()).to_string(), "999999999999999998");
    }
}
