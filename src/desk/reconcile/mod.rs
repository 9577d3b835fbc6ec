//! Whether what we know of a venue is what it holds: looked at when the process starts, after every lost stream, and as
//! long as orders are open.
//!
//! Each seat has a thread of its own, `reconcile-{account}`: a venue that hangs holds up nobody else. A seat takes nothing new
//! before its first pass, nor while its stream is down: what is filled then is not heard.
//!
//! | file | what |
//! |---|---|
//! | `schedule` | when a seat is looked at |
//! | `pass` | one look at one seat: its orders, its executions, what of it is news |
//! | `findings` | what a look has found |
//!
//! Must not know which venues there are, nor how updates travel.

mod findings;
mod pass;
mod schedule;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::findings::{Differs, Findings, Repair};
pub use self::pass::{Pass, PassError};
use self::schedule::{Due, Schedule};
use super::ledger::Ledger;
use super::seat::Seat;
use crate::exchanges::Connection;
use crate::model::Timestamp;
use crate::observe::Heartbeats;
use crate::runtime::{StopToken, Task, Threads, Waited};

/// How soon a lost or new connection is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What every thread that looks at a seat is given.
#[derive(Debug, Clone)]
pub struct Reconcilers {
    pub threads: Threads,
    pub heartbeats: Heartbeats,
    pub ledger: Arc<Ledger>,
    pub clock: fn() -> Timestamp,
    pub token: StopToken,
}

impl Reconcilers {
    /// Looks at this seat, and at no other, from now on until the stop.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn spawn_for(&self, seat: &Arc<Seat>) -> io::Result<Task<()>> {
        let name = format!("reconcile-{}", seat.account_name);
        let pass = Pass::new(Arc::clone(seat), Arc::clone(&self.ledger), (self.clock)()).beating(self.heartbeats.register(&name));
        let reconciler = Reconciler { seat: Arc::clone(seat), pass, schedule: Schedule::default(), clock: self.clock };
        let token = self.token.clone();
        self.threads.spawn(&name, move || reconciler.run(&token))
    }
}

/// The body of the thread of one seat.
#[derive(Debug)]
struct Reconciler {
    seat: Arc<Seat>,
    pass: Pass,
    schedule: Schedule,
    clock: fn() -> Timestamp,
}

impl Reconciler {
    fn run(mut self, token: &StopToken) {
        while token.wait(LOOK_EVERY) != Waited::Stopped {
            self.pass.beat();
            self.look(token);
        }
    }

    fn look(&mut self, token: &StopToken) {
        let (seat, schedule, pass) = (&self.seat, &mut self.schedule, &mut self.pass);
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
                // A look that the stop has cut short is no trouble of the venue's.
                let level = if token.is_running() { log::Level::Warn } else { log::Level::Debug };
                log::log!(level, "broker {}: what the account holds could not be looked at: {error}", seat.of.broker);
            }
        }
    }
}

#[cfg(test)]
mod tests;
