use super::*;
use crate::events::{AccountRef, Source};
use crate::model::{Fill, OrderRequest, OrderStatus, OrderTimes, PositionIntent, Side, StopLoss, TakeProfit, TimeInForce};

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(1_790_000_000_000_000_000 + nanos)
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn order(id: &str, kind: OrderType) -> Order {
    Order {
        id: id.parse().unwrap(),
        request: OrderRequest {
            client_order_id: "bot-1".parse().unwrap(),
            symbol: "AAPL".parse().unwrap(),
            side: Side::Buy,
            size: Size::Quantity("2.50".parse().unwrap()),
            kind,
            time_in_force: TimeInForce::Gtc,
            extended_hours: false,
            class: OrderClass::Simple,
        },
        status: OrderStatus::New,
        filled: Decimal::ZERO,
        filled_value: Decimal::ZERO,
        fees: Decimal::ZERO,
        intent: Some(PositionIntent::BuyToOpen),
        trailing_stop: None,
        high_water: None,
        parent: None,
        legs: Vec::new(),
        replaces: None,
        replaced_by: None,
        text: None,
        times: OrderTimes { created: at(1), submitted: at(2), updated: at(3), ..OrderTimes::default() },
    }
}

fn limit() -> OrderType {
    OrderType::Limit { limit: "150.10".parse().unwrap() }
}

const SETTING: OrderSetting<'static> = OrderSetting { asset_id: "a-1", asset_class: "us_equity", class_of_parent: None, legs: &[] };

const GOLDEN: &str = concat!(
    r#"{"id":"o-1","client_order_id":"bot-1","created_at":"2026-09-21T14:13:20.000000001Z","updated_at":"2026-09-21T14:13:20.000000003Z","#,
    r#""submitted_at":"2026-09-21T14:13:20.000000002Z","filled_at":null,"expired_at":null,"expires_at":null,"cancel_requested_at":null,"#,
    r#""canceled_at":null,"failed_at":null,"replaced_at":null,"replaced_by":null,"replaces":null,"asset_id":"a-1","symbol":"AAPL","#,
    r#""asset_class":"us_equity","notional":null,"qty":"2.5","filled_qty":"0","filled_avg_price":null,"order_class":"","order_type":"limit","#,
    r#""type":"limit","side":"buy","position_intent":"buy_to_open","time_in_force":"gtc","limit_price":"150.1","stop_price":null,"status":"new","#,
    r#""extended_hours":false,"legs":null,"trail_percent":null,"trail_price":null,"hwm":null,"ratio_qty":null,"subtag":null,"source":null}"#
);

#[test]
fn a_limit_order_as_the_venue_writes_it() {
    assert_eq!(write_order(&order("o-1", limit()), SETTING), GOLDEN);
}

/// The fields of `text` as they stand, keyed by name.
fn fields(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_trailing_order_shows_its_moving_stop_and_a_money_order_no_quantity() {
    let mut trailing = order("o-1", OrderType::TrailingStop { trail: Trail::Percent("1.50".parse().unwrap()) });
    (trailing.trailing_stop, trailing.high_water) = (Some(dec("98.50")), Some(dec("100")));
    let view = fields(&write_order(&trailing, SETTING));
    assert_eq!((&view["stop_price"], &view["hwm"], &view["trail_percent"]), (&"98.5".into(), &"100".into(), &"1.5".into()));
    assert!(view["trail_price"].is_null() && view["type"] == "trailing_stop");
    let mut money = order("o-2", OrderType::Market);
    money.request.size = Size::Notional("50".parse().unwrap());
    (money.filled, money.filled_value) = (dec("3"), dec("10"));
    let view = fields(&write_order(&money, SETTING));
    assert_eq!((&view["notional"], &view["filled_avg_price"]), (&"50".into(), &"3.333333333".into()));
    assert!(view["qty"].is_null());
}

#[test]
fn legs_are_nested_and_bear_their_parents_class() {
    let (profit, loss) = (TakeProfit { limit: "160".parse().unwrap() }, StopLoss { stop: "140".parse().unwrap(), limit: None });
    let mut parent = order("o-1", OrderType::Market);
    parent.request.class = OrderClass::Bracket { profit, loss };
    let mut leg = order("o-2", OrderType::Stop { stop: loss.stop });
    (leg.status, leg.parent) = (OrderStatus::Held, Some(parent.id.clone()));
    let legs = [Arc::new(leg)];
    let view = fields(&write_order(&parent, OrderSetting { legs: &legs, ..SETTING }));
    let nested = &view["legs"][0];
    assert_eq!((&view["order_class"], &nested["order_class"], &nested["status"]), (&"bracket".into(), &"bracket".into(), &"held".into()));
    assert_eq!((&nested["stop_price"], nested.as_object().unwrap().len()), (&"140".into(), 38));
    assert!(nested["legs"].is_null());
    let alone = fields(&write_order(&legs[0], OrderSetting { class_of_parent: Some(parent.request.class), ..SETTING }));
    assert_eq!(&alone, nested);
}

fn update(change: OrderChange) -> OrderUpdate {
    OrderUpdate {
        of: AccountRef { broker: "paper".parse().unwrap(), account: "one".parse().unwrap() },
        change,
        order: Arc::new(order("o-1", limit())),
        execution_id: Some("e-1".parse().unwrap()),
        fill: None,
        reason: None,
        at: at(9),
        source: Source::Stream,
        words: None,
    }
}

#[test]
fn an_update_as_the_stream_sends_it() {
    let quiet = write_trade_update(&update(OrderChange::PendingNew), SETTING);
    assert_eq!(quiet, format!(r#"{{"event":"pending_new","execution_id":null,"order":{GOLDEN},"timestamp":"2026-09-21T14:13:20.000000009Z"}}"#));
    let mut filled = update(OrderChange::PartialFill);
    filled.fill = Some(Fill {
        execution_id: "e-1".parse().unwrap(),
        order_id: "o-1".parse().unwrap(),
        client_order_id: "bot-1".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Buy,
        price: dec("150.00"),
        quantity: dec("1"),
        fees: Decimal::ZERO,
        position: dec("-3.0"),
        at: at(9),
    });
    let expected = format!(
        r#"{{"event":"partial_fill","execution_id":"e-1","order":{GOLDEN},"position_qty":"-3","price":"150","qty":"1","timestamp":"2026-09-21T14:13:20.000000009Z"}}"#
    );
    assert_eq!(write_trade_update(&filled, SETTING), expected);
    let refused = OrderUpdate { reason: Some("halted".to_owned()), ..update(OrderChange::Rejected) };
    assert_eq!(fields(&write_trade_update(&refused, SETTING))["reason"], "halted");
}
