//! The exchange itself: accounts, orders, matching against the displayed quotes.
//!
//! Pure: time is passed in, randomness comes from the seed, what happened is taken out as updates. Must not know HTTP,
//! sockets or codecs.

mod account;
mod book;
mod order;
mod submit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rust_decimal::Decimal;
use serde::Serialize;

pub(super) use account::{Account, Position};
pub(super) use book::{Asset, Book, Deal};
pub(super) use order::{Order, OrderKind, OrderRequest, OrderView, Side, Size, TimeInForce, plain};

use crate::model::{Price, Quote, Symbol, Timestamp};
use book::Ids;
use order::OrderStatus;

/// Orders are numbered as they come.
pub(super) type Seq = u64;

/// Closed orders beyond this number are forgotten, oldest first.
const MAX_ORDERS: usize = 100_000;

/// Why a request was not granted, in the venue's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub code: u32,
    pub message: String,
    /// Context fields of the error body.
    pub context: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: u32, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), context: Vec::new() }
    }

    fn with(mut self, field: &'static str, value: impl Into<String>) -> Refusal {
        self.context.push((field, value.into()));
        self
    }
}

/// Something happened to an order: the `data` of a `trade_updates` message, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Update {
    pub account: String,
    pub data: String,
}

#[derive(Debug)]
pub(super) struct Exchange {
    ids: Ids,
    latency: Duration,
    assets: BTreeMap<String, Asset>,
    books: HashMap<String, Book>,
    accounts: BTreeMap<String, Account>,
    orders: BTreeMap<Seq, Order>,
    by_id: HashMap<String, Seq>,
    /// Acknowledged and resting, by symbol.
    resting: HashMap<String, BTreeSet<Seq>>,
    /// Received and not yet acknowledged, by the time of the acknowledgement.
    pending: BTreeSet<(Timestamp, Seq)>,
    next: Seq,
    updates: Vec<Update>,
}

#[derive(Serialize)]
struct UpdateView<'a> {
    event: &'a str,
    execution_id: Option<String>,
    order: OrderView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position_qty: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qty: Option<String>,
    timestamp: String,
}

/// One execution.
#[derive(Clone, Copy)]
struct Fill {
    quantity: Decimal,
    price: Decimal,
    position: Decimal,
}

impl Exchange {
    pub(super) fn new(seed: u64, symbols: &[(Symbol, Price)], accounts: &[String], latency: Duration, now: Timestamp) -> Exchange {
        let mut ids = Ids::new(seed);
        let assets = symbols.iter().map(|(symbol, _)| (symbol.to_string(), Asset::new(symbol.as_str(), ids.uuid()))).collect();
        let books = symbols.iter().filter_map(|(symbol, price)| Some((symbol.to_string(), Book::around(price.to_decimal()?, now)))).collect();
        let mut exchange = Exchange {
            ids,
            latency,
            assets,
            books,
            accounts: BTreeMap::new(),
            orders: BTreeMap::new(),
            by_id: HashMap::new(),
            resting: HashMap::new(),
            pending: BTreeSet::new(),
            next: 1,
            updates: Vec::new(),
        };
        for (at, id) in accounts.iter().enumerate() {
            let number = format!("SIM{:08}", at + 1);
            exchange.accounts.entry(id.clone()).or_insert_with(|| Account::new(id.clone(), number, now));
        }
        exchange
    }

    pub(super) fn asset(&self, symbol_or_id: &str) -> Option<&Asset> {
        self.assets.get(symbol_or_id).or_else(|| {
            let wanted = book::bare(symbol_or_id);
            self.assets.values().find(|asset| book::bare(&asset.id) == wanted || asset.symbol.replace('/', "") == symbol_or_id)
        })
    }

    pub(super) fn book(&self, symbol: &str) -> Option<&Book> {
        self.books.get(symbol)
    }

