//! The thread: looks where each stream stands, appends what is missing, sends the copies.
//!
//! Every stream gets its turn, however much another has to do. Whatever Redis refuses is tried again until it takes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};

use super::keeper::back;
use super::stream::{Stream, with_id};
use super::{Appender, AppenderStats};
use crate::contract::channel::order_channel;
use crate::contract::get_ticker_channel;
use crate::journal::JournalError;
use crate::model::{AccountId, Symbol};
use crate::redis::{Appended, Foreign, Hush, Messages, Next, StreamWriter, Undone, held_back};
use crate::runtime::{crash, wall_now};

/// Updates of one stream before the next has its turn, and how long they may take when Redis is slow.
const TURN: usize = 256;
const TURN_WITHIN: Duration = Duration::from_millis(100);
/// How long a stream is left alone after a refusal.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often a stream on which nothing happens is looked at: somebody may have deleted it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const TRIM_EVERY: Duration = Duration::from_secs(3_600);
/// How often we ask whether we are the broker now.
const ASK_AGAIN: Duration = Duration::from_millis(100);
const BEAT: Duration = Duration::from_secs(1);
/// How often the journal is told which copies were sent. It matters only where a stream is gone when the next process looks;
/// told at each turn, it would be a step of the journal for every order.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// What the stop leaves for the last updates.
const LAST_WITHIN: Duration = Duration::from_millis(500);

/// Why a stream's turn ended early.
enum Halt {
    Undone(Undone),
    Journal(JournalError),
    Foreign(Foreign),
    /// We are not the broker any more.
    NotOurs,
}

impl From<Undone> for Halt {
    fn from(undone: Undone) -> Halt {
        Halt::Undone(undone)
    }
}

impl From<JournalError> for Halt {
    fn from(error: JournalError) -> Halt {
        Halt::Journal(error)
    }
}

impl From<Foreign> for Halt {
    fn from(foreign: Foreign) -> Halt {
        Halt::Foreign(foreign)
    }
}

/// Copies on their way: sent with the next entry, or at the end of the turn.
#[derive(Default)]
struct Copies {
    messages: Messages,
    /// The last update of which the copies are in there, and of how many.
    upto: u64,
    updates: u64,
}

impl Copies {
    fn sent(&mut self, stream: &mut Stream, stats: &AppenderStats) {
        stream.copied = stream.copied.map(|copied| copied.max(self.upto));
        stats.copied.add(std::mem::take(&mut self.updates));
    }
}

struct Work {
    of: Appender,
    writer: StreamWriter,
    streams: Vec<Stream>,
    wake: Receiver<()>,
    started: bool,
    leading: bool,
    /// When the last updates have to be out, after the stop.
    last_at: Option<Instant>,
    hush: Hush,
}

/// The body of the thread. It ends with the stop, or when a stream is somebody else's; says how many updates are not in their
/// stream then.
pub fn run_appender(appender: Appender) -> usize {
    let writer = StreamWriter::new("orders", Arc::clone(&appender.redis), appender.stop.clone(), Arc::clone(&appender.stats.redis));
    let wake = appender.wake.clone();
    let mut work = Work { of: appender, writer, streams: Vec::new(), wake, started: false, leading: false, last_at: None, hush: Hush::default() };
    if let Err(foreign) = work.run() {
        log::error!("{foreign}");
        let _ = work.of.foreign.try_send(foreign.to_string());
    }
    work.of.stats.redis.up.set(0);
    usize::try_from(work.waiting()).unwrap_or(usize::MAX)
}

impl Work {
    fn run(&mut self) -> Result<(), Foreign> {
        while self.of.stop.is_running() {
            if self.leads() && self.writer.keep() {
                self.begin_anew();
            }
            if !self.turn()? {
                self.rest();
            }
        }
        self.last_at = Some(Instant::now() + LAST_WITHIN);
        while self.leads() && self.writer.is_up() && self.turn()? && !self.is_over() {}
        self.note_copies(Instant::now() + NOTE_EVERY);
        self.notice();
        Ok(())
    }

    /// Nothing that was known of a stream holds for a new connection, or after somebody else was the broker.
    fn begin_anew(&mut self) {
        let now = Instant::now();
        for stream in &mut self.streams {
            stream.target.doubt();
            (stream.retry_at, stream.trim_at) = (now, now);
        }
    }

    fn leads(&mut self) -> bool {
        let leads = (self.of.may_append)();
        if leads && !self.leading {
            self.begin_anew();
        }
        self.leading = leads;
        leads
    }

    fn is_over(&self) -> bool {
        self.last_at.map_or(!self.of.stop.is_running(), |last_at| Instant::now() >= last_at)
    }

    /// A turn for each stream; says whether there may be more to do at once.
    fn turn(&mut self) -> Result<bool, Foreign> {
        self.of.heartbeat.beat();
        self.notice();
        let mut more = false;
        if self.leading && self.writer.is_up() {
            let mut streams = std::mem::take(&mut self.streams);
            for stream in &mut streams {
                if self.is_over() {
                    break;
                }
                let served = self.serve(stream);
                self.of.heartbeat.beat();
                match served {
                    Ok(some) => more |= some,
                    Err(foreign) => {
                        self.streams = streams;
                        return Err(foreign);
                    }
                }
            }
            self.streams = streams;
        }
        self.note_copies(Instant::now());
        self.of.stats.waiting.set(i64::try_from(self.waiting()).unwrap_or(i64::MAX));
        Ok(more)
    }

