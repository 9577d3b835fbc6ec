//! Orders at the venue: taken in, changed, cancelled and shown, each wish checked by the venue's rules and by the
//! customer's own settings before the engine sees it.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::refusal::{About, Refusal, not_allowed_to_short, of_engine};
use super::{Acceptance, Asset, Exchange, Update, check};
use crate::contract::{OrderSetting, write_order, write_trade_update};
use crate::events::{Event, OrderKey, OrderUpdate};
use crate::exchanges::paper::engine;
use crate::model::{
    AccountId, ClientOrderId, Modification, Order, OrderClass, OrderRequest, OrderType, PositionIntent, Side, Size, TimeInForce, Timestamp, VenueOrderId,
};

/// An order as a customer asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sim) struct OrderWish {
    /// A symbol, with or without its slash, or the id of an asset.
    pub symbol: String,
    pub side: Side,
    pub size: Size,
    pub kind: OrderType,
    pub time_in_force: TimeInForce,
    pub extended_hours: bool,
    pub class: OrderClass,
    /// Made by the venue when absent.
    pub client_order_id: Option<ClientOrderId>,
    /// What the customer thinks that the order is for.
    pub intent: Option<PositionIntent>,
}

/// An order as it arrived, with what hangs on it; where nothing takes time, more has happened since.
#[derive(Debug, Clone)]
pub(in crate::sim) struct Arrival {
    pub order: Arc<Order>,
    legs: Vec<Arc<Order>>,
}

impl Exchange {
    /// Accepts an order: the answer is its state on arrival, what follows comes as updates.
    pub(in crate::sim) fn place(&mut self, account: &str, wish: OrderWish, now: Timestamp) -> Result<Arrival, Refusal> {
        let id = self.customer(account)?.id.clone();
        let unknown = || Refusal::unprocessable(format!("asset {:?} not found", wish.symbol));
        let asset = self.asset(&wish.symbol).ok_or_else(unknown)?.clone();
        check::form(&wish, &asset, self.book(asset.symbol.as_str()))?;
        self.check_customer(account, &wish, &asset)?;
        check::cost_of_pair(&wish, &asset, self.book(asset.symbol.as_str()))?;
        let request = OrderRequest {
            client_order_id: match wish.client_order_id {
                Some(id) => id,
                None => self.new_client_order_id()?,
            },
            symbol: asset.symbol.clone(),
            side: wish.side,
            size: wish.size,
            kind: wish.kind,
            time_in_force: wish.time_in_force,
            extended_hours: wish.extended_hours,
            class: wish.class,
        };
        let side = request.side;
        let placed = self.engine.place(&id, request, now);
        let arrival = placed.map_err(|refusal| self.refused(refusal, &id, Some((&asset, side)), ""));
        self.arrived(&id, arrival, None)
    }

    /// A name for an order whose customer gave none.
    pub(in crate::sim) fn new_client_order_id(&mut self) -> Result<ClientOrderId, Refusal> {
        self.ids.uuid().parse().map_err(|_| Refusal::new(500, 50_010_000, "no order id"))
    }

    /// The settings of the customer, and what he says that the order is for.
    fn check_customer(&self, account: &str, wish: &OrderWish, asset: &Asset) -> Result<(), Refusal> {
        let customer = self.customer(account)?;
        let settings = &customer.configuration;
        if settings.suspend_trade {
            return Err(Refusal::forbidden("new orders are rejected by user request"));
        }
        let fractional = match wish.size {
            Size::Quantity(quantity) => !quantity.value().fract().is_zero(),
            Size::Notional(_) => true,
        };
        if fractional && !settings.fractional_trading && !asset.pair {
            return Err(Refusal::forbidden("fractional trading is disabled for this account"));
        }
        let held = self.engine.position(&customer.id, asset.symbol.as_str()).map_or(Decimal::ZERO, |position| position.quantity);
        let inferred = check::intent(wish.side, held);
        if settings.no_shorting && inferred == PositionIntent::SellToOpen && !asset.pair {
            return Err(not_allowed_to_short());
        }
        match wish.intent {
            Some(said) if said != inferred => {
                Err(Refusal::unprocessable(format!("position intent mismatch, inferred: {}, specified: {}", inferred.as_str(), said.as_str())))
            }
            _ => Ok(()),
        }
    }

