//! Which stretch of time a bar covers, and the stretches of a range in turn.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use super::query::{Range, Sort};
use super::{Ask, Bad};
use crate::model::Timestamp;

const DAY: i64 = 1_440;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeframe {
    Minutes(i64),
    Day,
    Week,
    Months(i8),
}

/// A day of a series of minutes, or the whole of a longer bar.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub minutes: std::ops::Range<i64>,
    /// Minutes by which the zone is ahead of UTC.
    offset: i64,
}

impl Timeframe {
    pub(super) fn of(ask: &Ask<'_>) -> Result<Timeframe, Bad> {
        let text = ask.request.query("timeframe").ok_or_else(|| Bad::request("timeframe is required"))?;
        Timeframe::parse(text).ok_or_else(|| Bad::request(format!("invalid timeframe: {text}")))
    }

    fn parse(text: &str) -> Option<Timeframe> {
        let unit = text.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = text[..unit].parse().ok()?;
        match (&text[unit..], count) {
            ("Min" | "T", 1..=59) => Some(Timeframe::Minutes(count)),
            ("Hour" | "H", 1..=23) => Some(Timeframe::Minutes(count * 60)),
            ("Day" | "D", 1) => Some(Timeframe::Day),
            ("Week" | "W", 1) => Some(Timeframe::Week),
            ("Month" | "M", 1 | 2 | 3 | 4 | 6 | 12) => Some(Timeframe::Months(count as i8)),
            _ => None,
        }
    }

    /// The first day of the stretch that a day lies in.
    fn first(self, date: Date) -> Option<Date> {
        match self {
            Timeframe::Minutes(_) | Timeframe::Day => Some(date),
            Timeframe::Week => date.checked_sub(days(date.weekday().to_monday_zero_offset())).ok(),
            Timeframe::Months(count) => Date::new(date.year(), (date.month() - 1) / count * count + 1, 1).ok(),
        }
    }

    /// The first day of the stretch after the one that begins on `first`.
    fn after(self, first: Date) -> Option<Date> {
        let later = match self {
            Timeframe::Minutes(_) | Timeframe::Day => first.tomorrow(),
            Timeframe::Week => first.checked_add(days(7)),
            Timeframe::Months(count) => first.checked_add(jiff::Span::new().months(count)),
        };
        later.ok()
    }

    fn before(self, first: Date) -> Option<Date> {
        self.first(first.yesterday().ok()?)
    }

    /// The spans that bars of the range begin in, in its order. Days begin at midnight in New York; only the minutes
    /// and hours of pairs, which are traded through the change of the clocks, are counted in UTC.
    pub(super) fn spans(self, ask: &Ask<'_>, range: Range) -> impl Iterator<Item = Span> {
        let utc = ask.pairs && matches!(self, Timeframe::Minutes(_));
        let zone = if utc { TimeZone::UTC } else { ask.market.calendar().zone().clone() };
        let ascending = range.sort == Sort::Ascending;
        let begin = if ascending { range.from } else { range.to };
        let begin = if range.from <= range.to { self.first(zone.to_datetime(moment(begin)).date()) } else { None };
        let mut next = begin;
        std::iter::from_fn(move || {
            let first = next?;
            let until = self.after(first)?;
            let minutes = minute(&zone, first)?..minute(&zone, until)?;
            if minutes.start * 60 > range.to.seconds() || minutes.end * 60 <= range.from.seconds() {
                return None;
            }
            next = if ascending { Some(until) } else { self.before(first) };
            let noon = zone.to_timestamp(first.to_datetime(Time::constant(12, 0, 0, 0))).ok()?;
            Some(Span { minutes, offset: i64::from(zone.to_offset(noon).seconds()) / 60 })
        })
    }
}

impl Span {
    /// The minute that the bar of `length` minutes begins with which a minute belongs to.
    pub(super) fn bucket(&self, minute: i64, length: i64) -> i64 {
        minute - (minute + self.offset).rem_euclid(DAY) % length
    }
}

fn days(count: i8) -> jiff::Span {
    jiff::Span::new().days(count)
}

fn minute(zone: &TimeZone, date: Date) -> Option<i64> {
    Some(zone.to_timestamp(date.to_datetime(Time::midnight())).ok()?.as_second().div_euclid(60))
}

fn moment(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_frames_of_the_venue_and_no_others() {
        for (text, frame) in [
            ("1Min", Timeframe::Minutes(1)),
            ("59T", Timeframe::Minutes(59)),
            ("4Hour", Timeframe::Minutes(240)),
            ("23H", Timeframe::Minutes(1_380)),
            ("1Day", Timeframe::Day),
            ("1W", Timeframe::Week),
            ("12Month", Timeframe::Months(12)),
            ("3M", Timeframe::Months(3)),
        ] {
            assert_eq!(Timeframe::parse(text), Some(frame), "{text}");
        }
        for text in ["", "Min", "0Min", "60Min", "24H", "2Day", "5Month", "1min", "1Year", "-1Min", "99999999999999999999T"] {
            assert_eq!(Timeframe::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_belong_to_weeks_and_months() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert_eq!(Timeframe::Week.first(day("2026-11-22")), Some(day("2026-11-16")));
        assert_eq!(Timeframe::Months(3).first(day("2026-11-22")), Some(day("2026-10-01")));
        assert_eq!(Timeframe::Months(4).after(day("2026-09-01")), Some(day("2027-01-01")));
        assert_eq!(Timeframe::Months(6).before(day("2026-07-01")), Some(day("2026-01-01")));
    }
}
