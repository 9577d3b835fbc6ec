//! What is measured, a module a case. Systems that are compared run in turn, so that a ratio comes from the same minutes.

mod bots;
mod latency;
mod start;
mod symbols;
mod throughput;

use crate::figure::Figure;
use crate::options::Options;
use crate::run::{Bench, Load, Outcome, System};

pub fn measure(bench: &Bench, options: &Options) -> Vec<Figure> {
    type Case = fn(&Bench, &Options) -> Vec<Figure>;
    let cases: [(&str, Case); 6] = [
        ("throughput", throughput::measure),
        ("latency", latency::measure),
        ("bots", bots::measure),
        ("symbols", symbols::measure),
        ("start", start::measure_start),
        ("idle", start::measure_idle),
    ];
    cases.iter().filter(|(name, _)| options.wants(name)).flat_map(|(_, measure)| measure(bench, options)).collect()
}

/// Runs it and says on stderr how it went.
fn run(bench: &Bench, name: &str, system: &System, load: Load) -> Outcome {
    let outcome = bench.run(system, load);
    let latency = &outcome.sink.latency;
    eprintln!(
        "{name:<22} {:>9.0}/s  cpu {:>6.2} us  redis {:>6.2} us  p50 {:>9.1}  p99 {:>9.1}  merged {}  lost {}  disordered {}  rss {} MiB",
        outcome.per_second(),
        outcome.cpu_us(),
        outcome.redis_cpu_us(),
        latency.p50_us,
        latency.p99_us,
        outcome.sink.merged,
        outcome.lost(),
        outcome.sink.disordered,
        outcome.resident_peak_kib / 1024,
    );
    outcome
}
