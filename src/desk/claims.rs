//! Who is at work on a command: one at a time, a worker or whoever looks its outcome up.
//!
//! Must not know what is done with it.

use std::collections::HashSet;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::model::AccountId;

/// The commands that somebody is at work on.
#[derive(Debug, Default)]
pub(super) struct Claims {
    taken: Mutex<HashSet<(AccountId, String)>>,
    given_up: Condvar,
}

/// As long as it lives nobody else is at work on that command.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    all: &'a Claims,
    key: (AccountId, String),
}

impl Claims {
    pub fn take(&self, account: &AccountId, name: &str) -> Option<Claim<'_>> {
        let key = (account.clone(), name.to_owned());
        let free = self.taken.lock().insert(key.clone());
        // Made only for who got it: a claim that is dropped gives the command up.
        free.then(|| Claim { all: self, key })
    }

    /// Waits, no longer than until then, for whoever is at work on a command to have done.
    pub fn wait_until_free(&self, account: &AccountId, name: &str, deadline: Instant) {
        let key = (account.clone(), name.to_owned());
        self.given_up.wait_while_until(&mut self.taken.lock(), |taken| taken.contains(&key), deadline);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.all.taken.lock().remove(&self.key);
        self.all.given_up.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    #[test]
    fn whoever_waits_goes_on_when_it_is_done_and_at_the_latest_in_time() {
        let (claims, account) = (Claims::default(), "acc".parse::<AccountId>().unwrap());
        let claim = claims.take(&account, "b-1");
        let wait = |name, patience| claims.wait_until_free(&account, name, Instant::now() + Duration::from_millis(patience));
        wait("b-2", 60_000);
        wait("b-1", 20);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait("b-1", 60_000));
            drop(claim);
            waiting.join().unwrap();
        });
    }
}
