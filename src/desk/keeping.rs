//! What became of a command, kept before its sender is told: its record, its words for the stream and notes for people, in
//! one transaction.
//!
//! Must not know how a command is carried out.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Verdict};
use super::asked::{Asked, of_seat};
use super::desk::{Desk, accepted};
use super::ledger::Reply;
use super::seat::Seat;
use crate::events::{OrderUpdate, Source};
use crate::exchanges::BrokerError;
use crate::journal::{CommandRecord, CommandState, JournalError, Step};
use crate::model::{ClientOrderId, Order, OrderChange, OrderRequest, OrderStatus, Timestamp};
use crate::runtime::{Waited, crash};

/// How soon something is tried once more that has to be kept.
const WRITE_AGAIN: Duration = Duration::from_millis(250);

/// An order that was sent, or is about to be.
pub(super) struct Case<'a> {
    pub seat: &'a Seat,
    pub record: CommandRecord,
    pub request: OrderRequest,
}

/// What the stream is told.
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(super) enum Told {
    Update(OrderUpdate),
    /// By which it is known again.
    Reply(String),
}

/// The end of a command, or a station of it.
pub(super) struct Settling<'a> {
    pub seat: &'a Seat,
    pub record: &'a CommandRecord,
    pub answer: &'a Answer,
    pub told: Told,
    pub notes: &'a [(&'static str, String)],
}

