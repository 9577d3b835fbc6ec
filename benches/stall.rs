//! Redis stopped for a time at full rate: `cargo bench --bench stall -- 600` prints one line of JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement that cannot go on should say where")]

use std::path::Path;
use std::time::Duration;

#[path = "../tests/support/mod.rs"]
mod support;

use support::stall::{GROWTH_MAX_KIB, stall};

const DEFAULT_S: u64 = 600;

fn main() {
    // Cargo adds arguments of its own, such as `--bench`.
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(DEFAULT_S);
    let report = stall(Path::new(env!("CARGO_BIN_EXE_alpaca-broker")), Duration::from_secs(seconds));
    println!("{}", report.json());
    assert!(report.growth_kib() <= GROWTH_MAX_KIB, "memory grew by {} KiB", report.growth_kib());
    assert!(report.always_read(), "the exchange had to wait: {report:?}");
}
