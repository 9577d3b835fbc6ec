//! The registration subscriber: a blocking thread that turns what bots publish into messages on a channel.
//!
//! Must not know what the messages mean; it hands their bytes on, and drops the absurdly long ones before anybody
//! parses them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Msg, PubSub, Value};
use crossbeam_channel::{Sender, select};

use super::error::RedisError;
use super::link::Connector;
use super::pace::{Hush, Pacer};
use super::session::{Session, from_crate};
use crate::config::RedisSettings;
use crate::observe::{Counter, Gauge};
use crate::runtime::{StopToken, Waited};

/// How long one read waits, and so how late a stop is seen.
const READ_WITHIN: Duration = Duration::from_millis(250);
/// After so much silence the connection is asked whether it still stands.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// With [`ASK_AFTER`] and one read this finds a half-open connection within 3 s, and lets a stop wait no longer than it
/// may.
const PONG_WITHIN: Duration = Duration::from_millis(1500);
/// Dropping the crate's subscription says goodbye and waits this long for each answer.
const GOODBYE_WITHIN: Duration = Duration::from_millis(100);
/// No registration comes near.
pub const MAX_PAYLOAD: usize = 16 * 1024;
/// How long a message waits for room in a full inbox before it is dropped and counted.
const ROOM_WITHIN: Duration = Duration::from_secs(1);

/// What the subscriber tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// Subscribed to every channel; whatever was published before is not known.
    Connected,
    /// Nothing is heard until the next `Connected`; safe to log.
    Lost(String),
    Message {
        channel: String,
        payload: Vec<u8>,
    },
    /// A message that nobody should parse.
    Oversized {
        channel: String,
        bytes: usize,
    },
}

#[derive(Debug, Default)]
pub struct SubscriberStats {
    pub connects: Counter,
    pub losses: Counter,
    pub messages: Counter,
    pub oversized: Counter,
    /// Messages for which the inbox had no room for a second.
    pub dropped: Counter,
    /// 1 while subscribed, else 0.
    pub up: Gauge,
}

/// The body of the subscriber thread: runs until the token stops it or nobody is left to listen.
pub fn run_subscriber(settings: Arc<RedisSettings>, channels: Vec<String>, inbox: Sender<Inbound>, token: StopToken, stats: Arc<SubscriberStats>) {
    let connector = Connector::new(settings, "registrations");
    let listener = Listener { channels, inbox, token, stats };
    let (mut pacer, mut hush) = (Pacer::new(fastrand::u64(..)), Hush::default());
    loop {
        let (error, lasted) = match Session::open(&connector, &listener.token) {
            Ok(session) => listener.listen(session, &connector),
            Err(error) => (End::Redis(error), None),
        };
        let End::Redis(error) = error else { return };
        if error == RedisError::Stopped {
            return;
        }
        hush.warn("registrations", &error, Instant::now());
        let delay = match lasted {
            Some(lasted) => {
                listener.stats.losses.add(1);
                listener.stats.up.set(0);
                if listener.tell(Inbound::Lost(error.to_string())).is_err() {
                    return;
                }
                pacer.lost(&error, lasted)
            }
            None => pacer.failed(&error),
        };
        if listener.token.wait(delay) == Waited::Stopped {
            return;
        }
    }
}

enum End {
    Redis(RedisError),
    /// Stopped, or nobody listens to us any more.
    Done,
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> End {
        End::Redis(error)
    }
}

struct Listener {
    channels: Vec<String>,
    inbox: Sender<Inbound>,
    token: StopToken,
    stats: Arc<SubscriberStats>,
}

impl Listener {
    /// Why it ended, and how long the subscription stood, if it ever did.
    fn listen(&self, mut session: Session, connector: &Connector) -> (End, Option<Duration>) {
        let place = session.place().to_owned();
        let mut pubsub = session.connection().as_pubsub();
        let mut since = None;
        let end = self.subscribe(&mut pubsub, &place).and_then(|()| {
            since = Some(Instant::now());
            self.stats.connects.add(1);
            self.stats.up.set(1);
            self.tell(Inbound::Connected)?;
            self.hear(&mut pubsub, &place, connector)
        });
        let _ = pubsub.set_read_timeout(Some(GOODBYE_WITHIN));
        (end.err().unwrap_or(End::Done), since.map(|since| since.elapsed()))
    }

    fn subscribe(&self, pubsub: &mut PubSub<'_>, place: &str) -> Result<(), End> {
        // All in one command: Redis takes it whole or refuses it whole.
        pubsub.subscribe(&self.channels).map_err(|error| from_crate(place, "SUBSCRIBE", &error))?;
        self.ask(pubsub, place)
    }

    /// Is the connection alive, and are we subscribed? The crate swallows a refused SUBSCRIBE; but what follows one
    /// that stands is an array, be it the confirmation of a further channel or the answer to the PING. What is left
    /// over of these is skipped by the reads in between, so the next PING is met by its own answer.
    fn ask(&self, pubsub: &mut PubSub<'_>, place: &str) -> Result<(), End> {
        let failed = |error: ::redis::RedisError| {
            if error.is_timeout() {
                return RedisError::Silent { place: place.to_owned(), waited: PONG_WITHIN };
            }
            from_crate(place, "PING", &error)
        };
        pubsub.set_read_timeout(Some(PONG_WITHIN)).map_err(failed)?;
        let answer: Value = pubsub.ping().map_err(failed)?;
        pubsub.set_read_timeout(Some(READ_WITHIN)).map_err(failed)?;
        match answer {
            Value::Array(_) => Ok(()),
            _ => Err(RedisError::Denied { place: place.to_owned(), command: "SUBSCRIBE on the registration channels" }.into()),
        }
    }

    fn hear(&self, pubsub: &mut PubSub<'_>, place: &str, connector: &Connector) -> Result<(), End> {
        let mut heard = Instant::now();
        loop {
            if !self.token.is_running() {
                return Err(End::Done);
            }
            match pubsub.get_message() {
                Ok(message) => {
                    self.deliver(&message)?;
                    heard = Instant::now();
                }
                // Asked only in silence: while it waits for the answer the crate hoards messages without a limit.
                Err(error) if error.is_timeout() => {
                    if heard.elapsed() >= ASK_AFTER {
                        self.ask(pubsub, place)?;
                        if let Some(moved) = connector.moved_from(place, &self.token) {
                            return Err(moved.into());
                        }
                        heard = Instant::now();
                    }
                }
                Err(error) => return Err(from_crate(place, "SUBSCRIBE", &error).into()),
            }
        }
    }

    fn deliver(&self, message: &Msg) -> Result<(), End> {
        let (channel, payload) = (message.get_channel_name().to_owned(), message.get_payload_bytes());
        let inbound = if payload.len() > MAX_PAYLOAD {
            self.stats.oversized.add(1);
            Inbound::Oversized { channel, bytes: payload.len() }
        } else {
            self.stats.messages.add(1);
            Inbound::Message { channel, payload: payload.to_vec() }
        };
        select! {
            send(self.inbox, inbound) -> sent => sent.map_err(|_| End::Done),
            recv(self.token.channel()) -> _ => Err(End::Done),
            default(ROOM_WITHIN) => {
                self.stats.dropped.add(1);
                Ok(())
            }
        }
    }

    /// A change of state is never dropped.
    fn tell(&self, inbound: Inbound) -> Result<(), End> {
        select! {
            send(self.inbox, inbound) -> sent => sent.map_err(|_| End::Done),
            recv(self.token.channel()) -> _ => Err(End::Done),
        }
    }
}

#[cfg(test)]
#[path = "subscriber_tests.rs"]
mod tests;
