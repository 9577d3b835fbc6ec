//! What bots asked for, by the name that they gave it, and what became of it.
//!
//! The name is the client order id for what places an order, and the entry's id for all else.

use rusqlite::{OptionalExtension, Row, params};

use super::text::{Columns, whole};
use super::{Journal, JournalError, Step};
use crate::model::{AccountId, Timestamp};

/// How far a command got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandState {
    /// About to be sent, or sent: after a crash nobody knows which.
    Submitting,
    /// Sent, and no answer came.
    Unknown,
    Answered,
}

impl CommandState {
    const ALL: [CommandState; 3] = [CommandState::Submitting, CommandState::Unknown, CommandState::Answered];

    pub fn as_str(self) -> &'static str {
        match self {
            CommandState::Submitting => "submitting",
            CommandState::Unknown => "unknown",
            CommandState::Answered => "answered",
        }
    }
}

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    pub name: String,
    pub action: String,
    /// What was asked, in one form whatever the spelling: the same again is told by it.
    pub body: String,
    /// The entry that brought it.
    pub entry: String,
    pub state: CommandState,
    /// What was sent to the venue.
    pub request: Option<String>,
    /// The answer, a JSON text.
    pub answer: Option<String>,
    pub received: Timestamp,
    pub expires: Option<Timestamp>,
    /// How often it was sent.
    pub sent: u64,
    /// Its sender wants the order to end, should it turn out to exist.
    pub cancel_wanted: bool,
}

const RECORD: &str = "SELECT name, action, body, entry, state, request, answer, received, expires, sent, cancel_wanted FROM commands";

fn record(row: &Row<'_>) -> rusqlite::Result<CommandRecord> {
    let mut column = Columns::of(row);
    let (name, action, body, entry) = (column.next()?, column.next()?, column.next()?, column.next()?);
    let word: String = column.next()?;
    let state = CommandState::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| column.bad("state of a command"))?;
    Ok(CommandRecord {
        name,
        action,
        body,
        entry,
        state,
        request: column.next()?,
        answer: column.next()?,
        received: column.time()?,
        expires: column.next::<Option<i64>>()?.map(Timestamp::from_nanos),
        sent: column.number()?,
        cancel_wanted: column.next()?,
    })
}

fn find(db: &rusqlite::Connection, account: &AccountId, name: &str) -> rusqlite::Result<Option<CommandRecord>> {
    let sql = format!("{RECORD} WHERE account = ? AND name = ?");
    db.prepare_cached(&sql)?.query_row((account.as_str(), name), record).optional()
}

impl Step<'_> {
    pub fn command(&self, account: &AccountId, name: &str) -> Result<Option<CommandRecord>, JournalError> {
        self.of(find(&self.all, account, name))
    }

    pub fn put_command(&self, account: &AccountId, command: &CommandRecord) -> Result<(), JournalError> {
        let put = || {
            let row = params![
                account.as_str(),
                command.name,
                command.action,
                command.body,
                command.entry,
                command.state.as_str(),
                command.request,
                command.answer,
                command.received.nanos(),
                command.expires.map(Timestamp::nanos),
                whole(command.sent),
                command.cancel_wanted
            ];
            let put = "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                       ON CONFLICT DO UPDATE SET action = excluded.action, body = excluded.body, entry = excluded.entry, state = excluded.state,
                       request = excluded.request, answer = excluded.answer, received = excluded.received, expires = excluded.expires,
                       sent = excluded.sent, cancel_wanted = excluded.cancel_wanted";
            self.all.prepare_cached(put)?.execute(row)
        };
        self.of(put()).map(drop)
    }
}

impl Journal {
    /// Another try of an entry that was handed out before; how many there have been with it. One that ends the process is
    /// known by that it never comes to [`Journal::tried`].
    pub fn try_again(&self, entry: &str, now: Timestamp) -> Result<u64, JournalError> {
        self.write(|step| {
            let count = "INSERT INTO tries VALUES (?1, 1, ?2) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count";
            let counted = || step.all.prepare_cached(count)?.query_row(params![entry, now.nanos()], |row| row.get::<_, i64>(0));
            Ok(step.of(counted())?.unsigned_abs())
        })
    }

    /// The entry was dealt with.
    pub fn tried(&self, entry: &str) -> Result<(), JournalError> {
        self.write(|step| step.of(step.all.prepare_cached("DELETE FROM tries WHERE entry = ?").and_then(|mut over| over.execute([entry]))).map(drop))
    }

    pub fn command(&self, account: &AccountId, name: &str) -> Result<Option<CommandRecord>, JournalError> {
        self.read_one(|db| find(db, account, name))
    }

    /// Commands of which nobody knows what became, oldest first.
    pub fn unsettled(&self, account: &AccountId) -> Result<Vec<CommandRecord>, JournalError> {
        self.read(|db| {
            let sql = format!("{RECORD} WHERE account = ? AND state != 'answered' ORDER BY received");
            db.prepare_cached(&sql)?.query_map([account.as_str()], record)?.collect()
        })
    }
}
