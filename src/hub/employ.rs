//! From the configuration to brokers that work: which types this program has, and what each needs beside its settings.
//!
//! The one place where types of brokers meet their constructors. Must not know the desk's rules.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use super::accounts::Identities;
use super::brokers::{Employed, Opening};
use crate::calendar::Calendar;
use crate::config::{Account, BrokerSettings, Config, DefaultOrderType, Environment, PaperSettings as PaperWords, Slippage as SlippageWords, VenueSettings};
use crate::desk::{Place, Role, SessionOf, Sights};
use crate::events::{Event, EventBus, Subscription, Topics};
use crate::exchanges::alpaca::{AlpacaBroker, AlpacaSettings, RestSettings};
use crate::exchanges::factory::{FactoryError, Registry};
use crate::exchanges::paper::broker::{PaperBroker, PaperSettings, Slippage};
use crate::exchanges::paper::models::{FillRules, Latency, MarketImpact};
use crate::exchanges::{Broker, BrokerError};
use crate::model::{AccountId, ExchangeName, IdError, MarketSession, Timestamp};
use crate::risk::Gate;
use crate::runtime::{Stop, StopToken, Task, Threads, wall_now};

/// Prices that wait for a paper account; newest win.
const PRICES: usize = 8_192;
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);

/// What constructors need beside the settings, and where they leave what has to be ended.
pub struct Workplace<'a> {
    config: &'a Config,
    bus: &'a EventBus,
    threads: &'a Threads,
    identities: &'a Identities,
    tls: &'a ureq::tls::TlsConfig,
    behind: RefCell<HashMap<ExchangeName, Behind>>,
    streams: RefCell<Vec<Stream>>,
}

impl<'a> Workplace<'a> {
    pub fn new(config: &'a Config, bus: &'a EventBus, threads: &'a Threads, identities: &'a Identities, tls: &'a ureq::tls::TlsConfig) -> Workplace<'a> {
        Workplace { config, bus, threads, identities, tls, behind: RefCell::default(), streams: RefCell::default() }
    }
}

/// What runs behind a broker.
struct Behind {
    session_of: SessionOf,
    sights: Arc<Sights>,
    stop: Stop,
    tasks: Vec<Task<()>>,
}

/// A broker and what runs behind it.
type Made = (Arc<dyn Broker>, Behind);

/// An account and its broker, which its order stream tells.
pub type Stream = (Account, Arc<AlpacaBroker>);

/// Every place, and the streams of those who have come.
type Staff = (Vec<Opening>, Vec<Stream>);

/// Every broker that is configured and enabled, and one for each account that no file names, which is only listened to; their
/// threads running, not yet connected. Those of which it is not known yet which account they are have an opening.
///
/// # Errors
/// When one of them cannot be had: a bot that names it must not be served by another.
pub fn employ(place: &Workplace<'_>) -> Result<Staff, FactoryError> {
    let config = place.config;
    let known: Vec<BrokerSettings> = config.brokers.iter().filter(|settings| is_known(settings, place.identities)).cloned().collect();
    let mut hired = hire(&known, place)?;
    // In the order of the configuration: the first is the default.
    let mut openings: Vec<Opening> =
        config.brokers.iter().map(|settings| Opening { place: place_of(settings), employed: hired.remove(&settings.name) }).collect();
    for account in config.accounts.iter().filter(|account| broker_of(config, &account.name).is_none()) {
        let employed = listened_to(account, place)?;
        openings.push(Opening { place: place_beside(config, account), employed });
    }
    Ok((openings, place.streams.take()))
}

/// The broker of one account that has just become known.
///
/// # Errors
/// As [`employ`].
pub fn employ_one(account: &Account, place: &Workplace<'_>) -> Result<(Option<Employed>, Vec<Stream>), FactoryError> {
    let employed = match broker_of(place.config, &account.name) {
        Some(settings) => hire(std::slice::from_ref(settings), place)?.remove(&settings.name),
        None => listened_to(account, place)?,
    };
    Ok((employed, place.streams.take()))
}

/// Where an account has its place.
pub fn place_of_account(config: &Config, account: &Account) -> Place {
    broker_of(config, &account.name).map_or_else(|| place_beside(config, account), place_of)
}

fn hire(settings: &[BrokerSettings], place: &Workplace<'_>) -> Result<HashMap<ExchangeName, Employed>, FactoryError> {
    let registry: Registry<Workplace<'_>> = Registry::new().with("paper", paper).with("alpaca", alpaca);
    let mut brokers = registry.create_all(settings, place)?;
    let mut behind = place.behind.take();
    let employed = settings.iter().filter_map(|settings| {
        let (broker, Behind { session_of, sights, stop, tasks }) = (brokers.remove(&settings.name)?, behind.remove(&settings.name)?);
        let gate = Gate::new(settings.limits.clone(), settings.bot_limits.clone()).for_account(broker.of());
        let prices = prices_of(settings, place.config);
        let untyped_is_limit = settings.default_order_type == DefaultOrderType::Limit;
        let account_name = account_name(settings);
        let role = Role { account_name, prices, session_of, sights, untyped_is_limit, takes_orders: true };
        Some((settings.name.clone(), Employed { broker, role, gate, stop, tasks }))
    });
    Ok(employed.collect())
}

/// The broker that trades on this account of broker.yaml.
fn broker_of<'a>(config: &'a Config, account: &str) -> Option<&'a BrokerSettings> {
    config.brokers.iter().find(|settings| matches!(&settings.venue, VenueSettings::Alpaca(words) if *words.account.name == *account))
}

