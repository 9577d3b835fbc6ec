//! The thread for everything slow and rare: stored registrations, leases, logs, questions to Redis.
//!
//! A blocking connection of the redis crate. While Redis is away the newest registrations and leases are kept and written when
//! it is back; logs are dropped and counted; questions are answered with an error. While we may not write, registrations and
//! leases wait in the same way. Must not know what the keys are called or what their values mean.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Value, from_redis_value};
use crossbeam_channel::{Receiver, Sender, TrySendError, select};

use super::backlog::Backlog;
use super::entries::Gate;
use super::error::RedisError;
use super::link::Connector;
use super::pace::{Hush, Pacer, held_back};
use super::session::{Failure, MAX_PIPELINE, Session};
use crate::config::RedisSettings;
use crate::observe::{Counter, Gauge};
use crate::runtime::StopToken;

/// How often the connection is asked whether it stands and leads to a master.
const ASK_ROLE_EVERY: Duration = Duration::from_secs(1);
/// What was refused for a reason that may pass (memory, disk) is written again after so long.
const RETRY_REFUSED_AFTER: Duration = Duration::from_secs(2);
/// How often we ask whether we may write now.
const GATE_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How soon an event is offered again to a supervisor whose channel was full.
const OFFER_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// What is left in the inbox at the stop may take so long.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);
/// Channels in one `PUBSUB NUMSUB`, which blocks Redis while it counts.
const MAX_NUMSUB: usize = 500;

/// Where an answer goes; a sender with room for one, for it is not waited for.
pub type Answer<T> = Sender<Result<T, RedisError>>;

/// What others have done by this thread.
#[derive(Debug)]
pub enum ControlCommand {
    /// The whole hash; a missing one is empty.
    Load {
        key: &'static str,
        reply: Answer<HashMap<String, String>>,
    },
    /// Sets and removes fields of a hash; the newest word on a field wins.
    StoreRegistrations {
        key: &'static str,
        set: Vec<(String, i64)>,
        remove: Vec<String>,
    },
    Publish {
        channel: String,
        payload: Vec<u8>,
    },
    /// The text under a key; `None` where there is none.
    Get {
        key: &'static str,
        reply: Answer<Option<String>>,
    },
    /// How many subscribers each channel has.
    NumSub {
        channels: Vec<String>,
        reply: Answer<Vec<(String, u64)>>,
    },
    /// A key that lives for `ttl` from now; the newest value wins.
    SetLease {
        key: String,
        value: Vec<u8>,
        ttl: Duration,
    },
}

/// What this thread tells the supervisor. Only the newest is kept for a supervisor that is busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlEvent {
    /// A new connection stands, or a stored hash turned out to be unusable: write everything that should be stored.
    Connected { product: &'static str, version: String, role: &'static str },
    /// Safe to log.
    Lost(String),
}

#[derive(Debug, Default)]
pub struct ControlStats {
    pub connects: Counter,
    pub losses: Counter,
    pub commands: Counter,
    /// Commands that Redis refused.
    pub errors: Counter,
    /// Messages not published, fields and leases not kept.
    pub dropped: Counter,
    /// 1 while connected, else 0.
    pub up: Gauge,
    /// Fields and leases that wait to be written.
    pub waiting: Gauge,
}

/// The body of the control thread: runs until the token stops it or every sender of the inbox is gone; then it does what is
/// left in the inbox, if Redis is there. Keys are written while `may_write` says so.
pub fn run_control(
    settings: Arc<RedisSettings>,
    inbox: Receiver<ControlCommand>,
    events: Sender<ControlEvent>,
    may_write: Gate,
    token: StopToken,
    stats: Arc<ControlStats>,
) {
    let now = Instant::now();
    let mut control = Control {
        connector: Connector::new(settings, "control"),
        events,
        may_write,
        token,
        stats,
        session: None,
        since: now,
        connect_at: now,
        ask_role_at: now,
        write_at: now,
        trouble: RedisError::Stopped,
        backlog: Backlog::default(),
        news: None,
        pacer: Pacer::new(fastrand::u64(..)),
        hush: Hush::default(),
    };
    control.run(&inbox);
}

struct Control {
    connector: Connector,
    events: Sender<ControlEvent>,
    may_write: Gate,
    token: StopToken,
    stats: Arc<ControlStats>,
    session: Option<Session>,
    since: Instant,
    connect_at: Instant,
    ask_role_at: Instant,
    write_at: Instant,
    /// Why there is no session.
    trouble: RedisError,
    backlog: Backlog,
    /// An event that the supervisor had no room for.
    news: Option<ControlEvent>,
    pacer: Pacer,
    hush: Hush,
}

