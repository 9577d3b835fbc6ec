use alpaca_broker::events::{Event, EventBus, OrderKey, OrderUpdate, Source};
use alpaca_broker::exchanges::{Broker, BrokerError, Connection, OrderAdvice, Replayed};
use alpaca_broker::model::{
    Exit, Modification, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, Side, Size, StopLoss, TakeProfit, TimeInForce, Timestamp, Trail,
};
use alpaca_broker::risk::{Approved, Gate, Holdings, Sight};
use alpaca_broker::sim::{Sim, SimConfig, SimKey};
use rust_decimal::Decimal;

use crate::support::alpaca::{AlpacaVenue, broker};
use crate::support::brokers::Venue;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn approve(request: OrderRequest) -> Approved<OrderRequest> {
    Gate::default().check(request, &Sight::blind(alpaca_broker::model::MarketSession::Regular), &Holdings::default(), Timestamp::default()).unwrap()
}

fn ask(name: &str, kind: OrderType) -> OrderRequest {
    OrderRequest {
        client_order_id: name.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        size: Size::Quantity("10".parse().unwrap()),
        kind,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
    }
}

fn limit(price: &str) -> OrderType {
    OrderType::Limit { limit: price.parse().unwrap() }
}

fn place(venue: &AlpacaVenue, request: OrderRequest) -> Order {
    venue.alpaca().place(approve(request)).unwrap()
}

fn by_id(order: &Order) -> OrderKey {
    OrderKey::Venue(order.id.clone())
}

fn updates(venue: &AlpacaVenue) -> Vec<OrderUpdate> {
    venue.hear_all();
    venue.events().facts.try_iter().filter_map(|event| if let Event::OrderUpdated(update) = event { Some(update) } else { None }).collect()
}

#[test]
fn a_broker_is_connected_while_its_stream_listens() {
    let venue = AlpacaVenue::new();
    let alpaca = venue.alpaca();
    assert_eq!(alpaca.connection(), Connection::Connected);
    alpaca.stream_is(false);
    assert_eq!(alpaca.connection(), Connection::Degraded);
    alpaca.stream_is(true);
    alpaca.disconnect();
    assert_eq!(alpaca.connection(), Connection::Disconnected);
    alpaca.connect().unwrap();
    assert_eq!((alpaca.connection(), alpaca.metrics().connects()), (Connection::Connected, 3));
}

#[test]
fn the_keys_of_another_account_open_nothing() {
    let sim = Sim::start(SimConfig::default(), &alpaca_broker::runtime::Threads::new(crossbeam_channel::bounded(1).0)).unwrap();
    let stranger = broker(&sim, &EventBus::new(), "somebody-else");
    let error = stranger.connect().unwrap_err();
    assert_eq!(error.advice(), OrderAdvice::Stop);
    assert!(error.to_string().contains(&SimKey::default().account_id), "{error}");
    assert_eq!(stranger.connection(), Connection::Disconnected);
}

/// Every form of an order comes back from the venue as it was asked for.
#[test]
fn what_is_written_is_what_is_read() {
    let venue = AlpacaVenue::new();
    let price = |text: &str| text.parse().unwrap();
    let (profit, loss) = (TakeProfit { limit: price("110") }, StopLoss { stop: price("80"), limit: Some(price("79.5")) });
    let lasting = |request: OrderRequest| OrderRequest { time_in_force: TimeInForce::Gtc, ..request };
    let class = |name: &str, class| lasting(OrderRequest { class, ..ask(name, limit("90")) });
    let money = OrderRequest { size: Size::Notional("250.5".parse().unwrap()), ..ask("f-money", OrderType::Market) };
    place(&venue, OrderRequest { size: Size::Quantity("20".parse().unwrap()), ..ask("f-market", OrderType::Market) });
    venue.hear_all();
    let forms = [
        ask("f-limit", limit("90.5")),
        lasting(ask("f-gtc", limit("90"))),
        OrderRequest { extended_hours: true, ..ask("f-early", limit("90")) },
        OrderRequest { time_in_force: TimeInForce::Ioc, ..ask("f-ioc", limit("90")) },
        OrderRequest { time_in_force: TimeInForce::Fok, ..ask("f-fok", limit("90")) },
        OrderRequest { time_in_force: TimeInForce::Cls, ..ask("f-cls", limit("90")) },
        ask("f-stop", OrderType::Stop { stop: price("120") }),
        ask("f-stop-limit", OrderType::StopLimit { stop: price("120"), limit: price("121.25") }),
        ask("f-trail", OrderType::TrailingStop { trail: Trail::Price(price("5")) }),
        ask("f-percent", OrderType::TrailingStop { trail: Trail::Percent("2.5".parse().unwrap()) }),
        OrderRequest { size: Size::Quantity("0.125".parse().unwrap()), ..ask("f-part", limit("90")) },
        money,
        class("f-bracket", OrderClass::Bracket { profit, loss }),
        class("f-oto", OrderClass::Oto { exit: Exit::Profit(profit) }),
        class("f-oto-loss", OrderClass::Oto { exit: Exit::Loss(loss) }),
        lasting(OrderRequest { side: Side::Sell, class: OrderClass::Oco { loss: StopLoss { stop: price("80"), limit: None } }, ..ask("f-oco", limit("115")) }),
    ];
    for request in forms {
        let name = request.client_order_id.clone();
        let placed = venue.alpaca().place(approve(request.clone())).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(placed.request, request);
        let found = venue.alpaca().order(&OrderKey::Client(name.clone())).unwrap().unwrap();
        assert_eq!((found.id, found.request), (placed.id, request), "{name}");
        assert!(found.text.is_some_and(|text| text.contains(name.as_str())));
    }
    let told = updates(&venue);
    assert!(told.iter().all(|update| update.source == Source::Stream && update.words.as_ref().is_some_and(|words| &*words.account == "sim")));
    assert_eq!(venue.unread(), []);
}

