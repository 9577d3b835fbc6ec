//! Each rule alone, at its limit and the smallest step beyond it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::model::{Percent, Trail};

/// What one row asks.
struct Ask {
    request: OrderRequest,
    sight: Sight,
    holdings: Holdings,
    now: Timestamp,
}

fn asks(request: OrderRequest) -> Ask {
    Ask { request, sight: sight(), holdings: holding("0"), now: at(0) }
}

struct Row {
    name: &'static str,
    limits: Limits,
    /// Approved one after the other before anything else.
    before: Vec<OrderRequest>,
    passes: Ask,
    denied: Ask,
    rule: Rule,
    text: &'static str,
}

fn row(limits: Limits, passes: Ask, denied: Ask, rule: Rule, text: &'static str) -> Row {
    Row { name: rule.as_str(), limits, before: Vec::new(), passes, denied, rule, text }
}

fn check(row: Row) {
    let fresh = || {
        let mut gate = gate(row.limits.clone());
        for request in &row.before {
            ask(&mut gate, request.clone(), "0").unwrap();
        }
        gate
    };
    let asked = |ask: Ask| fresh().check(ask.request, &ask.sight, &ask.holdings, ask.now);
    let passed = asked(row.passes);
    assert!(passed.is_ok(), "{}: at the limit: {passed:?}", row.name);
    let denial = asked(row.denied).expect_err(row.name);
    assert_eq!((denial.rule, denial.to_string().as_str()), (row.rule, row.text), "{}", row.name);
    if !denial.config_key.is_empty() {
        assert!(row.text.ends_with(denial.config_key), "{}", row.name);
    }
}

#[test]
fn position_size() {
    let limits = || size_limit("100");
    let text = "the account could come to 100.000000001 units of AAPL long, allowed are 100: the position is 0, open orders add 0, this order 100.000000001; \
                the setting is risk_limits.max_position_size";
    check(row(limits(), asks(buy("a-1", "100")), asks(buy("a-1", "100.000000001")), Rule::MaxPositionSize, text));

    let short = |units: &str| Ask { holdings: holding("-60"), ..asks(sell("a-1", units)) };
    let text = "the account could come to 101 units of AAPL short, allowed are 100: the position is -60, open orders add 30, this order 11; \
                the setting is risk_limits.max_position_size";
    let before = vec![sell("b-1", "30"), buy("b-2", "50")];
    check(Row { name: "short with open orders", before, ..row(limits(), short("10"), short("11"), Rule::MaxPositionSize, text) });

    let turning = |units: &str| Ask { holdings: holding("150"), ..asks(sell("a-1", units)) };
    let text = "the account could come to 101 units of AAPL short, allowed are 100: the position is 150, open orders add 0, this order 251; \
                the setting is risk_limits.max_position_size";
    check(row(limits(), turning("250"), turning("251"), Rule::MaxPositionSize, text));

    let text = "the account could come to 100.01 units of AAPL long, allowed are 100: the position is 0, open orders add 0, this order 100.01; \
                the setting is risk_limits.max_position_size";
    check(row(limits(), asks(by_money("a-1", Side::Buy, "10000")), asks(by_money("a-1", Side::Buy, "10001")), Rule::MaxPositionSize, text));
}

#[test]
fn order_quantity() {
    let limits = || Limits { max_order_quantity: Some(dec("10.50")), ..Limits::default() };
    let text = "the order is for 10.500000001 units, allowed are 10.5; the setting is risk_limits.max_order_quantity";
    check(row(limits(), asks(buy("a-1", "10.5")), asks(buy("a-1", "10.500000001")), Rule::MaxOrderQuantity, text));

    let blind = Ask { sight: Sight::blind(MarketSession::Regular), ..asks(by_money("a-1", Side::Sell, "5")) };
    let text = "no price of AAPL is known to check this sell order by; the setting is risk_limits.max_order_quantity";
    check(row(limits(), asks(by_money("a-1", Side::Sell, "1039.5")), blind, Rule::NoPrice, text));
}

