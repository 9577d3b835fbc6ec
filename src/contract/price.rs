//! Price messages, written straight into a buffer: the venue's digits go through untouched.
//!
//! A message is a start, which is the same for all of its symbol and kind and so can be prepared, and a rest.

use crate::contract::channel::MessageType;
use crate::model::{Bar, BarKind, Correction, Fact, Luld, Quote, Status, TimeText, Timestamp, Trade, TradeCancel};

/// What a price message is about.
#[derive(Debug, Clone, Copy)]
pub enum PriceMessage<'a> {
    Trade(&'a Trade),
    Quote(&'a Quote),
    Fact(&'a Fact),
}

impl PriceMessage<'_> {
    pub fn kind(&self) -> MessageType {
        match self {
            PriceMessage::Trade(_) => MessageType::Price,
            PriceMessage::Quote(_) => MessageType::Quote,
            PriceMessage::Fact(Fact::Bar(_)) => MessageType::Bar,
            PriceMessage::Fact(Fact::Status(_)) => MessageType::Status,
            PriceMessage::Fact(Fact::Luld(_)) => MessageType::Luld,
            PriceMessage::Fact(Fact::Correction(_)) => MessageType::Correction,
            PriceMessage::Fact(Fact::Cancel(_)) => MessageType::Cancel,
        }
    }
}

/// What every price message carries beside its subject.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// The venue's time.
    pub at: Timestamp,
    pub seq: u64,
    /// Older updates folded into this one.
    pub merged: u64,
    /// From the built-in exchange.
    pub sim: bool,
}

