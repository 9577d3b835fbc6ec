//! Money and positions: holds, margin, short selling, gains.

use super::*;
use crate::exchanges::paper::models::{Combined, CommissionRate, RegulatoryFees};
use crate::model::PositionIntent;

#[test]
fn open_buys_hold_money_and_market_orders_a_little_more() {
    let mut stage = Stage::plain();
    let mut latent = Stage::new(EngineSettings { latency: seconds(5), ..plain() });
    assert_eq!(stage.available(), dec("200000"));
    stage.place(bid_for("100", "90"));
    assert_eq!(stage.available(), dec("191000"));
    latent.place(buy("100"));
    assert_eq!(latent.available(), dec("200000") - dec("10251.025"));
    stage.cancel("bot-1").unwrap();
    assert_eq!(stage.available(), dec("200000"));
    let refused = stage.refuses(bid_for("2001", "100"));
    assert_eq!(refused, Refusal::InsufficientBuyingPower { needed: dec("200100"), available: dec("200000") });
    assert!(matches!(stage.refuses(by_money(Side::Buy, "200001")), Refusal::InsufficientBuyingPower { .. }));
}

#[test]
fn a_cash_account_and_a_pair_are_paid_with_own_money() {
    let mut cash = Stage::new(EngineSettings { margin: Decimal::ONE, ..plain() });
    assert!(matches!(cash.refuses(bid_for("1001", "100")), Refusal::InsufficientBuyingPower { .. }));
    cash.place(bid_for("1000", "100"));
    assert_eq!(cash.available(), dec("0"));
    let mut stage = Stage::plain();
    assert!(matches!(stage.refuses(bitcoin(bid_for("3", "40000"))), Refusal::InsufficientBuyingPower { available, .. } if available == dec("100000")));
    stage.place(bitcoin(bid_for("2.5", "40000")));
}

#[test]
fn units_that_are_on_sale_are_sold_once() {
    let mut stage = Stage::plain();
    stage.place(buy("5"));
    stage.place(offer_of("3", "150"));
    let refused = Refusal::InsufficientQuantity { requested: dec("3"), available: dec("2"), existing: dec("5"), held: dec("3") };
    assert_eq!(stage.refuses(offer_of("3", "150")), refused);
    assert_eq!(stage.held("AAPL"), dec("3"));
    stage.place(sell("2"));
    let change = Modification { quantity: Some("4".parse().unwrap()), ..Modification::default() };
    assert!(matches!(stage.modify("bot-2", change), Err(Refusal::InsufficientQuantity { .. })));
}

#[test]
fn selling_short_and_covering_keeps_the_books() {
    let mut stage = Stage::plain();
    let short = stage.place(sell("10"));
    assert_eq!(short.intent, Some(PositionIntent::SellToOpen));
    stage.apple("89.99", "90.01");
    let account = stage.account();
    assert_eq!((account.cash, account.short_value, account.unrealised), (dec("100999.9"), dec("-900"), dec("99.9")));
    assert_eq!((account.equity, account.buying_power), (dec("100099.9"), dec("199299.8")));
    let cover = stage.place(buy("10"));
    assert_eq!(cover.intent, Some(PositionIntent::BuyToClose));
    let account = stage.account();
    assert_eq!((account.cash, account.realised, account.equity), (dec("100099.8"), dec("99.8"), dec("100099.8")));
    assert!(matches!(stage.refuses(bitcoin(sell("0.1"))), Refusal::InsufficientQuantity { .. }));
}

#[test]
fn a_short_sale_holds_what_buying_back_would_cost() {
    let mut stage = Stage::plain();
    stage.place(offer_of("10", "110"));
    assert_eq!(dec("200000") - stage.available(), dec("1133"));
    stage.place(offer_of("10", "100.05"));
    assert_eq!(dec("200000") - stage.available(), dec("1133") + dec("1030.515"));
}

#[test]
fn fees_leave_the_cash_and_are_told() {
    let fees = Combined(vec![Box::new(CommissionRate(dec("0.001"))), Box::new(RegulatoryFees::default())]);
    let mut stage = Stage::new(EngineSettings { fees: Box::new(fees), ..plain() });
    stage.place(buy("100"));
    stage.place(sell("100"));
    let fees: Vec<_> = stage.engine.fills(&me()).map(|fill| fill.fees).collect();
    assert_eq!(fees, [dec("10.001"), dec("9.999") + dec("0.21") + dec("0.02")]);
    let account = stage.account();
    assert_eq!((account.fees, account.realised), (dec("20.23"), dec("-2")));
    assert_eq!(account.cash, dec("100000") - dec("2") - dec("20.23"));
}

#[test]
fn a_position_is_worth_the_last_trade_within_the_quote() {
    let mut stage = Stage::plain();
    stage.place(buy("1"));
    assert_eq!(stage.engine.position(&me(), "AAPL").unwrap().mark, Some(dec("100")));
    stage.trade("AAPL", "103", "1");
    assert_eq!(stage.engine.position(&me(), "AAPL").unwrap().mark, Some(dec("100.01")));
    stage.apple("101", "104");
    assert_eq!(stage.engine.positions(&me())[0].mark, Some(dec("103")));
}

#[test]
fn accounts_do_not_touch_each_other() {
    let mut stage = Stage::plain();
    let other: AccountId = "other".parse().unwrap();
    stage.engine.open_account(other.clone(), "USD", dec("500"), at(9));
    stage.place(buy("10"));
    assert!(stage.engine.positions(&other).is_empty() && stage.engine.orders(&other).count() == 0);
    assert_eq!(stage.engine.account(&other).unwrap().cash, dec("500"));
    stage.engine.open_account(me(), "EUR", dec("1"), at(9));
    assert_eq!(stage.account().currency, "USD", "an open account is opened again");
}

#[test]
fn two_engines_of_one_seed_and_start_say_the_same() {
    let play = |seed: u64| {
        let mut stage = Stage::new(EngineSettings::alpaca_paper("paper".parse().unwrap(), seed));
        (0..50).for_each(|_| drop(stage.place(buy("7"))));
        stage.engine.take_events()
    };
    assert_eq!(play(4), play(4));
    assert_ne!(play(4), play(5));
}
