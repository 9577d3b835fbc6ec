//! A bot of the tests: registers, listens on channels, keeps every message in order, and holds each against the contract.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rig::PATIENCE;
use super::schema::contract;

/// Subscribed to channels on a connection of its own, with another one to speak.
pub struct Bot {
    speaker: redis::Connection,
    listener: redis::Connection,
    pub heard: Vec<Message>,
}

#[derive(Debug, Clone)]
pub struct Message {
    pub channel: String,
    /// The contract's name of the message.
    pub name: String,
    pub body: Value,
    pub text: String,
    pub at: Instant,
}

impl Bot {
    /// Listens on these channels; a name with `*` is a pattern.
    pub fn listening(url: &str, channels: &[&str]) -> Bot {
        let client = redis::Client::open(url).unwrap();
        let mut bot = Bot { speaker: client.get_connection().unwrap(), listener: client.get_connection().unwrap(), heard: Vec::new() };
        bot.listener.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for channel in channels {
            let command = if channel.contains('*') { "PSUBSCRIBE" } else { "SUBSCRIBE" };
            let packed = redis::cmd(command).arg(channel).get_packed_command();
            redis::ConnectionLike::req_packed_command(&mut bot.listener, &packed).unwrap();
        }
        bot
    }

    /// Listens on this channel no longer.
    pub fn close(&mut self, channel: &str) {
        self.listener.send_packed_command(&redis::cmd("UNSUBSCRIBE").arg(channel).get_packed_command()).unwrap();
        self.listener.set_read_timeout(Some(PATIENCE)).unwrap();
        // What came before the confirmation counts.
        while let Some(message) = redis::Msg::from_owned_value(self.listener.recv_response().unwrap()) {
            self.keep(&message);
        }
    }

    /// Says something on a registration channel; how many heard it.
    pub fn say(&mut self, channel: &str, message: &str) -> i64 {
        redis::cmd("PUBLISH").arg(channel).arg(message).query(&mut self.speaker).unwrap()
    }

    /// Asks the order desk; the id of the entry.
    pub fn command(&mut self, command: &str) -> String {
        let body = serde_json::from_str(command).unwrap();
        let name = contract().message("broker:orders", &body).unwrap_or_else(|reason| panic!("no command of the contract: {reason}: {command}"));
        self.heard.push(Message { channel: "broker:orders".to_owned(), name, body, text: command.to_owned(), at: Instant::now() });
        redis::cmd("XADD").arg("broker:orders").arg("*").arg("command").arg(command).query(&mut self.speaker).unwrap()
    }

    /// The next message, kept in `heard`; `None` when none comes in time.
    pub fn next_within(&mut self, patience: Duration) -> Option<Message> {
        self.listener.set_read_timeout(Some(patience.max(Duration::from_millis(1)))).unwrap();
        let value = self.listener.recv_response().ok()?;
        let message = redis::Msg::from_owned_value(value)?;
        Some(self.keep(&message))
    }

    fn keep(&mut self, message: &redis::Msg) -> Message {
        let text: String = message.get_payload().unwrap();
        let channel = message.get_channel_name().to_owned();
        let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{channel} carries no JSON: {error}: {text}"));
        let name = contract().message(&channel, &body).unwrap_or_else(|reason| panic!("{channel} carries what the contract does not know: {reason}: {text}"));
        let message = Message { channel, name, body, text, at: Instant::now() };
        self.heard.push(message.clone());
        message
    }

    /// What fits among the messages since `mark`, a length of `heard`; listens until there is one. For messages of several
    /// channels, whose order nobody promises.
    pub fn since(&mut self, mark: usize, what: &str, fits: impl Fn(&Message) -> bool) -> Message {
        let known = self.heard[mark..].iter().find(|message| fits(message)).cloned();
        known.unwrap_or_else(|| self.until(what, fits))
    }

    /// Listens until a message fits.
    pub fn until(&mut self, what: &str, fits: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no message in {PATIENCE:?} that is {what}; {} others came", self.heard.len());
            if let Some(message) = self.next_within(left).filter(|message| fits(message)) {
                return message;
            }
        }
    }

    /// Listens until that many messages have been heard in all.
    pub fn until_heard(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.heard.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} messages in {PATIENCE:?}", self.heard.len());
            self.next_within(left);
        }
    }

    /// Listens until nothing has come for so long.
    pub fn until_quiet(&mut self, quiet: Duration) {
        while self.next_within(quiet).is_some() {}
    }

    /// The sequence numbers of each channel and message type, in the order heard.
    pub fn sequences(&self) -> BTreeMap<(String, String), Vec<u64>> {
        let mut all: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
        for message in &self.heard {
            if let (Some(seq), Some(kind)) = (message.body["seq"].as_u64(), message.body["type"].as_str()) {
                all.entry((message.channel.clone(), kind.to_owned())).or_default().push(seq);
            }
        }
        all
    }

    /// No sequence has a gap or goes back.
    pub fn assert_contiguous(&self) {
        for (of, sequence) in self.sequences() {
            let gap = sequence.windows(2).find(|pair| pair[1] != pair[0] + 1);
            assert_eq!(gap, None, "{of:?} is not contiguous");
        }
    }
}
