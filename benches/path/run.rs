//! One run: a Redis of its own, a sink, a feed, what is measured between them, and the numbers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::bare::{BareArgs, BareReport};
use crate::child::{Child, cpu_seconds, resident_kib};
use crate::feed::{FeedArgs, FeedReport};
use crate::probe::ProbeArgs;
use crate::redis_server::{RedisOptions, RedisServer};
use crate::service::{Service, Setup, python};
use crate::sink::{SinkArgs, SinkReport};
use crate::stored;
use crate::universe::TICKER;

const PATIENCE: Duration = Duration::from_secs(60);
/// From the last subscription to the first message: whatever starts up has then started.
const SETTLE: Duration = Duration::from_millis(700);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// What Redis may hold for subscribers that read too slowly before the feed is stopped.
const REDIS_MAX_KIB: u64 = 6 * 1024 * 1024;

/// What stands between the feed and Redis, or in place of both.
#[derive(Debug, Clone)]
pub enum System {
    Bare { answers: bool },
    Probe,
    Service(Setup),
    Python(PathBuf),
}

#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub symbols: usize,
    pub per_frame: usize,
    /// Messages a second; as many as possible without.
    pub rate: Option<f64>,
    pub total: u64,
    pub subscribers: usize,
    pub warm_up_ms: u64,
    /// Redis drops no subscriber, however far behind.
    pub patient_redis: bool,
}

impl Load {
    /// A hundred symbols as fast as possible, one bot.
    pub const FULL: Load = Load { symbols: 100, per_frame: 10, rate: None, total: 0, subscribers: 1, warm_up_ms: 0, patient_redis: false };
}

/// Processor seconds while messages flowed.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    pub system: f64,
    pub redis: f64,
}

#[derive(Debug)]
pub struct Outcome {
    /// Updates that left the feed, or the bare publisher.
    pub sent: u64,
    /// Messages published for each update.
    pub copies: u64,
    pub subscribers: usize,
    pub sink: SinkReport,
    pub feed: Option<FeedReport>,
    pub cpu: Cpu,
    /// Of what is measured: at the start, each second, at the end.
    pub resident_kib: Vec<u64>,
    pub resident_peak_kib: u64,
    pub redis_peak_kib: u64,
    /// Last values kept in Redis that are not the last ones the feed sent.
    pub wrong_stored: u64,
    /// The feed was stopped because Redis had to hold too much.
    pub cut_short: bool,
    pub log: String,
}

impl Outcome {
    /// Messages published, whoever subscribes.
    pub fn published(&self) -> f64 {
        self.sink.received as f64 / self.subscribers as f64
    }

    pub fn per_second(&self) -> f64 {
        self.published() / self.sink.seconds.max(1e-9)
    }

    /// For each message published.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.system * 1e6 / self.published().max(1.0)
    }

    /// For each update of the feed, published alone or folded into another.
    pub fn cpu_per_update_us(&self) -> f64 {
        self.cpu.system * 1e6 / self.sent.max(1) as f64
    }

    pub fn redis_cpu_us(&self) -> f64 {
        self.cpu.redis * 1e6 / self.published().max(1.0)
    }

    /// Updates that some subscriber has not been given, alone or folded, or was given twice.
    pub fn lost(&self) -> u64 {
        let wanted = self.sent * self.copies;
        self.sink.gaps + self.sink.unreadable + self.sink.accounted.iter().map(|accounted| accounted.abs_diff(wanted)).sum::<u64>()
    }

    /// Last prices of some subscriber, or kept in Redis, that are not the last ones the feed sent.
    pub fn wrong_last(&self) -> u64 {
        let Some(feed) = &self.feed else { return 0 };
        let wrong = feed.last_prices.iter().filter(|(key, price)| self.sink.last_prices.get(*key) != Some(price)).count();
        wrong as u64 + self.sink.differing + self.wrong_stored
    }
}

/// The system that runs.
enum Running {
    Bare(Child),
    Child(Child),
    Service(Service),
}

impl Running {
    fn child(&self) -> &Child {
        match self {
            Running::Bare(child) | Running::Child(child) => child,
            Running::Service(service) => &service.child,
        }
    }
}

pub struct Bench {
    pub account: SocketAddr,
}

