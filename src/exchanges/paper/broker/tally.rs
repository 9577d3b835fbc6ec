//! What the events of an account do to its counters.
//!
//! Must not know who caused them.

use std::time::Duration;

use crate::events::{Event, OrderUpdate};
use crate::exchanges::BrokerMetrics;
use crate::exchanges::paper::engine::OTHER_EXIT_FILLED;
use crate::model::OrderChange;

pub(super) fn count(events: &[Event], metrics: &BrokerMetrics) {
    for event in events {
        match event {
            Event::Filled(_) => metrics.fills.add(1),
            Event::OrderUpdated(update) => count_update(update, metrics),
            _ => {}
        }
    }
}

fn count_update(update: &OrderUpdate, metrics: &BrokerMetrics) {
    let order = &update.order;
    if let Some(fill) = update.fill.as_ref().filter(|fill| fill.quantity == order.filled) {
        let nanos = fill.at.nanos().saturating_sub(order.times.submitted.nanos());
        metrics.to_first_fill.observe(Duration::from_nanos(nanos.max(0).unsigned_abs()));
    }
    match update.change {
        OrderChange::Fill => metrics.filled.add(1),
        OrderChange::Canceled => {
            metrics.canceled.add(1);
            // Of two exits one is meant to be filled.
            metrics.unfilled.add(u64::from(update.reason.as_deref() != Some(OTHER_EXIT_FILLED)));
        }
        OrderChange::Expired | OrderChange::Rejected => metrics.unfilled.add(1),
        _ => {}
    }
}
