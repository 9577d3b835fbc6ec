//! Faults put in force and ended, and what those of open streams do at once.

use std::time::Instant;

use super::Shared;
use crate::sim::fault::FaultSpec;

impl Shared {
    /// Puts a fault in force; one of open streams happens at once, where there are any.
    pub(super) fn arm(&self, spec: FaultSpec) {
        let mut hub = self.hub.lock();
        if spec.fault.strikes_open() && hub.strike_open(&spec) {
            return;
        }
        hub.faults.arm(spec, Instant::now());
        hub.nudge_all();
    }

    /// Ends all faults; trade updates that one held back are told.
    pub(super) fn clear_faults(&self) {
        let mut hub = self.hub.lock();
        for (account, data) in hub.faults.clear() {
            hub.tell(&account, &data);
        }
        hub.nudge_all();
    }
}
