//! The proof that a check was made: a broker accepts nothing else.
//!
//! Must not be constructible outside this room.

use crate::model::ClientOrderId;

/// Something that the check has let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved<T> {
    checked: T,
    ticket: Ticket,
}

/// Which approval it was: by it exactly that one can be withdrawn, see [`Gate::take_back`](super::Gate::take_back).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    pub(super) order: ClientOrderId,
    pub(super) number: u64,
}

impl<T> Approved<T> {
    pub(in crate::risk) fn new(checked: T, ticket: Ticket) -> Approved<T> {
        Approved { checked, ticket }
    }

    pub fn get(&self) -> &T {
        &self.checked
    }

    /// To be kept by whoever gives the approved thing away.
    pub fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }

    pub fn into_inner(self) -> T {
        self.checked
    }
}
