//! What the events of an account do to its counters.
//!
//! Must not know who caused them.

use std::time::Duration;

use crate::events::OrderUpdate;
use crate::exchanges::BrokerMetrics;
use crate::model::OrderChange;

pub(super) fn count(update: &OrderUpdate, metrics: &BrokerMetrics) {
    let order = &update.order;
    if let Some(fill) = &update.fill {
        metrics.fills.add(1);
        if fill.quantity == order.filled {
            let nanos = fill.at.nanos().saturating_sub(order.times.submitted.nanos());
            metrics.to_first_fill.observe(Duration::from_nanos(nanos.max(0).unsigned_abs()));
        }
    }
    match update.change {
        OrderChange::Fill => metrics.filled.add(1),
        OrderChange::Canceled => {
            metrics.canceled.add(1);
            // Of two exits one is meant to be filled.
            metrics.unfilled.add(u64::from(order.parent.is_none()));
        }
        OrderChange::Expired | OrderChange::Rejected => metrics.unfilled.add(1),
        _ => {}
    }
}
