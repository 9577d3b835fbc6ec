//! One exchange file: the keys that every broker has, then those of its kind.
//!
//! Must not know the other files.

use std::path::PathBuf;

use rust_decimal::Decimal;

use super::super::problem::Report;
use super::super::section::{DecimalRange, Given, Section};
use super::super::yaml;
use super::settings::{BrokerSettings, DefaultOrderType, DisabledBroker, VenueSettings};
use super::{Context, limits, paper, venues};
use crate::model::ExchangeName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Paper,
    Alpaca,
    Binance,
    InteractiveBrokers,
}

const KINDS: [(&str, Kind); 4] =
    [("paper", Kind::Paper), ("alpaca", Kind::Alpaca), ("binance", Kind::Binance), ("interactive_brokers", Kind::InteractiveBrokers)];
pub(super) const ORDER_TYPES: [(&str, DefaultOrderType); 2] = [("market", DefaultOrderType::Market), ("limit", DefaultOrderType::Limit)];

/// A file of the folder, as it was read.
#[derive(Debug)]
pub(in crate::config) struct BrokerFile {
    pub path: PathBuf,
    pub text: String,
}

#[expect(clippy::large_enum_variant, reason = "a handful exists, for a moment")]
pub(super) enum Read {
    Enabled {
        settings: BrokerSettings,
        /// Where a paper broker says whose prices it wants.
        prices: Option<Given>,
    },
    Disabled(DisabledBroker),
}

/// `None` when nothing can be made of it; the report says why.
pub(super) fn read(file: &BrokerFile, context: &Context, used: &mut Vec<String>, report: &mut Report) -> Option<Read> {
    let parsed = yaml::parse(&file.path, &file.text, context.variables, used, report)?;
    let mut top = Section::new(parsed.node, report)?;
    let label = file.path.display().to_string();
    let enabled = top.required("enabled", "true or false", report).and_then(|given| given.truth(report));
    let kind = top.required("broker_type", &words(), report);
    let kind = kind.and_then(|given| Some((given.pick_of(&KINDS, report)?, given)));
    let mut active = enabled != Some(false);
    if active {
        for mut problem in parsed.unset {
            if enabled.is_some() {
                problem.text.push_str("; or switch the broker off with 'enabled: false'");
            }
            report.problems.push(problem);
        }
    }
    let name = name(file, top.text("name", report), kind.as_ref().map(|(kind, _)| *kind), report);
    if active && context.sim && matches!(kind, Some((Kind::Binance | Kind::InteractiveBrokers, _))) {
        report.warn(format!("--sim: {label} is left unused, because the built-in exchange stands alone"));
        active = false;
    }
    let Some((kind, _)) = kind else { return if active { None } else { Some(Read::Disabled(DisabledBroker { name: name?, file: label })) } };

    let (default_order_type, slippage) = trading(&mut top, report);
    let (limits, bot_limits) = limits::read(top.inner("risk_limits", report), slippage, report);
    let mut prices = None;
    let venue = match kind {
        Kind::Paper => {
            for key in ["credentials", "connection", "environment"] {
                top.refuse_key(key, "the paper broker is inside this program and has no keys and no addresses; delete this", report);
            }
            let section = top.inner("paper", report);
            name.as_ref().map(|name| {
                let (settings, given) = paper::read(section, name, context.default_exchange, report);
                prices = given;
                VenueSettings::Paper(settings)
            })
        }
        Kind::Alpaca => venues::alpaca(&mut top, active, context, report).map(VenueSettings::Alpaca),
        Kind::Binance => venues::binance(&mut top, active, context, report).map(VenueSettings::Binance),
        Kind::InteractiveBrokers => Some(VenueSettings::InteractiveBrokers(venues::interactive_brokers(&mut top, context, report))),
    };
    top.finish(report);
    let name = name?;
    if !active {
        return Some(Read::Disabled(DisabledBroker { name, file: label }));
    }
    let settings = BrokerSettings { name, file: label, venue: venue?, default_order_type, limits, bot_limits };
    if settings.is_live() && settings.limits.max_order_value.is_none() && settings.limits.max_position_size.is_none() {
        report.warn(format!("{}: real money without max_order_value and max_position_size; set them under risk_limits", settings.file));
    }
    Some(Read::Enabled { settings, prices })
}

fn words() -> String {
    KINDS.map(|(word, _)| word).join(", ")
}

/// What the file is called, unless it says another name inside.
fn name(file: &BrokerFile, given: Option<Given>, kind: Option<Kind>, report: &mut Report) -> Option<ExchangeName> {
    let (at, text, remedy) = match given {
        Some(given) => (given.at, given.text, ""),
        None => {
            let stem = file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (file.path.display().to_string(), stem, "; rename the file, or write 'name: ...' in it")
        }
    };
    let Ok(name) = text.parse::<ExchangeName>() else {
        let short: String = text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect();
        report.refuse(at, format!("'{short}' cannot name an exchange: {}{remedy}", crate::model::NameError));
        return None;
    };
    if let Some((word, _)) = KINDS.iter().find(|(word, of_word)| *word == name.as_str() && kind.is_some_and(|kind| kind != *of_word)) {
        report
            .refuse(at, format!("is named '{word}' but is a broker of another type, which orders for '{word}' would reach; correct broker_type, or rename it"));
    }
    Some(name)
}

fn trading(top: &mut Section, report: &mut Report) -> (DefaultOrderType, Option<(String, Decimal)>) {
    let mut section = top.inner("trading", report);
    let kind = section.text("default_order_type", report).and_then(|given| given.pick_of(&ORDER_TYPES, report));
    let slippage = section.text("max_slippage", report);
    let slippage = slippage.and_then(|given| given.decimal(&DecimalRange::POSITIVE_FRACTION, report).map(|value| (given.at, value)));
    section.finish(report);
    (kind.unwrap_or(DefaultOrderType::Limit), slippage)
}
