//! The lane between the producers of prices and their handler, and the sink that feeds it.
//!
//! | lane | capacity | when full |
//! |---|---|---|
//! | prices | [`PRICE_LANE`] batches | the producer waits, shortly: the handler folds before what it holds is late |

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::prices::StreamId;
use super::producer::Sink;
use crate::model::MarketEvent;
use crate::runtime::StopToken;

/// Some milliseconds of a venue at its fastest: the lane evens out the turns of two threads, it is no store.
pub const PRICE_LANE: usize = 8;
/// Emptied batches on their way back to the producers.
const EMPTIES: usize = 2 * PRICE_LANE;

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
