//! A figure: what was measured, what it is held against, and whether it is good enough. A line of JSON and a row of a
//! table.

use serde_json::{Map, Value, json};

use crate::sheet::rounded;

#[derive(Debug, Clone, Copy)]
pub enum Target {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    ValueAtMost(f64),
    ValueBelow(f64),
}

#[derive(Debug)]
pub struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    /// What it is held against, and that one's value.
    limit: Option<(&'static str, f64)>,
    ratio: Option<f64>,
    target: Option<Target>,
    more: Map<String, Value>,
}

impl Figure {
    pub fn new(name: &str, value: f64, unit: &'static str) -> Figure {
        Figure { name: name.to_owned(), unit, value, limit: None, ratio: None, target: None, more: Map::new() }
    }

    pub fn against(mut self, yardstick: &'static str, limit: f64, ratio: f64) -> Figure {
        self.limit = Some((yardstick, limit));
        self.ratio = Some(ratio);
        self
    }

    pub fn target(mut self, target: Target) -> Figure {
        self.target = Some(target);
        self
    }

    pub fn with(mut self, more: Map<String, Value>) -> Figure {
        self.more.extend(more);
        self
    }

    fn met(&self) -> Option<bool> {
        Some(match (self.target?, self.ratio) {
            (Target::RatioAtLeast(bound), Some(ratio)) => ratio >= bound,
            (Target::RatioAtMost(bound), Some(ratio)) => ratio <= bound,
            (Target::ValueAtMost(bound), _) => self.value <= bound,
            (Target::ValueBelow(bound), _) => self.value < bound,
            (Target::RatioAtLeast(_) | Target::RatioAtMost(_), None) => false,
        })
    }

    fn wanted(&self) -> Option<(&'static str, f64)> {
        Some(match self.target? {
            Target::RatioAtLeast(bound) => ("x >=", bound),
            Target::RatioAtMost(bound) => ("x <=", bound),
            Target::ValueAtMost(bound) => ("<=", bound),
            Target::ValueBelow(bound) => ("<", bound),
        })
    }

    /// Prints the line.
    pub fn printed(self) -> Figure {
        let mut line = json!({"bench": "path", "figure": self.name, "value": rounded(self.value), "unit": self.unit});
        if let Some((yardstick, limit)) = self.limit {
            line["yardstick"] = json!(yardstick);
            line["limit"] = json!(rounded(limit));
        }
        if let Some(ratio) = self.ratio {
            line["ratio"] = json!(rounded(ratio));
        }
        if let (Some((_, bound)), Some(met)) = (self.wanted(), self.met()) {
            line["target"] = json!(bound);
            line["met"] = json!(met);
        }
        for (name, value) in &self.more {
            line[name] = value.clone();
        }
        println!("{line}");
        self
    }
}

pub fn print_table(figures: &[Figure]) {
    eprintln!("\n{:<24} {:>13} {:<11} {:>13} {:<9} {:>8}  {:<10} met", "figure", "value", "", "against", "", "ratio", "target");
    for figure in figures {
        let (yardstick, limit) = figure.limit.map_or(("", String::new()), |(name, limit)| (name, shown(limit)));
        let ratio = figure.ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"));
        let target = figure.wanted().map_or(String::new(), |(sign, bound)| format!("{sign} {bound}"));
        let met = figure.met().map_or("", |met| if met { "yes" } else { "NO" });
        eprintln!("{:<24} {:>13} {:<11} {limit:>13} {yardstick:<9} {ratio:>8}  {target:<10} {met}", figure.name, shown(figure.value), figure.unit);
    }
}

fn shown(value: f64) -> String {
    if value.abs() >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}
