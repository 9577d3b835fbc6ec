use alpaca_broker::events::OrderKey;
use alpaca_broker::exchanges::{BrokerError, OrderAdvice};
use alpaca_broker::model::{Exit, OrderClass, OrderType, Side, Size, StopLoss, TakeProfit, TimeInForce, Trail};
use rust_decimal::Decimal;

use super::Card;
use super::stage::{Stage, approve, dec, limit, stop};

pub const CARDS: [Card; 7] = [
    Card::new(23, "What an account cannot pay is refused, and holds back nothing.", too_dear),
    Card::new(24, "More than is held cannot be sold where short selling is not claimed.", too_many),
    Card::new(25, "What capabilities say no to is refused before it leaves.", unsupported),
    Card::new(26, "A symbol that nobody lists is refused.", unlisted),
    Card::new(27, "Open orders together cannot spend more than there is.", together),
    Card::new(28, "Every refusal of this suite carries the advice that callers rely on.", advice),
    Card::new(29, "Refusals and placements are counted, and so are the times that they took.", counted),
];

fn too_dear(stage: &mut Stage<'_>) {
    stage.nothing_happens(|stage| {
        let request = stage.ask(Side::Buy, "100000", limit("100.02"));
        let error = stage.broker().place(approve(request)).unwrap_err();
        assert!(matches!(error, BrokerError::Rejected { .. }), "{error}");
    });
    stage.hold("10");
    stage.audit();
}

fn too_many(stage: &mut Stage<'_>) {
    if stage.broker().capabilities().short_selling {
        return;
    }
    stage.hold("10");
    stage.nothing_happens(|stage| {
        let request = stage.ask(Side::Sell, "11", limit("101"));
        let error = stage.broker().place(approve(request)).unwrap_err();
        assert!(matches!(error, BrokerError::Rejected { .. }), "{error}");
    });
    let first = stage.sell("6", limit("105"));
    stage.nothing_happens(|stage| {
        let request = stage.ask(Side::Sell, "5", limit("106"));
        let error = stage.broker().place(approve(request)).unwrap_err();
        assert!(matches!(error, BrokerError::Rejected { .. }), "six of ten are spoken for: {error}");
    });
    stage.cancel(&first).unwrap();
    stage.sell("5", limit("106"));
}

fn unsupported(stage: &mut Stage<'_>) {
    let can = stage.broker().capabilities().clone();
    let price = |text: &str| text.parse().unwrap();
    let (profit, loss) = (TakeProfit { limit: price("110") }, StopLoss { stop: price("90"), limit: None });
    let kinds = [
        OrderType::Market,
        limit("99"),
        stop("103"),
        OrderType::StopLimit { stop: price("103"), limit: price("104") },
        OrderType::TrailingStop { trail: Trail::Price(price("2")) },
    ];
    let classes = [OrderClass::Bracket { profit, loss }, OrderClass::Oco { loss }, OrderClass::Oto { exit: Exit::Loss(loss) }];
    let plain = stage.ask(Side::Buy, "1", limit("99"));
    let mut beyond = Vec::new();
    for kind in kinds.into_iter().filter(|kind| !can.order_types.contains(&kind.as_str())) {
        beyond.push(stage.ask(Side::Buy, "1", kind));
    }
    for class in classes.into_iter().filter(|class| !can.classes.contains(&class.as_str())) {
        beyond.push(alpaca_broker::model::OrderRequest { class, ..plain.clone() });
    }
    for time_in_force in TimeInForce::ALL.into_iter().filter(|time| !can.times_in_force.contains(time)) {
        beyond.push(alpaca_broker::model::OrderRequest { time_in_force, ..plain.clone() });
    }
    if !can.extended_hours {
        beyond.push(alpaca_broker::model::OrderRequest { extended_hours: true, time_in_force: TimeInForce::Day, ..plain.clone() });
    }
    if !can.notional {
        beyond.push(alpaca_broker::model::OrderRequest { size: Size::Notional(price_of_money()), kind: OrderType::Market, ..plain.clone() });
    }
    if !can.fractional {
        beyond.push(alpaca_broker::model::OrderRequest { size: Size::Quantity("0.5".parse().unwrap()), ..plain });
    }
    for request in beyond {
        stage.nothing_happens(|stage| {
            let error = stage.broker().place(approve(request.clone())).unwrap_err();
            assert!(matches!(error, BrokerError::Unsupported { .. }), "{request:?}: {error}");
        });
    }
}

fn price_of_money() -> alpaca_broker::model::Money {
    "100".parse().unwrap()
}

fn unlisted(stage: &mut Stage<'_>) {
    stage.nothing_happens(|stage| {
        let mut request = stage.ask(Side::Buy, "1", limit("99"));
        request.symbol = stage.unlisted.clone();
        let error = stage.broker().place(approve(request)).unwrap_err();
        assert!(matches!(error, BrokerError::Rejected { .. }), "{error}");
        assert_eq!(error.advice(), OrderAdvice::FixRequest);
    });
}

fn together(stage: &mut Stage<'_>) {
    let power = stage.broker().account().unwrap().buying_power;
    let most = (power / dec("99") / Decimal::TWO).floor();
    let first = stage.buy(&most.to_string(), limit("99"));
    let request = stage.ask(Side::Buy, &(most + dec("50")).to_string(), limit("99"));
    let name = request.client_order_id.clone();
    let error = stage.try_place(request.clone()).unwrap_err();
    assert!(matches!(error, BrokerError::Rejected { .. }), "{error}");
    stage.cancel(&first).unwrap();
    assert_eq!(stage.broker().account().unwrap().buying_power, power, "a cancelled order holds nothing");
    let second = stage.place(request);
    assert_eq!(second.request.client_order_id, name, "the name of an order that was refused is still free");
}

fn advice(stage: &mut Stage<'_>) {
    let order = stage.buy("1", limit("90"));
    let again = alpaca_broker::model::OrderRequest { ..order.request.clone() };
    let duplicate = stage.try_place(again).unwrap_err();
    let unknown = stage.broker().cancel(&OrderKey::Client("never-1".parse().unwrap())).unwrap_err();
    stage.cancel(&order).unwrap();
    let ended = stage.cancel(&order).unwrap_err();
    for error in [duplicate, unknown, ended] {
        assert_eq!(error.advice(), OrderAdvice::FixRequest, "{error}");
        assert!(!error.to_string().is_empty());
    }
}

fn counted(stage: &mut Stage<'_>) {
    stage.hold("10");
    let too_dear = stage.ask(Side::Buy, "100000", limit("100"));
    stage.try_place(too_dear).unwrap_err();
    let order = stage.buy("1", limit("90"));
    stage.cancel(&order).unwrap();
    let broker = stage.broker();
    let metrics = broker.metrics();
    assert_eq!((metrics.placement.count(), metrics.placed.get(), metrics.rejected.get()), (3, 2, 1));
    assert_eq!((metrics.filled.get(), metrics.unfilled.get(), metrics.canceled.get()), (1, 1, 1));
    assert_eq!(metrics.fills.get(), stage.fills().len() as u64);
    assert_eq!((metrics.fill_rate(), metrics.to_first_fill.count()), (Some(0.5), 1));
    assert_eq!((metrics.errors().get("rejected"), metrics.cancellation.count()), (Some(&1), 1));
}
