//! Tests of the engine, by what they are about.

mod auctions;
mod books;
mod classes;
mod fills;
mod matching;
mod means;
mod orders;
mod properties;
mod races;
mod refusals;
mod restoring;
mod sessions;
mod stops;

use std::time::Duration;

use super::*;
use crate::events::MarketSight;
use crate::exchanges::paper::models::{FillRules, Latency};
use crate::model::{
    Exit, Modification, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, Percent, Side, Size, StopLoss, TakeProfit, TimeInForce, Trail,
};

pub(super) const ME: &str = "me";

pub(super) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((1_790_000_000 + seconds) * 1_000_000_000)
}

pub(super) fn me() -> AccountId {
    ME.parse().unwrap()
}

pub(super) fn key(name: &str) -> OrderKey {
    OrderKey::Client(name.parse().unwrap())
}

/// An engine on a stage: everything free, at once, and without bounds, unless a test says otherwise.
#[derive(Debug)]
pub(super) struct Stage {
    pub engine: Engine,
    second: i64,
    named: u32,
}

pub(super) fn plain() -> EngineSettings {
    let mut settings = EngineSettings::alpaca_paper("paper".parse().unwrap(), 7);
    settings.fills = FillRules { partials: Decimal::ZERO, ..FillRules::ALPACA_PAPER };
    settings
}

impl Stage {
    /// In the regular session, AAPL at 99.99 to 100.01 and BTC/USD at 50000 to 50010, a hundred thousand in cash.
    pub fn new(settings: EngineSettings) -> Stage {
        let mut stage = Stage::closed(settings);
        stage.session(MarketSession::Regular);
        stage.quote("AAPL", "99.99", "100", "100.01", "100");
        stage.quote("BTC/USD", "50000", "1", "50010", "1");
        stage
    }

    pub fn closed(settings: EngineSettings) -> Stage {
        let mut engine = Engine::new(settings, at(0));
        for symbol in ["AAPL", "MSFT", "BTC/USD"] {
            engine.list(Instrument::of(&symbol.parse().unwrap()));
        }
        engine.open_account(me(), "USD", dec("100000"), at(0));
        Stage { engine, second: 0, named: 0 }
    }

    pub fn plain() -> Stage {
        Stage::new(plain())
    }

    pub fn now(&self) -> Timestamp {
        at(self.second)
    }

    /// A second passes.
    pub fn tick(&mut self) -> Timestamp {
        self.second += 1;
        self.now()
    }

    pub fn session(&mut self, session: MarketSession) {
        let now = self.tick();
        self.engine.set_session(session, now);
    }

    pub fn see(&mut self, symbol: &str, seen: MarketSight) {
        let now = self.tick();
        self.engine.see(&symbol.parse().unwrap(), &seen, now);
    }

    pub fn quote(&mut self, symbol: &str, bid: &str, bid_size: &str, ask: &str, ask_size: &str) {
        self.see(symbol, MarketSight::Quote { bid: dec(bid), bid_size: dec(bid_size), ask: dec(ask), ask_size: dec(ask_size) });
    }

    /// A quote of AAPL for a hundred on either side.
    pub fn apple(&mut self, bid: &str, ask: &str) {
        self.quote("AAPL", bid, "100", ask, "100");
    }

    pub fn trade(&mut self, symbol: &str, price: &str, size: &str) {
        self.see(symbol, MarketSight::Trade { price: dec(price), size: dec(size) });
    }

    pub fn try_place(&mut self, request: OrderRequest) -> Result<Arc<Order>, Refusal> {
        let now = self.tick();
        self.engine.place(&me(), request, now)
    }

    /// Places an order under the next name: `bot-1`, `bot-2` and so on.
    pub fn place(&mut self, request: OrderRequest) -> Arc<Order> {
        self.named += 1;
        let client_order_id = format!("bot-{}", self.named).parse().unwrap();
        self.try_place(OrderRequest { client_order_id, ..request }).unwrap()
    }

    pub fn refuses(&mut self, request: OrderRequest) -> Refusal {
        self.try_place(request).unwrap_err()
    }

    pub fn modify(&mut self, name: &str, change: Modification) -> Result<Arc<Order>, Refusal> {
        let now = self.tick();
        self.engine.modify(&me(), &key(name), change, now)
    }

    pub fn cancel(&mut self, name: &str) -> Result<(), Refusal> {
        let now = self.tick();
        self.engine.cancel(&me(), &key(name), now)
    }

    pub fn wait(&mut self, seconds: i64) {
        self.second += seconds;
        let now = self.now();
        self.engine.advance(now);
    }

