//! Tells all who look outcomes up that something is unsettled.
//!
//! Must not know what, nor whose it is: who is rung reads the journal.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

/// Rung by whoever leaves something unsettled.
#[derive(Debug, Default)]
pub(in crate::desk) struct Bell(Mutex<Vec<Sender<()>>>);

impl Bell {
    /// Hears of everything from now on, for as long as the receiver lives.
    pub fn listen(&self) -> Receiver<()> {
        // One ring that nobody has heard yet says all that a second would.
        let (ring, heard) = bounded(1);
        self.0.lock().push(ring);
        heard
    }

    pub fn ring(&self) {
        self.0.lock().retain(|listener| !matches!(listener.try_send(()), Err(TrySendError::Disconnected(()))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_listens_is_told_and_who_is_gone_is_forgotten() {
        let bell = Bell::default();
        let (first, second) = (bell.listen(), bell.listen());
        bell.ring();
        bell.ring();
        assert_eq!((first.try_iter().count(), second.try_iter().count()), (1, 1));
        drop(first);
        bell.ring();
        assert_eq!((bell.0.lock().len(), second.try_iter().count()), (1, 1));
    }
}
