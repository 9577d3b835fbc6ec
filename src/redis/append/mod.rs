//! The writer of streams: a blocking connection over which entries are appended under ids that we choose, each one
//! acknowledged before the next is sent, and messages are published beside them.
//!
//! It keeps the connection and says what became of each command; [`Target`] knows where a stream stands. Must not know what
//! the entries mean or where they come from.

mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value, from_redis_value};

pub use target::{EntryNumber, Foreign, Next, Target};

use super::error::RedisError;
use super::link::Connector;
use super::pace::{Hush, Pacer, held_back};
use super::session::{Failure, MAX_PIPELINE, Session};
use crate::config::RedisSettings;
use crate::observe::{Counter, Gauge};
use crate::runtime::StopToken;

/// How often we ask whether we still talk to the master: one that was demoted behind our back may take entries for a while.
const ASK_ROLE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct WriterStats {
    pub connects: Counter,
    pub losses: Counter,
    /// Commands that Redis refused.
    pub errors: Counter,
    /// 1 while connected, else 0.
    pub up: Gauge,
}

/// Why something was not done; told and counted where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// The connection is gone: whether it was done is not known.
    Lost,
    /// Redis does not take it now.
    Refused,
    /// Something else lies under the key.
    WrongType,
    /// The command does not fit what Redis holds: an id that is not above the last one, say.
    Unfit,
}

/// What Redis said to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    Done,
    /// There is no stream.
    NoStream,
}

/// Messages for channels, to be sent with the next entry or without one.
#[derive(Debug, Default)]
pub struct Messages(Vec<Cmd>);

