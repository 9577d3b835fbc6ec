//! Which orders a look is about: listed where the venue lists them, looked up one by one where it does not.
//!
//! Must not know what of them is news.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{MARGIN, Pass, PassError, Sought, back};
use crate::desk::reconcile::{Findings, Repair};
use crate::events::OrderKey;
use crate::exchanges::BrokerError;
use crate::journal::{JournalError, Known};
use crate::model::{Order, Timestamp, VenueOrderId};

/// Open orders that are asked for one by one rather than as a list.
const ONE_BY_ONE: usize = 5;

/// Orders looked up one by one in one look: the venue's budget of requests is for orders first.
const LOOK_UPS: usize = 20;
/// So many failures in a row say that it is not the order.
const FAILURES: usize = 3;
/// How far back a list may go that is asked for in place of many orders.
const LONG_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// An order that the venue had taken, and does not know twice so far apart, has ended.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// Orders from several lists, each once.
#[derive(Debug, Default)]
struct Found {
    orders: Vec<Order>,
    seen: BTreeSet<VenueOrderId>,
    /// Lists that were read.
    listed: usize,
}

impl Found {
    fn add(&mut self, orders: Vec<Order>) {
        self.listed += 1;
        self.orders.extend(orders.into_iter().filter(|order| self.seen.insert(order.id.clone())));
    }

    fn missing(&self, wanted: &BTreeSet<VenueOrderId>) -> Vec<VenueOrderId> {
        wanted.difference(&self.seen).cloned().collect()
    }
}

impl Pass {
    /// Every order that may have changed: those of the window, those that we believe open, and those that miss an execution.
    pub(super) fn orders(&mut self, sought: Sought, local: &[Known], gaps: &BTreeSet<String>, findings: &mut Findings) -> Result<Vec<Order>, PassError> {
        let mut found = Found::default();
        let mut wanted: BTreeSet<VenueOrderId> = local.iter().map(|known| &known.id).chain(gaps).filter_map(|id| id.parse().ok()).collect();
        match self.broker().orders_since(sought.since)? {
            Some(orders) => found.add(orders),
            None => wanted.extend(self.filled_since(sought.since)?),
        }
        if found.listed == 0 || sought.whole || found.missing(&wanted).len() > ONE_BY_ONE {
            found.add(self.broker().open_orders()?);
        }
        let mut missing = found.missing(&wanted);
        if missing.len() > LOOK_UPS {
            let submitted = local.iter().filter(|known| missing.iter().any(|id| id.as_str() == known.id)).map(|known| known.submitted);
            let oldest = submitted.filter(|submitted| *submitted > back(sought.since, LONG_WINDOW)).min();
            if let Some(orders) = oldest.map(|oldest| self.broker().orders_since(back(oldest, MARGIN))).transpose()?.flatten() {
                found.add(orders.into_iter().filter(|order| wanted.contains(&order.id)).collect());
                missing = found.missing(&wanted);
            }
        }
        if missing.len() > LOOK_UPS {
            let turn = self.turn % missing.len();
            missing.rotate_left(turn);
            missing.truncate(LOOK_UPS);
            self.turn = turn + LOOK_UPS;
        }
        for (id, order) in self.look_up(missing)? {
            match order {
                Some(order) => found.add(vec![order]),
                None => self.is_gone(&id, sought, findings)?,
            }
        }
        for order in &found.orders {
            self.gone.remove(&order.id);
        }
        Ok(found.orders)
    }

    /// Of a venue that lists no ended orders: those that were executed, and not as we know it.
    fn filled_since(&self, since: Timestamp) -> Result<BTreeSet<VenueOrderId>, PassError> {
        let mut orders = BTreeSet::new();
        if !self.seat.broker.capabilities().fills {
            return Ok(orders);
        }
        let (journal, account) = (self.ledger.journal(), &self.seat.of.account);
        for fill in self.pages_of_fills(since)?.0 {
            let known = journal.executions(account, None, Some(fill.order_id.as_str()))?;
            if !known.iter().any(|done| done.execution_id == fill.execution_id.as_str()) {
                orders.insert(fill.order_id);
            }
        }
        Ok(orders)
    }

    /// An order that cannot be looked up costs nobody the others; it is tried again the next time.
    fn look_up(&mut self, ids: Vec<VenueOrderId>) -> Result<Vec<(VenueOrderId, Option<Order>)>, BrokerError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<OrderKey> = ids.iter().cloned().map(OrderKey::Venue).collect();
        match self.broker().orders(&keys) {
            Ok(orders) => return Ok(ids.into_iter().zip(orders).collect()),
            Err(error @ (BrokerError::NotConnected { .. } | BrokerError::RateLimited { .. } | BrokerError::Unauthorised { .. })) => return Err(error),
            Err(_) => {}
        }
        let (mut found, mut failures) = (Vec::new(), 0);
        for (id, key) in ids.into_iter().zip(&keys) {
            match self.broker().order(key) {
                Ok(order) => {
                    failures = 0;
                    self.failing.remove(&id);
                    found.push((id, order));
                }
                Err(error) => {
                    failures += 1;
                    if self.failing.insert(id.clone()) {
                        log::warn!("account {}: the order {id} cannot be looked up: {error}", self.seat.account_name);
                    }
                }
            }
            if failures == FAILURES {
                break;
            }
        }
        Ok(found)
    }

    /// The venue does not know an order that it had taken. Said once; the second time the order ends in our books as well, or
    /// bots would wait for it for ever.
    fn is_gone(&mut self, id: &VenueOrderId, sought: Sought, findings: &mut Findings) -> Result<(), JournalError> {
        let account = &self.seat.account_name;
        match self.gone.get(id) {
            _ if sought.dry => {}
            None => {
                log::error!("account {account}: the venue does not know the order {id} any more, which it had taken; look at the account");
                self.gone.insert(id.clone(), sought.at);
                findings.again_soon = true;
            }
            Some(since) if sought.at.saturating_duration_since(*since) < GONE_AFTER => findings.again_soon = true,
            Some(_) => {
                if let Some(update) = self.ledger.end_unknown(&self.seat.of, id)? {
                    log::error!("account {account}: the order {id} counts as canceled now, for the venue does not know it any more");
                    findings.repaired.push(Repair::of(&update));
                }
            }
        }
        Ok(())
    }
}
