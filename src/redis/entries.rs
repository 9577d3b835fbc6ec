//! The reader of a stream with a consumer group: a blocking thread that hands each entry on and acknowledges what was dealt with.
//!
//! An entry stays pending in Redis until it is acknowledged, so after a crash it comes again. Must not know what the
//! entries mean.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::{Cmd, Value};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};

use super::error::RedisError;
use super::link::Connector;
use super::pace::{Hush, Pacer};
use super::session::{Failure, Session};
use crate::config::RedisSettings;
use crate::observe::{Counter, Gauge};
use crate::runtime::{StopToken, Waited};

/// How long one read waits in Redis: below what a session allows for one answer, and how late an acknowledgement goes out.
const BLOCK_MS: u64 = 100;
/// Entries in one read.
const BURST: usize = 64;
/// Entries in one acknowledgement.
const ACKS: usize = 256;
/// How often a full inbox is looked at again; Redis keeps the rest meanwhile.
const ROOM_WITHIN: Duration = Duration::from_millis(100);
/// The stream keeps about so many entries, dealt with or not.
const KEPT: usize = 100_000;
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Which stream, and as whom it is read.
#[derive(Debug, Clone, Copy)]
pub struct StreamPlace {
    pub key: &'static str,
    pub group: &'static str,
    pub consumer: &'static str,
    /// The field of an entry that is read.
    pub field: &'static str,
}

/// One entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    /// What the field holds; `None` for an entry without it.
    pub payload: Option<Vec<u8>>,
    /// It was handed out before, to us or to a process before us.
    pub again: bool,
}

