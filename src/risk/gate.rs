//! The check of one account: counts what was approved until somebody says what became of it.
//!
//! Must not know threads: the caller holds a gate under one lock, so that counting across bots is one atomic step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rust_decimal::Decimal;

use super::approved::{Approved, Ticket};
use super::book::Book;
use super::denial::{Denial, Rule};
use super::entry::Entry;
use super::halt::{HaltBook, HaltMode};
use super::limits::{Holdings, Limits, Sight};
use super::position::Range;
use super::protect::protect;
use super::rate::Rates;
use super::reducing::{reduced_by, takes_back, too_much};
use super::rules::{Scope, units};
use super::sender::sender;
use super::usage::{BotUsage, Usage};
use crate::events::{AccountRef, OrderUpdate};
use crate::model::{ClientOrderId, Fill, MarketSession, Modification, Order, OrderRequest, OrderType, Side, Size, Symbol, Timestamp, VenueOrderId};

/// How old a quote may be that protects a market order, where no `max_price_age` says it.
const FRESH: Duration = Duration::from_secs(60);
const MAX_SLIPPAGE: &str = "trading.max_slippage";

/// The check of one account. There is none for a cancel: it can only make a risk smaller, and always passes.
///
/// An order belongs to the bot of the order that it hangs on or has replaced, or else to the one that its client order id
/// names; one without a bot is held to the account's limits alone. The rules look at, in this order: the name, halts, the
/// symbol, the market, the price, the loss of the day, the order by itself, the position, open orders, the rate. Within
/// each the account comes before the bot.
#[derive(Debug, Default)]
pub struct Gate {
    limits: Limits,
    bot_limits: BTreeMap<String, Limits>,
    of: Option<AccountRef>,
    pub(super) halts: HaltBook,
    book: Book,
    rates: Rates,
    approvals: u64,
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

    /// Whether an order may leave. On approval it is counted at once, until [`Gate::observe`] or [`Gate::take_back`]
    /// says what became of it. What is approved may differ from what was asked: see [`protect`].
    pub fn check(&mut self, request: OrderRequest, sight: &Sight, holdings: &Holdings, now: Timestamp) -> Result<Approved<OrderRequest>, Denial> {
        let id = request.client_order_id.clone();
        self.unused(&id)?;
        let bot = self.sender(&id);
        let case = Case { bot, changes: None, sight, holdings, now };
        let (request, quantity) = self.examine(request, &case)?;
        let ticket = self.ticket(&id);
        self.book.approve(ticket.number, &request, bot, quantity, holdings.position, now);
        self.rates.add(bot, now);
        Ok(Approved::new(request, ticket))
    }

    /// Once more an order that was approved before, in this life or in an earlier one. Only halts are looked at: whether it
    /// still reduces a position cannot be told, so one that asks for that lets nothing pass. An order that is not counted
    /// is counted from now on; the rate is not touched.
    pub fn readmit(&mut self, request: OrderRequest) -> Result<Approved<OrderRequest>, Denial> {
        let id = request.client_order_id.clone();
        let bot = self.sender(&id);
        self.halted(bot)?;
        if let Some(halt) = self.halts.concerning(self.of.as_ref(), bot).next() {
            return Err(reduced_by(halt, "nobody can tell any more what this order would reduce", None));
        }
        let bot = bot.map(Box::from);
        if let Some(entry) = self.book.open.get(&id) {
            let number = entry.approval.unwrap_or_default();
            return Ok(Approved::new(request, Ticket { order: id, number }));
        }
        let ticket = self.ticket(&id);
        let quantity = units(&request, &Sight::blind(MarketSession::Closed)).unwrap_or_default();
        let mut entry = Entry::new(&request, bot, quantity);
        entry.approval = Some(ticket.number);
        self.book.put(id, entry);
        Ok(Approved::new(request, ticket))
    }

    /// Why no price and no position could let this order leave; `None` when they decide. Counts nothing, and does not
    /// take the place of [`Gate::check`]: who would have to wait for prices need not wait for these.
    pub fn refuses_outright(&self, request: &OrderRequest, now: Timestamp) -> Option<Denial> {
        self.outright(request, now).err()
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
        self.book.expect(order, self.sender(id));
        let bot = self.book.bot(id).or(self.sender(id)).map(str::to_owned);
        if let Some(new) = change.client_order_id.as_ref().filter(|new| *new != id) {
            self.own_name(id, bot.as_deref(), new)?;
        }
        let case = Case { bot: bot.as_deref(), changes: Some((id, self.book.filled(id))), sight, holdings, now };
        let (_, quantity) = self.examine(changed(&order.request, &change), &case)?;
        let ticket = self.ticket(id);
        self.book.approve_change(ticket.number, id, quantity);
        self.rates.add(bot.as_deref(), now);
        Ok(Approved::new(change, ticket))
    }

    /// Something happened to an order, placed through this gate or not. The same again changes nothing. What we denied
    /// ourselves was never counted: who gives up an approved order says so with [`Gate::take_back`].
    pub fn observe(&mut self, update: &OrderUpdate) {
        self.book.observe(update, sender(&update.order.request.client_order_id, &self.bot_limits, &self.halts));
    }

    /// The venue never took what was approved with this ticket, an order or a change. It stays in the rate: whoever sends
    /// and fails in a loop is stopped. An order that the venue turns out to have stays as well.
    pub fn take_back(&mut self, ticket: &Ticket) {
        self.book.withdraw(&ticket.order, Some(ticket.number));
        self.book.withdraw_change(&ticket.order, Some(ticket.number));
    }

    /// The same by the name of an approved order. An order of this name that the venue has is left alone.
    pub fn withdraw(&mut self, id: &ClientOrderId) {
        self.book.withdraw(id, None);
    }

