//! Server-sent events: what happened to orders, from the past on, and then as it happens.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::hub::Watcher;
use super::outbox::{Out, Outbox, Signal};
use super::tape::Direction;
use super::wire;
use crate::model::Timestamp;
use crate::net::{Interest, Transport, wait_ready};
use crate::runtime::{Stop, StopToken};
use crate::sim::clock::SimClock;
use crate::sim::config::SimKey;
use crate::sim::events_log::{EventKind, EventLog, Mark, Ulid};
use crate::sim::http::Head;
use crate::sim::rest::Response;

const TRADES: &str = "/v2/events/trades";
const ACTIVITIES: &str = "/v2beta1/events/activities";
/// A comment at least so often, so that both sides know that the other lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
const HEARTBEAT_TEXT: &[u8] = b": heartbeat\n\n";
const STEP: Duration = Duration::from_secs(10);
const BATCH: usize = 256 * 1024;

/// What one client wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    path: &'static str,
    kind: EventKind,
    account: String,
    start: Option<Mark>,
    end: Option<Mark>,
}

impl Reader {
    /// `None` when the request is for something else.
    pub(super) fn requested(head: &Head, key: &SimKey) -> Option<Result<Reader, Response>> {
        let (path, kind) = match (head.method.as_str(), head.path.as_str()) {
            ("GET", TRADES) => (TRADES, EventKind::Trades),
            ("GET", ACTIVITIES) => (ACTIVITIES, EventKind::Activities),
            _ => return None,
        };
        let marks = marks(&head.query).map_err(refuse);
        Some(marks.map(|(start, end)| Reader { path, kind, account: key.account_id.clone(), start, end }))
    }

    /// What a reader is told who would begin where nothing is kept any more: he has to learn what he missed in another way.
    pub(super) fn gap(&self, log: &EventLog) -> Option<Response> {
        let Some(Mark::Id(id)) = self.start else { return None };
        let message = "since_id is older than the events that are kept: some were missed; ask for the orders, and resume without it or with since";
        log.has_forgotten_after(&self.account, self.kind, id).then(|| answer(410, message))
    }

    /// Until when a reader waits that wants nothing after a time.
    fn patience(&self, clock: &SimClock) -> Option<Duration> {
        match self.end {
            Some(Mark::Time(end)) => Some(clock.wait_until(end, Instant::now())),
            _ => None,
        }
    }
}

/// Where to begin and where to end.
fn marks(query: &[(String, String)]) -> Result<(Option<Mark>, Option<Mark>), &'static str> {
    let of = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty());
    let time = |name: &str| of(name).map(|text| instant(text).map(Mark::Time)).transpose();
    let id = |name: &str| of(name).map(|text| Ulid::parse(text).map(Mark::Id).ok_or("ids are ULIDs, as in event_id")).transpose();
    let (since, until, since_id, until_id) = (time("since")?, time("until")?, id("since_id")?, id("until_id")?);
    if (since.is_some() || until.is_some()) && (since_id.is_some() || until_id.is_some()) {
        return Err("since and until cannot be mixed with since_id and until_id");
    }
    if until.is_some() && since.is_none() {
        return Err("since is required if until is given");
    }
    if until_id.is_some() && since_id.is_none() {
        return Err("since_id is required if until_id is given");
    }
    match (since, until, since_id, until_id) {
        (Some(Mark::Time(from)), Some(Mark::Time(to)), ..) if to < from => Err("until should not be before since"),
        (.., Some(Mark::Id(from)), Some(Mark::Id(to))) if to < from => Err("until_id should not be before since_id"),
        _ => Ok((since.or(since_id), until.or(until_id))),
    }
}

/// A time or a plain date, which is its midnight.
fn instant(text: &str) -> Result<Timestamp, &'static str> {
    // A plus sign that was not encoded has become a space.
    let text = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.replace(' ', "+") };
    text.parse().map_err(|_| "times are RFC 3339 or a date, such as 2026-11-20T14:30:00Z")
}

fn refuse(message: &str) -> Response {
    answer(400, message)
}

fn answer(status: u16, message: &str) -> Response {
    let code = u32::from(status) * 100_000 + 10_000;
    Response { status, body: serde_json::json!({"code": code, "message": message}).to_string().into_bytes() }
}

