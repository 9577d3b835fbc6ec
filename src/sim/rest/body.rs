//! What a client sends: numbers as texts or JSON numbers, read as decimals from their own digits; null and an empty text
//! count as absent.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::NumberError;
use crate::sim::exchange::{Refusal, UNPROCESSABLE};

pub(super) fn refuse(message: impl Into<String>) -> Refusal {
    Refusal::new(422, UNPROCESSABLE, message)
}

pub(super) fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::new(400, 40_010_000, "failed to decode request body"))
}

/// A text that says something.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The digits of a number, however it is written.
pub(super) fn digits(raw: Option<&RawValue>) -> Option<&str> {
    let text = raw?.get();
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    (!text.is_empty() && text != "null").then_some(text)
}

/// A number of one of the kinds that are above zero.
pub(super) fn number<T: FromStr<Err = NumberError>>(field: &str, raw: Option<&RawValue>) -> Result<Option<T>, Refusal> {
    digits(raw).map(|text| parse(field, text)).transpose()
}

/// Whether the text is a plain decimal, however long.
fn is_number(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    !whole.is_empty() && whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit())
}

pub(super) fn parse<T: FromStr<Err = NumberError>>(field: &str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error| match error {
        NumberError::NotANumber if is_number(text) => refuse(format!("{field} has too many digits")),
        NumberError::NotPositive | NumberError::NotANumber => refuse(format!("{field} must be a number > 0")),
        NumberError::TooLarge | NumberError::TooFine => refuse(format!("{field} {error}")),
    })
}
