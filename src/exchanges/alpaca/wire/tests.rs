use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::*;
use crate::config::Codec;
use crate::exchanges::Outgoing;
use crate::model::{Digits, Timestamp};

/// Everything that can be learned of one field.
#[derive(Debug, PartialEq)]
struct Seen {
    key: Key,
    text: Option<String>,
    digits: Option<Digits>,
    time: Option<Timestamp>,
    integer: Option<i64>,
    texts: Option<Vec<String>>,
}

#[derive(Default)]
struct Collect(Vec<Vec<Seen>>);

impl Sink for Collect {
    fn message<'a, F: Field<'a>>(&mut self, record: &Record<F>) {
        let seen = |key| Seen {
            key,
            text: record.text(key).map(|text| text.into_owned()),
            digits: record.digits(key),
            time: record.time(key),
            integer: record.integer(key),
            texts: texts(record, key),
        };
        self.0.push(Key::all().filter(|key| record.has(*key)).map(seen).collect());
    }
}

/// A list as a whole.
fn texts<'a, F: Field<'a>>(record: &Record<F>, key: Key) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    record.each_text(key, &mut |text| texts.push(text.to_owned())).map(|()| texts)
}

type Read = (Vec<Vec<Seen>>, u64);

fn scanned(text: &str, scan: bool) -> Read {
    let mut collect = Collect::default();
    let malformed = json::read_with(text, scan, &mut collect);
    (collect.0, malformed)
}

fn unpacked(bytes: &[u8]) -> Read {
    let mut collect = Collect::default();
    let malformed = msgpack::read(bytes, &mut collect);
    (collect.0, malformed)
}

/// Collects what a visitor reaches before its input breaks off.
struct Elements<'v>(&'v mut Vec<Box<RawValue>>);

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            self.0.push(element);
        }
        Ok(())
    }
}

struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// The same rules on plain serde_json, with owned values and no care for speed.
fn reference(text: &str) -> Read {
    let mut elements = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let whole = deserializer.deserialize_seq(Elements(&mut elements)).and_then(|()| deserializer.end()).is_ok() && !elements.is_empty();
    let mut malformed = u64::from(!whole);
    let mut messages = Vec::new();
    for element in &elements {
        match reference_message(element.get()) {
            Some(message) => messages.push(message),
            None => malformed += 1,
        }
    }
    (messages, malformed)
}

fn reference_message(json: &str) -> Option<Vec<Seen>> {
    let Pairs(pairs) = serde_json::from_str(json).ok()?;
    let known: Vec<(Key, Box<RawValue>)> =
        pairs.into_iter().filter(|(_, raw)| raw.get() != "null").filter_map(|(name, raw)| Some((Key::of(name.as_bytes())?, raw))).collect();
    let mut message = Vec::new();
    for key in Key::all() {
        let mut values = known.iter().filter(|(name, _)| *name == key);
        let Some((_, raw)) = values.next() else { continue };
        if values.next().is_some() {
            return None;
        }
        let text: Option<String> = serde_json::from_str(raw.get()).ok();
        let number = serde_json::from_str::<serde_json::Value>(raw.get()).is_ok_and(|value| value.is_number());
        message.push(Seen {
            key,
            time: text.as_ref().and_then(|text| text.parse().ok()),
            text,
            digits: if number { Digits::parse(raw.get()).ok() } else { None },
            // To serde_json a negative zero is a float; to us it is as good an integer as any.
            integer: if raw.get() == "-0" { Some(0) } else { serde_json::from_str(raw.get()).ok() },
            texts: serde_json::from_str(raw.get()).ok(),
        });
    }
    Some(message)
}

const TRADE: &str = include_str!("../../../../tests/fixtures/alpaca/trade.json");
const CRYPTO: &str = include_str!("../../../../tests/fixtures/alpaca/crypto.json");
const ACK: &str = include_str!("../../../../tests/fixtures/alpaca/subscription.json");
const STATUS: &str = include_str!("../../../../tests/fixtures/alpaca/status.json");

