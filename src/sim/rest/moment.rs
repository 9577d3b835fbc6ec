//! Times in requests and answers: instants, and days in New York.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::Timestamp;

const MARKET_ZONE: &str = "America/New_York";

/// An instant, or a date for its midnight in New York.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    // A plus sign in a query may have become a space.
    text.parse().or_else(|_| text.replace(' ', "+").parse()).ok().or_else(|| midnight(text.parse().ok()?))
}

/// The beginning of a day in New York.
pub(super) fn midnight(date: Date) -> Option<Timestamp> {
    let zone = TimeZone::get(MARKET_ZONE).ok()?;
    let nanos = date.to_zoned(zone).ok()?.timestamp().as_nanosecond();
    i64::try_from(nanos).ok().map(Timestamp::from_nanos)
}
