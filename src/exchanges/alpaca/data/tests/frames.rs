//! Good frames become facts.

use super::*;
use crate::exchanges::alpaca::wire::tests::pack;
use crate::model::{Bar, BarKind, Correction, Digits, Fact, Luld, Quote, Status, Timestamp, TradeCancel};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../../tests/fixtures/alpaca/", $name, ".json"))
    };
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a test's time is a time")
}

fn digits(text: &str) -> Digits {
    Digits::parse(text).expect("a test's number is a number")
}

fn amount(text: &str) -> crate::model::Amount {
    text.parse().expect("a test's amount is an amount")
}

/// What a frame brings to a session that wants everything, which is the same in both codecs.
fn events(market: Market, frame: &str) -> (Vec<MarketEvent>, u64) {
    let mut packed = Vec::new();
    pack(&serde_json::from_str(frame).expect("a fixture is JSON"), &mut packed);
    let read = |incoming: Incoming<'_>| {
        let mut desk = Desk::of(market, Codec::Json, FeedSet::NONE);
        let symbols = ["AAPL", "AMD", "FAKEPACA", "IONM", "EEM", "GOOGL", "BTC/USD"];
        let changes: Vec<SymbolWant> = symbols.iter().zip(1..).map(|(symbol, id)| want(symbol, id, FeedSet::ALL)).collect();
        desk.want(&changes);
        let mut desk = desk.live();
        desk.session.received(desk.now, incoming, &mut desk.out);
        assert_eq!((desk.out.malformed, desk.out.unwanted), (0, 0));
        (std::mem::take(&mut desk.out.events), desk.out.unknown)
    };
    let from_text = read(Incoming::Text(frame));
    assert_eq!(from_text, read(Incoming::Binary(&packed)));
    assert_eq!(from_text, read(Incoming::Binary(frame.as_bytes())));
    from_text
}

fn only(frame: &str) -> MarketEvent {
    let (events, unknown) = events(Market::Stocks, frame);
    assert_eq!((events.len(), unknown), (1, 0));
    events.into_iter().next().expect("there is one")
}

fn fact(symbol: u32, time: &str, fact: Fact) -> MarketEvent {
    MarketEvent { symbol: SymbolId(symbol), at: at(time), kind: MarketKind::Fact(Box::new(fact)) }
}

#[test]
fn a_trade_and_a_quote() {
    let trade = crate::model::Trade { price: "126.55".parse().expect("a price"), size: amount("1") };
    let expected = MarketEvent { symbol: SymbolId(1), at: at("2021-02-22T15:51:44.208Z"), kind: MarketKind::Trade(trade) };
    assert_eq!(only(fixture!("trade")), expected);
    let quote = Quote { bid: amount("87.66"), bid_size: amount("1"), ask: amount("87.67"), ask_size: amount("1") };
    let expected = MarketEvent { symbol: SymbolId(2), at: at("2021-02-22T15:51:45.3355677Z"), kind: MarketKind::Quote(quote) };
    assert_eq!(only(fixture!("quote")), expected);
}

#[test]
fn bars_of_three_kinds() {
    for (letter, kind) in [("b", BarKind::Minute), ("u", BarKind::UpdatedMinute), ("d", BarKind::Day)] {
        let frame = fixture!("bar").replace(r#""T":"b""#, &format!(r#""T":"{letter}""#));
        let bar = Bar {
            kind,
            open: digits("132.65"),
            high: digits("136"),
            low: digits("132.12"),
            close: digits("134.65"),
            volume: amount("205"),
            vwap: Some(digits("133.7")),
            trade_count: Some(16),
        };
        assert_eq!(only(&frame), fact(3, "2024-07-24T07:56:00Z", Fact::Bar(bar)));
    }
    let bare = r#"[{"t":"2024-07-24T07:56:00Z","v":0,"c":1,"l":1,"h":1,"o":1,"n":null,"S":"AAPL","T":"b"}]"#;
    let MarketKind::Fact(bare) = only(bare).kind else { panic!("a bar is a fact") };
    assert!(matches!(*bare, Fact::Bar(Bar { vwap: None, trade_count: None, .. })));
}

#[test]
fn statuses_bands_and_corrections() {
    let status = Status {
        code: "H".to_owned(),
        message: "Trading Halt".to_owned(),
        reason_code: "T12".to_owned(),
        reason: "Trading Halted; For information requested by NASDAQ".to_owned(),
        tape: "C".to_owned(),
    };
    assert_eq!(only(fixture!("status")), fact(1, "2021-02-22T19:15:00Z", Fact::Status(status)));
    let luld = Luld { limit_up: digits("3.24"), limit_down: digits("2.65"), indicator: "B".to_owned(), tape: "N".to_owned() };
    assert_eq!(only(fixture!("luld")), fact(4, "2023-09-06T13:34:45.565607288Z", Fact::Luld(luld)));
    let correction = Correction {
        original_id: 52_983_525_033_527,
        original_price: digits("39.1582"),
        original_size: amount("440000"),
        corrected_id: 52_983_525_034_326,
        corrected_price: digits("39.1809"),
        corrected_size: amount("440000"),
        exchange: "M".to_owned(),
        tape: "B".to_owned(),
    };
    assert_eq!(only(fixture!("correction")), fact(5, "2023-04-06T14:25:06.542305024Z", Fact::Correction(correction)));
    let cancel = TradeCancel { id: 465, price: digits("105.31"), size: amount("300"), action: "C".to_owned(), exchange: "D".to_owned(), tape: "C".to_owned() };
    assert_eq!(only(fixture!("cancel")), fact(6, "2023-04-06T13:15:42.83540958Z", Fact::Cancel(cancel)));
}

#[test]
fn a_crypto_frame_of_many_kinds_in_order() {
    let (events, unknown) = events(Market::Crypto, fixture!("crypto"));
    assert_eq!(unknown, 1, "the order book is passed over");
    assert!(matches!(events.iter().map(|event| &event.kind).collect::<Vec<_>>()[..], [MarketKind::Trade(_), MarketKind::Quote(_), MarketKind::Fact(_)]));
    assert!(events.iter().all(|event| event.symbol == SymbolId(7)));
}

#[test]
fn a_price_keeps_its_digits_in_json() {
    let mut desk = Desk::stocks();
    desk.want(&[want("AAPL", 1, price())]);
    let mut desk = desk.live();
    for text in ["150.00", "0.00010", "1e-7", "105.89884750000001234"] {
        desk.says(&trade("AAPL", text));
        assert_eq!(desk.trades(), [(1, text.to_owned())]);
    }
}
