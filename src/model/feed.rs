//! What a bot can ask for about a symbol, and in which of the two message dialects.

use std::fmt;

/// A kind of market data, as bots name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feed {
    /// Trades, with the corrections and cancels that take them back.
    Price,
    Quote,
    /// Minute, updated minute and daily bars.
    Bar,
    /// Halts and resumptions, and limit-up/limit-down bands.
    Status,
}

impl Feed {
    pub const ALL: [Feed; 4] = [Feed::Price, Feed::Quote, Feed::Bar, Feed::Status];

    pub fn as_str(self) -> &'static str {
        match self {
            Feed::Price => "price",
            Feed::Quote => "quote",
            Feed::Bar => "bar",
            Feed::Status => "status",
        }
    }

    pub fn from_name(name: &str) -> Option<Feed> {
        Feed::ALL.into_iter().find(|feed| feed.as_str() == name)
    }
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of feeds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FeedSet(u8);

impl FeedSet {
    pub const NONE: FeedSet = FeedSet(0);
    pub const ALL: FeedSet = FeedSet(0b1111);

    pub fn with(self, feed: Feed) -> FeedSet {
        FeedSet(self.0 | 1 << feed as u8)
    }

    pub fn without(self, feed: Feed) -> FeedSet {
        FeedSet(self.0 & !(1 << feed as u8))
    }

    pub fn union(self, other: FeedSet) -> FeedSet {
        FeedSet(self.0 | other.0)
    }

    pub fn contains(self, feed: Feed) -> bool {
        self.0 & (1 << feed as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Feed> {
        Feed::ALL.into_iter().filter(move |feed| self.contains(*feed))
    }
}

impl FromIterator<Feed> for FeedSet {
    fn from_iter<I: IntoIterator<Item = Feed>>(feeds: I) -> FeedSet {
        feeds.into_iter().fold(FeedSet::NONE, FeedSet::with)
    }
}

impl fmt::Debug for FeedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The two families of messages that grew before this service and both live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// One channel a symbol, `TICKER_UPDATES_AAPL`, for prices and orders alike.
    Ticker,
    /// A channel a symbol and kind, `price:AAPL`; orders by account, `order:{account_id}`.
    Typed,
}

impl Dialect {
    pub const ALL: [Dialect; 2] = [Dialect::Ticker, Dialect::Typed];

    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Ticker => "ticker",
            Dialect::Typed => "typed",
        }
    }

    pub fn from_name(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: FeedSet = [Feed::Price, Feed::Status].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Feed::Price, Feed::Status]);
        assert!(!set.contains(Feed::Quote) && set.without(Feed::Price).without(Feed::Status).is_empty());
        assert_eq!(Feed::ALL.into_iter().collect::<FeedSet>(), FeedSet::ALL);
    }
}
