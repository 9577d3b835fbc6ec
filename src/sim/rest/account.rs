//! The account and its configuration, as the venue writes them.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Response;
use super::body::{decode, refuse};
use crate::model::Timestamp;
use crate::sim::exchange::{Exchange, Refusal, money, plain};

/// Of what positions are worth, so much must be own money to open them, and so much to keep them.
const INITIAL_MARGIN: Decimal = Decimal::from_parts(50, 0, 0, false, 2);
const MAINTENANCE_MARGIN: Decimal = Decimal::from_parts(30, 0, 0, false, 2);
/// Day trades within [`DAY_TRADE_DAYS`] that made a pattern day trader.
const PATTERN: usize = 4;
const DAY_TRADE_DAYS: usize = 5;

#[derive(Serialize)]
struct AccountView<'a> {
    id: &'a str,
    account_number: &'a str,
    status: &'static str,
    crypto_status: &'static str,
    currency: &'a str,
    buying_power: String,
    regt_buying_power: String,
    non_marginable_buying_power: String,
    options_buying_power: &'static str,
    cash: String,
    equity: String,
    last_equity: String,
    portfolio_value: String,
    long_market_value: String,
    short_market_value: String,
    initial_margin: String,
    maintenance_margin: String,
    last_maintenance_margin: &'static str,
    sma: &'static str,
    multiplier: String,
    accrued_fees: &'static str,
    pending_transfer_in: &'static str,
    pending_transfer_out: &'static str,
    pending_reg_taf_fees: &'static str,
    intraday_adjustments: &'static str,
    position_market_value: String,
    balance_asof: String,
    created_at: String,
    trading_blocked: bool,
    transfers_blocked: bool,
    account_blocked: bool,
    trade_suspended_by_user: bool,
    shorting_enabled: bool,
    options_approved_level: u8,
    options_trading_level: u8,
    #[serde(flatten)]
    day_trading: Option<DayTrading>,
}

/// What went in July 2026.
#[derive(Serialize)]
struct DayTrading {
    pattern_day_trader: bool,
    daytrade_count: usize,
    daytrading_buying_power: String,
}

/// What open orders have spoken for, as the buying power shows it.
fn holds(margin: Decimal, equity: Decimal, used: Decimal, power: Decimal) -> Decimal {
    (margin * equity - used - power).max(Decimal::ZERO)
}

pub(super) fn show(exchange: &Exchange, account: &str, now: Timestamp) -> Result<Response, Refusal> {
    let (customer, info) = (exchange.customer(account)?, exchange.info(account)?);
    let used = info.long_value + info.short_value.abs();
    let own = info.cash.min(info.equity) - holds(exchange.margin(), info.equity, used, info.buying_power);
    let power = money(info.buying_power);
    let day_trades = customer.ledger.day_trades(DAY_TRADE_DAYS);
    let day_trading = exchange.day_trading().then(|| DayTrading {
        pattern_day_trader: day_trades >= PATTERN,
        daytrade_count: day_trades,
        // Only accounts of a fourfold margin have more for the day than over night.
        daytrading_buying_power: if exchange.margin() >= Decimal::from(4) { power.clone() } else { "0".to_owned() },
    });
    let view = AccountView {
        id: customer.id.as_str(),
        account_number: &customer.number,
        status: "ACTIVE",
        crypto_status: "ACTIVE",
        currency: &info.currency,
        regt_buying_power: power.clone(),
        buying_power: power,
        non_marginable_buying_power: money(own.max(Decimal::ZERO)),
        options_buying_power: "0",
        cash: money(info.cash),
        equity: money(info.equity),
        last_equity: money(info.equity_at_open),
        portfolio_value: money(info.equity),
        long_market_value: money(info.long_value),
        short_market_value: money(info.short_value),
        initial_margin: money(used * INITIAL_MARGIN),
        maintenance_margin: money(used * MAINTENANCE_MARGIN),
        last_maintenance_margin: "0",
        sma: "0",
        multiplier: plain(exchange.margin()),
        accrued_fees: "0",
        pending_transfer_in: "0",
        pending_transfer_out: "0",
        pending_reg_taf_fees: "0",
        intraday_adjustments: "0",
        position_market_value: money(used),
        balance_asof: now.to_string().chars().take(10).collect(),
        created_at: customer.created_at.to_string(),
        trading_blocked: false,
        transfers_blocked: false,
        account_blocked: false,
        trade_suspended_by_user: customer.configuration.suspend_trade,
        shorting_enabled: !customer.configuration.no_shorting && exchange.margin() > Decimal::ONE,
        options_approved_level: 0,
        options_trading_level: 0,
        day_trading,
    };
    Ok(Response::view(&view))
}

