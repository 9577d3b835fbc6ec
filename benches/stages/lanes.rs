use std::time::Instant;

use alpaca_broker::hub::{PriceBatch, PriceItem, Sink, StreamId, price_lane};
use alpaca_broker::runtime::Stop;
use criterion::{BenchmarkId, Criterion, Throughput};
use crossbeam_channel::bounded;

use crate::feed::{self, Mix};

pub fn measure(criterion: &mut Criterion) {
    let stop = Stop::new().unwrap();
    let token = stop.token();
    let mut group = criterion.benchmark_group("lanes");
    for per_batch in [1, 10, 100] {
        let batch = feed::events(Mix::Trades, per_batch);
        group.throughput(Throughput::Elements(per_batch as u64));
        // One thread gives as fast as the other takes.
        group.bench_function(BenchmarkId::new("hand-over", per_batch), |b| {
            b.iter_custom(|batches| {
                let (entry, lane) = price_lane();
                let mut sink = entry.sink(StreamId(0));
                let taker = std::thread::spawn(move || {
                    while let Ok(PriceItem::Batch(PriceBatch { mut events, .. })) = lane.items.recv() {
                        events.clear();
                        let _ = lane.empties.try_send(events);
                    }
                });
                let mut events = Vec::new();
                let start = Instant::now();
                for _ in 0..batches {
                    events.extend_from_slice(&batch);
                    sink.deliver(&mut events, start, &token);
                }
                drop((sink, entry));
                taker.join().unwrap();
                start.elapsed()
            });
        });
    }
    // The taker sleeps, and the giver sleeps until it has answered: two wake-ups.
    group.throughput(Throughput::Elements(1));
    group.bench_function("there and back", |b| {
        b.iter_custom(|rounds| {
            let (entry, lane) = price_lane();
            let mut sink = entry.sink(StreamId(0));
            let (answer, answers) = bounded(1);
            let taker = std::thread::spawn(move || {
                while let Ok(PriceItem::Batch(PriceBatch { mut events, .. })) = lane.items.recv() {
                    events.clear();
                    let _ = lane.empties.try_send(events);
                    answer.send(()).unwrap();
                }
            });
            let batch = feed::events(Mix::Trades, 1);
            let mut events = Vec::new();
            let start = Instant::now();
            for _ in 0..rounds {
                events.extend_from_slice(&batch);
                sink.deliver(&mut events, start, &token);
                answers.recv().unwrap();
            }
            let took = start.elapsed();
            drop((sink, entry));
            taker.join().unwrap();
            took
        });
    });
}
