//! What was sent and received, with the nanosecond: bounded, oldest forgotten first.

use std::collections::VecDeque;

use tungstenite::Bytes;

use crate::model::Timestamp;
use crate::sim::codec;

/// Of a longer message only the beginning is kept.
const LONGEST: usize = 64 * 1024;
/// What an entry takes besides its bytes.
const OVERHEAD: usize = 96;

/// Seen from the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// One message that went over a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub at: Timestamp,
    /// The number of the connection, in the order in which they came.
    pub connection: u64,
    pub direction: Direction,
    /// `upgrade`, `request`, `response`, `message`, `text`, `binary`, `event`, `ping` (how many) or `close`.
    pub kind: &'static str,
    /// As text: MessagePack is shown as JSON, and secrets as ***.
    pub text: String,
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    connection: u64,
    direction: Direction,
    kind: &'static str,
    bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct Tape {
    entries: VecDeque<Entry>,
    held: usize,
    limit: usize,
}

impl Tape {
    pub(super) fn new(limit: usize) -> Tape {
        Tape { entries: VecDeque::new(), held: 0, limit }
    }

    pub(super) fn write(&mut self, at: Timestamp, connection: u64, direction: Direction, kind: &'static str, bytes: &Bytes) {
        // A slice would keep all of it alive.
        let bytes = if bytes.len() > LONGEST { Bytes::copy_from_slice(&bytes[..LONGEST]) } else { bytes.clone() };
        self.held += bytes.len() + OVERHEAD;
        self.entries.push_back(Entry { at, connection, direction, kind, bytes });
        while self.held > self.limit
            && let Some(oldest) = self.entries.pop_front()
        {
            self.held -= oldest.bytes.len() + OVERHEAD;
        }
    }

    /// What is kept since then, oldest first.
    pub(super) fn read(&self, since: Timestamp) -> Vec<Recorded> {
        let late = self.entries.iter().skip_while(|entry| entry.at < since);
        late.map(|e| Recorded { at: e.at, connection: e.connection, direction: e.direction, kind: e.kind, text: text(&e.bytes) }).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => codec::decode_msgpack(bytes).map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), |value| value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_give_way_and_long_ones_are_cut() {
        let mut tape = Tape::new(3 * (OVERHEAD + 4));
        for n in 0..5 {
            tape.write(Timestamp::from_nanos(n), 1, Direction::In, "text", &Bytes::from(format!("n={n:02}")));
        }
        let texts = |tape: &Tape, since| tape.read(Timestamp::from_nanos(since)).into_iter().map(|e| e.text).collect::<Vec<_>>();
        assert_eq!(texts(&tape, 0), ["n=02", "n=03", "n=04"]);
        assert_eq!(texts(&tape, 4), ["n=04"]);
        let mut tape = Tape::new(1 << 20);
        tape.write(Timestamp::from_nanos(0), 1, Direction::Out, "binary", &Bytes::from(vec![b'x'; LONGEST + 1]));
        tape.write(Timestamp::from_nanos(0), 1, Direction::Out, "binary", &Bytes::from_static(&[0x81, 0xa1, b'T', 0xa2, 0xc3, 0xa9]));
        assert_eq!(texts(&tape, 0).iter().map(String::len).collect::<Vec<_>>(), [LONGEST, r#"{"T":"é"}"#.len()]);
    }
}
