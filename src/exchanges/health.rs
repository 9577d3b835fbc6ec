//! One number for how well a broker serves, and the reasons it is not 1.
//!
//! Pure: readings in, verdict out; the last minute counts. What bots ask wrongly is no fault of a broker. Must not know
//! who asks or where it is shown.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::broker::Connection;
use super::metrics::BrokerMetrics;

/// What is judged.
const WINDOW: Duration = Duration::from_secs(60);
/// A placement should not take longer, on average.
const PLACEMENT_BAR: Duration = Duration::from_millis(500);
/// A broker should be connected that share of its life.
const UPTIME_BAR: f64 = 0.99;
/// Requests left below which bots should slow down.
const FEW_REQUESTS: u32 = 20;
const DEGRADED: f64 = 0.5;
const SLOW: f64 = 0.8;
const SHORT: f64 = 0.8;
const OFTEN_AWAY: f64 = 0.9;
/// With every call failing a connected broker is worth this little.
const ALL_FAIL: f64 = 0.1;
/// Kinds of errors that are a broker's own.
const OWN_ERRORS: [&str; 6] = ["not_connected", "rate_limited", "unavailable", "outcome_unknown", "unauthorised", "storage"];

/// What a broker has counted at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub at: Instant,
    pub placements: u64,
    pub placement_sum: Duration,
    pub own_errors: u64,
}

/// The verdict: 1 is well, 0 serves nobody.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub score: f64,
    pub reasons: Vec<String>,
}

/// Judges one broker, again and again.
#[derive(Debug, Default)]
pub struct HealthWatch {
    readings: VecDeque<Reading>,
}

impl Reading {
    pub fn take(metrics: &BrokerMetrics, at: Instant) -> Reading {
        let own_errors = metrics.errors().iter().filter(|(kind, _)| OWN_ERRORS.contains(kind)).map(|(_, count)| count).sum();
        Reading { at, placements: metrics.placement.count(), placement_sum: metrics.placement.sum(), own_errors }
    }
}

impl HealthWatch {
    /// Takes a reading and judges the time since the oldest one of the last minute.
    pub fn judge(&mut self, connection: Connection, metrics: &BrokerMetrics, now: Instant) -> Verdict {
        let reading = Reading::take(metrics, now);
        while self.readings.front().is_some_and(|oldest| now.saturating_duration_since(oldest.at) > WINDOW) {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
        let oldest = self.readings.front().copied().unwrap_or(reading);
        verdict(connection, &oldest, &reading, metrics.uptime(now), metrics.connects(), metrics.requests_left())
    }
}

fn verdict(connection: Connection, from: &Reading, to: &Reading, uptime: f64, connects: u64, requests_left: Option<u32>) -> Verdict {
    let mut reasons = Vec::new();
    let mut score = match connection {
        Connection::Connected => 1.0,
        Connection::Degraded => DEGRADED,
        Connection::Connecting | Connection::Disconnected => 0.0,
    };
    if connection != Connection::Connected {
        reasons.push(connection.as_str().to_owned());
    }
    let (placements, errors) = (to.placements.saturating_sub(from.placements), to.own_errors.saturating_sub(from.own_errors));
    if errors > 0 {
        let share = errors as f64 / (placements.max(errors)) as f64;
        score *= 1.0 - share * (1.0 - ALL_FAIL);
        reasons.push(format!("{errors} calls failed in the last minute"));
    }
    let mean = to.placement_sum.saturating_sub(from.placement_sum).checked_div(u32::try_from(placements).unwrap_or(u32::MAX)).unwrap_or_default();
    if mean > PLACEMENT_BAR {
        score *= SLOW;
        reasons.push(format!("an order takes {} ms to place, more than {}", mean.as_millis(), PLACEMENT_BAR.as_millis()));
    }
    if let Some(left) = requests_left.filter(|left| *left < FEW_REQUESTS) {
        score *= SHORT;
        reasons.push(format!("{left} requests are left of the budget"));
    }
    // Before the first connection there is nothing to hold against it.
    if connects > 1 && uptime < UPTIME_BAR {
        score *= OFTEN_AWAY;
        reasons.push(format!("connected {:.1} % of the time", uptime * 100.0));
    }
    Verdict { score, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::BrokerError;

    fn reading(at: Instant, placements: u64, sum_ms: u64, own_errors: u64) -> Reading {
        Reading { at, placements, placement_sum: Duration::from_millis(sum_ms), own_errors }
    }

    #[test]
    fn each_trouble_has_its_reason_and_its_price() {
        let now = Instant::now();
        let (none, calm, slow, failing) = (reading(now, 0, 0, 0), reading(now, 10, 100, 0), reading(now, 10, 6_000, 0), reading(now, 10, 100, 5));
        let of = |connection, to: &Reading, uptime, connects, left| {
            let verdict = verdict(connection, &none, to, uptime, connects, left);
            ((verdict.score * 1000.0).round() / 1000.0, verdict.reasons.join("; "))
        };
        assert_eq!(of(Connection::Connected, &calm, 1.0, 1, Some(150)), (1.0, String::new()));
        assert_eq!(of(Connection::Disconnected, &calm, 1.0, 1, None), (0.0, "disconnected".to_owned()));
        assert_eq!(of(Connection::Degraded, &calm, 1.0, 1, None), (0.5, "degraded".to_owned()));
        assert_eq!(of(Connection::Connected, &slow, 1.0, 1, None), (0.8, "an order takes 600 ms to place, more than 500".to_owned()));
        assert_eq!(of(Connection::Connected, &failing, 1.0, 1, None), (0.55, "5 calls failed in the last minute".to_owned()));
        assert_eq!(of(Connection::Connected, &calm, 1.0, 1, Some(19)), (0.8, "19 requests are left of the budget".to_owned()));
        assert_eq!(of(Connection::Connected, &calm, 0.5, 1, None), (1.0, String::new()));
        assert_eq!(of(Connection::Connected, &calm, 0.5, 2, None), (0.9, "connected 50.0 % of the time".to_owned()));
    }

    #[test]
    fn a_bots_mistakes_cost_the_broker_nothing_and_old_trouble_is_forgotten() {
        let start = Instant::now();
        let (metrics, mut watch) = (BrokerMetrics::new(start), HealthWatch::default());
        metrics.connected(start);
        assert_eq!(watch.judge(Connection::Connected, &metrics, start).score, 1.0);
        metrics.failed(&BrokerError::UnknownOrder("x".to_owned()));
        assert_eq!(watch.judge(Connection::Connected, &metrics, start + Duration::from_secs(1)).score, 1.0);
        metrics.failed(&BrokerError::Unavailable { broker: "b".to_owned(), cause: "503".to_owned() });
        assert!(watch.judge(Connection::Connected, &metrics, start + Duration::from_secs(2)).score < 0.2);
        assert!(watch.judge(Connection::Connected, &metrics, start + Duration::from_secs(50)).score < 0.2);
        assert_eq!(watch.judge(Connection::Connected, &metrics, start + Duration::from_secs(111)).score, 1.0);
    }
}