fn place_of(settings: &BrokerSettings) -> Place {
    Place { exchange: settings.name.clone(), account_name: account_name(settings), kind: settings.broker_type().to_owned(), live: settings.is_live() }
}

fn place_beside(config: &Config, account: &Account) -> Place {
    let live = account.environment == Environment::Live;
    Place { exchange: config.default_exchange.clone(), account_name: account.name.to_string(), kind: "alpaca".to_owned(), live }
}

fn is_known(settings: &BrokerSettings, identities: &Identities) -> bool {
    if let VenueSettings::Alpaca(words) = &settings.venue { identities.contains_key(&words.account.name) } else { true }
}

/// Bots name an account of broker.yaml by its name there, and any other by that of its broker.
fn account_name(settings: &BrokerSettings) -> String {
    if let VenueSettings::Alpaca(words) = &settings.venue { words.account.name.to_string() } else { settings.name.to_string() }
}

/// An account whose order updates are told, and that takes no orders.
fn listened_to(account: &Account, place: &Workplace<'_>) -> Result<Option<Employed>, FactoryError> {
    let name = &place.config.default_exchange;
    let made = at_alpaca(name, account, place);
    let made = made.map_err(|source| FactoryError::Refused { file: "broker.yaml".to_owned(), name: name.clone(), source })?;
    let Some((broker, Behind { session_of, sights, stop, tasks })) = made else { return Ok(None) };
    let gate = Gate::default().for_account(broker.of());
    let role = Role { account_name: account.name.to_string(), prices: name.clone(), session_of, sights, untyped_is_limit: true, takes_orders: false };
    Ok(Some(Employed { broker, role, gate, stop, tasks }))
}

fn alpaca(settings: &BrokerSettings, place: &Workplace<'_>) -> Result<Arc<dyn Broker>, BrokerError> {
    let refused = |cause: &str| BrokerError::Unavailable { broker: settings.name.to_string(), cause: cause.to_owned() };
    let VenueSettings::Alpaca(words) = &settings.venue else { return Err(refused("these are no settings of an account at Alpaca")) };
    // Where the built-in exchange listens is known only since it runs.
    let account = place.config.accounts.iter().find(|account| account.name == words.account.name).unwrap_or(&words.account);
    let (broker, behind) = at_alpaca(&settings.name, account, place)?.ok_or_else(|| refused("it is not known which account this is"))?;
    place.behind.borrow_mut().insert(settings.name.clone(), behind);
    Ok(broker)
}

