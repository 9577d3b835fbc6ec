//! The bus inside the process: one publishes, everybody who asked for it gets it.
//!
//! | kind | capacity of a subscriber | when it is full |
//! |---|---|---|
//! | facts: order updates, fills, positions | as asked | the publisher waits [`PATIENCE`], then cuts the subscriber off: it sees the end of its channel, never a gap |
//! | values: market data, health | as asked | the oldest is dropped and counted: newest wins |
//!
//! Must not know who publishes or subscribes, nor threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::event::Event;

/// How long a publisher waits for a subscriber that takes no facts.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a subscriber wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topics {
    pub facts: bool,
    pub market: bool,
    pub health: bool,
}

impl Topics {
    pub const ALL: Topics = Topics { facts: true, market: true, health: true };
    pub const FACTS: Topics = Topics { facts: true, market: false, health: false };
    pub const MARKET: Topics = Topics { facts: false, market: true, health: false };
}

/// What a subscriber holds; dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    /// Ends when this subscriber was cut off or the bus is gone.
    pub facts: Receiver<Event>,
    pub values: Receiver<Event>,
    ticket: Arc<Ticket>,
}

impl Subscription {
    /// Values that were dropped for newer ones.
    pub fn dropped(&self) -> u64 {
        self.ticket.dropped.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Ticket {
    dropped: AtomicU64,
}

#[derive(Debug, Clone)]
struct Subscriber {
    topics: Topics,
    facts: Sender<Event>,
    values: Sender<Event>,
    /// The subscriber's own end, to take the oldest value out of a full channel.
    oldest: Receiver<Event>,
    ticket: Weak<Ticket>,
}

/// The bus; clones are the same bus.
#[derive(Debug, Clone, Default)]
pub struct EventBus {
    subscribers: Arc<Mutex<Arc<Vec<Subscriber>>>>,
    cut_off: Arc<AtomicU64>,
}

impl EventBus {
    pub fn new() -> EventBus {
        EventBus::default()
    }

    /// Hears everything of `topics` that is published from now on, with room for `capacity` facts and as many values.
    pub fn subscribe(&self, topics: Topics, capacity: usize) -> Subscription {
        let (facts, fact_inbox) = bounded(capacity.max(1));
        let (values, value_inbox) = bounded(capacity.max(1));
        let ticket = Arc::new(Ticket::default());
        let subscriber = Subscriber { topics, facts, values, oldest: value_inbox.clone(), ticket: Arc::downgrade(&ticket) };
        let mut subscribers = self.subscribers.lock();
        let kept = subscribers.iter().filter(|known| known.ticket.strong_count() > 0).cloned();
        *subscribers = Arc::new(kept.chain([subscriber]).collect());
        Subscription { facts: fact_inbox, values: value_inbox, ticket }
    }

    /// Hands `event` to every subscriber of its kind.
    pub fn publish(&self, event: &Event) {
        let subscribers = Arc::clone(&self.subscribers.lock());
        for subscriber in subscribers.iter() {
            if !subscriber.deliver(event) {
                self.cut(subscriber);
            }
        }
    }

    /// Subscribers that took no facts in time and were cut off.
    pub fn cut_off(&self) -> u64 {
        self.cut_off.load(Ordering::Relaxed)
    }

    fn cut(&self, gone: &Subscriber) {
        let mut subscribers = self.subscribers.lock();
        let kept: Vec<Subscriber> = subscribers.iter().filter(|known| !known.facts.same_channel(&gone.facts)).cloned().collect();
        if kept.len() < subscribers.len() && gone.ticket.strong_count() > 0 {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
            log::error!("a part of this process took no order events for {PATIENCE:?} and was cut off from them; it starts again from what the broker holds");
        }
        *subscribers = Arc::new(kept);
    }
}

impl Subscriber {
    /// False when this subscriber is gone or has to go.
    fn deliver(&self, event: &Event) -> bool {
        let Some(ticket) = self.ticket.upgrade() else { return false };
        match event {
            Event::OrderUpdated(_) | Event::OrderHeard(_) | Event::Filled(_) | Event::PositionChanged(_) => !self.topics.facts || self.deliver_fact(event),
            Event::Market(_) if !self.topics.market => true,
            Event::HealthChanged(_) if !self.topics.health => true,
            Event::Market(_) | Event::HealthChanged(_) => {
                self.deliver_value(event.clone(), &ticket);
                true
            }
        }
    }

    fn deliver_fact(&self, event: &Event) -> bool {
        match self.facts.send_timeout(event.clone(), PATIENCE) {
            Ok(()) => true,
            Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_)) => false,
        }
    }

