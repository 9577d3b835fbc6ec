//! Which order has which names, and which orders belong together, as far as the venue has said so.
//!
//! Bounded: the oldest is forgotten first, and costs a question to the venue. Must not ask anybody.

use std::collections::{HashMap, VecDeque};

use crate::model::{ClientOrderId, Order, OrderClass, Symbol, VenueOrderId};

/// Orders remembered.
const ROOM: usize = 20_000;

#[derive(Debug, Clone)]
pub(super) struct Known {
    pub client: ClientOrderId,
    pub symbol: Symbol,
    class: OrderClass,
    legs: Vec<VenueOrderId>,
}

#[derive(Debug)]
pub(super) struct Names {
    room: usize,
    by_client: HashMap<ClientOrderId, VenueOrderId>,
    by_venue: HashMap<VenueOrderId, Known>,
    parents: HashMap<VenueOrderId, VenueOrderId>,
    oldest: VecDeque<VenueOrderId>,
}

impl Default for Names {
    fn default() -> Names {
        Names::with_room(ROOM)
    }
}

impl Names {
    fn with_room(room: usize) -> Names {
        Names { room, by_client: HashMap::new(), by_venue: HashMap::new(), parents: HashMap::new(), oldest: VecDeque::new() }
    }

    pub(super) fn venue_id(&self, client: &ClientOrderId) -> Option<&VenueOrderId> {
        self.by_client.get(client)
    }

    pub(super) fn known(&self, id: &VenueOrderId) -> Option<&Known> {
        self.by_venue.get(id)
    }

    /// Remembers what `order` says of its names and family, and completes what it leaves out: the venue shows an order
    /// with its legs only where it is asked to, and a leg never with its parent.
    pub(super) fn learn(&mut self, order: &mut Order) {
        if let Some(parent) = &order.parent {
            self.parents.insert(order.id.clone(), parent.clone());
        }
        order.parent = self.parents.get(&order.id).cloned();
        let known = self.by_venue.get(&order.id);
        let is_new = known.is_none();
        if let Some(known) = known.filter(|known| order.legs.is_empty() && !known.legs.is_empty()) {
            order.legs.clone_from(&known.legs);
            order.request.class = known.class;
        }
        for leg in &order.legs {
            self.parents.insert(leg.clone(), order.id.clone());
        }
        if is_new {
            self.make_room();
            self.oldest.push_back(order.id.clone());
        }
        let request = &order.request;
        self.by_client.insert(request.client_order_id.clone(), order.id.clone());
        let known = Known { client: request.client_order_id.clone(), symbol: request.symbol.clone(), class: request.class, legs: order.legs.clone() };
        self.by_venue.insert(order.id.clone(), known);
    }

    fn make_room(&mut self) {
        while self.oldest.len() >= self.room {
            let Some(id) = self.oldest.pop_front() else { return };
            self.parents.remove(&id);
            let Some(known) = self.by_venue.remove(&id) else { continue };
            for leg in &known.legs {
                self.parents.remove(leg);
            }
            if self.by_client.get(&known.client) == Some(&id) {
                self.by_client.remove(&known.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchanges::alpaca::orders::read_order;

    fn order(id: &str, legs: &str) -> Order {
        let json = format!(
            r#"{{"id":"{id}","client_order_id":"bot-{id}","symbol":"AAPL","side":"buy","qty":"1","type":"market","status":"new","order_class":"bracket","legs":{legs}}}"#
        );
        read_order(&json).unwrap()
    }

    #[test]
    fn a_family_is_remembered_where_it_is_not_shown() {
        let mut names = Names::default();
        let mut parent = order("p", r#"[{"id":"w","limit_price":"12"},{"id":"l","stop_price":"9"}]"#);
        names.learn(&mut parent);
        let (mut bare, mut leg) = (order("p", "null"), order("w", "null"));
        assert!(bare.legs.is_empty() && leg.parent.is_none());
        names.learn(&mut bare);
        names.learn(&mut leg);
        assert_eq!((&bare.legs, bare.request.class, leg.parent), (&parent.legs, parent.request.class, Some(parent.id)));
    }

    #[test]
    fn the_oldest_is_forgotten_with_its_family() {
        let mut names = Names::with_room(2);
        for id in ["a", "b", "b", "c"] {
            names.learn(&mut order(id, &format!(r#"[{{"id":"{id}-leg"}}]"#)));
        }
        let known = |client: &str| names.venue_id(&client.parse().unwrap()).map(|id| id.as_str());
        assert_eq!([known("bot-a"), known("bot-b"), known("bot-c")], [None, Some("b"), Some("c")]);
        assert_eq!((names.by_venue.len(), names.by_client.len(), names.parents.len(), names.oldest.len()), (2, 2, 2, 2));
    }
}
