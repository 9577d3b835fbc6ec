//! The order desk: which broker a command is for, the check, the broker's answer in words.
//!
//! Called by many workers at once. Must not know Redis or threads.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::answer::{AccountView, Answer, CanceledView, FillView, PositionView, Verdict};
use super::halts::HaltFile;
use super::seat::Seat;
use crate::contract::{BadCommand, DeskCommand, OrderSetting, Question, Wish, write_order};
use crate::events::{Command, Event, EventBus, OrderKey, OrderUpdate};
use crate::exchanges::BrokerError;
use crate::model::{
    ClientOrderId, ExchangeName, Modification, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderTimes, OrderType, Quantity, Side, Size, Symbol,
    TimeInForce, Timestamp,
};
use crate::risk::{Denial, Sight};

/// How long an order waits for the first price of a symbol that nobody has listened to.
const FIRST_PRICE: Duration = Duration::from_secs(2);
/// A command that lay longer is not carried out: prices have moved on.
pub const STALE_AFTER: Duration = Duration::from_secs(60);

/// Asks for the prices of a symbol.
pub type WantPrices = Box<dyn Fn(&ExchangeName, &Symbol) + Send + Sync>;

/// The desk.
pub struct Desk {
    seats: Vec<Arc<Seat>>,
    bus: EventBus,
    want_prices: WantPrices,
    halts: Arc<HaltFile>,
    clock: fn() -> Timestamp,
}

impl Desk {
    /// The first seat is the default.
    pub fn new(seats: Vec<Arc<Seat>>, bus: EventBus, want_prices: WantPrices, halts: Arc<HaltFile>, clock: fn() -> Timestamp) -> Desk {
        halts.restore(&seats);
        Desk { seats, bus, want_prices, halts, clock }
    }

    pub fn seats(&self) -> &[Arc<Seat>] {
        &self.seats
    }

    /// A command that could not be read.
    pub fn refuse(&self, bad: &BadCommand) -> Answer {
        let action = bad.action.as_deref().unwrap_or("unknown");
        Answer { client_order_id: bad.client_order_id.clone(), advice: Some("fix_request"), ..Answer::denied(action, &bad.reason) }
    }

    /// Carries out one command. `taken` is when it was sent, `again` whether it was handed out before.
    pub fn handle(&self, command: DeskCommand, taken: Timestamp, again: bool) -> Answer {
        let action = command.action;
        let seat = match self.seat(command.exchange.as_ref(), command.account.as_deref()) {
            Ok(seat) => seat,
            Err(reason) => return Answer { advice: Some("fix_request"), ..Answer::denied(action, reason) },
        };
        let now = (self.clock)();
        let late = self.too_late(&command, taken, now);
        let answer = match command.wish {
            Wish::Order(Command::Place(request)) => self.place_once(action, seat, request, late, again, now),
            Wish::Order(Command::ClosePosition { client_order_id, symbol }) => match closing(action, seat, client_order_id, symbol) {
                Ok(request) => self.place_once(action, seat, request, late, again, now),
                Err(answer) => *answer,
            },
            Wish::Order(Command::Modify { order, change }) => match late {
                Some(reason) => Answer::denied(action, reason),
                None => self.modify(action, seat, &order, change, now),
            },
            // What takes risk away is never too late, and nothing checks it.
            Wish::Order(Command::Cancel(key)) => self.cancel(action, seat, &key),
            Wish::Order(Command::CancelAll(symbol)) => Self::cancel_all(action, seat, symbol.as_ref()),
            Wish::Ask(question) => Self::answer(action, seat, &question).unwrap_or_else(|error| Answer::failed(action, &error)),
            Wish::Halt { scope, mode, reason } => self.halts.halt(&self.seats, seat, &scope, mode, reason, now),
            Wish::Resume { scope } => self.halts.resume(&self.seats, seat, &scope),
        };
        Answer { broker: Some(seat.of.broker.to_string()), account_id: Some(seat.of.account.to_string()), ..answer }
    }

