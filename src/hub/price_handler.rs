//! The thread that owns the price book and its Redis connection.
//!
//! It never blocks on Redis. [`Pressure`] says whether a burst that Redis cannot take at once waits on the lane or is
//! folded. Must not know exchanges or who registered what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, select};

use super::lanes::{PriceBatch, PriceItem, PriceLane};
use super::pressure::{LATE, Pressure, Waited, Way};
use super::prices::{NameOf, Outbox, PriceBook, PriceCounts, StreamId, handle_price_update};
use super::registry::{Instrument, Interest};
use super::tap::MarketTap;
use crate::model::SymbolId;
use crate::net::Interest as SocketInterest;
use crate::observe::{Counter, Heartbeat};
use crate::redis::Outlet;

/// One write to the socket: large enough to make system calls rare, small enough to be sent while the next is made.
const OUTBOX_BYTES: usize = 64 * 1024;
/// Batches taken before the socket is served again.
const BATCH_BURST: usize = 32;
/// How long we leave Redis alone when it is behind. Its replies do not wake us then: waking somebody for each of its turns
/// would cost it as much as the messages.
const PRESSURE_TURN: Duration = Duration::from_millis(1);
const BEAT: Duration = Duration::from_secs(1);
/// What a shutdown may spend on the last values.
const LAST_FLUSH: Duration = Duration::from_millis(400);

/// What the supervisor tells the handler.
pub enum PriceControl {
    Interest {
        id: SymbolId,
        name: String,
        stream: StreamId,
        interest: Interest,
    },
    Wildcard {
        interest: Interest,
        name_of: NameOf,
    },
    /// Somebody trades this symbol.
    Watch {
        id: SymbolId,
        instrument: Instrument,
    },
    /// Look whether prices may be published now.
    Look,
}

/// How many updates went which way.
#[derive(Debug, Default)]
pub struct PriceStats {
    pub taken: Counter,
    pub published: Counter,
    pub merged: Counter,
    pub unwanted: Counter,
    pub facts_dropped: Counter,
    pub snapshots: Counter,
    pub errors: Counter,
}

impl PriceStats {
    fn add(&self, counts: PriceCounts) {
        self.taken.add(counts.taken);
        self.published.add(counts.published);
        self.merged.add(counts.merged);
        self.unwanted.add(counts.unwanted);
        self.facts_dropped.add(counts.facts_dropped);
        self.snapshots.add(counts.snapshots);
    }
}

/// The handler; [`PriceHandler::run`] ends when the lane does.
pub struct PriceHandler {
    lane: PriceLane,
    control: Receiver<PriceControl>,
    book: PriceBook,
    tap: MarketTap,
    outlet: Outlet,
    stats: Arc<PriceStats>,
    heartbeat: Heartbeat,
    /// The oldest item of the lane, while it waits for room.
    held: Option<PriceItem>,
    pressure: Pressure,
}

impl PriceHandler {
    pub fn new(
        lane: PriceLane,
        control: Receiver<PriceControl>,
        book: PriceBook,
        tap: MarketTap,
        outlet: Outlet,
        stats: Arc<PriceStats>,
        heartbeat: Heartbeat,
    ) -> PriceHandler {
        PriceHandler { lane, control, book, tap, outlet, stats, heartbeat, held: None, pressure: Pressure::default() }
    }

