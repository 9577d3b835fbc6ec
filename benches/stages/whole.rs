use std::time::Instant;

use alpaca_broker::config::Codec;
use alpaca_broker::exchanges::{Effects, Incoming, Session};
use alpaca_broker::hub::{Interest, Outbox, handle_price_update};
use alpaca_broker::model::FeedSet;
use alpaca_broker::redis::resp::ReplyReader;
use criterion::{BenchmarkId, Criterion, Throughput};
use tungstenite::Message;

use crate::feed::{self, Arrival, Mix};
use crate::{MESSAGES, SYMBOLS, websocket};

const PER_FRAME: usize = 10;

/// Socket to socket without the sockets and without the hand-over: what a thread per core could do at best.
pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("whole");
    group.throughput(Throughput::Elements(PER_FRAME as u64));
    for (codec, name) in [(Codec::Json, "json"), (Codec::MsgPack, "msgpack")] {
        for symbols in SYMBOLS {
            for arrival in [Arrival::Calm, Arrival::Backlog] {
                let mut socket = feed::websocket(codec, &feed::frames(codec, Mix::Trades, symbols, PER_FRAME, MESSAGES), arrival);
                let mut session = feed::streaming_session(codec, symbols);
                let mut book = feed::book(symbols, Interest { ticker: feed::feeds(), typed: FeedSet::NONE });
                let (mut effects, mut bytes, mut replies) = (Effects::default(), Vec::new(), ReplyReader::default());
                let answers = b":1\r\n".repeat(PER_FRAME);
                group.bench_function(BenchmarkId::new(format!("{name} {arrival:?}").to_lowercase(), symbols), |b| {
                    b.iter(|| {
                        let now = Instant::now();
                        match websocket::read(&mut socket) {
                            Message::Text(text) => session.received(now, Incoming::Text(&text), &mut effects),
                            Message::Binary(bytes) => session.received(now, Incoming::Binary(&bytes), &mut effects),
                            other => panic!("{other:?} is no frame of ours"),
                        }
                        let mut out = Outbox::new(&mut bytes, usize::MAX);
                        for event in effects.events.drain(..) {
                            handle_price_update(&mut book, now, event, &mut out);
                        }
                        book.flush(now, &mut out);
                        bytes.clear();
                        replies.fill(&mut answers.as_slice()).unwrap();
                        replies.take_run(u64::MAX).unwrap()
                    });
                });
            }
        }
    }
}
