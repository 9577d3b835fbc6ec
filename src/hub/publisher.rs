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
use crate::contract::StreamType;
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
    /// The venue may be asked for market data: it takes one connection, which might be another broker's.
    market_data: bool,
}

impl UpdatePublisher {
    pub fn new(threads: Threads) -> UpdatePublisher {
        UpdatePublisher { threads, streams: Vec::new(), running: false, market_data: false }
    }

    /// Adds a stream; it runs from the next start on, or at once when the publisher is running and the stream may.
    pub fn add_stream(&mut self, board: Arc<StreamBoard>, make: MakeProducer) -> Result<(), PublisherError> {
        self.streams.push(Stream { board, make, running: None, parked: None, panicked_at: None });
        if self.running {
            self.start_all()?;
        }
        Ok(())
    }

    /// From now on, and until the end, streams of market data run as the others do.
    pub fn let_market_data_run(&mut self) -> Result<(), PublisherError> {
        self.market_data = true;
        if self.running { self.start_all() } else { Ok(()) }
    }

    fn start_all(&mut self) -> Result<(), PublisherError> {
        for stream in self.streams.iter_mut().filter(|stream| self.market_data || stream.board.kind != StreamType::MarketData) {
            start(&self.threads, stream)?;
        }
        Ok(())
    }

