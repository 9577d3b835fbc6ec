//! The registrar: hears what bots register, keeps the registry, and says what must follow.
//!
//! Owned by the supervisor. It decides; it does not wait for Redis, nor does it touch a producer.

mod consequences;
mod upstream;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::consequences::{Consequences, InterestChange, Requests};
use self::upstream::Upstream;
use super::prices::StreamId;
use super::registry::{Changes, Instrument, Interest, Registry};
use super::symbols::SymbolTable;
use crate::config::{DialectRule, RegistrationLimits};
use crate::contract::channel::{REPLIES, get_ticker_channel, public_name, typed_channel};
use crate::contract::{Action, BadRegistration, BotName, MessageType, Refusal, RegistrationCommand, RegistrationReply, parse_registration};
use crate::exchanges::{RefusedSymbol, SymbolWant};
use crate::model::{Dialect, ExchangeName, Feed, FeedSet, Symbol, SymbolId};
use crate::observe::Counter;

/// Refusals published for everybody a second; a flood beyond it is only counted.
const PUBLIC_REFUSALS_PER_S: u32 = 50;
/// Bots whose answer channel is remembered for refusals that come later.
const REPLY_CHANNELS_MAX: usize = 10_000;
/// Symbols of the commands remembered until the registrations of an earlier process are known; beyond it the leases decide.
const EARLY_SYMBOLS_MAX: usize = 50_000;

#[derive(Debug, Default)]
pub struct RegistrarStats {
    pub messages: Counter,
    pub accepted: Counter,
    pub refused: Counter,
    pub malformed: Counter,
    pub expired: Counter,
}

/// Which stream carries a symbol; `None` where no exchange of that name is served.
pub type Route = Box<dyn Fn(&Instrument) -> Option<StreamId> + Send>;

pub struct Registrar {
    registry: Registry,
    table: Arc<SymbolTable>,
    default_exchange: ExchangeName,
    dialects: DialectRule,
    route: Route,
    epoch: i64,
    upstream: Upstream,
    reply_channels: HashMap<BotName, String>,
    refusals: RefusalBudget,
    /// What bots said before the restoration, which is newer than what is restored; `None` after it.
    early: Option<Early>,
    stats: Arc<RegistrarStats>,
}

#[derive(Debug, Default)]
struct Early {
    commands: Vec<(RegistrationCommand, ExchangeName)>,
    symbols: usize,
}

#[derive(Debug)]
struct RefusalBudget {
    second: Instant,
    left: u32,
}

