//! `watch`: a bot for the eyes. Registers with a lease, renews it, prints what arrives, gives it back at the end.

use std::time::{Duration, Instant};

use redis::Msg;

use super::args::WatchArgs;
use super::error::CliError;
use super::messages::{Action, Answer, Holding, Order, REGISTRATION, Seen, Sequence, Status, read};
use super::out::{Colour, Console, Out};
use super::reach::{Link, Place, is_idle};
use super::registration::reply_channel;
use super::status::in_short;
use crate::model::{Feed, Timestamp};
use crate::observe::printable;
use crate::runtime::{Waited, wall_now};

/// Short, so that a watch that was killed is soon forgotten.
const TTL_S: u32 = 60;
const RENEW: Duration = Duration::from_secs(20);
/// How often the broker's status is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Silence after which a person wonders.
const SILENCE: Duration = Duration::from_secs(10);
const RECONNECT: Duration = Duration::from_secs(1);
const MAX_TEXT: usize = 500;

struct Watch<'a> {
    place: &'a Place,
    json: bool,
    holding: Holding,
    left: Option<u64>,
    sequence: Sequence,
    epoch: Option<u64>,
    /// The answers that the first registration still waits for.
    unanswered: usize,
    accepted: usize,
    messages: u64,
    gaps: u64,
    lost: u64,
}

/// Runs until Ctrl-C or the last message asked for.
///
/// # Errors
/// When no broker is there, it refuses every symbol, or the output fails.
pub fn run(args: &WatchArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let holding = Holding {
        instruments: args.symbols.clone(),
        bot: format!("watch_{}", std::process::id()),
        feeds: args.feeds.clone(),
        dialect: args.dialect,
        ttl_s: Some(TTL_S),
        reply_to: reply_channel(),
    };
    let mut watch = Watch {
        place,
        json: args.json,
        unanswered: holding.requests(Action::Register).len(),
        holding,
        left: args.count,
        sequence: Sequence::default(),
        epoch: None,
        accepted: 0,
        messages: 0,
        gaps: 0,
        lost: 0,
    };
    let ended = watch.until_the_end(console);
    watch.give_back();
    let Watch { messages, gaps, lost, .. } = watch;
    if messages > 0 && ended.is_ok() {
        console.note(&format!("{messages} messages, {gaps} gaps, {lost} lost"));
    }
    ended
}

