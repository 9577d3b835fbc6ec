//! The wishes for one symbol, and each of them as a field of the durable hash.
//!
//! Must not know limits, nor when a lease is over.

use super::Instrument;
use crate::contract::BotName;
use crate::model::{Dialect, Feed};

/// One bot's wish for one feed of one symbol in one dialect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wish {
    pub bot: BotName,
    pub feed: Feed,
    pub dialect: Dialect,
}

/// Unix milliseconds at which a lease ends; 0 for none.
pub type LeaseEnd = i64;

/// The wishes for one symbol, in order. There is nearly always one: a list of one is a tenth of a tree of one.
#[derive(Debug, Default)]
pub(super) struct Wishes(Vec<(Wish, LeaseEnd)>);

impl Wishes {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Wish, LeaseEnd)> {
        self.0.iter().map(|(wish, lease)| (wish, *lease))
    }

    pub fn any(&self, of: impl Fn(&Wish) -> bool) -> bool {
        self.0.iter().any(|(wish, _)| of(wish))
    }

    fn place(&self, wish: &Wish) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| held.cmp(wish))
    }

    pub fn has(&self, wish: &Wish) -> bool {
        self.place(wish).is_ok()
    }

    pub fn put(&mut self, wish: Wish, lease: LeaseEnd) {
        match self.place(&wish) {
            Ok(at) => self.0[at].1 = lease,
            Err(at) => {
                if self.0.is_empty() {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (wish, lease));
            }
        }
    }

    /// False when there was no such wish.
    pub fn remove(&mut self, wish: &Wish) -> bool {
        self.place(wish).map(|at| self.0.remove(at)).is_ok()
    }
}

/// The field under which a wish is kept.
pub(super) fn field(instrument: &Instrument, wish: &Wish) -> String {
    format!("{}|{}|{}|{}|{}", wish.bot, instrument.exchange, instrument.symbol, wish.feed, wish.dialect.as_str())
}

/// `None` when it is not one of ours.
pub(super) fn parse_field(field: &str) -> Option<(Instrument, Wish)> {
    let parts: Vec<&str> = field.split('|').collect();
    let [bot, exchange, symbol, feed, dialect] = parts.as_slice() else { return None };
    let instrument = Instrument { exchange: exchange.parse().ok()?, symbol: symbol.parse().ok()? };
    Some((instrument, Wish { bot: bot.parse().ok()?, feed: Feed::from_name(feed)?, dialect: Dialect::from_name(dialect)? }))
}
