//! Events on their way to the bus: in the order in which they happened, and with no lock held that an order waits for.
//!
//! Must not know what happened.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::events::{Event, EventBus};

/// Filled under the lock of the account, emptied outside of it by one caller at a time.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<VecDeque<Event>>,
    carrier: Mutex<()>,
}

impl Outbox {
    pub fn put(&self, events: impl IntoIterator<Item = Event>) {
        self.waiting.lock().extend(events);
    }

    /// Publishes what waits. Who finds somebody else at it leaves his events to him.
    pub fn carry(&self, bus: &EventBus) {
        while !self.waiting.lock().is_empty() {
            let Some(_carrier) = self.carrier.try_lock() else { return };
            while let Some(event) = self.next() {
                bus.publish(&event);
            }
        }
    }

    fn next(&self) -> Option<Event> {
        self.waiting.lock().pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::events::{MarketDataEvent, MarketSight, Topics};
    use crate::model::Timestamp;

    #[test]
    fn events_of_many_callers_keep_their_order_and_none_stays_behind() {
        const EACH: i64 = 2_000;
        let (bus, outbox, account) = (EventBus::new(), Outbox::default(), Mutex::new(()));
        let heard = bus.subscribe(Topics::MARKET, 4 * EACH as usize);
        let count = AtomicI64::new(0);
        let event = |at| {
            let (exchange, symbol) = ("paper".parse().unwrap(), "AAPL".parse().unwrap());
            Event::Market(MarketDataEvent { exchange, symbol, at: Timestamp::from_nanos(at), seen: MarketSight::Halted })
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let account = account.lock();
                        outbox.put([event(count.fetch_add(1, Ordering::Relaxed))]);
                        drop(account);
                        outbox.carry(&bus);
                    }
                });
            }
        });
        let heard: Vec<Event> = heard.values.try_iter().collect();
        assert_eq!(heard, (0..4 * EACH).map(event).collect::<Vec<_>>());
    }
}
