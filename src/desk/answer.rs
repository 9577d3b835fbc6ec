//! What the desk answers on `reply_to`: one message a command.
//!
//! Must not know how an answer travels.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use crate::contract::Verdict;
use crate::contract::decimal_text;
use crate::exchanges::{BrokerError, CancelOutcome, OrderAdvice};
use crate::journal::Execution;
use crate::model::{AccountInfo, Balance, Fill, Position};
use crate::risk::Denial;

/// The answer to one command.
#[derive(Debug, Serialize)]
pub struct Answer {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub action: String,
    pub result: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The rule that denied it, and where its limit is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_key: Option<&'static str>,
    /// `retry`, `retry_after`, `reconnect`, `fix_request`, `look_up` or `stop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The order that it is about, as its venue keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canceled: Option<Vec<CanceledView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fills: Option<Vec<FillView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Vec<PositionView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountView>,
    /// What one part of the account has earned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profit: Option<ProfitView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<ReconcileView>,
    /// This entry, or an order of this name, was answered before: in these words.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Said before, in these words, which take the place of all the rest.
    #[serde(skip)]
    pub said_before: Option<String>,
}

/// What is read of an answer that was kept.
#[derive(Deserialize)]
struct Kept {
    result: Verdict,
    advice: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct CanceledView {
    order_id: String,
    client_order_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct FillView {
    execution_id: String,
    order_id: String,
    client_order_id: String,
    symbol: String,
    side: &'static str,
    price: String,
    qty: String,
    fees: String,
    position_qty: String,
    timestamp: String,
}

#[derive(Debug, Serialize)]
pub struct PositionView {
    symbol: String,
    qty: String,
    avg_entry_price: Option<String>,
    cost_basis: String,
    market_value: String,
    current_price: Option<String>,
    unrealized_pl: String,
    realized_pl: String,
}

#[derive(Debug, Serialize)]
pub struct AccountView {
    id: String,
    currency: String,
    cash: String,
    equity: String,
    buying_power: String,
    long_market_value: String,
    short_market_value: String,
    realized_pl: String,
    unrealized_pl: String,
    fees: String,
    equity_at_open: String,
    balances: Vec<BalanceView>,
}

#[derive(Debug, Serialize)]
struct BalanceView {
    currency: String,
    total: String,
    available: String,
}

/// What a bot, or nobody of ours, has earned on an account.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ProfitView {
    /// Absent for what is external.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<String>,
    pub realized_pl: String,
    pub unrealized_pl: String,
    pub fees: String,
    pub market_value: String,
}

/// What a comparison with the venue has shown.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReconcileView {
    /// Orders that were compared.
    pub checked: usize,
    /// What was put right, or would be without `dry_run`.
    pub repaired: Vec<RepairView>,
    /// Executions that nobody had told us.
    pub fills_found: usize,
    pub positions_differ: Vec<DifferenceView>,
    pub dry_run: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct RepairView {
    pub order_id: String,
    pub client_order_id: String,
    pub what: String,
}

/// A position that the venue holds otherwise than we have counted.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct DifferenceView {
    pub symbol: String,
    pub ours: String,
    pub venues: String,
}

impl Answer {
    pub fn new(action: &str, result: Verdict) -> Answer {
        Answer {
            kind: "order_reply",
            action: action.to_owned(),
            result,
            broker: None,
            account_id: None,
            client_order_id: None,
            reason: None,
            rule: None,
            config_key: None,
            advice: None,
            retry_after_ms: None,
            order: None,
            orders: None,
            canceled: None,
            fills: None,
            positions: None,
            account: None,
            profit: None,
            reconcile: None,
            repeated: false,
            said_before: None,
        }
    }

    /// An answer that was kept, once more. `None` when nothing was decided by it: what it refused may be asked again
    /// under the same name.
    pub fn repeated(action: &str, json: &str) -> Option<Answer> {
        let kept: Kept = serde_json::from_str(json).ok()?;
        Answer::said(action, json).filter(|_| is_decided(kept.result, kept.advice.as_deref()))
    }

