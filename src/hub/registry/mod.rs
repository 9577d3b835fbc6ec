//! Who wants what: the set of registrations with their leases, and what follows for each symbol. Pure.
//!
//! A set, never a counter: saying the same thing twice changes nothing, and what was lost comes right with the next
//! renewal. Must not know Redis, threads or how a symbol is subscribed at a venue.

mod wishes;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use self::wishes::{LeaseEnd, Wish};
use self::wishes::{Wishes, field, parse_field};
use crate::config::RegistrationLimits;
use crate::contract::{Action, BotName, Refusal, RegistrationCommand};
use crate::model::{Dialect, ExchangeName, Feed, FeedSet, Symbol};

/// A symbol at an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instrument {
    pub exchange: ExchangeName,
    pub symbol: Symbol,
}

/// In which dialects each feed of a symbol is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    pub ticker: FeedSet,
    pub typed: FeedSet,
}

impl Interest {
    pub fn feeds(self) -> FeedSet {
        self.ticker.union(self.typed)
    }

    pub fn union(self, other: Interest) -> Interest {
        Interest { ticker: self.ticker.union(other.ticker), typed: self.typed.union(other.typed) }
    }
}

/// What a change of the registry entails.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Symbols whose interest is another than before.
    pub instruments: BTreeSet<Instrument>,
    /// Fields of the durable hash to write and to delete.
    pub stored: Vec<(String, LeaseEnd)>,
    pub removed: Vec<String>,
    pub accepted: Vec<Symbol>,
    pub refused: Vec<Refusal>,
}

/// The wanted set.
#[derive(Debug)]
pub struct Registry {
    limits: RegistrationLimits,
    wishes: BTreeMap<Instrument, Wishes>,
    /// How many wishes there are.
    registrations: usize,
    /// How many symbols each bot holds.
    holdings: HashMap<BotName, usize>,
    /// Anonymous holdings that somebody gave up: dropped once nobody listens.
    leaving: BTreeSet<(Instrument, Dialect)>,
    /// No lease ends before this.
    next_expiry: LeaseEnd,
}

impl Registry {
    pub fn new(limits: RegistrationLimits) -> Registry {
        Registry { limits, wishes: BTreeMap::new(), registrations: 0, holdings: HashMap::new(), leaving: BTreeSet::new(), next_expiry: LeaseEnd::MAX }
    }

    /// Distinct symbols that somebody wants.
    pub fn symbols(&self) -> usize {
        self.wishes.len()
    }

    /// Named bots and the anonymous holder, each once.
    pub fn bots(&self) -> usize {
        self.holdings.len()
    }

    pub fn registrations(&self) -> usize {
        self.registrations
    }

    pub fn interest(&self, instrument: &Instrument) -> Interest {
        let mut interest = Interest::default();
        for (wish, _) in self.wishes.get(instrument).into_iter().flat_map(Wishes::iter) {
            match wish.dialect {
                Dialect::Ticker => interest.ticker = interest.ticker.with(wish.feed),
                Dialect::Typed => interest.typed = interest.typed.with(wish.feed),
            }
        }
        interest
    }

