//! The whole market against a hundred symbols, all registered by name.

use serde_json::json;

use super::run;
use crate::figure::{Figure, Target};
use crate::options::Options;
use crate::run::{Bench, Load, System};
use crate::service::Setup;
use crate::sheet::Sheet;

pub const FEW: usize = 100;
pub const MARKET: usize = 11_000;
const TOTAL: u64 = 3_000_000;
const BARE_TOTAL: u64 = 2_000_000;
const MAX_MIB: f64 = 64.0;

pub fn measure(bench: &Bench, options: &Options) -> Vec<Figure> {
    let mut sheet = Sheet::default();
    for _ in 0..options.rounds {
        for (name, bare, symbols) in [("few", "bare_few", FEW), ("market", "bare_market", MARKET)] {
            // Redis itself is slower with more channels; that is told apart from the service's own cost.
            let load = Load { symbols, total: options.total(BARE_TOTAL), ..Load::FULL };
            sheet.add_run(bare, &run(bench, &format!("bare, {symbols} symbols"), &System::Bare { answers: false }, load));
            let system = System::Service(Setup { named: Some(symbols), ..Setup::PLAIN });
            let load = Load { symbols, total: options.total(TOTAL), ..Load::FULL };
            sheet.add_run(name, &run(bench, &format!("service, {symbols} symbols"), &system, load));
        }
        let grown = (sheet.last("market.rss_mib") - sheet.last("few.rss_mib")) * 1_024.0;
        sheet.add("kib_per_symbol", grown / (MARKET - FEW) as f64);
    }
    let amiss: f64 = ["lost", "disordered", "wrong_last"].iter().map(|column| sheet.sum(&format!("market.{column}"))).sum();
    let against = |name: &str, column: &str, unit| {
        let (of, to) = (format!("market.{column}"), format!("few.{column}"));
        Figure::new(name, sheet.median(&of), unit).against("few", sheet.median(&to), sheet.ratio(&of, &to))
    };
    let mut more = sheet.medians(&["few", "market", "bare_few", "bare_market"]);
    more.insert("symbols".to_owned(), json!(MARKET));
    vec![
        against("symbols_cpu", "cpu_us", "us/msg").target(Target::RatioAtMost(1.10)).with(more).printed(),
        Figure::new("symbols_bare", sheet.median("bare_market.per_s"), "msgs/s")
            .against("few", sheet.median("bare_few.per_s"), sheet.ratio("bare_market.per_s", "bare_few.per_s"))
            .printed(),
        against("symbols_throughput", "per_s", "msgs/s").target(Target::RatioAtLeast(0.90)).printed(),
        Figure::new("symbols_rss", sheet.max("market.rss_mib"), "MiB").target(Target::ValueAtMost(MAX_MIB)).printed(),
        Figure::new("symbols_kib_each", sheet.median("kib_per_symbol"), "KiB").printed(),
        Figure::new("symbols_amiss", amiss, "messages").target(Target::ValueAtMost(0.0)).printed(),
    ]
}