/// The broker of one account; `None` for one of which it is not known which it is.
fn at_alpaca(name: &ExchangeName, account: &Account, place: &Workplace<'_>) -> Result<Option<Made>, BrokerError> {
    let Some(id) = place.identities.get(&account.name) else { return Ok(None) };
    let rest = RestSettings {
        broker: name.to_string(),
        api: account.api.clone(),
        data: Some(place.config.market_data.rest.clone()),
        key_id: account.key_id.clone(),
        secret_key: account.secret_key.clone(),
        tls: place.tls.clone(),
    };
    let settings = AlpacaSettings {
        name: name.clone(),
        account_name: Arc::clone(&account.name),
        account: id.clone(),
        live: account.environment == Environment::Live,
        rest,
    };
    let broker = Arc::new(AlpacaBroker::new(settings, place.bus.clone()));
    let hours = hours(place.config);
    let closing = Arc::clone(&broker);
    let start = || -> io::Result<Behind> {
        let stop = Stop::new()?;
        stop.token().on_shutdown(move || closing.close());
        let sights = Arc::new(Sights::default());
        let heard = place.bus.subscribe(Topics::MARKET, PRICES);
        let feed = Feed { broker: None, sights: Arc::clone(&sights), prices: place.config.default_exchange.clone(), hours: hours.clone(), heard };
        let token = stop.token();
        let prices = place.threads.spawn(&format!("{}-prices", account.name), move || feed.run(&token))?;
        Ok(Behind { session_of: session_of(hours), sights, stop, tasks: vec![prices] })
    };
    let behind = start().map_err(|error| no_threads(name, &error))?;
    place.streams.borrow_mut().push((account.clone(), Arc::clone(&broker)));
    Ok(Some((broker, behind)))
}

fn no_threads(name: &ExchangeName, error: &io::Error) -> BrokerError {
    BrokerError::Unavailable { broker: name.to_string(), cause: format!("{error}; the process has no threads or files left") }
}

/// Invented prices never sleep.
fn hours(config: &Config) -> Hours {
    if config.sim.is_some() { Hours::Always } else { Hours::Calendar(Arc::new(Calendar::us_equities())) }
}

fn session_of(hours: Hours) -> SessionOf {
    Box::new(move |symbol, at| if symbol.is_pair() { MarketSession::Regular } else { hours.session_at(at) })
}

fn prices_of(settings: &BrokerSettings, config: &Config) -> ExchangeName {
    if let VenueSettings::Paper(words) = &settings.venue { words.prices.clone() } else { config.default_exchange.clone() }
}

fn paper(settings: &BrokerSettings, place: &Workplace<'_>) -> Result<Arc<dyn Broker>, BrokerError> {
    let name = settings.name.clone();
    let refused = |cause: String| BrokerError::Unavailable { broker: name.to_string(), cause };
    let VenueSettings::Paper(words) = &settings.venue else { return Err(refused("these are no settings of a paper account".to_owned())) };
    let account: AccountId = format!("{name}-1").parse().map_err(|error: IdError| refused(error.to_string()))?;
    let broker = Arc::new(PaperBroker::new(paper_settings(name.clone(), account, words, place.config), place.bus.clone(), Arc::new(wall_now)));
    let hours = hours(place.config);
    let start = || -> io::Result<Behind> {
        let stop = Stop::new()?;
        let (driven, token) = (Arc::clone(&broker), stop.token());
        let time = place.threads.spawn(&format!("{name}-time"), move || driven.run(&token))?;
        let heard = place.bus.subscribe(Topics::MARKET, PRICES);
        let sights = Arc::new(Sights::default());
        let feed = Feed { broker: Some(Arc::clone(&broker)), sights: Arc::clone(&sights), prices: words.prices.clone(), hours: hours.clone(), heard };
        let token = stop.token();
        let prices = place.threads.spawn(&format!("{name}-prices"), move || feed.run(&token))?;
        Ok(Behind { session_of: session_of(hours.clone()), sights, stop, tasks: vec![time, prices] })
    };
    let behind = start().map_err(|error| no_threads(&name, &error))?;
    place.behind.borrow_mut().insert(name.clone(), behind);
    Ok(broker)
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

/// The thread that shows the desk the market of a broker, and a paper account first.
struct Feed {
    broker: Option<Arc<PaperBroker>>,
    sights: Arc<Sights>,
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
                if let Some(broker) = &self.broker {
                    broker.set_session(current);
                }
            }
            select! {
                recv(self.heard.values) -> event => match event {
                    Ok(Event::Market(shown)) if shown.exchange == self.prices => {
                        // The broker first: whoever waits for a price may then trade on it.
                        if let Some(broker) = &self.broker {
                            broker.see(&shown);
                        }
                        self.sights.see(&shown, wall_now());
                    }
                    Ok(_) => {}
                    Err(_) => return,
                },
                recv(token.channel()) -> _ => return,
                default(LOOK_AT_CLOCK) => {}
            }
        }
    }
}
