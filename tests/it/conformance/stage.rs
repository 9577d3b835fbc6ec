//! What a card works with: short words for orders, and everything that the broker has said so far.

use std::sync::Arc;

use alpaca_broker::events::{Event, OrderKey, OrderUpdate, PositionUpdate};
use alpaca_broker::exchanges::{Broker, BrokerError};
use alpaca_broker::model::{
    Fill, MarketSession, Modification, Order, OrderClass, OrderRequest, OrderStatus, OrderType, Side, Size, Symbol, TimeInForce, Timestamp, VenueOrderId, worth,
};
use alpaca_broker::risk::{Approved, Gate, Holdings, Sight};
use rust_decimal::Decimal;

use crate::support::brokers::{Top, Venue};

/// Units that stand on either side of the market unless a card says otherwise.
const DEPTH: u32 = 1_000;

pub fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub fn by_client(order: &Order) -> OrderKey {
    OrderKey::Client(order.request.client_order_id.clone())
}

pub fn by_venue(order: &Order) -> OrderKey {
    OrderKey::Venue(order.id.clone())
}

pub fn approve(request: OrderRequest) -> Approved<OrderRequest> {
    Gate::default().check(request, &Sight::blind(MarketSession::Regular), &Holdings::default(), Timestamp::default()).unwrap()
}

pub fn limit(price: &str) -> OrderType {
    OrderType::Limit { limit: price.parse().unwrap() }
}

pub fn stop(price: &str) -> OrderType {
    OrderType::Stop { stop: price.parse().unwrap() }
}

pub struct Stage<'v> {
    pub venue: &'v mut dyn Venue,
    pub symbol: Symbol,
    pub other: Symbol,
    pub unlisted: Symbol,
    /// Everything that was told, oldest first.
    pub heard: Vec<Event>,
    /// Cash before anything was done.
    pub start: Decimal,
    names: u32,
}