fn replay(venue: &AlpacaVenue, since: Timestamp) -> Replayed {
    venue.alpaca().replay(since, venue.exchange.now()).unwrap().expect("the built-in exchange has a history")
}

#[test]
fn what_happened_is_told_once_more_in_the_same_words() {
    let venue = AlpacaVenue::new();
    let before = venue.exchange.now();
    let bought = place(&venue, ask("r-1", OrderType::Market));
    let resting = place(&venue, ask("r-2", limit("90")));
    venue.alpaca().cancel(&by_id(&resting)).unwrap();
    let heard = updates(&venue);
    let replayed = replay(&venue, before).updates;
    assert!(replayed.iter().all(|update| update.source == Source::Replay));
    let said = |update: &OrderUpdate| (update.order.id.clone(), update.change, update.execution_id.clone(), update.fill.clone(), update.at);
    assert_eq!(replayed.iter().map(said).collect::<Vec<_>>(), heard.iter().map(said).collect::<Vec<_>>());
    assert!(replayed.iter().any(|update| update.order.id == bought.id && update.change == OrderChange::Fill));
    let words = replayed[0].words.as_ref().unwrap();
    assert!(words.extra.iter().any(|(name, _)| name == "event_id"), "what the history says beyond it is kept: {:?}", words.extra);
    let now = venue.exchange.now();
    assert_eq!(venue.alpaca().replay(now, now).unwrap(), Some(Replayed { updates: Vec::new(), to: now }));
}

/// More than a piece holds: every event is told, and in order. The end of a piece may be told again at the beginning of the next.
#[test]
fn a_long_history_is_told_whole() {
    const MANY: usize = 1_800;
    let venue = AlpacaVenue::new();
    let before = venue.exchange.now();
    for number in 0..MANY {
        place(&venue, OrderRequest { size: Size::Quantity("1".parse().unwrap()), ..ask(&format!("h-{number}"), limit("10")) });
    }
    venue.alpaca().cancel_all(None).unwrap();
    let heard = updates(&venue);
    let said = |update: &OrderUpdate| (update.order.id.clone(), update.change, update.execution_id.clone(), update.at);
    let (until, mut from, mut told, mut pieces, mut bytes) = (venue.exchange.now(), before, Vec::new(), 0, 0);
    while from < until {
        let piece = venue.alpaca().replay(from, until).unwrap().expect("the built-in exchange has a history");
        assert!(piece.to > from);
        (from, pieces) = (piece.to, pieces + 1);
        let begins = told.len().saturating_sub(piece.updates.len());
        for update in &piece.updates {
            if !told[begins..].contains(&said(update)) {
                bytes += update.words.as_ref().unwrap().order_json.len();
                told.push(said(update));
            }
        }
    }
    assert!(bytes > 4 * 1024 * 1024 && pieces > 1, "{bytes} bytes in {pieces} pieces, {} events", told.len());
    assert!(told == heard.iter().map(said).collect::<Vec<_>>(), "{} events were heard, {} told again, or in another order", heard.len(), told.len());
}

#[test]
fn orders_are_listed_beyond_one_page_and_each_once() {
    const MANY: usize = 1_100;
    let venue = AlpacaVenue::new();
    let first = place(&venue, ask("l-first", limit("50")));
    for number in 0..MANY {
        place(&venue, OrderRequest { size: Size::Quantity("1".parse().unwrap()), ..ask(&format!("l-{number}"), limit("10")) });
    }
    let names = |orders: &[Order]| orders.iter().map(|order| order.request.client_order_id.to_string()).collect::<Vec<_>>();
    let wanted: Vec<String> = (0..MANY).map(|number| format!("l-{number}")).collect();
    let since = venue.alpaca().orders_since(first.times.submitted).unwrap().expect("orders can be listed");
    assert_eq!(names(&since), wanted);
    let open = venue.alpaca().open_orders().unwrap();
    assert_eq!((open.len(), names(&open[1..])), (MANY + 1, wanted));
    let outcomes = venue.alpaca().cancel_all(None).unwrap();
    assert!(outcomes.len() == MANY + 1 && outcomes.iter().all(|outcome| outcome.result == Ok(()) && outcome.client_order_id.bot() == Some("l")));
    assert_eq!(venue.alpaca().open_orders().unwrap(), []);
}

