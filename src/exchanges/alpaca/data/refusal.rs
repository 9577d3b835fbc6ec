//! What becomes of a subscription that the venue refuses. A refusal is of the whole request, so a request of several
//! symbols is asked again in parts until the ones at fault stand alone; the same message is never sent twice.

use super::book::{Action, Book, Hands, some_names};
use super::channels::{Channels, Ticker, Unit};
use crate::exchanges::{Notice, RefusedSymbol};
use crate::model::{FeedSet, Symbol};

/// Single symbols called invalid one after the other before the rest is given up: then the fault lies elsewhere.
const INVALID_LIMIT: u32 = 64;

/// Why, as far as it decides what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The plan's symbol limit: what one symbol meets, the rest would meet too.
    Limit,
    /// Something in the request is wrong, or nobody knows.
    Invalid,
    /// The stream lacks one of the channels.
    Channel,
    /// The wildcard is not allowed for one of the channels.
    Wildcard,
}

impl Book {
    /// The oldest request in flight was refused; `said` is the venue's word of it, safe to log.
    pub fn refused(&mut self, refusal: Refusal, said: &str, hands: &mut Hands<'_>) {
        let Some(request) = self.answered(hands.now) else {
            hands.odd(said, || format!("the venue refuses a request that we did not make: {said}"));
            return;
        };
        self.not_granted(&request);
        let alone = if let [(ticker, _)] = request.units.as_slice() { Some(ticker.clone()) } else { None };
        if request.action == Action::Unsubscribe {
            hands.odd(said, || format!("the venue refuses to unsubscribe {}: {said}", some_names(request.units.iter().map(|(ticker, _)| ticker))));
        } else {
            self.ask_differently(refusal, request.units, said, hands);
        }
        self.flush(hands);
        // What was asked for in parts is looked at as a whole once it is settled.
        self.agreed &= alone.is_some_and(|ticker| self.is_settled(&ticker));
        self.send_next_piece(hands);
        self.compare_last(hands);
    }

    fn ask_differently(&mut self, refusal: Refusal, mut units: Vec<Unit>, said: &str, hands: &mut Hands<'_>) {
        let asked = units.iter().fold(Channels::NONE, |all, (_, channels)| all.with(*channels));
        match refusal {
            Refusal::Channel if asked.each().count() > 1 => {
                for channel in asked.each() {
                    let of_channel = units.iter().filter(|(_, channels)| !channels.and(channel).is_empty());
                    self.pieces.push_back(of_channel.map(|(ticker, _)| (ticker.clone(), channel)).collect());
                }
            }
            Refusal::Channel => self.close(asked, said, hands),
            Refusal::Wildcard if matches!(units.first(), Some((Ticker::All, _))) => {
                let (_, channels) = units.remove(0);
                self.pieces.push_back(units);
                self.drop_wildcard(channels, said, hands);
            }
            Refusal::Limit | Refusal::Invalid | Refusal::Wildcard if units.len() > 1 => {
                if refusal != Refusal::Limit {
                    let names = some_names(units.iter().map(|(ticker, _)| ticker));
                    hands.odd(said, || format!("the venue refuses a subscription of {names}: {said}; asking in halves"));
                }
                let second = units.split_off(units.len() / 2);
                self.pieces.push_front(second);
                self.pieces.push_front(units);
            }
            Refusal::Limit => self.give_up(units, true, format!("the symbol limit of the market data plan is reached ({said})"), hands),
            Refusal::Invalid | Refusal::Wildcard => {
                self.invalid_in_a_row += 1;
                let rest_too = self.invalid_in_a_row >= INVALID_LIMIT;
                let reason = if rest_too { "the venue refuses every subscription" } else { "the venue does not accept the symbol" };
                self.give_up(units, rest_too, format!("{reason} ({said})"), hands);
            }
        }
    }

    /// Stops wanting these units, and with `rest_too` all that are still to be asked for; tells whom it concerns.
    fn give_up(&mut self, mut units: Vec<Unit>, rest_too: bool, reason: String, hands: &mut Hands<'_>) {
        let alone = matches!(units.as_slice(), [(Ticker::All, _)]);
        if rest_too && !alone {
            units.extend(self.pieces.drain(..).flatten());
        }
        let mut symbols = Vec::new();
        for (ticker, channels) in units {
            let due = channels.and(self.target(&ticker));
            match ticker {
                Ticker::All => self.drop_wildcard(channels, &reason, hands),
                Ticker::One(symbol) if !due.is_empty() => {
                    let feeds = due.feeds(self.market);
                    self.lose(&symbol, feeds);
                    symbols.push(RefusedSymbol { symbol, feeds });
                }
                Ticker::One(_) => {}
            }
        }
        symbols.sort();
        symbols.dedup();
        if !symbols.is_empty() {
            hands.notices.push(Notice::SymbolsRefused { symbols, reason });
        }
    }

    /// Stops wanting feeds of a symbol. What else it has goes on.
    fn lose(&mut self, symbol: &Symbol, feeds: FeedSet) {
        if let Some(want) = self.wanted.get_mut(symbol) {
            want.feeds = feeds.iter().fold(want.feeds, FeedSet::without);
            if want.feeds.is_empty() {
                self.wanted.remove(symbol);
            }
        }
        self.dirty.insert(Ticker::One(symbol.clone()));
    }

    /// The stream has no such channel: nobody can have it.
    fn close(&mut self, channels: Channels, said: &str, hands: &mut Hands<'_>) {
        self.closed = self.closed.with(channels);
        self.agreed = false;
        let names = channels.names().collect::<Vec<_>>().join(", ");
        hands.odd(said, || format!("this market data stream has no channel {names}: {said}"));
        let (market, closed) = (self.market, self.closed);
        let unserved = |feeds: FeedSet| Channels::of(feeds, market).without(closed).is_empty();
        let refused = self.wanted.iter().filter(|(_, want)| unserved(want.feeds));
        let mut symbols: Vec<RefusedSymbol> = refused.map(|(symbol, want)| RefusedSymbol { symbol: symbol.clone(), feeds: want.feeds }).collect();
        symbols.sort();
        for refused in &symbols {
            self.wanted.remove(&refused.symbol);
        }
        if !symbols.is_empty() {
            hands.notices.push(Notice::SymbolsRefused { symbols, reason: format!("this market data stream does not carry {names} ({said})") });
        }
    }

    /// Does without `*` on these channels; symbols wanted by name are asked for by name again.
    fn drop_wildcard(&mut self, channels: Channels, said: &str, hands: &mut Hands<'_>) {
        let feeds = channels.feeds(self.market);
        self.agreed = false;
        self.wildcard = feeds.iter().fold(self.wildcard, FeedSet::without);
        hands.odd("wildcard", || format!("the venue refuses {feeds:?} of all symbols (*): {said}; only symbols wanted by name are served"));
        self.dirty.insert(Ticker::All);
        self.dirty.extend(self.wanted.keys().cloned().map(Ticker::One));
    }
}
