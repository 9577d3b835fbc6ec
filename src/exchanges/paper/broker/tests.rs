mod days;
mod lasting;
mod together;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use rust_decimal::Decimal;
use tempfile::TempDir;

use super::*;
use crate::events::{OrderKey, Subscription, Topics};
use crate::exchanges::OrderAdvice;
use crate::exchanges::paper::models::Latency;
use crate::model::{OrderClass, OrderStatus, OrderType, Side, Size, Symbol, TimeInForce, Trail};
use crate::risk::{Approved, Gate, Holdings, Sight};
use crate::runtime::promise::{kept, within};
use crate::runtime::{Stop, StopKind, wall_now};

const SECOND: i64 = 1_000_000_000;
/// A Wednesday in November, half an hour after the opening in New York.
const MORNING: i64 = 1_795_014_000 * SECOND;

struct Desk {
    folder: TempDir,
    /// What the wall clock shows.
    time: Arc<AtomicI64>,
    /// Nanoseconds that have really passed.
    passed: Arc<AtomicI64>,
    broker: PaperBroker,
    heard: Subscription,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(|_| {})
    }

    fn with(tune: fn(&mut PaperSettings)) -> Desk {
        let folder = TempDir::new().unwrap();
        let time = Arc::new(AtomicI64::new(MORNING));
        Desk::open(folder, time, tune)
    }

    fn open(folder: TempDir, time: Arc<AtomicI64>, tune: fn(&mut PaperSettings)) -> Desk {
        let mut settings = PaperSettings::new("paper".parse().unwrap(), "one".parse().unwrap(), folder.path().join("paper.db"));
        tune(&mut settings);
        let (bus, read, passed) = (EventBus::new(), Arc::clone(&time), Arc::new(AtomicI64::new(0)));
        let heard = bus.subscribe(Topics::ALL, 10_000);
        let wall = Arc::new(move || Timestamp::from_nanos(read.load(Ordering::SeqCst)));
        let ticking = Arc::clone(&passed);
        let ticks = Arc::new(move || Duration::from_nanos(ticking.load(Ordering::SeqCst).unsigned_abs()));
        let broker = PaperBroker::with_ticks(settings, bus, wall, ticks);
        broker.connect().unwrap();
        Desk { folder, time, passed, broker, heard }
    }

    /// Somebody sets the wall clock, and no time passes.
    fn set_clock(&self, by_seconds: i64) {
        self.time.fetch_add(by_seconds * SECOND, Ordering::SeqCst);
    }

    fn status(&self, name: &str) -> OrderStatus {
        self.broker.order(&key(name)).unwrap().unwrap().status
    }

    fn again(self, tune: fn(&mut PaperSettings)) -> Desk {
        let Desk { folder, time, broker, .. } = self;
        drop(broker);
        Desk::open(folder, time, tune)
    }

    fn pass(&self, seconds: i64) {
        self.time.fetch_add(seconds * SECOND, Ordering::SeqCst);
        self.passed.fetch_add(seconds * SECOND, Ordering::SeqCst);
        self.broker.advance();
    }

    fn show(&self, bid: &str, ask: &str) {
        show(&self.broker, bid, ask);
        self.pass(1);
    }

    fn place(&self, name: &str, side: Side, quantity: &str, kind: OrderType) -> Result<Order, BrokerError> {
        let placed = self.broker.place(approved(name, side, quantity, kind));
        self.pass(1);
        placed
    }

    fn facts(&self) -> usize {
        self.heard.facts.try_iter().count()
    }

    /// Lets the file grow no further.
    fn fill_disk(&self) {
        let held = self.broker.held.lock();
        let store = held.venue.as_ref().unwrap().store();
        store.limit_pages(store.pages());
    }

    fn make_room(&self) {
        self.broker.held.lock().venue.as_ref().unwrap().store().limit_pages(1_000_000);
    }
}

