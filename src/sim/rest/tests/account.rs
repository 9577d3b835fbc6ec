use super::*;

const OF_TODAY: [&str; 34] = [
    "id",
    "account_number",
    "status",
    "crypto_status",
    "currency",
    "buying_power",
    "regt_buying_power",
    "non_marginable_buying_power",
    "options_buying_power",
    "cash",
    "equity",
    "last_equity",
    "portfolio_value",
    "long_market_value",
    "short_market_value",
    "initial_margin",
    "maintenance_margin",
    "last_maintenance_margin",
    "sma",
    "multiplier",
    "accrued_fees",
    "pending_transfer_in",
    "pending_transfer_out",
    "pending_reg_taf_fees",
    "intraday_adjustments",
    "balance_asof",
    "created_at",
    "trading_blocked",
    "transfers_blocked",
    "account_blocked",
    "trade_suspended_by_user",
    "shorting_enabled",
    "options_approved_level",
    "options_trading_level",
];
const DAY_TRADING: [&str; 3] = ["pattern_day_trader", "daytrade_count", "daytrading_buying_power"];

#[test]
fn an_account_has_every_field_and_the_old_ones_on_demand() {
    let (_, account) = Desk::new().call("GET", "/v2/account", "");
    assert!(OF_TODAY.iter().all(|field| account.get(field).is_some()), "{account}");
    assert!(DAY_TRADING.iter().all(|field| account.get(field).is_none()), "{account}");
    let mut old = Desk::with(Rules { day_trading: true, ..Rules::default() });
    old.place(json!({}));
    old.place(json!({"side": "sell"}));
    let (_, account) = old.call("GET", "/v2/account", "");
    assert_eq!((&account["pattern_day_trader"], &account["daytrade_count"]), (&json!(false), &json!(1)));
    let (_, settings) = old.call("PATCH", "/v2/account/configurations", r#"{"pdt_check":"both"}"#);
    assert_eq!((text(&settings, "pdt_check"), text(&settings, "dtbp_check")), ("both", "entry"));
}

#[test]
fn money_moves_with_orders_and_prices() {
    let mut desk = Desk::new();
    desk.place(json!({"qty": "100"}));
    desk.place(json!({"qty": "100", "type": "limit", "limit_price": "50"}));
    desk.quote("AAPL", "104.99", "105.01", "100");
    desk.exchange.traded("AAPL", "105".parse().unwrap(), Decimal::TEN, desk.now());
    let (_, account) = desk.call("GET", "/v2/account", "");
    let money = ["cash", "equity", "last_equity", "long_market_value", "buying_power", "non_marginable_buying_power", "initial_margin", "multiplier"];
    let shown = money.map(|field| text(&account, field).to_owned());
    // Twice the equity, less the position and what the open order may cost.
    assert_eq!(shown, ["89999", "100499", "100000", "10500", "185498", "84999", "5250", "2"].map(str::to_owned));
}

#[test]
fn a_configuration_takes_effect() {
    let mut desk = Desk::new();
    let (_, before) = desk.call("GET", "/v2/account/configurations", "");
    assert_eq!((&before["no_shorting"], &before["suspend_trade"], text(&before, "max_margin_multiplier")), (&json!(false), &json!(false), "2"));
    assert!(before.get("pdt_check").is_none());
    let (status, after) = desk.call("PATCH", "/v2/account/configurations", r#"{"no_shorting":true,"fractional_trading":false,"max_margin_multiplier":2}"#);
    assert_eq!((status, &after["no_shorting"], text(&after, "max_margin_multiplier")), (200, &json!(true), "2"));
    assert_eq!(desk.try_place(json!({"side": "sell"})).1, json!({"code": 40_310_000, "message": "account is not allowed to short"}));
    assert_eq!(desk.try_place(json!({"qty": "0.5"})).0, 403);
    assert_eq!(desk.call("GET", "/v2/account", "").1["shorting_enabled"], false);
    desk.place(json!({}));
    desk.place(json!({"side": "sell"}));
    desk.call("PATCH", "/v2/account/configurations", r#"{"suspend_trade":true,"no_shorting":null}"#);
    assert_eq!(desk.try_place(json!({})).1, json!({"code": 40_310_000, "message": "new orders are rejected by user request"}));
    assert_eq!(desk.call("GET", "/v2/account", "").1["trade_suspended_by_user"], true);
    assert_eq!(desk.call("PATCH", "/v2/account/configurations", r#"{"trade_confirm_email":"some"}"#).0, 422);
    assert_eq!(desk.call("PATCH", "/v2/account/configurations", "no").0, 400);
    let (_, other) = desk.call_as("TWO", "GET", "/v2/account/configurations", "");
    assert_eq!(other["suspend_trade"], false);
}
