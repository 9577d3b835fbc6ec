//! The thread that dials for an outlet, so that its handler never waits for a connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};

use super::error::RedisError;
use super::link::{Connector, Link};
use super::pace::Pacer;
use crate::runtime::{Stop, StopKind, StopToken, Threads, Waited};

/// How long to leave a system alone that refused us a thread.
const RESPAWN_AFTER: Duration = Duration::from_secs(1);

/// How often the sentinels are asked, while a link stands, whether it still leads to the master.
const ASK_SENTINELS_EVERY: Duration = Duration::from_secs(1);

type Dialled = Result<Link, RedisError>;

/// The connection before was lost like this, after so long.
#[derive(Debug)]
struct Loss {
    error: RedisError,
    lasted: Duration,
}

/// The handler's end of the dialling thread. One link is asked for at a time: at the start, and after each loss.
#[derive(Debug)]
pub(super) struct Dialling {
    role: &'static str,
    connector: Arc<Connector>,
    threads: Threads,
    token: StopToken,
    ready: Receiver<()>,
    announce: Sender<()>,
    worker: Option<Worker>,
    respawn_at: Option<Instant>,
}

#[derive(Debug)]
struct Worker {
    stop: Stop,
    /// Each message asks for one link.
    wanted: Sender<Loss>,
    dialled: Receiver<Dialled>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.stop(StopKind::Shutdown);
    }
}

impl Dialling {
    pub(super) fn new(role: &'static str, connector: Arc<Connector>, threads: Threads, token: StopToken) -> Dialling {
        let (announce, ready) = bounded(1);
        let mut dialling = Dialling { role, connector, threads, token, ready, announce, worker: None, respawn_at: None };
        dialling.spawn(Instant::now());
        dialling
    }

    /// Ready when [`Dialling::take`] has something; now and then when it has not.
    pub(super) fn ready(&self) -> &Receiver<()> {
        &self.ready
    }

    /// What the thread has brought: a link, the reason of the last failed attempt, or, while a link stands, why it must be
    /// left. Starts the thread anew if it died.
    pub(super) fn take(&mut self, now: Instant) -> Result<Dialled, TryRecvError> {
        let taken = self.worker.as_ref().map_or(Err(TryRecvError::Disconnected), |worker| worker.dialled.try_recv());
        if matches!(taken, Err(TryRecvError::Disconnected)) && self.token.is_running() && self.respawn_at.is_none_or(|at| now >= at) {
            self.spawn(now);
        }
        taken
    }

    /// The link is lost: another one, please.
    pub(super) fn again(&mut self, error: RedisError, lasted: Duration) {
        if let Some(worker) = &self.worker {
            // Full only if a link is asked for already.
            let _ = worker.wanted.try_send(Loss { error, lasted });
        }
    }

    fn spawn(&mut self, now: Instant) {
        self.respawn_at = Some(now + RESPAWN_AFTER);
        // A stop of its own, for its dialling clears wake-ups that may be meant for the handler.
        let Ok(stop) = Stop::new() else { return };
        let (wanted, wants) = bounded(1);
        let (give, dialled) = bounded(1);
        let (connector, announce, token) = (Arc::clone(&self.connector), self.announce.clone(), stop.token());
        let body = move || dial_links(&connector, &wants, &give, &announce, &token);
        match self.threads.spawn(&format!("dial-{}", self.role), body) {
            Ok(_detached) => {
                let of_process = stop.clone();
                self.token.on_shutdown(move || of_process.stop(StopKind::Shutdown));
                self.worker = Some(Worker { stop, wanted, dialled });
            }
            Err(error) => log::warn!("{}: no thread to dial Redis: {error}; trying again", self.role),
        }
    }
}

fn dial_links(connector: &Connector, wants: &Receiver<Loss>, give: &Sender<Dialled>, announce: &Sender<()>, token: &StopToken) {
    let mut pacer = Pacer::new(fastrand::u64(..));
    loop {
        let link = loop {
            match connector.connect(token) {
                Ok(link) => break link,
                Err(RedisError::Stopped) => return,
                Err(error) => {
                    let delay = pacer.failed(&error);
                    // An older failure that nobody has looked at yet says as much.
                    let _ = give.try_send(Err(error));
                    let _ = announce.try_send(());
                    if token.wait(delay) == Waited::Stopped {
                        return;
                    }
                }
            }
        };
        let place = link.place.clone();
        let given = select! {
            send(give, Ok(link)) -> given => given.is_ok(),
            recv(token.channel()) -> _ => false,
        };
        let _ = announce.try_send(());
        if !given {
            return;
        }
        let loss = loop {
            select! {
                recv(wants) -> loss => match loss {
                    Ok(loss) => break loss,
                    Err(_) => return,
                },
                recv(token.channel()) -> _ => return,
                default(ASK_SENTINELS_EVERY) => {
                    if let Some(moved) = connector.moved_from(&place, token) {
                        let _ = give.try_send(Err(moved));
                        let _ = announce.try_send(());
                    }
                }
            }
        };
        if token.wait(pacer.lost(&loss.error, loss.lasted)) == Waited::Stopped {
            return;
        }
    }
}
