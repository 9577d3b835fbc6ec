use alpaca_broker::events::OrderKey;
use alpaca_broker::exchanges::{Broker, BrokerError, Connection, OrderAdvice};
use alpaca_broker::model::{OrderType, Side};

use super::Card;
use super::stage::{Stage, approve, by_venue, limit};

pub const CARDS: [Card; 5] = [
    Card::new(1, "Connecting twice is as good as connecting once.", twice),
    Card::new(2, "Disconnecting twice is as good as once, and a broker can be connected again.", and_again),
    Card::new(3, "While disconnected everything is refused, nothing leaves, and the advice is to connect.", disconnected),
    Card::new(4, "Open orders stay open while the broker is away.", away),
    Card::new(5, "A broker keeps its name and its account, whoever holds it on whichever thread.", named),
];

fn twice(stage: &mut Stage<'_>) {
    let broker = stage.broker();
    let connects = broker.metrics().connects();
    assert_eq!((broker.connect(), broker.connect()), (Ok(()), Ok(())));
    assert_eq!((broker.connection(), broker.metrics().connects()), (Connection::Connected, connects));
}

fn and_again(stage: &mut Stage<'_>) {
    let broker = stage.broker();
    broker.disconnect();
    broker.disconnect();
    assert_eq!(broker.connection(), Connection::Disconnected);
    broker.connect().unwrap();
    assert_eq!(broker.connection(), Connection::Connected);
    assert_eq!(broker.metrics().connects(), 2);
}

fn disconnected(stage: &mut Stage<'_>) {
    let broker = stage.broker();
    let request = stage.ask(Side::Buy, "1", OrderType::Market);
    let name = request.client_order_id.clone();
    let arrived = stage.venue.arrived();
    broker.disconnect();
    let key = OrderKey::Client(name);
    let refused: [Option<BrokerError>; 6] = [
        broker.place(approve(request)).err(),
        broker.cancel(&key).err(),
        broker.cancel_all(None).err(),
        broker.order(&key).err(),
        broker.positions().err(),
        broker.account().err(),
    ];
    for error in refused {
        let error = error.expect("a broker that is not connected answers nothing");
        assert!(matches!(error, BrokerError::NotConnected { .. }), "{error}");
        assert_eq!(error.advice(), OrderAdvice::Reconnect);
    }
    broker.connect().unwrap();
    stage.settle();
    assert_eq!((stage.venue.arrived(), broker.order(&key).unwrap()), (arrived, None));
}

fn away(stage: &mut Stage<'_>) {
    let order = stage.buy("3", limit("90"));
    let broker = stage.broker();
    broker.disconnect();
    broker.connect().unwrap();
    stage.settle();
    assert_eq!(broker.open_orders().unwrap().iter().map(|open| &open.id).collect::<Vec<_>>(), [&order.id]);
    stage.show("89.00", "89.02");
    assert!(!stage.now(&by_venue(&order)).filled.is_zero(), "it trades as if nobody had been away");
    stage.audit();
}

fn named(stage: &mut Stage<'_>) {
    let broker = stage.broker();
    let of = broker.of();
    let elsewhere = std::thread::spawn(move || {
        let shared: &dyn Broker = &*broker;
        (shared.of(), shared.account().unwrap().id, shared.balances().unwrap(), shared.account().unwrap())
    });
    let (seen, id, balances, account) = elsewhere.join().unwrap();
    assert_eq!((&seen, &id), (&of, &of.account));
    let money = balances.iter().find(|balance| balance.currency == account.currency).expect("the account's money is among the balances");
    assert_eq!((money.total, money.available), (account.cash, account.cash));
}