    fn waiting(&self) -> u64 {
        self.streams.iter().filter(|stream| stream.bot.is_none()).map(Stream::waiting).sum()
    }

    /// Learns from the journal which streams there are and how far their numbers go.
    fn notice(&mut self) {
        match self.try_notice() {
            Ok(()) => self.started = true,
            Err(error) => self.journal_failed(&error),
        }
    }

    fn try_notice(&mut self) -> Result<(), JournalError> {
        for account in self.of.journal.accounts()? {
            let state = self.of.journal.stream(&account)?;
            let (stats, started) = (Arc::clone(&self.of.stats), self.started);
            let stream = self.stream(&account, None);
            if started {
                stats.received.add(state.last.saturating_sub(stream.given));
            }
            (stream.given, stream.noted) = (state.last, state.copied);
            if self.of.settings.bot_streams {
                for (bot, last) in self.of.journal.bots(&account)? {
                    let stream = self.stream(&account, Some(&bot));
                    stream.given = last;
                }
            }
        }
        Ok(())
    }

    fn stream(&mut self, account: &AccountId, bot: Option<&str>) -> &mut Stream {
        let found = self.streams.iter().position(|stream| stream.account == *account && stream.bot.as_deref() == bot);
        let at = found.unwrap_or_else(|| {
            self.streams.push(Stream::new(account.clone(), bot.map(str::to_owned), Instant::now()));
            self.streams.len() - 1
        });
        &mut self.streams[at]
    }

    fn journal_failed(&mut self, error: &JournalError) {
        self.of.stats.errors.add(1);
        if let Some(held) = self.hush.tell("journal", Instant::now()) {
            log::error!("order updates cannot be read from the journal: {error}{}", held_back(held));
        }
    }

    fn serve(&mut self, stream: &mut Stream) -> Result<bool, Foreign> {
        if Instant::now() < stream.retry_at {
            return Ok(false);
        }
        let served = self.advance(stream);
        if let (None, Some(n)) = (&stream.bot, stream.target.last().filter(|n| *n > 0)) {
            self.of.stats.last.lock().insert(stream.account.clone(), stream.target.id(n));
        }
        match served {
            Ok(more) => return Ok(more),
            Err(Halt::Foreign(foreign)) => return Err(foreign),
            Err(Halt::Undone(Undone::Lost)) => stream.target.doubt(),
            Err(Halt::NotOurs) => self.leading = false,
            Err(Halt::Undone(_)) => stream.retry_at = Instant::now() + RETRY_AFTER,
            Err(Halt::Journal(error)) => {
                self.journal_failed(&error);
                stream.retry_at = Instant::now() + RETRY_AFTER;
            }
        }
        Ok(false)
    }

    /// Tells the journal which copies were sent, where that is due by `now`.
    fn note_copies(&mut self, now: Instant) {
        let mut streams = std::mem::take(&mut self.streams);
        for stream in streams.iter_mut().filter(|stream| stream.note_at <= now) {
            let Some(copied) = stream.to_be_noted() else { continue };
            stream.note_at = now + NOTE_EVERY;
            match self.of.journal.copied(&stream.account, copied) {
                Ok(()) => stream.noted = copied,
                Err(error) => self.journal_failed(&error),
            }
        }
        self.streams = streams;
    }

    fn advance(&mut self, stream: &mut Stream) -> Result<bool, Halt> {
        let now = Instant::now();
        if now >= stream.look_at && stream.given <= stream.after() {
            stream.target.doubt();
        }
        if stream.target.next() == Next::Look && !self.look(stream)? {
            return Ok(false);
        }
        if stream.target.next() == Next::Make {
            self.make(stream)?;
        }
        let trimmed = now >= stream.trim_at && self.trim(stream)?;
        Ok(self.append(stream)? || trimmed)
    }

    /// False when the stream of a bot has to wait for that of its account, which settles the epoch.
    fn look(&mut self, stream: &mut Stream) -> Result<bool, Halt> {
        self.still_ours()?;
        let last = match self.writer.last_id(stream.target.key()) {
            Err(Undone::WrongType) => {
                self.writer.set_aside(stream.target.key())?;
                None
            }
            looked => looked?,
        };
        let state = self.of.journal.stream(&stream.account)?;
        let epoch = match state.epoch {
            Some(epoch) => epoch,
            None if stream.bot.is_some() => return Ok(false),
            None => {
                let above = last.map_or(0, |last| last.epoch.saturating_add(1));
                self.of.journal.settle_epoch(&stream.account, wall_now().millis().unsigned_abs().max(above))?
            }
        };
        let given = if stream.bot.is_some() { stream.given } else { state.last };
        stream.target.looked(last, epoch, given)?;
        stream.look_at = Instant::now() + LOOK_EVERY;
        if stream.bot.is_none() {
            // What an earlier process left in the stream was news then, and is none now.
            stream.copied.get_or_insert_with(|| state.copied.max(stream.target.last().unwrap_or(0)));
        }
        Ok(true)
    }