    pub fn order(&self, name: &str) -> Arc<Order> {
        Arc::clone(self.engine.order(&me(), &key(name)).unwrap())
    }

    pub fn by_id(&self, id: &crate::model::VenueOrderId) -> Arc<Order> {
        Arc::clone(self.engine.order(&me(), &OrderKey::Venue(id.clone())).unwrap())
    }

    pub fn status(&self, name: &str) -> OrderStatus {
        self.order(name).status
    }

    pub fn account(&self) -> AccountInfo {
        self.engine.account(&me()).unwrap()
    }

    pub fn units(&self, symbol: &str) -> Decimal {
        self.engine.position(&me(), symbol).map_or(Decimal::ZERO, |position| position.quantity)
    }

    pub fn available(&self) -> Decimal {
        self.account().buying_power
    }

    pub fn held(&self, symbol: &str) -> Decimal {
        self.engine.held(&me(), symbol)
    }

    /// What was told since the last time: of steps their words, of fills price and quantity too.
    pub fn told(&mut self) -> Vec<String> {
        let told = self.engine.take_events().into_iter().filter_map(|event| match event {
            Event::OrderUpdated(update) => Some(match &update.fill {
                Some(fill) => format!("{} {} {}", update.change, fill.price, fill.quantity),
                None => update.change.to_string(),
            }),
            _ => None,
        });
        told.collect()
    }
}

pub(super) fn order(side: Side, quantity: &str, kind: OrderType) -> OrderRequest {
    OrderRequest {
        client_order_id: "unnamed".parse().unwrap(),
        symbol: "AAPL".parse().unwrap(),
        side,
        size: Size::Quantity(quantity.parse().unwrap()),
        kind,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
    }
}

pub(super) fn buy(quantity: &str) -> OrderRequest {
    order(Side::Buy, quantity, OrderType::Market)
}

pub(super) fn sell(quantity: &str) -> OrderRequest {
    order(Side::Sell, quantity, OrderType::Market)
}

pub(super) fn limit(price: &str) -> OrderType {
    OrderType::Limit { limit: price.parse().unwrap() }
}

pub(super) fn stop(price: &str) -> OrderType {
    OrderType::Stop { stop: price.parse().unwrap() }
}

pub(super) fn stop_limit(stop: &str, limit: &str) -> OrderType {
    OrderType::StopLimit { stop: stop.parse().unwrap(), limit: limit.parse().unwrap() }
}

pub(super) fn bid_for(quantity: &str, price: &str) -> OrderRequest {
    order(Side::Buy, quantity, limit(price))
}

pub(super) fn offer_of(quantity: &str, price: &str) -> OrderRequest {
    order(Side::Sell, quantity, limit(price))
}

pub(super) fn by_money(side: Side, money: &str) -> OrderRequest {
    OrderRequest { size: Size::Notional(money.parse().unwrap()), ..order(side, "1", OrderType::Market) }
}

pub(super) fn bitcoin(request: OrderRequest) -> OrderRequest {
    OrderRequest { symbol: "BTC/USD".parse().unwrap(), time_in_force: TimeInForce::Gtc, ..request }
}

pub(super) fn lasting(time_in_force: TimeInForce, request: OrderRequest) -> OrderRequest {
    OrderRequest { time_in_force, ..request }
}

pub(super) fn extended(request: OrderRequest) -> OrderRequest {
    OrderRequest { extended_hours: true, ..request }
}

pub(super) fn loss(stop: &str) -> StopLoss {
    StopLoss { stop: stop.parse().unwrap(), limit: None }
}

pub(super) fn bracket(request: OrderRequest, profit: &str, stop: &str) -> OrderRequest {
    OrderRequest { class: OrderClass::Bracket { profit: TakeProfit { limit: profit.parse().unwrap() }, loss: loss(stop) }, ..request }
}

pub(super) fn oco(request: OrderRequest, stop: &str) -> OrderRequest {
    OrderRequest { class: OrderClass::Oco { loss: loss(stop) }, ..request }
}

pub(super) fn oto(request: OrderRequest, stop: &str) -> OrderRequest {
    OrderRequest { class: OrderClass::Oto { exit: Exit::Loss(loss(stop)) }, ..request }
}

pub(super) fn trailing(side: Side, quantity: &str, trail: Trail) -> OrderRequest {
    order(side, quantity, OrderType::TrailingStop { trail })
}

pub(super) fn percent(text: &str) -> Trail {
    Trail::Percent(text.parse::<Percent>().unwrap())
}

pub(super) fn seconds(seconds: u64) -> Latency {
    Latency { fixed: Duration::from_secs(seconds), jitter: Duration::ZERO }
}