    /// Asks for another order in place of an open one; the answer is the order that will stand there.
    pub(in crate::sim) fn replace(&mut self, account: &str, id: &str, change: Modification, now: Timestamp) -> Result<Arrival, Refusal> {
        let old = Arc::clone(self.order(account, id)?);
        let request = &old.request;
        let asset = self.asset(request.symbol.as_str()).ok_or_else(|| Refusal::no_order(id))?.clone();
        if !asset.pair && change.quantity.is_some_and(|quantity| !quantity.value().fract().is_zero()) {
            return Err(Refusal::new(422, 40_010_001, "qty must be integer"));
        }
        let class = if old.status.is_open() { request.class } else { OrderClass::Simple };
        let wish = OrderWish {
            symbol: request.symbol.to_string(),
            side: request.side,
            size: change.quantity.map_or(request.size, Size::Quantity),
            kind: request.kind.changed(&change).unwrap_or(request.kind),
            time_in_force: change.time_in_force.unwrap_or(request.time_in_force),
            extended_hours: request.extended_hours,
            class,
            client_order_id: None,
            intent: None,
        };
        check::form(&wish, &asset, None)?;
        let account = self.customer(account)?.id.clone();
        let replaced = self.engine.modify(&account, &OrderKey::Venue(old.id.clone()), change, now);
        let arrival = replaced.map_err(|refusal| self.refused(refusal, &account, Some((&asset, wish.side)), id));
        self.arrived(&account, arrival, Some(old.id.clone()))
    }

    /// Tells what an order has set off, and keeps of its legs how they were before that.
    fn arrived(&mut self, account: &AccountId, order: Result<Arc<Order>, Refusal>, instead_of: Option<VenueOrderId>) -> Result<Arrival, Refusal> {
        if let Ok(order) = &order {
            self.accepted.push(Acceptance { account: account.to_string(), order: Arc::clone(order), instead_of });
        }
        let events = self.engine.take_events();
        let first = |id: &VenueOrderId| events.iter().find_map(|event| order_of(event).filter(|order| order.id == *id).cloned());
        let arrival = order.map(|order| Arrival { legs: order.legs.iter().filter_map(first).collect(), order });
        self.tell_all(&events);
        arrival
    }

    pub(in crate::sim) fn cancel(&mut self, account: &str, id: &str, now: Timestamp) -> Result<(), Refusal> {
        let order = Arc::clone(self.order(account, id)?);
        let account = self.customer(account)?.id.clone();
        let canceled = self.engine.cancel(&account, &OrderKey::Venue(order.id.clone()), now);
        self.collect();
        canceled.map_err(|refusal| self.refused(refusal, &account, None, id))
    }

    /// Cancels everything open; says what became of each.
    pub(in crate::sim) fn cancel_all(&mut self, account: &str, now: Timestamp) -> Vec<(VenueOrderId, Result<(), Refusal>)> {
        let Ok(account) = self.customer(account).map(|customer| customer.id.clone()) else { return Vec::new() };
        let outcomes = self.engine.cancel_all(&account, None, now);
        self.collect();
        let told = |(id, _, result): (VenueOrderId, ClientOrderId, Result<(), engine::Refusal>)| {
            let result = result.map_err(|refusal| self.refused(refusal, &account, None, id.as_str()));
            (id, result)
        };
        outcomes.into_iter().map(told).collect()
    }

    /// By the venue's id, with its dashes or without.
    pub(in crate::sim) fn order(&self, account: &str, id: &str) -> Result<&Arc<Order>, Refusal> {
        let unknown = || Refusal::no_order(id);
        let key = OrderKey::Venue(id.parse().map_err(|_| unknown())?);
        self.engine.order(&self.customer(account)?.id, &key).ok_or_else(unknown)
    }

