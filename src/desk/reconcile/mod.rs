//! Whether what we know of a venue is what it holds: looked at when the process starts, after every lost stream, and as
//! long as orders are open.
//!
//! The thread `desk-reconcile`. A seat takes nothing new before its first pass, nor while its stream is down: what is filled then
//! is not heard.
//!
//! | file | what |
//! |---|---|
//! | `schedule` | when a seat is looked at |
//! | `pass` | one look at one seat |
//!
//! Must not know which venues there are, nor how updates travel.

mod pass;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::pass::{Differs, Findings, Pass, PassError, Repair};
use self::schedule::{Due, Schedule};
use super::ledger::Ledger;
use super::seat::Seat;
use crate::exchanges::Connection;
use crate::model::Timestamp;
use crate::observe::Heartbeat;
use crate::runtime::{StopToken, Waited};

/// How soon a lost or new connection is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The body of the thread.
#[derive(Debug)]
pub struct Reconciler {
    pub seats: Vec<Arc<Seat>>,
    pub ledger: Arc<Ledger>,
    pub clock: fn() -> Timestamp,
    pub token: StopToken,
    pub heartbeat: Heartbeat,
}

impl Reconciler {
    pub fn run(self) {
        let mut seats: Vec<(Schedule, Pass)> =
            self.seats.iter().map(|seat| (Schedule::default(), Pass::new(Arc::clone(seat), Arc::clone(&self.ledger)))).collect();
        while self.token.wait(LOOK_EVERY) != Waited::Stopped {
            self.heartbeat.beat();
            for (seat, (schedule, pass)) in self.seats.iter().zip(&mut seats) {
                self.look(seat, schedule, pass);
                if !self.token.is_running() {
                    return;
                }
            }
        }
    }

    fn look(&self, seat: &Seat, schedule: &mut Schedule, pass: &mut Pass) {
        let connection = seat.broker.connection();
        if connection != Connection::Connected {
            seat.mistrust();
        }
        let due = schedule.due(connection, seat.is_counted(), || pass.has_open_orders(), Instant::now());
        let whole = match due {
            Due::No => return,
            Due::Connect => {
                if let Err(error) = seat.broker.connect() {
                    log::warn!("broker {}: {error}", seat.of.broker);
                }
                return;
            }
            Due::Sweep => false,
            Due::Whole => true,
        };
        match pass.run(whole, false, (self.clock)(), Instant::now()) {
            Ok(findings) => {
                schedule.done(findings.again_soon, Instant::now());
                if whole {
                    log::info!("broker {}: account {} takes orders", seat.of.broker, seat.account_name);
                }
                findings.tell(&seat.account_name);
            }
            Err(error) => {
                schedule.failed(Instant::now());
                log::warn!("broker {}: what the account holds could not be looked at: {error}", seat.of.broker);
            }
        }
    }
}

#[cfg(test)]
mod tests;
