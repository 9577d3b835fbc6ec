//! A producer: drives one session over one socket, on a thread of its own, through any number of connections.
//!
//! [`Producer::run`] ends at a stop and returns the producer itself. After a stop *for restart* it comes back with its
//! live, authenticated connection and everything unacknowledged and unsent, and whoever runs it next goes on where it
//! was. Must not know what the events mean or where they go.

mod connection;
mod over;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::{Error, Message};

use self::connection::Connection;
use self::over::{Over, open_failure, read_failure};
use super::stream::{Refused, StreamBoard};
use crate::exchanges::{Advice, Effects, Incoming, Notice, Outgoing, Session, SessionEnd};
use crate::net::{Dialer, Endpoint, Interest, open_websocket, wait_readable, wait_ready};
use crate::runtime::{Backoff, StopKind, StopToken, StreamState, Waited, wall_now};

const UPGRADE_WITHIN: Duration = Duration::from_secs(5);
/// How long a polite goodbye may hold up a shutdown.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);
/// A refused stream is looked at again, in case the operator mended it at the venue.
const REFUSED_RECHECK: Duration = Duration::from_secs(600);
/// The longest sleep, so that a clock that went wrong cannot put a producer to sleep for good.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// What is newly wanted waits no longer, however much there is to read.
const WANTS_WITHIN: Duration = Duration::from_millis(50);
/// What is read in one go before it is handed on: frames, and events once they are that many.
const READ_BURST: usize = 256;
const EVENT_BURST: usize = 256;

/// Where a producer's events go.
pub trait Sink<E>: Send + 'static {
    /// Takes all events out of the vector. May wait for room, but not beyond a stop. Nothing among them had come before
    /// `since`: then the socket was read empty, or woke us after that.
    fn deliver(&mut self, events: &mut Vec<E>, since: Instant, token: &StopToken);

    /// The venue sends: nothing is missed from here on.
    fn streaming(&mut self) {}

    /// The connection is gone: what was known may be stale.
    fn lost(&mut self) {}

    /// Something to do before dialling, such as learning who we are; an end keeps the producer from dialling.
    fn prepare(&mut self, _token: &StopToken) -> Result<(), SessionEnd> {
        Ok(())
    }
}

/// Where a stream is and what its upgrade carries.
#[derive(Debug, Clone)]
pub struct StreamPlace {
    pub endpoint: Endpoint,
    pub headers: &'static [(&'static str, &'static str)],
}

/// One stream's session, connection and manners.
pub struct Producer<S: Session, K: Sink<S::Event>> {
    place: StreamPlace,
    board: Arc<StreamBoard>,
    dialer: Arc<Dialer>,
    session: S,
    sink: K,
    backoff: Backoff,
    effects: Effects<S::Event>,
    connection: Option<Connection>,
    retry_at: Instant,
}

