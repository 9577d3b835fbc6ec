//! Who wants what, what the venue has been asked for, and the difference.
//!
//! Must not know what data looks like, how a session authenticates, or the venue's error numbers.

mod lists;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

pub(super) use self::lists::Lists;
use self::lists::{KeptLists, kept};
use super::channels::{Channels, Market, Ticker, Unit};
use super::holdings::Holdings;
use crate::config::Codec;
use crate::exchanges::alpaca::notices::Oddities;
use crate::exchanges::alpaca::wire::list_request;
use crate::exchanges::{Notice, Outgoing, RefusedSymbol, SymbolWant};
use crate::model::{FeedSet, Symbol, SymbolId};

/// Symbols in one message, so that a message and its answer stay of ordinary size.
const CHUNK: usize = 2_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub id: SymbolId,
    pub feeds: FeedSet,
}

/// The caller's hands: where messages and notices go.
pub(super) struct Hands<'a> {
    pub now: Instant,
    pub send: &'a mut Vec<Outgoing>,
    pub notices: &'a mut Vec<Notice>,
    pub oddities: &'a mut Oddities,
}

impl Hands<'_> {
    pub fn odd(&mut self, subject: &str, text: impl FnOnce() -> String) {
        self.oddities.note(self.now, subject, self.notices, text);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Subscribe,
    Unsubscribe,
}

#[derive(Debug)]
pub(super) struct Request {
    pub action: Action,
    pub units: Vec<Unit>,
}

impl Request {
    /// What a venue holds of a ticker once it has granted this part of the request.
    fn granted(&self, asked: Channels, held: Channels) -> Channels {
        if self.action == Action::Subscribe { held.with(asked) } else { held.without(asked) }
    }
}

#[derive(Debug)]
pub(super) struct Book {
    pub(super) market: Market,
    codec: Codec,
    wildcard_setting: FeedSet,
    /// What `*` is asked for; less than the setting once the venue refused some of it.
    pub(super) wildcard: FeedSet,
    pub(super) wanted: HashMap<Symbol, Wanted, RandomState>,
    /// Channels that this stream turned out not to have.
    pub(super) closed: Channels,
    /// What the venue will hold when it has granted everything in flight.
    pub(super) held: Holdings,
    /// What it has granted of the tickers that something in flight concerns; of all others that is what it holds.
    granted: BTreeMap<Ticker, Channels>,
    /// But for what is dirty, `held` is what is wanted: then a list that has what is held needs no closer look.
    pub(super) agreed: bool,
    /// Where `held` may differ from what is wanted.
    pub(super) dirty: BTreeSet<Ticker>,
    in_flight: VecDeque<Request>,
    /// Parts of refused requests, to be asked for one at a time once nothing is in flight.
    pub(super) pieces: VecDeque<Vec<Unit>>,
    /// Since when the oldest request in flight has been the one to be answered.
    waiting_since: Option<Instant>,
    /// A list that differs from ours has been mended once since the last change.
    mended: bool,
    /// The latest acknowledged lists while a refused request is asked for in parts.
    last_lists: Option<KeptLists>,
    /// Single symbols refused as invalid without anything granted in between.
    pub(super) invalid_in_a_row: u32,
}

impl Book {
    pub fn new(market: Market, codec: Codec, wildcard: FeedSet) -> Book {
        Book {
            market,
            codec,
            wildcard_setting: wildcard,
            wildcard,
            wanted: HashMap::default(),
            closed: Channels::NONE,
            held: Holdings::default(),
            granted: BTreeMap::new(),
            agreed: false,
            dirty: BTreeSet::new(),
            in_flight: VecDeque::new(),
            pieces: VecDeque::new(),
            waiting_since: None,
            mended: false,
            last_lists: None,
            invalid_in_a_row: 0,
        }
    }

