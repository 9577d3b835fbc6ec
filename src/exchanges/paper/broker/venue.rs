//! The engine and the file that it is kept in: what happened is in the file before anybody hears of it.
//!
//! Must not know threads, locks or who listens.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;

use super::days::Days;
use super::refusal;
use super::settings::PaperSettings;
use super::sights::Sights;
use crate::events::{Event, MarketSight, OrderKey};
use crate::exchanges::paper::engine::{AccountState, Engine, Instrument};
use crate::exchanges::paper::store::{Change, Checkpointer, Opening, Purse, Saved, Store, StoreError};
use crate::exchanges::{BrokerError, CancelOutcome};
use crate::model::{
    AccountId, AccountInfo, Balance, ClientOrderId, ExchangeName, Fill, MarketSession, Modification, Order, OrderRequest, OrderStatus, Position, Symbol,
    TimeInForce, Timestamp, VenueOrderId,
};

/// So often the prices of what is held are written down.
const PRICES_EVERY: i64 = 60_000_000_000;

#[derive(Debug)]
pub(super) struct Venue {
    broker: ExchangeName,
    account: AccountId,
    pub engine: Engine,
    /// No step is earlier.
    pub began: Timestamp,
    store: Store,
    /// Whether the engine was given every order that the file knew, and so knows all names.
    complete: bool,
    /// Orders that were changed by the call under way and may not stand in an event.
    touched: Vec<Arc<Order>>,
    /// What the file says of the money.
    purse: Purse,
    /// Whether the money may be another than the file says.
    paid: bool,
    days: Days,
    /// The trading day that the engine knows the opening of.
    day: i64,
    /// When it is over.
    day_ends: Timestamp,
    /// The prices that the file knows of what is held.
    prices: BTreeMap<Symbol, Option<Decimal>>,
    prices_due: Timestamp,
    /// Orders whose end was asked for before they could be told so.
    cancels: Vec<VenueOrderId>,
}

impl Venue {
    /// Opens the file and goes on where it ends.
    pub fn open(settings: &PaperSettings, sights: &Sights, now: Timestamp) -> Result<Venue, StoreError> {
        let opening = Opening { account: settings.account.clone(), currency: settings.currency.clone(), cash: settings.balance, at: now };
        let store = Store::open(&settings.file, &opening)?;
        let saved = store.load(settings.remembered)?;
        // A clock that was set back meanwhile counts from the last thing that happened.
        let times = saved.orders.iter().map(|order| order.times.updated).chain(saved.fills.iter().map(|fill| fill.at));
        let now = times.max().map_or(now, |last| last.max(now));
        let mut venue = Venue {
            began: now,
            broker: settings.name.clone(),
            account: settings.account.clone(),
            engine: Engine::new(settings.engine(store.generation()), now),
            store,
            complete: saved.complete,
            touched: Vec::new(),
            purse: saved.purse.clone(),
            paid: false,
            days: Days::default(),
            day: saved.purse.day,
            day_ends: now,
            prices: BTreeMap::new(),
            prices_due: now,
            cancels: Vec::new(),
        };
        venue.restore(settings, sights, saved, now);
        Ok(venue)
    }

    /// Throws away what the engine believes, for what the file says.
    pub fn reload(&mut self, settings: &PaperSettings, sights: &Sights, now: Timestamp) -> Result<(), StoreError> {
        self.store.renew()?;
        let saved = self.store.load(settings.remembered)?;
        self.restore(settings, sights, saved, now);
        Ok(())
    }

    pub fn checkpointer(&self) -> Result<Checkpointer, StoreError> {
        self.store.checkpointer()
    }