    pub(in crate::sim) fn order_by_client_id(&self, account: &str, id: &str) -> Result<&Arc<Order>, Refusal> {
        let unknown = || Refusal::no_order(id);
        let key = OrderKey::Client(id.parse().map_err(|_| unknown())?);
        self.engine.order(&self.customer(account)?.id, &key).ok_or_else(unknown)
    }

    /// The account's orders as they were submitted, each with its place.
    pub(in crate::sim) fn orders(&self, account: &str) -> impl DoubleEndedIterator<Item = (u64, &Arc<Order>)> {
        self.customer(account).ok().map(|customer| self.engine.orders(&customer.id)).into_iter().flatten()
    }

    /// The orders that hang on one.
    pub(in crate::sim) fn legs(&self, account: &str, order: &Order) -> Vec<Arc<Order>> {
        let Ok(customer) = self.customer(account) else { return Vec::new() };
        let leg = |id: &VenueOrderId| self.engine.order(&customer.id, &OrderKey::Venue(id.clone())).cloned();
        order.legs.iter().filter_map(leg).collect()
    }

    /// The order object; `nested` shows what hangs on it.
    pub(in crate::sim) fn order_text(&self, account: &str, order: &Order, nested: bool) -> String {
        let legs = if nested { self.legs(account, order) } else { Vec::new() };
        write_order(order, self.setting(account, order, &legs))
    }

    pub(in crate::sim) fn arrival_text(&self, account: &str, arrival: &Arrival) -> String {
        write_order(&arrival.order, self.setting(account, &arrival.order, &arrival.legs))
    }

    fn setting<'a>(&'a self, account: &str, order: &Order, legs: &'a [Arc<Order>]) -> OrderSetting<'a> {
        let (asset_id, asset_class) = self.asset(order.request.symbol.as_str()).map_or(("", ""), |asset| (asset.id.as_str(), asset.class()));
        let parent = order.parent.as_ref().and_then(|id| self.order(account, id.as_str()).ok());
        OrderSetting { asset_id, asset_class, class_of_parent: parent.map(|parent| parent.request.class), legs }
    }

    /// Takes what the engine tells: executions to the ledgers, everything to the streams.
    pub(super) fn collect(&mut self) {
        let events = self.engine.take_events();
        self.tell_all(&events);
    }

    fn tell_all(&mut self, events: &[Event]) {
        for event in events {
            if let Event::OrderUpdated(update) = event {
                self.tell(update);
            }
        }
    }

    fn tell(&mut self, update: &OrderUpdate) {
        let (account, order) = (update.of.account.as_str(), &update.order);
        if let (Some(fill), Some(customer)) = (&update.fill, self.customers.get_mut(account)) {
            customer.ledger.executed(order, fill, &mut self.ids);
        }
        if order.parent.is_some() {
            self.told_legs.insert(order.id.clone(), Arc::clone(order));
        }
        // Legs are shown as the stream knows them: the engine may be ahead of what it has told.
        let legs: Vec<Arc<Order>> = self.legs(account, order).into_iter().map(|leg| self.told_legs.get(&leg.id).cloned().unwrap_or(leg)).collect();
        let data = write_trade_update(update, self.setting(account, order, &legs));
        self.updates.push(Update { account: account.to_owned(), data });
        if !order.status.is_open() {
            self.told_legs.remove(&order.id);
        }
    }

    fn refused(&self, refusal: engine::Refusal, account: &AccountId, about: Option<(&Asset, Side)>, order: &str) -> Refusal {
        let asset = about.map(|(asset, _)| asset);
        let rivals = about.map(|(asset, side)| {
            let rival = |order: &&Arc<Order>| order.request.side == side && order.request.symbol == asset.symbol;
            self.engine.open_orders(account).map(|(_, order)| order).filter(rival).map(|order| order.id.to_string()).collect()
        });
        let about = About {
            symbol: asset.map_or("", |asset| asset.symbol.as_str()),
            order,
            related: rivals.unwrap_or_default(),
            never_shorted: asset.is_some_and(|asset| !asset.shortable()),
        };
        of_engine(refusal, &about)
    }
}

fn order_of(event: &Event) -> Option<&Arc<Order>> {
    match event {
        Event::OrderUpdated(update) => Some(&update.order),
        _ => None,
    }
}
