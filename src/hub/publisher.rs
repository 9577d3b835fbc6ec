//! The update publisher: every producer thread, started and stopped together or one at a time.
//!
//! Registering a ticker means: stop the producer concerned and join it, change its list, start it again. The join gives
//! the producer back with its live session, so the venue and everybody else notice nothing but the difference.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;

use super::producer::{Producer, Sink};
use super::stream::StreamBoard;
use crate::exchanges::{Session, SymbolWant};
use crate::runtime::{JoinFailure, Stop, StopKind, StopToken, StreamState, Task, ThreadExit, ThreadOutcome, Threads};

/// A producer hands on what it has read before it ends, and the handler that takes it never blocks.
const RESTART_JOIN: Duration = Duration::from_secs(10);
/// After a panic the producer starts anew, not before this.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// A producer of whatever session and sink.
pub trait AnyProducer: Send {
    fn run(self: Box<Self>, token: &StopToken) -> Box<dyn AnyProducer>;
}

impl<S: Session, K: Sink<S::Event>> AnyProducer for Producer<S, K> {
    fn run(self: Box<Self>, token: &StopToken) -> Box<dyn AnyProducer> {
        Box::new(Producer::run(*self, token))
    }
}

/// Makes a fresh producer, for the start and after a panic.
pub type MakeProducer = Box<dyn Fn() -> Box<dyn AnyProducer> + Send>;
/// Everything that a stream should want, for a fresh producer.
pub type AllWants = BTreeMap<Arc<str>, Vec<SymbolWant>>;

/// Why the service cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    #[error("cannot start a producer thread: {0}; raise the limit of threads")]
    Spawn(#[from] std::io::Error),
    #[error("{0}; two connections would follow, so the process must end")]
    Stuck(JoinFailure),
}

struct Stream {
    board: Arc<StreamBoard>,
    make: MakeProducer,
    /// Neither running nor parked: not started yet, or panicked.
    running: Option<(Stop, Task<Box<dyn AnyProducer>>)>,
    parked: Option<Box<dyn AnyProducer>>,
    panicked_at: Option<Instant>,
}

/// Owns the producers; nobody else joins them.
pub struct UpdatePublisher {
    threads: Threads,
    streams: Vec<Stream>,
    running: bool,
}

impl UpdatePublisher {
    pub fn new(threads: Threads) -> UpdatePublisher {
        UpdatePublisher { threads, streams: Vec::new(), running: false }
    }

    /// Adds a stream; it runs from the next start on, or at once when the publisher is running.
    pub fn add_stream(&mut self, board: Arc<StreamBoard>, make: MakeProducer) -> Result<(), PublisherError> {
        self.streams.push(Stream { board, make, running: None, parked: None, panicked_at: None });
        if self.running {
            let last = self.streams.len() - 1;
            start(&self.threads, &mut self.streams[last])?;
        }
        Ok(())
    }

    pub fn boards(&self) -> impl Iterator<Item = &Arc<StreamBoard>> {
        self.streams.iter().map(|stream| &stream.board)
    }

    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Starts every producer that is not running, each on its parked session if it has one. Running: says so, does nothing.
    pub fn start_update_publisher(&mut self) -> Result<(), PublisherError> {
        if self.running {
            log::warn!("the update publisher is running: nothing to start");
            return Ok(());
        }
        for stream in &mut self.streams {
            start(&self.threads, stream)?;
        }
        self.running = true;
        Ok(())
    }

    /// Stops every producer and joins it within `patience` in all. Stopped: says so, does nothing.
    pub fn stop_update_publisher(&mut self, kind: StopKind, patience: Duration) -> Result<(), PublisherError> {
        if !self.running {
            log::warn!("the update publisher is stopped: nothing to stop");
            return Ok(());
        }
        self.running = false;
        let deadline = Instant::now() + patience;
        self.streams.iter().filter_map(|stream| stream.running.as_ref()).for_each(|(stop, _)| stop.stop(kind));
        let mut stuck = None;
        for stream in &mut self.streams {
            if let Err(error) = join(stream, deadline) {
                stuck = Some(error);
            }
        }
        stuck.map_or(Ok(()), Err)
    }

    /// The list of one stream has changed. A live producer is stopped, joined and respawned on its session, and sends the
    /// difference; one that is still on its way reads the list when it subscribes.
    pub fn cycle(&mut self, name: &str) -> Result<(), PublisherError> {
        let Some(stream) = self.streams.iter_mut().find(|stream| &*stream.board.name == name) else { return Ok(()) };
        let Some((stop, _)) = stream.running.as_ref() else { return Ok(()) };
        if !stream.board.state().is_live() {
            // Should it have come alive this moment, the nudge makes it look at the list all the same.
            stop.nudge();
            return Ok(());
        }
        let now = Instant::now();
        stream.board.cycle_started(now);
        stop.stop(StopKind::Restart);
        join(stream, now + RESTART_JOIN)?;
        start(&self.threads, stream)
    }

    /// A thread has ended. After a panic its stream gets a fresh producer, which wants everything anew.
    pub fn thread_exited(&mut self, exit: &ThreadExit) -> bool {
        let ThreadOutcome::Panicked(text) = &exit.outcome else { return true };
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.board.name == exit.name) else { return false };
        log::error!("producer {} panicked: {text}; it starts anew in {PANIC_PAUSE:?}", exit.name);
        // A join may have met the panic before this report, and a successor may run already.
        if stream.running.as_ref().is_some_and(|(_, task)| matches!(task.ended().try_recv(), Err(TryRecvError::Disconnected))) {
            stream.running = None;
            stream.panicked_at = Some(Instant::now());
        }
        stream.board.set_state(StreamState::BackingOff, Some("a panic, which is a fault of this program".to_owned()));
        true
    }

    /// Starts those whose pause after a panic is over. `all_wants` is asked only if there is one.
    pub fn revive(&mut self, now: Instant, all_wants: impl FnOnce() -> AllWants) -> Result<(), PublisherError> {
        let due = |stream: &Stream| stream.panicked_at.is_some_and(|at| now.saturating_duration_since(at) >= PANIC_PAUSE);
        if !self.running || !self.streams.iter().any(due) {
            return Ok(());
        }
        let mut wants = all_wants();
        for stream in self.streams.iter_mut().filter(|stream| due(stream)) {
            stream.panicked_at = None;
            stream.board.put_wants(wants.remove(&stream.board.name).unwrap_or_default());
            start(&self.threads, stream)?;
        }
        Ok(())
    }
}

fn start(threads: &Threads, stream: &mut Stream) -> Result<(), PublisherError> {
    if stream.running.is_some() || stream.panicked_at.is_some() {
        return Ok(());
    }
    let stop = Stop::new()?;
    let producer = stream.parked.take().unwrap_or_else(|| (stream.make)());
    let token = stop.token();
    let task = threads.spawn(&stream.board.name, move || producer.run(&token))?;
    stream.running = Some((stop, task));
    Ok(())
}

fn join(stream: &mut Stream, deadline: Instant) -> Result<(), PublisherError> {
    let Some((_, task)) = stream.running.take() else { return Ok(()) };
    match task.join_until(deadline) {
        Ok(producer) => stream.parked = Some(producer),
        Err(JoinFailure::Panicked(_)) => stream.panicked_at = Some(Instant::now()),
        Err(stuck) => return Err(PublisherError::Stuck(stuck)),
    }
    Ok(())
}

impl std::fmt::Debug for UpdatePublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpdatePublisher").field("streams", &self.streams.len()).field("running", &self.running).finish_non_exhaustive()
    }
}
