//! How soon the first price comes, and what the service takes when none comes.

use std::time::Duration;

use serde_json::json;

use super::symbols::MARKET;
use crate::figure::{Figure, Target};
use crate::options::Options;
use crate::run::Bench;
use crate::sheet::Sheet;

const STARTS: usize = 10;
const QUICK_STARTS: usize = 3;
const IDLE_SETTLE: Duration = Duration::from_secs(3);
const IDLE_WATCHED: Duration = Duration::from_secs(10);
const IDLE_WATCHED_QUICK: Duration = Duration::from_secs(3);

pub fn measure_start(bench: &Bench, options: &Options) -> Vec<Figure> {
    let mut sheet = Sheet::default();
    for _ in 0..if options.quick { QUICK_STARTS } else { STARTS } {
        let took = bench.first_price().as_secs_f64() * 1e3;
        eprintln!("first price after {took:.1} ms");
        sheet.add("ms", took);
    }
    let max = serde_json::Map::from_iter([("max_ms".to_owned(), json!(sheet.max("ms")))]);
    vec![Figure::new("start", sheet.median("ms"), "ms").target(Target::ValueBelow(100.0)).with(max).printed()]
}

pub fn measure_idle(bench: &Bench, options: &Options) -> Vec<Figure> {
    let share = bench.idle_share(MARKET, IDLE_SETTLE, if options.quick { IDLE_WATCHED_QUICK } else { IDLE_WATCHED });
    vec![Figure::new("idle", share * 100.0, "% of a core").target(Target::ValueBelow(0.5)).printed()]
}