impl Registrar {
    pub fn new(
        limits: RegistrationLimits,
        table: Arc<SymbolTable>,
        default_exchange: ExchangeName,
        dialects: DialectRule,
        route: Route,
        epoch: i64,
        stats: Arc<RegistrarStats>,
    ) -> Registrar {
        Registrar {
            registry: Registry::new(limits),
            table,
            default_exchange,
            dialects,
            route,
            epoch,
            upstream: Upstream::default(),
            reply_channels: HashMap::new(),
            refusals: RefusalBudget { second: Instant::now(), left: PUBLIC_REFUSALS_PER_S },
            early: Some(Early::default()),
            stats,
        }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// One message of a registration channel.
    pub fn handle_registration_message(&mut self, payload: &[u8], now_ms: i64, out: &mut Consequences) {
        self.stats.messages.add(1);
        let command = match parse_registration(payload) {
            Ok(command) => command,
            Err(bad) => return self.refuse_message(bad, out),
        };
        let exchange = command.exchange.clone().unwrap_or_else(|| self.default_exchange.clone());
        let known = command.symbols.first().is_none_or(|symbol| (self.route)(&Instrument { exchange: exchange.clone(), symbol: symbol.clone() }).is_some());
        if !known {
            let reason = format!("the exchange {exchange} is not served here");
            return self.refuse_message(BadRegistration { reason, bot: Some(command.bot), reply_to: command.reply_to }, out);
        }
        if let Some(channel) = &command.reply_to
            && (self.reply_channels.len() < REPLY_CHANNELS_MAX || self.reply_channels.contains_key(&command.bot))
        {
            self.reply_channels.insert(command.bot.clone(), channel.clone());
        }
        if let Some(early) = self.early.as_mut().filter(|early| early.symbols < EARLY_SYMBOLS_MAX) {
            early.symbols += command.symbols.len().max(1);
            early.commands.push((command.clone(), exchange.clone()));
        }
        match command.action {
            Action::Register => self.subscribe_symbols(&command, &exchange, now_ms, out),
            Action::Unregister => self.unsubscribe_symbols(&command, &exchange, now_ms, out),
        }
    }

    /// Takes up what a bot wants.
    pub fn subscribe_symbols(&mut self, command: &RegistrationCommand, exchange: &ExchangeName, now_ms: i64, out: &mut Consequences) {
        let changes = self.registry.apply(command, exchange, now_ms);
        self.answer("register", command, &changes, out);
        self.follow(changes, out);
    }

    /// Drops what a bot wants no longer; what is shared without a name goes when nobody listens.
    pub fn unsubscribe_symbols(&mut self, command: &RegistrationCommand, exchange: &ExchangeName, now_ms: i64, out: &mut Consequences) {
        let changes = self.registry.apply(command, exchange, now_ms);
        out.ask_listeners |= command.bot.is_anonymous() && !changes.accepted.is_empty();
        self.answer("unregister", command, &changes, out);
        self.follow(changes, out);
    }

    /// A message so large that nobody has read it.
    pub fn handle_oversized(&mut self, bytes: usize, out: &mut Consequences) {
        self.stats.messages.add(1);
        let reason = format!("a registration of {bytes} bytes is too long");
        self.refuse_message(BadRegistration { reason, bot: None, reply_to: None }, out);
    }

    /// The symbols of the configuration file.
    pub fn hold_for_config(&mut self, symbols: &[Symbol], feeds: FeedSet, out: &mut Consequences) {
        for symbol in symbols {
            let instrument = Instrument { exchange: self.default_exchange.clone(), symbol: symbol.clone() };
            for dialect in Dialect::ALL {
                let only = match self.dialects {
                    DialectRule::Only(only) => only,
                    // Nobody has said which dialect: serve both.
                    DialectRule::Auto | DialectRule::Both => dialect,
                };
                if only == dialect {
                    let changes = self.registry.hold_for_config(&instrument, feeds, dialect);
                    self.follow(changes, out);
                }
            }
        }
    }

    /// Holds a symbol that is traded, for a while: the desk asks again while it is.
    pub fn hold_for_desk(&mut self, instrument: &Instrument, lease: Duration, now_ms: i64, out: &mut Consequences) -> Option<SymbolId> {
        (self.route)(instrument)?;
        let command = RegistrationCommand {
            action: Action::Register,
            dialect: Dialect::Typed,
            bot: BotName::desk(),
            exchange: Some(instrument.exchange.clone()),
            symbols: vec![instrument.symbol.clone()],
            refused: Vec::new(),
            feeds: Some([Feed::Price, Feed::Quote, Feed::Status].into_iter().collect()),
            lease: Some(lease),
            reply_to: None,
        };
        let changes = self.registry.apply(&command, &instrument.exchange, now_ms);
        self.follow(changes, out);
        self.table.id(instrument)
    }

    /// Registrations that outlived a restart.
    pub fn restore(&mut self, fields: &HashMap<String, String>, now_ms: i64, out: &mut Consequences) -> usize {
        let mut restored = 0;
        for (field, lease) in fields {
            match lease.parse().ok().and_then(|lease| self.registry.restore(field, lease, now_ms)) {
                Some(changes) => {
                    restored += 1;
                    self.follow(changes, out);
                }
                None => out.removed.push(field.clone()),
            }
        }
        // Somebody who left meanwhile must not come back.
        for (command, exchange) in self.early.take().unwrap_or_default().commands {
            let changes = self.registry.apply(&command, &exchange, now_ms);
            out.ask_listeners |= command.action == Action::Unregister && command.bot.is_anonymous();
            self.follow(changes, out);
        }
        restored
    }

    /// Leases that ran out.
    pub fn expire(&mut self, now_ms: i64, out: &mut Consequences) {
        let changes = self.registry.expire(now_ms);
        self.stats.expired.add(changes.removed.len() as u64);
        self.follow(changes, out);
    }

    /// The venue will not serve these symbols of the stream.
    pub fn refused_by_venue(&mut self, exchange: &ExchangeName, refused: &[RefusedSymbol], reason: &str, out: &mut Consequences) {
        let mut by_holder: BTreeMap<BotName, Vec<Refusal>> = BTreeMap::new();
        for RefusedSymbol { symbol, feeds } in refused {
            let instrument = Instrument { exchange: exchange.clone(), symbol: symbol.clone() };
            // The session has dropped them by itself.
            if let Some(stream) = (self.route)(&instrument) {
                let left = feeds.iter().fold(self.upstream.get(&instrument), FeedSet::without);
                self.upstream.set(&instrument, stream, left);
            }
            let (changes, holders) = self.registry.refuse(&instrument, *feeds);
            for bot in holders {
                by_holder.entry(bot).or_default().push(Refusal::new(symbol.as_str(), reason));
            }
            self.follow(changes, out);
        }
        for (bot, refused) in by_holder {
            let reply = RegistrationReply { refused, ..RegistrationReply::new("refused", Some(bot.to_string()), self.epoch) };
            let channel = self.reply_channels.get(&bot).cloned();
            self.send(reply, channel.as_deref(), out);
        }
    }

    /// The channels to ask Redis about, with what they stand for.
    pub fn questions(&self) -> Vec<(Instrument, Dialect, Vec<String>)> {
        let channels = |instrument: &Instrument, dialect: Dialect| {
            let name = self.public_name(instrument);
            match dialect {
                Dialect::Ticker => vec![get_ticker_channel(&name)],
                Dialect::Typed => Feed::ALL.into_iter().map(|feed| typed_channel(main_message(feed), &name)).collect(),
            }
        };
        self.registry.leaving().map(|(instrument, dialect)| (instrument.clone(), *dialect, channels(instrument, *dialect))).collect()
    }

    /// Nobody listens to what was given up.
    pub fn abandoned(&mut self, instrument: &Instrument, dialect: Dialect, out: &mut Consequences) {
        let changes = self.registry.abandoned(instrument, dialect);
        self.follow(changes, out);
    }

    /// How many symbols a stream carries.
    pub fn symbols_of(&self, stream: StreamId) -> usize {
        self.upstream.symbols_of(stream)
    }

    /// All that a fresh session of each stream should want.
    pub fn all_wants(&self) -> BTreeMap<StreamId, Vec<SymbolWant>> {
        let mut all: BTreeMap<StreamId, Vec<SymbolWant>> = BTreeMap::new();
        for (instrument, feeds) in self.upstream.iter() {
            if let (Some(id), Some(stream)) = (self.table.id(instrument), (self.route)(instrument)) {
                all.entry(stream).or_default().push(SymbolWant { symbol: instrument.symbol.clone(), id, feeds });
            }
        }
        all
    }

    fn public_name(&self, instrument: &Instrument) -> String {
        let exchange = (instrument.exchange != self.default_exchange).then_some(&instrument.exchange);
        public_name(exchange, instrument.symbol.as_str())
    }

    fn published_interest(&self, instrument: &Instrument) -> Interest {
        let asked = self.registry.interest(instrument);
        match self.dialects {
            DialectRule::Auto => asked,
            DialectRule::Both => Interest { ticker: asked.feeds(), typed: asked.feeds() },
            DialectRule::Only(Dialect::Ticker) => Interest { ticker: asked.feeds(), typed: FeedSet::NONE },
            DialectRule::Only(Dialect::Typed) => Interest { ticker: FeedSet::NONE, typed: asked.feeds() },
        }
    }

    /// What a change of the registry means for Redis, the price handler and the venue.
    fn follow(&mut self, changes: Changes, out: &mut Consequences) {
        for instrument in &changes.instruments {
            let (Some(stream), Some(id)) = ((self.route)(instrument), self.table.id(instrument)) else {
                log::error!("no place for {}: the table of symbols is full until the next start", instrument.symbol);
                continue;
            };
            let interest = self.published_interest(instrument);
            out.interests.push(InterestChange { id, name: self.public_name(instrument), stream, interest });
            let feeds = interest.feeds();
            let asked = self.upstream.get(instrument);
            if asked != feeds {
                out.requests.entry(stream).or_default().note(asked, feeds);
                out.wants.entry(stream).or_default().push(SymbolWant { symbol: instrument.symbol.clone(), id, feeds });
                self.upstream.set(instrument, stream, feeds);
            }
        }
        out.stored.extend(changes.stored);
        out.removed.extend(changes.removed);
    }

    fn answer(&mut self, action: &'static str, command: &RegistrationCommand, changes: &Changes, out: &mut Consequences) {
        self.stats.accepted.add(changes.accepted.len() as u64);
        if changes.refused.is_empty() && command.reply_to.is_none() {
            return;
        }
        let reply = RegistrationReply {
            accepted: changes.accepted.iter().map(Symbol::to_string).collect(),
            refused: changes.refused.clone(),
            ..RegistrationReply::new(action, Some(command.bot.to_string()), self.epoch)
        };
        self.send(reply, command.reply_to.as_deref(), out);
    }

    fn refuse_message(&mut self, bad: BadRegistration, out: &mut Consequences) {
        self.stats.malformed.add(1);
        let bot = bad.bot.as_ref().map(BotName::to_string);
        let reply = RegistrationReply { reason: Some(bad.reason), ..RegistrationReply::new("refused", bot, self.epoch) };
        self.send(reply, bad.reply_to.as_deref(), out);
    }

    fn send(&mut self, reply: RegistrationReply, reply_to: Option<&str>, out: &mut Consequences) {
        let refusal = !reply.refused.is_empty() || reply.reason.is_some();
        self.stats.refused.add(reply.refused.len() as u64);
        let json = reply.shortened().to_json();
        if refusal && self.refusals.take(Instant::now()) {
            log::debug!("refused: {json}");
            out.replies.push((REPLIES.to_owned(), json.clone()));
        }
        if let Some(channel) = reply_to {
            out.replies.push((channel.to_owned(), json));
        }
    }
}

/// The message whose typed channel stands for a feed.
fn main_message(feed: Feed) -> MessageType {
    match feed {
        Feed::Price => MessageType::Price,
        Feed::Quote => MessageType::Quote,
        Feed::Bar => MessageType::Bar,
        Feed::Status => MessageType::Status,
    }
}

impl RefusalBudget {
    fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            *self = RefusalBudget { second: now, left: PUBLIC_REFUSALS_PER_S };
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

impl std::fmt::Debug for Registrar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registrar").field("symbols", &self.registry.symbols()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
