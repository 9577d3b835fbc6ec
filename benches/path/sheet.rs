//! Numbers of several rounds under their names, and their medians.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::run::Outcome;

#[derive(Debug, Default)]
pub struct Sheet {
    columns: BTreeMap<String, Vec<f64>>,
}

impl Sheet {
    pub fn add(&mut self, name: &str, value: f64) {
        self.columns.entry(name.to_owned()).or_default().push(value);
    }

    /// What every run has, each under the system's name.
    pub fn add_run(&mut self, system: &str, outcome: &Outcome) {
        let latency = &outcome.sink.latency;
        let numbers = [
            ("per_s", outcome.per_second()),
            ("cpu_us", outcome.cpu_us()),
            ("cpu_per_update_us", outcome.cpu_per_update_us()),
            ("redis_cpu_us", outcome.redis_cpu_us()),
            ("p50_us", latency.p50_us),
            ("p99_us", latency.p99_us),
            ("p999_us", latency.p999_us),
            ("rss_mib", outcome.resident_peak_kib as f64 / 1024.0),
            ("merged", outcome.sink.merged as f64),
            ("lost", outcome.lost() as f64),
            ("disordered", outcome.sink.disordered as f64),
            ("wrong_last", outcome.wrong_last() as f64),
        ];
        for (name, value) in numbers {
            self.add(&format!("{system}.{name}"), value);
        }
        if let Some(feed) = &outcome.feed {
            self.add(&format!("{system}.feed_late_p99_us"), feed.lateness.p99_us);
            if let Some(error) = &feed.error {
                eprintln!("the feed of {system}: {error}; the log: {}", outcome.log);
            }
        }
    }

    fn column(&self, name: &str) -> &[f64] {
        self.columns.get(name).unwrap_or_else(|| panic!("no round has a {name}"))
    }

    pub fn last(&self, name: &str) -> f64 {
        self.column(name).last().copied().unwrap_or(0.0)
    }

    pub fn median(&self, name: &str) -> f64 {
        median(self.column(name))
    }

    pub fn sum(&self, name: &str) -> f64 {
        self.column(name).iter().sum()
    }

    pub fn max(&self, name: &str) -> f64 {
        self.column(name).iter().copied().fold(0.0, f64::max)
    }

    /// The median of the rounds' own ratios: both of a ratio ran within the same minute.
    pub fn ratio(&self, of: &str, to: &str) -> f64 {
        let ratios: Vec<f64> = self.column(of).iter().zip(self.column(to)).map(|(of, to)| of / to).collect();
        median(&ratios)
    }

    /// The medians of the systems, a map each.
    pub fn medians(&self, systems: &[&str]) -> Map<String, Value> {
        let mut all = Map::new();
        for system in systems {
            let mut of_system = Map::new();
            for (name, values) in &self.columns {
                if let Some(rest) = name.strip_prefix(system).and_then(|rest| rest.strip_prefix('.')) {
                    of_system.insert(rest.to_owned(), json!(rounded(median(values))));
                }
            }
            all.insert((*system).to_owned(), of_system.into());
        }
        all
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// Four digits after the point at most.
pub fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
