use alpaca_broker::events::OrderKey;
use alpaca_broker::exchanges::{BrokerError, Capabilities, OrderAdvice};
use alpaca_broker::model::{Modification, OrderChange, OrderStatus, OrderType, Side, VenueOrderId};
use rust_decimal::Decimal;

use super::Card;
use super::stage::{Stage, by_client, by_venue, dec, limit};

pub const CARDS: [Card; 12] = [
    Card::new(37, "A cancel ends an open order, and the end is told.", cancel),
    Card::new(38, "An order that has ended cannot be cancelled again.", cancel_twice),
    Card::new(39, "An order that nobody has placed cannot be cancelled.", cancel_unknown),
    Card::new(40, "What has been filled cannot be cancelled.", cancel_filled),
    Card::new(41, "What a cancelled order had got stays got.", cancel_part),
    Card::needing(42, |can| can.cancel_all, "All that is open can be cancelled at once, each with its own outcome.", cancel_all),
    Card::needing(43, |can| can.cancel_all, "All that is open of one symbol can be cancelled, and nothing else.", cancel_symbol),
    Card::needing(44, changes, "A changed order stands in place of the old one, and trades as changed.", modify),
    Card::needing(45, changes, "An order can be made larger and smaller.", modify_quantity),
    Card::needing(46, changes, "An order that nobody has placed cannot be changed.", modify_unknown),
    Card::needing(47, changes, "An order that has ended cannot be changed.", modify_ended),
    Card::needing(48, changes, "A change that is refused leaves the order as it was.", modify_refused),
];

fn changes(can: &Capabilities) -> bool {
    can.modify
}

fn cancel(stage: &mut Stage<'_>) {
    let power = stage.broker().account().unwrap().buying_power;
    let order = stage.buy("10", limit("90"));
    stage.cancel(&order).unwrap();
    let order = stage.again(&order);
    assert_eq!((order.status, order.times.canceled.is_some()), (OrderStatus::Canceled, true));
    assert_eq!(stage.updates(&order.id).last().map(|update| update.change), Some(OrderChange::Canceled));
    assert_eq!((stage.broker().open_orders().unwrap().len(), stage.broker().account().unwrap().buying_power), (0, power));
    stage.show("89.00", "89.02");
    assert_eq!(stage.again(&order).filled, Decimal::ZERO, "it trades no more");
    let other = stage.buy("10", limit("80"));
    stage.broker().cancel(&by_client(&other)).unwrap();
    stage.settle();
    assert_eq!(stage.again(&other).status, OrderStatus::Canceled, "by its client order id");
}

fn cancel_twice(stage: &mut Stage<'_>) {
    let order = stage.buy("10", limit("90"));
    stage.cancel(&order).unwrap();
    stage.nothing_happens(|stage| {
        assert_eq!(stage.broker().cancel(&by_venue(&order)), Err(BrokerError::NotOpen(OrderStatus::Canceled)));
    });
}

fn cancel_unknown(stage: &mut Stage<'_>) {
    stage.nothing_happens(|stage| {
        for key in [OrderKey::Client("never-1".parse().unwrap()), OrderKey::Venue("00000000-0000-4000-8000-000000000000".parse().unwrap())] {
            let error = stage.broker().cancel(&key).unwrap_err();
            assert!(matches!(error, BrokerError::UnknownOrder(_)), "{error}");
        }
    });
}

fn cancel_filled(stage: &mut Stage<'_>) {
    let order = stage.buy("10", OrderType::Market);
    stage.nothing_happens(|stage| {
        assert_eq!(stage.broker().cancel(&by_venue(&order)), Err(BrokerError::NotOpen(OrderStatus::Filled)));
    });
}

fn cancel_part(stage: &mut Stage<'_>) {
    let symbol = stage.symbol.clone();
    stage.show_of(&symbol, "99.50", "100.02", 4);
    let order = stage.buy("10", limit("100.02"));
    let got = order.filled;
    assert!(order.status.is_open() || got == dec("10"), "{order:?}");
    if order.status.is_open() {
        stage.cancel(&order).unwrap();
        let order = stage.again(&order);
        assert_eq!((order.status, order.filled, stage.held()), (OrderStatus::Canceled, got, got));
    }
    stage.audit();
}

