//! The role `sink`: subscribers that each want everything, count it, check its order and measure how old it is.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::clock::now_ns;
use crate::latency::{Latency, Summary};
use crate::message::MessageReader;
use crate::resp::{Push, connect, parse_push, put_command};
use crate::talk::{self, announce};
use crate::tally::{Scale, Tally};
use crate::universe::symbol_names;

/// Silence after which no more is expected.
const SILENCE: Duration = Duration::from_secs(4);
/// How long the first message may take.
const FIRST_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const BUFFER: usize = 1 << 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SinkArgs {
    pub redis_port: u16,
    pub subscribers: usize,
    pub symbols: usize,
    /// What channel names begin with, the symbol after it.
    pub prefixes: Vec<String>,
    /// Updates that each subscriber should account for.
    pub expect: u64,
    pub warm_up_ms: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SinkReport {
    pub received: u64,
    /// For each subscriber, the updates that its messages stand for.
    pub accounted: Vec<u64>,
    pub merged: u64,
    pub gaps: u64,
    pub disordered: u64,
    pub unreadable: u64,
    pub disconnected: usize,
    pub first_ns: u64,
    pub last_ns: u64,
    /// From the first message's own time to the last arrival: who hoards its input before it publishes gains nothing.
    pub seconds: f64,
    pub latency: Summary,
    /// The last price of each symbol as the first subscriber has it, trades under `p:`, bids under `q:`.
    pub last_prices: BTreeMap<String, String>,
    /// Last prices of the other subscribers that are not the first one's.
    pub differing: u64,
}

struct Subscriber {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    confirmed: usize,
    tally: Tally,
    open: bool,
}

struct Shared {
    scale: Scale,
    channels: HashMap<Vec<u8>, usize, RandomState>,
}

impl Subscriber {
    fn connect(args: &SinkArgs, channels: &[String]) -> io::Result<Subscriber> {
        let mut stream = connect(args.redis_port)?;
        let mut words: Vec<&[u8]> = vec![b"SUBSCRIBE"];
        words.extend(channels.iter().map(|name| name.as_bytes()));
        let mut out = Vec::new();
        put_command(&mut out, &words);
        stream.write_all(&out)?;
        Ok(Subscriber { stream, buffer: vec![0; BUFFER], filled: 0, confirmed: 0, tally: Tally::default(), open: true })
    }

    /// One read, and everything complete in it.
    fn pump(&mut self, shared: &mut Shared) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let length = match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => {
                self.open = false;
                return Ok(());
            }
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = now_ns();
        self.filled += length;
        let mut at = 0;
        while let Some((push, used)) = parse_push(&self.buffer[at..self.filled])? {
            match push {
                Push::Message { channel, payload } => {
                    let channel = shared.channels.get(channel).copied().ok_or_else(|| io::Error::other("a channel that nobody asked for"))?;
                    self.tally.take(&mut shared.scale, channel, payload, now);
                }
                Push::Subscribed => self.confirmed += 1,
            }
            at += used;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    fn is_done(&self, args: &SinkArgs) -> bool {
        !self.open || self.tally.accounted >= args.expect
    }
}

pub fn run(args: SinkArgs) -> io::Result<()> {
    let _orders = talk::listen();
    let symbols = symbol_names(args.symbols);
    let names: Vec<String> = args.prefixes.iter().flat_map(|prefix| symbols.iter().map(move |symbol| format!("{prefix}{symbol}"))).collect();
    let channels = names.iter().enumerate().map(|(n, name)| (name.clone().into_bytes(), n)).collect();
    let scale = Scale { reader: MessageReader::default(), latency: Latency::default(), warm_up_ns: args.warm_up_ms * 1_000_000 };
    let mut shared = Shared { scale, channels };
    let mut subscribers = Vec::new();
    for _ in 0..args.subscribers {
        let mut subscriber = Subscriber::connect(&args, &names)?;
        while subscriber.confirmed < names.len() && subscriber.open {
            subscriber.pump(&mut shared)?;
        }
        subscriber.stream.set_read_timeout(Some(LOOK_EVERY))?;
        subscriber.stream.set_nonblocking(args.subscribers > 1)?;
        subscribers.push(subscriber);
    }
    announce("READY", &());
    let mut watch = Watch { received: 0, changed: Instant::now() };
    while !subscribers.iter().all(|subscriber| subscriber.is_done(&args)) && !watch.is_silent(&subscribers) {
        // A lone subscriber waits in the read, which is a system call less for each.
        match subscribers.as_mut_slice() {
            [only] => only.pump(&mut shared)?,
            all => pump_ready(all, &mut shared)?,
        }
    }
    announce("DONE", &report(&subscribers, &shared, &symbols));
    talk::linger()
}

fn pump_ready(subscribers: &mut [Subscriber], shared: &mut Shared) -> io::Result<()> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK_EVERY.subsec_nanos().into() };
    let ready: Vec<bool> = {
        let mut fds: Vec<PollFd> = subscribers.iter().map(|s| PollFd::new(&s.stream, if s.open { PollFlags::IN } else { PollFlags::empty() })).collect();
        poll(&mut fds, Some(&timeout))?;
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    };
    for (subscriber, _) in subscribers.iter_mut().zip(ready).filter(|(subscriber, ready)| *ready && subscriber.open) {
        subscriber.pump(shared)?;
    }
    Ok(())
}

