//! The engine and the file that it is kept in: what happened is in the file before anybody hears of it.
//!
//! Must not know threads, locks or who listens.

use std::collections::HashMap;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::refusal;
use super::settings::PaperSettings;
use super::sights::Sights;
use crate::events::{Event, MarketSight, OrderKey};
use crate::exchanges::paper::engine::{AccountState, Engine, Instrument};
use crate::exchanges::paper::store::{Change, Checkpointer, Opening, Purse, Saved, Store, StoreError};
use crate::exchanges::{BrokerError, CancelOutcome};
use crate::model::{
    AccountId, AccountInfo, Balance, ClientOrderId, ExchangeName, Fill, MarketSession, Modification, Order, OrderRequest, OrderType, Position, Symbol,
    Timestamp, VenueOrderId,
};

/// Where the stop of a trailing order stands, and the best price that it has seen.
type Trailing = (Option<Decimal>, Option<Decimal>);

#[derive(Debug)]
pub(super) struct Venue {
    broker: ExchangeName,
    account: AccountId,
    pub engine: Engine,
    store: Store,
    /// Whether the engine knows every order that the file knows.
    complete: bool,
    /// Orders that were changed by the call under way and may not stand in an event.
    touched: Vec<Arc<Order>>,
    /// What the file says of the money.
    purse: Purse,
    /// What the file says of open trailing orders: their stops move without an event.
    trailing: HashMap<VenueOrderId, Trailing>,
}

impl Venue {
    /// Opens the file and goes on where it ends.
    pub fn open(settings: &PaperSettings, sights: &Sights, now: Timestamp) -> Result<Venue, StoreError> {
        let opening = Opening { account: settings.account.clone(), currency: settings.currency.clone(), cash: settings.balance, at: now };
        let store = Store::open(&settings.file, &opening)?;
        let saved = store.load()?;
        let mut venue = Venue {
            broker: settings.name.clone(),
            account: settings.account.clone(),
            engine: Engine::new(settings.engine(store.generation()), now),
            store,
            complete: saved.complete,
            touched: Vec::new(),
            purse: saved.purse.clone(),
            trailing: HashMap::new(),
        };
        venue.restore(settings, sights, saved, now);
        Ok(venue)
    }

    /// Throws away what the engine believes, for what the file says.
    pub fn reload(&mut self, settings: &PaperSettings, sights: &Sights, now: Timestamp) -> Result<(), StoreError> {
        self.store.renew()?;
        let saved = self.store.load()?;
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
        if let Some(session) = sights.session() {
            engine.set_session(session, start);
        }
        // Before the orders come back: a trade that was seen once fills nobody twice.
        for (at, symbol, sight) in seen {
            engine.see(symbol, &sight, at);
        }
        self.complete = saved.complete;
        self.purse = saved.purse.clone();
        self.trailing = saved.orders.iter().filter(|order| trails(order)).map(|order| (order.id.clone(), (order.trailing_stop, order.high_water))).collect();
        self.touched.clear();
        let state = AccountState {
            id: self.account.clone(),
            currency: saved.currency,
            cash: saved.purse.cash,
            realised: saved.purse.realised,
            fees: saved.purse.fees,
            equity_at_open: saved.purse.equity_at_open,
            positions: saved.positions,
            orders: saved.orders.into_iter().map(std::sync::Arc::new).collect(),
            fills: saved.fills,
        };
        engine.restore(state, now);
        self.engine = engine;
    }

    /// Writes down what happened since the last time, and only then gives the events of it away.
    pub fn keep(&mut self) -> Result<Vec<Event>, StoreError> {
        let events = self.engine.take_events();
        let mut change = Change::default();
        let mut places: HashMap<VenueOrderId, usize> = HashMap::new();
        let mut put = |order: Arc<Order>| match places.get(&order.id) {
            Some(place) => change.orders[*place] = order,
            None => {
                places.insert(order.id.clone(), change.orders.len());
                change.orders.push(order);
            }
        };
        let touched = std::mem::take(&mut self.touched);
        let in_events = events.iter().filter_map(|event| if let Event::OrderUpdated(update) = event { Some(&update.order) } else { None });
        touched.iter().chain(in_events).for_each(|order| put(Arc::clone(self.known(&order.id).unwrap_or(order))));
        for (id, kept) in &self.trailing {
            if let Some(order) = self.known(id).filter(|order| (order.trailing_stop, order.high_water) != *kept) {
                put(Arc::clone(order));
            }
        }
        for event in &events {
            match event {
                Event::Filled(filled) => change.fills.push(filled.fill.clone()),
                Event::PositionChanged(changed) if !change.positions.iter().any(|(symbol, _)| *symbol == changed.symbol) => {
                    change.positions.push((changed.symbol.clone(), self.engine.position(&self.account, changed.symbol.as_str())));
                }
                _ => {}
            }
        }
        let purse = self.purse();
        change.purse = purse.filter(|purse| *purse != self.purse);
        if !change.is_empty() {
            self.store.save(&change)?;
        }
        self.remember(change);
        Ok(events)
    }

