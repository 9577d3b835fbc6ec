//! What a registration costs beside few and many live symbols. Prints one line of JSON for each case; a word after `--`
//! chooses the cases whose names begin with it.
//!
//! * `cycle`: the stop/start cycle, from the stop request until the successor has sent the difference. 200 or 11,000
//!   symbols stream, silent or at 5,000 messages a second, while others are registered one at a time, each some
//!   milliseconds after the cycle of the one before, so that some stops meet a producer that reads the venue's
//!   acknowledgement, which lists every symbol.
//! * `acknowledgement`: how long the reading of one such list holds up the ticks behind it.
//! * `resident`: memory and idle processor time of the whole program in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement that cannot go on should say where, and prints its result")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alpaca_broker::config::{Codec, RegistrationLimits};
use alpaca_broker::exchanges::alpaca::{DataSession, DataSettings, Market};
use alpaca_broker::exchanges::{Effects, Incoming, Names, Outgoing, Session, SymbolWant};
use alpaca_broker::model::{Feed, FeedSet, SymbolId};
use alpaca_broker::runtime::Secret;
use alpaca_broker::sim::{LoadSpec, SimConfig, SimControl};
use serde_json::json;

use support::bot::Bot;
use support::child::{Launch, exchange};
use support::redis_server::RedisServer;
use support::rig::{PATIENCE, Rig, RigOptions, wait_until};

const LIVE: [usize; 2] = [200, 11_000];
const REGISTRATIONS: usize = 500;
const LIMITS: RegistrationLimits = RegistrationLimits { per_bot: 20_000, total: 20_000 };
/// Symbols in one registration message, which has at most 16 KiB.
const IN_A_MESSAGE: usize = 1_000;
/// How often we look whether a cycle is over: rarely enough to leave the processor to what is measured.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// The longest pause between two registrations; the shortest is none.
const PAUSE: Duration = Duration::from_millis(4);
/// What may wait for us at the exchange, which cuts off whoever reads too slowly: more than ever waits here.
const QUEUE_BYTES: usize = 512 * 1024 * 1024;
/// In which everything that follows a change has happened.
const SETTLED: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    // Cargo adds arguments of its own, such as `--bench`.
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let is_chosen = |name: &str| name.starts_with(&chosen);
    for live in LIVE.into_iter().filter(|_| is_chosen("cycle")) {
        cycles("silent", live, 0);
        cycles("5000_per_s", live, 5_000);
    }
    for live in LIVE.into_iter().filter(|_| is_chosen("acknowledgement")) {
        acknowledgements(live);
    }
    if is_chosen("resident") {
        let few = resident(LIVE[0], None);
        resident(LIVE[1], Some((LIVE[0], few)));
    }
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:05}")).collect()
}

/// Registers symbols and waits until the exchange has been asked for all of them.
fn subscribe_all(bot: &mut Bot, exchange: &SimControl, symbols: &[String]) {
    for part in symbols.chunks(IN_A_MESSAGE) {
        bot.say("BROKER_REGISTRATION", &json!({"action":"subscribe","tickers":part,"bot":"streamer","ttl_s":86_400}).to_string());
    }
    let subscribed = exchange.wait_for(|all| all.iter().any(|c| c.symbols.len() == symbols.len()), PATIENCE);
    assert!(subscribed, "the streaming symbols are subscribed");
    std::thread::sleep(SETTLED);
}

