//! One message as the fields we know of it, whatever codec it came in.

use std::borrow::Cow;

use crate::model::{Digits, Timestamp};

macro_rules! keys {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// The fields that mean something to us; all others are skipped. Named after the wire, where one letter has
        /// several meanings: `c` is a trade's conditions and a bar's close.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Key { $($name),+ }

        /// Every key with its text on the wire.
        const TEXTS: &[(Key, &[u8])] = &[$((Key::$name, $text)),+];
    };
}

keys! {
    Type = b"T", Symbol = b"S", Time = b"t", P = b"p", S = b"s",
    Bp = b"bp", Bs = b"bs", Ap = b"ap", As = b"as",
    O = b"o", H = b"h", L = b"l", C = b"c", V = b"v", Vw = b"vw", N = b"n",
    Sc = b"sc", Sm = b"sm", Rc = b"rc", Rm = b"rm", Z = b"z",
    U = b"u", D = b"d", I = b"i", X = b"x", A = b"a",
    Oi = b"oi", Op = b"op", Os = b"os", Ci = b"ci", Cp = b"cp", Cs = b"cs",
    Msg = b"msg", Code = b"code",
    Trades = b"trades", Quotes = b"quotes", Bars = b"bars", UpdatedBars = b"updatedBars", DailyBars = b"dailyBars",
    Statuses = b"statuses", Lulds = b"lulds",
}

/// Keys of one letter, by the letter; keys of two small letters, by both.
static ONE: [Option<Key>; 256] = table(1);
static TWO: [Option<Key>; 26 * 26] = table(2);

const fn table<const N: usize>(length: usize) -> [Option<Key>; N] {
    let mut table = [None; N];
    let mut at = 0;
    while at < TEXTS.len() {
        let (key, text) = TEXTS[at];
        if text.len() == length {
            let index = if length == 1 { text[0] as usize } else { place(text[0], text[1]) };
            table[index] = Some(key);
        }
        at += 1;
    }
    table
}

const fn place(first: u8, second: u8) -> usize {
    (first - b'a') as usize * 26 + (second - b'a') as usize
}

impl Key {
    #[cfg(test)]
    pub fn all() -> impl Iterator<Item = Key> {
        TEXTS.iter().map(|(key, _)| *key)
    }

    /// The key of that name. Asked for every field of every message.
    #[inline]
    pub fn of(text: &[u8]) -> Option<Key> {
        match *text {
            [letter] => ONE[usize::from(letter)],
            [first @ b'a'..=b'z', second @ b'a'..=b'z'] => TWO[place(first, second)],
            _ => TEXTS.iter().find(|(_, known)| *known == text).map(|(key, _)| *key),
        }
    }
}

const KEYS: usize = TEXTS.len();
const _: () = assert!(KEYS <= 64, "the presence mask has 64 bits");

/// A value as its codec carries it. Each reading is `None` where the value is of another kind: a price in quotes is no
/// number.
pub trait Field<'a>: Copy + Default {
    /// `escaped`: the record's [`Record::escaped`].
    fn text(self, escaped: bool) -> Option<Cow<'a, str>>;
    fn digits(self) -> Option<Digits>;
    fn time(self) -> Option<Timestamp>;
    fn integer(self) -> Option<i64>;
    /// Shows every text of a list; `None` when it is no list of texts alone, whatever was shown of it.
    fn each_text(self, escaped: bool, show: &mut dyn FnMut(&str)) -> Option<()>;
}

/// The known fields of one message. Made once a frame and cleared for each message, which costs two words.
#[derive(Debug)]
pub struct Record<F> {
    present: u64,
    /// A text of this message may be written with escapes.
    pub escaped: bool,
    slots: [F; KEYS],
}

impl<'a, F: Field<'a>> Record<F> {
    pub fn new() -> Record<F> {
        Record { present: 0, escaped: false, slots: [F::default(); KEYS] }
    }

    pub fn clear(&mut self) {
        self.present = 0;
        self.escaped = false;
    }

    /// False when the message had the field already: such a message is ambiguous and not to be read.
    #[must_use]
    pub fn put(&mut self, key: Key, value: F) -> bool {
        let bit = 1 << key as u8;
        let fresh = self.present & bit == 0;
        self.present |= bit;
        self.slots[key as usize] = value;
        fresh
    }

    fn get(&self, key: Key) -> Option<F> {
        (self.present & (1 << key as u8) != 0).then(|| self.slots[key as usize])
    }

    pub fn has(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    pub fn text(&self, key: Key) -> Option<Cow<'a, str>> {
        self.get(key)?.text(self.escaped)
    }

    pub fn digits(&self, key: Key) -> Option<Digits> {
        self.get(key)?.digits()
    }

    pub fn time(&self, key: Key) -> Option<Timestamp> {
        self.get(key)?.time()
    }

    pub fn integer(&self, key: Key) -> Option<i64> {
        self.get(key)?.integer()
    }

    pub fn each_text(&self, key: Key, show: &mut dyn FnMut(&str)) -> Option<()> {
        self.get(key)?.each_text(self.escaped, show)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_text_and_nothing_else_is() {
        for (key, text) in TEXTS {
            assert_eq!(Key::of(text), Some(*key));
        }
        for stranger in ["", "y", "az", "zz", "Bp", "tT", "{}", "ms", "tradess", "\u{e9}"] {
            assert_eq!(Key::of(stranger.as_bytes()), None, "{stranger}");
        }
    }
}
