//! No allocation for a message once everything has found its size, counted stage by stage along the price path.
//!
//! A program of its own: `allocation_counter` replaces the allocator of whatever it is linked into. It counts on the
//! calling thread alone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

#[path = "../support/feed.rs"]
mod feed;

use std::time::{Duration, Instant};

use allocation_counter::{AllocationInfo, measure};
use alpaca_broker::config::Codec;
use alpaca_broker::exchanges::alpaca::DataSession;
use alpaca_broker::exchanges::{Effects, Incoming, Session};
use alpaca_broker::hub::{Interest, Outbox, PriceBook, PriceItem, PriceLane, PriceLaneEntry, PriceSink, Sink, StreamId, handle_price_update, price_lane};
use alpaca_broker::model::MarketEvent;
use alpaca_broker::redis::resp::{ReplyReader, Run};
use alpaca_broker::runtime::{Stop, StopToken};
use tungstenite::{Error, Message, WebSocket};

use feed::{Arrival, Mix, Wire};

const PER_FRAME: usize = 10;
/// Of each case; 100,000 messages in all.
const FRAMES: usize = 2_500;
/// Between two frames on our clock: a symbol's last values are due after 250 ms.
const APART: Duration = Duration::from_millis(1);

/// What the price path does with a frame, in this order.
#[derive(Debug, Clone, Copy)]
enum Stage {
    WebSocket,
    Session,
    Lane,
    Book,
    LastValues,
    Replies,
}

impl Stage {
    const ALL: [Stage; 6] = [Stage::WebSocket, Stage::Session, Stage::Lane, Stage::Book, Stage::LastValues, Stage::Replies];
}

#[test]
fn json_of_100_symbols() {
    check(Codec::Json, 100, Arrival::Calm);
}

#[test]
fn json_of_11_000_symbols() {
    check(Codec::Json, 11_000, Arrival::Backlog);
}

#[test]
fn messagepack_of_100_symbols() {
    check(Codec::MsgPack, 100, Arrival::Backlog);
}

#[test]
fn messagepack_of_11_000_symbols() {
    check(Codec::MsgPack, 11_000, Arrival::Calm);
}

fn check(codec: Codec, symbols: usize, arrival: Arrival) {
    let mut path = PricePath::new(codec, symbols, arrival);
    // Every symbol was there with a trade and a quote, every last value was due, and the socket's buffer has been used up.
    path.take_frames((2 * symbols / PER_FRAME).max(400));
    path.counts = [AllocationInfo::default(); Stage::ALL.len()];
    path.book.take_counts();
    path.answered = Run::default();
    path.take_frames(FRAMES);
    let messages = (FRAMES * PER_FRAME) as u64;
    let counts = path.book.take_counts();
    assert_eq!((counts.published, counts.merged, counts.unwanted), (messages, 0, 0), "every message is published");
    assert!(counts.snapshots >= messages / 100, "{} last values are written", counts.snapshots);
    // Both dialects.
    assert_eq!(path.answered.count, 2 * messages + counts.snapshots);
    let wrong: Vec<String> = Stage::ALL
        .into_iter()
        .filter_map(|stage| {
            let AllocationInfo { count_total, bytes_total, .. } = path.counts[stage as usize];
            let found = format!("stage {stage:?} allocated {count_total} times ({bytes_total} bytes)");
            (count_total > 0).then_some(found)
        })
        .collect();
    assert!(wrong.is_empty(), "{codec:?}, {symbols} symbols, {messages} messages in {FRAMES} frames:\n{}", wrong.join("\n"));
}

/// One thread's worth of everything between the exchange's socket and that of Redis.
struct PricePath {
    socket: WebSocket<Wire>,
    session: DataSession,
    effects: Effects<MarketEvent>,
    sink: PriceSink,
    lane: PriceLane,
    _entry: PriceLaneEntry,
    _stop: Stop,
    token: StopToken,
    book: PriceBook,
    out: Vec<u8>,
    replies: ReplyReader,
    answered: Run,
    now: Instant,
    counts: [AllocationInfo; Stage::ALL.len()],
}

impl PricePath {
    fn new(codec: Codec, symbols: usize, arrival: Arrival) -> PricePath {
        let frames = feed::frames(codec, Mix::TradesAndQuotes, symbols, PER_FRAME, 2 * symbols);
        let (entry, lane) = price_lane();
        let stop = Stop::new().unwrap();
        PricePath {
            socket: feed::websocket(codec, &frames, arrival),
            session: feed::streaming_session(codec, symbols),
            effects: Effects::default(),
            sink: entry.sink(StreamId(0)),
            lane,
            _entry: entry,
            token: stop.token(),
            _stop: stop,
            book: feed::book(symbols, Interest { ticker: feed::feeds(), typed: feed::feeds() }),
            out: Vec::new(),
            replies: ReplyReader::default(),
            answered: Run::default(),
            now: Instant::now(),
            counts: [AllocationInfo::default(); Stage::ALL.len()],
        }
    }

    fn take_frames(&mut self, frames: usize) {
        (0..frames).for_each(|_| self.take_frame());
    }

    fn take_frame(&mut self) {
        self.now += APART;
        let now = self.now;
        let mut message = None;
        let read = measure(|| message = Some(self.read()));
        self.counts[Stage::WebSocket as usize] += read;
        self.counts[Stage::Session as usize] += measure(|| match message.as_ref().unwrap() {
            Message::Text(text) => self.session.received(now, Incoming::Text(text), &mut self.effects),
            Message::Binary(bytes) => self.session.received(now, Incoming::Binary(bytes), &mut self.effects),
            other => panic!("{other:?} is no frame of ours"),
        });
        assert_eq!((self.effects.events.len(), self.effects.malformed, self.effects.unwanted), (PER_FRAME, 0, 0));
        drop(message);
        let mut events = Vec::new();
        self.counts[Stage::Lane as usize] += measure(|| {
            self.sink.deliver(&mut self.effects.events, now, &self.token);
            let PriceItem::Batch(batch) = self.lane.items.try_recv().unwrap() else { panic!("a batch was delivered") };
            events = batch.events;
        });
        let mut commands = 0;
        self.counts[Stage::Book as usize] += measure(|| {
            let mut out = Outbox::new(&mut self.out, usize::MAX);
            for event in events.drain(..) {
                handle_price_update(&mut self.book, now, event, &mut out);
            }
            commands += out.commands();
        });
        self.counts[Stage::Lane as usize] += measure(|| self.lane.empties.try_send(events).unwrap());
        self.counts[Stage::LastValues as usize] += measure(|| {
            let mut out = Outbox::new(&mut self.out, usize::MAX);
            self.book.flush(now, &mut out);
            commands += out.commands();
        });
        // All of it is sent.
        self.out.clear();
        let answered = measure(|| self.answer(commands));
        self.counts[Stage::Replies as usize] += answered;
    }

    /// As the producer does: what is there, and then that there is no more.
    fn read(&mut self) -> Message {
        loop {
            match self.socket.read() {
                Ok(message) => return message,
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn answer(&mut self, commands: usize) {
        const ANSWER: &[u8; 40] = b":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n";
        let mut left = commands;
        while left > 0 {
            let now = left.min(ANSWER.len() / 4);
            let filled = self.replies.fill(&mut &ANSWER[..4 * now]).unwrap();
            assert_eq!(filled.bytes, 4 * now);
            left -= now;
        }
        let run = self.replies.take_run(u64::MAX).unwrap();
        self.answered.count += run.count;
        self.answered.sum += run.sum;
    }
}
