//! The check of one account: counts what was approved until somebody says what became of it.
//!
//! Must not know threads: the caller holds a gate under one lock, so that counting across bots is one atomic step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rust_decimal::Decimal;

use super::approved::Approved;
use super::book::{Book, Range};
use super::denial::{Denial, Measure, Rule};
use super::halt::{HaltBook, HaltMode, HaltRecord, HaltScope};
use super::limits::{Holdings, Limits, Sight};
use super::protect::protect;
use super::rate::Rates;
use super::rules::{Scope, units};
use crate::events::{AccountRef, OrderUpdate};
use crate::model::{ClientOrderId, Modification, Order, OrderClass, OrderPrice, OrderRequest, OrderType, Percent, Side, Size, Symbol, Timestamp, Trail};

/// How old a quote may be that protects a market order, where no `max_price_age` says it.
const FRESH: Duration = Duration::from_secs(60);
const MAX_SLIPPAGE: &str = "trading.max_slippage";

/// What is used of the limits, for status pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    pub open_orders: u32,
    pub orders_last_minute: u32,
    pub bots: BTreeMap<String, BotUsage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BotUsage {
    pub open_orders: u32,
    pub orders_last_minute: u32,
    /// What its orders have bought and sold.
    pub positions: BTreeMap<Symbol, Decimal>,
}

/// The check of one account. There is none for a cancel: it can only make a risk smaller, and always passes.
///
/// Which bot an order belongs to is said by its client order id; one without a bot is held to the account's limits
/// alone. The rules look at, in this order: the name, halts, the symbol, the market, the price, the loss of the day,
/// the order by itself, the position, open orders, the rate. Within each the account comes before the bot.
#[derive(Debug, Default)]
pub struct Gate {
    limits: Limits,
    bot_limits: BTreeMap<String, Limits>,
    of: Option<AccountRef>,
    halts: HaltBook,
    book: Book,
    rates: Rates,
}

/// What is asked for, and what the check was told.
struct Case<'a> {
    bot: Option<&'a str>,
    /// The order that shall be changed, with what it has filled: all of it that still counts is in what is asked.
    changes: Option<(&'a ClientOrderId, Decimal)>,
    sight: &'a Sight,
    holdings: &'a Holdings,
    now: Timestamp,
}

impl Gate {
    pub fn new(account_limits: Limits, bot_limits: BTreeMap<String, Limits>) -> Gate {
        Gate { limits: account_limits, bot_limits, ..Gate::default() }
    }

    /// Tells the gate whose it is. Until then every broker's and every account's halt concerns it.
    pub fn for_account(mut self, of: AccountRef) -> Gate {
        self.of = Some(of);
        self
    }

    /// Whether an order may leave. On approval it is counted at once, until [`Gate::observe`] or [`Gate::withdraw`]
    /// says what became of it. What is approved may differ from what was asked: see [`protect`].
    pub fn check(&mut self, request: OrderRequest, sight: &Sight, holdings: &Holdings, now: Timestamp) -> Result<Approved<OrderRequest>, Denial> {
        let id = request.client_order_id.clone();
        self.unused(&id)?;
        let case = Case { bot: id.bot(), changes: None, sight, holdings, now };
        let (request, quantity) = self.examine(request, &case)?;
        self.book.approve(&request, quantity, holdings.position, now);
        self.rates.add(id.bot(), now);
        Ok(Approved::new(request))
    }

    /// Whether `order` may become what `change` says. Until the venue has answered, the larger of both counts. An order
    /// that the gate has not heard of is counted from now on.
    pub fn check_change(
        &mut self,
        order: &Order,
        change: Modification,
        sight: &Sight,
        holdings: &Holdings,
        now: Timestamp,
    ) -> Result<Approved<Modification>, Denial> {
        let id = &order.request.client_order_id;
        if let Some(new) = change.client_order_id.as_ref().filter(|new| *new != id) {
            self.unused(new)?;
        }
        self.book.expect(order);
        let bot = self.book.bot(id);
        let case = Case { bot: bot.as_deref(), changes: Some((id, self.book.filled(id))), sight, holdings, now };
        let (_, quantity) = self.examine(changed(&order.request, &change), &case)?;
        self.book.approve_change(id, quantity);
        self.rates.add(bot.as_deref(), now);
        Ok(Approved::new(change))
    }