    fn restore(&mut self, settings: &PaperSettings, sights: &Sights, saved: Saved, now: Timestamp) {
        let seen = sights.in_order();
        let start = seen.first().map_or(now, |(at, ..)| (*at).min(now));
        let mut engine = Engine::new(settings.engine(self.store.generation()), start);
        let held = saved.positions.iter().map(|position| &position.symbol);
        for symbol in seen.iter().map(|(_, symbol, _)| *symbol).chain(held).chain(saved.orders.iter().map(|order| &order.request.symbol)) {
            if engine.instrument(symbol.as_str()).is_none() {
                engine.list(Instrument::of(symbol));
            }
        }
        let today = self.days.of(now);
        let lapsed = saved.orders.iter().any(|order| self.lapsed(order, sights.session(), today));
        // Both before the account comes back: a restart is no opening, and a trade that was seen once fills nobody twice.
        if let Some(session) = if lapsed { Some(MarketSession::Post) } else { sights.session() } {
            engine.set_session(session, start);
        }
        for (at, symbol, sight) in seen {
            engine.see(symbol, &sight, at);
        }
        self.complete = saved.complete;
        self.prices = saved.positions.iter().map(|position| (position.symbol.clone(), position.mark)).collect();
        (self.cancels, self.paid) = (Vec::new(), true);
        let is_open = sights.session().is_some_and(|session| session != MarketSession::Closed);
        let opened_since = is_open && saved.purse.day != today;
        self.day = if opened_since { today } else { saved.purse.day };
        self.day_ends = self.days.end(now);
        let equity_at_open = if opened_since { equity_then(&engine, &saved) } else { saved.purse.equity_at_open };
        let open: Vec<Arc<Order>> = saved.orders.iter().filter(|order| order.status.is_open()).cloned().collect();
        let state = AccountState {
            id: self.account.clone(),
            currency: saved.currency,
            cash: saved.purse.cash,
            realised: saved.purse.realised,
            fees: saved.purse.fees,
            equity_at_open,
            positions: saved.positions,
            orders: saved.orders,
            triggered: saved.triggered,
            fills: saved.fills,
        };
        self.purse = saved.purse;
        engine.restore(state, now);
        if lapsed {
            // The close that nobody was there to see ends the orders of that day.
            engine.set_session(MarketSession::Closed, now);
            sights.session().into_iter().for_each(|session| engine.set_session(session, now));
        }
        for order in saved.cancels {
            // One that has ended meanwhile needs no cancel.
            let _ = engine.cancel(&self.account, &OrderKey::Venue(order), now);
        }
        self.engine = engine;
        let changed = open.into_iter().filter_map(|order| self.known(&order.id).filter(|known| **known != order).cloned());
        self.touched = changed.collect();
    }

    /// Lets happen what is due.
    pub fn advance(&mut self, now: Timestamp) {
        self.turn_day(now);
        self.engine.advance(now);
    }

    /// Where the market never closes, a day begins at midnight; else with its opening.
    pub fn turn_day(&mut self, now: Timestamp) {
        if now < self.day_ends {
            return;
        }
        self.day_ends = self.days.end(now);
        let today = self.days.of(now);
        if today != self.day && self.engine.session() != MarketSession::Closed {
            self.engine.begin_day(now);
            (self.day, self.paid) = (today, true);
        }
    }

    /// Writes down what things are worth, for a start on another day.
    pub fn keep_prices(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.prices_due = now;
        let change = Change { positions: self.repriced(now), ..Change::default() };
        if change.is_empty() { Ok(()) } else { self.store.save(&change) }
    }

    /// From time to time: what is worth something else than the file says.
    fn repriced(&mut self, now: Timestamp) -> Vec<Position> {
        if now < self.prices_due {
            return Vec::new();
        }
        self.prices_due = Timestamp::from_nanos(now.nanos().saturating_add(PRICES_EVERY));
        let held = self.engine.positions(&self.account).into_iter();
        held.filter(|position| self.prices.get(&position.symbol) != Some(&position.mark)).collect()
    }

    /// Writes down what happened since the last time, and only then gives the events of it away.
    pub fn keep(&mut self, now: Timestamp) -> Result<Vec<Event>, StoreError> {
        let events = self.engine.take_events();
        let quiet = self.engine.take_quiet();
        let mut change = Change {
            orders: self.changed_orders(&events, &quiet),
            triggered: quiet.into_iter().filter(|(_, triggered)| *triggered).map(|(order, _)| order.id.clone()).collect(),
            cancels: std::mem::take(&mut self.cancels),
            positions: self.repriced(now),
            ..Change::default()
        };
        for event in &events {
            match event {
                Event::Filled(filled) => change.fills.push(filled.fill.clone()),
                Event::PositionChanged(changed) => {
                    change.positions.retain(|position| position.symbol != changed.symbol);
                    let flat = || Position { realised: changed.realised, ..Position::flat(changed.symbol.clone()) };
                    change.positions.push(self.engine.position(&self.account, changed.symbol.as_str()).unwrap_or_else(flat));
                }
                _ => {}
            }
        }
        if std::mem::take(&mut self.paid) || !change.fills.is_empty() {
            change.purse = self.purse().filter(|purse| *purse != self.purse);
        }
        if !change.is_empty() {
            self.store.save(&change)?;
        }
        self.remember(change);
        Ok(events)
    }

