//! The tables, and how an older file becomes one of today.
//!
//! Decimals are text, times are nanoseconds since 1970. Every table and index that a call touches is a page to be written:
//! there are no more than are needed. A step that has been released is never edited: a new one is added.

use std::path::Path;

use rusqlite::Connection;

use super::error::StoreError;

/// Says in the file's head whose file it is.
const APPLICATION: i64 = 0x7061_7072;

/// Step `n` makes schema `n + 1`.
const STEPS: [&str; 1] = ["
    CREATE TABLE account (
        id           TEXT NOT NULL PRIMARY KEY,
        currency     TEXT NOT NULL,
        start        TEXT NOT NULL,
        cash         TEXT NOT NULL,
        realised     TEXT NOT NULL,
        fees         TEXT NOT NULL,
        equity_at_open TEXT NOT NULL,
        day          INTEGER NOT NULL,
        opened       INTEGER NOT NULL,
        generation   INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE positions (
        symbol       TEXT NOT NULL PRIMARY KEY,
        quantity     TEXT NOT NULL,
        cost         TEXT NOT NULL,
        realised     TEXT NOT NULL,
        mark         TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE orders (
        seq          INTEGER PRIMARY KEY,
        key          TEXT NOT NULL UNIQUE,
        id           TEXT NOT NULL,
        client_order_id TEXT NOT NULL UNIQUE,
        symbol       TEXT NOT NULL,
        side         TEXT NOT NULL,
        quantity     TEXT,
        notional     TEXT,
        kind         TEXT NOT NULL,
        limit_price  TEXT,
        stop_price   TEXT,
        trail_price  TEXT,
        trail_percent TEXT,
        time_in_force TEXT NOT NULL,
        extended_hours INTEGER NOT NULL,
        class        TEXT NOT NULL,
        profit_limit TEXT,
        loss_stop    TEXT,
        loss_limit   TEXT,
        status       TEXT NOT NULL,
        open         INTEGER NOT NULL,
        filled       TEXT NOT NULL,
        filled_value TEXT NOT NULL,
        fees         TEXT NOT NULL,
        intent       TEXT,
        trailing_stop TEXT,
        high_water   TEXT,
        parent       TEXT,
        legs         TEXT NOT NULL,
        replaces     TEXT,
        replaced_by  TEXT,
        created      INTEGER NOT NULL,
        submitted    INTEGER NOT NULL,
        updated      INTEGER NOT NULL,
        filled_at    INTEGER,
        canceled_at  INTEGER,
        expired_at   INTEGER,
        failed_at    INTEGER,
        replaced_at  INTEGER,
        cancelling   INTEGER NOT NULL DEFAULT 0,
        triggered    INTEGER NOT NULL DEFAULT 0,
        CHECK ((quantity IS NULL) != (notional IS NULL))
    ) STRICT;
    CREATE INDEX open_orders ON orders (seq) WHERE open = 1;
    CREATE TABLE fills (
        at           INTEGER NOT NULL,
        seq          INTEGER NOT NULL,
        execution_id TEXT NOT NULL,
        order_id     TEXT NOT NULL,
        client_order_id TEXT NOT NULL,
        symbol       TEXT NOT NULL,
        side         TEXT NOT NULL,
        price        TEXT NOT NULL,
        quantity     TEXT NOT NULL,
        fees         TEXT NOT NULL,
        position     TEXT NOT NULL,
        PRIMARY KEY (at, seq)
    ) STRICT, WITHOUT ROWID;
"];

/// Makes the tables of today out of whatever stands there, all of it or nothing.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |cause| StoreError::of(path, cause);
    let number = |db: &Connection, pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let application = number(db, "application_id").map_err(failed)?;
    let found = number(db, "user_version").map_err(failed)?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let fresh = application == 0 && found == 0 && tables == 0;
    if !fresh && application != APPLICATION {
        return Err(StoreError::Foreign(path.to_path_buf()));
    }
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: path.to_path_buf(), found, known });
    }
    let behind = usize::try_from(found).unwrap_or(0);
    if behind < STEPS.len() {
        let change = db.transaction().map_err(failed)?;
        for step in &STEPS[behind..] {
            change.execute_batch(step).map_err(failed)?;
        }
        change.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {known};")).map_err(failed)?;
        change.commit().map_err(failed)?;
    }
    Ok(())
}
