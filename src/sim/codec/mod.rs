//! How market messages and control messages are written on the wire, in JSON and in MessagePack.
//!
//! Pure. The fields of each message stand here once; a codec only knows how to write a field.

mod json;
mod msgpack;

use std::sync::Arc;

use serde_json::Value;

use super::message::{Family, SimBody, SimMessage};
use crate::config::Codec;
use crate::model::{BarKind, Digits, Fact, Timestamp};

pub(super) use msgpack::decode as decode_msgpack;

const VENUE: &str = "V";
const TAPE: &str = "C";

/// One object being written. `T` goes first: some clients insist.
trait ObjectWriter {
    fn text(&mut self, key: &str, value: &str);
    fn texts(&mut self, key: &str, value: &[&str]);
    fn integer(&mut self, key: &str, value: i64);
    /// A number that may have a fraction.
    fn number(&mut self, key: &str, value: &Digits);
    /// A number that is whole wherever it can be.
    fn size(&mut self, key: &str, value: &Digits);
    fn time(&mut self, key: &str, value: Timestamp);
}

/// Appends one market message as an element of a frame.
pub(super) fn write_message(codec: Codec, message: &SimMessage, out: &mut Vec<u8>) {
    match codec {
        Codec::Json => {
            let mut object = json::Object::begin(out);
            write_fields(message, &mut object);
            object.finish();
        }
        Codec::MsgPack => {
            let mut object = msgpack::Object::begin(out);
            write_fields(message, &mut object);
            object.finish();
        }
    }
}

/// A frame of elements that [`write_message`] wrote.
pub(super) fn frame<'a>(codec: Codec, elements: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    match codec {
        Codec::Json => json::frame(elements),
        Codec::MsgPack => msgpack::frame(elements),
    }
}

/// The acknowledgement of a subscription, whole.
pub(super) fn write_lists<'a>(codec: Codec, lists: impl Iterator<Item = (&'static str, &'a [Arc<str>])>) -> Vec<u8> {
    fn fields<'a>(lists: impl Iterator<Item = (&'static str, &'a [Arc<str>])>, object: &mut impl ObjectWriter) {
        object.text("T", "subscription");
        for (key, names) in lists {
            object.texts(key, &names.iter().map(|name| &**name).collect::<Vec<_>>());
        }
    }
    let mut out = Vec::new();
    match codec {
        Codec::Json => {
            let mut object = json::Object::begin(&mut out);
            fields(lists, &mut object);
            object.finish();
        }
        Codec::MsgPack => {
            let mut object = msgpack::Object::begin(&mut out);
            fields(lists, &mut object);
            object.finish();
        }
    }
    frame(codec, std::iter::once(out.as_slice()))
}

/// Any other message, whole.
pub(super) fn write_value(codec: Codec, value: &Value) -> Vec<u8> {
    match codec {
        Codec::Json => value.to_string().into_bytes(),
        Codec::MsgPack => msgpack::encode(value),
    }
}

fn write_fields(message: &SimMessage, object: &mut impl ObjectWriter) {
    let symbol = &*message.symbol;
    let pair = Family::of(symbol) == Family::Crypto;
    match &message.body {
        SimBody::Trade { id, price, size } => {
            object.text("T", "t");
            object.text("S", symbol);
            object.integer("i", *id);
            object.number("p", price.digits());
            if pair {
                object.number("s", size.digits());
                object.text("tks", if id % 2 == 0 { "B" } else { "S" });
            } else {
                object.text("x", VENUE);
                object.size("s", size.digits());
                object.texts("c", &["@"]);
                object.text("z", TAPE);
            }
        }
        SimBody::Quote(quote) if pair => {
            object.text("T", "q");
            object.text("S", symbol);
            object.number("bp", quote.bid.digits());
            object.number("bs", quote.bid_size.digits());
            object.number("ap", quote.ask.digits());
            object.number("as", quote.ask_size.digits());
        }
        SimBody::Quote(quote) => {
            object.text("T", "q");
            object.text("S", symbol);
            object.text("bx", VENUE);
            object.number("bp", quote.bid.digits());
            object.size("bs", quote.bid_size.digits());
            object.text("ax", VENUE);
            object.number("ap", quote.ask.digits());
            object.size("as", quote.ask_size.digits());
            object.texts("c", &["R"]);
            object.text("z", TAPE);
        }
        SimBody::Fact(fact) => write_fact(fact, symbol, pair, object),
    }
    object.time("t", message.at);
}

fn write_fact(fact: &Fact, symbol: &str, pair: bool, object: &mut impl ObjectWriter) {
    let kind = match fact {
        Fact::Bar(bar) => match bar.kind {
            BarKind::Minute => "b",
            BarKind::UpdatedMinute => "u",
            BarKind::Day => "d",
        },
        Fact::Status(_) => "s",
        Fact::Luld(_) => "l",
        Fact::Correction(_) => "c",
        Fact::Cancel(_) => "x",
    };
    object.text("T", kind);
    object.text("S", symbol);
    match fact {
        Fact::Bar(bar) => {
            object.number("o", &bar.open);
            object.number("h", &bar.high);
            object.number("l", &bar.low);
            object.number("c", &bar.close);
            if pair {
                object.number("v", bar.volume.digits());
            } else {
                object.size("v", bar.volume.digits());
            }
            if let Some(vwap) = &bar.vwap {
                object.number("vw", vwap);
            }
            if let Some(count) = bar.trade_count {
                object.size("n", &Digits::from_u64(count));
            }
        }
        Fact::Status(status) => {
            object.text("sc", &status.code);
            object.text("sm", &status.message);
            object.text("rc", &status.reason_code);
            object.text("rm", &status.reason);
            object.text("z", &status.tape);
        }
        Fact::Luld(luld) => {
            object.number("u", &luld.limit_up);
            object.number("d", &luld.limit_down);
            object.text("i", &luld.indicator);
            object.text("z", &luld.tape);
        }
        Fact::Correction(correction) => {
            object.text("x", &correction.exchange);
            object.integer("oi", correction.original_id);
            object.number("op", &correction.original_price);
            object.size("os", correction.original_size.digits());
            object.texts("oc", &["@"]);
            object.integer("ci", correction.corrected_id);
            object.number("cp", &correction.corrected_price);
            object.size("cs", correction.corrected_size.digits());
            object.texts("cc", &["@"]);
            object.text("z", &correction.tape);
        }
        Fact::Cancel(cancel) => {
            object.integer("i", cancel.id);
            object.text("x", &cancel.exchange);
            object.number("p", &cancel.price);
            object.size("s", cancel.size.digits());
            object.text("a", &cancel.action);
            object.text("z", &cancel.tape);
        }
    }
}

#[cfg(test)]
mod tests;
