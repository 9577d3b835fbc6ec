//! How long a registration stops the stream: the stop/start cycle, from the stop request until the successor has sent
//! the difference. Prints one line of JSON for each case.
//!
//! Two hundred symbols stream, silent or at 5,000 messages a second, while a thousand others are registered one at a
//! time, each when the cycle of the one before is over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement that cannot go on should say where, and prints its result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use alpaca_broker::sim::LoadSpec;
use serde_json::json;

use support::bot::Bot;
use support::rig::{PATIENCE, Rig};

const STREAMING: usize = 200;
const REGISTRATIONS: usize = 1_000;
/// How often we look whether a cycle is over: rarely enough to leave the processor to what is measured.
const LOOK_EVERY: Duration = Duration::from_micros(200);

fn main() {
    measure("silent", 0);
    measure("5000_per_s", 5_000);
}

fn measure(case: &str, per_second: u32) {
    let rig = Rig::start();
    let board = rig.broker.boards().into_iter().find(|board| &*board.name == "alp-data").unwrap();
    let mut bot = Bot::listening(&rig.redis.url(), &[]);
    let streaming: Vec<String> = (0..STREAMING).map(|n| format!("S{n:04}")).collect();
    bot.say("BROKER_REGISTRATION", &json!({"action":"subscribe","tickers":streaming,"bot":"streamer"}).to_string());
    assert!(rig.exchange.wait_for(|all| all.iter().any(|c| c.symbols == streaming), PATIENCE), "the streaming symbols are subscribed");
    if per_second > 0 {
        // Longer than any measurement: it ends with the exchange.
        let total = u64::from(per_second) * 600;
        rig.exchange.load(LoadSpec { symbols: streaming, per_second, per_frame: 10, total }).unwrap();
    }
    board.take_cycle_times();
    let (started, events_before) = (Instant::now(), board.stats.events.get());
    let mut times = Vec::with_capacity(REGISTRATIONS);
    for n in 0..REGISTRATIONS {
        bot.say("BROKER_REGISTRATION", &json!({"action":"subscribe","ticker":format!("X{n:04}"),"bot":"collector"}).to_string());
        let deadline = Instant::now() + PATIENCE;
        while times.len() <= n {
            assert!(Instant::now() < deadline, "registration {n} has caused no cycle in {PATIENCE:?}");
            std::thread::sleep(LOOK_EVERY);
            times.extend(board.take_cycle_times());
        }
    }
    let took = started.elapsed().as_secs_f64();
    let events = board.stats.events.get() - events_before;
    assert_eq!(rig.exchange.connections().iter().filter(|c| c.path == "/v2/iex").count(), 1, "the connection was never lost");
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_micros() as u64;
    let result = json!({
        "bench": "cycle", "case": case, "cycles": times.len(), "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1.0),
        "events_per_s": (events as f64 / took).round(),
    });
    println!("{result}");
}
