//! What was really emitted since the start: the latest of everything, minute by minute, within bounds.
//!
//! Pure: the time of a message is the message's own.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::history::{History, minute_of};
use super::sum::{Offer, Print, Sum};
use crate::events::MarketSight;
use crate::model::{Fact, Quote, Status, Timestamp};
use crate::sim::message::{SimBody, SimMessage};

/// Minutes remembered of a symbol; of older ones the invented past is told instead.
const MINUTES: usize = 3_000;
/// Trades and quotes remembered of a symbol, each.
const PRINTS: usize = 4_000;

#[derive(Debug)]
pub(in crate::sim) struct Tape {
    lines: HashMap<Arc<str>, Line>,
    /// The minute whose bars have not been told.
    minute: i64,
}

/// One symbol.
#[derive(Debug)]
struct Line {
    /// From this minute on the tape knows everything; minutes without trades are not in it.
    floor: i64,
    minutes: VecDeque<(i64, Sum)>,
    prints: VecDeque<Print>,
    offers: VecDeque<Offer>,
    last: Print,
    quote: Offer,
    halted: bool,
}

impl Tape {
    pub(super) fn new(history: &History, start: Timestamp) -> Tape {
        let line = |price| {
            let (tick, size) = (Decimal::new(1, 2), Decimal::ONE_HUNDRED);
            Line {
                floor: history.start(),
                minutes: VecDeque::new(),
                prints: VecDeque::new(),
                offers: VecDeque::new(),
                last: Print { at: start, id: 1, price, size },
                quote: Offer { at: start, bid: (price - tick).max(Decimal::ZERO), bid_size: size, ask: price + tick, ask_size: size },
                halted: false,
            }
        };
        Tape { lines: history.all().map(|listed| (Arc::clone(&listed.symbol), line(listed.price()))).collect(), minute: history.start() }
    }

    /// Takes a message in; what is no trade, quote or status is not for the tape, nor is an unknown symbol.
    pub(super) fn note(&mut self, message: &SimMessage) {
        let Some(line) = self.lines.get_mut(&message.symbol) else { return };
        match &message.body {
            SimBody::Trade { id, price, size } => {
                let (Some(price), Some(size)) = (price.to_decimal(), size.to_decimal()) else { return };
                line.traded(Print { at: message.at, id: *id, price, size });
            }
            SimBody::Quote(quote) => line.quoted(quote, message.at),
            SimBody::Fact(Fact::Status(status)) => line.halted = halts(status).unwrap_or(line.halted),
            SimBody::Fact(_) => {}
        }
    }

    pub(super) fn is_halted(&self, symbol: &str) -> bool {
        self.lines.get(symbol).is_some_and(|line| line.halted)
    }

    pub(super) fn last(&self, symbol: &str) -> Option<(Print, Offer)> {
        self.lines.get(symbol).map(|line| (line.last, line.quote))
    }

    pub(super) fn floor(&self, symbol: &str) -> i64 {
        self.lines.get(symbol).map_or(self.minute, |line| line.floor)
    }

    /// The minutes with trades among these, in order.
    pub(super) fn minutes(&self, symbol: &str, among: &Range<i64>) -> Vec<(i64, Sum)> {
        let Some(line) = self.lines.get(symbol) else { return Vec::new() };
        let from = line.minutes.partition_point(|(minute, _)| *minute < among.start);
        line.minutes.range(from..).take_while(|(minute, _)| *minute < among.end).copied().collect()
    }

    pub(super) fn prints(&self, symbol: &str, among: &Range<i64>) -> Vec<Print> {
        self.lines.get(symbol).map_or_else(Vec::new, |line| within(&line.prints, among, |print| print.at))
    }

    pub(super) fn offers(&self, symbol: &str, among: &Range<i64>) -> Vec<Offer> {
        self.lines.get(symbol).map_or_else(Vec::new, |line| within(&line.offers, among, |offer| offer.at))
    }

    /// The minutes that have ended since the last call.
    pub(super) fn ended(&mut self, now: Timestamp) -> Range<i64> {
        let ended = self.minute..minute_of(now).max(self.minute);
        self.minute = ended.end;
        ended
    }
}

impl Line {
    fn traded(&mut self, print: Print) {
        let (minute, sum) = (minute_of(print.at), Sum::of(print.price, print.size));
        if minute < self.floor {
            return;
        }
        let after = self.minutes.partition_point(|(known, _)| *known <= minute);
        let is_latest = after == self.minutes.len();
        match after.checked_sub(1).and_then(|at| self.minutes.get_mut(at)).filter(|(known, _)| *known == minute) {
            Some((_, total)) if is_latest => total.append(&sum),
            Some((_, total)) => total.add_late(&sum),
            None => self.minutes.insert(after, (minute, sum)),
        }
        if self.minutes.len() > MINUTES
            && let Some((oldest, _)) = self.minutes.pop_front()
        {
            self.floor = oldest + 1;
        }
        if print.at >= self.last.at {
            self.last = print;
        }
        insert(&mut self.prints, print, |print| print.at);
    }

    fn quoted(&mut self, quote: &Quote, at: Timestamp) {
        let [bid, bid_size, ask, ask_size] = [quote.bid, quote.bid_size, quote.ask, quote.ask_size].map(|amount| amount.to_decimal().unwrap_or_default());
        let offer = Offer { at, bid, bid_size, ask, ask_size };
        self.quote = offer;
        insert(&mut self.offers, offer, |offer| offer.at);
    }
}

/// Puts an item where its time belongs, nearly always at the end, and keeps the bound.
fn insert<T>(ring: &mut VecDeque<T>, item: T, at: impl Fn(&T) -> Timestamp) {
    let place = ring.iter().rposition(|known| at(known) <= at(&item)).map_or(0, |before| before + 1);
    ring.insert(place, item);
    if ring.len() > PRINTS {
        ring.pop_front();
    }
}

fn within<T: Copy>(ring: &VecDeque<T>, among: &Range<i64>, at: impl Fn(&T) -> Timestamp) -> Vec<T> {
    let from = ring.partition_point(|item| minute_of(at(item)) < among.start);
    ring.range(from..).take_while(|item| minute_of(at(item)) < among.end).copied().collect()
}

/// What a fact means to those who trade.
pub(in crate::sim) fn sight_of(fact: &Fact) -> Option<MarketSight> {
    match fact {
        Fact::Status(status) => halts(status).map(|halted| if halted { MarketSight::Halted } else { MarketSight::Resumed }),
        Fact::Luld(luld) => Some(MarketSight::Limits { down: luld.limit_down.to_decimal()?, up: luld.limit_up.to_decimal()? }),
        Fact::Bar(_) | Fact::Correction(_) | Fact::Cancel(_) => None,
    }
}

/// Whether a status stops trading or lets it go on; `None` when it is about something else. The letters depend on the tape.
fn halts(status: &Status) -> Option<bool> {
    match (status.tape.as_str(), status.code.as_str()) {
        ("A" | "B", "2") | ("C", "H" | "P") => Some(true),
        ("A" | "B", "3") | ("C", "T") => Some(false),
        _ => None,
    }
}
