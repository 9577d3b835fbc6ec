//! What clients of the feed ask and how they are answered, in JSON and in MessagePack.

use rmp::decode::{ValueReadError, read_array_len, read_map_len, read_str_from_slice};
use serde::Deserialize;
use serde_json::Value;
use tungstenite::Message;

use crate::frames::Codec;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Request {
    pub action: String,
    pub trades: Vec<String>,
    pub quotes: Vec<String>,
}

pub fn decode(message: &Message) -> Option<Request> {
    match message {
        Message::Text(text) => serde_json::from_str(text).ok(),
        Message::Binary(bytes) => unpack(bytes),
        _ => None,
    }
}

/// A map of texts and lists of texts.
fn unpack(bytes: &[u8]) -> Option<Request> {
    let mut rest = bytes;
    let mut request = Request::default();
    for _ in 0..read_map_len(&mut rest).ok()? {
        let key = text(&mut rest)?;
        let mut ahead = rest;
        let mut list = Vec::new();
        match read_array_len(&mut ahead) {
            Ok(length) => {
                rest = ahead;
                for _ in 0..length {
                    list.push(text(&mut rest)?.to_owned());
                }
            }
            Err(ValueReadError::TypeMismatch(_)) => list.push(text(&mut rest)?.to_owned()),
            Err(_) => return None,
        }
        match key {
            "action" => request.action = list.pop()?,
            "trades" => request.trades = list,
            "quotes" => request.quotes = list,
            _ => {}
        }
    }
    Some(request)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let whole: &'a [u8] = bytes;
    let (text, rest) = read_str_from_slice(whole).ok()?;
    *bytes = rest;
    Some(text)
}

pub fn encode(codec: Codec, value: &Value) -> Message {
    match codec {
        Codec::Json => Message::text(value.to_string()),
        Codec::MsgPack => {
            let mut out = Vec::new();
            pack(&mut out, value);
            Message::binary(out)
        }
    }
}

/// Answers hold texts, lists and maps.
fn pack(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => rmp::encode::write_str(out, text).unwrap(),
        Value::Array(items) => {
            rmp::encode::write_array_len(out, items.len() as u32).unwrap();
            items.iter().for_each(|item| pack(out, item));
        }
        Value::Object(fields) => {
            rmp::encode::write_map_len(out, fields.len() as u32).unwrap();
            for (key, value) in fields {
                rmp::encode::write_str(out, key).unwrap();
                pack(out, value);
            }
        }
        _ => rmp::encode::write_nil(out).unwrap(),
    }
}
