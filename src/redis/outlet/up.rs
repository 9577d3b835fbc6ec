//! An outlet's connection while it is up: what is owed on it, how old that is, and reading the replies.
//!
//! Must not know how a connection comes about or what becomes of it when it breaks.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::Pumped;
use super::ages::Ages;
use crate::redis::error::{RedisError, error_code, safe_text};
use crate::redis::link::{Link, check_role};
use crate::redis::pace::{Hush, held_back};
use crate::redis::resp::{Reply, RespError};

/// What may be on its way to a Redis that answers swiftly: some 8 ms of its full speed, and two megabytes. More keeps it no
/// busier, and pushes everything else out of the processor's caches.
const MAX_UNANSWERED: u64 = 12_288;
/// Commands this old without an answer show that Redis is slower than we are, and that more would only wait longer ...
const OLDEST: Duration = Duration::from_millis(25);
/// ... but so many may always be on their way, or each pause of Redis would fold what a calm market brings.
const ALWAYS_UNANSWERED: u64 = 4_096;
/// A Redis that has at most a few listeners to serve answers all that may be on its way to it within this.
const SWIFT: Duration = Duration::from_millis(20);
/// Replies are read together: when there are so many of them, or after so long, or when they make room.
const READ_AFTER: u64 = 512;
pub(super) const READ_EVERY: Duration = Duration::from_millis(10);
/// What one pump reads at most, so that a flood of replies cannot hold the handler.
const READ_PER_PUMP: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Up {
    pub link: Link,
    pub since: Instant,
    /// Queued commands without a reply yet, our own ROLE left out.
    pub unanswered: u64,
    /// A ROLE is under way, after so many of the unanswered.
    pub role_after: Option<u64>,
    pub ask_role_at: Instant,
    /// Since when we wait for the next reply.
    pub waiting_since: Option<Instant>,
    /// The last read left input unread.
    pub more_input: bool,
    /// The next pump reads, whatever there is.
    pub look: bool,
    pub last_read: Instant,
    pub queued: u64,
    pub ages: Ages,
}

impl Up {
    pub fn new(link: Link, now: Instant) -> Up {
        Up {
            link,
            since: now,
            unanswered: 0,
            role_after: None,
            ask_role_at: now + super::ASK_ROLE_EVERY,
            waiting_since: None,
            more_input: false,
            look: true,
            last_read: now,
            queued: 0,
            ages: Ages::default(),
        }
    }

    pub fn keeps_up(&self, now: Instant) -> bool {
        self.unanswered < ALWAYS_UNANSWERED || (self.unanswered < MAX_UNANSWERED && self.ages.oldest(now) < OLDEST)
    }

    pub fn is_swift(&self, now: Instant) -> bool {
        self.ages.oldest(now) < SWIFT
    }

    pub fn should_read(&self, now: Instant) -> bool {
        let late = now.saturating_duration_since(self.last_read) >= READ_EVERY;
        self.look || self.more_input || late || self.unanswered >= READ_AFTER
    }

    pub fn is_owed(&self) -> bool {
        self.unanswered > 0 || self.role_after.is_some()
    }

    fn closed(&self, cause: impl std::fmt::Display) -> RedisError {
        RedisError::Closed { place: self.link.place.clone(), cause: cause.to_string() }
    }

    fn protocol(&self, cause: RespError) -> RedisError {
        RedisError::Protocol { place: self.link.place.clone(), cause }
    }

    pub fn write(&mut self, out: &[u8], sent: &mut usize) -> Result<(), RedisError> {
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
    pub fn read(&mut self, role: &str, now: Instant, hush: &mut Hush, pumped: &mut Pumped) -> Result<bool, RedisError> {
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