impl Watch<'_> {
    /// Redis may go and come back; the first connection must succeed.
    fn until_the_end(&mut self, console: &mut Console) -> Result<(), CliError> {
        let mut connected = false;
        loop {
            match self.session(console, &mut connected) {
                Err(error @ CliError::Redis { .. }) if connected => {
                    if console.stop.is_running() && !error.is_interruption() {
                        console.note(&format!("{error}; trying again"));
                    }
                    if console.stop.wait(RECONNECT) == Waited::Stopped {
                        return Ok(());
                    }
                }
                other => return other,
            }
        }
    }

    fn session(&mut self, console: &mut Console, connected: &mut bool) -> Result<(), CliError> {
        let place = self.place;
        let failed = |source| place.failed(source);
        let mut link = place.connect()?;
        let mut connection = place.listen()?;
        let mut listener = connection.as_pubsub();
        listener.subscribe(self.holding.channels()).map_err(failed)?;
        listener.subscribe(&self.holding.reply_to).map_err(failed)?;
        self.register(&mut link, !*connected)?;
        if !*connected && !self.json {
            self.show_last_values(&mut link, console)?;
        }
        *connected = true;
        let start = Instant::now();
        let (mut next_look, mut next_renewal, mut next_wonder) = (start, start + RENEW, start + SILENCE);
        while console.stop.is_running() {
            match listener.get_message() {
                Ok(message) if message.get_channel_name() == self.holding.reply_to => self.hear_answer(&message, console)?,
                Ok(message) => {
                    next_wonder = Instant::now() + SILENCE;
                    if self.hear(&message, console)? {
                        return Ok(());
                    }
                }
                Err(error) if is_idle(&error) => {}
                Err(error) => return Err(failed(error)),
            }
            let now = Instant::now();
            if now >= next_look {
                next_look = now + LOOK;
                let status = link.status().map_err(failed)?;
                let restarted = self.look_at(status.as_deref(), console);
                if restarted || now >= next_renewal {
                    next_renewal = now + RENEW;
                    self.register(&mut link, false)?;
                }
                if now >= next_wonder {
                    next_wonder = now + SILENCE;
                    let word = status.as_deref().and_then(in_short).unwrap_or_else(|| "no broker is running".to_owned());
                    console.note(&format!("nothing for {} s: {word}", SILENCE.as_secs()));
                }
            }
        }
        Ok(())
    }

    fn register(&self, link: &mut Link, first: bool) -> Result<(), CliError> {
        for request in self.holding.requests(Action::Register) {
            let heard = link.publish(REGISTRATION, &request).map_err(|source| self.place.failed(source))?;
            if first && heard == 0 {
                return Err(CliError::NoBroker(self.place.to_string()));
            }
        }
        Ok(())
    }

    /// Whatever happened; what does not get through, the lease ends.
    fn give_back(&self) {
        if let Ok(mut link) = self.place.connect() {
            for request in self.holding.requests(Action::Unregister) {
                let _ = link.publish(REGISTRATION, &request);
            }
        }
    }

    /// True when another process has taken over, which knows nothing of us yet.
    fn look_at(&mut self, status: Option<&str>, console: &mut Console) -> bool {
        let epoch = status.and_then(|text| serde_json::from_str::<Status>(text).ok()).map(|status| status.epoch);
        let (Some(epoch), before) = (epoch, self.epoch) else { return false };
        self.epoch = Some(epoch);
        let restarted = before.is_some_and(|before| before != epoch);
        if restarted {
            console.note("the broker was restarted: registering again");
        }
        restarted
    }

    fn hear_answer(&mut self, message: &Msg, console: &mut Console) -> Result<(), CliError> {
        let answer: Answer = serde_json::from_slice(message.get_payload_bytes())?;
        // Later answers are those to renewals, which repeat themselves.
        if self.unanswered == 0 && !answer.is_news() {
            return Ok(());
        }
        for refusal in answer.refusals() {
            console.note(&format!("refused: {refusal}"));
        }
        if answer.is_news() {
            return Ok(());
        }
        self.unanswered -= 1;
        self.accepted += answer.accepted.len();
        if self.unanswered == 0 && self.accepted == 0 { Err(CliError::Refused) } else { Ok(()) }
    }

    /// True after the last message that was asked for.
    fn hear(&mut self, message: &Msg, console: &mut Console) -> Result<bool, CliError> {
        let text = String::from_utf8_lossy(message.get_payload_bytes());
        let seen = read(&text);
        if seen.as_ref().is_some_and(|seen| !self.is_wanted(&seen.kind)) {
            return Ok(false);
        }
        self.messages += 1;
        let order = seen.as_ref().and_then(|seen| Some(self.sequence.check(message.get_channel_name(), &seen.kind, seen.seq?)));
        if let Some(Order::Lost(lost)) = order {
            self.gaps += 1;
            self.lost += lost;
        }
        match seen {
            Some(seen) if !self.json => console.out.line(&render(&seen, order, wall_now(), &console.out))?,
            _ => console.out.line(&printable(&text, usize::MAX))?,
        }
        self.left = self.left.map(|left| left - 1);
        Ok(self.left == Some(0))
    }

    /// A ticker channel carries what others asked for as well.
    fn is_wanted(&self, kind: &str) -> bool {
        Feed::from_name(kind).is_none_or(|feed| self.holding.feeds.contains(&feed))
    }

    fn show_last_values(&self, link: &mut Link, console: &mut Console) -> Result<(), CliError> {
        for instrument in &self.holding.instruments {
            let values = link.last_values(&format!("broker:last:{instrument}")).map_err(|source| self.place.failed(source))?;
            for seen in values.iter().filter_map(|(_, text)| read(text)).filter(|seen| self.is_wanted(&seen.kind)) {
                let word = if seen.stale { "last known, stale" } else { "last known" };
                let when = seen.time.map_or_else(String::new, |time| format!("  of {time}"));
                let text = format!("{:<12}  {:<8} {:<6} {}{when}", word, shown(&seen.symbol), shown(&seen.kind), shown(&seen.body));
                let text = console.out.paint(Colour::Dim, &text);
                console.out.line(&text)?;
            }
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    printable(text, MAX_TEXT)
}

fn render(seen: &Seen, order: Option<Order>, now: Timestamp, out: &Out) -> String {
    let clock = now.to_string();
    let mut line = format!("{}  {:<8} {:<6} {:<20}", &clock[11..23], shown(&seen.symbol), shown(short(&seen.kind)), shown(&seen.body));
    if let Some(seq) = seen.seq {
        line.push_str(&format!("  seq {seq}"));
    }
    match order {
        Some(Order::Lost(lost)) => line.push_str(&format!("  {}", out.paint(Colour::Bad, &format!("gap {lost}")))),
        Some(Order::Backwards) => line.push_str(&format!("  {}", out.paint(Colour::Bad, "out of order"))),
        Some(Order::Restarted) => line.push_str(&format!("  {}", out.paint(Colour::Warn, "counts anew"))),
        Some(Order::First | Order::Next) | None => {}
    }
    if seen.merged > 0 {
        line.push_str(&format!("  merged {}", seen.merged));
    }
    if let Some(time) = seen.time {
        line.push_str(&format!("  lag {}", lag(now, time)));
    }
    line
}

/// `price_update` is the typed dialect's word for a price.
fn short(kind: &str) -> &str {
    if kind == "price_update" { "price" } else { kind }
}

/// Times in whole seconds, which one dialect has, tell a lag no better than that.
fn lag(now: Timestamp, time: Timestamp) -> String {
    let millis = now.millis() - time.millis();
    let whole = time.nanos() % 1_000_000_000 == 0;
    match millis {
        ..-1_000 => format!("{} s ahead of our clock", -millis / 1_000),
        _ if whole || millis >= 10_000 => format!("{} s", (millis / 1_000).max(0)),
        _ => format!("{} ms", millis.max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_price_sequence_gap_and_lag() {
        let now: Timestamp = "2026-11-20T14:30:00.503Z".parse().unwrap();
        let seen = read(r#"{"type":"price","symbol":"AAPL","price":150.25,"volume":100,"timestamp":"2026-11-20T14:30:00.5Z","seq":7,"merged":3}"#).unwrap();
        let out = Out::new(std::io::sink(), false);
        assert_eq!(render(&seen, Some(Order::Lost(2)), now, &out), "14:30:00.503  AAPL     price  150.25  x 100         seq 7  gap 2  merged 3  lag 3 ms");
        let seen = read(r#"{"type":"price_update","symbol":"A\u001b[2J","price":1,"timestamp":1795185000,"seq":8}"#).unwrap();
        assert_eq!(render(&seen, Some(Order::Next), now, &out), "14:30:00.503  A\\u001b[2J price  1                     seq 8  lag 0 s");
    }

    #[test]
    fn a_lag_is_told_as_exactly_as_it_is_known() {
        let at = |millis: i64| Timestamp::from_nanos(millis * 1_000_000);
        assert_eq!(lag(at(1_750), at(1_500)), "250 ms");
        assert_eq!(lag(at(3_750), at(1_000)), "2 s");
        assert_eq!(lag(at(1_400), at(1_500)), "0 ms");
        assert_eq!(lag(at(90_000), at(1_500)), "88 s");
        assert_eq!(lag(at(1_000), at(4_500)), "3 s ahead of our clock");
    }
}
