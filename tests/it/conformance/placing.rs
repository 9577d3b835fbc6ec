use alpaca_broker::exchanges::{BrokerError, Capabilities, OrderAdvice};
use alpaca_broker::model::{MarketSession, Order, OrderStatus, OrderType, Side, Size, TimeInForce, Trail, worth};
use rust_decimal::Decimal;

use super::Card;
use super::stage::{Stage, dec, limit, stop};

pub const CARDS: [Card; 17] = [
    Card::new(6, "A market order is answered while it is open, and filled at the market.", market),
    Card::new(7, "A limit order inside the market is filled at once, and never worse than its limit.", marketable),
    Card::new(8, "A limit order outside the market rests until the market comes to it.", resting),
    Card::needing(9, |can| has(can, "stop"), "A stop order sleeps until its price is seen, then trades.", stops),
    Card::needing(10, |can| has(can, "stop_limit"), "A stop-limit order that was woken keeps its limit.", stop_limit),
    Card::needing(11, |can| has(can, "trailing_stop"), "A trailing stop follows the best price and trades when the market turns.", trailing),
    Card::new(12, "Every type and time in force that is claimed together is taken, or refused with a reason and without a trace.", grid),
    Card::new(13, "Every type that is claimed can be placed.", every_type),
    Card::new(14, "Every time in force that is claimed can be placed.", every_time),
    Card::new(15, "What was bought can be sold, and the gain is what the prices say.", round_trip),
    Card::needing(16, |can| can.fractional, "Fractions of a unit can be held.", fraction),
    Card::needing(17, |can| can.notional, "An order by money buys units worth about so much, and never more.", by_money),
    Card::needing(18, |can| can.short_selling, "What is not held can be sold short and bought back.", short),
    Card::needing(19, |can| lasts(can, TimeInForce::Ioc), "What an immediate order cannot get at once is cancelled.", ioc),
    Card::needing(20, |can| lasts(can, TimeInForce::Fok), "An all-or-nothing order gets all or nothing.", fok),
    Card::needing(21, |can| lasts(can, TimeInForce::Day), "A day order does not outlive the day.", day),
    Card::needing(22, |can| can.extended_hours, "An order for extended hours trades then; others wait for the opening.", extended),
];

fn has(can: &Capabilities, kind: &str) -> bool {
    can.order_types.contains(&kind)
}

fn lasts(can: &Capabilities, time: TimeInForce) -> bool {
    can.times_in_force.contains(&time)
}

fn market(stage: &mut Stage<'_>) {
    let request = stage.ask(Side::Buy, "10", OrderType::Market);
    let answer = stage.try_place(request.clone()).unwrap();
    assert_eq!(answer.request, request);
    let order = stage.again(&answer);
    assert_eq!((order.status, order.filled), (OrderStatus::Filled, dec("10")));
    let paid = order.average_price().unwrap();
    assert!(paid >= dec("100.02") && paid <= dec("100.52"), "paid {paid} in a market of 100.00 to 100.02");
    assert_eq!(stage.held(), dec("10"));
    stage.audit();
}

fn marketable(stage: &mut Stage<'_>) {
    let order = stage.buy("10", limit("100.50"));
    assert_eq!(order.status, OrderStatus::Filled);
    let paid = order.average_price().unwrap();
    assert!(paid >= dec("100.02") && paid <= dec("100.50"), "paid {paid}");
    let order = stage.sell("10", limit("99.50"));
    let got = order.average_price().unwrap();
    assert!(got >= dec("99.50") && got <= dec("100.00"), "got {got}");
    stage.audit();
}

fn resting(stage: &mut Stage<'_>) {
    let order = stage.buy("10", limit("99.00"));
    assert_eq!((order.status, order.filled), (OrderStatus::New, Decimal::ZERO));
    stage.show("99.30", "99.32");
    assert_eq!(stage.again(&order).filled, Decimal::ZERO);
    stage.show("98.90", "98.92");
    let order = stage.again(&order);
    assert_eq!(order.status, OrderStatus::Filled);
    assert!(order.average_price().unwrap() <= dec("99.00"));
    stage.audit();
}

fn stops(stage: &mut Stage<'_>) {
    stage.hold("10");
    let order = stage.sell("10", stop("98.00"));
    assert!(order.status.is_open() && order.filled.is_zero());
    stage.show("98.50", "98.52");
    assert!(stage.again(&order).filled.is_zero());
    stage.show("97.80", "97.82");
    let order = stage.again(&order);
    assert_eq!(order.status, OrderStatus::Filled);
    assert!(order.average_price().unwrap() <= dec("97.80"));
    assert_eq!(stage.held(), Decimal::ZERO);
    stage.audit();
}

