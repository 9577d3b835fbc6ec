//! What an account can be asked for, as every broker can.
//!
//! Must not know how a step is done.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::venue::Venue;
use super::{PaperBroker, refusal};
use crate::events::{AccountRef, OrderKey};
use crate::exchanges::{Broker, BrokerError, BrokerMetrics, CancelOutcome, Capabilities, Connection};
use crate::model::{AccountInfo, Balance, Fill, Modification, Order, OrderRequest, Position, Symbol, Timestamp};
use crate::risk::Approved;

impl PaperBroker {
    fn timed_place(&self, request: OrderRequest) -> Result<Order, BrokerError> {
        self.capabilities.check(&request)?;
        let broken_off =
            || BrokerError::OutcomeUnknown { broker: self.settings.name.to_string(), cause: "the call that it was placed with broke off".to_owned() };
        self.orders.ask(request, |turn| self.place_waiting(turn)).unwrap_or_else(|| Err(broken_off()))
    }

    fn open(&self) -> Result<(), BrokerError> {
        let mut held = self.held.lock();
        let now = self.begin(&mut held);
        if held.venue.is_some() {
            return self.recover(&mut held, now);
        }
        let venue = Venue::open(&self.settings, &held.sights, now).map_err(|cause| refusal::of_store(&self.settings.name, &cause))?;
        let checkpointer = venue.checkpointer().map_err(|cause| refusal::of_store(&self.settings.name, &cause))?;
        *self.checkpointer.lock() = Some(checkpointer);
        held.time.not_before(venue.began);
        held.venue = Some(venue);
        self.note(&held);
        self.metrics.connected(Instant::now());
        self.settle(&mut held, now)
    }
}

impl Broker for PaperBroker {
    fn of(&self) -> AccountRef {
        AccountRef { broker: self.settings.name.clone(), account: self.settings.account.clone() }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn connect(&self) -> Result<(), BrokerError> {
        let opened = self.open();
        self.outbox.carry(&self.bus);
        opened.inspect_err(|error| self.metrics.failed(error))
    }

    fn disconnect(&self) {
        let mut held = self.held.lock();
        let now = self.begin(&mut held);
        if let Some(Err(cause)) = held.usable().map(|venue| venue.keep_prices(now)) {
            log::warn!("the last prices of the paper account {} are not kept: {cause}", self.settings.account);
        }
        let venue = held.venue.take();
        (held.trouble, held.due) = (None, None);
        self.note(&held);
        let checkpointer = self.checkpointer.lock().take();
        // Closed before anybody can open it again.
        drop((checkpointer, venue));
        drop(held);
        self.metrics.disconnected(Instant::now());
        self.outbox.carry(&self.bus);
    }

    fn connection(&self) -> Connection {
        let state = self.state.load(Ordering::Relaxed);
        let known = [Connection::Connected, Connection::Degraded];
        known.into_iter().find(|known| *known as u8 == state).unwrap_or(Connection::Disconnected)
    }

    fn place(&self, order: Approved<OrderRequest>) -> Result<Order, BrokerError> {
        let began = Instant::now();
        let placed = self.timed_place(order.into_inner());
        self.metrics.answered(&placed, began.elapsed());
        placed
    }

    fn modify(&self, order: &OrderKey, change: Approved<Modification>) -> Result<Order, BrokerError> {
        self.step(|venue, now| venue.modify(order, change.into_inner(), now))
    }

    fn cancel(&self, order: &OrderKey) -> Result<(), BrokerError> {
        let began = Instant::now();
        let cancelled = self.step(|venue, now| venue.cancel(order, now));
        self.metrics.cancellation.observe(began.elapsed());
        cancelled
    }

    fn cancel_all(&self, symbol: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError> {
        self.step(|venue, now| Ok(venue.cancel_all(symbol, now)))
    }

    fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.step(|venue, _| Ok(venue.open_orders()))
    }

    fn order(&self, order: &OrderKey) -> Result<Option<Order>, BrokerError> {
        self.step(|venue, _| venue.order(order))
    }

    fn orders(&self, orders: &[OrderKey]) -> Result<Vec<Option<Order>>, BrokerError> {
        self.step(|venue, _| orders.iter().map(|order| venue.order(order)).collect())
    }

    fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        self.step(|venue, _| venue.fills(since, limit))
    }

    fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        self.step(|venue, _| Ok(venue.positions()))
    }

    fn account(&self) -> Result<AccountInfo, BrokerError> {
        self.step(|venue, _| venue.account().ok_or_else(|| self.not_connected()))
    }

    fn balances(&self) -> Result<Vec<Balance>, BrokerError> {
        self.step(|venue, _| Ok(venue.balances()))
    }

    fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }
}
