//! How long a paper broker takes to answer an order: through the risk check, the engine and the file on disk, a hundred
//! orders from eight threads at once, again and again. Prints one line of JSON.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark talks to whoever runs it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use alpaca_broker::events::{Event, EventBus, MarketDataEvent, MarketSight, Subscription, Topics};
use alpaca_broker::exchanges::Broker;
use alpaca_broker::exchanges::paper::broker::{PaperBroker, PaperSettings};
use alpaca_broker::model::{ExchangeName, MarketSession, OrderClass, OrderRequest, OrderType, Side, Size, TimeInForce, Timestamp};
use alpaca_broker::risk::{Gate, Holdings, Limits, Sight};
use alpaca_broker::runtime::{Stop, StopKind, wall_now};
use hdrhistogram::Histogram;
use tempfile::TempDir;

const ROUNDS: u32 = 200;
const WARM_UP: u32 = 20;
const ORDERS: u32 = 100;
const THREADS: u32 = 8;
/// The plan: an order is answered within this time.
const PLAN_MS: f64 = 100.0;
/// Ours, of 99 in 100 orders.
const HOUSE_MS: f64 = 1.0;

fn request(round: u32, n: u32) -> OrderRequest {
    // What one round buys, the next sells.
    let side = if round.is_multiple_of(2) { Side::Buy } else { Side::Sell };
    OrderRequest {
        client_order_id: format!("bench-{round}-{n}").parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side,
        size: Size::Quantity("1".parse().unwrap()),
        kind: OrderType::Market,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
    }
}

fn sight() -> Sight {
    let price = |text: &str| Some(text.parse().unwrap());
    Sight { bid: price("100.00"), ask: price("100.02"), last: price("100.01"), seen_at: Some(wall_now()), session: MarketSession::Regular }
}

fn show(broker: &PaperBroker) {
    let size = 1_000_000.into();
    let seen = MarketSight::Quote { bid: "100.00".parse().unwrap(), bid_size: size, ask: "100.02".parse().unwrap(), ask_size: size };
    let exchange: ExchangeName = "alpaca".parse().unwrap();
    broker.see(&MarketDataEvent { exchange, symbol: "AAPL".parse().unwrap(), at: wall_now(), seen });
}

/// Places one round at once; returns how long it took and adds each answer's time.
fn place(broker: &PaperBroker, gate: &Mutex<Gate>, round: u32, times: &Mutex<Histogram<u64>>) -> Duration {
    let began = Instant::now();
    thread::scope(|scope| {
        for part in 0..THREADS {
            scope.spawn(move || {
                let mut own = Vec::new();
                for n in (part..ORDERS).step_by(THREADS as usize) {
                    let (order, sight) = (request(round, n), sight());
                    let asked = Instant::now();
                    let approved = gate.lock().unwrap().check(order, &sight, &Holdings::default(), wall_now()).unwrap();
                    broker.place(approved).unwrap();
                    own.push(asked.elapsed());
                }
                let mut times = times.lock().unwrap();
                own.into_iter().for_each(|took| times.record(took.as_nanos() as u64).unwrap());
            });
        }
    });
    began.elapsed()
}

/// Hands the updates of orders to the gate until a round is filled.
fn until_filled(heard: &Subscription, gate: &Mutex<Gate>) {
    let mut filled = 0;
    while filled < ORDERS {
        match heard.facts.recv_timeout(Duration::from_secs(30)).unwrap() {
            Event::OrderUpdated(update) => gate.lock().unwrap().observe(&update),
            Event::Filled(_) => filled += 1,
            _ => {}
        }
    }
}

fn main() {
    let folder = TempDir::new().unwrap();
    let settings = PaperSettings::new("paper".parse().unwrap(), "bench".parse().unwrap(), folder.path().join("paper.db"));
    let bus = EventBus::new();
    let heard = bus.subscribe(Topics::FACTS, 65_536);
    let broker = Arc::new(PaperBroker::new(settings, bus, Arc::new(wall_now)));
    broker.set_session(MarketSession::Regular);
    broker.connect().unwrap();
    let limits = Limits { max_position_size: Some(10_000.into()), max_order_value: Some(1_000_000.into()), ..Limits::default() };
    let gate = Mutex::new(Gate::new(limits, BTreeMap::new()));
    let stop = Stop::new().unwrap();
    let (runner, token) = (Arc::clone(&broker), stop.token());
    let runner = thread::spawn(move || runner.run(&token));
    let warm = Mutex::new(Histogram::new(3).unwrap());
    let times = Mutex::new(Histogram::new(3).unwrap());
    let mut busy = Duration::ZERO;
    for round in 0..ROUNDS + WARM_UP {
        show(&broker);
        if round < WARM_UP {
            place(&broker, &gate, round, &warm);
        } else {
            busy += place(&broker, &gate, round, &times);
        }
        until_filled(&heard, &gate);
    }
    stop.stop(StopKind::Shutdown);
    runner.join().unwrap();
    let kept = broker.fills(Timestamp::default(), usize::MAX).unwrap().len();
    assert_eq!(kept as u32, (ROUNDS + WARM_UP) * ORDERS, "every order was filled, and every execution kept");
    let times = times.into_inner().unwrap();
    let ms = |nanos: u64| nanos as f64 / 1e6;
    let (p50, p99, max) = (ms(times.value_at_quantile(0.5)), ms(times.value_at_quantile(0.99)), ms(times.max()));
    let rate = times.len() as f64 / busy.as_secs_f64();
    println!(
        "{{\"bench\":\"placement\",\"orders\":{},\"threads\":{THREADS},\"at_once\":{ORDERS},\"p50_ms\":{p50:.3},\"p99_ms\":{p99:.3},\"max_ms\":{max:.3},\
         \"orders_per_s\":{rate:.0},\"plan_ms\":{PLAN_MS},\"house_p99_ms\":{HOUSE_MS},\"passed\":{}}}",
        times.len(),
        max < PLAN_MS && p99 < HOUSE_MS
    );
}
