//! The exchange on the network: one thread accepts, one moves the market, one serves each connection.
//!
//! Lock order: the exchange before the hub, the hub before an outbox; limits and tape are taken alone. None is held while a
//! socket is used.

mod accept;
mod admin;
mod by_hand;
mod certificate;
mod connection;
mod control;
mod counters;
mod door;
mod ears;
mod faulty;
mod floor;
mod framing;
mod halts;
mod history;
mod hub;
mod load;
mod outbox;
mod record;
mod request;
mod sse;
mod stream;
mod tape;
mod upgrade;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};

pub use control::SimControl;
pub use counters::Counters;
pub use load::{LoadHandle, LoadReport, LoadSpec, LoadTotals};
pub use record::{ConnectionRecord, FaultAction, StageFault};
pub use tape::{Direction, Recorded};

use super::clock::{SimClock, SpeedError};
use super::config::SimConfig;
use super::exchange::Exchange;
use super::limit::Limiter;
use super::market::{Market, MarketData, Replay, ReplayError, sight_of};
use super::message::{SimBody, SimMessage};
use super::rest::{self, Request, Response};
use crate::model::Timestamp;
use crate::net::{TlsError, server_config};
use crate::runtime::{Stop, StopKind, StopToken, Task, ThreadExit, Threads, wall_now};
use hub::Hub;
use tape::Tape;
use tungstenite::Bytes;

const BACKLOG_OF_EXITS: usize = 1_024;
const JOIN: Duration = Duration::from_secs(1);
/// Longest that an answer waits for cancels.
const SETTLING: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);
/// Ids of trades made by hand start here, apart from those of the market.
const FIRST_TRADE: i64 = 1_000_000_000;

/// Why the exchange could not be started. All are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    #[error("the simulated exchange cannot listen on {address}: {cause}; choose another address or port")]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("the simulated exchange cannot serve TLS: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Speed(#[from] SpeedError),
    #[error("the simulated exchange cannot start: {0}; the process has no threads or files left")]
    Resources(#[from] io::Error),
}

/// A running exchange. Stops when dropped.
#[derive(Debug)]
pub struct Sim {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    shared: Arc<Shared>,
    stop: Stop,
    threads: Vec<Task<()>>,
}

/// What all threads of an exchange share.
#[derive(Debug)]
struct Shared {
    config: SimConfig,
    clock: SimClock,
    market: MarketData,
    exchange: Mutex<Exchange>,
    hub: Mutex<Hub>,
    changed: Condvar,
    /// Set while any fault is in force: without one nobody takes a lock to look for it.
    armed: Arc<AtomicBool>,
    limiter: Mutex<Limiter>,
    tape: Mutex<Tape>,
    /// The certificate that was made for want of another, as PEM.
    made_certificate: Option<String>,
    next_connection: AtomicU64,
    next_trade: AtomicI64,
    /// Calls the market thread to an order that is due sooner than it thinks.
    wake_market: Sender<()>,
    /// For connections and loads: their ends are ours to look at.
    threads: Threads,
    exits: Receiver<ThreadExit>,
    token: StopToken,
}

impl Shared {
    /// Changes the hub, and tells those who wait for a change.
    fn change<R>(&self, act: impl FnOnce(&mut Hub) -> R) -> R {
        let mut hub = self.hub.lock();
        let before = hub.generation;
        let result = act(&mut hub);
        if hub.generation != before {
            self.changed.notify_all();
        }
        result
    }

    /// Works on the exchange; what happens to orders is told to their listeners in the same order.
    fn with_exchange<R>(&self, act: impl FnOnce(&mut Exchange, Timestamp) -> R) -> R {
        let mut exchange = self.exchange.lock();
        let due = exchange.next_due();
        let now = self.now();
        let result = act(&mut exchange, now);
        let (accepted, updates) = (exchange.take_accepted(), exchange.take_updates());
        if !updates.is_empty() || !accepted.is_empty() {
            let mut hub = self.hub.lock();
            accepted.iter().for_each(|acceptance| hub.history.accepted(acceptance, Instant::now()));
            hub.deliver(&updates, now);
        }
        if exchange.next_due() != due {
            // A full channel has called already.
            let _ = self.wake_market.try_send(());
        }
        result
    }

    /// Answers a REST request; the exchange is not held up by one about data or the clock, which says `told_at`.
    fn answer(&self, request: &Request<'_>, told_at: Timestamp) -> Response {
        let (market, keys) = (&self.market, &self.config.keys);
        match rest::respond_without_exchange(market, keys, request, told_at) {
            Some(response) => response,
            None => {
                self.settle(request);
                self.with_exchange(|exchange, now| rest::respond(exchange, market, keys, request, now))
            }
        }
    }

    /// Waits until what a request needs has arrived at the market, as the venue does: it answers with the orders that close
    /// positions, which there are only when the cancels before them have come.
    fn settle(&self, request: &Request<'_>) {
        let Some((account, waited_for)) = self.with_exchange(|exchange, now| rest::prepare(exchange, &self.config.keys, request, now)) else { return };
        let deadline = Instant::now() + SETTLING;
        let open = |exchange: &Exchange| waited_for.iter().any(|id| exchange.order(account, id.as_str()).is_ok_and(|order| order.status.is_open()));
        while self.token.is_running() {
            let due = {
                let exchange = self.exchange.lock();
                exchange.next_due().filter(|_| open(&exchange))
            };
            let now = Instant::now();
            let Some(due) = due.filter(|_| now < deadline) else { return };
            self.token.wait(self.clock.wait_until(due, now).min(deadline - now));
            self.with_exchange(|exchange, now| exchange.due(now));
        }
    }

