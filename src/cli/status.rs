//! `status`: how a running broker is, once or every second.

use std::time::Duration;

use super::args::StatusArgs;
use super::error::CliError;
use super::messages::{BrokerWord, Status, StreamWord, time};
use super::out::{Colour, Console, Out};
use super::reach::{Link, Place};
use crate::model::Timestamp;
use crate::observe::printable;
use crate::runtime::{Waited, wall_now};

const EVERY: Duration = Duration::from_secs(1);
const MAX_TEXT: usize = 500;

/// # Errors
/// When Redis or the broker is not there. With `--watch` a broker that is not there is shown and waited for.
pub fn run(args: &StatusArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let mut link: Option<Link> = None;
    loop {
        let seen = look(&mut link, place).and_then(|status| show(status.as_deref(), args, place, console));
        match seen {
            Err(error @ (CliError::Redis { .. } | CliError::NoBroker(_))) if args.watch => {
                link = None;
                console.note(&error.to_string());
            }
            other => other?,
        }
        if !args.watch || console.stop.wait(EVERY) == Waited::Stopped {
            return Ok(());
        }
    }
}

fn look(link: &mut Option<Link>, place: &Place) -> Result<Option<String>, CliError> {
    let link = match link {
        Some(link) => link,
        None => link.insert(place.connect()?),
    };
    link.status().map_err(|source| place.failed(source))
}

fn show(message: Option<&str>, args: &StatusArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let message = message.ok_or_else(|| CliError::NoBroker(place.to_string()))?;
    if args.json {
        return Ok(console.out.line(&printable(message, usize::MAX))?);
    }
    let status: Status = serde_json::from_str(message)?;
    if args.watch {
        console.out.clear()?;
    }
    for line in render(&status, wall_now(), &console.out) {
        console.out.line(&line)?;
    }
    Ok(())
}

fn render(status: &Status, now: Timestamp, out: &Out) -> Vec<String> {
    let since = |value| time(value).map(|start| lasting(now, start)).unwrap_or_else(|| "?".to_owned());
    let state = shown(&status.state);
    let state = out.paint(if state == "running" { Colour::Good } else { Colour::Bad }, &state);
    let mut lines = vec![
        format!("alpaca-broker {}  {state}  pid {}  up {}", shown(&status.version), status.pid, since(&status.started_at)),
        format!("health   {:.2}", status.health.score),
    ];
    lines.extend(status.health.reasons.iter().map(|reason| out.paint(Colour::Warn, &format!("         {}", shown(reason)))));
    for (at, stream) in status.streams.iter().enumerate() {
        let StreamWord { name, state, since: started, symbols } = stream;
        let label = if at == 0 { "streams" } else { "" };
        let colour = if matches!(state.as_str(), "streaming" | "subscribing" | "idle") { Colour::Good } else { Colour::Bad };
        let state = out.paint(colour, &format!("{:<14}", shown(state)));
        lines.push(format!("{label:<8} {:<14} {state} {symbols} symbols  for {}", shown(name), since(started)));
    }
    lines.extend(facts("redis", &status.redis));
    lines.push(format!("served   {} symbols to {} bots", status.symbols, status.bots));
    lines.extend(facts("orders", &status.orders));
    lines.extend(status.brokers.iter().enumerate().flat_map(|(at, broker)| broker_lines(at == 0, broker, out)));
    lines.extend(status.halts.iter().map(|halt| out.paint(Colour::Bad, &format!("halt     {}", shown(halt)))));
    lines
}

