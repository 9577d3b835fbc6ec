//! What the order side stands on: the journal and its lock, the lease, and the threads that keep streams and journal.
//!
//! There from the start to the very end of the service, whether or not orders are taken. Must not know brokers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::RwLock;

use super::appender::{Appender, AppenderSettings, AppenderStats, Keeper, run_appender, run_keeper};
use super::service::HubError;
use crate::config::{Config, JOURNAL_FILE, RedisSettings};
use crate::contract::channel::{FENCE, LEADER};
use crate::desk::ledger::Ledger;
use crate::journal::Journal;
use crate::model::{AccountId, Timestamp};
use crate::observe::Heartbeats;
use crate::redis::{Guard, Holder, LeasePlace, LeaseState, run_lease};
use crate::runtime::{FileLock, Stop, StopKind, Task, Threads, wall_now};

/// How far back the streams of order updates reach.
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// The journal, the lease and what they need.
pub struct OrderRoom {
    pub ledger: Arc<Ledger>,
    pub lease: Arc<LeaseState>,
    /// Accounts at the exchange, whose updates may go to the channels of symbols.
    pub at_exchange: Arc<RwLock<HashSet<AccountId>>>,
    stats: Arc<AppenderStats>,
    foreign: Receiver<String>,
    appending: Stop,
    leasing: Stop,
    appender: Option<Task<usize>>,
    others: Vec<Task<()>>,
    _lock: FileLock,
}

impl OrderRoom {
    /// # Errors
    /// When another broker has the data folder, the journal cannot be had, or the system refuses a thread.
    pub fn open(
        config: &Config,
        redis: &Arc<RedisSettings>,
        threads: &Threads,
        heartbeats: &Heartbeats,
        hint: &Sender<()>,
        now: Timestamp,
    ) -> Result<OrderRoom, HubError> {
        let file = config.data_dir.join(JOURNAL_FILE);
        let lock = FileLock::take(&config.data_dir.join(format!("{JOURNAL_FILE}.lock")))?;
        let (journal, aside) = Journal::open(&file, now)?;
        if let Some(aside) = aside {
            log::error!("the journal was damaged and is now {}; a new one begins, and bots see a new epoch of their order streams", aside.display());
        }
        let journal = Arc::new(journal);
        let (appended, wake) = bounded(1);
        let ledger = Arc::new(Ledger::new(Arc::clone(&journal), appended, config.sim.is_some(), wall_now));
        let (appending, leasing) = (Stop::new()?, Stop::new()?);
        let (told, foreign) = bounded(1);
        let changed = hint.clone();
        let lease = Arc::new(LeaseState::new(move || {
            let _ = changed.try_send(());
        }));
        let at_exchange: Arc<RwLock<HashSet<AccountId>>> = Arc::default();
        let stats = Arc::new(AppenderStats::default());
        let everybody = config.orders_on_ticker_channel;
        let exchange_alone = everybody.unwrap_or(config.accounts.len() == 1);
        let (known, held) = (Arc::clone(&at_exchange), Arc::clone(&lease));
        let appender = Appender {
            journal: Arc::clone(&journal),
            redis: Arc::clone(redis),
            settings: AppenderSettings { bot_streams: config.order_streams_per_bot, retention: RETENTION },
            // Who listens to a symbol must not take a paper fill for a real one.
            ticker: Box::new(move |account| everybody == Some(true) || (exchange_alone && known.read().contains(account))),
            wake,
            may_append: Box::new(move || held.is_held()),
            stop: appending.token(),
            stats: Arc::clone(&stats),
            heartbeat: heartbeats.register("handle-orders"),
            foreign: told,
        };
        let appender = threads.spawn("handle-orders", move || run_appender(appender))?;
        let keeper = Keeper { journal: Arc::clone(&journal), retention: RETENTION, stop: appending.token(), heartbeat: heartbeats.register("journal-keeper") };
        let keeper = threads.spawn("journal-keeper", move || run_keeper(keeper))?;
        let holder = Holder { journal: journal.id().to_owned(), host: host_name(), pid: std::process::id(), since_ms: now.millis() };
        let (settings, state, token) = (Arc::clone(redis), Arc::clone(&lease), leasing.token());
        let place = LeasePlace { leader: LEADER, fence: FENCE };
        let leaser = threads.spawn("redis-lease", move || run_lease(settings, place, holder, token, state))?;
        let others = vec![keeper, leaser];
        Ok(OrderRoom { ledger, lease, at_exchange, stats, foreign, appending, leasing, appender: Some(appender), others, _lock: lock })
    }

    pub fn stats(&self) -> Arc<AppenderStats> {
        Arc::clone(&self.stats)
    }

    /// Says whether bots may be served, to whoever serves them.
    pub fn may_serve(&self) -> Guard {
        let lease = Arc::clone(&self.lease);
        Box::new(move |now| lease.may_serve(now))
    }

    /// Who else is the broker of this Redis or writes our streams: then we are not.
    pub fn another_broker(&self) -> Option<HubError> {
        let refused = self.lease.refused().map(|who| HubError::AnotherBroker { who });
        refused.or_else(|| self.foreign.try_recv().ok().map(HubError::ForeignStream))
    }

    /// Hands on what the journal has, as far as Redis takes it in time; the rest is handed on at the next start.
    pub fn drain(&mut self, deadline: Instant) {
        self.appending.stop(StopKind::Shutdown);
        match self.appender.take().map(|task| task.join_until(deadline)) {
            Some(Ok(0)) | None => {}
            Some(Ok(left)) => log::warn!("{left} order updates are in the journal and not yet in Redis; they follow at the next start"),
            Some(Err(failure)) => log::error!("handle-orders: {failure}"),
        }
    }

    /// Gives the lease back, last of all.
    pub fn close(&mut self, deadline: Instant) {
        self.leasing.stop(StopKind::Shutdown);
        for task in self.others.drain(..) {
            if let Err(failure) = task.join_until(deadline) {
                log::error!("{failure}");
            }
        }
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

impl std::fmt::Debug for OrderRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderRoom").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
