//! The way out for one handler thread: its own connection, never blocking.
//!
//! A thread of its own dials while the connection is down; the handler only ever touches a socket that is up and non-blocking.
//! Must not know what is published: it moves bytes and counts replies.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, select};

use super::dial::Dialling;
use super::error::{RedisError, error_code, safe_text};
use super::link::{Connector, Link, check_role};
use super::pace::{Hush, held_back};
use super::resp::{self, Reply, RespError};
use crate::config::RedisSettings;
use crate::net::{Interest, Readiness, wait_ready};
use crate::observe::{Counter, Gauge};
use crate::runtime::{StopToken, Threads};

/// Some 1,500 messages: enough to keep Redis busy over a turn of the handler, little enough to be folded rather than sent late.
const MAX_UNSENT: usize = 256 * 1024;
/// What may be on its way to a Redis that answers swiftly: some 40 ms of its full speed.
const MAX_UNANSWERED: u64 = 65_536;
/// Commands this old without an answer show that Redis is slower than we are, and that more would only wait longer ...
const SWIFT: Duration = Duration::from_millis(25);
/// ... but so many may always be on their way, or each pause of Redis would fold what a calm market brings.
const ALWAYS_UNANSWERED: u64 = 4_096;
/// Replies are read together: when there are so many of them, or after so long, or when they make room.
const READ_AFTER: u64 = 512;
const READ_EVERY: Duration = Duration::from_millis(10);
/// No reply for so long while one is due, and the connection is given up. A slow Redis that goes on answering is kept.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How often we ask whether we still talk to a master: a demoted one takes PUBLISH without a word.
const ASK_ROLE_EVERY: Duration = Duration::from_secs(1);
/// What one pump reads at most, so that a flood of replies cannot hold the handler.
const READ_PER_PUMP: usize = 1024 * 1024;
/// Sent bytes are moved out of the buffer once they are this many, if not sooner by its running empty.
const COMPACT_AT: usize = 128 * 1024;

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
    /// A new connection just came up; nothing is sent or owed on it.
    pub connected: bool,
    /// The connection just broke; whatever was not answered until now may or may not have been done.
    pub lost: Option<RedisError>,
    /// Replies to queued commands since the last pump, in order; error replies are among them.
    pub answered: u64,
    /// The sum of the integer replies: receivers, as long as only PUBLISH is answered by an integer.
    pub receivers: u64,
    pub errors: u64,
}

/// The connection of one handler.
#[derive(Debug)]
pub struct Outlet {
    role: &'static str,
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

#[derive(Debug)]
struct Up {
    link: Link,
    since: Instant,
    /// Queued commands without a reply yet, our own ROLE left out.
    unanswered: u64,
    /// A ROLE is under way, after so many of the unanswered.
    role_after: Option<u64>,
    ask_role_at: Instant,
    /// Since when we wait for the next reply.
    waiting_since: Option<Instant>,
    /// The last pump left input unread.
    more_input: bool,
    /// The next pump reads, whatever there is.
    look: bool,
    last_read: Instant,
    queued: u64,
    ages: Ages,
}

/// When commands were queued, in steps of a millisecond: oldest first, answered ones left out.
#[derive(Debug, Default)]
struct Ages(VecDeque<(Instant, u64)>);

impl Ages {
    const STEP: Duration = Duration::from_millis(1);

    /// So many commands have been queued in all by now.
    fn queued(&mut self, now: Instant, total: u64) {
        match self.0.back_mut() {
            Some((at, last)) if now.saturating_duration_since(*at) < Ages::STEP => *last = total,
            _ => self.0.push_back((now, total)),
        }
    }

    fn answered(&mut self, total: u64) {
        while self.0.front().is_some_and(|(_, last)| *last <= total) {
            self.0.pop_front();
        }
    }

    fn oldest(&self, now: Instant) -> Duration {
        self.0.front().map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at))
    }
}

