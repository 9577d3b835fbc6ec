//! The invented market: a seeded random walk of quotes, trades and minute bars.
//!
//! Pure: one call, one message; time is passed in. Must not know who listens.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::config::{TEST_PRICE, TEST_SYMBOL};
use super::message::{Family, SimBody, SimMessage};
use crate::model::{Amount, Bar, BarKind, Digits, Fact, Price, Quote, Symbol, Timestamp};

/// The walk is reflected where a price has doubled or halved.
const SWING: i64 = 2;
/// One message in so many is a trade, the others are quotes, as on a real tape.
const TRADE_EVERY: u32 = 3;

#[derive(Debug)]
pub(super) struct Market {
    walks: Vec<Walk>,
    test: Option<Walk>,
    rng: fastrand::Rng,
    next_trade: i64,
    minute: i64,
}

/// One symbol's walk, in cents.
#[derive(Debug)]
struct Walk {
    symbol: Arc<str>,
    pair: bool,
    start: i64,
    cents: i64,
    bar: Option<Minute>,
}

/// The trades of a minute.
#[derive(Debug)]
struct Minute {
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: Decimal,
    paid: Decimal,
    count: u64,
}

impl Market {
    pub(super) fn new(seed: u64, symbols: &[(Symbol, Price)], now: Timestamp) -> Market {
        let walk = |symbol: &str, price: Option<Decimal>| {
            let cents = i64::try_from((price? * Decimal::ONE_HUNDRED).round().mantissa()).ok()?.max(1);
            Some(Walk { symbol: symbol.into(), pair: Family::of(symbol) == Family::Crypto, start: cents, cents, bar: None })
        };
        Market {
            walks: symbols.iter().filter_map(|(symbol, price)| walk(symbol.as_str(), price.to_decimal())).collect(),
            test: walk(TEST_SYMBOL, TEST_PRICE.parse().ok()),
            // Not the stream of numbers that makes the ids.
            rng: fastrand::Rng::with_seed(seed ^ 0x6d61_726b_6574),
            next_trade: 1,
            minute: minute_of(now),
        }
    }

    /// The next message of a symbol of its own choice.
    pub(super) fn step(&mut self, now: Timestamp) -> Option<SimMessage> {
        let chosen = self.rng.usize(..self.walks.len().max(1));
        let trade = self.rng.u32(..TRADE_EVERY) == 0;
        let (walk, rng) = (self.walks.get_mut(chosen)?, &mut self.rng);
        walk.step(rng, trade, &mut self.next_trade, now)
    }

    /// A quote and a trade of the test symbol.
    pub(super) fn test_step(&mut self, now: Timestamp) -> Vec<SimMessage> {
        let Some(walk) = &mut self.test else { return Vec::new() };
        [false, true].into_iter().filter_map(|trade| walk.step(&mut self.rng, trade, &mut self.next_trade, now)).collect()
    }

    /// Bars of the minute that has ended, where there were trades; empty while it lasts.
    pub(super) fn bars(&mut self, now: Timestamp) -> Vec<SimMessage> {
        let ended = self.minute;
        if minute_of(now) <= ended {
            return Vec::new();
        }
        self.minute = minute_of(now);
        let at = Timestamp::from_nanos(ended * 60_000_000_000);
        let walks = self.walks.iter_mut().chain(self.test.as_mut());
        walks.filter_map(|walk| Some(SimMessage { symbol: Arc::clone(&walk.symbol), at, body: SimBody::Fact(Fact::Bar(walk.bar.take()?.bar()?)) })).collect()
    }
}

impl Walk {
    fn step(&mut self, rng: &mut fastrand::Rng, trade: bool, next_trade: &mut i64, now: Timestamp) -> Option<SimMessage> {
        let reach = (self.cents / 5_000).max(1);
        self.cents = (self.cents + rng.i64(-reach..=reach)).clamp((self.start / SWING).max(1), self.start * SWING);
        let body = if trade {
            let size = self.size(rng);
            self.count(size);
            *next_trade += 1;
            SimBody::Trade { id: *next_trade, price: Price::new(Digits::from_decimal(money(self.cents))?).ok()?, size: amount(size)? }
        } else {
            let half = rng.i64(1..=reach.min(25) + 1);
            let bid = (self.cents - half).max(1);
            SimBody::Quote(Quote {
                bid: amount(money(bid))?,
                bid_size: amount(self.size(rng))?,
                ask: amount(money(self.cents + half))?,
                ask_size: amount(self.size(rng))?,
            })
        };
        Some(SimMessage { symbol: Arc::clone(&self.symbol), at: now, body })
    }

