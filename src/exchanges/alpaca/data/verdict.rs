//! The venue's error numbers and what each means for a session.

use std::time::Duration;

use super::refusal::Refusal;
use crate::exchanges::{Advice, SessionEnd};

/// A connection of ours that died without a close holds its place at the venue for about 90 seconds.
const PATIENTLY: Advice = Advice::ReconnectPatiently { first: Duration::from_secs(5), cap: Duration::from_secs(60) };

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    End(SessionEnd),
    /// The answer to a subscription.
    Refused(Refusal),
    NotAuthenticated,
    AlreadyAuthenticated,
}

/// What an error means; `said` is the venue's number and word, safe to log.
pub(super) fn verdict(code: i64, said: &str) -> Verdict {
    let end = |advice, cause: &str| Verdict::End(SessionEnd { cause: format!("{cause} ({said})"), advice });
    match code {
        401 => Verdict::NotAuthenticated,
        402 => end(Advice::Refuse, "Alpaca refuses the keys; set the right key id and secret for this environment and restart"),
        403 => Verdict::AlreadyAuthenticated,
        404 => end(Advice::Reconnect, "Alpaca did not see our keys in time; this machine or the network is slow"),
        405 => Verdict::Refused(Refusal::Limit),
        406 => end(
            PATIENTLY,
            "Alpaca counts too many connections: another program may use these keys, or our last connection lingers there for about 90 s; \
             trying again slowly",
        ),
        407 => end(Advice::Reconnect, "Alpaca closed the stream because we read too slowly; this machine is overloaded or too many symbols are wanted"),
        408 | 409 => end(Advice::Refuse, "the Alpaca plan does not include this market data feed; choose another feed or raise the plan"),
        410 => Verdict::Refused(Refusal::Channel),
        411 => end(Advice::Refuse, "the Alpaca keys lack the right to market data; use keys with that scope"),
        412 => end(Advice::Refuse, "this market data feed speaks MessagePack only; set the codec to msgpack"),
        413 => Verdict::Refused(Refusal::Wildcard),
        500 => end(Advice::Reconnect, "an error inside Alpaca"),
        _ => Verdict::Refused(Refusal::Invalid),
    }
}
