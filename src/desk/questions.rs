//! Questions, and the comparison that somebody asks for by hand.
//!
//! What is asked of a whole account is answered by its broker, what is asked of one bot by the journal. Must not know how a
//! question came.

use std::sync::Arc;
use std::time::Instant;

use rust_decimal::Decimal;

use super::answer::{AccountView, Answer, DifferenceView, FillView, PositionView, ReconcileView, RepairView, Verdict};
use super::books;
use super::desk::{Desk, accepted, name_of, shown};
use super::reconcile::{Findings, Pass, PassError};
use super::seat::Seat;
use crate::contract::{Question, decimal_text};
use crate::exchanges::BrokerError;
use crate::model::{Symbol, Timestamp};

impl Desk {
    pub(super) fn answer(&self, action: &str, seat: &Seat, question: &Question, now: Timestamp) -> Result<Answer, BrokerError> {
        if books::is_about_a_part(question) {
            return Ok(self.answer_of_a_part(action, seat, question, now));
        }
        let broker = &*seat.broker;
        let plain = Answer::new(action, Verdict::Accepted);
        Ok(match question {
            Question::OpenOrders(_) => Answer { orders: Some(broker.open_orders()?.iter().filter_map(shown).collect()), ..plain },
            Question::Order(key) => {
                let order = broker.order(key)?.ok_or_else(|| BrokerError::UnknownOrder(name_of(key)))?;
                accepted(action, &order)
            }
            Question::Fills { since, limit, .. } => Answer { fills: Some(broker.fills(*since, *limit)?.iter().map(FillView::from).collect()), ..plain },
            Question::Positions(_) => Answer { positions: Some(broker.positions()?.iter().map(PositionView::from).collect()), ..plain },
            Question::Balance(_) => Answer { account: Some(AccountView::new(&broker.account()?, &broker.balances()?)), ..plain },
        })
    }

    /// Of one bot, or of what is external.
    fn answer_of_a_part(&self, action: &str, seat: &Seat, question: &Question, now: Timestamp) -> Answer {
        let mark = |symbol: &Symbol| {
            let sight = seat.sights.of(&seat.prices, symbol, (seat.session_of)(symbol, now));
            sight.last.or_else(|| Some((sight.bid? + sight.ask?) / Decimal::TWO))
        };
        match books::answer(action, self.ledger.journal(), &seat.of.account, question, mark) {
            Ok(answer) => answer.unwrap_or_else(|| Answer::denied(action, "this is asked of the whole account")),
            Err(error) => Answer { advice: Some("retry"), ..Answer::denied(action, error.to_string()) },
        }
    }

    /// Compares what we know of an account with what its venue holds; `dry_run` keeps and tells nothing.
    pub(super) fn reconcile(&self, action: &str, seat: &Arc<Seat>, dry_run: bool) -> Answer {
        let now = (self.clock)();
        let mut pass = Pass::new(Arc::clone(seat), Arc::clone(&self.ledger), now);
        match pass.run(true, dry_run, now, Instant::now()) {
            Ok(findings) => Answer { reconcile: Some(view(&findings, dry_run)), ..Answer::new(action, Verdict::Accepted) },
            Err(PassError::Broker(error)) => Answer::failed(action, &error),
            Err(PassError::Journal(error)) => Answer { advice: Some("retry"), ..Answer::denied(action, error.to_string()) },
        }
    }
}

fn view(findings: &Findings, dry_run: bool) -> ReconcileView {
    let repaired = findings.repaired.iter().map(|repair| RepairView {
        order_id: repair.order_id.clone(),
        client_order_id: repair.client_order_id.clone(),
        what: match repair.quantity {
            Some(quantity) => format!("{} of {}", repair.change, decimal_text(quantity)),
            None => repair.change.to_string(),
        },
    });
    let differ = findings.differ.iter().map(|differs| DifferenceView {
        symbol: differs.symbol.to_string(),
        ours: decimal_text(differs.ours),
        venues: decimal_text(differs.venues),
    });
    ReconcileView {
        checked: findings.checked,
        repaired: repaired.collect(),
        fills_found: findings.repaired.iter().filter(|repair| repair.quantity.is_some()).count(),
        positions_differ: differ.collect(),
        dry_run,
    }
}
