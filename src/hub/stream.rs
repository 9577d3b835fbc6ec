//! What a stream shares with the rest of the service: its state, its counts, the changes that wait for it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use crate::contract::StreamType;
use crate::exchanges::{RefusedSymbol, SymbolWant};
use crate::model::{SymbolId, Timestamp};
use crate::observe::Counter;
use crate::runtime::{StreamState, wall_now};

/// One stream as others see it. Written by its producer, read by whoever reports.
#[derive(Debug)]
pub struct StreamBoard {
    pub name: Arc<str>,
    pub kind: StreamType,
    state: Mutex<StateEntry>,
    pub stats: StreamStats,
    /// Wants that the producer has not taken up yet, the newest of each symbol.
    wants: Mutex<HashMap<SymbolId, SymbolWant>>,
    /// Symbols that the venue refused and the supervisor has not heard of yet.
    refused: Mutex<Vec<Refused>>,
    cycle: Mutex<CycleClock>,
    /// Tells the supervisor that something above changed; full means that it has been told.
    hint: Sender<()>,
}

#[derive(Debug, Clone)]
struct StateEntry {
    state: StreamState,
    since: Timestamp,
    cause: Option<String>,
}

/// What the venue said about symbols that it will not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub symbols: Vec<RefusedSymbol>,
    pub reason: String,
}

#[derive(Debug, Default)]
pub struct StreamStats {
    pub attempts: Counter,
    pub connects: Counter,
    pub losses: Counter,
    pub messages: Counter,
    pub events: Counter,
    pub malformed: Counter,
    pub unknown: Counter,
    pub unwanted: Counter,
    pub cycles: Counter,
    /// Unix milliseconds of the last message.
    pub last_message_ms: AtomicI64,
    /// Symbols that the session wants.
    pub symbols: AtomicU64,
}

/// Times the stop/start cycle: from the stop request to the flush of the successor's difference.
#[derive(Debug, Default)]
struct CycleClock {
    started: Option<Instant>,
    recent: VecDeque<Duration>,
}

/// Cycle times that are remembered for whoever measures.
const RECENT_CYCLES: usize = 4_096;

impl StreamBoard {
    pub fn new(name: &str, kind: StreamType, hint: Sender<()>) -> Arc<StreamBoard> {
        let state = StateEntry { state: StreamState::Idle, since: wall_now(), cause: None };
        Arc::new(StreamBoard {
            name: name.into(),
            kind,
            state: Mutex::new(state),
            stats: StreamStats::default(),
            wants: Mutex::default(),
            refused: Mutex::default(),
            cycle: Mutex::default(),
            hint,
        })
    }

    pub fn state(&self) -> StreamState {
        self.state.lock().state
    }

    /// The state, since when, and why if it is not a good one.
    pub fn state_entry(&self) -> (StreamState, Timestamp, Option<String>) {
        let entry = self.state.lock().clone();
        (entry.state, entry.since, entry.cause)
    }

    pub fn set_state(&self, state: StreamState, cause: Option<String>) {
        let mut entry = self.state.lock();
        if entry.state != state {
            *entry = StateEntry { state, since: wall_now(), cause };
        } else if cause.is_some() {
            entry.cause = cause;
        }
        drop(entry);
        self.give_hint();
    }

    /// Leaves wants for the producer, newer ones replacing older ones.
    pub fn put_wants(&self, wants: impl IntoIterator<Item = SymbolWant>) {
        self.wants.lock().extend(wants.into_iter().map(|want| (want.id, want)));
    }

    pub fn take_wants(&self) -> Vec<SymbolWant> {
        let taken = std::mem::take(&mut *self.wants.lock());
        let mut wants: Vec<SymbolWant> = taken.into_values().collect();
        wants.sort_unstable_by_key(|want| want.id);
        wants
    }

    pub fn put_refused(&self, refused: Refused) {
        self.refused.lock().push(refused);
        self.give_hint();
    }

    pub fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut *self.refused.lock())
    }

    /// A stop for restart is about to be requested.
    pub fn cycle_started(&self, now: Instant) {
        self.stats.cycles.add(1);
        self.cycle.lock().started.get_or_insert(now);
    }

    /// The successor has sent its difference.
    pub fn cycle_ended(&self, now: Instant) {
        let mut cycle = self.cycle.lock();
        if let Some(started) = cycle.started.take() {
            if cycle.recent.len() == RECENT_CYCLES {
                cycle.recent.pop_front();
            }
            cycle.recent.push_back(now.saturating_duration_since(started));
        }
    }

    pub fn take_cycle_times(&self) -> Vec<Duration> {
        self.cycle.lock().recent.drain(..).collect()
    }

    pub fn give_hint(&self) {
        let _ = self.hint.try_send(());
    }

    pub fn heard(&self, messages: u64, at: Timestamp) {
        if messages == 0 {
            return;
        }
        self.stats.messages.add(messages);
        self.stats.last_message_ms.store(at.millis(), Ordering::Relaxed);
    }
}
