//! The price path without sockets: a venue's frames in memory, and the session, the book and the WebSocket that take
//! them. For the measurements of single stages and the counting of allocations.
#![allow(dead_code, reason = "each user needs a part of it")]

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use alpaca_broker::config::Codec;
use alpaca_broker::exchanges::alpaca::{DataSession, DataSettings, Market};
use alpaca_broker::exchanges::{Effects, Incoming, Names, Session, SymbolWant};
use alpaca_broker::hub::{Interest, PriceBook, StreamId};
use alpaca_broker::model::{Feed, FeedSet, MarketEvent, SymbolId, Timestamp};
use alpaca_broker::net::websocket_config;
use alpaca_broker::runtime::{Secret, StreamState};
use rmp::encode;
use serde_json::json;
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

const OPENING_BELL: &str = "2026-11-20T14:30:00Z";
/// Between one message and the next on the venue's clock.
const APART_NANOS: i64 = 100_003;

/// What a frame's messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    Trades,
    Quotes,
    Bars,
    /// By turns a trade and a quote.
    TradesAndQuotes,
}

pub fn feeds() -> FeedSet {
    FeedSet::NONE.with(Feed::Price).with(Feed::Quote).with(Feed::Bar)
}

pub fn symbol(number: usize) -> String {
    format!("S{number:04}")
}

/// So many messages, in frames of `per_frame`, that go round the symbols.
pub fn frames(codec: Codec, mix: Mix, symbols: usize, per_frame: usize, messages: usize) -> Vec<Vec<u8>> {
    let message = |number: usize| match codec {
        Codec::Json => json_message(mix, number, symbols),
        Codec::MsgPack => packed_message(mix, number, symbols),
    };
    let frame = |at: usize| {
        let messages: Vec<Vec<u8>> = (at * per_frame..(at + 1) * per_frame).map(message).collect();
        match codec {
            Codec::Json => [b"[", messages.join(&b","[..]).as_slice(), b"]"].concat(),
            Codec::MsgPack => {
                let mut head = Vec::new();
                encode::write_array_len(&mut head, per_frame as u32).unwrap();
                [head, messages.concat()].concat()
            }
        }
    };
    (0..messages / per_frame).map(frame).collect()
}

fn is_quote(mix: Mix, number: usize, symbols: usize) -> bool {
    // Not the same kind for the same symbol in each round.
    mix == Mix::Quotes || mix == Mix::TradesAndQuotes && (number + number / symbols) % 2 == 1
}

fn cents(number: usize) -> u64 {
    10_000 + (number as u64 * 7) % 49_000
}

fn price(number: usize) -> String {
    format!("{}.{:02}", cents(number) / 100, cents(number) % 100)
}

fn time(number: usize) -> Timestamp {
    let start: Timestamp = OPENING_BELL.parse().unwrap();
    Timestamp::from_nanos(start.nanos() + number as i64 * APART_NANOS)
}

