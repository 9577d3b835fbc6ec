//! The paper account as a broker: one engine, one file, many callers.
//!
//! A call is one step: under one lock the engine does it and the file keeps it, then the caller is answered and the events
//! are published, in the order in which they happened. When the file cannot be written, what the engine did is thrown away:
//! the caller gets an error, nobody hears of it, and before the next call the state is read from the file again.
//!
//! Must not know where prices come from nor who listens.

mod drive;
mod outbox;
mod refusal;
mod settings;
mod sights;
mod tally;
mod venue;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, MutexGuard};

pub use settings::{KIND, PaperSettings, Slippage};

use super::engine::Instrument;
use super::store::{Checkpointer, StoreError};
use crate::events::{AccountRef, BrokerHealth, Event, EventBus, MarketDataEvent, MarketSight, OrderKey};
use crate::exchanges::{Broker, BrokerError, BrokerMetrics, CancelOutcome, Capabilities, Connection};
use crate::model::{AccountInfo, Balance, Fill, MarketSession, Modification, Order, OrderRequest, Position, Symbol, Timestamp};
use crate::risk::Approved;
use outbox::Outbox;
use sights::Sights;
use venue::Venue;

/// What time it is: a closure, so that a test can say.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long a file that cannot be written is left alone before it is tried again.
const REST_NANOS: i64 = 250_000_000;

/// One paper account.
pub struct PaperBroker {
    settings: PaperSettings,
    capabilities: Capabilities,
    bus: EventBus,
    clock: Clock,
    held: Mutex<Held>,
    outbox: Outbox,
    checkpointer: Mutex<Option<Checkpointer>>,
    /// Steps since the log was last moved into the file.
    steps: AtomicU64,
    wake: Sender<()>,
    woken: Receiver<()>,
    metrics: BrokerMetrics,
}

/// What the lock protects.
#[derive(Debug, Default)]
struct Held {
    /// `None` while disconnected.
    venue: Option<Venue>,
    trouble: Option<Trouble>,
    sights: Sights,
    /// Time never runs backwards here, whatever the clock does.
    latest: Timestamp,
    due: Option<Timestamp>,
}

/// The file could not be written: what the engine holds counts no more.
#[derive(Debug, Clone)]
struct Trouble {
    error: BrokerError,
    again: Timestamp,
}

impl Held {
    fn now(&mut self, clock: &Clock) -> Timestamp {
        self.latest = clock().max(self.latest);
        self.latest
    }

    /// Lets an account that is open and in no trouble do something.
    fn usable(&mut self, act: impl FnOnce(&mut Venue)) {
        if let (Some(venue), None) = (&mut self.venue, &self.trouble) {
            act(venue);
        }
    }
}

impl PaperBroker {
    /// An account that nobody has opened: [`Broker::connect`] does.
    pub fn new(settings: PaperSettings, bus: EventBus, clock: Clock) -> PaperBroker {
        let (wake, woken) = bounded(1);
        PaperBroker {
            capabilities: settings.capabilities(),
            settings,
            bus,
            clock,
            held: Mutex::default(),
            outbox: Outbox::default(),
            checkpointer: Mutex::default(),
            steps: AtomicU64::new(0),
            wake,
            woken,
            metrics: BrokerMetrics::new(Instant::now()),
        }
    }

    /// Lists a symbol, or changes the rules for it. Symbols whose prices are shown are listed by themselves.
    pub fn list(&self, instrument: Instrument) -> Result<(), BrokerError> {
        self.step(|venue, _| {
            venue.engine.list(instrument);
            Ok(())
        })
    }

    /// Shows what a market showed. While the account is closed or cannot be kept, it is only remembered.
    pub fn see(&self, shown: &MarketDataEvent) {
        match shown.seen {
            MarketSight::Session(session) => self.set_session(session),
            seen => self.show(|held, now| {
                held.sights.note(&shown.symbol, seen, now);
                held.usable(|venue| venue.see(&shown.symbol, &seen, now));
                Ok(())
            }),
        }
    }

