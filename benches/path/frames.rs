//! The feed's frames, built before they are needed. A frame is a whole WebSocket frame that holds an array of messages;
//! ids, sizes and times are patched when it is sent, all of them of a fixed width.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::clock::{NS, RFC3339_LEN, Rfc3339, put_digits};
use crate::frame_body::{Body, Json, Packed};
use crate::universe::{SEQ_BASE, SEQ_LEN, SEQ_SPAN};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    Json,
    MsgPack,
}

/// What one connection has asked for, and in which shape it gets it.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub codec: Codec,
    pub trades: Vec<String>,
    pub quotes: Vec<String>,
    pub per_frame: usize,
}

pub const ID_LEN: usize = 13;
const ID_BASE: u64 = 1_000_000_000_000;
/// As many at least, so that even a single symbol's prices vary.
const MIN_FRAMES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Trade,
    Quote,
}

/// Where a message of a frame is patched.
pub struct Slot {
    pub id_at: Option<usize>,
    pub seq_at: usize,
    pub stamp_at: usize,
}

struct Message {
    counter: usize,
    cents: usize,
    slot: Slot,
}

struct Frame {
    bytes: Vec<u8>,
    messages: Vec<Message>,
}

/// One symbol's messages of one type.
struct Counter {
    sent: u64,
    last_cents: usize,
}

#[derive(Default)]
pub struct Frames {
    packed: bool,
    frames: Vec<Frame>,
    next: usize,
    counters: Vec<Counter>,
    counter_of: HashMap<(Kind, String), usize>,
    next_id: u64,
    stamp: Rfc3339,
}

impl Frames {
    /// Builds the frames anew; sequences go on.
    pub fn retarget(&mut self, wanted: &Wanted) {
        self.packed = wanted.codec == Codec::MsgPack;
        self.next = 0;
        self.frames.clear();
        let cycle = self.cycle(wanted);
        if cycle.is_empty() {
            return;
        }
        let period = cycle.len() / gcd(cycle.len(), wanted.per_frame);
        let mut messages = cycle.iter().cycle().enumerate();
        for _ in 0..period * MIN_FRAMES.div_ceil(period) {
            let some = messages.by_ref().take(wanted.per_frame);
            self.frames.push(if self.packed { frame::<Packed>(some, wanted.per_frame) } else { frame::<Json>(some, wanted.per_frame) });
        }
    }

    /// The messages that come in turn: each symbol's trade, and its quote after it.
    fn cycle(&mut self, wanted: &Wanted) -> Vec<(Kind, String, usize)> {
        let quoted: std::collections::HashSet<&String> = wanted.quotes.iter().collect();
        let traded: std::collections::HashSet<&String> = wanted.trades.iter().collect();
        let mut cycle: Vec<(Kind, &String)> = Vec::new();
        for symbol in &wanted.trades {
            cycle.push((Kind::Trade, symbol));
            if quoted.contains(symbol) {
                cycle.push((Kind::Quote, symbol));
            }
        }
        cycle.extend(wanted.quotes.iter().filter(|symbol| !traded.contains(symbol)).map(|symbol| (Kind::Quote, symbol)));
        let with_counter = cycle.into_iter().map(|(kind, symbol)| {
            let fresh = self.counters.len();
            let counter = *self.counter_of.entry((kind, symbol.clone())).or_insert(fresh);
            if counter == fresh {
                self.counters.push(Counter { sent: 0, last_cents: 0 });
            }
            (kind, symbol.clone(), counter)
        });
        with_counter.collect()
    }

