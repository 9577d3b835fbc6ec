//! One connection of a producer: what waits to be sent, and whether the venue is still there.
//!
//! Must not know sessions, nor what follows when it is over.

use std::time::{Duration, Instant};

use tungstenite::{Bytes, Error, Message};

use super::over::Over;
use crate::net::Socket;

/// Silence after which we ask whether the venue is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// A peer that takes nothing for so long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// A socket and since when what has not happened on it.
pub(super) struct Connection {
    pub socket: Socket,
    pub last_heard: Instant,
    pub pinged: Option<Instant>,
    /// Since when the socket has not taken everything.
    pub unsent_since: Option<Instant>,
    /// When it last had something to read after it had nothing.
    pub reading_since: Instant,
}

impl Connection {
    pub fn new(socket: Socket, now: Instant) -> Connection {
        Connection { socket, last_heard: now, pinged: None, unsent_since: None, reading_since: now }
    }

    /// Takes a message; what the socket does not take at once waits for the next flush.
    pub fn send(&mut self, message: Message) -> Result<(), Over> {
        match self.socket.write(message) {
            Ok(()) => {}
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Over::reconnect(format!("cannot send: {error}"))),
        }
        self.unsent_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Asks a silent venue whether it is still there, and sends what waits; ends a connection that is dead.
    pub fn keep_alive(&mut self, now: Instant) -> Result<(), Over> {
        if let Some(pinged) = self.pinged {
            if now.saturating_duration_since(pinged) >= PONG_WITHIN {
                return Err(Over::reconnect(format!("no answer to a ping within {PONG_WITHIN:?}: the connection is dead")));
            }
        } else if now.saturating_duration_since(self.last_pinged_or_heard()) >= PING_EVERY {
            self.pinged = Some(now);
            match self.socket.write(Message::Ping(Bytes::new())) {
                Ok(()) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Over::reconnect(format!("cannot send a ping: {error}"))),
            }
            self.unsent_since.get_or_insert(now);
        }
        self.flush()?;
        if self.unsent_since.is_some_and(|since| now.saturating_duration_since(since) >= SEND_WITHIN) {
            return Err(Over::reconnect(format!("the venue took nothing for {SEND_WITHIN:?}")));
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<(), Over> {
        if self.unsent_since.is_none() {
            return Ok(());
        }
        match self.socket.flush() {
            Ok(()) => self.unsent_since = None,
            Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Over::reconnect(format!("cannot send: {error}"))),
        }
        Ok(())
    }

    fn last_pinged_or_heard(&self) -> Instant {
        self.pinged.map_or(self.last_heard, |pinged| pinged.max(self.last_heard))
    }

    pub fn next_deadline(&self) -> Instant {
        let alive = self.pinged.map_or(self.last_heard + PING_EVERY, |pinged| pinged + PONG_WITHIN);
        self.unsent_since.map_or(alive, |since| alive.min(since + SEND_WITHIN))
    }
}
