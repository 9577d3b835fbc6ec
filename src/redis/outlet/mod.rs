//! The way out for one handler thread: its own connection, never blocking.
//!
//! A thread of its own dials while the connection is down; the handler only ever touches a socket that is up and
//! non-blocking. Must not know what is published: it moves bytes and counts replies.

mod ages;
mod up;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, select};

use self::up::{READ_EVERY, Up};
use super::dial::Dialling;
use super::error::RedisError;
use super::link::Connector;
use super::pace::Hush;
use super::resp;
use crate::config::RedisSettings;
use crate::net::{Interest, Readiness, wait_ready};
use crate::observe::{Counter, Gauge};
use crate::runtime::{StopToken, Threads};

/// Some 700 messages beside what the socket holds: enough to go on with when it takes again, little enough to stay in the
/// processor's caches.
const MAX_UNSENT: usize = 128 * 1024;
/// No reply for so long while one is due, and the connection is given up. A slow Redis that goes on answering is kept.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often we ask whether we still talk to a master: a demoted one takes PUBLISH without a word.
const ASK_ROLE_EVERY: Duration = Duration::from_secs(1);
/// Sent bytes are moved out of the buffer once they are this many, if not sooner by its running empty.
const COMPACT_AT: usize = 64 * 1024;

/// What one outlet did, for metrics and status.
#[derive(Debug, Default)]
pub struct OutletStats {
    pub connects: Counter,
    pub losses: Counter,
    pub dial_failures: Counter,
    pub commands: Counter,
    pub bytes: Counter,
    /// Error replies.
    pub errors: Counter,
    /// 1 while connected, else 0.
    pub up: Gauge,
    /// Bytes that wait for the socket.
    pub unsent: Gauge,
}

/// What a pump found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// A new connection just came up, on which nothing is sent or owed; or the one there is may be used now.
    pub connected: bool,
    /// The connection just broke; whatever was not answered until now may or may not have been done.
    pub lost: Option<RedisError>,
    /// Replies to queued commands since the last pump, in order; error replies are among them.
    pub answered: u64,
    /// The sum of the integer replies: receivers, as long as only PUBLISH is answered by an integer.
    pub receivers: u64,
    pub errors: u64,
}

/// Says whether anything may be sent at that moment.
pub type Guard = Box<dyn Fn(Instant) -> bool + Send>;

/// The connection of one handler.
pub struct Outlet {
    role: &'static str,
    guard: Guard,
    /// What that said when it was asked last.
    open: bool,
    dialling: Dialling,
    token: StopToken,
    stats: Arc<OutletStats>,
    up: Option<Up>,
    out: Vec<u8>,
    /// Bytes at the start of `out` that the socket has taken.
    sent: usize,
    trouble: Option<RedisError>,
    hush: Hush,
    last_pump: Instant,
}

impl Outlet {
    /// Starts dialling at once. `role` names the connection (`alpaca-broker-<role>`) and the dialling thread
    /// (`dial-<role>`).
    pub fn new(role: &'static str, settings: Arc<RedisSettings>, threads: Threads, token: StopToken, stats: Arc<OutletStats>) -> Outlet {
        let connector = Arc::new(Connector::new(settings, role));
        Outlet {
            role,
            guard: Box::new(|_| true),
            open: true,
            dialling: Dialling::new(role, connector, threads, token.clone()),
            token,
            stats,
            up: None,
            out: Vec::with_capacity(MAX_UNSENT),
            sent: 0,
            trouble: None,
            hush: Hush::default(),
            last_pump: Instant::now(),
        }
    }