impl Outlet {
    /// Starts dialling at once. `role` names the connection (`alpaca-broker-<role>`) and the dialling thread (`dial-<role>`).
    pub fn new(role: &'static str, settings: Arc<RedisSettings>, threads: Threads, token: StopToken, stats: Arc<OutletStats>) -> Outlet {
        let connector = Arc::new(Connector::new(settings, role));
        Outlet {
            role,
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

    /// Something for [`Outlet::pump`] has come from the dialling thread: for `select!`. Taking the message changes nothing.
    pub fn link_ready(&self) -> &Receiver<()> {
        self.dialling.ready()
    }

    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Up, and as of the last pump not so far behind that more should be queued.
    pub fn has_room(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.keeps_up(self.last_pump)) && self.unsent() < MAX_UNSENT
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

    /// Takes a link that is ready, writes what the socket takes, reads what replies there are. Never blocks.
    pub fn pump(&mut self, now: Instant) -> Pumped {
        self.last_pump = now;
        let mut pumped = Pumped::default();
        if self.up.is_none() {
            self.take_link(now, &mut pumped);
        }
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

    /// Blocks until the socket is ready, the stop token wakes us or the deadline passes. While down, until a link is ready or
    /// the process stops; a nudge is not seen then.
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

impl Up {
    fn new(link: Link, now: Instant) -> Up {
        Up {
            link,
            since: now,
            unanswered: 0,
            role_after: None,
            ask_role_at: now + ASK_ROLE_EVERY,
            waiting_since: None,
            more_input: false,
            look: true,
            last_read: now,
            queued: 0,
            ages: Ages::default(),
        }
    }

    fn keeps_up(&self, now: Instant) -> bool {
        self.unanswered < ALWAYS_UNANSWERED || (self.unanswered < MAX_UNANSWERED && self.ages.oldest(now) < SWIFT)
    }

    fn should_read(&self, now: Instant) -> bool {
        let late = now.saturating_duration_since(self.last_read) >= READ_EVERY;
        self.look || self.more_input || late || self.unanswered >= READ_AFTER
    }

    fn is_owed(&self) -> bool {
        self.unanswered > 0 || self.role_after.is_some()
    }

    fn closed(&self, cause: impl std::fmt::Display) -> RedisError {
        RedisError::Closed { place: self.link.place.clone(), cause: cause.to_string() }
    }

    fn protocol(&self, cause: RespError) -> RedisError {
        RedisError::Protocol { place: self.link.place.clone(), cause }
    }

    fn write(&mut self, out: &[u8], sent: &mut usize) -> Result<(), RedisError> {
        while *sent < out.len() {
            match self.link.transport.write(&out[*sent..]) {
                // TLS takes nothing while its own buffer is full.
                Ok(0) => break,
                Ok(n) => *sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.closed(error)),
            }
        }
        if self.link.transport.has_buffered_output() {
            match self.link.transport.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(self.closed(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// True when a reply came.
    fn read(&mut self, role: &str, now: Instant, hush: &mut Hush, pumped: &mut Pumped) -> Result<bool, RedisError> {
        let (mut bytes, mut progress) = (0, false);
        self.more_input = false;
        self.look = false;
        self.last_read = now;
        loop {
            let filled = match self.link.replies.fill(&mut self.link.transport) {
                Ok(filled) if filled.bytes == 0 => return Err(self.closed("the server closed it")),
                Ok(filled) => filled,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
                Err(error) => return Err(self.closed(error)),
            };
            progress |= self.take_replies(role, now, hush, pumped)?;
            bytes += filled.bytes;
            let more = !filled.short || self.link.transport.has_buffered_input();
            if !more || bytes >= READ_PER_PUMP {
                self.more_input = more;
                return Ok(progress);
            }
        }
    }

    fn take_replies(&mut self, role: &str, now: Instant, hush: &mut Hush, pumped: &mut Pumped) -> Result<bool, RedisError> {
        let mut progress = false;
        loop {
            let ours = self.role_after.unwrap_or(self.unanswered);
            let run = self.link.replies.take_run(ours).map_err(|cause| self.protocol(cause))?;
            if run.count > 0 {
                pumped.receivers = pumped.receivers.saturating_add(run.sum);
                self.answered(run.count, pumped);
                progress = true;
                continue;
            }
            let Some(reply) = self.link.replies.take_reply().map_err(|cause| self.protocol(cause))? else { return Ok(progress) };
            progress = true;
            if self.role_after == Some(0) {
                self.role_after = None;
                check_role(&self.link.place, &reply)?;
                continue;
            }
            if self.unanswered == 0 {
                return Err(self.protocol(RespError::Malformed("a reply to nothing")));
            }
            self.answered(1, pumped);
            if let Reply::Error(text) = reply {
                pumped.errors += 1;
                self.error_reply(&text, role, now, hush)?;
            }
        }
    }

    fn answered(&mut self, count: u64, pumped: &mut Pumped) {
        pumped.answered += count;
        self.unanswered -= count;
        self.role_after = self.role_after.map(|before| before - count);
    }

    /// Most errors concern one command and leave the connection as good as it was; a few say that it is of no more use.
    fn error_reply(&self, text: &str, role: &str, now: Instant, hush: &mut Hush) -> Result<(), RedisError> {
        let code = error_code(text);
        if matches!(code, "READONLY" | "NOAUTH" | "LOADING") {
            return Err(RedisError::from_answer(&self.link.place, "a command", text));
        }
        if let Some(held) = hush.tell(code, now) {
            log::warn!("{role}: {} refused a command: {}{}", self.link.place, safe_text(text), held_back(held));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "outlet_tests.rs"]
mod tests;
