//! What can go wrong with a broker, whose fault it is, and what to do about it.
//!
//! Must not know HTTP or any venue's codes: those stand in the texts.

use std::time::Duration;

use crate::model::OrderStatus;

/// What the caller should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderAdvice {
    /// The same again, now or soon: nothing was done.
    Retry,
    /// The same again, not before that.
    RetryAfter(Duration),
    /// Connect first, then the same again.
    Reconnect,
    /// The same will fail again: ask for something else.
    FixRequest,
    /// It may have been done. Look the order up before anything else.
    LookUp,
    /// Nothing will help until somebody looks at it.
    Stop,
}

/// Why a broker did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// This broker cannot do that at all; nothing was sent.
    #[error("{broker} does not support {what}; nothing was sent")]
    Unsupported { broker: String, what: String },
    #[error("the venue refuses it: {reason}")]
    Rejected { code: Option<String>, reason: String },
    #[error("the client order id {0} was used before; every order needs a new one")]
    DuplicateClientId(String),
    #[error("no order {0} is known")]
    UnknownOrder(String),
    #[error("the order is {0} and cannot be changed any more")]
    NotOpen(OrderStatus),
    #[error("not connected to {broker}: {cause}")]
    NotConnected { broker: String, cause: String },
    #[error("the budget of requests is used up; wait {}", wait(*after))]
    RateLimited { after: Option<Duration> },
    #[error("{broker} failed before it took anything: {cause}")]
    Unavailable { broker: String, cause: String },
    /// Sent, and no answer came.
    #[error("nobody knows whether {broker} did it: {cause}; look the order up by its client order id")]
    OutcomeUnknown { broker: String, cause: String },
    #[error("the keys of {broker} are refused: {cause}; check them")]
    Unauthorised { broker: String, cause: String },
    #[error("the state of {broker} cannot be kept: {cause}; no order is taken until it can")]
    Storage { broker: String, cause: String },
}

fn wait(after: Option<Duration>) -> String {
    after.map_or_else(|| "a while".to_owned(), |after| format!("{after:?}"))
}

impl BrokerError {
    pub fn advice(&self) -> OrderAdvice {
        match self {
            BrokerError::Unsupported { .. } | BrokerError::Rejected { .. } | BrokerError::DuplicateClientId(_) => OrderAdvice::FixRequest,
            BrokerError::UnknownOrder(_) | BrokerError::NotOpen(_) => OrderAdvice::FixRequest,
            BrokerError::NotConnected { .. } => OrderAdvice::Reconnect,
            BrokerError::RateLimited { after } => after.map_or(OrderAdvice::Retry, OrderAdvice::RetryAfter),
            BrokerError::Unavailable { .. } => OrderAdvice::Retry,
            BrokerError::OutcomeUnknown { .. } => OrderAdvice::LookUp,
            BrokerError::Unauthorised { .. } | BrokerError::Storage { .. } => OrderAdvice::Stop,
        }
    }

    /// The name of the kind, for counters.
    pub fn kind(&self) -> &'static str {
        match self {
            BrokerError::Unsupported { .. } => "unsupported",
            BrokerError::Rejected { .. } => "rejected",
            BrokerError::DuplicateClientId(_) => "duplicate_client_id",
            BrokerError::UnknownOrder(_) => "unknown_order",
            BrokerError::NotOpen(_) => "not_open",
            BrokerError::NotConnected { .. } => "not_connected",
            BrokerError::RateLimited { .. } => "rate_limited",
            BrokerError::Unavailable { .. } => "unavailable",
            BrokerError::OutcomeUnknown { .. } => "outcome_unknown",
            BrokerError::Unauthorised { .. } => "unauthorised",
            BrokerError::Storage { .. } => "storage",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_is_looked_up_and_never_repeated() {
        let broker = || "paper".to_owned();
        let unknown = BrokerError::OutcomeUnknown { broker: broker(), cause: "timed out".to_owned() };
        assert_eq!(unknown.advice(), OrderAdvice::LookUp);
        assert_eq!(BrokerError::Unavailable { broker: broker(), cause: "503".to_owned() }.advice(), OrderAdvice::Retry);
        let limited = BrokerError::RateLimited { after: Some(Duration::from_secs(2)) };
        assert_eq!(
            (limited.advice(), limited.to_string()),
            (OrderAdvice::RetryAfter(Duration::from_secs(2)), "the budget of requests is used up; wait 2s".to_owned())
        );
    }
}