    fn deliver_value(&self, mut event: Event, ticket: &Ticket) {
        while let Err(TrySendError::Full(back)) = self.values.try_send(event) {
            event = back;
            if self.oldest.try_recv().is_ok() {
                ticket.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{AccountRef, BrokerHealth, FillEvent, MarketDataEvent, MarketSight};
    use crate::model::{Fill, MarketSession, Side, Timestamp};

    fn market(at: i64) -> Event {
        let seen = MarketSight::Session(MarketSession::Regular);
        Event::Market(MarketDataEvent { exchange: "paper".parse().unwrap(), symbol: "AAPL".parse().unwrap(), at: Timestamp::from_nanos(at), seen })
    }

    fn of() -> AccountRef {
        AccountRef { broker: "paper".parse().unwrap(), account: "one".parse().unwrap() }
    }

    fn fill(at: i64) -> Event {
        let fill = Fill {
            execution_id: "e".parse().unwrap(),
            order_id: "o".parse().unwrap(),
            client_order_id: "bot-1".parse().unwrap(),
            symbol: "AAPL".parse().unwrap(),
            side: Side::Buy,
            price: 1.into(),
            quantity: 1.into(),
            fees: 0.into(),
            position: 1.into(),
            at: Timestamp::from_nanos(at),
        };
        Event::Filled(FillEvent { of: of(), fill })
    }

    #[test]
    fn everybody_hears_what_he_asked_for() {
        let bus = EventBus::new();
        let (all, facts) = (bus.subscribe(Topics::ALL, 8), bus.subscribe(Topics::FACTS, 8));
        bus.publish(&fill(1));
        bus.publish(&market(2));
        bus.publish(&Event::HealthChanged(BrokerHealth { of: of(), score: 1.0, reasons: Vec::new(), at: Timestamp::default() }));
        assert_eq!(all.facts.try_iter().collect::<Vec<_>>(), [fill(1)]);
        assert_eq!(all.values.try_iter().count(), 2);
        assert_eq!(facts.facts.try_iter().count(), 1);
        assert_eq!(facts.values.try_iter().count(), 0);
    }

    #[test]
    fn of_values_the_newest_win_and_the_lost_are_counted() {
        let bus = EventBus::new();
        let slow = bus.subscribe(Topics::MARKET, 3);
        (0..10).for_each(|at| bus.publish(&market(at)));
        assert_eq!(slow.values.try_iter().collect::<Vec<_>>(), [market(7), market(8), market(9)]);
        assert_eq!(slow.dropped(), 7);
    }

    #[test]
    fn who_takes_no_facts_sees_the_end_and_no_gap() {
        let bus = EventBus::new();
        let (stuck, lively) = (bus.subscribe(Topics::FACTS, 2), bus.subscribe(Topics::FACTS, 8));
        (0..4).for_each(|at| bus.publish(&fill(at)));
        assert_eq!(bus.cut_off(), 1);
        assert_eq!(stuck.facts.iter().collect::<Vec<_>>(), [fill(0), fill(1)]);
        assert_eq!(lively.facts.try_iter().count(), 4);
    }

    #[test]
    fn a_dropped_subscription_costs_nobody_anything() {
        let bus = EventBus::new();
        drop(bus.subscribe(Topics::FACTS, 1));
        (0..4).for_each(|at| bus.publish(&fill(at)));
        assert_eq!((bus.cut_off(), bus.subscribers.lock().len()), (0, 0));
    }
}
