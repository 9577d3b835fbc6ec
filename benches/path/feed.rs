//! The role `feed`: a market-data server that real clients accept and that is never the bottleneck.
//!
//! It says `connected`, `authenticated` and the subscription list, then sends frames at a fixed rate or as fast as the
//! socket takes them. Clients whose handshake says `Content-Type: application/msgpack` are spoken to in MessagePack.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tungstenite::WebSocket;
use tungstenite::handshake::server::{ErrorResponse, Request as Handshake, Response};
use tungstenite::protocol::Role;

use crate::clock::now_ns;
use crate::feed_wire::{Request, decode, encode};
use crate::frames::{Codec, Frames, Wanted};
use crate::latency::{Latency, Summary};
use crate::pacer::Pacer;
use crate::talk::{self, Orders, announce};
use crate::universe::symbol_names;

/// Gathered into one write when there is no rate.
const WRITE_BYTES: usize = 64 * 1024;
const PATHS: [&str; 1] = ["/v2/iex"];

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedArgs {
    /// The size of the universe behind `*`; the feed begins when as many are subscribed.
    pub symbols: usize,
    pub per_frame: usize,
    /// Messages a second; as many as possible without.
    pub rate: Option<f64>,
    pub total: u64,
    /// Begins without being told.
    pub at_once: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedReport {
    pub sent: u64,
    pub seconds: f64,
    /// When the last frame had been handed to the socket.
    pub ended_ns: u64,
    /// How much later than due a frame was made; it grows when the client does not read.
    pub lateness: Summary,
    pub last_prices: BTreeMap<String, String>,
    pub error: Option<String>,
}

/// Reads from the socket, and writes under the lock shared with the sender of frames, so that no answer splits a frame.
struct SharedStream {
    reader: TcpStream,
    writer: Arc<Mutex<TcpStream>>,
}

impl Read for SharedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Write for SharedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.lock().write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Subscriptions {
    lists: Mutex<Lists>,
    /// Counts the changes.
    generation: AtomicU64,
    closed: AtomicBool,
}

/// In the order asked for.
#[derive(Default, Clone)]
struct Lists {
    trades: Vec<String>,
    quotes: Vec<String>,
}

impl Subscriptions {
    fn apply(&self, request: Request) {
        let mut lists = self.lists.lock();
        let Lists { trades, quotes } = &mut *lists;
        for (held, asked) in [(trades, request.trades), (quotes, request.quotes)] {
            if request.action == "unsubscribe" {
                held.retain(|symbol| !asked.contains(symbol));
            } else {
                let known: std::collections::HashSet<String> = held.iter().cloned().collect();
                held.extend(asked.into_iter().filter(|symbol| !known.contains(symbol)));
            }
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn confirmation(&self) -> Value {
        let lists = self.lists.lock();
        json!([{"T": "subscription", "trades": lists.trades, "quotes": lists.quotes, "bars": []}])
    }

    fn wanted(&self, args: &FeedArgs, codec: Codec) -> Wanted {
        let Lists { trades, quotes } = self.lists.lock().clone();
        let expand = |list: Vec<String>| if list.iter().any(|symbol| symbol == "*") { symbol_names(args.symbols) } else { list };
        Wanted { codec, trades: expand(trades), quotes: expand(quotes), per_frame: args.per_frame }
    }

    fn is_complete(&self, symbols: usize) -> bool {
        let lists = self.lists.lock();
        lists.trades.len() >= symbols || lists.trades.iter().any(|symbol| symbol == "*")
    }
}

pub fn run(args: FeedArgs) -> io::Result<()> {
    let orders = Arc::new(talk::listen());
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    announce("LISTENING", &listener.local_addr()?.port());
    for stream in listener.incoming() {
        let (stream, args, orders) = (stream?, args.clone(), Arc::clone(&orders));
        std::thread::spawn(move || {
            if let Err(error) = serve(stream, &args, &orders) {
                eprintln!("feed: {error}");
            }
        });
    }
    Ok(())
}

fn serve(stream: TcpStream, args: &FeedArgs, orders: &Arc<Orders>) -> Result<(), Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let mut codec = Codec::Json;
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let negotiate = |request: &Handshake, response: Response| -> Result<Response, ErrorResponse> {
        if !PATHS.contains(&request.uri().path()) {
            let mut refusal = ErrorResponse::new(None);
            *refusal.status_mut() = tungstenite::http::StatusCode::NOT_FOUND;
            return Err(refusal);
        }
        if request.headers().get("content-type").is_some_and(|value| value.as_bytes() == b"application/msgpack") {
            codec = Codec::MsgPack;
        }
        Ok(response)
    };
    tungstenite::accept_hdr(stream.try_clone()?, negotiate).map_err(|error| format!("the handshake failed: {error}"))?;
    let writer = Arc::new(Mutex::new(stream.try_clone()?));
    let shared = SharedStream { reader: stream, writer: Arc::clone(&writer) };
    let mut socket = WebSocket::from_raw_socket(shared, Role::Server, None);
    let subscriptions = Arc::new(Subscriptions::default());
    let mut sends = false;
    socket.send(encode(codec, &json!([{"T": "success", "msg": "connected"}])))?;
    // A client that is killed leaves without a word, as every run ends.
    while let Ok(message) = socket.read() {
        let Some(request) = decode(&message) else { continue };
        if request.action == "auth" {
            socket.send(encode(codec, &json!([{"T": "success", "msg": "authenticated"}])))?;
            continue;
        }
        subscriptions.apply(request);
        socket.send(encode(codec, &subscriptions.confirmation()))?;
        if !sends && subscriptions.is_complete(args.symbols) {
            sends = true;
            let (args, orders, subscriptions, writer) = (args.clone(), Arc::clone(orders), Arc::clone(&subscriptions), Arc::clone(&writer));
            std::thread::spawn(move || send_frames(&args, codec, &orders, &subscriptions, &writer));
        }
    }
    subscriptions.closed.store(true, Ordering::Relaxed);
    Ok(())
}

fn send_frames(args: &FeedArgs, codec: Codec, orders: &Orders, subscriptions: &Subscriptions, writer: &Mutex<TcpStream>) -> ! {
    let mut frames = Frames::default();
    let mut generation = subscriptions.generation.load(Ordering::Acquire);
    frames.retarget(&subscriptions.wanted(args, codec));
    announce("SUBSCRIBED", &());
    if !args.at_once {
        orders.wait_for_go();
    }
    let mut lateness = Latency::default();
    let mut out = Vec::with_capacity(2 * WRITE_BYTES);
    let mut error = None;
    let mut pacer = args.rate.map(|rate| Pacer::new(rate / args.per_frame as f64));
    let (started, started_ns) = (Instant::now(), now_ns());
    let (mut sent, mut made) = (0, 0);
    while sent < args.total && error.is_none() && !subscriptions.closed.load(Ordering::Relaxed) && !orders.stopped() {
        let current = subscriptions.generation.load(Ordering::Acquire);
        if current != generation {
            generation = current;
            frames.retarget(&subscriptions.wanted(args, codec));
        }
        for _ in 0..pacer.as_mut().map_or(1, Pacer::wait) {
            let now = now_ns();
            if let Some(pacer) = &pacer {
                lateness.record(started_ns + pacer.due_ns(made), now);
            }
            sent += frames.append(&mut out, now);
            made += 1;
            if out.len() >= WRITE_BYTES {
                error = error.or(write(writer, &mut out).err());
            }
            if sent >= args.total {
                break;
            }
        }
        if pacer.is_some() || sent >= args.total {
            error = error.or(write(writer, &mut out).err());
        }
    }
    let error = error.or(write(writer, &mut out).err()).map(|error| error.to_string());
    let (seconds, ended_ns) = (started.elapsed().as_secs_f64(), now_ns());
    announce("DONE", &FeedReport { sent, seconds, ended_ns, lateness: lateness.summary(), last_prices: frames.last_prices(), error });
    talk::linger()
}

fn write(writer: &Mutex<TcpStream>, out: &mut Vec<u8>) -> io::Result<()> {
    if !out.is_empty() {
        writer.lock().write_all(out)?;
        out.clear();
    }
    Ok(())
}
