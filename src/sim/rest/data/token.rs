//! Where a page ended, as the opaque text that the next one is asked for with.

use super::Bad;
use crate::model::Timestamp;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The last item of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub symbol: String,
    pub at: Timestamp,
    /// Items of exactly that time which have been given.
    pub given: usize,
}

impl Position {
    pub(super) fn token(&self, kind: &str) -> String {
        encode(format!("{}|{kind}|{}|{}", self.symbol, self.at.nanos(), self.given).as_bytes())
    }

    /// The position that a token of that kind stands for.
    pub(super) fn read(token: &str, kind: &str) -> Result<Position, Bad> {
        let read = || {
            let text = String::from_utf8(decode(token)?).ok()?;
            let mut parts = text.split('|');
            let symbol = parts.next()?.to_owned();
            let fits = parts.next()? == kind;
            let (at, given) = (Timestamp::from_nanos(parts.next()?.parse().ok()?), parts.next()?.parse().ok()?);
            (fits && parts.next().is_none()).then_some(Position { symbol, at, given })
        };
        read().ok_or_else(|| Bad::request("invalid page_token"))
    }
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = if place <= chunk.len() { ALPHABET[(bits >> (18 - 6 * place) & 0x3f) as usize] } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    // In a query a plus sign may have become a space.
    let letters: Vec<u8> = text.trim_end_matches('=').bytes().map(|letter| if letter == b' ' { b'+' } else { letter }).collect();
    let mut bytes = Vec::new();
    for chunk in letters.chunks(4) {
        let mut bits = 0_u32;
        for letter in chunk {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|known| known == letter)?).ok()?;
        }
        bits <<= 6 * (4 - chunk.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("AAPL|M|16", "QUFQTHxNfDE2")] {
            assert_eq!((encode(bytes.as_bytes()).as_str(), decode(text)), (text, Some(bytes.as_bytes().to_vec())));
        }
        let position = Position { symbol: "BTC/USD".to_owned(), at: Timestamp::from_nanos(5), given: 2 };
        assert_eq!(Position::read(&position.token("bars"), "bars").unwrap(), position);
        assert!(Position::read(&position.token("bars"), "trades").is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,40}") {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
            let _ = Position::read(&text, "bars");
        }
    }
}
