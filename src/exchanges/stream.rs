//! The shape of every streaming session: a pure machine that is told what arrived and says what to send.
//!
//! A session owns no socket, reads no clock and starts no thread; its driver does (`hub/producer`). One session object
//! outlives many connections: [`Session::lost`] makes it forget what the far side knew, [`Session::opened`] starts anew.

use std::time::{Duration, Instant};

use crate::model::{FeedSet, Symbol, SymbolId};
use crate::runtime::StreamState;

/// A WebSocket message from the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// A WebSocket message to the venue. May carry secrets: never log one.
#[derive(Clone, PartialEq, Eq)]
pub enum Outgoing {
    Text(String),
    Binary(Vec<u8>),
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outgoing::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Outgoing::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// What the caller should do about a session's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Dial again after the usual backoff.
    Reconnect,
    /// Dial again, but with delays from `first` to `cap`: the venue asked for patience or still holds our old place.
    ReconnectPatiently { first: Duration, cap: Duration },
    /// No retry can mend it: stop this stream, stay up, tell the operator.
    Refuse,
}

/// The session cannot go on with this connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// What happened, whose fault, what to do; safe to log.
    pub cause: String,
    pub advice: Advice,
}

/// Things worth telling beyond events. Texts are safe to log: bounded, without secrets or control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    StateChanged(StreamState),
    /// The venue will not serve these; the session no longer asks for them.
    SymbolsRefused {
        symbols: Vec<RefusedSymbol>,
        reason: String,
    },
    /// Something unexpected that changes nothing, limited in rate by the session.
    Oddity(String),
}

/// A symbol and those of its feeds that the venue will not serve; what else it has goes on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedSymbol {
    pub symbol: Symbol,
    pub feeds: FeedSet,
}

/// What a session wants done, filled by its calls and emptied by its driver.
#[derive(Debug)]
pub struct Effects<E> {
    pub send: Vec<Outgoing>,
    pub events: Vec<E>,
    pub notices: Vec<Notice>,
    pub end: Option<SessionEnd>,
    /// Messages that could not be read, were of an unknown kind, or of a symbol nobody wants: counted, else ignored.
    pub malformed: u64,
    pub unknown: u64,
    pub unwanted: u64,
}

impl<E> Default for Effects<E> {
    fn default() -> Effects<E> {
        Effects { send: Vec::new(), events: Vec::new(), notices: Vec::new(), end: None, malformed: 0, unknown: 0, unwanted: 0 }
    }
}

/// A symbol and the feeds of it that are wanted from now on; none means that it is wanted no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolWant {
    pub symbol: Symbol,
    pub id: SymbolId,
    pub feeds: FeedSet,
}

/// A sans-I/O streaming session.
pub trait Session: Send + 'static {
    type Event: Send + 'static;

    /// A fresh connection is open and upgraded.
    fn opened(&mut self, now: Instant, out: &mut Effects<Self::Event>);

    /// A message arrived.
    fn received(&mut self, now: Instant, message: Incoming<'_>, out: &mut Effects<Self::Event>);

    /// The deadline given by [`Session::deadline`] has passed.
    fn timed_out(&mut self, now: Instant, out: &mut Effects<Self::Event>);

    /// When the session wants to be called though nothing arrived.
    fn deadline(&self) -> Option<Instant>;

    /// The connection is gone.
    fn lost(&mut self);

    /// Other symbols are wanted: what a live session has to say about it goes out at once, else with the next opening.
    fn want(&mut self, _now: Instant, _changes: &[SymbolWant], _out: &mut Effects<Self::Event>) {}

    fn state(&self) -> StreamState;
}

/// Gives numbers to symbols that arrive without having been asked for by name: the wildcard.
pub trait Names: Send + Sync {
    /// `None` when the text is no symbol or the table is full.
    fn intern(&self, symbol: &str) -> Option<SymbolId>;
}
