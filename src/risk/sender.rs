//! Whose name an order bears.
//!
//! Must not know what an order hangs on or replaces: that comes before its name.

use std::collections::BTreeMap;

use super::halt::{HaltBook, HaltScope};
use super::limits::Limits;
use crate::model::ClientOrderId;

/// The bot that an order's own name says. Venues make names up as UUIDs, whose first digits would pass for a bot: one
/// of that form names only a bot that somebody has set limits for, or has halted.
pub(super) fn sender<'a>(id: &'a ClientOrderId, limits: &BTreeMap<String, Limits>, halts: &HaltBook) -> Option<&'a str> {
    let known = |bot: &str| limits.contains_key(bot) || halts.get(&HaltScope::Bot(bot.to_owned())).is_some();
    id.bot().filter(|bot| !id.is_uuid() || known(bot))
}
