//! From the configuration to brokers that work: which types this program has, and what each needs beside its settings.
//!
//! The one place where types of brokers meet their constructors. Must not know the desk's rules.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use super::brokers::Employed;
use crate::calendar::Calendar;
use crate::config::{BrokerSettings, Config, DefaultOrderType, PaperSettings as PaperWords, Slippage as SlippageWords, VenueSettings};
use crate::contract::DefaultType;
use crate::desk::SessionOf;
use crate::events::{Event, EventBus, Subscription, Topics};
use crate::exchanges::Broker;
use crate::exchanges::paper::broker::{PaperBroker, PaperSettings, Slippage};
use crate::exchanges::paper::models::{FillRules, Latency, MarketImpact};
use crate::model::{AccountId, ExchangeName, MarketSession, Timestamp};
use crate::risk::Gate;
use crate::runtime::{Stop, StopToken, Threads, wall_now};

/// Prices that wait for a paper account; newest win.
const PRICES: usize = 8_192;
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);

/// Why a broker cannot be had. All are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum EmployError {
    #[error("{file}: a broker of the type {kind} is not built into this version; set enabled: false")]
    NotBuilt { file: String, kind: &'static str },
    #[error("{file}: the name {name} makes no account: {cause}")]
    Account { file: String, name: ExchangeName, cause: crate::model::IdError },
    #[error("a broker cannot start: {0}; the process has no threads or files left")]
    System(#[from] io::Error),
}

impl EmployError {
    /// Whether another configuration would help.
    pub fn is_configuration(&self) -> bool {
        !matches!(self, EmployError::System(_))
    }
}

/// The type of an order that names none.
pub fn default_type(config: &Config) -> DefaultType {
    match config.brokers.first().map(|broker| broker.default_order_type) {
        Some(DefaultOrderType::Market) => DefaultType::AsPriced,
        Some(DefaultOrderType::Limit) => DefaultType::Limit,
        None => DefaultType::AsPriced,
    }
}

/// Every broker that is configured and enabled, its threads running, not yet connected.
///
/// # Errors
/// When one of them cannot be had: a bot that names it must not be served by another.
pub fn employ(config: &Config, bus: &EventBus, threads: &Threads) -> Result<Vec<Employed>, EmployError> {
    config.brokers.iter().map(|settings| one(settings, config, bus, threads)).collect()
}

fn one(settings: &BrokerSettings, config: &Config, bus: &EventBus, threads: &Threads) -> Result<Employed, EmployError> {
    match &settings.venue {
        VenueSettings::Paper(words) => paper(settings, words, config, bus, threads),
        _ => Err(EmployError::NotBuilt { file: settings.file.clone(), kind: settings.broker_type() }),
    }
}

fn paper(settings: &BrokerSettings, words: &PaperWords, config: &Config, bus: &EventBus, threads: &Threads) -> Result<Employed, EmployError> {
    let name = settings.name.clone();
    let account: AccountId = format!("{name}-1").parse().map_err(|cause| EmployError::Account { file: settings.file.clone(), name: name.clone(), cause })?;
    let broker = Arc::new(PaperBroker::new(paper_settings(name.clone(), account, words, config), bus.clone(), Arc::new(wall_now)));
    // Invented prices never sleep.
    let hours = if config.sim.is_some() { Hours::Always } else { Hours::Calendar(Arc::new(Calendar::us_equities())) };
    let stop = Stop::new()?;
    let (driven, token) = (Arc::clone(&broker), stop.token());
    let mut tasks = vec![threads.spawn(&format!("{name}-time"), move || driven.run(&token))?];
    let feed = Feed { broker: Arc::clone(&broker), prices: words.prices.clone(), hours: hours.clone(), heard: bus.subscribe(Topics::MARKET, PRICES) };
    let token = stop.token();
    tasks.push(threads.spawn(&format!("{name}-prices"), move || feed.run(&token))?);
    let session_of: SessionOf = Box::new(move |symbol, at| if symbol.is_pair() { MarketSession::Regular } else { hours.session_at(at) });
    let gate = Gate::new(settings.limits.clone(), settings.bot_limits.clone()).for_account(broker.of());
    Ok(Employed { broker, account_name: name.to_string(), prices: words.prices.clone(), session_of, gate, stop, tasks })
}

fn paper_settings(name: ExchangeName, account: AccountId, words: &PaperWords, config: &Config) -> PaperSettings {
    let file = config.data_dir.join(&words.data_file);
    PaperSettings {
        currency: words.base_currency.clone(),
        balance: words.initial_balance,
        latency: Latency { fixed: words.latency, jitter: words.latency_jitter },
        slippage: match words.slippage {
            SlippageWords::None => Slippage::None,
            SlippageWords::Fixed(amount) => Slippage::Fixed(amount),
            SlippageWords::Percentage(share) => Slippage::Percentage(share),
            SlippageWords::Impact { base, slope, ceiling } => Slippage::MarketImpact(MarketImpact { base, slope, ceiling }),
        },
        commission: words.commission_rate,
        regulatory_fees: words.regulatory_fees,
        margin: words.margin,
        shorting: words.shorting,
        extended_hours: words.extended_hours,
        fills: FillRules { displayed_size: words.partial_fills, queue: words.queue, partials: words.random_partials, ..FillRules::HONEST },
        seed: words.seed,
        ..PaperSettings::new(name, account, file)
    }
}

/// When stocks trade.
#[derive(Debug, Clone)]
enum Hours {
    Always,
    Calendar(Arc<Calendar>),
}

impl Hours {
    fn session_at(&self, at: Timestamp) -> MarketSession {
        match self {
            Hours::Always => MarketSession::Regular,
            Hours::Calendar(calendar) => calendar.session_at(at),
        }
    }
}

/// The thread that shows a paper account its market.
struct Feed {
    broker: Arc<PaperBroker>,
    prices: ExchangeName,
    hours: Hours,
    heard: Subscription,
}

impl Feed {
    fn run(self, token: &StopToken) {
        let mut session = None;
        loop {
            let current = self.hours.session_at(wall_now());
            if session != Some(current) {
                session = Some(current);
                self.broker.set_session(current);
            }
            select! {
                recv(self.heard.values) -> event => match event {
                    Ok(Event::Market(shown)) if shown.exchange == self.prices => self.broker.see(&shown),
                    Ok(_) => {}
                    Err(_) => return,
                },
                recv(token.channel()) -> _ => return,
                default(LOOK_AT_CLOCK) => {}
            }
        }
    }
}
