//! The market of the exchange: what is invented, what was emitted, and the past before that.
//!
//! Pure but for one lock, under which nothing blocks: time is passed in. Must not know who listens or asks.

mod history;
mod replay;
mod sum;
mod tape;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

pub(super) use history::{EARLIEST, Listed, minute_of, time_of};
pub use replay::ReplayError;
pub(super) use replay::{Frame, Replay};
pub(super) use sum::{Offer, Print, Sum};
pub(super) use walk::{Late, Market};

use super::config::{Hours, SimConfig};
use super::message::{SimBody, SimMessage};
use crate::calendar::Calendar;
use crate::model::{BarKind, Fact, MarketSession, Price, Symbol, Timestamp};
use history::History;
use sum::amount;
use tape::Tape;
pub(super) use tape::sight_of;

/// Days looked back for a last bar: longer than any row of holidays.
const LOOK_BACK: i32 = 10;

/// Everything that can be known of the market up to now.
#[derive(Debug)]
pub(super) struct MarketData {
    calendar: Arc<Calendar>,
    hours: Hours,
    symbols: Vec<(Symbol, Price)>,
    seed: u64,
    history: History,
    tape: Mutex<Tape>,
    /// The session that somebody has set, where no calendar does.
    by_hand: Mutex<Option<MarketSession>>,
}

impl MarketData {
    pub(super) fn new(config: &SimConfig, start: Timestamp) -> MarketData {
        let calendar = Arc::new(Calendar::us_equities());
        let history = History::new(config.seed, &config.symbols, start, Arc::clone(&calendar));
        let tape = Mutex::new(Tape::new(&history, start));
        MarketData { calendar, hours: config.hours, symbols: config.symbols.clone(), seed: config.seed, history, tape, by_hand: Mutex::default() }
    }

