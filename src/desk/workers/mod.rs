//! The threads that carry commands out: entries of the stream in, answers out, acknowledgements back.
//!
//! One dispatcher reads the entries and never waits for a worker; what no worker is free for waits in a queue of its bot
//! (`backlog`). `lane` says who waits behind whom, and which order is promised.
//!
//! | channel | capacity | when full |
//! |---|---|---|
//! | a bot's queue | [`OF_ONE_BOT`] | its next command is denied at once |
//! | all queues of a lane | [`ORDERS_WAITING`], [`OTHERS_WAITING`] | so is everybody's |
//! | refusals | [`OTHERS_WAITING`] | answered if the control queue has room this moment, else counted as dropped |
//! | what waits for a seat (`aside`) | 2,048 new ones | the next is denied at once |
//! | the control queue | its own | [`ANSWER_WITHIN`] is waited for room, then the answer is counted as dropped |
//!
//! An entry that was read before is never denied for want of room, nor of a seat: it may have been carried out. What cannot
//! be read, and what was in hand each time that the process ended, is answered and kept among the dead letters. At the stop
//! what is under way is finished; what no worker has begun stays in Redis and comes again at the next start. Must not know
//! what a command means beyond its lane.

mod aside;
mod backlog;
mod lane;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use self::aside::Aside;
use self::backlog::{Backlog, Room};
pub(super) use self::lane::client_order_id;
use self::lane::{Lane, lane_of};
use super::answer::{Answer, Verdict};
use super::desk::Desk;
use super::seats::Fate;
use crate::contract::channel::REPLIES;
use crate::contract::{BadCommand, DeskCommand, parse_command};
use crate::model::Timestamp;
use crate::observe::{Counter, Heartbeat, Histogram};
use crate::redis::{Burial, ControlCommand, Done, Entry, EntryId};
use crate::runtime::{StopToken, Task, Threads, crash, wall_now};

/// Workers for orders. A REST call takes a while; four of them at a time are as many as a venue's budget bears.
pub const WORKERS: usize = 4;
const OF_ONE_BOT: usize = 256;
const ORDERS_WAITING: usize = 2_048;
const OTHERS_WAITING: usize = 256;
/// New entries that can be dealt with and not acknowledged yet, when all of it is full.
pub const UNDER_WAY: usize = ORDERS_WAITING + (Lane::ALL.len() - 1) * OTHERS_WAITING + WORKERS + Lane::ALL.len() + aside::ROOM;
/// How long an answer waits for room in the control queue, in all.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);
const TOO_MANY: &str = "too many of your commands are waiting";
/// When a sender that was denied for want of room may try again.
const TRY_AGAIN_MS: u64 = 1_000;
/// A command during which the process ended so often is not carried out any more: it may be what ends it.
const TRIES: u64 = 3;

#[derive(Debug, Default)]
pub struct DeskStats {
    pub commands: Counter,
    pub malformed: Counter,
    /// The process ended too often while it had them in hand; not tried again.
    pub poisonous: Counter,
    pub accepted: Counter,
    pub denied: Counter,
    pub rejected: Counter,
    pub unknown: Counter,
    /// Answers that the control thread had no room for.
    pub answers_dropped: Counter,
    /// From an entry's arrival at a worker to its answer.
    pub handling: Histogram,
}

/// Where answers go and finished entries are told.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub control: Sender<ControlCommand>,
    pub done: Sender<Done>,
    pub stats: Arc<DeskStats>,
}

/// What carries commands out.
trait Serve: Send + Sync + 'static {
    /// `None`: not answered and not acknowledged, for the process stops.
    fn handle(&self, command: DeskCommand, entry: &str, taken: Timestamp, again: bool) -> Option<Answer>;
    fn refuse(&self, bad: &BadCommand) -> Answer;
    /// How often an entry that was handed out before has been begun, this time included.
    fn begin_again(&self, entry: &str) -> u64;
    fn ended(&self, entry: &str);
    /// Answers an entry that is not tried any more.
    fn give_up(&self, command: &DeskCommand, entry: &str, reason: &str) -> Answer;
    /// What becomes of a command before anybody begins it, and how many seats were there when that was decided.
    fn fate(&self, _: &DeskCommand, _again: bool) -> (usize, Fate) {
        (0, Fate::Goes)
    }
}

