//! The paper account as a broker: one engine, one file, many callers.
//!
//! A call is one step: under one lock the engine does it and the file keeps it, then the caller is answered and the events
//! are published, in the order in which they happened. Orders that come at the same time are one step together: each has
//! its own outcome, the file is written once. When the file cannot be written, what the engine did is thrown away: the
//! callers get an error, nobody hears of it, and before the next call the state is read from the file again.
//!
//! Must not know where prices come from nor who listens.

mod calls;
mod days;
mod drive;
mod outbox;
mod queue;
mod refusal;
mod settings;
mod sights;
mod time;
mod venue;

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Mutex, MutexGuard};

pub use settings::{KIND, PaperSettings, Slippage};
pub use time::{Clock, Ticks};

use super::engine::OTHER_EXIT_FILLED;
use super::store::{Checkpointer, StoreError};
use crate::events::{BrokerHealth, Event, EventBus, MarketDataEvent, MarketSight};
use crate::exchanges::{Broker, BrokerError, BrokerMetrics, Capabilities, Connection};
use crate::model::{MarketSession, Order, OrderRequest, Timestamp};
use outbox::Outbox;
use queue::{Queue, Turn};
use sights::Sights;
use time::{AccountTime, Clocks};
use venue::Venue;

/// How long a file that cannot be written is left alone before it is tried again.
const REST_NANOS: i64 = 250_000_000;
/// Orders that are kept in one transaction at most.
const TOGETHER: usize = 64;

/// One paper account.
pub struct PaperBroker {
    settings: PaperSettings,
    capabilities: Capabilities,
    bus: EventBus,
    clocks: Clocks,
    held: Mutex<Held>,
    /// How it stands with the account, for those who must not wait for the lock.
    state: AtomicU8,
    orders: Queue<OrderRequest, Result<Order, BrokerError>>,
    outbox: Outbox,
    checkpointer: Mutex<Option<Checkpointer>>,
    /// Changes of orders since the log was last moved into the file.
    changes: AtomicU64,
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
    time: AccountTime,
    due: Option<Timestamp>,
    /// A step has begun: what the engine holds is not in the file yet.
    unsettled: bool,
}

/// The file could not be written: what the engine holds counts no more.
#[derive(Debug, Clone)]
struct Trouble {
    error: BrokerError,
    again: Timestamp,
}

impl Held {
    /// The account, when it is open and in no trouble.
    fn usable(&mut self) -> Option<&mut Venue> {
        self.venue.as_mut().filter(|_| self.trouble.is_none())
    }

    fn connection(&self) -> Connection {
        match (&self.venue, &self.trouble) {
            (None, _) => Connection::Disconnected,
            (Some(_), Some(_)) => Connection::Degraded,
            (Some(_), None) => Connection::Connected,
        }
    }
}

impl PaperBroker {
    /// An account that nobody has opened: [`Broker::connect`] does.
    pub fn new(settings: PaperSettings, bus: EventBus, clock: Clock) -> PaperBroker {
        PaperBroker::timed(settings, bus, Clocks::of(clock))
    }

    /// With a clock of one's own beside the wall clock, which may be set; the account's time goes on with the ticks.
    pub fn with_ticks(settings: PaperSettings, bus: EventBus, clock: Clock, ticks: Ticks) -> PaperBroker {
        PaperBroker::timed(settings, bus, Clocks::new(clock, ticks))
    }

    fn timed(settings: PaperSettings, bus: EventBus, clocks: Clocks) -> PaperBroker {
        let (wake, woken) = bounded(1);
        PaperBroker {
            capabilities: settings.capabilities(),
            settings,
            bus,
            clocks,
            held: Mutex::default(),
            state: AtomicU8::new(Connection::Disconnected as u8),
            orders: Queue::default(),
            outbox: Outbox::default(),
            checkpointer: Mutex::default(),
            changes: AtomicU64::new(0),
            wake,
            woken,
            metrics: BrokerMetrics::new(Instant::now()),
        }
    }

    fn count(&self, events: &[Event]) {
        for event in events {
            match event {
                Event::Filled(_) => self.metrics.fills.add(1),
                Event::OrderUpdated(update) => self.metrics.told(update, update.reason.as_deref() == Some(OTHER_EXIT_FILLED)),
                _ => {}
            }
        }
    }

    /// Shows what a market showed. While the account is closed or cannot be kept, it is only remembered.
    pub fn see(&self, shown: &MarketDataEvent) {
        match shown.seen {
            MarketSight::Session(session) => self.set_session(session),
            seen => self.show(|held, now| {
                held.sights.note(&shown.symbol, seen, now);
                if let Some(venue) = held.usable() {
                    venue.see(&shown.symbol, &seen, now);
                }
                Ok(())
            }),
        }
    }

