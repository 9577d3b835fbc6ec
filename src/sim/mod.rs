//! A built-in exchange on loopback that speaks Alpaca's REST and stream protocols: for users without keys, and for tests.
//!
//! Pure in the middle (`exchange`, `market`, `session`, `rest`, `codec`, `http`, `fault`, `limit`, `events_log`: time
//! and randomness are passed in), sockets and threads at the edge (`server`). Must not know the hub, Redis or the
//! command line.

mod clock;
mod codec;
mod config;
mod events_log;
mod exchange;
mod fault;
mod http;
mod key;
mod limit;
mod market;
mod message;
mod rest;
mod server;
mod session;

pub use clock::SpeedError;
pub use config::{Hours, SimConfig};
pub use fault::{ActiveFault, Fault, FaultSpec, FaultTextError, Left, Measure, Scope};
pub use key::{KeyTextError, Plan, SimKey};
pub use market::ReplayError;
pub use message::{SimBody, SimMessage};
pub use server::{
    ConnectionRecord, Counters, Direction, FaultAction, LoadHandle, LoadReport, LoadSpec, LoadTotals, Recorded, Sim, SimControl, SimError, StageFault,
};
pub use session::Stage;
