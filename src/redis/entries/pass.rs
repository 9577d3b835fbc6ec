//! A way through what was handed out and not acknowledged: which to ask for next, and how to claim one.
//!
//! Must not know connections.

use ::redis::Cmd;

use super::{BURST, EntryId, StreamPlace};

/// A way through what is pending, from the oldest on.
pub(super) struct Pass {
    /// What other consumers left lying, else what is our own.
    pub(super) of_others: bool,
    idle_ms: u64,
    /// What was looked at last.
    pub(super) after: Option<EntryId>,
}

impl Pass {
    pub(super) fn own() -> Pass {
        Pass { of_others: false, idle_ms: 0, after: None }
    }

    pub(super) fn others(idle_ms: u64) -> Pass {
        Pass { of_others: true, idle_ms, after: None }
    }

    pub(super) fn question(&self, place: StreamPlace) -> Cmd {
        let mut command = ::redis::cmd("XPENDING");
        command.arg(place.key).arg(place.group);
        if self.of_others {
            command.arg("IDLE").arg(self.idle_ms);
        }
        command.arg(self.after.map_or_else(|| "-".to_owned(), |after| format!("({after}"))).arg("+").arg(BURST);
        if !self.of_others {
            command.arg(place.consumer);
        }
        command
    }

    pub(super) fn claim(&self, place: StreamPlace, id: EntryId, deliveries: u32) -> Cmd {
        let mut command = ::redis::cmd("XCLAIM");
        command.arg(place.key).arg(place.group).arg(place.consumer).arg(self.idle_ms).arg(id.to_string()).arg("RETRYCOUNT").arg(deliveries);
        command
    }
}
