//! Tests of reading and writing, with the documents' own examples.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::events::{AccountRef, OrderEvent, Source};
use crate::exchanges::alpaca::trading;
use crate::model::{
    Exit, Modification, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, PositionIntent, Side, Size, StopLoss, TakeProfit, TimeInForce, Trail,
};

const ACCEPTED: &str = r#"{"id":"7b08df51-c1ac-453c-99f9-323a5f075f0d","client_order_id":"5680c4bc-9ac1-4a12-a44c-df427ba53032",
 "created_at":"2023-12-12T22:31:24.668464435Z","updated_at":"2023-12-12T22:31:24.668464435Z","submitted_at":"2023-12-12T22:31:24.577215743Z",
 "filled_at":null,"expired_at":null,"canceled_at":null,"failed_at":null,"replaced_at":null,"replaced_by":null,"replaces":null,
 "asset_id":"b0b6dd9d-8b9b-48a9-ba46-b9d54906e415","symbol":"AAPL","asset_class":"us_equity","notional":null,"qty":"2","filled_qty":"0",
 "filled_avg_price":null,"order_class":"","order_type":"limit","type":"limit","side":"buy","time_in_force":"gtc","limit_price":"150",
 "stop_price":null,"status":"accepted","extended_hours":false,"legs":null,"trail_percent":null,"trail_price":null,"hwm":null,"subtag":null,"source":null}"#;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn of() -> AccountRef {
    AccountRef { broker: "alpaca".parse().unwrap(), account: "904837e3".parse().unwrap() }
}

/// The example with some fields changed.
fn with(changes: Value) -> String {
    let mut order: Value = serde_json::from_str(ACCEPTED).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        order[name] = value.clone();
    }
    order.to_string()
}

fn event(data: Value) -> Arc<OrderEvent> {
    Arc::new(trading::read_update(&"paper".into(), &data.to_string()).unwrap())
}

fn update_of(data: Value) -> crate::events::OrderUpdate {
    read_update(&of(), &event(data), Source::Stream).unwrap()
}

#[test]
fn the_documented_order_is_read_and_keeps_its_text() {
    let order = read_order(ACCEPTED).unwrap();
    let request = OrderRequest {
        client_order_id: "5680c4bc-9ac1-4a12-a44c-df427ba53032".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        size: Size::Quantity("2".parse().unwrap()),
        kind: OrderType::Limit { limit: "150".parse().unwrap() },
        time_in_force: TimeInForce::Gtc,
        extended_hours: false,
        class: OrderClass::Simple,
    };
    assert_eq!((order.id.as_str(), order.status, order.request), ("7b08df51-c1ac-453c-99f9-323a5f075f0d", OrderStatus::Accepted, request));
    assert_eq!((order.filled, order.filled_value, order.text.as_deref()), (dec("0"), dec("0"), Some(ACCEPTED)));
    assert_eq!(order.times.submitted, "2023-12-12T22:31:24.577215743Z".parse().unwrap());
    assert!(order.times.submitted < order.times.created, "the venue does so");
}

#[test]
fn the_documented_fill_is_an_update_with_its_words() {
    let frame: Value = serde_json::from_str(include_str!("../../../../tests/fixtures/alpaca/update_fill.json")).unwrap();
    let event = event(frame["data"].clone());
    let update = read_update(&of(), &event, Source::Stream).unwrap();
    let fill = update.fill.unwrap();
    assert_eq!((update.change, update.order.status, update.source), (OrderChange::Fill, OrderStatus::Filled, Source::Stream));
    assert_eq!((fill.execution_id.as_str(), fill.price, fill.quantity), ("2f63ea93-423d-4169-b3f6-3fdafc10c418", dec("105.8988475"), dec("1790.86")));
    assert_eq!((fill.position, fill.side, fill.symbol.as_str()), (Decimal::ZERO, Side::Sell, "SOL/USD"));
    assert_eq!(update.order.filled_value, dec("189650.01003385"));
    assert_eq!(update.order.times.filled, Some("2022-04-19T17:45:05.024916716Z".parse().unwrap()));
    assert!(Arc::ptr_eq(&update.words.unwrap(), &event));
}

