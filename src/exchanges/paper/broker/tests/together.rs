//! Callers that come at the same time.

use std::panic::resume_unwind;
use std::sync::atomic::AtomicBool;
use std::thread::{Scope, ScopedJoinHandle, yield_now};

use crossbeam_channel::bounded;

use super::*;

type Placing<'scope> = ScopedJoinHandle<'scope, Result<Order, BrokerError>>;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.broker.set_session(MarketSession::Regular);
    desk.show("100.00", "100.02");
    desk.facts();
    desk
}

fn buys<'scope>(scope: &'scope Scope<'scope, '_>, broker: &'scope PaperBroker, name: String, quantity: &'static str) -> Placing<'scope> {
    scope.spawn(move || broker.place(approved(&name, Side::Buy, quantity, limit("90"))))
}

/// Starts one order after the other while nobody may touch the account, and lets them go together.
fn place_together(desk: &Desk, count: usize, quantity: fn(usize) -> &'static str, meanwhile: impl FnOnce(&mut Held)) -> Vec<Result<Order, BrokerError>> {
    std::thread::scope(|scope| {
        let mut held = desk.broker.held.lock();
        let mut placing = Vec::new();
        for n in 0..count {
            placing.push(buys(scope, &desk.broker, format!("bot-{n}"), quantity(n)));
            until(|| desk.broker.orders.len() == n + 1);
        }
        meanwhile(&mut held);
        drop(held);
        placing.into_iter().map(|placing| placing.join().unwrap_or_else(|_| Err(desk.broker.not_connected()))).collect()
    })
}

/// Transactions in the log of the file: pages that end one say how large it is then.
fn commits(desk: &Desk) -> usize {
    const HEAD: usize = 32;
    const PAGE: usize = 24 + 2_048;
    let log = std::fs::read(desk.folder.path().join("paper.db-wal")).unwrap();
    log[HEAD..].chunks(PAGE).filter(|page| page[4..8] != [0; 4]).count()
}

fn until(reached: impl Fn() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not come");
        yield_now();
    }
}

#[test]
fn orders_that_come_together_are_kept_together_and_each_has_its_own_outcome() {
    let desk = desk();
    let before = commits(&desk);
    let placed = place_together(&desk, 10, |n| if n % 3 == 1 { "100000" } else { "1" }, |_| ());
    assert_eq!(commits(&desk) - before, 1, "ten orders, one transaction");
    for (n, placed) in placed.iter().enumerate() {
        match placed {
            Err(BrokerError::Rejected { reason, .. }) => assert!(n % 3 == 1 && reason.contains("buying power"), "{reason}"),
            placed => assert_eq!((n % 3 == 1, placed.as_ref().unwrap().request.client_order_id.as_str()), (false, format!("bot-{n}").as_str())),
        }
    }
    let told: Vec<String> = desk
        .heard
        .facts
        .try_iter()
        .filter_map(|event| if let Event::OrderUpdated(update) = event { Some(update) } else { None })
        .map(|update| update.order.request.client_order_id.to_string())
        .collect();
    let wanted = [0, 2, 3, 5, 6, 8, 9].map(|n| format!("bot-{n}"));
    assert_eq!(told, wanted, "told in the order of their coming");
    assert_eq!(desk.broker.open_orders().unwrap().len(), 7);
    let metrics = desk.broker.metrics();
    assert_eq!((metrics.placed.get(), metrics.rejected.get(), metrics.placement.count()), (7, 3, 10));
}

#[test]
fn more_than_fit_into_one_transaction_are_served_one_after_the_other() {
    let desk = desk();
    let before = commits(&desk);
    let placed = place_together(&desk, TOGETHER + 6, |_| "1", |_| ());
    assert!(placed.iter().all(Result::is_ok));
    assert_eq!(commits(&desk) - before, 2);
    assert_eq!((desk.broker.open_orders().unwrap().len(), desk.broker.orders.len()), (TOGETHER + 6, 0));
}

#[test]
fn of_one_name_among_them_one_is_taken() {
    let desk = desk();
    let placed = std::thread::scope(|scope| {
        let held = desk.broker.held.lock();
        let placing: Vec<_> = (0..5).map(|_| buys(scope, &desk.broker, "bot-1".to_owned(), "1")).collect();
        until(|| desk.broker.orders.len() == 5);
        drop(held);
        placing.into_iter().map(|placing| placing.join().unwrap()).collect::<Vec<_>>()
    });
    let refused = placed.iter().filter(|placed| **placed == Err(BrokerError::DuplicateClientId("bot-1".to_owned()))).count();
    assert_eq!((placed.iter().filter(|placed| placed.is_ok()).count(), refused), (1, 4));
}