    /// The venue never took a change of this order, and it cannot be said which: of several under way the one that counts
    /// least is given up. Who has the ticket uses [`Gate::take_back`].
    pub fn withdraw_change(&mut self, id: &ClientOrderId) {
        self.book.withdraw_change(id, None);
    }

    /// Whether a limit looks at what the account is worth.
    pub fn watches_losses(&self) -> bool {
        self.bot_limits.values().chain([&self.limits]).any(|limits| limits.max_daily_loss.is_some())
    }

    /// At the start, before anything is checked: counts what is open already, and what the orders of each bot have
    /// bought and sold so far, as the caller has added it up. Whatever was counted before is forgotten, but for the
    /// rate, changes under way and which order is whose.
    pub fn adopt(&mut self, orders: &[Order], positions_by_bot: &BTreeMap<String, BTreeMap<Symbol, Decimal>>) {
        let own = |id: &ClientOrderId| sender(id, &self.bot_limits, &self.halts).map(Box::from);
        self.book.adopt(orders, positions_by_bot.clone(), &own);
    }

    /// The same from the venue's executions, read after the orders. Beside what is open `orders` should have what those
    /// hang on or have replaced, and the ended orders of executions whose names were made up by the venue: by these the
    /// gate tells which bot a leg or a replacement belongs to. News of anything that is in here change nothing.
    pub fn adopt_with_fills(&mut self, orders: &[Order], fills: &[Fill]) {
        let own = |id: &ClientOrderId| sender(id, &self.bot_limits, &self.halts).map(Box::from);
        self.book.adopt_with_fills(orders, fills, &own);
    }

    /// Whose order this is, legs and replacements included. `None` for one of no bot, and for one of which nothing was
    /// heard yet.
    pub fn bot_of(&self, order: &VenueOrderId) -> Option<&str> {
        self.book.bot_of(order)
    }

    /// The same for an order of which the gate may not have heard.
    pub fn bot_of_order<'a>(&'a self, order: &'a Order) -> Option<&'a str> {
        let id = &order.request.client_order_id;
        self.book.bot_of(&order.id).or_else(|| self.book.inherited_bot(order)).or_else(|| self.book.bot(id)).or_else(|| self.sender(id))
    }

    pub fn halts(&self) -> &HaltBook {
        &self.halts
    }

    /// Takes over what was halted before a restart, or what somebody keeps for many gates.
    pub fn adopt_halts(&mut self, halts: HaltBook) {
        self.halts = halts;
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

    fn sender<'a>(&self, id: &'a ClientOrderId) -> Option<&'a str> {
        sender(id, &self.bot_limits, &self.halts)
    }

    fn ticket(&mut self, order: &ClientOrderId) -> Ticket {
        self.approvals += 1;
        Ticket { order: order.clone(), number: self.approvals }
    }

    fn scopes<'a>(&'a self, bot: Option<&'a str>) -> impl Iterator<Item = Scope<'a>> + Clone {
        let of_bot = bot.and_then(|bot| Some(Scope { bot: Some(bot), limits: self.bot_limits.get(bot)? }));
        [Scope { bot: None, limits: &self.limits }].into_iter().chain(of_bot)
    }

    /// What needs no price, or whatever the price could only make worse.
    fn outright(&self, request: &OrderRequest, now: Timestamp) -> Result<(), Denial> {
        let bot = self.sender(&request.client_order_id);
        let (scopes, blind) = (self.scopes(bot), Sight::blind(MarketSession::Closed));
        self.unused(&request.client_order_id)?;
        self.halted(bot)?;
        scopes.clone().try_for_each(|scope| scope.symbol(&request.symbol))?;
        if let (Some(halt), Some(why)) = (self.halts.concerning(self.of.as_ref(), bot).next(), takes_back(request)) {
            return Err(reduced_by(halt, &why, None));
        }
        if units(request, &blind).is_some() {
            scopes.clone().try_for_each(|scope| scope.quantity(request, &blind))?;
        }
        scopes.clone().try_for_each(|scope| scope.open_orders(|| self.book.open_orders(scope.bot)))?;
        scopes.clone().try_for_each(|scope| scope.rate(|| self.rates.count(scope.bot, now)))
    }

    fn own_name(&self, id: &ClientOrderId, bot: Option<&str>, new: &ClientOrderId) -> Result<(), Denial> {
        let Some(named) = self.sender(new).filter(|named| Some(*named) != bot) else { return Ok(()) };
        let owner = bot.map_or_else(|| "no bot".to_owned(), |bot| format!("the bot {bot}"));
        let reason = format!("the order {id} belongs to {owner}, and {new} would be a name of the bot {named}; a changed order stays with its bot");
        Err(Denial { rule: Rule::ForeignName, reason, config_key: "", bot: bot.map(str::to_owned), measure: None })
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
        let scopes = || this.scopes(case.bot);

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
        Err(Denial { rule: Rule::Halted, reason, config_key: "", bot: halt.scope.bot().map(str::to_owned), measure: None })
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
            if let Some((why, measure)) = too_much(halt.scope.bot()) {
                return Err(reduced_by(halt, &why, measure));
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

/// The order as it would stand. What does not fit its kind is left to the venue to refuse.
fn changed(request: &OrderRequest, change: &Modification) -> OrderRequest {
    let mut request = request.clone();
    if let Some(quantity) = change.quantity {
        request.size = Size::Quantity(quantity);
    }
    request.kind = request.kind.changed(change).unwrap_or(request.kind);
    request.time_in_force = change.time_in_force.unwrap_or(request.time_in_force);
    request
}