#[test]
fn what_is_unknown_costs_nothing_of_the_rest() {
    for (changes, status) in [
        (json!({"status": "pondering"}), OrderStatus::New),
        (json!({"status": "pondering", "filled_qty": "1"}), OrderStatus::New),
        (json!({"status": "pondering", "filled_qty": "2"}), OrderStatus::Filled),
        (json!({"status": "denied"}), OrderStatus::New),
        (json!({"status": null}), OrderStatus::New),
        (json!({"status": "accepted_for_bidding"}), OrderStatus::Accepted),
        (json!({"status": "pending_review"}), OrderStatus::PendingNew),
    ] {
        assert_eq!(read_order(&with(changes.clone())).unwrap().status, status, "{changes}");
    }
    let strange =
        with(json!({"type": "vwap", "order_type": "vwap", "order_class": "mleg", "time_in_force": "gtd", "position_intent": "", "legs": 7, "hwm": []}));
    let order = read_order(&strange).unwrap();
    assert_eq!((order.request.kind.as_str(), order.request.class, order.request.time_in_force), ("limit", OrderClass::Simple, TimeInForce::Gtc));
    assert_eq!((order.intent, order.high_water, order.text.as_deref()), (None, None, Some(strange.as_str())));
    let update = update_of(json!({"event": "pondered", "order": serde_json::from_str::<Value>(ACCEPTED).unwrap(), "mood": "good"}));
    assert_eq!((update.change, update.at), (OrderChange::Restated, update.order.times.updated));
    assert_eq!(update.words.unwrap().event, "pondered");
    let ours = update_of(json!({"event": "denied", "order": serde_json::from_str::<Value>(ACCEPTED).unwrap()}));
    assert_eq!(ours.change, OrderChange::Restated);
}

#[test]
fn what_cannot_stand_in_our_types_says_why() {
    for (changes, error) in [
        (json!({"client_order_id": null}), ReadError::NoClientId),
        (json!({"symbol": "", "side": ""}), ReadError::NoSymbol),
        (json!({"side": ""}), ReadError::Field("side")),
        (json!({"id": null}), ReadError::Field("id")),
        (json!({"qty": null}), ReadError::Field("qty")),
        (json!({"qty": "1e30"}), ReadError::Field("qty")),
        (json!({"symbol": "a\nb"}), ReadError::Field("symbol")),
    ] {
        assert_eq!(read_order(&with(changes.clone())), Err(error), "{changes}");
    }
    for text in ["", "[]", "7", "{", r#"{"id":"a","id":"b"}"#] {
        assert_eq!(read_order(text), Err(ReadError::Form), "{text}");
    }
    assert_eq!(read_orders("{}"), Err(ReadError::List));
    let list = read_orders(&format!("[{},{ACCEPTED},7]", with(json!({"id": "of-legs", "symbol": ""})))).unwrap();
    assert_eq!(
        list.iter().map(|one| (one.id.as_str(), one.order.is_ok())).collect::<Vec<_>>()[..2],
        [("of-legs", false), ("7b08df51-c1ac-453c-99f9-323a5f075f0d", true)]
    );
    assert_eq!(list[2].order, Err(ReadError::Form));
}

#[test]
fn every_word_of_the_stream_has_its_change() {
    for (word, change) in [
        ("new", OrderChange::New),
        ("partial_fill", OrderChange::PartialFill),
        ("order_cancel_rejected", OrderChange::CancelRejected),
        ("order_replace_rejected", OrderChange::ReplaceRejected),
        ("trade_bust", OrderChange::TradeBust),
        ("trade_correct", OrderChange::TradeCorrect),
        ("done_for_day", OrderChange::DoneForDay),
        ("held", OrderChange::Held),
    ] {
        let data = json!({"event": word, "order": serde_json::from_str::<Value>(ACCEPTED).unwrap(), "execution_id": "e-9", "price": "10", "qty": "-5",
            "previous_execution_id": "e-1", "reason": "CORPORATE_ACTION", "timestamp": "2026-11-20T14:30:00Z"});
        let update = update_of(data);
        assert_eq!((update.change, update.fill), (change, None), "{word}: a quantity below zero is no execution");
        assert_eq!((update.execution_id.unwrap().as_str(), update.reason.as_deref()), ("e-9", Some("CORPORATE_ACTION")));
        let words = update.words.unwrap();
        assert!(words.extra.iter().any(|(name, json)| name == "previous_execution_id" && &**json == "\"e-1\""));
    }
}

