//! A built-in exchange on loopback that speaks Alpaca's REST and stream protocols: for users without keys, and for tests.
//!
//! Pure in the middle (`exchange`, `market`, `session`, `rest`, `codec`, `http`: time and randomness are passed in), sockets
//! and threads at the edge (`server`). Must not know the hub, Redis or the command line.

mod codec;
mod config;
mod exchange;
mod http;
mod market;
mod message;
mod rest;
mod server;
mod session;

pub use config::{SimConfig, SimKey};
pub use message::{SimBody, SimMessage};
pub use server::{ConnectionRecord, Fault, FaultAction, LoadHandle, LoadReport, LoadSpec, LoadTotals, Sim, SimControl, SimError};
pub use session::Stage;
