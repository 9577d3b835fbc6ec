//! Who is connected, who holds which slot, and who gets what. Guarded by one lock, under which nothing blocks.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::Bytes;

use super::outbox::{Out, Outbox, Signal};
use super::record::{ConnectionRecord, Fault};
use crate::config::Codec;
use crate::sim::codec;
use crate::sim::config::SimKey;
use crate::sim::exchange::Update;
use crate::sim::message::{Family, SimMessage};
use crate::sim::session::{DataPath, Gate, Grant, Subscriptions};

/// Records kept: those of the open connections and of the latest closed ones.
const MAX_RECORDS: usize = 1_000;
const MAX_ACCEPTS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Hub {
    peers: BTreeMap<u64, Peer>,
    slots: HashMap<(String, &'static str), Slot>,
    faults: Vec<Fault>,
    records: VecDeque<ConnectionRecord>,
    accepts: VecDeque<Instant>,
    /// Rises with every change of the records.
    pub(super) generation: u64,
}

/// An endpoint serves a customer once at a time.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Held(u64),
    /// Its connection died without a close, and is believed alive until then.
    Haunted(Instant),
}

#[derive(Debug)]
pub(super) struct Peer {
    pub outbox: Arc<Outbox>,
    pub codec: Codec,
    pub kind: PeerKind,
}

#[derive(Debug)]
pub(super) enum PeerKind {
    Data { family: Family, subscriptions: Arc<Subscriptions> },
    Trading { account: Option<String>, listening: bool },
}

