//! `alpaca-broker`: one process holds the connections to the exchange and serves every trading bot over Redis.
//!
//! The layers, low to high; imports go down only (`tests/it/layers.rs` fails on an upward one):
//!
//! | layer | rooms |
//! |---|---|
//! | 0 | `model` |
//! | 1 | `runtime`, `calendar` |
//! | 2 | `net` |
//! | 3 | `events`, `contract`, `observe` |
//! | 4 | `risk` |
//! | 5 | `config` |
//! | 6 | `exchanges`, `journal`, `redis` |
//! | 7 | `desk`, `sim` |
//! | 8 | `hub`, `client` |
//! | 9 | `cli` |
//!
//! Siblings of one layer meet only where they are composed: in `hub/service` and in `cli`.

pub mod calendar;
pub mod cli;
pub mod client;
pub mod config;
pub mod contract;
pub mod desk;
pub mod events;
pub mod exchanges;
pub mod hub;
pub mod journal;
pub mod model;
pub mod net;
pub mod observe;
pub mod redis;
pub mod risk;
pub mod runtime;
pub mod sim;
