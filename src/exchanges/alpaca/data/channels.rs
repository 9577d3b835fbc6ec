//! Which channels carry which feed on which stream, and sets of them.

use crate::exchanges::alpaca::wire::Key;
use crate::model::{Feed, FeedSet, Symbol};

/// The kinds of market-data streams, by what they offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Market {
    Stocks,
    /// No trading statuses.
    Crypto,
    /// The venue's test stream: trades, quotes and minute bars of one invented symbol.
    Test,
}

const TRADES: u8 = 1;
const QUOTES: u8 = 1 << 1;
const BARS: u8 = 1 << 2;
const UPDATED_BARS: u8 = 1 << 3;
const DAILY_BARS: u8 = 1 << 4;
const STATUSES: u8 = 1 << 5;
const LULDS: u8 = 1 << 6;

/// How many channels there are.
pub(super) const CHANNELS: usize = 7;

const TABLE: [(u8, &str, Key); CHANNELS] = [
    (TRADES, "trades", Key::Trades),
    (QUOTES, "quotes", Key::Quotes),
    (BARS, "bars", Key::Bars),
    (UPDATED_BARS, "updatedBars", Key::UpdatedBars),
    (DAILY_BARS, "dailyBars", Key::DailyBars),
    (STATUSES, "statuses", Key::Statuses),
    (LULDS, "lulds", Key::Lulds),
];

/// A set of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Channels(u8);

impl Channels {
    pub const NONE: Channels = Channels(0);

    pub fn of(feeds: FeedSet, market: Market) -> Channels {
        feeds.iter().fold(Channels::NONE, |set, feed| set.with(Channels::of_feed(feed, market)))
    }

    fn of_feed(feed: Feed, market: Market) -> Channels {
        Channels(match (feed, market) {
            (Feed::Price, _) => TRADES,
            (Feed::Quote, _) => QUOTES,
            (Feed::Bar, Market::Test) => BARS,
            (Feed::Bar, _) => BARS | UPDATED_BARS | DAILY_BARS,
            (Feed::Status, Market::Stocks) => STATUSES | LULDS,
            (Feed::Status, _) => 0,
        })
    }

    /// The feeds that at least one of these channels carries.
    pub fn feeds(self, market: Market) -> FeedSet {
        Feed::ALL.into_iter().filter(|feed| !self.and(Channels::of_feed(*feed, market)).is_empty()).collect()
    }

    pub fn with(self, other: Channels) -> Channels {
        Channels(self.0 | other.0)
    }

    pub fn without(self, other: Channels) -> Channels {
        Channels(self.0 & !other.0)
    }

    pub fn and(self, other: Channels) -> Channels {
        Channels(self.0 & other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One set for each channel in this one.
    pub fn each(self) -> impl Iterator<Item = Channels> {
        TABLE.iter().map(|(bit, ..)| Channels(*bit)).filter(move |one| self.0 & one.0 != 0)
    }

    /// Where a single channel stands among all.
    pub fn place(self) -> usize {
        (self.0.trailing_zeros() as usize).min(CHANNELS - 1)
    }

    /// The wire's names of the channels.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        TABLE.iter().filter(move |(bit, ..)| self.0 & bit != 0).map(|(_, name, _)| *name)
    }

    /// Every channel with the field of an acknowledgement that lists its symbols.
    pub fn listed() -> impl Iterator<Item = (Channels, Key)> {
        TABLE.iter().map(|(bit, _, key)| (Channels(*bit), *key))
    }
}

/// What stands in a channel's list: `*` or a symbol. The wildcard sorts first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ticker {
    All,
    One(Symbol),
}

impl Ticker {
    pub fn as_str(&self) -> &str {
        match self {
            Ticker::All => "*",
            Ticker::One(symbol) => symbol.as_str(),
        }
    }
}

/// A ticker's channels in one request: asked for, acknowledged and refused as one.
pub(super) type Unit = (Ticker, Channels);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feeds_become_the_channels_of_the_market() {
        let names = |feeds, market| Channels::of(feeds, market).names().collect::<Vec<_>>();
        let all = ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds"];
        assert_eq!(names(FeedSet::ALL, Market::Stocks), all);
        assert_eq!(names(FeedSet::ALL, Market::Crypto), all[..5]);
        assert_eq!(names(FeedSet::ALL, Market::Test), all[..3]);
        assert_eq!(Channels::of(FeedSet::ALL, Market::Stocks).feeds(Market::Stocks), FeedSet::ALL);
        assert!(Channels::of(FeedSet::NONE.with(Feed::Status), Market::Crypto).is_empty());
    }
}
