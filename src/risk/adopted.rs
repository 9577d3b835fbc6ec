//! Counting what is there at the start: whose orders they are, and what their executions came to.
//!
//! Must not know limits or the clock.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::book::{Book, Positions};
use super::entry::{ENDED, Entry, Executed};
use crate::model::{ClientOrderId, Fill, Order, VenueOrderId};

/// The bot that a name says.
pub(super) type Own<'a> = &'a dyn Fn(&ClientOrderId) -> Option<Box<str>>;

/// Who belongs to whom, by everything that orders say of each other.
struct Family<'a> {
    /// From a leg to the order that it hangs on, from a replacement to the one before it.
    above: BTreeMap<&'a VenueOrderId, &'a VenueOrderId>,
    names: BTreeMap<&'a VenueOrderId, &'a ClientOrderId>,
    /// What was known until now; the venue need not tell of ended orders.
    before: &'a Book,
    own: Own<'a>,
}

impl<'a> Family<'a> {
    fn new(orders: &'a [Order], fills: &'a [Fill], before: &'a Book, own: Own<'a>) -> Family<'a> {
        let mut above: BTreeMap<_, _> = before.hangs_on.iter().collect();
        for order in orders {
            above.extend(order.legs.iter().chain(&order.replaced_by).map(|below| (below, &order.id)));
        }
        // Its own word comes last: it is more than what others say of it.
        above.extend(orders.iter().filter_map(|order| Some((&order.id, order.parent.as_ref().or(order.replaces.as_ref())?))));
        let filled = fills.iter().map(|fill| (&fill.order_id, &fill.client_order_id));
        let names = filled.chain(orders.iter().map(|order| (&order.id, &order.request.client_order_id))).collect();
        Family { above, names, before, own }
    }

    /// The bot that the topmost of the family names.
    fn bot(&self, order: &VenueOrderId) -> Option<Box<str>> {
        let mut bot = None;
        let mut next = Some(order);
        // No longer than the family is large, though a venue should say that two orders replace each other.
        for _ in 0..=self.above.len() {
            let Some(member) = next else { break };
            let known = self.before.named(member).and_then(|entry| entry.bot.clone());
            bot = known.or_else(|| self.names.get(member).and_then(|name| (self.own)(name))).or(bot);
            next = self.above.get(member).copied();
        }
        bot
    }
}

impl Book {
    /// Forgets everything but changes under way, and counts these; of orders that have ended only whose they were, and
    /// what they filled.
    pub fn adopt(&mut self, orders: &[Order], bots: BTreeMap<String, Positions>, own: Own<'_>) {
        let before = std::mem::take(self);
        self.bots = bots;
        self.take_in(orders, &mut BTreeMap::new(), &Family::new(orders, &[], &before, own));
    }

    /// The same with every bot's position as these executions come to.
    pub fn adopt_with_fills(&mut self, orders: &[Order], fills: &[Fill], own: Own<'_>) {
        let before = std::mem::take(self);
        let family = Family::new(orders, fills, &before, own);
        let mut executed: BTreeMap<VenueOrderId, Executed> = BTreeMap::new();
        for fill in fills {
            let new = || Executed { bot: family.bot(&fill.order_id), ..Executed::default() };
            let of = executed.entry(fill.order_id.clone()).or_insert_with(new);
            of.units = of.units.saturating_add(fill.quantity);
            of.last = of.last.max(Some(fill.at));
            if let Some(bot) = &of.bot {
                self.move_position(bot, &fill.symbol, fill.side.signed(fill.quantity));
            }
        }
        self.take_in(orders, &mut executed, &family);
        // News of others may still be on their way: those that were executed last.
        if executed.len() > ENDED {
            let mut times: Vec<_> = executed.values().map(|executed| executed.last).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = times.get(ENDED).copied().flatten();
            executed.retain(|_, executed| executed.last > oldest);
        }
        self.executed = executed;
    }

    fn take_in(&mut self, orders: &[Order], executed: &mut BTreeMap<VenueOrderId, Executed>, family: &Family<'_>) {
        for order in orders {
            self.list_legs(order);
        }
        for order in orders {
            if self.names.contains_key(&order.id) {
                continue;
            }
            let id = &order.request.client_order_id;
            let mut entry = Entry::new(&order.request, family.bot(&order.id), Decimal::ZERO);
            entry.describe(order);
            entry.filled = order.filled;
            if let Some(executed) = executed.remove(&order.id) {
                entry.count(&executed, Decimal::ZERO);
            }
            if let Some(before) = family.before.open.get(id).filter(|before| before.is_called(&order.id)) {
                entry.keep_changes(before);
            }
            if order.status.is_open() {
                self.names.insert(order.id.clone(), id.clone());
                self.put(id.clone(), entry);
            } else if !self.is_open(id) {
                self.names.insert(order.id.clone(), id.clone());
                self.end(id, entry);
            }
        }
    }
}
