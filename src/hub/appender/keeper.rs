//! The thread that keeps the journal small: it forgets what is old, and moves the log into the file.
//!
//! Must not know Redis: what it forgets is a day older than anything that a stream still holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::journal::{Journal, JournalError};
use crate::model::Timestamp;
use crate::observe::Heartbeat;
use crate::redis::{Hush, held_back};
use crate::runtime::{StopToken, Waited, wall_now};

const LOOK_EVERY: Duration = Duration::from_millis(200);
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Updates after which the log is moved at once.
const TIDY_AFTER: u64 = 500;
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// Rows forgotten in one step; writers wait for a step.
const PRUNED_AT_ONCE: usize = 1_000;
/// The journal remembers this much longer than the streams.
const LONGER: Duration = Duration::from_secs(86_400);

/// What the thread is started with.
#[derive(Debug)]
pub struct Keeper {
    pub journal: Arc<Journal>,
    /// That of the streams.
    pub retention: Duration,
    pub stop: StopToken,
    pub heartbeat: Heartbeat,
}

/// The body of the thread; ends with the stop. What is in the log then is moved by the next process.
pub fn run_keeper(keeper: Keeper) {
    let Keeper { journal, retention, stop, heartbeat } = keeper;
    let mut hush = Hush::default();
    let mut tell = |done: Result<(), JournalError>| {
        if let Err(error) = done
            && let Some(held) = hush.tell("journal", Instant::now())
        {
            log::warn!("the journal is not kept small: {error}{}", held_back(held));
        }
    };
    let (mut tidied, mut tidy_at, mut prune_at) = (0, Instant::now(), Instant::now());
    loop {
        heartbeat.beat();
        let now = Instant::now();
        let given = given(&journal).unwrap_or(tidied);
        if now >= tidy_at || given >= tidied + TIDY_AFTER {
            (tidied, tidy_at) = (given, now + TIDY_EVERY);
            tell(journal.tidy());
        }
        if now >= prune_at {
            let before = back(wall_now(), retention.saturating_add(LONGER));
            match journal.prune(before, PRUNED_AT_ONCE) {
                Ok(true) => {}
                done => {
                    prune_at = now + PRUNE_EVERY;
                    tell(done.map(drop));
                }
            }
        }
        if stop.wait(LOOK_EVERY) == Waited::Stopped {
            return;
        }
    }
}

/// How many updates were ever given a number.
fn given(journal: &Journal) -> Result<u64, JournalError> {
    journal.accounts()?.iter().try_fold(0, |sum, account| Ok(sum + journal.stream(account)?.last))
}

/// So long before.
pub(super) fn back(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(now.nanos().saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
}
