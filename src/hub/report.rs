//! The status report, each second and at each change: gathered, shown on the pages, left in Redis.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::pages::Showcase;
use super::registry::Registry;
use crate::config::{Config, RedisPlace};
use crate::contract::channel::{HEALTH, STATUS, STATUS_LEASE_MS};
use crate::contract::{BrokerStatus, OrdersStatus, RedisStatus, StatusHealth, StatusReport, StreamStatus, StreamType};
use crate::model::Timestamp;
use crate::observe::{Facts, Health, StreamFact, assess};
use crate::redis::ControlCommand;
use crate::runtime::{ServiceState, wall_now};

/// By then an update should be in its stream.
const SOON: Duration = Duration::from_secs(2);
/// What is left of the score while order updates are held up.
const WITHOUT_ORDERS: f64 = 0.5;

/// Gathers and remembers what was last said.
pub struct Reporter {
    config: Arc<Config>,
    showcase: Arc<Showcase>,
    started: Timestamp,
    pub redis_version: Option<String>,
    last_health: Option<StatusHealth>,
    facts_dropped: u64,
    /// Since when there have been order updates that Redis has not taken.
    waiting_since: Option<Instant>,
}

impl Reporter {
    pub fn new(config: Arc<Config>, showcase: Arc<Showcase>, started: Timestamp) -> Reporter {
        Reporter { config, showcase, started, redis_version: None, last_health: None, facts_dropped: 0, waiting_since: None }
    }

    /// Takes stock and shows it on the pages.
    pub fn report(&mut self, state: ServiceState, registry: &Registry) -> Health {
        let brokers = self.showcase.desk.get().map(|stock| stock.take(Instant::now(), wall_now())).unwrap_or_default();
        let facts = self.facts();
        let health = self.with_order_room(with_brokers(assess(&facts), &brokers));
        let shown = if matches!(state, ServiceState::Running | ServiceState::Degraded) { health.state } else { state };
        let report = self.stock(shown, &health, registry, brokers);
        *self.showcase.ready.lock() = match (shown, health.reasons.as_slice()) {
            (ServiceState::Running, _) => Ok(()),
            (ServiceState::Degraded, reasons) => Err(reasons.join("; ")),
            (other, _) => Err(other.to_string()),
        };
        *self.showcase.report.lock() = Some(report);
        health
    }

    /// What Redis is to be told of the last report.
    pub fn commands(&mut self) -> Vec<ControlCommand> {
        let report = self.showcase.report.lock();
        let Some(report) = report.as_ref() else { return Vec::new() };
        let value = serde_json::to_vec(report).unwrap_or_default();
        let mut commands = vec![ControlCommand::SetLease { key: STATUS.to_owned(), value, ttl: Duration::from_millis(STATUS_LEASE_MS) }];
        if self.last_health.as_ref() != Some(&report.health) {
            let message = serde_json::json!({"type": "health", "state": report.state, "score": report.health.score, "reasons": report.health.reasons, "epoch": report.epoch});
            commands.push(ControlCommand::Publish { channel: HEALTH.to_owned(), payload: message.to_string().into_bytes() });
            self.last_health = Some(report.health.clone());
        }
        commands
    }

    fn facts(&mut self) -> Facts {
        let now = wall_now();
        let age = |since: Timestamp| Duration::from_nanos(u64::try_from(now.nanos().saturating_sub(since.nanos())).unwrap_or(0));
        let boards = self.showcase.boards.lock().clone();
        let streams = boards.iter().map(|board| {
            let (state, since, _) = board.state_entry();
            // Nobody misses a market-data stream without symbols; orders come whenever they come.
            StreamFact { name: Arc::clone(&board.name), state, for_: age(since), wanted: true }
        });
        let streams = streams.collect();
        let dropped = self.showcase.prices.facts_dropped.get();
        let newly = dropped - std::mem::replace(&mut self.facts_dropped, dropped);
        let (p, o, s, c) = self.redis_up();
        let redis = vec![("prices".into(), p), ("orders".into(), o), ("registrations".into(), s), ("control".into(), c)];
        Facts { streams, redis, dropped: vec![("bars, statuses and corrections".into(), newly)], memory: None }
    }

