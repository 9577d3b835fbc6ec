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
        let free = self.0.lock().insert(key.clone());
        // Made only for who got it: a claim that is dropped gives the command up.
        free.then(|| Claim { all: self, key })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_second_neither_waits_nor_takes_the_claim_away() {
        let (claims, account) = (Claims::default(), "acc".parse::<AccountId>().unwrap());
        let first = claims.take(&account, "b-1");
        assert!(first.is_some() && claims.take(&account, "b-1").is_none() && claims.take(&account, "b-1").is_none());
        assert!(claims.take(&account, "b-2").is_some());
        drop(first);
        assert!(claims.take(&account, "b-1").is_some());
    }
}
