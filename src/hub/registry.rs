//! Who wants what: the set of registrations with their leases, and what follows for each symbol. Pure.
//!
//! A set, never a counter: saying the same thing twice changes nothing, and what was lost comes right with the next
//! renewal. Must not know Redis, threads or how a symbol is subscribed at a venue.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::config::RegistrationLimits;
use crate::contract::{Action, BotName, Refusal, RegistrationCommand};
use crate::model::{Dialect, ExchangeName, Feed, FeedSet, Symbol};

/// A symbol at an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instrument {
    pub exchange: ExchangeName,
    pub symbol: Symbol,
}

/// One bot's wish for one feed of one symbol in one dialect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wish {
    pub bot: BotName,
    pub feed: Feed,
    pub dialect: Dialect,
}

/// Unix milliseconds at which a lease ends; 0 for none.
pub type LeaseEnd = i64;

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

/// The wishes for one symbol, in order. There is nearly always one: a list of one is a tenth of a tree of one.
#[derive(Debug, Default)]
struct Wishes(Vec<(Wish, LeaseEnd)>);

impl Wishes {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn iter(&self) -> impl Iterator<Item = (&Wish, LeaseEnd)> {
        self.0.iter().map(|(wish, lease)| (wish, *lease))
    }

    fn any(&self, of: impl Fn(&Wish) -> bool) -> bool {
        self.0.iter().any(|(wish, _)| of(wish))
    }

