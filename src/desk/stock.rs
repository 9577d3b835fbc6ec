//! What the desk shows of itself: each broker's state, health and counters, for the status report and the metrics page.
//!
//! Must not know how it is shown or published.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::halts::HaltFile;
use super::seat::Seat;
use super::seats::{Place, Seats, Standing};
use super::workers::DeskStats;
use crate::contract::{BrokerStatus, StatusHealth};
use crate::events::{BrokerHealth, Event, EventBus};
use crate::exchanges::{Connection, HealthWatch, Verdict};
use crate::model::Timestamp;
use crate::observe::Exposition;

/// Looks at every seat when asked.
#[derive(Debug)]
pub struct Stock {
    seats: Arc<Seats>,
    watched: Mutex<Vec<(Arc<Seat>, Watched)>>,
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
    pub fn new(seats: Arc<Seats>, halts: Arc<HaltFile>, stats: Arc<DeskStats>, bus: EventBus) -> Stock {
        Stock { seats, watched: Mutex::default(), halts, stats, bus }
    }

    /// Halts in force, in words.
    pub fn halts(&self) -> Vec<String> {
        self.halts.in_words()
    }

    /// Judges every broker; who has changed is told on the bus.
    pub fn take(&self, now: Instant, at: Timestamp) -> Vec<BrokerStatus> {
        let standings = self.seats.standings();
        let status = |standing| match standing {
            Standing::Seated(seat) => self.look(&seat, now, at),
            Standing::Awaited(place) => without_seat(place, Connection::Connecting, "it is not known yet which account this is: the venue is asked".to_owned()),
            Standing::Refused(place, cause) => without_seat(place, Connection::Disconnected, cause),
        };
        standings.into_iter().map(status).collect()
    }

    fn judge(&self, seat: &Arc<Seat>, now: Instant) -> (Verdict, bool) {
        let mut all = self.watched.lock();
        let at = all.iter().position(|(other, _)| Arc::ptr_eq(seat, other)).unwrap_or_else(|| {
            all.push((Arc::clone(seat), Watched::default()));
            all.len() - 1
        });
        let watched = &mut all[at].1;
        let verdict = watched.watch.judge(seat.broker.connection(), seat.broker.metrics(), now);
        let changed = watched.last.replace(verdict.clone()).as_ref() != Some(&verdict);
        (verdict, changed)
    }

    fn look(&self, seat: &Arc<Seat>, now: Instant, at: Timestamp) -> BrokerStatus {
        let (connection, metrics) = (seat.broker.connection(), seat.broker.metrics());
        let (verdict, changed) = self.judge(seat, now);
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

    fn last_verdict(&self, seat: &Arc<Seat>) -> Option<Verdict> {
        self.watched.lock().iter().find(|(other, _)| Arc::ptr_eq(seat, other)).and_then(|(_, watched)| watched.last.clone())
    }

    pub fn write_metrics(&self, page: &mut Exposition) {
        for seat in self.seats.seated().iter() {
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
            if let Some(verdict) = self.last_verdict(seat) {
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

/// A place is shown though nobody has come: what names no broker is for the first of all, whoever that will be.
fn without_seat(place: Place, connection: Connection, reason: String) -> BrokerStatus {
    BrokerStatus {
        name: place.exchange.to_string(),
        kind: place.kind,
        account: place.account_name,
        account_id: String::new(),
        live: place.live,
        connection: connection.as_str().to_owned(),
        health: StatusHealth { score: 0.0, reasons: vec![reason] },
        open_orders: 0,
        orders_last_minute: 0,
        placed: 0,
        rejected: 0,
        fills: 0,
        fill_rate: None,
        uptime: 0.0,
        errors: std::collections::BTreeMap::new(),
        requests_left: None,
    }
}
