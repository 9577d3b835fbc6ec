//! The executions that a look needs, page by page.
//!
//! Must not know what is made of them.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::{MARGIN, Pass, PassError, back};
use crate::events::OrderKey;
use crate::exchanges::BrokerError;
use crate::model::{Fill, Order, Timestamp, VenueOrderId};

/// Executions asked for at once.
const FILLS: usize = 100;
/// Pages of executions in one look: the next one reads what lies behind them.
const FILL_PAGES: usize = 500;

/// Executions by order, and whether they were read to the end.
#[derive(Debug)]
pub(super) struct Executions {
    pub by_order: BTreeMap<VenueOrderId, Vec<Fill>>,
    pub to_the_end: bool,
}

impl Pass {
    /// Executions of the orders that are filled further than we know, by order.
    pub(super) fn fills_for(&self, changed: &[Order], gaps: &BTreeSet<String>) -> Result<Executions, PassError> {
        let mut found = Executions { by_order: BTreeMap::new(), to_the_end: true };
        if !self.seat.broker.capabilities().fills {
            return Ok(found);
        }
        let (journal, account) = (self.ledger.journal(), &self.seat.of.account);
        let mut from: Option<Timestamp> = None;
        for order in changed {
            let known = journal.order(account, &OrderKey::Venue(order.id.clone()))?;
            let gap = gaps.contains(order.id.as_str()) || known.as_ref().is_some_and(|known| order.filled < known.filled);
            if gap || order.filled > known.as_ref().map_or(Decimal::ZERO, |known| known.filled) {
                // Nothing was filled before it was there, nor, without a gap, before we last heard of it: an order may be months old.
                let start = known.filter(|_| !gap).map_or(order.times.submitted, |known| known.updated.max(order.times.submitted));
                from = Some(from.map_or(start, |earliest| earliest.min(start)));
            }
        }
        let Some(from) = from else { return Ok(found) };
        let wanted: BTreeSet<&VenueOrderId> = changed.iter().map(|order| &order.id).collect();
        let (fills, to_the_end) = self.pages_of_fills(back(from, MARGIN))?;
        for fill in fills.into_iter().filter(|fill| wanted.contains(&fill.order_id)) {
            found.by_order.entry(fill.order_id.clone()).or_default().push(fill);
        }
        Ok(Executions { to_the_end, ..found })
    }

    /// Executions from `from` on, and whether those are all: what the budget of requests leaves is taken.
    pub(super) fn pages_of_fills(&self, mut from: Timestamp) -> Result<(Vec<Fill>, bool), BrokerError> {
        let mut fills = Vec::new();
        for _ in 0..FILL_PAGES {
            let page = match self.broker().fills(from, FILLS) {
                Err(BrokerError::RateLimited { .. }) if !fills.is_empty() => return Ok((fills, false)),
                page => page?,
            };
            let Some(last) = page.last() else { return Ok((fills, true)) };
            let (at, short) = (last.at, page.len() < FILLS);
            fills.extend(page);
            if short || at <= from {
                return Ok((fills, true));
            }
            from = at;
        }
        Ok((fills, false))
    }
}
