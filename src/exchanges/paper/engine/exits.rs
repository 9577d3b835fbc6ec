//! What hangs together: an entry and its exits, two exits that end each other.
//!
//! Must not know prices.

use super::Engine;
use super::store::{Place, Seq};
use crate::model::{OrderChange, Quantity, Size, Timestamp};

/// Why an exit ended whose work the other one has done.
pub const OTHER_EXIT_FILLED: &str = "the other exit was filled";

impl Engine {
    /// An order was filled, in whole when `complete`.
    pub(super) fn after_fill(&mut self, seq: Seq, complete: bool, at: Timestamp) {
        let Some(entry) = self.store.get(seq) else { return };
        let (sibling, left) = (entry.sibling, entry.order.remaining());
        if complete && entry.is_entry() {
            let legs = entry.legs.clone();
            legs.iter().for_each(|leg| self.wake(*leg, at));
            legs.into_iter().for_each(|leg| self.meet(leg, at));
            return;
        }
        let Some(sibling) = sibling.filter(|sibling| self.is_open(*sibling)) else { return };
        if complete {
            self.end(sibling, OrderChange::Canceled, OTHER_EXIT_FILLED, at);
            return;
        }
        let Some(entry) = self.store.get(sibling) else { return };
        if let Some(Ok(smaller)) = left.map(|left| Quantity::new(entry.order.filled + left)) {
            self.edit(sibling, |order| order.request.size = Size::Quantity(smaller));
            self.step(sibling, OrderChange::Restated, Some("the other exit was filled in part"), at);
        }
    }

    /// Ends an open order before it was filled, and all that hangs together with it.
    pub(super) fn end(&mut self, seq: Seq, change: OrderChange, reason: &str, at: Timestamp) {
        let Some(entry) = self.store.get(seq).filter(|entry| entry.is_open()) else { return };
        let waited = entry.place == Place::Waiting;
        let parent = entry.parent.filter(|_| waited);
        let together: Vec<Seq> = entry.legs.iter().copied().chain(entry.sibling).chain(parent).collect();
        self.step(seq, change, Some(reason), at);
        together.into_iter().for_each(|other| self.end(other, change, "the order that it hangs together with has ended", at));
    }
}