    /// The time of the exchange.
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    /// Writes down what went over a wire, when that is wanted.
    fn tape(&self, connection: u64, direction: Direction, kind: &'static str, bytes: impl FnOnce() -> Bytes) {
        if self.config.record_bytes > 0 {
            let (at, bytes) = (self.now(), bytes());
            self.tape.lock().write(at, connection, direction, kind, &bytes);
        }
    }

    /// Shows messages to the exchange, whose orders they may fill, and to the subscribers.
    fn emit(&self, messages: &[SimMessage]) {
        if messages.is_empty() {
            return;
        }
        self.market.note(messages);
        self.with_exchange(|exchange, now| {
            for message in messages {
                match &message.body {
                    SimBody::Quote(quote) => exchange.quoted(&message.symbol, quote, now),
                    SimBody::Trade { price, size, .. } => {
                        let (price, size) = (price.to_decimal().unwrap_or_default(), size.to_decimal().unwrap_or_default());
                        exchange.traded(&message.symbol, price, size, now);
                    }
                    SimBody::Fact(fact) => {
                        if let Some(sight) = sight_of(fact) {
                            exchange.seen(&message.symbol, &sight, now);
                        }
                    }
                }
            }
        });
        self.hub.lock().publish(messages);
    }
}

impl Sim {
    /// Starts listening and trading.
    ///
    /// # Errors
    /// When the address is taken, the certificate is unusable, or the system refuses a thread.
    pub fn start(config: SimConfig, threads: &Threads) -> Result<Sim, SimError> {
        let (tls, made) = match (&config.tls, config.listen_tls) {
            (Some((chain, key)), _) => (Some(server_config(chain, key)?), None),
            (None, Some(_)) => certificate::make().map(|(tls, pem)| (Some(tls), Some(pem)))?,
            (None, None) => (None, None),
        };
        let (address, listener) = listen(config.listen)?;
        let secure = config.listen_tls.map(listen).transpose()?;
        let stop = Stop::new()?;
        let replay = config.replay.as_deref().map(|path| Replay::open(path, config.replay_loop)).transpose()?;
        let begin = config.start.or_else(|| replay.as_ref().map(Replay::first)).unwrap_or_else(wall_now);
        let clock = SimClock::new(Instant::now(), begin, config.speed)?;
        let market = MarketData::new(&config, begin);
        let mut exchange = Exchange::new(&config, begin);
        // Before the first order can come.
        floor::enter(&mut exchange, &market, begin);
        let source = match replay {
            Some(replay) => floor::Source::recorded(replay, begin),
            None => floor::Source::Invented(Market::new(config.seed, &config.symbols)),
        };
        let (wake_market, market_calls) = bounded(1);
        let (report, exits) = bounded(BACKLOG_OF_EXITS);
        let hub = Hub::default();
        let shared = Arc::new(Shared {
            armed: hub.faults.armed(),
            limiter: Mutex::default(),
            tape: Mutex::new(Tape::new(config.record_bytes)),
            made_certificate: made,
            next_connection: AtomicU64::new(1),
            next_trade: AtomicI64::new(FIRST_TRADE),
            config,
            clock,
            market,
            exchange: Mutex::new(exchange),
            hub: Mutex::new(hub),
            changed: Condvar::new(),
            wake_market,
            threads: Threads::new(report),
            exits,
            token: stop.token(),
        });
        shared.config.faults.iter().for_each(|fault| shared.arm(fault.clone()));
        // Dropped on the way out of an error, it stops what has been started.
        let mut sim = Sim { address, tls_address: secure.as_ref().map(|(address, _)| *address), shared, stop, threads: Vec::new() };
        // TLS takes the place of plain where it has no address of its own.
        let (plain, secure) = match secure {
            Some((_, secure)) => ((listener, None), Some((secure, tls))),
            None => ((listener, tls), None),
        };
        for (name, (listener, tls)) in [("sim-accept", Some(plain)), ("sim-accept-tls", secure)].into_iter().filter_map(|(name, place)| Some((name, place?))) {
            let shared = Arc::clone(&sim.shared);
            sim.threads.push(threads.spawn(name, move || accept::run(&shared, &listener, tls.as_ref()))?);
        }
        let shared = Arc::clone(&sim.shared);
        sim.threads.push(threads.spawn("sim-market", move || floor::run(&shared, source, &market_calls))?);
        Ok(sim)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that was made for want of another, as PEM: for clients to trust.
    pub fn made_certificate(&self) -> Option<&str> {
        self.shared.made_certificate.as_deref()
    }

    /// Where TLS is served beside plain.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    pub fn control(&self) -> SimControl {
        SimControl::new(Arc::clone(&self.shared))
    }

    /// Ends every connection and thread, within a second.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.stop(StopKind::Shutdown);
        let deadline = Instant::now() + JOIN;
        for task in self.threads.drain(..) {
            if let Err(failure) = task.join_until(deadline) {
                log::warn!("simulated exchange: {failure}");
            }
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.halt();
    }
}

fn listen(address: SocketAddr) -> Result<(SocketAddr, TcpListener), SimError> {
    let failed = |cause| SimError::Listen { address, cause };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok((listener.local_addr().map_err(failed)?, listener))
}

#[cfg(test)]
mod tests;
