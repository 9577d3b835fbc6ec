use alpaca_broker::events::OrderKey;
use alpaca_broker::exchanges::{BrokerError, Connection};
use alpaca_broker::model::{Fill, OrderStatus, OrderType, Timestamp};
use rust_decimal::Decimal;

use super::Card;
use super::stage::{Stage, by_client, by_venue, dec, limit};

pub const CARDS: [Card; 5] = [
    Card::needing(62, |can| can.fills, "Executions are read back page by page, and none is missed or seen twice.", pages),
    Card::new(63, "A restart keeps orders, executions, positions and money.", restart),
    Card::new(64, "After a restart open orders trade on, and can be cancelled.", goes_on),
    Card::new(65, "After a restart names stay used, and new orders get new ones.", names),
    Card::new(66, "What was under way at a restart arrives.", under_way),
];

fn pages(stage: &mut Stage<'_>) {
    let symbol = stage.symbol.clone();
    for n in 0..6 {
        stage.show_of(&symbol, "100.00", "100.02", 3);
        stage.buy(&(n % 3 + 1).to_string(), OrderType::Market);
    }
    let all = stage.broker().fills(Timestamp::default(), usize::MAX).unwrap();
    assert!(all.len() >= 6 && all.is_sorted_by_key(|fill| fill.at));
    for size in [1, 2, 5] {
        let (mut read, mut since): (Vec<Fill>, _) = (Vec::new(), Timestamp::default());
        while let Some(last) = {
            let page = stage.broker().fills(since, size).unwrap();
            read.extend(page.iter().cloned());
            page.last().map(|fill| fill.at)
        } {
            assert!(last > since, "a page goes on");
            since = last;
        }
        assert_eq!(read, all, "by pages of {size}");
    }
}

fn restart(stage: &mut Stage<'_>) {
    stage.hold("10");
    stage.sell("4", OrderType::Market);
    let resting = [stage.buy("3", limit("90.5")), stage.sell("2", limit("120"))];
    let cancelled = stage.buy("3", limit("91"));
    stage.cancel(&cancelled).unwrap();
    let broker = stage.broker();
    let seen = |broker: &dyn alpaca_broker::exchanges::Broker| {
        (broker.open_orders().unwrap(), broker.fills(Timestamp::default(), usize::MAX).unwrap(), broker.order(&by_venue(&cancelled)).unwrap())
    };
    let (before, account) = (seen(&*broker), broker.account().unwrap());
    let held = broker.position(&stage.symbol).unwrap().unwrap();
    drop(broker);
    stage.venue.restart();
    let broker = stage.broker();
    assert_eq!(broker.connection(), Connection::Connected);
    assert_eq!(seen(&*broker), before);
    assert_eq!(before.0.iter().map(|order| &order.id).collect::<Vec<_>>(), [&resting[0].id, &resting[1].id]);
    let now = broker.account().unwrap();
    assert_eq!((now.cash, now.realised, now.fees, now.equity_at_open), (account.cash, account.realised, account.fees, account.equity_at_open));
    let again = broker.position(&stage.symbol).unwrap().unwrap();
    assert_eq!((again.quantity, again.cost, again.realised), (held.quantity, held.cost, held.realised));
    stage.audit();
}

fn goes_on(stage: &mut Stage<'_>) {
    let orders = [stage.buy("3", limit("99")), stage.buy("4", limit("98"))];
    stage.venue.restart();
    stage.heard.clear();
    stage.show("98.90", "98.92");
    assert_eq!((stage.again(&orders[0]).status, stage.held()), (OrderStatus::Filled, dec("3")));
    assert_eq!(stage.fills_of(&orders[0]).iter().map(|fill| fill.quantity).sum::<Decimal>(), dec("3"), "and it is told");
    stage.cancel(&orders[1]).unwrap();
    assert_eq!(stage.again(&orders[1]).status, OrderStatus::Canceled);
    stage.audit();
}

fn names(stage: &mut Stage<'_>) {
    let filled = stage.buy("1", OrderType::Market);
    let cancelled = stage.buy("1", limit("90"));
    stage.cancel(&cancelled).unwrap();
    let cancelled = stage.again(&cancelled);
    let told = stage.fills();
    stage.venue.restart();
    stage.show("100.00", "100.02");
    for order in [&filled, &cancelled] {
        let error = stage.try_place(order.request.clone()).unwrap_err();
        assert_eq!(error, BrokerError::DuplicateClientId(order.request.client_order_id.to_string()));
        assert_eq!((&stage.now(&by_client(order)), &stage.now(&by_venue(order))), (order, order));
    }
    stage.heard.clear();
    let next = stage.buy("1", OrderType::Market);
    assert_ne!(next.id, filled.id);
    assert!(stage.fills().iter().all(|fill| told.iter().all(|old| old.execution_id != fill.execution_id)));
    stage.audit();
}

fn under_way(stage: &mut Stage<'_>) {
    let (bought, cancelled) =
        (stage.ask(alpaca_broker::model::Side::Buy, "2", OrderType::Market), stage.ask(alpaca_broker::model::Side::Buy, "2", limit("99")));
    let keys = [&bought, &cancelled].map(|request| OrderKey::Client(request.client_order_id.clone()));
    stage.broker().place(super::stage::approve(bought)).unwrap();
    stage.broker().place(super::stage::approve(cancelled)).unwrap();
    stage.broker().cancel(&keys[1]).unwrap();
    stage.venue.restart();
    stage.show("100.00", "100.02");
    stage.settle();
    assert_eq!(stage.now(&keys[0]).status, OrderStatus::Filled);
    assert_eq!(stage.now(&keys[1]).status, OrderStatus::Canceled, "the wish was taken, so it is granted");
    assert_eq!(stage.held(), dec("2"));
    stage.audit();
}
