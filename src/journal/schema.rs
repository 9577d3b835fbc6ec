//! The tables, and how an older file becomes one of today.
//!
//! Every index is a page more to each commit: what only people ask for, or the hourly forgetting, has none.
//!
//! Decimals are text, times are nanoseconds since 1970. Tables with long texts keep a row number: without one a row of more
//! than a quarter of a page spills over into a page of its own. A step that has been released is never edited: a new one is added.

use std::path::Path;

use rusqlite::Connection;

use super::error::JournalError;
use crate::model::Timestamp;

/// Says in the file's head whose file it is.
const APPLICATION: i64 = 0x6a72_6e6c;

/// Step `n` makes schema `n + 1`.
const STEPS: [&str; 1] = ["
    CREATE TABLE journal (id TEXT NOT NULL, made INTEGER NOT NULL) STRICT;
    CREATE TABLE streams (
        account  TEXT NOT NULL PRIMARY KEY,
        epoch    INTEGER,
        last     INTEGER NOT NULL,
        copied   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bots (
        account  TEXT NOT NULL,
        bot      TEXT NOT NULL,
        last     INTEGER NOT NULL,
        PRIMARY KEY (account, bot)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE updates (
        account  TEXT NOT NULL,
        n        INTEGER NOT NULL,
        bot      TEXT,
        bot_n    INTEGER,
        at       INTEGER NOT NULL,
        order_id TEXT NOT NULL,
        client_order_id TEXT NOT NULL,
        symbol   TEXT NOT NULL,
        event    TEXT NOT NULL,
        source   TEXT NOT NULL,
        entry    TEXT NOT NULL,
        typed    TEXT,
        PRIMARY KEY (account, n)
    ) STRICT;
    CREATE INDEX updates_of_bots ON updates (account, bot, bot_n) WHERE bot IS NOT NULL;
    CREATE TABLE keys (
        account  TEXT NOT NULL,
        key      TEXT NOT NULL,
        n        INTEGER NOT NULL,
        PRIMARY KEY (account, key)
    ) STRICT;
    CREATE TABLE orders (
        account  TEXT NOT NULL,
        id       TEXT NOT NULL,
        client_order_id TEXT NOT NULL,
        symbol   TEXT NOT NULL,
        side     TEXT NOT NULL,
        status   TEXT NOT NULL,
        open     INTEGER NOT NULL,
        quantity TEXT,
        filled   TEXT NOT NULL,
        filled_value TEXT NOT NULL,
        estimated TEXT NOT NULL,
        generation INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL,
        submitted INTEGER NOT NULL,
        updated  INTEGER NOT NULL,
        heard    INTEGER NOT NULL,
        bot      TEXT,
        ours     INTEGER NOT NULL,
        text     TEXT NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT;
    CREATE INDEX orders_by_name ON orders (account, client_order_id);
    CREATE INDEX open_orders ON orders (account, submitted) WHERE open = 1;
    CREATE TABLE executions (
        account  TEXT NOT NULL,
        n        INTEGER NOT NULL,
        execution_id TEXT NOT NULL,
        order_id TEXT NOT NULL,
        client_order_id TEXT NOT NULL,
        bot      TEXT,
        symbol   TEXT NOT NULL,
        side     TEXT NOT NULL,
        price    TEXT NOT NULL,
        quantity TEXT NOT NULL,
        fees     TEXT NOT NULL,
        position TEXT NOT NULL,
        at       INTEGER NOT NULL,
        void     INTEGER NOT NULL,
        PRIMARY KEY (account, n)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX executions_of_orders ON executions (account, order_id);
    CREATE TABLE commands (
        account  TEXT NOT NULL,
        name     TEXT NOT NULL,
        action   TEXT NOT NULL,
        body     TEXT NOT NULL,
        entry    TEXT NOT NULL,
        state    TEXT NOT NULL,
        request  TEXT,
        answer   TEXT,
        received INTEGER NOT NULL,
        expires  INTEGER,
        sent     INTEGER NOT NULL,
        cancel_wanted INTEGER NOT NULL,
        PRIMARY KEY (account, name)
    ) STRICT;
    CREATE INDEX unsettled_commands ON commands (account) WHERE state != 'answered';
    CREATE TABLE timeline (
        seq      INTEGER PRIMARY KEY,
        name     TEXT NOT NULL,
        at       INTEGER NOT NULL,
        source   TEXT NOT NULL,
        what     TEXT NOT NULL
    ) STRICT;
    CREATE TABLE compared (account TEXT NOT NULL PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE tries (entry TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"];

/// Makes the tables of today out of whatever stands there, all of it or nothing.
pub(super) fn migrate(db: &mut Connection, path: &Path, now: Timestamp) -> Result<(), JournalError> {
    let failed = |cause| JournalError::of(path, cause);
    let found = version(db, path, true)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let behind = usize::try_from(found).unwrap_or(0);
    if behind < STEPS.len() {
        let change = db.transaction().map_err(failed)?;
        for step in &STEPS[behind..] {
            change.execute_batch(step).map_err(failed)?;
        }
        if behind == 0 {
            let id: String = std::iter::repeat_with(fastrand::alphanumeric).take(20).collect();
            change.execute("INSERT INTO journal VALUES (?, ?)", (id, now.nanos())).map_err(failed)?;
        }
        change.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {known};")).map_err(failed)?;
        change.commit().map_err(failed)?;
    }
    Ok(())
}

/// Whether a file that is only looked at can be understood.
pub(super) fn is_ours(db: &Connection, path: &Path) -> Result<(), JournalError> {
    version(db, path, false).map(drop)
}

fn version(db: &Connection, path: &Path, may_be_new: bool) -> Result<i64, JournalError> {
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|cause| JournalError::of(path, cause));
    let (application, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let fresh = may_be_new && application == 0 && found == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0;
    if !fresh && application != APPLICATION {
        return Err(JournalError::Foreign(path.to_path_buf()));
    }
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(JournalError::Newer { path: path.to_path_buf(), found, known });
    }
    Ok(found)
}
