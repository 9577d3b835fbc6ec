//! Account, positions, assets and the clock, as the venue writes them.

use jiff::civil::Time;
use jiff::{ToSpan, Zoned, tz::TimeZone};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::Response;
use crate::model::Timestamp;
use crate::sim::exchange::{Asset, Exchange, Position, Refusal, plain};

const MARKET_ZONE: &str = "America/New_York";

fn not_found(what: &str) -> Refusal {
    Refusal::new(404, 40_410_000, what)
}

/// Money, to the cent.
fn money(value: Decimal) -> String {
    plain(value.round_dp(2))
}

pub(super) fn account(exchange: &Exchange, id: &str) -> Result<Response, Refusal> {
    let account = exchange.account(id).ok_or_else(|| not_found("account not found"))?;
    let (equity, power) = (money(exchange.equity(account)), money(exchange.buying_power(account)));
    let values = || account.positions.iter().map(|(symbol, p)| p.quantity * exchange.mark(symbol, p));
    let long: Decimal = values().filter(Decimal::is_sign_positive).sum();
    let short: Decimal = values().filter(Decimal::is_sign_negative).sum();
    let margin = (long - short) / Decimal::TWO;
    let value = json!({
        "id": account.id, "account_number": account.number, "status": "ACTIVE", "crypto_status": "ACTIVE", "currency": "USD",
        "buying_power": power, "regt_buying_power": power, "non_marginable_buying_power": money(exchange.own_money(account)), "options_buying_power": "0",
        "cash": money(account.cash), "equity": equity, "last_equity": equity, "portfolio_value": equity,
        "long_market_value": money(long), "short_market_value": money(short), "initial_margin": money(margin), "maintenance_margin": money(margin),
        "last_maintenance_margin": "0", "sma": "0", "multiplier": "2", "accrued_fees": "0", "pending_transfer_in": "0", "pending_transfer_out": "0",
        "pending_reg_taf_fees": "0", "intraday_adjustments": "0", "balance_asof": account.created_at.to_string()[..10],
        "created_at": account.created_at.to_string(), "trading_blocked": false, "transfers_blocked": false, "account_blocked": false,
        "trade_suspended_by_user": false, "shorting_enabled": true, "options_approved_level": 0, "options_trading_level": 0,
    });
    Ok(Response::json(200, &value))
}

pub(super) fn positions(exchange: &Exchange, id: &str) -> Result<Response, Refusal> {
    let account = exchange.account(id).ok_or_else(|| not_found("account not found"))?;
    let held = account.positions.iter().filter_map(|(symbol, p)| Some(position_value(exchange, id, exchange.asset(symbol)?, p)));
    Ok(Response::json(200, &held.collect()))
}

pub(super) fn position(exchange: &Exchange, id: &str, symbol: &str) -> Result<Response, Refusal> {
    let none = || not_found("position does not exist");
    let asset = exchange.asset(symbol).ok_or_else(none)?;
    let held = exchange.account(id).and_then(|account| account.positions.get(&asset.symbol)).ok_or_else(none)?;
    Ok(Response::json(200, &position_value(exchange, id, asset, held)))
}

fn position_value(exchange: &Exchange, account: &str, asset: &Asset, position: &Position) -> Value {
    let current = exchange.mark(&asset.symbol, position);
    let (worth, basis) = (position.quantity * current, position.quantity * position.entry_price);
    let profit = money(worth - basis);
    let share = plain((worth - basis).checked_div(basis.abs()).unwrap_or_default().round_dp(6));
    let held = exchange.account(account).map(|a| exchange.held_for_sale(a, &asset.symbol)).unwrap_or_default();
    json!({
        "asset_id": asset.id, "symbol": asset.symbol.replace('/', ""), "exchange": asset.exchange(), "asset_class": asset.class(),
        "asset_marginable": !asset.pair, "qty": plain(position.quantity), "qty_available": plain(position.quantity - held),
        "side": if position.quantity.is_sign_negative() { "short" } else { "long" }, "avg_entry_price": plain(position.entry_price),
        "market_value": money(worth), "cost_basis": money(basis), "unrealized_pl": profit, "unrealized_plpc": share,
        "unrealized_intraday_pl": profit, "unrealized_intraday_plpc": share, "current_price": plain(current), "lastday_price": plain(current),
        "change_today": "0",
    })
}

pub(super) fn asset(exchange: &Exchange, symbol: &str) -> Result<Response, Refusal> {
    let asset = exchange.asset(symbol).ok_or_else(|| not_found(&format!("asset not found for {symbol}")))?;
    let mut value = json!({
        "id": asset.id, "class": asset.class(), "exchange": asset.exchange(), "symbol": asset.symbol, "name": format!("{} (simulated)", asset.symbol),
        "status": "active", "tradable": true, "marginable": !asset.pair, "shortable": !asset.pair, "easy_to_borrow": !asset.pair,
        "borrow_status": if asset.pair { "hard_to_borrow" } else { "easy_to_borrow" }, "fractionable": true,
        "maintenance_margin_requirement": if asset.pair { 100 } else { 30 }, "margin_requirement_long": "30", "margin_requirement_short": "30",
        "attributes": [], "cusip": null,
    });
    if asset.pair {
        value["min_order_size"] = "0.0001".into();
        value["min_trade_increment"] = "0.0001".into();
        value["price_increment"] = "0.01".into();
    }
    Ok(Response::json(200, &value))
}

/// Always open; the next close and opening are those of the coming session.
pub(super) fn clock(now: Timestamp) -> Result<Response, Refusal> {
    let broken = |_| Refusal::new(500, 50_010_000, "the time zone of the market is unknown");
    let zone = TimeZone::get(MARKET_ZONE).map_err(broken)?;
    let now = jiff::Timestamp::from_nanosecond(i128::from(now.nanos())).map_err(broken)?.to_zoned(zone);
    let close = next(&now, Time::constant(16, 0, 0, 0)).map_err(broken)?;
    let open = next(&close, Time::constant(9, 30, 0, 0)).map_err(broken)?;
    let text = |at: &Zoned| at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let exact = now.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string();
    Ok(Response::json(200, &json!({"timestamp": exact, "is_open": true, "next_open": text(&open), "next_close": text(&close)})))
}

/// The first such time of a weekday after `from`.
fn next(from: &Zoned, time: Time) -> Result<Zoned, jiff::Error> {
    let mut at = from.with().time(time).build()?;
    while at <= *from || at.weekday().to_monday_one_offset() > 5 {
        at = at.checked_add(1.day())?;
    }
    Ok(at)
}