#[test]
fn what_cannot_be_kept_happened_to_none_of_them() {
    let desk = desk();
    let placed = place_together(
        &desk,
        40,
        |n| if n == 3 { "100000" } else { "1" },
        |held| {
            let store = held.venue.as_ref().unwrap().store();
            store.limit_pages(store.pages());
        },
    );
    assert!(placed.iter().all(|placed| matches!(placed, Err(BrokerError::Storage { .. }))), "{placed:?}");
    assert_eq!((desk.facts(), desk.broker.connection()), (0, Connection::Degraded));
    desk.make_room();
    desk.pass(1);
    assert_eq!((desk.broker.connection(), desk.broker.open_orders().unwrap()), (Connection::Connected, Vec::new()));
    assert!(place_together(&desk, 3, |_| "1", |_| ()).iter().all(Result::is_ok), "their names are free");
}

#[test]
fn a_disconnect_in_between_refuses_them_all() {
    let desk = desk();
    let placed = place_together(&desk, 5, |_| "1", |held| held.venue = None);
    assert!(placed.iter().all(|placed| matches!(placed, Err(BrokerError::NotConnected { .. }))));
}

#[test]
fn a_call_that_breaks_off_leaves_nobody_waiting_and_nothing_half_done() {
    let breaks = Arc::new(AtomicBool::new(false));
    let folder = TempDir::new().unwrap();
    let settings = PaperSettings::new("paper".parse().unwrap(), "one".parse().unwrap(), folder.path().join("paper.db"));
    let armed = Arc::clone(&breaks);
    let clock: Clock = Arc::new(move || {
        if armed.swap(false, Ordering::SeqCst) {
            resume_unwind(Box::new("on purpose"));
        }
        Timestamp::from_nanos(MORNING)
    });
    let broker = PaperBroker::with_ticks(settings, EventBus::new(), clock, Arc::new(|| Duration::ZERO));
    broker.connect().unwrap();
    broker.set_session(MarketSession::Regular);
    show(&broker, "100.00", "100.02");
    std::thread::scope(|scope| {
        let held = broker.held.lock();
        let placing: Vec<_> = (0..4).map(|n| buys(scope, &broker, format!("bot-{n}"), "1")).collect();
        until(|| broker.orders.len() == 4);
        breaks.store(true, Ordering::SeqCst);
        drop(held);
        let heard: Vec<_> = placing.into_iter().map(ScopedJoinHandle::join).collect();
        let unknown = heard.iter().filter(|heard| matches!(heard, Ok(Err(BrokerError::OutcomeUnknown { .. })))).count();
        assert_eq!((heard.iter().filter(|heard| heard.is_err()).count(), unknown), (1, 3), "one broke off, the others are told to look");
    });
    assert_eq!(broker.open_orders().unwrap(), Vec::new());
    assert!(broker.place(approved("bot-1", Side::Buy, "1", limit("90"))).is_ok());
}

#[test]
fn what_a_broken_call_has_done_is_thrown_away() {
    let desk = desk();
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        desk.broker.step(|venue, now| -> Result<(), BrokerError> {
            venue.place(approved("bot-1", Side::Buy, "1", limit("90")).into_inner(), now).unwrap();
            resume_unwind(Box::new("on purpose"))
        })
    }));
    assert!(broken.is_err());
    show(&desk.broker, "80.00", "80.02");
    assert_eq!((desk.facts(), desk.broker.connection()), (0, Connection::Degraded), "no price fills what was never placed");
    assert_eq!(desk.broker.open_orders().unwrap(), Vec::new());
    assert_eq!(desk.broker.connection(), Connection::Connected);
    desk.place("bot-1", Side::Buy, "1", limit("70")).unwrap();
    assert_eq!(desk.status("bot-1"), OrderStatus::New);
}

#[test]
fn who_asks_how_it_stands_waits_for_nobody() {
    let desk = desk();
    let (answer, answered) = bounded(1);
    std::thread::scope(|scope| {
        let held = desk.broker.held.lock();
        let broker = &desk.broker;
        scope.spawn(move || {
            let seen = (broker.connection(), broker.of(), broker.capabilities().broker.clone(), broker.metrics().placed.get(), format!("{broker:?}"));
            answer.send((seen.0, seen.3)).unwrap();
        });
        let seen = answered.recv_timeout(Duration::from_secs(20));
        drop(held);
        assert_eq!(seen, Ok((Connection::Connected, 0)), "while a call has the account");
    });
    desk.broker.disconnect();
    assert_eq!(desk.broker.connection(), Connection::Disconnected);
}