#[test]
fn an_execution_without_a_name_has_the_same_one_again() {
    let filled: Value = serde_json::from_str(&with(json!({"status": "partially_filled", "filled_qty": "1.0", "filled_avg_price": "149"}))).unwrap();
    let data = json!({"event": "partial_fill", "order": filled, "price": "149", "qty": "1", "position_qty": "-3", "timestamp": "2026-11-20T14:30:00Z"});
    let update = update_of(data);
    let fill = update.fill.unwrap();
    assert_eq!((update.execution_id, fill.execution_id.as_str()), (None, "7b08df51-c1ac-453c-99f9-323a5f075f0d:1"));
    assert_eq!((fill.position, update.order.filled_value), (dec("-3"), dec("149")));
    let bare = json!({"event": "fill", "order": serde_json::from_str::<Value>(ACCEPTED).unwrap()});
    let update = update_of(bare);
    assert_eq!((update.change, update.fill), (OrderChange::Fill, None), "nothing was said of what was executed");
}

#[test]
fn families_are_read_with_their_exits() {
    let leg = |id: &str, changes: Value| {
        let mut leg: Value = serde_json::from_str(&with(changes)).unwrap();
        leg["id"] = id.into();
        leg["client_order_id"] = format!("of-{id}").into();
        leg
    };
    let winning = leg("w", json!({"type": "limit", "limit_price": "160", "side": "sell", "status": "held", "order_class": "bracket"}));
    let losing = leg("l", json!({"type": "stop", "limit_price": null, "stop_price": "140", "side": "sell", "status": "held", "order_class": "bracket"}));
    let (profit, loss) = (TakeProfit { limit: "160".parse().unwrap() }, StopLoss { stop: "140".parse().unwrap(), limit: None });
    for (class, legs, wanted) in [
        ("bracket", vec![&winning, &losing], OrderClass::Bracket { profit, loss }),
        ("oco", vec![&losing], OrderClass::Oco { loss }),
        ("oto", vec![&losing], OrderClass::Oto { exit: Exit::Loss(loss) }),
        ("oto", vec![&winning], OrderClass::Oto { exit: Exit::Profit(profit) }),
        ("bracket", vec![], OrderClass::Simple),
    ] {
        let order = read_order(&with(json!({"order_class": class, "legs": legs}))).unwrap();
        assert_eq!((order.request.class, order.legs.len()), (wanted, legs.len()));
    }
    let listed = read_orders(&format!("[{}]", with(json!({"order_class": "bracket", "legs": [winning, losing]})))).unwrap();
    let parents: Vec<_> = listed[0].legs.iter().map(|leg| leg.order.as_ref().unwrap().parent.as_ref().unwrap().as_str()).collect();
    assert_eq!(parents, ["7b08df51-c1ac-453c-99f9-323a5f075f0d"; 2]);
}

#[test]
fn the_documented_activity_is_an_execution() {
    let page = r#"[{"activity_type":"FILL","id":"20240624093004214::18a82342-245e-4e8a-9703-87ae38d9b629","transaction_time":"2024-06-24T13:30:04.214535Z",
 "type":"partial_fill","price":"3.8","qty":"643","side":"sell_short","symbol":"AAPL","leaves_qty":"1457","order_id":"c0e497c2","cum_qty":"643","order_status":"partially_filled"},
 {"activity_type":"FILL","id":"20240624093004215::x","transaction_time":"2024-06-24T13:30:04.215Z","price":"1","qty":"1","side":"buy","symbol":"AAPL"}]"#;
    let read = read_executions(page).unwrap();
    let first = read[0].1.clone().unwrap();
    assert_eq!(
        (read[0].0.as_str(), first.execution_id.as_str()),
        ("20240624093004214::18a82342-245e-4e8a-9703-87ae38d9b629", "18a82342-245e-4e8a-9703-87ae38d9b629")
    );
    let fill = first.named("bot-1".parse().unwrap());
    assert_eq!((fill.side, fill.price, fill.quantity, fill.position), (Side::Sell, dec("3.8"), dec("643"), Decimal::ZERO));
    assert_eq!(read[1], ("20240624093004215::x".to_owned(), Err(ReadError::Field("order_id"))));
}

