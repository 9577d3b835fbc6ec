//! One line of a recording. Numbers keep the digits that were recorded.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::model::{Amount, Bar, BarKind, Correction, Digits, Fact, Luld, Price, Quote, Status, Symbol, Timestamp, TradeCancel};
use crate::sim::message::{SimBody, SimMessage};

const SECOND: i64 = 1_000_000_000;

/// The market messages of a frame, and when it was sent; without a time it follows the frame before it.
pub(super) struct Line {
    pub at: Option<Timestamp>,
    pub messages: Vec<SimMessage>,
}

type Fields<'a> = HashMap<&'a str, &'a RawValue>;

/// An empty line and one that begins with `#` have no messages.
pub(super) fn parse(text: &str) -> Result<Line, String> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(Line { at: None, messages: Vec::new() });
    }
    let start = text.find('[').ok_or("no frame, which is a JSON array")?;
    let (prefix, frame) = text.split_at(start);
    let received = match prefix.trim() {
        "" => None,
        time => Some(time.parse::<Timestamp>().map_err(|error| format!("the time before the frame: {error}"))?),
    };
    let elements: Vec<Fields<'_>> = serde_json::from_str(frame).map_err(|error| format!("no frame: {error}"))?;
    let read = elements.iter().map(|fields| message(fields)).collect::<Result<Vec<_>, _>>()?;
    let messages: Vec<SimMessage> = read.into_iter().flatten().collect();
    let at = received.or_else(|| messages.iter().filter_map(sent_at).max());
    Ok(Line { at, messages })
}

/// When a message was sent, as far as it tells: a bar comes when its minute is over, that of a day at any time.
fn sent_at(message: &SimMessage) -> Option<Timestamp> {
    let after = match &message.body {
        SimBody::Fact(Fact::Bar(bar)) => match bar.kind {
            BarKind::Minute => 60 * SECOND,
            BarKind::UpdatedMinute => 90 * SECOND,
            BarKind::Day => return None,
        },
        _ => 0,
    };
    Some(Timestamp::from_nanos(message.at.nanos().saturating_add(after)))
}

/// `None` for a message that is not about the market, or of a kind that is not played.
fn message(fields: &Fields<'_>) -> Result<Option<SimMessage>, String> {
    let kind: String = value(fields, "T")?;
    let body = match kind.as_str() {
        "t" => SimBody::Trade { id: optional(fields, "i")?.unwrap_or_default(), price: price(fields, "p")?, size: amount(fields, "s")? },
        "q" => {
            SimBody::Quote(Quote { bid: amount(fields, "bp")?, bid_size: amount(fields, "bs")?, ask: amount(fields, "ap")?, ask_size: amount(fields, "as")? })
        }
        "b" => SimBody::Fact(Fact::Bar(bar(fields, BarKind::Minute)?)),
        "u" => SimBody::Fact(Fact::Bar(bar(fields, BarKind::UpdatedMinute)?)),
        "d" => SimBody::Fact(Fact::Bar(bar(fields, BarKind::Day)?)),
        "s" => SimBody::Fact(Fact::Status(Status {
            code: value(fields, "sc")?,
            message: text(fields, "sm")?,
            reason_code: text(fields, "rc")?,
            reason: text(fields, "rm")?,
            tape: text(fields, "z")?,
        })),
        "l" => SimBody::Fact(Fact::Luld(Luld {
            limit_up: digits(fields, "u")?,
            limit_down: digits(fields, "d")?,
            indicator: text(fields, "i")?,
            tape: text(fields, "z")?,
        })),
        "c" => SimBody::Fact(Fact::Correction(Correction {
            original_id: value(fields, "oi")?,
            original_price: digits(fields, "op")?,
            original_size: amount(fields, "os")?,
            corrected_id: value(fields, "ci")?,
            corrected_price: digits(fields, "cp")?,
            corrected_size: amount(fields, "cs")?,
            exchange: text(fields, "x")?,
            tape: text(fields, "z")?,
        })),
        "x" => SimBody::Fact(Fact::Cancel(TradeCancel {
            id: value(fields, "i")?,
            price: digits(fields, "p")?,
            size: amount(fields, "s")?,
            action: text(fields, "a")?,
            exchange: text(fields, "x")?,
            tape: text(fields, "z")?,
        })),
        _ => return Ok(None),
    };
    let symbol: Symbol = value::<String>(fields, "S")?.parse().map_err(|error| format!("field S: {error}"))?;
    let at = value::<String>(fields, "t")?.parse().map_err(|error| format!("field t: {error}"))?;
    Ok(Some(SimMessage { symbol: symbol.as_str().into(), at, body }))
}

fn bar(fields: &Fields<'_>, kind: BarKind) -> Result<Bar, String> {
    Ok(Bar {
        kind,
        open: digits(fields, "o")?,
        high: digits(fields, "h")?,
        low: digits(fields, "l")?,
        close: digits(fields, "c")?,
        volume: amount(fields, "v")?,
        vwap: if fields.contains_key("vw") { Some(digits(fields, "vw")?) } else { None },
        trade_count: optional(fields, "n")?,
    })
}

fn raw<'a>(fields: &Fields<'a>, name: &str) -> Result<&'a str, String> {
    fields.get(name).map(|raw| raw.get()).ok_or_else(|| format!("a message without its field {name}"))
}

fn value<T: DeserializeOwned>(fields: &Fields<'_>, name: &str) -> Result<T, String> {
    serde_json::from_str(raw(fields, name)?).map_err(|_| format!("field {name} is of another kind"))
}

fn optional<T: DeserializeOwned>(fields: &Fields<'_>, name: &str) -> Result<Option<T>, String> {
    if fields.contains_key(name) { value(fields, name).map(Some) } else { Ok(None) }
}

/// A text that may be missing.
fn text(fields: &Fields<'_>, name: &str) -> Result<String, String> {
    optional(fields, name).map(Option::unwrap_or_default)
}

fn digits(fields: &Fields<'_>, name: &str) -> Result<Digits, String> {
    Digits::parse(raw(fields, name)?).map_err(|error| format!("field {name}: {error}"))
}

fn price(fields: &Fields<'_>, name: &str) -> Result<Price, String> {
    Price::new(digits(fields, name)?).map_err(|error| format!("field {name}: {error}"))
}

fn amount(fields: &Fields<'_>, name: &str) -> Result<Amount, String> {
    Amount::new(digits(fields, name)?).map_err(|error| format!("field {name}: {error}"))
}
