//! The state of an order after a word about it. Pure.
//!
//! It moves forward only: what is older than what we know, shows less filled, or opens what has ended, is late. An
//! execution that was taken back or corrected is the one thing that lets the filled quantity go down.
//!
//! Must not know the journal beyond its picture of an order.

use super::entry::Whose;
use crate::desk::order_text;
use crate::events::{OrderUpdate, Source};
use crate::journal::Known;
use crate::model::{Order, OrderChange, OrderStatus, Timestamp};

pub(super) struct Standing {
    pub next: Known,
    pub late: bool,
}

pub(super) fn after(known: Option<&Known>, update: &OrderUpdate, whose: &Whose, now: Timestamp, estimated: bool) -> Standing {
    let mut next = picture(&update.order, whose, now);
    if update.source == Source::Desk && !update.order.status.is_open() {
        // The answer says that it was taken. How it ended is the venue's to say, and bots wait for that word.
        let taken = || Known { status: OrderStatus::Accepted, filled: 0.into(), filled_value: 0.into(), updated: update.order.times.submitted, ..next.clone() };
        return Standing { next: known.map_or_else(taken, |known| Known { heard: now, ..known.clone() }), late: false };
    }
    let Some(known) = known else {
        next.acknowledged = acknowledges(update);
        next.estimated = if estimated { next.filled } else { next.estimated };
        return Standing { next, late: false };
    };
    next.acknowledged = known.acknowledged || acknowledges(update);
    next.generation = known.generation;
    next.estimated = if estimated { next.filled } else { known.estimated };
    if matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect) {
        next.generation += 1;
        next.estimated = 0.into();
        if update.order.times.updated < known.updated {
            // What came after it is known: the state stays.
            let (generation, estimated) = (next.generation, next.estimated);
            return Standing { next: Known { generation, estimated, acknowledged: next.acknowledged, heard: now, ..known.clone() }, late: true };
        }
        return Standing { next, late: false };
    }
    if !is_late(known, update) {
        return Standing { next, late: false };
    }
    let stays = Known { acknowledged: next.acknowledged, estimated: next.estimated, heard: now, ..known.clone() };
    // A fill that was told late is an execution all the same.
    let next = if next.filled > known.filled { Known { filled: next.filled, filled_value: next.filled_value, ..stays } } else { stays };
    Standing { next, late: true }
}

/// The order as this word shows it.
fn picture(order: &Order, whose: &Whose, now: Timestamp) -> Known {
    Known {
        id: order.id.to_string(),
        client_order_id: order.request.client_order_id.to_string(),
        symbol: order.request.symbol.to_string(),
        side: order.request.side,
        status: order.status,
        quantity: order.quantity(),
        filled: order.filled,
        filled_value: order.filled_value,
        estimated: 0.into(),
        generation: 0,
        acknowledged: false,
        submitted: order.times.submitted,
        updated: order.times.updated,
        heard: now,
        bot: whose.bot.clone(),
        ours: whose.ours,
        text: order_text(order),
    }
}

pub(super) fn acknowledges(update: &OrderUpdate) -> bool {
    matches!(update.change, OrderChange::New | OrderChange::PartialFill | OrderChange::Fill)
}

fn is_late(known: &Known, update: &OrderUpdate) -> bool {
    let order = &update.order;
    if order.filled < known.filled {
        return true;
    }
    if order.filled > known.filled {
        // More is filled than we knew: whatever the clocks say, that is news, but it opens nothing that has ended.
        return !known.status.is_open() && order.status.is_open();
    }
    match (known.status.is_open(), order.status.is_open()) {
        (false, true) => true,
        (true, false) => false,
        // Ended twice: the first end stands, unless the later word comes with a later time.
        (false, false) => known.status != order.status && order.times.updated <= known.updated,
        (true, true) => order.times.updated < known.updated || (order.times.updated == known.updated && rank(order.status) < rank(known.status)),
    }
}

/// How far into its life an open order is.
fn rank(status: OrderStatus) -> u8 {
    match status {
        OrderStatus::Unknown => 0,
        OrderStatus::PendingNew | OrderStatus::Accepted | OrderStatus::Held => 1,
        OrderStatus::New => 2,
        OrderStatus::PartiallyFilled => 3,
        _ => 4,
    }
}
