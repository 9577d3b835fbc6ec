//! `explain`: the story of one order, out of the journal, beside a running broker or after its end.
//!
//! | file | what |
//! |---|---|
//! | `story` | what the journal holds of an order and its kin, in order |
//! | `words` | an update in words |
//!
//! Only reads, and asks nobody: neither Redis nor a venue.

mod story;
mod words;

use std::path::PathBuf;

use serde::Serialize;

use self::story::{ExecutionView, OrderView, Story};
use super::args::{ExplainArgs, Reach};
use super::error::CliError;
use super::out::{Colour, Console, Out};
use crate::config::{Config, JOURNAL_FILE, Sources};
use crate::journal::Journal;
use crate::observe::printable;

const MAX_LINE: usize = 2_000;

#[derive(Serialize)]
struct Explanation<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    order: &'a str,
    journal: String,
    /// One for each account where the name occurs.
    stories: &'a [Story],
}

/// # Errors
/// When there is no journal, or no such order in it.
pub fn run(args: &ExplainArgs, reach: &Reach, env: &dyn Fn(&str) -> Option<String>, console: &mut Console) -> Result<(), CliError> {
    let path = data_dir(args, reach, env)?.join(JOURNAL_FILE);
    let shown = path.display().to_string();
    if !path.exists() {
        return Err(CliError::NoJournal(shown));
    }
    let journal = Journal::look(&path)?;
    let stories = story::of(&journal, &args.order)?;
    if stories.is_empty() {
        let accounts: Vec<String> = journal.accounts()?.iter().map(ToString::to_string).collect();
        let accounts = if accounts.is_empty() { "no account has told anything yet".to_owned() } else { format!("looked at {}", accounts.join(", ")) };
        return Err(CliError::NoOrder { order: printable(&args.order, MAX_LINE), journal: shown, accounts });
    }
    if args.json {
        let explanation = Explanation { kind: "explanation", order: &args.order, journal: shown, stories: &stories };
        return Ok(console.out.line(&serde_json::to_string(&explanation)?)?);
    }
    for (at, story) in stories.iter().enumerate() {
        if at > 0 {
            console.out.line("")?;
        }
        for line in lines(story, &console.out) {
            console.out.line(&line)?;
        }
    }
    Ok(())
}

/// As other commands find it; a configuration that says where it is comes after what is said here and now.
fn data_dir(args: &ExplainArgs, reach: &Reach, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, CliError> {
    if let Some(folder) = reach.data_dir.clone().or_else(|| env("BROKER_DATA_DIR").filter(|text| !text.is_empty()).map(PathBuf::from)) {
        return Ok(folder);
    }
    match Config::load(&Sources::from_process(args.config.clone(), false)) {
        Ok(loaded) => Ok(loaded.config.data_dir),
        Err(error) if args.config.is_some() => Err(error.into()),
        // Whoever looks at what happened need not have the keys that a broker needs.
        Err(_) => Ok("data".into()),
    }
}

fn lines(story: &Story, out: &Out) -> Vec<String> {
    let mut lines = Vec::new();
    let several = story.orders.len() > 1;
    let heading = |lines: &mut Vec<String>, text: String| {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(printable(&text, MAX_LINE));
    };
    let account = story.account_id.as_deref().map(|account| format!(" on account {account}")).unwrap_or_default();
    heading(&mut lines, format!("TIMELINE{account}, times in UTC"));
    let width = story.steps.iter().map(|step| words::channel(&step.source).len()).max().unwrap_or(0);
    let names = story.steps.iter().map(|step| step.client_order_id.chars().count()).max().unwrap_or(0);
    for step in &story.steps {
        let of = if several { format!("{:<names$}  ", step.client_order_id) } else { String::new() };
        let text = format!("{}  {:>10}  {:<width$}  {of}{}", step.at, step.gap(), words::channel(&step.source), step.what);
        lines.push(printable(&text, MAX_LINE));
    }
    heading(&mut lines, if several { "ORDERS, one story".to_owned() } else { "STATE".to_owned() });
    lines.extend(story.orders.iter().map(|order| printable(&state(order), MAX_LINE)));
    if !story.executions.is_empty() {
        heading(&mut lines, "EXECUTIONS".to_owned());
        for done in &story.executions {
            let line = printable(&execution(done, several), MAX_LINE);
            lines.push(if done.void { out.paint(Colour::Dim, &line) } else { line });
        }
    }
    heading(&mut lines, "STILL UNKNOWN".to_owned());
    if story.unknown.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines.extend(story.unknown.iter().map(|text| out.paint(Colour::Warn, &printable(text, MAX_LINE))));
    lines
}

fn state(order: &OrderView) -> String {
    let mut text = order.client_order_id.clone();
    if let Some(id) = &order.order_id {
        text.push_str(&format!(" ({id})"));
    }
    if let (Some(side), Some(symbol)) = (order.side, &order.symbol) {
        text.push_str(&format!("  {side} {} {symbol}", order.qty.as_deref().unwrap_or("for money")));
    }
    text.push_str(&format!("  {}", order.status));
    if let Some(filled) = order.filled_qty.as_deref().filter(|filled| *filled != "0") {
        text.push_str(&format!(", {filled} filled at {} on average", order.filled_avg_price.as_deref().unwrap_or("?")));
    }
    text.push_str(&format!("; {}", order.owner()));
    for (label, other) in [("replaces", &order.replaces), ("replaced by", &order.replaced_by)] {
        if let Some(other) = other {
            text.push_str(&format!("; {label} {other}"));
        }
    }
    if !order.legs.is_empty() {
        text.push_str(&format!("; with legs {}", order.legs.join(", ")));
    }
    if let Some(reason) = &order.reason {
        text.push_str(&format!("; {reason}"));
    }
    text
}

fn execution(done: &ExecutionView, several: bool) -> String {
    let of = if several { format!("  {}", done.client_order_id) } else { String::new() };
    let void = if done.void { "  VOID: the venue took it back" } else { "" };
    format!("{}  {} {} @ {}  fees {}  {}{of}{void}", done.at, done.side, done.qty, done.price, done.fees, done.execution_id)
}

#[cfg(test)]
mod tests;