/// How every message of the ticker dialect about this symbol and of this kind begins.
pub fn ticker_start(kind: MessageType, symbol: &str) -> String {
    format!(r#"{{"type":"{}","symbol":"{symbol}""#, kind.as_str())
}

/// How every message of the typed dialect about this symbol and of this kind begins.
pub fn typed_start(kind: MessageType, symbol: &str) -> String {
    match kind {
        MessageType::Price => format!(r#"{{"type":"price_update","symbol":"{symbol}""#),
        other => ticker_start(other, symbol),
    }
}

/// What follows the start in the ticker dialect.
pub fn write_ticker_rest(out: &mut Vec<u8>, message: PriceMessage<'_>, stamp: &Stamp, times: &mut TimeText) {
    write_fields(out, message, stamp.at, times);
    write_close(out, stamp);
}

/// What follows the start in the typed dialect: a price is shorter there, all else is as in the ticker dialect.
pub fn write_typed_rest(out: &mut Vec<u8>, message: PriceMessage<'_>, stamp: &Stamp, times: &mut TimeText) {
    let PriceMessage::Trade(trade) = message else {
        return write_ticker_rest(out, message, stamp, times);
    };
    out.extend_from_slice(br#","price":"#);
    out.extend_from_slice(trade.price.as_bytes());
    out.extend_from_slice(br#","timestamp":"#);
    out.extend_from_slice(itoa::Buffer::new().format(stamp.at.seconds()).as_bytes());
    write_close(out, stamp);
}

/// The message kept in `broker:last:{symbol}`: marked, so that nobody takes it for news.
pub fn write_snapshot(out: &mut Vec<u8>, symbol: &str, message: PriceMessage<'_>, stamp: &Stamp, stale: bool, times: &mut TimeText) {
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(message.kind().as_str().as_bytes());
    out.extend_from_slice(br#"","symbol":""#);
    out.extend_from_slice(symbol.as_bytes());
    out.push(b'"');
    write_fields(out, message, stamp.at, times);
    out.extend_from_slice(if stale { br#","snapshot":true,"stale":true"# } else { br#","snapshot":true,"stale":false"# });
    write_close(out, stamp);
}

fn write_fields(out: &mut Vec<u8>, message: PriceMessage<'_>, at: Timestamp, times: &mut TimeText) {
    match message {
        PriceMessage::Trade(trade) => {
            out.extend_from_slice(br#","price":"#);
            out.extend_from_slice(trade.price.as_bytes());
            out.extend_from_slice(br#","volume":"#);
            out.extend_from_slice(trade.size.as_bytes());
        }
        PriceMessage::Quote(quote) => {
            out.extend_from_slice(br#","bid":"#);
            out.extend_from_slice(quote.bid.as_bytes());
            out.extend_from_slice(br#","bid_size":"#);
            out.extend_from_slice(quote.bid_size.as_bytes());
            out.extend_from_slice(br#","ask":"#);
            out.extend_from_slice(quote.ask.as_bytes());
            out.extend_from_slice(br#","ask_size":"#);
            out.extend_from_slice(quote.ask_size.as_bytes());
        }
        PriceMessage::Fact(Fact::Bar(bar)) => write_bar(out, bar),
        PriceMessage::Fact(Fact::Status(status)) => write_status(out, status),
        PriceMessage::Fact(Fact::Luld(luld)) => write_luld(out, luld),
        PriceMessage::Fact(Fact::Correction(correction)) => write_correction(out, correction),
        PriceMessage::Fact(Fact::Cancel(cancel)) => write_cancel(out, cancel),
    }
    out.extend_from_slice(br#","timestamp":""#);
    times.write(at, out);
    out.push(b'"');
}

fn write_close(out: &mut Vec<u8>, stamp: &Stamp) {
    out.extend_from_slice(br#","seq":"#);
    out.extend_from_slice(itoa::Buffer::new().format(stamp.seq).as_bytes());
    if stamp.merged > 0 {
        out.extend_from_slice(br#","merged":"#);
        out.extend_from_slice(itoa::Buffer::new().format(stamp.merged).as_bytes());
    }
    if stamp.sim {
        out.extend_from_slice(br#","sim":true"#);
    }
    out.push(b'}');
}

fn write_bar(out: &mut Vec<u8>, bar: &Bar) {
    text(out, b"timeframe", if bar.kind == BarKind::Day { "1Day" } else { "1Min" });
    if bar.kind == BarKind::UpdatedMinute {
        raw(out, b"updated", b"true");
    }
    raw(out, b"open", bar.open.as_bytes());
    raw(out, b"high", bar.high.as_bytes());
    raw(out, b"low", bar.low.as_bytes());
    raw(out, b"close", bar.close.as_bytes());
    raw(out, b"volume", bar.volume.as_bytes());
    if let Some(vwap) = &bar.vwap {
        raw(out, b"vwap", vwap.as_bytes());
    }
    if let Some(count) = bar.trade_count {
        raw(out, b"trade_count", itoa::Buffer::new().format(count).as_bytes());
    }
}

fn write_status(out: &mut Vec<u8>, status: &Status) {
    text(out, b"code", &status.code);
    text(out, b"message", &status.message);
    text(out, b"reason_code", &status.reason_code);
    text(out, b"reason", &status.reason);
    text(out, b"tape", &status.tape);
}

fn write_luld(out: &mut Vec<u8>, luld: &Luld) {
    raw(out, b"limit_up", luld.limit_up.as_bytes());
    raw(out, b"limit_down", luld.limit_down.as_bytes());
    text(out, b"indicator", &luld.indicator);
    text(out, b"tape", &luld.tape);
}

fn write_correction(out: &mut Vec<u8>, correction: &Correction) {
    raw(out, b"original_id", itoa::Buffer::new().format(correction.original_id).as_bytes());
    raw(out, b"original_price", correction.original_price.as_bytes());
    raw(out, b"original_volume", correction.original_size.as_bytes());
    raw(out, b"corrected_id", itoa::Buffer::new().format(correction.corrected_id).as_bytes());
    raw(out, b"corrected_price", correction.corrected_price.as_bytes());
    raw(out, b"corrected_volume", correction.corrected_size.as_bytes());
    text(out, b"venue", &correction.exchange);
    text(out, b"tape", &correction.tape);
}

fn write_cancel(out: &mut Vec<u8>, cancel: &TradeCancel) {
    raw(out, b"id", itoa::Buffer::new().format(cancel.id).as_bytes());
    raw(out, b"price", cancel.price.as_bytes());
    raw(out, b"volume", cancel.size.as_bytes());
    text(out, b"action", &cancel.action);
    text(out, b"venue", &cancel.exchange);
    text(out, b"tape", &cancel.tape);
}

/// A field whose value is JSON already.
fn raw(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    out.extend_from_slice(value);
}

/// A field whose value is the venue's text, which may hold anything.
fn text(out: &mut Vec<u8>, name: &[u8], value: &str) {
    raw(out, name, b"");
    // Writing a string into a vector cannot fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp { at: "2026-11-20T14:30:00.123456789Z".parse().unwrap(), seq: 184_467, merged: 0, sim: false }
    }

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn write_ticker(out: &mut Vec<u8>, symbol: &str, message: PriceMessage<'_>, stamp: &Stamp) {
        out.extend_from_slice(ticker_start(message.kind(), symbol).as_bytes());
        write_ticker_rest(out, message, stamp, &mut TimeText::default());
    }

    fn write_typed(out: &mut Vec<u8>, symbol: &str, message: PriceMessage<'_>, stamp: &Stamp) {
        out.extend_from_slice(typed_start(message.kind(), symbol).as_bytes());
        write_typed_rest(out, message, stamp, &mut TimeText::default());
    }

    #[test]
    fn both_dialects_say_what_the_contract_says() {
        let trade = Trade { price: "150.250".parse().unwrap(), size: "100".parse().unwrap() };
        let quote =
            Quote { bid: "150.24".parse().unwrap(), bid_size: "200".parse().unwrap(), ask: "150.26".parse().unwrap(), ask_size: "100".parse().unwrap() };
        assert_eq!(
            shown(|out| write_ticker(out, "AAPL", PriceMessage::Trade(&trade), &stamp())),
            r#"{"type":"price","symbol":"AAPL","price":150.250,"volume":100,"timestamp":"2026-11-20T14:30:00.123456789Z","seq":184467}"#
        );
        assert_eq!(
            shown(|out| write_typed(out, "AAPL", PriceMessage::Trade(&trade), &Stamp { merged: 3, sim: true, ..stamp() })),
            r#"{"type":"price_update","symbol":"AAPL","price":150.250,"timestamp":1795185000,"seq":184467,"merged":3,"sim":true}"#
        );
        assert_eq!(
            shown(|out| write_typed(out, "AAPL", PriceMessage::Quote(&quote), &stamp())),
            r#"{"type":"quote","symbol":"AAPL","bid":150.24,"bid_size":200,"ask":150.26,"ask_size":100,"timestamp":"2026-11-20T14:30:00.123456789Z","seq":184467}"#
        );
        assert_eq!(
            shown(|out| write_snapshot(out, "AAPL", PriceMessage::Trade(&trade), &stamp(), true, &mut TimeText::default())),
            r#"{"type":"price","symbol":"AAPL","price":150.250,"volume":100,"timestamp":"2026-11-20T14:30:00.123456789Z","snapshot":true,"stale":true,"seq":184467}"#
        );
    }

    #[test]
    fn the_venues_texts_are_escaped() {
        let hostile = Status { code: "H\"}".into(), message: "a\nb".into(), reason_code: "T1".into(), reason: "\u{1b}[31m".into(), tape: "C".into() };
        let text = shown(|out| write_ticker(out, "AAPL", PriceMessage::Fact(&Fact::Status(hostile.clone())), &stamp()));
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((read["code"].as_str(), read["message"].as_str(), read["reason"].as_str()), (Some("H\"}"), Some("a\nb"), Some("\u{1b}[31m")));
    }
}
