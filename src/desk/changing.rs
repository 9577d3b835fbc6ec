//! A change of an order on its way to the venue. The order that will stand in its place always has a name beforehand: by it
//! a change of which no answer came is looked up.
//!
//! Must not know how commands arrive, nor when an outcome is looked up.

#![expect(clippy::result_large_err, reason = "an answer is made once a command, beside a request to a venue")]

use std::time::Instant;

use super::answer::Answer;
use super::asked::{Asked, of_seat, since};
use super::desk::{Desk, accepted, client_id_of, name_of};
use super::keeping::{Settling, Told, conflict, settled_key, unknown};
use super::placing::{cannot_keep, end, not_ready, switched_off, unread};
use super::seat::Seat;
use crate::contract::write_modify;
use crate::events::OrderKey;
use crate::exchanges::BrokerError;
use crate::journal::{CommandRecord, CommandState};
use crate::model::{ClientOrderId, Modification, Order, OrderStatus};
use crate::runtime::crash;

const UNSETTLED: &str = "a change under this name was sent, and nobody knows yet what became of it; it is being looked up";
const NOT_YET: &str = "nobody knows yet whether the venue has this order; change it once that is told";

type Ended = Option<Answer>;

impl Desk {
    pub(super) fn modify_once(&self, asked: &Asked<'_>, key: &OrderKey, change: Modification) -> Option<Answer> {
        let body = write_modify(asked.to(), key, &change);
        let name = match &change.client_order_id {
            Some(given) => given.clone(),
            None => match self.name_for(asked, key) {
                Some(made) => made,
                None => return Some(self.told(asked, Answer::denied(asked.action, "no name could be made for the order that would stand there"), "desk")),
            },
        };
        let change = Modification { client_order_id: Some(name.clone()), ..change };
        let Some(_claim) = self.ledger.claims().take(&asked.seat.of.account, name.as_str()) else { return Some(asked.unknown(&name, UNSETTLED)) };
        let record = CommandRecord {
            name: name.to_string(),
            action: asked.action.to_owned(),
            body,
            entry: asked.entry.to_owned(),
            state: CommandState::Submitting,
            request: Some(write_modify(asked.to(), key, &change)),
            answer: None,
            received: asked.now,
            expires: Some(asked.expires(Asked::change_for())),
            sent: 1,
            cancel_wanted: false,
        };
        self.modify(asked, key, change, &name, record).unwrap_or_else(|ended| ended)
    }

    /// The same for the same entry, however often it comes.
    pub(super) fn name_for(&self, asked: &Asked<'_>, key: &OrderKey) -> Option<ClientOrderId> {
        let known = self.ledger.journal().order(&asked.seat.of.account, key).ok().flatten().and_then(|known| known.bot);
        let named = || if let OrderKey::Client(id) = key { id.bot().filter(|_| !id.is_uuid()).map(str::to_owned) } else { None };
        let unique: String = asked.entry.bytes().filter(u8::is_ascii_alphanumeric).take(18).map(char::from).collect();
        let name = known.or_else(named).map_or_else(|| format!("m{unique}"), |bot| format!("{bot}-m{unique}"));
        ClientOrderId::of_bot(&name).ok()
    }

