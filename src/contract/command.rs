//! What bots ask of the order desk: entries of the stream `broker:orders`, read into one command.
//!
//! Numbers may come as texts or as JSON numbers and are read as decimals from their own digits. Must not know brokers.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::channel::is_reply_channel;
use crate::events::{Command, OrderKey};
use crate::model::{
    ClientOrderId, ExchangeName, Exit, Modification, OrderClass, OrderPrice, OrderRequest, OrderType, Quantity, Side, Size, StopLoss, Symbol, TakeProfit,
    TimeInForce, Timestamp, Trail,
};

/// A longer command is refused before anything reads it.
pub const MAX_COMMAND_BYTES: usize = 16 * 1024;
const MAX_LISTED: usize = 500;
const MAX_REASON: usize = 200;
const MAX_NAME: usize = 128;

/// One entry of `broker:orders`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskCommand {
    /// As the sender wrote it, for the answer.
    pub action: &'static str,
    /// The broker's configured name; the default one when absent.
    pub exchange: Option<ExchangeName>,
    /// The account's configured name or the venue's id of it.
    pub account: Option<String>,
    /// Not after this.
    pub expires_at: Option<Timestamp>,
    pub reply_to: Option<String>,
    /// An order that names no type: it is what its prices say.
    pub untyped: bool,
    pub wish: Wish,
}

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    Order(Command),
    Ask(Question),
    Halt {
        scope: Scope,
        mode: HaltWord,
        reason: String,
    },
    Resume {
        scope: Scope,
    },
    /// Compare what we know with what the venue holds; `dry_run` repairs nothing.
    Reconcile {
        dry_run: bool,
    },
}

/// What can be asked of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    OpenOrders(Whose),
    Order(OrderKey),
    Fills { whose: Whose, since: Timestamp, limit: usize },
    Positions(Whose),
    Balance(Whose),
}

/// Whose part of an account a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// All of it, as the venue tells it.
    Account,
    Bot(super::BotName),
    /// What nobody asked of us: orders by another program, or by hand at the venue.
    External,
}

/// Whom a halt is for, beside the broker and account that the command names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    Broker,
    Account,
    Bot(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltWord {
    /// Nothing new; open orders stay.
    Halt,
    /// Nothing new, and open orders are cancelled.
    HaltAndCancel,
    /// Only what makes a position smaller.
    ReduceOnly,
}

/// An entry that cannot be served, and where its sender waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadCommand {
    pub reason: String,
    pub action: Option<String>,
    pub client_order_id: Option<String>,
    pub reply_to: Option<String>,
}

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

