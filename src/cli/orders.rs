//! `order`, `cancel`, `orders` and the like: one command to the desk, and its answer.
//!
//! Knows only what any bot knows: the stream of commands and the channel of answers.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::args::{AskArgs, CancelAllArgs, CancelArgs, FillsArgs, HaltArgs, OrderArgs, Part, ReconcileArgs, ResumeArgs, SideWord, Where, Whom};
use super::error::CliError;
use super::out::{Colour, Console};
use super::reach::{Place, is_idle};
use super::registration::reply_channel;
use super::tables;
use crate::model::Timestamp;
use crate::observe::printable;

/// How long the desk may take: a venue answers within seconds.
const PATIENCE: Duration = Duration::from_secs(15);
const MAX_TEXT: usize = 500;
const DAY_NANOS: i64 = 86_400 * 1_000_000_000;

/// Whether a command may be sent to a live account without `--live`: only what stops things.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Guarded,
    AlwaysAllowed,
}

/// # Errors
/// When no desk answers, or it refuses.
pub fn order(args: &OrderArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let id = args.id.clone().unwrap_or_else(|| format!("{}-{:x}-{:04x}", args.bot, crate::runtime::wall_now().millis(), fastrand::u16(..)));
    let mut command = fields(json!({
        "action": "place", "client_order_id": id, "symbol": args.symbol.to_ascii_uppercase(),
        "side": if args.side == SideWord::Buy { "buy" } else { "sell" },
        "time_in_force": args.tif, "extended_hours": args.extended,
    }));
    command.insert(if args.notional { "notional" } else { "qty" }.to_owned(), args.quantity.clone().into());
    let prices = [("limit_price", &args.limit), ("stop_price", &args.stop), ("trail_price", &args.trail), ("trail_percent", &args.trail_percent)];
    for (field, price) in prices {
        put(&mut command, field, price.as_deref());
    }
    let kind = match (args.trail.is_some() || args.trail_percent.is_some(), args.stop.is_some(), args.limit.is_some()) {
        (true, ..) => "trailing_stop",
        (_, true, true) => "stop_limit",
        (_, true, false) => "stop",
        (_, false, true) => "limit",
        _ => "market",
    };
    put(&mut command, "type", Some(kind));
    let class = match (args.oco, &args.take_profit, &args.stop_loss) {
        (true, ..) => Some("oco"),
        (false, Some(_), Some(_)) => Some("bracket"),
        (false, None, None) => None,
        _ => Some("oto"),
    };
    put(&mut command, "order_class", class);
    if let Some(price) = &args.take_profit {
        command.insert("take_profit".to_owned(), json!({"limit_price": price}));
    }
    if let Some(price) = &args.stop_loss {
        command.insert("stop_loss".to_owned(), json!({"stop_price": price, "limit_price": args.stop_loss_limit}));
    }
    tell(command, &args.at, Guard::Guarded, place, console)
}

/// # Errors
/// As [`order`].
pub fn cancel(args: &CancelArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let mut failed = None;
    for id in &args.ids {
        let field = if args.venue { "order_id" } else { "client_order_id" };
        let mut command = fields(json!({"action": "cancel"}));
        put(&mut command, field, Some(id));
        match tell(command, &args.at, Guard::Guarded, place, console) {
            Err(CliError::Refused) => failed = Some(CliError::Refused),
            other => other?,
        }
    }
    failed.map_or(Ok(()), Err)
}

/// # Errors
/// As [`order`].
pub fn cancel_all(args: &CancelAllArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let mut command = fields(json!({"action": "cancel_all"}));
    put(&mut command, "symbol", args.symbol.as_deref().map(str::to_ascii_uppercase).as_deref());
    tell(command, &args.at, Guard::Guarded, place, console)
}

/// A question without further words: `orders`, `positions`, `balance`.
///
/// # Errors
/// As [`order`].
pub fn ask(action: &str, args: &AskArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let mut command = fields(json!({"action": action}));
    part(&mut command, &args.part);
    tell(command, &args.at, Guard::Guarded, place, console)
}

/// # Errors
/// As [`order`].
pub fn fills(args: &FillsArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let yesterday = || Timestamp::from_nanos(crate::runtime::wall_now().nanos().saturating_sub(DAY_NANOS)).to_string();
    let since = if args.since.is_empty() { yesterday() } else { args.since.clone() };
    let mut command = fields(json!({"action": "fills", "since": since, "limit": args.limit}));
    part(&mut command, &args.part);
    tell(command, &args.at, Guard::Guarded, place, console)
}

/// # Errors
/// As [`order`].
pub fn reconcile(args: &ReconcileArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    tell(fields(json!({"action": "reconcile", "dry_run": args.dry_run})), &args.at, Guard::Guarded, place, console)
}

/// # Errors
/// As [`order`].
pub fn halt(args: &HaltArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let mut command = fields(json!({"action": "halt", "reduce_only": args.reduce_only, "cancel_open": args.cancel, "reason": args.reason}));
    scope(&mut command, &args.whom);
    tell(command, &args.at, Guard::AlwaysAllowed, place, console)
}

/// # Errors
/// As [`order`].
pub fn resume(args: &ResumeArgs, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let mut command = fields(json!({"action": "resume"}));
    scope(&mut command, &args.whom);
    tell(command, &args.at, Guard::Guarded, place, console)
}

