//! The whole service between a real Redis and the built-in exchange; one binary, a module a topic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

#[path = "../support/mod.rs"]
mod support;

/// The account at Alpaca, on the built-in exchange.
mod alpaca_broker;
/// The REST client of Alpaca and the built-in exchange.
mod alpaca_rest;
/// Nonsense from the exchange and from bots.
mod bad_input;
/// The real binary, command by command.
mod cli;
/// Programs in other languages, with the client libraries that people use.
mod clients;
/// Numbered cards that every broker has to play.
mod conformance;
/// What is seen on the wire is what `configs/asyncapi.yaml` says.
mod contract;
/// What the configuration makes of symbols, dialects and feeds.
mod feeds;
/// The venue does not say at the start which account it is.
mod late_accounts;
/// Imports go down the layers only, and other rules of the house.
mod layers;
/// What holds a registration, and for how long.
mod leases;
/// Order updates from the journal to the bots, whatever happens to Redis, to the process and to the lease.
mod order_stream;
mod orders;
/// What is shipped beside the binary: Redis users, systemd unit, image.
mod packaging;
/// A bot registers, sees prices and orders, and leaves.
mod prices;
/// The exchange goes away at every stage, and comes back.
mod reconnect;
/// Redis dies, hangs, comes late, is the wrong one.
mod redis_faults;
/// Many bots and symbols, both dialects, limits, floods, every feed, and orders.
mod registrations;
/// The real program is asked to stop in every state that it can be blocked in.
mod shutdown;
/// Two brokers on one Redis and one exchange.
mod two_brokers;
