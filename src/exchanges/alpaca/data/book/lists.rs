//! The venue's own lists of what it sends us, and what follows where they differ from ours.
//!
//! Must not know how lists are written.

use std::collections::{BTreeMap, BTreeSet};

use super::{Book, Hands, some_names};
use crate::exchanges::alpaca::data::channels::{Channels, Ticker};
use crate::exchanges::alpaca::data::holdings::Tally;

/// The lists that an acknowledgement has of the venue's whole state, read only as far as somebody asks.
pub(in crate::exchanges::alpaca::data) trait Lists {
    /// Shows every text of one channel's list; false when there is no proper list, whatever was shown of it.
    fn read(&self, channel: Channels, show: &mut dyn FnMut(&str)) -> bool;
}

/// Lists that are kept for later.
pub(super) type KeptLists = Vec<(Channels, Vec<String>)>;

impl Lists for KeptLists {
    fn read(&self, channel: Channels, show: &mut dyn FnMut(&str)) -> bool {
        let list = self.iter().find(|(kept, _)| *kept == channel);
        list.into_iter().flat_map(|(_, texts)| texts).for_each(|text| show(text));
        list.is_some()
    }
}

pub(super) fn kept(lists: &impl Lists) -> KeptLists {
    let list = |channel| {
        let mut texts = Vec::new();
        lists.read(channel, &mut |text| texts.push(text.to_owned())).then_some((channel, texts))
    };
    Channels::listed().filter_map(|(channel, _)| list(channel)).collect()
}

impl Book {
    /// Everything is answered, the last time by a refusal: the lists acknowledged before it still hold.
    pub(in crate::exchanges::alpaca::data) fn compare_last(&mut self, hands: &mut Hands<'_>) {
        if !self.has_unacknowledged()
            && let Some(lists) = self.last_lists.take()
        {
            self.compare(&lists, hands);
        }
    }

    /// Takes the venue's lists for the truth, and asks once for what they lack or have too much. Channels without a
    /// list say nothing.
    pub(super) fn compare(&mut self, lists: &impl Lists, hands: &mut Hands<'_>) {
        if self.agreed && self.are_ours(lists) {
            self.mended = false;
            return;
        }
        let theirs = self.read(lists, hands);
        let tickers = std::iter::once(Ticker::All).chain(self.wanted.keys().cloned().map(Ticker::One));
        let missing = tickers.filter(|ticker| !theirs.contains_key(ticker) && !self.target(ticker).is_empty());
        let differing = theirs.iter().filter(|(ticker, channels)| self.target(ticker) != **channels).map(|(ticker, _)| ticker.clone());
        let wrong: BTreeSet<Ticker> = missing.chain(differing).collect();
        self.held.clear();
        theirs.iter().for_each(|(ticker, channels)| self.held.set(ticker, *channels));
        self.agreed = wrong.is_empty() || !self.mended;
        if wrong.is_empty() {
            self.mended = false;
        } else if self.mended {
            let names = some_names(wrong.iter());
            hands.odd("lists differ", || format!("the venue's list of subscriptions still differs from ours in {names}; left so until the next change"));
        } else {
            self.mended = true;
            self.dirty.extend(wrong);
            self.flush(hands);
        }
    }

    /// Whether the lists have what is held and nothing else: the answer to nearly every request, eleven thousand symbols
    /// long, so nothing of it is kept.
    fn are_ours(&self, lists: &impl Lists) -> bool {
        Channels::listed().all(|(channel, _)| {
            let mut tally = Tally::default();
            let listed = lists.read(channel, &mut |text| self.held.count(text, &mut tally));
            !listed || tally == self.held.tally(channel)
        })
    }

    /// What the venue holds by its own lists.
    fn read(&self, lists: &impl Lists, hands: &mut Hands<'_>) -> BTreeMap<Ticker, Channels> {
        let mut theirs: BTreeMap<Ticker, Channels> = BTreeMap::new();
        let (mut listed, mut nameless) = (Channels::NONE, 0);
        for (channel, texts) in kept(lists) {
            listed = listed.with(channel);
            for text in texts {
                let Some(ticker) = self.ticker(&text) else {
                    nameless += 1;
                    continue;
                };
                let channels = theirs.entry(ticker).or_default();
                *channels = channels.with(channel);
            }
        }
        if nameless > 0 {
            hands.odd("nameless", || format!("the venue lists {nameless} subscriptions that are no symbols; they are ignored"));
        }
        for (ticker, held) in self.held.iter().filter(|(_, held)| !held.without(listed).is_empty()) {
            let channels = theirs.entry(ticker.clone()).or_default();
            *channels = channels.with(held.without(listed));
        }
        theirs
    }

    fn ticker(&self, text: &str) -> Option<Ticker> {
        if text == "*" {
            return Some(Ticker::All);
        }
        let known = self.wanted.get_key_value(text).map(|(symbol, _)| symbol.clone());
        known.or_else(|| text.parse().ok()).map(Ticker::One)
    }
}
