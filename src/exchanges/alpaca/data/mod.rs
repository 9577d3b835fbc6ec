//! The session of a market-data stream: greeting, keys, subscriptions, data.
//!
//! Pure: told what arrived and what time it is, it says what to send. Must not know sockets, threads or who the symbols
//! are wanted by.

mod book;
mod channels;
mod holdings;
mod message;
mod recipients;
mod refusal;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use self::book::{Book, Hands, Lists};
use self::channels::Channels;
pub use self::channels::Market;
use self::message::Kind;
use self::recipients::Recipients;
use self::refusal::Refusal;
use self::verdict::{Verdict, verdict};
use super::notices::{Oddities, clean};
use super::wire::{self, Field, Key, Record, Sink};
use crate::config::Codec;
use crate::exchanges::{Advice, Effects, Incoming, Names, Notice, Session, SessionEnd, SymbolWant};
use crate::model::{Feed, FeedSet, MarketEvent, Symbol, SymbolId};
use crate::runtime::{Secret, StreamState};

const GREETING_WITHIN: Duration = Duration::from_secs(5);
const AUTHENTICATED_WITHIN: Duration = Duration::from_secs(5);
/// Times the keys are sent anew on one connection because the venue says that it does not know us.
const SECOND_AUTHENTICATIONS: u8 = 2;
const MAX_SYMBOL: usize = 32;

/// What a stream is opened with.
#[derive(Debug, Clone)]
pub struct DataSettings {
    pub key_id: Secret,
    pub secret_key: Secret,
    pub codec: Codec,
    pub market: Market,
    /// Feeds wanted of every symbol the venue has.
    pub wildcard: FeedSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No connection, or one that is given up.
    Closed,
    Greeting,
    Authenticating,
    /// The first subscriptions are not all answered.
    Subscribing,
    Streaming,
}

impl Stage {
    fn state(self) -> StreamState {
        match self {
            Stage::Closed | Stage::Greeting => StreamState::Connecting,
            Stage::Authenticating => StreamState::Authenticating,
            Stage::Subscribing => StreamState::Subscribing,
            Stage::Streaming => StreamState::Streaming,
        }
    }

    fn is_live(self) -> bool {
        matches!(self, Stage::Subscribing | Stage::Streaming)
    }
}

/// A market-data stream of one market.
pub struct DataSession {
    settings: DataSettings,
    names: Arc<dyn Names>,
    stage: Stage,
    /// When the greeting or the answer to the keys is overdue.
    step_due: Option<Instant>,
    second_authentications: u8,
    book: Book,
    recipients: Recipients,
    /// Symbols that only the wildcard brings.
    interned: HashMap<Symbol, SymbolId, RandomState>,
    oddities: Oddities,
}

impl std::fmt::Debug for DataSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DataSession { settings, stage, step_due, book, .. } = self;
        f.debug_struct("DataSession").field("settings", settings).field("stage", stage).field("step_due", step_due).field("book", book).finish()
    }
}

impl DataSession {
    pub fn new(settings: DataSettings, names: Arc<dyn Names>) -> DataSession {
        let book = Book::new(settings.market, settings.codec, settings.wildcard);
        DataSession {
            settings,
            names,
            stage: Stage::Closed,
            step_due: None,
            second_authentications: 0,
            book,
            recipients: Recipients::default(),
            interned: HashMap::default(),
            oddities: Oddities::default(),
        }
    }

    /// Symbols wanted by name.
    pub fn wanted_symbols(&self) -> usize {
        self.book.wanted.len()
    }

    /// The venue has not yet answered everything it was asked.
    pub fn has_unacknowledged(&self) -> bool {
        self.book.has_unacknowledged()
    }

