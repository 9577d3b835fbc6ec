//! Lists of orders and executions, page by page.
//!
//! Several orders can have come in the same instant, so pages are told apart by the last order of the one before; where
//! the venue takes no such cursor, they overlap and what comes twice is left out. Must not know what the lists are for.

use std::collections::{HashMap, HashSet};

use super::super::orders::{Cancelled, Execution, Listed, read_cancelled, read_executions, read_orders};
use super::{AlpacaBroker, Urgency, Verb, encode};
use crate::events::OrderKey;
use crate::exchanges::{BrokerError, CancelOutcome};
use crate::model::{ClientOrderId, Fill, Order, Symbol, Timestamp, VenueOrderId};

/// Orders of a page, the most that the venue gives.
const ORDERS: usize = 500;
/// Entries of a page of the ledger, the most that the venue gives.
const ENTRIES: usize = 100;
/// Up to so many orders are looked up one by one, which shows each as it is now.
const ONE_BY_ONE: usize = 2;
/// Pages with cursors overlap by so much where the venue knows no cursor.
const OVERLAP_NANOS: i64 = 1_000;

impl AlpacaBroker {
    pub(super) fn list_open(&self, symbol: Option<&Symbol>, urgency: Urgency) -> Result<Vec<Order>, BrokerError> {
        let of_symbol = symbol.map(|symbol| format!("&symbols={}", encode(symbol.as_str()))).unwrap_or_default();
        let listed = self.pages(&format!("status=open&nested=false{of_symbol}"), None, urgency)?;
        let mut orders = self.learn_all(listed);
        orders.retain(|order| order.status.is_open() && symbol.is_none_or(|symbol| order.request.symbol == *symbol));
        Ok(orders)
    }

    /// Families come rolled up, so that each leg is known by its parent; they are told one by one all the same.
    pub(super) fn list_since(&self, since: Timestamp) -> Result<Vec<Order>, BrokerError> {
        let listed = self.pages("status=all&nested=true", Some(since), Urgency::Sweep)?;
        let mut orders = self.learn_all(listed);
        orders.retain(|order| order.times.submitted > since);
        orders.sort_by_key(|order| order.times.submitted);
        Ok(orders)
    }

    pub(super) fn look_up_many(&self, keys: &[OrderKey]) -> Result<Vec<Option<Order>>, BrokerError> {
        let mut found: HashMap<OrderKey, Order> = HashMap::new();
        if keys.len() > ONE_BY_ONE {
            for order in self.latest(Urgency::Question)? {
                found.insert(OrderKey::Client(order.request.client_order_id.clone()), order.clone());
                found.insert(OrderKey::Venue(order.id.clone()), order);
            }
        }
        keys.iter().map(|key| found.get(key).map_or_else(|| self.look_up(key, Urgency::Question), |order| Ok(Some(order.clone())))).collect()
    }

    /// The last page of all orders.
    fn latest(&self, urgency: Urgency) -> Result<Vec<Order>, BrokerError> {
        let page = self.list(&format!("/v2/orders?status=all&nested=true&direction=desc&limit={ORDERS}"), urgency)?;
        let listed = read_orders(&page.body).map_err(|error| self.unreadable("the list of orders", error))?;
        Ok(self.learn_all(listed))
    }

    /// Everything that a list holds, oldest first.
    fn pages(&self, filter: &str, since: Option<Timestamp>, urgency: Urgency) -> Result<Vec<Listed>, BrokerError> {
        let (mut all, mut seen, mut cursors) = (Vec::new(), HashSet::new(), true);
        let from = |at: Timestamp| format!("&after={}", encode(&at.to_string()));
        let mut begin = since.map(from).unwrap_or_default();
        let mut last: Option<(String, Option<Timestamp>)> = None;
        loop {
            let page = self.list(&format!("/v2/orders?{filter}&direction=asc&limit={ORDERS}{begin}"), urgency);
            let on_cursor = last.is_some() && cursors;
            let listed = match page {
                Ok(page) => read_orders(&page.body).map_err(|error| self.unreadable("the list of orders", error))?,
                Err(BrokerError::Rejected { .. } | BrokerError::UnknownOrder(_)) if on_cursor => Vec::new(),
                Err(error) => return Err(error),
            };
            let went_back = |(_, at): &(String, Option<Timestamp>)| listed.first().is_none_or(|first| first.submitted < *at || seen.contains(&first.id));
            if let Some((_, at)) = last.as_ref().filter(|last| on_cursor && went_back(last)) {
                // Nothing after the cursor, or a venue that does not know what one is.
                cursors = false;
                begin = at.map(|at| from(Timestamp::from_nanos(at.nanos().saturating_sub(OVERLAP_NANOS)))).unwrap_or_default();
                continue;
            }
            let (full, known) = (listed.len() >= ORDERS, seen.len());
            let end = listed.last().map(|order| (order.id.clone(), order.submitted));
            all.extend(listed.into_iter().filter(|order| seen.insert(order.id.clone())));
            if !full || seen.len() == known {
                return Ok(all);
            }
            begin = match &end {
                Some((id, _)) if cursors && !id.is_empty() => format!("&after_order_id={}", encode(id)),
                Some((_, Some(at))) => from(Timestamp::from_nanos(at.nanos().saturating_sub(OVERLAP_NANOS))),
                _ => return Ok(all),
            };
            last = end;
        }
    }