fn broker_lines(first: bool, broker: &BrokerWord, out: &Out) -> Vec<String> {
    let label = if first { "brokers" } else { "" };
    let colour = if broker.connection == "connected" { Colour::Good } else { Colour::Bad };
    let connection = out.paint(colour, &format!("{:<14}", shown(&broker.connection)));
    let live = if broker.live { out.paint(Colour::Bad, "  LIVE") } else { String::new() };
    let account = if broker.account_id.is_empty() { "not known yet".to_owned() } else { shown(&broker.account_id) };
    let BrokerWord { name, health, open_orders, placed, fills, .. } = broker;
    let mut lines = vec![format!(
        "{label:<8} {:<14} {connection} account {account}{live}  health {:.2}  {open_orders} open  {placed} placed  {fills} fills",
        shown(name),
        health.score
    )];
    lines.extend(health.reasons.iter().map(|reason| out.paint(Colour::Warn, &format!("         {}", shown(reason)))));
    lines
}

/// An object whose fields are the broker's to choose.
fn facts(label: &str, value: &serde_json::Value) -> Option<String> {
    let fields = value.as_object().filter(|fields| !fields.is_empty())?;
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all: Vec<String> = fields.iter().map(|(name, value)| format!("{} {}", shown(name), shown(&text(value)))).collect();
    Some(format!("{label:<8} {}", all.join("  ")))
}

fn shown(text: &str) -> String {
    printable(text, MAX_TEXT)
}

fn lasting(now: Timestamp, start: Timestamp) -> String {
    let seconds = (now.seconds() - start.seconds()).max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// One line on the streams, for whoever waits for messages in vain.
pub fn in_short(message: &str) -> Option<String> {
    let status: Status = serde_json::from_str(message).ok()?;
    let streams: Vec<String> = status.streams.iter().map(|s| format!("{} {}", shown(&s.name), shown(&s.state))).collect();
    Some(format!("the broker is {}; {}", shown(&status.state), if streams.is_empty() { "no streams".to_owned() } else { streams.join(", ") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = r#"{"type":"status","state":"degraded","epoch":1763700000000,"pid":42,"version":"0.1.0","started_at":1763700000000,
        "updated_at":1763703661000,"health":{"score":0.5,"reasons":["alp-data: waiting to try again for 41 s","evil\u001b[2J"]},
        "streams":[{"name":"alp-data","state":"backing_off","since":"2025-11-21T05:40:20Z","symbols":12},{"name":"alp-orders","state":"streaming","since":null,"symbols":0}],
        "redis":{"prices":"up","orders":true},"symbols":12,"bots":3,"orders":{"last_seq":77},
        "brokers":[{"name":"paper","account_id":"paper-1","connection":"connected","health":{"score":1.0},"open_orders":2,"placed":5,"fills":3},
        {"name":"alpaca","account_id":"a-1","live":true,"connection":"disconnected","health":{"score":0.0,"reasons":["disconnected"]}}],
        "halts":["halted for bot scalper: too fast"]}"#;

    #[test]
    fn a_person_sees_what_is_wrong() {
        let status: Status = serde_json::from_str(MESSAGE).unwrap();
        let now = Timestamp::from_nanos(1_763_703_661_000 * 1_000_000);
        let lines = render(&status, now, &Out::new(std::io::sink(), false));
        assert_eq!(
            lines,
            [
                "alpaca-broker 0.1.0  degraded  pid 42  up 1 h 1 min",
                "health   0.50",
                "         alp-data: waiting to try again for 41 s",
                "         evil\\u001b[2J",
                "streams  alp-data       backing_off    12 symbols  for 41 s",
                "         alp-orders     streaming      0 symbols  for ?",
                "redis    orders true  prices up",
                "served   12 symbols to 3 bots",
                "orders   last_seq 77",
                "brokers  paper          connected      account paper-1  health 1.00  2 open  5 placed  3 fills",
                "         alpaca         disconnected   account a-1  LIVE  health 0.00  0 open  0 placed  0 fills",
                "         disconnected",
                "halt     halted for bot scalper: too fast",
            ]
        );
        assert_eq!(in_short(MESSAGE).unwrap(), "the broker is degraded; alp-data backing_off, alp-orders streaming");
    }

    #[test]
    fn times_are_told_in_two_units() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_661, "1 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(lasting(at(seconds), at(0)), text);
        }
        assert_eq!(lasting(at(0), at(5)), "0 s");
    }
}
