//! The pages for machines that watch us: `/livez`, `/readyz`, `/metrics`, `/status`.
//!
//! One thread polls all sockets, so neither a slow client nor ten thousand of them cost more than it. Every connection
//! carries one request and ends within its deadline.

mod request;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::request::{Door, MAX_HEAD};
use crate::net::{Interest, Readiness, wait_any};
use crate::runtime::{JoinFailure, StopToken, Task, Threads};

const MAX_CONNECTIONS: usize = 32;
/// From the accept to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a client may take to close after its answer.
const LINGER: Duration = Duration::from_secs(1);
/// What a client may go on sending after its answer.
const MAX_DRAINED: usize = 64 * 1024;
/// Without file descriptors the next accept fails as well.
const PAUSE_AFTER_A_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// What the pages say; called on the server's thread, so answers come from memory.
pub trait Pages: Send + Sync {
    fn live(&self) -> bool;
    /// # Errors
    /// Why we cannot serve now.
    fn ready(&self) -> Result<(), String>;
    fn metrics(&self) -> String;
    fn status_json(&self) -> String;
}

/// The running server; it ends with its stop token.
pub struct HttpServer {
    pub local_addr: SocketAddr,
    task: Task<()>,
}

impl HttpServer {
    /// # Errors
    /// When the port is taken or no thread is left: the service can do without the pages.
    pub fn start(address: SocketAddr, pages: Arc<dyn Pages>, threads: &Threads, token: StopToken) -> io::Result<HttpServer> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let local_addr = listener.local_addr()?;
        let task = threads.spawn("http", move || serve(&listener, local_addr, pages.as_ref(), &token))?;
        Ok(HttpServer { local_addr, task })
    }

    /// # Errors
    /// When the thread panicked, or is still at work.
    pub fn join_within(self, patience: Duration) -> Result<(), JoinFailure> {
        self.task.join_within(patience)
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

struct Connection {
    stream: TcpStream,
    door: Door,
    deadline: Instant,
    phase: Phase,
}

enum Phase {
    Reading(Vec<u8>),
    Writing {
        answer: Vec<u8>,
        sent: usize,
    },
    /// The answer is out; closing with unread input would reset the connection under it.
    Draining {
        taken: usize,
    },
}

fn serve(listener: &TcpListener, address: SocketAddr, pages: &dyn Pages, token: &StopToken) {
    let mut connections: VecDeque<Connection> = VecDeque::new();
    let mut accept_from = Instant::now();
    while token.is_running() {
        let now = Instant::now();
        connections.retain(|connection| connection.deadline > now);
        let accepting = now >= accept_from;
        let mut deadline = connections.iter().map(|c| c.deadline).min().unwrap_or(now + DEADLINE);
        let mut sockets: Vec<_> = connections.iter().map(|c| (c.stream.as_fd(), c.interest())).collect();
        if accepting {
            sockets.push((listener.as_fd(), Interest::Read));
        } else {
            deadline = deadline.min(accept_from);
        }
        let ready = match wait_any(&sockets, token, deadline) {
            Ok(ready) => ready,
            Err(error) => {
                log::error!("the HTTP pages are gone until the next start: waiting for a request failed: {error}");
                return;
            }
        };
        token.clear_wake();
        let waiting = accepting && ready.last().is_some_and(|r| r.readable);
        let mut states = ready.into_iter();
        connections.retain_mut(|connection| states.next().is_some_and(|state| connection.advance(state, pages)));
        if waiting && accept(listener, address, &mut connections).is_err() {
            accept_from = Instant::now() + PAUSE_AFTER_A_FAILED_ACCEPT;
        }
    }
}

/// Takes in who waits. In a full house the oldest guest goes: whoever means well is served within milliseconds.
fn accept(listener: &TcpListener, address: SocketAddr, connections: &mut VecDeque<Connection>) -> io::Result<()> {
    for _ in 0..MAX_CONNECTIONS {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // The client hung up before we looked.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        let Ok(local) = stream.set_nonblocking(true).and_then(|()| stream.local_addr()) else { continue };
        let door = Door { listener: address, local: local.ip() };
        if connections.len() == MAX_CONNECTIONS {
            connections.pop_front();
        }
        connections.push_back(Connection { stream, door, deadline: Instant::now() + DEADLINE, phase: Phase::Reading(Vec::new()) });
    }
    Ok(())
}

impl Connection {
    fn interest(&self) -> Interest {
        if matches!(self.phase, Phase::Writing { .. }) { Interest::Write } else { Interest::Read }
    }

    /// Goes as far as the socket lets it; false when the connection is over.
    fn advance(&mut self, state: Readiness, pages: &dyn Pages) -> bool {
        if !state.readable && !state.writable {
            return true;
        }
        loop {
            match self.step(pages) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    fn step(&mut self, pages: &dyn Pages) -> io::Result<bool> {
        match &mut self.phase {
            Phase::Reading(head) => {
                let mut chunk = [0; 2_048];
                let room = chunk.len().min(MAX_HEAD + 1 - head.len());
                let read = self.stream.read(&mut chunk[..room])?;
                head.extend_from_slice(&chunk[..read]);
                if let Some(answer) = request::answer(head, self.door, pages) {
                    self.phase = Phase::Writing { answer, sent: 0 };
                    return Ok(true);
                }
                Ok(read > 0)
            }
            Phase::Writing { answer, sent } => {
                *sent += self.stream.write(&answer[*sent..])?;
                if *sent == answer.len() {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.deadline = self.deadline.min(Instant::now() + LINGER);
                    self.phase = Phase::Draining { taken: 0 };
                }
                Ok(true)
            }
            Phase::Draining { taken } => {
                let read = self.stream.read(&mut [0; 2_048])?;
                *taken += read;
                Ok(read > 0 && *taken < MAX_DRAINED)
            }
        }
    }
}

#[cfg(test)]
mod tests;
