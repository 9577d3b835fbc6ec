//! What a report of the venue shows that nobody has told: the steps and executions between what we know of an order and
//! what the venue says of it. Pure.
//!
//! Must not know how reports are fetched or when.

use std::collections::BTreeSet;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::Manner;
use crate::events::{AccountRef, OrderUpdate, Source};
use crate::journal::{Execution, Known};
use crate::model::{
    ExecutionId, Fill, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, Quantity, Size, TimeInForce, Timestamp, VenueOrderId, worth,
};

/// An execution in a report and one in the stream are the same if they agree in all but the name, and in time by this.
const SAME_WITHIN_NANOS: i64 = 2_000_000_000;

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reported {
    /// Updates that nobody had told.
    pub taken: Vec<OrderUpdate>,
    /// Filled, and no execution accounts for it yet: to be asked again.
    pub unexplained: bool,
}

#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Each with whether it was reckoned.
    pub updates: Vec<(OrderUpdate, bool)>,
    /// Executions that go by another name in the report: that name, and the one in the journal.
    pub aliases: Vec<(String, String)>,
    pub unexplained: bool,
    /// Executions that the venue must have taken back.
    pub void: Vec<String>,
}

/// What is known of an order before its report is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    pub known: Option<&'a Known>,
    /// Executions of it that stand.
    pub executions: &'a [Execution],
    /// What the order that it replaces had filled: some venues carry that over.
    pub carried: Decimal,
}

pub(super) fn missing(of: &AccountRef, before: Before<'_>, order: &Order, fills: &[Fill], manner: Manner, now: Timestamp) -> Missing {
    let Before { known, executions, carried } = before;
    let mut found = Finder { of, order, found: Missing::default(), now };
    if known.is_some_and(|known| order.filled < known.filled && order.times.updated <= known.updated) {
        // Overtaken by what was heard meanwhile: it says nothing of what is missing.
        found.found.unexplained = true;
        return found.found;
    }
    if known.is_some_and(|known| order.filled < known.filled) {
        // Nothing else makes it less.
        let mut update = found.update(OrderChange::TradeBust, order.clone(), None);
        update.reason = Some("the venue counts less as filled than it had told".to_owned());
        found.found.updates.push((update, false));
        found.found.void = taken_back(executions, fills, order.filled);
        return found.found;
    }
    let (filled, value) = known.map_or((Decimal::ZERO, Decimal::ZERO), |known| (known.filled, known.filled_value));
    let was_in_market = known.is_some_and(|known| known.acknowledged);
    if !was_in_market && has_been_in_market(order) {
        // Not older than what is known, or it would come late.
        let at = known.map_or(order.times.submitted, |known| known.updated.max(order.times.submitted));
        found.acknowledged(filled, value, at);
    }
    // Not what the venue said was filled counts, but what it accounted for: of two executions the first may be the lost
    // one.
    let mut told: Vec<Part> = executions.iter().map(|done| Part { at: done.at, quantity: done.quantity, value: worth(done.price, done.quantity) }).collect();
    let accounted: Decimal = told.iter().map(|part| part.quantity).sum();
    let mut left = order.filled - accounted;
    if left > Decimal::ZERO {
        for fill in found.unknown_executions(fills, executions) {
            if fill.quantity <= left {
                left -= fill.quantity;
                found.executed(&mut told, fill);
            }
        }
        if left > Decimal::ZERO && manner.may_estimate {
            if left > carried {
                found.reckoned(&told, left - carried, accounted, filled);
            }
            left = Decimal::ZERO;
        }
    }
    found.found.unexplained = left > Decimal::ZERO;
    let reached = known.map_or(Decimal::ZERO, |known| known.filled).max(order.filled - left.max(Decimal::ZERO));
    let status_moved = known.is_none_or(|known| moved(known, order));
    let told_by_fill =
        order.status == OrderStatus::Filled && reached > filled && found.found.updates.iter().any(|(update, _)| update.change == OrderChange::Fill);
    let is_acknowledgement = order.status == OrderStatus::New || order.status == OrderStatus::PartiallyFilled;
    // A terminal word goes last: it waits for the executions that come before it.
    if status_moved && !told_by_fill && !is_acknowledgement && !found.found.unexplained {
        found.step(change_to(order.status), order.clone());
    }
    found.found
}

/// An execution, as far as sums need it.
struct Part {
    at: Timestamp,
    quantity: Decimal,
    value: Decimal,
}

struct Finder<'a> {
    of: &'a AccountRef,
    order: &'a Order,
    found: Missing,
    now: Timestamp,
}