/// JSON values of every kind, the plain ones most often.
fn value() -> impl Strategy<Value = String> {
    let plain = select(vec![
        "1",
        "0",
        "-1",
        "126.55",
        "1e-7",
        "0.000310215",
        "1E+5",
        "52983525033527",
        "99999999999999999999",
        "1e999",
        "1e-400",
        "-0",
        "-0.0",
        "\"\"",
        "\"AAPL\"",
        "\"t\"",
        "\"BTC/USD\"",
        "\"2021-02-22T15:51:44.208Z\"",
        "\"126.55\"",
        "\"ä€🚀\"",
        "[\"@\",\"I\"]",
        "[ ]",
        "[1, \"x\"]",
        "[\"AAPL\" , \"BRK.B\"]",
    ]);
    let odd = select(vec![
        "null",
        "true",
        "false",
        "{}",
        "[[1]]",
        "{\"a\":{\"b\":[null]}}",
        "\"a\\nb\"",
        "\"\\u0041APL\"",
        "\"\\ud800\"",
        "[\"\\u0041\"]",
        "01",
        "1.",
        "-",
        "+1",
        "NaN",
        "Infinity",
        "nul",
        "\"open",
        "[1,]",
        "[",
        "{",
        "\"\u{1}\"",
        "",
    ]);
    // Long enough to be remembered and so often the same that they are met again, whole, cut short or gone on with.
    let long =
        (0..4_usize, select(vec!["]", ",\"X\"]", ",1]", "", "]]"])).prop_map(|(more, end)| format!("[\"A\"{}{end}", ",\"SYMBOL\"".repeat(40 + more / 3)));
    prop_oneof![8 => plain.prop_map(str::to_owned), 1 => long, 1 => odd.prop_map(str::to_owned), 1 => any::<f64>().prop_map(|f| f.to_string()), 1 => ".{0,6}"]
}

fn key() -> impl Strategy<Value = String> {
    let names =
        vec!["T", "S", "t", "p", "s", "c", "bp", "bs", "ap", "as", "o", "h", "l", "v", "vw", "i", "x", "z", "msg", "trades", "tks", "unknown", "\\u0070", ""];
    prop_oneof![20 => select(names).prop_map(str::to_owned), 1 => "[a-z\\\\\"]{0,3}"]
}

fn object() -> impl Strategy<Value = String> {
    (vec((key(), value()), 0..8), select(vec!["", " ", "\n\t", "\r"])).prop_map(|(pairs, space)| {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
        format!("{{{}}}", pairs.join(","))
    })
}

fn frame() -> impl Strategy<Value = String> {
    let element =
        prop_oneof![6 => object(), 1 => value(), 2 => select(vec![TRADE, CRYPTO, STATUS]).prop_map(|text| text.trim()[1..text.trim().len() - 1].to_owned())];
    let whole = vec(element, 0..5).prop_map(|elements| format!("[{}]", elements.join(",")));
    prop_oneof![6 => whole, 1 => select(vec![TRADE, CRYPTO, ACK, STATUS]).prop_map(str::to_owned), 1 => ".{0,40}"]
}

#[derive(Debug, Clone)]
enum Mutation {
    Put(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    Cut(Index),
    Twice(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || prop_oneof![4 => select(b"\"\\[]{},:.-+eE0179tn \n\x00\x1f".to_vec()), 1 => any::<u8>()];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Put(at, byte)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Delete),
        any::<Index>().prop_map(Mutation::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Twice(from, to)),
    ]
}