impl Control {
    fn run(&mut self, inbox: &Receiver<ControlCommand>) {
        while self.token.is_running() {
            self.tick();
            let left = self.next_deadline().saturating_duration_since(Instant::now());
            select! {
                recv(inbox) -> command => match command {
                    Ok(command) => self.handle(command, inbox),
                    Err(_) => break,
                },
                recv(self.token.channel()) -> _ => break,
                default(left) => {}
            }
        }
        let deadline = Instant::now() + LAST_WORDS_WITHIN;
        while self.session.is_some() && Instant::now() < deadline {
            let Ok(command) = inbox.try_recv() else { return };
            self.handle(command, inbox);
        }
    }

    fn next_deadline(&self) -> Instant {
        let now = Instant::now();
        let due = if self.session.is_none() {
            self.connect_at
        } else if self.backlog.is_empty() {
            self.ask_role_at
        } else {
            self.ask_role_at.min(self.write_at)
        };
        if self.news.is_some() { due.min(now + OFFER_AGAIN_AFTER) } else { due }
    }

    /// All that is due by the clock.
    fn tick(&mut self) {
        let now = Instant::now();
        if self.session.is_none() && now >= self.connect_at {
            self.connect();
        }
        if self.session.is_some() && now >= self.ask_role_at {
            self.ask_role();
        }
        // By the time after a connect: whoever is told of it finds what was said before it.
        if Instant::now() >= self.write_at {
            self.write_backlog();
        }
        if let Some(event) = self.news.take()
            && let Err(TrySendError::Full(event)) = self.events.try_send(event)
        {
            self.news = Some(event);
        }
    }

    fn connect(&mut self) {
        match Session::open(&self.connector, &self.token) {
            Ok(session) => {
                log::info!("control: connected to {} ({} {})", session.place(), session.server().product, session.server().version);
                self.session = Some(session);
                self.since = Instant::now();
                self.ask_role_at = self.since + ASK_ROLE_EVERY;
                self.write_at = self.since;
                self.stats.connects.add(1);
                self.stats.up.set(1);
                self.tell_connected();
            }
            Err(error) => {
                let now = Instant::now();
                if error != RedisError::Stopped {
                    self.hush.warn("control", &error, now);
                }
                self.connect_at = now + self.pacer.failed(&error);
                self.trouble = error;
            }
        }
    }

    fn tell_connected(&mut self) {
        if let Some(session) = &self.session {
            let server = session.server();
            self.news = Some(ControlEvent::Connected { product: server.product, version: server.version.clone(), role: "master" });
        }
    }

    fn lose(&mut self, error: RedisError) {
        if self.session.take().is_none() {
            return;
        }
        let now = Instant::now();
        self.hush.warn("control", &error, now);
        self.stats.losses.add(1);
        self.stats.up.set(0);
        self.connect_at = now + self.pacer.lost(&error, now.saturating_duration_since(self.since));
        self.news = Some(ControlEvent::Lost(error.to_string()));
        self.trouble = error;
    }

    fn handle(&mut self, command: ControlCommand, inbox: &Receiver<ControlCommand>) {
        let mut next = Some(command);
        while let Some(command) = next.take() {
            self.stats.commands.add(1);
            match command {
                ControlCommand::Publish { channel, payload } => next = self.publish(channel, payload, inbox),
                ControlCommand::StoreRegistrations { key, set, remove } => {
                    let dropped = self.backlog.keep_fields(key, set, remove);
                    self.stats.dropped.add(dropped);
                    self.write_soon();
                }
                ControlCommand::SetLease { key, value, ttl } => {
                    let dropped = self.backlog.keep_lease(key, value, Instant::now() + ttl);
                    self.stats.dropped.add(dropped);
                    self.write_soon();
                }
                ControlCommand::Load { key, reply } => {
                    let loaded = self.load(key);
                    let _ = reply.try_send(loaded);
                }
                ControlCommand::Get { key, reply } => {
                    let found = self.get(key);
                    let _ = reply.try_send(found);
                }
                ControlCommand::NumSub { channels, reply } => {
                    let counted = self.num_sub(&channels);
                    let _ = reply.try_send(counted);
                }
            }
        }
    }

    /// Publishes this and the messages right behind it in one go; returns the first other command it came across.
    fn publish(&mut self, channel: String, payload: Vec<u8>, inbox: &Receiver<ControlCommand>) -> Option<ControlCommand> {
        let command = |channel: &str, payload: &[u8]| {
            let mut command = ::redis::cmd("PUBLISH");
            command.arg(channel).arg(payload);
            command
        };
        let (mut batch, mut other) = (vec![command(&channel, &payload)], None);
        while batch.len() < MAX_PIPELINE {
            match inbox.try_recv() {
                Ok(ControlCommand::Publish { channel, payload }) => {
                    self.stats.commands.add(1);
                    batch.push(command(&channel, &payload));
                }
                Ok(command) => {
                    other = Some(command);
                    break;
                }
                Err(_) => break,
            }
        }
        let count = batch.len() as u64;
        match self.session.as_mut().map(|session| session.exchange("PUBLISH", &batch)) {
            None => self.stats.dropped.add(count),
            Some(Ok(answers)) => answers.into_iter().filter_map(Result::err).for_each(|failure| self.failed(failure)),
            Some(Err(error)) => {
                self.stats.dropped.add(count);
                self.lose(error);
            }
        }
        other
    }

