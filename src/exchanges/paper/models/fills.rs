//! How much of an order the paper market fills, and when a resting order has its turn.
//!
//! Must not know orders or books.

use std::time::Duration;

use rust_decimal::Decimal;

/// The rules of filling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillRules {
    /// Never more than is displayed; what our own orders took is gone until the next quote.
    pub displayed_size: bool,
    /// Resting orders are also filled by trades at their price, not only by quotes that cross them.
    pub by_trades: bool,
    /// The share of a trade's volume that resting orders may have: 0.5 is half of it.
    pub volume_share: Decimal,
    /// A resting order waits until what was displayed at its price when it came has traded.
    pub queue: bool,
    /// How often an order that takes gets only a random part at once: 0.1 is every tenth time.
    pub partials: Decimal,
    /// A quote older than this fills nothing.
    pub stale_after: Option<Duration>,
}

impl FillRules {
    /// Bounded by what is displayed and traded, behind the queue, on quotes of the last five minutes.
    pub const HONEST: FillRules = FillRules {
        displayed_size: true,
        by_trades: true,
        volume_share: Decimal::ONE,
        queue: true,
        partials: Decimal::ZERO,
        stale_after: Some(Duration::from_secs(300)),
    };

    /// Anything marketable is filled, whatever its size, every tenth time in parts.
    pub const ALPACA_PAPER: FillRules = FillRules {
        displayed_size: false,
        by_trades: false,
        volume_share: Decimal::ONE,
        queue: false,
        partials: Decimal::from_parts(1, 0, 0, false, 1),
        stale_after: None,
    };

    /// Whether this order gets a random part, and how many hundredths of it.
    pub fn partial(&self, random: &mut fastrand::Rng) -> Option<u32> {
        if self.partials.is_zero() {
            return None;
        }
        let hit = Decimal::from(random.u32(0..1_000_000)) < self.partials.saturating_mul(Decimal::from(1_000_000));
        hit.then(|| random.u32(1..100))
    }
}
