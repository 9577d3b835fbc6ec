//! The reader of a stream with a consumer group: a blocking thread that hands each entry on and acknowledges what was
//! dealt with.
//!
//! An entry stays pending in Redis until it is acknowledged, so after a crash it comes again, but never twice to one
//! process: what is handed out and not yet acknowledged is known here. The reader outlives those who deal with entries: at
//! the stop it takes none any more, and goes on acknowledging until the last of them has let go of the channel.
//!
//! What is pending is claimed anew, entry by entry, and not read from the consumer's history: that would count a
//! delivery for entries that are being worked on, and whoever goes by the count would give up a command because Redis
//! was lost a few times. Must not know what the entries mean.

mod entry;
mod pass;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};

pub use entry::{Burial, Done, Entry, EntryId};
use entry::{Claimed, Pending, Read, ServerClock, claimed_of, entries_of, pending_of};
use pass::Pass;

use super::error::RedisError;
use super::link::Connector;
use super::pace::{Hush, Pacer};
use super::session::{Failure, MAX_PIPELINE, Session};
use crate::config::RedisSettings;
use crate::observe::{Counter, Gauge};
use crate::runtime::{StopToken, Waited, wall_now};

/// How long one read waits in Redis, which rounds it up to its own tick of 100 ms. A stop waits it out, and so do
/// acknowledgements.
const BLOCK_MS: u64 = 20;
/// Entries in one read.
const BURST: usize = MAX_PIPELINE;
/// Entries in one acknowledgement.
const ACKS: usize = 256;
/// How often a full inbox is looked at again; Redis keeps the rest meanwhile.
const ROOM_WITHIN: Duration = Duration::from_millis(100);
/// How often the clock of Redis is looked at and old entries are removed.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// Entries removed at once: Redis serves nobody else meanwhile.
const TRIMMED_AT_ONCE: u64 = 20_000;
/// How soon a gate that was shut is tried again.
const GATE_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How often it is looked for entries that other consumers took and left lying, and for how long they have to lie.
const CLAIM_EVERY: Duration = Duration::from_secs(30);
const LEFT_LYING_MS: u64 = 60_000;
/// About so many dead letters are kept.
const DEAD_KEPT: u64 = 10_000;
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
    /// About so many entries stay for people to look at. An entry that was not acknowledged is never removed, whatever
    /// the number.
    pub kept: u64,
    /// The stream of dead letters: `id`, the field and `reason`.
    pub dead: &'static str,
}

/// Whether something may be done now, such as reading entries; asked before each time.
pub type Gate = Box<dyn Fn() -> bool + Send>;

#[derive(Debug, Default)]
pub struct EntryStats {
    pub connects: Counter,
    pub losses: Counter,
    pub entries: Counter,
    pub acknowledged: Counter,
    /// Entries taken over from other consumers.
    pub claimed: Counter,
    /// Dead letters.
    pub buried: Counter,
    /// 1 while the stream is read, else 0.
    pub up: Gauge,
}

/// The body of the reader thread. After the token's stop it lives until `done` is closed or a second has passed.
pub fn run_entry_reader(
    settings: Arc<RedisSettings>,
    place: StreamPlace,
    inbox: Sender<Entry>,
    done: Receiver<Done>,
    may_read: Gate,
    token: StopToken,
    stats: Arc<EntryStats>,
) {
    let connector = Connector::new(settings, "commands");
    let (mut pacer, mut hush) = (Pacer::new(fastrand::u64(..)), Hush::default());
    let mut reader = Reader::new(place, inbox, done, may_read, token, stats);
    while reader.token.is_running() {
        let opened = Instant::now();
        let ended = Session::open(&connector, &reader.token).map_err(End::Redis).and_then(|mut session| reader.serve(&mut session));
        reader.stats.up.set(0);
        let error = match ended {
            Err(End::Redis(error)) => error,
            // Gone between two commands: a new session makes it anew.
            Err(End::NoGroup) => continue,
            Ok(()) | Err(End::Done) => return,
        };
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
    /// The stream or its group is gone.
    NoGroup,
    /// Stopped, or nobody takes entries any more.
    Done,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Redis(failure.into_error())
    }
}

/// As [`Session::ask`], for what needs the group.
fn ask(session: &mut Session, name: &'static str, command: &Cmd) -> Result<Value, End> {
    session.ask(name, command).map_err(|failure| match failure {
        Failure::Refused(code, _) if code == "NOGROUP" || code == "UNBLOCKED" => End::NoGroup,
        failure => failure.into(),
    })
}

