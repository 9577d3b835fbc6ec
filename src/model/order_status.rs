//! The life of an order: its states, what may happen to it, and every legal step in one `match`.
//!
//! Must not know a venue's words for it beyond our own, nor who reports what.

use std::fmt;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderStatus {
    /// Refused by us before it left. Final.
    Denied,
    /// Sent, and nobody knows yet whether it arrived.
    Unknown,
    /// Taken by the venue for a later session.
    Accepted,
    /// On its way to the market.
    PendingNew,
    /// Waits for the order that it hangs on.
    Held,
    /// In the market.
    New,
    PartiallyFilled,
    PendingCancel,
    PendingReplace,
    /// In the market again on the next day.
    DoneForDay,
    Stopped,
    Suspended,
    /// Done, the venue still settles it.
    Calculated,
    Filled,
    Canceled,
    Expired,
    /// Another order stands in its place. Final.
    Replaced,
    /// Refused by the venue. Final.
    Rejected,
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderChange {
    Denied,
    OutcomeUnknown,
    /// The venue does not know it after all.
    NeverArrived,
    Accepted,
    PendingNew,
    Held,
    New,
    PartialFill,
    Fill,
    PendingCancel,
    CancelRejected,
    PendingReplace,
    ReplaceRejected,
    Replaced,
    Canceled,
    Expired,
    Rejected,
    DoneForDay,
    Stopped,
    Suspended,
    Calculated,
    Restated,
    TradeBust,
    TradeCorrect,
}

/// A step that no order can take: the report is wrong, late or repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {from} cannot become {change}; the report is late or repeated, and is left out")]
pub struct IllegalChange {
    pub from: OrderStatus,
    pub change: OrderChange,
}

impl OrderStatus {
    pub const ALL: [OrderStatus; 18] = [
        OrderStatus::Denied,
        OrderStatus::Unknown,
        OrderStatus::Accepted,
        OrderStatus::PendingNew,
        OrderStatus::Held,
        OrderStatus::New,
        OrderStatus::PartiallyFilled,
        OrderStatus::PendingCancel,
        OrderStatus::PendingReplace,
        OrderStatus::DoneForDay,
        OrderStatus::Stopped,
        OrderStatus::Suspended,
        OrderStatus::Calculated,
        OrderStatus::Filled,
        OrderStatus::Canceled,
        OrderStatus::Expired,
        OrderStatus::Replaced,
        OrderStatus::Rejected,
    ];

    /// The state after a change. A fill may overtake the acknowledgement, and may still come after a cancel or an
    /// expiry was reported: the venue's executions are the truth. Nothing follows what was refused or replaced.
    pub fn after(self, change: OrderChange) -> Result<OrderStatus, IllegalChange> {
        use OrderChange as C;
        use OrderStatus as S;
        let next = match (self, change) {
            (S::Denied | S::Rejected, _) => return Err(IllegalChange { from: self, change }),
            (S::Unknown | S::PendingNew, C::Denied) => S::Denied,
            (S::Unknown, C::NeverArrived) => S::Rejected,
            (S::PendingNew, C::OutcomeUnknown) => S::Unknown,
            (S::Unknown, C::Accepted | C::PendingNew | C::Held) => acknowledged(change),
            (S::PendingNew | S::Held, C::Accepted) => S::Accepted,
            (S::Accepted | S::Held | S::DoneForDay, C::PendingNew) => S::PendingNew,
            (S::Accepted | S::PendingNew, C::Held) => S::Held,
            (S::Unknown | S::Accepted | S::PendingNew | S::Held | S::Suspended | S::Stopped | S::DoneForDay, C::New) => S::New,
            (S::Filled | S::Calculated | S::Replaced, C::PartialFill | C::Fill) => return Err(IllegalChange { from: self, change }),
            // What a cancel or an expiry has ended stays ended, though an execution was still on its way.
            (S::Canceled | S::Expired, C::PartialFill) => self,
            (S::PendingCancel | S::PendingReplace, C::PartialFill) => self,
            (_, C::PartialFill) => S::PartiallyFilled,
            (_, C::Fill) => S::Filled,
            (s, C::PendingCancel) if s.is_open() => S::PendingCancel,
            (s, C::PendingReplace) if s.is_open() => S::PendingReplace,
            (S::PendingCancel, C::CancelRejected) | (S::PendingReplace, C::ReplaceRejected) => S::New,
            (s, C::CancelRejected | C::ReplaceRejected) if s != S::Unknown => s,
            (s, C::Canceled) if s.is_open() => S::Canceled,
            (s, C::Expired) if s.is_open() => S::Expired,
            (s, C::Replaced) if s.is_open() => S::Replaced,
            (s, C::Rejected) if s.is_open() && s != S::PartiallyFilled => S::Rejected,
            (s, C::DoneForDay) if s.is_open() => S::DoneForDay,
            (s, C::Stopped) if s.is_open() => S::Stopped,
            (s, C::Suspended) if s.is_open() => S::Suspended,
            (S::Filled | S::DoneForDay | S::PartiallyFilled | S::Stopped | S::Calculated, C::Calculated) => S::Calculated,
            (s, C::Restated | C::TradeBust | C::TradeCorrect) => s,
            _ => return Err(IllegalChange { from: self, change }),
        };
        Ok(next)
    }

    /// Whether it may still be filled.
    pub fn is_open(self) -> bool {
        use OrderStatus as S;
        match self {
            S::Unknown | S::Accepted | S::PendingNew | S::Held | S::New | S::PartiallyFilled => true,
            S::PendingCancel | S::PendingReplace | S::DoneForDay | S::Stopped | S::Suspended => true,
            S::Denied | S::Calculated | S::Filled | S::Canceled | S::Expired | S::Replaced | S::Rejected => false,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            OrderStatus::Denied => "denied",
            OrderStatus::Unknown => "unknown",
            OrderStatus::Accepted => "accepted",
            OrderStatus::PendingNew => "pending_new",
            OrderStatus::Held => "held",
            OrderStatus::New => "new",
            OrderStatus::PartiallyFilled => "partially_filled",
            OrderStatus::PendingCancel => "pending_cancel",
            OrderStatus::PendingReplace => "pending_replace",
            OrderStatus::DoneForDay => "done_for_day",
            OrderStatus::Stopped => "stopped",
            OrderStatus::Suspended => "suspended",
            OrderStatus::Calculated => "calculated",
            OrderStatus::Filled => "filled",
            OrderStatus::Canceled => "canceled",
            OrderStatus::Expired => "expired",
            OrderStatus::Replaced => "replaced",
            OrderStatus::Rejected => "rejected",
        }
    }

    pub fn from_name(name: &str) -> Option<OrderStatus> {
        OrderStatus::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What the venue's first word about an order makes of it.
fn acknowledged(change: OrderChange) -> OrderStatus {
    match change {
        OrderChange::Accepted => OrderStatus::Accepted,
        OrderChange::Held => OrderStatus::Held,
        _ => OrderStatus::PendingNew,
    }
}

impl OrderChange {
    pub const ALL: [OrderChange; 24] = [
        OrderChange::Denied,
        OrderChange::OutcomeUnknown,
        OrderChange::NeverArrived,
        OrderChange::Accepted,
        OrderChange::PendingNew,
        OrderChange::Held,
        OrderChange::New,
        OrderChange::PartialFill,
        OrderChange::Fill,
        OrderChange::PendingCancel,
        OrderChange::CancelRejected,
        OrderChange::PendingReplace,
        OrderChange::ReplaceRejected,
        OrderChange::Replaced,
        OrderChange::Canceled,
        OrderChange::Expired,
        OrderChange::Rejected,
        OrderChange::DoneForDay,
        OrderChange::Stopped,
        OrderChange::Suspended,
        OrderChange::Calculated,
        OrderChange::Restated,
        OrderChange::TradeBust,
        OrderChange::TradeCorrect,
    ];

    /// The word for it in order updates.
    pub fn as_str(self) -> &'static str {
        match self {
            OrderChange::Denied => "denied",
            OrderChange::OutcomeUnknown => "unknown",
            OrderChange::NeverArrived => "never_arrived",
            OrderChange::Accepted => "accepted",
            OrderChange::PendingNew => "pending_new",
            OrderChange::Held => "held",
            OrderChange::New => "new",
            OrderChange::PartialFill => "partial_fill",
            OrderChange::Fill => "fill",
            OrderChange::PendingCancel => "pending_cancel",
            OrderChange::CancelRejected => "order_cancel_rejected",
            OrderChange::PendingReplace => "pending_replace",
            OrderChange::ReplaceRejected => "order_replace_rejected",
            OrderChange::Replaced => "replaced",
            OrderChange::Canceled => "canceled",
            OrderChange::Expired => "expired",
            OrderChange::Rejected => "rejected",
            OrderChange::DoneForDay => "done_for_day",
            OrderChange::Stopped => "stopped",
            OrderChange::Suspended => "suspended",
            OrderChange::Calculated => "calculated",
            OrderChange::Restated => "restated",
            OrderChange::TradeBust => "trade_bust",
            OrderChange::TradeCorrect => "trade_correct",
        }
    }

    pub fn from_name(name: &str) -> Option<OrderChange> {
        OrderChange::ALL.into_iter().find(|change| change.as_str() == name)
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for OrderChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrderChange as C;
    use OrderStatus as S;

    #[test]
    fn the_usual_lives() {
        let lives: [(&[C], S); 8] = [
            (&[C::New, C::PartialFill, C::PartialFill, C::Fill], S::Filled),
            (&[C::Accepted, C::PendingNew, C::New, C::Expired], S::Expired),
            (&[C::New, C::PendingCancel, C::PartialFill, C::Canceled], S::Canceled),
            (&[C::New, C::PendingCancel, C::Fill, C::CancelRejected], S::Filled),
            (&[C::New, C::PendingReplace, C::Replaced], S::Replaced),
            (&[C::OutcomeUnknown, C::NeverArrived], S::Rejected),
            (&[C::OutcomeUnknown, C::New, C::Fill], S::Filled),
            (&[C::Held, C::New, C::Fill, C::TradeBust], S::Filled),
        ];
        for (changes, end) in lives {
            let reached = changes.iter().try_fold(S::PendingNew, |status, change| status.after(*change));
            assert_eq!(reached, Ok(end), "{changes:?}");
        }
    }

    #[test]
    fn fills_count_whenever_they_come_and_only_once_the_order_was_complete() {
        assert_eq!(S::PendingNew.after(C::Fill), Ok(S::Filled));
        assert_eq!(S::Canceled.after(C::Fill), Ok(S::Filled));
        assert_eq!(S::Canceled.after(C::PartialFill), Ok(S::Canceled));
        assert!(S::Filled.after(C::Fill).is_err() && S::Filled.after(C::New).is_err());
    }

    #[test]
    fn what_has_ended_opens_no_more() {
        for from in S::ALL.into_iter().filter(|status| !status.is_open()) {
            for change in C::ALL {
                if let Ok(next) = from.after(change) {
                    assert!(!next.is_open(), "{from} became {next} by {change}");
                }
            }
        }
    }

    #[test]
    fn names_read_back() {
        assert!(S::ALL.into_iter().all(|status| S::from_name(status.as_str()) == Some(status)));
        assert!(C::ALL.into_iter().all(|change| C::from_name(change.as_str()) == Some(change)));
    }
}
