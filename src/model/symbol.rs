//! What can be traded and where, as validated names that are cheap to clone.
//!
//! Must not know channel names or how a venue spells a symbol.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

const MAX_SYMBOL: usize = 32;
const MAX_EXCHANGE: usize = 16;

/// A tradable name: `[A-Z0-9#][A-Z0-9._/@#=-]{0,31}` with at most one `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

/// Why a text is no symbol. The text itself is not repeated: it may be hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    #[error("a symbol is empty")]
    Empty,
    #[error("a symbol has at most {MAX_SYMBOL} characters")]
    TooLong,
    #[error("a symbol has capital letters, digits and ._/@#=- and starts with a letter, a digit or #")]
    Character,
    #[error("a symbol has at most one /")]
    Slashes,
    #[error("the wildcard * is for the configuration file alone")]
    Wildcard,
}

impl Symbol {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Pairs such as `BTC/USD` are traded on crypto venues, all else is a stock.
    pub fn is_pair(&self) -> bool {
        self.0.contains('/')
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Symbol, SymbolError> {
        if text.is_empty() {
            return Err(SymbolError::Empty);
        }
        if text == "*" {
            return Err(SymbolError::Wildcard);
        }
        if text.len() > MAX_SYMBOL {
            return Err(SymbolError::TooLong);
        }
        let allowed = |b: u8, first: bool| match b {
            b'A'..=b'Z' | b'0'..=b'9' | b'#' => true,
            b'.' | b'_' | b'/' | b'@' | b'=' | b'-' => !first,
            _ => false,
        };
        if !text.bytes().enumerate().all(|(at, b)| allowed(b, at == 0)) {
            return Err(SymbolError::Character);
        }
        if text.bytes().filter(|b| *b == b'/').count() > 1 {
            return Err(SymbolError::Slashes);
        }
        Ok(Symbol(text.into()))
    }
}

impl std::borrow::Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The configured name of an exchange, `[a-z][a-z0-9_]{0,15}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeName(Arc<str>);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name starts with a small letter and has at most {MAX_EXCHANGE} small letters, digits and _")]
pub struct NameError;

impl ExchangeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExchangeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<ExchangeName, NameError> {
        let fits = text.len() <= MAX_EXCHANGE && text.starts_with(|c: char| c.is_ascii_lowercase());
        let plain = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if fits && plain { Ok(ExchangeName(text.into())) } else { Err(NameError) }
    }
}

impl fmt::Display for ExchangeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ExchangeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_venues_list() {
        for text in ["A", "AAPL", "BRK.B", "BTC/USD", "BTCUSDT", "AAPL240119C00150000", "#ES", "6E", "EUR.USD", "ABC-D", "X=Y", "FOO@BAR"] {
            assert_eq!(text.parse::<Symbol>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_injections() {
        let long = "A".repeat(33);
        let huge = "A".repeat(1_000_000);
        for text in ["../orders", "AAPL\r\nPUBLISH x y", "{x}", "AAPL:1", "AAPL\0", "\u{202e}AAPL", "🚀", "aapl", " AAPL", "-A", "/USD", &long, &huge] {
            assert!(text.parse::<Symbol>().is_err(), "{:?} was taken for a symbol", &text[..text.len().min(20)]);
        }
        assert_eq!("A/B/C".parse::<Symbol>(), Err(SymbolError::Slashes));
        assert_eq!("*".parse::<Symbol>(), Err(SymbolError::Wildcard));
        assert_eq!("".parse::<Symbol>(), Err(SymbolError::Empty));
    }
}
