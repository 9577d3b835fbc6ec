//! The order desk: which broker a command is for, the check, the broker's answer in words.
//!
//! Called by many workers at once. Must not know Redis or threads.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::answer::{AccountView, Answer, CanceledView, FillView, PositionView, Verdict};
use super::books;
use super::halts::HaltFile;
use super::seat::Seat;
use crate::contract::{BadCommand, DeskCommand, OrderSetting, Question, Wish, write_order};
use crate::events::{Command, Event, EventBus, OrderKey, OrderUpdate, Source};
use crate::exchanges::BrokerError;
use crate::journal::Journal;
use crate::model::{
    ClientOrderId, ExchangeName, Modification, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, Quantity, Side, Size, Symbol, TimeInForce,
    Timestamp,
};
use crate::risk::{Denial, Sight};

/// How long an order waits for the first price of a symbol that nobody has listened to.
const FIRST_PRICE: Duration = Duration::from_secs(2);
/// A command that lay longer is not carried out: prices have moved on.
pub const STALE_AFTER: Duration = Duration::from_secs(60);

/// Nobody knows whether its sender was told something else before the restart, and may have acted on it.
const HANDED_OUT_BEFORE: &str = "the broker ended while it held this command, which was not carried out; send it again under a new name";

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

/// What is known of an order that is to be placed, beside the order.
struct Placing<'a> {
    action: &'a str,
    seat: &'a Seat,
    again: bool,
    /// Why it comes too late.
    late: Option<String>,
    now: Timestamp,
}

impl Desk {
    /// The first seat is the default.
    pub fn new(seats: Vec<Arc<Seat>>, bus: EventBus, want_prices: WantPrices, halts: Arc<HaltFile>, clock: fn() -> Timestamp) -> Desk {
        halts.restore(&seats);
        Desk { seats, bus, want_prices, halts, clock }
    }

    /// What stands under the kill switch in Redis now.
    pub fn kill_switch(&self, text: Option<&str>) {
        self.halts.switch(&self.seats, text, (self.clock)());
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
        let late = too_late(&command, taken, now);
        let answer = match command.wish {
            Wish::Order(Command::Place(request)) => self.place_once(Placing { action, seat, again, late, now }, request.client_order_id.clone(), || {
                if command.untyped && seat.untyped_is_limit && request.kind == OrderType::Market {
                    return Err("limit_price is missing: an order that names no type is a limit order here (trading.default_order_type)".to_owned());
                }
                Ok(request)
            }),
            Wish::Order(Command::ClosePosition { client_order_id, symbol }) => {
                self.place_once(Placing { action, seat, again, late, now }, client_order_id.clone(), || closing(seat, client_order_id, symbol))
            }
            Wish::Order(Command::Modify { order, change }) => match late.or_else(|| again.then(|| HANDED_OUT_BEFORE.to_owned())) {
                Some(reason) => Answer::denied(action, reason),
                None => self.modify(action, seat, &order, change, now),
            },
            // What takes risk away is never too late, and nothing checks it.
            Wish::Order(Command::Cancel(key)) => self.cancel(action, seat, &key),
            Wish::Halt { scope, mode, reason } => self.halts.halt(&self.seats, seat, &scope, mode, reason, now),
            Wish::Ask(question) => Self::answer(action, seat, None, &question, now).unwrap_or_else(|error| Answer::failed(action, &error)),
            Wish::Reconcile { dry_run } => self.reconcile(action, seat, dry_run),
            // Done once more after a restart, these two would undo what was decided since.
            Wish::Order(Command::CancelAll(_)) | Wish::Resume { .. } if late.is_some() => Answer::denied(action, late.unwrap_or_default()),
            Wish::Order(Command::CancelAll(symbol)) => Self::cancel_all(action, seat, symbol.as_ref()),
            Wish::Resume { scope } => self.halts.resume(&self.seats, seat, &scope),
        };
        Answer { broker: Some(seat.of.broker.to_string()), account_id: Some(seat.of.account.to_string()), ..answer }
    }

