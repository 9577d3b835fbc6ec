//! The file of a paper account: cash, positions, orders, executions. What one call changed is one transaction.
//!
//! `synchronous=NORMAL` in a write-ahead log: the end of the process loses nothing that was kept, the end of the power at
//! most the last moments, and never half a call. Must not know the matching engine, events or threads.

mod error;
mod rows;
mod schema;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};
use rust_decimal::Decimal;

pub use error::StoreError;

use crate::events::OrderKey;
use crate::model::{AccountId, Fill, Order, Position, Timestamp, VenueOrderId};
use crate::runtime::{FileLock, LockError};
use rows::{SELECT_FILLS, key, read_fill, read_order, select_orders, write_fill, write_order};

/// Pages in the log at which a writer moves them into the file himself, because nobody has called [`Checkpointer::run`].
const PAGES_AT_MOST: u32 = 100_000;
/// An order is small, and a commit writes whole pages: of the index of names one anywhere.
const PAGE_BYTES: u32 = 2_048;
/// What an empty log may keep of the disk.
const LOG_BYTES: i64 = 16 * 1024 * 1024;
/// How long a reader of another program (a copy, a look at the tables) may hold us up.
const PATIENCE: Duration = Duration::from_millis(250);
const ONE_LIFE_MORE: &str = "UPDATE account SET generation = generation + 1";
/// Prepared statements that are kept.
const STATEMENTS: usize = 32;

/// The account that a new file is made for, and that an old one has to belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    pub account: AccountId,
    pub currency: String,
    pub cash: Decimal,
    pub at: Timestamp,
}

/// The money of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purse {
    pub cash: Decimal,
    pub realised: Decimal,
    pub fees: Decimal,
    pub equity_at_open: Decimal,
    /// The trading day that it is the opening of, counted from 1970.
    pub day: i64,
}

/// Everything that a broker goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub currency: String,
    /// What the account began with.
    pub start: Decimal,
    pub purse: Purse,
    pub positions: Vec<Position>,
    /// Open ones, and the last that have ended; oldest first.
    pub orders: Vec<Arc<Order>>,
    /// Open orders whose end was asked for and is not under way yet.
    pub cancels: Vec<VenueOrderId>,
    /// Open stops that have been triggered.
    pub triggered: Vec<VenueOrderId>,
    /// The last executions, oldest first.
    pub fills: Vec<Fill>,
    /// Whether these are all the orders that there ever were.
    pub complete: bool,
}

/// What one call changed.
#[derive(Debug, Default)]
pub struct Change {
    pub purse: Option<Purse>,
    pub positions: Vec<Position>,
    pub orders: Vec<Arc<Order>>,
    /// Orders whose end was asked for, though they do not say so.
    pub cancels: Vec<VenueOrderId>,
    /// Stops that have been triggered.
    pub triggered: Vec<VenueOrderId>,
    pub fills: Vec<Fill>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        let wishes = self.cancels.is_empty() && self.triggered.is_empty();
        self.purse.is_none() && self.positions.is_empty() && self.orders.is_empty() && wishes && self.fills.is_empty()
    }
}

/// The open file.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    generation: u64,
    /// The number of the last execution.
    last_fill: i64,
    /// Held as long as the file is open: no other broker may open it.
    _lock: FileLock,
}

/// Moves the log into the file, beside the writer.
#[derive(Debug)]
pub struct Checkpointer {
    db: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When another broker has it, it is of somebody else, newer or damaged, or the disk does not let us.
    pub fn open(path: &Path, opening: &Opening) -> Result<Store, StoreError> {
        let lock = lock(path)?;
        let failed = |cause| StoreError::of(path, cause);
        let mut db = connect(path).map_err(failed)?;
        schema::migrate(&mut db, path)?;
        let generation = begin(&mut db, path, opening)?;
        let last_fill = db.query_row("SELECT seq FROM fills ORDER BY at DESC, seq DESC LIMIT 1", [], |row| row.get(0)).optional().map_err(failed)?;
        Ok(Store { db, path: path.to_path_buf(), generation, last_fill: last_fill.unwrap_or(0), _lock: lock })
    }

