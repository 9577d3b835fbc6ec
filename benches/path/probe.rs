//! The role `probe`: read, parse, serialise, publish on two threads with a channel between them and nothing else. It is the
//! yardstick for processor time, not a design: no registrations, no last values, no pressure, no faults.

use std::io;
use std::net::TcpStream;

use crossbeam_channel::{Receiver, bounded};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use crate::clock::{Rfc3339, StampReader};
use crate::resp::Publisher;
use crate::talk;
use crate::universe::{TICKER, symbol_names};

const CHANNEL: usize = 65_536;
/// Messages in one write at most.
const BATCH: usize = 512;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeArgs {
    pub feed_port: u16,
    pub redis_port: u16,
    pub symbols: usize,
}

#[derive(Deserialize)]
struct WireTrade<'a> {
    #[serde(rename = "T", borrow)]
    kind: &'a str,
    #[serde(rename = "S", borrow, default)]
    symbol: &'a str,
    #[serde(default)]
    p: f64,
    #[serde(default)]
    s: u64,
    #[serde(borrow, default)]
    t: &'a str,
}

#[derive(Serialize)]
struct PriceUpdate<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    symbol: &'a str,
    price: f64,
    volume: u64,
    timestamp: &'a str,
}

/// A trade between the two threads.
struct Trade {
    symbol: [u8; 11],
    symbol_len: u8,
    price: f64,
    size: u64,
    ns: u64,
}

impl Trade {
    fn new(wire: &WireTrade, ns: u64) -> Trade {
        let mut symbol = [0; 11];
        let length = wire.symbol.len().min(symbol.len());
        symbol[..length].copy_from_slice(&wire.symbol.as_bytes()[..length]);
        Trade { symbol, symbol_len: length as u8, price: wire.p, size: wire.s, ns }
    }

    fn symbol(&self) -> &str {
        std::str::from_utf8(&self.symbol[..usize::from(self.symbol_len)]).unwrap_or("")
    }
}

pub fn run(args: ProbeArgs) -> Result<(), Box<dyn std::error::Error>> {
    let _orders = talk::listen();
    let (sender, receiver) = bounded::<Trade>(CHANNEL);
    let publisher = Publisher::connect(args.redis_port, true)?;
    std::thread::spawn(move || publish(publisher, &receiver));
    let mut socket = connect(&args)?;
    let mut stamps = StampReader::default();
    loop {
        let Message::Text(text) = socket.read()? else { continue };
        let list: Vec<WireTrade> = serde_json::from_str(&text).unwrap_or_default();
        for wire in list.iter().filter(|wire| wire.kind == "t") {
            sender.send(Trade::new(wire, stamps.rfc3339(wire.t.as_bytes()).unwrap_or(0)))?;
        }
    }
}

fn connect(args: &ProbeArgs) -> Result<WebSocket<TcpStream>, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(("127.0.0.1", args.feed_port))?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(256 * 1024);
    let url = format!("ws://127.0.0.1:{}/v2/iex", args.feed_port);
    let (mut socket, _) = tungstenite::client::client_with_config(url, stream, Some(config)).map_err(|error| format!("the handshake failed: {error}"))?;
    socket.read()?;
    socket.send(Message::text(json!({"action": "auth", "key": "k", "secret": "s"}).to_string()))?;
    socket.read()?;
    socket.send(Message::text(json!({"action": "subscribe", "trades": symbol_names(args.symbols)}).to_string()))?;
    Ok(socket)
}

fn publish(mut publisher: Publisher, receiver: &Receiver<Trade>) -> io::Result<()> {
    let mut payload = Vec::with_capacity(512);
    let mut stamp = Rfc3339::default();
    let mut emit = |publisher: &mut Publisher, trade: Trade| {
        let text = *stamp.format(trade.ns);
        let timestamp = std::str::from_utf8(&text).unwrap_or("");
        payload.clear();
        let update = PriceUpdate { kind: "price", symbol: trade.symbol(), price: trade.price, volume: trade.size, timestamp };
        // A structure of texts and numbers always has a JSON form.
        let _ = serde_json::to_writer(&mut payload, &update);
        publisher.push(TICKER.as_bytes(), trade.symbol().as_bytes(), &payload);
    };
    while let Ok(first) = receiver.recv() {
        emit(&mut publisher, first);
        for trade in receiver.try_iter().take(BATCH - 1) {
            emit(&mut publisher, trade);
        }
        publisher.flush()?;
    }
    publisher.settle()
}
