//! Latencies in a histogram: 0.1 µs to ten minutes, three digits.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub struct Latency {
    histogram: Histogram<u64>,
}

/// What is told of a histogram.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Summary {
    pub count: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { histogram: Histogram::new_with_bounds(100, 600_000_000_000, 3).unwrap() }
    }
}

impl Latency {
    /// A clock that was set back between the two counts as no time at all.
    pub fn record(&mut self, from_ns: u64, to_ns: u64) {
        self.histogram.saturating_record(to_ns.saturating_sub(from_ns));
    }

    pub fn summary(&self) -> Summary {
        let us = |ns: u64| (ns as f64 / 100.0).round() / 10.0;
        let at = |share: f64| us(self.histogram.value_at_quantile(share));
        Summary { count: self.histogram.len(), p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: us(self.histogram.max()) }
    }
}
