//! One order update, read so that nothing of it is lost: what the hub needs is picked out, the rest is kept as text.
//!
//! Must not know sessions or what an event does to an order.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::events::{OrderEvent, OrderSummary};
use crate::model::Digits;

/// Deepest nesting handed on: the readers behind us are recursive.
const MAX_DEPTH: u32 = 64;

/// An object's fields, each as its own JSON text.
pub type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The fields of a JSON object; `None` for anything else, and for an object with a name twice: readers would disagree
/// on what it says.
pub fn fields(json: &str) -> Option<Fields<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let fields = deserializer.deserialize_map(ObjectVisitor).ok()?;
    deserializer.end().ok()?;
    Some(fields)
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            if fields.insert(name, value).is_some() {
                return Err(A::Error::custom("a field twice"));
            }
        }
        Ok(fields)
    }
}

/// Nested so deeply that a recursive reader might fail on it. An estimate from above: brackets in texts count as well.
pub fn too_deep(json: &str) -> bool {
    let mut depth = 0u32;
    json.bytes().any(|byte| {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

/// A text, or whatever else stands there as its JSON text; `None` for null.
pub fn loose_text(raw: &RawValue) -> Option<String> {
    match raw.get() {
        "null" => None,
        quoted if quoted.starts_with('"') => serde_json::from_str(quoted).ok(),
        other => Some(other.to_owned()),
    }
}

/// A number, written as a number or as a text; `None` for all else.
fn loose_digits(raw: &RawValue) -> Option<Digits> {
    let json = raw.get();
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
    Digits::parse(inner).ok()
}

fn text(fields: &mut Fields<'_>, key: &str) -> Option<String> {
    fields.remove(key).and_then(loose_text)
}

fn digits(fields: &mut Fields<'_>, key: &str) -> Option<Digits> {
    fields.remove(key).and_then(loose_digits)
}

/// Reads the `data` of an update; the error says what is wrong with it.
pub fn read_update(account: &Arc<str>, json: &str) -> Result<OrderEvent, &'static str> {
    let mut data = fields(json).ok_or("no object, or a field twice")?;
    let event = text(&mut data, "event").ok_or("no event")?;
    let order = data.remove("order").ok_or("no order")?;
    Ok(OrderEvent {
        account: Arc::clone(account),
        event,
        execution_id: text(&mut data, "execution_id"),
        price: digits(&mut data, "price"),
        qty: digits(&mut data, "qty"),
        position_qty: digits(&mut data, "position_qty"),
        timestamp: text(&mut data, "timestamp"),
        order: summary(order.get())?,
        order_json: order.get().into(),
        extra: data.into_iter().map(|(name, raw)| (name.into_owned(), raw.get().into())).collect(),
    })
}

fn summary(json: &str) -> Result<OrderSummary, &'static str> {
    let mut order = fields(json).ok_or("an order that is no object, or has a field twice")?;
    Ok(OrderSummary {
        id: text(&mut order, "id").unwrap_or_default(),
        client_order_id: text(&mut order, "client_order_id"),
        symbol: text(&mut order, "symbol").unwrap_or_default(),
        status: text(&mut order, "status").unwrap_or_default(),
        side: text(&mut order, "side"),
        filled_qty: digits(&mut order, "filled_qty"),
        filled_avg_price: digits(&mut order, "filled_avg_price"),
    })
}
