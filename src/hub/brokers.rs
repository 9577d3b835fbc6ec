//! The order side of the service: the bus, the desk with its seats, the threads that serve it.
//!
//! Composed here and nowhere else. Must not know which brokers there are: it is handed them.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use super::registry::Instrument;
use crate::config::RedisSettings;
use crate::contract::channel::{DEAD_ORDERS, DESK_GROUP, ORDERS};
use crate::desk::ledger::Ledger;
use crate::desk::reconcile::Reconcilers;
use crate::desk::{Desk, DeskStats, Finders, HaltFile, Outgoing, Place, Pump, Role, Seat, Seats, Stock, UNDER_WAY, start_workers};
use crate::events::EventBus;
use crate::exchanges::Broker;
use crate::model::{ExchangeName, Symbol};
use crate::observe::Heartbeats;
use crate::redis::{ControlCommand, EntryStats, LeaseState, StreamPlace, run_entry_reader};
use crate::risk::Gate;
use crate::runtime::{Stop, StopKind, Task, Threads, wall_now};

/// Commands that wait for the dispatcher; beyond it Redis keeps them.
const COMMANDS: usize = 256;
/// Entries dealt with whose acknowledgement is on its way: more than can be under way, so that no worker waits when
/// Redis is gone.
const DONE: usize = 8_192;
const _: () = assert!(DONE >= UNDER_WAY + COMMANDS);
/// About so many commands stay in Redis for people to look at.
const KEPT: u64 = 100_000;
/// Symbols whose prices are wished for; what does not fit is wished for again with the next order.
const WISHES: usize = 1_024;
/// How long a wished-for symbol is held; it is wished for again well before.
pub const HELD_FOR: Duration = Duration::from_secs(600);
const WISH_AGAIN: Duration = Duration::from_secs(120);
/// How long the first commands wait for brokers that are on their way.
const ARRIVE_WITHIN: Duration = Duration::from_secs(5);

/// A broker and what the desk has to know of it.
pub struct Employed {
    pub broker: Arc<dyn Broker>,
    /// What is seen is fed by a thread of the broker.
    pub role: Role,
    pub gate: Gate,
    /// Ends the threads of the broker.
    pub stop: Stop,
    pub tasks: Vec<Task<()>>,
}

/// A place, and who has it; nobody as long as it is not known which account it is.
pub struct Opening {
    pub place: Place,
    pub employed: Option<Employed>,
}

/// What the order side needs of the rest.
pub struct Surroundings<'a> {
    pub threads: &'a Threads,
    pub redis: Arc<RedisSettings>,
    pub control: Sender<ControlCommand>,
    pub ledger: Arc<Ledger>,
    pub lease: Arc<LeaseState>,
    pub commands: Arc<EntryStats>,
    pub heartbeats: &'a Heartbeats,
    pub halts: Arc<HaltFile>,
}

/// The running order side.
pub struct OrderSide {
    seats: Arc<Seats>,
    wishes: Receiver<Instrument>,
    wish: Arc<Wishes>,
    /// Ends the workers, and the reader once it has acknowledged what they finish: nothing new is taken or begun.
    early: Stop,
    /// Ends the pump, once the brokers have nothing more to tell.
    late: Stop,
    /// The reader last: it ends after the others.
    workers: Vec<Task<()>>,
    pump: Option<Task<()>>,
    threads: Threads,
    desk: Arc<Desk>,
    reconcilers: Reconcilers,
    finders: Finders,
    /// What stood under the kill switch when it was looked at last; `None` before the first time.
    switch: Option<Option<String>>,
    /// The threads of the brokers.
    behind: Vec<(Stop, Vec<Task<()>>)>,
}

/// Symbols that were wished for lately.
struct Wishes {
    sender: Sender<Instrument>,
    lately: Mutex<HashMap<Instrument, Instant>>,
}

