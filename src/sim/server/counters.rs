//! How often what happened, since the start.

use std::collections::BTreeMap;

/// Different paths counted apart; further ones are counted together.
const MOST_PATHS: usize = 256;
const OTHERS: &str = "other";

/// All counts rise only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// TCP connections.
    pub connects: u64,
    /// Streams opened, by path.
    pub streams: BTreeMap<String, u64>,
    pub auths: u64,
    pub auths_refused: u64,
    pub subscribes: u64,
    pub unsubscribes: u64,
    /// Pings of clients.
    pub pings: u64,
    /// Data frames and trade updates queued for streams.
    pub frames_out: u64,
    pub bytes_out: u64,
    /// Requests by method and path, ids replaced by `*`, such as `GET /v2/orders/*`.
    pub rest: BTreeMap<String, u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
}

impl Counters {
    pub(super) fn stream(&mut self, path: &str) {
        bump(&mut self.streams, path.to_owned());
    }

    pub(super) fn request(&mut self, method: &str, path: &str) {
        bump(&mut self.rest, format!("{method} {}", pattern(path)));
    }

    pub(super) fn answer(&mut self, status: u16) {
        *self.statuses.entry(status).or_default() += 1;
    }
}

fn bump(counts: &mut BTreeMap<String, u64>, name: String) {
    let name = if counts.len() >= MOST_PATHS && !counts.contains_key(&name) { OTHERS.to_owned() } else { name };
    *counts.entry(name).or_default() += 1;
}

/// The path without what names one thing of many.
fn pattern(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["", version, many @ ("orders" | "positions" | "assets" | "watchlists"), _, ..] => format!("/{version}/{many}/*"),
        ["", version, "stocks", _, what @ ("trades" | "quotes" | "bars" | "snapshot"), rest @ ..] => {
            let rest: String = rest.iter().map(|part| format!("/{part}")).collect();
            format!("/{version}/stocks/*/{what}{rest}")
        }
        _ => path.chars().take(100).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_counted_by_their_kind_and_there_are_not_too_many() {
        for (path, wanted) in [
            ("/v2/orders", "/v2/orders"),
            ("/v2/orders/5eed", "/v2/orders/*"),
            ("/v2/positions/BTC/USD", "/v2/positions/*"),
            ("/v2/stocks/AAPL/trades/latest", "/v2/stocks/*/trades/latest"),
            ("/v2/stocks/trades/latest", "/v2/stocks/trades/latest"),
        ] {
            assert_eq!(pattern(path), wanted);
        }
        let mut counters = Counters::default();
        (0..1_000).for_each(|n| counters.request("GET", &format!("/{n}")));
        assert_eq!((counters.rest.len(), counters.rest[OTHERS]), (MOST_PATHS + 1, 744));
    }
}
