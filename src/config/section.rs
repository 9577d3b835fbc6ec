//! Reading typed values out of the tree: every reader says where, what was found and what is allowed.
//!
//! Must not know which sections there are.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use rust_decimal::Decimal;

use super::dotenv::{Variable, Variables};
use super::problem::{Report, nearest};
use super::yaml::{Node, What};
use crate::model::{Digits, Symbol};

/// One text an operator gave, from a variable or from the file.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub at: String,
    pub text: String,
    /// Written without quotes and taken for a number or a truth value.
    pub plain: bool,
    hidden: bool,
    /// Where the variables stand that a placeholder took it from.
    from: Vec<String>,
}

impl Given {
    pub fn of_variable(name: &str, variable: &Variable) -> Given {
        let hidden = ["KEY", "SECRET", "PASSWORD", "REDIS_URL"].iter().any(|word| name.contains(word));
        Given { at: variable.at.clone(), text: variable.value.clone(), plain: false, hidden, from: Vec::new() }
    }

    /// The value for a message: short, without control characters, and not at all if it may hold a secret.
    pub fn found(&self) -> String {
        let from = if self.from.is_empty() { String::new() } else { format!(" (from {})", self.from.join(", ")) };
        if self.hidden || self.text.contains('@') {
            return format!("found a value that is not shown{from}");
        }
        let short: String = self.text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect();
        let dots = if self.text.chars().count() > 40 { "…" } else { "" };
        format!("found '{short}{dots}'{from}")
    }

    pub fn refuse(&self, report: &mut Report, allowed: impl Display) {
        report.refuse(self.at.clone(), format!("{}, allowed is {allowed}", self.found()));
    }

    /// A decimal number, digit for digit as it was written.
    pub fn decimal(&self, range: &DecimalRange, report: &mut Report) -> Option<Decimal> {
        let number = Digits::parse(self.text.trim()).ok().and_then(|digits| digits.to_decimal()).map(|number| number.normalize());
        let Some(number) = number.filter(|number| range.contains(*number)) else {
            let hint = if self.text.contains([',', '_', '$', '€', '%', ' ']) { "; write digits and a point alone" } else { "" };
            self.refuse(report, format!("{}{hint}", range.words));
            return None;
        };
        if number.scale() > DECIMALS {
            self.refuse(report, format!("at most {DECIMALS} digits behind the point"));
            return None;
        }
        Some(number)
    }

    /// As [`Given::choose`], with a guess at what was meant.
    pub fn pick_of<T: Copy>(&self, names: &[(&str, T)], report: &mut Report) -> Option<T> {
        let chosen = names.iter().find(|(name, _)| *name == self.text).map(|(_, value)| *value);
        if chosen.is_none() {
            let list: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            let meant = nearest(&self.text.to_ascii_lowercase(), list.iter().copied()).filter(|_| !self.hidden);
            let meant = meant.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
            self.refuse(report, format!("{}{meant}", list.join(", ")));
        }
        chosen
    }

    /// By one of its names, in any case.
    pub fn choose<T: Copy>(&self, names: &[(&str, T)], report: &mut Report) -> Option<T> {
        let chosen = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.text)).map(|(_, value)| *value);
        if chosen.is_none() {
            let list: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            self.refuse(report, list.join(", "));
        }
        chosen
    }

    pub fn number<T: Copy + PartialOrd + Display + FromStr>(&self, range: RangeInclusive<T>, kind: &str, report: &mut Report) -> Option<T> {
        let number = self.text.trim().parse().ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.refuse(report, format!("{kind} from {} to {}", range.start(), range.end()));
        }
        number
    }

    pub fn whole<T: Copy + PartialOrd + Display + FromStr>(&self, range: RangeInclusive<T>, report: &mut Report) -> Option<T> {
        self.number(range, "a whole number", report)
    }

    pub fn symbol(&self, report: &mut Report) -> Option<Symbol> {
        if self.plain && matches!(&*self.text, "true" | "false") {
            self.refuse(report, "a symbol; put quotes around it if it is one");
            return None;
        }
        match self.text.parse::<Symbol>() {
            Ok(symbol) => Some(symbol),
            Err(error) => {
                let capital = self.text.to_ascii_uppercase();
                let hint = if capital.parse::<Symbol>().is_ok() { format!("; did you mean {capital}?") } else { String::new() };
                report.refuse(self.at.clone(), format!("{}: {error}{hint}", self.found()));
                None
            }
        }
    }

    pub fn truth(&self, report: &mut Report) -> Option<bool> {
        let names = [("true", true), ("false", false), ("yes", true), ("no", false), ("on", true), ("off", false), ("1", true), ("0", false)];
        let value = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.text)).map(|(_, value)| *value);
        if value.is_none() {
            self.refuse(report, "true or false");
        }
        value
    }
}

/// Digits behind the point that an order can have too.
const DECIMALS: u32 = 9;

/// Which decimals are allowed.
#[derive(Debug)]
pub(super) struct DecimalRange {
    least: Decimal,
    /// Whether the least itself is allowed.
    with_least: bool,
    most: Decimal,
    words: &'static str,
}

impl DecimalRange {
    pub const POSITIVE: DecimalRange = DecimalRange::above(Decimal::ZERO, MOST, "a number above 0, at most 1000000000000");
    pub const NOT_NEGATIVE: DecimalRange = DecimalRange::from(Decimal::ZERO, MOST, "a number from 0 to 1000000000000");
    pub const FRACTION: DecimalRange = DecimalRange::from(Decimal::ZERO, Decimal::ONE, "a fraction from 0 to 1, where 0.001 is 0.1 %");
    pub const POSITIVE_FRACTION: DecimalRange = DecimalRange::above(Decimal::ZERO, Decimal::ONE, "a fraction above 0, at most 1, where 0.001 is 0.1 %");
    pub const MARGIN: DecimalRange = DecimalRange::from(Decimal::ONE, Decimal::TEN, "a number from 1 (cash alone) to 10");

