use std::hint::black_box;

use alpaca_broker::redis::resp::{self, ReplyReader};
use criterion::{BenchmarkId, Criterion, Throughput};

const CHANNEL: &[u8] = b"TICKER_UPDATES_AAPL";
const PAYLOAD: &[u8] = br#"{"type":"price","symbol":"AAPL","price":150.25,"volume":100,"timestamp":"2026-11-20T14:30:00.123456789Z","seq":1795185000123456}"#;

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resp");
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::new();
    group.bench_function("publish", |b| {
        b.iter(|| {
            resp::publish(black_box(&mut out), CHANNEL, PAYLOAD);
            out.clear();
        });
    });
    group.bench_function("bulk", |b| {
        b.iter(|| {
            resp::bulk(black_box(&mut out), PAYLOAD);
            out.clear();
        });
    });
    for replies in [1, 10, 1_000] {
        let bytes = b":1\r\n".repeat(replies);
        let mut reader = ReplyReader::default();
        group.throughput(Throughput::Elements(replies as u64));
        group.bench_function(BenchmarkId::new("take_run", replies), |b| {
            b.iter(|| {
                reader.fill(&mut bytes.as_slice()).unwrap();
                let run = reader.take_run(u64::MAX).unwrap();
                assert_eq!(run.count, replies as u64);
            });
        });
    }
}
