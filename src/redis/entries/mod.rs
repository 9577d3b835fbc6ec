//! The reader of a stream with a consumer group: a blocking thread that hands each entry on and acknowledges what was dealt with.
//!
//! An entry stays pending in Redis until it is acknowledged, so after a crash it comes again, but never twice to one
//! process: what is handed out and not yet acknowledged is known here. The reader outlives those who deal with entries: at
//! the stop it takes none any more, and goes on acknowledging until the last of them has let go of the channel.
//! Must not know what the entries mean.

mod entry;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::Cmd;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};

pub use entry::{Entry, EntryId};
use entry::{Read, ServerClock, entries_of};

use super::error::RedisError;
use super::link::Connector;
use super::pace::{Hush, Pacer};
use super::session::{Failure, Session};
use crate::config::RedisSettings;
use crate::observe::{Counter, Gauge};
use crate::runtime::{StopToken, Waited, wall_now};

/// How long one read waits in Redis, which rounds it up to its own tick of 100 ms. A stop waits it out, and so do acknowledgements.
const BLOCK_MS: u64 = 20;
/// Entries in one read.
const BURST: usize = 64;
/// Entries in one acknowledgement.
const ACKS: usize = 256;
/// How often a full inbox is looked at again; Redis keeps the rest meanwhile.
const ROOM_WITHIN: Duration = Duration::from_millis(100);
/// How often the clock of Redis is looked at and old entries are removed.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// Entries removed at once: Redis serves nobody else meanwhile.
const TRIMMED_AT_ONCE: u64 = 20_000;
/// How long after the stop a last acknowledgement is waited for.
const LAST_WITHIN: Duration = Duration::from_secs(1);

/// Which stream, and as whom it is read.
#[derive(Debug, Clone, Copy)]
pub struct StreamPlace {
    pub key: &'static str,
    pub group: &'static str,
    pub consumer: &'static str,
    /// The field of an entry that is read.
    pub field: &'static str,
    /// About so many entries stay for people to look at. An entry that was not acknowledged is never removed, whatever the number.
    pub kept: u64,
}

#[derive(Debug, Default)]
pub struct EntryStats {
    pub connects: Counter,
    pub losses: Counter,
    pub entries: Counter,
    pub acknowledged: Counter,
    /// 1 while the stream is read, else 0.
    pub up: Gauge,
}

/// The body of the reader thread. After the token's stop it lives until `done` is closed or a second has passed.
pub fn run_entry_reader(
    settings: Arc<RedisSettings>,
    place: StreamPlace,
    inbox: Sender<Entry>,
    done: Receiver<EntryId>,
    token: StopToken,
    stats: Arc<EntryStats>,
) {
    let connector = Connector::new(settings, "commands");
    let (mut pacer, mut hush) = (Pacer::new(fastrand::u64(..)), Hush::default());
    let mut reader = Reader::new(place, inbox, done, token, stats);
    while reader.token.is_running() {
        let opened = Instant::now();
        let ended = Session::open(&connector, &reader.token).map_err(End::Redis).and_then(|mut session| reader.serve(&mut session));
        reader.stats.up.set(0);
        let Err(End::Redis(error)) = ended else { return };
        if error == RedisError::Stopped {
            return;
        }
        hush.warn("commands", &error, Instant::now());
        reader.stats.losses.add(1);
        let delay = pacer.lost(&error, opened.elapsed()).max(Duration::from_millis(20));
        if reader.token.wait(delay) == Waited::Stopped {
            return;
        }
    }
}

enum End {
    Redis(RedisError),
    /// Stopped, or nobody takes entries any more.
    Done,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Redis(failure.into_error())
    }
}

struct Reader {
    place: StreamPlace,
    inbox: Sender<Entry>,
    done: Receiver<EntryId>,
    token: StopToken,
    stats: Arc<EntryStats>,
    clock: ServerClock,
    /// Handed on by this process, and not yet acknowledged.
    out: BTreeSet<EntryId>,
    /// Read for the first time by this process, and not handed on when the session broke.
    kept_back: BTreeSet<EntryId>,
    /// Dealt with, and not yet acknowledged.
    unsent: Vec<EntryId>,
    /// The latest entry that this session was given; what comes after it may be unread.
    latest: Option<EntryId>,
}

impl Reader {
    fn new(place: StreamPlace, inbox: Sender<Entry>, done: Receiver<EntryId>, token: StopToken, stats: Arc<EntryStats>) -> Reader {
        Reader {
            place,
            inbox,
            done,
            token,
            stats,
            clock: ServerClock::default(),
            out: BTreeSet::new(),
            kept_back: BTreeSet::new(),
            unsent: Vec::new(),
            latest: None,
        }
    }

    fn serve(&mut self, session: &mut Session) -> Result<(), End> {
        self.make_group(session)?;
        self.learn_clock(session)?;
        self.stats.connects.add(1);
        self.stats.up.set(1);
        // What was handed out and not acknowledged comes first, from the oldest on.
        let mut after = Some("0".to_owned());
        let mut tidied = Instant::now();
        while self.token.is_running() {
            self.acknowledge(session)?;
            if after.is_none() && tidied.elapsed() >= TIDY_EVERY {
                tidied = Instant::now();
                self.learn_clock(session)?;
                self.trim(session)?;
            }
            let entries = match session.ask("XREADGROUP", &self.read_command(after.as_deref())) {
                // Somebody deleted the stream or flushed Redis.
                Err(Failure::Refused(code, _)) if code == "NOGROUP" || code == "UNBLOCKED" => {
                    self.make_group(session)?;
                    continue;
                }
                answer => entries_of(answer?, self.place.field),
            };
            let again = after.is_some();
            if let Some(from) = &mut after {
                match entries.last() {
                    Some((last, _)) => *from = last.to_string(),
                    None => {
                        self.kept_back.clear();
                        after = None;
                    }
                }
            }
            match self.take(entries, again, session) {
                Err(End::Done) => break,
                taken => taken?,
            }
        }
        self.acknowledge_the_last(session)
    }