    pub(super) fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.get(id)
    }

    pub(super) fn order(&self, account: &str, id: &str) -> Result<&Order, Refusal> {
        let found = self.by_id.get(&book::bare(id)).and_then(|seq| self.orders.get(seq));
        found.filter(|order| order.account == account).ok_or_else(|| Refusal::new(404, 40_410_000, format!("order not found for {id}")))
    }

    pub(super) fn order_by_client_id(&self, account: &str, id: &str) -> Result<&Order, Refusal> {
        let found = self.accounts.get(account).and_then(|a| a.client_ids.get(id)).and_then(|seq| self.orders.get(seq));
        found.ok_or_else(|| Refusal::new(404, 40_410_000, format!("order not found for {id}")))
    }

    /// The account's orders, oldest first.
    pub(super) fn orders(&self, account: &str) -> impl DoubleEndedIterator<Item = (Seq, &Order)> {
        let seqs = self.accounts.get(account).map(|a| &a.orders);
        seqs.into_iter().flatten().filter_map(|seq| Some((*seq, self.orders.get(seq)?)))
    }

    /// What happened since the last call, in order.
    pub(super) fn take_updates(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.updates)
    }

    /// When [`Exchange::due`] has something to do.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.pending.first().map(|(at, _)| *at)
    }

    /// Acknowledges and matches the orders whose latency is over.
    pub(super) fn due(&mut self, now: Timestamp) {
        while let Some((at, seq)) = self.pending.first().copied() {
            if at > now {
                break;
            }
            self.pending.pop_first();
            self.acknowledge(seq, now);
        }
    }

    /// The market shows another quote: resting orders that it crosses are filled at their limit.
    pub(super) fn quoted(&mut self, symbol: &str, quote: &Quote, now: Timestamp) {
        let Some(book) = self.books.get_mut(symbol) else { return };
        book.quoted(quote, now);
        let crossed: Vec<Seq> = self.resting.get(symbol).into_iter().flatten().copied().collect();
        for seq in crossed {
            let Some(order) = self.orders.get(&seq) else { continue };
            let OrderKind::Limit(limit) = order.request.kind else { continue };
            if self.marketable_at(order).is_some() {
                self.fill(seq, limit, now);
            }
        }
    }

    /// Somebody traded.
    pub(super) fn traded(&mut self, symbol: &str, id: i64, price: Decimal, size: Decimal, now: Timestamp) {
        if let Some(book) = self.books.get_mut(symbol) {
            book.last = Deal { id, price, size, at: now };
        }
    }

    pub(super) fn cancel(&mut self, account: &str, id: &str, now: Timestamp) -> Result<(), Refusal> {
        self.order(account, id)?.is_cancelable()?;
        if let Some(seq) = self.by_id.get(&book::bare(id)).copied() {
            self.end(seq, now);
        }
        Ok(())
    }

    /// Cancels everything open; returns the ids.
    pub(super) fn cancel_all(&mut self, account: &str, now: Timestamp) -> Vec<String> {
        let open: Vec<(Seq, String)> = self.orders(account).filter(|(_, order)| order.status.is_open()).map(|(seq, order)| (seq, order.id.clone())).collect();
        open.iter().for_each(|(seq, _)| self.end(*seq, now));
        open.into_iter().map(|(_, id)| id).collect()
    }

    /// Money for marginable assets: twice the equity, less what positions and open buys use.
    pub(super) fn buying_power(&self, account: &Account) -> Decimal {
        let used: Decimal = account.positions.iter().map(|(symbol, p)| (p.quantity * self.mark(symbol, p)).abs()).sum();
        let equity = self.equity(account);
        (equity + equity - used - self.holds(account)).max(Decimal::ZERO)
    }

    /// Money for assets that cannot be bought on margin.
    pub(super) fn own_money(&self, account: &Account) -> Decimal {
        (account.cash - self.holds(account)).max(Decimal::ZERO)
    }

    pub(super) fn equity(&self, account: &Account) -> Decimal {
        let worth: Decimal = account.positions.iter().map(|(symbol, p)| p.quantity * self.mark(symbol, p)).sum();
        account.cash + worth
    }

    /// The price that a position is valued at.
    pub(super) fn mark(&self, symbol: &str, position: &Position) -> Decimal {
        self.books.get(symbol).map_or(position.entry_price, |book| book.last.price)
    }

    /// Units that open sells have spoken for.
    pub(super) fn held_for_sale(&self, account: &Account, symbol: &str) -> Decimal {
        let selling = self.open_orders(account).filter(|order| order.request.side == Side::Sell && order.request.symbol == symbol);
        selling.map(|order| order.open_quantity(order.reserve_price)).sum()
    }

    fn holds(&self, account: &Account) -> Decimal {
        self.open_orders(account).map(Order::hold).sum()
    }

    fn open_orders<'a>(&'a self, account: &'a Account) -> impl Iterator<Item = &'a Order> {
        let pending = self.pending.iter().map(|(_, seq)| seq);
        let open = pending.chain(self.resting.values().flatten());
        open.filter_map(|seq| self.orders.get(seq)).filter(|order| order.account == account.id)
    }

    fn acknowledge(&mut self, seq: Seq, now: Timestamp) {
        let Some(order) = self.orders.get_mut(&seq) else { return };
        order.status = OrderStatus::New;
        order.updated_at = now;
        let (symbol, rests) = (order.request.symbol.clone(), order.request.time_in_force != TimeInForce::Ioc);
        let execution = self.ids.uuid();
        self.tell(seq, "new", Some(execution), None, now);
        match self.orders.get(&seq).and_then(|order| self.marketable_at(order)) {
            Some(price) => self.fill(seq, price, now),
            None if rests => {
                self.resting.entry(symbol).or_default().insert(seq);
            }
            None => self.end(seq, now),
        }
    }

    /// The displayed price at which an order would be filled now.
    fn marketable_at(&self, order: &Order) -> Option<Decimal> {
        let book = self.books.get(&order.request.symbol)?;
        let displayed = match order.request.side {
            Side::Buy => book.ask,
            Side::Sell => book.bid,
        };
        let crosses = match (order.request.kind, order.request.side) {
            (OrderKind::Market, _) => true,
            (OrderKind::Limit(limit), Side::Buy) => displayed <= limit,
            (OrderKind::Limit(limit), Side::Sell) => displayed >= limit,
        };
        (crosses && !displayed.is_zero()).then_some(displayed)
    }

    fn fill(&mut self, seq: Seq, price: Decimal, now: Timestamp) {
        let Some(order) = self.orders.get_mut(&seq) else { return };
        let Some(account) = self.accounts.get_mut(&order.account) else { return };
        let quantity = order.open_quantity(price);
        order.status = OrderStatus::Filled;
        (order.filled, order.filled_price) = (quantity, Some(price));
        (order.filled_at, order.updated_at) = (Some(now), now);
        let position = account.execute(&order.request.symbol, order.request.side.signed(quantity), price);
        if let Some(resting) = self.resting.get_mut(&order.request.symbol) {
            resting.remove(&seq);
        }
        let execution = self.ids.uuid();
        self.tell(seq, "fill", Some(execution), Some(Fill { quantity, price, position }), now);
    }

    /// Ends an open order without a fill.
    fn end(&mut self, seq: Seq, now: Timestamp) {
        let Some(order) = self.orders.get_mut(&seq) else { return };
        order.status = OrderStatus::Canceled;
        (order.canceled_at, order.updated_at) = (Some(now), now);
        if let Some(resting) = self.resting.get_mut(&order.request.symbol) {
            resting.remove(&seq);
        }
        self.pending.retain(|(_, pending)| *pending != seq);
        let execution = self.ids.uuid();
        self.tell(seq, "canceled", Some(execution), None, now);
    }

    fn tell(&mut self, seq: Seq, event: &str, execution_id: Option<String>, fill: Option<Fill>, now: Timestamp) {
        let Some(order) = self.orders.get(&seq) else { return };
        let view = UpdateView {
            event,
            execution_id,
            order: order.view(),
            position_qty: fill.map(|f| plain(f.position)),
            price: fill.map(|f| plain(f.price)),
            qty: fill.map(|f| plain(f.quantity)),
            timestamp: now.to_string(),
        };
        // A struct of texts always serialises.
        let data = serde_json::to_string(&view).unwrap_or_default();
        self.updates.push(Update { account: order.account.clone(), data });
    }
}

#[cfg(test)]
mod tests;