    fn modify(&self, asked: &Asked<'_>, key: &OrderKey, change: Modification, name: &ClientOrderId, record: CommandRecord) -> Result<Ended, Ended> {
        let (action, seat) = (asked.action, asked.seat);
        let no = |answer: Answer, source: &'static str| Some(self.deny_change(asked, key, &record, answer, source));
        let failed = |error: &BrokerError| no(Answer::failed(action, error), "http");
        let kept = self.ledger.journal().command(&seat.of.account, name.as_str());
        let unheard = matches!(kept, Ok(None));
        match kept.map_err(|error| Some(asked.about(name, cannot_keep(action, &error))))? {
            None if asked.again => {
                let found = seat.broker.order(&OrderKey::Client(name.clone())).map_err(|error| no(unread(action, &error), "http"))?;
                if let Some(order) = found {
                    return Ok(self.change_stands(seat, &record, key, &order));
                }
            }
            Some(before) if before.body != record.body => return Err(Some(self.told(asked, conflict(action, name), "desk"))),
            Some(before) if before.state != CommandState::Answered => return Err(Some(asked.unknown(name, UNSETTLED))),
            Some(before) => {
                if let Some(answer) = before.answer.as_deref().and_then(|json| Answer::repeated(action, json)) {
                    return Err(Some(asked.complete(Answer { client_order_id: client_id_of(key), ..answer })));
                }
            }
            None => {}
        }
        if let Some(late) = asked.too_late(Asked::change_for(), asked.now) {
            return Err(no(late, "desk"));
        }
        let order = seat.broker.order(key).map_err(|error| no(unread(action, &error), "http"))?;
        let order = match order {
            Some(order) => order,
            None if self.is_unsettled(asked, key) => return Err(no(Answer { advice: Some("retry"), ..Answer::denied(action, NOT_YET) }, "desk")),
            None => return Err(failed(&BrokerError::UnknownOrder(name_of(key)))),
        };
        if unheard && order.status == OrderStatus::Replaced {
            // By this very change, should another journal have known of it.
            let found = seat.broker.order(&OrderKey::Client(name.clone())).map_err(|error| no(unread(action, &error), "http"))?;
            if let Some(next) = found.filter(|next| next.replaces.as_ref() == Some(&order.id)) {
                return Ok(self.change_stands(seat, &record, key, &next));
            }
        }
        if !seat.broker.capabilities().modify {
            return Err(failed(&BrokerError::Unsupported { broker: seat.of.broker.to_string(), what: "changes of orders".to_owned() }));
        }
        if !seat.takes_orders {
            return Err(no(switched_off(action), "desk"));
        }
        let left = since((self.clock)(), asked.expires(Asked::change_for()));
        if !seat.wait_until_counted(Instant::now() + left, &self.token) {
            return Err(no(not_ready(action), "desk"));
        }
        let sight = self.sight(seat, &order.request.symbol, asked.now);
        let worth = seat.worth().map_err(|error| no(unread(action, &error), "http"))?;
        let passing = seat.pass();
        let checked = seat.check_change(&order, change, &sight, &worth, (self.clock)());
        let approved = checked.map_err(|denial| no(Answer::denied_by(action, &denial), "risk"))?;
        let ticket = approved.ticket();
        if let Err(answer) = self.submit_change(asked, key, &record) {
            seat.guarded().gate.take_back(&ticket);
            return Err(no(answer, "desk"));
        }
        crash::point("C3-submitting");
        let modified = seat.broker.modify(key, approved);
        crash::point("C4-sent");
        drop(passing);
        Ok(match modified {
            Ok(order) => self.change_stands(seat, &record, key, &order),
            Err(error @ BrokerError::OutcomeUnknown { .. }) => self.change_unknown(seat, &record, key, &error),
            Err(error) => {
                seat.guarded().gate.take_back(&ticket);
                self.settle_change(seat, &record, key, Answer::failed(action, &error), record.entry.clone()).map(|(answer, _)| answer)
            }
        })
    }

    /// Whether the order may be on its way yet.
    fn is_unsettled(&self, asked: &Asked<'_>, key: &OrderKey) -> bool {
        let OrderKey::Client(id) = key else { return false };
        let known = self.ledger.journal().command(&asked.seat.of.account, id.as_str());
        known.is_ok_and(|known| known.is_some_and(|known| known.state != CommandState::Answered))
    }

    fn submit_change(&self, asked: &Asked<'_>, key: &OrderKey, record: &CommandRecord) -> Result<(), Answer> {
        if let Some(late) = asked.too_late(Asked::change_for(), (self.clock)()) {
            return Err(late);
        }
        if !(self.may_send)() {
            return Err(Answer { advice: Some("retry"), ..Answer::denied(asked.action, "another broker may hold the lease") });
        }
        let kept = self.try_keep(|step| {
            step.put_command(&asked.seat.of.account, record)?;
            let text = format!("{} (entry {}) {}", asked.action, asked.entry, record.body);
            let of = client_id_of(key);
            [Some(record.name.as_str()), of.as_deref()].into_iter().flatten().try_for_each(|name| step.note(name, asked.now, "bot", &text))
        });
        kept.map_err(|error| cannot_keep(asked.action, &error))
    }

