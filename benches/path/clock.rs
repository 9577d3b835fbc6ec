//! Wall-clock nanoseconds, and the spellings of a time found in messages.
//!
//! All processes of a run read the same clock of the same machine, so a time written by one is a latency in another.

use std::time::{SystemTime, UNIX_EPOCH};

use alpaca_broker::model::{TimeText, Timestamp};

pub const NS: u64 = 1_000_000_000;
pub const RFC3339_LEN: usize = 30;

pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Writes the value right-aligned and zero-padded into all of `out`.
pub fn put_digits(out: &mut [u8], mut value: u64) {
    for slot in out.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// RFC 3339 with nanoseconds, always of the same length. The whole second is kept: consecutive stamps mostly share it.
#[derive(Default)]
pub struct Rfc3339(TimeText);

impl Rfc3339 {
    pub fn format(&mut self, ns: u64) -> &[u8; RFC3339_LEN] {
        self.0.text(Timestamp::from_nanos(ns as i64))
    }
}

/// When a message says it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    Exact(u64),
    /// To the second: good for order, not for latency.
    Second(u64),
}

impl Stamp {
    pub fn ns(self) -> u64 {
        let (Stamp::Exact(ns) | Stamp::Second(ns)) = self;
        ns
    }
}

/// Reads RFC 3339 text with up to nine digits of fraction, and whole Unix seconds.
#[derive(Default)]
pub struct StampReader {
    prefix: [u8; 19],
    second: u64,
}

impl StampReader {
    pub fn read(&mut self, text: &[u8]) -> Option<Stamp> {
        match text.first()? {
            b'"' => self.rfc3339(text.get(1..)?).map(Stamp::Exact),
            _ => leading_number(text).map(|second| Stamp::Second(second * NS)),
        }
    }

    pub fn rfc3339(&mut self, text: &[u8]) -> Option<u64> {
        let prefix = text.get(..19)?;
        if prefix != self.prefix {
            let whole: Timestamp = format!("{}Z", std::str::from_utf8(prefix).ok()?).parse().ok()?;
            self.second = whole.seconds() as u64;
            self.prefix.copy_from_slice(prefix);
        }
        let fraction = if text.get(19) == Some(&b'.') { fraction_ns(&text[20..]) } else { 0 };
        Some(self.second * NS + fraction)
    }
}

/// The whole number that the text begins with.
pub fn leading_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    text[..digits].iter().try_fold(0u64, |value, b| value.checked_mul(10)?.checked_add(u64::from(b - b'0')))
}

fn fraction_ns(text: &[u8]) -> u64 {
    let mut value = 0;
    let mut unit = NS / 10;
    for digit in text.iter().take(9).take_while(|b| b.is_ascii_digit()) {
        value += u64::from(digit - b'0') * unit;
        unit /= 10;
    }
    value
}