impl<S: Session, K: Sink<S::Event>> Producer<S, K> {
    pub fn new(place: StreamPlace, board: Arc<StreamBoard>, dialer: Arc<Dialer>, session: S, sink: K) -> Producer<S, K> {
        let backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30), 2.0, Duration::from_secs(60), fastrand::u64(..));
        Producer { place, board, dialer, session, sink, backoff, effects: Effects::default(), connection: None, retry_at: Instant::now() }
    }

    /// Streams until stopped.
    pub fn run(mut self, token: &StopToken) -> Self {
        while token.is_running() {
            if self.connection.is_none() {
                if self.wait_to_retry(token) == Waited::Stopped {
                    break;
                }
                if let Err(over) = self.connect(token) {
                    self.connection_over(over);
                    continue;
                }
            }
            if let Err(over) = self.serve(token) {
                self.connection_over(over);
            }
        }
        if token.kind() == StopKind::Shutdown {
            self.close(token);
        }
        self
    }

    fn wait_to_retry(&self, token: &StopToken) -> Waited {
        if token.is_running() { token.wait_until(self.retry_at) } else { Waited::Stopped }
    }

    fn connect(&mut self, token: &StopToken) -> Result<(), Over> {
        self.board.set_state(StreamState::Connecting, None);
        self.sink.prepare(token).map_err(Over::Ended)?;
        if !token.is_running() {
            return Err(Over::Stopped);
        }
        self.board.stats.attempts.add(1);
        let socket = open_websocket(&self.dialer, &self.place.endpoint, self.place.headers, UPGRADE_WITHIN, token).map_err(open_failure)?;
        let now = Instant::now();
        self.board.stats.connects.add(1);
        self.connection = Some(Connection::new(socket, now));
        self.take_wants(now);
        self.session.opened(now, &mut self.effects);
        self.act(token)
    }

    /// Reads, hands on and writes until the connection ends or we are stopped.
    fn serve(&mut self, token: &StopToken) -> Result<(), Over> {
        // The wants of a restart cycle wait here for the successor.
        self.take_wants(Instant::now());
        self.act(token)?;
        self.board.cycle_ended(Instant::now());
        let mut wants_taken = Instant::now();
        loop {
            if !token.is_running() {
                return Err(Over::Stopped);
            }
            let now = Instant::now();
            let more = self.read(now, token)?;
            self.connection.as_mut().map_or(Ok(()), |connection| connection.keep_alive(now))?;
            if self.session.deadline().is_some_and(|deadline| deadline <= now) {
                self.session.timed_out(now, &mut self.effects);
                self.act(token)?;
            }
            if self.session.state() == StreamState::Streaming {
                self.backoff.succeeded(now);
            }
            let woken = !more && self.sleep(now, token)?;
            // Under a flood there is no sleep to be woken from.
            if woken || now.saturating_duration_since(wants_taken) >= WANTS_WITHIN {
                wants_taken = Instant::now();
                self.take_wants(wants_taken);
                self.act(token)?;
            }
        }
    }

    /// Reads what there is, up to a burst; says whether there may be more.
    fn read(&mut self, now: Instant, token: &StopToken) -> Result<bool, Over> {
        let (mut more, mut frames, mut heard) = (true, 0, 0);
        while frames < READ_BURST && self.effects.events.len() < EVENT_BURST {
            let Some(connection) = self.connection.as_mut() else { return Err(Over::Stopped) };
            let message = match connection.socket.read() {
                Ok(message) => message,
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                Err(error) => {
                    // What came before the end still counts.
                    self.board.heard(heard, wall_now());
                    let _ = self.act(token);
                    return Err(Over::reconnect(read_failure(&error)));
                }
            };
            connection.last_heard = now;
            frames += 1;
            heard += u64::from(matches!(message, Message::Text(_) | Message::Binary(_)));
            match &message {
                Message::Text(text) => self.session.received(now, Incoming::Text(text), &mut self.effects),
                Message::Binary(bytes) => self.session.received(now, Incoming::Binary(bytes), &mut self.effects),
                Message::Pong(_) => connection.pinged = None,
                // tungstenite has queued the answer; it goes out with the next flush.
                Message::Ping(_) => connection.unsent_since = connection.unsent_since.or(Some(now)),
                Message::Close(frame) => {
                    let cause = frame
                        .as_ref()
                        .map_or_else(|| "the venue closed the connection".to_owned(), |f| format!("the venue closed the connection with code {}", f.code));
                    self.board.heard(heard, wall_now());
                    let _ = self.act(token);
                    return Err(Over::reconnect(cause));
                }
                Message::Frame(_) => {}
            }
            if self.effects.end.is_some() {
                break;
            }
        }
        self.board.heard(heard, wall_now());
        self.act(token)?;
        Ok(more)
    }

    /// Carries out what the session asked for.
    fn act(&mut self, token: &StopToken) -> Result<(), Over> {
        let stats = &self.board.stats;
        for (counter, count) in
            [(&stats.malformed, &mut self.effects.malformed), (&stats.unknown, &mut self.effects.unknown), (&stats.unwanted, &mut self.effects.unwanted)]
        {
            if *count > 0 {
                counter.add(std::mem::take(count));
            }
        }
        if !self.effects.events.is_empty() {
            stats.events.add(self.effects.events.len() as u64);
            let since = self.connection.as_ref().map_or_else(Instant::now, |connection| connection.reading_since);
            self.sink.deliver(&mut self.effects.events, since, token);
        }
        for notice in self.effects.notices.drain(..) {
            match notice {
                Notice::StateChanged(state) => {
                    log::info!("{state}");
                    self.board.set_state(state, None);
                    if state == StreamState::Streaming {
                        self.sink.streaming();
                    }
                }
                Notice::SymbolsRefused { symbols, reason } => {
                    log::warn!("{} symbols refused: {reason}", symbols.len());
                    self.board.put_refused(Refused { symbols, reason });
                }
                Notice::Oddity(text) => log::warn!("{text}"),
            }
        }
        if let Some(connection) = self.connection.as_mut() {
            for message in self.effects.send.drain(..) {
                let message = match message {
                    Outgoing::Text(text) => Message::text(text),
                    Outgoing::Binary(bytes) => Message::binary(bytes),
                };
                connection.send(message)?;
            }
            connection.flush()?;
        }
        match self.effects.end.take() {
            Some(end) => Err(Over::Ended(end)),
            None => Ok(()),
        }
    }

    /// Waits for the socket, a wake-up or the next deadline; true after a wake-up.
    fn sleep(&mut self, now: Instant, token: &StopToken) -> Result<bool, Over> {
        let Some(connection) = self.connection.as_mut() else { return Ok(false) };
        let session = self.session.deadline();
        let deadline = [Some(now + LONGEST_SLEEP), session, Some(connection.next_deadline())].into_iter().flatten().min().unwrap_or(now + LONGEST_SLEEP);
        let interest = if connection.unsent_since.is_some() { Interest::ReadWrite } else { Interest::Read };
        let ready = wait_ready(connection.socket.get_ref(), interest, token, deadline)
            .map_err(|error| Over::reconnect(format!("cannot wait for the socket: {error}")))?;
        connection.reading_since = Instant::now();
        if ready.woken {
            token.clear_wake();
        }
        Ok(ready.woken && token.is_running())
    }

    fn take_wants(&mut self, now: Instant) {
        let wants = self.board.take_wants();
        if !wants.is_empty() {
            self.session.want(now, &wants, &mut self.effects);
        }
    }

    fn connection_over(&mut self, over: Over) {
        let end = match over {
            Over::Stopped => return,
            Over::Ended(end) => end,
        };
        let now = Instant::now();
        let was_open = self.connection.take().map(|connection| connection.socket.get_ref().get_ref().shutdown()).is_some();
        self.effects.send.clear();
        if was_open {
            self.board.stats.losses.add(1);
            self.session.lost();
            self.sink.lost();
        }
        let delay = match end.advice {
            Advice::Reconnect => self.backoff.failed(now),
            // What the venue asked for is a lower bound; the jitter must not undercut it.
            Advice::ReconnectPatiently { first, cap } => self.backoff.failed_patiently(now, first, cap).max(first),
            Advice::Refuse => REFUSED_RECHECK,
        };
        self.retry_at = now + delay;
        if end.advice == Advice::Refuse {
            log::error!("refused: {}; looked at again in {} minutes", end.cause, REFUSED_RECHECK.as_secs() / 60);
            self.board.set_state(StreamState::Refused, Some(end.cause));
        } else {
            log::warn!("{}; next attempt in {:.1} s", end.cause, delay.as_secs_f64());
            self.board.set_state(StreamState::BackingOff, Some(end.cause));
        }
    }

    fn close(&mut self, token: &StopToken) {
        self.board.set_state(StreamState::Stopped, None);
        let Some(mut connection) = self.connection.take() else { return };
        let deadline = Instant::now() + CLOSE_WITHIN;
        let _ = connection.socket.close(None);
        // The stop has woken the token for good, so this waits on the socket alone.
        while Instant::now() < deadline {
            match connection.socket.read() {
                Ok(Message::Text(text)) => self.session.received(Instant::now(), Incoming::Text(&text), &mut self.effects),
                Ok(Message::Binary(bytes)) => self.session.received(Instant::now(), Incoming::Binary(&bytes), &mut self.effects),
                Ok(Message::Close(_)) => break,
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if !wait_readable(connection.socket.get_ref(), deadline) {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        if !self.effects.events.is_empty() {
            self.sink.deliver(&mut self.effects.events, connection.reading_since, token);
        }
        connection.socket.get_ref().get_ref().shutdown();
    }
}