    fn size(&self, rng: &mut fastrand::Rng) -> Decimal {
        if self.pair { Decimal::new(rng.i64(1..=20_000), 4) } else { Decimal::from(rng.i64(1..=10) * if rng.bool() { 100 } else { 1 }) }
    }

    fn count(&mut self, size: Decimal) {
        let cents = self.cents;
        let new = || Minute { open: cents, high: cents, low: cents, close: cents, volume: Decimal::ZERO, paid: Decimal::ZERO, count: 0 };
        let minute = self.bar.get_or_insert_with(new);
        (minute.high, minute.low, minute.close) = (minute.high.max(cents), minute.low.min(cents), cents);
        minute.volume += size;
        minute.paid += size * money(cents);
        minute.count += 1;
    }
}

impl Minute {
    fn bar(self) -> Option<Bar> {
        let digits = |cents| Digits::from_decimal(money(cents));
        Some(Bar {
            kind: BarKind::Minute,
            open: digits(self.open)?,
            high: digits(self.high)?,
            low: digits(self.low)?,
            close: digits(self.close)?,
            volume: amount(self.volume)?,
            vwap: self.paid.checked_div(self.volume).and_then(|vwap| Digits::from_decimal(vwap.round_dp(6))),
            trade_count: Some(self.count),
        })
    }
}

fn money(cents: i64) -> Decimal {
    Decimal::new(cents, 2)
}

fn amount(value: Decimal) -> Option<Amount> {
    Amount::new(Digits::from_decimal(value)?).ok()
}

fn minute_of(at: Timestamp) -> i64 {
    at.seconds().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(seed: u64) -> Market {
        let symbols = [("AAPL", "200.00"), ("F", "0.02"), ("BTC/USD", "98000")].map(|(s, p)| (s.parse().unwrap(), p.parse().unwrap()));
        Market::new(seed, &symbols, Timestamp::default())
    }

    #[test]
    fn a_seed_decides_everything() {
        let walk = |seed| {
            let mut market = market(seed);
            (0..200).map(|n| market.step(Timestamp::from_nanos(n)).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(walk(3), walk(3));
        assert_ne!(walk(3), walk(4));
    }

    #[test]
    fn prices_stay_within_reason_and_quotes_never_cross() {
        let mut market = market(1);
        for n in 0..50_000 {
            let message = market.step(Timestamp::from_nanos(n)).unwrap();
            let (low, high) = match &message.body {
                SimBody::Quote(q) => (q.bid.to_decimal().unwrap(), q.ask.to_decimal().unwrap()),
                SimBody::Trade { price, .. } => (price.to_decimal().unwrap() - Decimal::ONE, price.to_decimal().unwrap()),
                SimBody::Fact(_) => panic!("a fact out of a step"),
            };
            assert!(low < high && high.scale() <= 2, "{message:?}");
            assert!(&*message.symbol != "AAPL" || (Decimal::from(95)..Decimal::from(405)).contains(&high), "{message:?}");
        }
    }

    #[test]
    fn a_minute_ends_with_bars_of_its_trades() {
        let mut market = market(2);
        let trades = (0..500).filter(|n| matches!(market.step(Timestamp::from_nanos(*n)).unwrap().body, SimBody::Trade { .. })).count();
        assert!(market.bars(Timestamp::from_nanos(59_000_000_000)).is_empty());
        let bars = market.bars(Timestamp::from_nanos(60_000_000_000));
        let counted: u64 = bars.iter().map(|m| if let SimBody::Fact(Fact::Bar(bar)) = &m.body { bar.trade_count.unwrap() } else { 0 }).sum();
        assert_eq!((bars.len(), counted), (3, trades as u64));
        assert!(market.bars(Timestamp::from_nanos(120_000_000_000)).is_empty());
        assert_eq!(market.test_step(Timestamp::default()).len(), 2);
    }
}
