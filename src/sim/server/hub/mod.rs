//! Who is connected, who holds which slot, and who gets what. Guarded by one lock, under which nothing blocks.

mod batch;
mod peer;
mod watcher;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::Bytes;

use self::batch::{Encoded, skewed};
pub(super) use self::peer::{Peer, PeerKind};
pub(super) use self::watcher::Watcher;
use super::counters::Counters;
use super::history::History;
use super::outbox::{Out, Signal};
use super::record::{ConnectionRecord, StageFault};
use crate::config::Codec;
use crate::model::Timestamp;
use crate::sim::codec;
use crate::sim::events_log::{Event, EventLog, Mark};
use crate::sim::exchange::Update;
use crate::sim::fault::{Fault, FaultSpec, Faults, Measure, Target, after};
use crate::sim::message::{Family, SimMessage};
use crate::sim::session::{Grant, Subscriptions};

/// Records kept: those of the open connections and of the latest closed ones.
const MAX_RECORDS: usize = 1_000;
const MAX_ACCEPTS: usize = 10_000;
/// Where trade updates are told.
const TRADING_PATH: &str = "/stream";

#[derive(Debug, Default)]
pub(super) struct Hub {
    peers: BTreeMap<u64, Peer>,
    watchers: BTreeMap<u64, Watcher>,
    pub(super) slots: HashMap<(String, &'static str), Vec<Slot>>,
    /// Armed for a stage of the next connections.
    stages: Vec<StageFault>,
    pub(super) faults: Faults,
    pub(super) events: EventLog,
    pub(super) history: History,
    pub(super) counters: Counters,
    records: VecDeque<ConnectionRecord>,
    accepts: VecDeque<Instant>,
    /// Rises with every change of the records.
    pub(super) generation: u64,
}

/// An endpoint serves a customer so many times at once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    Held(u64),
    /// Its connection died without a close, and is believed alive until then.
    Haunted(Instant),
}

/// A client's document in its connection's codec and kind of frame: the trading host sends JSON in binary frames.
pub(super) fn document(codec: Codec, data: bool, value: &Value) -> Out {
    Out::Frame { text: data && codec == Codec::Json, bytes: codec::write_value(codec, value).into() }
}

impl Hub {
    pub(super) fn accepted(&mut self, at: Instant) {
        if self.accepts.len() == MAX_ACCEPTS {
            self.accepts.pop_front();
        }
        self.accepts.push_back(at);
        self.counters.connects += 1;
        self.generation += 1;
    }

    pub(super) fn accept_times(&self) -> Vec<Instant> {
        self.accepts.iter().copied().collect()
    }

    pub(super) fn opened(&mut self, id: u64, peer: Peer, now: Instant) {
        self.counters.stream(&peer.path);
        if self.records.len() >= MAX_RECORDS
            && let Some(oldest) = self.records.iter().position(|record| !record.is_open())
        {
            self.records.remove(oldest);
        }
        self.records.push_back(ConnectionRecord::new(id, &peer.path, now));
        self.peers.insert(id, peer);
        self.generation += 1;
    }

    /// The connection is gone; `cleanly` after a close frame of either side.
    pub(super) fn closed(&mut self, id: u64, cleanly: bool, linger: Duration, now: Instant) {
        if let Some(Peer { kind: PeerKind::Trading { account: Some(account), listening: true }, .. }) = self.peers.remove(&id) {
            self.history.listens(id, &account, false, now);
        }
        let haunted = (!cleanly && !linger.is_zero()).then(|| Slot::Haunted(now + linger));
        self.slots.retain(|_, held| {
            held.retain_mut(|slot| match slot {
                Slot::Held(holder) if *holder == id => haunted.map(|ghost| *slot = ghost).is_some(),
                Slot::Haunted(until) => *until > now,
                Slot::Held(_) => true,
            });
            !held.is_empty()
        });
        self.record(id, |record| record.closed_at = Some(now));
    }

    pub(super) fn record(&mut self, id: u64, change: impl FnOnce(&mut ConnectionRecord)) {
        if let Some(record) = self.records.iter_mut().rev().find(|record| record.id == id) {
            change(record);
            self.generation += 1;
        }
    }

    /// Without their lists, which are long: [`ConnectionRecord::with_lists`] adds them when the lock is free again.
    pub(super) fn records(&self) -> Vec<ConnectionRecord> {
        self.records.iter().cloned().collect()
    }

