//! Taking orders back: never too late, never checked, and done once more without harm.
//!
//! Must not know how orders are placed.

use super::answer::{Answer, CanceledView, Verdict};
use super::asked::Asked;
use super::desk::{Desk, accepted, client_id_of};
use super::seat::Seat;
use crate::contract::{Wish, parse_command};
use crate::events::{Command, OrderKey};
use crate::exchanges::BrokerError;
use crate::journal::{CommandRecord, CommandState};
use crate::model::{AccountId, ClientOrderId, OrderRequest, OrderStatus, Symbol};
use crate::runtime::crash;

const NOTED: &str = "nobody knows yet whether the venue has this order; it is cancelled as soon as it turns out to";

impl Desk {
    pub(super) fn cancel(&self, asked: &Asked<'_>, key: &OrderKey) -> Answer {
        let answer = self.known_here(asked, key).unwrap_or_else(|| cancel_there(asked, key).unwrap_or_else(|error| Answer::failed(asked.action, &error)));
        let answer = self.told(asked, Answer { client_order_id: client_id_of(key), ..answer }, "bot");
        crash::point("C5-answered");
        answer
    }

    /// What the journal alone can say to it.
    fn known_here(&self, asked: &Asked<'_>, key: &OrderKey) -> Option<Answer> {
        let OrderKey::Client(id) = key else { return None };
        match self.wish_for_end(asked, id) {
            Ok(Some(record)) if record.state != CommandState::Answered => {
                self.look_up();
                Some(Answer { reason: Some(NOTED.to_owned()), advice: Some("look_up"), ..Answer::new(asked.action, Verdict::Unknown) })
            }
            Ok(Some(record)) if record.action != "modify" => never_stood(&record).map(|status| Desk::never_stood_there(asked, key, &record, status)),
            Ok(_) => None,
            Err(error) => {
                log::error!("the journal does not say what became of {id}; its cancel goes to the venue: {error}");
                None
            }
        }
    }

    /// What was sent and is taken for refused may have arrived after all, or the name be that of another order: the
    /// venue is asked. What was never sent needs no question.
    fn never_stood_there(asked: &Asked<'_>, key: &OrderKey, record: &CommandRecord, status: OrderStatus) -> Answer {
        let unknown = match record.sent {
            0 => Err(BrokerError::NotOpen(status)),
            _ => cancel_there(asked, key),
        };
        unknown.unwrap_or_else(|error| match error {
            BrokerError::UnknownOrder(_) => Answer::failed(asked.action, &BrokerError::NotOpen(status)),
            error => Answer::failed(asked.action, &error),
        })
    }

    /// The record of that name, in which stands from now on that the order shall end, should it turn out to exist.
    fn wish_for_end(&self, asked: &Asked<'_>, id: &ClientOrderId) -> Result<Option<CommandRecord>, crate::journal::JournalError> {
        let account = &asked.seat.of.account;
        let known = self.ledger.journal().command(account, id.as_str())?;
        if known.as_ref().is_none_or(|record| record.state == CommandState::Answered) {
            return Ok(known);
        }
        self.ledger.journal().write(|step| {
            let record = step.command(account, id.as_str())?;
            if let Some(record) = record.as_ref().filter(|record| record.state != CommandState::Answered) {
                step.put_command(account, &CommandRecord { cancel_wanted: true, ..record.clone() })?;
            }
            Ok(record)
        })
    }

    /// What the venue has and nobody knows of yet is no order that it can be asked to end: it ends when it turns up.
    pub(super) fn wish_for_end_of_unknown(&self, seat: &Seat, concerned: impl Fn(&CommandRecord) -> bool) {
        let account = &seat.of.account;
        let wished = self.ledger.journal().unsettled(account).and_then(|unsettled| {
            let wanted = |record: &&CommandRecord| concerned(record);
            let names: Vec<&str> = unsettled.iter().filter(wanted).map(|record| record.name.as_str()).collect();
            if names.is_empty() {
                return Ok(());
            }
            self.ledger.journal().write(|step| {
                names.iter().try_for_each(|name| match step.command(account, name)?.filter(|record| record.state != CommandState::Answered) {
                    Some(record) => step.put_command(account, &CommandRecord { cancel_wanted: true, ..record }),
                    None => Ok(()),
                })
            })
        });
        match wished {
            Ok(()) => self.look_up(),
            Err(error) => log::error!("orders of which nobody knows yet may stay open: {error}"),
        }
    }

    /// Whether what was sent is an order of this symbol, or a change of one.
    fn is_about(&self, account: &AccountId, record: &CommandRecord, symbol: &Symbol) -> bool {
        let wish = record.request.as_deref().and_then(|text| parse_command(text.as_bytes()).ok()).map(|command| command.wish);
        match wish {
            Some(Wish::Order(Command::Place(request))) => request.symbol == *symbol,
            Some(Wish::Order(Command::Modify { order, .. })) => {
                let known = self.ledger.journal().order(account, &order);
                // Of an order that nobody has told of it is not known, and it is not left open on a guess.
                known.is_ok_and(|known| known.is_none_or(|known| known.symbol == symbol.as_str()))
            }
            _ => false,
        }
    }

    pub(super) fn cancel_all(&self, asked: &Asked<'_>, symbol: Option<&Symbol>) -> Answer {
        // Before the venue is asked: what turns up in between is cancelled twice, which harms nothing.
        let account = &asked.seat.of.account;
        self.wish_for_end_of_unknown(asked.seat, |record| symbol.is_none_or(|symbol| self.is_about(account, record, symbol)));
        let canceled = asked.seat.broker.cancel_all(symbol);
        crash::point("C4-sent");
        let answer = match canceled {
            Ok(outcomes) => Answer { canceled: Some(outcomes.iter().map(CanceledView::from).collect()), ..Answer::new(asked.action, Verdict::Accepted) },
            Err(error) => Answer::failed(asked.action, &error),
        };
        let answer = self.told(asked, answer, "bot");
        crash::point("C5-answered");
        answer
    }
}

/// The order that was sent, or was about to be.
pub(super) fn order_of(record: &CommandRecord) -> Option<OrderRequest> {
    match parse_command(record.request.as_deref()?.as_bytes()).ok()?.wish {
        Wish::Order(Command::Place(request)) => Some(request),
        _ => None,
    }
}

/// An order that was refused is known for it here.
fn never_stood(record: &CommandRecord) -> Option<OrderStatus> {
    let answer: serde_json::Value = serde_json::from_str(record.answer.as_deref()?).ok()?;
    match answer.get("result")?.as_str()? {
        "denied" => Some(OrderStatus::Denied),
        "rejected" => Some(OrderStatus::Rejected),
        _ => None,
    }
}

fn cancel_there(asked: &Asked<'_>, key: &OrderKey) -> Result<Answer, BrokerError> {
    let (action, broker) = (asked.action, &asked.seat.broker);
    let mut canceled = broker.cancel(key);
    crash::point("C4-sent");
    if matches!(canceled, Err(BrokerError::OutcomeUnknown { .. })) {
        // It may have ended by it, or by a fill; else the wish is repeated, which harms nothing.
        match broker.order(key) {
            Ok(Some(order)) if matches!(order.status, OrderStatus::Canceled | OrderStatus::PendingCancel) => return Ok(accepted(action, &order)),
            Ok(Some(order)) if !order.status.is_open() => {
                return Ok(Answer { order: accepted(action, &order).order, ..Answer::failed(action, &BrokerError::NotOpen(order.status)) });
            }
            _ => canceled = broker.cancel(key),
        }
    }
    canceled.map(|()| Answer::new(action, Verdict::Accepted))
}
