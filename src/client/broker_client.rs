//! Sends commands and waits for their answers: on the bot's reply channel or in the order stream, whichever is first.
//!
//! When Redis is lost before the answer came, the very same command is sent again; its client order id makes that safe.

use std::time::{Duration, Instant};

use redis::{Client, Connection, RedisError, RedisResult, Value as Reply};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::command::{Answer, Asked, modify_fields, place_fields};
use super::cursor::{Cursor, StreamId};
use super::updates::OrderUpdates;
use crate::contract::channel::{ORDERS, STATUS, order_updates};
use crate::contract::{ANONYMOUS_BOT, BotName, Verdict};
use crate::model::{ClientOrderId, Modification, OrderRequest, Symbol};

const DIAL_WITHIN: Duration = Duration::from_secs(5);
/// One answer of Redis.
const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// How long the reply channel is listened to before the order stream is looked at.
const GLANCE: Duration = Duration::from_millis(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0:?} is no name of a bot: 1 to 16 small letters, digits and _")]
    Bot(String),
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    #[error("{found} running brokers have an account {account}: start one, or name the exchange")]
    Account { account: String, found: usize },
}

/// What Redis says to XREAD: for each stream its entries, for each entry its fields.
pub(super) type Streams = Vec<(String, Vec<(String, Vec<(String, String)>)>)>;

/// A bot's side of the broker.
#[derive(Debug)]
pub struct BrokerClient {
    redis: Client,
    bot: BotName,
    account: String,
    exchange: Option<String>,
    patience: Duration,
    last_id: u128,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    brokers: Vec<Seat>,
}

#[derive(Deserialize)]
struct Seat {
    name: String,
    account: String,
    account_id: String,
}

impl BrokerClient {
    /// For the bot of that name, on the account with that configured name. Nothing is dialled yet.
    ///
    /// # Errors
    /// When the address or the name is none.
    pub fn new(url: &str, bot: &str, account: &str) -> Result<BrokerClient, ClientError> {
        let bot: BotName = bot.parse().ok().filter(|name: &BotName| name.as_str() != ANONYMOUS_BOT).ok_or_else(|| ClientError::Bot(bot.to_owned()))?;
        Ok(BrokerClient { redis: Client::open(url)?, bot, account: account.to_owned(), exchange: None, patience: ANSWER_WITHIN, last_id: 0 })
    }

    /// Where several brokers have an account of that name.
    #[must_use]
    pub fn at(self, exchange: &str) -> BrokerClient {
        BrokerClient { exchange: Some(exchange.to_owned()), ..self }
    }

    /// How long an answer is waited for.
    #[must_use]
    pub fn within(self, patience: Duration) -> BrokerClient {
        BrokerClient { patience, ..self }
    }

    /// A new client order id: the bot, then 19 characters that sort by time.
    pub fn new_id(&mut self) -> ClientOrderId {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.last_id = ((now << 45) | u128::from(fastrand::u64(..1 << 45))).max(self.last_id + 1);
        let unique: String = (0..19).rev().map(|place| char::from(DIGITS[(self.last_id >> (5 * place)) as usize & 31])).collect();
        let id = ClientOrderId::of_bot(&format!("{}-{unique}", self.bot));
        #[expect(clippy::expect_used, reason = "16 letters of a bot's name, a dash and 19 letters are 36 allowed ones")]
        id.expect("a client order id")
    }

    /// Places an order. The same one again never places a second: keep its name before you call if you must know after
    /// a crash.
    pub fn place(&mut self, order: &OrderRequest) -> Answer {
        self.ask("place", place_fields(order))
    }

    /// Changes an open order, which gets a new name if the change has none.
    pub fn modify(&mut self, order: &ClientOrderId, change: &Modification) -> Answer {
        let name = change.client_order_id.clone().unwrap_or_else(|| self.new_id());
        let mut fields = modify_fields(&Modification { client_order_id: Some(name), ..change.clone() });
        fields.insert("client_order_id".to_owned(), order.as_str().into());
        self.ask("modify", fields)
    }

    pub fn cancel(&mut self, order: &ClientOrderId) -> Answer {
        self.ask("cancel", Map::from_iter([("client_order_id".to_owned(), order.as_str().into())]))
    }

    /// Cancels all open orders of the account, those of other bots too.
    pub fn cancel_all(&mut self, symbol: Option<&Symbol>) -> Answer {
        self.ask("cancel_all", symbol.map(|symbol| ("symbol".to_owned(), symbol.as_str().into())).into_iter().collect())
    }

    /// Any command of the desk, with its fields. No answer in time is [`Verdict::Unknown`], never a guess.
    pub fn ask(&mut self, action: &'static str, mut fields: Map<String, Value>) -> Answer {
        let deadline = Instant::now() + self.patience;
        let replies = format!("broker:replies:{}", self.bot);
        let exchange = self.exchange.as_deref().map(|name| ("exchange", name));
        for (name, value) in [("account", self.account.as_str()), ("reply_to", &replies)].into_iter().chain(exchange) {
            fields.entry(name).or_insert_with(|| value.into());
        }
        let asked = Asked::new(action, fields);
        let (mut sent, mut attempt, mut tail) = (0, 0, None);
        while Instant::now() < deadline {
            match self.try_once(&asked, &replies, deadline, &mut sent, &mut tail) {
                Ok(Some(answer)) => return answer,
                Ok(None) => break,
                Err(error) => {
                    log::warn!("redis is lost, {action} is sent again: {error}");
                    pause(&mut attempt, deadline);
                }
            }
        }
        let (result, reason) = match sent {
            0 => (Verdict::Denied, "redis is not reachable, nothing was sent"),
            _ => (Verdict::Unknown, "no answer came in time: it may have been carried out, look it up"),
        };
        Answer { result, client_order_id: asked.name(), reason: Some(reason.to_owned()), text: String::new() }
    }

