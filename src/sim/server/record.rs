//! What tests and operators may ask about the connections, and the faults that they may arm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::sim::session::{Stage, Subscriptions};

/// Client messages kept of one connection.
const MAX_MESSAGES: usize = 1_000;

/// One stream connection, from its upgrade on.
#[derive(Debug, Clone)]
pub struct ConnectionRecord {
    pub id: u64,
    pub path: String,
    pub opened_at: Instant,
    pub closed_at: Option<Instant>,
    /// The client's close code, when it sent one.
    pub close_code: Option<u16>,
    pub authenticated: bool,
    /// On the trading stream: trade updates are listened to.
    pub listening: bool,
    /// What the client said, in order, as JSON with its secrets masked; the first thousand.
    pub messages_in: Vec<String>,
    /// Subscriptions and cancellations granted.
    pub subscribes: u64,
    pub unsubscribes: u64,
    /// Every name that is subscribed now, whatever the channel.
    pub symbols: Vec<String>,
    /// The same by channel, such as `trades`.
    pub channels: BTreeMap<String, Vec<String>>,
    /// What the two above are made from when somebody looks.
    subscriptions: Arc<Subscriptions>,
}

impl ConnectionRecord {
    pub(super) fn new(id: u64, path: &str, opened_at: Instant) -> ConnectionRecord {
        ConnectionRecord {
            id,
            path: path.to_owned(),
            opened_at,
            closed_at: None,
            close_code: None,
            authenticated: false,
            listening: false,
            messages_in: Vec::new(),
            subscribes: 0,
            unsubscribes: 0,
            symbols: Vec::new(),
            channels: BTreeMap::new(),
            subscriptions: Arc::default(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    pub(super) fn heard(&mut self, message: String) {
        if self.messages_in.len() < MAX_MESSAGES {
            self.messages_in.push(message);
        }
    }

    pub(super) fn subscribed(&mut self, to: Arc<Subscriptions>) {
        self.subscriptions = to;
    }

    /// The record with its lists, for whoever looks.
    pub(super) fn with_lists(mut self) -> ConnectionRecord {
        self.channels = self.subscriptions.channels();
        let names: BTreeSet<&String> = self.channels.values().flatten().collect();
        self.symbols = names.into_iter().cloned().collect();
        self
    }
}

/// Something that goes wrong with the next connections, on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageFault {
    /// When it happens.
    pub stage: Stage,
    pub action: FaultAction,
    /// Only connections to a path that contains this. With the stage [`Stage::Upgrade`] it then concerns REST requests too.
    pub path_contains: Option<String>,
    /// How many connections it meets; each takes at most one fault.
    pub times: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// The TCP connection ends, without a close frame.
    Close,
    /// The connection stays open and nothing more is said, not even a pong.
    Mute,
    /// The HTTP request is answered with this status; after the upgrade the same as `Close`.
    Refuse { status: u16 },
    /// The venue's error message of this code; before the upgrade the same as `Close`.
    Error { code: u16 },
}

impl StageFault {
    pub(super) fn meets(&self, path: &str, websocket: bool) -> bool {
        match &self.path_contains {
            Some(part) => path.contains(part.as_str()) && (websocket || self.stage == Stage::Upgrade),
            None => websocket,
        }
    }
}
