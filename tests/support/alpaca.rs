//! Alpaca as a broker, on the built-in exchange, with an order stream of its own.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alpaca_broker::events::{EventBus, OrderEvent, Subscription, Topics};
use alpaca_broker::exchanges::alpaca::{AlpacaBroker, AlpacaSettings, RestSettings, TradingSession, TradingSettings};
use alpaca_broker::exchanges::{Broker, Effects, Incoming, Outgoing, Session};
use alpaca_broker::model::{MarketSession, Symbol, Timestamp};
use alpaca_broker::net::Endpoint;
use alpaca_broker::runtime::{Secret, StreamState, Threads};
use alpaca_broker::sim::{Sim, SimConfig, SimControl, SimKey};
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use tungstenite::{Message, WebSocket};

use super::brokers::{Top, Venue};

const PATIENCE: Duration = Duration::from_secs(60);
const FACTS: usize = 65_536;
/// Requests: more than any test makes.
const PER_MINUTE: u32 = 1_000_000;
/// Fills come in random parts now and then; what is left trades with the next quotes.
const QUOTES_AGAIN: usize = 6;
/// The word of an event that says that all before it has been heard.
const BARRIER: &str = "barrier";

/// A broker that nobody has connected, on this exchange.
pub fn broker(sim: &Sim, bus: &EventBus, account: &str) -> AlpacaBroker {
    let rest = RestSettings {
        broker: "alpaca".to_owned(),
        api: Endpoint { secure: false, host: "127.0.0.1".to_owned(), port: sim.address().port(), path: "/".to_owned() },
        data: None,
        key_id: Secret::new("SIM"),
        secret_key: Secret::new("SIM-SECRET"),
        tls: ureq::tls::TlsConfig::default(),
    };
    let settings = AlpacaSettings { name: "alpaca".parse().unwrap(), account_name: "sim".into(), account: account.parse().unwrap(), live: false, rest };
    AlpacaBroker::new(settings, bus.clone())
}

/// Hands every event of the order stream to the broker of the moment.
struct Ear {
    wire: TcpStream,
    thread: Option<JoinHandle<()>>,
    passed: Receiver<u64>,
    /// Events that cannot stand in the broker's types.
    unread: Receiver<OrderEvent>,
}

