//! Redis: a non-blocking way out for each handler, the registration subscriber, and the thread for all that is slow.
//!
//! | file | what |
//! |---|---|
//! | `resp` | commands and replies as bytes |
//! | `error`, `pace` | what goes wrong and when to try again |
//! | `link` | a logged-in connection to the master |
//! | `outlet`, `dial` | the non-blocking way out for one handler, and who dials for it |
//!
//! Must not know markets, orders, or what the channels and keys are called.

mod dial;
mod error;
mod link;
mod outlet;
mod pace;
pub mod resp;

pub use error::{Pace, RedisError};
pub use link::{Connector, LOGIN_WITHIN, Link, ServerInfo};
pub use outlet::{Outlet, OutletStats, Pumped};

#[cfg(test)]
#[path = "../../tests/support/redis_server.rs"]
mod test_server;
