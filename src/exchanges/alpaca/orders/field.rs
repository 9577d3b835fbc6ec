//! The fields of an object, each read for what it is worth: a value of another form counts as absent.
//!
//! Must not know what the fields mean.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::super::trading::{Fields, fields, loose_text};
use crate::model::Timestamp;

/// One JSON object.
#[derive(Debug)]
pub(super) struct Object<'a>(Fields<'a>);

impl<'a> Object<'a> {
    /// `None` for anything else than an object, and for one with a name twice.
    pub(super) fn read(json: &'a str) -> Option<Object<'a>> {
        fields(json).map(Object)
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|raw| raw.get() != "null")
    }

    /// A text that is not empty, or whatever else stands there as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.raw(name).and_then(loose_text).filter(|text| !text.is_empty())
    }

    pub(super) fn parse<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// A number, written as one or as a text.
    pub(super) fn number(&self, name: &str) -> Option<Decimal> {
        let text = self.text(name)?;
        Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        self.parse(name)
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|raw| raw.get() == "true")
    }

    pub(super) fn list(&self, name: &str) -> Vec<&'a RawValue> {
        self.raw(name).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}