    /// How often the file has been opened: what has to differ from one life to the next is made with it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn checkpointer(&self) -> Result<Checkpointer, StoreError> {
        let db = connect(&self.path).map_err(|cause| StoreError::of(&self.path, cause))?;
        Ok(Checkpointer { db, path: self.path.clone() })
    }

    /// Keeps what one call changed: all of it or nothing.
    pub fn save(&mut self, change: &Change) -> Result<(), StoreError> {
        write(&mut self.db, change, self.last_fill).map_err(|cause| StoreError::of(&self.path, cause))?;
        self.last_fill += i64::try_from(change.fills.len()).unwrap_or(0);
        Ok(())
    }

    /// Counts another life without closing the file: also a proof that it can be written again.
    pub fn renew(&mut self) -> Result<(), StoreError> {
        self.db.execute(ONE_LIFE_MORE, []).map_err(|cause| StoreError::of(&self.path, cause))?;
        self.generation += 1;
        Ok(())
    }

    /// With the last `remembered` orders that have ended, and as many executions.
    pub fn load(&self, remembered: usize) -> Result<Saved, StoreError> {
        read(&self.db, remembered).map_err(|cause| StoreError::of(&self.path, cause))
    }

    pub fn order(&self, order: &OrderKey) -> Result<Option<Order>, StoreError> {
        let (column, value) = match order {
            OrderKey::Venue(id) => ("key", key(id.as_str())),
            OrderKey::Client(id) => ("client_order_id", id.as_str().to_owned()),
        };
        let sql = select_orders(&format!("WHERE {column} = ?"));
        let found = self.db.prepare_cached(&sql).and_then(|mut statement| statement.query_row([value], read_order).optional());
        found.map_err(|cause| StoreError::of(&self.path, cause))
    }

    /// Executions after `since`, oldest first; those of one instant stay together, so that the next call with the last
    /// one's time misses none, though the page then has more than `limit`.
    pub fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, StoreError> {
        read_fills(&self.db, since, limit).map_err(|cause| StoreError::of(&self.path, cause))
    }

    /// Lets the file grow no further than `pages`, as a full disk would.
    #[cfg(test)]
    pub fn limit_pages(&self, pages: u32) {
        self.db.pragma_update(None, "max_page_count", pages).unwrap();
    }

    #[cfg(test)]
    pub fn pages(&self) -> u32 {
        self.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
    }
}

impl Checkpointer {
    /// Moves what it can without making the writer wait; returns how many pages are left in the log.
    pub fn run(&self) -> Result<i64, StoreError> {
        let moved = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?));
        moved.map_err(|cause| StoreError::of(&self.path, cause))
    }
}

/// The lock stands in a file of its own: SQLite's locks on the database are lost when this process closes it anywhere.
fn lock(path: &Path) -> Result<FileLock, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    FileLock::take(Path::new(&name)).map_err(|error| match error {
        LockError::Held { by, .. } => StoreError::InUse { path: path.to_path_buf(), by },
        LockError::Io { cause, .. } => StoreError::Path { path: path.to_path_buf(), cause },
    })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update(None, "page_size", PAGE_BYTES)?;
    db.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", PAGES_AT_MOST, |_| Ok(()))?;
    db.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    // The log is as good as the file, and a stop must not wait for the disk.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(db)
}

