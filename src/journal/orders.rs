//! The last known state of each order, and what was executed.

use rusqlite::{OptionalExtension, Row, params};
use rust_decimal::Decimal;

use super::text::{Columns, whole};
use super::{Journal, JournalError, Step};
use crate::events::OrderKey;
use crate::model::{AccountId, OrderStatus, Side, Symbol, Timestamp};

/// An order as we know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: String,
    pub client_order_id: String,
    pub symbol: String,
    pub side: Side,
    pub status: OrderStatus,
    pub quantity: Option<Decimal>,
    pub filled: Decimal,
    pub filled_value: Decimal,
    /// Up to here executions were reckoned from what the venue says is filled, for want of its own account of them.
    pub estimated: Decimal,
    /// How often an execution was taken back or corrected: what was filled counts anew from there.
    pub generation: u64,
    /// The bots were told that it is in the market.
    pub acknowledged: bool,
    pub submitted: Timestamp,
    /// The venue's time of its last change.
    pub updated: Timestamp,
    /// When we last heard of it.
    pub heard: Timestamp,
    pub bot: Option<String>,
    /// Placed by the desk, or by the venue on behalf of such an order.
    pub ours: bool,
    /// The order object.
    pub text: String,
}

/// One execution, with whose it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub execution_id: String,
    pub order_id: String,
    pub client_order_id: String,
    pub bot: Option<String>,
    pub symbol: Symbol,
    pub side: Side,
    pub price: Decimal,
    pub quantity: Decimal,
    pub fees: Decimal,
    pub position: Decimal,
    pub at: Timestamp,
}

pub(super) const KNOWN: &str = "SELECT id, client_order_id, symbol, side, status, quantity, filled, filled_value, estimated, generation, acknowledged, submitted, updated, heard, bot, \
                     ours, text FROM orders";
const EXECUTION: &str = "SELECT execution_id, order_id, client_order_id, bot, symbol, side, price, quantity, fees, position, at FROM executions";

pub(super) fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    let mut column = Columns::of(row);
    let (id, client_order_id, symbol, side) = (column.next()?, column.next()?, column.next()?, column.side()?);
    let status = OrderStatus::from_name(&column.next::<String>()?).ok_or_else(|| column.bad("order status"))?;
    let quantity: Option<String> = column.next()?;
    Ok(Known {
        id,
        client_order_id,
        symbol,
        side,
        status,
        quantity: quantity.and_then(|text| text.parse().ok()),
        filled: column.decimal()?,
        filled_value: column.decimal()?,
        estimated: column.decimal()?,
        generation: column.number()?,
        acknowledged: column.next()?,
        submitted: column.time()?,
        updated: column.time()?,
        heard: column.time()?,
        bot: column.next()?,
        ours: column.next()?,
        text: column.next()?,
    })
}

fn execution(row: &Row<'_>) -> rusqlite::Result<Execution> {
    let mut column = Columns::of(row);
    Ok(Execution {
        execution_id: column.next()?,
        order_id: column.next()?,
        client_order_id: column.next()?,
        bot: column.next()?,
        symbol: column.parsed("symbol")?,
        side: column.side()?,
        price: column.decimal()?,
        quantity: column.decimal()?,
        fees: column.decimal()?,
        position: column.decimal()?,
        at: column.time()?,
    })
}

fn find(db: &rusqlite::Connection, account: &AccountId, key: &OrderKey) -> rusqlite::Result<Option<Known>> {
    let (column, value) = match key {
        OrderKey::Venue(id) => ("id", id.as_str()),
        OrderKey::Client(id) => ("client_order_id", id.as_str()),
    };
    // A name that was used twice, by a hand elsewhere: the newest.
    let sql = format!("{KNOWN} WHERE account = ? AND {column} = ? ORDER BY submitted DESC LIMIT 1");
    db.prepare_cached(&sql)?.query_row((account.as_str(), value), known).optional()
}

fn executions(db: &rusqlite::Connection, account: &AccountId, bot: Option<&str>, order_id: Option<&str>) -> rusqlite::Result<Vec<Execution>> {
    let of_order = if order_id.is_some() { "order_id = ?3" } else { "?3 IS NULL" };
    let sql = format!("{EXECUTION} WHERE account = ?1 AND void = 0 AND (?2 IS NULL OR bot = ?2) AND {of_order} ORDER BY n");
    db.prepare_cached(&sql)?.query_map((account.as_str(), bot, order_id), execution)?.collect()
}

