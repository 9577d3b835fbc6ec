//! One broker at the desk: the risk gate in front of it, and what the gate has to know of its account.
//!
//! Gate and positions stand under one lock: a fill moves from the one to the other in one step, so that a check made in
//! between counts it once. Must not know how commands arrive or how answers leave.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use rust_decimal::Decimal;

use super::ledger::Ledger;
use super::reconcile::PassError;
use super::seats::Place;
use super::sights::Sights;
use crate::events::{AccountRef, Event, OrderKey, OrderUpdate};
use crate::exchanges::{Broker, BrokerError, Cached};
use crate::journal::Execution;
use crate::model::{ClientOrderId, ExchangeName, Fill, MarketSession, Modification, Order, OrderRequest, Symbol, Timestamp, VenueOrderId};
use crate::risk::{Approved, Denial, Gate, Holdings, Sight};
use crate::runtime::{StopToken, Waited};

/// How old the equity may be that the daily loss is judged by.
const WORTH_LIFETIME: Duration = Duration::from_millis(500);

/// How long orders wait for the account to be counted.
pub(super) const COUNTED_WITHIN: Duration = Duration::from_secs(10);

/// How soon somebody who waits for the account to be counted looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Executions that are read at the start, to know what each bot holds.
const FILLS_READ: usize = 1_000_000;

/// How often the broker is asked what it holds, when something is heard meanwhile.
const ADOPTIONS: usize = 3;

/// How far back replaced orders are followed to whom the first of them belonged to.
const GENERATIONS: usize = 64;

/// Which phase a symbol's market is in.
pub type SessionOf = Box<dyn Fn(&Symbol, Timestamp) -> MarketSession + Send + Sync>;

/// What is known of a seat beside its broker.
pub struct Role {
    /// The account's configured name.
    pub account_name: String,
    /// Whose prices its orders are judged by.
    pub prices: ExchangeName,
    pub session_of: SessionOf,
    /// What the broker itself has seen by now, where it trades on prices that it is shown.
    pub sights: Arc<Sights>,
    /// What an order is here that names neither type nor price.
    pub untyped_is_limit: bool,
    /// Whether orders may be placed: an account that nobody configured for it is only listened to.
    pub takes_orders: bool,
}

/// A broker and everything that is checked before it is asked.
pub struct Seat {
    pub broker: Arc<dyn Broker>,
    pub of: AccountRef,
    /// The account's configured name.
    pub account_name: String,
    /// Whose prices its orders are judged by.
    pub prices: ExchangeName,
    pub session_of: SessionOf,
    /// What the broker itself has seen by now, where it trades on prices that it is shown.
    pub sights: Arc<Sights>,
    /// What an order is here that names neither type nor price.
    pub untyped_is_limit: bool,
    /// Whether orders may be placed: an account that nobody configured for it is only listened to.
    pub takes_orders: bool,
    guarded: Mutex<Guarded>,
    /// Held to read from the check to the broker's answer; a halt takes it to write, and so waits for what is on its way.
    passage: RwLock<()>,
    /// Whether gate and positions know what the broker holds: before that nothing new passes.
    counted: AtomicBool,
    /// Since when that is so, where it is so.
    uncounted_since: Mutex<Instant>,
    worth: Mutex<Cached<Worth>>,
}

/// What an account is worth, and was when the day began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worth {
    pub equity: Decimal,
    pub equity_at_open: Decimal,
}

/// What has to change in one step.
#[derive(Debug)]
pub struct Guarded {
    pub gate: Gate,
    positions: HashMap<Symbol, Decimal>,
    /// Orders that may still be filled.
    open: HashMap<VenueOrderId, Symbol>,
    /// Updates counted so far.
    observed: u64,
}

impl Seat {
    pub fn new(broker: Arc<dyn Broker>, role: Role, gate: Gate) -> Seat {
        let of = broker.of();
        let guarded = Mutex::new(Guarded { gate, positions: HashMap::new(), open: HashMap::new(), observed: 0 });
        let Role { account_name, prices, session_of, sights, untyped_is_limit, takes_orders } = role;
        Seat {
            broker,
            of,
            account_name,
            prices,
            session_of,
            sights,
            untyped_is_limit,
            takes_orders,
            guarded,
            passage: RwLock::new(()),
            counted: AtomicBool::new(false),
            uncounted_since: Mutex::new(Instant::now()),
            worth: Mutex::new(Cached::new(WORTH_LIFETIME)),
        }
    }

    pub fn place(&self) -> Place {
        let able = self.broker.capabilities();
        Place { exchange: self.of.broker.clone(), account_name: self.account_name.clone(), kind: able.broker.clone(), live: able.live }
    }

