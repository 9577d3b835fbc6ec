//! Who has been stopped, why, and since when: kept as one JSON document so that a restart changes nothing.
//!
//! Must not know where the document is kept, nor any order.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::events::AccountRef;
use crate::model::{ExchangeName, Timestamp};

/// Whom a halt concerns.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HaltScope {
    All,
    Broker(ExchangeName),
    Account(AccountRef),
    /// A bot, on every account.
    Bot(String),
}

/// How far a halt goes. Cancels always pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltMode {
    /// Positions may be reduced and nothing else.
    ReduceOnly,
    /// Nothing leaves.
    Halted,
}

impl HaltMode {
    pub fn as_str(self) -> &'static str {
        match self {
            HaltMode::ReduceOnly => "reduce_only",
            HaltMode::Halted => "halted",
        }
    }
}

/// A halt in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltRecord {
    pub scope: HaltScope,
    pub mode: HaltMode,
    pub reason: String,
    pub since: Timestamp,
}

/// All halts in force, one a scope. Nothing but [`HaltBook::resume`] ends one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HaltBook {
    records: BTreeMap<HaltScope, HaltRecord>,
}

/// The document of halts cannot be read. Who cannot know what was stopped must take everything as stopped.
#[derive(Debug, thiserror::Error)]
#[error("the kept halts cannot be read: {0}; take everything as halted until somebody has looked at them")]
pub struct HaltBookError(String);

/// A text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a halt is of `all`, `broker:NAME`, `account:BROKER/ID` or `bot:NAME`")]
pub struct ScopeError;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    halts: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    scope: String,
    mode: HaltMode,
    reason: String,
    since: String,
}

impl HaltScope {
    /// The bot that it is about, where it is about one.
    pub(super) fn bot(&self) -> Option<&str> {
        match self {
            HaltScope::Bot(bot) => Some(bot),
            _ => None,
        }
    }

    /// Whether orders of this bot on this account are concerned. Who does not know his account is concerned by every
    /// account's halt: one too many is mended faster than one too few.
    pub fn concerns(&self, of: Option<&AccountRef>, bot: Option<&str>) -> bool {
        match self {
            HaltScope::All => true,
            HaltScope::Broker(broker) => of.is_none_or(|of| of.broker == *broker),
            HaltScope::Account(account) => of.is_none_or(|of| of == account),
            HaltScope::Bot(name) => bot == Some(name),
        }
    }
}

impl HaltBook {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn records(&self) -> impl Iterator<Item = &HaltRecord> {
        self.records.values()
    }

    pub fn get(&self, scope: &HaltScope) -> Option<&HaltRecord> {
        self.records.get(scope)
    }

    /// Takes the place of an older halt of this scope. The same mode again keeps the time of the first.
    pub fn set(&mut self, scope: HaltScope, mode: HaltMode, reason: String, now: Timestamp) -> HaltRecord {
        let since = self.records.get(&scope).filter(|known| known.mode == mode).map_or(now, |known| known.since);
        let record = HaltRecord { scope: scope.clone(), mode, reason, since };
        self.records.insert(scope, record.clone());
        record
    }

    /// Ends the halt of exactly this scope; those of other scopes stay. `None` when there was none.
    pub fn resume(&mut self, scope: &HaltScope) -> Option<HaltRecord> {
        self.records.remove(scope)
    }

    /// The halts that concern orders of this bot on this account.
    pub fn concerning<'a>(&'a self, of: Option<&'a AccountRef>, bot: Option<&'a str>) -> impl Iterator<Item = &'a HaltRecord> {
        self.records.values().filter(move |record| record.scope.concerns(of, bot))
    }

    pub fn to_json(&self) -> String {
        let line =
            |record: &HaltRecord| Line { scope: record.scope.to_string(), mode: record.mode, reason: record.reason.clone(), since: record.since.to_string() };
        let document = Document { version: VERSION, halts: self.records.values().map(line).collect() };
        // A struct of texts and numbers has nothing that could fail.
        serde_json::to_string(&document).unwrap_or_default()
    }

    pub fn from_json(text: &str) -> Result<HaltBook, HaltBookError> {
        let document: Document = serde_json::from_str(text).map_err(|error| HaltBookError(error.to_string()))?;
        if document.version != VERSION {
            return Err(HaltBookError(format!("version {} where {VERSION} is known", document.version)));
        }
        let mut book = HaltBook::default();
        for line in document.halts {
            let scope: HaltScope = line.scope.parse().map_err(|error: ScopeError| HaltBookError(error.to_string()))?;
            let since = line.since.parse().map_err(|error| HaltBookError(format!("the time of a halt: {error}")))?;
            book.records.insert(scope.clone(), HaltRecord { scope, mode: line.mode, reason: line.reason, since });
        }
        Ok(book)
    }
}

impl fmt::Display for HaltScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HaltScope::All => f.write_str("all"),
            HaltScope::Broker(broker) => write!(f, "broker:{broker}"),
            HaltScope::Account(of) => write!(f, "account:{}/{}", of.broker, of.account),
            HaltScope::Bot(bot) => write!(f, "bot:{bot}"),
        }
    }
}

impl FromStr for HaltScope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<HaltScope, ScopeError> {
        match text.split_once(':') {
            None if text == "all" => Ok(HaltScope::All),
            Some(("broker", name)) => name.parse().map(HaltScope::Broker).map_err(|_| ScopeError),
            Some(("account", name)) => {
                let (broker, account) = name.split_once('/').ok_or(ScopeError)?;
                let (broker, account) = (broker.parse().map_err(|_| ScopeError)?, account.parse().map_err(|_| ScopeError)?);
                Ok(HaltScope::Account(AccountRef { broker, account }))
            }
            Some(("bot", name)) if !name.is_empty() => Ok(HaltScope::Bot(name.to_owned())),
            _ => Err(ScopeError),
        }
    }
}

impl fmt::Display for HaltRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} since {}: {}", self.scope, self.mode.as_str(), self.since, self.reason)
    }
}
