//! The lanes between producers and handlers, and the sinks that feed them.
//!
//! | lane | capacity | when full |
//! |---|---|---|
//! | prices | [`PRICE_LANE`] batches | the producer waits, shortly: the handler folds before what it holds is late |
//! | orders | [`ORDER_LANE`] updates | the producer waits, and with it the venue: an order update is never dropped |

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use super::accounts::AccountDesk;
use super::prices::StreamId;
use super::producer::Sink;
use crate::events::OrderEvent;
use crate::exchanges::SessionEnd;
use crate::model::{MarketEvent, Timestamp};
use crate::runtime::{StopKind, StopToken, wall_now};

/// Some milliseconds of a venue at its fastest: the lane evens out the turns of two threads, it is no store.
pub const PRICE_LANE: usize = 8;
pub const ORDER_LANE: usize = 10_000;
/// Emptied batches on their way back to the producers.
const EMPTIES: usize = 2 * PRICE_LANE;
/// A shutdown must not wait for a handler that has no more room.
const LAST_ORDER_WAIT: Duration = Duration::from_millis(100);

/// What travels on the price lane.
#[derive(Debug)]
pub enum PriceItem {
    Batch(PriceBatch),
    StreamLost(StreamId),
}

/// What was read from a venue in one go.
#[derive(Debug)]
pub struct PriceBatch {
    pub events: Vec<MarketEvent>,
    /// When it was handed over.
    pub read: Instant,
    /// Nothing in it had come before.
    pub since: Instant,
}

/// Where an order update comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderSource {
    /// The order stream of an account at the exchange.
    Exchange,
    /// A broker of the order desk, a paper account among them.
    Desk,
}

/// What travels on the order lane.
#[derive(Debug)]
pub struct OrderItem {
    /// Whose word it is.
    pub source: OrderSource,
    pub account_id: Arc<str>,
    pub received: Timestamp,
    pub event: OrderEvent,
}

/// Feeds the price lane, reusing the vectors that the handler has emptied.
#[derive(Debug, Clone)]
pub struct PriceSink {
    lane: Sender<PriceItem>,
    empties: Receiver<Vec<MarketEvent>>,
    stream: StreamId,
}

/// The handler's end of the price lane.
#[derive(Debug)]
pub struct PriceLane {
    pub items: Receiver<PriceItem>,
    pub empties: Sender<Vec<MarketEvent>>,
}

/// Makes sinks for one lane; the lane ends when it and all its sinks are gone.
#[derive(Debug)]
pub struct PriceLaneEntry {
    lane: Sender<PriceItem>,
    empties: Receiver<Vec<MarketEvent>>,
}

pub fn price_lane() -> (PriceLaneEntry, PriceLane) {
    let (lane, items) = bounded(PRICE_LANE);
    let (give, take) = bounded(EMPTIES);
    (PriceLaneEntry { lane, empties: take }, PriceLane { items, empties: give })
}

impl PriceLaneEntry {
    pub fn sink(&self, stream: StreamId) -> PriceSink {
        PriceSink { lane: self.lane.clone(), empties: self.empties.clone(), stream }
    }
}

impl Sink<MarketEvent> for PriceSink {
    fn deliver(&mut self, events: &mut Vec<MarketEvent>, since: Instant, _token: &StopToken) {
        let empty = self.empties.try_recv().unwrap_or_default();
        // The lane is closed only when the handler has died, and then the process ends.
        let batch = PriceBatch { events: std::mem::replace(events, empty), read: Instant::now(), since };
        let _ = self.lane.send(PriceItem::Batch(batch));
    }

    fn lost(&mut self) {
        let _ = self.lane.send(PriceItem::StreamLost(self.stream));
    }
}

/// Feeds the order lane of one account, whose id it learns before anything is dialled.
#[derive(Debug)]
pub struct OrderSink {
    lane: Sender<OrderItem>,
    account: Arc<AccountDesk>,
}

impl OrderSink {
    pub fn new(lane: Sender<OrderItem>, account: Arc<AccountDesk>) -> OrderSink {
        OrderSink { lane, account }
    }
}

impl Sink<OrderEvent> for OrderSink {
    fn deliver(&mut self, events: &mut Vec<OrderEvent>, _since: Instant, token: &StopToken) {
        let account_id = self.account.known_id().unwrap_or_else(|| self.account.name().clone());
        let received = wall_now();
        for event in events.drain(..) {
            let mut item = OrderItem { source: OrderSource::Exchange, account_id: Arc::clone(&account_id), received, event };
            // Nothing but a shutdown ends the wait: the producer, and behind it the venue, must hold the update for us.
            while let Err(error) = self.lane.send_timeout(item, LAST_ORDER_WAIT) {
                item = match error {
                    SendTimeoutError::Timeout(item) if token.is_running() || token.kind() == StopKind::Restart => item,
                    SendTimeoutError::Timeout(item) | SendTimeoutError::Disconnected(item) => {
                        log::error!("order update {} of order {} was not handed on before the stop", item.event.event, item.event.order.id);
                        break;
                    }
                };
            }
        }
    }

    fn prepare(&mut self, token: &StopToken) -> Result<(), SessionEnd> {
        self.account.learn(token)
    }
}