fn mutated(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        match mutation {
            Mutation::Put(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Mutation::Delete(at) => drop(bytes.remove(at.index(bytes.len()))),
            Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Mutation::Twice(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, part);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_scanner_reads_as_serde_json_does(text in frame()) {
        prop_assert_eq!(scanned(&text, true), reference(&text));
        prop_assert_eq!(scanned(&text, false), reference(&text));
    }

    #[test]
    fn the_scanner_reads_damaged_frames_as_serde_json_does(text in frame(), mutations in vec(mutation(), 1..4)) {
        let bytes = mutated(text.into_bytes(), &mutations);
        let text = String::from_utf8_lossy(&bytes);
        prop_assert_eq!(scanned(&text, true), reference(&text));
    }

    #[test]
    fn no_bytes_upset_the_readers(bytes in vec(any::<u8>(), 0..200)) {
        let mut collect = Collect::default();
        read_frame(Incoming::Binary(&bytes), &mut collect);
        unpacked(&bytes);
    }

    #[test]
    fn damaged_packs_upset_nobody(mutations in vec(mutation(), 1..5), text in select(vec![TRADE, CRYPTO, ACK, STATUS])) {
        let value = serde_json::from_str(text).expect("a fixture is JSON");
        let mut packed = Vec::new();
        pack(&value, &mut packed);
        unpacked(&mutated(packed, &mutations));
    }
}

/// A JSON value as MessagePack, with the times of the key `t` as timestamps.
pub(in crate::exchanges::alpaca) fn pack(value: &serde_json::Value, out: &mut Vec<u8>) {
    use rmp::encode::*;
    use serde_json::Value;
    match value {
        Value::Null => write_nil(out).expect("memory takes everything"),
        Value::Bool(value) => write_bool(out, *value).expect("memory takes everything"),
        Value::Number(number) => {
            if let Some(value) = number.as_u64() {
                write_uint(out, value).expect("memory takes everything");
            } else if let Some(value) = number.as_i64() {
                write_sint(out, value).expect("memory takes everything");
            } else {
                write_f64(out, number.as_f64().expect("numbers are floats at least")).expect("memory takes everything");
            }
        }
        Value::String(text) => write_str(out, text).expect("memory takes everything"),
        Value::Array(items) => {
            write_array_len(out, items.len() as u32).expect("memory takes everything");
            items.iter().for_each(|item| pack(item, out));
        }
        Value::Object(fields) => {
            write_map_len(out, fields.len() as u32).expect("memory takes everything");
            for (name, value) in fields {
                write_str(out, name).expect("memory takes everything");
                match value.as_str().and_then(|text| text.parse::<Timestamp>().ok()).filter(|_| name == "t") {
                    Some(time) => out.extend(timestamp64(time)),
                    None => pack(value, out),
                }
            }
        }
    }
}

fn timestamp64(time: Timestamp) -> Vec<u8> {
    let both = (time.nanos() as u64 % 1_000_000_000) << 34 | time.seconds() as u64;
    [&[0xd7, 0xff][..], &both.to_be_bytes()].concat()
}

#[test]
fn all_forms_of_a_timestamp_are_read() {
    let at = |body: &[u8]| {
        let mut frame = vec![0x91, 0x81, 0xa1, b't'];
        frame.extend_from_slice(body);
        let (messages, malformed) = unpacked(&frame);
        assert_eq!(malformed, 0, "{body:x?}");
        messages[0][0].time
    };
    let seconds = 1_614_009_104u32;
    let nanos = 208_000_001u32;
    assert_eq!(at(&[&[0xd6, 0xff][..], &seconds.to_be_bytes()].concat()), Some(Timestamp::from_nanos(i64::from(seconds) * 1_000_000_000)));
    let exact = Timestamp::from_nanos(i64::from(seconds) * 1_000_000_000 + i64::from(nanos));
    assert_eq!(at(&timestamp64(exact)), Some(exact));
    let long = [&[0xc7, 12, 0xff][..], &nanos.to_be_bytes(), &i64::from(seconds).to_be_bytes()].concat();
    assert_eq!(at(&long), Some(exact));
    let text = b"\xb82021-02-22T15:51:44.208Z";
    assert_eq!(at(text), "2021-02-22T15:51:44.208Z".parse().ok());

    let negative = [&[0xc7, 12, 0xff][..], &nanos.to_be_bytes(), &(-1i64).to_be_bytes()].concat();
    let too_many_nanos = [&[0xd7, 0xff][..], &u64::MAX.to_be_bytes()].concat();
    let far = [&[0xc7, 12, 0xff][..], &nanos.to_be_bytes(), &i64::MAX.to_be_bytes()].concat();
    let other_type = [&[0xd6, 0x01][..], &seconds.to_be_bytes()].concat();
    let odd_length = vec![0xc7, 3, 0xff, 1, 2, 3];
    for body in [negative, too_many_nanos, far, other_type, odd_length] {
        assert_eq!(at(&body), None, "{body:x?}");
    }
}

#[test]
fn all_forms_of_a_number_are_read() {
    let digits = |body: &[u8]| {
        let mut frame = vec![0x91, 0x81, 0xa1, b'p'];
        frame.extend_from_slice(body);
        let (messages, malformed) = unpacked(&frame);
        assert_eq!(malformed, 0, "{body:x?}");
        messages[0][0].digits.map(|digits| digits.to_string())
    };
    let shown = |text: &str| Some(text.to_owned());
    assert_eq!(digits(&[0x07]), shown("7"));
    assert_eq!(digits(&[0xff]), shown("-1"));
    assert_eq!(digits(&[0xcc, 200]), shown("200"));
    assert_eq!(digits(&[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), shown("18446744073709551615"));
    assert_eq!(digits(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]), shown("-9223372036854775808"));
    assert_eq!(digits(&[&[0xcb][..], &126.55f64.to_be_bytes()].concat()), shown("126.55"));
    assert_eq!(digits(&[&[0xca][..], &132.65f32.to_be_bytes()].concat()), shown("132.65"));
    for bad in [f64::NAN, f64::INFINITY, 1e300, 1e-300] {
        assert_eq!(digits(&[&[0xcb][..], &bad.to_be_bytes()].concat()), None, "{bad}");
    }
    assert_eq!(digits(&[&[0xca][..], &f32::NAN.to_be_bytes()].concat()), None);
    assert_eq!(digits(b"\xa6126.55"), None, "a price in quotes is no number");
}

#[test]
fn bad_packs_are_counted() {
    let deep = [vec![0x91; 100_000], vec![0xc0]].concat();
    for (frame, expected) in [
        (vec![], 1),
        (vec![0xc0], 1),
        (vec![0x80], 1),
        (vec![0x90], 1),
        (vec![0x91], 1),
        (vec![0x91, 0x01], 1),
        (vec![0x92, 0x01, 0x02], 2),
        (vec![0x91, 0x80, 0x00], 1),
        (vec![0xdd, 0xff, 0xff, 0xff, 0xff, 0x80], 1),
        (vec![0x91, 0xdf, 0xff, 0xff, 0xff, 0xff], 1),
        (vec![0x91, 0x81, 0xa1, b'p', 0xdb, 0xff, 0xff, 0xff, 0xff], 1),
        (vec![0x91, 0x82, 0xa1, b'p', 0x01, 0xa1, b'p', 0x02], 1),
        (vec![0x91, 0x81, 0xa1, b'p', 0xc1], 1),
        (deep.clone(), 1),
        ([vec![0x91, 0x81, 0xa1, b'p'], deep].concat(), 0),
    ] {
        assert_eq!(unpacked(&frame).1, expected, "{:x?}", &frame[..frame.len().min(20)]);
    }
}

#[test]
fn a_frame_is_read_by_what_it_is() {
    let read = |frame| {
        let mut collect = Collect::default();
        let malformed = read_frame(frame, &mut collect);
        (collect.0, malformed)
    };
    let mut packed = Vec::new();
    pack(&serde_json::from_str(TRADE).expect("a fixture is JSON"), &mut packed);
    let from_text = read(Incoming::Text(TRADE));
    assert_eq!(from_text, read(Incoming::Binary(TRADE.as_bytes())));
    let shared =
        |read: Read| read.0[0].iter().map(|seen| (seen.key, seen.text.clone(), seen.digits, seen.integer)).filter(|f| f.0 != Key::Time).collect::<Vec<_>>();
    assert_eq!(shared(from_text), shared(read(Incoming::Binary(&packed))));
    assert_eq!(read(Incoming::Binary(b"\xff\xfe")), (vec![], 1));
    assert_eq!(read(Incoming::Binary(b"")), (vec![], 1));
}

#[test]
fn requests_say_the_same_in_both_codecs() {
    let lists = [("trades", vec!["AAPL", "BRK.B"]), ("quotes", vec!["*"])];
    let Outgoing::Text(text) = list_request(Codec::Json, "subscribe", &lists) else { panic!("JSON travels as text") };
    assert_eq!(text, r#"{"action":"subscribe","trades":["AAPL","BRK.B"],"quotes":["*"]}"#);
    let Outgoing::Text(text) = auth_request(Codec::Json, "k\"", "s") else { panic!("JSON travels as text") };
    assert_eq!(text, r#"{"action":"auth","key":"k\"","secret":"s"}"#);
    assert_eq!(list_request(Codec::MsgPack, "subscribe", &lists[1..]), Outgoing::Binary(b"\x82\xa6action\xa9subscribe\xa6quotes\x91\xa1*".to_vec()));
    assert_eq!(auth_request(Codec::MsgPack, "K", "S"), Outgoing::Binary(b"\x83\xa6action\xa4auth\xa3key\xa1K\xa6secret\xa1S".to_vec()));
}