#[test]
fn order_value() {
    let limits = || Limits { max_order_value: Some(dec("1000")), ..Limits::default() };
    let text = |worth: &str| -> &'static str { format!("the order is worth {worth}, allowed are 1000; the setting is risk_limits.max_order_value").leak() };
    let value = |passes, denied, worth| check(row(limits(), asks(passes), asks(denied), Rule::MaxOrderValue, text(worth)));
    let market = |side, quantity| order_of("a-1", side, quantity, OrderType::Market);
    let stop = |price: &str| OrderType::Stop { stop: price.parse().unwrap() };
    let trail = |trail| OrderType::TrailingStop { trail };
    value(buy("a-1", "10"), order_of("a-1", Side::Buy, "10", limit("100.000000001")), "1000.00000001");
    // A seller's limit below the bid is paid the bid.
    value(order_of("a-1", Side::Sell, "10", limit("50")), order_of("a-1", Side::Sell, "10.2", limit("50")), "1009.8");
    value(market(Side::Buy, "10"), market(Side::Buy, "10.000000001"), "1000.0000001");
    value(market(Side::Sell, "10.1"), market(Side::Sell, "10.2"), "1009.8");
    value(order_of("a-1", Side::Buy, "10", stop("90")), order_of("a-1", Side::Buy, "10", stop("101")), "1010");
    value(order_of("a-1", Side::Sell, "10", stop("100")), order_of("a-1", Side::Sell, "10", stop("101")), "1010");
    let by_price = |by: &str| trail(Trail::Price(by.parse().unwrap()));
    value(order_of("a-1", Side::Buy, "8", by_price("25")), order_of("a-1", Side::Buy, "8", by_price("26")), "1008");
    let by_percent = |by: &str| trail(Trail::Percent(by.parse::<Percent>().unwrap()));
    value(order_of("a-1", Side::Buy, "8", by_percent("25")), order_of("a-1", Side::Buy, "8", by_percent("26")), "1008");
    value(by_money("a-1", Side::Buy, "1000"), by_money("a-1", Side::Buy, "1000.01"), "1000.01");

    let blind = Ask { sight: Sight::blind(MarketSession::Regular), ..asks(market(Side::Buy, "1")) };
    let text = "no price of AAPL is known to check this buy order by; the setting is risk_limits.max_order_value";
    check(row(limits(), asks(market(Side::Buy, "1")), blind, Rule::NoPrice, text));
}

#[test]
fn a_market_order_is_valued_with_what_it_may_slip() {
    let limits = || Limits { max_order_value: Some(dec("1000")), max_slippage: Some(dec("0.25")), ..Limits::default() };
    let market = |quantity| asks(order_of("a-1", Side::Buy, quantity, OrderType::Market));
    let text = "the order is worth 1000.125, allowed are 1000; the setting is risk_limits.max_order_value";
    check(row(limits(), market("8"), market("8.001"), Rule::MaxOrderValue, text));
    let stop = |quantity| asks(order_of("a-1", Side::Buy, quantity, OrderType::Stop { stop: "100".parse().unwrap() }));
    check(row(limits(), stop("8"), stop("8.001"), Rule::MaxOrderValue, text));
}

#[test]
fn open_orders() {
    let limits = || Limits { max_open_orders: Some(2), ..Limits::default() };
    let text = "the account has 2 open orders, allowed are 2; the setting is risk_limits.max_open_orders";
    let at_limit = row(limits(), asks(buy("a-2", "1")), asks(buy("a-2", "1")), Rule::MaxOpenOrders, text);
    let mut gate = gate(limits());
    ask(&mut gate, buy("a-1", "1"), "0").unwrap();
    assert!(ask(&mut gate, at_limit.passes.request, "0").is_ok());
    assert_eq!(ask(&mut gate, buy("a-3", "1"), "0").unwrap_err().to_string(), text);
    gate.observe(&canceled(&placed(&buy("a-1", "1"))));
    assert!(ask(&mut gate, buy("a-3", "1"), "0").is_ok());
}

#[test]
fn orders_per_minute() {
    let limits = || Limits { max_orders_per_minute: Some(2), ..Limits::default() };
    let text = "the account has sent 2 orders and changes in the last minute, allowed are 2; the setting is risk_limits.max_orders_per_minute";
    let later = |nanos: i64| Ask { now: Timestamp::from_nanos(at(60).nanos() - nanos), ..asks(buy("a-3", "1")) };
    let before = vec![buy("a-1", "1"), buy("a-2", "1")];
    check(Row { before, ..row(limits(), later(0), later(1), Rule::MaxOrdersPerMinute, text) });
}