    /// Something happened to an order, placed through this gate or not. The same again changes nothing. What we denied
    /// ourselves was never counted: who gives up an approved order says so with [`Gate::withdraw`].
    pub fn observe(&mut self, update: &OrderUpdate) {
        self.book.observe(update);
    }

    /// The venue never took this approved order. It stays in the rate: whoever sends and fails in a loop is stopped.
    pub fn withdraw(&mut self, id: &ClientOrderId) {
        self.book.withdraw(id);
    }

    /// The venue never took the approved change of this order.
    pub fn withdraw_change(&mut self, id: &ClientOrderId) {
        self.book.withdraw_change(id);
    }

    /// At the start, before anything is checked: counts what is open already, and what the orders of each bot have
    /// bought and sold so far. Whatever was counted before is forgotten, but for the rate.
    pub fn adopt(&mut self, open: &[Order], positions_by_bot: &BTreeMap<String, BTreeMap<Symbol, Decimal>>) {
        self.book.adopt(open.iter(), positions_by_bot.clone());
    }

    pub fn halts(&self) -> &HaltBook {
        &self.halts
    }

    /// Takes over what was halted before a restart, or what somebody keeps for many gates.
    pub fn adopt_halts(&mut self, halts: HaltBook) {
        self.halts = halts;
    }

    pub fn set_halt(&mut self, scope: HaltScope, mode: HaltMode, reason: String, now: Timestamp) -> HaltRecord {
        self.halts.set(scope, mode, reason, now)
    }

    /// Ends the halt of exactly this scope; `None` when there was none.
    pub fn resume(&mut self, scope: &HaltScope) -> Option<HaltRecord> {
        self.halts.resume(scope)
    }

    pub fn usage(&self, now: Timestamp) -> Usage {
        let of_bot = |bot: &str| BotUsage {
            open_orders: self.book.open_orders(Some(bot)),
            orders_last_minute: self.rates.count(Some(bot), now),
            positions: self.book.bot_positions().get(bot).cloned().unwrap_or_default(),
        };
        let known = self.bot_limits.keys().chain(self.book.bot_positions().keys()).map(String::as_str);
        let bots = known.chain(self.book.bots_with_orders()).chain(self.rates.bots()).collect::<BTreeSet<_>>();
        Usage {
            open_orders: self.book.open_orders(None),
            orders_last_minute: self.rates.count(None, now),
            bots: bots.into_iter().map(|bot| (bot.to_owned(), of_bot(bot))).collect(),
        }
    }

    fn unused(&self, id: &ClientOrderId) -> Result<(), Denial> {
        if !self.book.is_open(id) {
            return Ok(());
        }
        let reason = format!("an order named {id} is open already; every order needs a new name");
        Err(Denial { rule: Rule::DuplicateId, reason, config_key: "", bot: None, measure: None })
    }