fn show(broker: &PaperBroker, bid: &str, ask: &str) {
    let seen = MarketSight::Quote { bid: dec(bid), bid_size: dec("1000"), ask: dec(ask), ask_size: dec("1000") };
    broker.see(&MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: "AAPL".parse().unwrap(), at: Timestamp::default(), seen });
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn limit(price: &str) -> OrderType {
    OrderType::Limit { limit: price.parse().unwrap() }
}

fn approved(name: &str, side: Side, quantity: &str, kind: OrderType) -> Approved<OrderRequest> {
    let request = OrderRequest {
        client_order_id: name.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side,
        size: Size::Quantity(quantity.parse().unwrap()),
        kind,
        time_in_force: if kind == OrderType::Market { TimeInForce::Day } else { TimeInForce::Gtc },
        extended_hours: false,
        class: OrderClass::Simple,
    };
    Gate::default().check(request, &Sight::blind(MarketSession::Regular), &Holdings::default(), Timestamp::default()).unwrap()
}

fn key(name: &str) -> OrderKey {
    OrderKey::Client(name.parse().unwrap())
}

/// Places orders until the file takes no more; returns the name that failed, and how many were taken.
fn until_full(desk: &Desk) -> (String, usize, BrokerError) {
    desk.fill_disk();
    for n in 0.. {
        let name = format!("full-{n}");
        if let Err(error) = desk.broker.place(approved(&name, Side::Buy, "1", limit("50"))) {
            return (name, n, error);
        }
        desk.pass(1);
    }
    unreachable!("a file without room took every order")
}

#[test]
fn what_cannot_be_kept_never_happened() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    let (name, taken, error) = until_full(&desk);
    assert!(matches!(error, BrokerError::Storage { .. }) && error.to_string().contains("no room"), "{error}");
    assert_eq!((error.advice(), desk.broker.connection()), (OrderAdvice::Stop, Connection::Degraded));
    desk.facts();
    let later = desk.broker.place(approved("later-1", Side::Buy, "1", limit("50")));
    assert!(matches!(later, Err(BrokerError::Storage { .. })), "refused while there is no room");
    assert_eq!(desk.facts(), 0, "nobody hears of what was not kept");
    desk.make_room();
    desk.pass(1);
    assert_eq!(desk.broker.connection(), Connection::Connected);
    assert_eq!((desk.broker.order(&key(&name)).unwrap(), desk.broker.open_orders().unwrap().len()), (None, taken));
    desk.place(&name, Side::Buy, "1", OrderType::Market).unwrap();
    let filled = desk.broker.order(&key(&name)).unwrap().unwrap();
    assert_eq!(filled.status, OrderStatus::Filled, "what the market showed is remembered, and the name is still free");
}

#[test]
fn trouble_with_the_file_is_told_once_and_so_is_its_end() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    until_full(&desk);
    for n in 0..3 {
        desk.place(&format!("more-{n}"), Side::Buy, "1", limit("50")).unwrap_err();
    }
    desk.make_room();
    desk.pass(1);
    let scores: Vec<f64> =
        desk.heard.values.try_iter().filter_map(|event| if let Event::HealthChanged(health) = event { Some(health.score) } else { None }).collect();
    assert!(scores.len() >= 2 && scores.first() == Some(&0.0) && scores.last() == Some(&1.0), "{scores:?}");
    assert!(desk.broker.metrics().errors().contains_key("storage"));
}

#[test]
fn fills_that_cannot_be_kept_happen_again_when_they_can() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    for n in 0..40 {
        desk.place(&format!("bot-{n}"), Side::Buy, "1", limit("99")).unwrap();
    }
    desk.facts();
    desk.fill_disk();
    show(&desk.broker, "98.00", "98.02");
    assert_eq!((desk.facts(), desk.broker.connection()), (0, Connection::Degraded));
    desk.make_room();
    desk.pass(1);
    desk.show("98.00", "98.02");
    let account = desk.broker.account().unwrap();
    let fills = desk.broker.fills(Timestamp::default(), usize::MAX).unwrap();
    assert_eq!((fills.len(), desk.broker.open_orders().unwrap()), (40, Vec::new()));
    let position = desk.broker.position(&"AAPL".parse().unwrap()).unwrap().unwrap();
    assert_eq!((position.quantity, account.cash + position.cost), (dec("40"), dec("100000") - account.fees));
}

