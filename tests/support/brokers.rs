//! Brokers on a stage: a venue whose market the test moves, for cards that every broker has to play.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use alpaca_broker::events::{EventBus, MarketDataEvent, MarketSight, Subscription, Topics};
use alpaca_broker::exchanges::Broker;
use alpaca_broker::exchanges::paper::broker::{Clock, PaperBroker, PaperSettings, Ticks};
use alpaca_broker::model::{MarketSession, Symbol, Timestamp};
use rusqlite::{Connection, OpenFlags};
use rust_decimal::Decimal;
use tempfile::TempDir;

/// Room for what one card makes a broker say.
const FACTS: usize = 65_536;
/// A Wednesday in November, half an hour after the opening in New York.
const MORNING: i64 = 1_795_014_000_000_000_000;

/// What stands at the top of a book.
#[derive(Debug, Clone, Copy)]
pub struct Top {
    pub bid: Decimal,
    pub bid_size: Decimal,
    pub ask: Decimal,
    pub ask_size: Decimal,
}

/// A broker, connected to a venue that does what the test says.
pub trait Venue {
    fn name(&self) -> &'static str;
    fn broker(&self) -> Arc<dyn Broker>;
    /// What the broker has published since it was made.
    fn events(&self) -> &Subscription;
    /// Two symbols that trade, and one that nobody lists.
    fn symbols(&self) -> [Symbol; 3];
    /// Moves the market; returns when the venue has matched what it can.
    fn show(&mut self, symbol: &Symbol, top: Top);
    /// Lets everything that is under way arrive, and what follows from it be told.
    fn settle(&mut self);
    /// Says which phase the market is in; false when this venue's cannot be moved.
    fn session(&mut self, session: MarketSession) -> bool;
    /// How many orders have reached the venue, by the venue's own account.
    fn arrived(&self) -> u64;
    /// The broker ends and another one takes its place.
    fn restart(&mut self);
    /// Whether the venue keeps books of gains: tells those taken, every change of a position, and the position with
    /// executions that are read back.
    fn tells_gains(&self) -> bool {
        true
    }
}

/// The paper broker with its file, and a clock that only the test moves.
pub struct PaperVenue {
    folder: TempDir,
    clock: Arc<AtomicI64>,
    tune: fn(&mut PaperSettings),
    bus: EventBus,
    events: Subscription,
    broker: Arc<PaperBroker>,
}

impl PaperVenue {
    pub fn new(tune: fn(&mut PaperSettings)) -> PaperVenue {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(AtomicI64::new(MORNING));
        let (bus, events, broker) = PaperVenue::start(&folder, &clock, tune);
        broker.set_session(MarketSession::Regular);
        PaperVenue { folder, clock, tune, bus, events, broker }
    }

    fn start(folder: &TempDir, clock: &Arc<AtomicI64>, tune: fn(&mut PaperSettings)) -> (EventBus, Subscription, Arc<PaperBroker>) {
        let mut settings = PaperSettings::new("paper".parse().unwrap(), "paper-account".parse().unwrap(), folder.path().join("paper.db"));
        tune(&mut settings);
        let bus = EventBus::new();
        let events = bus.subscribe(Topics::FACTS, FACTS);
        let read = Arc::clone(clock);
        let ticking = Arc::clone(clock);
        let clock: Clock = Arc::new(move || Timestamp::from_nanos(read.load(Ordering::SeqCst)));
        let ticks: Ticks = Arc::new(move || Duration::from_nanos((ticking.load(Ordering::SeqCst) - MORNING).unsigned_abs()));
        let broker = Arc::new(PaperBroker::with_ticks(settings, bus.clone(), clock, ticks));
        broker.connect().unwrap();
        (bus, events, broker)
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("paper.db")
    }

    fn see(&self, symbol: &Symbol, seen: MarketSight) {
        let at = Timestamp::from_nanos(self.clock.load(Ordering::SeqCst));
        self.broker.see(&MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: symbol.clone(), at, seen });
    }
}

impl Venue for PaperVenue {
    fn name(&self) -> &'static str {
        "paper"
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::<PaperBroker>::clone(&self.broker)
    }

    fn events(&self) -> &Subscription {
        &self.events
    }

    fn symbols(&self) -> [Symbol; 3] {
        ["AAPL", "MSFT", "NOSUCH"].map(|name| name.parse().unwrap())
    }

    fn show(&mut self, symbol: &Symbol, top: Top) {
        self.see(symbol, MarketSight::Quote { bid: top.bid, bid_size: top.bid_size, ask: top.ask, ask_size: top.ask_size });
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..4 {
            self.clock.fetch_add(250_000_000, Ordering::SeqCst);
            self.broker.advance();
        }
    }

    fn session(&mut self, session: MarketSession) -> bool {
        self.broker.set_session(session);
        self.settle();
        true
    }

    fn arrived(&self) -> u64 {
        let file = Connection::open_with_flags(self.file(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let orders: i64 = file.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap();
        orders.unsigned_abs()
    }

    fn restart(&mut self) {
        self.broker.disconnect();
        let (bus, events, broker) = PaperVenue::start(&self.folder, &self.clock, self.tune);
        (self.bus, self.events, self.broker) = (bus, events, broker);
        self.broker.set_session(MarketSession::Regular);
    }
}
