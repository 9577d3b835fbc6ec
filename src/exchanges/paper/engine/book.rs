//! What the market shows of one symbol, and how much of it our own orders have taken.
//!
//! Must not know orders or accounts.

use rust_decimal::Decimal;

use crate::model::{Side, Timestamp};

/// The best bid and ask; a price of zero says that nobody stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeenQuote {
    pub bid: Decimal,
    pub bid_size: Decimal,
    pub ask: Decimal,
    pub ask_size: Decimal,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeenTrade {
    pub price: Decimal,
    pub size: Decimal,
    pub at: Timestamp,
}

/// Prices outside are not traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceBand {
    pub down: Decimal,
    pub up: Decimal,
}

impl PriceBand {
    fn admits(self, price: Decimal) -> bool {
        price >= self.down && (self.up.is_zero() || price <= self.up)
    }
}

/// What stands on one side of a quote that may be traded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch {
    pub price: Decimal,
    pub displayed: Decimal,
    /// What our own orders have not taken of it.
    pub left: Decimal,
}

/// The market of one symbol as it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Book {
    pub quote: Option<SeenQuote>,
    pub trade: Option<SeenTrade>,
    pub halted: bool,
    pub band: Option<PriceBand>,
    /// Whether the quote belongs to this phase of the day and was shown after the last halt.
    pub(super) fresh: bool,
    taken_ask: Decimal,
    taken_bid: Decimal,
    /// When the last trade was told, by the clock of who told it.
    told: Timestamp,
}

/// Trades lie within this share of the price outside the quote, or are no trades of this market: late, wrong, or to be
/// taken back.
const ASTRAY: Decimal = Decimal::from_parts(1, 0, 0, false, 1);

impl Book {
    /// Whether a trade may be one: not older than the last, and not far outside a quote since `oldest`.
    pub(super) fn believes(&self, price: Decimal, told: Timestamp, oldest: Option<Timestamp>) -> bool {
        if told < self.told {
            return false;
        }
        let Some(quote) = self.quote.filter(|quote| self.fresh && oldest.is_none_or(|oldest| quote.at >= oldest)) else { return true };
        let below = quote.bid > Decimal::ZERO && price < quote.bid * (Decimal::ONE - ASTRAY);
        let above = quote.ask > Decimal::ZERO && price > quote.ask * (Decimal::ONE + ASTRAY);
        !below && !above
    }

    pub(super) fn traded(&mut self, trade: SeenTrade, told: Timestamp) {
        (self.trade, self.told) = (Some(trade), told);
    }

    pub(super) fn quoted(&mut self, quote: SeenQuote) {
        self.quote = Some(quote);
        self.fresh = true;
        (self.taken_ask, self.taken_bid) = (Decimal::ZERO, Decimal::ZERO);
    }

    /// What a taker on `side` meets: nothing when the market is halted, nobody stands there, or the price lies outside
    /// the band.
    pub(super) fn touch(&self, side: Side, oldest: Option<Timestamp>) -> Option<Touch> {
        let quote = self.quote.filter(|quote| self.fresh && !self.halted && oldest.is_none_or(|oldest| quote.at >= oldest))?;
        let (price, displayed, taken) = match side {
            Side::Buy => (quote.ask, quote.ask_size, self.taken_ask),
            Side::Sell => (quote.bid, quote.bid_size, self.taken_bid),
        };
        let shown = price > Decimal::ZERO && self.admits(price);
        shown.then(|| Touch { price, displayed, left: (displayed - taken).max(Decimal::ZERO) })
    }

    pub(super) fn take(&mut self, side: Side, quantity: Decimal) {
        match side {
            Side::Buy => self.taken_ask += quantity,
            Side::Sell => self.taken_bid += quantity,
        }
    }

    pub(super) fn admits(&self, price: Decimal) -> bool {
        self.band.is_none_or(|band| band.admits(price))
    }

    /// The price nearest to `price` that may be traded.
    pub(super) fn within_band(&self, price: Decimal) -> Decimal {
        match self.band {
            Some(band) if price < band.down => band.down,
            Some(band) if !band.up.is_zero() && price > band.up => band.up,
            _ => price,
        }
    }

    /// The price that somebody on `side` would meet, however old; the last trade where nobody stands.
    pub(super) fn indication(&self, side: Side) -> Option<Decimal> {
        let shown = self.quote.map(|quote| if side == Side::Buy { quote.ask } else { quote.bid });
        shown.filter(|price| *price > Decimal::ZERO).or_else(|| self.trade.map(|trade| trade.price))
    }

    /// What the closing auction gives: the price displayed, else that of the last trade; nothing while halted.
    pub(super) fn closing_price(&self, side: Side) -> Option<Decimal> {
        if self.halted {
            return None;
        }
        self.touch(side, None).map(|touch| touch.price).or_else(|| self.trade.map(|trade| trade.price))
    }

    /// What a unit is worth: the last trade, moved into the quote when it lies outside; the middle before any trade.
    pub fn mark(&self) -> Option<Decimal> {
        let sides = self.quote.filter(|quote| quote.bid > Decimal::ZERO && quote.ask >= quote.bid);
        match (self.trade, sides) {
            (Some(trade), Some(quote)) => Some(trade.price.clamp(quote.bid, quote.ask)),
            (Some(trade), None) => Some(trade.price),
            (None, Some(quote)) => Some(((quote.bid + quote.ask) * Decimal::new(5, 1)).normalize()),
            (None, None) => self.indication(Side::Sell).or_else(|| self.indication(Side::Buy)),
        }
    }
}
