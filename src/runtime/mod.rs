//! How the process lives: the clock, the stop token, named threads, backoff, the states of the service.
//!
//! Must not know markets, orders, Redis or any exchange.

mod backoff;
mod clock;
pub mod crash;
pub mod files;
mod lifecycle;
mod lock;
mod secret;
mod stop;
mod thread;

#[cfg(test)]
#[path = "../../tests/support/promise.rs"]
pub(crate) mod promise;

pub use backoff::Backoff;
pub use clock::wall_now;
pub use lifecycle::{ServiceState, StreamState};
pub use lock::{FileLock, LockError};
pub use secret::Secret;
pub use stop::{Stop, StopKind, StopToken, Waited};
pub use thread::{JoinFailure, Task, ThreadExit, ThreadOutcome, Threads};
