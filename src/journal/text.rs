//! Values as the columns of a row carry them, read from left to right.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;
use rust_decimal::Decimal;

use crate::model::{Side, Timestamp};

pub(super) struct Columns<'r, 's> {
    row: &'r Row<'s>,
    at: usize,
}

impl<'r, 's> Columns<'r, 's> {
    pub fn of(row: &'r Row<'s>) -> Columns<'r, 's> {
        Columns { row, at: 0 }
    }

    pub fn next<T: rusqlite::types::FromSql>(&mut self) -> rusqlite::Result<T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }

    pub fn bad(&self, what: &str) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(self.at.saturating_sub(1), Type::Text, format!("no {what}").into())
    }

    pub fn parsed<T: FromStr>(&mut self, what: &str) -> rusqlite::Result<T> {
        let text: String = self.next()?;
        text.parse().map_err(|_| self.bad(what))
    }

    pub fn decimal(&mut self) -> rusqlite::Result<Decimal> {
        self.parsed("decimal")
    }

    pub fn time(&mut self) -> rusqlite::Result<Timestamp> {
        Ok(Timestamp::from_nanos(self.next()?))
    }

    pub fn number(&mut self) -> rusqlite::Result<u64> {
        Ok(self.next::<i64>()?.unsigned_abs())
    }

    pub fn side(&mut self) -> rusqlite::Result<Side> {
        match self.next::<String>()?.as_str() {
            "buy" => Ok(Side::Buy),
            "sell" => Ok(Side::Sell),
            _ => Err(self.bad("side")),
        }
    }
}

/// A count as SQLite keeps it.
pub(super) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