    /// Each order, then what hangs on it; what cannot stand in our types is left out.
    fn learn_all(&self, listed: Vec<Listed>) -> Vec<Order> {
        let mut orders = Vec::with_capacity(listed.len());
        for Listed { id, order, legs, .. } in listed {
            match order {
                Ok(order) => orders.push(self.learn(order)),
                Err(error) => log::warn!("{}: the order {id} is left out: {error}", self.of.broker),
            }
            orders.extend(self.learn_all(legs));
        }
        orders
    }

    pub(super) fn end_all(&self) -> Result<Vec<CancelOutcome>, BrokerError> {
        let page = self.ask(Verb::Delete, "/v2/orders", None, Urgency::Cancel)?;
        if page.body.trim().is_empty() {
            return Ok(Vec::new());
        }
        let ended = read_cancelled(&page.body).map_err(|error| BrokerError::OutcomeUnknown {
            broker: self.of.broker.to_string(),
            cause: format!("the list of what was cancelled cannot be read: {error}"),
        })?;
        if ended.iter().any(|one| self.names.lock().known(&one.id).is_none())
            && let Err(error) = self.latest(Urgency::Cancel)
        {
            log::warn!("{}: the orders that were cancelled are told without their names: {error}", self.of.broker);
        }
        Ok(ended.into_iter().filter_map(|one| self.outcome(one)).collect())
    }

    /// An order whose name is not to be had is told by the venue's.
    fn outcome(&self, one: Cancelled) -> Option<CancelOutcome> {
        let known = self.names.lock().known(&one.id).map(|known| known.client.clone());
        let client_order_id = known.or_else(|| one.id.as_str().parse().ok())?;
        let result = match one.status {
            200..=299 => Ok(()),
            404 => Err(BrokerError::UnknownOrder(one.id.to_string())),
            status => {
                let reason = one.reason.unwrap_or_else(|| format!("the answer is {status}"));
                Err(BrokerError::Rejected { code: one.code.or_else(|| Some(status.to_string())), reason })
            }
        };
        Some(CancelOutcome { order: one.id, client_order_id, result })
    }

    pub(super) fn list_fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        let first = format!("/v2/account/activities/FILL?direction=asc&page_size={ENTRIES}&after={}", encode(&since.to_string()));
        let mut executions: Vec<Execution> = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let next = token.as_ref().map(|token| format!("&page_token={}", encode(token))).unwrap_or_default();
            let page = self.list(&format!("{first}{next}"), Urgency::Sweep)?;
            let entries = read_executions(&page.body).map_err(|error| self.unreadable("the list of executions", error))?;
            let full = entries.len() >= ENTRIES;
            let end = entries.last().map(|(token, _)| token.clone()).filter(|token| !token.is_empty());
            for (token, execution) in entries {
                match execution {
                    Ok(execution) if execution.at > since => executions.push(execution),
                    Ok(_) => {}
                    Err(error) => log::warn!("{}: the entry {token} of the ledger is left out: {error}", self.of.broker),
                }
            }
            if !full || end.is_none() || end == token || whole_page(&executions, limit).is_some() {
                break;
            }
            token = end;
        }
        executions.truncate(whole_page(&executions, limit).unwrap_or(executions.len()));
        self.named(executions)
    }

    /// The ledger knows orders by the venue's name alone.
    fn named(&self, executions: Vec<Execution>) -> Result<Vec<Fill>, BrokerError> {
        let known = |id: &VenueOrderId| self.names.lock().known(id).map(|known| (known.client.clone(), known.symbol.clone()));
        if executions.iter().any(|execution| known(&execution.order_id).is_none()) {
            self.latest(Urgency::Sweep)?;
        }
        let mut gone: HashSet<VenueOrderId> = HashSet::new();
        let mut fills = Vec::with_capacity(executions.len());
        for execution in executions {
            let names: Option<(ClientOrderId, Symbol)> = match known(&execution.order_id) {
                Some(names) => Some(names),
                None if gone.contains(&execution.order_id) => None,
                None => {
                    let order = self.look_up(&OrderKey::Venue(execution.order_id.clone()), Urgency::Sweep)?;
                    order.map(|order| (order.request.client_order_id, order.request.symbol))
                }
            };
            match names {
                Some((client, symbol)) => fills.push(Fill { symbol, ..execution.named(client) }),
                None if gone.insert(execution.order_id.clone()) => {
                    log::warn!("{}: the executions of the order {} are left out: the venue does not know it any more", self.of.broker, execution.order_id);
                }
                None => {}
            }
        }
        Ok(fills)
    }
}

/// How many of these make a page of about `limit` that ends between two instants; `None` while that cannot be told.
fn whole_page(executions: &[Execution], limit: usize) -> Option<usize> {
    let first = limit.max(1);
    let is_end = |at: &usize| executions.get(at - 1).map(|last| last.at) != executions.get(*at).map(|next| next.at);
    (first..executions.len()).find(is_end)
}