impl Serve for Desk {
    fn handle(&self, command: DeskCommand, entry: &str, taken: Timestamp, again: bool) -> Option<Answer> {
        Desk::handle(self, command, entry, taken, again)
    }

    fn refuse(&self, bad: &BadCommand) -> Answer {
        Desk::refuse(self, bad)
    }

    fn begin_again(&self, entry: &str) -> u64 {
        Desk::begin_again(self, entry)
    }

    fn ended(&self, entry: &str) {
        Desk::ended(self, entry);
    }

    fn give_up(&self, command: &DeskCommand, entry: &str, reason: &str) -> Answer {
        Desk::give_up(self, command, entry, reason)
    }

    fn fate(&self, command: &DeskCommand, again: bool) -> (usize, Fate) {
        Desk::fate(self, command, again)
    }
}

/// Starts the dispatcher and the workers; they end with the token or with the inbox, and `done` with the last of them.
///
/// # Errors
/// When the system refuses a thread.
pub fn start_workers(
    threads: &Threads,
    desk: &Arc<Desk>,
    entries: Receiver<Entry>,
    out: &Outgoing,
    token: &StopToken,
    heartbeat: Heartbeat,
) -> io::Result<Vec<Task<()>>> {
    start(threads, desk, entries, out, token, heartbeat)
}

fn start<S: Serve>(
    threads: &Threads,
    desk: &Arc<S>,
    entries: Receiver<Entry>,
    out: &Outgoing,
    token: &StopToken,
    heartbeat: Heartbeat,
) -> io::Result<Vec<Task<()>>> {
    let mut tasks = Vec::new();
    let mut pools = Vec::new();
    // Each worker has at most one word in it that was not heard.
    let (finish, finished) = bounded(WORKERS + Lane::ALL.len());
    for lane in Lane::ALL {
        let (workers, all) = if lane == Lane::Orders { (WORKERS, ORDERS_WAITING) } else { (1, OTHERS_WAITING) };
        let (work, jobs) = bounded::<Given>(workers);
        for number in 1..=workers {
            let worker = Worker { desk: Arc::clone(desk), jobs: jobs.clone(), out: out.clone(), token: token.clone(), finish: finish.clone(), lane };
            let name = if workers == 1 { lane.name().to_owned() } else { format!("{}-{number}", lane.name()) };
            tasks.push(threads.spawn(&name, move || worker.run())?);
        }
        pools.push(Pool { backlog: Backlog::new(Room { each: OF_ONE_BOT, all }), idle: workers, work });
    }
    let dispatcher = Dispatcher { desk: Arc::clone(desk), pools, aside: Aside::default(), out: out.clone() };
    let token = token.clone();
    tasks.push(threads.spawn("desk", move || dispatcher.run(&entries, &finished, &token, &heartbeat))?);
    Ok(tasks)
}

/// One entry, read.
struct Job {
    done: Done,
    reply_to: Option<String>,
    work: Work,
}

enum Work {
    Carry {
        command: Box<DeskCommand>,
        taken: Timestamp,
        /// When it began to wait, by the clock and by one that nobody sets.
        since: (Timestamp, Instant),
        /// What it was read from, when it was handed out before.
        again: Option<Vec<u8>>,
    },
    Say(Box<Answer>),
}

/// A job and whose it is.
type Given = (Arc<str>, Job);

struct Worker<S> {
    desk: Arc<S>,
    jobs: Receiver<Given>,
    out: Outgoing,
    token: StopToken,
    finish: Sender<(Lane, Arc<str>)>,
    lane: Lane,
}

