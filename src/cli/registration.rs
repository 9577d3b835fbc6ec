//! `register` and `unregister`: one message to the broker, and its answer.

use std::time::{Duration, Instant};

use super::args::{HoldingArgs, RegisterArgs};
use super::error::CliError;
use super::messages::{Action, Answer, Holding, REGISTRATION};
use super::out::{Colour, Console};
use super::reach::{Place, is_idle};
use crate::observe::printable;

/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_TEXT: usize = 200;

/// # Errors
/// When nobody answers, or a symbol is refused.
pub fn register(args: &RegisterArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let holding = holding(&args.holding, Some(args.ttl));
    ask(Action::Register, &holding, args.holding.json, place, console)?;
    console.note(&format!("held by {} for {} s; registering again renews it", holding.bot, args.ttl));
    Ok(())
}

/// # Errors
/// As [`register`].
pub fn unregister(args: &HoldingArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    ask(Action::Unregister, &holding(args, None), args.json, place, console)
}

fn holding(args: &HoldingArgs, ttl_s: Option<u32>) -> Holding {
    Holding { instruments: args.symbols.clone(), bot: args.bot.clone(), feeds: args.feeds.clone(), dialect: args.dialect, ttl_s, reply_to: reply_channel() }
}

/// A channel that no other asks for answers on.
pub fn reply_channel() -> String {
    format!("broker:replies:cli-{}-{:08x}", std::process::id(), fastrand::u32(..))
}

fn ask(action: Action, holding: &Holding, json: bool, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let failed = |source| place.failed(source);
    let mut link = place.connect()?;
    let mut connection = place.listen()?;
    let mut listener = connection.as_pubsub();
    listener.subscribe(&holding.reply_to).map_err(failed)?;
    let requests = holding.requests(action);
    for request in &requests {
        if link.publish(REGISTRATION, request).map_err(failed)? == 0 {
            return Err(CliError::NoBroker(place.to_string()));
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let (mut missing, mut refused) = (requests.len(), false);
    while missing > 0 && console.stop.is_running() {
        match listener.get_message() {
            Ok(message) => {
                let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                let answer: Answer = serde_json::from_str(&text)?;
                refused |= answer.refuses();
                missing -= 1;
                if json {
                    console.out.line(&printable(&text, usize::MAX))?;
                } else {
                    tell(&answer, console)?;
                }
            }
            Err(error) if is_idle(&error) && Instant::now() < deadline => {}
            Err(error) if is_idle(&error) => return Err(CliError::NoAnswer(place.to_string(), PATIENCE.as_secs())),
            Err(error) => return Err(failed(error)),
        }
    }
    match (missing, refused) {
        (0, false) => Ok(()),
        (0, true) => Err(CliError::Refused),
        _ => Err(CliError::Interrupted),
    }
}

fn tell(answer: &Answer, console: &mut Console) -> Result<(), CliError> {
    for symbol in &answer.accepted {
        let line = format!("{}  {}", console.out.paint(Colour::Good, "accepted"), printable(symbol, MAX_TEXT));
        console.out.line(&line)?;
    }
    for refusal in answer.refusals() {
        let line = format!("{}   {refusal}", console.out.paint(Colour::Bad, "refused"));
        console.out.line(&line)?;
    }
    Ok(())
}
