//! A venue that does what a test tells it, and desks that live and die over one journal.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};

use crossbeam_channel::bounded;
use parking_lot::Mutex;
use serde_json::Value;

use super::ledger::Ledger;
use super::*;
use crate::contract::parse_command;
use crate::events::{AccountRef, EventBus, MarketDataEvent, MarketSight, OrderEvent, OrderKey, OrderSummary};
use crate::exchanges::paper::broker::{PaperBroker, PaperSettings};
use crate::exchanges::{Broker, BrokerError, BrokerMetrics, CancelOutcome, Capabilities, Connection};
use crate::journal::{CommandRecord, CommandState, Journal};
use crate::model::{AccountInfo, Balance, Fill, MarketSession, Modification, Order, OrderRequest, OrderStatus, Position, Symbol, Timestamp};
use crate::risk::{Approved, Gate, Limits};
use crate::runtime::{Stop, StopKind, wall_now};

/// What the venue does with a call that changes something.
#[derive(Debug, Clone)]
pub(super) enum Does {
    /// Nothing, and says why.
    Fails(BrokerError),
    /// What it is asked, and its answer is lost.
    Loses,
    /// What it is asked.
    Obeys,
}

type WithOrder = Box<dyn Fn(&Order) + Send>;

pub(super) struct Venue {
    paper: PaperBroker,
    pub capabilities: Capabilities,
    pub orders: Mutex<HashMap<String, Order>>,
    /// Every call that changes something, as it arrived.
    pub calls: Mutex<Vec<String>>,
    /// What becomes of the next calls.
    pub script: Mutex<VecDeque<Does>>,
    /// Questions are not answered.
    pub deaf: AtomicBool,
    /// Orders that it has are not shown.
    pub blind: AtomicBool,
    pub positions: Mutex<Vec<Position>>,
    /// Called when an order, or a change of one, arrives.
    pub on_place: Mutex<Option<Box<dyn Fn() + Send>>>,
    /// Called with the order once it stands, before its answer is.
    pub on_answer: Mutex<Option<WithOrder>>,
    /// Called when somebody asks for an order.
    pub on_ask: Mutex<Option<Box<dyn Fn() + Send>>>,
    _folder: tempfile::TempDir,
}

impl std::fmt::Debug for Venue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Venue").field("orders", &self.orders).finish_non_exhaustive()
    }
}

pub(super) fn lost() -> BrokerError {
    BrokerError::OutcomeUnknown { broker: "paper".to_owned(), cause: "no answer".to_owned() }
}

pub(super) fn away() -> BrokerError {
    BrokerError::Unavailable { broker: "paper".to_owned(), cause: "503".to_owned() }
}

pub(super) fn venue_that(able: impl FnOnce(&mut Capabilities)) -> Arc<Venue> {
    venue_of("paper-1", able)
}

pub(super) fn venue_of(account: &str, able: impl FnOnce(&mut Capabilities)) -> Arc<Venue> {
    let folder = tempfile::tempdir().unwrap();
    let settings = PaperSettings::new("paper".parse().unwrap(), account.parse().unwrap(), folder.path().join("paper.db"));
    let paper = PaperBroker::new(settings, EventBus::new(), Arc::new(wall_now));
    paper.connect().unwrap();
    let mut capabilities = Capabilities { unique_client_ids: true, ..paper.capabilities().clone() };
    able(&mut capabilities);
    Arc::new(Venue {
        paper,
        capabilities,
        orders: Mutex::default(),
        calls: Mutex::default(),
        script: Mutex::default(),
        deaf: AtomicBool::new(false),
        blind: AtomicBool::new(false),
        positions: Mutex::default(),
        on_place: Mutex::default(),
        on_answer: Mutex::default(),
        on_ask: Mutex::default(),
        _folder: folder,
    })
}

pub(super) fn venue() -> Arc<Venue> {
    venue_that(|_| ())
}

impl Venue {
    pub fn will(&self, does: impl IntoIterator<Item = Does>) {
        self.script.lock().extend(does);
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().clone()
    }

