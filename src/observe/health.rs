//! One number for how well we serve, and the reasons it is not 1.
//!
//! Pure: facts in, verdict out. Silence is no fault here: a market can be closed.

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::{ServiceState, StreamState};

/// How long a stream may take to come (back) before it counts as down.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a stream that is on its way is worth.
const ON_ITS_WAY: f64 = 0.5;
/// What is left of the score while something is being dropped, or while memory runs short.
const UNDER_PRESSURE: f64 = 0.9;
const MEMORY_IS_SHORT: f64 = 0.9;

#[derive(Debug, Clone)]
pub struct StreamFact {
    pub name: Arc<str>,
    pub state: StreamState,
    /// How long it has been in that state.
    pub for_: Duration,
    /// Somebody registered what it carries.
    pub wanted: bool,
}

/// What is known at one moment.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub streams: Vec<StreamFact>,
    /// Each of our Redis connections, by what it is for.
    pub redis: Vec<(Arc<str>, bool)>,
    /// What was lost since the last look, such as `log lines`.
    pub dropped: Vec<(Arc<str>, u64)>,
    /// Bytes in use and the limit, if there is one.
    pub memory: Option<(u64, u64)>,
}

/// The verdict: 1 is well, 0 serves nobody.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    pub score: f64,
    /// `Running` or `Degraded`; starting and stopping are the supervisor's to know.
    pub state: ServiceState,
    pub reasons: Vec<String>,
}

pub fn assess(facts: &Facts) -> Health {
    let mut reasons = Vec::new();
    let wanted: Vec<&StreamFact> = facts.streams.iter().filter(|stream| stream.wanted).collect();
    let streams = share(wanted.iter().map(|stream| worth(stream)));
    reasons.extend(wanted.iter().filter(|stream| !stream.state.is_live()).map(|stream| stream_reason(stream)));
    let redis = share(facts.redis.iter().map(|(_, up)| if *up { 1.0 } else { 0.0 }));
    reasons.extend(facts.redis.iter().filter(|(_, up)| !up).map(|(name, _)| format!("redis {name}: not connected")));
    let state = if reasons.is_empty() { ServiceState::Running } else { ServiceState::Degraded };

    let mut score = streams * redis;
    let dropped: Vec<String> = facts.dropped.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what} dropped")).collect();
    if !dropped.is_empty() {
        score *= UNDER_PRESSURE;
        reasons.extend(dropped);
    }
    if let Some((used, limit)) = facts.memory
        && used as f64 > limit as f64 * MEMORY_IS_SHORT
    {
        score *= UNDER_PRESSURE;
        reasons.push(format!("memory: {} of {} MiB used", used >> 20, limit >> 20));
    }
    Health { score, state, reasons }
}

/// The mean; with nothing to judge all is well.
fn share(worths: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = worths.fold((0u32, 0.0), |(count, sum), worth| (count + 1, sum + worth));
    if count == 0 { 1.0 } else { sum / f64::from(count) }
}

fn worth(stream: &StreamFact) -> f64 {
    match stream.state {
        state if state.is_live() => 1.0,
        StreamState::Refused | StreamState::Stopped => 0.0,
        _ if stream.for_ < PATIENCE => ON_ITS_WAY,
        _ => 0.0,
    }
}

fn stream_reason(stream: &StreamFact) -> String {
    let state = match stream.state {
        StreamState::Refused => "refused by the exchange",
        StreamState::BackingOff => "waiting to try again",
        StreamState::Idle => "not started yet",
        state => state.as_str(),
    };
    format!("{}: {state} for {} s", stream.name, stream.for_.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(state: StreamState, seconds: u64, wanted: bool) -> StreamFact {
        StreamFact { name: "alp-data".into(), state, for_: Duration::from_secs(seconds), wanted }
    }

    fn facts(streams: Vec<StreamFact>) -> Facts {
        Facts { streams, redis: vec![("prices".into(), true), ("orders".into(), true)], ..Facts::default() }
    }

    #[test]
    fn all_is_well_when_what_is_wanted_streams() {
        let health = assess(&facts(vec![stream(StreamState::Streaming, 1, true), stream(StreamState::Idle, 9_999, false)]));
        assert_eq!(health, Health { score: 1.0, state: ServiceState::Running, reasons: vec![] });
        assert_eq!(assess(&Facts::default()).score, 1.0);
    }

    #[test]
    fn a_stream_on_its_way_counts_half_and_later_not_at_all() {
        let health = assess(&facts(vec![stream(StreamState::BackingOff, 41, true)]));
        assert_eq!((health.score, health.state), (0.5, ServiceState::Degraded));
        assert_eq!(health.reasons, ["alp-data: waiting to try again for 41 s"]);
        assert_eq!(assess(&facts(vec![stream(StreamState::Connecting, 61, true)])).score, 0.0);
        let health = assess(&facts(vec![stream(StreamState::Refused, 0, true), stream(StreamState::Streaming, 9, true)]));
        assert_eq!((health.score, health.reasons.len()), (0.5, 1));
    }

    #[test]
    fn without_redis_nobody_is_served() {
        let mut all = facts(vec![stream(StreamState::Streaming, 1, true)]);
        all.redis[1].1 = false;
        assert_eq!((assess(&all).score, assess(&all).state), (0.5, ServiceState::Degraded));
        all.redis[0].1 = false;
        assert_eq!(assess(&all).score, 0.0);
        assert_eq!(assess(&all).reasons, ["redis prices: not connected", "redis orders: not connected"]);
    }

    #[test]
    fn pressure_lowers_the_score_and_degrades_nothing() {
        let mut all = facts(vec![stream(StreamState::Streaming, 1, true)]);
        all.dropped = vec![("log lines".into(), 12), ("bars".into(), 0)];
        all.memory = Some((95 << 20, 100 << 20));
        let health = assess(&all);
        assert!(health.score < 0.9 && health.score > 0.8 && health.state == ServiceState::Running);
        assert_eq!(health.reasons, ["12 log lines dropped", "memory: 95 of 100 MiB used"]);
    }
}
