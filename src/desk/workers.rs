//! The threads that carry commands out: entries of the stream in, answers out, acknowledgements back.
//!
//! Commands of one order go to one worker, in their order. | channel | capacity | when full |: each worker's inbox holds
//! [`INBOX`] entries, then the reader waits and Redis keeps the rest. Must not know what a command means.

use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::answer::Answer;
use super::desk::Desk;
use crate::contract::channel::REPLIES;
use crate::contract::{DefaultType, DeskCommand, Wish, parse_command};
use crate::events::{Command, OrderKey};
use crate::model::Timestamp;
use crate::observe::{Counter, Heartbeat, Histogram};
use crate::redis::{ControlCommand, Entry};
use crate::runtime::{StopToken, Task, Threads};

/// A REST call takes a while; four of them at a time are as many as a venue's budget bears.
pub const WORKERS: usize = 4;
const INBOX: usize = 64;

#[derive(Debug, Default)]
pub struct DeskStats {
    pub commands: Counter,
    pub malformed: Counter,
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
    pub done: Sender<String>,
    pub stats: Arc<DeskStats>,
}

/// Starts the dispatcher and the workers; they end with the token or with the inbox.
///
/// # Errors
/// When the system refuses a thread.
pub fn start_workers(
    threads: &Threads,
    desk: &Arc<Desk>,
    entries: Receiver<Entry>,
    out: &Outgoing,
    default_type: DefaultType,
    token: &StopToken,
    heartbeat: Heartbeat,
) -> io::Result<Vec<Task<()>>> {
    let mut tasks = Vec::new();
    let mut inboxes = Vec::new();
    for number in 1..=WORKERS {
        let (inbox, work) = bounded::<Job>(INBOX);
        let (desk, out) = (Arc::clone(desk), out.clone());
        tasks.push(threads.spawn(&format!("desk-{number}"), move || work.iter().for_each(|job| job.run(&desk, &out)))?);
        inboxes.push(inbox);
    }
    let (token, out, beat) = (token.clone(), out.clone(), heartbeat);
    tasks.push(threads.spawn("desk", move || dispatch(&entries, &inboxes, &out, default_type, &token, &beat))?);
    Ok(tasks)
}

/// One entry, read.
struct Job {
    id: String,
    taken: Timestamp,
    again: bool,
    command: Result<DeskCommand, crate::contract::BadCommand>,
}

impl Job {
    fn run(self, desk: &Desk, out: &Outgoing) {
        let started = Instant::now();
        let (answer, reply_to) = match self.command {
            Ok(command) => {
                let reply_to = command.reply_to.clone();
                (desk.handle(command, self.taken, self.again), reply_to)
            }
            Err(bad) => {
                out.stats.malformed.add(1);
                (desk.refuse(&bad), bad.reply_to)
            }
        };
        out.stats.count(&answer);
        out.answer(&answer, reply_to);
        // Acknowledged only now: a crash before this line brings the entry again.
        let _ = out.done.send(self.id);
        out.stats.handling.observe(started.elapsed());
    }
}

impl Outgoing {
    fn answer(&self, answer: &Answer, reply_to: Option<String>) {
        use super::answer::Verdict;
        let json = answer.to_json();
        // What was refused is there for everybody to see, as refused registrations are.
        let public = (answer.result != Verdict::Accepted).then(|| REPLIES.to_owned());
        for channel in reply_to.into_iter().chain(public) {
            let message = ControlCommand::Publish { channel, payload: json.clone().into_bytes() };
            if self.control.try_send(message).is_err() {
                self.stats.answers_dropped.add(1);
            }
        }
    }
}

impl DeskStats {
    fn count(&self, answer: &Answer) {
        use super::answer::Verdict;
        self.commands.add(1);
        match answer.result {
            Verdict::Accepted => self.accepted.add(1),
            Verdict::Rejected => self.rejected.add(1),
            Verdict::Denied => self.denied.add(1),
            Verdict::Unknown => self.unknown.add(1),
        }
    }
}

fn dispatch(entries: &Receiver<Entry>, workers: &[Sender<Job>], out: &Outgoing, default_type: DefaultType, token: &StopToken, beat: &Heartbeat) {
    let seeds = foldhash::fast::FixedState::default();
    loop {
        beat.beat();
        let entry = select! {
            recv(entries) -> entry => match entry {
                Ok(entry) => entry,
                Err(_) => return,
            },
            recv(token.channel()) -> _ => return,
            default(std::time::Duration::from_secs(1)) => continue,
        };
        let command = parse_command(entry.payload.as_deref().unwrap_or_default(), default_type);
        let mut hash = seeds.build_hasher();
        hash.write(key_of(&command).as_bytes());
        let worker = &workers[usize::try_from(hash.finish() % WORKERS as u64).unwrap_or(0)];
        let taken = Timestamp::from_nanos(entry.taken_ms().unwrap_or(0).saturating_mul(1_000_000));
        if worker.send(Job { id: entry.id.clone(), taken, again: entry.again, command }).is_err() {
            let _ = out.done.send(entry.id);
        }
    }
}

/// What has to stay in order: the commands of one order.
fn key_of(command: &Result<DeskCommand, crate::contract::BadCommand>) -> String {
    let Ok(command) = command else { return String::new() };
    match &command.wish {
        Wish::Order(Command::Place(request)) => request.client_order_id.to_string(),
        Wish::Order(Command::ClosePosition { client_order_id, .. }) => client_order_id.to_string(),
        Wish::Order(Command::Cancel(key) | Command::Modify { order: key, .. }) => match key {
            OrderKey::Client(id) => id.to_string(),
            OrderKey::Venue(id) => id.to_string(),
        },
        _ => String::new(),
    }
}
