//! Why a command failed, and with which exit code.

use std::io;
use std::sync::Arc;

use redis::RedisError;

use super::exit;
use crate::config::ConfigError;
use crate::hub::HubError;
use crate::journal::JournalError;
use crate::observe::LogError;
use crate::sim::SimError;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("Redis at {place} does not serve us: {source}; name another one with --redis URL")]
    Redis { place: String, source: RedisError },
    #[error("{0} is no Redis address: it looks like redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix:///PATH?db=DB")]
    Address(&'static str),
    #[error("{0} is no file of a running broker: {1}; remove it, or name the Redis with --redis URL")]
    Endpoint(String, String),
    #[error("no broker is running at {0}: start one with `alpaca-broker run`, or name its Redis with --redis URL")]
    NoBroker(String),
    #[error("the broker at {0} did not answer within {1} s: `alpaca-broker status` tells how it is")]
    NoAnswer(String, u64),
    #[error("interrupted before the broker answered")]
    Interrupted,
    #[error("the broker refused what is listed above")]
    Refused,
    #[error("this account holds real money, and --live was not given; nothing was sent")]
    Live,
    #[error("no such broker or account takes orders; there is {0}")]
    NoSuchBroker(String),
    #[error("what the broker says is not understood: {0}; is it of another version?")]
    Message(#[from] serde_json::Error),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
    #[error("{0}")]
    Configuration(#[from] ConfigError),
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error("the built-in exchange does not start: {0}")]
    Sim(#[from] SimError),
    #[error("there is no journal at {0}: name the data folder of the broker with --data-dir FOLDER")]
    NoJournal(String),
    #[error("the journal does not open: {0}")]
    Journal(#[from] JournalError),
    #[error("no order {order} is known in {journal}: neither a client order id nor a venue's id there is that; {accounts}")]
    NoOrder { order: String, journal: String, accounts: String },
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("signals cannot be handled: {0}")]
    Signals(#[from] ctrlc::Error),
}

impl CliError {
    /// Whoever read the output has seen enough: no failure.
    pub fn is_reader_gone(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// A signal came while Redis was being read.
    pub fn is_interruption(&self) -> bool {
        matches!(self, CliError::Redis { source, .. } if is_interruption(source))
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            _ if self.is_reader_gone() => exit::OK,
            CliError::Configuration(_) => exit::CONFIGURATION,
            CliError::Hub(HubError::Tls(_) | HubError::Halts(_) | HubError::Brokers(_)) => exit::CONFIGURATION,
            CliError::Hub(HubError::AnotherBroker { .. } | HubError::FolderInUse(_) | HubError::ForeignStream(_)) => exit::OTHER_BROKER,
            CliError::Hub(_) => exit::INTERNAL,
            _ => exit::FAILED,
        }
    }
}

/// A signal ended the read; redis-rs hides that behind a shared error.
pub fn is_interruption(error: &RedisError) -> bool {
    let shared = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>());
    shared.and_then(|inner| inner.downcast_ref::<io::Error>()).is_some_and(|error| error.kind() == io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_broker_is_no_fault_of_the_program() {
        let error = CliError::from(HubError::AnotherBroker { who: "process 7 on host a".to_owned() });
        assert_eq!(error.exit_code(), exit::OTHER_BROKER);
        assert!(error.to_string().starts_with("this Redis is served by process 7 on host a; "), "{error}");
    }
}
