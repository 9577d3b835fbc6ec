//! Whose an order is: the bot's that the order belongs to which it hangs on or whose place it takes.
//!
//! Must not know what names say, nor what is still open to be filled.

use rust_decimal::Decimal;

use super::book::Book;
use super::entry::Entry;
use crate::model::{ClientOrderId, Order, Symbol, VenueOrderId};

impl Book {
    /// Whose order it is, as far as the book has heard of it.
    pub fn bot(&self, id: &ClientOrderId) -> Option<&str> {
        self.open.get(id).or_else(|| self.ended.get(id)).and_then(|entry| entry.bot.as_deref())
    }

    pub fn bot_of(&self, order: &VenueOrderId) -> Option<&str> {
        let entry = self.named(order).or_else(|| self.named(self.hangs_on.get(order)?))?;
        entry.bot.as_deref()
    }

    /// What hangs on an order of a bot or takes its place is that bot's, whatever the venue or somebody else called it.
    pub fn inherited_bot(&self, order: &Order) -> Option<&str> {
        let parent = order.parent.as_ref().or_else(|| self.hangs_on.get(&order.id));
        let kin = parent.and_then(|parent| self.named(parent)).or_else(|| self.predecessor(order));
        let kin = kin.or_else(|| self.expected(&order.request.symbol, parent.or(order.replaces.as_ref())?))?;
        kin.bot.as_deref()
    }

    /// The order that will turn out to have this name.
    fn expected(&self, symbol: &Symbol, venue: &VenueOrderId) -> Option<&Entry> {
        let mut entries = self.by_symbol.get(symbol)?.orders.iter().filter_map(|id| self.open.get(id));
        entries.find(|entry| entry.expected_as.as_ref() == Some(venue))
    }

    /// Legs and replacements that were heard of before this order said that they are its own.
    pub fn bequeath(&mut self, order: &Order, bot: Option<&str>) {
        let Some(bot) = bot else { return };
        for heir in order.legs.iter().chain(&order.replaced_by) {
            let Some(id) = self.names.get(heir).filter(|id| **id != order.request.client_order_id).cloned() else { continue };
            let known = self.open.get(&id).or_else(|| self.ended.get(&id)).filter(|entry| entry.venue.as_ref() == Some(heir));
            let Some(entry) = known.filter(|entry| entry.bot.as_deref() != Some(bot)).cloned() else { continue };
            let bot = self.assign(&entry, bot.into());
            if let Some(entry) = self.open.get_mut(&id).or_else(|| self.ended.get_mut(&id)) {
                entry.bot = bot;
            }
        }
    }

    /// What the order has filled so far is this bot's.
    pub fn assign(&mut self, entry: &Entry, bot: Box<str>) -> Option<Box<str>> {
        if entry.bot.as_ref() != Some(&bot) {
            let booked = entry.side.signed(entry.booked);
            entry.bot.iter().for_each(|before| self.move_position(before, &entry.symbol, -booked));
            self.move_position(&bot, &entry.symbol, booked);
        }
        Some(bot)
    }

    pub fn move_position(&mut self, bot: &str, symbol: &Symbol, change: Decimal) {
        let positions = self.bots.entry(bot.to_owned()).or_default();
        let position = positions.entry(symbol.clone()).or_default();
        *position = position.saturating_add(change);
        if position.is_zero() {
            positions.remove(symbol);
        }
        if positions.is_empty() {
            self.bots.remove(bot);
        }
    }

    pub fn named(&self, venue: &VenueOrderId) -> Option<&Entry> {
        let id = self.names.get(venue)?;
        self.open.get(id).or_else(|| self.ended.get(id))
    }
}
