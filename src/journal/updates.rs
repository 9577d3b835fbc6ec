//! Order updates: each numbered once, and how far the stream of each account got.

use rusqlite::{Connection, OptionalExtension, params};

use super::tail::{News, Tails};
use super::text::{Columns, whole};
use super::{Journal, JournalError, Step};
use crate::events::Source;
use crate::model::{AccountId, Timestamp};

/// An update on its way into the journal.
#[derive(Debug, Clone)]
pub struct Draft {
    pub order_id: String,
    pub client_order_id: String,
    pub symbol: String,
    pub bot: Option<String>,
    /// The word of the event.
    pub event: String,
    pub source: Source,
    /// The entry of the stream: a JSON object, without its `stream_id`.
    pub entry: String,
    /// The copy for `order:{account}`; without one there are no copies at all.
    pub typed: Option<String>,
    /// Everything by which the same fact is known again.
    pub keys: Vec<String>,
    pub at: Timestamp,
}

/// An update in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub n: u64,
    /// Its number among those of its bot.
    pub bot: Option<(String, u64)>,
    pub symbol: String,
    pub entry: String,
    pub typed: Option<String>,
    pub at: Timestamp,
}

/// How far the stream of an account got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamState {
    /// `None` before the stream of this account was looked at for the first time.
    pub epoch: Option<u64>,
    /// The last number given.
    pub last: u64,
    /// The last number whose copies were sent.
    pub copied: u64,
}

const ROW: &str = "SELECT n, bot, bot_n, symbol, entry, typed, at FROM updates";

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let mut column = Columns::of(row);
    let n = column.number()?;
    let (bot, bot_n): (Option<String>, Option<i64>) = (column.next()?, column.next()?);
    Ok(Row { n, bot: bot.zip(bot_n.map(i64::unsigned_abs)), symbol: column.next()?, entry: column.next()?, typed: column.next()?, at: column.time()? })
}

impl Step<'_> {
    /// The number of the update by which a fact is known already.
    pub fn known(&self, account: &AccountId, key: &str) -> Result<Option<u64>, JournalError> {
        let found = || {
            let mut look = self.all.prepare_cached("SELECT n FROM keys WHERE account = ? AND key = ?")?;
            look.query_row((account.as_str(), key), |row| row.get::<_, i64>(0)).optional()
        };
        Ok(self.of(found())?.map(i64::unsigned_abs))
    }

    /// Another key of an update that is there.
    pub fn also_known_as(&self, account: &AccountId, n: u64, keys: &[String]) -> Result<(), JournalError> {
        let put = || -> rusqlite::Result<()> {
            let mut put = self.all.prepare_cached("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)")?;
            keys.iter().try_for_each(|key| put.execute(params![account.as_str(), key, whole(n)]).map(drop))
        };
        self.of(put())
    }

    /// The fact may come once more as a new one.
    pub fn forget(&self, account: &AccountId, key: &str) -> Result<(), JournalError> {
        let forget = "DELETE FROM keys WHERE account = ? AND key = ?";
        self.of(self.all.prepare_cached(forget).and_then(|mut forget| forget.execute((account.as_str(), key)))).map(drop)
    }

    /// Gives an update the next number of its account.
    pub fn append(&self, account: &AccountId, draft: &Draft) -> Result<u64, JournalError> {
        let put = || -> rusqlite::Result<u64> {
            let next = "INSERT INTO streams VALUES (?, NULL, 1, 0) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last";
            let n: i64 = self.all.prepare_cached(next)?.query_row([account.as_str()], |row| row.get(0))?;
            let bot_n = match &draft.bot {
                Some(bot) => {
                    let next = "INSERT INTO bots VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last";
                    Some(self.all.prepare_cached(next)?.query_row([account.as_str(), bot], |row| row.get::<_, i64>(0))?)
                }
                None => None,
            };
            let Draft { order_id, client_order_id, symbol, bot, event, source, entry, typed, at, .. } = draft;
            let row = params![account.as_str(), n, bot, bot_n, at.nanos(), order_id, client_order_id, symbol, event, source.as_str(), entry, typed];
            self.all.prepare_cached("INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(row)?;
            let (n, bot) = (n.unsigned_abs(), bot.clone().zip(bot_n.map(i64::unsigned_abs)));
            let row = Row { n, bot, symbol: symbol.clone(), entry: entry.clone(), typed: typed.clone(), at: *at };
            self.tell(News::Appended(account.clone(), row));
            Ok(n)
        };
        let n = self.of(put())?;
        self.also_known_as(account, n, &draft.keys)?;
        Ok(n)
    }
}

