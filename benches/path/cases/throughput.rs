//! As fast as possible: messages a second, and the processor time of each.

use super::run;
use crate::figure::{Figure, Target};
use crate::options::Options;
use crate::run::{Bench, Load, System};
use crate::service::Setup;
use crate::sheet::Sheet;

const SERVICE: System = System::Service(Setup::PLAIN);
/// Quotes beside trades, everything in both dialects.
const WIDE: System = System::Service(Setup { quotes: true, both_dialects: true, ..Setup::PLAIN });
/// Steps of the search for the highest rate without folding, as a share of what was published without a rate.
const STEP: f64 = 0.05;
const LOWEST: f64 = 0.3;
const PACED_SECONDS: f64 = 2.0;
const PYTHON_TOTAL: u64 = 40_000;

pub fn measure(bench: &Bench, options: &Options) -> Vec<Figure> {
    let mut sheet = Sheet::default();
    let load = |total| Load { total: options.total(total), ..Load::FULL };
    for _ in 0..options.rounds {
        sheet.add_run("bare", &run(bench, "bare, full speed", &System::Bare { answers: false }, load(2_000_000)));
        sheet.add_run("probe", &run(bench, "probe, full speed", &System::Probe, load(3_000_000)));
        let service = run(bench, "service, full speed", &SERVICE, load(3_000_000));
        sheet.add_run("service", &service);
        if service.sink.merged > 0 {
            search_unfolded(bench, options, service.per_second(), &mut sheet);
        } else {
            sheet.add_run("unfolded", &service);
        }
        sheet.add_run("wide", &run(bench, "quotes, both dialects", &WIDE, load(1_500_000)));
        if let Some(python) = &options.python {
            sheet.add_run("python", &run(bench, "python, full speed", &System::Python(python.clone()), load(PYTHON_TOTAL)));
        }
    }
    figures(&sheet, options)
}

/// The highest rate at which nothing is folded, downwards from what was published at full speed.
fn search_unfolded(bench: &Bench, options: &Options, full: f64, sheet: &mut Sheet) {
    let mut share = 1.0;
    loop {
        let rate = full * share;
        let total = options.total((rate * PACED_SECONDS) as u64 / 10 * 10);
        let outcome = run(bench, &format!("service, {rate:.0}/s"), &SERVICE, Load { rate: Some(rate), total, ..Load::FULL });
        share -= STEP;
        if (outcome.sink.merged == 0 && outcome.lost() == 0) || share < LOWEST {
            sheet.add_run("unfolded", &outcome);
            return;
        }
    }
}

fn figures(sheet: &Sheet, options: &Options) -> Vec<Figure> {
    let against = |name, column: &str, unit, yardstick: &'static str| {
        let (of, to) = (format!("{name}.{column}"), format!("{yardstick}.{column}"));
        (sheet.median(&of), unit, yardstick, sheet.median(&to), sheet.ratio(&of, &to))
    };
    let figure = |title: &str, (value, unit, yardstick, limit, ratio): (f64, &'static str, &'static str, f64, f64)| {
        Figure::new(title, value, unit).against(yardstick, limit, ratio)
    };
    let service = ["service", "unfolded", "wide"];
    let amiss: f64 = service.iter().flat_map(|name| ["lost", "disordered", "wrong_last"].map(|column| sheet.sum(&format!("{name}.{column}")))).sum();
    let mut figures = vec![
        figure("throughput", against("service", "per_s", "msgs/s", "bare"))
            .target(Target::RatioAtLeast(0.80))
            .with(sheet.medians(&["bare", "probe", "service"]))
            .printed(),
        figure("throughput_unfolded", against("unfolded", "per_s", "msgs/s", "bare")).with(sheet.medians(&["unfolded"])).printed(),
        figure("cpu", against("service", "cpu_us", "us/msg", "probe")).target(Target::RatioAtMost(1.15)).printed(),
        figure("cpu_unfolded", against("unfolded", "cpu_us", "us/msg", "probe")).printed(),
        figure("cpu_wide", against("wide", "cpu_us", "us/msg", "probe")).target(Target::RatioAtMost(1.15)).with(sheet.medians(&["wide"])).printed(),
        Figure::new("lost_or_disordered", amiss, "messages").target(Target::ValueAtMost(0.0)).printed(),
    ];
    if options.python.is_some() {
        figures.push(
            figure("throughput_python", against("service", "per_s", "msgs/s", "python"))
                .target(Target::RatioAtLeast(100.0))
                .with(sheet.medians(&["python"]))
                .printed(),
        );
        figures.push(figure("cpu_python", against("service", "cpu_us", "us/msg", "python")).target(Target::RatioAtMost(1.0 / 125.0)).printed());
    }
    figures
}