pub(super) fn configuration(exchange: &Exchange, account: &str) -> Result<Response, Refusal> {
    Ok(Response::view(&exchange.customer(account)?.configuration))
}

/// A change of the configuration: what is absent stays.
#[derive(Deserialize)]
struct Change {
    fractional_trading: Option<bool>,
    max_margin_multiplier: Option<Multiplier>,
    no_shorting: Option<bool>,
    suspend_trade: Option<bool>,
    trade_confirm_email: Option<String>,
    ptp_no_exception_entry: Option<bool>,
    max_options_trading_level: Option<u8>,
    disable_overnight_trading: Option<bool>,
    pdt_check: Option<String>,
    dtbp_check: Option<String>,
}

/// A text or a whole number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Multiplier {
    Text(String),
    Number(u8),
}

/// `value` if it is one of these.
fn one_of(field: &str, value: String, known: &[&str]) -> Result<String, Refusal> {
    if known.contains(&value.as_str()) { Ok(value) } else { Err(refuse(format!("{field} must be one of {}", known.join(", ")))) }
}

pub(super) fn configure(exchange: &mut Exchange, account: &str, body: &[u8]) -> Result<Response, Refusal> {
    let change: Change = decode(body)?;
    let mut settings = exchange.customer(account)?.configuration.clone();
    let checks = ["both", "entry", "exit"];
    if let Some(multiplier) = change.max_margin_multiplier {
        let text = match multiplier {
            Multiplier::Text(text) => text,
            Multiplier::Number(number) => number.to_string(),
        };
        one_of("max_margin_multiplier", text.clone(), &["1", "2", "4"])?;
        if text != settings.max_margin_multiplier {
            return Err(refuse(format!("max_margin_multiplier is {} and cannot be changed on this simulated exchange", settings.max_margin_multiplier)));
        }
    }
    if let Some(email) = change.trade_confirm_email {
        settings.trade_confirm_email = one_of("trade_confirm_email", email, &["all", "none"])?;
    }
    if let Some(level) = change.max_options_trading_level {
        settings.max_options_trading_level = (level <= 3).then_some(level).ok_or_else(|| refuse("max_options_trading_level must be from 0 to 3")).map(Some)?;
    }
    if exchange.day_trading() {
        if let Some(check) = change.pdt_check {
            settings.pdt_check = Some(one_of("pdt_check", check, &checks)?);
        }
        if let Some(check) = change.dtbp_check {
            settings.dtbp_check = Some(one_of("dtbp_check", check, &checks)?);
        }
    }
    let flags = [
        (change.fractional_trading, &mut settings.fractional_trading),
        (change.no_shorting, &mut settings.no_shorting),
        (change.suspend_trade, &mut settings.suspend_trade),
        (change.ptp_no_exception_entry, &mut settings.ptp_no_exception_entry),
        (change.disable_overnight_trading, &mut settings.disable_overnight_trading),
    ];
    for (wanted, flag) in flags {
        *flag = wanted.unwrap_or(*flag);
    }
    *exchange.configuration_mut(account)? = settings;
    configuration(exchange, account)
}