fn accounts(db: &Connection) -> rusqlite::Result<Vec<AccountId>> {
    db.prepare_cached("SELECT account FROM streams")?.query_map([], |row| Columns::of(row).parsed("account"))?.collect()
}

fn state(db: &Connection, account: &AccountId) -> rusqlite::Result<StreamState> {
    let mut look = db.prepare_cached("SELECT epoch, last, copied FROM streams WHERE account = ?")?;
    let found = look.query_row([account.as_str()], |row| {
        let mut column = Columns::of(row);
        let epoch: Option<i64> = column.next()?;
        Ok(StreamState { epoch: epoch.map(i64::unsigned_abs), last: column.number()?, copied: column.number()? })
    });
    Ok(found.optional()?.unwrap_or_default())
}

fn bots(db: &Connection, account: &AccountId) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut look = db.prepare_cached("SELECT bot, last FROM bots WHERE account = ?")?;
    look.query_map([account.as_str()], |row| {
        let mut column = Columns::of(row);
        Ok((column.next()?, column.number()?))
    })?
    .collect()
}

/// Where the streams stand in the file.
pub(super) fn tails(db: &Connection) -> rusqlite::Result<Tails> {
    let mut tails = Tails::default();
    for account in accounts(db)? {
        let (state, bots) = (state(db, &account)?, bots(db, &account)?);
        tails.begin(account, state, bots);
    }
    Ok(tails)
}

impl Journal {
    /// Keys that begin so.
    pub fn keys_from(&self, account: &AccountId, start: &str) -> Result<Vec<String>, JournalError> {
        self.read(|db| {
            let mut look = db.prepare_cached("SELECT key FROM keys WHERE account = ?1 AND key >= ?2 AND key < ?2 || char(1114111)")?;
            look.query_map((account.as_str(), start), |row| row.get(0))?.collect()
        })
    }

    /// The entry of the update by which a fact is known.
    pub fn entry_known_by(&self, account: &AccountId, key: &str) -> Result<Option<String>, JournalError> {
        self.read(|db| {
            let mut look = db.prepare_cached("SELECT entry FROM updates JOIN keys USING (account, n) WHERE account = ? AND key = ?")?;
            look.query_row((account.as_str(), key), |row| row.get(0)).optional()
        })
    }

    pub fn stream(&self, account: &AccountId) -> Result<StreamState, JournalError> {
        let known = self.newest(|tails| Some(tails.state(account)));
        known.map_or_else(|| self.read(|db| state(db, account)), Ok)
    }

    /// Accounts that have a stream.
    pub fn accounts(&self) -> Result<Vec<AccountId>, JournalError> {
        self.newest(|tails| Some(tails.accounts())).map_or_else(|| self.read(accounts), Ok)
    }

    /// The epoch of an account's stream: `proposed` the first time that anybody asks, the same ever after.
    pub fn settle_epoch(&self, account: &AccountId, proposed: u64) -> Result<u64, JournalError> {
        self.write(|step| {
            let settle = "INSERT INTO streams VALUES (?1, ?2, 0, 0) ON CONFLICT DO UPDATE SET epoch = coalesce(epoch, ?2) RETURNING epoch";
            let settled = || step.all.prepare_cached(settle)?.query_row(params![account.as_str(), whole(proposed)], |row| row.get::<_, i64>(0));
            let epoch = step.of(settled())?.unsigned_abs();
            step.tell(News::Epoch(account.clone(), epoch));
            Ok(epoch)
        })
    }

