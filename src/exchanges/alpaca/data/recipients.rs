//! Who is served: the answers that the book of subscriptions gave, found again quickly for each message.
//!
//! Nearly all symbols have at most eight letters, which make one number. With eleven thousand of them each look-up waits
//! for memory, so it is one place that is waited for: a flat table, searched from where the number says. Longer symbols
//! are asked for anew. Must not know why somebody is served.

use crate::model::{Feed, FeedSet, SymbolId};

/// Places before the first symbol; always a power of two and at most half full.
const FIRST_PLACES: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Recipients {
    places: Vec<Recipient>,
    taken: usize,
}

#[derive(Debug, Clone, Copy)]
struct Recipient {
    letters: u64,
    id: SymbolId,
    /// Empty where the answer was forgotten.
    feeds: FeedSet,
    /// Zero at a free place. Tells a short symbol from one that goes on with zero bytes.
    length: u8,
}

const FREE: Recipient = Recipient { letters: 0, id: SymbolId(0), feeds: FeedSet::NONE, length: 0 };

impl Recipients {
    #[inline]
    pub fn find(&self, symbol: &str, feed: Feed) -> Option<SymbolId> {
        let known = self.places.get(self.place(letters(symbol)?, symbol.len())?)?;
        known.feeds.contains(feed).then_some(known.id)
    }

    pub fn remember(&mut self, symbol: &str, feed: Feed, id: SymbolId) {
        let Some(letters) = letters(symbol) else { return };
        if self.places.len() < FIRST_PLACES.max(2 * (self.taken + 1)) {
            self.grow();
        }
        let Some(place) = self.place(letters, symbol.len()).and_then(|at| self.places.get_mut(at)) else { return };
        self.taken += usize::from(place.length == 0);
        let feeds = if place.id == id { place.feeds } else { FeedSet::NONE };
        *place = Recipient { letters, id, feeds: feeds.with(feed), length: symbol.len() as u8 };
    }

    /// The answer for this symbol may be another one now.
    pub fn forget(&mut self, symbol: &str) {
        let place = letters(symbol).and_then(|letters| self.place(letters, symbol.len()));
        if let Some(known) = place.and_then(|at| self.places.get_mut(at)) {
            known.feeds = FeedSet::NONE;
        }
    }

    pub fn forget_all(&mut self) {
        *self = Recipients::default();
    }

    /// Where the symbol stands, or would stand.
    #[inline]
    fn place(&self, letters: u64, length: usize) -> Option<usize> {
        let last = self.places.len().checked_sub(1)?;
        // The upper half of the product depends on all letters.
        let mut at = (letters.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & last;
        loop {
            let here = self.places[at];
            if (here.letters == letters && usize::from(here.length) == length) || here.length == 0 {
                return Some(at);
            }
            at = (at + 1) & last;
        }
    }

    fn grow(&mut self) {
        let places = FIRST_PLACES.max(2 * self.places.len());
        for known in std::mem::replace(&mut self.places, vec![FREE; places]) {
            if known.length > 0
                && let Some(at) = self.place(known.letters, usize::from(known.length))
            {
                self.places[at] = known;
            }
        }
    }
}

/// Up to eight letters as one number; `None` for more of them and for none.
#[inline]
fn letters(symbol: &str) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.get_mut(..symbol.len())?.copy_from_slice(symbol.as_bytes());
    (!symbol.is_empty()).then(|| u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_was_told_and_nothing_else() {
        let mut recipients = Recipients::default();
        recipients.remember("AAPL", Feed::Price, SymbolId(7));
        recipients.remember("AAPL", Feed::Quote, SymbolId(7));
        recipients.remember("BTC/USDT1", Feed::Price, SymbolId(8));
        assert_eq!(recipients.find("AAPL", Feed::Quote), Some(SymbolId(7)));
        for (symbol, feed) in [("AAPL", Feed::Bar), ("AAP", Feed::Price), ("AAPL\0", Feed::Price), ("BTC/USDT1", Feed::Price), ("", Feed::Price)] {
            assert_eq!(recipients.find(symbol, feed), None, "{symbol:?}");
        }
        recipients.forget("AAPL");
        recipients.forget("MSFT");
        assert_eq!(recipients.find("AAPL", Feed::Price), None);
        recipients.remember("AAPL", Feed::Bar, SymbolId(9));
        assert_eq!((recipients.find("AAPL", Feed::Bar), recipients.find("AAPL", Feed::Quote)), (Some(SymbolId(9)), None));
    }

    #[test]
    fn finds_each_of_a_whole_market() {
        let mut recipients = Recipients::default();
        let names: Vec<String> = (0..11_000).map(|n| format!("S{n:04}")).collect();
        for (name, id) in names.iter().zip(0..) {
            recipients.remember(name, Feed::Price, SymbolId(id));
        }
        assert!(names.iter().zip(0..).all(|(name, id)| recipients.find(name, Feed::Price) == Some(SymbolId(id))));
        assert_eq!(recipients.find("S11000", Feed::Price), None);
        assert!(recipients.taken == 11_000 && recipients.places.len() == 32_768);
        recipients.forget_all();
        assert_eq!(recipients.find("S0000", Feed::Price), None);
    }
}
