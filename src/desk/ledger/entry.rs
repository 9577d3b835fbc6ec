//! An update as bots read it: the entry of the stream and its copies.
//!
//! Must not know how they travel.

use std::sync::Arc;

use super::Manner;
use super::keys::Keys;
use crate::contract::{OrderMarks, encode_order};
use crate::desk::order_text;
use crate::events::{HeardOrder, OrderEvent, OrderSummary, OrderUpdate, Source};
use crate::journal::Draft;
use crate::model::{Digits, Order, Timestamp};

/// Whose an order is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Whose {
    pub bot: Option<String>,
    /// Placed through the desk, or by the venue on behalf of such an order.
    pub ours: bool,
}

#[expect(clippy::too_many_arguments, reason = "all that is known of one update")]
pub(super) fn draft(update: &OrderUpdate, whose: &Whose, keys: &Keys, late: bool, manner: Manner, copies: bool, sim: bool, now: Timestamp) -> Draft {
    let order: &Order = &update.order;
    let written;
    let event: &OrderEvent = match &update.words {
        Some(words) => words,
        None => {
            written = words_for(update);
            &written
        }
    };
    let reconciled = update.source == Source::Report;
    let marks = OrderMarks {
        source: update.source.as_str(),
        bot: whose.bot.as_deref(),
        ours: whose.ours,
        answer: update.source == Source::Desk,
        reconciled,
        estimated: manner.estimated,
        late,
        sim,
    };
    let encoded = encode_order(event, update.of.account.as_str(), update.at, marks);
    Draft {
        order_id: order.id.to_string(),
        client_order_id: order.request.client_order_id.to_string(),
        symbol: order.request.symbol.to_string(),
        bot: whose.bot.clone(),
        event: event.event.clone(),
        source: update.source,
        entry: encoded.ticker,
        typed: copies.then_some(encoded.typed),
        keys: keys.kept.clone(),
        at: now,
    }
}

pub(super) fn draft_of_words(heard: &HeardOrder, key: String, sim: bool) -> Draft {
    let words = &*heard.words;
    let marks = OrderMarks { source: heard.source.as_str(), sim, ..OrderMarks::default() };
    let encoded = encode_order(words, heard.of.account.as_str(), heard.at, marks);
    Draft {
        order_id: words.order.id.clone(),
        client_order_id: words.order.client_order_id.clone().unwrap_or_default(),
        symbol: words.order.symbol.clone(),
        bot: None,
        event: words.event.clone(),
        source: heard.source,
        entry: encoded.ticker,
        typed: Some(encoded.typed),
        keys: vec![key],
        at: heard.at,
    }
}

/// The words of an update for which the venue has none.
fn words_for(update: &OrderUpdate) -> OrderEvent {
    let order: &Order = &update.order;
    let digits = Digits::from_decimal;
    // What a report shows has no position: it was another by the time that anybody looked.
    let (fill, told) = (update.fill.as_ref(), update.source != Source::Report);
    let quoted = |text: &str| serde_json::Value::from(text).to_string().into_boxed_str();
    OrderEvent {
        account: Arc::from(update.of.account.as_str()),
        event: update.change.as_str().to_owned(),
        execution_id: update.execution_id.as_ref().map(ToString::to_string),
        price: fill.and_then(|fill| digits(fill.price)),
        qty: fill.and_then(|fill| digits(fill.quantity)),
        position_qty: fill.filter(|_| told).and_then(|fill| digits(fill.position)),
        timestamp: Some(update.at.to_string()),
        order: OrderSummary {
            id: order.id.to_string(),
            client_order_id: Some(order.request.client_order_id.to_string()),
            symbol: order.request.symbol.to_string(),
            status: order.status.to_string(),
            side: Some(order.request.side.as_str().to_owned()),
            filled_qty: digits(order.filled),
            filled_avg_price: order.average_price().and_then(digits),
        },
        order_json: order_text(order).into_boxed_str(),
        extra: update.reason.iter().map(|reason| ("reason".to_owned(), quoted(reason))).collect(),
    }
}
