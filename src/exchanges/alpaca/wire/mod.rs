//! Alpaca's market-data frames, in both codecs, as flat records of borrowed fields.
//!
//! Knows letters such as `bp` and how a number is written; must not know what a message means, who wants it, or sessions.
//! Nothing here allocates for a trade or a quote.

mod json;
mod msgpack;
mod record;
mod request;

pub(super) use record::{Field, Key, Record};
pub(super) use request::{auth_request, list_request};

use crate::exchanges::Incoming;

/// What a frame's reader does with each of its messages.
pub(super) trait Sink {
    fn message<'a, F: Field<'a>>(&mut self, record: &Record<F>);
}

/// Reads one frame message by message and returns how many could not be read. Where a frame breaks off, the messages
/// before the break are served.
///
/// A binary frame is MessagePack unless it begins as a JSON array does, which no MessagePack array can.
pub(super) fn read_frame(frame: Incoming<'_>, sink: &mut impl Sink) -> u64 {
    match frame {
        Incoming::Text(text) => json::read(text, sink),
        Incoming::Binary(bytes) if msgpack::is_array(bytes) => msgpack::read(bytes, sink),
        Incoming::Binary(bytes) => std::str::from_utf8(bytes).map_or(1, |text| json::read(text, sink)),
    }
}

#[cfg(test)]
pub(super) mod tests;
