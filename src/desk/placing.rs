//! An order on its way to its venue: at most once, each step kept before it is taken.
//!
//! | after | the journal holds | a restart |
//! |---|---|---|
//! | the check said no | the answer | repeats it |
//! | the check said yes | `submitting`, with what is sent | looks it up |
//! | the venue answered | the answer | repeats it |
//! | no answer came | `unknown` | looks it up |
//!
//! Must not know how commands arrive, nor when an outcome is looked up.

#![expect(clippy::result_large_err, reason = "an answer is made once a command, beside a request to a venue")]

use std::time::{Duration, Instant};

use super::answer::Answer;
use super::asked::{Asked, later};
use super::cancelling::order_of;
use super::claims::Claim;
use super::desk::{Desk, is_same, quantity_held};
use super::keeping::{Case, Settling, Told, conflict};
use super::seat::Seat;
use crate::contract::{write_close, write_place};
use crate::events::OrderKey;
use crate::exchanges::BrokerError;
use crate::journal::{CommandRecord, CommandState, JournalError};
use crate::model::{ClientOrderId, Order, OrderChange, OrderClass, OrderRequest, OrderStatus, OrderType, Size, Symbol, TimeInForce, Timestamp};
use crate::risk::{Approved, Rule};
use crate::runtime::{Waited, crash};

/// How often one command is sent that the venue demonstrably did not take.
const TRIES: u32 = 3;
/// Who has to wait longer is told so instead: meanwhile the other commands of the same bot would wait as well.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
const TRY_AGAIN: Duration = Duration::from_millis(250);
const UNSETTLED: &str = "an order of this name was sent, and nobody knows yet what became of it; it is being looked up";

/// The end of a command before its order: `None` is the stop of the process, at which nobody is told anything.
type Ended = Option<Answer>;

pub(super) enum Wanted {
    Order(OrderRequest),
    Close { id: ClientOrderId, symbol: Symbol },
}

impl Wanted {
    fn name(&self) -> &ClientOrderId {
        match self {
            Wanted::Order(request) => &request.client_order_id,
            Wanted::Close { id, .. } => id,
        }
    }

    fn patience(&self) -> Duration {
        match self {
            Wanted::Order(request) => Asked::order_for(request),
            Wanted::Close { .. } => Asked::closing_for(),
        }
    }

    fn text(&self, asked: &Asked<'_>) -> String {
        match self {
            Wanted::Order(request) => write_place(asked.to(), request),
            Wanted::Close { id, symbol } => write_close(asked.to(), id, symbol),
        }
    }
}

/// One order under work.
struct Job<'a> {
    asked: &'a Asked<'a>,
    name: ClientOrderId,
    body: String,
    patience: Duration,
    expires: Timestamp,
}

impl Job<'_> {
    fn record(&self, state: CommandState, request: Option<&OrderRequest>, sent: u64) -> CommandRecord {
        CommandRecord {
            name: self.name.to_string(),
            action: self.asked.action.to_owned(),
            body: self.body.clone(),
            entry: self.asked.entry.to_owned(),
            state,
            request: request.map(|request| write_place(self.asked.to(), request)),
            answer: None,
            received: self.asked.now,
            expires: Some(self.expires),
            sent,
            cancel_wanted: false,
        }
    }
}

impl Desk {
    /// An order under a name that was used before is answered with what became of the first. `None` when the process stops
    /// before that is known: the command comes again.
    pub(super) fn place_once(&self, asked: &Asked<'_>, wanted: Wanted) -> Option<Answer> {
        let job = Job { asked, name: wanted.name().clone(), body: wanted.text(asked), patience: wanted.patience(), expires: asked.expires(wanted.patience()) };
        let Some(_claim) = self.ledger.claims().take(&asked.seat.of.account, job.name.as_str()) else {
            return Some(self.is_free(&job).err().flatten().unwrap_or_else(|| asked.unknown(&job.name, UNSETTLED)));
        };
        self.place(&job, wanted).unwrap_or_else(|ended| ended)
    }

