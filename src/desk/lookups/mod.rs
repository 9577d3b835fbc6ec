//! What became of commands of which no answer came: their orders are looked up by client order id until the venue says.
//!
//! A time-out alone never makes an order one that was refused. The journal says what is unsettled; whoever leaves something so
//! wakes these threads. Each seat has one of its own, `lookups-{account}`: a venue that hangs delays the orders of nobody else.
//! Must not know how commands arrive.

mod bell;
mod schedule;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::select;

pub(super) use self::bell::Bell;

use self::schedule::Schedule;
use super::answer::{Answer, Verdict};
use super::asked::later;
use super::desk::{Desk, accepted, is_same, quantity_held};
use super::keeping::Case;
use super::placing::{change_of, end};
use super::seat::Seat;
use crate::contract::{Wish, parse_command};
use crate::events::{Command, OrderKey};
use crate::exchanges::BrokerError;
use crate::journal::{CommandRecord, CommandState, JournalError};
use crate::model::{ClientOrderId, Order, OrderChange, OrderStatus, Size};
use crate::observe::{Heartbeat, Heartbeats};
use crate::runtime::{StopToken, Task, Threads, crash};

const BEAT: Duration = Duration::from_secs(1);
/// The journal is read again though nobody has asked for it.
const READ_AGAIN: Duration = Duration::from_secs(30);
/// So far into the future nothing is received unless somebody sets the clock back.
const CLOCK_SET: Duration = Duration::from_secs(1);
/// The action of a command that takes a position back.
const CLOSE: &str = "close_position";
const NEVER_HEARD: &str = "the venue never heard of it";

/// What a look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// There is nothing to look for any more.
    Settled,
    /// The venue has none of this name, or not yet.
    Nothing,
    /// It could not be asked, or what it said could not be made use of.
    Unasked,
    SentAgain,
}

/// What every thread that looks outcomes up is given.
#[derive(Debug, Clone)]
pub struct Finders {
    pub threads: Threads,
    pub heartbeats: Heartbeats,
    pub desk: Arc<Desk>,
    pub token: StopToken,
}

impl Finders {
    /// Looks up what is unsettled at this seat, and at no other, from now on until the stop.
    ///
    /// # Errors
    /// When the system refuses the thread.
    pub fn spawn_for(&self, seat: &Arc<Seat>) -> io::Result<Task<()>> {
        let name = format!("lookups-{}", seat.account_name);
        let (desk, seat, token, beat) = (Arc::clone(&self.desk), Arc::clone(seat), self.token.clone(), self.heartbeats.register(&name));
        self.threads.spawn(&name, move || run(&desk, &seat, &token, &beat))
    }
}

/// The body of the thread of one seat.
fn run(desk: &Desk, seat: &Seat, token: &StopToken, beat: &Heartbeat) {
    let woken = desk.unsettled.listen();
    let mut lookups = Lookups::new(desk, seat);
    let mut read = None;
    while token.is_running() {
        beat.beat();
        let now = Instant::now();
        if read.is_none_or(|at| now.saturating_duration_since(at) >= READ_AGAIN) {
            read = lookups.refresh(now).is_ok().then_some(now);
        }
        lookups.look(token, now, || beat.beat());
        let wait = lookups.schedule.next().map_or(BEAT, |next| next.saturating_duration_since(Instant::now()).min(BEAT));
        select! {
            recv(woken) -> _ => read = None,
            recv(token.channel()) -> _ => return,
            default(wait) => {},
        }
    }
}

/// A change of the order `key`, in whose place `id` would stand.
struct Change<'a> {
    seat: &'a Seat,
    record: &'a CommandRecord,
    id: &'a ClientOrderId,
    key: &'a OrderKey,
}

struct Lookups<'a> {
    desk: &'a Desk,
    seat: &'a Seat,
    /// By the names of commands.
    schedule: Schedule,
}

