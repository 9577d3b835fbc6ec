//! The days on which the exchanges of the United States stay closed or close early, by rule, and the few that no rule
//! foresees.

use jiff::civil::{Date, Weekday, date};

/// The years that the rules below are right for.
pub(super) const YEARS: std::ops::RangeInclusive<i16> = 2000..=2099;
/// The first year in which the exchanges kept Juneteenth.
const JUNETEENTH_SINCE: i16 = 2022;
/// Since then the early close of a Thursday's Independence Day is on the day before it, not after.
const JULY_THIRD_SINCE: i16 = 2013;

/// Attacks, mourning, a hurricane.
const SPECIAL_CLOSURES: [Date; 10] = [
    date(2001, 9, 11),
    date(2001, 9, 12),
    date(2001, 9, 13),
    date(2001, 9, 14),
    date(2004, 6, 11),
    date(2007, 1, 2),
    date(2012, 10, 29),
    date(2012, 10, 30),
    date(2018, 12, 5),
    date(2025, 1, 9),
];
const SPECIAL_EARLY_CLOSES: [Date; 1] = [date(2003, 12, 26)];

/// No trading all day: weekends, holidays, special closures.
pub(super) fn is_closed(day: Date) -> bool {
    is_weekend(day) || is_holiday(day) || SPECIAL_CLOSURES.contains(&day)
}

/// Of a trading day: it ends at 13:00.
pub(super) fn closes_early(day: Date) -> bool {
    let independence = weekday(day.year(), 7, 4);
    match (day.month(), day.day()) {
        (7, 3) if independence == Weekday::Thursday => day.year() >= JULY_THIRD_SINCE,
        (7, 3) => matches!(independence, Weekday::Tuesday | Weekday::Wednesday | Weekday::Friday),
        (7, 5) => independence == Weekday::Thursday && day.year() < JULY_THIRD_SINCE,
        (11, at) => day.weekday() == Weekday::Friday && is_nth(at - 1, 4),
        (12, 24) => true,
        _ => SPECIAL_EARLY_CLOSES.contains(&day),
    }
}

/// Money moves: a trading day that is no holiday of the banks.
pub(super) fn settles(day: Date) -> bool {
    let banks_closed = match (day.month(), day.day()) {
        (10, at) => day.weekday() == Weekday::Monday && is_nth(at, 2),
        (11, 11) => true,
        (11, 12) => day.weekday() == Weekday::Monday,
        _ => false,
    };
    !is_closed(day) && !banks_closed
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn is_holiday(day: Date) -> bool {
    let (year, at) = (day.year(), day.day());
    let monday = day.weekday() == Weekday::Monday;
    match day.month() {
        // A New Year's Day on a Saturday is not made up for: the year before ends with a full day.
        1 => at == 1 || (at == 2 && monday) || (monday && is_nth(at, 3)),
        2 => monday && is_nth(at, 3),
        3 | 4 => day.weekday() == Weekday::Friday && easter(year).and_then(|sunday| sunday.yesterday()?.yesterday()).ok() == Some(day),
        5 => monday && at > 24,
        6 => year >= JUNETEENTH_SINCE && is_observed(day, 19),
        7 => is_observed(day, 4),
        9 => monday && is_nth(at, 1),
        11 => day.weekday() == Weekday::Thursday && is_nth(at, 4),
        12 => is_observed(day, 25),
        _ => false,
    }
}

/// The holiday on day `of` of the month is kept on `day`: on the Friday before a Saturday, on the Monday after a Sunday.
fn is_observed(day: Date, of: i8) -> bool {
    let at = day.day();
    at == of || (at == of - 1 && day.weekday() == Weekday::Friday) || (at == of + 1 && day.weekday() == Weekday::Monday)
}

/// Day `at` of a month is the `nth` of its weekday.
fn is_nth(at: i8, nth: i8) -> bool {
    at > 7 * (nth - 1) && at <= 7 * nth
}

fn weekday(year: i16, month: i8, day: i8) -> Weekday {
    date(year, month, day).weekday()
}

/// Easter Sunday of the Gregorian calendar, by the anonymous algorithm.
fn easter(year: i16) -> Result<Date, jiff::Error> {
    let (golden, century, rest) = (year % 19, year / 100, year % 100);
    let correction = (century + 8) / 25;
    let epact = (19 * golden + century - century / 4 - (century - correction + 1) / 3 + 15) % 30;
    let to_sunday = (32 + 2 * (century % 4) + 2 * (rest / 4) - epact - rest % 4) % 7;
    let late = (golden + 11 * epact + 22 * to_sunday) / 451;
    let sum = epact + to_sunday - 7 * late + 114;
    Date::new(year, (sum / 31) as i8, (sum % 31 + 1) as i8)
}