    pub(super) fn arm(&mut self, fault: StageFault) {
        self.stages.push(fault);
    }

    /// The fault that a new connection takes upon itself.
    pub(super) fn claim(&mut self, path: &str, websocket: bool) -> Option<StageFault> {
        let at = self.stages.iter().position(|fault| fault.times > 0 && fault.meets(path, websocket))?;
        self.stages[at].times -= 1;
        let claimed = self.stages[at].clone();
        self.stages.retain(|fault| fault.times > 0);
        Some(claimed)
    }

    /// From now on the connection gets what it subscribed to. Equal lists are shared, so that their frames are too.
    pub(super) fn subscribe(&mut self, id: u64, wanted: Arc<Subscriptions>) {
        let known = self.peers.values().find_map(|peer| match &peer.kind {
            PeerKind::Data { subscriptions, .. } if **subscriptions == *wanted => Some(Arc::clone(subscriptions)),
            _ => None,
        });
        if let Some(Peer { kind: PeerKind::Data { subscriptions, .. }, .. }) = self.peers.get_mut(&id) {
            *subscriptions = known.unwrap_or_else(|| Arc::clone(&wanted));
        }
        self.record(id, |record| record.subscribed(wanted));
    }

    pub(super) fn authenticated(&mut self, id: u64, grant: Grant) {
        self.counters.auths += 1;
        if let Some(Peer { kind: PeerKind::Trading { account, .. }, .. }) = self.peers.get_mut(&id) {
            *account = Some(grant.account_id);
        }
        self.record(id, |record| record.authenticated = true);
    }

    pub(super) fn listen(&mut self, id: u64, on: bool) {
        if let Some(Peer { kind: PeerKind::Trading { account, listening }, .. }) = self.peers.get_mut(&id) {
            if *listening != on
                && let Some(account) = account
            {
                self.history.listens(id, account, on, Instant::now());
            }
            *listening = on;
        }
        self.record(id, |record| record.listening = on);
    }

    /// Sends a batch to whoever wants parts of it: encoded once a codec, put together once a list of subscriptions.
    pub(super) fn publish(&mut self, batch: &[SimMessage]) {
        let mut encoded: Vec<(Codec, Encoded)> = Vec::new();
        let mut frames: Vec<(Family, Codec, &Arc<Subscriptions>, Option<Bytes>)> = Vec::new();
        let now = self.faults.any().then(Instant::now);
        for peer in self.peers.values() {
            let PeerKind::Data { family, subscriptions } = &peer.kind else { continue };
            if subscriptions.is_empty() {
                continue;
            }
            let same = |f: &&(Family, Codec, &Arc<Subscriptions>, Option<Bytes>)| f.0 == *family && f.1 == peer.codec && Arc::ptr_eq(f.2, subscriptions);
            let skewed = now.and_then(|now| skewed(batch, &self.faults, &peer.target(), now));
            let frame = match (skewed, frames.iter().find(same)) {
                (Some(batch), _) => Encoded::new(peer.codec, &batch).frame(*family, peer.codec, subscriptions, &batch),
                (None, Some(known)) => known.3.clone(),
                (None, None) => {
                    if !encoded.iter().any(|(codec, _)| *codec == peer.codec) {
                        encoded.push((peer.codec, Encoded::new(peer.codec, batch)));
                    }
                    let bytes = encoded.iter().find(|(codec, _)| *codec == peer.codec).and_then(|(_, e)| e.frame(*family, peer.codec, subscriptions, batch));
                    frames.push((*family, peer.codec, subscriptions, bytes.clone()));
                    bytes
                }
            };
            if let Some(bytes) = frame {
                peer.send(peer.codec == Codec::Json, bytes, &mut self.faults, &mut self.counters);
            }
        }
    }

    /// Tells the account's listeners what happened to its orders.
    pub(super) fn deliver(&mut self, updates: &[Update], now: Timestamp) {
        for update in updates {
            self.history.produced(update, Instant::now());
            for event in self.events.add(update, now) {
                self.watchers.values().for_each(|watcher| watcher.tell(&update.account, &event, &self.faults));
            }
            if self.faults.any() {
                let target = Target { trading: true, path: TRADING_PATH };
                let told = self.faults.told(&update.account, &update.data, &target, Instant::now());
                told.iter().for_each(|data| self.tell(&update.account, data));
            } else {
                self.tell(&update.account, &update.data);
            }
        }
    }