fn cycles(case: &str, live: usize, per_second: u32) {
    let sim = SimConfig { queue_bytes: QUEUE_BYTES, ..SimConfig::default() };
    let rig = Rig::with(RigOptions { sim, config: Box::new(|config| config.limits = LIMITS), ..RigOptions::default() });
    let mut random = fastrand::Rng::with_seed(1);
    let board = rig.broker.boards().into_iter().find(|board| &*board.name == "alp-data").unwrap();
    let mut bot = Bot::listening(&rig.redis.url(), &[]);
    let streaming = numbered("S", live);
    subscribe_all(&mut bot, &rig.exchange, &streaming);
    if per_second > 0 {
        // Longer than any measurement: it ends with the exchange.
        let total = u64::from(per_second) * 600;
        rig.exchange.load(LoadSpec { symbols: streaming, per_second, per_frame: 10, total }).unwrap();
    }
    board.take_cycle_times();
    let (started, events_before) = (Instant::now(), board.stats.events.get());
    let mut times = Vec::with_capacity(REGISTRATIONS);
    for n in 0..REGISTRATIONS {
        std::thread::sleep(PAUSE.mul_f64(random.f64()));
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
    let result = json!({"bench": "cycle", "case": case, "live": live, "events_per_s": (events as f64 / took).round(), "registrations_per_s": (times.len() as f64 / took).round()});
    print(result, "cycles", times);
}

/// What asks for a number for symbols that nobody named: nobody does here.
struct Nameless;

impl Names for Nameless {
    fn intern(&self, _: &str) -> Option<SymbolId> {
        None
    }
}

fn acknowledgements(live: usize) {
    let price = FeedSet::NONE.with(Feed::Price);
    let settings =
        DataSettings { key_id: Secret::new("SIM"), secret_key: Secret::new("SIM-SECRET"), codec: Codec::Json, market: Market::Stocks, wildcard: FeedSet::NONE };
    let mut session = DataSession::new(settings, Arc::new(Nameless));
    let mut out = Effects::default();
    let want = |symbol: &str, id: usize| SymbolWant { symbol: symbol.parse().unwrap(), id: SymbolId(id as u32), feeds: price };
    let mut names = numbered("S", live);
    let wants: Vec<SymbolWant> = names.iter().enumerate().map(|(id, symbol)| want(symbol, id)).collect();
    session.want(Instant::now(), &wants, &mut out);
    session.opened(Instant::now(), &mut out);
    for said in ["connected", "authenticated"] {
        session.received(Instant::now(), Incoming::Text(&format!(r#"[{{"T":"success","msg":"{said}"}}]"#)), &mut out);
    }
    let list = |names: &[String]| json!([{"T":"subscription","trades":names,"quotes":[],"corrections":names,"cancelErrors":names}]).to_string();
    let requests = out.send.iter().filter(|message| matches!(message, Outgoing::Text(text) if text.contains("subscribe"))).count();
    (0..requests).for_each(|_| session.received(Instant::now(), Incoming::Text(&list(&names)), &mut out));
    assert!(!session.has_unacknowledged());
    let (mut times, mut bytes) = (Vec::with_capacity(REGISTRATIONS), 0);
    for n in 0..REGISTRATIONS {
        names.push(format!("X{n:04}"));
        out.send.clear();
        session.want(Instant::now(), &[want(&names[names.len() - 1], names.len())], &mut out);
        assert_eq!(out.send.len(), 1, "the difference alone is asked for");
        let answer = list(&names);
        bytes = answer.len();
        let started = Instant::now();
        session.received(started, Incoming::Text(&answer), &mut out);
        times.push(started.elapsed());
        assert!(!session.has_unacknowledged() && out.send.len() == 1 && out.malformed == 0, "all is granted");
    }
    print(json!({"bench": "acknowledgement", "live": live, "bytes": bytes}), "read", times);
}

/// The program with so many symbols: what it holds in KiB, registered alone and after each has had a trade.
fn resident(live: usize, beside: Option<(usize, [u64; 2])>) -> [u64; 2] {
    let redis = RedisServer::start();
    let (sim, control) = exchange(SimConfig::default());
    let launch = Launch::new(Path::new(env!("CARGO_BIN_EXE_alpaca-broker")), redis.port(), sim.address());
    let settings = format!("http: 127.0.0.1:0\nlimits:\n  per_bot: {}\n  total: {}\n", LIMITS.per_bot, LIMITS.total);
    std::fs::write(launch.dir.path().join("broker.yaml"), settings).unwrap();
    let program = launch.start();
    let pages = program.pages();
    wait_until("the streams are up", || program.metric(&pages, "broker_stream_up") >= 2.0);
    let mut bot = Bot::listening(&redis.url(), &[]);
    let symbols = numbered("S", live);
    subscribe_all(&mut bot, &control, &symbols);
    let (before, started) = (processor_ticks(program.pid()), Instant::now());
    std::thread::sleep(IDLE);
    let idle = (processor_ticks(program.pid()) - before) as f64 / started.elapsed().as_secs_f64();
    let registered = program.resident();
    control.load(LoadSpec { total: live as u64, symbols, per_second: 5_000, per_frame: 10 }).unwrap().wait(PATIENCE).unwrap();
    wait_until("every symbol has had a trade", || program.metric(&pages, "broker_prices_snapshots_total") >= live as f64);
    let traded = program.resident();
    // A tick of the accounting is a hundredth of a second, and so a percent of a core.
    let mut result = json!({"bench": "resident", "live": live, "idle_percent_of_a_core": (idle * 100.0).round() / 100.0, "registered_kib": registered, "traded_kib": traded});
    if let Some((fewer, [less_registered, less_traded])) = beside {
        let per_symbol = |more: u64, less: u64| ((more as f64 - less as f64) / (live - fewer) as f64 * 100.0).round() / 100.0;
        result["registered_kib_per_symbol"] = per_symbol(registered, less_registered).into();
        result["traded_kib_per_symbol"] = per_symbol(traded, less_traded).into();
    }
    println!("{result}");
    drop(program);
    sim.stop();
    [registered, traded]
}

/// What a process has used of the processor, user and system, in the hundredths of a second that the kernel counts in.
fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// The result with the spread of the times.
fn print(mut result: serde_json::Value, what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_micros() as u64;
    result[what] = times.len().into();
    for (name, share) in [("p50_us", 0.5), ("p99_us", 0.99), ("max_us", 1.0)] {
        result[name] = at(share).into();
    }
    println!("{result}");
}