    fn with_book(&mut self, now: Instant, out: &mut Effects<MarketEvent>, act: impl FnOnce(&mut Book, &mut Hands<'_>)) {
        let mut hands = Hands { now, send: &mut out.send, notices: &mut out.notices, oddities: &mut self.oddities };
        act(&mut self.book, &mut hands);
    }

    fn go(&mut self, stage: Stage, out: &mut Effects<MarketEvent>) {
        if self.stage.state() != stage.state() {
            out.notices.push(Notice::StateChanged(stage.state()));
        }
        self.stage = stage;
    }

    fn end(&mut self, end: SessionEnd, out: &mut Effects<MarketEvent>) {
        self.stage = Stage::Closed;
        self.step_due = None;
        self.book.forget();
        out.end.get_or_insert(end);
    }

    fn authenticate(&mut self, now: Instant, out: &mut Effects<MarketEvent>) {
        out.send.push(wire::auth_request(self.settings.codec, self.settings.key_id.expose(), self.settings.secret_key.expose()));
        self.step_due = Some(now + AUTHENTICATED_WITHIN);
        self.go(Stage::Authenticating, out);
    }

    fn authenticated(&mut self, now: Instant, out: &mut Effects<MarketEvent>) {
        self.step_due = None;
        self.with_book(now, out, |book, hands| book.begin(hands));
        self.go(Stage::Subscribing, out);
        self.settle(out);
    }

    /// Subscribing is over once everything is answered.
    fn settle(&mut self, out: &mut Effects<MarketEvent>) {
        if self.stage == Stage::Subscribing && !self.book.has_unacknowledged() {
            self.go(Stage::Streaming, out);
        }
    }

    fn success<'a, F: Field<'a>>(&mut self, now: Instant, record: &Record<F>, out: &mut Effects<MarketEvent>) {
        let Some(said) = record.text(Key::Msg) else {
            out.malformed += 1;
            return;
        };
        match (said.as_ref(), self.stage) {
            ("connected", Stage::Greeting) => self.authenticate(now, out),
            ("authenticated", Stage::Greeting | Stage::Authenticating) => self.authenticated(now, out),
            ("connected" | "authenticated", _) => {}
            (other, _) => {
                let shown = self.clean(other);
                self.oddities.note(now, "success", &mut out.notices, || format!("the venue reports a success unknown to us: {shown}"));
            }
        }
    }

    fn acknowledged<'a, F: Field<'a>>(&mut self, now: Instant, record: &Record<F>, out: &mut Effects<MarketEvent>) {
        if !self.stage.is_live() {
            return;
        }
        self.with_book(now, out, |book, hands| book.acknowledged(record, hands));
        self.settle(out);
    }

    fn error<'a, F: Field<'a>>(&mut self, now: Instant, record: &Record<F>, out: &mut Effects<MarketEvent>) {
        let code = record.integer(Key::Code).unwrap_or(0);
        let said = format!("error {code}: {}", self.clean(&record.text(Key::Msg).unwrap_or_default()));
        match (verdict(code, &said), self.stage) {
            (_, Stage::Closed) => {}
            (Verdict::End(end), _) => self.end(end, out),
            (Verdict::AlreadyAuthenticated, Stage::Greeting | Stage::Authenticating) => self.authenticated(now, out),
            (Verdict::AlreadyAuthenticated, _) => {}
            (Verdict::NotAuthenticated, Stage::Subscribing | Stage::Streaming) if self.second_authentications < SECOND_AUTHENTICATIONS => {
                self.second_authentications += 1;
                self.book.forget();
                self.authenticate(now, out);
            }
            (Verdict::Refused(refusal), Stage::Subscribing | Stage::Streaming) => self.refused(now, refusal, &said, out),
            (Verdict::NotAuthenticated | Verdict::Refused(_), _) => {
                let cause = format!("Alpaca refuses to begin the session ({said})");
                self.end(SessionEnd { cause, advice: Advice::Reconnect }, out);
            }
        }
    }

    fn refused(&mut self, now: Instant, refusal: Refusal, said: &str, out: &mut Effects<MarketEvent>) {
        self.recipients.forget_all();
        self.with_book(now, out, |book, hands| book.refused(refusal, said, hands));
        self.settle(out);
    }

    /// Who a symbol is, if anybody wants this kind of data of it.
    #[inline]
    fn recipient(&mut self, symbol: &str, kind: Kind) -> Option<SymbolId> {
        let feed = kind.feed();
        if let Some(id) = self.recipients.find(symbol, feed) {
            return Some(id);
        }
        let id = self.ask_recipient(symbol, feed)?;
        self.recipients.remember(symbol, feed, id);
        Some(id)
    }

    fn ask_recipient(&mut self, symbol: &str, feed: Feed) -> Option<SymbolId> {
        let wanted = self.book.wanted.get(symbol).copied();
        if let Some(wanted) = wanted
            && (wanted.feeds.contains(feed) || self.book.wildcard.contains(feed))
        {
            return Some(wanted.id);
        }
        if !self.book.wildcard.contains(feed) || symbol.len() > MAX_SYMBOL {
            return None;
        }
        if let Some(id) = self.interned.get(symbol) {
            return Some(*id);
        }
        let id = self.names.intern(symbol)?;
        self.interned.insert(symbol.parse().ok()?, id);
        Some(id)
    }

    #[inline]
    fn data<'a, F: Field<'a>>(&mut self, kind: Kind, record: &Record<F>, out: &mut Effects<MarketEvent>) {
        let Some(symbol) = record.text(Key::Symbol) else {
            out.malformed += 1;
            return;
        };
        let Some(id) = self.recipient(&symbol, kind) else {
            out.unwanted += 1;
            return;
        };
        match kind.read(record) {
            Some((at, kind)) => out.events.push(MarketEvent { symbol: id, at, kind }),
            None => out.malformed += 1,
        }
    }

    fn clean(&self, text: &str) -> String {
        clean(text, &[&self.settings.key_id, &self.settings.secret_key])
    }
}

impl<'a, F: Field<'a>> Lists for Record<F> {
    fn read(&self, channel: Channels, show: &mut dyn FnMut(&str)) -> bool {
        Channels::listed().any(|(listed, key)| listed == channel && self.each_text(key, show).is_some())
    }
}

/// One frame on its way into a session.
struct Reading<'s> {
    session: &'s mut DataSession,
    now: Instant,
    out: &'s mut Effects<MarketEvent>,
}