fn stop_limit(stage: &mut Stage<'_>) {
    stage.hold("10");
    let order = stage.sell("10", OrderType::StopLimit { stop: "98".parse().unwrap(), limit: "97.50".parse().unwrap() });
    stage.show("97.00", "97.02");
    let woken = stage.again(&order);
    assert!(woken.status.is_open() && woken.filled.is_zero(), "nobody pays 97.50: {woken:?}");
    stage.show("97.60", "97.62");
    let order = stage.again(&order);
    assert_eq!(order.status, OrderStatus::Filled);
    assert!(order.average_price().unwrap() >= dec("97.50"));
    stage.audit();
}

fn trailing(stage: &mut Stage<'_>) {
    stage.hold("10");
    let order = stage.sell("10", OrderType::TrailingStop { trail: Trail::Price("1".parse().unwrap()) });
    let begun = order.trailing_stop.expect("a trailing order has a stop");
    stage.show("103.00", "103.02");
    let followed = stage.again(&order);
    assert!(followed.trailing_stop > Some(begun) && followed.status.is_open(), "{followed:?}");
    stage.show("102.50", "102.52");
    assert_eq!(stage.again(&order).trailing_stop, followed.trailing_stop, "it never goes back");
    stage.show("101.50", "101.52");
    assert_eq!(stage.again(&order).status, OrderStatus::Filled);
    stage.audit();
}

/// An order of each type that the venue would let rest, where the type can.
fn each_type(stage: &Stage<'_>) -> Vec<OrderType> {
    let price = |text: &str| text.parse().unwrap();
    let all = [
        OrderType::Market,
        limit("99.00"),
        stop("103.00"),
        OrderType::StopLimit { stop: price("103.00"), limit: price("104.00") },
        OrderType::TrailingStop { trail: Trail::Price(price("2.00")) },
    ];
    let can = stage.broker().capabilities().clone();
    all.into_iter().filter(|kind| has(&can, kind.as_str())).collect()
}

/// Places it; true when it was taken. A refusal has a reason and leaves nothing behind.
fn taken(stage: &mut Stage<'_>, kind: OrderType, time: TimeInForce) -> bool {
    let mut request = stage.ask(Side::Buy, "1", kind);
    request.time_in_force = time;
    let key = alpaca_broker::events::OrderKey::Client(request.client_order_id.clone());
    match stage.try_place(request) {
        Ok(placed) => {
            let order = stage.again(&placed);
            assert_ne!(order.status, OrderStatus::Rejected, "{} {} was taken and then rejected", kind.as_str(), time.as_str());
            true
        }
        Err(BrokerError::Rejected { reason, .. }) => {
            assert!(!reason.is_empty());
            assert_eq!(stage.broker().order(&key).unwrap(), None, "{} {} was refused and is there", kind.as_str(), time.as_str());
            false
        }
        Err(error) => panic!("{} {} is claimed: {error}", kind.as_str(), time.as_str()),
    }
}

fn grid(stage: &mut Stage<'_>) {
    let times = stage.broker().capabilities().times_in_force.clone();
    for kind in each_type(stage) {
        for time in &times {
            taken(stage, kind, *time);
        }
    }
    stage.audit();
}

fn every_type(stage: &mut Stage<'_>) {
    for kind in each_type(stage) {
        assert!(taken(stage, kind, TimeInForce::Day) || taken(stage, kind, TimeInForce::Gtc), "{} orders are claimed", kind.as_str());
    }
}

fn every_time(stage: &mut Stage<'_>) {
    let times = stage.broker().capabilities().times_in_force.clone();
    for time in times {
        // The opening auction takes orders before it.
        let early = time == TimeInForce::Opg && stage.venue.session(MarketSession::Pre);
        if time == TimeInForce::Opg && !early {
            continue;
        }
        assert!(taken(stage, limit("99.00"), time) || taken(stage, OrderType::Market, time), "the time in force {} is claimed", time.as_str());
        if early {
            stage.venue.session(MarketSession::Regular);
        }
    }
}

fn round_trip(stage: &mut Stage<'_>) {
    stage.hold("10");
    stage.show("110.00", "110.02");
    let sold = stage.sell("10", OrderType::Market);
    let fills = stage.fills();
    let worth_of = |side| -> Decimal { fills.iter().filter(|fill| fill.side == side).map(|fill| worth(fill.price, fill.quantity)).sum() };
    let account = stage.broker().account().unwrap();
    let gain = worth_of(Side::Sell) - worth_of(Side::Buy);
    assert!(gain > dec("90"), "{gain}");
    if stage.venue.tells_gains() {
        assert_eq!(account.realised, gain);
    }
    assert_eq!((sold.status, stage.held(), account.unrealised), (OrderStatus::Filled, Decimal::ZERO, Decimal::ZERO));
    assert_eq!(stage.broker().positions().unwrap(), [], "what is flat is not held");
    stage.audit();
}