    fn seat(&self, exchange: Option<&ExchangeName>, account: Option<&str>) -> Result<&Seat, String> {
        let fits = |seat: &&Arc<Seat>| {
            exchange.is_none_or(|name| seat.of.broker == *name) && account.is_none_or(|name| seat.account_name == name || seat.of.account.as_str() == name)
        };
        self.seats.iter().find(fits).map(Arc::as_ref).ok_or_else(|| {
            let known: Vec<String> = self.seats.iter().map(|seat| format!("{} (account {})", seat.of.broker, seat.account_name)).collect();
            format!("no broker of that name takes orders here; there is {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })
        })
    }

    fn too_late(&self, command: &DeskCommand, taken: Timestamp, now: Timestamp) -> Option<String> {
        if command.expires_at.is_some_and(|at| at <= now) {
            return Some("the command has expired".to_owned());
        }
        let age = Duration::from_nanos((now.nanos() - taken.nanos()).max(0).unsigned_abs());
        (age > STALE_AFTER).then(|| format!("the command was sent {} s ago; after {} s it is not carried out any more", age.as_secs(), STALE_AFTER.as_secs()))
    }

    /// An order under a name that was used before is answered with what became of the first.
    fn place_once(&self, action: &str, seat: &Seat, request: OrderRequest, late: Option<String>, again: bool, now: Timestamp) -> Answer {
        let id = request.client_order_id.clone();
        if again && let Some(answer) = self.known(action, seat, &id) {
            return answer;
        }
        if let Some(reason) = late {
            return self.deny(action, seat, request, Answer::denied(action, reason), now);
        }
        let answer = self.place(action, seat, request, now);
        Answer { client_order_id: Some(id.to_string()), ..answer }
    }

    fn known(&self, action: &str, seat: &Seat, id: &ClientOrderId) -> Option<Answer> {
        let order = seat.broker.order(&OrderKey::Client(id.clone())).ok().flatten()?;
        Some(Answer { client_order_id: Some(id.to_string()), repeated: true, ..accepted(action, &order) })
    }

    fn place(&self, action: &str, seat: &Seat, request: OrderRequest, now: Timestamp) -> Answer {
        if let Err(error) = seat.broker.capabilities().check(&request) {
            return self.deny(action, seat, request, Answer::failed(action, &error), now);
        }
        let sight = self.sight(seat, &request.symbol, now);
        let account = match seat.account() {
            Ok(account) => account,
            Err(error) => return Answer::failed(action, &error),
        };
        // The name is looked up first: a refused duplicate must not be counted as an order of its own.
        if let Some(answer) = self.known(action, seat, &request.client_order_id) {
            return answer;
        }
        let approved = match seat.check(request.clone(), &sight, &account, now) {
            Ok(approved) => approved,
            Err(denial) => return self.deny(action, seat, request, Answer::denied_by(action, &denial), now),
        };
        match seat.broker.place(approved) {
            Ok(order) => accepted(action, &order),
            Err(error @ BrokerError::OutcomeUnknown { .. }) => Answer::failed(action, &error),
            Err(BrokerError::DuplicateClientId(name)) => {
                let first = self.known(action, seat, &request.client_order_id);
                first.unwrap_or_else(|| Answer::failed(action, &BrokerError::DuplicateClientId(name)))
            }
            Err(error) => {
                seat.guarded().gate.withdraw(&request.client_order_id);
                let change = if matches!(error, BrokerError::Rejected { .. }) { OrderChange::Rejected } else { OrderChange::Denied };
                self.tell_refused(seat, request, change, error.to_string(), now);
                Answer::failed(action, &error)
            }
        }
    }

    fn deny(&self, action: &str, seat: &Seat, request: OrderRequest, answer: Answer, now: Timestamp) -> Answer {
        let id = request.client_order_id.to_string();
        log::info!("{action} {id} is denied: {}", answer.reason.as_deref().unwrap_or_default());
        self.tell_refused(seat, request, OrderChange::Denied, answer.reason.clone().unwrap_or_default(), now);
        Answer { client_order_id: Some(id), ..answer }
    }

    /// Whoever listens to order updates hears of what was not placed as well.
    fn tell_refused(&self, seat: &Seat, request: OrderRequest, change: OrderChange, reason: String, at: Timestamp) {
        // The venue has given it no name: it goes by its own.
        let Ok(id) = request.client_order_id.as_str().parse() else { return };
        let status = if change == OrderChange::Rejected { OrderStatus::Rejected } else { OrderStatus::Denied };
        let times = OrderTimes { created: at, submitted: at, updated: at, failed: Some(at), ..OrderTimes::default() };
        let order = Order {
            id,
            request,
            status,
            filled: Decimal::ZERO,
            filled_value: Decimal::ZERO,
            fees: Decimal::ZERO,
            intent: None,
            trailing_stop: None,
            high_water: None,
            parent: None,
            legs: Vec::new(),
            replaces: None,
            replaced_by: None,
            times,
        };
        let update = OrderUpdate { of: seat.of.clone(), change, order: Arc::new(order), execution_id: None, fill: None, reason: Some(reason), at };
        self.bus.publish(&Event::OrderUpdated(update));
    }

    /// What the check may know, waiting a moment for the first price of a symbol that nobody has listened to.
    fn sight(&self, seat: &Seat, symbol: &Symbol, now: Timestamp) -> Sight {
        (self.want_prices)(&seat.prices, symbol);
        let session = (seat.session_of)(symbol, now);
        let sight = seat.sights.of(&seat.prices, symbol, session);
        if sight.bid.is_none() && sight.ask.is_none() && seat.sights.wait_for_quote(&seat.prices, symbol, FIRST_PRICE) {
            return seat.sights.of(&seat.prices, symbol, session);
        }
        sight
    }

    fn modify(&self, action: &str, seat: &Seat, key: &OrderKey, change: Modification, now: Timestamp) -> Answer {
        let modified = || -> Result<Result<Order, Denial>, BrokerError> {
            let order = seat.broker.order(key)?.ok_or_else(|| BrokerError::UnknownOrder(name_of(key)))?;
            if !seat.broker.capabilities().modify {
                return Err(BrokerError::Unsupported { broker: seat.of.broker.to_string(), what: "changes of orders".to_owned() });
            }
            let (sight, account) = (self.sight(seat, &order.request.symbol, now), seat.account()?);
            match seat.check_change(&order, change, &sight, &account, now) {
                Ok(approved) => {
                    let modified = seat.broker.modify(key, approved);
                    if modified.as_ref().is_err_and(|error| !matches!(error, BrokerError::OutcomeUnknown { .. })) {
                        seat.guarded().gate.withdraw_change(&order.request.client_order_id);
                    }
                    modified.map(Ok)
                }
                Err(denial) => Ok(Err(denial)),
            }
        };
        let answer = match modified() {
            Ok(Ok(order)) => accepted(action, &order),
            Ok(Err(denial)) => Answer::denied_by(action, &denial),
            Err(error) => Answer::failed(action, &error),
        };
        Answer { client_order_id: client_id_of(key).or(answer.client_order_id.clone()), ..answer }
    }

    fn cancel(&self, action: &str, seat: &Seat, key: &OrderKey) -> Answer {
        let answer = match seat.broker.cancel(key) {
            Ok(()) => Answer::new(action, Verdict::Accepted),
            Err(error) => Answer::failed(action, &error),
        };
        Answer { client_order_id: client_id_of(key), ..answer }
    }

    fn cancel_all(action: &str, seat: &Seat, symbol: Option<&Symbol>) -> Answer {
        match seat.broker.cancel_all(symbol) {
            Ok(outcomes) => Answer { canceled: Some(outcomes.iter().map(CanceledView::from).collect()), ..Answer::new(action, Verdict::Accepted) },
            Err(error) => Answer::failed(action, &error),
        }
    }

    fn answer(action: &str, seat: &Seat, question: &Question) -> Result<Answer, BrokerError> {
        let broker = &*seat.broker;
        let plain = Answer::new(action, Verdict::Accepted);
        Ok(match question {
            Question::OpenOrders => Answer { orders: Some(broker.open_orders()?.iter().filter_map(shown).collect()), ..plain },
            Question::Order(key) => {
                let order = broker.order(key)?.ok_or_else(|| BrokerError::UnknownOrder(name_of(key)))?;
                accepted(action, &order)
            }
            Question::Fills { since, limit } => Answer { fills: Some(broker.fills(*since, *limit)?.iter().map(FillView::from).collect()), ..plain },
            Question::Positions => Answer { positions: Some(broker.positions()?.iter().map(PositionView::from).collect()), ..plain },
            Question::Balance => Answer { account: Some(AccountView::new(&broker.account()?, &broker.balances()?)), ..plain },
        })
    }
}

/// The order that takes a position back.
fn closing(action: &str, seat: &Seat, client_order_id: ClientOrderId, symbol: Symbol) -> Result<OrderRequest, Box<Answer>> {
    let position = seat.broker.position(&symbol).map_err(|error| Box::new(Answer::failed(action, &error)))?;
    let held = position.map(|position| position.quantity).unwrap_or_default();
    let quantity = Quantity::new(held.abs()).map_err(|_| Box::new(Answer::denied(action, format!("there is no position in {symbol}"))))?;
    let side = if held.is_sign_negative() { Side::Buy } else { Side::Sell };
    let time_in_force = if symbol.is_pair() { TimeInForce::Gtc } else { TimeInForce::Day };
    let (size, kind, class) = (Size::Quantity(quantity), OrderType::Market, OrderClass::Simple);
    Ok(OrderRequest { client_order_id, symbol, side, size, kind, time_in_force, extended_hours: false, class })
}

fn accepted(action: &str, order: &Order) -> Answer {
    Answer { client_order_id: Some(order.request.client_order_id.to_string()), order: shown(order), ..Answer::new(action, Verdict::Accepted) }
}

fn shown(order: &Order) -> Option<Box<RawValue>> {
    RawValue::from_string(write_order(order, OrderSetting::plain("", asset_class(&order.request.symbol)))).ok()
}

/// As the order object names it.
pub fn asset_class(symbol: &Symbol) -> &'static str {
    if symbol.is_pair() { "crypto" } else { "us_equity" }
}

fn name_of(key: &OrderKey) -> String {
    match key {
        OrderKey::Venue(id) => id.to_string(),
        OrderKey::Client(id) => id.to_string(),
    }
}

fn client_id_of(key: &OrderKey) -> Option<String> {
    if let OrderKey::Client(id) = key { Some(id.to_string()) } else { None }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("seats", &self.seats).finish_non_exhaustive()
    }
}
