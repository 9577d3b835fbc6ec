//! What the sink reads out of a published message: its type, when it was made, its place in the sequence.
//!
//! It looks for a few keys and nothing else, so that the sink takes little of the machine that is measured.

use memchr::memmem::Finder;

use crate::clock::{Stamp, StampReader, leading_number};
use crate::universe::{SEQ_BASE, SEQ_SPAN};

/// Where a message stands among those of its symbol and type.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// The service's own number, and how many older updates the message stands for beside itself.
    Seq {
        seq: u64,
        merged: u64,
    },
    /// The size that the feed gave it.
    Volume(u64),
    Unknown,
}

pub struct Seen {
    pub quote: bool,
    pub stamp: Option<Stamp>,
    pub place: Place,
}

pub struct MessageReader {
    timestamp: Finder<'static>,
    seq: Finder<'static>,
    volume: Finder<'static>,
    price: Finder<'static>,
    bid: Finder<'static>,
    stamps: StampReader,
}

impl Default for MessageReader {
    fn default() -> MessageReader {
        MessageReader {
            timestamp: Finder::new(b"\"timestamp\":"),
            seq: Finder::new(b"\"seq\":"),
            volume: Finder::new(b"\"volume\":"),
            price: Finder::new(b"\"price\":"),
            bid: Finder::new(b"\"bid\":"),
            stamps: StampReader::default(),
        }
    }
}

impl MessageReader {
    pub fn read(&mut self, payload: &[u8]) -> Seen {
        let quote = payload.starts_with(br#"{"type":"quote""#);
        let rest = value_after(payload, &self.timestamp).unwrap_or_default();
        // The sequence number follows the time, when there is one.
        let place = match value_after(rest, &self.seq) {
            Some(text) => seq_place(text),
            None => match value_after(payload, &self.volume).and_then(leading_number) {
                Some(volume) if (SEQ_BASE..SEQ_BASE + SEQ_SPAN).contains(&volume) => Place::Volume(volume - SEQ_BASE),
                _ => Place::Unknown,
            },
        };
        Seen { quote, stamp: self.stamps.read(rest), place }
    }

    /// The digits of the price, or of a quote's bid.
    pub fn price(&self, payload: &[u8]) -> Option<String> {
        let text = value_after(payload, &self.price).or_else(|| value_after(payload, &self.bid))?;
        let digits = text.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
        Some(String::from_utf8_lossy(&text[..digits]).into_owned())
    }
}

fn seq_place(text: &[u8]) -> Place {
    let Some(seq) = leading_number(text) else { return Place::Unknown };
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let merged = text[digits..].strip_prefix(br#","merged":"#).and_then(leading_number).unwrap_or(0);
    Place::Seq { seq, merged }
}

/// What follows a key; some encoders put a space before it.
fn value_after<'a>(text: &'a [u8], key: &Finder) -> Option<&'a [u8]> {
    let rest = &text[key.find(text)? + key.needle().len()..];
    Some(rest.strip_prefix(b" ").unwrap_or(rest))
}
