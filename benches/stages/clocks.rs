use std::time::Instant;

use alpaca_broker::runtime::wall_now;
use criterion::{Criterion, Throughput};

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clocks");
    group.throughput(Throughput::Elements(1));
    group.bench_function("wall_now", |b| b.iter(wall_now));
    group.bench_function("instant", |b| b.iter(Instant::now));
}
