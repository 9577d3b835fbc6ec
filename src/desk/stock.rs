//! What the desk shows of itself: each broker's state, health and counters, for the status report and the metrics page.
//!
//! Must not know how it is shown or published.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::halts::HaltFile;
use super::seat::Seat;
use super::workers::DeskStats;
use crate::contract::{BrokerStatus, StatusHealth};
use crate::events::{BrokerHealth, Event, EventBus};
use crate::exchanges::{HealthWatch, Verdict};
use crate::model::Timestamp;
use crate::observe::Exposition;

/// Looks at every seat when asked.
#[derive(Debug)]
pub struct Stock {
    seats: Vec<(Arc<Seat>, Mutex<Watched>)>,
    halts: Arc<HaltFile>,
    pub stats: Arc<DeskStats>,
    bus: EventBus,
}

#[derive(Debug, Default)]
struct Watched {
    watch: HealthWatch,
    last: Option<Verdict>,
}

impl Stock {
    pub fn new(seats: &[Arc<Seat>], halts: Arc<HaltFile>, stats: Arc<DeskStats>, bus: EventBus) -> Stock {
        let seats = seats.iter().map(|seat| (Arc::clone(seat), Mutex::default())).collect();
        Stock { seats, halts, stats, bus }
    }

    /// Halts in force, in words.
    pub fn halts(&self) -> Vec<String> {
        self.halts.in_words()
    }

    /// Judges every broker; who has changed is told on the bus.
    pub fn take(&self, now: Instant, at: Timestamp) -> Vec<BrokerStatus> {
        self.seats.iter().map(|(seat, watched)| self.look(seat, watched, now, at)).collect()
    }

    fn look(&self, seat: &Seat, watched: &Mutex<Watched>, now: Instant, at: Timestamp) -> BrokerStatus {
        let (connection, metrics) = (seat.broker.connection(), seat.broker.metrics());
        let mut watched = watched.lock();
        let verdict = watched.watch.judge(connection, metrics, now);
        let changed = watched.last.as_ref() != Some(&verdict);
        watched.last = Some(verdict.clone());
        drop(watched);
        if changed {
            let health = BrokerHealth { of: seat.of.clone(), score: verdict.score, reasons: verdict.reasons.clone(), at };
            self.bus.publish(&Event::HealthChanged(health));
        }
        let usage = seat.guarded().gate.usage(at);
        let thousandths = |share: f64| (share * 1_000.0).round() / 1_000.0;
        BrokerStatus {
            name: seat.of.broker.to_string(),
            kind: seat.broker.capabilities().broker.clone(),
            account: seat.account_name.clone(),
            account_id: seat.of.account.to_string(),
            live: seat.broker.capabilities().live,
            connection: connection.as_str().to_owned(),
            health: StatusHealth { score: thousandths(verdict.score), reasons: verdict.reasons },
            open_orders: usage.open_orders,
            orders_last_minute: usage.orders_last_minute,
            placed: metrics.placed.get(),
            rejected: metrics.rejected.get(),
            fills: metrics.fills.get(),
            fill_rate: metrics.fill_rate().map(thousandths),
            uptime: thousandths(metrics.uptime(now)),
            errors: metrics.errors().into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            requests_left: metrics.requests_left(),
        }
    }

    pub fn write_metrics(&self, page: &mut Exposition) {
        for (seat, watched) in &self.seats {
            let (metrics, name) = (seat.broker.metrics(), seat.of.broker.as_str());
            let labels = [("broker", name), ("account", seat.account_name.as_str())];
            page.histogram("broker_order_placement_seconds", "From the call to the venue's answer.", &labels, &metrics.placement);
            page.histogram("broker_order_cancellation_seconds", "From the call to the venue's answer.", &labels, &metrics.cancellation);
            page.histogram("broker_order_first_fill_seconds", "From the acceptance of an order to its first execution.", &labels, &metrics.to_first_fill);
            for (name, help, counter) in [
                ("broker_orders_placed_total", "Orders that the venue took.", &metrics.placed),
                ("broker_orders_rejected_total", "Orders that the venue refused.", &metrics.rejected),
                ("broker_orders_canceled_total", "Orders cancelled.", &metrics.canceled),
                ("broker_order_fills_total", "Executions.", &metrics.fills),
                ("broker_orders_filled_total", "Orders filled to the end.", &metrics.filled),
                ("broker_orders_unfilled_total", "Orders that ended without being filled to the end.", &metrics.unfilled),
            ] {
                page.counter(name, help, &labels, counter.get());
            }
            for (kind, count) in metrics.errors() {
                page.counter("broker_order_errors_total", "Calls that failed, by kind.", &[labels[0], labels[1], ("kind", kind)], count);
            }
            if let Some(left) = metrics.requests_left() {
                page.gauge("broker_requests_left", "Requests left of the venue's budget.", &labels, f64::from(left));
            }
            page.gauge("broker_uptime_ratio", "The share of its life that the broker was connected.", &labels, metrics.uptime(Instant::now()));
            if let Some(verdict) = &watched.lock().last {
                page.gauge("broker_order_health_score", "From 0, useless, to 1, all well.", &labels, verdict.score);
            }
        }
        let stats = &self.stats;
        page.histogram("broker_desk_handling_seconds", "From a command's arrival at a worker to its answer.", &[], &stats.handling);
        for (name, help, counter) in [
            ("broker_desk_commands_total", "Commands dealt with.", &stats.commands),
            ("broker_desk_malformed_total", "Commands that could not be read.", &stats.malformed),
            ("broker_desk_poisonous_total", "Commands that were handed out too often to be tried again.", &stats.poisonous),
            ("broker_desk_denied_total", "Commands refused by us.", &stats.denied),
            ("broker_desk_rejected_total", "Commands refused by a venue.", &stats.rejected),
            ("broker_desk_unknown_total", "Commands whose outcome is not known.", &stats.unknown),
            ("broker_desk_answers_dropped_total", "Answers that were not sent for want of room.", &stats.answers_dropped),
        ] {
            page.counter(name, help, &[], counter.get());
        }
    }
}
