//! The ledger: what becomes of every word about an order, whoever says it and however often.
//!
//! The venue's stream, its replay, its reports and the desk all end here. In one transaction of the journal each is
//! recognised or numbered, and the order's state moves forward, never back. Bots hear of what stands in the journal and of
//! nothing else.
//!
//! | file | what |
//! |---|---|
//! | `keys` | by what the same fact is known again |
//! | `standing` | the state of an order after a word about it |
//! | `report` | what a report shows that nobody has told |
//! | `entry` | an update as bots read it |
//!
//! Must not know which venues there are, nor how updates travel.

mod entry;
mod keys;
mod report;
mod standing;

use std::sync::Arc;

use crossbeam_channel::Sender;
use rust_decimal::Decimal;

use self::entry::{Whose, draft};
use self::keys::Keys;
use self::standing::Standing;
use super::claims::Claims;
use crate::events::{AccountRef, HeardOrder, OrderKey, OrderUpdate, Source};
use crate::journal::{Draft, Execution, Journal, JournalError, Known, Step};
use crate::model::{AccountId, Fill, Order, OrderChange, OrderStatus, Timestamp, VenueOrderId};

pub use self::report::Reported;

/// What an update turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Numbered now.
    New(u64),
    /// Numbered now, though the order has moved on since.
    Late(u64),
    /// Known by this number.
    Known(u64),
}

/// The ledger of all accounts.
#[derive(Debug)]
pub struct Ledger {
    journal: Arc<Journal>,
    /// Woken when something was numbered; has room for one.
    appended: Sender<()>,
    /// Commands of which the outcome is about to be taken.
    claims: Claims,
    sim: bool,
    clock: fn() -> Timestamp,
}

impl Ledger {
    pub fn new(journal: Arc<Journal>, appended: Sender<()>, sim: bool, clock: fn() -> Timestamp) -> Ledger {
        Ledger { journal, appended, claims: Claims::default(), sim, clock }
    }

    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Whoever carries updates to the bots may look.
    pub fn wake(&self) {
        let _ = self.appended.try_send(());
    }

    /// Takes updates, all or none of them.
    ///
    /// # Errors
    /// Those of the journal: the same may be handed in again.
    pub fn take(&self, updates: &[OrderUpdate]) -> Result<Vec<Taken>, JournalError> {
        self.take_as(updates, |_| Manner::default())
    }

    /// The same, each in its manner.
    ///
    /// # Errors
    /// Those of the journal: the same may be handed in again.
    pub fn take_as(&self, updates: &[OrderUpdate], manner: impl Fn(&OrderUpdate) -> Manner) -> Result<Vec<Taken>, JournalError> {
        self.journal.write(|step| updates.iter().map(|update| self.enter_as(step, update, manner(update))).collect())
    }