    /// Counts what the broker holds, now that nothing is missing from the ledger. Nothing new passes before that has worked.
    ///
    /// # Errors
    /// Those of the broker and of the journal.
    pub fn count(&self, ledger: &Ledger) -> Result<(), PassError> {
        self.adopt(ledger)?;
        self.counted.store(true, Ordering::Release);
        Ok(())
    }

    /// What is counted may be wrong: nothing new passes until it was counted again.
    pub fn mistrust(&self) {
        self.mistrust_since(Instant::now());
    }

    pub(super) fn mistrust_since(&self, now: Instant) {
        let mut since = self.uncounted_since.lock();
        if self.counted.swap(false, Ordering::AcqRel) {
            *since = now;
        }
    }

    pub fn is_counted(&self) -> bool {
        self.counted.load(Ordering::Acquire)
    }

    /// Waits for the account to be counted, no longer than until the stop. All who wait do so together: whoever comes when
    /// that has taken too long already is not held up, nor are the cancels behind him.
    pub fn wait_until_counted(&self, deadline: Instant, token: &StopToken) -> bool {
        let deadline = deadline.min(*self.uncounted_since.lock() + COUNTED_WITHIN);
        while !self.is_counted() {
            if Instant::now() >= deadline || token.wait(LOOK_AGAIN) == Waited::Stopped {
                return self.is_counted();
            }
        }
        true
    }

    /// For a new order or a change, from its check to the answer.
    pub fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.passage.read()
    }

    /// Waits, not for ever, until everything that had passed the check has been answered.
    pub fn wait_for_passage(&self, patience: Duration) -> bool {
        self.passage.try_write_for(patience).is_some()
    }

    /// What is heard while the broker is asked may not be in its answer: then it is asked again.
    fn adopt(&self, ledger: &Ledger) -> Result<(), PassError> {
        for turn in 1..=ADOPTIONS {
            let before = self.guarded.lock().observed;
            let (open, positions) = (self.broker.open_orders()?, self.broker.positions()?);
            let fills = self.fills_so_far(ledger)?;
            let all = self.with_kin(&open, &fills)?;
            let mut guarded = self.guarded.lock();
            if guarded.observed != before && turn < ADOPTIONS {
                continue;
            }
            guarded.positions = positions.into_iter().map(|position| (position.symbol, position.quantity)).collect();
            guarded.open = open.iter().map(|order| (order.id.clone(), order.request.symbol.clone())).collect();
            guarded.gate.adopt_with_fills(&all, &fills);
            break;
        }
        Ok(())
    }

    /// What was executed so far, by which each bot is held to its own limits. The journal knows what a remote venue would
    /// have to be asked for page by page.
    fn fills_so_far(&self, ledger: &Ledger) -> Result<Vec<Fill>, PassError> {
        if self.broker.capabilities().local {
            return Ok(self.broker.fills(Timestamp::default(), FILLS_READ)?);
        }
        let executions = ledger.journal().executions(&self.of.account, None, None)?;
        Ok(executions.into_iter().filter_map(fill_of).collect())
    }

    /// Open orders, and those by which it is told whose they and the executions are: what an order hangs on, what it has
    /// replaced, and what was executed under a name that the venue made.
    fn with_kin(&self, open: &[Order], fills: &[Fill]) -> Result<Vec<Order>, BrokerError> {
        let mut known: HashMap<VenueOrderId, Order> = open.iter().map(|order| (order.id.clone(), order.clone())).collect();
        let relatives = |order: &Order| order.parent.iter().chain(&order.replaces).cloned().collect::<Vec<_>>();
        // Whose the others are stands in the journal: a remote venue would have to be asked for each order there ever was.
        let local = self.broker.capabilities().local;
        let nameless = fills.iter().filter(|fill| local && is_nameless(&fill.client_order_id));
        let mut wanted: BTreeSet<VenueOrderId> = nameless.map(|fill| fill.order_id.clone()).chain(open.iter().flat_map(relatives)).collect();
        for _ in 0..GENERATIONS {
            wanted.retain(|id| !known.contains_key(id));
            if wanted.is_empty() {
                break;
            }
            let keys: Vec<OrderKey> = std::mem::take(&mut wanted).into_iter().map(OrderKey::Venue).collect();
            for order in self.broker.orders(&keys)?.into_iter().flatten() {
                wanted.extend(relatives(&order));
                known.insert(order.id.clone(), order);
            }
        }
        Ok(known.into_values().collect())
    }

    /// What the broker told: counted before anybody is answered by it.
    pub fn observe(&self, update: &OrderUpdate) {
        let mut guarded = self.guarded.lock();
        guarded.observed += 1;
        let completed;
        let update = match &update.fill {
            // The venue does not say what it makes the position: it is added up, for zero would be wrong.
            Some(fill) if update.words.as_ref().is_some_and(|words| words.position_qty.is_none()) => {
                let before = guarded.positions.get(&fill.symbol).copied().unwrap_or_default();
                let position = before.saturating_add(fill.side.signed(fill.quantity));
                completed = OrderUpdate { fill: Some(Fill { position, ..fill.clone() }), ..update.clone() };
                &completed
            }
            _ => update,
        };
        if let Some(fill) = &update.fill {
            guarded.positions.insert(fill.symbol.clone(), fill.position);
        }
        if update.order.status.is_open() {
            guarded.open.insert(update.order.id.clone(), update.order.request.symbol.clone());
        } else {
            guarded.open.remove(&update.order.id);
        }
        guarded.gate.observe(update);
    }

    /// What the broker told after something newer: its positions and its end are known already.
    pub fn observe_late(&self, update: &OrderUpdate) {
        let mut guarded = self.guarded.lock();
        guarded.observed += 1;
        guarded.gate.observe(update);
    }

    /// What is held, by all that was heard.
    pub fn positions(&self) -> BTreeMap<Symbol, Decimal> {
        self.guarded.lock().positions.iter().map(|(symbol, quantity)| (symbol.clone(), *quantity)).collect()
    }

    /// Whose prices matter: what is held, and what may still be filled.
    pub fn symbols_in_use(&self) -> BTreeSet<Symbol> {
        let guarded = self.guarded.lock();
        let held = guarded.positions.iter().filter(|(_, quantity)| !quantity.is_zero()).map(|(symbol, _)| symbol);
        held.chain(guarded.open.values()).cloned().collect()
    }

    pub fn guarded(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock()
    }

    /// What the account is worth, as far as a limit wants to know: a remote venue is asked for it otherwise with every order.
    ///
    /// # Errors
    /// Those of the broker.
    pub fn worth(&self) -> Result<Worth, BrokerError> {
        if !self.guarded.lock().gate.watches_losses() {
            return Ok(Worth::default());
        }
        let known = self.worth.lock().get(Instant::now());
        if let Some(known) = known {
            return Ok(known);
        }
        let account = self.broker.account()?;
        let fresh = Worth { equity: account.equity, equity_at_open: account.equity_at_open };
        self.worth.lock().put(fresh, Instant::now());
        Ok(fresh)
    }

    pub fn check(&self, request: OrderRequest, sight: &Sight, worth: &Worth, now: Timestamp) -> Result<Approved<OrderRequest>, Denial> {
        let mut guarded = self.guarded.lock();
        let holdings = guarded.holdings(&request.symbol, worth);
        guarded.gate.check(request, sight, &holdings, now)
    }

    pub fn check_change(&self, order: &Order, change: Modification, sight: &Sight, worth: &Worth, now: Timestamp) -> Result<Approved<Modification>, Denial> {
        let mut guarded = self.guarded.lock();
        let holdings = guarded.holdings(&order.request.symbol, worth);
        guarded.gate.check_change(order, change, sight, &holdings, now)
    }

    /// Whether an event is about this seat.
    pub fn concerns(&self, event: &Event) -> bool {
        match event {
            Event::OrderUpdated(update) => update.of == self.of,
            Event::OrderHeard(heard) => heard.of == self.of,
            Event::Filled(fill) => fill.of == self.of,
            Event::PositionChanged(change) => change.of == self.of,
            Event::HealthChanged(health) => health.of == self.of,
            Event::Market(_) => false,
        }
    }
}

