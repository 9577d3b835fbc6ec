//! Venues. What they have in common stands here; each venue has a folder of its own and knows no other.
//!
//! Must not know Redis, bots, registrations or threads.

pub mod alpaca;
mod stream;

pub use stream::{Advice, Effects, Incoming, Names, Notice, Outgoing, RefusedSymbol, Session, SessionEnd, SymbolWant};
