mod adopted;
mod boundaries;
mod counting;
mod halts;
mod kin;
mod outright;
mod protect;
mod race;
mod random;
mod replaced;

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::*;
use crate::events::{AccountRef, OrderUpdate, Source};
use crate::model::{
    Fill, MarketSession, Modification, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, Side, Size, StopLoss, TimeInForce, Timestamp,
};

/// A gate that keeps its halts itself, as who keeps them for many gates does.
impl Gate {
    fn set_halt(&mut self, scope: HaltScope, mode: HaltMode, reason: String, now: Timestamp) -> HaltRecord {
        self.halts.set(scope, mode, reason, now)
    }

    fn resume(&mut self, scope: &HaltScope) -> Option<HaltRecord> {
        self.halts.resume(scope)
    }
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + seconds * 1_000_000_000)
}

fn of() -> AccountRef {
    AccountRef { broker: "paper".parse().unwrap(), account: "one".parse().unwrap() }
}

fn limit(price: &str) -> OrderType {
    OrderType::Limit { limit: price.parse().unwrap() }
}

fn order_of(id: &str, side: Side, quantity: &str, kind: OrderType) -> OrderRequest {
    OrderRequest {
        client_order_id: id.parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side,
        size: Size::Quantity(quantity.parse().unwrap()),
        kind,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
    }
}

fn buy(id: &str, quantity: &str) -> OrderRequest {
    order_of(id, Side::Buy, quantity, limit("100"))
}

fn sell(id: &str, quantity: &str) -> OrderRequest {
    order_of(id, Side::Sell, quantity, limit("100"))
}

fn by_money(id: &str, side: Side, money: &str) -> OrderRequest {
    OrderRequest { size: Size::Notional(money.parse().unwrap()), ..order_of(id, side, "1", OrderType::Market) }
}

/// 99 bid, 100 asked, seen at 0.
fn sight() -> Sight {
    Sight { bid: Some(dec("99")), ask: Some(dec("100")), last: Some(dec("99.5")), seen_at: Some(at(0)), session: MarketSession::Regular }
}

fn holding(position: &str) -> Holdings {
    Holdings { position: dec(position), equity: dec("10000"), equity_at_open: dec("10000") }
}

fn gate(account: Limits) -> Gate {
    Gate::new(account, BTreeMap::new()).for_account(of())
}

fn gate_with_bot(account: Limits, bot: &str, limits: Limits) -> Gate {
    Gate::new(account, BTreeMap::from([(bot.to_owned(), limits)])).for_account(of())
}

fn size_limit(units: &str) -> Limits {
    Limits { max_position_size: Some(dec(units)), ..Limits::default() }
}

/// An order as the venue would keep it; it is called as its sender calls it, with `v/` before.
fn placed(request: &OrderRequest) -> Order {
    let id = format!("v/{}", request.client_order_id).parse().unwrap();
    Order::new(id, request.clone(), OrderStatus::New, Timestamp::default())
}

fn update(order: &Order, change: OrderChange, status: OrderStatus, filled: &str) -> OrderUpdate {
    let order = Order { status, filled: dec(filled), ..order.clone() };
    OrderUpdate { of: of(), change, order: Arc::new(order), execution_id: None, fill: None, reason: None, at: at(0), source: Source::Stream, words: None }
}

/// The same with the execution of `quantity`, after which the account holds `position`.
fn execution(order: &Order, change: OrderChange, status: OrderStatus, filled: &str, quantity: &str, position: &str) -> OrderUpdate {
    let fill = Fill {
        execution_id: "e".parse().unwrap(),
        order_id: order.id.clone(),
        client_order_id: order.request.client_order_id.clone(),
        symbol: order.request.symbol.clone(),
        side: order.request.side,
        price: dec("100"),
        quantity: dec(quantity),
        fees: Decimal::ZERO,
        position: dec(position),
        at: at(0),
    };
    OrderUpdate { fill: Some(fill), ..update(order, change, status, filled) }
}

fn open(order: &Order) -> OrderUpdate {
    update(order, OrderChange::New, OrderStatus::New, "0")
}

fn canceled(order: &Order) -> OrderUpdate {
    update(order, OrderChange::Canceled, OrderStatus::Canceled, "0")
}

/// Checks at 0 with the usual market.
fn ask(gate: &mut Gate, request: OrderRequest, position: &str) -> Result<OrderRequest, Denial> {
    gate.check(request, &sight(), &holding(position), at(0)).map(Approved::into_inner)
}

fn ask_change(gate: &mut Gate, order: &Order, quantity: &str, position: &str) -> Result<(), Denial> {
    let change = Modification { quantity: Some(quantity.parse().unwrap()), ..Modification::default() };
    gate.check_change(order, change, &sight(), &holding(position), at(0)).map(drop)
}
