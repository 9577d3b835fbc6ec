use std::hint::black_box;

use alpaca_broker::contract::{PriceMessage, Stamp, write_snapshot, write_ticker_rest, write_typed_rest};
use alpaca_broker::model::{Digits, Quote, TimeText, Timestamp, Trade};
use criterion::{Criterion, Throughput};

const TIME: &str = "2026-11-20T14:30:00.123456789Z";

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parts");
    group.throughput(Throughput::Elements(1));
    group.bench_function("read a time", |b| b.iter(|| black_box(TIME).parse::<Timestamp>()));
    group.bench_function("read a price", |b| b.iter(|| Digits::parse(black_box("126.55"))));
    group.bench_function("price of a double", |b| b.iter(|| Digits::from_f64(black_box(126.55))));
    group.bench_function("size of an integer", |b| b.iter(|| Digits::from_u64(black_box(100))));
    let at: Timestamp = TIME.parse().unwrap();
    let stamp = Stamp { at, seq: 1_795_185_000_123_456, merged: 0, sim: false };
    let trade = Trade { price: "126.55".parse().unwrap(), size: "100".parse().unwrap() };
    let [bid, ask, size] = ["126.54", "126.56", "100"].map(|text| text.parse().unwrap());
    let quote = Quote { bid, bid_size: size, ask, ask_size: size };
    let mut out = Vec::new();
    let mut times = TimeText::default();
    let mut write = |name: &str, write: &dyn Fn(&mut Vec<u8>, &mut TimeText)| {
        group.bench_function(name, |b| {
            b.iter(|| {
                write(black_box(&mut out), &mut times);
                out.clear();
            });
        });
    };
    write("write a time", &|out, times| times.write(at, out));
    write("write a trade, ticker", &|out, times| write_ticker_rest(out, PriceMessage::Trade(&trade), &stamp, times));
    write("write a trade, typed", &|out, times| write_typed_rest(out, PriceMessage::Trade(&trade), &stamp, times));
    write("write a quote", &|out, times| write_ticker_rest(out, PriceMessage::Quote(&quote), &stamp, times));
    write("write a last trade", &|out, times| write_snapshot(out, "AAPL", PriceMessage::Trade(&trade), &stamp, false, times));
}