#[test]
fn accounts_positions_and_money_are_read() {
    let page = r#"{"id":"904837e3","status":"ACTIVE","currency":"USD","cash":"1000.5","equity":"2000","last_equity":"1900","buying_power":"4000",
 "non_marginable_buying_power":"900","long_market_value":"1500","short_market_value":"-500.5","accrued_fees":"0.25"}"#;
    let account = read_account(page).unwrap();
    assert_eq!((account.cash, account.equity, account.equity_at_open, account.buying_power), (dec("1000.5"), dec("2000"), dec("1900"), dec("4000")));
    assert_eq!((account.long_value, account.short_value, account.fees, account.realised), (dec("1500"), dec("-500.5"), dec("0.25"), Decimal::ZERO));
    let balances = read_balances(page).unwrap();
    assert_eq!((balances[0].currency.as_str(), balances[0].total, balances[0].available), ("USD", dec("1000.5"), dec("900")));
    let positions = r#"[{"symbol":"AAPL","asset_class":"us_equity","qty":"-5","side":"short","cost_basis":"-500","current_price":"90"},
 {"symbol":"BTCUSD","asset_class":"crypto","qty":"0.5","side":"long","cost_basis":"30000","current_price":null},
 {"symbol":"MSFT","qty":"3","side":"short","cost_basis":"30"}]"#;
    let [short, pair, unsigned] = <[_; 3]>::try_from(read_positions(positions).unwrap()).unwrap();
    assert_eq!((short.quantity, short.cost, short.unrealised()), (dec("-5"), dec("-500"), dec("50")));
    assert_eq!((pair.symbol.as_str(), pair.quantity, pair.mark), ("BTC/USD", dec("0.5"), None));
    assert_eq!((unsigned.quantity, unsigned.cost), (dec("-3"), dec("-30")));
    assert_eq!(read_positions(r#"[{"symbol":"AAPL","qty":"1"}]"#), Err(ReadError::Field("cost_basis")), "a position that is missing would be taken for none");
    assert_eq!(read_account(r#"{"id":"x","cash":"1"}"#), Err(ReadError::Field("equity")));
}

#[test]
fn a_cancel_of_everything_says_what_became_of_each() {
    let read = read_cancelled(r#"[{"id":"a","status":200},{"id":"b","status":500,"body":{"code":50010000,"message":"failed to cancel order"}}]"#).unwrap();
    let wanted = Cancelled { id: "b".parse().unwrap(), status: 500, code: Some("50010000".to_owned()), reason: Some("failed to cancel order".to_owned()) };
    assert_eq!((read[0].status, &read[1]), (200, &wanted));
}

#[test]
fn requests_are_written_as_the_venue_takes_them() {
    let price = |text: &str| text.parse().unwrap();
    let plain = OrderRequest {
        client_order_id: "bot-1".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        size: Size::Quantity("10".parse().unwrap()),
        kind: OrderType::Market,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
    };
    let (profit, loss) = (TakeProfit { limit: price("110.50") }, StopLoss { stop: price("90"), limit: Some(price("89")) });
    let body = |request: OrderRequest| -> Value { serde_json::from_str(&write_order(&request)).unwrap() };
    let base = |changes: Value| {
        let mut wanted = json!({"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day", "client_order_id": "bot-1"});
        changes.as_object().unwrap().iter().for_each(|(name, value)| wanted[name] = value.clone());
        wanted
    };
    let kind = |kind| OrderRequest { kind, ..plain.clone() };
    let class = |class, kind| OrderRequest { class, kind, ..plain.clone() };
    let limit = OrderType::Limit { limit: price("100") };
    for (request, wanted) in [
        (plain.clone(), json!({})),
        (kind(limit), json!({"type": "limit", "limit_price": "100"})),
        (kind(OrderType::Stop { stop: price("95") }), json!({"type": "stop", "stop_price": "95"})),
        (kind(OrderType::StopLimit { stop: price("95"), limit: price("94.5") }), json!({"type": "stop_limit", "stop_price": "95", "limit_price": "94.5"})),
        (kind(OrderType::TrailingStop { trail: Trail::Price(price("1.5")) }), json!({"type": "trailing_stop", "trail_price": "1.5"})),
        (kind(OrderType::TrailingStop { trail: Trail::Percent("2".parse().unwrap()) }), json!({"type": "trailing_stop", "trail_percent": "2"})),
        (OrderRequest { extended_hours: true, ..kind(limit) }, json!({"type": "limit", "limit_price": "100", "extended_hours": true})),
        (
            class(OrderClass::Bracket { profit, loss }, OrderType::Market),
            json!({"order_class": "bracket", "take_profit": {"limit_price": "110.5"}, "stop_loss": {"stop_price": "90", "limit_price": "89"}}),
        ),
        (
            class(OrderClass::Oco { loss: StopLoss { limit: None, ..loss } }, limit),
            json!({"type": "limit", "order_class": "oco", "take_profit": {"limit_price": "100"}, "stop_loss": {"stop_price": "90"}}),
        ),
        (
            class(OrderClass::Oto { exit: Exit::Profit(profit) }, limit),
            json!({"type": "limit", "limit_price": "100", "order_class": "oto", "take_profit": {"limit_price": "110.5"}}),
        ),
        (
            class(OrderClass::Oto { exit: Exit::Loss(loss) }, limit),
            json!({"type": "limit", "limit_price": "100", "order_class": "oto", "stop_loss": {"stop_price": "90", "limit_price": "89"}}),
        ),
    ] {
        assert_eq!(body(request.clone()), base(wanted), "{request:?}");
    }
    for time_in_force in TimeInForce::ALL {
        assert_eq!(body(OrderRequest { time_in_force, ..plain.clone() })["time_in_force"], time_in_force.as_str());
    }
    let by_money = body(OrderRequest { size: Size::Notional("500.5".parse().unwrap()), ..plain });
    assert_eq!((by_money.get("qty"), &by_money["notional"]), (None, &json!("500.5")));
}

#[test]
fn changes_name_only_what_changes() {
    assert_eq!(write_modification(&Modification::default()), "{}");
    let all = Modification {
        quantity: Some("5".parse().unwrap()),
        limit: Some("101.50".parse().unwrap()),
        stop: Some("99".parse().unwrap()),
        trail: Some(dec("1.50")),
        time_in_force: Some(TimeInForce::Gtc),
        client_order_id: Some("bot-2".parse().unwrap()),
    };
    let wanted = json!({"qty": "5", "time_in_force": "gtc", "limit_price": "101.5", "stop_price": "99", "trail": "1.5", "client_order_id": "bot-2"});
    assert_eq!(serde_json::from_str::<Value>(&write_modification(&all)).unwrap(), wanted);
}

#[test]
fn trailing_orders_and_intents_are_read() {
    let text = with(
        json!({"type": "trailing_stop", "limit_price": null, "stop_price": "148.5", "trail_percent": "1", "hwm": "150", "position_intent": "sell_to_close", "side": "sell", "commission": "1.25"}),
    );
    let order = read_order(&text).unwrap();
    assert_eq!(order.request.kind, OrderType::TrailingStop { trail: Trail::Percent("1".parse().unwrap()) });
    assert_eq!((order.trailing_stop, order.high_water, order.intent), (Some(dec("148.5")), Some(dec("150")), Some(PositionIntent::SellToClose)));
    assert_eq!(order.fees, dec("1.25"));
}
