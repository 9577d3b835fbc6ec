//! What Alpaca says of an account, in our own types.
//!
//! What we do not know of it must never cost us the rest: an unknown status, type, class or time in force falls back to
//! a harmless one, and the venue's own words stay with the order. Must not know how a page was fetched.

mod account;
mod activity;
mod order;
mod update;

pub use account::{read_account, read_balances, read_position, read_positions};
pub use activity::{Execution, read_executions};
pub use order::{Cancelled, Listed, read_cancelled, read_order, read_orders};
pub use update::read_update;

use crate::model::Symbol;

/// Why something cannot stand in our types, though the venue means something by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("no JSON object, or one with a field twice")]
    Form,
    #[error("no JSON list")]
    List,
    #[error("the field {0} is missing or of another form")]
    Field(&'static str),
    #[error("an order without a client order id")]
    NoClientId,
    /// An order of several legs names its symbols in the legs alone.
    #[error("an order without a symbol, as that of several legs is")]
    NoSymbol,
}

/// What a pair is traded against, longest first.
const QUOTED_IN: [&str; 4] = ["USDT", "USDC", "USD", "BTC"];

/// The symbol as bots know it: the venue leaves the slash of a pair out here and there.
fn symbol(text: &str, asset_class: Option<&str>) -> Option<Symbol> {
    if asset_class == Some("crypto") && !text.contains('/') {
        let base = QUOTED_IN.into_iter().find_map(|quote| text.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| format!("{base}/{quote}")));
        return base.as_deref().unwrap_or(text).parse().ok();
    }
    text.parse().ok()
}