#[test]
fn allowed_symbols() {
    let allowed: BTreeSet<_> = ["AAPL", "MSFT"].map(|symbol| symbol.parse().unwrap()).into();
    let limits = Limits { allowed_symbols: Some(allowed), ..Limits::default() };
    let other = asks(OrderRequest { symbol: "TSLA".parse().unwrap(), ..buy("a-1", "1") });
    let text = "TSLA is not among the 2 symbols that the account may trade; the setting is risk_limits.allowed_symbols";
    check(row(limits, asks(buy("a-1", "1")), other, Rule::AllowedSymbols, text));
}

#[test]
fn collar() {
    let limits = || Limits { price_collar: Some(dec("0.05")), ..Limits::default() };
    let collar = |passes, denied, text| check(row(limits(), asks(passes), asks(denied), Rule::PriceCollar, text));
    let order = |side, kind| order_of("a-1", side, "1", kind);
    let stop = |price: &str| OrderType::Stop { stop: price.parse().unwrap() };
    let stop_limit = |stop: &str, limit: &str| OrderType::StopLimit { stop: stop.parse().unwrap(), limit: limit.parse().unwrap() };
    let text = "the limit 105.000000001 is too far above the quote of 100, allowed is at most 105; the setting is risk_limits.price_collar";
    collar(order(Side::Buy, limit("105")), order(Side::Buy, limit("105.000000001")), text);
    let text = "the limit 94.04 is too far below the quote of 99, allowed is at least 94.05; the setting is risk_limits.price_collar";
    collar(order(Side::Sell, limit("94.05")), order(Side::Sell, limit("94.04")), text);
    let text = "the stop 103.96 is too far above the quote of 99, allowed is at most 103.95; the setting is risk_limits.price_collar";
    collar(order(Side::Sell, stop("103.95")), order(Side::Sell, stop("103.96")), text);
    let text = "the stop 94.99 is too far below the quote of 100, allowed is at least 95; the setting is risk_limits.price_collar";
    collar(order(Side::Buy, stop("95")), order(Side::Buy, stop("94.99")), text);
    let text = "the limit 210.01 is too far above its stop of 200, allowed is at most 210; the setting is risk_limits.price_collar";
    collar(order(Side::Buy, stop_limit("200", "210")), order(Side::Buy, stop_limit("200", "210.01")), text);
    let text = "the limit 47.49 is too far below its stop of 50, allowed is at least 47.5; the setting is risk_limits.price_collar";
    collar(order(Side::Sell, stop_limit("50", "47.5")), order(Side::Sell, stop_limit("50", "47.49")), text);
    let text = "the limit 105.01 is too far above the quote of 100, allowed is at most 105; the setting is risk_limits.price_collar";
    collar(order(Side::Buy, stop_limit("98", "105")), order(Side::Buy, stop_limit("98", "105.01")), text);

    // On the side where it waits an order may be as far away as it likes.
    let mut gate = gate(limits());
    for (n, request) in
        [order(Side::Buy, limit("1")), order(Side::Sell, limit("900")), order(Side::Sell, stop("1")), order(Side::Buy, stop("900"))].into_iter().enumerate()
    {
        let id = format!("a-{n}").parse().unwrap();
        assert!(ask(&mut gate, OrderRequest { client_order_id: id, ..request }, "0").is_ok());
    }
}

#[test]
fn a_collar_needs_a_price_and_takes_the_last_trade_without_a_quote() {
    let limits = Limits { price_collar: Some(dec("0.05")), ..Limits::default() };
    let traded = Sight { bid: None, ask: Some(dec("0")), ..sight() };
    let passes = Ask { sight: traded.clone(), ..asks(order_of("a-1", Side::Buy, "1", limit("104.475"))) };
    let text = "the limit 104.48 is too far above the quote of 99.5, allowed is at most 104.475; the setting is risk_limits.price_collar";
    let denied = Ask { sight: traded, ..asks(order_of("a-1", Side::Buy, "1", limit("104.48"))) };
    check(row(limits.clone(), passes, denied, Rule::PriceCollar, text));
    let blind = Ask { sight: Sight::blind(MarketSession::Regular), ..asks(buy("a-1", "1")) };
    let text = "no price of AAPL is known to check this buy order by; the setting is risk_limits.price_collar";
    check(row(limits, asks(buy("a-1", "1")), blind, Rule::NoPrice, text));
}

