//! What the journal holds of an order and its kin: every step in order, where each order stands, what is not known.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;

use super::words;
use crate::journal::{CommandRecord, CommandState, Journal, JournalError, Known};
use crate::model::{AccountId, OrderStatus, Timestamp};

/// Orders that are followed from one to the next.
const MAX_KIN: usize = 64;

/// The story of one order on one account.
#[derive(Debug, Default, Serialize)]
pub struct Story {
    /// Absent when nothing but notes is known.
    pub account_id: Option<String>,
    pub steps: Vec<StepView>,
    pub orders: Vec<OrderView>,
    pub executions: Vec<ExecutionView>,
    pub unknown: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct StepView {
    /// UTC, to the millisecond.
    pub at: String,
    /// Since the step before.
    pub after_ms: Option<i64>,
    pub source: String,
    pub client_order_id: String,
    pub what: String,
    /// Of an update: its number in the stream of the account.
    pub n: Option<u64>,
    /// Of an update: when the venue says that it happened.
    pub venue_time: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct OrderView {
    pub client_order_id: String,
    pub order_id: Option<String>,
    pub symbol: Option<String>,
    pub side: Option<&'static str>,
    pub qty: Option<String>,
    pub filled_qty: Option<String>,
    pub filled_avg_price: Option<String>,
    pub status: String,
    pub reason: Option<String>,
    pub bot: Option<String>,
    /// Asked of this broker, or by the venue on behalf of such an order.
    pub ours: bool,
    pub replaces: Option<String>,
    pub replaced_by: Option<String>,
    pub legs: Vec<String>,
    /// When the venue last changed it, and when we last heard of it.
    pub updated_at: Option<String>,
    pub heard_at: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct ExecutionView {
    pub at: String,
    pub client_order_id: String,
    pub execution_id: String,
    pub side: &'static str,
    pub qty: String,
    pub price: String,
    pub fees: String,
    pub void: bool,
}

impl StepView {
    /// The time since the step before, for people.
    pub fn gap(&self) -> String {
        match self.after_ms {
            None => String::new(),
            Some(ms @ ..10_000) => format!("+{ms} ms"),
            Some(ms @ 10_000..600_000) => format!("+{}.{:03} s", ms / 1_000, ms % 1_000),
            Some(ms) => format!("+{} min", ms / 60_000),
        }
    }
}

impl OrderView {
    pub fn owner(&self) -> String {
        match (&self.bot, self.ours) {
            (Some(bot), true) => format!("of bot {bot}"),
            (Some(bot), false) => format!("of bot {bot}, not asked of this broker"),
            (None, true) => "of no bot".to_owned(),
            (None, false) => "external: not asked of this broker".to_owned(),
        }
    }
}

/// One story for each account where the name occurs.
///
/// # Errors
/// When the journal cannot be read.
pub fn of(journal: &Journal, name: &str) -> Result<Vec<Story>, JournalError> {
    let named = journal.named(name)?;
    if named.is_empty() {
        let mut told = Telling { journal, steps: Vec::new(), story: Story::default() };
        told.steps_of(None, name)?;
        if told.steps.is_empty() {
            return Ok(Vec::new());
        }
        told.story.orders.push(OrderView { client_order_id: name.to_owned(), status: "not placed".to_owned(), ours: true, ..OrderView::default() });
        told.story.unknown.push("the journal holds neither a command nor an order of this name".to_owned());
        return Ok(vec![told.end()]);
    }
    named
        .into_iter()
        .map(|found| {
            let mut told = Telling { journal, steps: Vec::new(), story: Story { account_id: Some(found.account.to_string()), ..Story::default() } };
            match found.order {
                Some(order) => told.kin(&found.account, order)?,
                None => told.unplaced(&found.account, name)?,
            }
            Ok(told.end())
        })
        .collect()
}

/// The orders that an order object names.
#[derive(Debug, Default)]
struct Relations {
    replaces: Option<String>,
    replaced_by: Option<String>,
    legs: Vec<String>,
}

impl Relations {
    fn of(text: &str) -> Relations {
        let object: Value = serde_json::from_str(text).unwrap_or_default();
        let id = |value: &Value| value.as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        let legs = object["legs"].as_array().into_iter().flatten();
        Relations {
            replaces: id(&object["replaces"]),
            replaced_by: id(&object["replaced_by"]),
            legs: legs.filter_map(|leg| id(leg).or_else(|| id(&leg["id"]))).collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        self.replaces.iter().chain(&self.replaced_by).chain(&self.legs)
    }
}

struct Telling<'a> {
    journal: &'a Journal,
    steps: Vec<(Timestamp, StepView)>,
    story: Story,
}

impl Telling<'_> {
    fn end(mut self) -> Story {
        // Steps of one instant stay as they were found: what was noted, then what the bots were told.
        self.steps.sort_by_key(|(at, _)| *at);
        let mut before: Option<Timestamp> = None;
        for (at, mut step) in self.steps {
            step.after_ms = before.map(|before| at.millis() - before.millis());
            before = Some(at);
            self.story.steps.push(step);
        }
        self.story
    }

    /// An order with what it replaced, what replaced it and what hangs on it.
    fn kin(&mut self, account: &AccountId, order: Known) -> Result<(), JournalError> {
        let (mut kin, mut wanted) = (vec![order.clone()], vec![order.id]);
        let (mut looked, mut named) = (BTreeSet::new(), BTreeSet::new());
        while let Some(id) = wanted.pop() {
            if looked.len() >= MAX_KIN || !looked.insert(id.clone()) {
                continue;
            }
            for other in self.journal.orders_mentioning(account, &id)? {
                let relations = Relations::of(&other.text);
                if other.id != id && !relations.all().any(|related| *related == id) {
                    continue;
                }
                named.extend(relations.all().cloned());
                wanted.extend(relations.all().cloned());
                wanted.push(other.id.clone());
                if kin.iter().all(|known| known.id != other.id) {
                    kin.push(other);
                }
            }
        }
        kin.sort_by_key(|order| order.submitted);
        let mut told = BTreeSet::new();
        for order in &kin {
            if told.insert(order.client_order_id.clone()) {
                self.steps_of(Some(account), &order.client_order_id)?;
            }
            self.order(account, order)?;
        }
        for id in named.iter().filter(|id| kin.iter().all(|order| order.id != **id)) {
            self.story.unknown.push(format!("the order {id} belongs to this story and is not in the journal"));
        }
        Ok(())
    }

    fn order(&mut self, account: &AccountId, order: &Known) -> Result<(), JournalError> {
        let relations = Relations::of(&order.text);
        let average = order.filled_value.checked_div(order.filled).map(|price| price.round_dp(9).normalize().to_string());
        self.story.orders.push(OrderView {
            client_order_id: order.client_order_id.clone(),
            order_id: Some(order.id.clone()),
            symbol: Some(order.symbol.clone()),
            side: Some(order.side.as_str()),
            qty: order.quantity.map(|quantity| quantity.normalize().to_string()),
            filled_qty: Some(order.filled.normalize().to_string()),
            filled_avg_price: average,
            status: order.status.to_string(),
            reason: None,
            bot: order.bot.clone(),
            ours: order.ours,
            replaces: relations.replaces,
            replaced_by: relations.replaced_by,
            legs: relations.legs,
            updated_at: Some(to_the_millisecond(order.updated)),
            heard_at: Some(to_the_millisecond(order.heard)),
        });
        let mut standing = Decimal::ZERO;
        for (done, void) in self.journal.executions_with_void(account, &order.id)? {
            standing += if void { Decimal::ZERO } else { done.quantity };
            self.story.executions.push(ExecutionView {
                at: to_the_millisecond(done.at),
                client_order_id: done.client_order_id,
                execution_id: done.execution_id,
                side: done.side.as_str(),
                qty: done.quantity.normalize().to_string(),
                price: done.price.normalize().to_string(),
                fees: done.fees.normalize().to_string(),
                void,
            });
        }
        let command = self.journal.command(account, &order.client_order_id)?;
        let mut unknown = doubts_of_command(&order.client_order_id, command.as_ref(), order.status.is_open());
        unknown.extend(doubts_of_order(order, standing));
        self.story.unknown.extend(unknown);
        Ok(())
    }

    /// A name under which something was asked, and of which no venue has told.
    fn unplaced(&mut self, account: &AccountId, name: &str) -> Result<(), JournalError> {
        self.steps_of(Some(account), name)?;
        let command = self.journal.command(account, name)?;
        let answer: Value = command.as_ref().and_then(|command| serde_json::from_str(command.answer.as_deref()?).ok()).unwrap_or_default();
        let word = |field: &str| answer[field].as_str().or_else(|| answer["event"].as_str().filter(|_| field == "result")).map(str::to_owned);
        let status = word("result").or_else(|| command.as_ref().map(|command| command.state.as_str().to_owned()));
        let status = status.unwrap_or_else(|| "not in the journal any more, or never placed".to_owned());
        let mut unknown = doubts_of_command(name, command.as_ref(), false);
        if status == "accepted" && command.as_ref().is_some_and(|command| matches!(command.action.as_str(), "place" | "close_position")) {
            unknown.push(format!("{name} was accepted, and the venue has told nothing of it since"));
        }
        self.story.unknown.extend(unknown);
        self.story.orders.push(OrderView {
            client_order_id: name.to_owned(),
            status,
            reason: word("reason"),
            bot: name.parse::<crate::model::ClientOrderId>().ok().and_then(|id| id.bot().map(str::to_owned)),
            ours: true,
            ..OrderView::default()
        });
        Ok(())
    }

    fn steps_of(&mut self, account: Option<&AccountId>, name: &str) -> Result<(), JournalError> {
        let step = |at: Timestamp, source: String, what: String| StepView {
            at: to_the_millisecond(at),
            after_ms: None,
            source,
            client_order_id: name.to_owned(),
            what,
            n: None,
            venue_time: None,
        };
        let notes = self.journal.notes(name)?;
        let command = if let (true, Some(account)) = (notes.is_empty(), account) { self.journal.command(account, name)? } else { None };
        let asked = command.map(|command| (command.received, step(command.received, "bot".to_owned(), format!("{} received", command.action))));
        self.steps.extend(asked);
        self.steps.extend(notes.into_iter().map(|moment| (moment.at, step(moment.at, moment.source, moment.what))));
        let Some(account) = account else { return Ok(()) };
        let copied = self.journal.stream(account)?.copied;
        for told in self.journal.told(account, name)? {
            let venue_time = words::venue_time(&told.entry).filter(|_| told.source != "desk");
            let at_venue = venue_time.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
            let at_venue = at_venue.map(|at| format!(", at the venue {}", to_the_millisecond(at))).unwrap_or_default();
            let what = format!("{}{at_venue}", words::of_entry(&told.event, &told.entry));
            self.steps.push((told.at, StepView { n: Some(told.n), venue_time, ..step(told.at, told.source, what) }));
            if told.n > copied {
                self.story.unknown.push(format!("whether the bots were handed update {} ({}) yet", told.n, told.event));
            }
        }
        Ok(())
    }
}

fn doubts_of_command(name: &str, command: Option<&CommandRecord>, open: bool) -> Vec<String> {
    let Some(command) = command else { return Vec::new() };
    let state = match command.state {
        CommandState::Answered => None,
        CommandState::Submitting => Some("it was about to be sent, or sent, and no answer is written down"),
        CommandState::Unknown => Some("it was sent, and no answer came"),
    };
    let state = state.map(|words| format!("whether the venue took {} {name}: {words} (sent {} times)", command.action, command.sent));
    let wanted =
        (command.cancel_wanted && (open || command.state != CommandState::Answered)).then(|| format!("whether {name} was cancelled, as its sender wants"));
    state.into_iter().chain(wanted).collect()
}

fn doubts_of_order(order: &Known, standing: Decimal) -> Vec<String> {
    let name = &order.client_order_id;
    let mut doubts = Vec::new();
    if order.status == OrderStatus::Unknown {
        doubts.push(format!("what became of {name}: the venue was asked and has not said"));
    } else if order.status.is_open() {
        let left = order.quantity.map(|quantity| format!("the last {} of ", (quantity - order.filled).max(Decimal::ZERO).normalize())).unwrap_or_default();
        doubts.push(format!("what becomes of {left}{name}: it is open"));
    }
    if standing != order.filled {
        let (filled, standing) = (order.filled.normalize(), standing.normalize());
        doubts.push(format!("the executions of {name}: the venue says that {filled} are filled, those that are known come to {standing}"));
    }
    if !order.estimated.is_zero() {
        doubts.push(format!("the true prices of {name} up to {} filled: they were reckoned from the venue's totals", order.estimated.normalize()));
    }
    doubts
}

fn to_the_millisecond(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..23).map_or_else(|| text.clone(), |short| format!("{short}Z"))
}
