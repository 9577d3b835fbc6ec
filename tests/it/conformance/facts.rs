use std::collections::BTreeSet;

use alpaca_broker::events::Event;
use alpaca_broker::model::{ExecutionId, OrderChange, OrderStatus, OrderType, Timestamp, worth};
use rust_decimal::Decimal;

use super::Card;
use super::stage::{Stage, dec, limit};

pub const CARDS: [Card; 7] = [
    Card::new(30, "The updates of an order are legal steps, and the last one is its state.", steps),
    Card::new(31, "An order that is filled in parts is filled with their sum, at their average.", parts),
    Card::new(32, "Every execution is told once, with its own name, and can be read back.", once),
    Card::new(33, "The position that is told last is the position.", positions),
    Card::new(34, "An execution is told with the update of its order, and both say the same.", both),
    Card::new(35, "Times never run backwards, and executions are not before their order.", times),
    Card::new(36, "After many orders the books agree to the last digit.", books),
];

fn steps(stage: &mut Stage<'_>) {
    let filled = stage.buy("10", OrderType::Market);
    let cancelled = stage.buy("10", limit("90"));
    stage.cancel(&cancelled).unwrap();
    for order in [filled, cancelled] {
        let updates = stage.updates(&order.id);
        // Before the first word of it nobody knows where it stands.
        let mut status = OrderStatus::Unknown;
        for update in &updates {
            status = status.after(update.change).unwrap_or_else(|illegal| panic!("{illegal}"));
            assert_eq!((update.order.status, &update.of), (status, &stage.broker().of()), "after {}", update.change);
        }
        assert_eq!(updates.last().map(|update| update.order.status), Some(stage.again(&order).status));
        assert!(!status.is_open());
    }
}

fn parts(stage: &mut Stage<'_>) {
    let symbol = stage.symbol.clone();
    stage.show_of(&symbol, "99.50", "100.02", 4);
    let order = stage.buy("10", limit("100.50"));
    for ask in ["100.10", "100.20", "100.30"] {
        stage.show_of(&symbol, "99.50", ask, 4);
    }
    let order = stage.again(&order);
    let fills = stage.fills_of(&order);
    assert_eq!((order.status, order.filled), (OrderStatus::Filled, dec("10")));
    assert_eq!(fills.iter().map(|fill| fill.quantity).sum::<Decimal>(), dec("10"));
    let value: Decimal = fills.iter().map(|fill| worth(fill.price, fill.quantity)).sum();
    assert_eq!((order.filled_value, order.average_price()), (value, Some((value / dec("10")).round_dp(9).normalize())));
    assert_eq!(order.fees, fills.iter().map(|fill| fill.fees).sum());
    stage.audit();
}

fn once(stage: &mut Stage<'_>) {
    stage.hold("10");
    stage.sell("4", OrderType::Market);
    stage.sell("6", limit("99.00"));
    let mut told = stage.fills();
    let names: BTreeSet<&ExecutionId> = told.iter().map(|fill| &fill.execution_id).collect();
    assert_eq!(names.len(), told.len());
    if !stage.venue.tells_gains() {
        told.iter_mut().for_each(|fill| fill.position = Decimal::ZERO);
    }
    assert_eq!(stage.broker().fills(Timestamp::default(), 1_000).unwrap(), told);
}

fn positions(stage: &mut Stage<'_>) {
    stage.hold("10");
    stage.sell("4", OrderType::Market);
    let held = stage.broker().position(&stage.symbol).unwrap().unwrap();
    if stage.venue.tells_gains() {
        let told = stage.position_updates();
        let last = told.last().expect("positions are told");
        assert_eq!((&last.symbol, last.quantity, last.average_price, last.realised), (&held.symbol, held.quantity, held.average_price(), held.realised));
    }
    let of_fill: Vec<Decimal> = stage.fills().iter().map(|fill| fill.position).collect();
    assert_eq!(of_fill.last(), Some(&held.quantity));
    stage.sell("6", OrderType::Market);
    assert_eq!(stage.fills().last().map(|fill| fill.position), Some(Decimal::ZERO));
    if stage.venue.tells_gains() {
        assert_eq!(stage.position_updates().last().map(|update| update.quantity), Some(Decimal::ZERO));
    }
}

fn both(stage: &mut Stage<'_>) {
    let order = stage.buy("10", OrderType::Market);
    let in_updates: Vec<_> = stage.updates(&order.id).into_iter().filter_map(|update| update.fill.clone().map(|fill| (update.change, fill))).collect();
    assert_eq!(in_updates.iter().map(|(_, fill)| fill.clone()).collect::<Vec<_>>(), stage.fills_of(&order));
    assert!(in_updates.iter().all(|(change, _)| matches!(change, OrderChange::Fill | OrderChange::PartialFill)));
    assert_eq!(in_updates.last().map(|(change, _)| *change), Some(OrderChange::Fill));
}

fn times(stage: &mut Stage<'_>) {
    stage.hold("10");
    let order = stage.sell("10", limit("99"));
    let mut last = Timestamp::default();
    for event in &stage.heard {
        let at = match event {
            Event::OrderUpdated(update) => update.at,
            Event::Filled(filled) => filled.fill.at,
            Event::PositionChanged(changed) => changed.at,
            _ => continue,
        };
        assert!(at >= last, "{event:?} comes after {last:?}");
        last = at;
    }
    let stations = order.times;
    assert!(stations.created <= stations.submitted && stations.submitted <= stations.updated, "{stations:?}");
    assert!(stage.fills_of(&order).iter().all(|fill| fill.at >= stations.submitted));
    assert_eq!(stations.filled, stage.fills_of(&order).last().map(|fill| fill.at));
}

fn books(stage: &mut Stage<'_>) {
    for round in 1..=20u32 {
        let bid = dec("100") + Decimal::from(round * 7 % 13) / dec("10");
        stage.show(&bid.to_string(), &(bid + dec("0.03")).to_string());
        stage.buy(&(round % 5 + 1).to_string(), OrderType::Market);
        let held = stage.held();
        if round % 3 == 0 && held > Decimal::ONE {
            stage.sell(&(held / Decimal::TWO).floor().to_string(), limit("99.37"));
        }
    }
    stage.audit();
}
