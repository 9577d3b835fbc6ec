//! Redis: a non-blocking way out for each handler, the registration subscriber, and the thread for all that is slow.
//!
//! | file | what |
//! |---|---|
//! | `resp` | commands and replies as bytes |
//! | `error`, `pace` | what goes wrong and when to try again |
//! | `link` | a logged-in connection to the master |
//! | `outlet`, `dial` | the non-blocking way out for one handler, and who dials for it |
//! | `session` | a blocking connection of the redis crate, for those below |
//! | `subscriber` | what bots publish to us |
//! | `entries` | a stream that bots write and we read, each entry acknowledged |
//! | `lease` | who is the one broker of this Redis |
//! | `append` | streams that we write and bots read, each entry under an id of ours |
//! | `control`, `backlog` | everything slow and rare, and what of it waits for Redis |
//!
//! Must not know markets, orders, or what the channels and keys are called.

mod append;
mod backlog;
mod control;
mod dial;
mod entries;
mod error;
mod lease;
mod link;
mod outlet;
mod pace;
pub mod resp;
mod session;
mod subscriber;

pub use append::{Appended, EntryNumber, Foreign, Messages, Next, StreamWriter, Target, Undone, WriterStats};
pub use control::{Answer, ControlCommand, ControlEvent, ControlStats, run_control};
pub use entries::{Burial, Done, Entry, EntryId, EntryStats, Gate, StreamPlace, run_entry_reader};
pub use error::{Pace, RedisError};
pub use lease::{Holder, LeasePlace, LeaseState, run_lease};
pub use link::{Connector, LOGIN_WITHIN, Link, ServerInfo};
pub use outlet::{Guard, Outlet, OutletStats, Pumped};
pub use pace::{Hush, held_back};
pub use subscriber::{Inbound, MAX_PAYLOAD, SubscriberStats, run_subscriber};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
#[path = "../../tests/support/redis_server.rs"]
pub(crate) mod test_server;
