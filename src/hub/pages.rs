//! What the service says about itself: the status report, the metrics, whether it is ready.
//!
//! Reads what others write; decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::appender::AppenderStats;
use super::price_handler::PriceStats;
use super::registrar::RegistrarStats;
use super::stream::StreamBoard;
use crate::contract::StatusReport;
use crate::desk::Stock;
use crate::journal::Journal;
use crate::observe::{Counter, Exposition, LogHandle, Pages};
use crate::redis::{ControlStats, EntryStats, LeaseState, OutletStats, SubscriberStats};

/// Everything that is shown, shared by the supervisor, which fills in the report, and the HTTP thread.
pub struct Showcase {
    pub boards: Mutex<Vec<Arc<StreamBoard>>>,
    pub report: Mutex<Option<StatusReport>>,
    pub ready: Mutex<Result<(), String>>,
    pub live: AtomicBool,
    pub prices: Arc<PriceStats>,
    pub orders: Arc<AppenderStats>,
    pub commands: Arc<EntryStats>,
    pub journal: Arc<Journal>,
    pub lease: Arc<LeaseState>,
    pub registrar: Arc<RegistrarStats>,
    pub price_outlet: Arc<OutletStats>,
    pub subscriber: Arc<SubscriberStats>,
    pub control: Arc<ControlStats>,
    pub log: Option<LogHandle>,
    /// There once the order desk is.
    pub desk: std::sync::OnceLock<Stock>,
}

