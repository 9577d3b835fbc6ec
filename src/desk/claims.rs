//! Who is at work on a command: one at a time, a worker or whoever looks its outcome up.
//!
//! Must not know what is done with it.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::model::AccountId;

/// The commands that somebody is at work on.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashSet<(AccountId, String)>>);

/// As long as it lives nobody else is at work on that command.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    all: &'a Claims,
    key: (AccountId, String),
}

impl Claims {
    pub fn take(&self, account: &AccountId, name: &str) -> Option<Claim<'_>> {
        let key = (account.clone(), name.to_owned());
        self.0.lock().insert(key.clone()).then_some(Claim { all: self, key })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.key);
    }
}