#[test]
fn executions_of_orders_that_nobody_has_named_are_named() {
    let mut venue = AlpacaVenue::new();
    for number in 0..130 {
        place(&venue, OrderRequest { size: Size::Quantity("1".parse().unwrap()), ..ask(&format!("x-{number}"), OrderType::Market) });
    }
    venue.settle();
    let told: Vec<_> = updates(&venue).into_iter().filter_map(|update| update.fill).collect();
    venue.restart();
    let read = venue.alpaca().fills(Timestamp::default(), 1_000).unwrap();
    let said = |fill: &alpaca_broker::model::Fill| (fill.execution_id.clone(), fill.client_order_id.clone(), fill.price, fill.quantity, fill.at);
    assert_eq!(read.iter().map(said).collect::<Vec<_>>(), told.iter().map(said).collect::<Vec<_>>());
    let some = venue.alpaca().fills(read[9].at, 7).unwrap();
    assert_eq!(some.iter().map(said).collect::<Vec<_>>(), read[10..10 + some.len()].iter().map(said).collect::<Vec<_>>());
}

#[test]
fn a_change_and_a_cancel_find_their_order_by_either_name() {
    let mut venue = AlpacaVenue::new();
    let old = place(&venue, ask("c-1", limit("90")));
    venue.settle();
    // A new broker knows no names.
    venue.restart();
    let change = Modification { limit: Some("91".parse().unwrap()), ..Modification::default() };
    let sight = Sight::blind(alpaca_broker::model::MarketSession::Regular);
    let change = Gate::default().check_change(&old, change, &sight, &Holdings::default(), Timestamp::default()).unwrap();
    let new = venue.alpaca().modify(&OrderKey::Client("c-1".parse().unwrap()), change).unwrap();
    assert_eq!((new.replaces.as_ref(), new.request.kind), (Some(&old.id), limit("91")));
    venue.settle();
    let error = venue.alpaca().cancel(&by_id(&old)).unwrap_err();
    assert_eq!(error, BrokerError::NotOpen(OrderStatus::Replaced));
    venue.alpaca().cancel(&OrderKey::Client(new.request.client_order_id.clone())).unwrap();
    assert_eq!(venue.alpaca().order(&by_id(&new)).unwrap().unwrap().status, OrderStatus::Canceled);
}

#[test]
fn positions_and_money_are_those_of_the_venue() {
    let venue = AlpacaVenue::new();
    let pair = OrderRequest { side: Side::Sell, ..ask("p-short", OrderType::Market) };
    place(&venue, pair);
    venue.hear_all();
    let symbol = "AAPL".parse().unwrap();
    while venue.alpaca().position(&symbol).unwrap().is_none_or(|position| position.quantity != dec("-10")) {
        venue.exchange.quote("AAPL", "100.00", 1_000, "100.02", 1_000);
    }
    let position = venue.alpaca().position(&symbol).unwrap().unwrap();
    assert_eq!(position.cost, dec("-1000"));
    assert_eq!(venue.alpaca().positions().unwrap(), [position]);
    assert_eq!(venue.alpaca().position(&"MSFT".parse().unwrap()).unwrap(), None);
    let account = venue.alpaca().account().unwrap();
    assert_eq!((account.cash, account.equity_at_open, account.currency.as_str()), (dec("101000"), dec("100000"), "USD"));
}

#[test]
fn what_cannot_be_read_comes_back_to_who_handed_it_in() {
    let venue = AlpacaVenue::new();
    let parent = r#"{"event":"new","timestamp":"2026-11-20T14:30:00Z","order":{"id":"m-1","client_order_id":"m","symbol":"","side":"","qty":"1","status":"new","order_class":"mleg"}}"#;
    let odd = r#"{"event":"pondered","timestamp":"2026-11-20T14:30:00Z","order":{"id":"o-1","client_order_id":"o-1","symbol":"AAPL","side":"buy","qty":"1","type":"market","status":"pondering"}}"#;
    let account = SimKey::default().account_id;
    venue.exchange.order_update(&account, parent);
    venue.exchange.order_update(&account, odd);
    let told = updates(&venue);
    assert_eq!(told.iter().map(|update| (update.change, update.order.status)).collect::<Vec<_>>(), [(OrderChange::Restated, OrderStatus::New)]);
    assert_eq!(told[0].words.as_ref().map(|words| (words.event.as_str(), words.order.status.as_str())), Some(("pondered", "pondering")));
    assert_eq!(venue.unread().iter().map(|event| event.order.id.as_str()).collect::<Vec<_>>(), ["m-1"]);
}
