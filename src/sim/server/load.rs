//! A paced stream of trades that can be checked to the last message.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use crate::model::{Amount, Digits, Price};
use crate::runtime::{JoinFailure, Task, Waited};
use crate::sim::message::{SimBody, SimMessage};

/// Shorter waits are not worth a sleep.
const SHORTEST_WAIT: Duration = Duration::from_micros(500);

/// What to emit: trades over the symbols in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadSpec {
    pub symbols: Vec<String>,
    /// 0 for as fast as it goes.
    pub per_second: u32,
    /// Trades to a frame, at least one.
    pub per_frame: usize,
    pub total: u64,
}

/// What was emitted of one symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadTotals {
    pub count: u64,
    pub volume: u64,
    pub last_price: Price,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadReport {
    pub symbols: BTreeMap<String, LoadTotals>,
    pub sent: u64,
    pub took: Duration,
}

/// A load under way. It ends early when the exchange stops.
#[derive(Debug)]
pub struct LoadHandle(Task<LoadReport>);

impl LoadHandle {
    /// Waits for the end of the load.
    ///
    /// # Errors
    /// When it is not over in time.
    pub fn wait(self, patience: Duration) -> Result<LoadReport, JoinFailure> {
        self.0.join_within(patience)
    }
}

pub(super) fn start(shared: &Arc<Shared>, spec: LoadSpec) -> io::Result<LoadHandle> {
    let own = Arc::clone(shared);
    Ok(LoadHandle(shared.threads.spawn("sim-load", move || run(&own, &spec))?))
}

/// The price of a symbol's `n`th trade: from 100.00 to 199.99 and over again.
fn price(n: u64) -> Option<Price> {
    let cents = 10_000 + n % 10_000;
    let text = [b'0' + (cents / 10_000) as u8, digit(cents, 1_000), digit(cents, 100), b'.', digit(cents, 10), digit(cents, 1)];
    Price::new(Digits::parse(std::str::from_utf8(&text).ok()?).ok()?).ok()
}

fn digit(number: u64, place: u64) -> u8 {
    b'0' + (number / place % 10) as u8
}

fn run(shared: &Shared, spec: &LoadSpec) -> LoadReport {
    let names: Vec<Arc<str>> = spec.symbols.iter().map(|name| name.as_str().into()).collect();
    let mut totals: Vec<Option<LoadTotals>> = vec![None; names.len()];
    let started = Instant::now();
    let mut sent = 0;
    let mut batch = Vec::with_capacity(spec.per_frame.max(1));
    while sent < spec.total && !names.is_empty() && shared.token.is_running() {
        let at = shared.clock.now();
        let until = spec.total.min(sent + spec.per_frame.max(1) as u64);
        for n in sent..until {
            let which = (n % names.len() as u64) as usize;
            let (count, volume) = totals[which].as_ref().map_or((0, 0), |t| (t.count, t.volume));
            let Some(last_price) = price(count) else { continue };
            let size = 1 + n % 100;
            totals[which] = Some(LoadTotals { count: count + 1, volume: volume + size, last_price });
            let body = SimBody::Trade { id: i64::try_from(n + 1).unwrap_or(i64::MAX), price: last_price, size: Amount::from_u64(size) };
            batch.push(SimMessage { symbol: Arc::clone(&names[which]), at, body });
        }
        shared.hub.lock().publish(&batch);
        batch.clear();
        sent = until;
        if spec.per_second > 0 {
            let ahead = Duration::from_secs_f64(sent as f64 / f64::from(spec.per_second)).saturating_sub(started.elapsed());
            if ahead > SHORTEST_WAIT && shared.token.wait(ahead) == Waited::Stopped {
                break;
            }
        }
    }
    let named = spec.symbols.iter().cloned().zip(totals);
    LoadReport { symbols: named.filter_map(|(name, totals)| Some((name, totals?))).collect(), sent, took: started.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_run_through_their_range() {
        for (n, wanted) in [(0, "100.00"), (1, "100.01"), (9_999, "199.99"), (10_000, "100.00")] {
            assert_eq!(price(n).unwrap().to_string(), wanted);
        }
    }
}