impl Ear {
    fn open(sim: &Sim, broker: Arc<Mutex<Arc<AlpacaBroker>>>) -> Ear {
        let wire = TcpStream::connect(sim.address()).unwrap();
        let (mut socket, _) = tungstenite::client(format!("ws://{}/stream", sim.address()), wire.try_clone().unwrap()).unwrap();
        let settings = TradingSettings { account: "sim".into(), key_id: Secret::new("SIM"), secret_key: Secret::new("SIM-SECRET") };
        let (mut session, mut out) = (TradingSession::new(settings), Effects::default());
        session.opened(Instant::now(), &mut out);
        let ((pass, passed), (leave, unread)) = (unbounded(), unbounded());
        while session.state() != StreamState::Streaming {
            turn(&mut session, &mut socket, &mut out).unwrap();
        }
        let thread = std::thread::spawn(move || {
            while turn(&mut session, &mut socket, &mut out).is_some() {
                for event in out.events.drain(..) {
                    hear(&broker.lock().clone(), event, &pass, &leave);
                }
            }
        });
        Ear { wire, thread: Some(thread), passed, unread }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = self.wire.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends what is to be sent and reads one message; `None` at the end.
fn turn(session: &mut TradingSession, socket: &mut WebSocket<TcpStream>, out: &mut Effects<OrderEvent>) -> Option<()> {
    for message in out.send.drain(..) {
        let message = match message {
            Outgoing::Text(text) => Message::text(text),
            Outgoing::Binary(bytes) => Message::binary(bytes),
        };
        socket.send(message).ok()?;
    }
    match socket.read().ok()? {
        Message::Text(text) => session.received(Instant::now(), Incoming::Text(&text), out),
        Message::Binary(bytes) => session.received(Instant::now(), Incoming::Binary(&bytes), out),
        _ => {}
    }
    Some(())
}

fn hear(broker: &AlpacaBroker, event: OrderEvent, pass: &Sender<u64>, leave: &Sender<OrderEvent>) {
    let number = event.timestamp.as_deref().and_then(|text| text.parse().ok());
    match (event.event.as_str(), number) {
        (BARRIER, Some(number)) => pass.send(number).unwrap(),
        _ => {
            if let Err(unread) = broker.hear(event) {
                leave.send(OrderEvent::clone(&unread.event)).unwrap();
            }
        }
    }
}

/// The built-in exchange with the broker on it.
pub struct AlpacaVenue {
    ear: Ear,
    pub bus: EventBus,
    events: Subscription,
    current: Arc<Mutex<Arc<AlpacaBroker>>>,
    tops: Vec<(Symbol, Top)>,
    barriers: AtomicU64,
    pub exchange: SimControl,
    account: String,
    sim: Sim,
}

impl AlpacaVenue {
    pub fn new() -> AlpacaVenue {
        let symbols = ["AAPL", "MSFT"].map(|name| (name.parse().unwrap(), "100.01".parse().unwrap())).to_vec();
        // Who is told no limit keeps to the venue's usual one.
        let keys = vec![SimKey { trading_per_minute: Some(PER_MINUTE), ..SimKey::default() }];
        AlpacaVenue::with(SimConfig { symbols, keys, ..SimConfig::default() })
    }

    pub fn with(config: SimConfig) -> AlpacaVenue {
        let sim = Sim::start(config, &Threads::new(crossbeam_channel::bounded(1).0)).unwrap();
        let bus = EventBus::new();
        let events = bus.subscribe(Topics::FACTS, FACTS);
        let account = SimKey::default().account_id;
        let current = Arc::new(Mutex::new(Arc::new(broker(&sim, &bus, &account))));
        let ear = Ear::open(&sim, Arc::clone(&current));
        let exchange = sim.control();
        let venue = AlpacaVenue { ear, bus, events, current, tops: Vec::new(), barriers: AtomicU64::new(0), exchange, account, sim };
        venue.alpaca().stream_is(true);
        venue.alpaca().connect().unwrap();
        venue
    }

    pub fn alpaca(&self) -> Arc<AlpacaBroker> {
        Arc::clone(&self.current.lock())
    }

    /// Events that the broker could not read, since the last call.
    pub fn unread(&self) -> Vec<OrderEvent> {
        self.ear.unread.try_iter().collect()
    }

    /// Waits until everything that the exchange has told so far was heard.
    pub fn hear_all(&self) {
        let number = self.barriers.fetch_add(1, Ordering::Relaxed) + 1;
        self.exchange.order_update(&self.account, &format!(r#"{{"event":"{BARRIER}","timestamp":"{number}","order":{{}}}}"#));
        while self.ear.passed.recv_timeout(PATIENCE).expect("the order stream tells everything") != number {}
    }

    fn quote(&self, symbol: &Symbol, top: &Top) {
        let units = |size: rust_decimal::Decimal| size.to_string().parse().unwrap();
        self.exchange.quote(symbol.as_str(), &top.bid.to_string(), units(top.bid_size), &top.ask.to_string(), units(top.ask_size));
    }
}

impl Venue for AlpacaVenue {
    fn name(&self) -> &'static str {
        "alpaca on the built-in exchange"
    }

    fn broker(&self) -> Arc<dyn Broker> {
        self.alpaca()
    }

    fn events(&self) -> &Subscription {
        &self.events
    }

    fn symbols(&self) -> [Symbol; 3] {
        ["AAPL", "MSFT", "NOSUCH"].map(|name| name.parse().unwrap())
    }

    fn show(&mut self, symbol: &Symbol, top: Top) {
        self.tops.retain(|(known, _)| known != symbol);
        self.tops.push((symbol.clone(), top));
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..QUOTES_AGAIN {
            self.tops.iter().for_each(|(symbol, top)| self.quote(symbol, top));
        }
        self.hear_all();
    }

    fn session(&mut self, _: MarketSession) -> bool {
        false
    }

    fn arrived(&self) -> u64 {
        let all = self.alpaca().orders_since(Timestamp::default()).unwrap();
        all.map_or(0, |orders| orders.iter().filter(|order| order.parent.is_none()).count() as u64)
    }

    fn restart(&mut self) {
        self.alpaca().disconnect();
        self.bus = EventBus::new();
        self.events = self.bus.subscribe(Topics::FACTS, FACTS);
        let next = Arc::new(broker(&self.sim, &self.bus, &self.account));
        next.stream_is(true);
        next.connect().unwrap();
        *self.current.lock() = next;
    }

    fn tells_gains(&self) -> bool {
        false
    }
}