    /// Each order that is another than the file says, as it is now, once.
    fn changed_orders(&mut self, events: &[Event], quiet: &[(Arc<Order>, bool)]) -> Vec<Arc<Order>> {
        let touched = std::mem::take(&mut self.touched);
        let mut orders: Vec<Arc<Order>> = Vec::new();
        let mut places: HashMap<VenueOrderId, usize, foldhash::fast::RandomState> = HashMap::default();
        let mut put = |order: &Arc<Order>| match places.get(&order.id) {
            Some(place) => orders[*place] = Arc::clone(order),
            None => {
                places.insert(order.id.clone(), orders.len());
                orders.push(Arc::clone(order));
            }
        };
        let in_events = events.iter().filter_map(|event| if let Event::OrderUpdated(update) = event { Some(&update.order) } else { None });
        for order in touched.iter().chain(in_events).chain(quiet.iter().map(|(order, _)| order)) {
            let order = self.known(&order.id).unwrap_or(order);
            put(order);
            // Their ties to each other change without an event.
            order.legs.iter().chain(&order.parent).filter_map(|id| self.known(id)).for_each(&mut put);
        }
        orders
    }

    fn remember(&mut self, change: Change) {
        self.prices.extend(change.positions.into_iter().map(|position| (position.symbol, position.mark)));
        if let Some(purse) = change.purse {
            self.purse = purse;
        }
    }

    fn purse(&self) -> Option<Purse> {
        let account = self.engine.account(&self.account)?;
        let AccountInfo { cash, realised, fees, equity_at_open, .. } = account;
        Some(Purse { cash, realised, fees, equity_at_open, day: self.day })
    }

    fn known(&self, id: &VenueOrderId) -> Option<&Arc<Order>> {
        self.engine.order(&self.account, &OrderKey::Venue(id.clone()))
    }

    pub fn see(&mut self, symbol: &Symbol, seen: &MarketSight, now: Timestamp) {
        if self.engine.instrument(symbol.as_str()).is_none() {
            self.engine.list(Instrument::of(symbol));
        }
        self.engine.see(symbol, seen, now);
    }

    pub fn set_session(&mut self, session: MarketSession, now: Timestamp) {
        if self.engine.session() == MarketSession::Closed && session != MarketSession::Closed {
            (self.day, self.paid) = (self.days.of(now), true);
        }
        self.engine.set_session(session, now);
    }

    pub fn place(&mut self, request: OrderRequest, now: Timestamp) -> Result<Order, BrokerError> {
        let name = request.client_order_id.clone();
        self.unused(&name)?;
        let order = self.engine.place(&self.account, request, now).map_err(|refused| refusal::of_placement(refused, Some(&name)))?;
        Ok(Order::clone(&order))
    }

    pub fn modify(&mut self, key: &OrderKey, change: Modification, now: Timestamp) -> Result<Order, BrokerError> {
        if let Some(name) = &change.client_order_id {
            self.unused(name)?;
        }
        let name = change.client_order_id.clone();
        let order = match self.engine.modify(&self.account, key, change, now) {
            Ok(order) => order,
            Err(refused) => return Err(self.refused(refusal::of_change(refused, key, name.as_ref()), key)),
        };
        self.touched.extend(self.engine.order(&self.account, key).cloned());
        self.touched.push(Arc::clone(&order));
        Ok(Order::clone(&order))
    }

    pub fn cancel(&mut self, key: &OrderKey, now: Timestamp) -> Result<(), BrokerError> {
        let wished = self.engine.cancel(&self.account, key, now);
        wished.map_err(|refused| self.refused(refusal::of_order(refused, key), key))?;
        self.wished_cancel(key);
        Ok(())
    }