    fn try_once(&self, asked: &Asked, replies: &str, deadline: Instant, sent: &mut u32, tail: &mut Option<(String, StreamId)>) -> RedisResult<Option<Answer>> {
        let mut commands = self.dial()?;
        let mut ears = self.dial()?;
        let mut ears = ears.as_pubsub();
        // The subscription is confirmed before anything is sent.
        ears.subscribe(replies)?;
        ears.set_read_timeout(Some(GLANCE))?;
        if tail.is_none() {
            // No broker says yet what its order stream is called; it may still reply.
            if let Ok(stream) = self.stream(&mut commands) {
                let end = last_id(&mut commands, &stream)?;
                *tail = Some((stream, end));
            }
        }
        *sent += 1;
        redis::cmd("XADD").arg(ORDERS).arg("*").arg("command").arg(&asked.text).exec(&mut commands)?;
        while Instant::now() < deadline {
            match ears.get_message() {
                Ok(message) => {
                    let answer = message.get_payload::<String>().ok().and_then(|text| asked.answered_by(&text, *sent));
                    if answer.is_some() {
                        return Ok(answer);
                    }
                }
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error),
            }
            let Some((stream, end)) = tail else { continue };
            for (id, text) in read(&mut commands, stream, *end, None)? {
                *end = id;
                let answer = asked.answered_by(&text, *sent);
                if answer.is_some() {
                    return Ok(answer);
                }
            }
        }
        Ok(None)
    }

    /// The order updates of this bot from the cursor on.
    pub fn updates(&self, cursor: Cursor) -> OrderUpdates {
        OrderUpdates::new(
            BrokerClient { redis: self.redis.clone(), exchange: self.exchange.clone(), account: self.account.clone(), bot: self.bot.clone(), ..*self },
            cursor,
        )
    }

    pub(super) fn bot(&self) -> &str {
        self.bot.as_str()
    }

    pub(super) fn dial(&self) -> RedisResult<Connection> {
        let connection = self.redis.get_connection_with_timeout(DIAL_WITHIN)?;
        connection.set_read_timeout(Some(REPLY_WITHIN))?;
        connection.set_write_timeout(Some(REPLY_WITHIN))?;
        Ok(connection)
    }

    /// The stream of the account's order updates; its name holds the venue's id of the account, which the broker knows.
    pub(super) fn stream(&self, connection: &mut Connection) -> Result<String, ClientError> {
        let text: Option<String> = redis::cmd("GET").arg(STATUS).query(connection)?;
        let status: Status = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let fits = |seat: &Seat| seat.account == self.account && self.exchange.as_ref().is_none_or(|name| *name == seat.name);
        let mut known: Vec<String> = status.brokers.into_iter().filter(fits).map(|seat| seat.account_id).collect();
        known.dedup();
        match known.as_slice() {
            [id] => Ok(order_updates(id)),
            several => Err(ClientError::Account { account: self.account.clone(), found: several.len() }),
        }
    }
}

/// The entries behind that one, waiting for the first one if a time is given.
pub(super) fn read(connection: &mut Connection, stream: &str, after: StreamId, wait: Option<Duration>) -> RedisResult<Vec<(StreamId, String)>> {
    let mut command = redis::cmd("XREAD");
    command.arg("COUNT").arg(100);
    if let Some(wait) = wait {
        command.arg("BLOCK").arg(wait.as_millis().max(1) as u64);
    }
    let found: Option<Streams> = command.arg("STREAMS").arg(stream).arg(after.to_string()).query(connection)?;
    let entries = found.into_iter().flatten().flat_map(|(_, entries)| entries);
    Ok(entries.filter_map(|(id, fields)| Some((id.parse().ok()?, fields.into_iter().find(|(name, _)| name == "event")?.1))).collect())
}

/// The id of the last entry; that of none when there is no stream.
pub(super) fn last_id(connection: &mut Connection, stream: &str) -> RedisResult<StreamId> {
    let found: Vec<(String, Reply)> = redis::cmd("XREVRANGE").arg(stream).arg("+").arg("-").arg("COUNT").arg(1).query(connection)?;
    Ok(found.first().and_then(|(id, _)| id.parse().ok()).unwrap_or_default())
}

/// Waits longer each time, at most 5 s and not beyond the deadline.
pub(super) fn pause(attempt: &mut u32, deadline: Instant) {
    let most = Duration::from_millis(100 << (*attempt).min(6)).min(Duration::from_secs(5));
    *attempt += 1;
    let wait = most.mul_f64(0.5 + fastrand::f64() / 2.0);
    let _ = crossbeam_channel::after(wait.min(deadline.saturating_duration_since(Instant::now()))).recv();
}
