//! The account, its money and its positions.

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::super::field::Object;
use super::{ReadError, symbol};
use crate::model::{AccountInfo, Balance, Position};

/// What the venue does not tell of an account is zero: gains taken, and those that open positions stand for.
pub fn read_account(json: &str) -> Result<AccountInfo, ReadError> {
    let object = Object::read(json).ok_or(ReadError::Form)?;
    let cash = object.number("cash").ok_or(ReadError::Field("cash"))?;
    let equity = object.number("equity").ok_or(ReadError::Field("equity"))?;
    Ok(AccountInfo {
        id: object.parse("id").ok_or(ReadError::Field("id"))?,
        currency: currency(&object),
        cash,
        equity,
        buying_power: object.number("buying_power").unwrap_or_default(),
        long_value: object.number("long_market_value").unwrap_or_default(),
        short_value: object.number("short_market_value").unwrap_or_default(),
        realised: Decimal::ZERO,
        unrealised: Decimal::ZERO,
        fees: object.number("accrued_fees").unwrap_or_default(),
        equity_at_open: object.number("last_equity").unwrap_or(equity),
    })
}

/// The account holds one currency; what margin lends is not money that is there.
pub fn read_balances(json: &str) -> Result<Vec<Balance>, ReadError> {
    let object = Object::read(json).ok_or(ReadError::Form)?;
    let total = object.number("cash").ok_or(ReadError::Field("cash"))?;
    let free = object.number("non_marginable_buying_power").unwrap_or(total);
    Ok(vec![Balance { currency: currency(&object), total, available: free.min(total) }])
}

fn currency(object: &Object<'_>) -> String {
    object.text("currency").unwrap_or_else(|| "USD".to_owned())
}

pub fn read_position(json: &str) -> Result<Position, ReadError> {
    let object = Object::read(json).ok_or(ReadError::Form)?;
    let name = object.text("symbol").ok_or(ReadError::NoSymbol)?;
    let quantity = object.number("qty").ok_or(ReadError::Field("qty"))?;
    let short = quantity.is_sign_negative() || object.text("side").as_deref() == Some("short");
    let signed = |amount: Decimal| if short { -amount.abs() } else { amount };
    Ok(Position {
        symbol: symbol(&name, object.text("asset_class").as_deref()).ok_or(ReadError::Field("symbol"))?,
        quantity: signed(quantity),
        cost: signed(object.number("cost_basis").ok_or(ReadError::Field("cost_basis"))?),
        mark: object.number("current_price"),
        realised: Decimal::ZERO,
    })
}

/// All or none: a position that is missing would be taken for none.
pub fn read_positions(json: &str) -> Result<Vec<Position>, ReadError> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| ReadError::List)?;
    items.into_iter().map(|item| read_position(item.get())).collect()
}
