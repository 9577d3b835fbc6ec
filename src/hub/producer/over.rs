//! Why a connection is over, and what that means for the next one.
//!
//! Must not know sessions.

use std::time::Duration;

use tungstenite::Error;

use crate::exchanges::{Advice, SessionEnd};
use crate::net::OpenError;

/// Why a connection is over.
pub(super) enum Over {
    Stopped,
    Ended(SessionEnd),
}

impl Over {
    pub fn reconnect(cause: impl Into<String>) -> Over {
        Over::Ended(SessionEnd { cause: cause.into(), advice: Advice::Reconnect })
    }
}

/// The venue was not reached, or did not want us.
pub(super) fn open_failure(error: OpenError) -> Over {
    let patient = |first, cap| Advice::ReconnectPatiently { first: Duration::from_secs(first), cap: Duration::from_secs(cap) };
    let advice = match &error {
        OpenError::Stopped => return Over::Stopped,
        OpenError::Refused { status: 401 | 403, .. } => Advice::Refuse,
        OpenError::Refused { status: 429, retry_after } => {
            let first = retry_after.unwrap_or(Duration::from_secs(10));
            Advice::ReconnectPatiently { first, cap: Duration::from_secs(120).max(first) }
        }
        OpenError::Refused { status: 300..=399, .. } => patient(60, 600),
        _ => Advice::Reconnect,
    };
    let cause = match &error {
        OpenError::Refused { status: 401 | 403, .. } => format!("{error}; check the keys and what they may do"),
        OpenError::Refused { status: 300..=399, .. } => format!("{error}, a redirect, which is not followed; check the address"),
        _ => error.to_string(),
    };
    Over::Ended(SessionEnd { cause, advice })
}

/// Words for a read that ended the connection.
pub(super) fn read_failure(error: &Error) -> String {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => "the venue closed the connection".to_owned(),
        Error::Capacity(_) => format!("a message beyond the limit: {error}"),
        Error::Protocol(_) | Error::Utf8(_) => format!("not a proper WebSocket message: {error}"),
        other => format!("the connection broke: {other}"),
    }
}
