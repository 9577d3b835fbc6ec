//! The brokers that orders can be sent to: the files of the exchanges folder, checked one by one and together.
//!
//! Must not touch the disk, nor know how a broker is built.

mod file;
mod limits;
mod paper;
mod settings;
mod show;
mod venues;

use std::path::PathBuf;

use super::dotenv::Variables;
use super::problem::{Report, nearest};
use super::section::Given;
use super::settings::Account;
use crate::model::ExchangeName;

pub(super) use self::file::BrokerFile;
use self::file::Read;
pub use self::settings::{
    AlpacaSettings, BinanceSettings, BrokerSettings, DefaultOrderType, DisabledBroker, IbSettings, PaperSettings, Slippage, VenueSettings,
};

/// What is in force where there is no file: a paper account, so that an order finds a broker on a fresh machine.
const BUILT_IN: &str = include_str!("../../../configs/exchanges/paper.yaml");

/// What a file is checked against.
pub(super) struct Context<'a> {
    pub variables: &'a Variables,
    pub accounts: &'a [Account],
    /// The one whose prices are there whatever the files say.
    pub default_exchange: &'a ExchangeName,
    pub sim: bool,
}

impl Context<'_> {
    /// Whether `BROKER_LIVE` says no.
    fn live_forbidden(&self) -> bool {
        let forbids = |value: &str| ["false", "no", "off", "0"].iter().any(|word| word.eq_ignore_ascii_case(value));
        self.variables.get("BROKER_LIVE").is_some_and(|variable| forbids(&variable.value))
    }
}

#[derive(Debug, Default)]
pub(super) struct Brokers {
    pub enabled: Vec<BrokerSettings>,
    pub disabled: Vec<DisabledBroker>,
}

/// Checks all files, in the order given.
pub(super) fn check(files: &[BrokerFile], context: &Context, used: &mut Vec<String>, report: &mut Report) -> Brokers {
    let built_in = [BrokerFile { path: PathBuf::from("(built in)/paper.yaml"), text: BUILT_IN.to_owned() }];
    let files = if files.is_empty() { &built_in } else { files };
    let mut brokers = Brokers::default();
    let mut wishes: Vec<(usize, Given)> = Vec::new();
    let mut taken: Vec<(ExchangeName, String)> = Vec::new();
    for file in files {
        let Some(read) = file::read(file, context, used, report) else { continue };
        let (name, label) = match &read {
            Read::Enabled { settings, .. } => (settings.name.clone(), settings.file.clone()),
            Read::Disabled(disabled) => (disabled.name.clone(), disabled.file.clone()),
        };
        if let Some((_, other)) = taken.iter().find(|(other, _)| *other == name) {
            report.refuse(label.clone(), format!("this broker and that of {other} are both named '{name}'; give each its own name"));
        }
        taken.push((name, label));
        match read {
            Read::Enabled { settings, prices } => {
                wishes.extend(prices.map(|given| (brokers.enabled.len(), given)));
                brokers.enabled.push(settings);
            }
            Read::Disabled(disabled) => brokers.disabled.push(disabled),
        }
    }
    venues::refuse_sharing(&brokers.enabled, report);
    // With the built-in exchange alone there are no other prices, whatever the files hoped for.
    for (at, given) in wishes.into_iter().filter(|_| !context.sim) {
        if let Some(prices) = prices(&given, &brokers, context.default_exchange, report)
            && let VenueSettings::Paper(paper) = &mut brokers.enabled[at].venue
        {
            paper.prices = prices;
        }
    }
    brokers
}

/// An exchange that is there and has prices.
fn prices(given: &Given, brokers: &Brokers, default: &ExchangeName, report: &mut Report) -> Option<ExchangeName> {
    let mut names = vec![default];
    names.extend(
        brokers.enabled.iter().filter(|other| !matches!(other.venue, VenueSettings::Paper(_))).map(|other| &other.name).filter(|name| *name != default),
    );
    let found = names.iter().find(|name| name.as_str() == given.text);
    if found.is_none() {
        let words: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let hint = match brokers.disabled.iter().find(|other| other.name.as_str() == given.text) {
            Some(disabled) => format!("; {} is disabled", disabled.file),
            None => nearest(&given.text, words.iter().copied()).map(|name| format!("; did you mean '{name}'?")).unwrap_or_default(),
        };
        given.refuse(report, format!("an exchange with live prices: {}{hint}", words.join(", ")));
    }
    found.map(|name| (*name).clone())
}