    /// Says which phase the market is in.
    pub fn set_session(&self, session: MarketSession) {
        self.show(|held, now| {
            let first = held.sights.session().is_none();
            held.sights.note_session(session);
            match (&mut held.venue, &held.trouble) {
                // The engine takes the first word for an opening: it begins anew in that phase, with the opening that
                // the file knows.
                (Some(venue), None) if first => return venue.reload(&self.settings, &held.sights, now),
                (Some(venue), None) => venue.set_session(session, now),
                _ => {}
            }
            Ok(())
        });
    }

    fn show(&self, show: impl FnOnce(&mut Held, Timestamp) -> Result<(), StoreError>) {
        let mut held = self.held.lock();
        let now = self.begin(&mut held);
        if let Some(venue) = held.usable() {
            venue.turn_day(now);
            held.unsettled = true;
        }
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
        let result = self.step_held(&mut held, act);
        // In turn: else who has the processor goes on for a whole slice of time while the others wait.
        MutexGuard::unlock_fair(held);
        result?
    }

    /// What was done counts only once it is kept: else the error is why it was not.
    fn step_held<T>(&self, held: &mut Held, act: impl FnOnce(&mut Venue, Timestamp) -> T) -> Result<T, BrokerError> {
        let now = self.begin(held);
        self.recover(held, now)?;
        let venue = held.venue.as_mut().ok_or_else(|| self.not_connected())?;
        held.unsettled = true;
        venue.advance(now);
        let result = act(venue, now);
        self.settle(held, now)?;
        Ok(result)
    }

    /// Reads the clock, and sees whether the last step came to its end.
    fn begin(&self, held: &mut Held) -> Timestamp {
        let now = held.time.now(&self.clocks);
        if std::mem::take(&mut held.unsettled) && held.venue.is_some() && held.trouble.is_none() {
            let cause = "a call broke off in the middle, and what it did is being thrown away".to_owned();
            let error = BrokerError::Storage { broker: self.settings.name.to_string(), cause };
            log::error!("{error}");
            held.trouble = Some(Trouble { error, again: now });
            self.note(held);
        }
        now
    }

    /// One step for all who wait.
    fn place_waiting(&self, turn: Turn<'_, OrderRequest, Result<Order, BrokerError>>) {
        let mut held = self.held.lock();
        let (requests, callers): (Vec<_>, Vec<_>) = turn.take(TOGETHER).into_iter().unzip();
        let placed = self.step_held(&mut held, |venue, now| requests.into_iter().map(|request| venue.place(request, now)).collect());
        MutexGuard::unlock_fair(held);
        // Whoever is next need not wait until all of these are answered.
        drop(turn);
        let placed: Vec<_> = placed.unwrap_or_else(|error| vec![Err(error); callers.len()]);
        callers.into_iter().zip(placed).for_each(|(caller, placed)| caller.answer(placed));
        self.outbox.carry(&self.bus);
    }

    /// Writes down what happened, and hands over the events of it.
    fn settle(&self, held: &mut Held, now: Timestamp) -> Result<(), BrokerError> {
        held.unsettled = false;
        let Some(venue) = &mut held.venue else { return Ok(()) };
        match venue.keep(now) {
            Ok(events) => {
                let due = venue.engine.next_due();
                if !events.is_empty() {
                    let changes = events.iter().filter(|event| matches!(event, Event::OrderUpdated(_))).count();
                    self.changes.fetch_add(changes as u64, Ordering::Relaxed);
                    self.count(&events);
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
        self.note(held);
        self.tell_health(1.0, Vec::new(), now);
        self.settle(held, now)
    }

    fn lost(&self, held: &mut Held, cause: &StoreError, now: Timestamp) -> BrokerError {
        held.unsettled = false;
        let error = refusal::of_store(&self.settings.name, cause);
        if held.trouble.is_none() {
            log::error!("{error}");
            self.tell_health(0.0, vec![error.to_string()], now);
        }
        held.trouble = Some(Trouble { error: error.clone(), again: Timestamp::from_nanos(now.nanos().saturating_add(REST_NANOS)) });
        self.note(held);
        error
    }

    /// Tells those who do not take the lock how it stands.
    fn note(&self, held: &Held) {
        self.state.store(held.connection() as u8, Ordering::Relaxed);
    }

    fn tell_health(&self, score: f64, reasons: Vec<String>, at: Timestamp) {
        self.outbox.put([Event::HealthChanged(BrokerHealth { of: self.of(), score, reasons, at })]);
    }

    fn not_connected(&self) -> BrokerError {
        BrokerError::NotConnected { broker: self.settings.name.to_string(), cause: "the account is not open".to_owned() }
    }
}

impl Drop for PaperBroker {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl fmt::Debug for PaperBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaperBroker").field("of", &self.of()).field("connection", &self.connection()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
