//! How many in the last sixty seconds, exactly.
//!
//! Must not read the clock.

use std::collections::{BTreeMap, VecDeque};

use crate::model::Timestamp;

const WINDOW: i64 = 60_000_000_000;
/// What comes so close together is kept as one, at the later time: a minute never takes more than 60,000 places.
const GRAIN: i64 = 1_000_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    oldest_first: VecDeque<(i64, u32)>,
}

impl Rate {
    /// Since sixty seconds before `now`: what is exactly that old is out.
    pub fn count(&self, now: Timestamp) -> u32 {
        let after = now.nanos().saturating_sub(WINDOW);
        self.oldest_first.iter().rev().take_while(|(at, _)| *at > after).fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub fn add(&mut self, now: Timestamp) {
        let after = now.nanos().saturating_sub(WINDOW);
        while self.oldest_first.front().is_some_and(|(at, _)| *at <= after) {
            self.oldest_first.pop_front();
        }
        match self.oldest_first.back_mut() {
            // A clock that was set back does not open the window again.
            Some((at, count)) if now.nanos().saturating_sub(*at) < GRAIN && (*at / GRAIN == now.nanos() / GRAIN || *at > now.nanos()) => {
                *at = now.nanos().max(*at);
                *count = count.saturating_add(1);
            }
            _ => self.oldest_first.push_back((now.nanos(), 1)),
        }
    }
}

/// From so many bots on, those that sent nothing in the last minute are forgotten.
const MANY_BOTS: usize = 256;

/// The rate of an account and of each bot on it.
#[derive(Debug, Default)]
pub(super) struct Rates {
    all: Rate,
    bots: BTreeMap<String, Rate>,
}

impl Rates {
    /// Of a bot, or of everybody.
    pub fn count(&self, bot: Option<&str>, now: Timestamp) -> u32 {
        match bot {
            None => self.all.count(now),
            Some(bot) => self.bots.get(bot).map_or(0, |rate| rate.count(now)),
        }
    }

    pub fn add(&mut self, bot: Option<&str>, now: Timestamp) {
        self.all.add(now);
        let Some(bot) = bot else { return };
        if self.bots.len() >= MANY_BOTS && !self.bots.contains_key(bot) {
            self.bots.retain(|_, rate| rate.count(now) > 0);
        }
        self.bots.entry(bot.to_owned()).or_default().add(now);
    }

    pub fn bots(&self) -> impl Iterator<Item = &str> {
        self.bots.keys().map(String::as_str)
    }
}
