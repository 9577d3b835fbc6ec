//! What moves an account while nobody calls: time, and the log of its file.
//!
//! Must not know orders.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::select;

use super::PaperBroker;
use crate::runtime::StopToken;

/// At least so often the clock is read again, for clocks that are set.
const LOOK: Duration = Duration::from_secs(1);
/// Changes of orders after which the log is worth moving.
const CHANGES: u64 = 1_000;
/// And after which it is moved however busy we are: who writes meanwhile waits for the disk.
const CHANGES_AT_MOST: u64 = 12 * CHANGES;
/// So long nothing must have happened when it is moved.
const QUIET: Duration = Duration::from_millis(100);

impl PaperBroker {
    /// Does what is due by now: orders reach the market, days end.
    pub fn advance(&self) {
        // An account that is closed or in trouble says so to whoever calls it.
        let _ = self.step_inside(|_, _| Ok(()));
        self.outbox.carry(&self.bus);
    }

    /// Moves the account in time until it is stopped.
    pub fn run(&self, stop: &StopToken) {
        while stop.is_running() {
            self.advance();
            let wait = self.wait();
            let quiet = select! {
                recv(stop.channel()) -> _ => return,
                recv(self.woken) -> _ => false,
                default(wait) => wait >= QUIET,
            };
            self.move_log(quiet);
        }
    }

    fn wait(&self) -> Duration {
        let mut held = self.held.lock();
        let Some(due) = held.due else { return LOOK };
        let nanos = due.nanos().saturating_sub(held.time.now(&self.clocks).nanos());
        Duration::from_nanos(nanos.max(0).unsigned_abs()).min(LOOK)
    }

    fn move_log(&self, quiet: bool) {
        let changes = self.changes.load(Ordering::Relaxed);
        if changes < CHANGES || (!quiet && changes < CHANGES_AT_MOST) {
            return;
        }
        let checkpointer = self.checkpointer.lock();
        let Some(checkpointer) = checkpointer.as_ref() else { return };
        match checkpointer.run() {
            Ok(_) => drop(self.changes.fetch_sub(changes, Ordering::Relaxed)),
            Err(cause) => log::warn!("the log of a paper account stays as long as it is: {cause}"),
        }
    }
}