impl Sink for Reading<'_> {
    #[inline]
    fn message<'a, F: Field<'a>>(&mut self, record: &Record<F>) {
        let Reading { session, now, out } = self;
        let Some(kind) = record.text(Key::Type) else {
            out.malformed += 1;
            return;
        };
        if let Some(kind) = Kind::of(&kind) {
            return session.data(kind, record, out);
        }
        match kind.as_ref() {
            "success" => session.success(*now, record, out),
            "subscription" => session.acknowledged(*now, record, out),
            "error" => session.error(*now, record, out),
            other => {
                out.unknown += 1;
                let shown = || session_text(other, &session.settings);
                session.oddities.note(*now, &format!("T {other:.16}"), &mut out.notices, || format!("messages of an unknown type: {}", shown()));
            }
        }
    }
}

fn session_text(text: &str, settings: &DataSettings) -> String {
    clean(text, &[&settings.key_id, &settings.secret_key])
}

impl Session for DataSession {
    type Event = MarketEvent;

    fn want(&mut self, now: Instant, changes: &[SymbolWant], out: &mut Effects<MarketEvent>) {
        let live = self.stage.is_live();
        changes.iter().for_each(|change| self.recipients.forget(change.symbol.as_str()));
        self.with_book(now, out, |book, hands| {
            book.want(changes, hands);
            if live {
                book.flush(hands);
            }
        });
    }

    fn opened(&mut self, now: Instant, _: &mut Effects<MarketEvent>) {
        self.lost();
        self.stage = Stage::Greeting;
        self.step_due = Some(now + GREETING_WITHIN);
    }

    fn received(&mut self, now: Instant, message: Incoming<'_>, out: &mut Effects<MarketEvent>) {
        let malformed = wire::read_frame(message, &mut Reading { session: self, now, out });
        out.malformed += malformed;
    }

    fn timed_out(&mut self, now: Instant, out: &mut Effects<MarketEvent>) {
        if self.deadline().is_none_or(|due| now < due) {
            return;
        }
        let cause = match self.stage {
            Stage::Closed => return,
            Stage::Greeting => "no greeting from Alpaca within 5 s of connecting",
            Stage::Authenticating => "no answer from Alpaca to the keys within 5 s",
            Stage::Subscribing | Stage::Streaming => "no answer from Alpaca to a subscription within 5 s",
        };
        self.end(SessionEnd { cause: cause.to_owned(), advice: Advice::Reconnect }, out);
    }

    fn deadline(&self) -> Option<Instant> {
        if self.stage.is_live() { self.book.deadline() } else { self.step_due }
    }

    fn lost(&mut self) {
        self.stage = Stage::Closed;
        self.step_due = None;
        self.second_authentications = 0;
        self.book.forget();
    }

    fn state(&self) -> StreamState {
        self.stage.state()
    }
}

#[cfg(test)]
mod tests;