    const fn above(least: Decimal, most: Decimal, words: &'static str) -> DecimalRange {
        DecimalRange { least, with_least: false, most, words }
    }

    const fn from(least: Decimal, most: Decimal, words: &'static str) -> DecimalRange {
        DecimalRange { least, with_least: true, most, words }
    }

    fn contains(&self, number: Decimal) -> bool {
        number <= self.most && (number > self.least || (self.with_least && number == self.least))
    }
}

/// 1000000000000: more than anybody has here.
const MOST: Decimal = Decimal::from_parts(0xd4a5_1000, 0xe8, 0, false, 0);

/// A mapping of the file, emptied key by key; what is left at the end nobody knows.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Where the mapping stands; empty when there is no file.
    pub at: String,
    entries: Vec<(String, Node)>,
    known: Vec<&'static str>,
}

impl Section {
    /// `None`, and a mistake, when there is something else than a mapping.
    pub fn new(node: Node, report: &mut Report) -> Option<Section> {
        let found = match node.what {
            What::Map(entries) => return Some(Section { at: node.at, entries, known: Vec::new() }),
            What::Nothing | What::Unset => return Some(Section { at: node.at, ..Section::default() }),
            What::List(_) => "a list",
            What::Text(_) | What::Plain(_) | What::Completed { .. } => "a single value",
        };
        report.refuse(node.at, format!("found {found}, allowed are keys with values"));
        None
    }

    pub fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    pub fn section(&mut self, key: &'static str, report: &mut Report) -> Section {
        self.take(key).and_then(|node| Section::new(node, report)).unwrap_or_default()
    }

    /// What stands under a key that belongs elsewhere: refused with the words that say where.
    pub fn refuse_key(&mut self, key: &str, why: &str, report: &mut Report) {
        if let Some(at) = self.entries.iter().position(|(name, _)| name == key) {
            report.refuse(self.entries.remove(at).1.at, why);
        }
    }

    /// A value that must be there; told when it is not, unless its variable is missing, which is told elsewhere.
    pub fn required(&mut self, key: &'static str, allowed: &str, report: &mut Report) -> Option<Given> {
        let (at, wrong) = match self.take(key) {
            None => (self.at.clone(), format!("the key '{key}' is missing, allowed is {allowed}")),
            Some(Node { at, what: What::Nothing }) => (at, format!("is empty, allowed is {allowed}")),
            Some(node) => return single(node, report),
        };
        report.refuse(at, wrong);
        None
    }

    /// What remains: the keys that the file chose itself.
    pub fn rest(self) -> Vec<(String, Node)> {
        self.entries
    }

    /// As [`Section::section`]; knows its place even when it is not there.
    pub fn inner(&mut self, key: &'static str, report: &mut Report) -> Section {
        let absent = Section { at: format!("{}: {key}", self.at), ..Section::default() };
        self.take(key).map_or(Some(absent), |node| Section::new(node, report)).unwrap_or_default()
    }

    /// A single value of the file; an empty text stays one, `key:` without a value is absent.
    pub fn text(&mut self, key: &'static str, report: &mut Report) -> Option<Given> {
        self.take(key).and_then(|node| single(node, report))
    }

    /// The variable, else the file's value; empty ones count as absent.
    pub fn pick(&mut self, key: &'static str, variables: &Variables, name: &str, report: &mut Report) -> Option<Given> {
        let of_file = self.text(key, report).filter(|given| !given.text.is_empty());
        variables.get(name).map(|variable| Given::of_variable(name, variable)).or(of_file)
    }

    pub fn finish(self, report: &mut Report) {
        for (key, node) in self.entries {
            let hint = match nearest(&key, self.known.iter().copied()) {
                Some(meant) => format!("did you mean '{meant}'?"),
                None => {
                    let mut known = self.known.clone();
                    known.sort_unstable();
                    format!("known here are {}", known.join(", "))
                }
            };
            report.refuse(node.at, format!("unknown key; {hint}"));
        }
    }
}

/// A node that must hold one value.
pub(super) fn single(node: Node, report: &mut Report) -> Option<Given> {
    match node.what {
        What::Nothing | What::Unset => None,
        What::Text(text) => Some(Given { at: node.at, text, plain: false, hidden: false, from: Vec::new() }),
        What::Plain(text) => Some(Given { at: node.at, text, plain: true, hidden: false, from: Vec::new() }),
        What::Completed { text, from, secret } => Some(Given { at: node.at, text, plain: false, hidden: secret, from }),
        What::List(_) => {
            report.refuse(node.at, "found a list, allowed is a single value");
            None
        }
        What::Map(_) => {
            report.refuse(node.at, "found keys with values, allowed is a single value");
            None
        }
    }
}

/// A list, or one text with commas between the items; without its empty items.
pub(super) fn items(node: Option<Node>, report: &mut Report) -> Vec<Given> {
    match node {
        Some(Node { what: What::List(nodes), .. }) => nodes
            .into_iter()
            .filter_map(|item| {
                if matches!(item.what, What::Nothing) {
                    report.refuse(item.at, "found nothing; write the name in quotes if it is NULL");
                    return None;
                }
                single(item, report)
            })
            .collect(),
        Some(node) => single(node, report).map(|given| split(&given)).unwrap_or_default(),
        None => Vec::new(),
    }
}

pub(super) fn split(given: &Given) -> Vec<Given> {
    let parts = given.text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| Given { text: part.to_owned(), ..given.clone() }).collect()
}