    pub(super) fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    pub(super) fn hours(&self) -> Hours {
        self.hours
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// The session that equities are in.
    pub(super) fn session_at(&self, at: Timestamp) -> MarketSession {
        match self.hours {
            Hours::Always => MarketSession::Regular,
            Hours::Calendar => self.calendar.session_at(at),
        }
    }

    /// The session that equities are in now, which may have been set by hand.
    pub(super) fn session_now(&self, now: Timestamp) -> MarketSession {
        self.by_hand.lock().unwrap_or_else(|| self.session_at(now))
    }

    /// Sets the session of a market that never closes by itself.
    pub(super) fn set_session(&self, session: MarketSession) {
        *self.by_hand.lock() = Some(session);
    }

    /// The symbols that are traded, in order.
    pub(super) fn symbols(&self) -> impl Iterator<Item = &str> {
        self.symbols.iter().map(|(symbol, _)| symbol.as_str())
    }

    pub(super) fn listed(&self, symbol: &str) -> Option<&Listed> {
        self.history.listed(symbol)
    }

    /// Takes in what is emitted.
    pub(super) fn note(&self, messages: &[SimMessage]) {
        let mut tape = self.tape.lock();
        messages.iter().for_each(|message| tape.note(message));
    }

    /// Leaves out what is about a symbol whose trading is halted.
    pub(super) fn drop_halted(&self, messages: &mut Vec<SimMessage>) {
        let tape = self.tape.lock();
        messages.retain(|message| !tape.is_halted(&message.symbol));
    }

    pub(super) fn last(&self, listed: &Listed) -> Option<(Print, Offer)> {
        self.tape.lock().last(&listed.symbol)
    }

    /// Shows the minutes with trades among these, in order.
    pub(super) fn each_minute(&self, listed: &Listed, among: Range<i64>, mut show: impl FnMut(i64, &Sum)) {
        let (floor, live) = self.live(listed, &among);
        for hours in self.history.open(listed, among.start..among.end.min(floor)) {
            hours.for_each(|minute| show(minute, &self.history.sum(listed, minute)));
        }
        live.iter().for_each(|(minute, sum)| show(*minute, sum));
    }

    /// What the trades of these minutes come to, as a bar of a day or longer counts them: those of the regular session.
    pub(super) fn total(&self, listed: &Listed, among: Range<i64>) -> Option<Sum> {
        let (floor, live) = self.live(listed, &among);
        let mut total = None;
        for hours in self.history.open(listed, among.start..among.end.min(floor)) {
            self.history.total(listed, hours).iter().for_each(|sum| Sum::fold(&mut total, sum));
        }
        let counts = |minute| listed.pair || self.session_at(time_of(minute)) == MarketSession::Regular;
        live.iter().filter(|(minute, _)| counts(*minute)).for_each(|(_, sum)| Sum::fold(&mut total, sum));
        total
    }

    /// The minutes that were emitted among these, and since when all that was is known.
    fn live(&self, listed: &Listed, among: &Range<i64>) -> (i64, Vec<(i64, Sum)>) {
        let tape = self.tape.lock();
        (tape.floor(&listed.symbol), tape.minutes(&listed.symbol, among))
    }

    pub(super) fn prints(&self, listed: &Listed, among: Range<i64>) -> Vec<Print> {
        let (floor, mut live) = {
            let tape = self.tape.lock();
            (tape.floor(&listed.symbol), tape.prints(&listed.symbol, &among))
        };
        let hours = self.history.open(listed, among.start..among.end.min(floor));
        let mut prints: Vec<Print> = hours.into_iter().flatten().flat_map(|minute| self.history.prints(listed, minute)).collect();
        prints.append(&mut live);
        prints
    }

    pub(super) fn offers(&self, listed: &Listed, among: Range<i64>) -> Vec<Offer> {
        let (floor, mut live) = {
            let tape = self.tape.lock();
            (tape.floor(&listed.symbol), tape.offers(&listed.symbol, &among))
        };
        let hours = self.history.open(listed, among.start..among.end.min(floor));
        let mut offers: Vec<Offer> = hours.into_iter().flatten().flat_map(|minute| self.history.offers(listed, minute)).collect();
        offers.append(&mut live);
        offers
    }

    /// The minutes of the market's date at a moment, up to that moment.
    fn day_until(&self, at: Timestamp) -> Range<i64> {
        minute_of(self.calendar.midnight(self.calendar.date_at(at)))..minute_of(at)
    }

    /// The latest minute with trades that has ended.
    pub(super) fn latest_minute(&self, listed: &Listed, now: Timestamp) -> Option<(i64, Sum)> {
        self.days_back(now).find_map(|day| {
            let floor = self.tape.lock().floor(&listed.symbol);
            let live = self.tape.lock().minutes(&listed.symbol, &day).last().copied();
            live.or_else(|| {
                let minute = self.history.open(listed, day.start..day.end.min(floor)).last()?.end - 1;
                (minute >= day.start).then(|| (minute, self.history.sum(listed, minute)))
            })
        })
    }

    /// The bars of the latest days with trades, newest first, each with the minute that its day begins in.
    pub(super) fn latest_days(&self, listed: &Listed, now: Timestamp) -> impl Iterator<Item = (i64, Sum)> {
        self.days_back(now).filter_map(|day| Some((day.start, self.total(listed, day)?)))
    }

    fn days_back(&self, now: Timestamp) -> impl Iterator<Item = Range<i64>> {
        let today = self.calendar.date_at(now);
        (0..LOOK_BACK).map_while(move |back| {
            let date = today.checked_sub(jiff::Span::new().days(back)).ok()?;
            let end = if back == 0 { now } else { self.calendar.midnight(date.tomorrow().ok()?) };
            Some(minute_of(self.calendar.midnight(date))..minute_of(end))
        })
    }

    /// The bars of the minutes that have ended since the last call, and the days' bars of their symbols.
    pub(super) fn ended(&self, now: Timestamp) -> Vec<SimMessage> {
        let ended = self.tape.lock().ended(now);
        if ended.is_empty() {
            return Vec::new();
        }
        let (mut bars, mut days) = (Vec::new(), Vec::new());
        for listed in self.history.all() {
            let minutes = self.tape.lock().minutes(&listed.symbol, &ended);
            bars.extend(minutes.iter().filter_map(|(minute, sum)| bar(listed, *minute, sum, BarKind::Minute)));
            if !minutes.is_empty() {
                let day = self.day_until(now);
                days.extend(self.total(listed, day.clone()).and_then(|sum| bar(listed, day.start, &sum, BarKind::Day)));
            }
        }
        bars.append(&mut days);
        bars
    }

    /// A trade that is reported late, at the price that its minute closed with: to be emitted with the bar as it is then.
    pub(super) fn late_trade(&self, late: &Late) -> Option<SimMessage> {
        let listed = self.listed(&late.symbol)?;
        let (_, sum) = self.tape.lock().minutes(&late.symbol, &(late.minute..late.minute + 1)).pop()?;
        let at = Timestamp::from_nanos(time_of(late.minute + 1).nanos() - 1);
        let price = Price::new(crate::model::Digits::from_decimal(sum.close)?).ok()?;
        let body = SimBody::Trade { id: late.id, price, size: amount(rust_decimal::Decimal::ONE)? };
        Some(SimMessage { symbol: Arc::clone(&listed.symbol), at, body })
    }

    /// The bar of a minute, sent again.
    pub(super) fn updated_bar(&self, late: &Late) -> Option<SimMessage> {
        let (minute, sum) = self.tape.lock().minutes(&late.symbol, &(late.minute..late.minute + 1)).pop()?;
        bar(self.listed(&late.symbol)?, minute, &sum, BarKind::UpdatedMinute)
    }
}

fn bar(listed: &Listed, minute: i64, sum: &Sum, kind: BarKind) -> Option<SimMessage> {
    Some(SimMessage { symbol: Arc::clone(&listed.symbol), at: time_of(minute), body: SimBody::Fact(Fact::Bar(sum.bar(kind)?)) })
}

#[cfg(test)]
mod tests;