    /// The same, with somebody who says whether it may send. While it may not, it keeps its connection and is as good as down;
    /// when it may again, that is as good as a new connection.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Outlet {
        Outlet { guard, open: false, ..self }
    }

    /// Asks whether it may send; what is queued already goes out all the same.
    pub fn ask_guard(&mut self, now: Instant) {
        // A word of consent counts from the next pump on, which tells of it.
        self.open &= (self.guard)(now);
    }

    /// Something for [`Outlet::pump`] has come from the dialling thread: for `select!`. Taking the message changes nothing.
    pub fn link_ready(&self) -> &Receiver<()> {
        self.dialling.ready()
    }

    pub fn is_up(&self) -> bool {
        self.open && self.up.is_some()
    }

    /// Up, and as of the last pump not so far behind that more should be queued.
    pub fn has_room(&self) -> bool {
        self.open && self.up.as_ref().is_some_and(|up| up.keeps_up(self.last_pump)) && self.unsent() < MAX_UNSENT
    }

    /// Redis answers within a few milliseconds, as of the last pump.
    pub fn is_swift(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.is_swift(self.last_pump))
    }

    /// Append RESP commands here (see `redis::resp`), then say how many with [`Outlet::queued`] before the next pump.
    /// What is appended while the outlet is down is thrown away.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    pub fn queued(&mut self, commands: usize) {
        if let Some(up) = &mut self.up {
            let commands = commands as u64;
            up.unanswered += commands;
            up.queued += commands;
            up.ages.queued(self.last_pump, up.queued);
            self.stats.commands.add(commands);
        }
    }

    /// Queued commands without a reply yet.
    pub fn unanswered(&self) -> u64 {
        self.up.as_ref().map_or(0, |up| up.unanswered)
    }

    /// Bytes that wait for the socket.
    pub fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Why the outlet is down, as far as the last attempt tells.
    pub fn trouble(&self) -> Option<&RedisError> {
        self.trouble.as_ref()
    }

    /// Takes a link that is ready, writes what the socket takes, reads replies when it is time to. Never blocks.
    pub fn pump(&mut self, now: Instant) -> Pumped {
        self.last_pump = now;
        let mut pumped = Pumped::default();
        let was_open = std::mem::replace(&mut self.open, (self.guard)(now));
        if self.up.is_none() {
            self.take_link(now, &mut pumped);
        }
        pumped.connected = self.is_up() && (pumped.connected || !was_open);
        if self.up.is_some() {
            let turned = match self.dialling.take(now) {
                Ok(Err(moved)) => Err(moved),
                _ => self.turn(now, &mut pumped),
            };
            if let Err(error) = turned {
                self.lose(error, now, &mut pumped);
            }
        } else {
            self.forget_unsent();
        }
        self.stats.errors.add(pumped.errors);
        self.stats.unsent.set(i64::try_from(self.unsent()).unwrap_or(i64::MAX));
        pumped
    }

    /// Something waits for the socket to take it.
    pub fn wants_write(&self) -> bool {
        self.unsent() > 0 || self.up.as_ref().is_some_and(|up| up.link.transport.has_buffered_output())
    }

    /// Blocks until the socket is ready, the stop token wakes us or the deadline passes. While down, until a link is
    /// ready or the process stops; a nudge is not seen then.
    ///
    /// # Errors
    /// Those of `poll`.
    pub fn wait(&mut self, deadline: Instant, interest: Interest) -> io::Result<Readiness> {
        if let Some(up) = &mut self.up {
            up.look = true;
            let deadline = if up.more_input { Instant::now() } else { deadline };
            let mut ready = wait_ready(&up.link.transport, interest, &self.token, deadline)?;
            ready.readable |= up.more_input;
            return Ok(ready);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        Ok(select! {
            recv(self.dialling.ready()) -> _ => Readiness { readable: true, ..Readiness::default() },
            recv(self.token.channel()) -> _ => Readiness { woken: true, ..Readiness::default() },
            default(left) => Readiness::default(),
        })
    }

    /// When [`Outlet::pump`] must be called though nothing happened: to notice a Redis that hangs or was demoted.
    pub fn next_deadline(&self) -> Instant {
        let Some(up) = &self.up else { return self.last_pump + ASK_ROLE_EVERY };
        let ask = if up.role_after.is_none() { up.ask_role_at } else { self.last_pump + ANSWER_WITHIN };
        let read = if up.is_owed() { up.last_read.max(self.last_pump) + READ_EVERY } else { ask };
        up.waiting_since.map_or(ask, |since| ask.min(since + ANSWER_WITHIN)).min(read)
    }

    fn take_link(&mut self, now: Instant, pumped: &mut Pumped) {
        match self.dialling.take(now) {
            Ok(Ok(link)) => {
                log::info!("{}: connected to {} ({} {})", self.role, link.place, link.server().product, link.server().version);
                self.forget_unsent();
                self.up = Some(Up::new(link, now));
                self.trouble = None;
                self.stats.connects.add(1);
                self.stats.up.set(1);
                pumped.connected = true;
            }
            Ok(Err(error)) => {
                self.hush.warn(self.role, &error, now);
                self.stats.dial_failures.add(1);
                self.trouble = Some(error);
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }

    fn lose(&mut self, error: RedisError, now: Instant, pumped: &mut Pumped) {
        let Some(up) = self.up.take() else { return };
        self.forget_unsent();
        self.hush.warn(self.role, &error, now);
        self.stats.losses.add(1);
        self.stats.up.set(0);
        self.dialling.again(error.clone(), now.saturating_duration_since(up.since));
        self.trouble = Some(error.clone());
        pumped.lost = Some(error);
    }

    fn forget_unsent(&mut self) {
        self.out.clear();
        self.sent = 0;
    }

    fn turn(&mut self, now: Instant, pumped: &mut Pumped) -> Result<(), RedisError> {
        let Some(up) = &mut self.up else { return Ok(()) };
        if up.role_after.is_none() && now >= up.ask_role_at {
            resp::command(&mut self.out, &[b"ROLE"]);
            up.role_after = Some(up.unanswered);
            up.ask_role_at = now + ASK_ROLE_EVERY;
        }
        if up.is_owed() {
            up.waiting_since.get_or_insert(now);
        }
        let before = self.sent;
        up.write(&self.out, &mut self.sent)?;
        self.stats.bytes.add((self.sent - before) as u64);
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT_AT {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        if !up.should_read(now) {
            return Ok(());
        }
        let progress = up.read(self.role, now, &mut self.hush, pumped)?;
        up.ages.answered(up.queued - up.unanswered);
        match up.waiting_since {
            _ if !up.is_owed() => up.waiting_since = None,
            _ if progress => up.waiting_since = Some(now),
            Some(since) if now.saturating_duration_since(since) >= ANSWER_WITHIN => {
                return Err(RedisError::Silent { place: up.link.place.clone(), waited: ANSWER_WITHIN });
            }
            _ => {}
        }
        Ok(())
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("role", &self.role).field("open", &self.open).field("up", &self.up).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