impl Wishes {
    fn want(&self, exchange: &ExchangeName, symbol: &Symbol) {
        let instrument = Instrument { exchange: exchange.clone(), symbol: symbol.clone() };
        let now = Instant::now();
        let mut lately = self.lately.lock();
        if lately.len() >= WISHES {
            lately.retain(|_, at| now.saturating_duration_since(*at) < WISH_AGAIN);
        }
        if lately.get(&instrument).is_some_and(|at| now.saturating_duration_since(*at) < WISH_AGAIN) {
            return;
        }
        match self.sender.try_send(instrument.clone()) {
            Ok(()) => {
                lately.insert(instrument, now);
            }
            Err(TrySendError::Full(_)) => log::warn!("prices of {symbol} are not asked for: too many are asked for at once"),
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

impl OrderSide {
    /// Starts the threads; from then on commands are taken.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(openings: Vec<Opening>, bus: &EventBus, around: Surroundings<'_>) -> io::Result<(OrderSide, Stock)> {
        let mut behind = Vec::new();
        let seats = openings.into_iter().map(|Opening { place, employed }| {
            let seat = employed.map(|Employed { broker, role, gate, stop, tasks }| {
                behind.push((stop, tasks));
                Arc::new(Seat::new(broker, role, gate))
            });
            (place, seat)
        });
        let seats = Arc::new(Seats::new(seats));
        let (sender, wishes) = bounded(WISHES);
        let wish = Arc::new(Wishes { sender, lately: Mutex::default() });
        let (early, late) = (Stop::new()?, Stop::new()?);
        let ledger = around.ledger;
        let heartbeat = around.heartbeats.register("desk-events");
        let pump = Pump { bus: bus.clone(), seats: Arc::clone(&seats), ledger: Arc::clone(&ledger), token: late.token(), heartbeat };
        // Heard from before anything is counted: an update in between is counted twice the same, never missed.
        let subscription = Pump::subscribe(bus);
        let pump = around.threads.spawn("desk-events", move || pump.run(subscription))?;
        let (threads, heartbeats, token) = (around.threads.clone(), around.heartbeats.clone(), early.token());
        let reconcilers = Reconcilers { threads, heartbeats, ledger: Arc::clone(&ledger), clock: wall_now, token };
        let wanting = Arc::clone(&wish);
        let want = Box::new(move |exchange: &ExchangeName, symbol: &Symbol| wanting.want(exchange, symbol));
        let held = Arc::clone(&around.lease);
        let may_send = Box::new(move || held.is_held());
        let desk = Arc::new(Desk::new(Arc::clone(&seats), ledger, want, Arc::clone(&around.halts), may_send, early.token(), wall_now));
        let (threads, heartbeats, token) = (around.threads.clone(), around.heartbeats.clone(), early.token());
        let finders = Finders { threads, heartbeats, desk: Arc::clone(&desk), token };
        let stats = Arc::new(DeskStats::default());
        let (inbox, entries) = bounded(COMMANDS);
        let (done, finished) = bounded(DONE);
        let out = Outgoing { control: around.control, done, stats: Arc::clone(&stats) };
        let mut workers = start_workers(around.threads, &desk, entries, &out, &early.token(), around.heartbeats.register("desk"))?;
        let place = StreamPlace { key: ORDERS, group: DESK_GROUP, consumer: "desk", field: "command", kept: KEPT, dead: DEAD_ORDERS };
        let (redis, token, lease, commands) = (around.redis, early.token(), around.lease, around.commands);
        // An order that came while we were away is not denied because a broker takes a moment to connect. One for a seat that
        // has not come waits at the desk, in nobody's way.
        let serving: Vec<_> = seats.seated().iter().filter(|seat| seat.takes_orders).cloned().collect();
        let patience = Instant::now() + ARRIVE_WITHIN;
        let may_read = Box::new(move || lease.is_held() && (serving.iter().all(|seat| seat.is_counted()) || Instant::now() >= patience));
        let reader = move || run_entry_reader(redis, place, inbox, finished, may_read, token, commands);
        workers.push(around.threads.spawn("redis-commands", reader)?);
        let stock = Stock::new(Arc::clone(&seats), around.halts, stats, bus.clone());
        let attended = seats.seated();
        let (pump, threads) = (Some(pump), around.threads.clone());
        let mut side = OrderSide { seats, wishes, wish, early, late, workers, pump, threads, desk, reconcilers, finders, switch: None, behind };
        for seat in attended.iter() {
            side.attend(seat)?;
        }
        side.keep_prices();
        Ok((side, stock))
    }

    /// A seat gets the threads that are its own: whether it holds what we know, and what became of its orders.
    fn attend(&mut self, seat: &Arc<Seat>) -> io::Result<()> {
        // Counted last: with the first of them alone it would take orders whose outcome nobody looks up.
        let tasks = [self.finders.spawn_for(seat)?, self.reconcilers.spawn_for(seat)?];
        self.workers.splice(..0, tasks);
        Ok(())
    }

    /// A broker takes the place that was kept for it. From then on its updates are counted, and commands for it are taken.
    pub fn join(&mut self, employed: Employed) {
        let Employed { broker, role, gate, stop, tasks } = employed;
        let seat = Arc::new(Seat::new(broker, role, gate));
        self.behind.push((stop, tasks));
        let Some(owed) = self.desk.join(&seat) else {
            return log::error!("broker {}: nobody awaits the account {}", seat.of.broker, seat.account_name);
        };
        if let Err(error) = self.attend(&seat) {
            log::error!("account {} is not looked at, and takes no orders: {error}", seat.account_name);
        }
        if owed.is_empty() {
            return;
        }
        let desk = Arc::clone(&self.desk);
        match self.threads.spawn("late-halts", move || desk.cancel_owed(&seat, owed)) {
            Ok(task) => self.workers.insert(0, task),
            Err(error) => log::error!("what halts wanted cancelled stays open: {error}"),
        }
    }

    /// Nobody takes that place in this life.
    pub fn refuse(&self, place: &Place, cause: String) {
        self.seats.refuse(&place.exchange, &place.account_name, cause);
    }

    /// Symbols whose prices somebody needs.
    pub fn wishes(&self) -> &Receiver<Instrument> {
        &self.wishes
    }

    /// Hands the desk what stands under the kill switch; on a thread, for a halt waits for orders that are on their way.
    pub fn kill_switch(&mut self, text: Option<String>) {
        if self.switch.as_ref() == Some(&text) {
            return;
        }
        self.switch = Some(text.clone());
        let desk = Arc::clone(&self.desk);
        if let Err(error) = self.threads.spawn("kill-switch", move || desk.kill_switch(text.as_deref())) {
            log::error!("the kill switch is not heard: {error}");
        }
    }

    /// Wishes again for the prices of everything that is held or open.
    pub fn keep_prices(&self) {
        for seat in self.seats.seated().iter() {
            for symbol in seat.symbols_in_use() {
                self.wish.want(&seat.prices, &symbol);
            }
        }
    }

    /// From now on commands stay in Redis.
    pub fn take_no_more(&self) {
        self.early.stop(StopKind::Shutdown);
    }

    /// Ends what is under way, disconnects, and hands on what was still told.
    pub fn stop(mut self, deadline: Instant) {
        self.take_no_more();
        self.behind.iter().for_each(|(stop, _)| stop.stop(StopKind::Shutdown));
        let join = |task: Task<()>| {
            if let Err(failure) = task.join_until(deadline) {
                log::error!("{failure}");
            }
        };
        self.workers.drain(..).for_each(join);
        self.behind.drain(..).flat_map(|(_, tasks)| tasks).for_each(join);
        self.disconnect(deadline);
        self.late.stop(StopKind::Shutdown);
        self.pump.take().into_iter().for_each(join);
    }

    /// A disk that hangs must not hold up the end of the process: what was answered is on it already.
    fn disconnect(&self, deadline: Instant) {
        let seated = self.seats.seated();
        let closing = seated.iter().filter_map(|seat| {
            let broker = Arc::clone(&seat.broker);
            self.threads.spawn(&format!("{}-close", seat.of.broker), move || broker.disconnect()).ok()
        });
        for task in closing.collect::<Vec<_>>() {
            if let Err(failure) = task.join_until(deadline) {
                log::error!("{failure}");
            }
        }
    }
}

impl std::fmt::Debug for OrderSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderSide").field("seats", &self.seats).finish_non_exhaustive()
    }
}