struct Reader {
    place: StreamPlace,
    inbox: Sender<Entry>,
    done: Receiver<Done>,
    may_read: Gate,
    token: StopToken,
    stats: Arc<EntryStats>,
    clock: ServerClock,
    /// Handed on by this process, and not yet acknowledged.
    out: BTreeSet<EntryId>,
    /// Read by this process and not handed on yet, with the number of the delivery: what remains when a session breaks.
    kept_back: BTreeMap<EntryId, u32>,
    /// Dealt with, and not yet acknowledged.
    unsent: Vec<Done>,
    /// The latest entry that this session was given; what comes after it may be unread.
    latest: Option<EntryId>,
}

impl Reader {
    fn new(place: StreamPlace, inbox: Sender<Entry>, done: Receiver<Done>, may_read: Gate, token: StopToken, stats: Arc<EntryStats>) -> Reader {
        Reader {
            place,
            inbox,
            done,
            may_read,
            token,
            stats,
            clock: ServerClock::default(),
            out: BTreeSet::new(),
            kept_back: BTreeMap::new(),
            unsent: Vec::new(),
            latest: None,
        }
    }

    fn serve(&mut self, session: &mut Session) -> Result<(), End> {
        self.make_group(session)?;
        self.learn_clock(session)?;
        self.stats.connects.add(1);
        self.stats.up.set(1);
        let mut pass = Some(Pass::own());
        let (mut tidied, mut claimed) = (Instant::now(), None::<Instant>);
        while self.token.is_running() {
            self.acknowledge(session)?;
            if !(self.may_read)() {
                self.token.wait(GATE_AGAIN_AFTER);
                continue;
            }
            if pass.is_none() && claimed.is_none_or(|at| at.elapsed() >= CLAIM_EVERY) {
                claimed = Some(Instant::now());
                pass = Some(Pass::others(LEFT_LYING_MS));
            }
            if pass.is_none() && tidied.elapsed() >= TIDY_EVERY {
                tidied = Instant::now();
                self.learn_clock(session)?;
                self.trim(session)?;
            }
            let read = match &mut pass {
                Some(under_way) => self.recover(session, under_way).map(|more| {
                    if !more {
                        pass = None;
                    }
                }),
                None => self.read(session),
            };
            match read {
                // Somebody deleted the stream or flushed Redis.
                Err(End::NoGroup) => self.make_group(session)?,
                Err(End::Done) => break,
                read => read?,
            }
        }
        self.stats.up.set(0);
        self.acknowledge_the_last(session)
    }

    fn make_group(&mut self, session: &mut Session) -> Result<(), End> {
        let place = self.place;
        self.latest = None;
        // From the first entry: what bots sent before the group was there is answered too, if only to say that it is
        // too old.
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
                    self.clock = ServerClock::learn(before, theirs, wall_now(), Instant::now());
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
        // Also of other consumers, which may have died.
        let summary = ask(session, "XPENDING", ::redis::cmd("XPENDING").arg(key).arg(self.place.group))?;
        let lowest: Option<(u64, Option<String>, Value, Value)> = ::redis::from_redis_value(summary).ok();
        let bound = lowest.and_then(|(_, lowest, ..)| lowest?.parse().ok()).map_or(bound, |lowest: EntryId| bound.min(lowest));
        let mut command = ::redis::cmd("XTRIM");
        command.arg(key).arg("MINID").arg("~").arg(bound.to_string()).arg("LIMIT").arg(surplus);
        match session.ask("XTRIM", &command) {
            // Nothing depends on it but the memory of Redis.
            Err(Failure::Refused(_, error)) => log::warn!("old entries of {key} stay: {error}"),
            answer => drop(answer?),
        }
        Ok(())
    }

    /// What nobody was given yet.
    fn read(&mut self, session: &mut Session) -> Result<(), End> {
        let place = self.place;
        let mut command = ::redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(place.group).arg(place.consumer).arg("COUNT").arg(BURST).arg("BLOCK").arg(BLOCK_MS);
        let entries = entries_of(ask(session, "XREADGROUP", command.arg("STREAMS").arg(place.key).arg(">"))?, place.field);
        // Set before anything is handed on: a session that breaks in between learns it anew.
        self.latest = self.latest.max(entries.last().map(|(id, _)| *id));
        self.kept_back.extend(entries.iter().map(|(id, _)| (*id, 1)));
        for entry in entries {
            self.take(entry, 1, session)?;
        }
        Ok(())
    }