/// Opens the account if the file is new, else sees that it is the right one; counts this life.
fn begin(db: &mut Connection, path: &Path, opening: &Opening) -> Result<u64, StoreError> {
    let failed = |cause| StoreError::of(path, cause);
    let change = db.transaction().map_err(failed)?;
    let known = change.query_row("SELECT id, currency FROM account", [], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(failed)?;
    let other = |what, found, wanted: &str| StoreError::OtherAccount { path: path.to_path_buf(), what, found, wanted: wanted.to_owned() };
    if let Some((account, currency)) = known {
        if account != opening.account.as_str() {
            return Err(other("account", account, opening.account.as_str()));
        }
        if currency != opening.currency {
            return Err(other("currency", currency, &opening.currency));
        }
        change.execute(ONE_LIFE_MORE, []).map_err(failed)?;
    } else {
        let cash = opening.cash.to_string();
        let row = params![opening.account.as_str(), opening.currency, cash, cash, "0", "0", cash, 0, opening.at.nanos(), 1];
        change.execute("INSERT INTO account VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).map_err(failed)?;
    }
    let generation: i64 = change.query_row("SELECT generation FROM account", [], |row| row.get(0)).map_err(failed)?;
    change.commit().map_err(failed)?;
    Ok(generation.unsigned_abs())
}

fn write(db: &mut Connection, change: &Change, last_fill: i64) -> rusqlite::Result<()> {
    let all = db.transaction()?;
    for order in &change.orders {
        write_order(&all, order)?;
    }
    for (fill, seq) in change.fills.iter().zip(last_fill + 1..) {
        write_fill(&all, fill, seq)?;
    }
    for (ids, note) in [(&change.cancels, "cancelling"), (&change.triggered, "triggered")] {
        for id in ids {
            all.prepare_cached(&format!("UPDATE orders SET {note} = 1 WHERE key = ?"))?.execute([key(id.as_str())])?;
        }
    }
    for held in &change.positions {
        let sql = "INSERT OR REPLACE INTO positions (symbol, quantity, cost, realised, mark) VALUES (?, ?, ?, ?, ?)";
        let [quantity, cost, realised] = [&held.quantity, &held.cost, &held.realised].map(ToString::to_string);
        let row = params![held.symbol.as_str(), quantity, cost, realised, held.mark.map(|mark| mark.to_string())];
        all.prepare_cached(sql)?.execute(row)?;
    }
    if let Some(purse) = &change.purse {
        let [cash, realised, fees, equity] = [&purse.cash, &purse.realised, &purse.fees, &purse.equity_at_open].map(ToString::to_string);
        let sql = "UPDATE account SET cash = ?, realised = ?, fees = ?, equity_at_open = ?, day = ?";
        all.prepare_cached(sql)?.execute(params![cash, realised, fees, equity, purse.day])?;
    }
    all.commit()
}

fn read(db: &Connection, remembered: usize) -> rusqlite::Result<Saved> {
    let account = "SELECT currency, start, cash, realised, fees, equity_at_open, day FROM account";
    let (currency, start, purse) = db.query_row(account, [], |row| {
        let mut column = text::Reader::new(row);
        let (currency, start) = (column.text()?, column.decimal()?);
        let (cash, realised, fees, equity_at_open) = (column.decimal()?, column.decimal()?, column.decimal()?, column.decimal()?);
        let purse = Purse { cash, realised, fees, equity_at_open, day: column.whole()? };
        Ok((currency, start, purse))
    })?;
    let mut positions = db.prepare("SELECT symbol, quantity, cost, realised, mark FROM positions ORDER BY symbol")?;
    let positions = positions.query_map([], |row| {
        let mut column = text::Reader::new(row);
        let symbol = column.parsed("symbol")?;
        let (quantity, cost, realised) = (column.decimal()?, column.decimal()?, column.decimal()?);
        Ok(Position { symbol, quantity, cost, mark: column.optional("price")?, realised })
    })?;
    let positions = positions.collect::<Result<_, _>>()?;
    // Exits find each other through their entry, however long ago that was.
    let entries = "SELECT lower(replace(parent, '-', '')) FROM orders WHERE open = 1 AND parent IS NOT NULL";
    let last = format!("seq > (SELECT coalesce(max(seq), 0) FROM orders) - {remembered}");
    let wanted = format!("WHERE open = 1 OR {last} OR key IN ({entries}) ORDER BY seq");
    let orders: Vec<Arc<Order>> = db.prepare(&select_orders(&wanted))?.query_map([], |row| read_order(row).map(Arc::new))?.collect::<Result<_, _>>()?;
    let (cancels, triggered) = (read_open(db, "cancelling")?, read_open(db, "triggered")?);
    let last = format!("{SELECT_FILLS} ORDER BY at DESC, seq DESC LIMIT {remembered}");
    let mut fills: Vec<Fill> = db.prepare(&last)?.query_map([], read_fill)?.collect::<Result<_, _>>()?;
    fills.reverse();
    let known = db.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0))?;
    let complete = usize::try_from(known) == Ok(orders.len());
    Ok(Saved { currency, start, purse, positions, orders, cancels, triggered, fills, complete })
}

/// The open orders of which `note` was made.
fn read_open(db: &Connection, note: &str) -> rusqlite::Result<Vec<VenueOrderId>> {
    let mut noted = db.prepare(&format!("SELECT id FROM orders WHERE open = 1 AND {note} = 1 ORDER BY seq"))?;
    noted.query_map([], |row| text::Reader::new(row).parsed("identifier"))?.collect()
}

fn read_fills(db: &Connection, since: Timestamp, limit: usize) -> rusqlite::Result<Vec<Fill>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let page = format!("{SELECT_FILLS} WHERE at > ? ORDER BY at, seq LIMIT ?");
    let mut fills: Vec<Fill> = db.prepare_cached(&page)?.query_map(params![since.nanos(), limit], read_fill)?.collect::<Result<_, _>>()?;
    if let Some(at) = fills.last().map(|last| last.at).filter(|_| i64::try_from(fills.len()) == Ok(limit)) {
        let shown = fills.iter().filter(|fill| fill.at == at).count();
        let rest = format!("{SELECT_FILLS} WHERE at = ? ORDER BY seq LIMIT -1 OFFSET ?");
        let rest =
            db.prepare_cached(&rest)?.query_map(params![at.nanos(), i64::try_from(shown).unwrap_or(i64::MAX)], read_fill)?.collect::<Result<Vec<_>, _>>()?;
        fills.extend(rest);
    }
    Ok(fills)
}

#[cfg(test)]
mod tests;
