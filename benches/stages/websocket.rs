use alpaca_broker::config::Codec;
use criterion::{BenchmarkId, Criterion, Throughput};
use tungstenite::{Error, Message};

use crate::MESSAGES;
use crate::feed::{self, Arrival, Mix};

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket");
    for (codec, name) in [(Codec::Json, "json"), (Codec::MsgPack, "msgpack")] {
        for arrival in [Arrival::Calm, Arrival::Backlog] {
            for per_frame in [1, 10, 100] {
                let mut socket = feed::websocket(codec, &feed::frames(codec, Mix::Trades, 100, per_frame, MESSAGES), arrival);
                group.throughput(Throughput::Elements(per_frame as u64));
                group.bench_function(BenchmarkId::new(format!("{name} {arrival:?}").to_lowercase(), per_frame), |b| {
                    b.iter(|| read(&mut socket));
                });
            }
        }
    }
}

/// As the producer does: what there is, and, where there is no more, one read that says so.
pub fn read(socket: &mut tungstenite::WebSocket<feed::Wire>) -> Message {
    loop {
        match socket.read() {
            Ok(message) => return message,
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}
