//! A trade, a quote, and what the trades of a stretch of time come to.

use rust_decimal::Decimal;

use crate::model::{Amount, Bar, BarKind, Digits, Timestamp};

/// Decimals of a volume-weighted price.
const VWAP_DECIMALS: u32 = 6;

/// One trade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::sim) struct Print {
    pub at: Timestamp,
    pub id: i64,
    pub price: Decimal,
    pub size: Decimal,
}

/// One quote.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::sim) struct Offer {
    pub at: Timestamp,
    pub bid: Decimal,
    pub bid_size: Decimal,
    pub ask: Decimal,
    pub ask_size: Decimal,
}

/// The trades of a minute, or of many minutes in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::sim) struct Sum {
    pub open: Decimal,
    pub high: Decimal,
    pub low: Decimal,
    pub close: Decimal,
    pub volume: Decimal,
    /// Price times size over all trades.
    pub paid: Decimal,
    pub count: u64,
}

impl Sum {
    pub(in crate::sim) fn of(price: Decimal, size: Decimal) -> Sum {
        Sum { open: price, high: price, low: price, close: price, volume: size, paid: price.saturating_mul(size), count: 1 }
    }

    /// What comes after these trades.
    pub(in crate::sim) fn append(&mut self, later: &Sum) {
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume = self.volume.saturating_add(later.volume);
        self.paid = self.paid.saturating_add(later.paid);
        self.count += later.count;
    }

    /// A trade that is reported late: it counts, and the close stays.
    pub(in crate::sim) fn add_late(&mut self, late: &Sum) {
        let close = self.close;
        self.append(late);
        self.close = close;
    }

    /// The sum of stretches in their order; `None` of none.
    pub(in crate::sim) fn fold(total: &mut Option<Sum>, later: &Sum) {
        match total {
            Some(sum) => sum.append(later),
            None => *total = Some(*later),
        }
    }

    pub(in crate::sim) fn vwap(&self) -> Option<Decimal> {
        Some(self.paid.checked_div(self.volume)?.round_dp(VWAP_DECIMALS).normalize())
    }

    /// As a message; `None` of numbers that no venue would send.
    pub(in crate::sim) fn bar(&self, kind: BarKind) -> Option<Bar> {
        Some(Bar {
            kind,
            open: Digits::from_decimal(self.open)?,
            high: Digits::from_decimal(self.high)?,
            low: Digits::from_decimal(self.low)?,
            close: Digits::from_decimal(self.close)?,
            volume: amount(self.volume)?,
            vwap: self.vwap().and_then(Digits::from_decimal),
            trade_count: Some(self.count),
        })
    }
}

pub(super) fn money(cents: i64) -> Decimal {
    Decimal::new(cents, 2)
}

pub(super) fn amount(value: Decimal) -> Option<Amount> {
    Amount::new(Digits::from_decimal(value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(price: &str, size: &str) -> Sum {
        Sum::of(price.parse().unwrap(), size.parse().unwrap())
    }

    #[test]
    fn trades_add_up_and_late_ones_leave_the_close() {
        let mut total = None;
        for (price, size) in [("10", "1"), ("12", "2"), ("9", "3"), ("11", "4")] {
            Sum::fold(&mut total, &sum(price, size));
        }
        let mut total = total.unwrap();
        total.add_late(&sum("13", "0.5"));
        let texts = [total.open, total.high, total.low, total.close, total.volume, total.paid].map(|d| d.normalize().to_string());
        assert_eq!((texts.each_ref().map(String::as_str), total.count), (["10", "13", "9", "11", "10.5", "111.5"], 5));
        assert_eq!(total.vwap().unwrap().to_string(), "10.619048");
        assert_eq!(total.bar(BarKind::Day).unwrap().volume.to_string(), "10.5");
    }

    #[test]
    fn absurd_numbers_end_in_no_panic() {
        let mut huge = Sum::of(Decimal::MAX, Decimal::MAX);
        huge.append(&huge.clone());
        assert_eq!(huge.volume, Decimal::MAX);
        assert_eq!(huge.bar(BarKind::Minute), None);
        assert_eq!(Sum::of(Decimal::ONE, Decimal::ZERO).vwap(), None);
    }
}