impl Entry {
    /// When Redis took it, in Unix milliseconds.
    pub fn taken_ms(&self) -> Option<i64> {
        self.id.split_once('-')?.0.parse().ok()
    }
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

/// The body of the reader thread: runs until the token stops it or nobody takes entries any more.
pub fn run_entry_reader(
    settings: Arc<RedisSettings>,
    place: StreamPlace,
    inbox: Sender<Entry>,
    done: Receiver<String>,
    token: StopToken,
    stats: Arc<EntryStats>,
) {
    let connector = Connector::new(settings, "commands");
    let (mut pacer, mut hush) = (Pacer::new(fastrand::u64(..)), Hush::default());
    let mut reader = Reader { place, inbox, done, token, stats, unsent: Vec::new() };
    while reader.token.is_running() {
        let opened = Instant::now();
        let ended = match Session::open(&connector, &reader.token) {
            Ok(session) => reader.read(session),
            Err(error) => End::Redis(error),
        };
        reader.stats.up.set(0);
        let End::Redis(error) = ended else { return };
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
    done: Receiver<String>,
    token: StopToken,
    stats: Arc<EntryStats>,
    /// Dealt with, and not yet acknowledged.
    unsent: Vec<String>,
}

impl Reader {
    fn read(&mut self, mut session: Session) -> End {
        match self.serve(&mut session) {
            Ok(()) => End::Done,
            Err(end) => end,
        }
    }

    fn serve(&mut self, session: &mut Session) -> Result<(), End> {
        self.make_group(session)?;
        self.stats.connects.add(1);
        self.stats.up.set(1);
        // What was handed out and not acknowledged comes first, from the oldest on.
        let mut after = Some("0".to_owned());
        let mut trimmed = Instant::now();
        while self.token.is_running() {
            self.acknowledge(session)?;
            if trimmed.elapsed() >= TRIM_EVERY {
                trimmed = Instant::now();
                session.ask("XTRIM", ::redis::cmd("XTRIM").arg(self.place.key).arg("MAXLEN").arg("~").arg(KEPT))?;
            }
            let entries = match session.ask("XREADGROUP", &self.read_command(after.as_deref())) {
                // Somebody deleted the stream or flushed Redis.
                Err(Failure::Refused(code, _)) if code == "NOGROUP" || code == "UNBLOCKED" => {
                    self.make_group(session)?;
                    continue;
                }
                answer => entries_of(answer?, self.place.field, after.is_some()),
            };
            if let Some(from) = &mut after {
                match entries.last() {
                    Some(last) => from.clone_from(&last.id),
                    None => after = None,
                }
            }
            for entry in entries {
                self.stats.entries.add(1);
                self.hand_on(entry, session)?;
            }
        }
        let _ = self.acknowledge(session);
        Ok(())
    }

    fn make_group(&self, session: &mut Session) -> Result<(), End> {
        let place = self.place;
        // From the first entry: what bots sent before the group was there is answered too, if only to say that it is too old.
        match session.ask("XGROUP", ::redis::cmd("XGROUP").arg("CREATE").arg(place.key).arg(place.group).arg("0").arg("MKSTREAM")) {
            Err(Failure::Refused(code, _)) if code == "BUSYGROUP" => Ok(()),
            answer => Ok(answer.map(|_| ())?),
        }
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

    /// Waits for room in the inbox, and lets the finished ones out meanwhile.
    fn hand_on(&mut self, mut entry: Entry, session: &mut Session) -> Result<(), End> {
        loop {
            match self.inbox.send_timeout(entry, ROOM_WITHIN) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Disconnected(_)) => return Err(End::Done),
                Err(SendTimeoutError::Timeout(back)) => entry = back,
            }
            if !self.token.is_running() {
                return Err(End::Done);
            }
            self.acknowledge(session)?;
        }
    }

    fn acknowledge(&mut self, session: &mut Session) -> Result<(), End> {
        loop {
            let room = ACKS - self.unsent.len();
            self.unsent.extend(self.done.try_iter().take(room));
            if self.unsent.is_empty() {
                return Ok(());
            }
            session.ask("XACK", ::redis::cmd("XACK").arg(self.place.key).arg(self.place.group).arg(&self.unsent))?;
            self.stats.acknowledged.add(self.unsent.len() as u64);
            self.unsent.clear();
        }
    }
}

/// Reads the answer of `XREADGROUP` for one stream.
fn entries_of(answer: Value, field: &str, again: bool) -> Vec<Entry> {
    let streams: Vec<(String, Vec<Value>)> = ::redis::from_redis_value(answer).unwrap_or_default();
    streams.into_iter().flat_map(|(_, entries)| entries).filter_map(|entry| entry_of(entry, field, again)).collect()
}

/// An entry that was deleted meanwhile has an id and no fields.
fn entry_of(value: Value, field: &str, again: bool) -> Option<Entry> {
    let (id, fields): (String, Value) = ::redis::from_redis_value(value).ok()?;
    let fields: Vec<(Vec<u8>, Vec<u8>)> = ::redis::from_redis_value(fields).unwrap_or_default();
    let payload = fields.into_iter().find(|(name, _)| name == field.as_bytes()).map(|(_, value)| value);
    Some(Entry { id, payload, again })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::fixtures::{bot, tcp};
    use crate::redis::test_server::RedisServer;
    use crate::runtime::{Stop, StopKind};
    use crossbeam_channel::bounded;

    const PLACE: StreamPlace = StreamPlace { key: "orders", group: "desk", consumer: "one", field: "command" };
    const LONG: Duration = Duration::from_secs(10);

    struct Reading {
        entries: Receiver<Entry>,
        done: Sender<String>,
        stop: Stop,
        thread: std::thread::JoinHandle<()>,
    }

    fn start(server: &RedisServer, room: usize) -> Reading {
        let (inbox, entries) = bounded(room);
        let (done, finished) = bounded(1_024);
        let stop = Stop::new().unwrap();
        let (settings, token) = (Arc::new(tcp(server)), stop.token());
        let thread = std::thread::spawn(move || run_entry_reader(settings, PLACE, inbox, finished, token, Arc::default()));
        Reading { entries, done, stop, thread }
    }

    impl Reading {
        fn next(&self) -> Entry {
            self.entries.recv_timeout(LONG).expect("an entry within ten seconds")
        }

        fn end(self) {
            self.stop.stop(StopKind::Shutdown);
            drop(self.entries);
            self.thread.join().unwrap();
        }
    }

    fn add(connection: &mut ::redis::Connection, field: &str, value: &str) -> String {
        ::redis::cmd("XADD").arg("orders").arg("*").arg(field).arg(value).query(connection).unwrap()
    }

    fn pending(connection: &mut ::redis::Connection) -> usize {
        let (count, ..): (usize, Value, Value, Value) = ::redis::cmd("XPENDING").arg("orders").arg("desk").query(connection).unwrap();
        count
    }

    #[test]
    fn what_was_not_acknowledged_comes_again_and_what_was_does_not() {
        let server = RedisServer::start();
        let mut bot = bot(&server);
        let early = add(&mut bot, "command", "before the group");
        let first = start(&server, 8);
        assert_eq!(first.next(), Entry { id: early.clone(), payload: Some(b"before the group".to_vec()), again: false });
        let second = add(&mut bot, "command", "two");
        assert_eq!(first.next().id, second);
        first.done.send(early).unwrap();
        while pending(&mut bot) != 1 {
            std::thread::yield_now();
        }
        first.end();

        let other = start(&server, 8);
        let entry = other.next();
        assert_eq!((entry.id.as_str(), entry.again), (second.as_str(), true));
        assert!(entry.taken_ms().unwrap() > 1_700_000_000_000);
        let third = add(&mut bot, "words", "no command");
        assert_eq!(other.next(), Entry { id: third, payload: None, again: false });
        other.end();
    }

    #[test]
    fn a_flushed_redis_is_read_again() {
        let server = RedisServer::start();
        let mut bot = bot(&server);
        let reading = start(&server, 1);
        add(&mut bot, "command", "one");
        reading.next();
        let _: () = ::redis::cmd("FLUSHALL").query(&mut bot).unwrap();
        add(&mut bot, "command", "two");
        assert_eq!(reading.next().payload.as_deref(), Some(&b"two"[..]));
        reading.end();
    }
}