impl Showcase {
    fn write_streams(&self, page: &mut Exposition) {
        for board in self.boards.lock().iter() {
            let stream = [("stream", &*board.name)];
            let stats = &board.stats;
            page.gauge("broker_stream_up", "Whether the stream delivers.", &stream, f64::from(u8::from(board.state().is_live())));
            page.gauge(
                "broker_stream_last_message_ms",
                "Unix milliseconds of the last message.",
                &stream,
                stats.last_message_ms.load(Ordering::Relaxed) as f64,
            );
            let counters: [(&'static str, &str, &Counter); 9] = [
                ("broker_stream_attempts_total", "Attempts to connect.", &stats.attempts),
                ("broker_stream_connects_total", "Connections opened.", &stats.connects),
                ("broker_stream_losses_total", "Connections lost.", &stats.losses),
                ("broker_stream_messages_total", "Messages from the venue.", &stats.messages),
                ("broker_stream_events_total", "Events read from the messages.", &stats.events),
                ("broker_stream_malformed_total", "Messages that could not be read.", &stats.malformed),
                ("broker_stream_unknown_total", "Messages of an unknown kind.", &stats.unknown),
                ("broker_stream_unwanted_total", "Events of symbols that nobody wants.", &stats.unwanted),
                ("broker_stream_cycles_total", "Stop/start cycles.", &stats.cycles),
            ];
            for (name, help, counter) in counters {
                page.counter(name, help, &stream, counter.get());
            }
        }
    }

    fn write_redis(&self, page: &mut Exposition) {
        let (stats, connection) = (&self.price_outlet, [("connection", "prices")]);
        page.counter("broker_redis_commands_total", "Commands sent.", &connection, stats.commands.get());
        page.counter("broker_redis_bytes_total", "Bytes sent.", &connection, stats.bytes.get());
        let orders = &self.orders.redis;
        for (role, up, connects, losses, errors) in
            [("prices", &stats.up, &stats.connects, &stats.losses, &stats.errors), ("orders", &orders.up, &orders.connects, &orders.losses, &orders.errors)]
        {
            let connection = [("connection", role)];
            page.gauge("broker_redis_up", "Whether the connection stands.", &connection, up.get() as f64);
            page.counter("broker_redis_connects_total", "Connections made.", &connection, connects.get());
            page.counter("broker_redis_losses_total", "Connections lost.", &connection, losses.get());
            page.counter("broker_redis_errors_total", "Commands refused by Redis.", &connection, errors.get());
        }
        for (role, up) in [("registrations", &self.subscriber.up), ("control", &self.control.up), ("commands", &self.commands.up)] {
            page.gauge("broker_redis_up", "Whether the connection stands.", &[("connection", role)], up.get() as f64);
        }
    }

    fn write_order_room(&self, page: &mut Exposition) {
        let commands = &self.commands;
        for (name, help, counter) in [
            ("broker_commands_read_total", "Entries of the command stream taken up.", &commands.entries),
            ("broker_commands_acknowledged_total", "Entries of the command stream dealt with.", &commands.acknowledged),
            ("broker_commands_taken_over_total", "Entries that another consumer had left lying.", &commands.claimed),
            ("broker_commands_buried_total", "Entries put among the dead letters.", &commands.buried),
        ] {
            page.counter(name, help, &[], counter.get());
        }
        page.gauge("broker_lease_held", "Whether this is the broker of its Redis.", &[], f64::from(u8::from(self.lease.is_held())));
        page.gauge("broker_lease_token", "The token of the lease that was held last.", &[], self.lease.token() as f64);
        page.gauge("broker_journal_up", "Whether the journal takes what is written.", &[], f64::from(u8::from(self.journal.trouble().is_none())));
    }

    fn write_updates(&self, page: &mut Exposition) {
        let prices = &self.prices;
        let orders = &self.orders;
        let registrar = &self.registrar;
        let counters: [(&'static str, &str, &Counter); 15] = [
            ("broker_prices_taken_total", "Market updates that somebody wanted.", &prices.taken),
            ("broker_prices_published_total", "Market updates published.", &prices.published),
            ("broker_prices_merged_total", "Market updates folded into newer ones.", &prices.merged),
            ("broker_prices_unwanted_total", "Market updates that nobody wanted.", &prices.unwanted),
            ("broker_prices_facts_dropped_total", "Bars, statuses and corrections dropped under pressure.", &prices.facts_dropped),
            ("broker_prices_snapshots_total", "Last values written.", &prices.snapshots),
            ("broker_prices_errors_total", "Publications refused by Redis.", &prices.errors),
            ("broker_orders_received_total", "Order updates received.", &orders.received),
            ("broker_orders_published_total", "Order updates confirmed by Redis.", &orders.appended),
            ("broker_orders_errors_total", "What the journal would not give.", &orders.errors),
            ("broker_registration_messages_total", "Registration messages read.", &registrar.messages),
            ("broker_registration_accepted_total", "Symbols accepted.", &registrar.accepted),
            ("broker_registration_refused_total", "Symbols refused.", &registrar.refused),
            ("broker_registration_malformed_total", "Registration messages refused whole.", &registrar.malformed),
            ("broker_registration_expired_total", "Leases that ran out.", &registrar.expired),
        ];
        for (name, help, counter) in counters {
            page.counter(name, help, &[], counter.get());
        }
        page.gauge("broker_orders_waiting", "Order updates not yet confirmed by Redis.", &[], orders.waiting.get() as f64);
    }
}

impl Pages for Showcase {
    fn live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.lock().clone()
    }

    fn metrics(&self) -> String {
        let mut page = Exposition::default();
        self.write_streams(&mut page);
        self.write_redis(&mut page);
        self.write_updates(&mut page);
        self.write_order_room(&mut page);
        if let Some(desk) = self.desk.get() {
            desk.write_metrics(&mut page);
        }
        if let Some(report) = &*self.report.lock() {
            page.gauge("broker_health_score", "From 0, useless, to 1, all well.", &[], report.health.score);
            page.gauge("broker_symbols", "Distinct symbols that somebody holds.", &[], report.symbols as f64);
            page.gauge("broker_bots", "Bots that hold a registration.", &[], report.bots as f64);
            page.gauge("broker_registrations", "Registrations held.", &[], report.registrations as f64);
        }
        if let Some(log) = &self.log {
            page.counter("broker_log_lines_dropped_total", "Log lines dropped because nobody took them.", &[], log.dropped());
        }
        page.finish()
    }

    fn status_json(&self) -> String {
        serde_json::to_string(&*self.report.lock()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Showcase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Showcase").finish_non_exhaustive()
    }
}