    /// What the hook causes itself does not call it.
    fn arrives(&self) {
        let hook = self.on_place.lock().take();
        if let Some(hook) = hook {
            hook();
            self.on_place.lock().get_or_insert(hook);
        }
    }

    fn stands(&self, order: &Order) {
        let hook = self.on_answer.lock().take();
        if let Some(hook) = hook {
            hook(order);
            self.on_answer.lock().get_or_insert(hook);
        }
    }

    /// Carries out `act` unless the script says otherwise.
    fn scripted<T>(&self, call: String, act: impl FnOnce() -> Result<T, BrokerError>) -> Result<T, BrokerError> {
        self.calls.lock().push(call);
        let next = self.script.lock().pop_front();
        match next {
            Some(Does::Fails(error)) => Err(error),
            Some(Does::Loses) => act().and_then(|_| Err(lost())),
            Some(Does::Obeys) | None => act(),
        }
    }

    fn find(&self, key: &OrderKey) -> Option<Order> {
        let orders = self.orders.lock();
        match key {
            OrderKey::Client(id) => orders.get(id.as_str()).cloned(),
            OrderKey::Venue(id) => orders.values().find(|order| order.id == *id).cloned(),
        }
    }

    pub fn holds(&self, quantity: i32) {
        *self.positions.lock() = vec![Position { quantity: quantity.into(), ..Position::flat("AAPL".parse().unwrap()) }];
    }

    pub fn set(&self, name: &str, change: impl FnOnce(&mut Order)) {
        change(self.orders.lock().get_mut(name).unwrap());
    }

    fn take(&self, request: OrderRequest) -> Result<Order, BrokerError> {
        let name = request.client_order_id.to_string();
        let mut orders = self.orders.lock();
        if orders.contains_key(&name) {
            return Err(BrokerError::DuplicateClientId(name));
        }
        let order = Order::new(format!("v-{name}").parse().unwrap(), request, OrderStatus::New, wall_now());
        orders.insert(name, order.clone());
        Ok(order)
    }
}