    /// The copies of everything up to `n` were sent.
    pub fn copied(&self, account: &AccountId, n: u64) -> Result<(), JournalError> {
        self.write(|step| {
            let tell = "UPDATE streams SET copied = max(copied, ?2) WHERE account = ?1";
            step.of(step.all.prepare_cached(tell).and_then(|mut tell| tell.execute(params![account.as_str(), whole(n)])))?;
            step.tell(News::Copied(account.clone(), n));
            Ok(())
        })
    }

    /// Updates above `after`, in order.
    pub fn updates(&self, account: &AccountId, after: u64, limit: usize) -> Result<Vec<Row>, JournalError> {
        if let Some(rows) = self.newest(|tails| tails.above(account, after, limit)) {
            return Ok(rows);
        }
        self.read(|db| {
            let mut look = db.prepare_cached(&format!("{ROW} WHERE account = ? AND n > ? ORDER BY n LIMIT ?"))?;
            look.query_map(params![account.as_str(), whole(after), whole(limit as u64)], row)?.collect()
        })
    }

    /// The same of one bot, by its own numbers.
    pub fn updates_of_bot(&self, account: &AccountId, bot: &str, after: u64, limit: usize) -> Result<Vec<Row>, JournalError> {
        if let Some(rows) = self.newest(|tails| tails.above_of_bot(account, bot, after, limit)) {
            return Ok(rows);
        }
        self.read(|db| {
            let mut look = db.prepare_cached(&format!("{ROW} WHERE account = ? AND bot = ? AND bot_n > ? ORDER BY bot_n LIMIT ?"))?;
            look.query_map(params![account.as_str(), bot, whole(after), whole(limit as u64)], row)?.collect()
        })
    }

    /// Bots that have updates, and the last number of each.
    pub fn bots(&self, account: &AccountId) -> Result<Vec<(String, u64)>, JournalError> {
        self.newest(|tails| Some(tails.bots(account))).map_or_else(|| self.read(|db| bots(db, account)), Ok)
    }

    /// Forgets updates, ended orders, settled commands and their timeline from before `before`, some at a time; says whether
    /// there is more.
    pub fn prune(&self, before: Timestamp, some: usize) -> Result<bool, JournalError> {
        let (before, some) = (before.nanos(), whole(some as u64));
        let forgotten = self.write(|step| {
            let forget = || -> rusqlite::Result<usize> {
                let mut gone = 0;
                // Row numbers rise with time: what is old is in front, and looking for it costs no index.
                for sql in [
                    "DELETE FROM updates WHERE rowid IN (SELECT rowid FROM updates ORDER BY rowid LIMIT ?2) AND at < ?1",
                    "DELETE FROM keys WHERE rowid IN (SELECT rowid FROM keys ORDER BY rowid LIMIT 4 * ?2)
                     AND n < coalesce((SELECT min(n) FROM updates WHERE updates.account = keys.account), n + 1) AND ?1 = ?1",
                    "DELETE FROM orders WHERE rowid IN (SELECT rowid FROM orders ORDER BY rowid LIMIT ?2) AND open = 0 AND heard < ?1",
                    "DELETE FROM commands WHERE rowid IN (SELECT rowid FROM commands ORDER BY rowid LIMIT ?2) AND state = 'answered' AND received < ?1",
                    "DELETE FROM timeline WHERE seq IN (SELECT seq FROM timeline ORDER BY seq LIMIT ?2) AND at < ?1",
                    "DELETE FROM tries WHERE entry IN (SELECT entry FROM tries WHERE at < ?1 LIMIT ?2)",
                ] {
                    gone = gone.max(step.all.prepare_cached(sql)?.execute((before, some))?);
                }
                Ok(gone)
            };
            Ok(whole(step.of(forget())? as u64) >= some)
        });
        if let Some(tails) = &self.tails {
            tails.lock().forget_rows();
        }
        forgotten
    }
}