    fn place(&self, wish: &Wish) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| held.cmp(wish))
    }

    fn has(&self, wish: &Wish) -> bool {
        self.place(wish).is_ok()
    }

    fn put(&mut self, wish: Wish, lease: LeaseEnd) {
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
    fn remove(&mut self, wish: &Wish) -> bool {
        self.place(wish).map(|at| self.0.remove(at)).is_ok()
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

fn field(instrument: &Instrument, wish: &Wish) -> String {
    format!("{}|{}|{}|{}|{}", wish.bot, instrument.exchange, instrument.symbol, wish.feed, wish.dialect.as_str())
}

fn parse_field(field: &str) -> Option<(Instrument, Wish)> {
    let parts: Vec<&str> = field.split('|').collect();
    let [bot, exchange, symbol, feed, dialect] = parts.as_slice() else { return None };
    let instrument = Instrument { exchange: exchange.parse().ok()?, symbol: symbol.parse().ok()? };
    Some((instrument, Wish { bot: bot.parse().ok()?, feed: Feed::from_name(feed)?, dialect: Dialect::from_name(dialect)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::parse_registration;
    use proptest::prelude::*;

    impl Changes {
        fn is_empty(&self) -> bool {
            self.stored.is_empty() && self.removed.is_empty()
        }
    }

    const NOW: i64 = 1_800_000_000_000;

    fn alpaca() -> ExchangeName {
        "alpaca".parse().unwrap()
    }

    fn instrument(symbol: &str) -> Instrument {
        Instrument { exchange: alpaca(), symbol: symbol.parse().unwrap() }
    }

    fn registry() -> Registry {
        Registry::new(RegistrationLimits { per_bot: 3, total: 5 })
    }

    fn say(registry: &mut Registry, message: &str, now_ms: i64) -> Changes {
        registry.apply(&parse_registration(message.as_bytes()).unwrap(), &alpaca(), now_ms)
    }

    #[test]
    fn the_dialect_of_the_registration_is_the_dialect_of_the_messages() {
        let mut registry = registry();
        let changes = say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
        assert_eq!(changes.instruments.len(), 1);
        assert_eq!(changes.stored, [("legacy|alpaca|AAPL|price|ticker".to_owned(), 0)]);
        assert!(registry.interest(&instrument("AAPL")).typed.is_empty());
        say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1","feeds":["quote"]}"#, NOW);
        let interest = registry.interest(&instrument("AAPL"));
        assert!(interest.ticker.contains(Feed::Price) && !interest.ticker.contains(Feed::Quote) && interest.typed.contains(Feed::Quote));
    }

    #[test]
    fn saying_it_twice_changes_nothing_upstream() {
        let mut registry = registry();
        say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1"}"#, NOW);
        let again = say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1"}"#, NOW + 1_000);
        assert!(again.instruments.is_empty());
        assert_eq!(again.stored, [("b1|alpaca|AAPL|price|typed".to_owned(), NOW + 61_000)]);
        assert!(say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b2"}"#, NOW).instruments.is_empty());
        assert!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"],"bot":"b1"}"#, NOW).instruments.is_empty());
        assert_eq!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"],"bot":"b2"}"#, NOW).instruments.len(), 1);
        assert_eq!((registry.symbols(), registry.bots()), (0, 0));
    }

    #[test]
    fn leases_run_out_and_are_renewed() {
        let mut registry = registry();
        say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1","ttl_s":10}"#, NOW);
        say(&mut registry, r#"{"action":"register","symbols":["B"],"bot":"b1","ttl_s":20}"#, NOW);
        assert!(registry.expire(NOW + 9_999).is_empty());
        say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1","ttl_s":30}"#, NOW + 9_999);
        assert!(registry.expire(NOW + 10_001).is_empty());
        let ended = registry.expire(NOW + 20_000);
        assert_eq!(ended.removed, ["b1|alpaca|B|price|typed"]);
        assert_eq!(ended.instruments.into_iter().collect::<Vec<_>>(), [instrument("B")]);
        assert_eq!(registry.expire(NOW + 100_000).removed, ["b1|alpaca|A|price|typed"]);
    }

    #[test]
    fn an_anonymous_holding_goes_only_when_nobody_listens() {
        let mut registry = registry();
        say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
        let left = say(&mut registry, r#"{"action":"unsubscribe","ticker":"AAPL"}"#, NOW);
        assert!(left.removed.is_empty() && left.instruments.is_empty());
        assert_eq!(registry.leaving().count(), 1);
        let gone = registry.abandoned(&instrument("AAPL"), Dialect::Ticker);
        assert_eq!(gone.removed, ["legacy|alpaca|AAPL|price|ticker"]);
        say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
        say(&mut registry, r#"{"action":"unsubscribe","ticker":"AAPL"}"#, NOW);
        say(&mut registry, r#"{"action":"subscribe","ticker":"AAPL"}"#, NOW);
        assert!(registry.abandoned(&instrument("AAPL"), Dialect::Ticker).is_empty(), "a new subscription cancels the leave");
    }

    #[test]
    fn only_the_holders_own_are_unregistered() {
        let mut registry = registry();
        say(&mut registry, r#"{"action":"register","symbols":["AAPL"],"bot":"b1"}"#, NOW);
        assert!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"],"bot":"b2"}"#, NOW).is_empty());
        assert!(say(&mut registry, r#"{"action":"unregister","symbols":["AAPL"]}"#, NOW).is_empty());
        assert_eq!(registry.symbols(), 1);
    }

    #[test]
    fn caps_hold_per_bot_and_in_all() {
        let mut registry = registry();
        let changes = say(&mut registry, r#"{"action":"register","symbols":["A","B","C","D"],"bot":"b1"}"#, NOW);
        assert_eq!((changes.accepted.len(), changes.refused.len()), (3, 1));
        assert!(changes.refused[0].reason.contains("3 symbols per bot"));
        let changes = say(&mut registry, r#"{"action":"register","symbols":["X","Y","Z","A"],"bot":"b2"}"#, NOW);
        assert_eq!(changes.accepted, ["A".parse().unwrap(), "X".parse().unwrap(), "Y".parse().unwrap()]);
        assert!(changes.refused[0].reason.contains("3 symbols per bot") || changes.refused[0].reason.contains("5 symbols in all"));
    }

    #[test]
    fn what_was_stored_is_restored_and_nothing_else() {
        let mut registry = registry();
        say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1"}"#, NOW);
        say(&mut registry, r#"{"action":"subscribe","ticker":"B"}"#, NOW);
        registry.hold_for_config(&instrument("C"), FeedSet::ALL, Dialect::Ticker);
        let stored = registry.stored_fields();
        assert_eq!(stored.len(), 2, "{stored:?}");
        let mut second = self::registry();
        for (field, lease) in &stored {
            assert!(second.restore(field, *lease, NOW).is_some());
        }
        assert_eq!(second.stored_fields(), stored);
        assert!(second.restore("b1|alpaca|D|price|typed", NOW - 1, NOW).is_none(), "a lease that is over");
        for field in ["", "x", "b1|alpaca|d|price|typed", "config|alpaca|D|price|typed", "b1|alpaca|D|price|typed|x", "b1|alpaca|D|news|typed"] {
            assert!(second.restore(field, 0, NOW).is_none(), "{field}");
        }
    }

    #[test]
    fn a_refusal_of_the_venue_tells_every_holder() {
        let mut registry = registry();
        say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b1"}"#, NOW);
        say(&mut registry, r#"{"action":"subscribe","ticker":"A"}"#, NOW);
        say(&mut registry, r#"{"action":"register","symbols":["A"],"bot":"b2","feeds":["quote"]}"#, NOW);
        let (changes, holders) = registry.refuse(&instrument("A"), FeedSet::NONE.with(Feed::Price));
        assert_eq!((changes.removed.len(), holders.len(), registry.symbols()), (2, 2, 1));
        assert_eq!(registry.interest(&instrument("A")).feeds(), FeedSet::NONE.with(Feed::Quote));
    }

    proptest! {
        #[test]
        fn counts_return_to_zero(steps in proptest::collection::vec((0u8..3, 0u8..4, 0u8..6, 0u8..2), 0..200)) {
            let mut registry = Registry::new(RegistrationLimits { per_bot: 4, total: 5 });
            for (action, bot, symbol, dialect) in steps {
                let verb = match (action < 2, dialect) { (true, 0) => "subscribe", (true, _) => "register", (false, 0) => "unsubscribe", (false, _) => "unregister" };
                say(&mut registry, &format!(r#"{{"action":"{verb}","tickers":["S{symbol}"],"bot":"b{bot}"}}"#), NOW);
                prop_assert!(registry.symbols() <= 5);
            }
            registry.expire(NOW + 61_000);
            prop_assert_eq!((registry.symbols(), registry.bots(), registry.registrations()), (0, 0, 0));
        }
    }
}
