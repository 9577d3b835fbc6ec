//! Whose the lease is and what to do about it. Pure: the time and what stands in Redis are passed in.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::super::error::safe_text;
use crate::model::Timestamp;

/// Who holds a lease, or wants to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The random id of the journal. Its file lock is held by us, so any other holder with the same id is dead.
    pub journal: String,
    pub host: String,
    pub pid: u32,
    pub since_ms: i64,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = Timestamp::from_nanos(self.since_ms.saturating_mul(1_000_000));
        write!(f, "process {} on {} since {since}", self.pid, safe_text(&self.host))
    }
}

/// What stands under the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    #[serde(flatten)]
    pub(super) holder: Holder,
    pub(super) token: u64,
}

impl Note {
    /// Somebody's text that is no note of ours is a holder too, of whom nothing is known.
    pub(super) fn read(text: &[u8]) -> Note {
        serde_json::from_slice(text).unwrap_or_else(|_| {
            let holder = Holder { journal: String::new(), host: "an unknown host".to_owned(), pid: 0, since_ms: 0 };
            Note { holder, token: 0 }
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        // A struct of texts and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The lease as Redis has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) note: Note,
    /// `None`: it never ends by itself.
    pub(super) left: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Take it, with a token above this one.
    Take { above: u64 },
    /// It is ours under this token.
    Renew { token: u64 },
    /// Look again soon: the holder may be dead.
    Watch,
    /// The holder lives and was there first.
    Refuse(Holder),
    /// It was ours, and another one has taken it since.
    Lose(Holder),
}

/// The times of a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) ttl: Duration,
    pub(super) renew_every: Duration,
    /// How often another holder is looked at, and how long.
    pub(super) look_every: Duration,
    pub(super) watch_for: Duration,
}

/// Another holder, of whom it is not known whether he lives.
#[derive(Debug)]
struct Watch {
    since: Instant,
    last: Seen,
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) holder: Holder,
    watch_for: Duration,
    /// The last token that was ours; none before the first time.
    token: Option<u64>,
    watch: Option<Watch>,
}

impl Claim {
    pub(super) fn new(holder: Holder, watch_for: Duration) -> Claim {
        Claim { holder, watch_for, token: None, watch: None }
    }

    pub(super) fn took(&mut self, token: u64) {
        self.token = Some(token);
        self.watch = None;
    }

