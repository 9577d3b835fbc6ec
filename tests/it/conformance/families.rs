use alpaca_broker::exchanges::Capabilities;
use alpaca_broker::model::{Exit, Order, OrderClass, OrderRequest, OrderStatus, OrderType, Side, StopLoss, TakeProfit};
use rust_decimal::Decimal;

use super::Card;
use super::stage::{Stage, by_venue, dec, limit};

pub const CARDS: [Card; 7] = [
    Card::needing(55, |can| has(can, "bracket"), "A bracket's exits wait for the entry, and the winning one ends the other.", bracket_wins),
    Card::needing(56, |can| has(can, "bracket"), "The losing exit of a bracket ends the winning one.", bracket_loses),
    Card::needing(57, |can| has(can, "bracket"), "A bracket whose entry is cancelled leaves nothing behind.", bracket_cancelled),
    Card::needing(58, |can| has(can, "oco"), "Of two exits of a position one is filled and the other ends.", oco),
    Card::needing(59, |can| has(can, "oco"), "Cancelling one of two exits ends both.", oco_cancelled),
    Card::needing(60, |can| has(can, "oto"), "A one-triggers-other order brings its exit into the market when it is filled.", oto),
    Card::needing(61, |can| has(can, "bracket"), "The members of a family name each other.", family),
];

fn has(can: &Capabilities, class: &str) -> bool {
    can.classes.contains(&class)
}

fn profit(price: &str) -> TakeProfit {
    TakeProfit { limit: price.parse().unwrap() }
}

fn loss(price: &str) -> StopLoss {
    StopLoss { stop: price.parse().unwrap(), limit: None }
}

fn bracket(stage: &mut Stage<'_>, kind: OrderType) -> OrderRequest {
    let class = OrderClass::Bracket { profit: profit("105"), loss: loss("95") };
    OrderRequest { class, ..stage.ask(Side::Buy, "10", kind) }
}

fn legs(stage: &Stage<'_>, order: &Order) -> Vec<Order> {
    order.legs.iter().map(|leg| stage.now(&alpaca_broker::events::OrderKey::Venue(leg.clone()))).collect()
}

/// The winning and the losing exit.
fn exits(stage: &Stage<'_>, order: &Order) -> (Order, Order) {
    let legs = legs(stage, order);
    let find = |kind: &str| legs.iter().find(|leg| leg.request.kind.as_str() == kind).cloned().unwrap_or_else(|| panic!("no {kind} exit: {legs:?}"));
    (find("limit"), find("stop"))
}

fn bracket_wins(stage: &mut Stage<'_>) {
    let request = bracket(stage, limit("99"));
    let entry = stage.place(request);
    assert!(legs(stage, &entry).iter().all(|leg| leg.status.is_open() && leg.filled.is_zero()), "they wait");
    stage.show("110.00", "110.02");
    assert!(legs(stage, &entry).iter().all(|leg| leg.filled.is_zero()), "nothing is held that an exit could sell");
    stage.show("98.50", "98.52");
    assert_eq!((stage.again(&entry).status, stage.held()), (OrderStatus::Filled, dec("10")));
    stage.show("100.00", "100.02");
    let (winning, losing) = exits(stage, &entry);
    assert!(winning.status.is_open() && losing.status.is_open());
    stage.show("105.50", "105.52");
    let (winning, losing) = exits(stage, &entry);
    assert_eq!((winning.status, losing.status, stage.held()), (OrderStatus::Filled, OrderStatus::Canceled, Decimal::ZERO));
    assert!(winning.average_price().unwrap() >= dec("105"));
    stage.audit();
}

fn bracket_loses(stage: &mut Stage<'_>) {
    let request = bracket(stage, OrderType::Market);
    let request = OrderRequest { time_in_force: alpaca_broker::model::TimeInForce::Gtc, ..request };
    let entry = stage.place(request);
    stage.show("94.00", "94.02");
    let (winning, losing) = exits(stage, &entry);
    assert_eq!((winning.status, losing.status, stage.held()), (OrderStatus::Canceled, OrderStatus::Filled, Decimal::ZERO));
    assert!(stage.broker().account().unwrap().cash < stage.start, "nothing is held, and something was lost");
    assert_eq!(stage.broker().open_orders().unwrap(), []);
    stage.audit();
}