impl Step<'_> {
    pub fn order(&self, account: &AccountId, key: &OrderKey) -> Result<Option<Known>, JournalError> {
        self.of(find(&self.all, account, key))
    }

    pub fn put_order(&self, account: &AccountId, order: &Known) -> Result<(), JournalError> {
        let put = || {
            let row = params![
                account.as_str(),
                order.id,
                order.client_order_id,
                order.symbol,
                order.side.as_str(),
                order.status.as_str(),
                order.status.is_open(),
                order.quantity.map(|quantity| quantity.to_string()),
                order.filled.to_string(),
                order.filled_value.to_string(),
                order.estimated.to_string(),
                whole(order.generation),
                order.acknowledged,
                order.submitted.nanos(),
                order.updated.nanos(),
                order.heard.nanos(),
                order.bot,
                order.ours,
                order.text
            ];
            let put = "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                       ON CONFLICT DO UPDATE SET client_order_id = excluded.client_order_id, symbol = excluded.symbol, side = excluded.side,
                       status = excluded.status, open = excluded.open, quantity = excluded.quantity, filled = excluded.filled,
                       filled_value = excluded.filled_value, estimated = excluded.estimated, generation = excluded.generation,
                       acknowledged = excluded.acknowledged, submitted = excluded.submitted, updated = excluded.updated, heard = excluded.heard,
                       bot = excluded.bot, ours = excluded.ours, text = excluded.text";
            self.all.prepare_cached(put)?.execute(row)
        };
        self.of(put()).map(drop)
    }

    /// Keeps an execution under the number of the update that told it.
    pub fn put_execution(&self, account: &AccountId, n: u64, done: &Execution) -> Result<(), JournalError> {
        let put = || {
            let row = params![
                account.as_str(),
                whole(n),
                done.execution_id,
                done.order_id,
                done.client_order_id,
                done.bot,
                done.symbol.as_str(),
                done.side.as_str(),
                done.price.to_string(),
                done.quantity.to_string(),
                done.fees.to_string(),
                done.position.to_string(),
                done.at.nanos(),
                false
            ];
            self.all.prepare_cached("INSERT OR REPLACE INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(row)
        };
        self.of(put()).map(drop)
    }

    /// Executions of one order that stand, in the order in which they were told.
    pub fn executions_of(&self, account: &AccountId, order_id: &str) -> Result<Vec<Execution>, JournalError> {
        self.of(executions(&self.all, account, None, Some(order_id)))
    }

    /// The executions of an order turn out to be those of a bot.
    pub fn give_executions(&self, account: &AccountId, order_id: &str, bot: Option<&str>) -> Result<(), JournalError> {
        let give = "UPDATE executions SET bot = ?3 WHERE account = ?1 AND order_id = ?2";
        self.of(self.all.prepare_cached(give).and_then(|mut give| give.execute((account.as_str(), order_id, bot)))).map(drop)
    }

    /// The venue took an execution back, or put another in its place. False when it is not known.
    pub fn void_execution(&self, account: &AccountId, execution_id: &str) -> Result<bool, JournalError> {
        let void = "UPDATE executions SET void = 1 WHERE account = ? AND execution_id = ? AND void = 0";
        Ok(self.of(self.all.prepare_cached(void).and_then(|mut void| void.execute((account.as_str(), execution_id))))? > 0)
    }
}

impl Journal {
    pub fn order(&self, account: &AccountId, key: &OrderKey) -> Result<Option<Known>, JournalError> {
        self.read(|db| find(db, account, key))
    }

    /// Oldest first; of one bot when it is named.
    pub fn open_orders(&self, account: &AccountId, bot: Option<&str>) -> Result<Vec<Known>, JournalError> {
        self.read(|db| {
            let sql = format!("{KNOWN} WHERE account = ?1 AND open = 1 AND (?2 IS NULL OR bot = ?2) ORDER BY submitted");
            db.prepare_cached(&sql)?.query_map((account.as_str(), bot), known)?.collect()
        })
    }

    /// Until when the venue's books were compared with ours, to the end. What was heard since says nothing of what was not.
    pub fn compared(&self, account: &AccountId) -> Result<Option<Timestamp>, JournalError> {
        let until = "SELECT until FROM compared WHERE account = ?";
        let until: Option<i64> = self.read(|db| db.prepare_cached(until)?.query_row([account.as_str()], |row| row.get(0)).optional())?;
        Ok(until.map(Timestamp::from_nanos))
    }

    /// Everything until then was compared.
    pub fn has_compared(&self, account: &AccountId, until: Timestamp) -> Result<(), JournalError> {
        self.write(|step| {
            let tell = "INSERT INTO compared VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until = ?2";
            step.of(step.all.prepare_cached(tell).and_then(|mut tell| tell.execute((account.as_str(), until.nanos())))).map(drop)
        })
    }

    /// Executions that stand of orders that neither a bot nor the desk placed, in the order in which they were told.
    pub fn external_executions(&self, account: &AccountId) -> Result<Vec<Execution>, JournalError> {
        self.read(|db| {
            let sql = format!(
                "{EXECUTION} WHERE account = ?1 AND void = 0 AND bot IS NULL
                 AND NOT EXISTS (SELECT 1 FROM orders WHERE orders.account = ?1 AND orders.id = executions.order_id AND orders.ours = 1) ORDER BY n"
            );
            db.prepare_cached(&sql)?.query_map([account.as_str()], execution)?.collect()
        })
    }

    /// All executions of an order, with whether the venue took each back, in the order in which they were told.
    pub fn executions_with_void(&self, account: &AccountId, order_id: &str) -> Result<Vec<(Execution, bool)>, JournalError> {
        self.read(|db| {
            let sql = format!("{} WHERE account = ? AND order_id = ? ORDER BY n", EXECUTION.replace(" FROM", ", void FROM"));
            let with_void = |row: &Row<'_>| Ok((execution(row)?, row.get("void")?));
            db.prepare_cached(&sql)?.query_map((account.as_str(), order_id), with_void)?.collect()
        })
    }

    /// Executions that stand, in the order in which they were told; of one bot when it is named, of one order likewise.
    pub fn executions(&self, account: &AccountId, bot: Option<&str>, order_id: Option<&str>) -> Result<Vec<Execution>, JournalError> {
        self.read(|db| executions(db, account, bot, order_id))
    }
}