fn cancel_all(stage: &mut Stage<'_>) {
    assert_eq!(stage.broker().cancel_all(None).unwrap(), []);
    let orders = [stage.buy("1", limit("90")), stage.buy("2", limit("91")), stage.buy("3", limit("92"))];
    let outcomes = stage.broker().cancel_all(None).unwrap();
    stage.settle();
    let mut ended: Vec<&VenueOrderId> = outcomes.iter().map(|outcome| &outcome.order).collect();
    ended.sort();
    let mut wanted: Vec<&VenueOrderId> = orders.iter().map(|order| &order.id).collect();
    wanted.sort();
    assert_eq!(ended, wanted);
    assert!(outcomes.iter().all(|outcome| outcome.result == Ok(())));
    assert!(orders.iter().all(|order| stage.again(order).status == OrderStatus::Canceled));
    assert_eq!(stage.broker().open_orders().unwrap(), []);
}

fn cancel_symbol(stage: &mut Stage<'_>) {
    let here = stage.buy("1", limit("90"));
    let mut request = stage.ask(Side::Buy, "1", limit("90"));
    request.symbol = stage.other.clone();
    let there = stage.place(request);
    let outcomes = stage.broker().cancel_all(Some(&stage.symbol)).unwrap();
    stage.settle();
    assert_eq!(outcomes.iter().map(|outcome| &outcome.order).collect::<Vec<_>>(), [&here.id]);
    assert_eq!(stage.again(&here).status, OrderStatus::Canceled);
    assert!(stage.again(&there).status.is_open());
}

fn to_price(price: &str) -> Modification {
    Modification { limit: Some(price.parse().unwrap()), ..Modification::default() }
}

fn modify(stage: &mut Stage<'_>) {
    let old = stage.buy("10", limit("90"));
    let answer = stage.modify(&old, Modification { client_order_id: Some("card-changed".parse().unwrap()), ..to_price("95") }).unwrap();
    let new = stage.again(&answer);
    assert_eq!((new.request.kind, new.request.client_order_id.as_str(), new.quantity()), (limit("95"), "card-changed", Some(dec("10"))));
    let open = stage.broker().open_orders().unwrap();
    assert_eq!(open.iter().map(|order| &order.id).collect::<Vec<_>>(), [&new.id], "one order stands");
    if new.id != old.id {
        let old = stage.again(&old);
        assert_eq!((old.status, &old.replaced_by, &new.replaces), (OrderStatus::Replaced, &Some(new.id.clone()), &Some(old.id.clone())));
        assert!(stage.updates(&old.id).iter().any(|update| update.change == OrderChange::Replaced));
    }
    stage.show("94.00", "94.02");
    let new = stage.again(&new);
    assert_eq!((new.status, stage.held()), (OrderStatus::Filled, dec("10")));
    assert!(new.average_price().unwrap() <= dec("95"));
    stage.audit();
}

fn modify_quantity(stage: &mut Stage<'_>) {
    let power = stage.broker().account().unwrap().buying_power;
    let mut order = stage.buy("10", limit("90"));
    for quantity in ["20", "5"] {
        let change = Modification { quantity: Some(quantity.parse().unwrap()), ..Modification::default() };
        let answer = stage.modify(&order, change).unwrap();
        order = stage.again(&answer);
        assert_eq!((order.quantity(), order.request.kind), (Some(dec(quantity)), limit("90")));
    }
    assert_eq!(stage.broker().open_orders().unwrap().len(), 1);
    stage.cancel(&order).unwrap();
    assert_eq!(stage.broker().account().unwrap().buying_power, power, "nothing is held for what was replaced");
}

fn modify_unknown(stage: &mut Stage<'_>) {
    let order = stage.buy("1", limit("90"));
    let key = OrderKey::Client("never-1".parse().unwrap());
    let error = stage.modify_by(&key, &order, to_price("91")).unwrap_err();
    assert!(matches!(error, BrokerError::UnknownOrder(_)), "{error}");
}

fn modify_ended(stage: &mut Stage<'_>) {
    let filled = stage.buy("1", OrderType::Market);
    let cancelled = stage.buy("1", limit("90"));
    stage.cancel(&cancelled).unwrap();
    for (order, status) in [(filled, OrderStatus::Filled), (cancelled, OrderStatus::Canceled)] {
        let error = stage.modify(&order, to_price("91")).unwrap_err();
        assert_eq!((error.clone(), error.advice()), (BrokerError::NotOpen(status), OrderAdvice::FixRequest));
    }
}

fn modify_refused(stage: &mut Stage<'_>) {
    let order = stage.buy("1", limit("90"));
    let dear = Modification { quantity: Some("1000000".parse().unwrap()), ..Modification::default() };
    let changes = [dear, Modification { client_order_id: Some(order.request.client_order_id.clone()), ..to_price("91") }];
    for change in changes {
        stage.modify(&order, change.clone()).err().unwrap_or_else(|| panic!("{change:?} was taken"));
        assert_eq!(stage.again(&order), order);
    }
    assert_eq!(stage.broker().open_orders().unwrap(), [order]);
}
