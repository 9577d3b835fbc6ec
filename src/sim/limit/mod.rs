//! How many REST requests a key may make a minute, and what its answers say about it.
//!
//! Pure: time is passed in. Windows are the minutes of the exchange's clock, as the venue's reset times show. Must not
//! know HTTP or keys beyond their names.

use std::collections::HashMap;

use crate::model::Timestamp;

const MINUTE: i64 = 60;

/// The two hosts of the venue count apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Trading,
    Data,
}

impl Host {
    /// The host that serves a REST path.
    pub(super) fn of(path: &str) -> Host {
        let data = ["/v2/stocks", "/v1beta1/", "/v1beta3/"].iter().any(|start| path.starts_with(start));
        if data { Host::Data } else { Host::Trading }
    }
}

/// What is left of a minute after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// Unix seconds at which the next minute begins.
    pub reset: i64,
    pub granted: bool,
}

#[derive(Debug, Default)]
pub(super) struct Limiter {
    minute: i64,
    used: HashMap<(String, Host), u32>,
}

impl Limiter {
    /// Counts one request of `who`.
    pub(super) fn count(&mut self, who: &str, host: Host, limit: u32, now: Timestamp) -> Allowance {
        let minute = now.seconds().div_euclid(MINUTE);
        if minute != self.minute {
            self.minute = minute;
            self.used.clear();
        }
        let used = self.used.entry((who.to_owned(), host)).or_default();
        let granted = *used < limit;
        *used += u32::from(granted);
        Allowance { limit, remaining: limit - *used, reset: (minute + 1) * MINUTE, granted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn the_last_of_a_minute_passes_and_the_next_waits_for_the_reset() {
        let mut limiter = Limiter::default();
        let mut count = |who: &str, host, second| {
            let left = limiter.count(who, host, 3, at(second));
            (left.granted, left.remaining, left.reset)
        };
        assert_eq!(count("a", Host::Trading, 600), (true, 2, 660));
        assert_eq!(count("a", Host::Trading, 601), (true, 1, 660));
        assert_eq!(count("a", Host::Data, 602), (true, 2, 660));
        assert_eq!(count("b", Host::Trading, 602), (true, 2, 660));
        assert_eq!(count("a", Host::Trading, 659), (true, 0, 660));
        assert_eq!(count("a", Host::Trading, 659), (false, 0, 660));
        assert_eq!(count("a", Host::Trading, 660), (true, 2, 720));
    }

    #[test]
    fn paths_belong_to_their_host() {
        for (path, host) in [
            ("/v2/orders", Host::Trading),
            ("/v2/stocks/bars", Host::Data),
            ("/v1beta1/news", Host::Data),
            ("/v1beta3/crypto/us/bars", Host::Data),
            ("/v2beta1/events/activities", Host::Trading),
        ] {
            assert_eq!(Host::of(path), host, "{path}");
        }
    }
}
