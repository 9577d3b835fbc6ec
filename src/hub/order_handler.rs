//! The thread that owns the order queue and its Redis connection.
//!
//! Must not know exchanges. It drops nothing: with its queue full it leaves further updates in the lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, never, select};

use super::lanes::OrderItem;
use super::orders::{OrderQueue, OrderRules, handle_order_update};
use crate::net::Interest;
use crate::observe::{Counter, Heartbeat};
use crate::redis::Outlet;
use crate::runtime::StopToken;

const OUTBOX_BYTES: usize = 64 * 1024;
const PRESSURE_TURN: Duration = Duration::from_millis(5);
const BEAT: Duration = Duration::from_secs(1);
const LAST_FLUSH: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub struct OrderStats {
    pub received: Counter,
    pub published: Counter,
    pub errors: Counter,
    /// Received and not yet confirmed by Redis.
    pub waiting: AtomicU64,
}

/// The handler; [`OrderHandler::run`] ends when the lane does and says how many updates were left unpublished.
pub struct OrderHandler {
    pub lane: Receiver<OrderItem>,
    /// The shutdown: from then on the lane is emptied though the queue is full, for its end stands behind its last item.
    pub stop: StopToken,
    pub rules: OrderRules,
    pub queue: OrderQueue,
    pub outlet: Outlet,
    pub stats: Arc<OrderStats>,
    pub heartbeat: Heartbeat,
}

impl OrderHandler {
    pub fn run(mut self) -> usize {
        loop {
            self.heartbeat.beat();
            let ended = self.drain_lane();
            self.serve_redis();
            if ended || !self.wait() {
                break;
            }
        }
        self.finish()
    }

    /// Takes what lies on the lane while the queue has room; true when the lane has ended.
    fn drain_lane(&mut self) -> bool {
        while self.takes_more() {
            match self.lane.try_recv() {
                Ok(item) => self.take(&item),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        false
    }

    fn takes_more(&self) -> bool {
        self.queue.has_room() || !self.stop.is_running()
    }

    fn take(&mut self, item: &OrderItem) {
        self.stats.received.add(1);
        self.queue.push(handle_order_update(item, self.rules));
        self.tell_waiting();
    }

    fn tell_waiting(&self) {
        self.stats.waiting.store(self.queue.len() as u64, Ordering::Relaxed);
    }

    fn serve_redis(&mut self) {
        let now = Instant::now();
        let pumped = self.outlet.pump(now);
        // Answers that came before the loss still count.
        self.stats.published.add(self.queue.confirm(pumped.answered));
        self.stats.errors.add(pumped.errors);
        if pumped.lost.is_some() {
            self.queue.connection_lost();
        }
        if self.outlet.has_room() {
            let limit = self.outlet.buffer().len() + OUTBOX_BYTES;
            let commands = self.queue.send(self.outlet.buffer(), limit);
            if commands > 0 {
                self.outlet.queued(commands);
                let pumped = self.outlet.pump(now);
                self.stats.published.add(self.queue.confirm(pumped.answered));
                self.stats.errors.add(pumped.errors);
                if pumped.lost.is_some() {
                    self.queue.connection_lost();
                }
            }
        }
        self.tell_waiting();
    }

    /// Sleeps until there is something to do; false when the lane has ended.
    fn wait(&mut self) -> bool {
        let now = Instant::now();
        if self.outlet.is_up() && !self.queue.is_empty() {
            let interest = if self.outlet.wants_write() { Interest::ReadWrite } else { Interest::Read };
            let _ = self.outlet.wait(now + PRESSURE_TURN, interest);
            return true;
        }
        let (full, not_full) = (never(), never());
        let (lane, stop) = if self.takes_more() { (&self.lane, &not_full) } else { (&full, self.stop.channel()) };
        let patience = self.outlet.next_deadline().min(now + BEAT).saturating_duration_since(now);
        let item = select! {
            recv(lane) -> item => match item {
                Ok(item) => Some(item),
                Err(_) => return false,
            },
            recv(self.outlet.link_ready()) -> _ => None,
            recv(stop) -> _ => None,
            default(patience) => None,
        };
        if let Some(item) = item {
            self.take(&item);
        }
        true
    }

    fn finish(&mut self) -> usize {
        let deadline = Instant::now() + LAST_FLUSH;
        while !self.queue.is_empty() && self.outlet.is_up() && Instant::now() < deadline {
            self.serve_redis();
            if !self.queue.is_empty() {
                let interest = if self.outlet.wants_write() { Interest::ReadWrite } else { Interest::Read };
                let _ = self.outlet.wait(deadline, interest);
            }
        }
        self.queue.len()
    }
}

impl std::fmt::Debug for OrderHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderHandler").field("waiting", &self.queue.len()).finish_non_exhaustive()
    }
}