    fn make_group(&mut self, session: &mut Session) -> Result<(), End> {
        let place = self.place;
        self.latest = None;
        // From the first entry: what bots sent before the group was there is answered too, if only to say that it is too old.
        match session.ask("XGROUP", ::redis::cmd("XGROUP").arg("CREATE").arg(place.key).arg(place.group).arg("0").arg("MKSTREAM")) {
            Err(Failure::Refused(code, _)) if code == "BUSYGROUP" => Ok(()),
            answer => Ok(answer.map(|_| ())?),
        }
    }

    fn learn_clock(&mut self, session: &mut Session) -> Result<(), End> {
        let before = wall_now();
        match session.ask("TIME", &::redis::cmd("TIME")) {
            Ok(answer) => {
                if let Ok(theirs) = ::redis::from_redis_value::<(i64, i64)>(answer) {
                    self.clock = ServerClock::learn(before, theirs, wall_now());
                }
                Ok(())
            }
            // A user without the right: the clocks are taken to agree.
            Err(Failure::Refused(_, error)) => {
                log::debug!("the clock of Redis is not known: {error}");
                Ok(())
            }
            Err(broken) => Err(broken.into()),
        }
    }

    /// Removes the oldest entries beyond those that are kept: only what this session has read, and nothing that waits or is
    /// under way, nor anything after it.
    fn trim(&mut self, session: &mut Session) -> Result<(), End> {
        let Some(bound) = self.latest.map(|latest| self.out.first().map_or(latest, |oldest| latest.min(*oldest))) else { return Ok(()) };
        let key = self.place.key;
        let length = ::redis::from_redis_value::<u64>(session.ask("XLEN", ::redis::cmd("XLEN").arg(key))?).unwrap_or(0);
        let surplus = length.saturating_sub(self.place.kept).min(TRIMMED_AT_ONCE);
        if surplus == 0 {
            return Ok(());
        }
        let mut command = ::redis::cmd("XTRIM");
        command.arg(key).arg("MINID").arg("~").arg(bound.to_string()).arg("LIMIT").arg(surplus);
        match session.ask("XTRIM", &command) {
            // Nothing depends on it but the memory of Redis.
            Err(Failure::Refused(_, error)) => log::warn!("old entries of {key} stay: {error}"),
            answer => drop(answer?),
        }
        Ok(())
    }

    fn read_command(&self, after: Option<&str>) -> Cmd {
        let place = self.place;
        let mut command = ::redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(place.group).arg(place.consumer).arg("COUNT").arg(BURST);
        if after.is_none() {
            command.arg("BLOCK").arg(BLOCK_MS);
        }
        command.arg("STREAMS").arg(place.key).arg(after.unwrap_or(">"));
        command
    }

    fn take(&mut self, entries: Vec<Read>, again: bool, session: &mut Session) -> Result<(), End> {
        // Set before anything is handed on: a session that breaks in between learns it anew.
        self.latest = self.latest.max(entries.last().map(|(id, _)| *id).filter(|_| !again));
        if !again {
            self.kept_back.extend(entries.iter().map(|(id, _)| *id));
        }
        for (id, payload) in entries {
            if again && self.out.contains(&id) {
                continue;
            }
            self.stats.entries.add(1);
            let again = again && !self.kept_back.contains(&id);
            self.hand_on(Entry { id, payload, taken: self.clock.taken(id, wall_now()), again }, session)?;
        }
        Ok(())
    }

    /// Waits for room in the inbox, and lets the finished ones out meanwhile.
    fn hand_on(&mut self, mut entry: Entry, session: &mut Session) -> Result<(), End> {
        let id = entry.id;
        while self.token.is_running() {
            match self.inbox.send_timeout(entry, ROOM_WITHIN) {
                Ok(()) => {
                    self.out.insert(id);
                    self.kept_back.remove(&id);
                    return Ok(());
                }
                Err(SendTimeoutError::Disconnected(_)) => return Err(End::Done),
                Err(SendTimeoutError::Timeout(back)) => entry = back,
            }
            self.acknowledge(session)?;
        }
        Err(End::Done)
    }

    fn acknowledge(&mut self, session: &mut Session) -> Result<(), End> {
        loop {
            let room = ACKS.saturating_sub(self.unsent.len());
            self.unsent.extend(self.done.try_iter().take(room));
            if self.unsent.is_empty() {
                return Ok(());
            }
            let mut command = ::redis::cmd("XACK");
            command.arg(self.place.key).arg(self.place.group);
            for id in &self.unsent {
                command.arg(id.to_string());
            }
            session.ask("XACK", &command)?;
            self.stats.acknowledged.add(self.unsent.len() as u64);
            for id in self.unsent.drain(..) {
                self.out.remove(&id);
            }
        }
    }

    /// Those who deal with entries may be at their last ones.
    fn acknowledge_the_last(&mut self, session: &mut Session) -> Result<(), End> {
        let deadline = Instant::now() + LAST_WITHIN;
        while let Ok(id) = self.done.recv_deadline(deadline) {
            self.unsent.push(id);
            self.acknowledge(session)?;
        }
        self.acknowledge(session)
    }
}

#[cfg(test)]
mod tests;
