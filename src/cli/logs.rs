//! `logs`: the log lines of a running broker as they come.

use serde::Deserialize;

use super::args::LogsArgs;
use super::error::CliError;
use super::out::{Colour, Console, Out};
use super::reach::{Place, is_idle};
use crate::observe::printable;

const CHANNEL: &str = "broker:logs";
const MAX_LINE: usize = 4_000;

#[derive(Default, Deserialize)]
#[serde(default)]
struct LogLine {
    ts: String,
    level: String,
    thread: String,
    target: String,
    message: String,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// When Redis is not there or goes away.
pub fn run(args: &LogsArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let failed = |source| place.failed(source);
    if place.connect()?.status().map_err(failed)?.is_none() {
        console.note(&format!("no broker is running at {place} yet: its lines will show here once it starts"));
    }
    let mut connection = place.listen()?;
    let mut listener = connection.as_pubsub();
    listener.subscribe(CHANNEL).map_err(failed)?;
    while console.stop.is_running() {
        match listener.get_message() {
            Ok(message) => {
                if let Some(line) = render(&String::from_utf8_lossy(message.get_payload_bytes()), args, &console.out) {
                    console.out.line(&line)?;
                }
            }
            Err(error) if is_idle(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

/// `None` for a line of too low a level.
fn render(message: &str, args: &LogsArgs, out: &Out) -> Option<String> {
    let line: LogLine = serde_json::from_str(message).unwrap_or_else(|_| LogLine { message: message.to_owned(), ..LogLine::default() });
    let level = line.level.parse::<log::Level>().ok();
    if level.is_some_and(|level| level > args.level) {
        return None;
    }
    if args.json {
        return Some(printable(message, usize::MAX));
    }
    let LogLine { ts, level: word, thread, target, message } = &line;
    let text = printable(&format!("{ts} {word:<5} [{thread}] {target}: {message}"), MAX_LINE);
    Some(match level {
        Some(log::Level::Error) => out.paint(Colour::Bad, &text),
        Some(log::Level::Warn) => out.paint(Colour::Warn, &text),
        Some(log::Level::Debug | log::Level::Trace) => out.paint(Colour::Dim, &text),
        _ => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"type":"log","ts":"2026-11-20T14:30:00.123Z","level":"INFO","thread":"alp-data","target":"stream","message":"connected"}"#;

    fn shown(message: &str, level: log::Level, json: bool) -> Option<String> {
        render(message, &LogsArgs { follow: true, level, json }, &Out::new(std::io::sink(), false))
    }

    #[test]
    fn a_line_reads_as_on_the_brokers_own_terminal() {
        assert_eq!(shown(LINE, log::Level::Info, false).unwrap(), "2026-11-20T14:30:00.123Z INFO  [alp-data] stream: connected");
        assert_eq!(shown(LINE, log::Level::Info, true).unwrap(), LINE);
        assert_eq!(shown(LINE, log::Level::Warn, false), None);
    }

    #[test]
    fn what_is_no_line_of_ours_is_shown_harmlessly() {
        let text = shown("\x1b[2Jhello", log::Level::Error, false).unwrap();
        assert!(text.ends_with("\\u001b[2Jhello"), "{text}");
    }
}