    /// All rules; returns the order as it may leave, and its units.
    fn examine(&mut self, request: OrderRequest, case: &Case<'_>) -> Result<(OrderRequest, Decimal), Denial> {
        let position = self.book.settle(&request.symbol, case.holdings.position, case.now);
        let this = &*self;
        let of_bot = case.bot.and_then(|bot| Some(Scope { bot: Some(bot), limits: this.bot_limits.get(bot)? }));
        let scopes = || [Scope { bot: None, limits: &this.limits }].into_iter().chain(of_bot);

        this.halted(case.bot)?;
        scopes().try_for_each(|scope| scope.symbol(&request.symbol))?;
        scopes().try_for_each(|scope| scope.market(&request, case.sight.session))?;
        scopes().try_for_each(|scope| scope.price_age(&request.symbol, case.sight, case.now))?;
        let strictest = scopes().filter(|scope| scope.limits.max_slippage.is_some()).min_by_key(|scope| scope.limits.max_slippage);
        let request = match strictest.filter(|_| case.changes.is_none()) {
            Some(scope) => protected(request, &scope, case)?,
            None => request,
        };
        let quantity = units(&request, case.sight);
        let asked = quantity.map(|quantity| quantity.saturating_sub(case.changes.map_or(Decimal::ZERO, |(_, filled)| filled)).max(Decimal::ZERO));
        this.reduce_only(&request, asked, position, case, scopes())?;
        scopes().try_for_each(|scope| scope.quantity(&request, case.sight))?;
        scopes().try_for_each(|scope| scope.value(&request, case.sight))?;
        scopes().try_for_each(|scope| scope.collar(&request, case.sight))?;
        for scope in scopes().filter(|scope| scope.limits.max_position_size.is_some()) {
            let Some(asked) = asked else { return Err(scope.no_price(Rule::MaxPositionSize, &request)) };
            let open = this.book.exposure(&request.symbol, request.side, scope.bot, case.except());
            scope.position(&request, asked, this.position(&request.symbol, scope.bot, position).worst(request.side), open)?;
        }
        if case.changes.is_none() {
            scopes().try_for_each(|scope| scope.open_orders(|| this.book.open_orders(scope.bot)))?;
        }
        scopes().try_for_each(|scope| scope.rate(|| this.rates.count(scope.bot, case.now)))?;
        Ok((request, quantity.unwrap_or_default()))
    }

    /// A bot's position is what its orders have filled, the account's what was told.
    fn position(&self, symbol: &Symbol, bot: Option<&str>, of_account: Range) -> Range {
        bot.map_or(of_account, |bot| Range::exactly(self.book.bot_position(bot, symbol)))
    }

    fn halted(&self, bot: Option<&str>) -> Result<(), Denial> {
        let mut halts = self.halts.concerning(self.of.as_ref(), bot);
        let Some(halt) = halts.find(|halt| halt.mode == HaltMode::Halted) else { return Ok(()) };
        let reason = format!("{halt}; only cancels pass until it is resumed");
        Err(Denial { rule: Rule::Halted, reason, config_key: "", bot: halted_bot(halt), measure: None })
    }

    /// The loss of the day, and halts that let positions be reduced. A bot that is stopped may reduce what it holds
    /// itself, an account what is held on it.
    fn reduce_only<'a>(
        &self,
        request: &OrderRequest,
        asked: Option<Decimal>,
        position: Range,
        case: &Case<'_>,
        scopes: impl Iterator<Item = Scope<'a>>,
    ) -> Result<(), Denial> {
        let too_much = |bot: Option<&str>| {
            let worst = self.position(&request.symbol, bot, position).worst(request.side);
            let spoken_for = self.book.spoken_for(&request.symbol, request.side, bot, case.except());
            too_much(request, asked, worst, spoken_for)
        };
        for halt in self.halts.concerning(self.of.as_ref(), case.bot) {
            let bot = halted_bot(halt);
            if let Some((why, measure)) = too_much(bot.as_deref()) {
                let reason = format!("{halt}; until it is resumed positions may only be reduced: {why}");
                return Err(Denial { rule: Rule::ReduceOnly, reason, config_key: "", bot, measure });
            }
        }
        let loss = case.holdings.equity_at_open.saturating_sub(case.holdings.equity);
        for scope in scopes.filter(|scope| scope.is_loss_reached(loss)) {
            if let Some((why, measure)) = too_much(scope.bot) {
                let allowed = scope.limits.max_daily_loss.unwrap_or_default().normalize();
                let reason = format!("the account has lost {} since the opening, and from {allowed} on positions may only be reduced: {why}", loss.normalize());
                return Err(scope.deny(Rule::MaxDailyLoss, reason, measure));
            }
        }
        Ok(())
    }
}