    fn place(&self, job: &Job<'_>, wanted: Wanted) -> Result<Ended, Ended> {
        let (asked, seat) = (job.asked, job.asked.seat);
        if !self.is_free(job)? && (asked.again || !seat.broker.capabilities().unique_client_ids) {
            self.look_before(job, &wanted)?;
        }
        if let Some(answer) = asked.too_late(job.patience, asked.now) {
            let request = if let Wanted::Order(request) = &wanted { Some(request) } else { None };
            return Err(Some(self.deny(job, request, answer, "desk")));
        }
        let _alone = self.closes_alone(job, &wanted)?;
        let request = self.request(job, wanted)?;
        let no = |answer: Answer, source: &'static str| Some(self.deny(job, Some(&request), answer, source));
        if let Err(error) = seat.broker.capabilities().check(&request) {
            return Err(no(Answer::failed(asked.action, &error), "desk"));
        }
        self.ready(job).map_err(|answer| no(answer, "desk"))?;
        // Whatever needs no price is said before anybody waits for one, or has one asked for.
        let outright = seat.guarded().gate.refuses_outright(&request, asked.now);
        if let Some(denial) = outright {
            return Err(no(Answer::denied_by(asked.action, &denial), "risk"));
        }
        let sight = self.sight(seat, &request.symbol, asked.now);
        let worth = seat.worth().map_err(|error| no(unread(asked.action, &error), "http"))?;
        let passing = seat.pass();
        let checked = seat.check(request.clone(), &sight, &worth, (self.clock)());
        let approved = checked.map_err(|denial| no(Answer::denied_by(asked.action, &denial), "risk"))?;
        let ticket = approved.ticket();
        let case = match self.submit(job, &approved) {
            Ok(case) => case,
            Err(answer) => {
                seat.guarded().gate.take_back(&ticket);
                return Err(no(answer, "desk"));
            }
        };
        crash::point("C3-submitting");
        let sent = self.send(job, &case, approved, passing);
        Ok(match sent {
            Ok(order) => self.stands(&case, &order, false, "accepted"),
            Err(NotSent::Denied(answer)) => {
                seat.guarded().gate.take_back(&ticket);
                self.settle_refused(&case, OrderChange::Denied, answer, "risk")
            }
            Err(NotSent::Failed(BrokerError::DuplicateClientId(_))) => self.duplicate(&case),
            Err(NotSent::Failed(error @ BrokerError::OutcomeUnknown { .. })) => self.settle_unknown(&case, &error),
            Err(NotSent::Failed(error)) => {
                seat.guarded().gate.take_back(&ticket);
                self.settle_refused(&case, change_of(&error), Answer::failed(asked.action, &error), "http")
            }
        })
    }

    /// Whether the journal knows of nothing under this name; `Ok(true)` says that it was refused before and is free again.
    fn is_free(&self, job: &Job<'_>) -> Result<bool, Ended> {
        let asked = job.asked;
        let kept = self.ledger.journal().command(&asked.seat.of.account, job.name.as_str());
        match kept.map_err(|error| Some(asked.about(&job.name, cannot_keep(asked.action, &error))))? {
            None => Ok(false),
            Some(record) if record.body != job.body => Err(Some(self.told(asked, conflict(asked.action, &job.name), "desk"))),
            Some(record) if record.state != CommandState::Answered => Err(Some(asked.unknown(&job.name, UNSETTLED))),
            Some(record) => match record.answer.as_deref().and_then(|json| Answer::repeated(asked.action, json)) {
                Some(answer) => Err(Some(asked.about(&job.name, answer))),
                None => Ok(true),
            },
        }
    }

    /// Nothing is known here of what may have been sent by a process with another journal: the venue knows.
    fn look_before(&self, job: &Job<'_>, wanted: &Wanted) -> Result<(), Ended> {
        let (asked, seat) = (job.asked, job.asked.seat);
        let request = if let Wanted::Order(request) = wanted { Some(request) } else { None };
        match seat.broker.order(&OrderKey::Client(job.name.clone())) {
            Ok(None) => Ok(()),
            // A position that was closed is no contradiction: its order is the answer.
            Ok(Some(first)) if request.is_none_or(|request| is_same(&first.request, request)) => {
                let record = job.record(CommandState::Answered, Some(&first.request), 1);
                let case = Case { seat, record, request: first.request.clone() };
                Err(self.stands(&case, &first, true, "found at the venue"))
            }
            Ok(Some(_)) => Err(Some(self.told(asked, conflict(asked.action, &job.name), "desk"))),
            Err(error) => match request {
                // Never sent by us, so it is looked for and not sent.
                Some(request) => {
                    let case = Case { seat, record: job.record(CommandState::Unknown, Some(request), 0), request: request.clone() };
                    Err(self.settle_unknown(&case, &error))
                }
                None => Err(Some(self.deny(job, None, unread(asked.action, &error), "http"))),
            },
        }
    }