impl Finder<'_> {
    fn step(&mut self, change: OrderChange, order: Order) {
        self.found.updates.push((self.update(change, order, None), false));
    }

    fn update(&self, change: OrderChange, order: Order, fill: Option<Fill>) -> OrderUpdate {
        let at = fill.as_ref().map_or(if order.times.updated == Timestamp::default() { self.now } else { order.times.updated }, |fill| fill.at);
        let execution_id = fill.as_ref().map(|fill| fill.execution_id.clone());
        OrderUpdate { of: self.of.clone(), change, order: Arc::new(order), execution_id, fill, reason: None, at, source: Source::Report, words: None }
    }

    /// The order as it was, not as the report shows it: written by us, for the venue's writing is of today.
    fn earlier(&self, status: OrderStatus, filled: Decimal, value: Decimal, at: Timestamp) -> Order {
        let mut order = Order { status, filled, filled_value: value, text: None, replaced_by: None, ..self.order.clone() };
        order.times.updated = at;
        (order.times.filled, order.times.canceled, order.times.expired, order.times.failed, order.times.replaced) = (None, None, None, None, None);
        order
    }

    fn acknowledged(&mut self, filled: Decimal, value: Decimal, at: Timestamp) {
        let order = self.earlier(OrderStatus::New, filled, value, at);
        self.step(OrderChange::New, order);
    }

    /// Executions of the report that are not in the journal, by whatever name.
    fn unknown_executions(&mut self, fills: &[Fill], executions: &[Execution]) -> Vec<Fill> {
        // While some are still missing in the report, one that looks like another may be that other's neighbour.
        let complete = fills.iter().filter(|fill| fill.order_id == self.order.id).map(|fill| fill.quantity).sum::<Decimal>() >= self.order.filled;
        let named = |fill: &Fill| executions.iter().any(|done| done.execution_id == fill.execution_id.as_str());
        let mut unknown: Vec<Fill> = fills.iter().filter(|fill| fill.order_id == self.order.id && !named(fill)).cloned().collect();
        let unmatched: Vec<&Execution> = executions.iter().filter(|done| !fills.iter().any(|fill| fill.execution_id.as_str() == done.execution_id)).collect();
        let mut pairs: Vec<(i64, ExecutionId, &Execution)> = Vec::new();
        for fill in &unknown {
            for done in unmatched.iter().filter(|done| (done.price, done.quantity) == (fill.price, fill.quantity)) {
                let apart = (done.at.nanos() - fill.at.nanos()).abs();
                if apart <= SAME_WITHIN_NANOS {
                    pairs.push((apart, fill.execution_id.clone(), done));
                }
            }
        }
        // Several that look alike within two seconds: who is nearest in time belongs together.
        pairs.sort_by_key(|(apart, ..)| *apart);
        let mut matched: BTreeSet<&str> = BTreeSet::new();
        for (_, id, done) in pairs {
            let Some(at) = unknown.iter().position(|fill| fill.execution_id == id).filter(|_| !matched.contains(done.execution_id.as_str())) else { continue };
            matched.insert(&done.execution_id);
            unknown.remove(at);
            if complete {
                self.found.aliases.push((id.to_string(), done.execution_id.clone()));
            }
        }
        unknown.sort_by_key(|fill| fill.at);
        unknown
    }

    /// Where it stands among the others says what was filled after it.
    fn executed(&mut self, told: &mut Vec<Part>, fill: Fill) {
        told.push(Part { at: fill.at, quantity: fill.quantity, value: worth(fill.price, fill.quantity) });
        let until = told.iter().filter(|part| part.at <= fill.at);
        let (filled, value) = until.fold((Decimal::ZERO, Decimal::ZERO), |(filled, value), part| (filled + part.quantity, value + part.value));
        let (change, order) = self.after_fill(filled, value, fill.at);
        self.found.updates.push((self.update(change, order, Some(fill)), false));
    }

    fn after_fill(&self, filled: Decimal, value: Decimal, at: Timestamp) -> (OrderChange, Order) {
        if filled >= self.order.filled && self.order.status == OrderStatus::Filled {
            return (OrderChange::Fill, self.order.clone());
        }
        (OrderChange::PartialFill, self.earlier(OrderStatus::PartiallyFilled, filled, value, at))
    }

    /// One execution for all that is left, at the price that the average implies.
    fn reckoned(&mut self, told: &[Part], quantity: Decimal, accounted: Decimal, heard: Decimal) {
        let order = self.order;
        let value: Decimal = told.iter().map(|part| part.value).sum();
        let price = (order.filled_value - value).checked_div(quantity).unwrap_or_default().round_dp(9).normalize();
        // Named by what it stands for, so that the same reckoning is known again.
        let Ok(execution_id) = format!("estimated-{}-{}-{}", order.id, accounted.normalize(), order.filled.normalize()).parse::<ExecutionId>() else { return };
        let fill = Fill {
            execution_id,
            order_id: order.id.clone(),
            client_order_id: order.request.client_order_id.clone(),
            symbol: order.request.symbol.clone(),
            side: order.request.side,
            price,
            quantity,
            fees: Decimal::ZERO,
            position: Decimal::ZERO,
            at: order.times.filled.unwrap_or(order.times.updated),
        };
        let (change, after) = if heard < order.filled {
            self.after_fill(order.filled, order.filled_value, fill.at)
        } else {
            // Its last execution was told already.
            (OrderChange::PartialFill, self.earlier(OrderStatus::PartiallyFilled, order.filled, order.filled_value, fill.at))
        };
        self.found.updates.push((self.update(change, after, Some(fill)), true));
    }
}