impl Case<'_> {
    fn except(&self) -> Option<&ClientOrderId> {
        self.changes.map(|(id, _)| id)
    }
}

fn halted_bot(halt: &HaltRecord) -> Option<String> {
    match &halt.scope {
        HaltScope::Bot(bot) => Some(bot.clone()),
        _ => None,
    }
}

fn protected(request: OrderRequest, scope: &Scope<'_>, case: &Case<'_>) -> Result<OrderRequest, Denial> {
    let Some(max_slippage) = scope.limits.max_slippage.filter(|_| request.kind == OrderType::Market) else { return Ok(request) };
    let (symbol, side) = (request.symbol.clone(), request.side);
    scope.fresh(MAX_SLIPPAGE, &symbol, case.sight, scope.limits.max_price_age.unwrap_or(FRESH), case.now)?;
    protect(request, case.sight, max_slippage).ok_or_else(|| {
        let quote = if side == Side::Buy { "ask" } else { "bid" };
        let reason = format!("{symbol} has no {quote} that a market order could be held to");
        scope.deny_by(Rule::NoPrice, MAX_SLIPPAGE, reason, None)
    })
}

/// Why an order does more than reduce a position that other orders have spoken for in part; `None` when it does not.
fn too_much(request: &OrderRequest, asked: Option<Decimal>, position: Decimal, spoken_for: Decimal) -> Option<(String, Option<Measure>)> {
    let (side, symbol) = (request.side, &request.symbol);
    let Some(asked) = asked else {
        return Some((format!("no price of {symbol} is known to tell how much this order would reduce"), None));
    };
    if matches!(request.class, OrderClass::Bracket { .. } | OrderClass::Oto { .. }) {
        return Some(("the exits of this order would take back what it reduces".to_owned(), None));
    }
    let held = side.opposite().signed(position).max(Decimal::ZERO);
    let room = held.saturating_sub(spoken_for).max(Decimal::ZERO);
    if asked <= room && !room.is_zero() {
        return None;
    }
    let measure = Measure { asked: asked.normalize(), allowed: held.normalize(), used: spoken_for.normalize() };
    let (act, state) = if side == Side::Buy { ("buy", "sold short") } else { ("sell", "held") };
    let why = format!(
        "to {act} are at most {} {symbol}, not {}: {} are {state}, open orders have spoken for {}",
        room.normalize(),
        measure.asked,
        measure.allowed,
        measure.used
    );
    Some((why, Some(measure)))
}

/// The order as it would stand. What does not fit its kind is left to the venue to refuse.
fn changed(request: &OrderRequest, change: &Modification) -> OrderRequest {
    let mut request = request.clone();
    if let Some(quantity) = change.quantity {
        request.size = Size::Quantity(quantity);
    }
    request.kind = match request.kind {
        OrderType::Market => OrderType::Market,
        OrderType::Limit { limit } => OrderType::Limit { limit: change.limit.unwrap_or(limit) },
        OrderType::Stop { stop } => OrderType::Stop { stop: change.stop.unwrap_or(stop) },
        OrderType::StopLimit { stop, limit } => OrderType::StopLimit { stop: change.stop.unwrap_or(stop), limit: change.limit.unwrap_or(limit) },
        OrderType::TrailingStop { trail } => {
            let changed = change.trail.and_then(|by| match trail {
                Trail::Price(_) => OrderPrice::new(by).ok().map(Trail::Price),
                Trail::Percent(_) => Percent::new(by).ok().map(Trail::Percent),
            });
            OrderType::TrailingStop { trail: changed.unwrap_or(trail) }
        }
    };
    request.time_in_force = change.time_in_force.unwrap_or(request.time_in_force);
    request
}
