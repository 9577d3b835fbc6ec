//! Points in time: UTC nanoseconds, RFC 3339 in and out.
//!
//! Must not read the clock.

use std::fmt;
use std::str::FromStr;

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// Nanoseconds since 1970-01-01T00:00:00Z, good until the year 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    #[error("not an RFC 3339 time with a zone")]
    Form,
    #[error("a time outside 1970 to 2261")]
    Range,
}

impl Timestamp {
    pub const fn from_nanos(nanos: i64) -> Timestamp {
        Timestamp(nanos)
    }

    pub const fn nanos(self) -> i64 {
        self.0
    }

    pub const fn micros(self) -> i64 {
        self.0 / 1_000
    }

    pub const fn millis(self) -> i64 {
        self.0 / 1_000_000
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS)
    }

    /// From whole seconds and nanoseconds, as binary codecs carry them.
    pub fn from_parts(seconds: i64, nanos: u32) -> Result<Timestamp, TimestampError> {
        if seconds < 0 || nanos >= NANOS as u32 {
            return Err(TimestampError::Range);
        }
        let whole = seconds.checked_mul(NANOS).ok_or(TimestampError::Range)?;
        whole.checked_add(i64::from(nanos)).map(Timestamp).ok_or(TimestampError::Range)
    }

    /// Appends `2026-11-20T14:30:00.123456789Z`: always nine decimals, so that texts sort as times do.
    pub fn write_rfc3339(self, out: &mut Vec<u8>) {
        TimeText::default().write(self, out);
    }
}

/// Writes times as [`Timestamp::write_rfc3339`] does, for somebody who writes many of about the same second: its text
/// is kept.
#[derive(Debug, Clone)]
pub struct TimeText {
    second: i64,
    text: [u8; 30],
}

impl Default for TimeText {
    fn default() -> TimeText {
        TimeText { second: 0, text: *b"1970-01-01T00:00:00.000000000Z" }
    }
}

impl TimeText {
    pub fn write(&mut self, at: Timestamp, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text(at));
    }

    pub fn text(&mut self, at: Timestamp) -> &[u8; 30] {
        let second = at.seconds();
        if second != self.second {
            self.second = second;
            let (year, month, day) = civil_from_days(second.div_euclid(DAY));
            let of_day = second.rem_euclid(DAY);
            put(&mut self.text[0..4], year);
            put(&mut self.text[5..7], month);
            put(&mut self.text[8..10], day);
            put(&mut self.text[11..13], of_day / 3_600);
            put(&mut self.text[14..16], of_day / 60 % 60);
            put(&mut self.text[17..19], of_day % 60);
        }
        // With a one before them the nine decimals keep their zeros.
        let nanos = NANOS + at.0.rem_euclid(NANOS);
        self.text[20..29].copy_from_slice(&itoa::Buffer::new().format(nanos).as_bytes()[1..]);
        &self.text
    }
}

fn put(field: &mut [u8], mut value: i64) {
    for byte in field.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Gregorian date of a day number (0 = 1970-01-01), by counting in 400-year eras that start in March.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The number that `N` digits make.
#[inline]
fn number<const N: usize>(digits: &[u8; N]) -> Result<i64, TimestampError> {
    let (mut sum, mut all) = (0, true);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        all &= digit < 10;
        sum = sum * 10 + i64::from(digit);
    }
    if all { Ok(sum) } else { Err(TimestampError::Form) }
}

/// The nanoseconds that one to nine decimals make, and how many bytes they were.
fn decimals(bytes: &[u8]) -> Result<(i64, usize), TimestampError> {
    let (mut nanos, mut unit, mut count) = (0, NANOS, 0);
    while let Some(byte) = bytes.get(count).filter(|byte| byte.is_ascii_digit()) {
        if count == 9 {
            return Err(TimestampError::Form);
        }
        unit /= 10;
        nanos += i64::from(byte - b'0') * unit;
        count += 1;
    }
    if count == 0 { Err(TimestampError::Form) } else { Ok((nanos, count)) }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Takes zero to nine decimals and `Z` or an offset; a leap second counts as the second before it.
    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        let Some((b, mut rest)) = text.as_bytes().split_first_chunk::<19>() else { return Err(TimestampError::Form) };
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', n1, n2, b':', s1, s2] = *b else {
            return Err(TimestampError::Form);
        };
        let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
        let (hour, minute, second) = (number(&[h1, h2])?, number(&[n1, n2])?, number(&[s1, s2])?);
        if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return Err(TimestampError::Form);
        }
        let mut nanos = 0;
        if let [b'.', fraction @ ..] = rest {
            let (read, count) = decimals(fraction)?;
            nanos = read;
            rest = &fraction[count..];
        }
        let offset = match rest {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
                if hours > 23 || minutes > 59 {
                    return Err(TimestampError::Form);
                }
                (hours * 3_600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return Err(TimestampError::Form),
        };
        if !(1970..=2261).contains(&year) {
            return Err(TimestampError::Range);
        }
        let seconds = days_from_civil(year, month, day) * DAY + hour * 3_600 + minute * 60 + second.min(59) - offset;
        Timestamp::from_parts(seconds, nanos as u32)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(30);
        self.write_rfc3339(&mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_exchanges_write() {
        for (text, shown) in [
            ("2021-02-22T15:51:44.208Z", "2021-02-22T15:51:44.208000000Z"),
            ("2021-02-22T15:51:45.3355677Z", "2021-02-22T15:51:45.335567700Z"),
            ("2022-04-28T14:07:04.451420928-04:00", "2022-04-28T18:07:04.451420928Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000000Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(|t| t.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2021-02-22",
            "2021-02-22T15:51:44",
            "2021-02-30T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "2021-02-22T25:00:00Z",
            "2021-02-22T15:51:44.Z",
            "2021-02-22T15:51:44.1234567890Z",
            "２021-02-22T15:51:44Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text:?} was taken for a time");
        }
    }

    #[test]
    fn the_first_and_the_last_time_can_be_written() {
        for (nanos, text) in [(i64::MAX, "2262-04-11T23:47:16.854775807Z"), (-1, "1969-12-31T23:59:59.999999999Z")] {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos in 0i64..9_214_646_400_000_000_000) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        }

        #[test]
        fn a_kept_second_is_never_that_of_another_time(times in prop::collection::vec(0i64..4_000_000_000, 1..20)) {
            let mut kept = TimeText::default();
            for nanos in times {
                let mut text = Vec::new();
                kept.write(Timestamp::from_nanos(nanos), &mut text);
                prop_assert_eq!(String::from_utf8(text).unwrap(), Timestamp::from_nanos(nanos).to_string());
            }
        }
    }
}