    /// Looked at before the position is: a second order that closes it would sell what the first is selling.
    fn closes_alone(&self, job: &Job<'_>, wanted: &Wanted) -> Result<Option<Claim<'_>>, Ended> {
        let Wanted::Close { symbol, .. } = wanted else { return Ok(None) };
        let (asked, account) = (job.asked, &job.asked.seat.of.account);
        // No command has a name with a colon.
        let claim = self.ledger.claims().take(account, &format!("close:{symbol}"));
        let under_way = self.closing_of(asked, symbol).map_err(|error| Some(self.deny(job, None, cannot_keep(asked.action, &error), "desk")))?;
        if claim.is_some() && under_way.is_none() {
            return Ok(claim);
        }
        let by = under_way.map(|name| format!(" by {name}")).unwrap_or_default();
        let reason = format!("the position in {symbol} is being closed already{by}");
        Err(Some(self.deny(job, None, Answer { advice: Some("retry"), ..Answer::denied(asked.action, reason) }, "desk")))
    }

    /// Under which name the position is being closed, or may be.
    fn closing_of(&self, asked: &Asked<'_>, symbol: &Symbol) -> Result<Option<String>, JournalError> {
        let (journal, account) = (self.ledger.journal(), &asked.seat.of.account);
        let of_symbol = |record: &CommandRecord| record.action == asked.action && order_of(record).is_some_and(|order| order.symbol == *symbol);
        for record in journal.unsettled(account)?.into_iter().filter(of_symbol) {
            // Whatever became of its answer, an order of which the stream has told the end sells nothing any more.
            let told = record.name.parse().ok().map(|name| journal.order(account, &OrderKey::Client(name))).transpose()?.flatten();
            if told.is_none_or(|told| told.status.is_open() || told.heard < record.received) {
                return Ok(Some(record.name));
            }
        }
        for open in journal.open_orders(account, None)? {
            if open.symbol == symbol.as_str() && journal.command(account, &open.client_order_id)?.is_some_and(|record| record.action == asked.action) {
                return Ok(Some(open.client_order_id));
            }
        }
        Ok(None)
    }

    fn request(&self, job: &Job<'_>, wanted: Wanted) -> Result<OrderRequest, Ended> {
        let (asked, seat) = (job.asked, job.asked.seat);
        match wanted {
            Wanted::Order(request) if asked.untyped && seat.untyped_is_limit && request.kind == OrderType::Market => {
                let reason = "limit_price is missing: an order that names no type is a limit order here (trading.default_order_type)";
                let answer = Answer { advice: Some("fix_request"), ..Answer::denied(asked.action, reason) };
                Err(Some(self.deny(job, Some(&request), answer, "desk")))
            }
            Wanted::Order(request) => Ok(request),
            Wanted::Close { id, symbol } => {
                let held = seat.broker.position(&symbol).map_err(|error| Some(self.deny(job, None, unread(asked.action, &error), "http")))?;
                let Some((side, quantity)) = quantity_held(held.as_ref()) else {
                    let answer = Answer { advice: Some("fix_request"), ..Answer::denied(asked.action, format!("there is no position in {symbol}")) };
                    return Err(Some(self.deny(job, None, answer, "desk")));
                };
                let time_in_force = if symbol.is_pair() { TimeInForce::Gtc } else { TimeInForce::Day };
                let (size, kind, class) = (Size::Quantity(quantity), OrderType::Market, OrderClass::Simple);
                Ok(OrderRequest { client_order_id: id, symbol, side, size, kind, time_in_force, extended_hours: false, class })
            }
        }
    }

    /// Waits a while for an account that is not counted.
    fn ready(&self, job: &Job<'_>) -> Result<(), Answer> {
        if !job.asked.seat.takes_orders {
            return Err(switched_off(job.asked.action));
        }
        if job.asked.seat.is_counted() {
            return Ok(());
        }
        let left = super::asked::since((self.clock)(), job.expires);
        if job.asked.seat.wait_until_counted(Instant::now() + left, &self.token) { Ok(()) } else { Err(not_ready(job.asked.action)) }
    }

    /// Refused by us before anything was sent.
    fn deny(&self, job: &Job<'_>, request: Option<&OrderRequest>, answer: Answer, source: &'static str) -> Answer {
        let (asked, seat) = (job.asked, job.asked.seat);
        let answer = asked.about(&job.name, answer);
        log::info!("{} {} is denied: {}", asked.action, job.name, answer.reason.as_deref().unwrap_or_default());
        if !answer.is_final() {
            return self.told(asked, answer, source);
        }
        let record = job.record(CommandState::Answered, request, 0);
        let told = match request {
            Some(request) => self.refusal(seat, request, OrderChange::Denied, &answer, asked.entry),
            None => Told::Reply(asked.entry.to_owned()),
        };
        let notes = [came(job), (source, answer.reason.clone().unwrap_or_default())];
        let settling = Settling { seat, record: &record, answer: &answer, told, notes: &notes };
        if let Err(error) = self.try_keep(|step| self.settle_in(step, &settling).map(drop)) {
            log::error!("the denial of {} is not kept: {error}", job.name);
        }
        crash::point("C5-answered");
        answer
    }

    /// Kept before it is sent. What cannot be kept is not sent.
    fn submit<'a>(&self, job: &Job<'a>, approved: &Approved<OrderRequest>) -> Result<Case<'a>, Answer> {
        let (asked, now) = (job.asked, (self.clock)());
        if let Some(late) = asked.too_late(job.patience, now) {
            return Err(late);
        }
        if !(self.may_send)() {
            return Err(Answer { advice: Some("retry"), ..Answer::denied(asked.action, "another broker may hold the lease") });
        }
        let request = approved.get().clone();
        let record = job.record(CommandState::Submitting, Some(&request), 1);
        let kept = self.try_keep(|step| {
            step.put_command(&asked.seat.of.account, &record)?;
            let (source, text) = came(job);
            step.note(&record.name, asked.now, source, &text)?;
            step.note(&record.name, now, "risk", "approved")
        });
        kept.map_err(|error| cannot_keep(asked.action, &error))?;
        Ok(Case { seat: asked.seat, record, request })
    }

    /// Only what the venue demonstrably did not take is sent once more, and only as long as the command may be carried out.
    fn send<'a>(&self, job: &Job<'a>, case: &Case<'a>, approved: Approved<OrderRequest>, passing: impl Sized) -> Result<Order, NotSent> {
        let seat = case.seat;
        let mut sent = seat.broker.place(approved);
        crash::point("C4-sent");
        drop(passing);
        for round in 1..TRIES {
            let wait = match &sent {
                Err(BrokerError::RateLimited { after }) => after.unwrap_or(TRY_AGAIN * round),
                Err(BrokerError::NotConnected { .. } | BrokerError::Unavailable { .. }) => TRY_AGAIN * round,
                _ => break,
            };
            if wait > LONGEST_WAIT || later((self.clock)(), wait) >= job.expires || self.token.wait(wait) == Waited::Stopped || !(self.may_send)() {
                break;
            }
            let _passing = seat.pass();
            let readmitted = seat.guarded().gate.readmit(case.request.clone());
            match readmitted {
                Ok(approved) => sent = seat.broker.place(approved),
                Err(denial) if denial.rule == Rule::Halted => return Err(NotSent::Denied(Answer::denied_by(job.asked.action, &denial))),
                Err(_) => break,
            }
            crash::point("C4-sent");
        }
        sent.map_err(NotSent::Failed)
    }

    /// The name was used before: by this very order, should an earlier try have arrived after all.
    fn duplicate(&self, case: &Case<'_>) -> Ended {
        let name = &case.request.client_order_id;
        match case.seat.broker.order(&OrderKey::Client(name.clone())) {
            Ok(Some(first)) if is_same(&first.request, &case.request) => self.stands(case, &first, false, "found at the venue under this name"),
            Ok(Some(_)) => {
                case.seat.guarded().gate.withdraw(name);
                self.settle_conflict(case)
            }
            Ok(None) | Err(_) => {
                let cause = "it says that the name was used, and shows no such order".to_owned();
                self.settle_unknown(case, &BrokerError::OutcomeUnknown { broker: case.seat.of.broker.to_string(), cause })
            }
        }
    }

    /// The venue has it. Whoever has asked for its end meanwhile gets that first: what cannot be asked for now is for whoever
    /// looks outcomes up.
    pub(super) fn stands(&self, case: &Case<'_>, order: &Order, repeated: bool, how: &str) -> Ended {
        let kept = self.ledger.journal().command(&case.seat.of.account, &case.record.name);
        let was_wanted = kept.is_ok_and(|kept| kept.is_some_and(|kept| kept.cancel_wanted));
        if was_wanted && !end(case.seat, order) {
            let cause = "it has the order, which is to be cancelled and could not be yet".to_owned();
            return self.settle_unknown(case, &BrokerError::OutcomeUnknown { broker: case.seat.of.broker.to_string(), cause });
        }
        let (answer, cancel_wanted) = self.settle_accepted(case, order, repeated, how)?;
        if cancel_wanted && !was_wanted && !end(case.seat, order) {
            log::error!("{} is not cancelled, as its sender asked", order.request.client_order_id);
        }
        Some(answer)
    }
}

