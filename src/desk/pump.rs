//! What brokers tell: kept in the ledger, counted at the desk, and only then for anybody else to hear of.
//!
//! Must not know how order updates reach the bots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::select;

use super::ledger::{Ledger, Taken};
use super::seats::Seats;
use crate::events::{Event, EventBus, OrderUpdate, Subscription, Topics};
use crate::journal::JournalError;
use crate::model::OrderChange;
use crate::observe::Heartbeat;
use crate::runtime::{StopToken, Waited, crash};

/// Facts that may wait here; beyond it the bus waits, then cuts us off.
const ROOM: usize = 65_536;
const BEAT: Duration = Duration::from_secs(1);

/// Updates that are kept in one go.
const TOGETHER: usize = 64;
/// How long updates wait for the answer to the command that they come of. They mostly arrive with it: kept behind it in one
/// go, and not between it and its sender, they cost half as much and hold nobody up.
const ANSWER_FIRST: Duration = Duration::from_millis(2);
/// How soon a journal that took nothing is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// The thread that hears of everything.
#[derive(Debug)]
pub struct Pump {
    pub bus: EventBus,
    pub seats: Arc<Seats>,
    pub ledger: Arc<Ledger>,
    pub token: StopToken,
    pub heartbeat: Heartbeat,
}

impl Pump {
    /// Subscribes now, so that nothing is missed between this and [`Pump::run`].
    pub fn subscribe(bus: &EventBus) -> Subscription {
        bus.subscribe(Topics::FACTS, ROOM)
    }

    pub fn run(self, mut subscription: Subscription) {
        loop {
            self.heartbeat.beat();
            select! {
                recv(subscription.facts) -> event => match event {
                    Ok(event) => self.take_with(event, &subscription),
                    Err(_) => match self.begin_again() {
                        Some(fresh) => subscription = fresh,
                        None => return,
                    },
                },
                recv(self.token.channel()) -> _ => {
                    while let Ok(event) = subscription.facts.try_recv() {
                        self.take_with(event, &subscription);
                    }
                    return;
                }
                default(BEAT) => {}
            }
        }
    }

    /// Takes an event and what lies behind it.
    fn take_with(&self, first: Event, subscription: &Subscription) {
        if let Event::OrderUpdated(update) = &first {
            let name = update.order.request.client_order_id.as_str();
            self.ledger.claims().wait_until_free(&update.of.account, name, Instant::now() + ANSWER_FIRST);
        }
        let mut updates = Vec::with_capacity(TOGETHER);
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                Event::OrderUpdated(update) => updates.push(update),
                Event::OrderHeard(heard) => {
                    self.take(&updates);
                    updates.clear();
                    self.keep(|| self.ledger.take_words(&heard));
                }
                Event::Filled(_) | Event::PositionChanged(_) | Event::Market(_) | Event::HealthChanged(_) => {}
            }
            next = if updates.len() < TOGETHER { subscription.facts.try_recv().ok() } else { None };
        }
        self.take(&updates);
        self.ledger.wake();
    }

    fn take(&self, updates: &[OrderUpdate]) {
        if updates.is_empty() {
            return;
        }
        crash::point("U3-heard");
        let Some(taken) = self.keep(|| self.ledger.take(updates)) else { return };
        crash::point("U4-journaled");
        for (update, taken) in updates.iter().zip(taken) {
            let Some(seat) = self.seats.seat_of(&update.of) else { continue };
            match taken {
                Taken::New(_) => seat.observe(update),
                Taken::Late(_) if update.fill.is_some() => seat.observe_late(update),
                Taken::Late(_) => {}
                Taken::Known(_) => continue,
            }
            if matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect) {
                // The position is another than any execution says: the venue is asked.
                seat.mistrust();
            }
        }
    }

    /// Keeps at it: what was heard is in no other place. At the stop the venue is asked for it again.
    fn keep<T>(&self, work: impl Fn() -> Result<T, JournalError>) -> Option<T> {
        let mut said = false;
        loop {
            match work() {
                Ok(done) => return Some(done),
                Err(error) if !said => {
                    said = true;
                    log::error!("order updates wait, for the journal takes none: {error}");
                }
                Err(_) => {}
            }
            self.heartbeat.beat();
            if self.token.wait(TRY_AGAIN) == Waited::Stopped {
                return None;
            }
        }
    }

    /// Cut off for being slow: the venue is asked for what was missed. `None` once we are to stop.
    fn begin_again(&self) -> Option<Subscription> {
        if !self.token.is_running() {
            return None;
        }
        let fresh = Pump::subscribe(&self.bus);
        self.seats.seated().iter().for_each(|seat| seat.mistrust());
        Some(fresh)
    }
}