struct Watch {
    received: u64,
    changed: Instant,
}

impl Watch {
    fn is_silent(&mut self, subscribers: &[Subscriber]) -> bool {
        let received = subscribers.iter().map(|subscriber| subscriber.tally.received).sum();
        if received != self.received {
            self.received = received;
            self.changed = Instant::now();
        }
        self.changed.elapsed() > if received == 0 { FIRST_WITHIN } else { SILENCE }
    }
}

fn report(subscribers: &[Subscriber], shared: &Shared, symbols: &[String]) -> SinkReport {
    let sum = |field: fn(&Tally) -> u64| subscribers.iter().map(|subscriber| field(&subscriber.tally)).sum::<u64>();
    let heard = || subscribers.iter().map(|subscriber| &subscriber.tally).filter(|tally| tally.received > 0);
    let last_ns = heard().map(|tally| tally.last_ns).max().unwrap_or(0);
    let made_ns = heard().map(|tally| tally.first_stamp_ns).min().unwrap_or(0);
    let price_of = |payload: &[u8]| shared.scale.reader.price(payload).unwrap_or_default();
    let last_prices = |subscriber: &Subscriber| -> BTreeMap<String, String> {
        let last = subscriber.tally.last();
        let priced =
            last.map(|(channel, quote, payload)| (format!("{}:{}", if quote { 'q' } else { 'p' }, symbols[channel % symbols.len()]), price_of(payload)));
        priced.collect()
    };
    let first = subscribers.first().map(last_prices).unwrap_or_default();
    let differing =
        subscribers.iter().skip(1).map(last_prices).map(|other| first.iter().filter(|(key, price)| other.get(*key) != Some(price)).count() as u64).sum();
    SinkReport {
        received: sum(|tally| tally.received),
        accounted: subscribers.iter().map(|subscriber| subscriber.tally.accounted).collect(),
        merged: sum(|tally| tally.merged),
        gaps: sum(|tally| tally.gaps),
        disordered: sum(|tally| tally.disordered),
        unreadable: sum(|tally| tally.unreadable),
        disconnected: subscribers.iter().filter(|subscriber| !subscriber.open).count(),
        first_ns: heard().map(|tally| tally.first_ns).min().unwrap_or(0),
        last_ns,
        seconds: last_ns.saturating_sub(made_ns) as f64 / 1e9,
        latency: shared.scale.latency.summary(),
        last_prices: first,
        differing,
    }
}