fn json_message(mix: Mix, number: usize, symbols: usize) -> Vec<u8> {
    let (name, price, at, size) = (symbol(number % symbols), price(number), time(number), number % 400);
    let text = if mix == Mix::Bars {
        format!(r#"{{"T":"b","S":"{name}","o":{price},"h":{price},"l":{price},"c":{price},"v":49378,"n":461,"vw":{price}28,"t":"{at}"}}"#)
    } else if is_quote(mix, number, symbols) {
        format!(r#"{{"T":"q","S":"{name}","bx":"V","bp":{price},"bs":{size},"ax":"Q","ap":{price}5,"as":4,"c":["R"],"z":"C","t":"{at}"}}"#)
    } else {
        format!(r#"{{"T":"t","S":"{name}","i":{},"x":"V","p":{price},"s":{size},"c":["@","I"],"z":"C","t":"{at}"}}"#, 96_921 + number)
    };
    text.into_bytes()
}

fn packed_message(mix: Mix, number: usize, symbols: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let (name, price, size) = (symbol(number % symbols), cents(number) as f64 / 100.0, (number % 400) as u64);
    let text = |out: &mut Vec<u8>, key: &str, value: &str| {
        encode::write_str(out, key).unwrap();
        encode::write_str(out, value).unwrap();
    };
    let float = |out: &mut Vec<u8>, key: &str, value: f64| {
        encode::write_str(out, key).unwrap();
        encode::write_f64(out, value).unwrap();
    };
    let whole = |out: &mut Vec<u8>, key: &str, value: u64| {
        encode::write_str(out, key).unwrap();
        encode::write_uint(out, value).unwrap();
    };
    let list = |out: &mut Vec<u8>, key: &str, values: &[&str]| {
        encode::write_str(out, key).unwrap();
        encode::write_array_len(out, values.len() as u32).unwrap();
        values.iter().for_each(|value| encode::write_str(out, value).unwrap());
    };
    let begin = |out: &mut Vec<u8>, fields: u32, kind: &str| {
        encode::write_map_len(out, fields).unwrap();
        text(out, "T", kind);
        text(out, "S", &name);
    };
    if mix == Mix::Bars {
        begin(&mut out, 10, "b");
        ["o", "h", "l", "c", "vw"].iter().for_each(|key| float(&mut out, key, price));
        whole(&mut out, "v", 49_378);
        whole(&mut out, "n", 461);
    } else if is_quote(mix, number, symbols) {
        begin(&mut out, 11, "q");
        text(&mut out, "bx", "V");
        float(&mut out, "bp", price);
        whole(&mut out, "bs", size);
        text(&mut out, "ax", "Q");
        float(&mut out, "ap", price + 0.005);
        whole(&mut out, "as", 4);
        list(&mut out, "c", &["R"]);
        text(&mut out, "z", "C");
    } else {
        begin(&mut out, 9, "t");
        whole(&mut out, "i", 96_921 + number as u64);
        text(&mut out, "x", "V");
        float(&mut out, "p", price);
        whole(&mut out, "s", size);
        list(&mut out, "c", &["@", "I"]);
        text(&mut out, "z", "C");
    }
    let at = time(number);
    encode::write_str(&mut out, "t").unwrap();
    encode::write_ext_meta(&mut out, 8, -1).unwrap();
    out.extend_from_slice(&((at.nanos() as u64 % 1_000_000_000) << 34 | at.seconds() as u64).to_be_bytes());
    out
}

/// The frame as the session is given it.
pub fn incoming(codec: Codec, frame: &[u8]) -> Incoming<'_> {
    match codec {
        Codec::Json => Incoming::Text(std::str::from_utf8(frame).unwrap()),
        Codec::MsgPack => Incoming::Binary(frame),
    }
}

struct NoNames;

impl Names for NoNames {
    fn intern(&self, _: &str) -> Option<SymbolId> {
        None
    }
}

pub fn wants(symbols: std::ops::Range<usize>) -> Vec<SymbolWant> {
    symbols.map(|n| SymbolWant { symbol: symbol(n).parse().unwrap(), id: SymbolId(n as u32), feeds: feeds() }).collect()
}

/// A session that streams these symbols, everything acknowledged.
pub fn streaming_session(codec: Codec, symbols: usize) -> DataSession {
    let settings = DataSettings {
        key_id: Secret::new("id".to_owned()),
        secret_key: Secret::new("secret".to_owned()),
        codec,
        market: Market::Stocks,
        wildcard: FeedSet::NONE,
    };
    let mut session = DataSession::new(settings, Arc::new(NoNames));
    let (now, mut out) = (Instant::now(), Effects::<MarketEvent>::default());
    session.want(now, &wants(0..symbols), &mut out);
    session.opened(now, &mut out);
    session.received(now, Incoming::Text(r#"[{"T":"success","msg":"connected"}]"#), &mut out);
    out.send.clear();
    session.received(now, Incoming::Text(r#"[{"T":"success","msg":"authenticated"}]"#), &mut out);
    // A channel that is not listed stands as it was asked for.
    let granted = json!([{"T":"subscription","trades":(0..symbols).map(symbol).collect::<Vec<_>>()}]).to_string();
    for _ in 0..out.send.len() {
        session.received(now, Incoming::Text(&granted), &mut out);
    }
    assert_eq!((session.state(), session.has_unacknowledged(), session.wanted_symbols()), (StreamState::Streaming, false, symbols));
    session
}

/// A book in which these symbols are wanted.
pub fn book(symbols: usize, interest: Interest) -> PriceBook {
    let mut book = PriceBook::new(OPENING_BELL.parse().unwrap(), false);
    for number in 0..symbols {
        book.set_interest(Instant::now(), SymbolId(number as u32), &symbol(number), StreamId(0), interest);
    }
    book
}

/// The events that a session makes of one frame.
pub fn events(mix: Mix, count: usize) -> Vec<MarketEvent> {
    let mut session = streaming_session(Codec::MsgPack, count);
    let mut out = Effects::default();
    session.received(Instant::now(), Incoming::Binary(&frames(Codec::MsgPack, mix, count, count, count)[0]), &mut out);
    assert_eq!((out.events.len(), out.malformed), (count, 0));
    out.events
}

/// How the bytes arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// One frame at a time, and nothing behind it.
    Calm,
    /// There is always more than a read takes.
    Backlog,
}

/// The receiving end of a connection on which the same frames come round and round.
#[derive(Debug)]
pub struct Wire {
    frames: Vec<Vec<u8>>,
    arrival: Arrival,
    at: usize,
    taken: usize,
    /// The reader has been told that there is nothing more.
    told: bool,
}

impl Wire {
    fn new(codec: Codec, frames: &[Vec<u8>], arrival: Arrival) -> Wire {
        let opcode = if codec == Codec::Json { 0x81 } else { 0x82 };
        let framed = frames.iter().map(|payload| {
            let mut bytes = vec![opcode];
            match payload.len() {
                short @ 0..126 => bytes.push(short as u8),
                medium @ 126..0x1_0000 => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(medium as u16).to_be_bytes());
                }
                long => {
                    bytes.push(127);
                    bytes.extend_from_slice(&(long as u64).to_be_bytes());
                }
            }
            bytes.extend_from_slice(payload);
            bytes
        });
        Wire { frames: framed.collect(), arrival, at: 0, taken: 0, told: true }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.arrival == Arrival::Calm && !self.told && self.taken == 0 {
            self.told = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.told = false;
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &self.frames[self.at][self.taken..];
            let count = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
            self.taken += count;
            if self.taken == self.frames[self.at].len() {
                (self.at, self.taken) = ((self.at + 1) % self.frames.len(), 0);
                if self.arrival == Arrival::Calm {
                    break;
                }
            }
        }
        Ok(filled)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A WebSocket as `open_websocket` makes it, over memory.
pub fn websocket(codec: Codec, frames: &[Vec<u8>], arrival: Arrival) -> WebSocket<Wire> {
    WebSocket::from_raw_socket(Wire::new(codec, frames, arrival), Role::Client, Some(websocket_config()))
}
