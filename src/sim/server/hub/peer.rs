//! One WebSocket connection, and a data frame's way to it.
//!
//! Must not know who else is connected.

use std::sync::Arc;
use std::time::Instant;

use tungstenite::Bytes;

use crate::config::Codec;
use crate::sim::fault::{Faults, Target};
use crate::sim::message::Family;
use crate::sim::server::counters::Counters;
use crate::sim::server::outbox::{Out, Outbox};
use crate::sim::session::Subscriptions;

#[derive(Debug)]
pub(in crate::sim::server) struct Peer {
    pub path: String,
    pub outbox: Arc<Outbox>,
    pub codec: Codec,
    pub kind: PeerKind,
}

#[derive(Debug)]
pub(in crate::sim::server) enum PeerKind {
    Data { family: Family, subscriptions: Arc<Subscriptions> },
    Trading { account: Option<String>, listening: bool },
}

impl Peer {
    pub(super) fn is_data(&self) -> bool {
        matches!(self.kind, PeerKind::Data { .. })
    }

    pub(in crate::sim::server) fn target(&self) -> Target<'_> {
        Target { trading: !self.is_data(), path: &self.path }
    }

    /// A data frame on its way: faults may have their way with it.
    pub(super) fn send(&self, text: bool, bytes: Bytes, faults: &mut Faults, counters: &mut Counters) {
        counters.frames_out += 1;
        counters.bytes_out += bytes.len() as u64;
        if !faults.any() {
            return self.outbox.push(Out::Frame { text, bytes });
        }
        let (target, now) = (self.target(), Instant::now());
        for frame in faults.framed(text, bytes, &target, now) {
            let due = faults.latency(&target, now).map(|late| now + late);
            let (text, bytes) = (frame.text, frame.bytes);
            let out = if frame.fragmented { Out::Fragments { text, bytes } } else { Out::Frame { text, bytes } };
            if frame.forced { self.outbox.push_forced(out, due) } else { self.outbox.push_late(out, due) }
        }
    }
}
