//! The invented past: what was traded in any minute before the exchange was started.
//!
//! Every minute follows from the seed, the symbol and its number alone, so that it can be asked for in any order, and bars,
//! trades and quotes of it agree. Calculated in whole cents: the same on every machine.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rust_decimal::Decimal;

use super::sum::{Offer, Print, Sum, money};
use crate::calendar::Calendar;
use crate::model::{Price, Symbol, Timestamp};
use crate::sim::config::{TEST_PRICE, TEST_SYMBOL};
use crate::sim::message::Family;

const MINUTE: i64 = 60_000_000_000;
/// Nothing is known from before 2016, as at the real venue.
pub(in crate::sim) const EARLIEST: i64 = 1_451_606_400 / 60;
/// Waves that the price is made of: their length in minutes, and how far each may move it, in millionths.
const WAVES: [(i64, i64); 7] = [(525_600, 150_000), (43_200, 60_000), (10_080, 25_000), (1_440, 10_000), (120, 3_000), (10, 1_000), (1, 400)];
const MILLION: i64 = 1_000_000;
/// So many minutes before the start the waves begin to calm down, so that they end at the price that the live market
/// begins with.
const CALM: i64 = 7 * 1_440;
/// Trades in a minute.
const TRADES: std::ops::RangeInclusive<usize> = 4..=12;
const MOST_TRADES: usize = *TRADES.end();

/// A symbol as the past knows it.
#[derive(Debug)]
pub(in crate::sim) struct Listed {
    pub symbol: Arc<str>,
    pub pair: bool,
    /// At the start of the exchange.
    cents: i64,
    key: u64,
}

#[derive(Debug)]
pub(in crate::sim) struct History {
    /// The minute of the start.
    start: i64,
    calendar: Arc<Calendar>,
    listed: BTreeMap<Arc<str>, Listed>,
}

/// A trade in small numbers.
#[derive(Clone, Copy, Default)]
struct Raw {
    /// Nanoseconds of the minute.
    at: i64,
    cents: i64,
    units: i64,
}

/// The trades of a minute, in the order of their times.
struct Trades {
    trades: [Raw; MOST_TRADES],
    count: usize,
}

/// A sum in whole numbers.
struct RawSum {
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    units: i64,
    paid: i128,
    count: u64,
}

impl RawSum {
    fn new(open: i64) -> RawSum {
        RawSum { open, high: open, low: open, close: open, units: 0, paid: 0, count: 0 }
    }

    fn add(&mut self, minute: &Trades) {
        for trade in &minute.trades[..minute.count] {
            (self.high, self.low, self.close) = (self.high.max(trade.cents), self.low.min(trade.cents), trade.cents);
            self.units += trade.units;
            self.paid += i128::from(trade.cents) * i128::from(trade.units);
        }
        self.count += minute.count as u64;
    }

    fn sum(&self, scale: u32) -> Sum {
        let [open, high, low, close] = [self.open, self.high, self.low, self.close].map(money);
        let (volume, paid) = (Decimal::new(self.units, scale), Decimal::from_i128_with_scale(self.paid, scale + 2));
        Sum { open, high, low, close, volume, paid, count: self.count }
    }
}

