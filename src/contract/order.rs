//! Order updates as bots see them: the entry of the stream, which is the copy for `TICKER_UPDATES_{symbol}` too, and
//! the short copy for `order:{account_id}`.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::events::OrderEvent;
use crate::model::{Digits, Timestamp};

/// The two forms of one order update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderCopies {
    /// For the stream and for `TICKER_UPDATES_{symbol}`.
    pub ticker: String,
    /// For `order:{account_id}`.
    pub typed: String,
}

#[derive(Serialize)]
struct TickerOrder<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    order_data: &'a RawValue,
    event: &'a str,
    execution_id: Option<&'a str>,
    price: Option<Number<'a>>,
    qty: Option<Number<'a>>,
    position_qty: Option<Number<'a>>,
    account_id: &'a str,
    timestamp: Option<&'a str>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bot: Option<&'a str>,
    origin: &'static str,
    #[serde(skip_serializing_if = "is_not")]
    answer: bool,
    #[serde(skip_serializing_if = "is_not")]
    reconciled: bool,
    #[serde(skip_serializing_if = "is_not")]
    estimated: bool,
    #[serde(skip_serializing_if = "is_not")]
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim: Option<bool>,
    #[serde(flatten)]
    extra: Extra<'a>,
}

/// What we know of an update beside what the venue said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderMarks<'a> {
    /// How we came to know of it: `stream`, `replay`, `report` or `desk`.
    pub source: &'a str,
    /// Whose order it is.
    pub bot: Option<&'a str>,
    /// Placed through the desk, or by the venue on behalf of such an order; else somewhere else.
    pub ours: bool,
    /// The answer to the command that placed the order.
    pub answer: bool,
    /// Found by comparing what we knew with what the venue holds.
    pub reconciled: bool,
    /// Reckoned from what is filled in all, for want of the venue's own account of it.
    pub estimated: bool,
    /// Told after something newer: the order is not where this says.
    pub late: bool,
    pub sim: bool,
}

fn is_not(flag: &bool) -> bool {
    !flag
}

/// Fields of ours; the venue's further fields never overwrite them.
const OWN_FIELDS: [&str; 18] = [
    "type",
    "order_data",
    "event",
    "execution_id",
    "price",
    "qty",
    "position_qty",
    "account_id",
    "timestamp",
    "stream_id",
    "sim",
    "source",
    "bot",
    "origin",
    "answer",
    "reconciled",
    "estimated",
    "late",
];

struct Extra<'a>(&'a [(String, Box<str>)]);

impl Serialize for Extra<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.iter().filter(|(name, _)| !OWN_FIELDS.contains(&name.as_str()));
        serializer.collect_map(fields.filter_map(|(name, json)| serde_json::from_str::<&RawValue>(json).ok().map(|value| (name, value))))
    }
}

/// Decimals are texts in the ticker copy, as the venue writes them.
#[derive(Serialize)]
#[serde(transparent)]
struct Number<'a>(&'a str);

#[derive(Serialize)]
struct TypedOrder<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    order_id: &'a str,
    status: &'a str,
    /// Old bots expect JSON numbers here.
    filled_qty: Option<&'a RawValue>,
    filled_avg_price: Option<&'a RawValue>,
    side: Option<&'a str>,
    timestamp: i64,
    symbol: &'a str,
    client_order_id: Option<&'a str>,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim: Option<bool>,
}

/// Writes both, the first without the `stream_id` that it gets when it is appended. `received` stands in where the
/// venue gave no readable time.
pub fn encode_order(event: &OrderEvent, account_id: &str, received: Timestamp, marks: OrderMarks<'_>) -> OrderCopies {
    let number = |digits: &'_ Option<Digits>| digits.as_ref().map(|d| d.as_str().to_owned());
    let (price, qty, position_qty) = (number(&event.price), number(&event.qty), number(&event.position_qty));
    let null = || RawValue::from_string("null".to_owned()).unwrap_or_default();
    let order_data: Box<RawValue> = RawValue::from_string(event.order_json.to_string()).unwrap_or_else(|_| null());
    let ticker = TickerOrder {
        kind: "order",
        order_data: &order_data,
        event: &event.event,
        execution_id: event.execution_id.as_deref(),
        price: price.as_deref().map(Number),
        qty: qty.as_deref().map(Number),
        position_qty: position_qty.as_deref().map(Number),
        account_id,
        timestamp: event.timestamp.as_deref(),
        source: marks.source,
        bot: marks.bot,
        origin: if marks.ours { "desk" } else { "external" },
        answer: marks.answer,
        reconciled: marks.reconciled,
        estimated: marks.estimated,
        late: marks.late,
        sim: marks.sim.then_some(true),
        extra: Extra(&event.extra),
    };
    let at = event.timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok()).unwrap_or(received);
    let json_number = |digits: &Option<Digits>| digits.as_ref().and_then(|d| RawValue::from_string(d.as_str().to_owned()).ok());
    let (filled_qty, filled_avg_price) = (json_number(&event.order.filled_qty), json_number(&event.order.filled_avg_price));
    let typed = TypedOrder {
        kind: "order_update",
        order_id: &event.order.id,
        status: &event.order.status,
        filled_qty: filled_qty.as_deref(),
        filled_avg_price: filled_avg_price.as_deref(),
        side: event.order.side.as_deref(),
        timestamp: at.seconds(),
        symbol: &event.order.symbol,
        client_order_id: event.order.client_order_id.as_deref(),
        event: &event.event,
        sim: marks.sim.then_some(true),
    };
    OrderCopies { ticker: serde_json::to_string(&ticker).unwrap_or_default(), typed: serde_json::to_string(&typed).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::OrderSummary;

    #[test]
    fn the_copies_carry_the_order_as_it_came_and_numbers_as_old_bots_expect() {
        let event = OrderEvent {
            account: "paper".into(),
            event: "fill".into(),
            execution_id: Some("e1".into()),
            price: Some(Digits::parse("105.8988475").unwrap()),
            qty: Some(Digits::parse("1790.86").unwrap()),
            position_qty: Some(Digits::parse("0").unwrap()),
            timestamp: Some("2022-04-19T17:45:05.024916716Z".into()),
            order: OrderSummary {
                id: "o1".into(),
                client_order_id: Some("b1-1".into()),
                symbol: "AAPL".into(),
                status: "filled".into(),
                side: Some("buy".into()),
                filled_qty: Some(Digits::parse("10").unwrap()),
                filled_avg_price: Some(Digits::parse("150.25").unwrap()),
            },
            order_json: r#"{"id":"o1","new_field":[1]}"#.into(),
            extra: vec![("reason".into(), r#""X""#.into()), ("type".into(), r#""forged""#.into())],
        };
        let copies =
            encode_order(&event, "acc", Timestamp::from_nanos(0), OrderMarks { source: "stream", bot: Some("b1"), ours: true, ..OrderMarks::default() });
        assert_eq!(
            copies.ticker,
            concat!(
                r#"{"type":"order","order_data":{"id":"o1","new_field":[1]},"event":"fill","execution_id":"e1","price":"105.8988475","qty":"1790.86","#,
                r#""position_qty":"0","account_id":"acc","timestamp":"2022-04-19T17:45:05.024916716Z","source":"stream","bot":"b1","origin":"desk","reason":"X"}"#
            )
        );
        assert_eq!(
            copies.typed,
            concat!(
                r#"{"type":"order_update","order_id":"o1","status":"filled","filled_qty":10,"filled_avg_price":150.25,"side":"buy","timestamp":1650390305,"#,
                r#""symbol":"AAPL","client_order_id":"b1-1","event":"fill"}"#
            )
        );
    }
}
