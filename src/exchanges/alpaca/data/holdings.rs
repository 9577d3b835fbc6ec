//! What a venue holds for us: channels by ticker, and a tally of each channel's list.
//!
//! A tally tells whether a list is ours by hashing it once, in whatever order it comes, and so without keeping, sorting or
//! looking up any of it. Must not know what is wanted.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

use super::channels::{CHANNELS, Channels, Ticker};

/// How many texts, and the sum of their hashes: the same for the same texts in any order, and for nothing else that
/// happens. The hashes are of 64 bits and differ from process to process, so a venue cannot aim at a collision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    count: usize,
    sum: u64,
}

impl Tally {
    fn add(&mut self, hash: u64) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(hash);
    }

    fn take_off(&mut self, hash: u64) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(hash);
    }
}

#[derive(Debug, Default)]
pub(super) struct Holdings {
    by_ticker: BTreeMap<Ticker, Channels>,
    tallies: [Tally; CHANNELS],
    hashes: RandomState,
}

impl Holdings {
    pub fn get(&self, ticker: &Ticker) -> Channels {
        self.by_ticker.get(ticker).copied().unwrap_or_default()
    }

    pub fn set(&mut self, ticker: &Ticker, channels: Channels) {
        let before = if channels.is_empty() { self.by_ticker.remove(ticker) } else { self.by_ticker.insert(ticker.clone(), channels) };
        let before = before.unwrap_or_default();
        let hash = self.hashes.hash_one(ticker.as_str());
        channels.without(before).each().for_each(|one| self.tallies[one.place()].add(hash));
        before.without(channels).each().for_each(|one| self.tallies[one.place()].take_off(hash));
    }

    pub fn clear(&mut self) {
        self.by_ticker.clear();
        self.tallies = Default::default();
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Ticker, Channels)> {
        self.by_ticker.iter().map(|(ticker, channels)| (ticker, *channels))
    }

    /// The tally of a list with these texts is to be made with this.
    pub fn count(&self, text: &str, tally: &mut Tally) {
        tally.add(self.hashes.hash_one(text));
    }

    /// The tally of what is held of one channel.
    pub fn tally(&self, channel: Channels) -> Tally {
        self.tallies[channel.place()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn tally_of(holdings: &Holdings, texts: &[&str]) -> Tally {
        let mut tally = Tally::default();
        texts.iter().for_each(|text| holdings.count(text, &mut tally));
        tally
    }

    #[test]
    fn a_list_is_known_in_any_order_and_a_repetition_is_not_taken_for_another_name() {
        let mut holdings = Holdings::default();
        let (trades, ticker) = (Channels::listed().next().expect("trades").0, |text: &str| Ticker::One(text.parse().expect("a symbol")));
        ["A", "B", "C"].iter().for_each(|text| holdings.set(&ticker(text), trades));
        assert_eq!(holdings.tally(trades), tally_of(&holdings, &["C", "A", "B"]));
        for other in [&["A", "B"][..], &["A", "B", "B"], &["A", "B", "D"], &["A", "B", "C", "C"], &[]] {
            assert_ne!(holdings.tally(trades), tally_of(&holdings, other), "{other:?}");
        }
        holdings.set(&ticker("B"), Channels::NONE);
        assert_eq!(holdings.tally(trades), tally_of(&holdings, &["A", "C"]));
    }

    proptest! {
        #[test]
        fn tallies_are_those_of_what_is_held(steps in vec((0u8..6, 0u8..128), 0..100)) {
            let mut holdings = Holdings::default();
            for (symbol, bits) in steps {
                let ticker = if symbol == 0 { Ticker::All } else { Ticker::One(format!("S{symbol}").parse().expect("a symbol")) };
                let channels = Channels::listed().enumerate().filter(|(at, _)| bits & (1 << at) != 0).fold(Channels::NONE, |all, (_, (one, _))| all.with(one));
                holdings.set(&ticker, channels);
                prop_assert_eq!(holdings.get(&ticker), channels);
            }
            for (channel, _) in Channels::listed() {
                let texts: Vec<&str> = holdings.iter().filter(|(_, held)| !held.and(channel).is_empty()).map(|(ticker, _)| ticker.as_str()).collect();
                prop_assert_eq!(holdings.tally(channel), tally_of(&holdings, &texts));
            }
        }
    }
}
