//! What the account can be asked for, as every broker can.
//!
//! Must not know how a question is sent.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::super::history::{PastMarket, PastQuote};
use super::super::orders::{read_account, read_balances, read_position, read_positions, write_modification, write_order};
use super::{ACCOUNT_PATH, AlpacaBroker, Urgency, Verb, encode};
use crate::events::{AccountRef, MarketSight, OrderKey};
use crate::exchanges::{Broker, BrokerError, BrokerMetrics, CancelOutcome, Capabilities, Connection, Replayed};
use crate::model::{AccountInfo, Balance, Fill, Modification, Order, OrderRequest, OrderStatus, Position, Symbol, Timestamp};
use crate::risk::Approved;

/// An order waits for its price no longer.
const QUOTE_WITHIN: Duration = Duration::from_secs(2);

impl AlpacaBroker {
    fn counted<T>(&self, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
        result.inspect_err(|error| self.metrics.failed(error))
    }

    fn send_order(&self, request: &OrderRequest) -> Result<Order, BrokerError> {
        self.capabilities.check(request)?;
        match self.ask(Verb::Post, "/v2/orders", Some(write_order(request)), Urgency::Order) {
            Ok(page) => self.taken(&page),
            // A new order names no other: what is not known is what it is for.
            Err(BrokerError::UnknownOrder(_)) => Err(BrokerError::Rejected { code: None, reason: format!("{} is not known", request.symbol) }),
            Err(error) => Err(error),
        }
    }

    fn change(&self, key: &OrderKey, change: &Modification) -> Result<Order, BrokerError> {
        let id = self.venue_id(key, Urgency::Order)?;
        let path = format!("/v2/orders/{}", encode(id.as_str()));
        match self.ask(Verb::Patch, &path, Some(write_modification(change)), Urgency::Order) {
            Ok(page) => self.taken(&page),
            Err(refusal) => Err(self.why_not(&id, key, refusal, Urgency::Order)),
        }
    }

    fn end(&self, key: &OrderKey) -> Result<(), BrokerError> {
        let id = self.venue_id(key, Urgency::Cancel)?;
        let path = format!("/v2/orders/{}", encode(id.as_str()));
        match self.ask(Verb::Delete, &path, None, Urgency::Cancel) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(self.why_not(&id, key, refusal, Urgency::Cancel)),
        }
    }

    /// One by one: the venue ends all or one. Who ends an order ends what hangs on it, which is no failure then.
    fn end_symbol(&self, symbol: &Symbol) -> Result<Vec<CancelOutcome>, BrokerError> {
        let open = self.list_open(Some(symbol), Urgency::Cancel)?;
        let outcomes = open.into_iter().map(|order| {
            let result = match self.end(&OrderKey::Venue(order.id.clone())) {
                Err(BrokerError::NotOpen(OrderStatus::Canceled)) => Ok(()),
                result => result,
            };
            CancelOutcome { order: order.id, client_order_id: order.request.client_order_id, result }
        });
        Ok(outcomes.collect())
    }

    fn read_one_position(&self, symbol: &Symbol) -> Result<Option<Position>, BrokerError> {
        // Positions in pairs are filed without the slash.
        let path = format!("/v2/positions/{}", encode(&symbol.as_str().replace('/', "")));
        match self.ask(Verb::Get, &path, None, Urgency::Question) {
            Ok(page) => read_position(&page.body).map(Some).map_err(|error| self.unreadable("a position", error)),
            Err(BrokerError::UnknownOrder(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Broker for AlpacaBroker {
    fn of(&self) -> AccountRef {
        self.of.clone()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn latest_quote(&self, symbol: &Symbol) -> Result<Option<(MarketSight, Timestamp)>, BrokerError> {
        let market = if symbol.is_pair() { PastMarket::Crypto } else { PastMarket::Stocks(None) };
        let mut quotes = self.counted(self.rest.latest_quotes(market, std::slice::from_ref(symbol), QUOTE_WITHIN))?;
        let shown = |quote: PastQuote| {
            let PastQuote { at, bid, bid_size, ask, ask_size } = quote;
            (MarketSight::Quote { bid, bid_size, ask, ask_size }, at)
        };
        Ok(quotes.remove(symbol).map(shown))
    }

    fn connect(&self) -> Result<(), BrokerError> {
        self.counted(self.open())
    }

    fn disconnect(&self) {
        let mut state = self.state.lock();
        state.opened = false;
        self.note(*state);
        self.answered.store(false, Ordering::Relaxed);
    }

    fn connection(&self) -> Connection {
        self.connection_now()
    }

    fn place(&self, order: Approved<OrderRequest>) -> Result<Order, BrokerError> {
        let began = Instant::now();
        let placed = self.send_order(order.get());
        self.metrics.answered(&placed, began.elapsed());
        placed
    }

    fn modify(&self, order: &OrderKey, change: Approved<Modification>) -> Result<Order, BrokerError> {
        self.counted(self.change(order, change.get()))
    }

    fn cancel(&self, order: &OrderKey) -> Result<(), BrokerError> {
        let began = Instant::now();
        let ended = self.counted(self.end(order));
        self.metrics.cancellation.observe(began.elapsed());
        ended
    }

    fn cancel_all(&self, symbol: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError> {
        self.counted(symbol.map_or_else(|| self.end_all(), |symbol| self.end_symbol(symbol)))
    }

    fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        self.counted(self.list_open(None, Urgency::Sweep))
    }

    fn order(&self, order: &OrderKey) -> Result<Option<Order>, BrokerError> {
        self.counted(self.look_up(order, Urgency::Question))
    }

    fn orders(&self, orders: &[OrderKey]) -> Result<Vec<Option<Order>>, BrokerError> {
        self.counted(self.look_up_many(orders))
    }

    fn orders_since(&self, since: Timestamp) -> Result<Option<Vec<Order>>, BrokerError> {
        self.counted(self.list_since(since)).map(Some)
    }

    fn replay(&self, since: Timestamp, until: Timestamp) -> Result<Option<Replayed>, BrokerError> {
        self.counted(self.read_history(since, until))
    }

    /// The venue's ledger says neither fees nor the position after an execution: both are zero.
    fn fills(&self, since: Timestamp, limit: usize) -> Result<Vec<Fill>, BrokerError> {
        self.counted(self.list_fills(since, limit))
    }

    fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        let page = self.ask(Verb::Get, "/v2/positions", None, Urgency::Question);
        self.counted(page.and_then(|page| read_positions(&page.body).map_err(|error| self.unreadable("the positions", error))))
    }

    fn position(&self, symbol: &Symbol) -> Result<Option<Position>, BrokerError> {
        self.counted(self.read_one_position(symbol))
    }

    fn account(&self) -> Result<AccountInfo, BrokerError> {
        let page = self.ask(Verb::Get, ACCOUNT_PATH, None, Urgency::Question);
        self.counted(page.and_then(|page| read_account(&page.body).map_err(|error| self.unreadable("the account", error))))
    }

    fn balances(&self) -> Result<Vec<Balance>, BrokerError> {
        let page = self.ask(Verb::Get, ACCOUNT_PATH, None, Urgency::Question);
        self.counted(page.and_then(|page| read_balances(&page.body).map_err(|error| self.unreadable("the account", error))))
    }

    fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }
}
