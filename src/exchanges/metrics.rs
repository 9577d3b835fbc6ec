//! What a broker counts while it works: latencies, fills, errors, requests left.
//!
//! Shared with the status pages; nothing here blocks. Must not know how it is shown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::error::BrokerError;
use crate::events::OrderUpdate;
use crate::model::{Order, OrderChange};
use crate::observe::{Counter, Histogram};

/// No budget is known.
const NO_BUDGET: i64 = -1;

#[derive(Debug)]
pub struct BrokerMetrics {
    /// From the call to its answer.
    pub placement: Histogram,
    pub cancellation: Histogram,
    /// From the acceptance of an order to its first execution.
    pub to_first_fill: Histogram,
    pub placed: Counter,
    pub rejected: Counter,
    pub canceled: Counter,
    /// Executions.
    pub fills: Counter,
    /// Orders that were filled to the end.
    pub filled: Counter,
    /// Orders that ended without being filled to the end.
    pub unfilled: Counter,
    errors: Mutex<BTreeMap<&'static str, u64>>,
    requests_left: AtomicI64,
    uptime: Mutex<Uptime>,
    reconnects: AtomicU64,
}

#[derive(Debug)]
struct Uptime {
    since: Instant,
    connected_at: Option<Instant>,
    connected: Duration,
}

impl BrokerMetrics {
    pub fn new(now: Instant) -> BrokerMetrics {
        BrokerMetrics {
            placement: Histogram::default(),
            cancellation: Histogram::default(),
            to_first_fill: Histogram::default(),
            placed: Counter::default(),
            rejected: Counter::default(),
            canceled: Counter::default(),
            fills: Counter::default(),
            filled: Counter::default(),
            unfilled: Counter::default(),
            errors: Mutex::default(),
            requests_left: AtomicI64::new(NO_BUDGET),
            uptime: Mutex::new(Uptime { since: now, connected_at: None, connected: Duration::ZERO }),
            reconnects: AtomicU64::new(0),
        }
    }

    /// Something happened to an order. `meant`: it was to end like this, for the other of two exits was filled.
    pub fn told(&self, update: &OrderUpdate, meant: bool) {
        let order = &update.order;
        if let Some(fill) = update.fill.as_ref().filter(|fill| fill.quantity == order.filled) {
            let nanos = fill.at.nanos().saturating_sub(order.times.submitted.nanos());
            self.to_first_fill.observe(Duration::from_nanos(nanos.max(0).unsigned_abs()));
        }
        match update.change {
            OrderChange::Fill => self.filled.add(1),
            OrderChange::Canceled => {
                self.canceled.add(1);
                self.unfilled.add(u64::from(!meant));
            }
            OrderChange::Expired | OrderChange::Rejected => self.unfilled.add(1),
            _ => {}
        }
    }

    /// The venue, or we in its place, answered an order after so long.
    pub fn answered(&self, placed: &Result<Order, BrokerError>, took: Duration) {
        self.placement.observe(took);
        match placed {
            Ok(_) => self.placed.add(1),
            Err(error) => {
                self.failed(error);
                // What never came to a decision was not refused.
                if matches!(error, BrokerError::Rejected { .. } | BrokerError::DuplicateClientId(_)) {
                    self.rejected.add(1);
                }
            }
        }
    }

    pub fn failed(&self, error: &BrokerError) {
        *self.errors.lock().entry(error.kind()).or_default() += 1;
    }

    /// Errors so far, by kind.
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        self.errors.lock().clone()
    }

    pub fn connected(&self, now: Instant) {
        let mut uptime = self.uptime.lock();
        if uptime.connected_at.is_none() {
            uptime.connected_at = Some(now);
            self.reconnects.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn disconnected(&self, now: Instant) {
        let mut uptime = self.uptime.lock();
        if let Some(at) = uptime.connected_at.take() {
            uptime.connected += now.saturating_duration_since(at);
        }
    }

    /// The share of its life that it was connected, 0 to 1.
    pub fn uptime(&self, now: Instant) -> f64 {
        let uptime = self.uptime.lock();
        let life = now.saturating_duration_since(uptime.since).as_secs_f64();
        let connected = uptime.connected + uptime.connected_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if life > 0.0 { (connected.as_secs_f64() / life).min(1.0) } else { f64::from(u8::from(uptime.connected_at.is_some())) }
    }

    /// How often it was connected.
    pub fn connects(&self) -> u64 {
        self.reconnects.load(Ordering::Relaxed)
    }

    pub fn set_requests_left(&self, left: u32) {
        self.requests_left.store(i64::from(left), Ordering::Relaxed);
    }

    /// What the venue says is left of the budget; `None` where it says nothing.
    pub fn requests_left(&self) -> Option<u32> {
        u32::try_from(self.requests_left.load(Ordering::Relaxed)).ok()
    }

    /// Orders filled to the end, of all that have ended; `None` before one has.
    pub fn fill_rate(&self) -> Option<f64> {
        let (filled, unfilled) = (self.filled.get() as f64, self.unfilled.get() as f64);
        (filled + unfilled > 0.0).then(|| filled / (filled + unfilled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_the_connected_share_of_a_life() {
        let start = Instant::now();
        let metrics = BrokerMetrics::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        metrics.connected(at(2));
        metrics.connected(at(3));
        metrics.disconnected(at(6));
        assert!((metrics.uptime(at(8)) - 0.5).abs() < 1e-9);
        metrics.connected(at(8));
        assert!((metrics.uptime(at(16)) - 0.75).abs() < 1e-9);
        assert_eq!(metrics.connects(), 2);
    }

    #[test]
    fn a_budget_and_a_fill_rate_are_unknown_until_somebody_said_so() {
        let metrics = BrokerMetrics::new(Instant::now());
        assert_eq!((metrics.requests_left(), metrics.fill_rate()), (None, None));
        metrics.set_requests_left(199);
        metrics.filled.add(3);
        metrics.unfilled.add(1);
        assert_eq!((metrics.requests_left(), metrics.fill_rate()), (Some(199), Some(0.75)));
        metrics.failed(&BrokerError::UnknownOrder("x".to_owned()));
        assert_eq!(metrics.errors(), BTreeMap::from([("unknown_order", 1)]));
    }
}