/// Serves a reader until it, the exchange or the end that it asked for ends it. The head has been sent.
pub(super) fn serve(shared: &Shared, id: u64, wake: &Stop, transport: &mut Transport, reader: Reader) -> io::Result<()> {
    let outbox = Arc::new(Outbox::new(wake.clone(), shared.config.queue_bytes));
    let until = reader.patience(&shared.clock).map(|left| Instant::now() + left);
    let watcher = Watcher { path: reader.path, kind: reader.kind, account: reader.account, end: reader.end, clock: shared.clock, outbox: Arc::clone(&outbox) };
    let past = shared.hub.lock().watch(id, reader.start, watcher);
    let mut writer = Writer { shared, id, transport, token: wake.token() };
    let told = writer.history(&past).and_then(|()| {
        let over = past.last().zip(reader.end).is_some_and(|(last, end)| last.reaches(end));
        if over { Ok(()) } else { writer.follow(&outbox, until) }
    });
    shared.hub.lock().unwatch(id);
    told
}

struct Writer<'a> {
    shared: &'a Shared,
    id: u64,
    transport: &'a mut Transport,
    token: StopToken,
}

impl Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.shared.tape(self.id, Direction::Out, "event", || bytes.to_vec().into());
        wire::write_all(self.transport, bytes, &self.token, Instant::now() + STEP)
    }

    fn history(&mut self, past: &[crate::sim::events_log::Event]) -> io::Result<()> {
        self.write(HEARTBEAT_TEXT)?;
        past.iter().try_for_each(|event| self.write(format!("data: {}\n\n", event.text).as_bytes()))
    }

    fn follow(&mut self, outbox: &Outbox, until: Option<Instant>) -> io::Result<()> {
        let mut batch = Vec::new();
        let mut next_heartbeat = Instant::now() + HEARTBEAT;
        while self.token.is_running() {
            self.token.clear_wake();
            match outbox.signalled() {
                Some(Signal::Drop) => return Ok(()),
                Some(Signal::Mute) => {
                    wire::stay_mute(self.transport, &self.token, || outbox.signalled() != Some(Signal::Mute));
                    return Ok(());
                }
                Some(Signal::SlowClient) => return self.write(b": you are reading too slowly\n\n"),
                None => {}
            }
            let due = outbox.take(BATCH, Instant::now, &mut batch);
            for out in batch.drain(..) {
                match out {
                    Out::Frame { bytes, .. } => self.write(&bytes)?,
                    _ => return Ok(()),
                }
            }
            let now = Instant::now();
            if due.is_none() && until.is_some_and(|until| until <= now) {
                return Ok(());
            }
            if next_heartbeat <= now {
                next_heartbeat = now + HEARTBEAT;
                self.write(HEARTBEAT_TEXT)?;
            }
            let deadline = due.or(until).map_or(next_heartbeat, |moment| moment.min(next_heartbeat));
            if wait_ready(&*self.transport, Interest::Read, &self.token, deadline)?.readable && self.has_ended()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads what a client should not send any more.
    fn has_ended(&mut self) -> io::Result<bool> {
        let mut waste = [0; 1024];
        loop {
            match self.transport.read(&mut waste) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_checked_as_the_venue_checks_them() {
        let ask = |text: &str| marks(&text.split('&').filter_map(|p| p.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>());
        let (early, late) = ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01BRZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(ask(""), Ok((None, None)));
        assert_eq!(ask("since=2026-11-20"), Ok((Some(Mark::Time("2026-11-20T00:00:00Z".parse().unwrap())), None)));
        assert!(ask("since=2026-11-20T14:30:00 02:00&until=2026-11-21").is_ok());
        assert!(ask(&format!("since_id={early}&until_id={late}")).is_ok());
        for (text, part) in [
            (format!("since=2026-11-20&since_id={early}"), "mixed"),
            (format!("until=2026-11-20&since_id={early}"), "mixed"),
            ("until=2026-11-20".to_owned(), "since is required"),
            (format!("until_id={early}"), "since_id is required"),
            ("since=2026-11-20&until=2026-11-19".to_owned(), "before since"),
            (format!("since_id={late}&until_id={early}"), "before since_id"),
            ("since=yesterday".to_owned(), "RFC 3339"),
            ("since_id=7".to_owned(), "ULIDs"),
        ] {
            assert!(ask(&text).unwrap_err().contains(part), "{text}");
        }
    }
}