impl<S: Serve> Worker<S> {
    fn run(self) {
        for (bot, job) in &self.jobs {
            // What has not begun by now stays in Redis.
            if !self.token.is_running() {
                return;
            }
            let started = Instant::now();
            let (answer, done) = match job.work {
                Work::Carry { command, taken, since, again } => {
                    let taken = of_that_age(taken, since, (wall_now(), started));
                    match again {
                        None => (self.desk.handle(*command, &job.done.id.to_string(), taken, false), job.done),
                        Some(payload) => self.carry_again(*command, taken, job.done, payload),
                    }
                }
                Work::Say(answer) => (Some(*answer), job.done),
            };
            let Some(answer) = answer else { return };
            self.out.answer(&answer, job.reply_to, ANSWER_WITHIN);
            crash::point("C6-replied");
            // Acknowledged only now: a crash before this line brings the entry again.
            let _ = self.out.done.send(done);
            self.out.stats.handling.observe(started.elapsed());
            if self.finish.send((self.lane, bot)).is_err() {
                return;
            }
        }
    }
}

impl<S: Serve> Worker<S> {
    /// A command that an earlier life was given: one that was in hand each time that the process ended is not tried for ever.
    fn carry_again(&self, command: DeskCommand, taken: Timestamp, done: Done, payload: Vec<u8>) -> (Option<Answer>, Done) {
        let entry = done.id.to_string();
        let tries = self.desk.begin_again(&entry);
        if tries <= TRIES {
            let answer = self.desk.handle(command, &entry, taken, true);
            self.desk.ended(&entry);
            return (answer, done);
        }
        self.out.stats.poisonous.add(1);
        let reason = format!("the broker ended {TRIES} times while it carried this out; it is not tried again");
        log::error!("entry {entry}: {reason}");
        let answer = self.desk.give_up(&command, &entry, &reason);
        self.desk.ended(&entry);
        (Some(answer), buried(done.id, reason, payload))
    }
}

impl Outgoing {
    fn answer(&self, answer: &Answer, reply_to: Option<String>, patience: Duration) {
        self.stats.count(answer);
        let json = answer.to_json();
        let deadline = Instant::now() + patience;
        // What was refused is there for everybody to see, as refused registrations are.
        let public = (answer.result != Verdict::Accepted).then(|| REPLIES.to_owned());
        for channel in reply_to.into_iter().chain(public) {
            let message = ControlCommand::Publish { channel, payload: json.clone().into_bytes() };
            if self.control.send_deadline(message, deadline).is_err() {
                self.stats.answers_dropped.add(1);
            }
        }
    }
}

impl DeskStats {
    fn count(&self, answer: &Answer) {
        self.commands.add(1);
        match answer.result {
            Verdict::Accepted => self.accepted.add(1),
            Verdict::Rejected => self.rejected.add(1),
            Verdict::Denied => self.denied.add(1),
            Verdict::Unknown => self.unknown.add(1),
        }
    }
}

/// The workers of one lane and what waits for them.
struct Pool {
    backlog: Backlog<Job>,
    /// Workers without a job: there is always room for theirs in the channel.
    idle: usize,
    work: Sender<Given>,
}

impl Pool {
    fn give(&mut self) {
        while self.idle > 0
            && let Some(given) = self.backlog.next()
        {
            self.idle -= 1;
            // Workers are gone only at the stop, and then what they were given comes again.
            let _ = self.work.send(given);
        }
    }
}

struct Dispatcher<S> {
    desk: Arc<S>,
    /// In the order of [`Lane::ALL`].
    pools: Vec<Pool>,
    aside: Aside,
    out: Outgoing,
}

