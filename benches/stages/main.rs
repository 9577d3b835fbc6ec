//! What each stage of the price path costs, in nanoseconds a message: `make stages`, or with a part of a name after
//! `cargo bench --bench stages --`. The last lines are a table of what was measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement that cannot go on should say where, and prints its result")]

#[path = "../../tests/support/feed.rs"]
mod feed;

/// Reading the clocks.
mod clocks;
/// A venue's frames into events.
mod codec;
/// Events into bytes for Redis, folding, last values.
mod handler;
/// Batches from one thread to another.
mod lanes;
/// What the stages are made of.
mod parts;
/// A bot registers.
mod registry;
/// Commands packed and replies read.
mod resp;
mod table;
/// Frames out of bytes.
mod websocket;
/// All of a message's way, on one thread.
mod whole;

use std::time::{Duration, SystemTime};

use criterion::Criterion;

/// How many symbols are wanted: those of a few bots, and the whole market.
const SYMBOLS: [usize; 2] = [100, 11_000];
/// Enough that each symbol comes twice, and the same for every number of symbols: a processor's caches must not tell
/// them apart by the bytes that are read.
const MESSAGES: usize = 22_000;

fn main() {
    let started = SystemTime::now();
    let settings = Criterion::default().without_plots().sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(1_200));
    let mut criterion = settings.configure_from_args();
    websocket::measure(&mut criterion);
    codec::measure(&mut criterion);
    lanes::measure(&mut criterion);
    handler::measure(&mut criterion);
    resp::measure(&mut criterion);
    whole::measure(&mut criterion);
    registry::measure(&mut criterion);
    parts::measure(&mut criterion);
    clocks::measure(&mut criterion);
    table::print(started);
}
