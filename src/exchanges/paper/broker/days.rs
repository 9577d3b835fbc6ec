//! Trading days: those of New York, from midnight to midnight.
//!
//! Must not know accounts.

use crate::calendar::Calendar;
use crate::model::Timestamp;

/// Longer than any day, shorter than any two.
const A_DAY_AND_A_HALF: i64 = 36 * 3_600 * 1_000_000_000;

#[derive(Debug)]
pub(super) struct Days(Calendar);

impl Default for Days {
    fn default() -> Days {
        Days(Calendar::us_equities())
    }
}

impl Days {
    /// The day of a moment, counted from 1970.
    pub fn of(&self, at: Timestamp) -> i64 {
        self.begin(at).seconds().div_euclid(86_400)
    }

    /// When the day after that of a moment begins.
    pub fn end(&self, at: Timestamp) -> Timestamp {
        self.begin(Timestamp::from_nanos(self.begin(at).nanos().saturating_add(A_DAY_AND_A_HALF)))
    }

    fn begin(&self, at: Timestamp) -> Timestamp {
        self.0.midnight(self.0.date_at(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_turn_at_midnight_in_new_york_also_when_the_clocks_change() {
        let days = Days::default();
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        // 2026-03-08 has 23 hours there, 2026-11-01 has 25.
        for (begin, hours, day) in [(1_772_946_000, 23, 20_520), (1_793_505_600, 25, 20_758), (1_795_064_400, 24, 20_776)] {
            let end = begin + hours * 3_600;
            assert_eq!((days.of(at(begin - 1)), days.of(at(begin)), days.of(at(end - 1)), days.of(at(end))), (day - 1, day, day, day + 1));
            assert_eq!((days.end(at(begin)), days.end(at(end - 1)), days.end(at(begin - 1))), (at(end), at(end), at(begin)));
        }
    }
}