    /// Serves a command of a bot; `exchange` is the one that it means.
    pub fn apply(&mut self, command: &RegistrationCommand, exchange: &ExchangeName, now_ms: i64) -> Changes {
        let mut changes = Changes { refused: command.refused.clone(), ..Changes::default() };
        let lease_end = command.lease.map_or(0, |lease| now_ms.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)));
        for symbol in &command.symbols {
            let instrument = Instrument { exchange: exchange.clone(), symbol: symbol.clone() };
            match command.action {
                Action::Register => {
                    if let Err(reason) = self.check_caps(&instrument, &command.bot) {
                        changes.refused.push(Refusal::new(symbol.as_str(), &reason));
                        continue;
                    }
                    self.leaving.remove(&(instrument.clone(), command.dialect));
                    let feeds = command.feeds.unwrap_or(FeedSet::NONE.with(Feed::Price));
                    for feed in feeds.iter() {
                        self.hold(&instrument, Wish { bot: command.bot.clone(), feed, dialect: command.dialect }, lease_end, &mut changes);
                    }
                }
                // Many bots share the anonymous holding: it goes when nobody listens any more, not when one of them leaves.
                Action::Unregister if command.bot.is_anonymous() => {
                    if self.holds(&instrument, &command.bot, command.dialect) {
                        self.leaving.insert((instrument, command.dialect));
                    }
                }
                Action::Unregister => {
                    let feeds = command.feeds.unwrap_or(FeedSet::ALL);
                    for feed in feeds.iter() {
                        self.release(&instrument, &Wish { bot: command.bot.clone(), feed, dialect: command.dialect }, &mut changes);
                    }
                }
            }
            changes.accepted.push(symbol.clone());
        }
        changes
    }

    /// Holds a symbol for the configuration: no lease, nothing durable.
    pub fn hold_for_config(&mut self, instrument: &Instrument, feeds: FeedSet, dialect: Dialect) -> Changes {
        let mut changes = Changes::default();
        for feed in feeds.iter() {
            self.hold(instrument, Wish { bot: BotName::config(), feed, dialect }, 0, &mut changes);
        }
        changes.stored.clear();
        changes
    }

    /// Takes up a field of the durable hash; `None` when it is not one of ours or its lease is over.
    pub fn restore(&mut self, field: &str, lease_end: LeaseEnd, now_ms: i64) -> Option<Changes> {
        let (instrument, wish) = parse_field(field)?;
        let over = lease_end != 0 && lease_end <= now_ms;
        let lawful = wish.bot != BotName::config() && (lease_end == 0) == wish.bot.is_anonymous();
        if over || !lawful || self.check_caps(&instrument, &wish.bot).is_err() {
            return None;
        }
        let mut changes = Changes::default();
        // What a bot said since the start is newer than what was stored before.
        if !self.wishes.get(&instrument).is_some_and(|wishes| wishes.has(&wish)) {
            self.hold(&instrument, wish, lease_end, &mut changes);
        }
        Some(changes)
    }

    /// Drops what has run out.
    pub fn expire(&mut self, now_ms: i64) -> Changes {
        let mut changes = Changes::default();
        if now_ms < self.next_expiry {
            return changes;
        }
        let over = |lease: LeaseEnd| lease != 0 && lease <= now_ms;
        let ended: Vec<(Instrument, Wish)> = self
            .wishes
            .iter()
            .flat_map(|(instrument, wishes)| wishes.iter().filter(|(_, lease)| over(*lease)).map(|(wish, _)| (instrument.clone(), wish.clone())))
            .collect();
        for (instrument, wish) in &ended {
            self.release(instrument, wish, &mut changes);
        }
        let leases = self.wishes.values().flat_map(Wishes::iter).map(|(_, lease)| lease);
        self.next_expiry = leases.filter(|lease| *lease != 0).min().unwrap_or(LeaseEnd::MAX);
        changes
    }

    /// The venue will not serve these feeds: every holding of them goes, and the holders are to be told.
    pub fn refuse(&mut self, instrument: &Instrument, feeds: FeedSet) -> (Changes, BTreeSet<BotName>) {
        let mut changes = Changes::default();
        let held = self.wishes.get(instrument).into_iter().flat_map(Wishes::iter).map(|(wish, _)| wish);
        let wishes: Vec<Wish> = held.filter(|wish| feeds.contains(wish.feed)).cloned().collect();
        for wish in &wishes {
            self.release(instrument, wish, &mut changes);
        }
        (changes, wishes.into_iter().map(|wish| wish.bot).collect())
    }

    /// Anonymous holdings about which Redis should be asked whether anybody listens.
    pub fn leaving(&self) -> impl Iterator<Item = &(Instrument, Dialect)> {
        self.leaving.iter()
    }

    /// Nobody listens any more to an anonymous holding that was given up.
    pub fn abandoned(&mut self, instrument: &Instrument, dialect: Dialect) -> Changes {
        let mut changes = Changes::default();
        if self.leaving.remove(&(instrument.clone(), dialect)) {
            for feed in Feed::ALL {
                self.release(instrument, &Wish { bot: BotName::anonymous(), feed, dialect }, &mut changes);
            }
        }
        changes
    }

    /// Every durable field, for a Redis that has lost them.
    pub fn stored_fields(&self) -> Vec<(String, LeaseEnd)> {
        let all = self.wishes.iter().flat_map(|(instrument, wishes)| wishes.iter().map(move |(wish, lease)| (instrument, wish, lease)));
        all.filter(|(_, wish, _)| wish.bot != BotName::config()).map(|(instrument, wish, lease)| (field(instrument, wish), lease)).collect()
    }

    /// Whether there should be such a durable field.
    pub fn stores(&self, field: &str) -> bool {
        parse_field(field)
            .is_some_and(|(instrument, wish)| wish.bot != BotName::config() && self.wishes.get(&instrument).is_some_and(|wishes| wishes.has(&wish)))
    }

    fn holds(&self, instrument: &Instrument, bot: &BotName, dialect: Dialect) -> bool {
        self.wishes.get(instrument).is_some_and(|wishes| wishes.any(|wish| wish.bot == *bot && wish.dialect == dialect))
    }

    fn check_caps(&self, instrument: &Instrument, bot: &BotName) -> Result<(), String> {
        let wishes = self.wishes.get(instrument);
        if wishes.is_none() && self.wishes.len() >= self.limits.total {
            return Err(format!("the limit of {} symbols in all is reached", self.limits.total));
        }
        let holds_it = wishes.is_some_and(|wishes| wishes.any(|wish| wish.bot == *bot));
        if !holds_it && self.holdings.get(bot).copied().unwrap_or(0) >= self.limits.per_bot {
            return Err(format!("the limit of {} symbols per bot is reached", self.limits.per_bot));
        }
        Ok(())
    }

    fn hold(&mut self, instrument: &Instrument, wish: Wish, lease_end: LeaseEnd, changes: &mut Changes) {
        if lease_end != 0 {
            self.next_expiry = self.next_expiry.min(lease_end);
        }
        changes.stored.push((field(instrument, &wish), lease_end));
        let wishes = self.wishes.entry(instrument.clone()).or_default();
        if !wishes.any(|held| held.bot == wish.bot) {
            *self.holdings.entry(wish.bot.clone()).or_default() += 1;
        }
        let wanted_before = wishes.any(|held| held.feed == wish.feed && held.dialect == wish.dialect);
        let before = wishes.len();
        wishes.put(wish, lease_end);
        self.registrations += wishes.len() - before;
        if !wanted_before {
            changes.instruments.insert(instrument.clone());
        }
    }

    fn release(&mut self, instrument: &Instrument, wish: &Wish, changes: &mut Changes) {
        let Some(wishes) = self.wishes.get_mut(instrument) else { return };
        if !wishes.remove(wish) {
            return;
        }
        self.registrations -= 1;
        if wish.bot != BotName::config() {
            changes.removed.push(field(instrument, wish));
        }
        if !wishes.any(|held| held.feed == wish.feed && held.dialect == wish.dialect) {
            changes.instruments.insert(instrument.clone());
        }
        if !wishes.any(|held| held.bot == wish.bot)
            && let Some(count) = self.holdings.get_mut(&wish.bot)
        {
            *count -= 1;
            if *count == 0 {
                self.holdings.remove(&wish.bot);
            }
        }
        if wishes.len() == 0 {
            self.wishes.remove(instrument);
        }
    }
}

#[cfg(test)]
mod tests;
