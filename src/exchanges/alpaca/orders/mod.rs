//! Orders, executions, positions and money as Alpaca writes them: read into our own types, and written for it.
//!
//! Pure. Must not know how pages are fetched nor who keeps orders.

mod field;
mod read;
mod write;

pub use read::{
    Cancelled, Execution, Listed, ReadError, read_account, read_balances, read_cancelled, read_executions, read_order, read_orders, read_position,
    read_positions, read_update,
};
pub use write::{write_modification, write_order};

#[cfg(test)]
mod tests;
