use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alpaca_broker::config::{Codec, DialectRule, RegistrationLimits};
use alpaca_broker::contract::StreamType;
use alpaca_broker::exchanges::alpaca::DataSession;
use alpaca_broker::exchanges::{Effects, Incoming, Outgoing, Session};
use alpaca_broker::hub::{Consequences, PriceBook, Registrar, StreamBoard, StreamId, SymbolTable};
use alpaca_broker::model::{ExchangeName, MarketEvent, Timestamp};
use criterion::{BenchmarkId, Criterion, Throughput};
use crossbeam_channel::bounded;
use serde_json::{Value, json};

use crate::{SYMBOLS, feed};

const NOW_MS: i64 = 1_795_185_000_000;

/// What follows when a bot has spoken, in this order; each stage is measured for itself.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The message is read and the registry changed.
    Registrar,
    /// The price handler and the stream's board are told.
    Supervisor,
    /// The session says what to ask the venue.
    Want,
    /// The venue lists everything that we hold.
    Acknowledged,
}

impl Stage {
    const ALL: [(Stage, &str); 4] =
        [(Stage::Registrar, "registrar"), (Stage::Supervisor, "supervisor"), (Stage::Want, "session wants"), (Stage::Acknowledged, "acknowledged")];
}

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    for symbols in SYMBOLS {
        let mut desk = Desk::new(symbols);
        let (register, unregister) = (message("register", "NEW"), message("unregister", "NEW"));
        group.throughput(Throughput::Elements(2));
        for (stage, name) in Stage::ALL {
            group.bench_function(BenchmarkId::new(name, symbols), |b| {
                b.iter_custom(|rounds| (0..rounds).map(|_| desk.hear(&[&register])[stage as usize] + desk.hear(&[&unregister])[stage as usize]).sum());
            });
        }
        group.throughput(Throughput::Elements(1));
        let again = message("register", &feed::symbol(symbols / 2));
        group.bench_function(BenchmarkId::new("renewal", symbols), |b| b.iter(|| desk.hear(&[&again])));
        // One bot comes while another goes: what is stored and what is removed must not contradict each other.
        group.throughput(Throughput::Elements(4));
        group.bench_function(BenchmarkId::new("come and go at once", symbols), |b| {
            let (held, released) = (message("register", "HELD"), message("unregister", "HELD"));
            desk.hear(&[&held]);
            b.iter_custom(|rounds| {
                let there_and_back =
                    |_| desk.hear(&[&register, &released])[Stage::Registrar as usize] + desk.hear(&[&held, &unregister])[Stage::Registrar as usize];
                (0..rounds).map(there_and_back).sum()
            });
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("once a second", symbols), |b| {
            b.iter(|| {
                let mut out = Consequences::default();
                desk.registrar.expire(NOW_MS, &mut out);
                (desk.registrar.symbols_of(StreamId(0)), desk.registrar.symbols_of(StreamId(1)))
            });
        });
    }
}

fn message(action: &str, symbol: &str) -> Vec<u8> {
    format!(r#"{{"action":"{action}","symbols":["{symbol}"],"bot":"b1"}}"#).into_bytes()
}

/// The supervisor, the price handler's book and the producer's session, without their threads.
struct Desk {
    registrar: Registrar,
    board: Arc<StreamBoard>,
    book: PriceBook,
    session: DataSession,
    effects: Effects<MarketEvent>,
    /// The symbols that the venue sends.
    venue: BTreeSet<String>,
}

impl Desk {
    fn new(symbols: usize) -> Desk {
        let exchange: ExchangeName = "alpaca".parse().unwrap();
        let limits = RegistrationLimits { per_bot: symbols + 10, total: symbols + 10 };
        let registrar =
            Registrar::new(limits, Arc::new(SymbolTable::default()), exchange, DialectRule::Auto, Box::new(|_| Some(StreamId(0))), 0, Arc::default());
        let mut desk = Desk {
            registrar,
            board: StreamBoard::new("alp-data", StreamType::MarketData, bounded(1).0),
            book: PriceBook::new(Timestamp::from_nanos(NOW_MS * 1_000_000), false),
            session: feed::streaming_session(Codec::Json, 0),
            effects: Effects::default(),
            venue: BTreeSet::new(),
        };
        desk.registrar.restore(&HashMap::new(), NOW_MS, &mut Consequences::default());
        let all: Vec<Vec<u8>> = (0..symbols).map(|number| message("register", &feed::symbol(number))).collect();
        desk.hear(&all.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!((desk.registrar.registry().symbols(), desk.session.wanted_symbols()), (symbols, symbols));
        desk
    }

    /// What each stage took.
    fn hear(&mut self, messages: &[&[u8]]) -> [Duration; Stage::ALL.len()] {
        let start = Instant::now();
        let mut out = Consequences::default();
        for message in messages {
            self.registrar.handle_registration_message(message, NOW_MS, &mut out);
        }
        out.settle(self.registrar.registry());
        let decided = Instant::now();
        for change in out.interests {
            self.book.set_interest(decided, change.id, &change.name, change.stream, change.interest);
        }
        for (_, wants) in out.wants {
            self.board.put_wants(wants);
        }
        let told = Instant::now();
        let wants = self.board.take_wants();
        if !wants.is_empty() {
            self.session.want(told, &wants, &mut self.effects);
        }
        let asked = Instant::now();
        let answers = self.answers();
        let answered = Instant::now();
        for answer in &answers {
            self.session.received(answered, Incoming::Text(answer), &mut self.effects);
        }
        let taken = answered.elapsed();
        assert!(self.effects.send.is_empty() && self.effects.end.is_none() && !self.session.has_unacknowledged());
        assert!(self.effects.notices.is_empty(), "{:?}", self.effects.notices);
        [decided - start, told - decided, asked - told, taken]
    }

    /// One for each request.
    fn answers(&mut self) -> Vec<String> {
        let venue = &mut self.venue;
        let answers = self.effects.send.drain(..).map(|request| {
            let Outgoing::Text(text) = request else { panic!("the session speaks JSON") };
            let request: Value = serde_json::from_str(&text).unwrap();
            for name in request["trades"].as_array().unwrap() {
                let name = name.as_str().unwrap();
                if request["action"] == "subscribe" {
                    venue.insert(name.to_owned())
                } else {
                    venue.remove(name)
                };
            }
            json!([{"T":"subscription","trades":venue,"quotes":[],"bars":[],"updatedBars":[],"dailyBars":[],"statuses":[],"lulds":[]}]).to_string()
        });
        answers.collect()
    }
}