fn bracket_cancelled(stage: &mut Stage<'_>) {
    let power = stage.broker().account().unwrap().buying_power;
    let request = bracket(stage, limit("97"));
    let entry = stage.place(request);
    stage.cancel(&entry).unwrap();
    assert_eq!(stage.again(&entry).status, OrderStatus::Canceled);
    assert!(legs(stage, &entry).iter().all(|leg| leg.status == OrderStatus::Canceled));
    assert_eq!((stage.broker().open_orders().unwrap(), stage.broker().account().unwrap().buying_power), (Vec::new(), power));
}

/// Two exits of ten units that are held.
fn pair(stage: &mut Stage<'_>) -> (Order, Order) {
    stage.hold("10");
    let request = OrderRequest { class: OrderClass::Oco { loss: loss("95") }, ..stage.ask(Side::Sell, "10", limit("105")) };
    let winning = stage.place(request);
    let losing = legs(stage, &winning).pop().expect("the losing exit is a leg of the winning one");
    (winning, losing)
}

fn oco(stage: &mut Stage<'_>) {
    let (winning, losing) = pair(stage);
    assert!(winning.status.is_open() && losing.status.is_open());
    stage.show("94.00", "94.02");
    assert_eq!((stage.again(&winning).status, stage.again(&losing).status), (OrderStatus::Canceled, OrderStatus::Filled));
    assert_eq!(stage.held(), Decimal::ZERO, "ten units were sold, not twenty");
    stage.audit();
}

fn oco_cancelled(stage: &mut Stage<'_>) {
    let (winning, losing) = pair(stage);
    stage.cancel(&winning).unwrap();
    assert_eq!((stage.again(&winning).status, stage.again(&losing).status), (OrderStatus::Canceled, OrderStatus::Canceled));
    let (winning, losing) = {
        let request = OrderRequest { class: OrderClass::Oco { loss: loss("95") }, ..stage.ask(Side::Sell, "10", limit("105")) };
        let winning = stage.place(request);
        let losing = legs(stage, &winning).pop().unwrap();
        (winning, losing)
    };
    stage.broker().cancel(&by_venue(&losing)).unwrap();
    stage.settle();
    assert_eq!((stage.again(&winning).status, stage.again(&losing).status), (OrderStatus::Canceled, OrderStatus::Canceled));
    assert_eq!(stage.held(), dec("10"));
}

fn oto(stage: &mut Stage<'_>) {
    let request = OrderRequest { class: OrderClass::Oto { exit: Exit::Loss(loss("95")) }, ..stage.ask(Side::Buy, "10", limit("99")) };
    let entry = stage.place(request);
    stage.show("98.50", "98.52");
    assert_eq!(stage.again(&entry).status, OrderStatus::Filled);
    let exit = legs(stage, &entry).pop().unwrap();
    assert!(exit.status.is_open() && exit.request.side == Side::Sell);
    stage.show("94.00", "94.02");
    assert_eq!((stage.again(&exit).status, stage.held()), (OrderStatus::Filled, Decimal::ZERO));
    stage.audit();
}

fn family(stage: &mut Stage<'_>) {
    let request = bracket(stage, limit("97"));
    let entry = stage.place(request.clone());
    let legs = legs(stage, &entry);
    assert_eq!((legs.len(), &entry.request), (2, &request));
    for leg in legs {
        assert_eq!((leg.parent.as_ref(), leg.quantity(), leg.request.side), (Some(&entry.id), Some(dec("10")), Side::Sell));
        assert_eq!(stage.now(&super::stage::by_client(&leg)), leg, "a leg has a name of its own");
    }
}