    fn load(&mut self, key: &'static str) -> Result<HashMap<String, String>, RedisError> {
        match self.ask("HGETALL", ::redis::cmd("HGETALL").arg(key)) {
            Ok(value) => {
                let pairs: HashMap<Vec<u8>, Vec<u8>> = from_redis_value(value).map_err(|error| self.unreadable("HGETALL", &error))?;
                // What is no text was not written by us, and must not keep the rest from being read.
                Ok(pairs.into_iter().filter_map(|(field, value)| String::from_utf8(field).ok().zip(String::from_utf8(value).ok())).collect())
            }
            Err(Failure::Refused(code, error)) if code == "WRONGTYPE" => {
                self.set_aside(key)?;
                log::warn!("control: {error}; {key} was set aside and starts empty");
                Ok(HashMap::new())
            }
            Err(Failure::Refused(_, error) | Failure::Broken(error)) => Err(error),
        }
    }

    fn get(&mut self, key: &'static str) -> Result<Option<String>, RedisError> {
        let value = self.ask("GET", ::redis::cmd("GET").arg(key)).map_err(Failure::into_error)?;
        let bytes: Option<Vec<u8>> = from_redis_value(value).map_err(|error| self.unreadable("GET", &error))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn num_sub(&mut self, channels: &[String]) -> Result<Vec<(String, u64)>, RedisError> {
        let mut counted = Vec::with_capacity(channels.len());
        for some in channels.chunks(MAX_NUMSUB) {
            let value = self.ask("PUBSUB NUMSUB", ::redis::cmd("PUBSUB").arg("NUMSUB").arg(some)).map_err(Failure::into_error)?;
            let counts: Vec<(String, u64)> = from_redis_value(value).map_err(|error| self.unreadable("PUBSUB NUMSUB", &error))?;
            counted.extend(counts);
        }
        Ok(counted)
    }

    /// New words are written at once, unless Redis has just refused the older ones.
    fn write_soon(&mut self) {
        if Instant::now() >= self.write_at {
            self.write_backlog();
        }
    }

    fn write_backlog(&mut self) {
        while self.session.is_some()
            && let Some(write) = self.backlog.next_write(Instant::now())
        {
            if !(self.may_write)() {
                self.write_at = Instant::now() + GATE_AGAIN_AFTER;
                break;
            }
            match self.ask(write.name, &write.command) {
                Ok(_) => self.backlog.written(&write),
                Err(Failure::Refused(code, error)) => {
                    self.write_at = Instant::now() + RETRY_REFUSED_AFTER;
                    if code == "WRONGTYPE" && self.set_aside(&write.key).is_ok() {
                        log::warn!("control: {error}; {} was set aside and is written anew", write.key);
                        self.write_at = Instant::now();
                        self.tell_connected();
                        continue;
                    }
                    break;
                }
                Err(Failure::Broken(_)) => break,
            }
        }
        self.stats.waiting.set(i64::try_from(self.backlog.len()).unwrap_or(i64::MAX));
    }

    /// Somebody put something else under our key: moved out of the way, not destroyed.
    fn set_aside(&mut self, key: &str) -> Result<(), RedisError> {
        let aside = format!("{key}:set-aside");
        self.ask("RENAME", ::redis::cmd("RENAME").arg(key).arg(aside)).map(drop).map_err(Failure::into_error)
    }

    fn ask_role(&mut self) {
        self.ask_role_at = Instant::now() + ASK_ROLE_EVERY;
        let Some(session) = &mut self.session else { return };
        if let Err(failure) = session.check_master(&self.connector, &self.token) {
            self.failed(failure);
        }
    }

    /// One command. A broken session is given up here, a refusal is counted and told; the caller decides what it means.
    fn ask(&mut self, name: &'static str, command: &::redis::Cmd) -> Result<Value, Failure> {
        let Some(session) = &mut self.session else { return Err(Failure::Broken(self.trouble.clone())) };
        session.ask(name, command).inspect_err(|failure| self.failed(failure.clone()))
    }

    fn failed(&mut self, failure: Failure) {
        match failure {
            Failure::Broken(error) => self.lose(error),
            Failure::Refused(code, error) => {
                self.stats.errors.add(1);
                if let Some(held) = self.hush.tell(&code, Instant::now()) {
                    log::warn!("control: {error}{}", held_back(held));
                }
            }
        }
    }

    fn unreadable(&self, command: &'static str, error: &::redis::ParsingError) -> RedisError {
        let place = self.session.as_ref().map(|session| session.place().to_owned()).unwrap_or_default();
        RedisError::Refused { place, command, answer: super::error::safe_text(&error.to_string()) }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