impl Broker for Venue {
    fn of(&self) -> AccountRef {
        self.paper.of()
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn connect(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn disconnect(&self) {}

    fn connection(&self) -> Connection {
        Connection::Connected
    }

    fn place(&self, order: Approved<OrderRequest>) -> Result<Order, BrokerError> {
        self.arrives();
        let request = order.into_inner();
        self.scripted(format!("place {}", request.client_order_id), || self.take(request).inspect(|order| self.stands(order)))
    }

    fn modify(&self, order: &OrderKey, change: Approved<Modification>) -> Result<Order, BrokerError> {
        self.arrives();
        let name = change.get().client_order_id.clone().unwrap();
        self.scripted(format!("modify {name}"), || {
            let old = self.find(order).unwrap();
            let mut new = self.take(OrderRequest { client_order_id: name, ..old.request.clone() })?;
            new.replaces = Some(old.id.clone());
            self.set(new.request.client_order_id.as_str(), |kept| kept.replaces.clone_from(&new.replaces));
            self.set(old.request.client_order_id.as_str(), |old| (old.status, old.replaced_by) = (OrderStatus::Replaced, Some(new.id.clone())));
            self.stands(&new);
            Ok(new)
        })
    }

    fn cancel(&self, order: &OrderKey) -> Result<(), BrokerError> {
        let found = self.find(order);
        let name = found.map_or_else(|| "nothing".to_owned(), |order| order.request.client_order_id.to_string());
        self.scripted(format!("cancel {name}"), || {
            let order = self.find(order).ok_or_else(|| BrokerError::UnknownOrder(name.clone()))?;
            if !order.status.is_open() {
                return Err(BrokerError::NotOpen(order.status));
            }
            self.set(&name, |order| order.status = OrderStatus::Canceled);
            Ok(())
        })
    }

    fn cancel_all(&self, _: Option<&Symbol>) -> Result<Vec<CancelOutcome>, BrokerError> {
        self.scripted("cancel_all".to_owned(), || Ok(Vec::new()))
    }

    fn open_orders(&self) -> Result<Vec<Order>, BrokerError> {
        Ok(self.orders.lock().values().filter(|order| order.status.is_open()).cloned().collect())
    }

    fn order(&self, order: &OrderKey) -> Result<Option<Order>, BrokerError> {
        if let Some(hook) = &*self.on_ask.lock() {
            hook();
        }
        if self.deaf.load(Relaxed) {
            return Err(away());
        }
        Ok(self.find(order).filter(|_| !self.blind.load(Relaxed)))
    }

    fn fills(&self, _: Timestamp, _: usize) -> Result<Vec<Fill>, BrokerError> {
        Ok(Vec::new())
    }

    fn positions(&self) -> Result<Vec<Position>, BrokerError> {
        Ok(self.positions.lock().clone())
    }

    fn account(&self) -> Result<AccountInfo, BrokerError> {
        self.paper.account()
    }

    fn balances(&self) -> Result<Vec<Balance>, BrokerError> {
        Ok(Vec::new())
    }

    fn metrics(&self) -> &BrokerMetrics {
        self.paper.metrics()
    }
}

/// What a venue said of an execution, without what nobody reads.
pub(super) fn words(event: &str, execution_id: &str) -> OrderEvent {
    OrderEvent {
        account: "paper".into(),
        event: event.into(),
        execution_id: Some(execution_id.into()),
        price: None,
        qty: None,
        position_qty: None,
        timestamp: None,
        order: OrderSummary::default(),
        order_json: "{}".into(),
        extra: Vec::new(),
    }
}

/// One life of the process. Dropping it is its death: only the folder and the venue outlive it.
pub(super) struct Life {
    pub desk: Arc<Desk>,
    pub seat: Arc<Seat>,
    pub ledger: Arc<Ledger>,
    pub lease: Arc<AtomicBool>,
    pub stop: Stop,
    entries: AtomicU32,
}

pub(super) fn live(folder: &tempfile::TempDir, venue: &Arc<Venue>) -> Life {
    live_with(folder, venue, Limits::default())
}

pub(super) fn seat_at(venue: &Arc<Venue>, limits: Limits) -> Arc<Seat> {
    let sights = Arc::new(Sights::default());
    let size = 1_000_000.into();
    let seen = MarketSight::Quote { bid: "99.99".parse().unwrap(), bid_size: size, ask: "100.01".parse().unwrap(), ask_size: size };
    let event = MarketDataEvent { exchange: "alpaca".parse().unwrap(), symbol: "AAPL".parse().unwrap(), at: wall_now(), seen };
    sights.see(&event, event.at);
    let gate = Gate::new(limits, BTreeMap::new()).for_account(venue.of());
    let session_of = Box::new(|_: &Symbol, _| MarketSession::Regular);
    let (account_name, prices) = ("main".to_owned(), "alpaca".parse().unwrap());
    let role = Role { account_name, prices, session_of, sights, untyped_is_limit: false, takes_orders: true };
    Arc::new(Seat::new(Arc::clone(venue) as _, role, gate))
}

pub(super) fn live_with(folder: &tempfile::TempDir, venue: &Arc<Venue>, limits: Limits) -> Life {
    let life = live_among(folder, venue, limits, |seat| [Arc::clone(seat)].into_iter().collect());
    life.seat.count(&life.ledger).unwrap();
    life
}

/// A life in which nobody has counted the account, among seats of the test's choice.
pub(super) fn live_among(folder: &tempfile::TempDir, venue: &Arc<Venue>, limits: Limits, seats: impl FnOnce(&Arc<Seat>) -> Seats) -> Life {
    let seat = seat_at(venue, limits);
    let halts = Arc::new(HaltFile::open(folder.path().join("halts.json")).unwrap());
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), wall_now()).unwrap();
    let ledger = Arc::new(Ledger::new(Arc::new(journal), bounded(1).0, false, wall_now));
    let (stop, lease) = (Stop::new().unwrap(), Arc::new(AtomicBool::new(true)));
    let held = Arc::clone(&lease);
    let may_send = Box::new(move || held.load(Relaxed));
    let desk = Desk::new(Arc::new(seats(&seat)), Arc::clone(&ledger), Box::new(|_, _| ()), halts, may_send, stop.token(), wall_now);
    Life { desk: Arc::new(desk), seat, ledger, lease, stop, entries: AtomicU32::new(wall_now().nanos().unsigned_abs() as u32 % 1_000_000) }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.stop.stop(StopKind::Shutdown);
    }
}

