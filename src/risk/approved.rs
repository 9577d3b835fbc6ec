//! The proof that a check was made: a broker accepts nothing else.
//!
//! Must not be constructible outside this room.

/// Something that the check has let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved<T>(T);

impl<T> Approved<T> {
    pub(in crate::risk) fn new(checked: T) -> Approved<T> {
        Approved(checked)
    }

    pub fn get(&self) -> &T {
        &self.0
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}