    /// One trade update to all who listen.
    pub(super) fn tell(&mut self, account_id: &str, data: &str) {
        let text = format!(r#"{{"stream":"trade_updates","data":{data}}}"#);
        for peer in self.peers.values() {
            let PeerKind::Trading { account: Some(account), listening: true } = &peer.kind else { continue };
            if account != account_id {
                continue;
            }
            let bytes: Bytes = match peer.codec {
                Codec::Json => text.clone().into(),
                Codec::MsgPack => codec::write_value(Codec::MsgPack, &serde_json::from_str(&text).unwrap_or_default()).into(),
            };
            peer.send(false, bytes, &mut self.faults, &mut self.counters);
        }
    }

    /// What is kept between two marks; what comes later goes to the watcher: nothing is lost or told twice between them.
    pub(super) fn watch(&mut self, id: u64, start: Option<Mark>, watcher: Watcher) -> Vec<Event> {
        let mut past = start.map(|start| self.events.between(&watcher.account, watcher.kind, start, watcher.end)).unwrap_or_default();
        if let Some(lag) = watcher.lag(&self.faults) {
            // What the ledger does not show yet comes when it does.
            let young = past.iter().position(|event| after(event.at, lag) > watcher.clock.now()).unwrap_or(past.len());
            past.split_off(young).iter().for_each(|event| watcher.tell(&watcher.account, event, &self.faults));
        }
        if self.faults.any() {
            let (target, now) = (watcher.target(), Instant::now());
            if self.faults.until(Fault::Mute, &target, now).is_some() {
                past.clear();
            }
            let mut meets = |fault: &Fault| self.faults.strike(*fault, &target, now).is_some();
            if let Some(fault) = [Fault::Drop, Fault::HalfOpen, Fault::Close].into_iter().find(|fault| meets(fault)) {
                watcher.struck(fault);
            }
        }
        self.watchers.insert(id, watcher);
        past
    }

    #[cfg(test)]
    pub(super) fn has_watchers(&self) -> bool {
        !self.watchers.is_empty()
    }

    pub(super) fn unwatch(&mut self, id: u64) {
        self.watchers.remove(&id);
    }

    /// Lets a fault of open streams happen to those in its scope; `false` when there is none.
    pub(super) fn strike_open(&self, spec: &FaultSpec) -> bool {
        let peers: Vec<&Peer> = self.peers.values().filter(|peer| spec.covers(&peer.target())).collect();
        peers.iter().for_each(|peer| match (spec.fault, spec.measure) {
            (Fault::Drop, _) => peer.outbox.signal(Signal::Drop),
            (Fault::HalfOpen, _) => peer.outbox.signal(Signal::Mute),
            (Fault::SlowClient, _) => peer.outbox.signal(Signal::SlowClient),
            (Fault::PingFlood, Measure::Burst(count)) => peer.outbox.push(Out::Pings(count)),
            (_, Measure::Code(code)) => peer.outbox.push(Out::Close(code)),
            _ => {}
        });
        let watchers = self.watchers.values().filter(|watcher| spec.covers(&watcher.target()));
        let struck = watchers.filter(|watcher| watcher.struck(spec.fault)).count();
        !peers.is_empty() || struck > 0
    }

    /// Calls every connection to look for faults.
    pub(super) fn nudge_all(&self) {
        self.peers.values().for_each(|peer| peer.outbox.nudge());
    }

    /// To every connection of one stream, as it is.
    pub(super) fn push_raw(&self, data: bool, out: &Out) {
        self.peers.values().filter(|peer| peer.is_data() == data).for_each(|peer| peer.outbox.push(out.clone()));
    }

    pub(super) fn push_all(&self, out: &Out) {
        self.peers.values().for_each(|peer| peer.outbox.push(out.clone()));
    }

    pub(super) fn signal_all(&self, signal: Signal) {
        self.peers.values().for_each(|peer| peer.outbox.signal(signal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::session::Stage;

    #[test]
    fn a_fault_meets_as_many_connections_as_it_should() {
        let mut hub = Hub::default();
        let fault = StageFault { stage: Stage::Auth, action: super::super::record::FaultAction::Close, path_contains: Some("iex".to_owned()), times: 2 };
        hub.arm(fault);
        assert!(hub.claim("/stream", true).is_none() && hub.claim("/v2/iex", false).is_none());
        assert!(hub.claim("/v2/iex", true).is_some() && hub.claim("/v2/iex", true).is_some());
        assert!(hub.claim("/v2/iex", true).is_none());
    }
}
