//! JSON frames: a scanner for the plain objects that make up nearly all traffic, and serde_json for everything odd.
//!
//! The scanner takes a subset of JSON and reads it as serde_json would: an object of plain strings, numbers and flat
//! lists. At anything else (an escape, a nested value, a literal, a key twice, an error) it gives the whole object over
//! to serde_json from its first byte, whose word is final.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Field, Key, Record, Sink};
use crate::model::{Digits, Timestamp};

/// A value's own JSON text, quotes included.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonField<'a>(&'a str);

impl<'a> Field<'a> for JsonField<'a> {
    fn text(self, escaped: bool) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if escaped && inner.contains('\\') {
            return serde_json::from_str(self.0).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    fn digits(self) -> Option<Digits> {
        match self.0.as_bytes().first() {
            // Both ways into a record have checked it.
            Some(b'-' | b'0'..=b'9') => Digits::of_json_number(self.0).ok(),
            _ => None,
        }
    }

    fn time(self) -> Option<Timestamp> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        // A time needs no escapes, and one that has them is read only when it is none without.
        inner.parse().ok().or_else(|| serde_json::from_str::<String>(self.0).ok()?.parse().ok())
    }

    fn integer(self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn each_text(self, escaped: bool, show: &mut dyn FnMut(&str)) -> Option<()> {
        if escaped {
            return serde_json::Deserializer::from_str(self.0).deserialize_seq(Texts(show)).ok();
        }
        // The scanner has found a flat list without escapes in it, if it is a list at all.
        let mut rest = self.0.strip_prefix('[')?.trim_ascii_start();
        while let Some(text) = rest.strip_prefix('"') {
            let (text, after) = text.split_at_checked(plain_length(text.as_bytes())?)?;
            show(text);
            rest = after.strip_prefix('"')?.trim_ascii_start();
            rest = rest.strip_prefix(',').map_or(rest, str::trim_ascii_start);
        }
        (rest == "]").then_some(())
    }
}

pub fn read(text: &str, sink: &mut impl Sink) -> u64 {
    read_with(text, true, sink)
}

/// With `scan` off every object goes to serde_json: what the tests compare the scanner with.
pub fn read_with(text: &str, scan: bool, sink: &mut impl Sink) -> u64 {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, long_list: &[] };
    let mut record = Record::new();
    let mut malformed = 0;
    scanner.skip_space();
    if !scanner.take(b'[') {
        return 1;
    }
    loop {
        scanner.skip_space();
        let start = scanner.at;
        record.clear();
        if scan && scanner.plain_object(&mut record).is_some() {
            sink.message(&record);
        } else {
            let Some((raw, end)) = whole_value(text, start) else { return malformed + 1 };
            scanner.at = end;
            record.clear();
            if odd_object(raw, &mut record) {
                sink.message(&record);
            } else {
                malformed += 1;
            }
        }
        scanner.skip_space();
        if scanner.take(b']') {
            break;
        }
        if !scanner.take(b',') {
            return malformed + 1;
        }
    }
    scanner.skip_space();
    if scanner.at == text.len() { malformed } else { malformed + 1 }
}

/// The value that starts at `start`, no space before it, and where it ends; `None` at a syntax error. Iterative: depth
/// costs no stack.
fn whole_value(text: &str, start: usize) -> Option<(&RawValue, usize)> {
    let raw = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(text.get(start..)?)).ok()?;
    Some((raw, start + raw.get().len()))
}

/// False when the value is no object or names a known field twice.
fn odd_object<'a>(raw: &'a RawValue, record: &mut Record<JsonField<'a>>) -> bool {
    record.escaped = true;
    serde_json::Deserializer::from_str(raw.get()).deserialize_map(Fields(record)).is_ok()
}

struct Fields<'r, 'a>(&'r mut Record<JsonField<'a>>);

impl<'a> Visitor<'a> for Fields<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed)? {
            let raw: &'a RawValue = map.next_value()?;
            let Some(key) = key else { continue };
            if raw.get() != "null" && !self.0.put(key, JsonField(raw.get())) {
                return Err(A::Error::custom("a field twice"));
            }
        }
        Ok(())
    }
}

/// Recognises a key without keeping it.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<Key>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Key>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<Key>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Key>, E> {
        Ok(Key::of(text.as_bytes()))
    }
}

/// Shows the texts of a list without keeping them.
struct Texts<'s>(&'s mut dyn FnMut(&str));

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Shown(self.0))?.is_some() {}
        Ok(())
    }
}

struct Shown<'s>(&'s mut dyn FnMut(&str));

impl<'de> DeserializeSeed<'de> for Shown<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Shown<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.0)(text);
        Ok(())
    }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The last list of some length.
    long_list: &'a [u8],
}

/// Shorter lists are read as fast as they are compared.
const LONG_LIST: usize = 256;