    fn remember(&mut self, change: Change) {
        for order in change.orders {
            if trails(&order) {
                self.trailing.insert(order.id.clone(), (order.trailing_stop, order.high_water));
            } else if !self.trailing.is_empty() {
                self.trailing.remove(&order.id);
            }
        }
        if let Some(purse) = change.purse {
            self.purse = purse;
        }
    }

    fn purse(&self) -> Option<Purse> {
        let account = self.engine.account(&self.account)?;
        Some(Purse { cash: account.cash, realised: account.realised, fees: account.fees, equity_at_open: account.equity_at_open })
    }

    fn known(&self, id: &VenueOrderId) -> Option<&Arc<Order>> {
        self.engine.order(&self.account, &OrderKey::Venue(id.clone()))
    }

    pub fn see(&mut self, symbol: &Symbol, seen: &MarketSight, now: Timestamp) {
        if let MarketSight::Session(session) = seen {
            return self.set_session(*session, now);
        }
        if self.engine.instrument(symbol.as_str()).is_none() {
            self.engine.list(Instrument::of(symbol));
        }
        self.engine.see(symbol, seen, now);
    }

    pub fn set_session(&mut self, session: MarketSession, now: Timestamp) {
        self.engine.set_session(session, now);
    }

    pub fn place(&mut self, request: OrderRequest, now: Timestamp) -> Result<Order, BrokerError> {
        let name = request.client_order_id.clone();
        self.unused(&name)?;
        let order = self.engine.place(&self.account, request, now).map_err(|refused| refusal::of_placement(refused, Some(&name)))?;
        self.touch(&order);
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
        if let Some(replaced) = self.engine.order(&self.account, key).cloned() {
            self.touch(&replaced);
        }
        self.touch(&order);
        Ok(Order::clone(&order))
    }

    pub fn cancel(&mut self, key: &OrderKey, now: Timestamp) -> Result<(), BrokerError> {
        let wished = self.engine.cancel(&self.account, key, now);
        wished.map_err(|refused| self.refused(refusal::of_order(refused, key), key))?;
        if let Some(order) = self.engine.order(&self.account, key).cloned() {
            self.touch(&order);
        }
        Ok(())
    }

    pub fn cancel_all(&mut self, symbol: Option<&Symbol>, now: Timestamp) -> Vec<CancelOutcome> {
        let outcomes = self.engine.cancel_all(&self.account, symbol, now);
        for (order, ..) in &outcomes {
            self.touched.extend(self.known(order).cloned());
        }
        let outcome = |(order, client_order_id, wished): (VenueOrderId, ClientOrderId, Result<(), _>)| {
            let key = OrderKey::Venue(order.clone());
            CancelOutcome { order, client_order_id, result: wished.map_err(|refused| refusal::of_order(refused, &key)) }
        };
        outcomes.into_iter().map(outcome).collect()
    }

    pub fn open_orders(&self) -> Vec<Order> {
        self.engine.orders(&self.account).map(|(_, order)| order).filter(|order| order.status.is_open()).map(|order| Order::clone(order)).collect()
    }

    pub fn order(&self, key: &OrderKey) -> Result<Option<Order>, BrokerError> {
        match self.engine.order(&self.account, key) {
            Some(order) => Ok(Some(Order::clone(order))),
            None if self.complete => Ok(None),
            None => self.store.order(key).map_err(|cause| refusal::of_store(&self.broker, &cause)),
        }
    }

    pub fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        self.store.fills(since, limit).map_err(|cause| refusal::of_store(&self.broker, &cause))
    }

    pub fn positions(&self) -> Vec<Position> {
        self.engine.positions(&self.account).into_iter().filter(|position| !position.quantity.is_zero()).collect()
    }

    pub fn account(&self) -> Option<AccountInfo> {
        self.engine.account(&self.account)
    }

    /// The account's money, and the units of pairs that are held.
    pub fn balances(&self) -> Vec<Balance> {
        let Some(account) = self.engine.account(&self.account) else { return Vec::new() };
        let money = Balance { available: account.buying_power.min(account.cash).max(Decimal::ZERO), total: account.cash, currency: account.currency };
        let units = self.engine.positions(&self.account).into_iter().filter(|position| !position.quantity.is_zero()).filter_map(|position| {
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

    fn touch(&mut self, order: &Arc<Order>) {
        let legs: Vec<Arc<Order>> = order.legs.iter().filter_map(|leg| self.known(leg).cloned()).collect();
        self.touched.push(Arc::clone(order));
        self.touched.extend(legs);
    }

    #[cfg(test)]
    pub fn store(&self) -> &Store {
        &self.store
    }
}

fn trails(order: &Order) -> bool {
    matches!(order.request.kind, OrderType::TrailingStop { .. }) && order.status.is_open()
}
