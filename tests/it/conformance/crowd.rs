use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;

use alpaca_broker::events::{Event, OrderKey};
use alpaca_broker::exchanges::BrokerError;
use alpaca_broker::model::{ClientOrderId, MarketSession, Order, OrderRequest, OrderStatus, OrderType, Side, Timestamp, VenueOrderId};
use alpaca_broker::risk::{Gate, Holdings, Limits, Sight};
use rust_decimal::Decimal;

use super::Card;
use super::stage::{Stage, approve, dec, limit};

pub const CARDS: [Card; 5] = [
    Card::new(67, "A hundred orders from eight threads are all answered, and none is lost or doubled.", hundred),
    Card::new(68, "The events of one order keep their order, however many call at once.", in_order),
    Card::new(69, "Of many orders of one name exactly one is placed.", one_name),
    Card::new(70, "Limits are not exceeded by a single unit, however many order at once.", limits),
    Card::new(71, "Many buyers together spend no more than there is.", money),
];

const THREADS: usize = 8;

/// Places all of them, from eight threads at once.
fn place_all(stage: &mut Stage<'_>, requests: Vec<OrderRequest>) -> Vec<(ClientOrderId, Result<Order, BrokerError>)> {
    let (broker, answers) = (stage.broker(), Mutex::new(Vec::new()));
    let share = requests.len().div_ceil(THREADS);
    thread::scope(|scope| {
        for part in requests.chunks(share) {
            let (broker, answers) = (Arc::clone(&broker), &answers);
            scope.spawn(move || {
                for request in part {
                    let answer = broker.place(approve(request.clone()));
                    answers.lock().unwrap().push((request.client_order_id.clone(), answer));
                }
            });
        }
    });
    stage.settle();
    answers.into_inner().unwrap()
}

fn many(stage: &mut Stage<'_>, count: usize, kind: OrderType) -> Vec<OrderRequest> {
    (0..count).map(|_| stage.ask(Side::Buy, "1", kind)).collect()
}

fn hundred(stage: &mut Stage<'_>) {
    let requests = many(stage, 100, OrderType::Market);
    let before = stage.venue.arrived();
    let answers = place_all(stage, requests);
    let ids: BTreeSet<VenueOrderId> =
        answers.iter().map(|(name, answer)| answer.as_ref().unwrap_or_else(|error| panic!("{name}: {error}")).id.clone()).collect();
    assert_eq!((answers.len(), ids.len(), stage.venue.arrived() - before), (100, 100, 100));
    for (name, answer) in answers {
        let order = stage.now(&OrderKey::Client(name));
        assert_eq!((Some(&order.id), order.status), (answer.ok().map(|answer| answer.id).as_ref(), OrderStatus::Filled));
    }
    assert_eq!((stage.held(), stage.fills().iter().map(|fill| fill.quantity).sum::<Decimal>()), (dec("100"), dec("100")));
    stage.audit();
}

fn in_order(stage: &mut Stage<'_>) {
    let requests = many(stage, 100, limit("101"));
    place_all(stage, requests);
    let mut last: BTreeMap<VenueOrderId, (OrderStatus, Timestamp)> = BTreeMap::new();
    let (mut position, mut latest) = (Decimal::ZERO, Timestamp::default());
    for event in &stage.heard {
        match event {
            Event::OrderUpdated(update) => {
                let before = last.get(&update.order.id).map_or(OrderStatus::Unknown, |(status, _)| *status);
                assert_eq!(before.after(update.change), Ok(update.order.status), "{update:?}");
                assert!(update.at >= latest);
                latest = update.at;
                last.insert(update.order.id.clone(), (update.order.status, update.at));
            }
            Event::Filled(filled) => {
                position += filled.fill.side.signed(filled.fill.quantity);
                assert_eq!(filled.fill.position, position, "every execution knows those before it");
            }
            _ => {}
        }
    }
    assert!(last.len() == 100 && last.values().all(|(status, _)| *status == OrderStatus::Filled));
}

fn one_name(stage: &mut Stage<'_>) {
    let request = stage.ask(Side::Buy, "1", limit("90"));
    let before = stage.venue.arrived();
    let answers = place_all(stage, vec![request; 64]);
    let (placed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.is_ok());
    assert_eq!((placed.len(), stage.venue.arrived() - before), (1, 1));
    for (name, error) in refused {
        assert_eq!(error, Err(BrokerError::DuplicateClientId(name.to_string())));
    }
}

fn limits(stage: &mut Stage<'_>) {
    const MOST: u32 = 37;
    let limits = Limits { max_position_size: Some(MOST.into()), ..Limits::default() };
    let gate = Mutex::new(Gate::new(limits, BTreeMap::new()));
    let requests = many(stage, 100, limit("101"));
    let (broker, denied) = (stage.broker(), Mutex::new(0));
    thread::scope(|scope| {
        for part in requests.chunks(100usize.div_ceil(THREADS)) {
            let (broker, gate, denied) = (Arc::clone(&broker), &gate, &denied);
            scope.spawn(move || {
                for request in part {
                    let sight = Sight::blind(MarketSession::Regular);
                    let checked = gate.lock().unwrap().check(request.clone(), &sight, &Holdings::default(), Timestamp::default());
                    match checked {
                        Ok(approved) => drop(broker.place(approved).unwrap()),
                        Err(_) => *denied.lock().unwrap() += 1,
                    }
                }
            });
        }
    });
    stage.settle();
    assert_eq!((stage.held(), denied.into_inner().unwrap()), (MOST.into(), 100 - MOST));
    stage.audit();
}

fn money(stage: &mut Stage<'_>) {
    let power = stage.broker().account().unwrap().buying_power;
    let each = (power / dec("100") / Decimal::from(40)).floor();
    // A venue that takes commission holds it too.
    let first = stage.buy(&each.to_string(), limit("90"));
    let one = power - stage.broker().account().unwrap().buying_power;
    assert!(one >= each * dec("90"), "an order holds what it may spend");
    stage.cancel(&first).unwrap();
    let requests = (0..100).map(|_| stage.ask(Side::Buy, &each.to_string(), limit("90"))).collect();
    let answers = place_all(stage, requests);
    let placed = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
    let fits = (power / one).floor();
    assert_eq!(Decimal::from(placed), fits, "as many as can be paid, and not one more");
    assert!(answers.iter().all(|(_, answer)| matches!(answer, Ok(_) | Err(BrokerError::Rejected { .. }))));
    let left = stage.broker().account().unwrap().buying_power;
    assert_eq!(left, power - fits * one);
}