fn fraction(stage: &mut Stage<'_>) {
    let request = stage.ask(Side::Buy, "0.125", OrderType::Market);
    let order = stage.place(request);
    assert_eq!((order.status, stage.held()), (OrderStatus::Filled, dec("0.125")));
    stage.audit();
}

fn by_money(stage: &mut Stage<'_>) {
    let mut request = stage.ask(Side::Buy, "1", OrderType::Market);
    request.size = Size::Notional("500".parse().unwrap());
    let order = stage.place(request);
    assert_eq!(order.status, OrderStatus::Filled);
    assert!(order.filled_value <= dec("500") && order.filled_value > dec("490"), "{}", order.filled_value);
    stage.audit();
}

fn short(stage: &mut Stage<'_>) {
    let sold = stage.sell("10", OrderType::Market);
    assert_eq!((sold.status, stage.held()), (OrderStatus::Filled, dec("-10")));
    let account = stage.broker().account().unwrap();
    assert!(account.short_value.abs() > dec("990") && account.equity < stage.start, "{account:?}");
    stage.audit();
    stage.buy("10", OrderType::Market);
    assert_eq!(stage.held(), Decimal::ZERO);
    stage.audit();
}

fn with_time(stage: &mut Stage<'_>, quantity: &str, kind: OrderType, time: TimeInForce) -> Order {
    let mut request = stage.ask(Side::Buy, quantity, kind);
    request.time_in_force = time;
    stage.place(request)
}

fn ioc(stage: &mut Stage<'_>) {
    let symbol = stage.symbol.clone();
    stage.show_of(&symbol, "100.00", "100.02", 4);
    let order = with_time(stage, "10", limit("100.50"), TimeInForce::Ioc);
    assert!(!order.status.is_open() && order.filled <= dec("10"), "{order:?}");
    let away = with_time(stage, "10", limit("90"), TimeInForce::Ioc);
    assert_eq!((away.status, away.filled), (OrderStatus::Canceled, Decimal::ZERO));
    stage.audit();
}

fn fok(stage: &mut Stage<'_>) {
    let symbol = stage.symbol.clone();
    stage.show_of(&symbol, "100.00", "100.02", 4);
    let order = with_time(stage, "10", limit("100.50"), TimeInForce::Fok);
    assert!(!order.status.is_open(), "{order:?}");
    assert!(order.filled.is_zero() || order.filled == dec("10"), "a part was filled: {order:?}");
    let away = with_time(stage, "1", limit("90"), TimeInForce::Fok);
    assert_eq!((away.status, away.filled), (OrderStatus::Canceled, Decimal::ZERO));
    stage.audit();
}

fn day(stage: &mut Stage<'_>) {
    let daily = with_time(stage, "1", limit("90"), TimeInForce::Day);
    let lasting = stage.buy("1", limit("91"));
    if !stage.venue.session(MarketSession::Post) || !stage.venue.session(MarketSession::Closed) {
        return;
    }
    stage.settle();
    let ended = stage.again(&daily);
    assert!(matches!(ended.status, OrderStatus::Expired | OrderStatus::Canceled), "{ended:?}");
    assert!(stage.again(&lasting).status.is_open());
    let error = stage.cancel(&daily).unwrap_err();
    assert_eq!((error.clone(), error.advice()), (BrokerError::NotOpen(ended.status), OrderAdvice::FixRequest));
}

fn extended(stage: &mut Stage<'_>) {
    if !stage.venue.session(MarketSession::Pre) {
        return;
    }
    let regular = with_time(stage, "1", limit("101"), TimeInForce::Day);
    let mut request = stage.ask(Side::Buy, "1", limit("101"));
    (request.time_in_force, request.extended_hours) = (TimeInForce::Day, true);
    let early = stage.place(request);
    stage.show("100.00", "100.02");
    assert_eq!(stage.again(&early).status, OrderStatus::Filled);
    assert!(stage.again(&regular).filled.is_zero(), "it waits for the opening");
    stage.venue.session(MarketSession::Regular);
    stage.show("100.00", "100.02");
    assert_eq!(stage.again(&regular).status, OrderStatus::Filled);
    stage.audit();
}
