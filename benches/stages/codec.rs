use std::time::Instant;

use alpaca_broker::config::Codec;
use alpaca_broker::exchanges::{Effects, Session};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::feed::{self, Mix};
use crate::{MESSAGES, SYMBOLS};

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for (codec, name) in [(Codec::Json, "json"), (Codec::MsgPack, "msgpack")] {
        for (mix, per_frame, symbols) in [
            (Mix::Trades, 1, 100),
            (Mix::Trades, 10, SYMBOLS[0]),
            (Mix::Trades, 100, 100),
            (Mix::Trades, 10, SYMBOLS[1]),
            (Mix::Quotes, 10, SYMBOLS[0]),
            (Mix::Quotes, 10, SYMBOLS[1]),
            (Mix::Bars, 1, 100),
        ] {
            let mut session = feed::streaming_session(codec, symbols);
            let frames = feed::frames(codec, mix, symbols, per_frame, MESSAGES);
            let mut frames = frames.iter().cycle();
            let (now, mut effects) = (Instant::now(), Effects::default());
            group.throughput(Throughput::Elements(per_frame as u64));
            group.bench_function(BenchmarkId::new(format!("{name} {mix:?} of {symbols}").to_lowercase(), per_frame), |b| {
                b.iter(|| {
                    session.received(now, feed::incoming(codec, frames.next().unwrap()), &mut effects);
                    effects.events.clear();
                });
            });
            assert_eq!((effects.malformed, effects.unwanted, effects.unknown), (0, 0, 0));
        }
    }
}
