//! The proof by histories: what the exchange did beside what the bots were told, while the broker, Redis and the streams
//! are killed at random. `make soak` is the long form; every run prints its seed and one line of JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

#[path = "../support/mod.rs"]
mod support;

mod bots;
mod checker;
/// Each command once at the venue, though it is delivered often and the broker dies on the way.
mod commands;
/// Every order event once and in order, though everything dies.
mod events;
mod report;
mod stage;
/// Copies, losses, reordering and words that nobody knows.
mod venue;