    pub fn cancel_all(&mut self, symbol: Option<&Symbol>, now: Timestamp) -> Vec<CancelOutcome> {
        let outcomes = self.engine.cancel_all(&self.account, symbol, now);
        for (order, ..) in outcomes.iter().filter(|(.., wished)| wished.is_ok()) {
            self.wished_cancel(&OrderKey::Venue(order.clone()));
        }
        let outcome = |(order, client_order_id, wished): (VenueOrderId, ClientOrderId, Result<(), _>)| {
            let key = OrderKey::Venue(order.clone());
            CancelOutcome { order, client_order_id, result: wished.map_err(|refused| refusal::of_order(refused, &key)) }
        };
        outcomes.into_iter().map(outcome).collect()
    }

    pub fn open_orders(&self) -> Vec<Order> {
        self.engine.open_orders(&self.account).map(|(_, order)| Order::clone(order)).collect()
    }

    pub fn order(&self, key: &OrderKey) -> Result<Option<Order>, BrokerError> {
        match self.engine.order(&self.account, key) {
            Some(order) => Ok(Some(Order::clone(order))),
            None if self.complete && !self.engine.has_forgotten() => Ok(None),
            None => self.store.order(key).map_err(|cause| refusal::of_store(&self.broker, &cause)),
        }
    }

    pub fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        self.store.fills(since, limit).map_err(|cause| refusal::of_store(&self.broker, &cause))
    }

    pub fn positions(&self) -> Vec<Position> {
        self.engine.positions(&self.account)
    }

    pub fn account(&self) -> Option<AccountInfo> {
        self.engine.account(&self.account)
    }

    /// The account's money, and the units of pairs that are held.
    pub fn balances(&self) -> Vec<Balance> {
        let Some(account) = self.engine.account(&self.account) else { return Vec::new() };
        let money = Balance { available: account.buying_power.min(account.cash).max(Decimal::ZERO), total: account.cash, currency: account.currency };
        let units = self.engine.positions(&self.account).into_iter().filter_map(|position| {
            let (base, _) = position.symbol.as_str().split_once('/')?;
            let held = self.engine.held(&self.account, position.symbol.as_str());
            Some(Balance { currency: base.to_owned(), total: position.quantity, available: (position.quantity - held).max(Decimal::ZERO) })
        });
        std::iter::once(money).chain(units).collect()
    }

    /// The file knows names that the engine has forgotten.
    fn unused(&self, name: &ClientOrderId) -> Result<(), BrokerError> {
        let used = !self.complete && self.order(&OrderKey::Client(name.clone()))?.is_some();
        if used { Err(BrokerError::DuplicateClientId(name.to_string())) } else { Ok(()) }
    }

    /// An order that the engine has forgotten has ended.
    fn refused(&self, error: BrokerError, key: &OrderKey) -> BrokerError {
        match (&error, self.order(key)) {
            (BrokerError::UnknownOrder(_), Ok(Some(order))) => BrokerError::NotOpen(order.status),
            _ => error,
        }
    }

    /// Remembers a wish that the order itself does not show, for the case that we end before it arrives.
    fn wished_cancel(&mut self, key: &OrderKey) {
        let Some(order) = self.engine.order(&self.account, key).cloned() else { return };
        if order.status.is_open() && order.status != OrderStatus::PendingCancel {
            self.cancels.push(order.id.clone());
        }
        self.touched.push(order);
    }

    /// Whether an order was for a day that is over.
    fn lapsed(&self, order: &Order, session: Option<MarketSession>, today: i64) -> bool {
        let request = &order.request;
        let was_in_market = order.status.is_open() && !matches!(order.status, OrderStatus::Accepted | OrderStatus::Held);
        let for_a_day = request.time_in_force == TimeInForce::Day && !request.symbol.is_pair();
        was_in_market && for_a_day && (self.days.of(order.times.updated) < today || session == Some(MarketSession::Closed))
    }

    #[cfg(test)]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// What the account was worth when prices were last written down, which is nearer to the opening than what is shown now.
fn equity_then(engine: &Engine, saved: &Saved) -> Decimal {
    let shown = |position: &Position| engine.book(position.symbol.as_str()).and_then(|book| book.mark());
    let value = |position: &Position| Position { mark: position.mark.or_else(|| shown(position)), ..position.clone() }.market_value();
    saved.purse.cash + saved.positions.iter().map(value).sum::<Decimal>()
}