    fn seat(&self, exchange: Option<&ExchangeName>, account: Option<&str>) -> Result<&Seat, String> {
        let fits = |seat: &&Arc<Seat>| {
            exchange.is_none_or(|name| seat.of.broker == *name) && account.is_none_or(|name| seat.account_name == name || seat.of.account.as_str() == name)
        };
        let mut fitting = self.seats.iter().filter(fits);
        let first = fitting.next().map(Arc::as_ref).ok_or_else(|| format!("no broker of that name takes orders here; there is {}", self.known_seats()))?;
        // The first of all is the default; a name that means two of them is no default.
        if account.is_some() && fitting.next().is_some() {
            return Err(format!("more than one broker has an account of that name; name the exchange too: {}", self.known_seats()));
        }
        Ok(first)
    }

    fn known_seats(&self) -> String {
        let known: Vec<String> = self.seats.iter().map(|seat| format!("{} (account {})", seat.of.broker, seat.account_name)).collect();
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    }

    /// An order under a name that was used before is answered with what became of the first.
    fn place_once(&self, placing: Placing<'_>, id: ClientOrderId, request: impl FnOnce() -> Result<OrderRequest, String>) -> Answer {
        let Placing { action, seat, again, late, now } = placing;
        let answer = match seat.broker.order(&OrderKey::Client(id.clone())) {
            Ok(Some(first)) => match request() {
                // A position that was closed is no contradiction: its order is the answer.
                Ok(same) if !is_same(&first.request, &same) && action == "place" => {
                    Answer { rule: Some("id_conflict".to_owned()), ..Answer::denied(action, format!("the client order id {id} was used for another order")) }
                }
                _ => Answer { repeated: true, ..accepted(action, &first) },
            },
            Err(error) if again => Answer { reason: Some(error.to_string()), advice: Some("look_up"), ..Answer::new(action, Verdict::Unknown) },
            Err(error) => Answer::failed(action, &error),
            Ok(None) => match request() {
                Err(reason) => Answer { advice: Some("fix_request"), ..Answer::denied(action, reason) },
                Ok(request) => match late.or_else(|| again.then(|| HANDED_OUT_BEFORE.to_owned())) {
                    Some(reason) => self.deny(action, seat, request, Answer::denied(action, reason), now),
                    None => self.place(action, seat, request, now),
                },
            },
        };
        Answer { client_order_id: Some(id.to_string()), ..answer }
    }

