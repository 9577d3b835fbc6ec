//! A bot's side of the broker, for bots in Rust: commands that are answered once, and order updates from a cursor on.
//!
//! | file | what |
//! |---|---|
//! | `command` | what is asked, as the desk reads it, and the answer to it |
//! | `broker_client` | sends a command, waits for its answer, sends it again when Redis was lost |
//! | `cursor` | a place in the order stream, kept in a file |
//! | `updates` | the order stream from a cursor on: gaps told, executions that come twice dropped |
//!
//! Blocking, one connection a wait. Must not know the broker's insides: `model` and `contract` are all it shares with it.

mod broker_client;
mod command;
mod cursor;
mod updates;

pub use crate::contract::Verdict;
pub use broker_client::{BrokerClient, ClientError};
pub use command::{Answer, modify_fields, place_fields};
pub use cursor::{Cursor, CursorError, StreamId};
pub use updates::{Gap, OrderUpdates, Update};

#[cfg(test)]
mod tests;