    pub fn boards(&self) -> impl Iterator<Item = &Arc<StreamBoard>> {
        self.streams.iter().map(|stream| &stream.board)
    }

    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Starts every producer that is not running and may, each on its parked session if it has one. Running: says so, does
    /// nothing.
    pub fn start_update_publisher(&mut self) -> Result<(), PublisherError> {
        if self.running {
            log::warn!("the update publisher is running: nothing to start");
            return Ok(());
        }
        self.running = true;
        self.start_all()
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

    use super::*;
    use crate::model::{Feed, FeedSet, SymbolId};

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Says what it was given to want, then panics or waits for its stop.
    struct Actor {
        board: Arc<StreamBoard>,
        began: Sender<Vec<SymbolWant>>,
        panics: bool,
    }

    impl AnyProducer for Actor {
        fn run(self: Box<Self>, token: &StopToken) -> Box<dyn AnyProducer> {
            let wants = self.board.take_wants();
            let _ = self.began.send(wants);
            assert!(!self.panics, "on purpose");
            let _ = token.channel().recv();
            self
        }
    }

    struct Stage {
        publisher: UpdatePublisher,
        exits: Receiver<ThreadExit>,
        began: Receiver<Vec<SymbolWant>>,
        made: Arc<AtomicUsize>,
    }

    /// A publisher with one stream, of whose producers the first `panics` panic.
    fn stage(panics: usize) -> Stage {
        let (exits, ended) = bounded(64);
        let (began, begins) = unbounded();
        let made = Arc::new(AtomicUsize::new(0));
        let mut publisher = UpdatePublisher::new(Threads::new(exits));
        publisher.let_market_data_run().unwrap();
        let (board, make) = actor("one", panics, &began, &made);
        publisher.add_stream(board, make).unwrap();
        Stage { publisher, exits: ended, began: begins, made }
    }

    fn actor(name: &str, panics: usize, began: &Sender<Vec<SymbolWant>>, made: &Arc<AtomicUsize>) -> (Arc<StreamBoard>, MakeProducer) {
        let board = StreamBoard::new(name, StreamType::MarketData, bounded(1).0);
        let (shown, began, made) = (Arc::clone(&board), began.clone(), Arc::clone(made));
        let make = move || -> Box<dyn AnyProducer> {
            let number = made.fetch_add(1, Ordering::Relaxed);
            Box::new(Actor { board: Arc::clone(&shown), began: began.clone(), panics: number < panics })
        };
        (board, Box::new(make))
    }

    fn wants() -> AllWants {
        let want = SymbolWant { symbol: "AAPL".parse().unwrap(), id: SymbolId(0), feeds: FeedSet::NONE.with(Feed::Price) };
        BTreeMap::from([("one".into(), vec![want])])
    }

    #[test]
    fn a_producer_that_panics_is_followed_after_a_pause_by_one_that_wants_everything_anew() {
        let mut stage = stage(1);
        stage.publisher.start_update_publisher().unwrap();
        assert!(stage.began.recv_timeout(PATIENCE).unwrap().is_empty());
        assert!(stage.publisher.thread_exited(&stage.exits.recv_timeout(PATIENCE).unwrap()));
        let board = Arc::clone(stage.publisher.boards().next().unwrap());
        assert_eq!(board.state(), StreamState::BackingOff);

        let now = Instant::now();
        stage.publisher.revive(now, || panic!("the pause is not over")).unwrap();
        stage.publisher.start_update_publisher().unwrap();
        stage.publisher.cycle("one").unwrap();
        assert!(stage.began.try_recv().is_err(), "nothing starts within the pause");

        stage.publisher.revive(now + 2 * PANIC_PAUSE, wants).unwrap();
        assert_eq!(stage.began.recv_timeout(PATIENCE).unwrap(), wants()["one"]);
        assert_eq!(stage.made.load(Ordering::Relaxed), 2);
        stage.publisher.stop_update_publisher(StopKind::Shutdown, PATIENCE).unwrap();
    }

    #[test]
    fn a_panic_that_the_join_meets_first_is_followed_by_one_producer_and_not_by_two() {
        let mut stage = stage(1);
        stage.publisher.start_update_publisher().unwrap();
        stage.began.recv_timeout(PATIENCE).unwrap();
        let exit = stage.exits.recv_timeout(PATIENCE).unwrap();
        stage.publisher.stop_update_publisher(StopKind::Restart, PATIENCE).unwrap();
        stage.publisher.start_update_publisher().unwrap();
        assert!(stage.publisher.thread_exited(&exit));
        let later = Instant::now() + 2 * PANIC_PAUSE;
        stage.publisher.revive(later, wants).unwrap();
        stage.publisher.revive(later, wants).unwrap();
        assert_eq!(stage.began.recv_timeout(PATIENCE).unwrap(), wants()["one"]);
        assert_eq!(stage.made.load(Ordering::Relaxed), 2);
        stage.publisher.stop_update_publisher(StopKind::Shutdown, PATIENCE).unwrap();
    }

    #[test]
    fn started_twice_or_stopped_twice_it_stays_as_it_is_and_a_late_stream_starts_at_once() {
        let mut stage = stage(0);
        stage.publisher.stop_update_publisher(StopKind::Shutdown, PATIENCE).unwrap();
        stage.publisher.start_update_publisher().unwrap();
        stage.publisher.start_update_publisher().unwrap();
        stage.began.recv_timeout(PATIENCE).unwrap();
        let (began, late) = unbounded();
        let (board, make) = actor("late", 0, &began, &Arc::default());
        stage.publisher.add_stream(board, make).unwrap();
        late.recv_timeout(PATIENCE).unwrap();
        assert!(stage.publisher.is_running() && stage.began.try_recv().is_err());

        // Parked, the same producer goes on.
        stage.publisher.stop_update_publisher(StopKind::Restart, PATIENCE).unwrap();
        stage.publisher.start_update_publisher().unwrap();
        stage.began.recv_timeout(PATIENCE).unwrap();
        assert_eq!(stage.made.load(Ordering::Relaxed), 1);
        stage.publisher.stop_update_publisher(StopKind::Shutdown, PATIENCE).unwrap();
        stage.publisher.stop_update_publisher(StopKind::Shutdown, PATIENCE).unwrap();
        assert!(!stage.publisher.is_running());
    }

    #[test]
    fn market_data_waits_until_it_may_run_and_the_others_do_not() {
        let mut stage = stage(0);
        stage.publisher = UpdatePublisher::new(Threads::new(bounded(64).0));
        let (told, begins) = unbounded();
        let (began, begun) = unbounded();
        let (prices, make) = actor("prices", 0, &told, &stage.made);
        prices.put_wants(wants().remove("one").unwrap());
        stage.publisher.add_stream(prices, make).unwrap();
        stage.publisher.start_update_publisher().unwrap();
        let (_, make) = actor("orders", 0, &began, &stage.made);
        stage.publisher.add_stream(StreamBoard::new("orders", StreamType::OrderUpdates, bounded(1).0), make).unwrap();
        begun.recv_timeout(PATIENCE).unwrap();
        stage.publisher.cycle("prices").unwrap();
        stage.publisher.revive(Instant::now() + 2 * PANIC_PAUSE, wants).unwrap();
        assert_eq!((stage.made.load(Ordering::Relaxed), begins.try_recv().is_err()), (1, true));

        stage.publisher.let_market_data_run().unwrap();
        assert_eq!(begins.recv_timeout(PATIENCE).unwrap(), wants()["one"], "what was wanted meanwhile");
        stage.publisher.let_market_data_run().unwrap();
        assert_eq!(stage.made.load(Ordering::Relaxed), 2);
        stage.publisher.stop_update_publisher(StopKind::Shutdown, PATIENCE).unwrap();
    }

    #[test]
    fn the_end_of_a_thread_that_is_no_producer_is_somebody_elses() {
        let mut stage = stage(0);
        let exit = |outcome| ThreadExit { name: "desk".into(), outcome };
        assert!(!stage.publisher.thread_exited(&exit(ThreadOutcome::Panicked("bad".to_owned()))));
        assert!(stage.publisher.thread_exited(&exit(ThreadOutcome::Finished)));
    }
}