    /// Says which phase the market is in.
    pub fn set_session(&self, session: MarketSession) {
        self.show(|held, now| {
            let first = held.sights.session().is_none();
            held.sights.note_session(session);
            match &mut held.venue {
                // The engine takes the first word for an opening: it begins anew in that phase, with the opening that the file knows.
                Some(venue) if first && held.trouble.is_none() => return venue.reload(&self.settings, &held.sights, now),
                _ => held.usable(|venue| venue.set_session(session, now)),
            }
            Ok(())
        });
    }

    fn show(&self, show: impl FnOnce(&mut Held, Timestamp) -> Result<(), StoreError>) {
        let mut held = self.held.lock();
        let now = held.now(&self.clock);
        // Whoever calls next is told what went wrong.
        let _ = match show(&mut held, now) {
            Ok(()) if held.trouble.is_none() => self.settle(&mut held, now),
            Ok(()) => Ok(()),
            Err(cause) => Err(self.lost(&mut held, &cause, now)),
        };
        drop(held);
        self.outbox.carry(&self.bus);
    }

    /// One step of the account: done, kept, then told.
    fn step<T>(&self, act: impl FnOnce(&mut Venue, Timestamp) -> Result<T, BrokerError>) -> Result<T, BrokerError> {
        let result = self.step_inside(act);
        self.outbox.carry(&self.bus);
        if let Err(error) = &result {
            self.metrics.failed(error);
        }
        result
    }

    fn step_inside<T>(&self, act: impl FnOnce(&mut Venue, Timestamp) -> Result<T, BrokerError>) -> Result<T, BrokerError> {
        let mut held = self.held.lock();
        let now = held.now(&self.clock);
        self.recover(&mut held, now)?;
        let venue = held.venue.as_mut().ok_or_else(|| self.not_connected())?;
        venue.engine.advance(now);
        let result = act(venue, now);
        let settled = self.settle(&mut held, now);
        // In turn: else who has the processor goes on for a whole slice of time while the others wait.
        MutexGuard::unlock_fair(held);
        settled.and(result)
    }

    /// Writes down what happened, and hands over the events of it.
    fn settle(&self, held: &mut Held, now: Timestamp) -> Result<(), BrokerError> {
        let Some(venue) = &mut held.venue else { return Ok(()) };
        match venue.keep() {
            Ok(events) => {
                let due = venue.engine.next_due();
                if !events.is_empty() {
                    self.steps.fetch_add(1, Ordering::Relaxed);
                    tally::count(&events, &self.metrics);
                    self.outbox.put(events);
                }
                if due != held.due {
                    held.due = due;
                    // Full: it is awake already.
                    let _ = self.wake.try_send(());
                }
                Ok(())
            }
            Err(cause) => Err(self.lost(held, &cause, now)),
        }
    }

    /// After a failure: reads the state again, if it is time to try.
    fn recover(&self, held: &mut Held, now: Timestamp) -> Result<(), BrokerError> {
        let Some(trouble) = &held.trouble else { return Ok(()) };
        if now < trouble.again {
            return Err(trouble.error.clone());
        }
        let Held { venue, sights, .. } = held;
        let Some(venue) = venue else { return Ok(()) };
        if let Err(cause) = venue.reload(&self.settings, sights, now) {
            return Err(self.lost(held, &cause, now));
        }
        log::info!("the paper account {} is kept again in {}", self.settings.account, self.settings.file.display());
        held.trouble = None;
        self.tell_health(1.0, Vec::new(), now);
        self.settle(held, now)
    }

    fn lost(&self, held: &mut Held, cause: &StoreError, now: Timestamp) -> BrokerError {
        let error = refusal::of_store(&self.settings.name, cause);
        if held.trouble.is_none() {
            log::error!("{error}");
            self.tell_health(0.0, vec![error.to_string()], now);
        }
        held.trouble = Some(Trouble { error: error.clone(), again: Timestamp::from_nanos(now.nanos().saturating_add(REST_NANOS)) });
        error
    }

    fn tell_health(&self, score: f64, reasons: Vec<String>, at: Timestamp) {
        self.outbox.put([Event::HealthChanged(BrokerHealth { of: self.of(), score, reasons, at })]);
    }