    /// Appends the next frame, made at `ns`, and returns how many messages it holds.
    pub fn append(&mut self, out: &mut Vec<u8>, ns: u64) -> u64 {
        let Some(frame) = self.frames.get(self.next) else { return 0 };
        self.next = (self.next + 1) % self.frames.len();
        let base = out.len();
        out.extend_from_slice(&frame.bytes);
        let bytes = &mut out[base..];
        let stamp_text = self.stamp.format(ns);
        // A MessagePack timestamp 64: 30 bits of nanoseconds, 34 bits of seconds.
        let stamp_packed = (((ns % NS) << 34) | (ns / NS)).to_be_bytes();
        for Message { counter, cents, slot } in &frame.messages {
            let counter = &mut self.counters[*counter];
            let seq = SEQ_BASE + counter.sent % SEQ_SPAN;
            counter.sent += 1;
            counter.last_cents = *cents;
            let id = ID_BASE + self.next_id;
            self.next_id += 1;
            if self.packed {
                bytes[slot.stamp_at..slot.stamp_at + 8].copy_from_slice(&stamp_packed);
                bytes[slot.seq_at..slot.seq_at + 4].copy_from_slice(&(seq as u32).to_be_bytes());
                if let Some(at) = slot.id_at {
                    bytes[at..at + 8].copy_from_slice(&id.to_be_bytes());
                }
            } else {
                bytes[slot.stamp_at..slot.stamp_at + RFC3339_LEN].copy_from_slice(stamp_text);
                put_digits(&mut bytes[slot.seq_at..slot.seq_at + SEQ_LEN], seq);
                if let Some(at) = slot.id_at {
                    put_digits(&mut bytes[at..at + ID_LEN], id);
                }
            }
        }
        frame.messages.len() as u64
    }

    /// The price in the last message of each symbol, trades under `p:`, bids under `q:`.
    pub fn last_prices(&self) -> BTreeMap<String, String> {
        let sent = self.counter_of.iter().filter(|(_, counter)| self.counters[**counter].sent > 0);
        let priced = sent.map(|((kind, symbol), counter)| {
            let letter = if *kind == Kind::Trade { 'p' } else { 'q' };
            (format!("{letter}:{symbol}"), dollars(self.counters[*counter].last_cents))
        });
        priced.collect()
    }
}

pub fn dollars(cents: usize) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn frame<'a, B: Body>(messages: impl Iterator<Item = (usize, &'a (Kind, String, usize))>, count: usize) -> Frame {
    let mut body = B::begin(count);
    let mut placed = Vec::with_capacity(count);
    for (variation, (kind, symbol, counter)) in messages {
        let cents = 10_000 + (counter * 3_701 + variation * 17) % 80_000;
        let slot = match kind {
            Kind::Trade => trade(&mut body, symbol, cents),
            Kind::Quote => quote(&mut body, symbol, cents),
        };
        placed.push(Message { counter: *counter, cents, slot });
    }
    let payload = body.finish();
    let mut bytes = frame_header(B::OPCODE, payload.len());
    let shift = bytes.len();
    bytes.extend_from_slice(&payload);
    for Message { slot, .. } in &mut placed {
        slot.id_at = slot.id_at.map(|at| at + shift);
        slot.seq_at += shift;
        slot.stamp_at += shift;
    }
    Frame { bytes, messages: placed }
}

fn trade(body: &mut impl Body, symbol: &str, cents: usize) -> Slot {
    body.open(9);
    body.text("T", "t");
    body.text("S", symbol);
    let id_at = Some(body.id("i"));
    body.text("x", "V");
    body.price("p", cents);
    let seq_at = body.size("s");
    body.texts("c", &["@", "I"]);
    body.text("z", "C");
    let stamp_at = body.time("t");
    body.close();
    Slot { id_at, seq_at, stamp_at }
}

fn quote(body: &mut impl Body, symbol: &str, cents: usize) -> Slot {
    body.open(11);
    body.text("T", "q");
    body.text("S", symbol);
    body.text("bx", "V");
    body.price("bp", cents);
    let seq_at = body.size("bs");
    body.text("ax", "V");
    body.price("ap", cents + 2);
    body.size("as");
    body.texts("c", &["R"]);
    body.text("z", "C");
    let stamp_at = body.time("t");
    body.close();
    Slot { id_at: None, seq_at, stamp_at }
}

/// The header of a final, unmasked frame.
fn frame_header(opcode: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0x80 | opcode];
    match length {
        0..=125 => header.push(length as u8),
        126..=65_535 => {
            header.push(126);
            header.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    header
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