    fn place(&self, action: &str, seat: &Seat, request: OrderRequest, now: Timestamp) -> Answer {
        if let Err(error) = seat.broker.capabilities().check(&request) {
            return self.deny(action, seat, request, Answer::failed(action, &error), now);
        }
        if !seat.is_counted() {
            return self.deny(action, seat, request, uncounted(action), now);
        }
        // Whatever needs no price is said before anybody waits for one, or has one asked for.
        let outright = seat.guarded().gate.refuses_outright(&request, now);
        if let Some(denial) = outright {
            return self.deny(action, seat, request, Answer::denied_by(action, &denial), now);
        }
        let sight = self.sight(seat, &request.symbol, now);
        let account = match seat.account() {
            Ok(account) => account,
            Err(error) => return self.deny(action, seat, request, Answer::failed(action, &error), now),
        };
        let _passing = seat.pass();
        let approved = match seat.check(request.clone(), &sight, &account, (self.clock)()) {
            Ok(approved) => approved,
            Err(denial) => return self.deny(action, seat, request, Answer::denied_by(action, &denial), now),
        };
        let ticket = approved.ticket();
        match seat.broker.place(approved) {
            Ok(order) => accepted(action, &order),
            Err(error @ BrokerError::OutcomeUnknown { .. }) => Answer::failed(action, &error),
            Err(error) => {
                seat.guarded().gate.take_back(&ticket);
                if !matches!(error, BrokerError::DuplicateClientId(_)) {
                    let change = if matches!(error, BrokerError::Rejected { .. }) { OrderChange::Rejected } else { OrderChange::Denied };
                    self.tell_refused(seat, request, change, error.to_string(), now);
                }
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
        let mut order = Order::new(id, request, status, at);
        order.times.failed = Some(at);
        let update = OrderUpdate {
            of: seat.of.clone(),
            change,
            order: Arc::new(order),
            execution_id: None,
            fill: None,
            reason: Some(reason),
            at,
            source: Source::Desk,
            words: None,
        };
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
            if !seat.is_counted() {
                return Err(BrokerError::Unavailable {
                    broker: seat.of.broker.to_string(),
                    cause: "what the account holds could not be counted yet".to_owned(),
                });
            }
            if !seat.broker.capabilities().modify {
                return Err(BrokerError::Unsupported { broker: seat.of.broker.to_string(), what: "changes of orders".to_owned() });
            }
            let (sight, account) = (self.sight(seat, &order.request.symbol, now), seat.account()?);
            let _passing = seat.pass();
            match seat.check_change(&order, change, &sight, &account, now) {
                Ok(approved) => {
                    let ticket = approved.ticket();
                    let modified = seat.broker.modify(key, approved);
                    if modified.as_ref().is_err_and(|error| !matches!(error, BrokerError::OutcomeUnknown { .. })) {
                        seat.guarded().gate.take_back(&ticket);
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

    /// Compares what we know of an account with what its venue holds.
    fn reconcile(&self, action: &str, seat: &Seat, dry_run: bool) -> Answer {
        log::info!("{} was not compared with its venue (dry run: {dry_run}): there is no journal", seat.account_name);
        no_journal(action)
    }

    /// Of one bot, or of what is external.
    fn answer_of_a_part(action: &str, seat: &Seat, journal: Option<&Journal>, question: &Question, now: Timestamp) -> Answer {
        let Some(journal) = journal else { return no_journal(action) };
        let mark = |symbol: &Symbol| {
            let sight = seat.sights.of(&seat.prices, symbol, (seat.session_of)(symbol, now));
            sight.last.or_else(|| Some((sight.bid? + sight.ask?) / Decimal::TWO))
        };
        match books::answer(action, journal, &seat.of.account, question, mark) {
            Ok(answer) => answer.unwrap_or_else(|| Answer::denied(action, "this is asked of the whole account")),
            Err(error) => Answer { advice: Some("retry"), ..Answer::denied(action, error.to_string()) },
        }
    }

    fn answer(action: &str, seat: &Seat, journal: Option<&Journal>, question: &Question, now: Timestamp) -> Result<Answer, BrokerError> {
        if books::is_about_a_part(question) {
            return Ok(Self::answer_of_a_part(action, seat, journal, question, now));
        }
        let broker = &*seat.broker;
        let plain = Answer::new(action, Verdict::Accepted);
        Ok(match question {
            Question::OpenOrders(_) => Answer { orders: Some(broker.open_orders()?.iter().filter_map(shown).collect()), ..plain },
            Question::Order(key) => {
                let order = broker.order(key)?.ok_or_else(|| BrokerError::UnknownOrder(name_of(key)))?;
                accepted(action, &order)
            }
            Question::Fills { since, limit, .. } => Answer { fills: Some(broker.fills(*since, *limit)?.iter().map(FillView::from).collect()), ..plain },
            Question::Positions(_) => Answer { positions: Some(broker.positions()?.iter().map(PositionView::from).collect()), ..plain },
            Question::Balance(_) => Answer { account: Some(AccountView::new(&broker.account()?, &broker.balances()?)), ..plain },
        })
    }
}

fn too_late(command: &DeskCommand, taken: Timestamp, now: Timestamp) -> Option<String> {
    if command.expires_at.is_some_and(|at| at <= now) {
        return Some("the command has expired".to_owned());
    }
    let age = Duration::from_nanos((now.nanos() - taken.nanos()).max(0).unsigned_abs());
    (age > STALE_AFTER).then(|| format!("the command was sent {} s ago; after {} s it is not carried out any more", age.as_secs(), STALE_AFTER.as_secs()))
}

/// Whether two requests ask for the same; the type may differ, for the check may have put a limit to a market order.
fn is_same(first: &OrderRequest, second: &OrderRequest) -> bool {
    (&first.symbol, first.side, first.class) == (&second.symbol, second.side, second.class)
        && (first.size == second.size || matches!(second.size, Size::Notional(_)))
}

fn uncounted(action: &str) -> Answer {
    let reason = "the orders and positions that the account holds could not be counted yet, so no limit could be kept; tried again each second";
    Answer { advice: Some("retry"), ..Answer::denied(action, reason) }
}

fn no_journal(action: &str) -> Answer {
    Answer { advice: Some("stop"), ..Answer::denied(action, "this broker keeps no journal") }
}

/// The order that takes a position back.
fn closing(seat: &Seat, client_order_id: ClientOrderId, symbol: Symbol) -> Result<OrderRequest, String> {
    let position = seat.broker.position(&symbol).map_err(|error| error.to_string())?;
    let held = position.map(|position| position.quantity).unwrap_or_default();
    let quantity = Quantity::new(held.abs()).map_err(|_| format!("there is no position in {symbol}"))?;
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
