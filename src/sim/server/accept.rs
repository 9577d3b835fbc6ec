//! Accepting connections on one address, and outliving them.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::ServerConfig;

use super::{HOUR, JOIN, Shared, connection};
use crate::net::{Interest, wait_ready};
use crate::runtime::{Stop, StopKind, Task, ThreadOutcome};

/// Connections served at a time by one address. For another one the longest idle gives way; when none is idle, it is
/// hung up on.
const MAX_CONNECTIONS: usize = 256;

/// One connection as it was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub id: u64,
    pub tcp: TcpStream,
    pub from: SocketAddr,
    pub tls: Option<Arc<ServerConfig>>,
    pub idle: Arc<Idle>,
}

/// Since when a connection waits for a request to begin.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Option<Instant>>);

impl Idle {
    /// A connection that is idle already stays so since then.
    pub(super) fn set(&self, idle: bool) {
        let mut since = self.0.lock();
        *since = if idle { since.or_else(|| Some(Instant::now())) } else { None };
    }
}

/// A connection as the acceptor knows it.
struct Serving {
    stop: Stop,
    task: Task<()>,
    idle: Arc<Idle>,
    /// It has been asked to make room.
    leaving: bool,
}

pub(super) fn run(shared: &Arc<Shared>, listener: &TcpListener, tls: Option<&Arc<ServerConfig>>) {
    let mut serving: Vec<Serving> = Vec::new();
    while shared.token.is_running() {
        reap(shared, &mut serving);
        match listener.accept() {
            Ok((tcp, from)) => {
                shared.change(|hub| hub.accepted(Instant::now()));
                let ready = tcp.set_nonblocking(true).and_then(|()| tcp.set_nodelay(true));
                if ready.is_err() || !make_room(&mut serving) {
                    log::warn!("simulated exchange: hung up on a client, {} are connected", serving.len());
                    continue;
                }
                let id = shared.next_connection.fetch_add(1, Ordering::Relaxed);
                match serve(shared, Accepted { id, tcp, from, tls: tls.cloned(), idle: Arc::default() }) {
                    Ok(connection) => serving.push(connection),
                    Err(error) => log::warn!("simulated exchange: cannot serve a client: {error}"),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(error) = wait_ready(listener, Interest::Read, &shared.token, Instant::now() + HOUR) {
                    log::error!("simulated exchange: cannot wait for clients: {error}");
                    break;
                }
            }
            Err(error) => {
                log::warn!("simulated exchange: cannot accept a client: {error}");
                shared.token.wait(Duration::from_millis(100));
            }
        }
    }
    serving.iter().for_each(|connection| connection.stop.stop(StopKind::Shutdown));
    let deadline = Instant::now() + JOIN / 2;
    for connection in serving {
        if let Err(failure) = connection.task.join_until(deadline) {
            log::warn!("simulated exchange: {failure}");
        }
    }
}

/// Whether there is room for another connection, after one that is idle has given way if need be.
fn make_room(serving: &mut [Serving]) -> bool {
    if serving.iter().filter(|connection| !connection.leaving).count() < MAX_CONNECTIONS {
        return true;
    }
    let idle = serving.iter_mut().filter(|connection| !connection.leaving).filter_map(|connection| {
        let since = (*connection.idle.0.lock())?;
        Some((since, connection))
    });
    let Some((_, longest)) = idle.min_by_key(|(since, _)| *since) else { return false };
    longest.leaving = true;
    longest.stop.stop(StopKind::Shutdown);
    true
}

fn serve(shared: &Arc<Shared>, accepted: Accepted) -> io::Result<Serving> {
    let (stop, idle) = (Stop::new()?, Arc::clone(&accepted.idle));
    let (own, wake) = (Arc::clone(shared), stop.clone());
    let task = shared.threads.spawn(&format!("sim-{}", accepted.id), move || connection::serve(&own, &wake, accepted))?;
    Ok(Serving { stop, task, idle, leaving: false })
}

/// Forgets connections that have ended, and says so when one panicked.
fn reap(shared: &Shared, serving: &mut Vec<Serving>) {
    for exit in shared.exits.try_iter() {
        if let ThreadOutcome::Panicked(text) = exit.outcome {
            log::error!("simulated exchange: thread {} panicked: {text}", exit.name);
        }
    }
    serving.retain(|connection| matches!(connection.task.ended().try_recv(), Err(crossbeam_channel::TryRecvError::Empty)));
}
