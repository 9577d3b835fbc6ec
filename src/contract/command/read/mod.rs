//! Commands read from JSON.
//!
//! Must not know what the fields of an order mean together.

mod order;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{BadCommand, DeskCommand, HaltWord, MAX_COMMAND_BYTES, Question, Scope, Whose, Wish};
use crate::contract::BotName;
use crate::contract::channel::is_reply_channel;
use crate::events::{Command, OrderKey};
use crate::model::{ClientOrderId, ExchangeName, NumberError, Symbol, Timestamp};

const MAX_LISTED: usize = 500;
const MAX_REASON: usize = 200;
const MAX_NAME: usize = 128;

/// A field that nobody knows is refused: a misspelt `limit_price` must not make a market order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    action: String,
    exchange: Option<String>,
    account: Option<String>,
    expires_at: Option<String>,
    reply_to: Option<String>,
    client_order_id: Option<String>,
    order_id: Option<String>,
    symbol: Option<String>,
    side: Option<String>,
    r#type: Option<String>,
    time_in_force: Option<String>,
    extended_hours: Option<bool>,
    order_class: Option<String>,
    new_client_order_id: Option<String>,
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
    #[serde(borrow)]
    notional: Option<&'a RawValue>,
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_price: Option<&'a RawValue>,
    #[serde(borrow)]
    trail_price: Option<&'a RawValue>,
    #[serde(borrow)]
    trail_percent: Option<&'a RawValue>,
    #[serde(borrow)]
    trail: Option<&'a RawValue>,
    #[serde(borrow)]
    take_profit: Option<WireExit<'a>>,
    #[serde(borrow)]
    stop_loss: Option<WireExit<'a>>,
    since: Option<String>,
    limit: Option<usize>,
    scope: Option<String>,
    bot: Option<String>,
    external: Option<bool>,
    dry_run: Option<bool>,
    reduce_only: Option<bool>,
    cancel_open: Option<bool>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireExit<'a> {
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_price: Option<&'a RawValue>,
}

const ACTIONS: [&str; 13] =
    ["place", "modify", "cancel", "cancel_all", "close_position", "orders", "order", "fills", "positions", "balance", "halt", "resume", "reconcile"];