impl<'a> Lookups<'a> {
    fn new(desk: &'a Desk, seat: &'a Seat) -> Lookups<'a> {
        Lookups { desk, seat, schedule: Schedule::new() }
    }

    fn refresh(&mut self, now: Instant) -> Result<(), JournalError> {
        let records = self.desk.ledger.journal().unsettled(&self.seat.of.account);
        let records = records.inspect_err(|error| log::error!("what is unsettled cannot be read: {error}"))?;
        let unsettled: Vec<(String, bool)> = records.into_iter().map(|record| (record.name, record.cancel_wanted)).collect();
        self.schedule.keep(&unsettled, now);
        Ok(())
    }

    /// A venue that does not answer is waited for with each of them, so `beat` is called with each.
    fn look(&mut self, token: &StopToken, now: Instant, beat: impl Fn()) {
        for name in self.schedule.due(now) {
            beat();
            if !token.is_running() {
                return;
            }
            let seen = self.look_at(&name, now);
            match seen {
                Seen::Settled => self.schedule.end(&name),
                Seen::SentAgain => self.schedule.begin_again(&name, now),
                Seen::Unasked => self.schedule.unasked(&name, now),
                Seen::Nothing => {}
            }
        }
    }

    fn look_at(&mut self, name: &str, now: Instant) -> Seen {
        let seat = self.seat;
        // A worker is at it: it is not unsettled, but under way.
        let Some(_claim) = self.desk.ledger.claims().take(&seat.of.account, name) else { return Seen::Unasked };
        let record = match self.desk.ledger.journal().command(&seat.of.account, name) {
            Ok(Some(record)) if record.state != CommandState::Answered => record,
            Ok(_) => return Seen::Settled,
            Err(_) => return Seen::Unasked,
        };
        let text = record.request.as_deref().unwrap_or(&record.body);
        let Ok(id) = record.name.parse::<ClientOrderId>() else { return Seen::Settled };
        match parse_command(text.as_bytes()).map(|command| command.wish) {
            Ok(Wish::Order(Command::Place(request))) => self.look_at_order(name, &Case { seat, record, request }, now),
            Ok(Wish::Order(Command::Modify { order, .. })) => self.look_at_change(name, &Change { seat, record: &record, id: &id, key: &order }, now),
            _ => {
                log::error!("what was sent as {id} cannot be read any more: {text}");
                Seen::Unasked
            }
        }
    }

    /// An order that the stream has told of has arrived, whatever is shown to who asks by its name.
    fn look_up(&self, seat: &Seat, record: &CommandRecord, id: &ClientOrderId) -> Result<Option<Order>, BrokerError> {
        let by_name = OrderKey::Client(id.clone());
        if let Some(order) = seat.broker.order(&by_name)? {
            return Ok(Some(order));
        }
        let unshown = |cause: &str| BrokerError::Unavailable { broker: seat.of.broker.to_string(), cause: cause.to_owned() };
        let told = self.desk.ledger.journal().order(&seat.of.account, &by_name).map_err(|error| unshown(&error.to_string()))?;
        let Some(told) = told.filter(|told| told.heard >= record.received).and_then(|told| told.id.parse().ok()) else { return Ok(None) };
        seat.broker.order(&OrderKey::Venue(told))?.ok_or_else(|| unshown("it has told of the order and does not show it")).map(Some)
    }

    fn look_at_order(&mut self, name: &str, case: &Case<'_>, now: Instant) -> Seen {
        let id = &case.request.client_order_id;
        let found = self.look_up(case.seat, &case.record, id);
        let seen = match &found {
            Ok(Some(order)) if is_same(&order.request, &case.request) => self.adopt(case, order),
            Ok(Some(_)) => {
                case.seat.guarded().gate.withdraw(id);
                settled(self.desk.settle_conflict(case))
            }
            Ok(None) if !self.schedule.missed(name, now) => Seen::Nothing,
            Ok(None) => self.absent(case),
            Err(_) => Seen::Unasked,
        };
        self.say_so(case, seen);
        seen
    }

    /// What a process before us was sending is unknown to its sender as well, once it is not found at once.
    fn say_so(&self, case: &Case<'_>, seen: Seen) {
        if case.record.state == CommandState::Submitting && matches!(seen, Seen::Nothing | Seen::Unasked) {
            let cause = "the broker ended while it was sending".to_owned();
            let _ = self.desk.settle_unknown(case, &BrokerError::OutcomeUnknown { broker: case.seat.of.broker.to_string(), cause });
        }
    }

    /// The venue has it. Whoever wanted it cancelled gets that first: what could not be asked for now is asked for later.
    fn adopt(&self, case: &Case<'_>, order: &Order) -> Seen {
        if case.record.cancel_wanted && !end(case.seat, order) {
            return Seen::Unasked;
        }
        let cancel_wanted = self.desk.settle_accepted(case, order, false, "found at the venue").map(|(_, wanted)| wanted);
        if cancel_wanted == Some(true) && !case.record.cancel_wanted && !end(case.seat, order) {
            log::error!("{} is not cancelled, as its sender asked", case.record.name);
        }
        settled(cancel_wanted)
    }

    /// It has not arrived. Where a name is taken once and never twice it is sent again, as long as it may be.
    fn absent(&self, case: &Case<'_>) -> Seen {
        let (desk, seat, record) = (self.desk, case.seat, &case.record);
        // Received in the future: the clock was set back since, and nobody knows how old it is.
        let now = (desk.clock)();
        let expired = record.expires.is_none_or(|at| at <= now) || record.received > later(now, CLOCK_SET);
        let reason = match () {
            () if record.cancel_wanted => format!("{NEVER_HEARD}, and it is wanted no more"),
            () if record.sent == 0 => NEVER_HEARD.to_owned(),
            () if !seat.broker.capabilities().unique_client_ids => format!("{NEVER_HEARD}; sent again it could be taken twice"),
            () if expired => format!("{NEVER_HEARD}, and it has expired since"),
            () if !seat.is_counted() || !(desk.may_send)() => return Seen::Nothing,
            () => match self.still_closes(case) {
                Ok(true) => return self.send_again(case),
                Ok(false) => format!("{NEVER_HEARD}, and the position is not any more what it was to close"),
                Err(_) => return Seen::Nothing,
            },
        };
        self.never_arrived(case, &reason)
    }

    /// What was to be taken back may have been sold otherwise since: sent again, it would open a position.
    fn still_closes(&self, case: &Case<'_>) -> Result<bool, BrokerError> {
        let request = &case.request;
        if case.record.action != CLOSE {
            return Ok(true);
        }
        let held = case.seat.broker.position(&request.symbol)?;
        Ok(quantity_held(held.as_ref()).is_some_and(|(side, held)| side == request.side && matches!(request.size, Size::Quantity(asked) if asked <= held)))
    }

    fn never_arrived(&self, case: &Case<'_>, reason: &str) -> Seen {
        case.seat.guarded().gate.withdraw(&case.request.client_order_id);
        let answer = Answer { reason: Some(reason.to_owned()), ..Answer::new(&case.record.action, Verdict::Rejected) };
        settled(self.desk.settle_refused(case, OrderChange::NeverArrived, answer, "http"))
    }

    fn send_again(&self, case: &Case<'_>) -> Seen {
        let (desk, seat) = (self.desk, case.seat);
        let _passing = seat.pass();
        let readmitted = seat.guarded().gate.readmit(case.request.clone());
        let approved = match readmitted {
            Ok(approved) => approved,
            Err(denial) => return self.never_arrived(case, &format!("{NEVER_HEARD}, and it is not sent again: {denial}")),
        };
        let case = &Case {
            seat,
            record: CommandRecord { state: CommandState::Unknown, sent: case.record.sent + 1, ..case.record.clone() },
            request: case.request.clone(),
        };
        // Whoever wants it cancelled may have said so since it was read.
        let kept = desk.ledger.journal().write(|step| {
            let now = step.command(&seat.of.account, &case.record.name)?;
            if now.is_none_or(|now| now.cancel_wanted) {
                return Ok::<_, JournalError>(false);
            }
            step.put_command(&seat.of.account, &case.record)?;
            step.note(&case.record.name, (desk.clock)(), "desk", "not found twice: sent again under the same name")?;
            Ok(true)
        });
        if !matches!(kept, Ok(true)) {
            return Seen::Nothing;
        }
        crash::point("C3-submitting");
        let sent = seat.broker.place(approved);
        crash::point("C4-sent");
        match sent {
            Ok(order) => settled(desk.stands(case, &order, false, "accepted")),
            Err(BrokerError::DuplicateClientId(_) | BrokerError::OutcomeUnknown { .. }) => Seen::SentAgain,
            Err(BrokerError::RateLimited { .. } | BrokerError::NotConnected { .. } | BrokerError::Unavailable { .. }) => Seen::Nothing,
            // It may be refused for what the first try, which has arrived since, has tied up.
            Err(_) if !matches!(seat.broker.order(&OrderKey::Client(case.request.client_order_id.clone())), Ok(None)) => Seen::SentAgain,
            Err(error) => {
                seat.guarded().gate.withdraw(&case.request.client_order_id);
                settled(desk.settle_refused(case, change_of(&error), Answer::failed(&case.record.action, &error), "http"))
            }
        }
    }

    fn look_at_change(&mut self, name: &str, change: &Change<'_>, now: Instant) -> Seen {
        let Change { seat, record, id, key } = *change;
        let seen = match self.look_up(seat, record, id) {
            Ok(Some(order)) if record.cancel_wanted && !end(seat, &order) => Seen::Unasked,
            Ok(Some(order)) => settled(self.desk.change_settled(seat, record, key, accepted(&record.action, &order), Some(&order))),
            Ok(None) if !self.schedule.missed(name, now) => Seen::Nothing,
            Ok(None) => self.unchanged(seat, record, key),
            Err(_) => Seen::Unasked,
        };
        if record.state == CommandState::Submitting && matches!(seen, Seen::Nothing | Seen::Unasked) {
            let cause = "the broker ended while it was sending".to_owned();
            let _ = self.desk.change_unknown(seat, record, key, &BrokerError::OutcomeUnknown { broker: seat.of.broker.to_string(), cause });
        }
        seen
    }

    fn is_told_replaced(&self, seat: &Seat, key: &OrderKey) -> bool {
        let told = self.desk.ledger.journal().order(&seat.of.account, key);
        told.is_ok_and(|told| told.is_some_and(|told| told.status == OrderStatus::Replaced))
    }

    /// A change is not sent again: by now the order may be another.
    fn unchanged(&self, seat: &Seat, record: &CommandRecord, key: &OrderKey) -> Seen {
        let rejected = |reason: String| Answer { reason: Some(reason), ..Answer::new(&record.action, Verdict::Rejected) };
        let mut left = None;
        let answer = match seat.broker.order(key) {
            Ok(Some(Order { replaced_by: Some(next), .. })) => match seat.broker.order(&OrderKey::Venue(next)) {
                Ok(Some(order)) if order.request.client_order_id.as_str() != record.name => {
                    rejected(format!("another change came first: {} stands in the place of the order", order.request.client_order_id))
                }
                _ => return Seen::Nothing,
            },
            // Something stands in its place: the venue shows it sooner or later.
            Ok(Some(old)) if matches!(old.status, OrderStatus::Replaced | OrderStatus::PendingReplace) || self.is_told_replaced(seat, key) => {
                return Seen::Nothing;
            }
            Ok(Some(old)) if record.cancel_wanted && !end(seat, &old) => return Seen::Nothing,
            Ok(Some(old)) => {
                seat.guarded().gate.withdraw_change(&old.request.client_order_id);
                rejected(format!("the change never arrived; the order is {}", left.insert(old).status))
            }
            Ok(None) => rejected("the change never arrived, and the venue has no such order".to_owned()),
            Err(_) => return Seen::Nothing,
        };
        settled(self.desk.change_settled(seat, record, key, answer, left.as_ref()))
    }
}

/// What could not be kept before the stop is looked up by the next process.
fn settled<T>(kept: Option<T>) -> Seen {
    if kept.is_some() { Seen::Settled } else { Seen::Unasked }
}

#[cfg(test)]
mod tests;
