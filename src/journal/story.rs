//! Where a name occurs, and all that was told under it: for people who ask about one order. Slower than what a desk asks.

use rusqlite::{OptionalExtension, params};

use super::orders::{KNOWN, known};
use super::text::Columns;
use super::{Journal, JournalError, Known, Moment};
use crate::model::{AccountId, Timestamp};

/// An account where a name occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub account: AccountId,
    /// The order of this client order id or venue's id; `None` while the venue has told nothing of it.
    pub order: Option<Known>,
}

/// An update as its bot was told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub n: u64,
    pub order_id: String,
    pub source: String,
    pub event: String,
    pub entry: String,
    pub at: Timestamp,
}

impl Journal {
    /// Every account where something of this name was asked, told or placed.
    pub fn named(&self, name: &str) -> Result<Vec<Named>, JournalError> {
        let accounts: Vec<AccountId> = self.read(|db| {
            let anywhere = "SELECT account FROM orders WHERE id = ?1 OR client_order_id = ?1 UNION SELECT account FROM commands WHERE name = ?1
                            UNION SELECT account FROM updates WHERE client_order_id = ?1";
            db.prepare_cached(anywhere)?.query_map([name], |row| Columns::of(row).parsed("account"))?.collect()
        })?;
        accounts.into_iter().map(|account| Ok(Named { order: self.order_called(&account, name)?, account })).collect()
    }

    /// The order of this client order id, else of this venue's id; of a name that was used twice the newest.
    pub fn order_called(&self, account: &AccountId, name: &str) -> Result<Option<Known>, JournalError> {
        self.read(|db| {
            let sql = format!("{KNOWN} WHERE account = ?1 AND (client_order_id = ?2 OR id = ?2) ORDER BY client_order_id = ?2 DESC, submitted DESC LIMIT 1");
            db.prepare_cached(&sql)?.query_row((account.as_str(), name), known).optional()
        })
    }

    /// Orders in whose order object this venue's id occurs, itself among them.
    pub fn orders_mentioning(&self, account: &AccountId, id: &str) -> Result<Vec<Known>, JournalError> {
        self.read(|db| {
            let sql = format!("{KNOWN} WHERE account = ?1 AND (id = ?2 OR instr(text, ?2) > 0) ORDER BY submitted");
            db.prepare_cached(&sql)?.query_map((account.as_str(), id), known)?.collect()
        })
    }

    /// What was noted under this client order id, in order.
    pub fn notes(&self, name: &str) -> Result<Vec<Moment>, JournalError> {
        self.read(|db| {
            let mut look = db.prepare_cached("SELECT at, source, what FROM timeline WHERE name = ? ORDER BY at, seq")?;
            look.query_map([name], |row| {
                let mut column = Columns::of(row);
                Ok(Moment { at: column.time()?, source: column.next()?, what: column.next()? })
            })?
            .collect()
        })
    }

    /// The updates under this client order id, in the order of their numbers.
    pub fn told(&self, account: &AccountId, client_order_id: &str) -> Result<Vec<Told>, JournalError> {
        self.read(|db| {
            let told = "SELECT n, order_id, source, event, entry, at FROM updates WHERE client_order_id = ? AND account = ? ORDER BY n";
            db.prepare_cached(told)?
                .query_map(params![client_order_id, account.as_str()], |row| {
                    let mut column = Columns::of(row);
                    let (n, order_id, source) = (column.number()?, column.next()?, column.next()?);
                    Ok(Told { n, order_id, source, event: column.next()?, entry: column.next()?, at: column.time()? })
                })?
                .collect()
        })
    }
}
