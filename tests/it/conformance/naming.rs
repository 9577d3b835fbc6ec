use alpaca_broker::events::OrderKey;
use alpaca_broker::exchanges::BrokerError;
use alpaca_broker::model::{OrderRequest, OrderType};

use super::Card;
use super::stage::{Stage, by_client, by_venue, limit};

pub const CARDS: [Card; 6] = [
    Card::new(49, "A client order id is used once: the second order of that name is refused and never placed.", duplicate),
    Card::new(50, "The name of an order that has ended stays used.", used),
    Card::new(51, "An order is found by either of its names.", found),
    Card::new(52, "An order that nobody has placed is not found, and that is no error.", unknown),
    Card::new(53, "Many orders are found in one go, in the order asked for, with gaps.", batch),
    Card::new(54, "Open orders are listed oldest first, and only open ones.", listed),
];

fn duplicate(stage: &mut Stage<'_>) {
    let order = stage.buy("1", limit("90"));
    stage.nothing_happens(|stage| {
        let other = OrderRequest { kind: limit("91"), ..order.request.clone() };
        for request in [order.request.clone(), other] {
            let error = stage.try_place(request).unwrap_err();
            assert_eq!(error, BrokerError::DuplicateClientId(order.request.client_order_id.to_string()));
        }
    });
    assert_eq!(stage.again(&order), order);
}

fn used(stage: &mut Stage<'_>) {
    let filled = stage.buy("1", OrderType::Market);
    let cancelled = stage.buy("1", limit("90"));
    stage.cancel(&cancelled).unwrap();
    for order in [filled, cancelled] {
        stage.nothing_happens(|stage| {
            let error = stage.try_place(order.request.clone()).unwrap_err();
            assert!(matches!(error, BrokerError::DuplicateClientId(_)), "{error}");
        });
    }
}

fn found(stage: &mut Stage<'_>) {
    for order in [stage.buy("1", limit("90")), stage.buy("1", OrderType::Market)] {
        assert_eq!(stage.now(&by_client(&order)), order);
        assert_eq!(stage.now(&by_venue(&order)), order);
        assert_eq!(order.bot(), Some("card"));
    }
}

fn never() -> [OrderKey; 2] {
    [OrderKey::Client("never-1".parse().unwrap()), OrderKey::Venue("00000000-0000-4000-8000-000000000000".parse().unwrap())]
}

fn unknown(stage: &mut Stage<'_>) {
    stage.nothing_happens(|stage| {
        for key in never() {
            assert_eq!(stage.broker().order(&key).unwrap(), None);
        }
    });
}

fn batch(stage: &mut Stage<'_>) {
    let orders = [stage.buy("1", limit("90")), stage.buy("2", limit("91")), stage.buy("3", limit("92"))];
    let [first, second, third] = &orders;
    let [by_name, by_id] = never();
    let keys = [by_venue(third), by_name, by_client(first), by_id, by_venue(second), by_client(third)];
    let found = stage.broker().orders(&keys).unwrap();
    let wanted = [Some(third), None, Some(first), None, Some(second), Some(third)].map(|order| order.cloned());
    assert_eq!(found, wanted);
    assert_eq!(stage.broker().orders(&[]).unwrap(), []);
}

fn listed(stage: &mut Stage<'_>) {
    let orders: Vec<_> = (0..5).map(|n| stage.buy("1", limit(&format!("9{n}")))).collect();
    stage.cancel(&orders[2]).unwrap();
    stage.buy("1", OrderType::Market);
    let open = stage.broker().open_orders().unwrap();
    let wanted: Vec<_> = [0, 1, 3, 4].into_iter().map(|n: usize| orders[n].clone()).collect();
    assert_eq!(open, wanted);
}