impl<'a> Scanner<'a> {
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == byte;
        self.at += usize::from(there);
        there
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// `None` at anything that is not plain; the position is then of no meaning.
    #[inline]
    fn plain_object(&mut self, record: &mut Record<JsonField<'a>>) -> Option<()> {
        if !self.take(b'{') {
            return None;
        }
        loop {
            let key = self.key()?;
            let start = self.at;
            match self.peek() {
                b'"' => self.string()?,
                b'[' => self.flat_list()?,
                _ => self.number()?,
            }
            if let Some(key) = key
                && !record.put(key, JsonField(self.text.get(start..self.at)?))
            {
                return None;
            }
            // Venues write no spaces: the common ends are looked for before them.
            if self.take(b',') {
                continue;
            }
            self.skip_space();
            if self.take(b'}') {
                return Some(());
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    /// The key and the colon, and the spaces around them.
    #[inline]
    fn key(&mut self) -> Option<Option<Key>> {
        let (name, length) = match self.rest() {
            // A quote inside would end the key, a control character or an escape is no letter of a known one.
            [b'"', a @ b'A'..=b'z', b'"', b':', ..] if *a != b'\\' => (std::slice::from_ref(a), 4),
            [b'"', a @ b'a'..=b'z', b @ b'a'..=b'z', b'"', b':', ..] => (&[*a, *b][..], 5),
            _ => return self.any_key(),
        };
        let key = Key::of(name);
        self.at += length;
        if self.peek() <= b' ' {
            self.skip_space();
        }
        Some(key)
    }

    fn any_key(&mut self) -> Option<Option<Key>> {
        self.skip_space();
        let start = self.at;
        self.string()?;
        let key = Key::of(self.bytes.get(start + 1..self.at - 1)?);
        self.skip_space();
        if !self.take(b':') {
            return None;
        }
        self.skip_space();
        Some(key)
    }

    /// A string without escapes, passed over with both quotes.
    #[inline]
    fn string(&mut self) -> Option<()> {
        let (quote, rest) = self.rest().split_first()?;
        if *quote != b'"' {
            return None;
        }
        let length = plain_length(rest)?;
        self.at += length + 2;
        (rest[length] == b'"').then_some(())
    }

    /// The grammar of JSON alone: whether the number is acceptable, `Digits` decides.
    #[inline]
    fn number(&mut self) -> Option<()> {
        let rest = self.rest();
        let mut at = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(rest.get(at..)?);
        if whole == 0 || (whole > 1 && rest[at] == b'0') {
            return None;
        }
        at += whole;
        if rest.get(at) == Some(&b'.') {
            let fraction = digits(rest.get(at + 1..)?);
            if fraction == 0 {
                return None;
            }
            at += 1 + fraction;
        }
        if matches!(rest.get(at), Some(b'e' | b'E')) {
            at += 1 + usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(rest.get(at..)?);
            if exponent == 0 {
                return None;
            }
            at += exponent;
        }
        self.at += at;
        Some(())
    }

    /// An acknowledgement has the same long list several times: what has been read once is passed over as a whole. No
    /// list is the beginning of another.
    #[inline]
    fn flat_list(&mut self) -> Option<()> {
        let start = self.at;
        if !self.long_list.is_empty() && self.rest().starts_with(self.long_list) {
            self.at += self.long_list.len();
            return Some(());
        }
        self.new_list()?;
        if self.at - start >= LONG_LIST {
            self.long_list = self.bytes.get(start..self.at)?;
        }
        Some(())
    }

    fn new_list(&mut self) -> Option<()> {
        self.take(b'[');
        self.skip_space();
        if self.take(b']') {
            return Some(());
        }
        loop {
            self.skip_space();
            if self.peek() == b'"' {
                self.string()?
            } else {
                self.number()?
            }
            self.skip_space();
            if self.take(b']') {
                return Some(());
            }
            if !self.take(b',') {
                return None;
            }
        }
    }
}

#[inline]
fn digits(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len())
}

/// How many bytes come before the first quote, backslash or control character: eight are looked at in one go.
#[inline]
fn plain_length(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH * 0x80;
    // The high bit of each byte that is zero. A borrow can mark bytes above the first such byte, never one below it.
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    for (word, at) in words.iter().zip((0..).step_by(8)) {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(EACH * 0x20) & !word & HIGH;
        let ends = zeros(word ^ (EACH * u64::from(b'"'))) | zeros(word ^ (EACH * u64::from(b'\\'))) | control;
        if ends != 0 {
            return Some(at + ends.trailing_zeros() as usize / 8);
        }
    }
    let at = words.len() * 8;
    bytes[at..].iter().position(|b| *b == b'"' || *b == b'\\' || *b < 0x20).map(|length| at + length)
}