    /// The same within somebody's transaction, who wakes the others afterwards.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn enter(&self, step: &Step<'_>, update: &OrderUpdate) -> Result<Taken, JournalError> {
        self.enter_as(step, update, Manner::default())
    }

    fn enter_as(&self, step: &Step<'_>, update: &OrderUpdate, manner: Manner) -> Result<Taken, JournalError> {
        let account = &update.of.account;
        let known = step.order(account, &OrderKey::Venue(update.order.id.clone()))?;
        let keys = Keys::of(update, known.as_ref(), manner.estimated);
        for key in &keys.known_by {
            if let Some(n) = step.known(account, key)? {
                step.also_known_as(account, n, &keys.kept)?;
                return Ok(Taken::Known(n));
            }
        }
        if let Some(once) = &keys.once
            && let Some(n) = step.known(account, once)?
        {
            step.forget(account, once)?;
            if let Some(known) = known.filter(|known| !known.acknowledged && standing::acknowledges(update)) {
                step.put_order(account, &Known { acknowledged: true, ..known })?;
            }
            step.also_known_as(account, n, &keys.kept)?;
            return Ok(Taken::Known(n));
        }
        if let Some(n) = self.shown_before(step, update, known.as_ref())? {
            step.also_known_as(account, n, &keys.kept)?;
            return Ok(Taken::Known(n));
        }
        let now = (self.clock)();
        let whose = self.whose(step, update, known.as_ref())?;
        let Standing { next, late } = standing::after(known.as_ref(), update, &whose, now, manner.estimated);
        let number = |late: bool| {
            let copies = !late && !manner.quiet;
            step.append(account, &draft(update, &whose, &keys, late, manner, copies, self.sim, now))
        };
        if update.source == Source::Desk && update.change != OrderChange::Accepted {
            // The venue has no such order: only the answer is kept.
            return number(false).map(Taken::New);
        }
        let n = number(late)?;
        step.put_order(account, &next)?;
        if let Some(fill) = update.fill.as_ref().filter(|_| update.change != OrderChange::TradeBust) {
            step.put_execution(account, n, &execution(fill, &whose))?;
        }
        if let Some(void) = previous_execution(update) {
            step.void_execution(account, &void)?;
        }
        self.mind_the_gap(step, update, known.as_ref(), &next, n)?;
        for leg in &update.order.legs {
            self.expect_leg(step, update, leg.as_str(), &next, now)?;
        }
        Ok(if late { Taken::Late(n) } else { Taken::New(n) })
    }

    /// An execution for which there is no room in what was filled is one that a report has shown, by whatever name.
    fn shown_before(&self, step: &Step<'_>, update: &OrderUpdate, known: Option<&Known>) -> Result<Option<u64>, JournalError> {
        let (account, order) = (&update.of.account, &update.order);
        let corrects = matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect);
        let (Some(fill), Some(known)) = (&update.fill, known) else { return Ok(None) };
        if corrects || update.source == Source::Report {
            return Ok(None);
        }
        let Some(shown) = step.known(account, &keys::of_shown(order.id.as_str(), known.generation))? else { return Ok(None) };
        let executions = step.executions_of(account, order.id.as_str())?;
        let accounted: Decimal = executions.iter().map(|done| done.quantity).sum();
        if accounted + fill.quantity <= known.filled.max(order.filled) {
            return Ok(None);
        }
        let alike = executions.iter().filter(|done| (done.price, done.quantity) == (fill.price, fill.quantity));
        let nearest = alike.min_by_key(|done| (done.at.nanos() - fill.at.nanos()).abs());
        let n = nearest.map(|done| step.known(account, &keys::of_execution(&done.execution_id))).transpose()?.flatten();
        Ok(n.or(Some(shown)))
    }

    /// More is filled than executions account for: one was lost on its way, and though a later one was heard, and
    /// though the order has ended, the venue is asked about it.
    fn mind_the_gap(&self, step: &Step<'_>, update: &OrderUpdate, known: Option<&Known>, next: &Known, n: u64) -> Result<(), JournalError> {
        let (account, gap) = (&update.of.account, keys::of_gap(&next.id));
        let before = known.map_or(Decimal::ZERO, |known| known.filled);
        let marked = step.known(account, &gap)?.is_some();
        if !marked && next.filled - before == quantity_of(update) {
            return Ok(());
        }
        let accounted: Decimal = step.executions_of(account, &next.id)?.iter().map(|done| done.quantity).sum();
        match (marked, next.filled > accounted) {
            (false, true) => step.also_known_as(account, n, &[gap]),
            (true, false) => step.forget(account, &gap),
            _ => Ok(()),
        }
    }

    /// What the order that this one replaces had filled: a venue may count it here as well.
    fn carried_over(&self, step: &Step<'_>, of: &AccountRef, order: &Order) -> Result<Decimal, JournalError> {
        let Some(before) = &order.replaces else { return Ok(Decimal::ZERO) };
        Ok(step.order(&of.account, &OrderKey::Venue(before.clone()))?.map_or(Decimal::ZERO, |before| before.filled))
    }

    /// Orders of which an execution must have been lost on its way.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn with_gaps(&self, account: &AccountId) -> Result<Vec<String>, JournalError> {
        let keys = self.journal.keys_from(account, keys::GAP)?;
        Ok(keys.into_iter().map(|key| key[keys::GAP.len()..].to_owned()).collect())
    }

    /// The orders that a venue makes for another belong to whom that belongs to, from before they are heard of.
    fn expect_leg(&self, step: &Step<'_>, update: &OrderUpdate, leg: &str, entry: &Known, now: Timestamp) -> Result<(), JournalError> {
        let Ok(id) = leg.parse() else { return Ok(()) };
        let account = &update.of.account;
        if let Some(heard) = step.order(account, &OrderKey::Venue(id))? {
            // Heard of before the order that it hangs on.
            if entry.ours && !heard.ours {
                step.put_order(account, &Known { bot: entry.bot.clone(), ours: true, ..heard })?;
                step.give_executions(account, leg, entry.bot.as_deref())?;
            }
            return Ok(());
        }
        let leg = Known {
            id: leg.to_owned(),
            client_order_id: String::new(),
            side: entry.side.opposite(),
            status: OrderStatus::Held,
            quantity: None,
            filled: 0.into(),
            filled_value: 0.into(),
            estimated: 0.into(),
            generation: 0,
            acknowledged: false,
            updated: Timestamp::default(),
            heard: now,
            text: "{}".to_owned(),
            ..entry.clone()
        };
        step.put_order(account, &leg)
    }

    /// Whose order it is: known already, placed through the desk, or standing in for such a one.
    fn whose(&self, step: &Step<'_>, update: &OrderUpdate, known: Option<&Known>) -> Result<Whose, JournalError> {
        let (account, order) = (&update.of.account, &update.order);
        if let Some(known) = known.filter(|known| known.ours) {
            return Ok(Whose { bot: known.bot.clone(), ours: true });
        }
        let name = &order.request.client_order_id;
        if update.source == Source::Desk || step.command(account, name.as_str())?.is_some() {
            return Ok(Whose { bot: order.bot().map(str::to_owned), ours: true });
        }
        for relative in order.replaces.iter().chain(&order.parent) {
            if let Some(kin) = step.order(account, &OrderKey::Venue(relative.clone()))?.filter(|kin| kin.ours) {
                return Ok(Whose { bot: kin.bot, ours: true });
            }
        }
        Ok(Whose { bot: None, ours: false })
    }

    /// Takes words that could not be read to the end: they reach the bots as they are.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn take_words(&self, heard: &HeardOrder) -> Result<Taken, JournalError> {
        let key = keys::of_words(&heard.words);
        self.journal.write(|step| {
            if let Some(n) = step.known(&heard.of.account, &key)? {
                return Ok(Taken::Known(n));
            }
            let draft = entry::draft_of_words(heard, key, self.sim);
            step.append(&heard.of.account, &draft).map(Taken::New)
        })
    }

    /// What stands under this key for the stream, as [`Ledger::enter_reply`] has entered it.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn reply(&self, account: &AccountId, entry: &str) -> Result<Option<String>, JournalError> {
        self.journal.entry_known_by(account, &format!("q:{entry}"))
    }

    /// The answer to a command that owns no order, for the stream.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn enter_reply(&self, step: &Step<'_>, account: &AccountId, reply: &Reply<'_>) -> Result<(), JournalError> {
        let key = format!("q:{}", reply.entry);
        if step.known(account, &key)?.is_some() {
            return Ok(());
        }
        let draft = Draft {
            order_id: String::new(),
            client_order_id: reply.client_order_id.unwrap_or_default().to_owned(),
            symbol: String::new(),
            bot: reply.bot.map(str::to_owned),
            event: "order_reply".to_owned(),
            source: Source::Desk,
            entry: reply.json.to_owned(),
            typed: None,
            keys: vec![key],
            at: (self.clock)(),
        };
        step.append(account, &draft).map(drop)
    }

    /// Ends an order that the venue does not know any more; `None` when it has ended.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn end_unknown(&self, of: &AccountRef, id: &VenueOrderId) -> Result<Option<OrderUpdate>, JournalError> {
        self.journal.write(|step| {
            let known = step.order(&of.account, &OrderKey::Venue(id.clone()))?.filter(|known| known.status.is_open());
            let Some(update) = known.and_then(|known| report::ended(of, id, &known, (self.clock)())) else { return Ok(None) };
            self.enter(step, &update)?;
            Ok(Some(update))
        })
    }

    /// Compares what the venue holds of some orders with what we know of them, and takes what nobody has told: of all of
    /// them or of none.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn report(&self, of: &AccountRef, asked: &[(&Order, &[Fill], Manner)]) -> Result<Vec<Reported>, JournalError> {
        self.journal.write(|step| asked.iter().map(|(order, fills, manner)| self.compare(step, of, order, fills, *manner)).collect())
    }

    /// What [`Ledger::report`] would take; nothing is.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn would_report(&self, of: &AccountRef, order: &Order, fills: &[Fill], manner: Manner) -> Result<Reported, JournalError> {
        let undone = self.journal.write(|step| match self.compare(step, of, order, fills, manner) {
            Ok(reported) => Err::<(), _>(Undone::Reported(reported)),
            Err(error) => Err(Undone::Failed(error)),
        });
        match undone {
            Err(Undone::Reported(reported)) => Ok(reported),
            Err(Undone::Failed(error)) => Err(error),
            Ok(()) => Ok(Reported::default()),
        }
    }

    fn compare(&self, step: &Step<'_>, of: &AccountRef, order: &Order, fills: &[Fill], manner: Manner) -> Result<Reported, JournalError> {
        let known = step.order(&of.account, &OrderKey::Venue(order.id.clone()))?;
        let executions = step.executions_of(&of.account, order.id.as_str())?;
        let carried = self.carried_over(step, of, order)?;
        let before = report::Before { known: known.as_ref(), executions: &executions, carried };
        let missing = report::missing(of, before, order, fills, manner, (self.clock)());
        for (id, same_as) in missing.aliases {
            if let Some(n) = step.known(&of.account, &keys::of_execution(&same_as))? {
                step.also_known_as(&of.account, n, &[keys::of_execution(&id)])?;
            }
        }
        let mut reported = Reported { unexplained: missing.unexplained, taken: Vec::new() };
        for (update, estimated) in missing.updates {
            let taken = self.enter_as(step, &update, Manner { estimated, ..manner })?;
            if !matches!(taken, Taken::Known(_)) {
                reported.taken.push(update);
            }
        }
        for id in missing.void {
            step.void_execution(&of.account, &id)?;
        }
        if !reported.unexplained {
            step.forget(&of.account, &keys::of_gap(order.id.as_str()))?;
        }
        Ok(reported)
    }
}

