//! A venue for tests that has what the test gave it.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam_channel::Receiver;
use parking_lot::{Mutex, MutexGuard};
use rust_decimal::Decimal;

use super::{Broker, BrokerError, BrokerMetrics, CancelOutcome, Capabilities, Connection, Replayed};
use crate::events::{AccountRef, OrderKey, OrderUpdate};
use crate::model::{AccountInfo, Balance, Fill, Modification, Order, OrderRequest, Position, Symbol, TimeInForce, Timestamp};
use crate::risk::Approved;

/// What a venue has, and how it is.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub orders: Vec<Order>,
    pub fills: Vec<Fill>,
    pub replay: Option<Vec<OrderUpdate>>,
    /// Updates that are replayed in one go.
    pub piece: usize,
    pub positions: Vec<(String, Decimal)>,
    /// Ended orders cannot be listed.
    pub mute: bool,
    pub unreadable: BTreeSet<String>,
    pub asked: Vec<String>,
    /// Answers left before the venue is away.
    pub left: Option<usize>,
}

/// Answers from what it has, and takes nothing.
#[derive(Debug)]
pub(crate) struct Venue {
    of: AccountRef,
    held: Mutex<Held>,
    pub up: AtomicBool,
    /// Lists of orders are not answered before this ends.
    hangs: Option<Receiver<()>>,
    capabilities: Capabilities,
    metrics: BrokerMetrics,
}

impl Venue {
    pub(crate) fn new(of: AccountRef, capabilities: Capabilities) -> Venue {
        let held = Mutex::new(Held { piece: 1_000, ..Held::default() });
        Venue { of, held, up: AtomicBool::new(true), hangs: None, capabilities, metrics: BrokerMetrics::new(Instant::now()) }
    }

    /// One that answers no list of orders before this ends.
    pub(crate) fn hanging(self, until: Receiver<()>) -> Venue {
        Venue { hangs: Some(until), ..self }
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }

    fn ask(&self, what: &str) -> Result<MutexGuard<'_, Held>, BrokerError> {
        let mut held = self.held.lock();
        held.asked.push(what.to_owned());
        match &mut held.left {
            Some(0) => return Err(BrokerError::NotConnected { broker: "alpaca".into(), cause: "gone".into() }),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(held)
    }
}

fn refused() -> BrokerError {
    BrokerError::Unavailable { broker: "alpaca".into(), cause: "unreadable".into() }
}

impl Broker for Venue {
    fn of(&self) -> AccountRef {
        self.of.clone()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn connect(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn disconnect(&self) {}

    fn connection(&self) -> Connection {
        if self.up.load(Relaxed) { Connection::Connected } else { Connection::Degraded }
    }

    fn place(&self, _: Approved<OrderRequest>) -> Result<Order, BrokerError> {
        Err(refused())
    }

    fn modify(&self, _: &OrderKey, _: Approved<Modification>) -> Result<Order, BrokerError> {
        Err(refused())
    }

    fn cancel(&self, _: &OrderKey) -> Result<(), BrokerError> {
        Err(refused())
    }

    fn cancel_all(&self, _: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError> {
        Err(refused())
    }

    fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        let held = self.ask("open")?;
        Ok(held.orders.iter().filter(|order| order.status.is_open()).cloned().collect())
    }

    fn order(&self, key: &OrderKey) -> Result<Option<Order>, BrokerError> {
        let held = self.ask("order")?;
        let OrderKey::Venue(id) = key else { return Ok(None) };
        if held.unreadable.contains(id.as_str()) {
            return Err(refused());
        }
        Ok(held.orders.iter().find(|order| order.id == *id).cloned())
    }

    fn orders_since(&self, since: Timestamp) -> Result<Option<Vec<Order>>, BrokerError> {
        if let Some(end) = &self.hangs {
            let _ = end.recv();
        }
        let held = self.ask("since")?;
        Ok((!held.mute).then(|| held.orders.iter().filter(|order| order.times.submitted > since).cloned().collect()))
    }

    fn replay(&self, since: Timestamp, until: Timestamp) -> Result<Option<Replayed>, BrokerError> {
        let held = self.ask("replay")?;
        let Some(all) = &held.replay else { return Ok(None) };
        let mut updates: Vec<OrderUpdate> = all.iter().filter(|update| update.at >= since).cloned().collect();
        let to = updates.get(held.piece).map_or(until, |next| next.at);
        updates.truncate(held.piece);
        Ok(Some(Replayed { updates, to }))
    }

    fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        let held = self.ask("fills")?;
        let mut fills: Vec<Fill> = held.fills.iter().filter(|fill| fill.at > since).cloned().collect();
        fills.sort_by_key(|fill| fill.at);
        fills.truncate(limit);
        Ok(fills)
    }

    fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        let held = self.ask("positions")?;
        let position = |(symbol, quantity): &(String, Decimal)| Position { quantity: *quantity, ..Position::flat(symbol.parse().unwrap()) };
        Ok(held.positions.iter().map(position).collect())
    }

    fn account(&self) -> Result<AccountInfo, BrokerError> {
        Err(refused())
    }

    fn balances(&self) -> Result<Vec<Balance>, BrokerError> {
        Ok(Vec::new())
    }

    fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }
}

impl Capabilities {
    /// A broker that can do everything that is asked of a venue far away.
    pub(crate) fn all(broker: &str) -> Capabilities {
        Capabilities {
            order_types: vec!["market"],
            times_in_force: TimeInForce::ALL.to_vec(),
            classes: vec!["simple"],
            modify: true,
            cancel_all: true,
            extended_hours: true,
            notional: true,
            fractional: true,
            short_selling: true,
            fills: true,
            unique_client_ids: true,
            ..Capabilities::none(broker)
        }
    }

    pub(crate) fn none(broker: &str) -> Capabilities {
        Capabilities {
            broker: broker.to_owned(),
            order_types: Vec::new(),
            times_in_force: Vec::new(),
            classes: Vec::new(),
            modify: false,
            cancel_all: false,
            extended_hours: false,
            notional: false,
            fractional: false,
            short_selling: false,
            fills: false,
            batch_orders: false,
            local: false,
            unique_client_ids: false,
            live: false,
        }
    }
}
