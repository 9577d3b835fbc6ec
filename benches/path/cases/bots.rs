//! Many bots on everything, fed at twice what Redis can do: memory stays bounded, the exchange is always read, nothing is
//! unaccounted for, and each bot ends with the last values.

use serde_json::json;

use super::run;
use crate::figure::{Figure, Target};
use crate::options::Options;
use crate::run::{Bench, Load, System};
use crate::service::Setup;

/// Bots, and the messages that find out what Redis can do for them.
const BOTS: [(usize, u64); 2] = [(10, 500_000), (50, 150_000)];
const OVERLOAD: f64 = 2.0;
/// After which memory should not grow: as much again has been seen by then as ever will.
const GROWTH_FROM: f64 = 0.25;
const GROWTH_MAX_MIB: f64 = 16.0;
/// A socket that is not read makes the feed late within some 50 ms; the rest is for two processors that have much to do.
const LATE_MAX_MS: f64 = 500.0;

pub fn measure(bench: &Bench, options: &Options) -> Vec<Figure> {
    BOTS.into_iter().flat_map(|(bots, total)| flood(bench, options, bots, total)).collect()
}

fn flood(bench: &Bench, options: &Options, bots: usize, total: u64) -> Vec<Figure> {
    let many = Load { subscribers: bots, patient_redis: true, ..Load::FULL };
    let bare = run(bench, &format!("bare, {bots} bots"), &System::Bare { answers: false }, Load { total: options.total(total), ..many });
    let rate = OVERLOAD * bare.per_second();
    let seconds = if options.quick { options.seconds / 10.0 } else { options.seconds };
    let total = (rate * seconds) as u64 / 10 * 10;
    let service = run(bench, &format!("service, {bots} bots"), &System::Service(Setup::PLAIN), Load { rate: Some(rate), total, ..many });

    let name = |what: &str| format!("bots_{bots}_{what}");
    let samples = &service.resident_kib;
    let settled = samples[((samples.len() - 1) as f64 * GROWTH_FROM) as usize];
    let highest = samples.iter().copied().max().unwrap_or(0);
    let growth_mib = highest.saturating_sub(settled) as f64 / 1024.0;
    let feed = service.feed.as_ref().expect("the service has a feed");
    let fewest = service.sink.accounted.iter().copied().min().unwrap_or(0) as f64;
    let more = json!({
        "bots": bots, "fed_per_s": rate.round(), "seconds": seconds, "cut_short": service.cut_short, "merged_each": service.sink.merged / bots as u64,
        "cpu_us": service.cpu_us(), "redis_cpu_us": service.redis_cpu_us(), "redis_max_mib": service.redis_peak_kib / 1024,
        "gaps": service.sink.gaps, "wrong_stored": service.wrong_stored, "disordered": service.sink.disordered, "disconnected": service.sink.disconnected,
        "rss_samples_mib": samples.iter().map(|kib| kib / 1024).collect::<Vec<u64>>(),
        "drained_ms": service.sink.last_ns.saturating_sub(feed.ended_ns) as f64 / 1e6,
    });
    let more = more.as_object().cloned().unwrap_or_default();
    let (per_s, bare_per_s) = (service.per_second(), bare.per_second());
    vec![
        Figure::new(&name("published"), per_s, "msgs/s").against("bare", bare_per_s, per_s / bare_per_s).with(more).printed(),
        Figure::new(&name("rss_growth"), growth_mib, "MiB").target(Target::ValueAtMost(GROWTH_MAX_MIB)).printed(),
        Figure::new(&name("rss_max"), highest as f64 / 1024.0, "MiB").printed(),
        Figure::new(&name("feed_late_p99"), feed.lateness.p99_us / 1e3, "ms").printed(),
        Figure::new(&name("feed_late_max"), feed.lateness.max_us / 1e3, "ms").target(Target::ValueAtMost(LATE_MAX_MS)).printed(),
        Figure::new(&name("wrong_last"), service.wrong_last() as f64, "symbols").target(Target::ValueAtMost(0.0)).printed(),
        Figure::new(&name("unaccounted"), service.lost() as f64, "updates")
            .against("sent", service.sent as f64, fewest / service.sent as f64)
            .target(Target::ValueAtMost(0.0))
            .printed(),
        Figure::new(&name("disordered"), service.sink.disordered as f64, "messages").target(Target::ValueAtMost(0.0)).printed(),
    ]
}
