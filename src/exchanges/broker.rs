//! The one interface in front of every venue.
//!
//! Blocking and object safe. What a broker reports by itself (order updates, fills, positions, health) it publishes on
//! the [`EventBus`](crate::events::EventBus) that it was built with; an update may come before the call that caused it
//! has returned. Must not know any venue.

use std::fmt;

use super::capability::Capabilities;
use super::error::BrokerError;
use super::metrics::BrokerMetrics;
use crate::events::{AccountRef, MarketSight, OrderKey, OrderUpdate};
use crate::model::{AccountInfo, Balance, ClientOrderId, Fill, Modification, Order, OrderRequest, Position, Symbol, Timestamp, VenueOrderId};
use crate::risk::Approved;

/// Whether a broker can be asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    Disconnected,
    Connecting,
    Connected,
    /// Up, but something that it needs is not: the reason stands in the health.
    Degraded,
}

impl Connection {
    pub fn as_str(self) -> &'static str {
        match self {
            Connection::Disconnected => "disconnected",
            Connection::Connecting => "connecting",
            Connection::Connected => "connected",
            Connection::Degraded => "degraded",
        }
    }
}

/// What became of the wish to cancel one order among many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelOutcome {
    pub order: VenueOrderId,
    pub client_order_id: ClientOrderId,
    pub result: Result<(), BrokerError>,
}

/// What a venue has told once more.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Replayed {
    pub updates: Vec<OrderUpdate>,
    /// Everything before this moment is told; at the end, everything that was asked for.
    pub to: Timestamp,
}

/// One account at one venue.
pub trait Broker: Send + Sync + fmt::Debug {
    /// The configured name and the venue's account.
    fn of(&self) -> AccountRef;

    fn capabilities(&self) -> &Capabilities;

    /// Connected already: does nothing.
    fn connect(&self) -> Result<(), BrokerError>;

    /// Open orders stay open. Disconnected already: does nothing.
    fn disconnect(&self);

    fn connection(&self) -> Connection;

    /// Sends an order. The answer is its state on arrival; what follows comes as events. A name that was used before is
    /// refused, never placed twice.
    fn place(&self, order: Approved<OrderRequest>) -> Result<Order, BrokerError>;

    /// Asks for another order in place of an open one; returns the order that will stand there.
    fn modify(&self, order: &OrderKey, change: Approved<Modification>) -> Result<Order, BrokerError>;

    /// Asks for the end of an order. `Ok` says that the venue took the wish: the end itself comes as an event, and a
    /// fill may come first.
    fn cancel(&self, order: &OrderKey) -> Result<(), BrokerError>;

    /// Asks for the end of everything open, or of everything open of one symbol.
    fn cancel_all(&self, symbol: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError>;

    /// Oldest first.
    fn open_orders(&self) -> Result<Vec<Order>, BrokerError>;

    /// `None` when the venue has never heard of it.
    fn order(&self, order: &OrderKey) -> Result<Option<Order>, BrokerError>;

    /// Many orders in one go where the venue can; in the order asked for.
    fn orders(&self, orders: &[OrderKey]) -> Result<Vec<Option<Order>>, BrokerError> {
        orders.iter().map(|order| self.order(order)).collect()
    }

    /// Every order that was sent after `since`, whatever became of it, oldest first; `None` when this venue cannot list
    /// them.
    fn orders_since(&self, since: Timestamp) -> Result<Option<Vec<Order>>, BrokerError> {
        let _ = since;
        Ok(None)
    }

    /// What happened to orders from `since` up to `until`, both included, in the venue's own words and order, told once more.
    /// Where there is much it is told in pieces: whoever wants the rest asks for it from the end of the piece on. `None` when
    /// this venue keeps no history of events, or cannot tell it now.
    fn replay(&self, since: Timestamp, until: Timestamp) -> Result<Option<Replayed>, BrokerError> {
        let _ = (since, until);
        Ok(None)
    }

    /// Executions after `since`, oldest first, a page of about `limit`: those of one instant stay together, so that who
    /// goes on from the time of the last one misses none. An empty page is the end.
    fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError>;

    /// All that is held or owed.
    fn positions(&self) -> Result<Vec<Position>, BrokerError>;

    fn position(&self, symbol: &Symbol) -> Result<Option<Position>, BrokerError> {
        Ok(self.positions()?.into_iter().find(|position| position.symbol == *symbol))
    }

    fn account(&self) -> Result<AccountInfo, BrokerError>;

    /// One entry a currency.
    fn balances(&self) -> Result<Vec<Balance>, BrokerError>;

    /// The quote that stands now and since when, for an order in a symbol that nobody listens to. `None`: this venue is not
    /// asked for prices, or has none.
    fn latest_quote(&self, _symbol: &Symbol) -> Result<Option<(MarketSight, Timestamp)>, BrokerError> {
        Ok(None)
    }

    fn metrics(&self) -> &BrokerMetrics;
}