impl<S: Serve> Dispatcher<S> {
    fn run(mut self, entries: &Receiver<Entry>, finished: &Receiver<(Lane, Arc<str>)>, token: &StopToken, beat: &Heartbeat) {
        while token.is_running() {
            beat.beat();
            self.aside.due(Instant::now()).into_iter().for_each(|entry| self.dispatch(entry));
            select! {
                recv(finished) -> word => if let Ok((lane, bot)) = word {
                    let pool = self.pool(lane);
                    pool.idle += 1;
                    pool.backlog.finished(&bot);
                    pool.give();
                },
                recv(entries) -> entry => match entry {
                    Ok(entry) => self.dispatch(entry),
                    Err(_) => return,
                },
                recv(token.channel()) -> _ => return,
                default(self.aside.patience()) => {},
            }
        }
    }

    fn pool(&mut self, lane: Lane) -> &mut Pool {
        &mut self.pools[lane as usize]
    }

    fn dispatch(&mut self, entry: Entry) {
        let (id, again) = (entry.id, entry.again);
        let command = match parse_command(entry.payload.as_deref().unwrap_or_default()) {
            Ok(command) => command,
            Err(bad) => {
                self.out.stats.malformed.add(1);
                let answer = self.desk.refuse(&bad);
                return self.refuse(buried(id, bad.reason, entry.payload.unwrap_or_default()), bad.reply_to, answer);
            }
        };
        let (come, fate) = self.desk.fate(&command, again);
        self.aside.let_go(come).into_iter().for_each(|entry| self.dispatch(entry));
        match fate {
            Fate::Goes => {}
            Fate::Waits if again || self.aside.has_room() => return self.aside.put(entry),
            Fate::Waits => return self.refuse(id.into(), command.reply_to.clone(), too_many(&command)),
            Fate::Denied(answer) => return self.refuse(id.into(), command.reply_to, *answer),
        }
        let Entry { payload, taken, .. } = entry;
        let payload = payload.unwrap_or_default();
        let (lane, bot) = lane_of(&command);
        let pool = &mut self.pools[lane as usize];
        if !again && !pool.backlog.has_room(&bot) {
            let answer = too_many(&command);
            return self.refuse(id.into(), command.reply_to, answer);
        }
        let (bot, reply_to) = (bot.into_owned(), command.reply_to.clone());
        let work = Work::Carry { command: Box::new(command), taken, since: (wall_now(), Instant::now()), again: again.then_some(payload) };
        pool.backlog.put(&bot, Job { done: id.into(), reply_to, work });
        pool.give();
    }

    /// Answers without carrying out, and without waiting here for room.
    fn refuse(&mut self, done: Done, reply_to: Option<String>, answer: Answer) {
        let to = reply_to.clone().unwrap_or_default();
        let pool = self.pool(Lane::Refusals);
        if pool.backlog.has_room(&to) {
            pool.backlog.put(&to, Job { done, reply_to, work: Work::Say(Box::new(answer)) });
            pool.give();
            return;
        }
        self.out.answer(&answer, reply_to, Duration::ZERO);
        let _ = self.out.done.send(done);
    }
}

/// When it was sent, by the clock of now: one that was set while the command waited makes it neither older nor younger.
fn of_that_age(taken: Timestamp, since: (Timestamp, Instant), now: (Timestamp, Instant)) -> Timestamp {
    let waited = i64::try_from(now.1.saturating_duration_since(since.1).as_nanos()).unwrap_or(i64::MAX);
    let set_by = now.0.nanos().saturating_sub(since.0.nanos()).saturating_sub(waited);
    Timestamp::from_nanos(taken.nanos().saturating_add(set_by))
}

fn buried(id: EntryId, reason: String, payload: Vec<u8>) -> Done {
    Done { id, bury: Some(Burial { reason, payload }) }
}

fn too_many(command: &DeskCommand) -> Answer {
    Answer {
        client_order_id: client_order_id(command).map(ToString::to_string),
        advice: Some("retry_after"),
        retry_after_ms: Some(TRY_AGAIN_MS),
        ..Answer::denied(command.action, TOO_MANY)
    }
}

#[cfg(test)]
mod tests;
