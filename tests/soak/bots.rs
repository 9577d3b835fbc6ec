//! Who trades and who listens while everything breaks: bots through Redis, somebody by hand at the exchange.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alpaca_broker::model::Timestamp;
use alpaca_broker::runtime::wall_now;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::checker::Entry;
use crate::stage::{Hand, client, read_after};

/// After so long without an answer a bot says the same again.
const SAY_AGAIN: Duration = Duration::from_secs(3);
const TURN: Duration = Duration::from_millis(5);

/// What a bot needs to know of the others and of the end.
#[derive(Clone, Default)]
pub struct Shared {
    /// Nothing new is begun.
    pub closing: Arc<AtomicBool>,
    /// The listener listens no longer.
    pub over: Arc<AtomicBool>,
    /// Commands that have their last word: by client order id, and those that own no order as `action client_order_id`.
    pub answered: Arc<Mutex<BTreeSet<String>>>,
}

impl Shared {
    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub fn is_answered(&self, id: &str) -> bool {
        self.answered.lock().contains(id)
    }
}

/// Reads the stream from its beginning to the end of the test, and remembers everything.
pub fn listener(url: &str, key: &str, shared: &Shared) -> JoinHandle<Vec<Entry>> {
    let (url, key, shared) = (url.to_owned(), key.to_owned(), shared.clone());
    std::thread::spawn(move || {
        let (mut heard, mut cursor, mut connection) = (Vec::new(), "0-0".to_owned(), None);
        loop {
            // Asked once more after the end has been announced, so that nothing remains.
            let over = shared.over.load(Ordering::Acquire);
            if connection.is_none() {
                connection = client(&url).ok();
            }
            match connection.as_mut().map(|connection| read_after(connection, &key, &cursor)) {
                Some(Ok(found)) => {
                    if over && found.is_empty() {
                        return heard;
                    }
                    for (id, entry) in found {
                        shared.answered.lock().extend(entry.answers().map(str::to_owned).into_iter().chain(entry.said.reply().map(|(name, _)| name)));
                        cursor = id;
                        heard.push(entry);
                    }
                }
                _ => {
                    connection = None;
                    std::thread::sleep(TURN);
                }
            }
        }
    })
}

/// Says commands through Redis, on a connection that it makes again.
pub struct Speaker {
    url: String,
    connection: Option<redis::Connection>,
}

impl Speaker {
    pub fn new(url: &str) -> Speaker {
        Speaker { url: url.to_owned(), connection: None }
    }

    /// Whether Redis took it. What it did not confirm may have arrived all the same.
    pub fn say(&mut self, command: &Value) -> bool {
        if self.connection.is_none() {
            self.connection = client(&self.url).ok();
        }
        let Some(connection) = self.connection.as_mut() else { return false };
        let said: redis::RedisResult<String> = redis::cmd("XADD").arg("broker:orders").arg("*").arg("command").arg(command.to_string()).query(connection);
        if said.is_err() {
            self.connection = None;
        }
        said.is_ok()
    }

    /// Says it until it has an answer; `false` when the test ends before.
    pub fn insist(&mut self, command: &Value, id: &str, shared: &Shared) -> bool {
        while !shared.over.load(Ordering::Acquire) {
            let said = self.say(command);
            let until = Instant::now() + if said { SAY_AGAIN } else { TURN };
            while Instant::now() < until {
                if shared.is_answered(id) {
                    return true;
                }
                std::thread::sleep(TURN);
            }
        }
        false
    }
}

/// Long after the end of the test: what a broker is killed over is no reason to give an order up.
const GOOD_FOR_MS: i64 = 3_600_000;

/// A market order of one unit.
pub fn market(id: &str, symbol: &str, side: &str) -> Value {
    let expires_at = Timestamp::from_nanos((wall_now().millis() + GOOD_FOR_MS) * 1_000_000).to_string();
    json!({
        "action": "place", "exchange": "alpaca", "client_order_id": id, "symbol": symbol, "side": side, "type": "market", "qty": "1",
        "time_in_force": "day", "expires_at": expires_at,
    })
}

/// An order that rests below the market.
pub fn resting(id: &str, symbol: &str) -> Value {
    let mut order = market(id, symbol, "buy");
    (order["type"], order["limit_price"]) = ("limit".into(), "1.00".into());
    order
}

/// Buys and sells by turns through the broker; every fourth order rests and is cancelled. Returns the names of its orders.
pub fn trader(name: &'static str, symbol: &'static str, url: &str, shared: &Shared) -> JoinHandle<Vec<String>> {
    let (url, shared) = (url.to_owned(), shared.clone());
    std::thread::spawn(move || {
        let (mut speaker, mut names) = (Speaker::new(&url), Vec::new());
        for n in 0_u64.. {
            if shared.closing() {
                break;
            }
            let id = format!("{name}-{n}");
            let order = if n % 4 == 3 {
                json!({"action": "place", "exchange": "alpaca", "client_order_id": id, "symbol": symbol, "side": "buy", "type": "limit", "limit_price": "1.00",
                       "qty": "1", "time_in_force": "day"})
            } else {
                market(&id, symbol, if n % 4 == 1 { "sell" } else { "buy" })
            };
            names.push(id.clone());
            if !speaker.insist(&order, &id, &shared) {
                break;
            }
            if n % 4 == 3 {
                speaker.say(&json!({"action": "cancel", "exchange": "alpaca", "client_order_id": id}));
            }
        }
        names
    })
}

/// Trades at the exchange itself at a pace, whether the broker lives or not.
pub fn by_hand(hand: Hand, per_second: f64, shared: &Shared, placed: &Arc<AtomicUsize>) -> JoinHandle<()> {
    let (shared, placed) = (shared.clone(), Arc::clone(placed));
    std::thread::spawn(move || {
        let begun = Instant::now();
        for n in 0_u32.. {
            let due = begun + Duration::from_secs_f64(f64::from(n) / per_second);
            while Instant::now() < due && !shared.closing() {
                std::thread::sleep(due.saturating_duration_since(Instant::now()).min(Duration::from_millis(20)));
            }
            if shared.closing() {
                return;
            }
            let side = if n.is_multiple_of(2) { "buy" } else { "sell" };
            let resting = n % 5 == 4;
            let mut order = json!({"symbol": "KO", "qty": "1", "side": side, "type": "market", "time_in_force": "day"});
            if resting {
                order = json!({"symbol": "PFE", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1.00", "time_in_force": "day"});
            }
            let (status, answer) = hand.post("/v2/orders", &order);
            if status == 200 {
                placed.fetch_add(1, Ordering::Relaxed);
                if resting && let Some(id) = answer["id"].as_str() {
                    hand.cancel(id);
                }
            }
        }
    })
}