fn fields(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn put(command: &mut Map<String, Value>, field: &str, value: Option<&str>) {
    if let Some(value) = value {
        command.insert(field.to_owned(), value.into());
    }
}

fn part(command: &mut Map<String, Value>, part: &Part) {
    put(command, "bot", part.bot.as_deref());
    if part.external {
        command.insert("external".to_owned(), true.into());
    }
}

fn scope(command: &mut Map<String, Value>, whom: &Whom) {
    let word = match whom {
        Whom { all: true, .. } => "all",
        Whom { whole_broker: true, .. } => "broker",
        Whom { bot: Some(_), .. } => "bot",
        _ => "account",
    };
    put(command, "scope", Some(word));
    put(command, "bot", whom.bot.as_deref());
}

/// Whether a command may reach real money. `everywhere` is for those that concern every broker.
fn is_live(status: &str, at: &Where, everywhere: bool) -> Result<bool, CliError> {
    let status: Value = serde_json::from_str(status)?;
    let brokers = status["brokers"].as_array().cloned().unwrap_or_default();
    if everywhere {
        return Ok(brokers.iter().any(|broker| broker["live"].as_bool().unwrap_or(true)));
    }
    let fits = |broker: &&Value| {
        at.broker.as_deref().is_none_or(|name| broker["name"] == name)
            && at.account.as_deref().is_none_or(|name| broker["account"] == name || broker["account_id"] == name)
    };
    let Some(broker) = brokers.iter().find(fits) else {
        let known: Vec<String> = brokers.iter().map(|b| format!("{} (account {})", shown(&b["name"]), shown(&b["account"]))).collect();
        return Err(CliError::NoSuchBroker(if known.is_empty() { "none".to_owned() } else { known.join(", ") }));
    };
    // A broker that does not say is taken for the worse.
    Ok(broker["live"].as_bool().unwrap_or(true))
}

fn shown(value: &Value) -> String {
    printable(value.as_str().unwrap_or("?"), MAX_TEXT)
}

fn tell(mut command: Map<String, Value>, at: &Where, guard: Guard, place: &Place, console: &mut Console) -> Result<(), CliError> {
    let failed = |source| place.failed(source);
    let mut link = place.connect()?;
    let status = link.status().map_err(failed)?.ok_or_else(|| CliError::NoBroker(place.to_string()))?;
    let everywhere = command.get("scope").is_some_and(|scope| scope == "all" || scope == "bot");
    if is_live(&status, at, everywhere)? {
        let word = console.notes.paint(Colour::Bad, "LIVE: this account holds real money");
        console.note(&word);
        if !at.live && guard == Guard::Guarded {
            return Err(CliError::Live);
        }
    }
    put(&mut command, "exchange", at.broker.as_deref());
    put(&mut command, "account", at.account.as_deref());
    let channel = reply_channel();
    put(&mut command, "reply_to", Some(&channel));
    if guard == Guard::Guarded {
        // Nobody hears the answer later: then nothing shall happen later either.
        let patience = i64::try_from(PATIENCE.as_nanos()).unwrap_or(i64::MAX);
        let end = Timestamp::from_nanos(crate::runtime::wall_now().nanos().saturating_add(patience));
        put(&mut command, "expires_at", Some(&end.to_string()));
    }
    let mut connection = place.listen()?;
    let mut listener = connection.as_pubsub();
    listener.subscribe(&channel).map_err(failed)?;
    link.command(&Value::Object(command).to_string()).map_err(failed)?;
    let deadline = Instant::now() + PATIENCE;
    while console.stop.is_running() {
        match listener.get_message() {
            Ok(message) => return show(&String::from_utf8_lossy(message.get_payload_bytes()), at.json, console),
            Err(error) if is_idle(&error) && Instant::now() < deadline => {}
            Err(error) if is_idle(&error) => return Err(CliError::NoAnswer(place.to_string(), PATIENCE.as_secs())),
            Err(error) => return Err(failed(error)),
        }
    }
    Err(CliError::Interrupted)
}

fn show(text: &str, json: bool, console: &mut Console) -> Result<(), CliError> {
    let answer: Value = serde_json::from_str(text)?;
    let accepted = answer["result"] == "accepted";
    if json {
        console.out.line(&printable(text, usize::MAX))?;
    } else {
        for line in tables::of_answer(&answer, &console.out) {
            console.out.line(&line)?;
        }
    }
    if accepted { Ok(()) } else { Err(CliError::Refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"brokers":[{"name":"paper","account":"paper","account_id":"p-1","live":false},{"name":"alpaca","account":"live","account_id":"a-1","live":true},{"name":"old"}]}"#;

    #[test]
    fn real_money_is_recognised_by_broker_or_account_and_assumed_when_nobody_says() {
        let at = |broker: Option<&str>, account: Option<&str>| {
            is_live(STATUS, &Where { broker: broker.map(str::to_owned), account: account.map(str::to_owned), live: false, json: false }, false)
        };
        assert!(!at(None, None).unwrap());
        assert!(at(Some("alpaca"), None).unwrap());
        assert!(at(None, Some("a-1")).unwrap());
        assert!(at(Some("old"), None).unwrap());
        let default = Where { broker: None, account: None, live: false, json: false };
        assert!(is_live(STATUS, &default, true).unwrap() && !is_live(STATUS, &default, false).unwrap());
        assert_eq!(
            at(Some("binance"), None).unwrap_err().to_string(),
            "no such broker or account takes orders; there is paper (account paper), alpaca (account live), old (account ?)"
        );
    }
}
