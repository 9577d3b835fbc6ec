//! The nouns of trading: symbols, decimal numbers, times, market facts.
//!
//! No I/O, no clock, no JSON, no knowledge of any exchange or of Redis.

mod account;
mod digits;
mod feed;
mod ids;
mod market;
mod order;
mod order_status;
mod positive;
mod session;
mod symbol;
mod time;

pub use account::{AccountInfo, Balance, Fill, Position};
pub use digits::{Amount, Digits, DigitsError, Price};
pub use feed::{Dialect, Feed, FeedSet};
pub use ids::{AccountId, ClientOrderId, ExecutionId, IdError, VenueOrderId};
pub use market::{Bar, BarKind, Correction, Fact, Luld, MarketEvent, MarketKind, Quote, Status, SymbolId, Trade, TradeCancel};
pub use order::{
    Exit, Modification, Order, OrderClass, OrderRequest, OrderTimes, OrderType, PositionIntent, Side, Size, StopLoss, TakeProfit, TimeInForce, Trail, worth,
};
pub use order_status::{IllegalChange, OrderChange, OrderStatus};
pub use positive::{Money, NumberError, OrderPrice, Percent, Quantity};
pub use session::MarketSession;
pub use symbol::{ExchangeName, NameError, Symbol, SymbolError};
pub use time::{TimeText, Timestamp, TimestampError};