impl Peer {
    fn is_data(&self) -> bool {
        matches!(self.kind, PeerKind::Data { .. })
    }
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
        self.generation += 1;
    }

    pub(super) fn accept_times(&self) -> Vec<Instant> {
        self.accepts.iter().copied().collect()
    }

    pub(super) fn opened(&mut self, id: u64, path: &str, peer: Peer, now: Instant) {
        if self.records.len() >= MAX_RECORDS
            && let Some(oldest) = self.records.iter().position(|record| !record.is_open())
        {
            self.records.remove(oldest);
        }
        self.records.push_back(ConnectionRecord::new(id, path, now));
        self.peers.insert(id, peer);
        self.generation += 1;
    }

    /// The connection is gone; `cleanly` after a close frame of either side.
    pub(super) fn closed(&mut self, id: u64, cleanly: bool, linger: Duration, now: Instant) {
        self.peers.remove(&id);
        let haunted = (!cleanly && !linger.is_zero()).then(|| Slot::Haunted(now + linger));
        self.slots.retain(|_, slot| match slot {
            Slot::Held(holder) if *holder == id => haunted.map(|ghost| *slot = ghost).is_some(),
            Slot::Haunted(until) => *until > now,
            Slot::Held(_) => true,
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

    pub(super) fn arm(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// The fault that a new connection takes upon itself.
    pub(super) fn claim(&mut self, path: &str, websocket: bool) -> Option<Fault> {
        let at = self.faults.iter().position(|fault| fault.times > 0 && fault.meets(path, websocket))?;
        self.faults[at].times -= 1;
        let claimed = self.faults[at].clone();
        self.faults.retain(|fault| fault.times > 0);
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
        if let Some(Peer { kind: PeerKind::Trading { account, .. }, .. }) = self.peers.get_mut(&id) {
            *account = Some(grant.account_id);
        }
        self.record(id, |record| record.authenticated = true);
    }

    pub(super) fn listen(&mut self, id: u64, on: bool) {
        if let Some(Peer { kind: PeerKind::Trading { listening, .. }, .. }) = self.peers.get_mut(&id) {
            *listening = on;
        }
        self.record(id, |record| record.listening = on);
    }

    /// Sends a batch to whoever wants parts of it: encoded once a codec, put together once a list of subscriptions.
    pub(super) fn publish(&self, batch: &[SimMessage]) {
        let mut encoded: Vec<(Codec, Encoded)> = Vec::new();
        let mut frames: Vec<(Family, Codec, &Arc<Subscriptions>, Option<Bytes>)> = Vec::new();
        for peer in self.peers.values() {
            let PeerKind::Data { family, subscriptions } = &peer.kind else { continue };
            if subscriptions.is_empty() {
                continue;
            }
            let same = |f: &&(Family, Codec, &Arc<Subscriptions>, Option<Bytes>)| f.0 == *family && f.1 == peer.codec && Arc::ptr_eq(f.2, subscriptions);
            let frame = match frames.iter().find(same) {
                Some(known) => known.3.clone(),
                None => {
                    if !encoded.iter().any(|(codec, _)| *codec == peer.codec) {
                        encoded.push((peer.codec, Encoded::new(peer.codec, batch)));
                    }
                    let bytes = encoded.iter().find(|(codec, _)| *codec == peer.codec).and_then(|(_, e)| e.frame(*family, peer.codec, subscriptions, batch));
                    frames.push((*family, peer.codec, subscriptions, bytes.clone()));
                    bytes
                }
            };
            if let Some(bytes) = frame {
                peer.outbox.push(Out::Frame { text: peer.codec == Codec::Json, bytes });
            }
        }
    }

    /// Tells the account's listeners what happened to its orders.
    pub(super) fn deliver(&self, updates: &[Update]) {
        for update in updates {
            let text = format!(r#"{{"stream":"trade_updates","data":{}}}"#, update.data);
            for peer in self.peers.values() {
                let PeerKind::Trading { account: Some(account), listening: true } = &peer.kind else { continue };
                if *account != update.account {
                    continue;
                }
                let bytes: Bytes = match peer.codec {
                    Codec::Json => text.clone().into(),
                    Codec::MsgPack => codec::write_value(Codec::MsgPack, &serde_json::from_str(&text).unwrap_or_default()).into(),
                };
                peer.outbox.push(Out::Frame { text: false, bytes });
            }
        }
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

/// The elements of a batch in one codec.
struct Encoded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Encoded {
    fn new(codec: Codec, batch: &[SimMessage]) -> Encoded {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(batch.len()));
        for message in batch {
            codec::write_message(codec, message, &mut bytes);
            ends.push(bytes.len());
        }
        Encoded { bytes, ends }
    }

    fn frame(&self, family: Family, codec: Codec, wanted: &Subscriptions, batch: &[SimMessage]) -> Option<Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let pieces = starts.zip(&self.ends).zip(batch);
        let chosen: Vec<&[u8]> = pieces
            .filter(|(_, message)| Family::of(&message.symbol) == family && wanted.wants(message))
            .map(|((start, end), _)| &self.bytes[start..*end])
            .collect();
        (!chosen.is_empty()).then(|| codec::frame(codec, chosen.into_iter()).into())
    }
}

/// The gate of one connection.
pub(super) struct Door<'a> {
    pub hub: &'a mut Hub,
    pub keys: &'a [SimKey],
    pub connection: u64,
    pub now: Instant,
}

impl Gate for Door<'_> {
    fn admit(&mut self, key: &str, secret: &str, path: Option<&DataPath>) -> Result<Grant, u16> {
        let known = self.keys.iter().find(|known| known.key_id == key && known.secret.expose() == secret).ok_or(402_u16)?;
        let grant = Grant { account_id: known.account_id.clone(), symbol_limit: known.symbol_limit };
        let Some(path) = path else { return Ok(grant) };
        if path.feed.is_some_and(|feed| !known.feeds.iter().any(|allowed| allowed == feed)) {
            return Err(409);
        }
        let slot = self.hub.slots.entry((key.to_owned(), path.path)).or_insert(Slot::Held(self.connection));
        match *slot {
            Slot::Held(holder) if holder != self.connection => Err(406),
            Slot::Haunted(until) if until > self.now => Err(406),
            _ => {
                *slot = Slot::Held(self.connection);
                Ok(grant)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::session::Stage;

    fn admit(hub: &mut Hub, connection: u64, now: Instant) -> Result<Grant, u16> {
        let keys = [SimKey::default()];
        let path = DataPath::find("/v2/iex").unwrap();
        Door { hub, keys: &keys, connection, now }.admit("SIM", "SIM-SECRET", Some(&path))
    }

    #[test]
    fn a_slot_is_held_haunted_and_freed() {
        let (mut hub, now, linger) = (Hub::default(), Instant::now(), Duration::from_secs(90));
        assert!(admit(&mut hub, 1, now).is_ok());
        assert_eq!(admit(&mut hub, 2, now), Err(406));
        hub.closed(1, false, linger, now);
        assert_eq!(admit(&mut hub, 2, now + Duration::from_secs(89)), Err(406));
        assert!(admit(&mut hub, 2, now + Duration::from_secs(91)).is_ok());
        hub.closed(2, true, linger, now);
        assert!(admit(&mut hub, 3, now).is_ok());
        hub.closed(3, false, Duration::ZERO, now);
        assert!(admit(&mut hub, 4, now).is_ok());
    }

    #[test]
    fn a_feed_outside_the_plan_is_refused() {
        let (keys, mut hub) = ([SimKey { feeds: vec!["iex".to_owned()], ..SimKey::default() }], Hub::default());
        let mut door = Door { hub: &mut hub, keys: &keys, connection: 1, now: Instant::now() };
        assert_eq!(door.admit("SIM", "SIM-SECRET", DataPath::find("/v2/sip").as_ref()), Err(409));
        assert_eq!(door.admit("SIM", "wrong", DataPath::find("/v2/iex").as_ref()), Err(402));
        assert!(door.admit("SIM", "SIM-SECRET", DataPath::find("/v1beta3/crypto/us").as_ref()).is_ok());
    }

    #[test]
    fn a_fault_meets_as_many_connections_as_it_should() {
        let mut hub = Hub::default();
        let fault = Fault { stage: Stage::Auth, action: super::super::record::FaultAction::Close, path_contains: Some("iex".to_owned()), times: 2 };
        hub.arm(fault);
        assert!(hub.claim("/stream", true).is_none() && hub.claim("/v2/iex", false).is_none());
        assert!(hub.claim("/v2/iex", true).is_some() && hub.claim("/v2/iex", true).is_some());
        assert!(hub.claim("/v2/iex", true).is_none());
    }
}
