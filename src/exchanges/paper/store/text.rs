//! Values as the columns of a row carry them, and back.

use std::str::FromStr;

use rusqlite::Row;
use rusqlite::types::Type;
use rust_decimal::Decimal;

use crate::model::{PositionIntent, Side, TimeInForce, Timestamp};

const INTENTS: [PositionIntent; 4] = [PositionIntent::BuyToOpen, PositionIntent::BuyToClose, PositionIntent::SellToOpen, PositionIntent::SellToClose];

/// A row that is read from left to right.
pub(super) struct Reader<'r, 's> {
    row: &'r Row<'s>,
    at: usize,
}

impl<'r, 's> Reader<'r, 's> {
    pub fn new(row: &'r Row<'s>) -> Reader<'r, 's> {
        Reader { row, at: 0 }
    }

    fn next(&mut self) -> usize {
        self.at += 1;
        self.at - 1
    }

    /// Says that the column just read holds no `what`.
    pub fn bad(&self, what: &str) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(self.at.saturating_sub(1), Type::Text, format!("no {what}").into())
    }

    pub fn parsed<T: FromStr>(&mut self, what: &str) -> rusqlite::Result<T> {
        self.optional(what)?.ok_or_else(|| self.bad(what))
    }

    pub fn optional<T: FromStr>(&mut self, what: &str) -> rusqlite::Result<Option<T>> {
        let at = self.next();
        let text = self.row.get_ref(at)?.as_str_or_null()?;
        text.map(|text| text.parse().map_err(|_| self.bad(what))).transpose()
    }

    pub fn decimal(&mut self) -> rusqlite::Result<Decimal> {
        self.parsed("decimal number")
    }

    pub fn text(&mut self) -> rusqlite::Result<String> {
        let at = self.next();
        self.row.get(at)
    }

    pub fn whole(&mut self) -> rusqlite::Result<i64> {
        let at = self.next();
        self.row.get(at)
    }

    pub fn flag(&mut self) -> rusqlite::Result<bool> {
        let at = self.next();
        self.row.get(at)
    }

    pub fn time(&mut self) -> rusqlite::Result<Timestamp> {
        let at = self.next();
        self.row.get(at).map(Timestamp::from_nanos)
    }

    pub fn optional_time(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        let at = self.next();
        Ok(self.row.get::<_, Option<i64>>(at)?.map(Timestamp::from_nanos))
    }

    pub fn side(&mut self) -> rusqlite::Result<Side> {
        let text = self.text()?;
        [Side::Buy, Side::Sell].into_iter().find(|side| side.as_str() == text).ok_or_else(|| self.bad("side"))
    }

    pub fn time_in_force(&mut self) -> rusqlite::Result<TimeInForce> {
        let text = self.text()?;
        TimeInForce::ALL.into_iter().find(|time| time.as_str() == text).ok_or_else(|| self.bad("time in force"))
    }

    pub fn intent(&mut self) -> rusqlite::Result<Option<PositionIntent>> {
        let at = self.next();
        let text: Option<String> = self.row.get(at)?;
        text.map(|text| INTENTS.into_iter().find(|intent| intent.as_str() == text).ok_or_else(|| self.bad("intent"))).transpose()
    }
}