#[test]
fn the_opening_of_the_day_survives_a_restart_and_not_a_night() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    desk.place("bot-1", Side::Buy, "100", OrderType::Market).unwrap();
    desk.show("90.00", "90.02");
    let lost = desk.broker.account().unwrap();
    assert!(lost.equity < dec("99200") && lost.equity_at_open == dec("100000"));
    let desk = desk.again(|_| {});
    desk.broker.set_session(MarketSession::Regular);
    desk.show("90.00", "90.02");
    assert_eq!(desk.broker.account().unwrap().equity_at_open, dec("100000"), "a restart is no opening");
    let desk = desk.again(|_| {});
    desk.pass(24 * 3_600);
    desk.show("90.00", "90.02");
    desk.broker.set_session(MarketSession::Regular);
    assert_eq!(desk.broker.account().unwrap().equity_at_open, lost.equity, "the next day is one");
}

#[test]
fn a_day_that_ended_while_nobody_was_there_ends_its_orders() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    let daily = OrderRequest { time_in_force: TimeInForce::Day, ..approved("bot-1", Side::Buy, "1", limit("90")).into_inner() };
    let gate = &mut Gate::default();
    let daily = gate.check(daily, &Sight::blind(MarketSession::Regular), &Holdings::default(), Timestamp::default()).unwrap();
    desk.broker.place(daily).unwrap();
    desk.place("bot-2", Side::Buy, "1", limit("91")).unwrap();
    let status = |desk: &Desk, name| desk.broker.order(&key(name)).unwrap().unwrap().status;
    let desk = desk.again(|_| {});
    desk.broker.set_session(MarketSession::Regular);
    assert_eq!((status(&desk, "bot-1"), status(&desk, "bot-2")), (OrderStatus::New, OrderStatus::New), "the same day goes on");
    desk.time.fetch_add(24 * 3_600 * SECOND, Ordering::SeqCst);
    let desk = desk.again(|_| {});
    assert_eq!((status(&desk, "bot-1"), status(&desk, "bot-2")), (OrderStatus::Expired, OrderStatus::New));
    assert_eq!(desk.facts(), 1, "and it is told");
    desk.broker.set_session(MarketSession::Regular);
    desk.show("89.00", "89.02");
    assert_eq!((status(&desk, "bot-1"), status(&desk, "bot-2")), (OrderStatus::Expired, OrderStatus::Filled));
}

#[test]
fn a_trailing_stop_remembers_the_best_price() {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    desk.place("bot-1", Side::Buy, "10", OrderType::Market).unwrap();
    desk.place("bot-2", Side::Sell, "10", OrderType::TrailingStop { trail: Trail::Price("1".parse().unwrap()) }).unwrap();
    desk.show("110.00", "110.02");
    let before = desk.broker.order(&key("bot-2")).unwrap().unwrap();
    assert_eq!(before.trailing_stop, Some(dec("109")));
    let desk = desk.again(|_| {});
    assert_eq!(desk.broker.order(&key("bot-2")).unwrap().unwrap(), before);
    desk.broker.set_session(MarketSession::Regular);
    desk.show("108.50", "108.52");
    assert_eq!(desk.broker.order(&key("bot-2")).unwrap().unwrap().status, OrderStatus::Filled);
}