    /// The same, whatever was decided: what one entry was answered it is answered again.
    pub fn said(action: &str, json: &str) -> Option<Answer> {
        let kept: Kept = serde_json::from_str(json).ok()?;
        let bare = json.strip_suffix(r#","repeated":true}"#).or_else(|| json.strip_suffix('}'))?;
        let text = format!(r#"{bare},"repeated":true}}"#);
        Some(Answer { repeated: true, said_before: Some(text), ..Answer::new(action, kept.result) })
    }

    /// Whether this is the end of the matter. A denial that time alone may change leaves the name free.
    pub fn is_final(&self) -> bool {
        is_decided(self.result, self.advice)
    }

    /// Refused by us.
    pub fn denied(action: &str, reason: impl Into<String>) -> Answer {
        Answer { reason: Some(reason.into()), ..Answer::new(action, Verdict::Denied) }
    }

    /// Refused by the risk check.
    pub fn denied_by(action: &str, denial: &Denial) -> Answer {
        Answer {
            rule: Some(denial.rule.as_str().to_owned()),
            config_key: Some(denial.config_key).filter(|key| !key.is_empty()),
            ..Answer::denied(action, denial.to_string())
        }
    }

    /// What a broker's error means for the sender.
    pub fn failed(action: &str, error: &BrokerError) -> Answer {
        let result = match error {
            BrokerError::OutcomeUnknown { .. } => Verdict::Unknown,
            BrokerError::Rejected { .. } | BrokerError::UnknownOrder(_) | BrokerError::NotOpen(_) | BrokerError::Unauthorised { .. } => Verdict::Rejected,
            BrokerError::Unsupported { .. } | BrokerError::DuplicateClientId(_) | BrokerError::NotConnected { .. } => Verdict::Denied,
            BrokerError::RateLimited { .. } | BrokerError::Unavailable { .. } | BrokerError::Storage { .. } => Verdict::Denied,
        };
        let (advice, after) = match error.advice() {
            OrderAdvice::Retry => ("retry", None),
            OrderAdvice::RetryAfter(after) => ("retry_after", u64::try_from(after.as_millis()).ok()),
            OrderAdvice::Reconnect => ("reconnect", None),
            OrderAdvice::FixRequest => ("fix_request", None),
            OrderAdvice::LookUp => ("look_up", None),
            OrderAdvice::Stop => ("stop", None),
        };
        Answer { reason: Some(error.to_string()), advice: Some(advice), retry_after_ms: after, ..Answer::new(action, result) }
    }

    pub fn to_json(&self) -> String {
        if let Some(said) = &self.said_before {
            return said.clone();
        }
        // A struct of texts always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The one place that says which denials are final.
fn is_decided(result: Verdict, advice: Option<&str>) -> bool {
    match result {
        Verdict::Accepted | Verdict::Rejected => true,
        Verdict::Denied => !matches!(advice, Some("retry" | "retry_after" | "reconnect" | "stop")),
        Verdict::Unknown => false,
    }
}

impl From<&CancelOutcome> for CanceledView {
    fn from(outcome: &CancelOutcome) -> CanceledView {
        CanceledView {
            order_id: outcome.order.to_string(),
            client_order_id: outcome.client_order_id.to_string(),
            reason: outcome.result.as_ref().err().map(ToString::to_string),
        }
    }
}

impl From<&Fill> for FillView {
    fn from(fill: &Fill) -> FillView {
        FillView {
            execution_id: fill.execution_id.to_string(),
            order_id: fill.order_id.to_string(),
            client_order_id: fill.client_order_id.to_string(),
            symbol: fill.symbol.to_string(),
            side: fill.side.as_str(),
            price: decimal_text(fill.price),
            qty: decimal_text(fill.quantity),
            fees: decimal_text(fill.fees),
            position_qty: decimal_text(fill.position),
            timestamp: fill.at.to_string(),
        }
    }
}

impl From<&Execution> for FillView {
    fn from(done: &Execution) -> FillView {
        FillView {
            execution_id: done.execution_id.clone(),
            order_id: done.order_id.clone(),
            client_order_id: done.client_order_id.clone(),
            symbol: done.symbol.to_string(),
            side: done.side.as_str(),
            price: decimal_text(done.price),
            qty: decimal_text(done.quantity),
            fees: decimal_text(done.fees),
            position_qty: decimal_text(done.position),
            timestamp: done.at.to_string(),
        }
    }
}

impl From<&Position> for PositionView {
    fn from(position: &Position) -> PositionView {
        PositionView {
            symbol: position.symbol.to_string(),
            qty: decimal_text(position.quantity),
            avg_entry_price: position.average_price().map(decimal_text),
            cost_basis: decimal_text(position.cost),
            market_value: decimal_text(position.market_value()),
            current_price: position.mark.map(decimal_text),
            unrealized_pl: decimal_text(position.unrealised()),
            realized_pl: decimal_text(position.realised),
        }
    }
}

impl AccountView {
    pub fn new(account: &AccountInfo, balances: &[Balance]) -> AccountView {
        let balance = |b: &Balance| BalanceView { currency: b.currency.clone(), total: decimal_text(b.total), available: decimal_text(b.available) };
        AccountView {
            id: account.id.to_string(),
            currency: account.currency.clone(),
            cash: decimal_text(account.cash),
            equity: decimal_text(account.equity),
            buying_power: decimal_text(account.buying_power),
            long_market_value: decimal_text(account.long_value),
            short_market_value: decimal_text(account.short_value),
            realized_pl: decimal_text(account.realised),
            unrealized_pl: decimal_text(account.unrealised),
            fees: decimal_text(account.fees),
            equity_at_open: decimal_text(account.equity_at_open),
            balances: balances.iter().map(balance).collect(),
        }
    }
}
