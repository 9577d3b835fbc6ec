//! The thread that brings order updates from the journal to the bots: onto the stream of each account, and as copies for speed
//! onto the channels.
//!
//! It keeps nothing of its own: what is in the journal and not in the stream is what has to be done, so a crash of either side
//! leaves only a difference that the next look finds. Must not know what an update says.
//!
//! | file | what |
//! |---|---|
//! | `stream` | one stream and what of the journal belongs in it |
//! | `work` | the thread |
//! | `keeper` | the thread that keeps the journal small |

mod keeper;
mod stream;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

pub use keeper::{Keeper, run_keeper};
pub use work::run_appender;

use crate::config::RedisSettings;
use crate::journal::Journal;
use crate::model::AccountId;
use crate::observe::{Counter, Gauge, Heartbeat};
use crate::redis::{EntryNumber, WriterStats};
use crate::runtime::StopToken;

/// How the streams are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppenderSettings {
    /// A stream a bot besides that of the account.
    pub bot_streams: bool,
    /// How far back a stream reaches.
    pub retention: Duration,
}

/// What the thread is started with.
pub struct Appender {
    pub journal: Arc<Journal>,
    pub redis: Arc<RedisSettings>,
    pub settings: AppenderSettings,
    /// Whether the updates of this account are copied to the channel of their symbol, which every listener of it sees.
    pub ticker: Box<dyn Fn(&AccountId) -> bool + Send>,
    /// Something was appended to the journal; a channel with room for one.
    pub wake: Receiver<()>,
    /// Whether we are the broker of this Redis; nothing is written while we are not.
    pub may_append: Box<dyn Fn() -> bool + Send>,
    pub stop: StopToken,
    pub stats: Arc<AppenderStats>,
    pub heartbeat: Heartbeat,
    /// Told once, when a stream turns out to be written by somebody else; nothing is written after that.
    pub foreign: Sender<String>,
}

#[derive(Debug, Default)]
pub struct AppenderStats {
    /// Updates that got into the journal since the start.
    pub received: Counter,
    /// Entries that Redis has acknowledged, on the streams of accounts.
    pub appended: Counter,
    /// Updates whose copies were sent.
    pub copied: Counter,
    /// What Redis or the journal refused.
    pub errors: Counter,
    /// In the journal and not yet in the stream.
    pub waiting: Gauge,
    pub redis: Arc<WriterStats>,
    last: Mutex<BTreeMap<AccountId, EntryNumber>>,
}

impl AppenderStats {
    /// The last entry of each account's stream, as far as it was acknowledged to us.
    pub fn last(&self) -> BTreeMap<AccountId, EntryNumber> {
        self.last.lock().clone()
    }

    /// Everything that was refused, by Redis or by the disk.
    pub fn refused(&self) -> u64 {
        self.errors.get() + self.redis.errors.get()
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