impl Bench {
    pub fn run(&self, system: &System, load: Load) -> Outcome {
        let options = RedisOptions::default();
        let redis = if load.patient_redis { options.with("--client-output-buffer-limit", "pubsub 0 0 0") } else { options }.start();
        let setup = if let System::Service(setup) = system { *setup } else { Setup::PLAIN };
        let copies = if setup.both_dialects { 2 } else { 1 };
        let sink = start_sink(&redis, load, setup, copies);
        let mut feed = match system {
            System::Bare { .. } => None,
            _ => Some(start_feed(load, false)),
        };
        let feed_port = feed.as_ref().map_or(0, |(_, port)| *port);
        let mut running = self.start(system, load, feed_port, redis.port());
        match &feed {
            Some((feed, _)) => feed.wait_for("SUBSCRIBED", PATIENCE),
            None => running.child().wait_for("READY", PATIENCE),
        }
        std::thread::sleep(SETTLE);
        let pid = running.child().pid();
        let before = Cpu { system: cpu_seconds(pid), redis: cpu_seconds(redis.pid()) };
        let mut resident = vec![resident_kib(pid).0];
        let mut cut_short = false;
        let source = match (&mut feed, &mut running) {
            (Some((feed, _)), _) => feed,
            (None, Running::Bare(child)) => child,
            (None, _) => unreachable!("only the bare publisher has no feed"),
        };
        source.say("go");
        let patience = 2 * PATIENCE + Duration::from_secs_f64(load.rate.map_or(0.0, |rate| 4.0 * load.total as f64 / rate));
        let report: SinkReport = sink.wait_while("DONE", patience, SAMPLE_EVERY, || {
            resident.push(resident_kib(pid).0);
            if !cut_short && resident_kib(redis.pid()).0 > REDIS_MAX_KIB {
                source.say("stop");
                cut_short = true;
            }
        });
        let cpu = Cpu { system: cpu_seconds(pid) - before.system, redis: cpu_seconds(redis.pid()) - before.redis };
        let (now, resident_peak_kib) = resident_kib(pid);
        resident.push(now);
        let (feed, sent) = match &feed {
            Some((feed, _)) => {
                let report: FeedReport = feed.wait_for("DONE", PATIENCE);
                let sent = report.sent;
                (Some(report), sent)
            }
            None => (None, running.child().wait_for::<BareReport>("DONE", PATIENCE).sent),
        };
        let log = if let Running::Service(service) = &running { service.log() } else { String::new() };
        let wrong_stored = match (&running, &feed) {
            (Running::Service(_), Some(feed)) => stored::wrong(&redis.url(), &feed.last_prices),
            _ => 0,
        };
        let redis_peak_kib = resident_kib(redis.pid()).1;
        Outcome {
            sent,
            copies,
            subscribers: load.subscribers,
            sink: report,
            feed,
            cpu,
            resident_kib: resident,
            resident_peak_kib,
            redis_peak_kib,
            wrong_stored,
            cut_short,
            log,
        }
    }

    fn start(&self, system: &System, load: Load, feed_port: u16, redis_port: u16) -> Running {
        match system {
            System::Bare { answers } => {
                let burst = load.per_frame as u64;
                let args = BareArgs { redis_port, symbols: load.symbols, rate: load.rate, total: load.total, burst, answers: *answers };
                Running::Bare(Child::role("bare", &args))
            }
            System::Probe => Running::Child(Child::role("probe", &ProbeArgs { feed_port, redis_port, symbols: load.symbols })),
            System::Service(setup) => Running::Service(Service::start(*setup, self.account, feed_port, redis_port)),
            System::Python(interpreter) => Running::Child(python(interpreter, feed_port, redis_port, load.symbols)),
        }
    }

    /// From the start of the program to its first price at a bot, while the exchange sends without being waited for.
    pub fn first_price(&self) -> Duration {
        let redis = RedisServer::start();
        let load = Load { per_frame: 1, rate: Some(1_000.0), total: 5_000, ..Load::FULL };
        let (_feed, feed_port) = start_feed(load, true);
        let sink = start_sink(&redis, Load { total: 1, ..load }, Setup::PLAIN, 1);
        let spawned = crate::clock::now_ns();
        let _service = Service::start(Setup::PLAIN, self.account, feed_port, redis.port());
        let report: SinkReport = sink.wait_for("DONE", PATIENCE);
        assert!(report.received > 0, "no price came");
        Duration::from_nanos(report.first_ns.saturating_sub(spawned))
    }

    /// The share of a processor that the service takes with so many symbols and nothing to do.
    pub fn idle_share(&self, symbols: usize, settle: Duration, watched: Duration) -> f64 {
        let redis = RedisServer::start();
        let (feed, feed_port) = start_feed(Load { symbols, ..Load::FULL }, false);
        let service = Service::start(Setup { named: Some(symbols), ..Setup::PLAIN }, self.account, feed_port, redis.port());
        feed.wait_for::<()>("SUBSCRIBED", PATIENCE);
        std::thread::sleep(settle);
        let (before, started) = (cpu_seconds(service.child.pid()), Instant::now());
        std::thread::sleep(watched);
        (cpu_seconds(service.child.pid()) - before) / started.elapsed().as_secs_f64()
    }
}

fn start_feed(load: Load, at_once: bool) -> (Child, u16) {
    let args = FeedArgs { symbols: load.symbols, per_frame: load.per_frame, rate: load.rate, total: load.total, at_once };
    let feed = Child::role("feed", &args);
    let port = feed.wait_for("LISTENING", PATIENCE);
    (feed, port)
}

fn start_sink(redis: &RedisServer, load: Load, setup: Setup, copies: u64) -> Child {
    let typed: &[&str] = match (setup.both_dialects, setup.quotes) {
        (false, _) => &[],
        (true, false) => &["price:"],
        (true, true) => &["price:", "quote:"],
    };
    let prefixes = [TICKER].iter().chain(typed).map(|prefix| (*prefix).to_owned()).collect();
    let args = SinkArgs {
        redis_port: redis.port(),
        subscribers: load.subscribers,
        symbols: load.symbols,
        prefixes,
        expect: load.total * copies,
        warm_up_ms: load.warm_up_ms,
    };
    let sink = Child::role("sink", &args);
    sink.wait_for::<()>("READY", PATIENCE);
    sink
}
