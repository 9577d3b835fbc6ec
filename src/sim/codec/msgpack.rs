//! MessagePack: timestamps as extension −1, sizes as unsigned integers, prices as floats.

use rmp::encode;
use serde_json::{Map, Value};

use super::ObjectWriter;
use crate::model::{Digits, Timestamp};

/// Deeper than any request of a client.
const MAX_DEPTH: u8 = 16;
/// The extension type of timestamps in the MessagePack specification.
const TIMESTAMP: u8 = 0xff;
const FIXMAP: u8 = 0x80;

/// At most fifteen fields, so that the count fits the header byte reserved for it.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    header: usize,
    fields: u8,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Object<'a> {
        let header = out.len();
        out.push(FIXMAP);
        Object { out, header, fields: 0 }
    }

    pub(super) fn finish(self) {
        self.out[self.header] = FIXMAP | (self.fields & 0x0f);
    }

    fn key(&mut self, key: &str) {
        self.fields += 1;
        write_text(key, self.out);
    }
}

// Writing to a `Vec` cannot fail, so the results below carry nothing.
impl ObjectWriter for Object<'_> {
    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_text(value, self.out);
    }

    fn texts(&mut self, key: &str, value: &[&str]) {
        self.key(key);
        let _ = encode::write_array_len(self.out, length(value.len()));
        value.iter().for_each(|text| write_text(text, self.out));
    }

    fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        let _ = encode::write_sint(self.out, value);
    }

    fn number(&mut self, key: &str, value: &Digits) {
        self.key(key);
        write_float(value, self.out);
    }

    fn size(&mut self, key: &str, value: &Digits) {
        self.key(key);
        match value.as_str().parse::<u64>() {
            Ok(whole) => {
                let _ = encode::write_uint(self.out, whole);
            }
            Err(_) => write_float(value, self.out),
        }
    }

    fn time(&mut self, key: &str, value: Timestamp) {
        self.key(key);
        let (seconds, nanos) = (value.seconds() as u64, value.nanos().rem_euclid(1_000_000_000) as u64);
        self.out.extend_from_slice(&[0xd7, TIMESTAMP]);
        self.out.extend_from_slice(&(nanos << 34 | seconds).to_be_bytes());
    }
}

fn write_float(value: &Digits, out: &mut Vec<u8>) {
    let _ = encode::write_f64(out, value.as_str().parse().unwrap_or_default());
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    let _ = encode::write_str(out, text);
}

fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn frame<'a>(elements: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let _ = encode::write_array_len(&mut out, length(elements.len()));
    elements.for_each(|element| out.extend_from_slice(element));
    out
}

/// A JSON document as MessagePack; its times stay texts.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    let _ = match value {
        Value::Null => encode::write_nil(out),
        Value::Bool(flag) => encode::write_bool(out, *flag),
        Value::Number(number) => {
            match (number.as_u64(), number.as_i64()) {
                (Some(whole), _) => drop(encode::write_uint(out, whole)),
                (None, Some(negative)) => drop(encode::write_sint(out, negative)),
                (None, None) => drop(encode::write_f64(out, number.as_f64().unwrap_or_default())),
            }
            Ok(())
        }
        Value::String(text) => {
            write_text(text, out);
            Ok(())
        }
        Value::Array(items) => {
            let _ = encode::write_array_len(out, length(items.len()));
            items.iter().for_each(|item| write_value(item, out));
            Ok(())
        }
        Value::Object(fields) => {
            let _ = encode::write_map_len(out, length(fields.len()));
            for (key, value) in fields {
                write_text(key, out);
                write_value(value, out);
            }
            Ok(())
        }
    };
}

/// A client's message as a JSON document; `None` when it is no single well-formed value, or holds binary or extensions.
pub(in crate::sim) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut cursor = Cursor { rest: bytes };
    let value = cursor.value(MAX_DEPTH)?;
    cursor.rest.is_empty().then_some(value)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn unsigned(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn length(&mut self, width: usize) -> Option<usize> {
        usize::try_from(self.unsigned(width)?).ok()
    }

    fn value(&mut self, depth: u8) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let marker = self.take(1)?[0];
        match marker {
            0x00..=0x7f => Some(marker.into()),
            0xe0..=0xff => Some((marker as i8).into()),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f), depth),
            0x90..=0x9f => self.array(usize::from(marker & 0x0f), depth),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f)),
            0xc0 => Some(Value::Null),
            0xc2 => Some(false.into()),
            0xc3 => Some(true.into()),
            0xca => self.unsigned(4).map(|bits| f32::from_bits(bits as u32).into()),
            0xcb => self.unsigned(8).map(|bits| f64::from_bits(bits).into()),
            0xcc..=0xcf => self.unsigned(1 << (marker - 0xcc)).map(Value::from),
            0xd0 => self.unsigned(1).map(|bits| (bits as i8).into()),
            0xd1 => self.unsigned(2).map(|bits| (bits as i16).into()),
            0xd2 => self.unsigned(4).map(|bits| (bits as i32).into()),
            0xd3 => self.unsigned(8).map(|bits| (bits as i64).into()),
            0xd9..=0xdb => self.length(1 << (marker - 0xd9)).and_then(|count| self.text(count)),
            0xdc => self.length(2).and_then(|count| self.array(count, depth)),
            0xdd => self.length(4).and_then(|count| self.array(count, depth)),
            0xde => self.length(2).and_then(|count| self.map(count, depth)),
            0xdf => self.length(4).and_then(|count| self.map(count, depth)),
            _ => None,
        }
    }

    fn text(&mut self, count: usize) -> Option<Value> {
        Some(std::str::from_utf8(self.take(count)?).ok()?.into())
    }

    /// Grows with what is there, never with what the header claims.
    fn array(&mut self, count: usize, depth: u8) -> Option<Value> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(depth)?);
        }
        Some(Value::Array(items))
    }

    fn map(&mut self, count: usize, depth: u8) -> Option<Value> {
        let mut fields = Map::new();
        for _ in 0..count {
            let Value::String(key) = self.value(depth)? else { return None };
            fields.insert(key, self.value(depth)?);
        }
        Some(Value::Object(fields))
    }
}