/// Cancels an order that somebody wants no more; whether the wish arrived, or is void.
pub(super) fn end(seat: &Seat, order: &Order) -> bool {
    if !order.status.is_open() || order.status == OrderStatus::PendingCancel {
        return true;
    }
    match seat.broker.cancel(&OrderKey::Venue(order.id.clone())) {
        Ok(()) | Err(BrokerError::NotOpen(_) | BrokerError::UnknownOrder(_) | BrokerError::Rejected { .. }) => true,
        Err(error) => {
            log::warn!("{} is to be cancelled, and is not yet: {error}", order.request.client_order_id);
            false
        }
    }
}

/// Why an order does not stand.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
enum NotSent {
    Denied(Answer),
    Failed(BrokerError),
}

fn came(job: &Job<'_>) -> (&'static str, String) {
    ("bot", format!("{} (entry {}) {}", job.asked.action, job.asked.entry, job.body))
}

pub(super) fn change_of(error: &BrokerError) -> OrderChange {
    if matches!(error, BrokerError::Rejected { .. }) { OrderChange::Rejected } else { OrderChange::Denied }
}

/// Something that has to be known first could not be asked for: nothing was sent.
pub(super) fn unread(action: &str, error: &BrokerError) -> Answer {
    let answer = Answer::failed(action, error);
    let advice = if answer.is_final() || answer.advice == Some("look_up") { Some("retry") } else { answer.advice };
    Answer { advice, retry_after_ms: answer.retry_after_ms, ..Answer::denied(action, error.to_string()) }
}

pub(super) fn not_ready(action: &str) -> Answer {
    let reason = "the orders and positions that the account holds could not be counted yet, so no limit could be kept; tried again each second";
    Answer { advice: Some("retry"), rule: Some("not_ready".to_owned()), ..Answer::denied(action, reason) }
}

pub(super) fn cannot_keep(action: &str, error: &JournalError) -> Answer {
    let advice = if matches!(error, JournalError::Failed { .. }) { "retry" } else { "stop" };
    Answer { advice: Some(advice), rule: Some("not_ready".to_owned()), ..Answer::denied(action, format!("commands cannot be kept: {error}")) }
}

/// The account is listened to, and nobody has configured a broker for it.
pub(super) fn switched_off(action: &str) -> Answer {
    let reason = "orders to this account are switched off: enable a broker for it in the folder of exchanges";
    Answer { advice: Some("fix_request"), ..Answer::denied(action, reason) }
}
