//! The paper broker is killed at any moment: what it has answered and told is there afterwards, and its books agree.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alpaca_broker::events::{Event, EventBus, MarketDataEvent, MarketSight, OrderKey, Topics};
use alpaca_broker::exchanges::Broker;
use alpaca_broker::exchanges::paper::broker::{PaperBroker, PaperSettings};
use alpaca_broker::exchanges::paper::models::Latency;
use alpaca_broker::model::{MarketSession, OrderClass, OrderRequest, OrderType, Side, Size, TimeInForce, Timestamp, worth};
use alpaca_broker::runtime::{Stop, wall_now};
use rust_decimal::Decimal;
use tempfile::TempDir;

use super::stage::{approve, dec};

const KILLS: u32 = 24;
/// Names the folder to whoever is to be killed; without it there is nothing to do.
const FOLDER: &str = "PAPER_CRASH_FOLDER";
const LIFE: &str = "PAPER_CRASH_LIFE";
/// Marks the lines of the child among those of the test harness.
const MARK: &str = "told:";

fn open(folder: &Path) -> (Arc<PaperBroker>, EventBus) {
    let mut settings = PaperSettings::new("paper".parse().unwrap(), "one".parse().unwrap(), folder.join("paper.db"));
    settings.latency = Latency { fixed: Duration::from_millis(1), jitter: Duration::from_millis(2) };
    settings.balance = dec("100000000");
    let bus = EventBus::new();
    let broker = Arc::new(PaperBroker::new(settings, bus.clone(), Arc::new(wall_now)));
    broker.set_session(MarketSession::Regular);
    broker.connect().unwrap();
    (broker, bus)
}

fn show(broker: &PaperBroker, round: u32) {
    let bid = dec("100") + Decimal::from(round % 7) / dec("100");
    let seen = MarketSight::Quote { bid, bid_size: 5.into(), ask: bid + dec("0.02"), ask_size: 5.into() };
    broker.see(&MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: "AAPL".parse().unwrap(), at: wall_now(), seen });
}

fn order(name: &str, n: u32) -> OrderRequest {
    let (side, kind) = match n % 4 {
        0 | 1 => (Side::Buy, OrderType::Market),
        2 => (Side::Buy, OrderType::Limit { limit: "100.01".parse().unwrap() }),
        _ => (Side::Sell, OrderType::Limit { limit: "100.00".parse().unwrap() }),
    };
    OrderRequest {
        client_order_id: name.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side,
        size: Size::Quantity(format!("{}", n % 3 + 1).parse().unwrap()),
        kind,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{MARK}{line}").unwrap();
    out.flush().unwrap();
}

/// The life of the one that is killed; it does nothing unless it was started for that.
#[test]
fn child() {
    let (Some(folder), Ok(life)) = (std::env::var_os(FOLDER), std::env::var(LIFE)) else { return };
    let (broker, bus) = open(&PathBuf::from(folder));
    let heard = bus.subscribe(Topics::FACTS, 1_000);
    let token = Stop::new().unwrap().token();
    std::thread::scope(|scope| {
        scope.spawn(|| broker.run(&token));
        scope.spawn(|| {
            for event in heard.facts.iter() {
                if let Event::Filled(filled) = event {
                    tell(&format!("fill {}", filled.fill.execution_id));
                }
            }
        });
        for thread in 0..3 {
            let (broker, life) = (&broker, &life);
            scope.spawn(move || {
                for n in 0.. {
                    show(broker, n);
                    let name = format!("bot-{life}-{thread}-{n}");
                    if broker.place(approve(order(&name, n))).is_ok() {
                        tell(&format!("order {name}"));
                    }
                    if n % 5 == 4 && broker.cancel(&OrderKey::Client(name.parse().unwrap())).is_ok() {
                        tell(&format!("cancel {name}"));
                    }
                }
            });
        }
    });
}

/// Starts a child, kills it after so many words, and returns all that it has said.
fn kill_after(folder: &Path, life: u32, words: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "conformance::crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut told = Vec::new();
    let keep = |told: &mut Vec<String>, line: String| told.extend(line.split_once(MARK).map(|(_, word)| word.to_owned()));
    while told.len() < words {
        keep(&mut told, lines.next().expect("the child ended by itself"));
    }
    child.kill().unwrap();
    lines.for_each(|line| keep(&mut told, line));
    child.wait().unwrap();
    told
}

fn check(folder: &Path, told: &BTreeSet<String>) {
    let (broker, _bus) = open(folder);
    let fills = broker.fills(Timestamp::default(), usize::MAX).unwrap();
    let executed: BTreeSet<&str> = fills.iter().map(|fill| fill.execution_id.as_str()).collect();
    assert_eq!(executed.len(), fills.len());
    for word in told {
        let (what, name) = word.split_once(' ').unwrap();
        match what {
            "fill" => assert!(executed.contains(name), "the execution {name} was told and is lost"),
            _ => assert!(broker.order(&OrderKey::Client(name.parse().unwrap())).unwrap().is_some(), "the order {name} was answered and is lost"),
        }
    }
    let account = broker.account().unwrap();
    let positions = broker.positions().unwrap();
    let (cost, held): (Decimal, Decimal) = (positions.iter().map(|p| p.cost).sum(), positions.iter().map(|p| p.quantity).sum());
    assert_eq!(account.cash + cost, dec("100000000") + account.realised - account.fees);
    let (mut cash, mut units, mut fees) = (dec("100000000"), Decimal::ZERO, Decimal::ZERO);
    for fill in &fills {
        cash -= fill.side.signed(worth(fill.price, fill.quantity)) + fill.fees;
        units += fill.side.signed(fill.quantity);
        fees += fill.fees;
        assert_eq!(fill.position, units, "executions are a chain without a gap");
    }
    assert_eq!((account.cash, held, account.fees), (cash, units, fees));
    for order in broker.open_orders().unwrap() {
        let filled: Decimal = fills.iter().filter(|fill| fill.order_id == order.id).map(|fill| fill.quantity).sum();
        assert_eq!(order.filled, filled, "{}", order.id);
    }
    broker.disconnect();
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_said() {
    let folder = TempDir::new().unwrap();
    let mut told = BTreeSet::new();
    for life in 0..KILLS {
        let words = fastrand::usize(1..120);
        told.extend(kill_after(folder.path(), life, words));
        check(folder.path(), &told);
    }
    assert!(told.iter().any(|word| word.starts_with("fill ")) && told.iter().any(|word| word.starts_with("cancel ")));
}
