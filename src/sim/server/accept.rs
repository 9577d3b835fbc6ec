//! Accepting connections on one address, and outliving them.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::{HOUR, JOIN, Shared, connection};
use crate::net::{Interest, wait_ready};
use crate::runtime::{Stop, StopKind, Task, ThreadOutcome};

/// Connections served at a time by one address; another is hung up on.
const MAX_CONNECTIONS: usize = 256;

/// One connection as it was accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub id: u64,
    pub tcp: TcpStream,
    pub from: SocketAddr,
    pub tls: Option<Arc<ServerConfig>>,
}

pub(super) fn run(shared: &Arc<Shared>, listener: &TcpListener, tls: Option<&Arc<ServerConfig>>) {
    let mut serving: Vec<(Stop, Task<()>)> = Vec::new();
    while shared.token.is_running() {
        reap(shared, &mut serving);
        match listener.accept() {
            Ok((tcp, from)) => {
                shared.change(|hub| hub.accepted(Instant::now()));
                let ready = tcp.set_nonblocking(true).and_then(|()| tcp.set_nodelay(true));
                if ready.is_err() || serving.len() >= MAX_CONNECTIONS {
                    log::warn!("simulated exchange: hung up on a client, {} are connected", serving.len());
                    continue;
                }
                let id = shared.next_connection.fetch_add(1, Ordering::Relaxed);
                match serve(shared, Accepted { id, tcp, from, tls: tls.cloned() }) {
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
    serving.iter().for_each(|(stop, _)| stop.stop(StopKind::Shutdown));
    let deadline = Instant::now() + JOIN / 2;
    for (_, task) in serving {
        if let Err(failure) = task.join_until(deadline) {
            log::warn!("simulated exchange: {failure}");
        }
    }
}

fn serve(shared: &Arc<Shared>, accepted: Accepted) -> io::Result<(Stop, Task<()>)> {
    let stop = Stop::new()?;
    let (own, wake) = (Arc::clone(shared), stop.clone());
    let task = shared.threads.spawn(&format!("sim-{}", accepted.id), move || connection::serve(&own, &wake, accepted))?;
    Ok((stop, task))
}

/// Forgets connections that have ended, and says so when one panicked.
fn reap(shared: &Shared, serving: &mut Vec<(Stop, Task<()>)>) {
    for exit in shared.exits.try_iter() {
        if let ThreadOutcome::Panicked(text) = exit.outcome {
            log::error!("simulated exchange: thread {} panicked: {text}", exit.name);
        }
    }
    serving.retain(|(_, task)| matches!(task.ended().try_recv(), Err(crossbeam_channel::TryRecvError::Empty)));
}