impl<'v> Stage<'v> {
    /// A market of 100.00 to 100.02 in both symbols.
    pub fn set(venue: &'v mut dyn Venue) -> Stage<'v> {
        let [symbol, other, unlisted] = venue.symbols();
        let start = venue.broker().account().unwrap().cash;
        let mut stage = Stage { venue, symbol, other, unlisted, heard: Vec::new(), start, names: 0 };
        stage.show("100.00", "100.02");
        let other = stage.other.clone();
        stage.show_of(&other, "100.00", "100.02", DEPTH);
        stage
    }

    pub fn broker(&self) -> Arc<dyn Broker> {
        self.venue.broker()
    }

    pub fn show(&mut self, bid: &str, ask: &str) {
        let symbol = self.symbol.clone();
        self.show_of(&symbol, bid, ask, DEPTH);
    }

    pub fn show_of(&mut self, symbol: &Symbol, bid: &str, ask: &str, size: u32) {
        let top = Top { bid: dec(bid), bid_size: size.into(), ask: dec(ask), ask_size: size.into() };
        self.venue.show(symbol, top);
        self.listen();
    }

    pub fn settle(&mut self) {
        self.venue.settle();
        self.listen();
    }

    fn listen(&mut self) {
        self.heard.extend(self.venue.events().facts.try_iter());
    }

    /// An order for the first symbol, good till cancelled, with a name of its own.
    pub fn ask(&mut self, side: Side, quantity: &str, kind: OrderType) -> OrderRequest {
        self.names += 1;
        OrderRequest {
            client_order_id: format!("card-{}", self.names).parse().unwrap(),
            symbol: self.symbol.clone(),
            side,
            size: Size::Quantity(quantity.parse().unwrap()),
            kind,
            time_in_force: if kind == OrderType::Market { TimeInForce::Day } else { TimeInForce::Gtc },
            extended_hours: false,
            class: OrderClass::Simple,
        }
    }

    pub fn try_place(&mut self, request: OrderRequest) -> Result<Order, BrokerError> {
        let placed = self.broker().place(approve(request));
        self.settle();
        placed
    }

    /// Places it, lets it arrive, and returns it as it is then.
    pub fn place(&mut self, request: OrderRequest) -> Order {
        let name = request.client_order_id.clone();
        let placed = self.try_place(request).unwrap_or_else(|error| panic!("{name} was refused: {error}"));
        self.now(&by_venue(&placed))
    }

    pub fn buy(&mut self, quantity: &str, kind: OrderType) -> Order {
        let request = self.ask(Side::Buy, quantity, kind);
        self.place(request)
    }

    pub fn sell(&mut self, quantity: &str, kind: OrderType) -> Order {
        let request = self.ask(Side::Sell, quantity, kind);
        self.place(request)
    }

    /// Holds so many units of the first symbol.
    pub fn hold(&mut self, quantity: &str) {
        let order = self.buy(quantity, OrderType::Market);
        assert_eq!(order.status, OrderStatus::Filled, "the card needs units to work with: {order:?}");
    }

    pub fn modify(&mut self, order: &Order, change: Modification) -> Result<Order, BrokerError> {
        self.modify_by(&by_venue(order), order, change)
    }

    pub fn modify_by(&mut self, key: &OrderKey, order: &Order, change: Modification) -> Result<Order, BrokerError> {
        let sight = Sight::blind(MarketSession::Regular);
        let change = Gate::default().check_change(order, change, &sight, &Holdings::default(), Timestamp::default()).unwrap();
        let modified = self.broker().modify(key, change);
        self.settle();
        modified
    }

    pub fn cancel(&mut self, order: &Order) -> Result<(), BrokerError> {
        let cancelled = self.broker().cancel(&by_venue(order));
        self.settle();
        cancelled
    }

    pub fn now(&self, key: &OrderKey) -> Order {
        self.broker().order(key).unwrap().unwrap_or_else(|| panic!("{key:?} is not known any more"))
    }

    pub fn again(&self, order: &Order) -> Order {
        self.now(&by_venue(order))
    }

    pub fn updates(&self, id: &VenueOrderId) -> Vec<&OrderUpdate> {
        let updates = self.heard.iter().filter_map(|event| if let Event::OrderUpdated(update) = event { Some(update) } else { None });
        updates.filter(|update| update.order.id == *id).collect()
    }

    pub fn fills(&self) -> Vec<Fill> {
        self.heard.iter().filter_map(|event| if let Event::Filled(filled) = event { Some(filled.fill.clone()) } else { None }).collect()
    }

    pub fn fills_of(&self, order: &Order) -> Vec<Fill> {
        self.fills().into_iter().filter(|fill| fill.order_id == order.id).collect()
    }

    pub fn position_updates(&self) -> Vec<&PositionUpdate> {
        self.heard.iter().filter_map(|event| if let Event::PositionChanged(update) = event { Some(update) } else { None }).collect()
    }

    /// Units of a symbol, by the broker.
    pub fn units(&self, symbol: &Symbol) -> Decimal {
        self.broker().position(symbol).unwrap().map_or(Decimal::ZERO, |position| position.quantity)
    }

    pub fn held(&self) -> Decimal {
        self.units(&self.symbol)
    }

    /// Runs something that must leave no trace at the venue.
    pub fn nothing_happens<T>(&mut self, act: impl FnOnce(&mut Stage<'_>) -> T) -> T {
        self.settle();
        let before = (self.venue.arrived(), self.heard.len(), self.broker().account().unwrap(), self.broker().open_orders().unwrap());
        let result = act(self);
        self.settle();
        assert_eq!(self.venue.arrived(), before.0, "something reached the venue");
        assert_eq!(self.heard.get(before.1..), Some(&[] as &[Event]), "something was told");
        assert_eq!(self.broker().account().unwrap(), before.2, "the account is another");
        assert_eq!(self.broker().open_orders().unwrap(), before.3, "the open orders are others");
        result
    }

    /// The books agree: every order with its executions, cash and positions with all of them.
    pub fn audit(&mut self) {
        self.settle();
        let fills = self.broker().fills(Timestamp::default(), usize::MAX).unwrap();
        let (mut cash, mut fees) = (self.start, Decimal::ZERO);
        for fill in &fills {
            cash -= fill.side.signed(worth(fill.price, fill.quantity)) + fill.fees;
            fees += fill.fees;
        }
        let account = self.broker().account().unwrap();
        let positions = self.broker().positions().unwrap();
        // Who keeps no books of gains shows money to the cent.
        let told = if self.venue.tells_gains() { cash } else { cash.round_dp(2) };
        assert_eq!((account.cash, account.fees), (told, fees), "cash and fees are those of the executions");
        let cost: Decimal = positions.iter().map(|position| position.cost).sum();
        if self.venue.tells_gains() {
            assert_eq!(account.cash + cost, self.start + account.realised - account.fees, "cash and cost are start, gains and fees");
        }
        for position in &positions {
            let units: Decimal = fills.iter().filter(|fill| fill.symbol == position.symbol).map(|fill| fill.side.signed(fill.quantity)).sum();
            assert_eq!(position.quantity, units, "the position of {} is that of the executions", position.symbol);
        }
        for (order, of_order) in self.orders_of(&fills) {
            let filled: Decimal = of_order.iter().map(|fill| fill.quantity).sum();
            let value: Decimal = of_order.iter().map(|fill| worth(fill.price, fill.quantity)).sum();
            assert_eq!((order.filled, order.filled_value), (filled, value), "{} is filled as its executions say", order.id);
        }
    }

    fn orders_of(&self, fills: &[Fill]) -> Vec<(Order, Vec<Fill>)> {
        let mut ids: Vec<VenueOrderId> = fills.iter().map(|fill| fill.order_id.clone()).collect();
        ids.sort();
        ids.dedup();
        ids.into_iter().map(|id| (self.now(&OrderKey::Venue(id.clone())), fills.iter().filter(|fill| fill.order_id == id).cloned().collect())).collect()
    }
}
