//! The thread that moves the market: invented or recorded prices, the sessions of the calendar, answers to orders that
//! are due.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, select};

use super::{HOUR, Shared};
use crate::model::{MarketSession, Timestamp};
use crate::sim::config::Hours;
use crate::sim::exchange::Exchange;
use crate::sim::market::{Frame, Market, MarketData, Replay, minute_of};
use crate::sim::message::{SimBody, SimMessage};

/// The market moves at most so often, by as many messages as are due.
const TICK: Duration = Duration::from_millis(10);
/// How often the test symbol moves, as on the real test feed.
const TEST_TICK: Duration = Duration::from_secs(5);
/// Recorded frames told before looking whether the exchange is to stop.
const FRAMES: usize = 1_000;

/// Where prices come from.
pub(super) enum Source {
    Invented(Market),
    Recorded { replay: Box<Replay>, next: Option<Frame> },
}

impl Source {
    pub(super) fn recorded(mut replay: Replay, begin: Timestamp) -> Source {
        replay.begin_at(begin);
        let next = read(&mut replay);
        Source::Recorded { replay: Box::new(replay), next }
    }

    fn due(&self) -> Option<Timestamp> {
        match self {
            Source::Invented(_) => None,
            Source::Recorded { next, .. } => next.as_ref().map(|frame| frame.due),
        }
    }
}

/// The next frame; a file that has become unreadable ends the recording.
fn read(replay: &mut Replay) -> Option<Frame> {
    let frame = replay.next().inspect_err(|error| log::error!("simulated exchange: the recording ends early: {error}"));
    frame.ok().flatten()
}

/// The pace of the invented market.
struct Pace {
    rate: f64,
    tick: Duration,
    started: Instant,
    produced: u64,
    next_tick: Instant,
    next_test: Instant,
}

impl Pace {
    fn new(rate: f64) -> Pace {
        let rate = if rate.is_finite() { rate.max(0.0) } else { 0.0 };
        let tick = if rate > 0.0 { Duration::from_secs_f64((1.0 / rate).clamp(TICK.as_secs_f64(), HOUR.as_secs_f64())) } else { HOUR };
        let started = Instant::now();
        Pace { rate, tick, started, produced: 0, next_tick: started + tick, next_test: started + TEST_TICK }
    }

    /// How many messages are due. Whatever a stall has held back is left out: a market does not catch up.
    fn due(&mut self, now: Instant) -> u64 {
        let wanted = ((now - self.started).as_secs_f64() * self.rate) as u64;
        let count = (wanted - self.produced.min(wanted)).min((self.rate * 0.1) as u64 + 1);
        self.produced = wanted;
        count
    }
}

/// Runs until the exchange stops.
pub(super) fn run(shared: &Shared, mut source: Source, calls: &Receiver<()>) {
    let invented = matches!(source, Source::Invented(_));
    let mut pace = Pace::new(if invented { shared.config.rate } else { 0.0 });
    let mut bell = Bell::new(shared);
    while shared.token.is_running() {
        let order = shared.exchange.lock().next_due();
        let now = Instant::now();
        let moments = [order, bell.next, source.due()].into_iter().flatten();
        let wait = moments.map(|at| shared.clock.wait_until(at, now)).fold(pace.next_tick.saturating_duration_since(now), Duration::min);
        select! {
            recv(shared.token.channel()) -> _ => return,
            recv(calls) -> _ => {}
            default(wait) => {}
        }
        bell.ring(shared);
        if order.is_some() {
            shared.with_exchange(|exchange, now| exchange.due(now));
        }
        match &mut source {
            Source::Recorded { replay, next } => tell(shared, replay, next),
            Source::Invented(market) => {
                let now = Instant::now();
                if now >= pace.next_tick {
                    pace.next_tick = now + pace.tick;
                    if pace.rate > 0.0 {
                        invent(shared, market, &mut pace, now);
                    }
                }
            }
        }
    }
}

/// Announces the sessions of the calendar.
struct Bell {
    session: MarketSession,
    /// When the next one begins; `None` when the market never closes.
    next: Option<Timestamp>,
}

/// The session that `at` lies in begins for the exchange, and the auctions that come next are known to it. A market
/// that never closes has none.
pub(super) fn enter(exchange: &mut Exchange, market: &MarketData, at: Timestamp) -> MarketSession {
    let session = market.session_at(at);
    exchange.set_session(session, at);
    let calendar = (market.hours() == Hours::Calendar).then(|| market.calendar());
    exchange.expect_auctions(calendar.and_then(|calendar| calendar.next_open(at)), calendar.and_then(|calendar| calendar.next_close(at)));
    session
}

impl Bell {
    fn new(shared: &Shared) -> Bell {
        let now = shared.clock.now();
        let session = shared.with_exchange(|exchange, _| enter(exchange, &shared.market, now));
        let changes = shared.config.hours == Hours::Calendar;
        Bell { session, next: changes.then(|| shared.market.calendar().next_change(now).0) }
    }

    /// Announces every session that has begun, in order.
    fn ring(&mut self, shared: &Shared) {
        while let Some(at) = self.next.filter(|at| *at <= shared.clock.now() && shared.token.is_running()) {
            self.session = shared.with_exchange(|exchange, _| enter(exchange, &shared.market, at));
            self.next = Some(shared.market.calendar().next_change(at).0);
        }
    }
}

/// Emits the recorded frames that are due.
fn tell(shared: &Shared, replay: &mut Replay, next: &mut Option<Frame>) {
    for _ in 0..FRAMES {
        let Some(frame) = next.take_if(|frame| frame.due <= shared.clock.now()) else { return };
        shared.emit(&frame.messages);
        *next = read(replay);
    }
}

/// Emits what the invented market has to say by now.
fn invent(shared: &Shared, market: &mut Market, pace: &mut Pace, now: Instant) {
    let at = shared.clock.at(now);
    let session = shared.market.session_now(at);
    let mut messages: Vec<SimMessage> = (0..pace.due(now)).filter_map(|_| market.step(at, session)).collect();
    if now >= pace.next_test {
        pace.next_test = now + TEST_TICK;
        messages.extend(market.test_step(at));
    }
    shared.market.drop_halted(&mut messages);
    shared.emit(&messages);
    let mut facts = shared.market.ended(at);
    let bars = facts.iter().filter(|message| matches!(message.body, SimBody::Fact(_)) && minute_of(message.at) + 1 == minute_of(at));
    market.minute_ended(minute_of(at) - 1, bars.map(|message| message.symbol.clone()));
    for late in market.late(at) {
        if let Some(trade) = shared.market.late_trade(&late) {
            // Late trades move no price: the exchange does not hear of them.
            shared.market.note(std::slice::from_ref(&trade));
            facts.push(trade);
            facts.extend(shared.market.updated_bar(&late));
        }
    }
    if !facts.is_empty() {
        shared.hub.lock().publish(&facts);
    }
}

#[cfg(test)]
mod tests;