impl Desk {
    /// Writes until it works: what a venue has answered is never told from memory only. `None` at the stop.
    pub(super) fn keep<T>(&self, work: impl Fn(&Step<'_>) -> Result<T, JournalError>) -> Option<T> {
        let mut complained = false;
        loop {
            match self.ledger.journal().write(&work) {
                Ok(done) => {
                    self.ledger.wake();
                    return Some(done);
                }
                Err(error) if !complained => {
                    log::error!("what a venue answered cannot be kept, and nobody is told before it is: {error}");
                    complained = true;
                }
                Err(_) => {}
            }
            if self.token.wait(WRITE_AGAIN) == Waited::Stopped {
                return None;
            }
        }
    }

    /// Writes once; who fails goes on without.
    pub(super) fn try_keep(&self, work: impl FnOnce(&Step<'_>) -> Result<(), JournalError>) -> Result<(), JournalError> {
        self.ledger.journal().write(work)?;
        self.ledger.wake();
        Ok(())
    }

    /// Says whether somebody wants the order cancelled.
    pub(super) fn settle_in(&self, step: &Step<'_>, settling: &Settling<'_>) -> Result<bool, JournalError> {
        let Settling { seat, record, answer, told, notes } = settling;
        let (account, now) = (&seat.of.account, (self.clock)());
        let cancel_wanted = step.command(account, &record.name)?.is_some_and(|kept| kept.cancel_wanted);
        let record = CommandRecord { cancel_wanted, answer: Some(answer.to_json()), ..(*record).clone() };
        step.put_command(account, &record)?;
        match told {
            Told::Update(update) => drop(self.ledger.enter(step, update)?),
            Told::Reply(key) => self.enter_answer(step, seat, key, answer)?,
        }
        notes.iter().try_for_each(|(source, text)| step.note(&record.name, now, source, text))?;
        Ok(cancel_wanted)
    }

    /// [`Desk::settle_in`] until it works.
    pub(super) fn settle(&self, settling: &Settling<'_>) -> Option<bool> {
        let cancel_wanted = self.keep(|step| self.settle_in(step, settling))?;
        crash::point("C5-answered");
        Some(cancel_wanted)
    }

    pub(super) fn enter_answer(&self, step: &Step<'_>, seat: &Seat, key: &str, answer: &Answer) -> Result<(), JournalError> {
        let name = answer.client_order_id.as_deref();
        let bot = name.and_then(|name| name.parse::<ClientOrderId>().ok()).and_then(|id| id.bot().map(str::to_owned));
        let json = answer.to_json();
        self.ledger.enter_reply(step, &seat.of.account, &Reply { entry: key, client_order_id: name, bot: bot.as_deref(), json: &json })
    }

    /// The answer to a command that owns no order, for the stream and for people. Without a journal it is an answer all the
    /// same.
    pub(super) fn told(&self, asked: &Asked<'_>, answer: Answer, source: &str) -> Answer {
        let answer = asked.complete(answer);
        let told = self.try_keep(|step| {
            self.enter_answer(step, asked.seat, asked.entry, &answer)?;
            let text = format!("{} (entry {}): {} {}", asked.action, asked.entry, words(answer.result), answer.reason.as_deref().unwrap_or_default());
            step.note(answer.client_order_id.as_deref().unwrap_or(asked.entry), (self.clock)(), source, text.trim())
        });
        if let Err(error) = told {
            log::error!("the answer to {} is not on the stream: {error}", asked.entry);
        }
        answer
    }

    /// The venue has it.
    pub(super) fn settle_accepted(&self, case: &Case<'_>, order: &Order, repeated: bool, how: &str) -> Option<(Answer, bool)> {
        let answer = of_seat(case.seat, Answer { repeated, ..accepted(&case.record.action, order) });
        let record = CommandRecord { state: CommandState::Answered, ..case.record.clone() };
        let update = desk_update(case.seat, OrderChange::Accepted, order.clone(), None, (self.clock)());
        let notes = [("http", format!("{how}: {} {}", order.id, order.status))];
        let settling = Settling { seat: case.seat, record: &record, answer: &answer, told: Told::Update(update), notes: &notes };
        let cancel_wanted = self.settle(&settling)?;
        Some((answer, cancel_wanted))
    }

    /// It does not stand, and will not.
    pub(super) fn settle_refused(&self, case: &Case<'_>, change: OrderChange, answer: Answer, source: &'static str) -> Option<Answer> {
        let name = &case.request.client_order_id;
        let answer = of_seat(case.seat, Answer { client_order_id: Some(name.to_string()), ..answer });
        log::info!("{} {name}: {}", case.record.action, answer.reason.as_deref().unwrap_or_default());
        let record = CommandRecord { state: CommandState::Answered, ..case.record.clone() };
        let notes = [(source, answer.reason.clone().unwrap_or_default())];
        let told = self.refusal(case.seat, &case.request, change, &answer, &case.record.entry);
        self.settle(&Settling { seat: case.seat, record: &record, answer: &answer, told, notes: &notes })?;
        Some(answer)
    }

    /// The name is another order's.
    pub(super) fn settle_conflict(&self, case: &Case<'_>) -> Option<Answer> {
        let name = &case.request.client_order_id;
        let answer = of_seat(case.seat, conflict(&case.record.action, name));
        let record = CommandRecord { state: CommandState::Answered, ..case.record.clone() };
        let notes = [("http", "the venue has another order of this name".to_owned())];
        let told = Told::Reply(settled_key(&case.record.entry));
        self.settle(&Settling { seat: case.seat, record: &record, answer: &answer, told, notes: &notes })?;
        Some(answer)
    }

    /// Sent, or perhaps sent, and nobody knows what became of it: it is looked up from now on.
    pub(super) fn settle_unknown(&self, case: &Case<'_>, error: &BrokerError) -> Option<Answer> {
        let name = &case.request.client_order_id;
        let answer = of_seat(case.seat, Answer { client_order_id: Some(name.to_string()), ..unknown(&case.record.action, error) });
        let record = CommandRecord { state: CommandState::Unknown, ..case.record.clone() };
        let now = (self.clock)();
        let told = match placeholder(&case.request, OrderStatus::Unknown, now) {
            Some(order) => Told::Update(desk_update(case.seat, OrderChange::OutcomeUnknown, order, answer.reason.clone(), now)),
            None => Told::Reply(case.record.entry.clone()),
        };
        let notes = [("http", error.to_string())];
        self.settle(&Settling { seat: case.seat, record: &record, answer: &answer, told, notes: &notes })?;
        self.look_up();
        Some(answer)
    }

    /// What the stream hears of an order that does not stand. What leaves the name free is no word about an order.
    pub(super) fn refusal(&self, seat: &Seat, request: &OrderRequest, change: OrderChange, answer: &Answer, entry: &str) -> Told {
        let now = (self.clock)();
        let status = if change == OrderChange::Denied { OrderStatus::Denied } else { OrderStatus::Rejected };
        match placeholder(request, status, now).filter(|_| answer.is_final()) {
            Some(order) => Told::Update(desk_update(seat, change, order, answer.reason.clone(), now)),
            None => Told::Reply(entry.to_owned()),
        }
    }
}

/// Under which key the later of two answers to one command is told.
pub(super) fn settled_key(entry: &str) -> String {
    format!("{entry}:settled")
}

pub(super) fn conflict(action: &str, name: &ClientOrderId) -> Answer {
    let reason = format!("the client order id {name} was used for another order");
    Answer { client_order_id: Some(name.to_string()), rule: Some("id_conflict".to_owned()), advice: Some("fix_request"), ..Answer::denied(action, reason) }
}

pub(super) fn unknown(action: &str, error: &BrokerError) -> Answer {
    Answer { reason: Some(error.to_string()), advice: Some("look_up"), ..Answer::new(action, Verdict::Unknown) }
}

fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::Denied => "denied",
        Verdict::Unknown => "unknown",
    }
}

/// An order that the venue has given no name: it goes by its own.
fn placeholder(request: &OrderRequest, status: OrderStatus, at: Timestamp) -> Option<Order> {
    let mut order = Order::new(request.client_order_id.as_str().parse().ok()?, request.clone(), status, at);
    order.times.failed = (status != OrderStatus::Unknown).then_some(at);
    Some(order)
}

fn desk_update(seat: &Seat, change: OrderChange, order: Order, reason: Option<String>, at: Timestamp) -> OrderUpdate {
    let order = Arc::new(order);
    OrderUpdate { of: seat.of.clone(), change, order, execution_id: None, fill: None, reason, at, source: Source::Desk, words: None }
}
