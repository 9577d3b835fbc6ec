//! At a calm rate: how old a message is when the bot reads it.

use super::run;
use crate::figure::{Figure, Target};
use crate::options::Options;
use crate::run::{Bench, Load, System};
use crate::service::Setup;
use crate::sheet::Sheet;

const RATES: [u32; 2] = [1_000, 10_000];
const WARM_UP_MS: u64 = 1_000;
const SECONDS: u64 = 5;
const QUICK_SECONDS: u64 = 1;

pub fn measure(bench: &Bench, options: &Options) -> Vec<Figure> {
    let mut systems = vec![("bare", System::Bare { answers: true }), ("probe", System::Probe), ("service", System::Service(Setup::PLAIN))];
    systems.extend(options.python.iter().map(|python| ("python", System::Python(python.clone()))));
    let mut sheets = RATES.map(|rate| (rate, Sheet::default()));
    for _ in 0..options.rounds {
        for (rate, sheet) in &mut sheets {
            let seconds = WARM_UP_MS / 1_000 + if options.quick { QUICK_SECONDS } else { SECONDS };
            let total = u64::from(*rate) * seconds;
            let load = Load { per_frame: 1, rate: Some(f64::from(*rate)), total, warm_up_ms: WARM_UP_MS, ..Load::FULL };
            for (name, system) in &systems {
                sheet.add_run(name, &run(bench, &format!("{name}, {rate}/s"), system, load));
            }
        }
    }
    let mut figures = Vec::new();
    for (rate, sheet) in &sheets {
        for (column, target) in [("p50_us", Some(2.0)), ("p99_us", Some(2.0)), ("p999_us", None)] {
            let of = |name: &str| format!("{name}.{column}");
            let against = |yardstick: &'static str, title: &str| {
                let ratio = sheet.ratio(&of("service"), &of(yardstick));
                Figure::new(title, sheet.median(&of("service")), "us").against(yardstick, sheet.median(&of(yardstick)), ratio)
            };
            let title = format!("latency_{rate}_{}", column.trim_end_matches("_us"));
            let mut figure = against("bare", &title);
            if let Some(bound) = target {
                figure = figure.target(Target::RatioAtMost(bound));
            }
            if column == "p50_us" {
                let names: Vec<&str> = systems.iter().map(|(name, _)| *name).collect();
                figure = figure.with(sheet.medians(&names));
            }
            figures.push(figure.printed());
            if options.python.is_some() {
                figures.push(against("python", &format!("{title}_python")).printed());
            }
        }
    }
    figures
}
