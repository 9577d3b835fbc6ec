//! Counters, gauges and histograms: atomics that any thread may touch, and the text that Prometheus reads.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Only goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn set(&self, level: i64) {
        self.0.store(level, Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The first bucket ends at 10 µs, each next one at double that, the last at 10.5 s; longer times are counted beyond.
const FIRST_BOUND_NANOS: u64 = 10_000;
const BOUNDS: usize = 21;

/// How long something took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS],
    beyond: AtomicU64,
    sum_nanos: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = nanos.div_ceil(FIRST_BOUND_NANOS).max(1).next_power_of_two().trailing_zeros() as usize;
        self.buckets.get(bucket).unwrap_or(&self.beyond).fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().chain([&self.beyond]).map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// All times together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed))
    }
}

/// Writes the text format of Prometheus; samples of one name stand together under one heading, whatever order they come in.
#[derive(Debug, Default)]
pub struct Exposition {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    name: &'static str,
    text: String,
}

impl Exposition {
    pub fn counter(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: u64) {
        let family = self.family(name, help, "counter");
        sample(family, name, labels, None, value);
    }

    pub fn gauge(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], value: f64) {
        let family = self.family(name, help, "gauge");
        sample(family, name, labels, None, value);
    }

    pub fn histogram(&mut self, name: &'static str, help: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let family = self.family(name, help, "histogram");
        let bucket_name = format!("{name}_bucket");
        let mut total = 0;
        for (at, bucket) in histogram.buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            let bound = Duration::from_nanos(FIRST_BOUND_NANOS << at).as_secs_f64().to_string();
            sample(family, &bucket_name, labels, Some(("le", &bound)), total);
        }
        total += histogram.beyond.load(Ordering::Relaxed);
        sample(family, &bucket_name, labels, Some(("le", "+Inf")), total);
        let sum = histogram.sum().as_secs_f64();
        sample(family, &format!("{name}_sum"), labels, None, sum);
        sample(family, &format!("{name}_count"), labels, None, total);
    }

    pub fn finish(self) -> String {
        self.families.into_iter().map(|family| family.text).collect()
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &str) -> &mut String {
        let at = self.families.iter().position(|family| family.name == name).unwrap_or_else(|| {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            self.families.push(Family { name, text: format!("# HELP {name} {help}\n# TYPE {name} {kind}\n") });
            self.families.len() - 1
        });
        &mut self.families[at].text
    }
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], extra: Option<(&str, &str)>, value: impl Display) {
    out.push_str(name);
    let mut separator = '{';
    for (label, text) in labels.iter().copied().chain(extra) {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{separator}{label}=\"{text}\"");
        separator = ',';
    }
    let end = if separator == ',' { "}" } else { "" };
    let _ = writeln!(out, "{end} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_the_first_bucket_that_holds_it() {
        for (nanos, bucket) in [(0, 0), (10_000, 0), (10_001, 1), (20_000, 1), (20_001, 2), (1_000_000, 7), (FIRST_BOUND_NANOS << 20, 20)] {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_nanos(nanos));
            assert_eq!(histogram.buckets.iter().position(|b| b.load(Ordering::Relaxed) == 1), Some(bucket), "{nanos} ns");
        }
        for beyond in [Duration::from_nanos((FIRST_BOUND_NANOS << 20) + 1), Duration::from_secs(3_600), Duration::MAX] {
            let histogram = Histogram::default();
            histogram.observe(beyond);
            assert_eq!(histogram.beyond.load(Ordering::Relaxed), 1);
            assert_eq!(histogram.count(), 1);
        }
    }

    #[test]
    fn families_stand_together_and_labels_are_escaped() {
        let mut text = Exposition::default();
        text.counter("a_total", "Help with a \\ and\na line.", &[("stream", "alp-\"data\"\n")], 3);
        text.gauge("b", "A level.", &[], 0.5);
        text.counter("a_total", "Help.", &[("stream", "x\\y"), ("to", "z")], 4);
        assert_eq!(
            text.finish(),
            "# HELP a_total Help with a \\\\ and\\na line.\n# TYPE a_total counter\na_total{stream=\"alp-\\\"data\\\"\\n\"} 3\n\
             a_total{stream=\"x\\\\y\",to=\"z\"} 4\n# HELP b A level.\n# TYPE b gauge\nb 0.5\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let histogram = Histogram::default();
        for micros in [5, 15, 15, 90_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut text = Exposition::default();
        text.histogram("took_seconds", "Time.", &[("lane", "prices")], &histogram);
        let text = text.finish();
        for line in [
            "took_seconds_bucket{lane=\"prices\",le=\"0.00001\"} 1",
            "took_seconds_bucket{lane=\"prices\",le=\"0.00002\"} 3",
            "took_seconds_bucket{lane=\"prices\",le=\"10.48576\"} 3",
            "took_seconds_bucket{lane=\"prices\",le=\"+Inf\"} 4",
            "took_seconds_sum{lane=\"prices\"} 90.000035",
            "took_seconds_count{lane=\"prices\"} 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }
}
