//! What happened to one order, across bot, desk, venue and stream: for people who ask why.

use rusqlite::params;

use super::text::Columns;
use super::{Journal, JournalError, Step};
use crate::model::Timestamp;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub at: Timestamp,
    /// `bot`, `risk`, `http`, `desk`, or the source of an order update.
    pub source: String,
    pub what: String,
}

impl Step<'_> {
    /// Notes something about the order of this name.
    pub fn note(&self, name: &str, at: Timestamp, source: &str, what: &str) -> Result<(), JournalError> {
        let put =
            || self.all.prepare_cached("INSERT INTO timeline (name, at, source, what) VALUES (?, ?, ?, ?)")?.execute(params![name, at.nanos(), source, what]);
        self.of(put()).map(drop)
    }
}

impl Journal {
    /// Everything about the order of this client order id, in order: what was noted, and the updates that bots were told.
    pub fn timeline(&self, name: &str) -> Result<Vec<Moment>, JournalError> {
        let both = "SELECT at, source, what FROM timeline WHERE name = ?1
                    UNION ALL SELECT at, source, event || '  ' || entry FROM updates WHERE client_order_id = ?1 ORDER BY at";
        self.read(|db| {
            db.prepare_cached(both)?
                .query_map([name], |row| {
                    let mut column = Columns::of(row);
                    Ok(Moment { at: column.time()?, source: column.next()?, what: column.next()? })
                })?
                .collect()
        })
    }
}
