//! The account's position in one symbol, by what the caller tells and by the fills since.
//!
//! Must not know orders, bots or limits.

use std::time::Duration;

use rust_decimal::Decimal;

use crate::model::{Side, Timestamp};

/// How long after a fill the position that the caller tells may still be the one before it.
const SETTLING: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Settling {
    /// What the caller told last.
    told: Option<Decimal>,
    /// By the fills.
    position: Option<Decimal>,
    /// What was filled while nobody had told a position yet.
    drift: Option<Drift>,
    moved_at: Option<Timestamp>,
    /// Since when both say different things though no fill came.
    differs_since: Option<Timestamp>,
}

/// Fills on top of a position that is not known: in all, and the furthest down and up on the way.
#[derive(Debug, Clone, Copy, Default)]
struct Drift {
    total: Decimal,
    low: Decimal,
    high: Decimal,
}

/// A position, between the worst for a seller and the worst for a buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub low: Decimal,
    pub high: Decimal,
}

impl Settling {
    /// The caller has told a position, and a fill may come at any moment.
    pub fn tell(&mut self, told: Decimal) {
        self.told = Some(told);
        self.position = self.position.or(self.drift.is_none().then_some(told));
    }

    /// So much was filled. `after` is the position that the venue told with it.
    pub fn fill(&mut self, change: Decimal, after: Option<Decimal>, at: Timestamp) {
        match after {
            Some(after) if self.moved_at.is_none_or(|before| at >= before) => (self.position, self.drift) = (Some(after), None),
            _ => match self.position.or(self.told.filter(|_| self.drift.is_none())) {
                Some(position) => self.position = Some(position.saturating_add(change)),
                None => self.drift.get_or_insert_default().add(change),
            },
        }
        self.moved_at = self.moved_at.max(Some(at));
        self.differs_since = None;
    }

    /// What may be held: for a while after a fill both count, what the caller tells and what the fills say. The caller may
    /// as well know of a fill first, so what the fills say is given up only when both differ for long.
    pub fn settle(&mut self, told: Decimal, now: Timestamp) -> Range {
        self.told = Some(told);
        if let Some(drift) = self.drift {
            if self.has_moved_lately(now) {
                return drift.since(told);
            }
            (self.drift, self.position) = (None, Some(told));
        }
        let filled = *self.position.get_or_insert(told);
        if filled == told {
            self.differs_since = None;
        } else if self.has_moved_lately(now) {
            return Range { low: filled.min(told), high: filled.max(told) };
        } else if !is_recent(*self.differs_since.get_or_insert(now), now) {
            (self.position, self.differs_since) = (Some(told), None);
        }
        Range::exactly(told)
    }

    pub fn has_moved_lately(&self, now: Timestamp) -> bool {
        self.moved_at.is_some_and(|moved| is_recent(moved, now))
    }
}

impl Drift {
    fn add(&mut self, change: Decimal) {
        self.total = self.total.saturating_add(change);
        (self.low, self.high) = (self.low.min(self.total), self.high.max(self.total));
    }

    /// A position that was read at any time on the way.
    fn since(self, told: Decimal) -> Range {
        let after = |before: Decimal| told.saturating_add(self.total).saturating_sub(before);
        Range { low: after(self.high), high: after(self.low) }
    }
}

impl Range {
    pub fn exactly(position: Decimal) -> Range {
        Range { low: position, high: position }
    }

    /// The position that leaves an order of this side the least room.
    pub fn worst(self, side: Side) -> Decimal {
        match side {
            Side::Buy => self.high,
            Side::Sell => self.low,
        }
    }
}

fn is_recent(then: Timestamp, now: Timestamp) -> bool {
    u128::try_from(now.nanos().saturating_sub(then.nanos())).unwrap_or(0) < SETTLING.as_nanos()
}
