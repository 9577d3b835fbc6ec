//! The limits of an account and of its bots, as the file gives them.
//!
//! Must not know what a limit is checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Duration;

use rust_decimal::Decimal;

use super::super::problem::Report;
use super::super::section::{DecimalRange, Given, Section, items};
use super::super::yaml::{Node, What};
use crate::model::Symbol;
use crate::risk::Limits;

/// Longest name of a bot.
const MAX_BOT: usize = 16;

pub(super) fn read(mut section: Section, slippage: Option<(String, Decimal)>, report: &mut Report) -> (Limits, BTreeMap<String, Limits>) {
    let bots = section.section("bots", report);
    section.refuse_key("max_slippage", "belongs to the section trading; move it there", report);
    let mut account = Placed::read(&mut section, report);
    section.finish(report);
    account.max_slippage = slippage.map(|(at, value)| Place { at, value });
    let mut of_bots = BTreeMap::new();
    for (name, node) in bots.rest() {
        let at = node.at.clone();
        let fits = (1..=MAX_BOT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !fits {
            report.refuse(at, format!("a bot's name has 1 to {MAX_BOT} small letters, digits and _: what stands before the first - of its client order ids"));
            continue;
        }
        let Some(mut section) = Section::new(node, report) else { continue };
        section.refuse_key("max_daily_loss", "counts for the whole account, not for one bot; move it up into risk_limits", report);
        let mut bot = Placed::read(&mut section, report);
        bot.max_slippage = decimal(&mut section, "max_slippage", &DecimalRange::POSITIVE_FRACTION, report);
        section.finish(report);
        bot.refuse_looser(&account, report);
        of_bots.insert(name, bot.limits());
    }
    (account.limits(), of_bots)
}

struct Place<T> {
    at: String,
    value: T,
}

/// Limits and where each of them stands.
struct Placed {
    max_position_size: Option<Place<Decimal>>,
    max_order_value: Option<Place<Decimal>>,
    max_order_quantity: Option<Place<Decimal>>,
    max_open_orders: Option<Place<u32>>,
    max_orders_per_minute: Option<Place<u32>>,
    allowed_symbols: Option<BTreeMap<Symbol, String>>,
    price_collar: Option<Place<Decimal>>,
    require_open_market: Option<Place<bool>>,
    max_price_age_ms: Option<Place<u64>>,
    max_daily_loss: Option<Place<Decimal>>,
    max_slippage: Option<Place<Decimal>>,
}

impl Placed {
    /// All but `max_slippage`, which stands elsewhere for the account.
    fn read(section: &mut Section, report: &mut Report) -> Placed {
        let positive = &DecimalRange::POSITIVE;
        Placed {
            max_position_size: decimal(section, "max_position_size", positive, report),
            max_order_value: decimal(section, "max_order_value", positive, report),
            max_order_quantity: decimal(section, "max_order_quantity", positive, report),
            max_open_orders: place(section, "max_open_orders", report, |given, report| given.whole(1..=100_000, report)),
            max_orders_per_minute: place(section, "max_orders_per_minute", report, |given, report| given.whole(1..=100_000, report)),
            allowed_symbols: symbols(section, report),
            price_collar: decimal(section, "price_collar", &DecimalRange::POSITIVE_FRACTION, report),
            require_open_market: place(section, "require_open_market", report, |given, report| given.truth(report)),
            max_price_age_ms: place(section, "max_price_age_ms", report, |given, report| given.whole(1..=86_400_000, report)),
            max_daily_loss: decimal(section, "max_daily_loss", positive, report),
            max_slippage: None,
        }
    }

    fn refuse_looser(&self, account: &Placed, report: &mut Report) {
        looser(&self.max_position_size, &account.max_position_size, report);
        looser(&self.max_order_value, &account.max_order_value, report);
        looser(&self.max_order_quantity, &account.max_order_quantity, report);
        looser(&self.max_open_orders, &account.max_open_orders, report);
        looser(&self.max_orders_per_minute, &account.max_orders_per_minute, report);
        looser(&self.price_collar, &account.price_collar, report);
        looser(&self.max_price_age_ms, &account.max_price_age_ms, report);
        looser(&self.max_slippage, &account.max_slippage, report);
        if let (Some(Place { at, value: false }), Some(Place { value: true, .. })) = (&self.require_open_market, &account.require_open_market) {
            report.refuse(at.clone(), "found 'false', but the account requires an open market; a bot's limits can only be stricter");
        }
        if let (Some(bot), Some(account)) = (&self.allowed_symbols, &account.allowed_symbols) {
            for (symbol, at) in bot.iter().filter(|(symbol, _)| !account.contains_key(*symbol)) {
                report.refuse(at.clone(), format!("found '{symbol}', which is not among the account's; a bot's limits can only be stricter"));
            }
        }
    }

    fn limits(self) -> Limits {
        Limits {
            max_position_size: value(self.max_position_size),
            max_order_value: value(self.max_order_value),
            max_order_quantity: value(self.max_order_quantity),
            max_open_orders: value(self.max_open_orders),
            max_orders_per_minute: value(self.max_orders_per_minute),
            allowed_symbols: self.allowed_symbols.map(|symbols| symbols.into_keys().collect::<BTreeSet<_>>()),
            price_collar: value(self.price_collar),
            require_open_market: value(self.require_open_market).unwrap_or(false),
            max_price_age: value(self.max_price_age_ms).map(Duration::from_millis),
            max_daily_loss: value(self.max_daily_loss),
            max_slippage: value(self.max_slippage),
        }
    }
}

fn value<T>(place: Option<Place<T>>) -> Option<T> {
    place.map(|place| place.value)
}

fn looser<T: PartialOrd + Display>(bot: &Option<Place<T>>, account: &Option<Place<T>>, report: &mut Report) {
    if let (Some(bot), Some(account)) = (bot, account)
        && bot.value > account.value
    {
        report.refuse(
            bot.at.clone(),
            format!("found '{}', which is looser than the account's {}; a bot's limits can only be stricter", bot.value, account.value),
        );
    }
}

/// A key without a value is refused: it may have been meant as "none at all" or as zero.
fn given(section: &mut Section, key: &'static str, report: &mut Report) -> Option<Node> {
    let node = section.take(key)?;
    if matches!(node.what, What::Nothing) {
        report.refuse(node.at, "is empty; give the limit, or delete the line to have none");
        return None;
    }
    Some(node)
}

fn place<T>(section: &mut Section, key: &'static str, report: &mut Report, read: impl Fn(&Given, &mut Report) -> Option<T>) -> Option<Place<T>> {
    let given = super::super::section::single(given(section, key, report)?, report)?;
    read(&given, report).map(|value| Place { at: given.at, value })
}

fn decimal(section: &mut Section, key: &'static str, range: &DecimalRange, report: &mut Report) -> Option<Place<Decimal>> {
    place(section, key, report, |given, report| given.decimal(range, report))
}

fn symbols(section: &mut Section, report: &mut Report) -> Option<BTreeMap<Symbol, String>> {
    let node = given(section, "allowed_symbols", report)?;
    if matches!(node.what, What::Unset) {
        return None;
    }
    let at = node.at.clone();
    let before = report.problems.len();
    let given = items(Some(node), report);
    if given.is_empty() && report.problems.len() == before {
        report.refuse(at, "is an empty list, which would deny every order; name symbols, or delete the line to allow all");
    }
    if let Some(all) = given.iter().find(|one| one.text == "*") {
        report.refuse(all.at.clone(), "found '*'; delete the line to allow every symbol");
        return None;
    }
    Some(given.iter().filter_map(|one| one.symbol(report).map(|symbol| (symbol, one.at.clone()))).collect())
}
