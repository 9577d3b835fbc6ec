//! The trading days of the New York exchanges and the phase of each moment, in Eastern time with its summer time.

use jiff::civil::{Date, Time, date};
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::holidays::{YEARS, closes_early, is_closed, settles};
use crate::model::{MarketSession, Timestamp};

const ZONE: &str = "America/New_York";
/// What the zone has been since 2007, should its history be missing.
const ZONE_RULE: &str = "EST5EDT,M3.2.0,M11.1.0";

const PRE: Time = Time::constant(4, 0, 0, 0);
const OPEN: Time = Time::constant(9, 30, 0, 0);
const CLOSE: Time = Time::constant(16, 0, 0, 0);
const EARLY_CLOSE: Time = Time::constant(13, 0, 0, 0);
const POST: Time = Time::constant(20, 0, 0, 0);
const EARLY_POST: Time = Time::constant(17, 0, 0, 0);

/// Trades settle so many days later, since then.
const SETTLEMENT: [(Date, u8); 2] = [(date(2024, 5, 28), 1), (date(2017, 9, 5), 2)];
const OLD_SETTLEMENT: u8 = 3;

/// One day of trading. Open and close bound the regular session, the other two the day with its extended hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketDay {
    pub date: Date,
    pub open: Timestamp,
    pub close: Timestamp,
    pub session_open: Timestamp,
    pub session_close: Timestamp,
    pub settlement: Date,
}

impl MarketDay {
    /// The phase at a moment of this day, and when it ends; `None` before and after the day.
    fn phase(&self, at: Timestamp) -> Option<Phase> {
        let bounds = [
            (self.session_open, self.open, MarketSession::Pre),
            (self.open, self.close, MarketSession::Regular),
            (self.close, self.session_close, MarketSession::Post),
        ];
        bounds.into_iter().find(|(from, until, _)| (*from..*until).contains(&at)).map(|(from, until, session)| Phase { from, until, session })
    }
}

/// A stretch of time in which the session does not change.
#[derive(Debug, Clone, Copy)]
struct Phase {
    from: Timestamp,
    until: Timestamp,
    session: MarketSession,
}

/// The calendar of a market, right from 2000 to 2099; outside these years there is no trading. Asking for the session of
/// the present costs a comparison: the phase that was asked for last is remembered.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    latest: Mutex<Option<Phase>>,
}

impl Calendar {
    /// The New York Stock Exchange and Nasdaq.
    pub fn us_equities() -> Calendar {
        Calendar { zone: eastern(), latest: Mutex::new(None) }
    }

    /// The zone that the market's days are days of.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The market's date at a moment.
    pub fn date_at(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(moment(at)).date()
    }

    /// When a date begins there.
    pub fn midnight(&self, date: Date) -> Timestamp {
        self.instant(date, Time::midnight())
    }

    /// The trading day of a date; `None` when there is no trading on it.
    pub fn day(&self, date: Date) -> Option<MarketDay> {
        if !YEARS.contains(&date.year()) || is_closed(date) {
            return None;
        }
        let (close, session_close) = if closes_early(date) { (EARLY_CLOSE, EARLY_POST) } else { (CLOSE, POST) };
        Some(MarketDay {
            date,
            open: self.instant(date, OPEN),
            close: self.instant(date, close),
            session_open: self.instant(date, PRE),
            session_close: self.instant(date, session_close),
            settlement: settlement(date),
        })
    }

    /// The trading days from one date to another, both included.
    pub fn days(&self, from: Date, to: Date) -> impl DoubleEndedIterator<Item = MarketDay> {
        let (from, to) = (from.max(first_date()), to.min(last_date()));
        let count = if from > to { -1 } else { days_between(from, to) };
        (0..=count).filter_map(move |n| self.day(plus_days(from, n)?))
    }

    pub fn session_at(&self, at: Timestamp) -> MarketSession {
        self.phase_at(at).session
    }

    /// When the session after that of `at` begins, and which it is. Beyond the last day: the end of time, closed.
    pub fn next_change(&self, at: Timestamp) -> (Timestamp, MarketSession) {
        let until = self.phase_at(at).until;
        (until, self.session_at(until))
    }

    /// The first opening of a regular session after `at`.
    pub fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        self.days_after(at).map(|day| day.open).find(|open| *open > at)
    }

    /// The first close of a regular session after `at`.
    pub fn next_close(&self, at: Timestamp) -> Option<Timestamp> {
        self.days_after(at).map(|day| day.close).find(|close| *close > at)
    }

    /// The trading days from that of `at` on.
    fn days_after(&self, at: Timestamp) -> impl Iterator<Item = MarketDay> {
        self.days(self.date_at(at), last_date())
    }

    fn phase_at(&self, at: Timestamp) -> Phase {
        let mut latest = self.latest.lock();
        if let Some(phase) = latest.filter(|phase| (phase.from..phase.until).contains(&at)) {
            return phase;
        }
        let phase = self.find_phase(at);
        *latest = Some(phase);
        phase
    }

    fn find_phase(&self, at: Timestamp) -> Phase {
        if let Some(phase) = self.day(self.date_at(at)).and_then(|day| day.phase(at)) {
            return phase;
        }
        let until = self.days_after(at).map(|day| day.session_open).find(|open| *open > at);
        Phase { from: at, until: until.unwrap_or(Timestamp::from_nanos(i64::MAX)), session: MarketSession::Closed }
    }

    /// The hours of trading and midnights are never skipped or repeated by a change of the clocks.
    fn instant(&self, date: Date, time: Time) -> Timestamp {
        let zoned = self.zone.to_timestamp(date.to_datetime(time));
        let nanos = zoned.map_or(0, |at| i64::try_from(at.as_nanosecond()).unwrap_or_default());
        Timestamp::from_nanos(nanos)
    }
}

#[expect(clippy::expect_used, reason = "the rule is a constant, which a test reads")]
fn eastern() -> TimeZone {
    TimeZone::get(ZONE).unwrap_or_else(|_| TimeZone::posix(ZONE_RULE).expect("a rule as POSIX wants it"))
}

fn moment(at: Timestamp) -> jiff::Timestamp {
    // All nanoseconds of an i64 lie within what the library can represent.
    jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default()
}

fn settlement(traded: Date) -> Date {
    let days = SETTLEMENT.iter().find(|(since, _)| traded >= *since).map_or(OLD_SETTLEMENT, |(_, days)| *days);
    let after = (1..).map_while(|n| plus_days(traded, n));
    after.filter(|day| settles(*day)).nth(usize::from(days) - 1).unwrap_or(traded)
}

fn first_date() -> Date {
    date(*YEARS.start(), 1, 1)
}

fn last_date() -> Date {
    date(*YEARS.end(), 12, 31)
}

fn days_between(from: Date, to: Date) -> i32 {
    from.duration_until(to).as_hours() as i32 / 24
}

fn plus_days(from: Date, days: i32) -> Option<Date> {
    from.checked_add(jiff::Span::new().days(days)).ok()
}

#[cfg(test)]
mod tests;
