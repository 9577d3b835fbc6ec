//! What the desk knows of each symbol's market: the last quote, the last trade, and when they were seen.
//!
//! Must not know brokers or where prices come from.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rust_decimal::Decimal;

use crate::events::{MarketDataEvent, MarketSight};
use crate::model::{ExchangeName, MarketSession, Symbol, Timestamp};
use crate::risk::Sight;

/// How long nobody waits again for a symbol without prices: its orders must not hold up the others of a bot.
const VAIN_FOR: Duration = Duration::from_secs(10);

type Key = (ExchangeName, Symbol);

/// The last prices of one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    bid: Option<Decimal>,
    ask: Option<Decimal>,
    last: Option<Decimal>,
    at: Option<Timestamp>,
}

/// Shared by the thread that hears of prices and the workers that ask for them.
#[derive(Debug, Default)]
pub struct Sights {
    seen: Mutex<HashMap<Key, Seen>>,
    /// Symbols that were waited for in vain, and until when nobody waits for them again.
    vain: Mutex<HashMap<Key, Instant>>,
    changed: Condvar,
}

impl Sights {
    /// Takes a price up.
    pub fn see(&self, event: &MarketDataEvent, received: Timestamp) {
        let key = (event.exchange.clone(), event.symbol.clone());
        let shown = |price: Decimal| (!price.is_zero()).then_some(price);
        let mut all = self.seen.lock();
        let seen = all.entry(key).or_default();
        match event.seen {
            MarketSight::Trade { price, .. } => seen.last = Some(price),
            MarketSight::Quote { bid, ask, .. } => (seen.bid, seen.ask) = (shown(bid), shown(ask)),
            MarketSight::Halted | MarketSight::Resumed | MarketSight::Limits { .. } | MarketSight::Session(_) => return,
        }
        // By our own clock: a venue's clock that is ahead would make an old price look fresh. A trade makes no quote
        // younger.
        if seen.at.is_none() || matches!(event.seen, MarketSight::Quote { .. }) || (seen.bid.is_none() && seen.ask.is_none()) {
            seen.at = Some(received);
        }
        self.changed.notify_all();
    }

    /// What the check may know of a symbol.
    pub fn of(&self, exchange: &ExchangeName, symbol: &Symbol, session: MarketSession) -> Sight {
        let seen = self.seen.lock().get(&(exchange.clone(), symbol.clone())).copied().unwrap_or_default();
        Sight { bid: seen.bid, ask: seen.ask, last: seen.last, seen_at: seen.at, session }
    }

    /// Waits until a quote of the symbol has been seen; false when none came in time.
    pub fn wait_for_quote(&self, exchange: &ExchangeName, symbol: &Symbol, patience: Duration) -> bool {
        let key = (exchange.clone(), symbol.clone());
        let now = Instant::now();
        if self.vain.lock().get(&key).is_some_and(|until| now < *until) {
            return false;
        }
        let mut all = self.seen.lock();
        loop {
            if all.get(&key).is_some_and(|seen| seen.bid.is_some() || seen.ask.is_some()) {
                return true;
            }
            if self.changed.wait_until(&mut all, now + patience).timed_out() {
                break;
            }
        }
        drop(all);
        let mut vain = self.vain.lock();
        vain.retain(|_, until| now < *until);
        vain.insert(key, now + patience + VAIN_FOR);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(bid: u32, ask: u32, at: i64) -> MarketDataEvent {
        let seen = MarketSight::Quote { bid: bid.into(), bid_size: 1.into(), ask: ask.into(), ask_size: 1.into() };
        MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: "AAPL".parse().unwrap(), at: Timestamp::from_nanos(at), seen }
    }

    #[test]
    fn a_side_where_nobody_stands_has_no_price_and_a_trade_makes_no_quote_younger() {
        let sights = Sights::default();
        sights.see(&quote(100, 0, 900), Timestamp::from_nanos(5));
        sights.see(&MarketDataEvent { seen: MarketSight::Trade { price: 99.into(), size: 1.into() }, ..quote(0, 0, 4) }, Timestamp::from_nanos(8));
        let sight = sights.of(&"alpaca".parse().unwrap(), &"AAPL".parse().unwrap(), MarketSession::Regular);
        assert_eq!((sight.bid, sight.ask, sight.last), (Some(100.into()), None, Some(99.into())));
        assert_eq!(sight.seen_at, Some(Timestamp::from_nanos(5)));
    }

    #[test]
    fn who_waits_is_woken_by_the_first_quote() {
        let sights = Sights::default();
        let (exchange, symbol) = ("alpaca".parse().unwrap(), "AAPL".parse().unwrap());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| sights.wait_for_quote(&exchange, &symbol, Duration::from_secs(10)));
            sights.see(&quote(1, 2, 1), Timestamp::default());
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn nobody_waits_twice_for_a_symbol_that_has_no_prices() {
        let sights = Sights::default();
        let (exchange, symbol) = ("alpaca".parse().unwrap(), "ZZZZ".parse().unwrap());
        assert!(!sights.wait_for_quote(&exchange, &symbol, Duration::from_millis(20)));
        let began = Instant::now();
        assert!(!sights.wait_for_quote(&exchange, &symbol, Duration::from_secs(60)));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
