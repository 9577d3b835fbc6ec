//! Redis hangs while the exchange goes on at full rate: what the program needs meanwhile, and how it recovers.
//!
//! The program runs as a child, so that its memory is told apart from that of the exchange.

use std::path::Path;
use std::time::{Duration, Instant};

use alpaca_broker::sim::{LoadSpec, SimConfig};

use super::bot::Bot;
use super::child::{Launch, exchange};
use super::redis_server::RedisServer;
use super::rig::{PATIENCE, wait_until};

const SYMBOLS: usize = 200;
const PER_SECOND: u32 = 20_000;
/// Time at full rate before the stall, in which memory settles.
const WARM_UP: Duration = Duration::from_secs(3);
pub const GROWTH_MAX_KIB: u64 = 64 * 1024;

/// What was seen.
#[derive(Debug)]
pub struct StallReport {
    pub stalled: Duration,
    pub resident_before_kib: u64,
    pub resident_max_kib: u64,
    pub sent: u64,
    /// How long the exchange took to send, and how long it should have.
    pub took: Duration,
    pub planned: Duration,
    /// Connections that the exchange or the broker ended.
    pub losses: u64,
    /// From SIGCONT to the first message on a bot's connection made before the stall.
    pub first_message: Duration,
    /// From SIGCONT to all last values being the newest that were sent.
    pub all_fresh: Duration,
}

impl StallReport {
    pub fn growth_kib(&self) -> u64 {
        self.resident_max_kib.saturating_sub(self.resident_before_kib)
    }

    /// Every message left the exchange in time and on the first connection.
    pub fn always_read(&self) -> bool {
        self.losses == 0 && self.took < self.planned + Duration::from_secs(2)
    }

    pub fn json(&self) -> String {
        let seconds = |time: Duration| (time.as_secs_f64() * 1_000.0).round() / 1_000.0;
        serde_json::json!({
            "bench": "stall", "symbols": SYMBOLS, "per_second": PER_SECOND, "stalled_s": seconds(self.stalled),
            "rss_before_kib": self.resident_before_kib, "rss_max_kib": self.resident_max_kib, "growth_kib": self.growth_kib(),
            "sent": self.sent, "took_s": seconds(self.took), "planned_s": seconds(self.planned), "losses": self.losses,
            "always_read": self.always_read(), "first_message_s": seconds(self.first_message), "all_fresh_s": seconds(self.all_fresh),
        })
        .to_string()
    }
}

pub fn stall(program: &Path, duration: Duration) -> StallReport {
    let redis = RedisServer::start();
    let (sim, exchange) = exchange(SimConfig::default());
    let names: Vec<String> = (0..SYMBOLS).map(|n| format!("S{n}")).collect();
    let mut launch = Launch::new(program, redis.port(), sim.address());
    launch.set("BROKER_SYMBOLS", &names.join(","));
    let running = launch.start();
    let pages = running.pages();
    wait_until("the program is ready", || running.metric(&pages, "broker_redis_up") == 5.0);
    assert!(exchange.wait_for(|all| all.iter().any(|c| c.symbols.len() == SYMBOLS), PATIENCE));

    let planned = WARM_UP + duration;
    let total = (planned.as_secs_f64() * f64::from(PER_SECOND)) as u64;
    let load = exchange.load(LoadSpec { symbols: names, per_second: PER_SECOND, per_frame: 20, total }).unwrap();
    std::thread::sleep(WARM_UP);
    let mut bot = Bot::listening(&redis.url(), &["TICKER_UPDATES_S0"]);
    bot.until("a price", |_| true);
    let resident_before_kib = running.resident();
    redis.stop();
    let stopped = Instant::now();
    let mut resident_max_kib = resident_before_kib;
    while stopped.elapsed() < duration {
        resident_max_kib = resident_max_kib.max(running.resident());
        std::thread::sleep(Duration::from_millis(50));
    }
    let report = load.wait(PATIENCE).expect("the exchange gets rid of what it sends");
    let stalled = stopped.elapsed();
    redis.cont();
    let cont = Instant::now();
    // What was in Redis's own socket buffers when it stopped comes first; a bot that was there all along hears it.
    bot.until("a price after the stall", |message| message.at > cont);
    let first_message = cont.elapsed();
    let mut client = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    wait_until("all last values are the newest", || {
        report.symbols.iter().all(|(name, totals)| {
            let kept: Option<String> = redis::cmd("HGET").arg(format!("broker:last:{name}")).arg("price").query(&mut client).unwrap();
            kept.is_some_and(|text| text.contains(&format!(r#""price":{},"#, totals.last_price)))
        })
    });
    let all_fresh = cont.elapsed();
    resident_max_kib = resident_max_kib.max(running.resident());
    let losses = running.metric(&pages, "broker_stream_losses_total") as u64;
    drop(running);
    sim.stop();
    StallReport { stalled, resident_before_kib, resident_max_kib, sent: report.sent, took: report.took, planned, losses, first_message, all_fresh }
}