#[test]
fn orders_that_were_forgotten_are_found_in_the_file() {
    let forgetful: fn(&mut PaperSettings) = |settings| settings.remembered = 1;
    let desk = Desk::with(forgetful);
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    for n in 0..4 {
        desk.place(&format!("bot-{n}"), Side::Buy, "1", OrderType::Market).unwrap();
    }
    let first = desk.broker.order(&key("bot-0")).unwrap();
    let desk = desk.again(forgetful);
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    assert!(first.is_some() && desk.broker.order(&key("bot-0")).unwrap() == first);
    assert_eq!(desk.broker.cancel(&key("bot-0")), Err(BrokerError::NotOpen(OrderStatus::Filled)));
    let again = desk.place("bot-0", Side::Buy, "1", OrderType::Market);
    assert_eq!(again, Err(BrokerError::DuplicateClientId("bot-0".to_owned())));
    assert_eq!(desk.broker.fills(Timestamp::default(), 100).unwrap().len(), 4);
}

#[test]
fn a_second_broker_on_the_file_is_told_so() {
    let desk = Desk::new();
    let second = PaperBroker::new(desk.broker.settings.clone(), EventBus::new(), Arc::new(wall_now));
    let error = second.connect().unwrap_err();
    assert!(error.to_string().contains("in use by process "), "{error}");
    assert_eq!(second.connection(), Connection::Disconnected);
    desk.broker.disconnect();
    second.connect().unwrap();
}

#[test]
fn balances_name_money_and_coins() {
    let desk = Desk::new();
    let pair: Symbol = "BTC/USD".parse().unwrap();
    let seen = MarketSight::Quote { bid: dec("999"), bid_size: dec("10"), ask: dec("1000"), ask_size: dec("10") };
    desk.broker.see(&MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: pair.clone(), at: Timestamp::default(), seen });
    let order = |name: &str, side, quantity: &str, kind| {
        let request = OrderRequest { symbol: pair.clone(), time_in_force: TimeInForce::Gtc, ..approved(name, side, quantity, kind).into_inner() };
        let gate = &mut Gate::default();
        gate.check(request, &Sight::blind(MarketSession::Closed), &Holdings::default(), Timestamp::default()).unwrap()
    };
    desk.broker.place(order("bot-1", Side::Buy, "2", OrderType::Market)).unwrap();
    desk.pass(1);
    desk.broker.place(order("bot-2", Side::Sell, "0.5", limit("1100"))).unwrap();
    desk.pass(1);
    let balances = desk.broker.balances().unwrap();
    let coins = balances.iter().find(|balance| balance.currency == "BTC").unwrap();
    assert_eq!((coins.total, coins.available), (dec("2"), dec("1.5")));
    assert_eq!(balances[0].total, desk.broker.account().unwrap().cash);
}

#[test]
fn the_runner_brings_orders_to_the_market_and_stops_at_once() {
    kept(|| {
        let folder = TempDir::new().unwrap();
        let mut settings = PaperSettings::new("paper".parse().unwrap(), "one".parse().unwrap(), folder.path().join("paper.db"));
        settings.latency = Latency { fixed: Duration::from_millis(20), jitter: Duration::ZERO };
        let bus = EventBus::new();
        let heard = bus.subscribe(Topics::FACTS, 100);
        let broker = PaperBroker::new(settings, bus, Arc::new(wall_now));
        broker.set_session(MarketSession::Regular);
        broker.connect().unwrap();
        let stop = Stop::new().unwrap();
        let token = stop.token();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| broker.run(&token));
            show(&broker, "100.00", "100.02");
            let began = Instant::now();
            let answer = broker.place(approved("bot-1", Side::Buy, "1", OrderType::Market)).unwrap();
            assert_eq!(answer.status, OrderStatus::PendingNew);
            let filled = std::iter::from_fn(|| heard.facts.recv_timeout(Duration::from_secs(60)).ok()).find(|event| matches!(event, Event::Filled(_)));
            let took = began.elapsed();
            assert!(filled.is_some() && took >= Duration::from_millis(20), "{took:?}");
            let asked = Instant::now();
            stop.stop(StopKind::Shutdown);
            running.join().unwrap();
            within(Duration::from_millis(500), asked.elapsed())?;
            within(Duration::from_millis(900), took)
        })?;
        Ok(())
    });
}