impl Life {
    pub fn tell_at(&self, text: &str, entry: &str, taken: Timestamp, again: bool) -> Option<Value> {
        let answer = self.desk.handle(parse_command(text.as_bytes()).unwrap(), entry, taken, again)?;
        Some(serde_json::from_str(&answer.to_json()).unwrap())
    }

    pub fn tell(&self, text: &str) -> Value {
        let entry = format!("{}-0", self.entries.fetch_add(1, Relaxed));
        self.tell_at(text, &entry, wall_now(), false).unwrap()
    }

    pub fn record(&self, name: &str) -> Option<CommandRecord> {
        self.ledger.journal().command(&self.seat.of.account, name).unwrap()
    }

    pub fn state(&self, name: &str) -> Option<CommandState> {
        self.record(name).map(|record| record.state)
    }

    /// What the stream tells, in order: the word of an order's event, or the result of a reply.
    pub fn streamed(&self) -> Vec<String> {
        let rows = self.ledger.journal().updates(&self.seat.of.account, 0, 1_000).unwrap();
        let told = |row: &crate::journal::Row| {
            let entry: Value = serde_json::from_str(&row.entry).unwrap();
            let reply = || format!("{} is {}", entry["action"].as_str().unwrap(), entry["result"].as_str().unwrap());
            entry["event"].as_str().map_or_else(reply, str::to_owned)
        };
        rows.iter().map(told).collect()
    }

    pub fn counted(&self) -> u32 {
        self.seat.guarded().gate.usage(wall_now()).open_orders
    }

    /// As a process left it that ended before it sent.
    pub fn leave_submitting(&self, name: &str, expires_in: i64) {
        self.leave_submitting_at(&self.seat, name, expires_in);
    }

    pub fn leave_submitting_at(&self, seat: &Seat, name: &str, expires_in: i64) {
        let command = parse_command(buy(name, 1).as_bytes()).unwrap();
        let crate::contract::Wish::Order(crate::events::Command::Place(request)) = command.wish else { panic!("no order") };
        let to = crate::contract::CommandFor { exchange: &seat.of.broker, account: &seat.account_name };
        let body = crate::contract::write_place(to, &request);
        let record = CommandRecord {
            name: name.to_owned(),
            action: "place".to_owned(),
            body: body.clone(),
            entry: "1-1".to_owned(),
            state: CommandState::Submitting,
            request: Some(body),
            answer: None,
            received: wall_now(),
            expires: Some(Timestamp::from_nanos(wall_now().nanos() + expires_in * 1_000_000_000)),
            sent: 1,
            cancel_wanted: false,
        };
        self.ledger.journal().write(|step| step.put_command(&seat.of.account, &record)).unwrap();
    }
}

/// A limit order that rests.
pub(super) fn buy(name: &str, quantity: u32) -> String {
    format!(r#"{{"action":"place","client_order_id":"{name}","symbol":"AAPL","side":"buy","qty":{quantity},"limit_price":"90","time_in_force":"gtc"}}"#)
}

pub(super) fn result(answer: &Value) -> (&str, &str) {
    (answer["result"].as_str().unwrap(), answer["advice"].as_str().unwrap_or_default())
}

/// Takes back what is held.
pub(super) fn close(name: &str) -> String {
    format!(r#"{{"action":"close_position","client_order_id":"{name}","symbol":"AAPL"}}"#)
}