    /// Without the lease, the journal or the streams bots are served prices alone.
    fn with_order_room(&mut self, mut health: Health) -> Health {
        let show = &self.showcase;
        let waiting = show.orders.waiting.get();
        self.waiting_since = if waiting > 0 { self.waiting_since.or_else(|| Some(Instant::now())) } else { None };
        let waits = if show.lease.may_serve(Instant::now()) { "" } else { "prices, " };
        let lease = (!show.lease.is_held()).then(|| format!("the lease of this Redis is not ours: {waits}commands and order updates wait"));
        let journal = show.journal.trouble().map(|cause| format!("journal: {cause}"));
        let late = self.waiting_since.filter(|since| since.elapsed() > SOON).map(|_| format!("{waiting} order updates wait for Redis"));
        for reason in [lease, journal, late].into_iter().flatten() {
            health.score *= WITHOUT_ORDERS;
            health.state = ServiceState::Degraded;
            health.reasons.push(reason);
        }
        health
    }

    fn redis_up(&self) -> (bool, bool, bool, bool) {
        let show = &self.showcase;
        (show.price_outlet.up.get() > 0, show.orders.redis.up.get() > 0, show.subscriber.up.get() > 0, show.control.up.get() > 0)
    }

    fn stock(&self, state: ServiceState, health: &Health, registry: &Registry, brokers: Vec<BrokerStatus>) -> StatusReport {
        let boards = self.showcase.boards.lock().clone();
        let streams = boards.iter().map(|board| {
            let (state, since, cause) = board.state_entry();
            StreamStatus {
                name: board.name.to_string(),
                kind: board.kind.as_str().to_owned(),
                state: state.to_string(),
                since: since.to_string(),
                symbols: if board.kind == StreamType::MarketData { board.stats.symbols.load(Ordering::Relaxed) as usize } else { 0 },
                connects: board.stats.connects.get(),
                messages: board.stats.messages.get(),
                cause,
            }
        });
        let (prices, orders, registrations, control) = self.redis_up();
        StatusReport {
            kind: "status".to_owned(),
            state: state.to_string(),
            epoch: self.started.millis(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started.to_string(),
            updated_at: wall_now().to_string(),
            sim: self.config.sim.is_some(),
            health: StatusHealth { score: (health.score * 1_000.0).round() / 1_000.0, reasons: health.reasons.clone() },
            streams: streams.collect(),
            redis: RedisStatus { prices, orders, registrations, control, lease: self.showcase.lease.is_held(), version: self.redis_version.clone() },
            symbols: registry.symbols(),
            bots: registry.bots(),
            registrations: registry.registrations(),
            brokers,
            halts: self.showcase.desk.get().map(|stock| stock.halts()).unwrap_or_default(),
            orders: OrdersStatus {
                last_seq: self.showcase.orders.received.get(),
                waiting: u64::try_from(self.showcase.orders.waiting.get()).unwrap_or(0),
                journal: self.showcase.journal.trouble(),
            },
        }
    }

    fn endpoint_file(&self) -> PathBuf {
        self.config.data_dir.join("endpoint.json")
    }

    /// Tells the command line in another shell where we are.
    pub fn write_endpoint(&self, http: Option<std::net::SocketAddr>) {
        let redis = address_for_others(&self.config.redis.place, self.config.redis.db);
        let endpoint = serde_json::json!({"redis": redis, "http": http, "pid": std::process::id(), "epoch": self.started.millis()});
        let file = self.endpoint_file();
        if let Err(error) = crate::runtime::files::replace(&file, endpoint.to_string().as_bytes()) {
            log::warn!("cannot write {}: {error}; other shells need --redis to find this broker", file.display());
        }
    }

    /// Removes the file, unless another process has written it since.
    pub fn remove_endpoint(&self) {
        let file = self.endpoint_file();
        let ours = std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&format!("\"pid\":{}", std::process::id())));
        if ours {
            let _ = std::fs::remove_file(&file);
        }
    }
}

/// A broker that serves nobody makes the whole worse by its share.
fn with_brokers(mut health: Health, brokers: &[BrokerStatus]) -> Health {
    let ailing = brokers.iter().filter(|broker| broker.health.score < 1.0);
    health.reasons.extend(ailing.clone().map(|broker| format!("broker {}: {}", broker.name, broker.health.reasons.join(", "))));
    if !brokers.is_empty() {
        health.score *= brokers.iter().map(|broker| broker.health.score).sum::<f64>() / brokers.len() as f64;
    }
    if ailing.clone().any(|broker| broker.connection != "connected") {
        health.state = ServiceState::Degraded;
    }
    health
}

/// A Redis address as every client library reads it, without credentials.
fn address_for_others(place: &RedisPlace, db: u32) -> String {
    match place {
        RedisPlace::Unix(path) => format!("unix://{}?db={db}", path.display()),
        RedisPlace::Tcp { host, port } if host.contains(':') => format!("redis://[{host}]:{port}/{db}"),
        RedisPlace::Tls { host, port } if host.contains(':') => format!("rediss://[{host}]:{port}/{db}"),
        place => format!("{place}/{db}"),
    }
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}