impl Messages {
    pub fn push(&mut self, channel: &str, payload: &str) {
        let mut command = ::redis::cmd("PUBLISH");
        command.arg(channel).arg(payload);
        self.0.push(command);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The connection of the one thread that appends.
pub struct StreamWriter {
    connector: Connector,
    token: StopToken,
    stats: Arc<WriterStats>,
    session: Option<Session>,
    since: Instant,
    connect_at: Instant,
    ask_role_at: Instant,
    pacer: Pacer,
    hush: Hush,
}

impl StreamWriter {
    /// `role` names the connection (`alpaca-broker-<role>`).
    pub fn new(role: &str, settings: Arc<RedisSettings>, token: StopToken, stats: Arc<WriterStats>) -> StreamWriter {
        let now = Instant::now();
        StreamWriter {
            connector: Connector::new(settings, role),
            token,
            stats,
            session: None,
            since: now,
            connect_at: now,
            ask_role_at: now,
            pacer: Pacer::new(fastrand::u64(..)),
            hush: Hush::default(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// When [`StreamWriter::keep`] has something to do.
    pub fn due(&self) -> Instant {
        if self.session.is_some() { self.ask_role_at } else { self.connect_at }
    }

    /// Connects, or asks whether this is still the master, once either is due. True when a new connection came up.
    pub fn keep(&mut self) -> bool {
        let now = Instant::now();
        if self.session.is_some() {
            if now >= self.ask_role_at {
                self.ask_role();
            }
            return false;
        }
        if now < self.connect_at {
            return false;
        }
        match Session::open(&self.connector, &self.token) {
            Ok(session) => {
                log::info!("order updates: connected to {} ({} {})", session.place(), session.server().product, session.server().version);
                self.session = Some(session);
                self.since = Instant::now();
                self.ask_role_at = self.since + ASK_ROLE_EVERY;
                self.stats.connects.add(1);
                self.stats.up.set(1);
                true
            }
            Err(error) => {
                let now = Instant::now();
                if error != RedisError::Stopped {
                    self.hush.warn("order updates", &error, now);
                }
                self.connect_at = now + self.pacer.failed(&error);
                false
            }
        }
    }

    /// The id that the stream gave last, even if that entry was removed; `None` where there is no stream.
    pub fn last_id(&mut self, key: &str) -> Result<Option<EntryNumber>, Undone> {
        let answer = self.session()?.ask("XINFO STREAM", ::redis::cmd("XINFO").arg("STREAM").arg(key));
        match answer {
            Err(Failure::Refused(_, RedisError::Refused { answer, .. })) if answer.contains("no such key") => Ok(None),
            Err(failure) => Err(self.undone(failure)),
            Ok(value) => {
                let facts: HashMap<String, Value> = from_redis_value(value).unwrap_or_default();
                let last = facts.into_iter().find(|(name, _)| name == "last-generated-id").and_then(|(_, id)| from_redis_value::<String>(id).ok());
                match last.and_then(|id| id.parse().ok()) {
                    Some(last) => Ok(Some(last)),
                    None => Err(self.unreadable("XINFO STREAM", "no last-generated-id in it")),
                }
            }
        }
    }

    /// Publishes `messages` and, behind them, appends number `n` of a stream. No message is left, and all went out
    /// unless the connection was lost.
    pub fn append(&mut self, messages: &mut Messages, target: &Target, n: u64, json: &str) -> Result<Appended, Undone> {
        if messages.0.len() >= MAX_PIPELINE {
            self.publish(messages)?;
        }
        messages.0.push(target.command(n, json));
        let answers = self.exchange("XADD", &messages.0);
        messages.0.clear();
        match answers?.pop() {
            Some(Ok(Value::Nil)) => Ok(Appended::NoStream),
            Some(Ok(_)) => Ok(Appended::Done),
            Some(Err(undone)) => Err(undone),
            None => Err(Undone::Lost),
        }
    }

    /// Publishes; a message that Redis refuses is counted and told, and not sent again.
    pub fn publish(&mut self, messages: &mut Messages) -> Result<(), Undone> {
        let sent = messages.0.chunks(MAX_PIPELINE).try_for_each(|some| self.exchange("PUBLISH", some).map(drop));
        messages.0.clear();
        sent
    }

    /// Removes entries below `from`, some at a time; says how many went.
    pub fn trim(&mut self, key: &str, from: EntryNumber) -> Result<u64, Undone> {
        let mut command = ::redis::cmd("XTRIM");
        command.arg(key).arg("MINID").arg("~").arg(from.to_string());
        let gone = self.one("XTRIM", &command)?;
        Ok(from_redis_value(gone).unwrap_or(0))
    }

    /// Somebody put something else under our key: moved out of the way, not destroyed.
    pub fn set_aside(&mut self, key: &str) -> Result<(), Undone> {
        let aside = format!("{key}:set-aside");
        self.one("RENAME", ::redis::cmd("RENAME").arg(key).arg(&aside))?;
        log::warn!("order updates: {key} held something that is no stream; it was moved to {aside}, and the stream is made anew");
        Ok(())
    }

    fn session(&mut self) -> Result<&mut Session, Undone> {
        self.session.as_mut().ok_or(Undone::Lost)
    }

    fn one(&mut self, name: &'static str, command: &Cmd) -> Result<Value, Undone> {
        let answer = self.session()?.ask(name, command);
        answer.map_err(|failure| self.undone(failure))
    }

    fn exchange(&mut self, name: &'static str, commands: &[Cmd]) -> Result<Vec<Result<Value, Undone>>, Undone> {
        let answers = self.session()?.exchange(name, commands);
        match answers {
            Ok(answers) => Ok(answers.into_iter().map(|answer| answer.map_err(|failure| self.undone(failure))).collect()),
            Err(error) => Err(self.undone(Failure::Broken(error))),
        }
    }

    /// Counts and tells a failure, and says what it means for the stream.
    fn undone(&mut self, failure: Failure) -> Undone {
        match failure {
            Failure::Broken(error) => {
                self.lose(error);
                Undone::Lost
            }
            Failure::Refused(code, error) => {
                self.stats.errors.add(1);
                if let Some(held) = self.hush.tell(&code, Instant::now()) {
                    log::warn!("order updates: {error}{}; they are kept until Redis takes them", held_back(held));
                }
                match code.as_str() {
                    "WRONGTYPE" => Undone::WrongType,
                    "ERR" => Undone::Unfit,
                    _ => Undone::Refused,
                }
            }
        }
    }

    fn unreadable(&mut self, command: &'static str, cause: &str) -> Undone {
        let place = self.session.as_ref().map(|session| session.place().to_owned()).unwrap_or_default();
        self.undone(Failure::Refused("UNREADABLE".to_owned(), RedisError::Refused { place, command, answer: cause.to_owned() }))
    }

    fn ask_role(&mut self) {
        self.ask_role_at = Instant::now() + ASK_ROLE_EVERY;
        let Some(session) = &mut self.session else { return };
        match session.check_master(&self.connector, &self.token) {
            Err(Failure::Broken(error)) => self.lose(error),
            // A user who may not ask.
            Err(Failure::Refused(..)) | Ok(()) => {}
        }
    }

    fn lose(&mut self, error: RedisError) {
        if self.session.take().is_none() {
            return;
        }
        let now = Instant::now();
        self.hush.warn("order updates", &error, now);
        self.stats.losses.add(1);
        if matches!(error, RedisError::NotMaster { .. }) {
            self.stats.errors.add(1);
        }
        self.stats.up.set(0);
        self.connect_at = now + self.pacer.lost(&error, now.saturating_duration_since(self.since));
    }
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter").field("up", &self.is_up()).finish_non_exhaustive()
    }
}
