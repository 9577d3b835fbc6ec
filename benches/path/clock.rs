//! Wall-clock nanoseconds, and the spellings of a time found in messages.
//!
//! All processes of a run read the same clock of the same machine, so a time written by one is a latency in another.

use std::time::{SystemTime, UNIX_EPOCH};

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
pub struct Rfc3339 {
    second: u64,
    text: [u8; RFC3339_LEN],
}

impl Default for Rfc3339 {
    fn default() -> Rfc3339 {
        Rfc3339 { second: u64::MAX, text: *b"1970-01-01T00:00:00.000000000Z" }
    }
}

impl Rfc3339 {
    pub fn format(&mut self, ns: u64) -> &[u8; RFC3339_LEN] {
        let second = ns / NS;
        if second != self.second {
            self.second = second;
            let (year, month, day) = civil_from_days((second / 86_400) as i64);
            let in_day = second % 86_400;
            put_digits(&mut self.text[0..4], year as u64);
            put_digits(&mut self.text[5..7], month);
            put_digits(&mut self.text[8..10], day);
            put_digits(&mut self.text[11..13], in_day / 3_600);
            put_digits(&mut self.text[14..16], in_day / 60 % 60);
            put_digits(&mut self.text[17..19], in_day % 60);
        }
        put_digits(&mut self.text[20..29], ns % NS);
        &self.text
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
            let field = |from: usize, to: usize| leading_number(&prefix[from..to]);
            let days = days_from_civil(field(0, 4)? as i64, field(5, 7)?, field(8, 10)?);
            self.second = days as u64 * 86_400 + field(11, 13)? * 3_600 + field(14, 16)? * 60 + field(17, 19)?;
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

// Proleptic Gregorian calendar, on a year that starts in March so that the leap day comes last.
fn civil_from_days(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u64, day as u64)
}

fn days_from_civil(year: i64, month: u64, day: u64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month as i64 + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day as i64 - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
