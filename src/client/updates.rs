//! The order stream from a cursor on: in order, each event once, gaps told.

use std::time::{Duration, Instant};

use redis::Connection;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::broker_client::{BrokerClient, ClientError, last_id, pause, read};
use super::cursor::{Cursor, StreamId};

/// How long one look waits in Redis for news; less than its answer may take.
const LOOK: Duration = Duration::from_secs(2);

/// Entries are missing between the two: ask for the open orders and the executions. The next event is the one that was
/// found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the order stream goes on with {found} after {after}")]
pub struct Gap {
    pub after: StreamId,
    pub found: StreamId,
}

/// What happened to an order of the bot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Update {
    #[serde(skip)]
    pub id: StreamId,
    /// The venue's word, or ours: `fill`, `canceled`, `denied` ...
    pub event: String,
    pub execution_id: Option<String>,
    pub price: Option<Decimal>,
    pub qty: Option<Decimal>,
    pub reason: Option<String>,
    pub bot: Option<String>,
    client_order_id: Option<String>,
    pub order_data: Option<OrderData>,
    /// The whole entry as it came.
    #[serde(skip)]
    pub text: String,
}

/// Of the venue's order object, what most bots look at; all of it is in the text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct OrderData {
    pub id: String,
    pub client_order_id: Option<String>,
    pub symbol: String,
    pub side: Option<String>,
    pub status: String,
    pub filled_qty: Option<Decimal>,
}

impl Update {
    pub fn client_order_id(&self) -> Option<&str> {
        self.client_order_id.as_deref().or(self.order_data.as_ref()?.client_order_id.as_deref())
    }

    fn is_of(&self, bot: &str) -> bool {
        let named = || self.client_order_id().and_then(|name| name.split_once('-')).map(|(bot, _)| bot);
        self.bot.as_deref().or_else(named) == Some(bot)
    }

    /// What is the same however often one execution is told; a bust of it is another thing.
    fn execution(&self) -> Option<String> {
        self.execution_id.as_ref().map(|id| format!("{}:{id}", self.event.trim_start_matches("partial_")))
    }
}

/// The order updates of a bot. The cursor moves, and is saved, when the next one is asked for: what was handed out last
/// is handed out again after a crash.
#[derive(Debug)]
pub struct OrderUpdates {
    client: BrokerClient,
    pub cursor: Cursor,
    connection: Option<Session>,
    waiting: std::vec::IntoIter<(StreamId, String)>,
    next: Option<(StreamId, String)>,
    handed_out: Option<(StreamId, Option<String>)>,
    attempt: u32,
}

struct Session {
    connection: Connection,
    stream: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.stream)
    }
}

impl OrderUpdates {
    pub(super) fn new(client: BrokerClient, cursor: Cursor) -> OrderUpdates {
        OrderUpdates { client, cursor, connection: None, waiting: Vec::new().into_iter(), next: None, handed_out: None, attempt: 0 }
    }

    /// The next event, or none within that time. A gap is told once and then passed.
    ///
    /// # Errors
    /// [`Gap`].
    pub fn poll(&mut self, within: Duration) -> Result<Option<Update>, Gap> {
        let deadline = Instant::now() + within;
        if let Some((id, execution)) = self.handed_out.take() {
            execution.into_iter().for_each(|execution| self.cursor.see(execution));
            self.cursor.position = id;
            if let Err(error) = self.cursor.save() {
                log::error!("{error}");
            }
        }
        loop {
            while let Some((id, text)) = self.next.take().or_else(|| self.waiting.next()) {
                let after = self.cursor.position;
                if !after.is_followed_by(id) {
                    // From here on it follows.
                    self.cursor.position = StreamId { number: id.number.saturating_sub(1), ..id };
                    self.next = Some((id, text));
                    return Err(Gap { after, found: id });
                }
                let mut update: Update = serde_json::from_str(&text).unwrap_or_default();
                let execution = update.execution();
                let repeated = execution.as_ref().is_some_and(|execution| self.cursor.has_seen(execution));
                if !update.is_of(self.client.bot()) || repeated {
                    self.cursor.position = id;
                    continue;
                }
                self.handed_out = Some((id, execution));
                (update.id, update.text) = (id, text);
                return Ok(Some(update));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            match self.look(left.min(LOOK)) {
                Ok(found) => (self.attempt, self.waiting) = (0, found.into_iter()),
                Err(error) => {
                    log::warn!("no order updates, trying again: {error}");
                    self.connection = None;
                    pause(&mut self.attempt, deadline);
                }
            }
        }
    }

    fn look(&mut self, wait: Duration) -> Result<Vec<(StreamId, String)>, ClientError> {
        if self.connection.is_none() {
            let mut connection = self.client.dial()?;
            let stream = self.client.stream(&mut connection)?;
            self.connection = Some(Session { connection, stream });
        }
        let Some(Session { connection, stream }) = &mut self.connection else { return Ok(Vec::new()) };
        let found = read(connection, stream, self.cursor.position, Some(wait))?;
        if found.is_empty() {
            let last = last_id(connection, stream)?;
            // Another stream than the one we know: all of it is read, what was seen is dropped.
            if last.epoch > 0 && last.epoch < self.cursor.position.epoch {
                self.cursor.position = StreamId::default();
            }
        }
        Ok(found)
    }
}

impl Iterator for OrderUpdates {
    type Item = Result<Update, Gap>;

    /// Waits for the next event for ever.
    fn next(&mut self) -> Option<Result<Update, Gap>> {
        loop {
            if let Some(found) = self.poll(Duration::from_secs(3_600)).transpose() {
                return Some(found);
            }
        }
    }
}