    pub(super) fn decide(&mut self, now: Instant, seen: Option<Seen>) -> Action {
        let own = self.token.unwrap_or(0);
        let Some(seen) = seen else {
            self.watch = None;
            return Action::Take { above: own };
        };
        let Note { holder, token } = &seen.note;
        // A Redis that came back with older data may show an older token of ours.
        if *holder == self.holder && *token >= own {
            return Action::Renew { token: *token };
        }
        let same = *holder == self.holder || (!holder.journal.is_empty() && holder.journal == self.holder.journal);
        // Whoever has a later token under our journal's id has a copy of the journal.
        if same && (self.token.is_none() || *token < own) {
            return Action::Take { above: own.max(*token) };
        }
        if self.token.is_some() {
            return Action::Lose(holder.clone());
        }
        match &mut self.watch {
            None => {
                self.watch = Some(Watch { since: now, last: seen });
                Action::Watch
            }
            Some(watch) => {
                let renewed = seen.note != watch.last.note || seen.left > watch.last.left;
                // What has not ended by now does not end by itself.
                if renewed || now.saturating_duration_since(watch.since) >= self.watch_for {
                    return Action::Refuse(seen.note.holder);
                }
                watch.last = seen;
                Action::Watch
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCH_FOR: Duration = Duration::from_secs(11);

    fn holder(journal: &str, pid: u32) -> Holder {
        Holder { journal: journal.to_owned(), host: "h".to_owned(), pid, since_ms: 1_800_000_000_000 }
    }

    fn seen(holder: &Holder, token: u64, left_ms: u64) -> Option<Seen> {
        Some(Seen { note: Note { holder: holder.clone(), token }, left: Some(Duration::from_millis(left_ms)) })
    }

    fn claim() -> (Claim, Holder, Instant) {
        let own = holder("a", 1);
        (Claim::new(own.clone(), WATCH_FOR), own, Instant::now())
    }

    #[test]
    fn a_free_lease_is_taken_and_ours_is_renewed() {
        let (mut claim, own, now) = claim();
        assert_eq!(claim.decide(now, None), Action::Take { above: 0 });
        // The answer to the take was lost on its way: it is ours all the same.
        assert_eq!(claim.decide(now, seen(&own, 7, 9_000)), Action::Renew { token: 7 });
        claim.took(7);
        assert_eq!(claim.decide(now, seen(&own, 7, 9_000)), Action::Renew { token: 7 });
        // Flushed: taken again, and the token does not go back though its counter did.
        assert_eq!(claim.decide(now, None), Action::Take { above: 7 });
        assert_eq!(claim.decide(now, seen(&own, 3, 9_000)), Action::Take { above: 7 });
    }

    #[test]
    fn an_earlier_life_is_followed_at_once_and_a_copy_of_the_journal_is_not_fought() {
        let (mut claim, _, now) = claim();
        assert_eq!(claim.decide(now, seen(&holder("a", 2), 5, 9_000)), Action::Take { above: 5 });
        claim.took(6);
        assert_eq!(claim.decide(now, seen(&holder("a", 2), 5, 9_000)), Action::Take { above: 6 });
        assert_eq!(claim.decide(now, seen(&holder("a", 3), 7, 9_000)), Action::Lose(holder("a", 3)));
    }

    #[test]
    fn a_holder_that_renews_lives_and_one_that_does_not_is_waited_out() {
        let (mut claim, own, now) = claim();
        let (other, second) = (holder("b", 9), Duration::from_secs(1));
        assert_eq!(claim.decide(now, seen(&other, 4, 8_000)), Action::Watch);
        assert_eq!(claim.decide(now + second, seen(&other, 4, 7_000)), Action::Watch);
        assert_eq!(claim.decide(now + 9 * second, None), Action::Take { above: 0 });
        // Somebody was faster.
        assert_eq!(claim.decide(now + 9 * second, seen(&other, 5, 9_900)), Action::Watch);
        assert_eq!(claim.decide(now + 10 * second, seen(&other, 5, 8_900)), Action::Watch);
        assert_eq!(claim.decide(now + 12 * second, seen(&other, 5, 9_999)), Action::Refuse(other.clone()));
        claim.took(6);
        assert_eq!(claim.decide(now, seen(&other, 7, 9_000)), Action::Lose(other));
        assert_eq!(claim.decide(now, seen(&own, 6, 9_000)), Action::Renew { token: 6 });
    }

    #[test]
    fn another_note_in_its_place_is_a_sign_of_life_and_one_without_an_end_is_not_waited_for() {
        let (mut claim, _, now) = claim();
        claim.decide(now, seen(&holder("b", 9), 4, 8_000));
        assert_eq!(claim.decide(now, seen(&holder("c", 9), 5, 7_000)), Action::Refuse(holder("c", 9)));

        let mut claim = Claim::new(holder("a", 1), WATCH_FOR);
        let endless = || Some(Seen { note: Note::read(b"by hand"), left: None });
        assert_eq!(claim.decide(now, endless()), Action::Watch);
        assert_eq!(claim.decide(now + WATCH_FOR / 2, endless()), Action::Watch);
        let Action::Refuse(by) = claim.decide(now + WATCH_FOR, endless()) else { panic!("waited for") };
        assert_eq!(by.host, "an unknown host");
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_says_who_it_is() {
        let note = Note { holder: holder("a", 12), token: 3 };
        assert_eq!(Note::read(&note.write()), note);
        assert_eq!(String::from_utf8(note.write()).unwrap(), r#"{"journal":"a","host":"h","pid":12,"since_ms":1800000000000,"token":3}"#);
        assert!(note.holder.to_string().starts_with("process 12 on h since 2027-01-15T08:00:00"), "{}", note.holder);
    }
}
