//! What happened to an account, as the venue's ledger keeps it: executions and fees.
//!
//! Ids begin with the time in New York and end with a uuid, so that they sort as they happened.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;

use super::book::Ids;
use super::refusal::plain;
use crate::model::{Fill, Order, OrderStatus, PositionIntent, Size, Timestamp};

/// Entries beyond this number are forgotten, oldest first.
const MAX_ENTRIES: usize = 100_000;
const MARKET_ZONE: &str = "America/New_York";

/// The kinds of entries that there are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum ActivityType {
    Fill,
    Fee,
}

impl ActivityType {
    pub(in crate::sim) fn as_str(self) -> &'static str {
        match self {
            ActivityType::Fill => "FILL",
            ActivityType::Fee => "FEE",
        }
    }
}

#[derive(Debug, Clone)]
pub(in crate::sim) struct Activity {
    pub at: Timestamp,
    pub day: Date,
    pub view: ActivityView,
}

/// An entry as the venue writes it.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(in crate::sim) enum ActivityView {
    Fill(FillView),
    Fee(FeeView),
}

#[derive(Debug, Clone, Serialize)]
pub(in crate::sim) struct FillView {
    activity_type: &'static str,
    id: String,
    transaction_time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    price: String,
    qty: String,
    pub side: &'static str,
    pub symbol: String,
    leaves_qty: String,
    order_id: String,
    cum_qty: String,
    order_status: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub(in crate::sim) struct FeeView {
    activity_type: &'static str,
    id: String,
    date: String,
    net_amount: String,
    description: String,
    symbol: String,
    qty: String,
    per_share_amount: String,
    status: &'static str,
}

impl Activity {
    pub(in crate::sim) fn kind(&self) -> ActivityType {
        match &self.view {
            ActivityView::Fill(_) => ActivityType::Fill,
            ActivityView::Fee(_) => ActivityType::Fee,
        }
    }

    pub(in crate::sim) fn id(&self) -> &str {
        match &self.view {
            ActivityView::Fill(fill) => &fill.id,
            ActivityView::Fee(fee) => &fee.id,
        }
    }

    pub(in crate::sim) fn order_id(&self) -> Option<&str> {
        match &self.view {
            ActivityView::Fill(fill) => Some(&fill.order_id),
            ActivityView::Fee(_) => None,
        }
    }
}

/// The entries of one account, oldest first.
#[derive(Debug, Default)]
pub(in crate::sim) struct Ledger(std::collections::VecDeque<Activity>);

impl Ledger {
    pub(in crate::sim) fn entries(&self) -> impl DoubleEndedIterator<Item = &Activity> + ExactSizeIterator {
        self.0.iter()
    }

    /// An order was executed; `order` is its state afterwards.
    pub(super) fn executed(&mut self, order: &Order, fill: &Fill, ids: &mut Ids) {
        let local = in_market(fill.at);
        let stamp = local.strftime("%Y%m%d%H%M%S%3f").to_string();
        let whole = order.status == OrderStatus::Filled;
        let view = FillView {
            activity_type: ActivityType::Fill.as_str(),
            id: format!("{stamp}::{}", fill.execution_id),
            transaction_time: fill.at.to_string(),
            kind: if whole { "fill" } else { "partial_fill" },
            price: plain(fill.price),
            qty: plain(fill.quantity),
            side: if order.intent == Some(PositionIntent::SellToOpen) { "sell_short" } else { fill.side.as_str() },
            symbol: fill.symbol.to_string(),
            leaves_qty: plain(if whole { Decimal::ZERO } else { leaves(order, fill.price) }),
            order_id: fill.order_id.to_string(),
            cum_qty: plain(order.filled),
            order_status: order.status.as_str(),
        };
        self.push(Activity { at: fill.at, day: local.date(), view: ActivityView::Fill(view) });
        if fill.fees.is_zero() {
            return;
        }
        let fee = FeeView {
            activity_type: ActivityType::Fee.as_str(),
            id: format!("{stamp}::{}", ids.uuid()),
            date: local.date().to_string(),
            net_amount: plain(-fill.fees),
            description: format!("fees of {} {} at {}", plain(fill.quantity), fill.symbol, plain(fill.price)),
            symbol: fill.symbol.to_string(),
            qty: plain(fill.quantity),
            per_share_amount: plain(fill.fees.checked_div(fill.quantity).unwrap_or_default().round_dp(9)),
            status: "executed",
        };
        self.push(Activity { at: fill.at, day: local.date(), view: ActivityView::Fee(fee) });
    }

    fn push(&mut self, activity: Activity) {
        if self.0.len() == MAX_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(activity);
    }

    /// How often one symbol was bought and sold on the same day, over the last `days` days that saw executions.
    pub(in crate::sim) fn day_trades(&self, days: usize) -> usize {
        let mut seen: Vec<Date> = Vec::new();
        let mut sides = std::collections::HashMap::<(Date, &str), (bool, bool)>::new();
        for entry in self.0.iter().rev() {
            let ActivityView::Fill(fill) = &entry.view else { continue };
            if !seen.contains(&entry.day) {
                if seen.len() == days {
                    break;
                }
                seen.push(entry.day);
            }
            let both = sides.entry((entry.day, &fill.symbol)).or_default();
            if fill.side == "buy" { both.0 = true } else { both.1 = true }
        }
        sides.values().filter(|both| both.0 && both.1).count()
    }
}

/// Units still to come; of an order by money what the rest would buy at the last price.
fn leaves(order: &Order, price: Decimal) -> Decimal {
    match order.request.size {
        Size::Quantity(_) => order.remaining().unwrap_or_default(),
        Size::Notional(money) => {
            let rest = (money.value() - order.filled_value).max(Decimal::ZERO);
            rest.checked_div(price).unwrap_or_default().round_dp_with_strategy(9, RoundingStrategy::ToZero)
        }
    }
}

fn in_market(at: Timestamp) -> jiff::Zoned {
    let zone = TimeZone::get(MARKET_ZONE).unwrap_or(TimeZone::UTC);
    jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or_default().to_zoned(zone)
}
