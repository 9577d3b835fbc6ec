use serde_json::json;

use super::*;
use crate::model::{Amount, Bar, Luld, Quote, Status, TradeCancel};

fn digits(text: &str) -> Digits {
    Digits::parse(text).unwrap()
}

fn message(symbol: &str, body: SimBody) -> SimMessage {
    SimMessage { symbol: symbol.into(), at: "2026-11-20T14:30:00.123456789Z".parse().unwrap(), body }
}

fn samples() -> Vec<SimMessage> {
    let trade = |id| SimBody::Trade { id, price: "126.50".parse().unwrap(), size: "7".parse().unwrap() };
    let amount = |text: &str| text.parse::<Amount>().unwrap();
    let quote = Quote { bid: amount("126.49"), bid_size: amount("200"), ask: amount("126.51"), ask_size: amount("0") };
    let bar = Bar {
        kind: BarKind::Minute,
        open: digits("1"),
        high: digits("2.5"),
        low: digits("0.5"),
        close: digits("2"),
        volume: amount("99"),
        vwap: Some(digits("1.75")),
        trade_count: Some(3),
    };
    let text = str::to_owned;
    vec![
        message("AAPL", trade(52_983_525_033_527)),
        message("BTC/USD", trade(2)),
        message("AAPL", SimBody::Quote(quote)),
        message("AAPL", SimBody::Fact(Fact::Bar(bar))),
        message(
            "AAPL",
            SimBody::Fact(Fact::Status(Status {
                code: text("H"),
                message: text("Trading \"Halt\""),
                reason_code: text("T12"),
                reason: text("news\n"),
                tape: text("C"),
            })),
        ),
        message("AAPL", SimBody::Fact(Fact::Luld(Luld { limit_up: digits("3.24"), limit_down: digits("2.65"), indicator: text("B"), tape: text("N") }))),
        message(
            "AAPL",
            SimBody::Fact(Fact::Cancel(TradeCancel { id: 5, price: digits("2"), size: amount("7"), action: text("C"), exchange: text("V"), tape: text("C") })),
        ),
    ]
}

fn frame_of(codec: Codec, messages: &[SimMessage]) -> Vec<u8> {
    let elements: Vec<Vec<u8>> = messages
        .iter()
        .map(|m| {
            let mut out = Vec::new();
            write_message(codec, m, &mut out);
            out
        })
        .collect();
    frame(codec, elements.iter().map(Vec::as_slice))
}

#[test]
fn json_keeps_the_digits_and_says_t_first() {
    let text = String::from_utf8(frame_of(Codec::Json, &samples()[..1])).unwrap();
    let wanted = r#"[{"T":"t","S":"AAPL","i":52983525033527,"p":126.50,"x":"V","s":7,"c":["@"],"z":"C","t":"2026-11-20T14:30:00.123456789Z"}]"#;
    assert_eq!(text, wanted);
    let all: Value = serde_json::from_slice(&frame_of(Codec::Json, &samples())).unwrap();
    assert_eq!(all.as_array().map(Vec::len), Some(7));
    assert_eq!(all[4]["sm"], "Trading \"Halt\"");
    assert_eq!(all[1], json!({"T":"t","S":"BTC/USD","i":2,"p":126.5,"s":7,"tks":"B","t":"2026-11-20T14:30:00.123456789Z"}));
}

/// A timestamp in its 64-bit form, replaced by nil so that the plain decoder takes the rest.
fn without_times(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        if *first == 0xd7 && tail.first() == Some(&0xff) {
            let packed = u64::from_be_bytes(tail[1..9].try_into().unwrap());
            assert_eq!((packed >> 34, packed & 0x3_ffff_ffff), (123_456_789, 1_795_185_000));
            out.push(0xc0);
            rest = &tail[9..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[test]
fn msgpack_says_the_same_with_its_own_types() {
    let bytes = frame_of(Codec::MsgPack, &samples());
    assert_eq!(bytes[1..5], [0x89, 0xa1, b'T', 0xa1], "T is not the first key");
    let mut packed = decode_msgpack(&without_times(&bytes)).unwrap();
    let mut plain: Value = serde_json::from_slice(&frame_of(Codec::Json, &samples())).unwrap();
    assert!(packed[0]["s"].is_u64() && packed[1]["s"].is_f64() && packed[0]["p"].is_f64());
    for list in [&mut packed, &mut plain] {
        for item in list.as_array_mut().unwrap() {
            let object = item.as_object_mut().unwrap();
            object.remove("t");
            object.values_mut().filter(|v| v.is_number()).for_each(|v| *v = json!(v.as_f64()));
        }
    }
    assert_eq!(packed, plain);
}

#[test]
fn documents_survive_msgpack_and_garbage_does_not() {
    let long = "x".repeat(300);
    let value = json!({"action":"subscribe","trades":["AAPL",null,true,-5,-300,-70_000,5_000_000_000u64,1.5],"long":long,"list":vec![1; 20]});
    let bytes = write_value(Codec::MsgPack, &value);
    assert_eq!(decode_msgpack(&bytes), Some(value));
    for cut in 0..bytes.len() {
        assert_eq!(decode_msgpack(&bytes[..cut]), None);
    }
    assert_eq!(decode_msgpack(&[0xdd, 0xff, 0xff, 0xff, 0xff]), None);
    assert_eq!(decode_msgpack(&[0x91; 64]), None);
    assert_eq!(decode_msgpack(&[0xc1]), None);
}
