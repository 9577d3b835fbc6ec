//! What bots ask of the order desk: one entry of the stream `broker:orders` is one command.
//!
//! Must not know brokers.

mod read;
mod text;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use self::read::parse_command;
pub use self::text::{CommandFor, write_close, write_modify, write_place};
use super::BotName;
use crate::events::{Command, OrderKey};
use crate::model::{ExchangeName, Timestamp};

/// A longer command is refused before anything reads it.
pub const MAX_COMMAND_BYTES: usize = 16 * 1024;

/// One entry of `broker:orders`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskCommand {
    /// As the sender wrote it, for the answer.
    pub action: &'static str,
    /// The broker's configured name; the default one when absent.
    pub exchange: Option<ExchangeName>,
    /// The account's configured name or the venue's id of it.
    pub account: Option<String>,
    /// Not after this.
    pub expires_at: Option<Timestamp>,
    pub reply_to: Option<String>,
    /// An order that names no type: it is what its prices say.
    pub untyped: bool,
    pub wish: Wish,
}

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Order(Command),
    Ask(Question),
    Halt {
        scope: Scope,
        mode: HaltWord,
        reason: String,
    },
    Resume {
        scope: Scope,
    },
    /// Compare what we know with what the venue holds; `dry_run` repairs nothing.
    Reconcile {
        dry_run: bool,
    },
}

/// What can be asked of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    OpenOrders(Whose),
    Order(OrderKey),
    Fills { whose: Whose, since: Timestamp, limit: usize },
    Positions(Whose),
    Balance(Whose),
}

/// Whose part of an account a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// All of it, as the venue tells it.
    Account,
    Bot(BotName),
    /// What nobody asked of us: orders by another program, or by hand at the venue.
    External,
}

/// Whom a halt is for, beside the broker and account that the command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    Broker,
    Account,
    Bot(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltWord {
    /// Nothing new; open orders stay.
    Halt,
    /// Nothing new, and open orders are cancelled.
    HaltAndCancel,
    /// Only what makes a position smaller.
    ReduceOnly,
}

/// An entry that cannot be served, and where its sender waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCommand {
    pub reason: String,
    pub action: Option<String>,
    pub client_order_id: Option<String>,
    pub reply_to: Option<String>,
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The venue took it, or the question is answered.
    Accepted,
    /// Refused by the venue.
    Rejected,
    /// Refused by the broker; nothing was sent.
    Denied,
    /// Nobody knows yet: look it up.
    Unknown,
}

/// A decimal as JSON text: digits without an exponent, in quotes.
pub fn decimal_text(value: Decimal) -> String {
    value.normalize().to_string()
}