impl History {
    pub(super) fn new(seed: u64, symbols: &[(Symbol, Price)], start: Timestamp, calendar: Arc<Calendar>) -> History {
        let test = TEST_PRICE.parse::<Decimal>().ok().map(|price| (TEST_SYMBOL.to_owned(), price));
        let symbols = symbols.iter().filter_map(|(symbol, price)| Some((symbol.to_string(), price.to_decimal()?)));
        let listed = symbols.chain(test).map(|(symbol, price)| Listed::new(&symbol, price, seed));
        History { start: minute_of(start), calendar, listed: listed.map(|l| (Arc::clone(&l.symbol), l)).collect() }
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    pub(super) fn listed(&self, symbol: &str) -> Option<&Listed> {
        self.listed.get(symbol)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Listed> {
        self.listed.values()
    }

    /// The minutes of trading among these.
    pub(super) fn open(&self, listed: &Listed, minutes: Range<i64>) -> Vec<Range<i64>> {
        let minutes = minutes.start.max(EARLIEST)..minutes.end;
        if minutes.is_empty() || listed.pair {
            return vec![minutes];
        }
        let [first, last] = [minutes.start, minutes.end].map(|minute| self.calendar.date_at(time_of(minute)));
        let days = self.calendar.days(first, last).map(|day| minute_of(day.open).max(minutes.start)..minute_of(day.close).min(minutes.end));
        days.filter(|hours| !hours.is_empty()).collect()
    }

    pub(super) fn sum(&self, listed: &Listed, minute: i64) -> Sum {
        let (open, close) = (self.cents(listed, minute), self.cents(listed, minute + 1));
        let mut raw = RawSum::new(open);
        raw.add(&listed.raw(minute, open, close));
        raw.sum(listed.scale())
    }

    /// The sum of minutes in a row; `None` of none.
    pub(super) fn total(&self, listed: &Listed, minutes: Range<i64>) -> Option<Sum> {
        let mut open = self.cents(listed, minutes.start);
        let mut raw = RawSum::new(open);
        let any = !minutes.is_empty();
        for minute in minutes {
            let close = self.cents(listed, minute + 1);
            raw.add(&listed.raw(minute, open, close));
            open = close;
        }
        any.then(|| raw.sum(listed.scale()))
    }

    pub(super) fn prints(&self, listed: &Listed, minute: i64) -> impl Iterator<Item = Print> {
        let Trades { trades, count } = self.raw(listed, minute);
        let scale = listed.scale();
        let print = move |(n, raw): (usize, Raw)| Print {
            at: Timestamp::from_nanos(minute * MINUTE + raw.at),
            id: minute * 100 + n as i64,
            price: money(raw.cents),
            size: Decimal::new(raw.units, scale),
        };
        trades.into_iter().take(count).enumerate().map(print)
    }

    /// A quote around every trade, a moment before it.
    pub(super) fn offers(&self, listed: &Listed, minute: i64) -> impl Iterator<Item = Offer> {
        let Trades { trades, count } = self.raw(listed, minute);
        let mut rng = fastrand::Rng::with_seed(mix(listed.key ^ 0x71_756f_7465, minute));
        let scale = listed.scale();
        let offer = move |raw: Raw| {
            let half = rng.i64(1..=(raw.cents / 10_000).clamp(1, 10));
            let mut size = || Decimal::new(rng.i64(1..=20) * 100, scale);
            Offer {
                at: Timestamp::from_nanos(minute * MINUTE + raw.at - raw.at.min(1_000_000)),
                bid: money((raw.cents - half).max(0)),
                bid_size: size(),
                ask: money(raw.cents + half),
                ask_size: size(),
            }
        };
        trades.into_iter().take(count).map(offer)
    }

    fn raw(&self, listed: &Listed, minute: i64) -> Trades {
        listed.raw(minute, self.cents(listed, minute), self.cents(listed, minute + 1))
    }

    /// The price at the beginning of a minute.
    fn cents(&self, listed: &Listed, minute: i64) -> i64 {
        let swing: i64 = WAVES.iter().map(|(length, reach)| wave(listed.key, *length, minute) * reach / 32_768).sum();
        let swing = swing * (self.start - minute).abs().min(CALM) / CALM;
        let cents = i128::from(listed.cents) * i128::from(MILLION + swing) / i128::from(MILLION);
        i64::try_from(cents).unwrap_or(i64::MAX).max(1)
    }
}

impl Listed {
    fn new(symbol: &str, price: Decimal, seed: u64) -> Listed {
        let cents = i64::try_from((price.saturating_mul(Decimal::ONE_HUNDRED)).round().mantissa()).unwrap_or(1).clamp(1, i64::MAX / 1_000_000);
        // The letters' own hash, which no version of a library changes: FNV-1a.
        let name = symbol.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Listed { symbol: symbol.into(), pair: Family::of(symbol) == Family::Crypto, cents, key: mix(seed ^ name, 0) }
    }

    /// The trades of a minute. It opens at the price of the moment it begins and closes at that of the next minute.
    fn raw(&self, minute: i64, open: i64, close: i64) -> Trades {
        let mut rng = fastrand::Rng::with_seed(mix(self.key, minute));
        let reach = (open / 4_000).max(1);
        let high = open.max(close) + rng.i64(0..=reach);
        let low = (open.min(close) - rng.i64(0..=reach)).max(1);
        let count = rng.usize(TRADES);
        let mut trades = [Raw::default(); MOST_TRADES];
        let slot = MINUTE / count as i64;
        for (n, trade) in trades.iter_mut().take(count).enumerate() {
            trade.at = slot * n as i64 + rng.i64(1..slot);
            trade.cents = rng.i64(low..=high);
            trade.units = match (self.pair, rng.bool()) {
                (true, _) => rng.i64(1..=20_000),
                (false, round) => rng.i64(1..=10) * if round { 100 } else { 1 },
            };
        }
        // The extremes are traded somewhere between the ends.
        let top = rng.usize(1..count - 1);
        let bottom = 1 + (top + rng.usize(0..count - 3)) % (count - 2);
        trades[bottom].cents = low;
        trades[top].cents = high;
        trades[0].cents = open;
        trades[count - 1].cents = close;
        Trades { trades, count }
    }

    fn scale(&self) -> u32 {
        if self.pair { 4 } else { 0 }
    }

    pub(super) fn price(&self) -> Decimal {
        money(self.cents)
    }
}

/// A wave of straight lines between random heights, one every `length` minutes; within ±32768.
fn wave(key: u64, length: i64, minute: i64) -> i64 {
    let (node, past) = (minute.div_euclid(length), minute.rem_euclid(length));
    let height = |node| i64::from(mix(key ^ length.unsigned_abs(), node) as i16);
    let from = height(node);
    if past == 0 { from } else { (from * (length - past) + height(node + 1) * past) / length }
}

/// Well mixed bits of a key and a number: the finaliser of SplitMix64.
fn mix(key: u64, number: i64) -> u64 {
    let mut bits = key.wrapping_add((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

pub(in crate::sim) fn minute_of(at: Timestamp) -> i64 {
    at.seconds().div_euclid(60)
}

pub(in crate::sim) fn time_of(minute: i64) -> Timestamp {
    Timestamp::from_nanos(minute.saturating_mul(MINUTE))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(seed: u64) -> History {
        let symbols = [("AAPL", "228.50"), ("F", "0.02"), ("BTC/USD", "98250")].map(|(s, p)| (s.parse().unwrap(), p.parse().unwrap()));
        History::new(seed, &symbols, "2026-11-20T15:00:00Z".parse().unwrap(), Arc::new(Calendar::us_equities()))
    }

    proptest! {
        #[test]
        fn bar_trades_and_quotes_of_a_minute_agree(minute in EARLIEST..29_900_000_i64, seed in 0..5_u64, which in 0..3_usize) {
            let history = history(seed);
            let listed = history.all().nth(which).unwrap();
            let sum = history.sum(listed, minute);
            let prints: Vec<Print> = history.prints(listed, minute).collect();
            let mut total = None;
            prints.iter().for_each(|print| Sum::fold(&mut total, &Sum::of(print.price, print.size)));
            prop_assert_eq!(total, Some(sum));
            prop_assert!(sum.low > Decimal::ZERO && sum.low <= sum.open.min(sum.close) && sum.high >= sum.open.max(sum.close));
            prop_assert!(prints.windows(2).all(|pair| pair[0].at < pair[1].at && pair[0].id < pair[1].id));
            prop_assert!(prints.iter().all(|print| minute_of(print.at) == minute && print.size > Decimal::ZERO));
            for offer in history.offers(listed, minute) {
                prop_assert!(offer.bid < offer.ask && minute_of(offer.at) == minute);
            }
            prop_assert_eq!(history.sum(listed, minute + 1).open, sum.close);
        }
    }

    #[test]
    fn the_seed_decides_and_the_past_ends_where_the_present_begins() {
        let (one, same, other) = (history(1), history(1), history(2));
        let of = |h: &History| (0..200).map(|n| h.sum(h.listed("AAPL").unwrap(), 29_000_000 + n)).collect::<Vec<_>>();
        assert_eq!(of(&one), of(&same));
        assert_ne!(of(&one), of(&other));
        for listed in one.all() {
            assert_eq!(one.sum(listed, one.start - 1).close, listed.price(), "{}", listed.symbol);
        }
    }

    #[test]
    fn far_from_the_start_the_past_does_not_depend_on_it() {
        let symbols = [("AAPL".parse().unwrap(), "228.50".parse().unwrap())];
        let from = |start: &str| History::new(1, &symbols, start.parse().unwrap(), Arc::new(Calendar::us_equities()));
        let (early, late) = (from("2026-01-05T15:00:00Z"), from("2026-11-20T15:00:00Z"));
        let minute = minute_of("2025-06-02T15:00:00Z".parse().unwrap());
        assert_eq!(early.sum(early.listed("AAPL").unwrap(), minute), late.sum(late.listed("AAPL").unwrap(), minute));
    }

    #[test]
    fn equities_keep_the_hours_and_crypto_does_not() {
        let history = history(1);
        let minute = |text: &str| minute_of(text.parse().unwrap());
        let week = minute("2026-11-23T00:00:00Z")..minute("2026-11-30T00:00:00Z");
        let open = |symbol| history.open(history.listed(symbol).unwrap(), week.clone()).iter().map(|r| r.end - r.start).collect::<Vec<_>>();
        // Thanksgiving, and half a day after it.
        assert_eq!(open("AAPL"), [390, 390, 390, 210]);
        assert_eq!(open("BTC/USD"), [7 * 1_440]);
        assert!(history.open(history.listed("AAPL").unwrap(), 0..EARLIEST).iter().all(Range::is_empty));
    }
}