    pub fn run(mut self) {
        loop {
            let now = Instant::now();
            self.heartbeat.beat_at(now);
            self.serve_control(now);
            self.outlet.ask_guard(now);
            match self.next_item() {
                Ok(item) => {
                    if !self.outlet.has_room() {
                        // It may have been made since we looked last.
                        self.serve_redis(now);
                    }
                    if self.may_take(&item, now) {
                        self.take(item, now);
                        self.take_more(now);
                        self.serve_redis(now);
                    } else {
                        self.wait_for_room(item, now);
                    }
                }
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.serve_redis(now);
                    if !self.wait() {
                        break;
                    }
                }
            }
        }
        self.finish();
    }

    fn next_item(&mut self) -> Result<PriceItem, TryRecvError> {
        self.held.take().map_or_else(|| self.lane.items.try_recv(), Ok)
    }

    fn may_take(&mut self, item: &PriceItem, now: Instant) -> bool {
        let PriceItem::Batch(batch) = item else { return true };
        let way = match () {
            () if self.outlet.has_room() => Way::Open,
            () if !self.outlet.is_up() => Way::Down,
            () if self.outlet.is_swift() => Way::Full,
            () => Way::Slow,
        };
        let waited = Waited { on_the_lane: now.saturating_duration_since(batch.read), in_all: now.saturating_duration_since(batch.since) };
        self.pressure.may_take(waited, way, now)
    }

    fn wait_for_room(&mut self, item: PriceItem, now: Instant) {
        let late = if let PriceItem::Batch(batch) = &item { batch.read + LATE } else { now };
        self.held = Some(item);
        self.leave_redis_alone(late.min(now + PRESSURE_TURN));
    }

    fn leave_redis_alone(&mut self, until: Instant) {
        let interest = if self.outlet.wants_write() { SocketInterest::Write } else { SocketInterest::Neither };
        // A failed wait shows again in the next pump, which ends the connection.
        let _ = self.outlet.wait(until, interest);
    }

    /// What more lies on the lane, until the outgoing buffer is worth a write.
    fn take_more(&mut self, now: Instant) {
        for _ in 1..BATCH_BURST {
            if self.outlet.unsent() >= OUTBOX_BYTES || !(self.pressure.is_pressed(now) || self.outlet.has_room()) {
                break;
            }
            let Ok(item) = self.lane.items.try_recv() else { break };
            self.take(item, now);
        }
    }

    fn take(&mut self, item: PriceItem, now: Instant) {
        // An interest is always sent before the subscription that makes its first event.
        self.serve_control(now);
        match item {
            PriceItem::StreamLost(stream) => self.book.stream_lost(now, stream),
            PriceItem::Batch(PriceBatch { mut events, .. }) => {
                let limit = self.room();
                let mut out = Outbox::new(self.outlet.buffer(), limit);
                self.book.warm(&events);
                self.tap.see(&events);
                for event in events.drain(..) {
                    handle_price_update(&mut self.book, now, event, &mut out);
                }
                let commands = out.commands();
                self.outlet.queued(commands);
                let _ = self.lane.empties.try_send(events);
                self.stats.add(self.book.take_counts());
            }
        }
    }

    fn room(&self) -> usize {
        if self.outlet.has_room() { usize::MAX } else { 0 }
    }

    fn serve_control(&mut self, now: Instant) {
        while let Ok(control) = self.control.try_recv() {
            self.obey(control, now);
        }
    }

    fn obey(&mut self, control: PriceControl, now: Instant) {
        match control {
            PriceControl::Interest { id, name, stream, interest } => self.book.set_interest(now, id, &name, stream, interest),
            PriceControl::Wildcard { interest, name_of } => self.book.set_wildcard(interest, name_of),
            PriceControl::Watch { id, instrument } => self.tap.watch(id, instrument),
            // Each turn of the loop looks; this one made it turn.
            PriceControl::Look => {}
        }
    }

    fn serve_redis(&mut self, now: Instant) {
        let pumped = self.outlet.pump(now);
        self.stats.errors.add(pumped.errors);
        if pumped.connected {
            self.book.save_again(now);
        }
        let limit = if self.outlet.has_room() { self.outlet.buffer().len() + OUTBOX_BYTES } else { 0 };
        let mut out = Outbox::new(self.outlet.buffer(), limit);
        self.book.flush(now, &mut out);
        let commands = out.commands();
        if commands > 0 {
            self.outlet.queued(commands);
            self.stats.errors.add(self.outlet.pump(now).errors);
            self.stats.add(self.book.take_counts());
        }
    }

    /// Sleeps until there is something to do; false when the lane has ended.
    fn wait(&mut self) -> bool {
        let now = Instant::now();
        if self.outlet.is_up() && (self.outlet.wants_write() || self.book.is_waiting()) {
            self.leave_redis_alone(now + PRESSURE_TURN);
            return true;
        }
        let mut deadline = self.outlet.next_deadline().min(now + BEAT);
        // Without room nothing that is due can be written, and replies make room.
        if self.outlet.has_room() {
            deadline = self.book.next_due().map_or(deadline, |due| due.min(deadline));
        }
        let patience = deadline.saturating_duration_since(now);
        select! {
            recv(self.lane.items) -> item => match item {
                Ok(item) => self.held = Some(item),
                Err(_) => return false,
            },
            recv(self.control) -> control => if let Ok(control) = control {
                self.obey(control, now);
            },
            recv(self.outlet.link_ready()) -> _ => {}
            default(patience) => {}
        }
        true
    }

    fn finish(&mut self) {
        let deadline = Instant::now() + LAST_FLUSH;
        self.book.save_all_at(Instant::now());
        self.outlet.ask_guard(Instant::now());
        while self.outlet.is_up() && Instant::now() < deadline {
            self.serve_redis(Instant::now());
            if !self.book.is_waiting() && self.book.next_due().is_none() && self.outlet.unanswered() == 0 {
                break;
            }
            let interest = if self.outlet.wants_write() { SocketInterest::ReadWrite } else { SocketInterest::Read };
            let _ = self.outlet.wait(deadline, interest);
        }
        self.stats.add(self.book.take_counts());
    }
}

impl std::fmt::Debug for PriceHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PriceHandler").field("book", &self.book).finish_non_exhaustive()
    }
}