/// Decimal zero, where nothing was executed.
fn quantity_of(update: &OrderUpdate) -> Decimal {
    update.fill.as_ref().map_or(Decimal::ZERO, |fill| fill.quantity)
}

/// Why a transaction was given up on purpose.
enum Undone {
    Reported(Reported),
    Failed(JournalError),
}

impl From<JournalError> for Undone {
    fn from(error: JournalError) -> Undone {
        Undone::Failed(error)
    }
}

/// How an update is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// No copies: it is old, and only the stream tells old things.
    pub quiet: bool,
    /// What is filled without an account of it may be reckoned.
    pub may_estimate: bool,
    estimated: bool,
}

impl Manner {
    pub fn quiet(quiet: bool) -> Manner {
        Manner { quiet, ..Manner::default() }
    }

    pub fn estimating(self, may_estimate: bool) -> Manner {
        Manner { may_estimate, ..self }
    }
}

/// The answer to a command that owns no order.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The entry that brought the command.
    pub entry: &'a str,
    pub client_order_id: Option<&'a str>,
    pub bot: Option<&'a str>,
    /// The answer, a JSON object.
    pub json: &'a str,
}

fn execution(fill: &Fill, whose: &Whose) -> Execution {
    Execution {
        execution_id: fill.execution_id.to_string(),
        order_id: fill.order_id.to_string(),
        client_order_id: fill.client_order_id.to_string(),
        bot: whose.bot.clone(),
        symbol: fill.symbol.clone(),
        side: fill.side,
        price: fill.price,
        quantity: fill.quantity,
        fees: fill.fees,
        position: fill.position,
        at: fill.at,
    }
}

/// The execution that a bust takes back, or that a correction replaces.
fn previous_execution(update: &OrderUpdate) -> Option<String> {
    if !matches!(update.change, OrderChange::TradeBust | OrderChange::TradeCorrect) {
        return None;
    }
    let (_, json) = update.words.as_ref()?.extra.iter().find(|(name, _)| name == "previous_execution_id")?;
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
