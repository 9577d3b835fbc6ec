//! Who is served: the answers that the book of subscriptions gave, found again quickly for each message.
//!
//! Nearly all symbols have at most eight letters, which make one number; the table of eleven thousand of them fits the
//! processor's near cache, where names of their own would not. Longer ones are asked for anew. Must not know why somebody
//! is served.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::model::{Feed, FeedSet, SymbolId};

#[derive(Debug, Default)]
pub(super) struct Recipients(HashMap<u64, Recipient, RandomState>);

#[derive(Debug, Clone, Copy)]
struct Recipient {
    id: SymbolId,
    feeds: FeedSet,
    /// Tells a short symbol from one that goes on with zero bytes.
    length: u8,
}

impl Recipients {
    #[inline]
    pub fn find(&self, symbol: &str, feed: Feed) -> Option<SymbolId> {
        let known = self.0.get(&number(symbol)?)?;
        (known.feeds.contains(feed) && usize::from(known.length) == symbol.len()).then_some(known.id)
    }

    pub fn remember(&mut self, symbol: &str, feed: Feed, id: SymbolId) {
        if let Some(number) = number(symbol) {
            let known = self.0.entry(number).or_insert(Recipient { id, feeds: FeedSet::NONE, length: symbol.len() as u8 });
            known.feeds = known.feeds.with(feed);
        }
    }

    /// The answer for this symbol may be another one now.
    pub fn forget(&mut self, symbol: &str) {
        if let Some(number) = number(symbol) {
            self.0.remove(&number);
        }
    }

    pub fn forget_all(&mut self) {
        self.0.clear();
    }
}

/// Up to eight bytes, the missing ones zero.
#[inline]
fn number(symbol: &str) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.get_mut(..symbol.len())?.copy_from_slice(symbol.as_bytes());
    Some(u64::from_le_bytes(bytes))
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
        assert_eq!(recipients.find("AAPL", Feed::Price), None);
    }
}
