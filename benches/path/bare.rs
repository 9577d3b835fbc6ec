//! The role `bare`: PUBLISH of ready-made messages straight into Redis, the floor that any service stands on. Without a
//! rate and without answers it is the limit of the machine.

use std::io;

use serde::{Deserialize, Serialize};

use crate::clock::{Rfc3339, now_ns};
use crate::latency::{Latency, Summary};
use crate::pacer::Pacer;
use crate::resp::{Publisher, put_decimal};
use crate::talk::{self, announce};
use crate::universe::{SEQ_BASE, SEQ_SPAN, TICKER, symbol_names};

/// Commands in one write when there is no rate.
const BATCH: u64 = 64;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BareArgs {
    pub redis_port: u16,
    pub symbols: usize,
    /// Messages a second; as many as possible without.
    pub rate: Option<f64>,
    pub total: u64,
    /// Messages that are due together.
    pub burst: u64,
    pub answers: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BareReport {
    pub sent: u64,
    pub errors: u64,
    pub lateness: Summary,
}

pub fn run(args: BareArgs) -> io::Result<()> {
    let orders = talk::listen();
    let mut publisher = Publisher::connect(args.redis_port, args.answers)?;
    let names = symbol_names(args.symbols);
    let mut stamp = Rfc3339::default();
    let mut payload = Vec::with_capacity(256);
    let mut lateness = Latency::default();
    announce("READY", &());
    orders.wait_for_go();
    let mut pacer = args.rate.map(|rate| Pacer::new(rate / args.burst as f64));
    let started_ns = now_ns();
    let (mut sent, mut bursts) = (0, 0);
    while sent < args.total && !orders.stopped() {
        for _ in 0..pacer.as_mut().map_or(1, Pacer::wait) {
            let now = now_ns();
            if let Some(pacer) = &pacer {
                lateness.record(started_ns + pacer.due_ns(bursts), now);
            }
            bursts += 1;
            let count = if pacer.is_some() { args.burst } else { BATCH };
            for _ in 0..count.min(args.total - sent) {
                let symbol = names[sent as usize % names.len()].as_bytes();
                payload.clear();
                payload.extend_from_slice(br#"{"type":"price","symbol":""#);
                payload.extend_from_slice(symbol);
                payload.extend_from_slice(br#"","price":126.55,"volume":"#);
                put_decimal(&mut payload, SEQ_BASE + sent / names.len() as u64 % SEQ_SPAN);
                payload.extend_from_slice(br#","timestamp":""#);
                payload.extend_from_slice(stamp.format(now));
                payload.extend_from_slice(br#""}"#);
                publisher.push(TICKER.as_bytes(), symbol, &payload);
                sent += 1;
            }
        }
        publisher.flush()?;
    }
    publisher.settle()?;
    announce("DONE", &BareReport { sent, errors: publisher.errors, lateness: lateness.summary() });
    talk::linger()
}
