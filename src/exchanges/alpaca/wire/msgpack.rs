//! MessagePack frames. Reads forward over the bytes, never recursively, and never believes a length before it has seen
//! the bytes.

use std::borrow::Cow;

use rmp::Marker;

use super::{Field, Key, Record, Sink};
use crate::model::{Digits, Timestamp};

/// The type number of the specification's own timestamps.
const TIMESTAMP: u8 = 0xff;

#[derive(Debug, Clone, Copy, Default)]
pub enum PackField<'a> {
    #[default]
    Other,
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
    /// UTF-8 is checked when somebody reads it.
    Text(&'a [u8]),
    Time(Timestamp),
    /// A list, with its head.
    List(&'a [u8]),
}

impl<'a> Field<'a> for PackField<'a> {
    fn text(self, _: bool) -> Option<Cow<'a, str>> {
        match self {
            PackField::Text(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            _ => None,
        }
    }

    fn digits(self) -> Option<Digits> {
        match self {
            PackField::Unsigned(value) => Some(Digits::from_u64(value)),
            PackField::Signed(value) => Some(Digits::from_i64(value)),
            PackField::Double(value) => Digits::from_f64(value).ok(),
            PackField::Single(value) => Digits::from_f64(shortest_of(value)?).ok(),
            _ => None,
        }
    }

    fn time(self) -> Option<Timestamp> {
        match self {
            PackField::Time(time) => Some(time),
            PackField::Text(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    fn integer(self) -> Option<i64> {
        match self {
            PackField::Unsigned(value) => i64::try_from(value).ok(),
            PackField::Signed(value) => Some(value),
            _ => None,
        }
    }

    fn each_text(self, _: bool, show: &mut dyn FnMut(&str)) -> Option<()> {
        let PackField::List(bytes) = self else { return None };
        let mut reader = Reader { rest: bytes };
        for _ in 0..reader.list_head()? {
            show(&reader.value()?.text(false)?);
        }
        Some(())
    }
}

/// The double with the digits that a single was meant to have: 0.1, not 0.10000000149011612.
fn shortest_of(value: f32) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    zmij::Buffer::new().format_finite(value).parse().ok()
}

/// Whether the frame begins as an array does.
pub fn is_array(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| matches!(Marker::from_u8(*first), Marker::FixArray(_) | Marker::Array16 | Marker::Array32))
}

pub fn read(bytes: &[u8], sink: &mut impl Sink) -> u64 {
    let mut reader = Reader { rest: bytes };
    let Some(count) = reader.list_head().filter(|count| *count > 0) else { return 1 };
    let mut record = Record::new();
    let mut malformed = 0;
    for _ in 0..count {
        record.clear();
        match reader.message(&mut record) {
            Some(true) => sink.message(&record),
            Some(false) => malformed += 1,
            None => return malformed + 1,
        }
    }
    if reader.rest.is_empty() { malformed } else { malformed + 1 }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    #[inline]
    fn marker(&mut self) -> Option<Marker> {
        self.array::<1>().map(|[byte]| Marker::from_u8(byte))
    }

    fn length8(&mut self) -> Option<usize> {
        self.array().map(|b| usize::from(u8::from_be_bytes(b)))
    }

    fn length16(&mut self) -> Option<usize> {
        self.array().map(|b| usize::from(u16::from_be_bytes(b)))
    }

    fn length32(&mut self) -> Option<usize> {
        self.array().map(|b| u32::from_be_bytes(b) as usize)
    }

    fn list_head(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixArray(count) => Some(usize::from(count)),
            Marker::Array16 => self.length16(),
            Marker::Array32 => self.length32(),
            _ => None,
        }
    }

    /// One element of a frame: false when it is no map or names a known field twice, `None` when the bytes end or make
    /// no sense.
    fn message(&mut self, record: &mut Record<PackField<'a>>) -> Option<bool> {
        let before = self.rest;
        let fields = match self.marker()? {
            Marker::FixMap(count) => usize::from(count),
            Marker::Map16 => self.length16()?,
            Marker::Map32 => self.length32()?,
            _ => {
                self.rest = before;
                self.value()?;
                return Some(false);
            }
        };
        let mut readable = true;
        for _ in 0..fields {
            let key = match self.value()? {
                PackField::Text(text) => Key::of(text),
                _ => None,
            };
            let nil = self.rest.first() == Some(&Marker::Null.to_u8());
            let value = self.value()?;
            if let Some(key) = key
                && !nil
            {
                readable &= record.put(key, value);
            }
        }
        Some(readable)
    }

    /// One value of any kind.
    fn value(&mut self) -> Option<PackField<'a>> {
        let start = self.rest;
        let text = |bytes| Some(PackField::Text(bytes));
        match self.marker()? {
            Marker::FixPos(value) => Some(PackField::Unsigned(u64::from(value))),
            Marker::FixNeg(value) => Some(PackField::Signed(i64::from(value))),
            Marker::U8 => self.array().map(|b| PackField::Unsigned(u64::from(u8::from_be_bytes(b)))),
            Marker::U16 => self.array().map(|b| PackField::Unsigned(u64::from(u16::from_be_bytes(b)))),
            Marker::U32 => self.array().map(|b| PackField::Unsigned(u64::from(u32::from_be_bytes(b)))),
            Marker::U64 => self.array().map(|b| PackField::Unsigned(u64::from_be_bytes(b))),
            Marker::I8 => self.array().map(|b| PackField::Signed(i64::from(i8::from_be_bytes(b)))),
            Marker::I16 => self.array().map(|b| PackField::Signed(i64::from(i16::from_be_bytes(b)))),
            Marker::I32 => self.array().map(|b| PackField::Signed(i64::from(i32::from_be_bytes(b)))),
            Marker::I64 => self.array().map(|b| PackField::Signed(i64::from_be_bytes(b))),
            Marker::F32 => self.array().map(|b| PackField::Single(f32::from_be_bytes(b))),
            Marker::F64 => self.array().map(|b| PackField::Double(f64::from_be_bytes(b))),
            Marker::FixStr(length) => text(self.bytes(usize::from(length))?),
            Marker::Str8 => self.length8().and_then(|length| self.bytes(length)).and_then(text),
            Marker::Str16 => self.length16().and_then(|length| self.bytes(length)).and_then(text),
            Marker::Str32 => self.length32().and_then(|length| self.bytes(length)).and_then(text),
            Marker::FixExt4 => self.extension(4),
            Marker::FixExt8 => self.extension(8),
            Marker::Ext8 => self.length8().and_then(|length| self.extension(length)),
            other => {
                self.rest = start;
                self.pass_over()?;
                let passed = start.get(..start.len() - self.rest.len())?;
                let list = matches!(other, Marker::FixArray(_) | Marker::Array16 | Marker::Array32);
                Some(if list { PackField::List(passed) } else { PackField::Other })
            }
        }
    }

    fn extension(&mut self, length: usize) -> Option<PackField<'a>> {
        let [kind] = self.array::<1>()?;
        let body = self.bytes(length)?;
        let time = if kind == TIMESTAMP { timestamp(body) } else { None };
        Some(time.map_or(PackField::Other, PackField::Time))
    }

    /// Goes past one value with all it holds, counting what is still owed instead of descending.
    fn pass_over(&mut self) -> Option<()> {
        let mut owed: u64 = 1;
        while owed > 0 {
            owed -= 1;
            let (skip, more) = match self.marker()? {
                Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => (0, 0),
                Marker::U8 | Marker::I8 => (1, 0),
                Marker::U16 | Marker::I16 => (2, 0),
                Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
                Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
                Marker::FixStr(length) => (usize::from(length), 0),
                Marker::Str8 | Marker::Bin8 => (self.length8()?, 0),
                Marker::Str16 | Marker::Bin16 => (self.length16()?, 0),
                Marker::Str32 | Marker::Bin32 => (self.length32()?, 0),
                Marker::FixExt1 => (2, 0),
                Marker::FixExt2 => (3, 0),
                Marker::FixExt4 => (5, 0),
                Marker::FixExt8 => (9, 0),
                Marker::FixExt16 => (17, 0),
                Marker::Ext8 => (self.length8()?.checked_add(1)?, 0),
                Marker::Ext16 => (self.length16()?.checked_add(1)?, 0),
                Marker::Ext32 => (self.length32()?.checked_add(1)?, 0),
                Marker::FixArray(count) => (0, usize::from(count)),
                Marker::Array16 => (0, self.length16()?),
                Marker::Array32 => (0, self.length32()?),
                Marker::FixMap(count) => (0, usize::from(count) * 2),
                Marker::Map16 => (0, self.length16()? * 2),
                Marker::Map32 => (0, self.length32()?.checked_mul(2)?),
                Marker::Reserved => return None,
            };
            self.bytes(skip)?;
            owed = owed.checked_add(more as u64)?;
        }
        Some(())
    }
}

/// The three forms of the specification: seconds, nanoseconds with seconds in 64 bits, and both in 96 bits.
fn timestamp(body: &[u8]) -> Option<Timestamp> {
    if let Ok(seconds) = <[u8; 4]>::try_from(body) {
        return Timestamp::from_parts(i64::from(u32::from_be_bytes(seconds)), 0).ok();
    }
    if let Ok(both) = <[u8; 8]>::try_from(body) {
        let both = u64::from_be_bytes(both);
        return Timestamp::from_parts((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32).ok();
    }
    let (nanos, seconds) = body.split_first_chunk::<4>()?;
    let seconds = i64::from_be_bytes(seconds.try_into().ok()?);
    Timestamp::from_parts(seconds, u32::from_be_bytes(*nanos)).ok()
}