/// Those that the venue does not list any more, else the last ones: as many as make up the difference.
fn taken_back(executions: &[Execution], fills: &[Fill], filled: Decimal) -> Vec<String> {
    let mut excess = executions.iter().map(|done| done.quantity).sum::<Decimal>() - filled;
    let listed = |done: &&Execution| fills.iter().any(|fill| fill.execution_id.as_str() == done.execution_id);
    let mut likely: Vec<&Execution> = executions.iter().rev().collect();
    likely.sort_by_key(listed);
    let mut back = Vec::new();
    for done in likely {
        if done.quantity <= excess {
            excess -= done.quantity;
            back.push(done.execution_id.clone());
        }
    }
    back
}

/// The end of an order that its venue has forgotten. What else is known of it stands in its text.
pub(super) fn ended(of: &AccountRef, id: &VenueOrderId, known: &Known, now: Timestamp) -> Option<OrderUpdate> {
    let size = known.quantity.filter(|quantity| !quantity.is_zero()).unwrap_or(known.filled.max(Decimal::ONE));
    let request = OrderRequest {
        client_order_id: known.client_order_id.parse().or_else(|_| known.id.parse()).ok()?,
        symbol: known.symbol.parse().ok()?,
        side: known.side,
        size: Size::Quantity(Quantity::new(size).ok()?),
        kind: OrderType::Market,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        class: OrderClass::Simple,
    };
    let mut order = Order::new(id.clone(), request, OrderStatus::Canceled, known.submitted);
    (order.filled, order.filled_value) = (known.filled, known.filled_value);
    (order.times.updated, order.times.canceled) = (now.max(known.updated), Some(now));
    let mut text: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&known.text).unwrap_or_default();
    let words =
        [("id", known.id.as_str()), ("client_order_id", order.request.client_order_id.as_str()), ("symbol", &known.symbol), ("side", known.side.as_str())];
    words.into_iter().for_each(|(name, word)| drop(text.insert(name.to_owned(), word.into())));
    text.insert("status".to_owned(), OrderStatus::Canceled.as_str().into());
    text.insert("canceled_at".to_owned(), now.to_string().into());
    order.text = Some(serde_json::to_string(&text).ok()?.into());
    let reason = Some("the venue does not know the order any more".to_owned());
    let at = order.times.updated;
    Some(OrderUpdate {
        of: of.clone(),
        change: OrderChange::Canceled,
        order: Arc::new(order),
        execution_id: None,
        fill: None,
        reason,
        at,
        source: Source::Report,
        words: None,
    })
}

/// Whether an order in this state was, at some time, open in its market.
fn has_been_in_market(order: &Order) -> bool {
    match order.status {
        OrderStatus::Denied | OrderStatus::Unknown | OrderStatus::Rejected => false,
        OrderStatus::Accepted | OrderStatus::PendingNew | OrderStatus::Held => !order.filled.is_zero(),
        _ => true,
    }
}

/// Whether the report shows a later state than the known one.
fn moved(known: &Known, order: &Order) -> bool {
    if known.status == order.status || (!known.status.is_open() && order.status.is_open()) {
        return false;
    }
    known.status.is_open() != order.status.is_open() || order.times.updated > known.updated
}

fn change_to(status: OrderStatus) -> OrderChange {
    match status {
        OrderStatus::Denied => OrderChange::Denied,
        OrderStatus::Unknown => OrderChange::OutcomeUnknown,
        OrderStatus::Accepted => OrderChange::Accepted,
        OrderStatus::PendingNew => OrderChange::PendingNew,
        OrderStatus::Held => OrderChange::Held,
        OrderStatus::New => OrderChange::New,
        OrderStatus::PartiallyFilled => OrderChange::PartialFill,
        OrderStatus::PendingCancel => OrderChange::PendingCancel,
        OrderStatus::PendingReplace => OrderChange::PendingReplace,
        OrderStatus::DoneForDay => OrderChange::DoneForDay,
        OrderStatus::Stopped => OrderChange::Stopped,
        OrderStatus::Suspended => OrderChange::Suspended,
        OrderStatus::Calculated => OrderChange::Calculated,
        OrderStatus::Filled => OrderChange::Fill,
        OrderStatus::Canceled => OrderChange::Canceled,
        OrderStatus::Expired => OrderChange::Expired,
        OrderStatus::Replaced => OrderChange::Replaced,
        OrderStatus::Rejected => OrderChange::Rejected,
    }
}
