//! What brokers tell, counted at the desk before anybody else hears of it.
//!
//! Must not know how order updates reach the bots: it hands them on.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::select;

use super::seat::Seat;
use crate::events::{Event, EventBus, OrderUpdate, Subscription, Topics};
use crate::observe::Heartbeat;
use crate::runtime::StopToken;

/// Facts that may wait here; beyond it the bus waits, then cuts us off.
const ROOM: usize = 65_536;
const BEAT: Duration = Duration::from_secs(1);

/// Takes an order update on.
pub type HandOn = Box<dyn FnMut(&OrderUpdate) + Send>;

/// The thread that hears of everything.
pub struct Pump {
    pub bus: EventBus,
    pub seats: Vec<Arc<Seat>>,
    pub hand_on: HandOn,
    pub token: StopToken,
    pub heartbeat: Heartbeat,
}

impl Pump {
    /// Subscribes now, so that nothing is missed between this and [`Pump::run`].
    pub fn subscribe(bus: &EventBus) -> Subscription {
        bus.subscribe(Topics::FACTS, ROOM)
    }

    pub fn run(mut self, mut subscription: Subscription) {
        loop {
            self.heartbeat.beat();
            select! {
                recv(subscription.facts) -> event => match event {
                    Ok(event) => self.take(&event),
                    Err(_) => match self.begin_again() {
                        Some(fresh) => subscription = fresh,
                        None => return,
                    },
                },
                recv(self.token.channel()) -> _ => {
                    subscription.facts.try_iter().for_each(|event| self.take(&event));
                    return;
                }
                default(BEAT) => self.enlist_the_others(),
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let Event::OrderUpdated(update) = event else { return };
        if let Some(seat) = self.seats.iter().find(|seat| seat.concerns(event)) {
            seat.observe(update);
        }
        (self.hand_on)(update);
    }

    /// Cut off for being slow: counts again from what the brokers hold. `None` once we are to stop.
    fn begin_again(&self) -> Option<Subscription> {
        if !self.token.is_running() {
            return None;
        }
        self.seats.iter().for_each(|seat| seat.mistrust());
        let fresh = Pump::subscribe(&self.bus);
        self.enlist_the_others();
        Some(fresh)
    }

    /// Brokers whose orders could not be counted so far: nothing passes to them until they were.
    fn enlist_the_others(&self) {
        for seat in self.seats.iter().filter(|seat| !seat.is_counted()) {
            match seat.enlist() {
                Ok(()) => log::info!("broker {}: account {} takes orders", seat.of.broker, seat.of.account),
                Err(error) => log::debug!("broker {}: {error}", seat.of.broker),
            }
        }
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").field("seats", &self.seats).finish_non_exhaustive()
    }
}
