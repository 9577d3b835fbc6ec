//! The rig of the integration tests: a private Redis, an exchange, the service, and bots that write down what they see.
#![allow(dead_code, reason = "each topic uses a part of it")]

pub mod alpaca;
pub mod bot;
pub mod brokers;
pub mod child;
pub mod process;
pub mod promise;
pub mod proxy;
pub mod redis_server;
pub mod rig;
pub mod schema;
pub mod stall;
