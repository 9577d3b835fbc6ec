//! Names of orders, executions and accounts, so that one is never taken for another.
//!
//! Must not know how a venue makes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest identifier of a venue that is accepted.
const MAX_ID: usize = 128;
/// Longest client order id that a bot may choose.
const MAX_BOT_CLIENT_ID: usize = 36;
const MAX_BOT: usize = 16;

/// Why a text is no identifier. The text itself is not repeated: it may be hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("an identifier is empty")]
    Empty,
    #[error("an identifier has at most {MAX_ID} characters")]
    TooLong,
    #[error("an identifier has visible ASCII characters only")]
    Character,
    #[error("a client order id of a bot has 1 to {MAX_BOT_CLIENT_ID} letters, digits, _ and -")]
    OfBot,
}

fn check(text: &str) -> Result<(), IdError> {
    match text {
        "" => Err(IdError::Empty),
        _ if text.len() > MAX_ID => Err(IdError::TooLong),
        _ if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') => Err(IdError::Character),
        _ => Ok(()),
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                check(text)?;
                Ok($name(text.into()))
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// The name that the sender gave an order: the key by which an order is never placed twice.
    ClientOrderId
);
identifier!(
    /// The name that the venue gave an order.
    VenueOrderId
);
identifier!(
    /// The name that the venue gave one execution.
    ExecutionId
);
identifier!(
    /// The venue's name of an account.
    AccountId
);

impl ClientOrderId {
    /// As bots may choose them: `[A-Za-z0-9_-]{1,36}`, which every venue takes.
    pub fn of_bot(text: &str) -> Result<ClientOrderId, IdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        let fits = (1..=MAX_BOT_CLIENT_ID).contains(&text.len()) && text.bytes().all(allowed);
        if fits { Ok(ClientOrderId(text.into())) } else { Err(IdError::OfBot) }
    }

    /// Whether it has the form of a UUID: made up by a venue rather than chosen by a bot.
    pub fn is_uuid(&self) -> bool {
        let fits = |(at, byte): (usize, u8)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() };
        self.0.len() == 36 && self.0.bytes().enumerate().all(fits)
    }

    /// The bot that an order belongs to: what stands before the first `-`, when it has the form of a bot's name.
    pub fn bot(&self) -> Option<&str> {
        let (bot, _) = self.0.split_once('-')?;
        let named = (1..=MAX_BOT).contains(&bot.len()) && bot.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        named.then_some(bot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_order_id_names_its_bot() {
        let bot = |text: &str| text.parse::<ClientOrderId>().unwrap().bot().map(str::to_owned);
        assert_eq!(bot("scalper-17"), Some("scalper".to_owned()));
        assert_eq!(bot("mean_rev2-a-b"), Some("mean_rev2".to_owned()));
        assert_eq!(bot("Scalper-17"), None);
        assert_eq!(bot("-17"), None);
        assert_eq!(bot("typed by hand"), None);
        assert_eq!(bot("seventeen_letters-1"), None);
    }

    #[test]
    fn a_name_that_a_venue_made_is_told_by_its_form() {
        let is_uuid = |text: &str| text.parse::<ClientOrderId>().unwrap().is_uuid();
        assert!(is_uuid("275ef9d9-18ab-4a19-b9bd-2ec3a4b0c1d2") && is_uuid("275EF9D9-18AB-4A19-B9BD-2EC3A4B0C1D2"));
        for text in ["scalper-17", "275ef9d9-18ab-4a19-b9bd-2ec3a4b0c1d", "275ef9d9018ab-4a19-b9bd-2ec3a4b0c1d2", "275ef9dg-18ab-4a19-b9bd-2ec3a4b0c1d2"] {
            assert!(!is_uuid(text), "{text}");
        }
    }

    #[test]
    fn refuses_what_no_venue_would_take() {
        assert_eq!("".parse::<VenueOrderId>(), Err(IdError::Empty));
        assert_eq!("a\nb".parse::<ExecutionId>(), Err(IdError::Character));
        assert_eq!("é".parse::<AccountId>(), Err(IdError::Character));
        assert_eq!("x".repeat(129).parse::<ClientOrderId>(), Err(IdError::TooLong));
        for text in ["", "a b", "a/b", "a.b", &"x".repeat(37)] {
            assert_eq!(ClientOrderId::of_bot(text), Err(IdError::OfBot), "{text:?}");
        }
        assert!(ClientOrderId::of_bot(&"x".repeat(36)).is_ok());
    }
}