fn is_nameless(id: &ClientOrderId) -> bool {
    id.bot().is_none() || id.is_uuid()
}

/// The name by which the gate tells whose it is: one that the venue made up gives way to the bot that the journal knows.
fn name_of(done: &Execution) -> Option<ClientOrderId> {
    let own: ClientOrderId = done.client_order_id.parse().or_else(|_| done.order_id.parse()).ok()?;
    let by_bot = done.bot.as_ref().filter(|_| is_nameless(&own)).and_then(|bot| format!("{bot}-{}", done.order_id).parse().ok());
    Some(by_bot.unwrap_or(own))
}

fn fill_of(done: Execution) -> Option<Fill> {
    Some(Fill {
        execution_id: done.execution_id.parse().ok()?,
        order_id: done.order_id.parse().ok()?,
        client_order_id: name_of(&done)?,
        symbol: done.symbol,
        side: done.side,
        price: done.price,
        quantity: done.quantity,
        fees: done.fees,
        position: done.position,
        at: done.at,
    })
}

impl Guarded {
    fn holdings(&self, symbol: &Symbol, worth: &Worth) -> Holdings {
        let position = self.positions.get(symbol).copied().unwrap_or_default();
        Holdings { position, equity: worth.equity, equity_at_open: worth.equity_at_open }
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("of", &self.of).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Role").field("account_name", &self.account_name).finish_non_exhaustive()
    }
}