#[test]
fn open_market() {
    let limits = || Limits { require_open_market: true, ..Limits::default() };
    let during = |session, request| Ask { sight: Sight { session, ..sight() }, ..asks(request) };
    let extended = || OrderRequest { extended_hours: true, ..buy("a-1", "1") };
    let pair = || OrderRequest { symbol: "BTC/USD".parse().unwrap(), ..buy("a-1", "1") };
    let text = "the market of AAPL is closed; the setting is risk_limits.require_open_market";
    check(row(limits(), asks(buy("a-1", "1")), during(MarketSession::Closed, buy("a-1", "1")), Rule::MarketClosed, text));
    check(row(limits(), during(MarketSession::Closed, pair()), during(MarketSession::Closed, extended()), Rule::MarketClosed, text));
    let text = "the market of AAPL has not opened yet, and the order is not for extended hours; the setting is risk_limits.require_open_market";
    check(row(limits(), during(MarketSession::Pre, extended()), during(MarketSession::Pre, buy("a-1", "1")), Rule::MarketClosed, text));
    let text = "the market of AAPL has closed, and the order is not for extended hours; the setting is risk_limits.require_open_market";
    check(row(limits(), during(MarketSession::Post, extended()), during(MarketSession::Post, buy("a-1", "1")), Rule::MarketClosed, text));
}

#[test]
fn price_age() {
    let limits = || Limits { max_price_age: Some(Duration::from_secs(5)), ..Limits::default() };
    let after = |nanos: i64| Ask { now: Timestamp::from_nanos(at(5).nanos() + nanos), ..asks(buy("a-1", "1")) };
    let text = "the last price of AAPL is 5.000000001s old, allowed are 5s; the setting is risk_limits.max_price_age";
    check(row(limits(), after(0), after(1), Rule::StalePrice, text));
    let text = "no price of AAPL was seen yet, and one not older than 5s is needed; the setting is risk_limits.max_price_age";
    let blind = Ask { sight: Sight::blind(MarketSession::Regular), ..asks(buy("a-1", "1")) };
    check(row(limits(), after(0), blind, Rule::StalePrice, text));
}

#[test]
fn daily_loss() {
    let limits = || Limits { max_daily_loss: Some(dec("1000")), ..Limits::default() };
    let with = |equity: &str, request| Ask { holdings: Holdings { equity: dec(equity), ..holding("10") }, ..asks(request) };
    let text = "the account has lost 1000 since the opening, and from 1000 on positions may only be reduced: \
                to buy are at most 0 AAPL, not 1: 0 are sold short, open orders have spoken for 0; the setting is risk_limits.max_daily_loss";
    check(row(limits(), with("9000.01", buy("a-1", "1")), with("9000", buy("a-1", "1")), Rule::MaxDailyLoss, text));
    let text = "the account has lost 2000 since the opening, and from 1000 on positions may only be reduced: \
                to sell are at most 6 AAPL, not 6.000000001: 10 are held, open orders have spoken for 4; the setting is risk_limits.max_daily_loss";
    let before = vec![sell("b-1", "4")];
    let (passes, denied) = (with("8000", sell("a-1", "6")), with("8000", sell("a-1", "6.000000001")));
    check(Row { before, ..row(limits(), passes, denied, Rule::MaxDailyLoss, text) });
}

#[test]
fn slippage_of_market_orders() {
    let limits = || Limits { max_slippage: Some(dec("0.001")), ..Limits::default() };
    let market = |sight| Ask { sight, now: at(60), ..asks(order_of("a-1", Side::Sell, "1", OrderType::Market)) };
    let text = "AAPL has no bid that a market order could be held to; the setting is trading.max_slippage";
    check(row(limits(), market(sight()), market(Sight { bid: None, ..sight() }), Rule::NoPrice, text));
    let text = "the last price of AAPL is 60.000000001s old, allowed are 60s; the setting is trading.max_slippage";
    let late = Ask { now: Timestamp::from_nanos(at(60).nanos() + 1), ..market(sight()) };
    check(row(limits(), market(sight()), late, Rule::StalePrice, text));
}

#[test]
fn a_name_is_used_once() {
    let text = "an order named a-1 is open already; every order needs a new name";
    check(Row { before: vec![buy("a-1", "1")], ..row(Limits::default(), asks(buy("a-2", "1")), asks(buy("a-1", "1")), Rule::DuplicateId, text) });
}