    /// Hands on the next of what was handed out and not acknowledged, from the oldest on; whether there may be more.
    fn recover(&mut self, session: &mut Session, pass: &mut Pass) -> Result<bool, End> {
        let place = self.place;
        let pending = pending_of(ask(session, "XPENDING", &pass.question(place))?);
        let Some(last) = pending.last() else {
            if !pass.of_others {
                self.kept_back.clear();
            }
            return Ok(false);
        };
        pass.after = Some(last.id);
        let ours = |pending: &Pending| pending.consumer == place.consumer;
        let wanted: Vec<(EntryId, u32)> = pending
            .iter()
            .filter(|pending| ours(pending) != pass.of_others && !self.out.contains(&pending.id))
            .map(|pending| (pending.id, self.kept_back.get(&pending.id).copied().unwrap_or(pending.deliveries.saturating_add(1))))
            .collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let claims: Vec<Cmd> = wanted.iter().map(|(id, deliveries)| pass.claim(place, *id, *deliveries)).collect();
        let mut entries = Vec::with_capacity(wanted.len());
        for ((id, deliveries), answer) in wanted.into_iter().zip(session.exchange("XCLAIM", &claims).map_err(End::Redis)?) {
            match claimed_of(answer?, place.field) {
                Claimed::Entry(entry) => entries.push((entry, deliveries)),
                Claimed::Removed => entries.push(((id, None), deliveries)),
                Claimed::Nothing => {}
            }
        }
        if pass.of_others && !entries.is_empty() {
            log::warn!("{}: {} entries that another consumer took and left lying are taken over", place.key, entries.len());
            self.stats.claimed.add(entries.len() as u64);
        }
        self.kept_back.extend(entries.iter().map(|((id, _), deliveries)| (*id, *deliveries)));
        for (entry, deliveries) in entries {
            self.take(entry, deliveries, session)?;
        }
        Ok(true)
    }

    fn take(&mut self, (id, payload): Read, deliveries: u32, session: &mut Session) -> Result<(), End> {
        self.stats.entries.add(1);
        if self.clock.was_set(wall_now(), Instant::now()) {
            self.learn_clock(session)?;
        }
        let entry = Entry { id, payload, taken: self.clock.taken(id, wall_now()), again: deliveries > 1, deliveries };
        self.hand_on(entry, session)
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
            self.bury(session)?;
            let mut command = ::redis::cmd("XACK");
            command.arg(self.place.key).arg(self.place.group);
            for done in &self.unsent {
                command.arg(done.id.to_string());
            }
            session.ask("XACK", &command)?;
            self.stats.acknowledged.add(self.unsent.len() as u64);
            for done in self.unsent.drain(..) {
                self.out.remove(&done.id);
            }
        }
    }

    /// Before the acknowledgement: a session that breaks in between buries twice, and loses nothing.
    fn bury(&mut self, session: &mut Session) -> Result<(), End> {
        let place = self.place;
        for done in &mut self.unsent {
            let Some(burial) = &done.bury else { continue };
            let mut command = ::redis::cmd("XADD");
            command.arg(place.dead).arg("MAXLEN").arg("~").arg(DEAD_KEPT).arg("*").arg("id").arg(done.id.to_string());
            command.arg(place.field).arg(burial.payload.as_slice()).arg("reason").arg(&burial.reason);
            match session.ask("XADD", &command) {
                Ok(_) => self.stats.buried.add(1),
                // It was answered: for want of a grave it must not come again for ever.
                Err(Failure::Refused(_, error)) => log::error!("entry {} of {} is not kept among the dead letters: {error}", done.id, place.key),
                Err(broken) => return Err(broken.into()),
            }
            done.bury = None;
        }
        Ok(())
    }

    /// Those who deal with entries may be at their last ones.
    fn acknowledge_the_last(&mut self, session: &mut Session) -> Result<(), End> {
        let deadline = Instant::now() + LAST_WITHIN;
        while let Ok(done) = self.done.recv_deadline(deadline) {
            self.unsent.push(done);
            self.acknowledge(session)?;
        }
        self.acknowledge(session)
    }
}

#[cfg(test)]
mod tests;
