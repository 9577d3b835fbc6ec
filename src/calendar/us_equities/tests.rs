use jiff::civil::Weekday;

use super::*;

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The weekdays of a year without trading, and the days that close early.
fn exceptions(calendar: &Calendar, year: i16) -> (Vec<String>, Vec<String>) {
    let weekdays = date(year, 1, 1).series(jiff::Span::new().days(1)).take_while(|d| d.year() == year);
    let weekdays: Vec<Date> = weekdays.filter(|d| !matches!(d.weekday(), Weekday::Saturday | Weekday::Sunday)).collect();
    let short = |d: &Date| d.to_string()[5..].to_owned();
    let closed = weekdays.iter().filter(|d| calendar.day(**d).is_none()).map(short).collect();
    let early = |d: &&Date| calendar.day(**d).is_some_and(|day| day.close.nanos() - day.open.nanos() == 12_600_000_000_000);
    (closed, weekdays.iter().filter(early).map(short).collect())
}

#[test]
fn the_holidays_and_early_closes_of_known_years() {
    let calendar = Calendar::us_equities();
    for (year, closed, early) in [
        (2001, "01-01 01-15 02-19 04-13 05-28 07-04 09-03 09-11 09-12 09-13 09-14 11-22 12-25", "07-03 11-23 12-24"),
        (2002, "01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25", "07-05 11-29 12-24"),
        (2003, "01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25", "07-03 11-28 12-24 12-26"),
        (2004, "01-01 01-19 02-16 04-09 05-31 06-11 07-05 09-06 11-25 12-24", "11-26"),
        (2007, "01-01 01-02 01-15 02-19 04-06 05-28 07-04 09-03 11-22 12-25", "07-03 11-23 12-24"),
        (2012, "01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25", "07-03 11-23 12-24"),
        (2013, "01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25", "07-03 11-29 12-24"),
        (2018, "01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25", "07-03 11-23 12-24"),
        (2020, "01-01 01-20 02-17 04-10 05-25 07-03 09-07 11-26 12-25", "11-27 12-24"),
        (2021, "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24", "11-26"),
        (2022, "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26", "11-25"),
        (2023, "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25", "07-03 11-24"),
        (2024, "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25", "07-03 11-29 12-24"),
        (2025, "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25", "07-03 11-28 12-24"),
        (2026, "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25", "11-27 12-24"),
        (2027, "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24", "11-26"),
        (2028, "01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25", "07-03 11-24"),
    ] {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(exceptions(&calendar, year), (list(closed), list(early)), "{year}");
    }
}

#[test]
fn a_new_year_on_a_saturday_is_not_made_up_for() {
    let calendar = Calendar::us_equities();
    assert!(calendar.day(day("2021-12-31")).is_some() && calendar.day(day("2022-01-03")).is_some());
    assert!(calendar.day(day("2022-01-01")).is_none());
    assert!(calendar.day(day("1999-12-31")).is_none() && calendar.day(day("2100-01-04")).is_none());
}

#[test]
fn every_year_has_a_plausible_number_of_days() {
    let calendar = Calendar::us_equities();
    for year in YEARS {
        let days = calendar.days(date(year, 1, 1), date(year, 12, 31)).count();
        assert!((248..=253).contains(&days), "{year}: {days}");
    }
    assert_eq!(calendar.days(date(2024, 1, 1), date(2024, 12, 31)).count(), 252);
    assert_eq!(calendar.days(date(2025, 1, 1), date(2024, 1, 1)).count(), 0);
    assert_eq!(calendar.days(date(2025, 1, 3), date(2025, 1, 3)).count(), 1);
}

