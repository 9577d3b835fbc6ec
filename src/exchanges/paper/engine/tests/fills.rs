//! The table of fills: every model and every rule, computed by hand.

use super::*;
use crate::exchanges::paper::models::{
    Combined, CommissionRate, FeeModel, Fixed, MarketImpact, NoSlippage, PerShare, Percentage, RegulatoryFees, SlippageModel,
};

const TABLE: &str = include_str!("../../../../../tests/fixtures/paper/fills.csv");

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn slippage(text: &str) -> Box<dyn SlippageModel> {
    match words(text).as_slice() {
        ["none"] => Box::new(NoSlippage),
        ["fixed", amount] => Box::new(Fixed(dec(amount))),
        ["percent", share] => Box::new(Percentage(dec(share))),
        ["impact", base, slope, ceiling] => Box::new(MarketImpact { base: dec(base), slope: dec(slope), ceiling: dec(ceiling) }),
        _ => panic!("no slippage model: {text}"),
    }
}

fn fees(text: &str) -> Box<dyn FeeModel> {
    let model = |text: &str| -> Box<dyn FeeModel> {
        match words(text).as_slice() {
            ["none"] => Box::new(Combined(Vec::new())),
            ["rate", share] => Box::new(CommissionRate(dec(share))),
            ["share", rate, minimum] => Box::new(PerShare { rate: dec(rate), minimum: dec(minimum) }),
            ["regulatory", million, share, cap] => {
                Box::new(RegulatoryFees { section31_per_million: dec(million), taf_per_share: dec(share), taf_cap: dec(cap) })
            }
            _ => panic!("no fee model: {text}"),
        }
    };
    Box::new(Combined(text.split('+').map(model).collect()))
}

fn rules(text: &str) -> FillRules {
    text.split(',').fold(plain().fills, |rules, rule| match words(rule).as_slice() {
        ["plain"] => rules,
        ["size"] => FillRules { displayed_size: true, ..rules },
        ["queue"] => FillRules { queue: true, ..rules },
        ["trades", share] => FillRules { by_trades: true, volume_share: dec(share), ..rules },
        _ => panic!("no rule: {rule}"),
    })
}

fn wanted(symbol: &str, text: &str) -> OrderRequest {
    let words = words(text);
    let [side, size, kind @ .., time] = words.as_slice() else { panic!("no order: {text}") };
    let side = if *side == "buy" { Side::Buy } else { Side::Sell };
    let kind = match kind {
        ["market"] => OrderType::Market,
        ["limit", price] => limit(price),
        ["stop", price] => stop(price),
        ["stop_limit", stop, limit] => stop_limit(stop, limit),
        _ => panic!("no order type: {text}"),
    };
    let size = size.strip_prefix('$').map_or_else(|| Size::Quantity(size.parse().unwrap()), |money| Size::Notional(money.parse().unwrap()));
    let time_in_force = TimeInForce::ALL.into_iter().find(|known| known.as_str() == *time).unwrap();
    OrderRequest { symbol: symbol.parse().unwrap(), size, time_in_force, ..order(side, "1", kind) }
}

/// An account that holds a hundred thousand of everything, and the money for a hundred thousand more.
fn wealthy(settings: EngineSettings, symbol: &str) -> Engine {
    let mut engine = Engine::new(settings, at(0));
    engine.list(Instrument::of(&symbol.parse().unwrap()));
    let held = Position { quantity: dec("100000"), ..Position::flat(symbol.parse().unwrap()) };
    let state = AccountState {
        id: me(),
        currency: "USD".to_owned(),
        cash: dec("100000000"),
        realised: Decimal::ZERO,
        fees: Decimal::ZERO,
        equity_at_open: Decimal::ZERO,
        positions: vec![held],
        orders: Vec::new(),
        triggered: Vec::new(),
        fills: Vec::new(),
    };
    engine.restore(state, at(0));
    engine.set_session(MarketSession::Regular, at(0));
    engine
}

fn played(columns: &[&str]) -> Result<String, String> {
    let [_, symbol, order, happens, slip, charged, ruled, _] = columns else { return Err(format!("{} columns", columns.len())) };
    let settings = EngineSettings { slippage: slippage(slip), fees: fees(charged), fills: rules(ruled), ..plain() };
    let mut engine = wealthy(settings, symbol);
    for (second, event) in (1..).zip(happens.split(';')) {
        let seen = match words(event).as_slice() {
            ["q", bid, bid_size, ask, ask_size] => MarketSight::Quote { bid: dec(bid), bid_size: dec(bid_size), ask: dec(ask), ask_size: dec(ask_size) },
            ["t", price, size] => MarketSight::Trade { price: dec(price), size: dec(size) },
            ["order"] => {
                engine.place(&me(), wanted(symbol, order), at(second)).map_err(|refusal| refusal.to_string())?;
                continue;
            }
            _ => return Err(format!("nothing that happens: {event}")),
        };
        engine.see(&symbol.parse().unwrap(), &seen, at(second));
    }
    let fills: Vec<_> = engine.fills(&me()).map(|fill| format!("{} x {} fee {}", fill.price, fill.quantity, fill.fees.normalize())).collect();
    Ok(if fills.is_empty() { "none".to_owned() } else { fills.join("; ") })
}

#[test]
fn every_row_of_the_table_is_filled_to_the_last_digit() {
    let rows: Vec<_> = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(rows.len() >= 60, "the table has lost rows");
    let wrong: Vec<_> = rows
        .into_iter()
        .filter_map(|row| {
            let columns: Vec<_> = row.split('|').map(str::trim).collect();
            let got = played(&columns).unwrap_or_else(|error| error);
            let expected = *columns.last().unwrap();
            (got != expected).then(|| format!("{}\n  expected {expected}\n  got      {got}", columns[0]))
        })
        .collect();
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