    fn make(&mut self, stream: &mut Stream) -> Result<(), Halt> {
        let first = stream.first_since(&self.of.journal, back(wall_now(), self.of.settings.retention))?;
        if first <= stream.given && stream.copied.is_some_and(|copied| copied > 0) {
            log::warn!("{} is gone from Redis and is made anew, from number {first} to {}", stream.target.key(), stream.given);
        }
        stream.target.make_above(first - 1);
        // What is too old for the stream is no news either.
        stream.copied = stream.copied.map(|copied| copied.max(first - 1));
        Ok(())
    }

    /// Removes what is older than bots were promised; says whether there is more of it.
    fn trim(&mut self, stream: &mut Stream) -> Result<bool, Halt> {
        stream.trim_at = Instant::now() + TRIM_EVERY;
        if stream.target.last().is_none() {
            return Ok(false);
        }
        let first = stream.first_since(&self.of.journal, back(wall_now(), self.of.settings.retention))?;
        // With the first number still young, nothing says how old the entries of an earlier journal are.
        if first <= 1 {
            return Ok(false);
        }
        self.still_ours()?;
        match self.writer.trim(stream.target.key(), stream.target.id(first)) {
            Ok(0) => Ok(false),
            Ok(_) => {
                stream.trim_at = Instant::now();
                Ok(true)
            }
            Err(Undone::Lost) => Err(Halt::Undone(Undone::Lost)),
            // Nothing depends on it but the memory of Redis.
            Err(_) => Ok(false),
        }
    }

    fn still_ours(&self) -> Result<(), Halt> {
        if (self.of.may_append)() { Ok(()) } else { Err(Halt::NotOurs) }
    }

    fn append(&mut self, stream: &mut Stream) -> Result<bool, Halt> {
        let after = stream.after();
        if stream.given <= after {
            return Ok(false);
        }
        let rows = stream.rows(&self.of.journal, after, TURN)?;
        let on_ticker = stream.bot.is_none() && (self.of.ticker)(&stream.account);
        let (mut copies, until) = (Copies::default(), Instant::now() + TURN_WITHIN);
        for row in &rows {
            if Instant::now() >= until {
                break;
            }
            let Next::Append(at) = stream.target.next() else { return Ok(true) };
            let n = stream.number(row);
            let json = with_id(&row.entry, stream.target.id(n));
            if n > at {
                self.still_ours()?;
                let answer = self.writer.append(&mut copies.messages, &stream.target, n, &json);
                if answer != Err(Undone::Lost) {
                    copies.sent(stream, &self.of.stats);
                }
                match answer {
                    Ok(Appended::Done) => stream.target.appended(n),
                    Ok(Appended::NoStream) => stream.target.vanished(),
                    Err(Undone::WrongType) => stream.target.doubt(),
                    // The second time for one number, it is nothing that a look would mend.
                    Err(Undone::Unfit) if stream.unfit.replace(n) != Some(n) => stream.target.doubt(),
                    Err(undone) => {
                        stream.target.doubt();
                        return Err(undone.into());
                    }
                }
                if answer != Ok(Appended::Done) {
                    return Ok(true);
                }
                crash::point("U6-appended");
                if stream.bot.is_none() {
                    self.of.stats.appended.add(1);
                }
            }
            if stream.copied.is_some_and(|copied| n > copied) {
                copies.upto = n;
                if let Some(typed) = &row.typed {
                    if on_ticker && row.symbol.parse::<Symbol>().is_ok() {
                        copies.messages.push(&get_ticker_channel(&row.symbol), &json);
                    }
                    copies.messages.push(&order_channel(stream.account.as_str()), typed);
                    copies.updates += 1;
                }
            }
        }
        if !copies.messages.is_empty() {
            self.still_ours()?;
            self.writer.publish(&mut copies.messages)?;
        }
        copies.sent(stream, &self.of.stats);
        Ok(!rows.is_empty())
    }

    /// Waits until there may be something to do.
    fn rest(&mut self) {
        let now = Instant::now();
        let due = if !self.leading {
            now + ASK_AGAIN
        } else if !self.writer.is_up() {
            self.writer.due().min(now + BEAT)
        } else {
            let of_streams = self.streams.iter().flat_map(|stream| [stream.retry_at, stream.trim_at, stream.look_at]);
            let notes = self.streams.iter().filter(|stream| stream.to_be_noted().is_some()).map(|stream| stream.note_at);
            of_streams.chain(notes).filter(|at| *at > now).fold(self.writer.due().min(now + BEAT), Instant::min)
        };
        let ended = select! {
            recv(self.wake) -> woken => woken.is_err(),
            recv(self.of.stop.channel()) -> _ => false,
            default(due.saturating_duration_since(now)) => false,
        };
        if ended {
            self.wake = never();
        }
    }
}
