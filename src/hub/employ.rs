//! From the configuration to brokers that work: which types this program has, and what each needs beside its settings.
//!
//! The one place where types of brokers meet their constructors. Must not know the desk's rules.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use super::brokers::Employed;
use crate::calendar::Calendar;
use crate::config::{BrokerSettings, Config, DefaultOrderType, PaperSettings as PaperWords, Slippage as SlippageWords, VenueSettings};
use crate::desk::{SessionOf, Sights};
use crate::events::{Event, EventBus, Subscription, Topics};
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
struct Workplace<'a> {
    config: &'a Config,
    bus: &'a EventBus,
    threads: &'a Threads,
    behind: RefCell<HashMap<ExchangeName, Behind>>,
}

/// What runs behind a broker.
struct Behind {
    session_of: SessionOf,
    sights: Arc<Sights>,
    stop: Stop,
    tasks: Vec<Task<()>>,
}

/// Every broker that is configured and enabled, its threads running, not yet connected.
///
/// # Errors
/// When one of them cannot be had: a bot that names it must not be served by another.
pub fn employ(config: &Config, bus: &EventBus, threads: &Threads) -> Result<Vec<Employed>, FactoryError> {
    let workplace = Workplace { config, bus, threads, behind: RefCell::default() };
    let registry: Registry<Workplace<'_>> = Registry::new().with("paper", paper);
    let mut brokers = registry.create_all(&config.brokers, &workplace)?;
    let mut behind = workplace.behind.into_inner();
    // In the order of the configuration: the first is the default.
    let employed = config.brokers.iter().filter_map(|settings| {
        let (broker, Behind { session_of, sights, stop, tasks }) = (brokers.remove(&settings.name)?, behind.remove(&settings.name)?);
        let gate = Gate::new(settings.limits.clone(), settings.bot_limits.clone()).for_account(broker.of());
        let prices = prices_of(settings, config);
        let untyped_is_limit = settings.default_order_type == DefaultOrderType::Limit;
        Some(Employed { broker, account_name: settings.name.to_string(), prices, session_of, sights, untyped_is_limit, gate, stop, tasks })
    });
    Ok(employed.collect())
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
    // Invented prices never sleep.
    let hours = if place.config.sim.is_some() { Hours::Always } else { Hours::Calendar(Arc::new(Calendar::us_equities())) };
    let start = || -> io::Result<Behind> {
        let stop = Stop::new()?;
        let (driven, token) = (Arc::clone(&broker), stop.token());
        let time = place.threads.spawn(&format!("{name}-time"), move || driven.run(&token))?;
        let heard = place.bus.subscribe(Topics::MARKET, PRICES);
        let sights = Arc::new(Sights::default());
        let feed = Feed { broker: Arc::clone(&broker), sights: Arc::clone(&sights), prices: words.prices.clone(), hours: hours.clone(), heard };
        let token = stop.token();
        let prices = place.threads.spawn(&format!("{name}-prices"), move || feed.run(&token))?;
        let hours = hours.clone();
        let session_of: SessionOf = Box::new(move |symbol, at| if symbol.is_pair() { MarketSession::Regular } else { hours.session_at(at) });
        Ok(Behind { session_of, sights, stop, tasks: vec![time, prices] })
    };
    let behind = start().map_err(|error| refused(format!("{error}; the process has no threads or files left")))?;
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

/// The thread that shows a paper account its market.
struct Feed {
    broker: Arc<PaperBroker>,
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
                self.broker.set_session(current);
            }
            select! {
                recv(self.heard.values) -> event => match event {
                    Ok(Event::Market(shown)) if shown.exchange == self.prices => {
                        // The broker first: whoever waits for a price may then trade on it.
                        self.broker.see(&shown);
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
