//! What goes wrong with Redis: what happened, whose fault it is, what to do, and how soon to try again.
//!
//! No text here carries a secret: answers to a login are told by their code alone, since a server may echo arguments.

use std::time::Duration;

use super::resp::RespError;
use crate::net::DialError;

/// How soon another attempt makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It may be back any moment: a restart, a hang.
    Soon,
    /// It answers, but not as we need it.
    Later,
    /// Somebody must change something first.
    Patiently,
}

/// Why there is no working connection. `place` is an address that may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    #[error("stopped while connecting to Redis")]
    Stopped,
    #[error("cannot reach Redis at {place}: {cause}; start it, or correct REDIS_URL (or REDIS_HOST and REDIS_PORT)")]
    Unreachable { place: String, cause: String, refused: bool },
    #[error("TLS with Redis at {place} failed: {cause}; check the certificate's name and the CA file")]
    Tls { place: String, cause: String },
    #[error("Redis at {place} did not answer within {waited:?}; it hangs, or the network does")]
    Silent { place: String, waited: Duration },
    #[error("Redis at {place} ended the connection: {cause}")]
    Closed { place: String, cause: String },
    #[error("Redis at {place} refused the user or password ({code}); check REDIS_USERNAME and REDIS_PASSWORD and that the user is on")]
    WrongPassword { place: String, code: String },
    #[error("Redis at {place} wants a password; set REDIS_PASSWORD (and REDIS_USERNAME for an ACL user)")]
    PasswordNeeded { place: String },
    #[error("Redis at {place} does not let this user run {command}; add it to the user's ACL (see configs/)")]
    Denied { place: String, command: &'static str },
    #[error("Redis at {place} is still loading its data")]
    Loading { place: String },
    #[error("Redis at {place} has all its client places taken; raise maxclients or close other clients")]
    Full { place: String },
    #[error("Redis at {place} is a {role}, not the master; point REDIS_URL to the master, or to the sentinels")]
    NotMaster { place: String, role: String },
    #[error("no sentinel knows the master of {master}: {cause}; check the name and the sentinels")]
    Sentinel { master: String, cause: String },
    #[error("Redis at {place} refused {command}: {answer}")]
    Refused { place: String, command: &'static str, answer: String },
    #[error("{place} does not speak the protocol of Redis: {cause}; check host and port, and rediss:// against redis://")]
    Protocol { place: String, cause: RespError },
}

impl RedisError {
    pub fn pace(&self) -> Pace {
        match self {
            RedisError::Unreachable { refused: true, .. }
            | RedisError::Silent { .. }
            | RedisError::Closed { .. }
            | RedisError::Loading { .. }
            | RedisError::Stopped => Pace::Soon,
            RedisError::WrongPassword { .. } | RedisError::PasswordNeeded { .. } | RedisError::Denied { .. } | RedisError::Tls { .. } => Pace::Patiently,
            RedisError::Unreachable { .. }
            | RedisError::Full { .. }
            | RedisError::NotMaster { .. }
            | RedisError::Sentinel { .. }
            | RedisError::Refused { .. }
            | RedisError::Protocol { .. } => Pace::Later,
        }
    }

    /// One word for status pages and for telling each kind of trouble once a minute.
    pub fn kind(&self) -> &'static str {
        match self {
            RedisError::Stopped => "stopped",
            RedisError::Unreachable { .. } => "unreachable",
            RedisError::Tls { .. } => "tls",
            RedisError::Silent { .. } => "silent",
            RedisError::Closed { .. } => "closed",
            RedisError::WrongPassword { .. } | RedisError::PasswordNeeded { .. } => "auth",
            RedisError::Denied { .. } => "denied",
            RedisError::Loading { .. } => "loading",
            RedisError::Full { .. } => "full",
            RedisError::NotMaster { .. } => "replica",
            RedisError::Sentinel { .. } => "sentinel",
            RedisError::Refused { .. } => "refused",
            RedisError::Protocol { .. } => "protocol",
        }
    }

    pub(super) fn from_dial(place: &str, error: DialError) -> RedisError {
        let place = place.to_owned();
        match error {
            DialError::Stopped => RedisError::Stopped,
            DialError::Resolve { cause, .. } => RedisError::Unreachable { place, cause, refused: false },
            DialError::Connect { cause, .. } => {
                use std::io::ErrorKind::{ConnectionRefused, NotFound, TimedOut, WouldBlock};
                // A unix socket that is not there yet, or whose queue is full, is the same as a refused port.
                let refused = matches!(cause.kind(), ConnectionRefused | NotFound | TimedOut | WouldBlock);
                RedisError::Unreachable { place, cause: cause.to_string(), refused }
            }
            DialError::Tls { cause, .. } => RedisError::Tls { place, cause },
        }
    }

    /// The meaning of an error reply.
    pub(super) fn from_answer(place: &str, command: &'static str, answer: &str) -> RedisError {
        let place = place.to_owned();
        let code = error_code(answer);
        match code {
            "WRONGPASS" => RedisError::WrongPassword { place, code: code.to_owned() },
            "NOAUTH" => RedisError::PasswordNeeded { place },
            "LOADING" => RedisError::Loading { place },
            "READONLY" => RedisError::NotMaster { place, role: "read-only replica".to_owned() },
            _ if answer.contains("max number of clients") => RedisError::Full { place },
            _ if command == "AUTH" => RedisError::WrongPassword { place, code: code.to_owned() },
            "NOPERM" => RedisError::Denied { place, command },
            _ => RedisError::Refused { place, command, answer: safe_text(answer) },
        }
    }
}

/// The first word of an error reply, if it looks like one.
pub(super) fn error_code(answer: &str) -> &str {
    let word = answer.split(' ').next().unwrap_or_default();
    let plain = (1..=32).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if plain { word } else { "ERR" }
}

/// Somebody else's text, fit for a log: one line, bounded.
pub(super) fn safe_text(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classified_and_logins_never_echoed() {
        let of = |command, answer| RedisError::from_answer("redis://h:1", command, answer);
        assert_eq!(of("AUTH", "WRONGPASS invalid username-password pair or user is disabled.").kind(), "auth");
        assert_eq!(of("ROLE", "NOAUTH Authentication required.").pace(), Pace::Patiently);
        assert_eq!(of("ROLE", "NOPERM this user has no permissions to run the 'role' command").kind(), "denied");
        assert_eq!(of("ROLE", "ERR max number of clients reached").kind(), "full");
        assert_eq!(of("SELECT", "LOADING Redis is loading the dataset in memory").pace(), Pace::Soon);
        assert_eq!(of("HSET", "READONLY You can't write against a read only replica.").kind(), "replica");
        let echoed = of("AUTH", "ERR unknown command 'AUTH', with args beginning with: 'hunter2'").to_string();
        assert!(!echoed.contains("hunter2"), "{echoed}");
        assert!(!of("SELECT", "ERR a\nb\x1b[2J").to_string().contains(['\n', '\x1b']));
        assert_eq!(error_code("hunter2 is wrong"), "ERR");
    }
}
