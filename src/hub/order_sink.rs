//! From the order stream of an account to its broker, which tells everybody.
//!
//! Must not know what an order update means.

use std::sync::Arc;
use std::time::Instant;

use super::producer::Sink;
use crate::events::{Event, EventBus, HeardOrder, OrderEvent, Source};
use crate::exchanges::Broker;
use crate::exchanges::alpaca::AlpacaBroker;
use crate::redis::{Hush, held_back};
use crate::runtime::{StopToken, wall_now};

/// Feeds the broker of one account.
#[derive(Debug)]
pub struct OrderSink {
    broker: Arc<AlpacaBroker>,
    bus: EventBus,
    hush: Hush,
}

impl OrderSink {
    pub fn new(broker: Arc<AlpacaBroker>, bus: EventBus) -> OrderSink {
        OrderSink { broker, bus, hush: Hush::default() }
    }
}

impl Sink<OrderEvent> for OrderSink {
    fn deliver(&mut self, events: &mut Vec<OrderEvent>, _since: Instant, _token: &StopToken) {
        for event in events.drain(..) {
            if let Err(unread) = self.broker.hear(event) {
                if let Some(held) = self.hush.tell("unread", Instant::now()) {
                    log::warn!("{unread}; bots get it in the words of Alpaca{}", held_back(held));
                }
                let heard = HeardOrder { of: self.broker.of(), words: unread.event, source: Source::Stream, at: wall_now() };
                self.bus.publish(&Event::OrderHeard(heard));
            }
        }
    }

    fn streaming(&mut self) {
        self.broker.stream_is(true);
    }

    fn lost(&mut self) {
        self.broker.stream_is(false);
    }
}
