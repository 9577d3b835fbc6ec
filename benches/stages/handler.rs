use std::hint::black_box;
use std::time::{Duration, Instant};

use alpaca_broker::hub::{Interest, Outbox, PriceBook, handle_price_update};
use alpaca_broker::model::{FeedSet, MarketEvent, SymbolId};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::SYMBOLS;
use crate::feed::{self, Mix};

const PER_FRAME: usize = 10;
/// After it a symbol's last values are due.
const SNAPSHOT_AFTER: Duration = Duration::from_millis(250);

pub fn measure(criterion: &mut Criterion) {
    let dialects = [
        ("ticker", Interest { ticker: feed::feeds(), typed: FeedSet::NONE }),
        ("typed", Interest { ticker: FeedSet::NONE, typed: feed::feeds() }),
        ("both", Interest { ticker: feed::feeds(), typed: feed::feeds() }),
    ];
    let mut group = criterion.benchmark_group("handler");
    group.throughput(Throughput::Elements(PER_FRAME as u64));
    for symbols in SYMBOLS {
        for (mix, dialects) in [(Mix::Trades, &dialects[..]), (Mix::Quotes, &dialects[..1])] {
            for (dialect, interest) in dialects {
                let name = BenchmarkId::new(format!("{mix:?} {dialect}").to_lowercase(), symbols);
                group.bench_function(name, |b| update(b, mix, symbols, *interest, usize::MAX));
            }
        }
        for mix in [Mix::Trades, Mix::Quotes] {
            let name = BenchmarkId::new(format!("{mix:?} folded").to_lowercase(), symbols);
            group.bench_function(name, |b| update(b, mix, symbols, dialects[0].1, 0));
        }
    }
    for symbols in SYMBOLS {
        group.throughput(Throughput::Elements(symbols as u64));
        group.bench_function(BenchmarkId::new("flush folded", symbols), |b| flush_folded(b, symbols, dialects[0].1));
        group.bench_function(BenchmarkId::new("flush last values", symbols), |b| flush_last_values(b, symbols, dialects[0].1));
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("flush nothing", |b| {
        let (mut book, mut round) = (feed::book(SYMBOLS[1], dialects[0].1), Round::new(Mix::Trades, SYMBOLS[1]));
        let (now, mut bytes) = (Instant::now(), Vec::new());
        round.all(|batch| take(&mut book, now, batch, &mut bytes, usize::MAX));
        bytes.clear();
        b.iter(|| book.flush(now, &mut Outbox::new(black_box(&mut bytes), usize::MAX)));
    });
}

/// One batch after the other goes into the book; `limit` is the room for what comes out.
fn update(b: &mut criterion::Bencher<'_>, mix: Mix, symbols: usize, interest: Interest, limit: usize) {
    let mut round = Round::new(mix, symbols);
    let mut book = feed::book(symbols, interest);
    let (now, mut bytes) = (Instant::now(), Vec::new());
    round.all(|batch| take(&mut book, now, batch, &mut bytes, limit));
    bytes.clear();
    b.iter(|| {
        take(&mut book, now, round.batch(), &mut bytes, limit);
        bytes.clear();
    });
    assert_eq!(book.take_counts().unwanted, 0);
}

fn flush_folded(b: &mut criterion::Bencher<'_>, symbols: usize, interest: Interest) {
    let mut round = Round::new(Mix::Trades, symbols);
    let mut book = feed::book(symbols, interest);
    let (now, mut bytes) = (Instant::now(), Vec::new());
    b.iter_custom(|rounds| {
        let mut took = Duration::ZERO;
        for _ in 0..rounds {
            // Twice, so that each is folded.
            (0..2).for_each(|_| round.all(|batch| take(&mut book, now, batch, &mut bytes, 0)));
            let start = Instant::now();
            book.flush(now, &mut Outbox::new(&mut bytes, usize::MAX));
            took += start.elapsed();
            bytes.clear();
        }
        took
    });
    assert_eq!(book.take_counts().published % symbols as u64, 0, "every symbol is published in every round");
}

/// A symbol is saved with its trade and its quote.
fn flush_last_values(b: &mut criterion::Bencher<'_>, symbols: usize, interest: Interest) {
    let (mut trades, mut quotes) = (Round::new(Mix::Trades, symbols), Round::new(Mix::Quotes, symbols));
    let mut book = feed::book(symbols, interest);
    let (mut now, mut bytes) = (Instant::now(), Vec::new());
    b.iter_custom(|rounds| {
        let mut took = Duration::ZERO;
        for _ in 0..rounds {
            trades.all(|batch| take(&mut book, now, batch, &mut bytes, usize::MAX));
            quotes.all(|batch| take(&mut book, now, batch, &mut bytes, usize::MAX));
            bytes.clear();
            now += SNAPSHOT_AFTER;
            let start = Instant::now();
            // The allowance makes many symbols take turns.
            while let Some(due) = book.next_due() {
                now = now.max(due);
                book.flush(now, &mut Outbox::new(&mut bytes, usize::MAX));
            }
            took += start.elapsed();
            bytes.clear();
        }
        took
    });
    assert_eq!(book.take_counts().snapshots % symbols as u64, 0, "every symbol is saved in every round");
}

/// Goes round the symbols with the same few events, which stay in the cache as those of a producer do.
struct Round {
    batch: Vec<MarketEvent>,
    next: usize,
    symbols: usize,
}

impl Round {
    fn new(mix: Mix, symbols: usize) -> Round {
        Round { batch: feed::events(mix, PER_FRAME), next: 0, symbols }
    }

    fn batch(&mut self) -> &[MarketEvent] {
        for event in &mut self.batch {
            event.symbol = SymbolId(self.next as u32);
            self.next = (self.next + 1) % self.symbols;
        }
        &self.batch
    }

    /// Every symbol once.
    fn all(&mut self, mut each: impl FnMut(&[MarketEvent])) {
        (0..self.symbols / PER_FRAME).for_each(|_| each(self.batch()));
    }
}

/// The copy of the event, which the handler gets by value, is a part of what is measured.
fn take(book: &mut PriceBook, now: Instant, batch: &[MarketEvent], bytes: &mut Vec<u8>, limit: usize) {
    let mut out = Outbox::new(bytes, limit);
    for event in batch {
        handle_price_update(book, now, event.clone(), &mut out);
    }
}