/// Reads the field `command` of one entry. An order that names no type is what its prices say.
///
/// # Errors
/// When it cannot be served; the text says what is wrong and repeats nothing hostile.
pub fn parse_command(payload: &[u8]) -> Result<DeskCommand, BadCommand> {
    let bare = |reason: String| BadCommand { reason, action: None, client_order_id: None, reply_to: None };
    if payload.len() > MAX_COMMAND_BYTES {
        return Err(bare(format!("a command has at most {MAX_COMMAND_BYTES} bytes")));
    }
    let wire: Wire<'_> = serde_json::from_slice(payload).map_err(|error| unreadable(payload, &error))?;
    let reply_to = wire.reply_to.clone().filter(|channel| is_reply_channel(channel));
    let action = ACTIONS.into_iter().find(|action| *action == wire.action);
    let client_order_id = wire.client_order_id.clone().filter(|text| printable(text));
    let bad = |reason: String| BadCommand { reason, action: action.map(str::to_owned), client_order_id: client_order_id.clone(), reply_to: reply_to.clone() };
    let Some(action) = action else { return Err(bad(format!("the action is none of {}", ACTIONS.join(", ")))) };
    let wish = wire.wish(action).map_err(bad)?;
    let exchange = given(&wire.exchange).map(str::parse::<ExchangeName>).transpose().map_err(|e| bad(format!("exchange: {e}")))?;
    let expires_at = given(&wire.expires_at).map(str::parse::<Timestamp>).transpose().map_err(|e| bad(format!("expires_at: {e}")))?;
    Ok(DeskCommand { action, exchange, account: given(&wire.account).map(str::to_owned), expires_at, reply_to, untyped: given(&wire.r#type).is_none(), wish })
}

/// Who is to be told that his command cannot be read, as far as that can be read.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Sender {
    action: Option<String>,
    client_order_id: Option<String>,
    reply_to: Option<String>,
}

fn unreadable(payload: &[u8], error: &serde_json::Error) -> BadCommand {
    let sender: Sender = serde_json::from_slice(payload).unwrap_or_default();
    // serde_json quotes parts of the input in its errors; only the name of a field is repeated, and only a harmless one.
    let text = error.to_string();
    let field = text.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let reason = match field.filter(|name| name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
        Some(name) => format!("there is no field {name} in a command"),
        None => format!("not a command: a JSON object with \"action\" expected (column {})", error.column()),
    };
    BadCommand {
        reason,
        action: sender.action.filter(|action| ACTIONS.contains(&action.as_str())),
        client_order_id: sender.client_order_id.filter(|text| printable(text)),
        reply_to: sender.reply_to.filter(|channel| is_reply_channel(channel)),
    }
}

/// A name that may be repeated to whoever is answered.
fn printable(text: &str) -> bool {
    text.len() <= MAX_NAME && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A text that says something: an empty one counts as absent.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn number<T: std::str::FromStr<Err = NumberError>>(field: &str, raw: Option<&RawValue>) -> Result<Option<T>, String> {
    let text = raw.map_or("null", RawValue::get).trim_matches('"');
    if text.is_empty() || text == "null" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| format!("{field} {error}"))
}

fn needed<T>(field: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("{field} is missing"))
}

impl Wire<'_> {
    fn wish(&self, action: &str) -> Result<Wish, String> {
        Ok(match action {
            "place" => Wish::Order(Command::Place(self.request()?)),
            "modify" => Wish::Order(Command::Modify { order: self.key()?, change: self.change()? }),
            "cancel" => Wish::Order(Command::Cancel(self.key()?)),
            "cancel_all" => Wish::Order(Command::CancelAll(self.symbol().transpose()?)),
            "close_position" => {
                Wish::Order(Command::ClosePosition { client_order_id: self.client_order_id()?, symbol: needed("symbol", self.symbol().transpose()?)? })
            }
            "orders" => Wish::Ask(Question::OpenOrders(self.whose()?)),
            "order" => Wish::Ask(Question::Order(self.key()?)),
            "fills" => Wish::Ask(Question::Fills { whose: self.whose()?, since: self.since()?, limit: self.limit.unwrap_or(MAX_LISTED).min(MAX_LISTED) }),
            "positions" => Wish::Ask(Question::Positions(self.whose()?)),
            "balance" => Wish::Ask(Question::Balance(self.whose()?)),
            "halt" => Wish::Halt { scope: self.scope()?, mode: self.halt_word(), reason: self.reason() },
            "reconcile" => Wish::Reconcile { dry_run: self.dry_run.unwrap_or_default() },
            _ => Wish::Resume { scope: self.scope()? },
        })
    }

    fn symbol(&self) -> Option<Result<Symbol, String>> {
        given(&self.symbol).map(|text| text.parse::<Symbol>().map_err(|error| error.to_string()))
    }

    fn client_order_id(&self) -> Result<ClientOrderId, String> {
        ClientOrderId::of_bot(needed("client_order_id", given(&self.client_order_id))?).map_err(|error| error.to_string())
    }

    fn key(&self) -> Result<OrderKey, String> {
        match (given(&self.order_id), given(&self.client_order_id)) {
            (Some(id), _) => id.parse().map(OrderKey::Venue).map_err(|e| format!("order_id: {e}")),
            (None, Some(id)) => id.parse().map(OrderKey::Client).map_err(|e| format!("client_order_id: {e}")),
            (None, None) => Err("client_order_id or order_id is missing".to_owned()),
        }
    }

    fn since(&self) -> Result<Timestamp, String> {
        given(&self.since).map_or(Ok(Timestamp::default()), |text| text.parse().map_err(|error| format!("since: {error}")))
    }

    fn whose(&self) -> Result<Whose, String> {
        match (given(&self.bot), self.external.unwrap_or_default()) {
            (None, false) => Ok(Whose::Account),
            (Some(bot), false) => bot.parse().map(Whose::Bot).map_err(|e| format!("bot: {e}")),
            (None, true) => Ok(Whose::External),
            (Some(_), true) => Err("bot and external are both given; what is external belongs to no bot".to_owned()),
        }
    }

    fn scope(&self) -> Result<Scope, String> {
        match (given(&self.scope), given(&self.bot)) {
            (Some("all"), None) => Ok(Scope::All),
            (Some("broker"), None) => Ok(Scope::Broker),
            (None | Some("account"), None) => Ok(Scope::Account),
            (None | Some("bot"), Some(bot)) => bot.parse::<BotName>().map(|bot| Scope::Bot(bot.to_string())).map_err(|e| format!("bot: {e}")),
            (Some("bot"), None) => Err("bot is missing".to_owned()),
            _ => Err("scope is none of all, broker, account, bot".to_owned()),
        }
    }

    fn halt_word(&self) -> HaltWord {
        match (self.reduce_only, self.cancel_open) {
            (Some(true), _) => HaltWord::ReduceOnly,
            (_, Some(true)) => HaltWord::HaltAndCancel,
            _ => HaltWord::Halt,
        }
    }

    fn reason(&self) -> String {
        let text = given(&self.reason).unwrap_or("no reason given");
        text.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
    }
}

#[cfg(test)]
mod tests;