fn number<T: std::str::FromStr<Err = crate::model::NumberError>>(field: &str, raw: Option<&RawValue>) -> Result<Option<T>, String> {
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

    fn request(&self) -> Result<OrderRequest, String> {
        let size = match (number::<Quantity>("qty", self.qty)?, number("notional", self.notional)?) {
            (Some(quantity), None) => Size::Quantity(quantity),
            (None, Some(money)) => Size::Notional(money),
            (None, None) => return Err("qty or notional is missing".to_owned()),
            (Some(_), Some(_)) => return Err("qty and notional are both given; one of them is enough".to_owned()),
        };
        Ok(OrderRequest {
            client_order_id: self.client_order_id()?,
            symbol: needed("symbol", self.symbol().transpose()?)?,
            side: self.side()?,
            size,
            kind: self.kind()?,
            time_in_force: self.time_in_force()?.unwrap_or(TimeInForce::Day),
            extended_hours: self.extended_hours.unwrap_or_default(),
            class: self.class()?,
        })
    }

    fn side(&self) -> Result<Side, String> {
        match given(&self.side) {
            Some("buy") => Ok(Side::Buy),
            Some("sell") => Ok(Side::Sell),
            _ => Err("side is neither buy nor sell".to_owned()),
        }
    }

    fn kind(&self) -> Result<OrderType, String> {
        let limit = number::<OrderPrice>("limit_price", self.limit_price)?;
        let stop = number::<OrderPrice>("stop_price", self.stop_price)?;
        let trail = match (number("trail_price", self.trail_price)?, number("trail_percent", self.trail_percent)?) {
            (Some(price), None) => Some(Trail::Price(price)),
            (None, Some(percent)) => Some(Trail::Percent(percent)),
            (None, None) => None,
            (Some(_), Some(_)) => return Err("trail_price and trail_percent are both given; one of them is enough".to_owned()),
        };
        let word = match given(&self.r#type) {
            Some(word) => word,
            None => match (trail.is_some(), stop.is_some(), limit.is_some()) {
                (true, ..) => "trailing_stop",
                (_, true, true) => "stop_limit",
                (_, true, false) => "stop",
                (_, _, true) => "limit",
                _ => "market",
            },
        };
        let unused = |field: &str| Err(format!("{field} does not belong to a {word} order"));
        match (word, limit, stop, trail) {
            ("market", None, None, None) => Ok(OrderType::Market),
            ("limit", Some(limit), None, None) => Ok(OrderType::Limit { limit }),
            ("stop", None, Some(stop), None) => Ok(OrderType::Stop { stop }),
            ("stop_limit", Some(limit), Some(stop), None) => Ok(OrderType::StopLimit { stop, limit }),
            ("trailing_stop", None, None, Some(trail)) => Ok(OrderType::TrailingStop { trail }),
            ("limit" | "stop_limit", None, ..) => Err("limit_price is missing".to_owned()),
            ("stop" | "stop_limit", _, None, _) => Err("stop_price is missing".to_owned()),
            ("trailing_stop", _, _, None) => Err("trail_price or trail_percent is missing".to_owned()),
            ("market" | "limit" | "stop" | "stop_limit", _, _, Some(_)) => unused("a trail"),
            ("market" | "stop" | "trailing_stop", Some(_), ..) => unused("limit_price"),
            ("market" | "limit" | "trailing_stop", _, Some(_), _) => unused("stop_price"),
            _ => Err("type is none of market, limit, stop, stop_limit, trailing_stop".to_owned()),
        }
    }

    fn time_in_force(&self) -> Result<Option<TimeInForce>, String> {
        let Some(word) = given(&self.time_in_force) else { return Ok(None) };
        let known = TimeInForce::ALL.into_iter().find(|known| known.as_str() == word);
        known.map(Some).ok_or_else(|| format!("time_in_force is none of {}", TimeInForce::ALL.map(TimeInForce::as_str).join(", ")))
    }

    fn class(&self) -> Result<OrderClass, String> {
        let profit = match &self.take_profit {
            Some(exit) => Some(TakeProfit { limit: needed("take_profit.limit_price", number("take_profit.limit_price", exit.limit_price)?)? }),
            None => None,
        };
        let loss = match &self.stop_loss {
            Some(exit) => Some(StopLoss {
                stop: needed("stop_loss.stop_price", number("stop_loss.stop_price", exit.stop_price)?)?,
                limit: number("stop_loss.limit_price", exit.limit_price)?,
            }),
            None => None,
        };
        match (given(&self.order_class).unwrap_or("simple"), profit, loss) {
            ("simple", None, None) => Ok(OrderClass::Simple),
            ("simple", ..) => Err("take_profit and stop_loss need the order_class bracket, oco or oto".to_owned()),
            ("bracket", Some(profit), Some(loss)) => Ok(OrderClass::Bracket { profit, loss }),
            ("bracket", ..) => Err("a bracket needs take_profit and stop_loss".to_owned()),
            ("oco", None, Some(loss)) => Ok(OrderClass::Oco { loss }),
            ("oco", ..) => Err("an oco order is the profit side itself, a limit order, and needs stop_loss alone".to_owned()),
            ("oto", Some(profit), None) => Ok(OrderClass::Oto { exit: Exit::Profit(profit) }),
            ("oto", None, Some(loss)) => Ok(OrderClass::Oto { exit: Exit::Loss(loss) }),
            ("oto", ..) => Err("an oto order needs take_profit or stop_loss, one of them".to_owned()),
            _ => Err("order_class is none of simple, bracket, oco, oto".to_owned()),
        }
    }

    fn change(&self) -> Result<Modification, String> {
        let trail = number::<OrderPrice>("trail", self.trail)?.map(OrderPrice::value);
        let change = Modification {
            quantity: number("qty", self.qty)?,
            limit: number("limit_price", self.limit_price)?,
            stop: number("stop_price", self.stop_price)?,
            trail,
            time_in_force: self.time_in_force()?,
            client_order_id: given(&self.new_client_order_id).map(ClientOrderId::of_bot).transpose().map_err(|e| format!("new_client_order_id: {e}"))?,
        };
        let nothing = Modification { client_order_id: change.client_order_id.clone(), ..Modification::default() };
        if change == nothing { Err("nothing is to be changed: give qty, limit_price, stop_price, trail or time_in_force".to_owned()) } else { Ok(change) }
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
            (None | Some("bot"), Some(bot)) => bot.parse::<super::BotName>().map(|bot| Scope::Bot(bot.to_string())).map_err(|e| format!("bot: {e}")),
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

/// A decimal as JSON text: digits without an exponent, in quotes.
pub fn decimal_text(value: Decimal) -> String {
    value.normalize().to_string()
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