#[test]
fn sessions_follow_eastern_time_through_the_change_of_the_clocks() {
    let calendar = Calendar::us_equities();
    for (time, session) in [
        // A Friday in winter time, the Monday after in summer time, one hour earlier in UTC.
        ("2026-03-06T08:59:59.999999999Z", MarketSession::Closed),
        ("2026-03-06T09:00:00Z", MarketSession::Pre),
        ("2026-03-06T14:29:59Z", MarketSession::Pre),
        ("2026-03-06T14:30:00Z", MarketSession::Regular),
        ("2026-03-09T13:29:59Z", MarketSession::Pre),
        ("2026-03-09T13:30:00Z", MarketSession::Regular),
        ("2026-03-09T20:00:00Z", MarketSession::Post),
        ("2026-03-10T00:00:00Z", MarketSession::Closed),
        ("2026-11-02T14:29:59Z", MarketSession::Pre),
        ("2026-11-02T14:30:00Z", MarketSession::Regular),
        // The clocks changed in April until 2006.
        ("2006-03-20T14:29:59Z", MarketSession::Pre),
        ("2006-04-03T13:30:00Z", MarketSession::Regular),
        // After Thanksgiving, and on it.
        ("2026-11-27T17:59:59Z", MarketSession::Regular),
        ("2026-11-27T18:00:00Z", MarketSession::Post),
        ("2026-11-27T22:00:00Z", MarketSession::Closed),
        ("2026-11-26T16:00:00Z", MarketSession::Closed),
    ] {
        assert_eq!(calendar.session_at(at(time)), session, "{time}");
    }
}

#[test]
fn changes_follow_one_another_over_a_weekend_and_a_holiday() {
    let calendar = Calendar::us_equities();
    let mut now = at("2026-07-02T12:00:00Z");
    let mut seen = Vec::new();
    for _ in 0..6 {
        let (when, session) = calendar.next_change(now);
        seen.push((when.to_string()[..16].to_owned(), session));
        now = when;
    }
    let wanted = [
        ("2026-07-02T13:30", MarketSession::Regular),
        ("2026-07-02T20:00", MarketSession::Post),
        ("2026-07-03T00:00", MarketSession::Closed),
        ("2026-07-06T08:00", MarketSession::Pre),
        ("2026-07-06T13:30", MarketSession::Regular),
        ("2026-07-06T20:00", MarketSession::Post),
    ];
    assert_eq!(seen, wanted.map(|(when, session)| (when.to_owned(), session)));
    assert_eq!(calendar.next_open(at("2026-07-02T13:30:00Z")), Some(at("2026-07-06T13:30:00Z")));
    assert_eq!(calendar.next_close(at("2026-07-02T13:30:00Z")), Some(at("2026-07-02T20:00:00Z")));
    assert_eq!(calendar.next_change(at("2100-06-01T00:00:00Z")), (Timestamp::from_nanos(i64::MAX), MarketSession::Closed));
    assert_eq!(calendar.next_open(at("2100-06-01T00:00:00Z")), None);
}

#[test]
fn what_is_remembered_changes_no_answer() {
    let calendar = Calendar::us_equities();
    let start = at("2026-11-25T00:00:00Z").nanos();
    for n in (0..700).chain((0..700).rev()) {
        let now = Timestamp::from_nanos(start + n * 607_000_000_000);
        assert_eq!(calendar.session_at(now), Calendar::us_equities().session_at(now), "{now}");
        let (change, session) = calendar.next_change(now);
        assert!(change > now && calendar.session_at(change) == session && session != calendar.session_at(now));
    }
}

#[test]
fn trades_settle_on_days_of_trading_when_banks_are_open() {
    let calendar = Calendar::us_equities();
    for (traded, settled) in [
        ("2026-11-25", "2026-11-27"),
        ("2026-10-09", "2026-10-13"),
        ("2024-05-24", "2024-05-29"),
        ("2024-05-28", "2024-05-29"),
        ("2024-11-08", "2024-11-12"),
        ("2016-07-01", "2016-07-07"),
    ] {
        assert_eq!(calendar.day(day(traded)).unwrap().settlement, day(settled), "{traded}");
    }
}

#[test]
fn the_rule_that_stands_in_for_the_zone_agrees_with_it() {
    let rule = TimeZone::posix(ZONE_RULE).unwrap();
    let calendar = Calendar::us_equities();
    for day in calendar.days(date(2007, 3, 1), date(2030, 12, 31)) {
        let by_rule = rule.to_timestamp(day.date.to_datetime(OPEN)).unwrap();
        assert_eq!(i128::from(day.open.nanos()), by_rule.as_nanosecond());
        assert_eq!(calendar.midnight(day.date).nanos() + 34_200_000_000_000, day.open.nanos());
    }
}