    fn not_connected(&self) -> BrokerError {
        BrokerError::NotConnected { broker: self.settings.name.to_string(), cause: "the account is not open".to_owned() }
    }

    fn timed_place(&self, request: OrderRequest) -> Result<Order, BrokerError> {
        self.capabilities.check(&request).inspect_err(|error| self.metrics.failed(error))?;
        self.step(|venue, now| venue.place(request, now))
    }

    fn open(&self) -> Result<(), BrokerError> {
        let mut held = self.held.lock();
        let now = held.now(&self.clock);
        if held.venue.is_some() {
            return self.recover(&mut held, now);
        }
        let venue = Venue::open(&self.settings, &held.sights, now).map_err(|cause| refusal::of_store(&self.settings.name, &cause))?;
        let checkpointer = venue.checkpointer().map_err(|cause| refusal::of_store(&self.settings.name, &cause))?;
        *self.checkpointer.lock() = Some(checkpointer);
        held.latest = venue.began.max(held.latest);
        held.venue = Some(venue);
        self.metrics.connected(Instant::now());
        self.settle(&mut held, now)
    }
}

impl Broker for PaperBroker {
    fn of(&self) -> AccountRef {
        AccountRef { broker: self.settings.name.clone(), account: self.settings.account.clone() }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn connect(&self) -> Result<(), BrokerError> {
        let opened = self.open();
        self.outbox.carry(&self.bus);
        opened.inspect_err(|error| self.metrics.failed(error))
    }

    fn disconnect(&self) {
        let mut held = self.held.lock();
        let venue = held.venue.take();
        (held.trouble, held.due) = (None, None);
        let checkpointer = self.checkpointer.lock().take();
        // Closed before anybody can open it again.
        drop((checkpointer, venue));
        drop(held);
        self.metrics.disconnected(Instant::now());
        self.outbox.carry(&self.bus);
    }

    fn connection(&self) -> Connection {
        let held = self.held.lock();
        match (&held.venue, &held.trouble) {
            (None, _) => Connection::Disconnected,
            (Some(_), Some(_)) => Connection::Degraded,
            (Some(_), None) => Connection::Connected,
        }
    }

    fn place(&self, order: Approved<OrderRequest>) -> Result<Order, BrokerError> {
        let began = Instant::now();
        let placed = self.timed_place(order.into_inner());
        self.metrics.placement.observe(began.elapsed());
        let outcome = if placed.is_ok() { &self.metrics.placed } else { &self.metrics.rejected };
        outcome.add(1);
        placed
    }

    fn modify(&self, order: &OrderKey, change: Approved<Modification>) -> Result<Order, BrokerError> {
        self.step(|venue, now| venue.modify(order, change.into_inner(), now))
    }

    fn cancel(&self, order: &OrderKey) -> Result<(), BrokerError> {
        let began = Instant::now();
        let cancelled = self.step(|venue, now| venue.cancel(order, now));
        self.metrics.cancellation.observe(began.elapsed());
        cancelled
    }

    fn cancel_all(&self, symbol: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError> {
        self.step(|venue, now| Ok(venue.cancel_all(symbol, now)))
    }

    fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.step(|venue, _| Ok(venue.open_orders()))
    }

    fn order(&self, order: &OrderKey) -> Result<Option<Order>, BrokerError> {
        self.step(|venue, _| venue.order(order))
    }

    fn orders(&self, orders: &[OrderKey]) -> Result<Vec<Option<Order>>, BrokerError> {
        self.step(|venue, _| orders.iter().map(|order| venue.order(order)).collect())
    }

    fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        self.step(|venue, _| venue.fills(since, limit))
    }

    fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        self.step(|venue, _| Ok(venue.positions()))
    }

    fn account(&self) -> Result<AccountInfo, BrokerError> {
        self.step(|venue, _| venue.account().ok_or_else(|| self.not_connected()))
    }

    fn balances(&self) -> Result<Vec<Balance>, BrokerError> {
        self.step(|venue, _| Ok(venue.balances()))
    }

    fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }
}

impl fmt::Debug for PaperBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaperBroker").field("of", &self.of()).field("connection", &self.connection()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
