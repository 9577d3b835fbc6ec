//! The invented market: a seeded random walk of quotes and trades.
//!
//! Pure: one call, one message; time is passed in. Must not know who listens, nor what bars the trades come to.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::history::minute_of;
use super::sum::{amount, money};
use crate::model::{Digits, MarketSession, Price, Quote, Symbol, Timestamp};
use crate::sim::config::{TEST_PRICE, TEST_SYMBOL};
use crate::sim::message::{Family, SimBody, SimMessage};

/// The walk is reflected where a price has doubled or halved.
const SWING: i64 = 2;
/// One message in so many is a trade, the others are quotes, as on a real tape.
const TRADE_EVERY: u32 = 3;
/// Outside the regular session an equity moves once where it would have moved so often.
const QUIET: u32 = 10;
/// One minute of a symbol in so many gets a trade that is reported late.
const LATE_EVERY: u32 = 16;
/// When in the next minute the bar is sent again.
const LATE_AFTER: i64 = 30;

#[derive(Debug)]
pub(in crate::sim) struct Market {
    walks: Vec<Walk>,
    test: Option<Walk>,
    rng: fastrand::Rng,
    next_trade: i64,
    late: Vec<Late>,
}

/// A trade that will be reported late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Late {
    pub symbol: Arc<str>,
    /// The minute that it belongs to.
    pub minute: i64,
    pub id: i64,
}

/// One symbol's walk, in cents.
#[derive(Debug)]
struct Walk {
    symbol: Arc<str>,
    pair: bool,
    start: i64,
    cents: i64,
}

impl Market {
    pub(in crate::sim) fn new(seed: u64, symbols: &[(Symbol, Price)]) -> Market {
        let walk = |symbol: &str, price: Option<Decimal>| {
            let cents = i64::try_from((price? * Decimal::ONE_HUNDRED).round().mantissa()).ok()?.max(1);
            Some(Walk { symbol: symbol.into(), pair: Family::of(symbol) == Family::Crypto, start: cents, cents })
        };
        Market {
            walks: symbols.iter().filter_map(|(symbol, price)| walk(symbol.as_str(), price.to_decimal())).collect(),
            test: walk(TEST_SYMBOL, TEST_PRICE.parse().ok()),
            // Not the stream of numbers that makes the ids.
            rng: fastrand::Rng::with_seed(seed ^ 0x6d61_726b_6574),
            next_trade: 1,
            late: Vec::new(),
        }
    }

    /// The next message of a symbol of its own choice. Equities rest while their market is closed, and hardly move
    /// before and after the regular session.
    pub(in crate::sim) fn step(&mut self, now: Timestamp, session: MarketSession) -> Option<SimMessage> {
        let chosen = self.rng.usize(..self.walks.len().max(1));
        let trade = self.rng.u32(..TRADE_EVERY) == 0;
        let (walk, rng) = (self.walks.get_mut(chosen)?, &mut self.rng);
        let moves = match session {
            MarketSession::Regular => true,
            _ if walk.pair => true,
            MarketSession::Closed => false,
            MarketSession::Pre | MarketSession::Post => rng.u32(..QUIET) == 0,
        };
        if moves { walk.step(rng, trade, &mut self.next_trade, now) } else { None }
    }

    /// A quote and a trade of the test symbol.
    pub(in crate::sim) fn test_step(&mut self, now: Timestamp) -> Vec<SimMessage> {
        let Some(walk) = &mut self.test else { return Vec::new() };
        [false, true].into_iter().filter_map(|trade| walk.step(&mut self.rng, trade, &mut self.next_trade, now)).collect()
    }

    /// These symbols had a bar of that minute: some of them will get a late trade.
    pub(in crate::sim) fn minute_ended(&mut self, minute: i64, symbols: impl Iterator<Item = Arc<str>>) {
        for symbol in symbols {
            if self.rng.u32(..LATE_EVERY) == 0 {
                self.next_trade += 1;
                self.late.push(Late { symbol, minute, id: self.next_trade });
            }
        }
    }

    /// The late trades whose time has come.
    pub(in crate::sim) fn late(&mut self, now: Timestamp) -> Vec<Late> {
        let due = |late: &mut Late| now.seconds() >= (late.minute + 1) * 60 + LATE_AFTER || minute_of(now) > late.minute + 1;
        self.late.extract_if(.., due).collect()
    }
}

impl Walk {
    fn step(&mut self, rng: &mut fastrand::Rng, trade: bool, next_trade: &mut i64, now: Timestamp) -> Option<SimMessage> {
        let reach = (self.cents / 5_000).max(1);
        self.cents = (self.cents + rng.i64(-reach..=reach)).clamp((self.start / SWING).max(1), self.start * SWING);
        let body = if trade {
            let size = self.size(rng);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(seed: u64) -> Market {
        let symbols = [("AAPL", "200.00"), ("F", "0.02"), ("BTC/USD", "98000")].map(|(s, p)| (s.parse().unwrap(), p.parse().unwrap()));
        Market::new(seed, &symbols)
    }

    #[test]
    fn a_seed_decides_everything() {
        let walk = |seed| {
            let mut market = market(seed);
            (0..200).map(|n| market.step(Timestamp::from_nanos(n), MarketSession::Regular).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(walk(3), walk(3));
        assert_ne!(walk(3), walk(4));
    }

    #[test]
    fn prices_stay_within_reason_and_quotes_never_cross() {
        let mut market = market(1);
        for n in 0..50_000 {
            let message = market.step(Timestamp::from_nanos(n), MarketSession::Regular).unwrap();
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
    fn equities_rest_when_their_market_does() {
        let mut market = market(2);
        let mut equities = |session| {
            let messages = (0..6_000).filter_map(|n| market.step(Timestamp::from_nanos(n), session));
            let (pairs, equities): (Vec<_>, Vec<_>) = messages.partition(|m| m.symbol.contains('/'));
            assert!((1_800..2_200).contains(&pairs.len()), "{}", pairs.len());
            equities.len()
        };
        assert_eq!(equities(MarketSession::Closed), 0);
        assert!((300..500).contains(&equities(MarketSession::Pre)));
        assert!(equities(MarketSession::Regular) > 3_500);
        assert_eq!(market.test_step(Timestamp::default()).len(), 2);
    }

    #[test]
    fn some_minutes_get_a_late_trade_in_the_middle_of_the_next() {
        let mut market = market(2);
        market.minute_ended(10, (0..1_000).map(|_| "AAPL".into()));
        assert!(market.late(Timestamp::from_nanos(689_000_000_000)).is_empty());
        let late = market.late(Timestamp::from_nanos(690_000_000_000));
        assert!((30..100).contains(&late.len()) && late.iter().all(|late| late.minute == 10));
        assert!(market.late(Timestamp::from_nanos(690_000_000_000)).is_empty());
    }
}
