//! The venue's JSON of past prices, clock, calendar and assets. Numbers keep every digit: they are read from their text.
//!
//! Must not know how it was asked for.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::facts::{Asset, PastBar, PastQuote, PastTrade, Snapshot, VenueClock, VenueDay};
use crate::model::{Symbol, Timestamp};

/// What each symbol has, where it has anything.
pub(super) type Each<T> = BTreeMap<String, Option<T>>;

/// A JSON number or a string that holds one.
pub(super) struct Number(Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Number, D::Error> {
        let text = <&RawValue>::deserialize(from)?.get();
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let number = if bare.contains(['e', 'E']) { Decimal::from_scientific(bare) } else { bare.parse() };
        number.map(Number).map_err(|_| D::Error::custom("a number that is no decimal"))
    }
}

pub(super) struct Moment(Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Moment).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
pub(super) struct Trade {
    t: Moment,
    p: Number,
    s: Number,
}

#[derive(Deserialize)]
pub(super) struct Quote {
    t: Moment,
    bp: Number,
    bs: Number,
    ap: Number,
    #[serde(rename = "as")]
    ask_size: Number,
}

#[derive(Deserialize)]
pub(super) struct Bar {
    t: Moment,
    o: Number,
    h: Number,
    l: Number,
    c: Number,
    v: Number,
    #[serde(default)]
    n: u64,
    #[serde(default)]
    vw: Option<Number>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shot {
    #[serde(default)]
    latest_trade: Option<Trade>,
    #[serde(default)]
    latest_quote: Option<Quote>,
    #[serde(default)]
    minute_bar: Option<Bar>,
    #[serde(default)]
    daily_bar: Option<Bar>,
    #[serde(default)]
    prev_daily_bar: Option<Bar>,
}

#[derive(Deserialize)]
pub(super) struct Trades {
    pub trades: Each<Trade>,
}

#[derive(Deserialize)]
pub(super) struct Quotes {
    pub quotes: Each<Quote>,
}

/// Those of pairs stand under a name, those of stocks do not.
#[derive(Deserialize)]
pub(super) struct Shots {
    pub snapshots: Each<Shot>,
}

#[derive(Deserialize)]
pub(super) struct BarPage {
    #[serde(default)]
    pub bars: Option<Each<Vec<Bar>>>,
    #[serde(default)]
    pub next_page_token: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Clock {
    timestamp: Moment,
    is_open: bool,
    next_open: Moment,
    next_close: Moment,
}

#[derive(Deserialize)]
pub(super) struct Day {
    date: String,
    open: String,
    close: String,
    #[serde(default)]
    session_open: Option<String>,
    #[serde(default)]
    session_close: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Listing {
    id: String,
    symbol: String,
    class: String,
    exchange: String,
    status: String,
    tradable: bool,
    #[serde(default)]
    marginable: bool,
    #[serde(default)]
    shortable: bool,
    #[serde(default)]
    fractionable: bool,
    #[serde(default)]
    min_order_size: Option<Number>,
    #[serde(default)]
    min_trade_increment: Option<Number>,
    #[serde(default)]
    price_increment: Option<Number>,
}

impl From<Trade> for PastTrade {
    fn from(trade: Trade) -> PastTrade {
        PastTrade { at: trade.t.0, price: trade.p.0, size: trade.s.0 }
    }
}

impl From<Quote> for PastQuote {
    fn from(quote: Quote) -> PastQuote {
        PastQuote { at: quote.t.0, bid: quote.bp.0, bid_size: quote.bs.0, ask: quote.ap.0, ask_size: quote.ask_size.0 }
    }
}

impl From<Bar> for PastBar {
    fn from(bar: Bar) -> PastBar {
        let [open, high, low, close, volume] = [bar.o, bar.h, bar.l, bar.c, bar.v].map(|number| number.0);
        PastBar { at: bar.t.0, open, high, low, close, volume, trades: bar.n, vwap: bar.vw.map(|number| number.0) }
    }
}

impl From<Shot> for Snapshot {
    fn from(shot: Shot) -> Snapshot {
        Snapshot {
            trade: shot.latest_trade.map(Into::into),
            quote: shot.latest_quote.map(Into::into),
            minute: shot.minute_bar.map(Into::into),
            day: shot.daily_bar.map(Into::into),
            previous_day: shot.prev_daily_bar.map(Into::into),
        }
    }
}

impl From<Clock> for VenueClock {
    fn from(clock: Clock) -> VenueClock {
        VenueClock { at: clock.timestamp.0, is_open: clock.is_open, next_open: clock.next_open.0, next_close: clock.next_close.0 }
    }
}

impl Day {
    /// `None` where it is no day.
    pub fn read(&self) -> Option<VenueDay> {
        let session = self.session_open.as_deref().and_then(time).zip(self.session_close.as_deref().and_then(time));
        Some(VenueDay { date: self.date.parse().ok()?, open: time(&self.open)?, close: time(&self.close)?, session })
    }
}

/// `09:30` and `0930` are both in use.
fn time(text: &str) -> Option<jiff::civil::Time> {
    let (hour, minute) = text.split_once(':').or_else(|| text.split_at_checked(2))?;
    jiff::civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

impl Listing {
    /// `None` where its symbol is none.
    pub fn read(self) -> Option<Asset> {
        let number = |number: Option<Number>| number.map(|number| number.0);
        Some(Asset {
            symbol: self.symbol.parse().ok()?,
            id: self.id,
            class: self.class,
            listed_at: self.exchange,
            is_active: self.status == "active",
            tradable: self.tradable,
            marginable: self.marginable,
            shortable: self.shortable,
            fractionable: self.fractionable,
            min_order_size: number(self.min_order_size),
            min_trade_increment: number(self.min_trade_increment),
            price_increment: number(self.price_increment),
        })
    }
}

/// What has a symbol and a value.
pub(super) fn present<T, F: From<T>>(each: Each<T>) -> BTreeMap<Symbol, F> {
    each.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value?.into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_nothing_else_is_one() {
        let read = |text: &str| serde_json::from_str::<Vec<Number>>(&format!("[{text}]")).ok().map(|numbers| numbers[0].0.to_string());
        for (text, expected) in
            [("150.10", "150.10"), ("0.1", "0.1"), ("9007199254740993.3", "9007199254740993.3"), ("1e-7", "0.0000001"), ("\"0.0001\"", "0.0001")]
        {
            assert_eq!(read(text).as_deref(), Some(expected));
        }
        for text in ["null", "\"x\"", "{}", "true", "1e400", "\"\""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        let day =
            |open: &str| Day { date: "2026-11-27".into(), open: open.into(), close: "13:00".into(), session_open: Some("0400".into()), session_close: None };
        let read = day("09:30").read().unwrap();
        assert_eq!((read.open.to_string().as_str(), read.session), ("09:30:00", None));
        assert_eq!(day("0930").read(), Some(read));
        for open in ["", "9", "25:00", "ä30"] {
            assert_eq!(day(open).read(), None, "{open}");
        }
    }

    #[test]
    fn what_is_missing_or_has_no_name_is_left_out() {
        let shots: Each<Shot> = serde_json::from_str(
            r#"{"AAPL":{"latestTrade":{"t":"2026-11-20T14:30:00.123456789Z","p":150.10,"s":7,"x":"V"},"dailyBar":null},"GONE":null,"no name":{}}"#,
        )
        .unwrap();
        let read: BTreeMap<Symbol, Snapshot> = present(shots);
        let [(symbol, shot)] = &read.into_iter().collect::<Vec<_>>()[..] else { panic!("one is there") };
        assert_eq!((symbol.as_str(), shot.trade.as_ref().unwrap().price.to_string().as_str(), &shot.day), ("AAPL", "150.10", &None));
    }
}
