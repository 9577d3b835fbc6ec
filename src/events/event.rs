//! What brokers tell, and what they are asked: the closed enums that cross threads inside the process.
//!
//! Must not know transport, JSON or how a venue spelled anything.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::order::OrderEvent;
use crate::model::{
    AccountId, ClientOrderId, ExchangeName, ExecutionId, Fill, MarketSession, Modification, Order, OrderChange, OrderRequest, Symbol, Timestamp, VenueOrderId,
};

/// Which broker and whose account something belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountRef {
    pub broker: ExchangeName,
    pub account: AccountId,
}

/// A fact about a broker, its orders or its market.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    OrderUpdated(OrderUpdate),
    /// Something about an order that could not be read to the end: bots get the venue's words.
    OrderHeard(HeardOrder),
    Filled(FillEvent),
    PositionChanged(PositionUpdate),
    Market(MarketDataEvent),
    HealthChanged(BrokerHealth),
}

/// How we came to know of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Source {
    /// The venue told it when it happened.
    #[default]
    Stream,
    /// The venue told it once more, because we asked for what we had missed.
    Replay,
    /// Found by comparing what we know with what the venue holds.
    Report,
    /// Decided here; the venue never heard of it.
    Desk,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Stream => "stream",
            Source::Replay => "replay",
            Source::Report => "report",
            Source::Desk => "desk",
        }
    }
}

/// An order changed; `order` is its state afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderUpdate {
    pub of: AccountRef,
    pub change: OrderChange,
    pub order: Arc<Order>,
    /// The venue's name of this step, where it gives one.
    pub execution_id: Option<ExecutionId>,
    /// What was executed, when something was.
    pub fill: Option<Fill>,
    /// Why, in the words of whoever decided.
    pub reason: Option<String>,
    pub at: Timestamp,
    pub source: Source,
    /// The venue's own words for it, where bots are to see those: an event or a status that we do not know stands only
    /// here.
    pub words: Option<Arc<OrderEvent>>,
}

/// The venue's words alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardOrder {
    pub of: AccountRef,
    pub words: Arc<OrderEvent>,
    pub source: Source,
    pub at: Timestamp,
}

/// An order was executed in part or whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillEvent {
    pub of: AccountRef,
    pub fill: Fill,
}

/// A position is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionUpdate {
    pub of: AccountRef,
    pub symbol: Symbol,
    pub quantity: Decimal,
    pub average_price: Option<Decimal>,
    pub unrealised: Decimal,
    pub realised: Decimal,
    pub at: Timestamp,
}

/// What a market showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketDataEvent {
    pub exchange: ExchangeName,
    pub symbol: Symbol,
    pub at: Timestamp,
    pub seen: MarketSight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarketSight {
    Trade {
        price: Decimal,
        size: Decimal,
    },
    /// A price of zero says that nobody stands on that side.
    Quote {
        bid: Decimal,
        bid_size: Decimal,
        ask: Decimal,
        ask_size: Decimal,
    },
    Halted,
    Resumed,
    /// Prices outside are not traded.
    Limits {
        down: Decimal,
        up: Decimal,
    },
    Session(MarketSession),
}

/// How a broker is, as a score from 0 to 1 with what keeps it below 1.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerHealth {
    pub of: AccountRef,
    pub score: f64,
    pub reasons: Vec<String>,
    pub at: Timestamp,
}

/// What somebody asks of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Place(OrderRequest),
    Modify {
        order: OrderKey,
        change: Modification,
    },
    Cancel(OrderKey),
    /// Everything open, or everything open of one symbol.
    CancelAll(Option<Symbol>),
    /// Sell what is held, or buy back what is owed.
    ClosePosition {
        client_order_id: ClientOrderId,
        symbol: Symbol,
    },
}

/// How somebody names an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OrderKey {
    Venue(VenueOrderId),
    Client(ClientOrderId),
}