    /// Refused by us, or for what was read, before anything was sent.
    fn deny_change(&self, asked: &Asked<'_>, key: &OrderKey, record: &CommandRecord, answer: Answer, source: &'static str) -> Answer {
        let answer = asked.complete(Answer { client_order_id: client_id_of(key), ..answer });
        if !answer.is_final() {
            return self.told(asked, answer, source);
        }
        let record = CommandRecord { state: CommandState::Answered, sent: 0, ..record.clone() };
        let notes = [(source, answer.reason.clone().unwrap_or_default())];
        let settling = Settling { seat: asked.seat, record: &record, answer: &answer, told: Told::Reply(asked.entry.to_owned()), notes: &notes };
        if let Err(error) = self.try_keep(|step| self.settle_in(step, &settling).map(drop)) {
            log::error!("the denial of the change {} is not kept: {error}", record.name);
        }
        answer
    }

    /// The venue has it. Whoever has asked for the end of what would stand there gets that first.
    fn change_stands(&self, seat: &Seat, record: &CommandRecord, key: &OrderKey, order: &Order) -> Ended {
        let kept = self.ledger.journal().command(&seat.of.account, &record.name);
        let was_wanted = kept.is_ok_and(|kept| kept.is_some_and(|kept| kept.cancel_wanted));
        if was_wanted && !end(seat, order) {
            let cause = "it has the order, which is to be cancelled and could not be yet".to_owned();
            return self.change_unknown(seat, record, key, &BrokerError::OutcomeUnknown { broker: seat.of.broker.to_string(), cause });
        }
        let (answer, cancel_wanted) = self.settle_change(seat, record, key, accepted(&record.action, order), record.entry.clone())?;
        if cancel_wanted && !was_wanted {
            end_what_is_left(seat, order);
        }
        Some(answer)
    }

    /// The end of a change, and whether somebody wants that of its order; `told_as` is by which its answer is known again on
    /// the stream.
    fn settle_change(&self, seat: &Seat, record: &CommandRecord, key: &OrderKey, answer: Answer, told_as: String) -> Option<(Answer, bool)> {
        let answer = of_seat(seat, Answer { client_order_id: client_id_of(key), ..answer });
        let record = CommandRecord { state: CommandState::Answered, ..record.clone() };
        let notes = [("http", answer.reason.clone().unwrap_or_else(|| "changed".to_owned()))];
        let cancel_wanted = self.settle(&Settling { seat, record: &record, answer: &answer, told: Told::Reply(told_as), notes: &notes })?;
        Some((answer, cancel_wanted))
    }

    pub(super) fn change_unknown(&self, seat: &Seat, record: &CommandRecord, key: &OrderKey, error: &BrokerError) -> Ended {
        let answer = of_seat(seat, Answer { client_order_id: client_id_of(key), ..unknown(&record.action, error) });
        let record = CommandRecord { state: CommandState::Unknown, ..record.clone() };
        let notes = [("http", error.to_string())];
        let told = Told::Reply(record.entry.clone());
        self.settle(&Settling { seat, record: &record, answer: &answer, told, notes: &notes })?;
        self.look_up();
        Some(answer)
    }

    /// What a look-up has found out about a change. `left` is the order that it leaves, which goes too when somebody has asked
    /// for the end while it was looked up.
    pub(super) fn change_settled(&self, seat: &Seat, record: &CommandRecord, key: &OrderKey, answer: Answer, left: Option<&Order>) -> Option<()> {
        let (_, cancel_wanted) = self.settle_change(seat, record, key, answer, settled_key(&record.entry))?;
        if let Some(left) = left.filter(|_| cancel_wanted && !record.cancel_wanted) {
            end_what_is_left(seat, left);
        }
        Some(())
    }
}

/// What was asked for while the outcome was kept: nobody looks for it any more.
fn end_what_is_left(seat: &Seat, order: &Order) {
    if !end(seat, order) {
        log::error!("{} is not cancelled, as its sender asked", order.request.client_order_id);
    }
}