    pub fn has_unacknowledged(&self) -> bool {
        !self.in_flight.is_empty() || !self.pieces.is_empty()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + ANSWER_WITHIN)
    }

    /// Forgets what a venue knew; what is wanted stays.
    pub fn forget(&mut self) {
        self.wildcard = self.wildcard_setting;
        self.closed = Channels::NONE;
        self.held.clear();
        self.granted.clear();
        self.agreed = true;
        self.dirty.clear();
        self.in_flight.clear();
        self.pieces.clear();
        self.waiting_since = None;
        self.mended = false;
        self.last_lists = None;
        self.invalid_in_a_row = 0;
    }

    /// Asks a venue that knows nothing of us for everything.
    pub fn begin(&mut self, hands: &mut Hands<'_>) {
        self.forget();
        self.dirty.insert(Ticker::All);
        self.dirty.extend(self.wanted.keys().cloned().map(Ticker::One));
        self.flush(hands);
    }

    /// Takes changes in; [`Book::flush`] tells the venue.
    pub fn want(&mut self, changes: &[SymbolWant], hands: &mut Hands<'_>) {
        let mut refused = Vec::new();
        self.mended &= changes.is_empty();
        for SymbolWant { symbol, id, feeds } in changes {
            let served = Channels::of(*feeds, self.market).without(self.closed);
            if feeds.is_empty() || served.is_empty() {
                self.wanted.remove(symbol);
                if !feeds.is_empty() {
                    refused.push(RefusedSymbol { symbol: symbol.clone(), feeds: *feeds });
                }
            } else {
                self.wanted.insert(symbol.clone(), Wanted { id: *id, feeds: *feeds });
            }
            self.dirty.insert(Ticker::One(symbol.clone()));
        }
        if !refused.is_empty() {
            let reason = "this market data stream does not carry the feeds asked for".to_owned();
            hands.notices.push(Notice::SymbolsRefused { symbols: refused, reason });
        }
    }

    /// The channels that a ticker should have of its own; what the wildcard brings is not asked for again by name.
    pub(super) fn target(&self, ticker: &Ticker) -> Channels {
        let all = Channels::of(self.wildcard, self.market);
        let own = match ticker {
            Ticker::All => all,
            Ticker::One(symbol) => self.wanted.get(symbol).map_or(Channels::NONE, |want| Channels::of(want.feeds, self.market).without(all)),
        };
        own.without(self.closed)
    }

    /// The venue will hold of the ticker what it should.
    pub(super) fn is_settled(&self, ticker: &Ticker) -> bool {
        self.held.get(ticker) == self.target(ticker)
    }

    /// Sends the difference. What is dropped goes first: it may make room for what is added.
    pub fn flush(&mut self, hands: &mut Hands<'_>) {
        let dirty = std::mem::take(&mut self.dirty);
        let (mut adds, mut drops) = (Vec::new(), Vec::new());
        for ticker in &dirty {
            let (target, held) = (self.target(ticker), self.held.get(ticker));
            if !target.without(held).is_empty() {
                adds.push((ticker.clone(), target.without(held)));
            }
            if !held.without(target).is_empty() {
                drops.push((ticker.clone(), held.without(target)));
            }
        }
        for chunk in drops.chunks(CHUNK) {
            self.send(Action::Unsubscribe, chunk.to_vec(), hands);
        }
        if !self.pieces.is_empty() {
            for piece in &mut self.pieces {
                piece.retain(|(ticker, _)| !dirty.contains(ticker));
            }
            self.pieces.push_back(adds);
            self.send_next_piece(hands);
            return;
        }
        for chunk in adds.chunks(CHUNK) {
            self.send(Action::Subscribe, chunk.to_vec(), hands);
        }
    }

    fn send(&mut self, action: Action, units: Vec<Unit>, hands: &mut Hands<'_>) {
        let union = units.iter().fold(Channels::NONE, |union, (_, channels)| union.with(*channels));
        let lists: Vec<(&'static str, Vec<&str>)> = union
            .each()
            .zip(union.names())
            .map(|(one, name)| (name, units.iter().filter(|(_, channels)| !channels.and(one).is_empty()).map(|(ticker, _)| ticker.as_str()).collect()))
            .collect();
        let verb = match action {
            Action::Subscribe => "subscribe",
            Action::Unsubscribe => "unsubscribe",
        };
        hands.send.push(list_request(self.codec, verb, &lists));
        if self.in_flight.is_empty() {
            self.waiting_since = Some(hands.now);
        }
        let request = Request { action, units };
        for (ticker, asked) in &request.units {
            let held = self.held.get(ticker);
            self.granted.entry(ticker.clone()).or_insert(held);
            self.held.set(ticker, request.granted(*asked, held));
        }
        self.in_flight.push_back(request);
    }

    /// The request that an answer answers: they come in the order of the requests.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Request> {
        let request = self.in_flight.pop_front();
        self.waiting_since = (!self.in_flight.is_empty()).then_some(now);
        request
    }

    /// A refused request leaves the venue as it was, but for what is still in flight.
    pub(super) fn not_granted(&mut self, request: &Request) {
        let touched: BTreeSet<&Ticker> = request.units.iter().map(|(ticker, _)| ticker).collect();
        for ticker in &touched {
            self.held.set(ticker, self.granted.get(*ticker).copied().unwrap_or_default());
        }
        for later in &self.in_flight {
            for (ticker, asked) in later.units.iter().filter(|(ticker, _)| touched.contains(ticker)) {
                self.held.set(ticker, later.granted(*asked, self.held.get(ticker)));
            }
        }
        self.forget_granted();
    }

    /// With nothing in flight, what is held is what is granted.
    fn forget_granted(&mut self) {
        if self.in_flight.is_empty() {
            self.granted.clear();
        }
    }

    /// An acknowledgement came.
    pub fn acknowledged(&mut self, lists: &impl Lists, hands: &mut Hands<'_>) {
        if let Some(request) = self.answered(hands.now) {
            for (ticker, asked) in &request.units {
                let held = self.granted.get(ticker).copied().unwrap_or_default();
                self.granted.insert(ticker.clone(), request.granted(*asked, held));
            }
            if request.action == Action::Subscribe {
                self.invalid_in_a_row = 0;
            }
            self.forget_granted();
        }
        let in_pieces = !self.pieces.is_empty();
        self.send_next_piece(hands);
        self.last_lists = None;
        if !self.has_unacknowledged() {
            self.compare(lists, hands);
        } else if in_pieces {
            self.last_lists = Some(kept(lists));
        }
    }

    /// Asks for the next part of what was refused as a whole, once all else is settled. What has changed in between is
    /// not asked for.
    pub(super) fn send_next_piece(&mut self, hands: &mut Hands<'_>) {
        while self.in_flight.is_empty()
            && let Some(piece) = self.pieces.pop_front()
        {
            let mut units = piece;
            for (ticker, channels) in &mut units {
                *channels = channels.and(self.target(ticker)).without(self.held.get(ticker));
            }
            units.retain(|(_, channels)| !channels.is_empty());
            let (first, rest) = units.split_at(units.len().min(CHUNK));
            if !rest.is_empty() {
                self.pieces.push_front(rest.to_vec());
            }
            if !first.is_empty() {
                self.send(Action::Subscribe, first.to_vec(), hands);
            }
        }
    }
}

/// `3 symbols (A, B, C)`, with the first few names only.
pub(super) fn some_names<'a>(tickers: impl ExactSizeIterator<Item = &'a Ticker>) -> String {
    const SHOWN: usize = 5;
    let count = tickers.len();
    let names: Vec<&str> = tickers.take(SHOWN).map(Ticker::as_str).collect();
    let more = if count > SHOWN { ", …" } else { "" };
    format!("{count} symbols ({}{more})", names.join(", "))
}
