//! Decimal numbers kept as the digits that the venue sent, inline and `Copy`.
//!
//! A price is carried through the process as text so that it reaches the bots digit for digit; it becomes a
//! [`Decimal`] only where somebody calculates. Must not know JSON documents or any exchange.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

/// Longest number accepted: more digits than any venue sends, and 24 bytes in all with the length.
const MAX_LEN: usize = 23;
/// Largest decimal exponent accepted in either direction; beyond it a number is a mistake or an attack.
const MAX_EXPONENT: i32 = 28;

/// A finite decimal number as text, in the grammar of a JSON number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digits {
    len: u8,
    text: [u8; MAX_LEN],
}

/// Why a text or a float is no acceptable number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigitsError {
    #[error("not a decimal number")]
    NotANumber,
    #[error("a number of more than {MAX_LEN} characters")]
    TooLong,
    #[error("an exponent beyond ±{MAX_EXPONENT}")]
    Exponent,
    #[error("a negative number where none can be")]
    Negative,
    #[error("zero where a price is needed")]
    Zero,
}

impl Digits {
    pub const ZERO: Digits = Digits::from_ascii_digit(b'0');

    const fn from_ascii_digit(digit: u8) -> Digits {
        let mut text = [0; MAX_LEN];
        text[0] = digit;
        Digits { len: 1, text }
    }

    /// Takes a number's text as it is, after checking the grammar and the bounds.
    pub fn parse(text: &str) -> Result<Digits, DigitsError> {
        let bytes = text.as_bytes();
        if bytes.len() > MAX_LEN {
            return Err(DigitsError::TooLong);
        }
        check_grammar(bytes)?;
        Ok(Digits::copy_of(bytes))
    }

    /// As [`Digits::parse`] for a text that somebody knows to be a JSON number already.
    pub fn of_json_number(text: &str) -> Result<Digits, DigitsError> {
        let bytes = text.as_bytes();
        if bytes.len() > MAX_LEN {
            return Err(DigitsError::TooLong);
        }
        if bytes.iter().any(|b| *b > b'9') {
            return Digits::parse(text);
        }
        Ok(Digits::copy_of(bytes))
    }

    #[inline]
    fn copy_of(bytes: &[u8]) -> Digits {
        let mut copy = [0; MAX_LEN];
        copy[..bytes.len()].copy_from_slice(bytes);
        Digits { len: bytes.len() as u8, text: copy }
    }

    /// The shortest text that reads back as `value`, for codecs that carry floats.
    pub fn from_f64(value: f64) -> Result<Digits, DigitsError> {
        if !value.is_finite() {
            return Err(DigitsError::NotANumber);
        }
        if value.fract() == 0.0 && value.abs() < 1e15 {
            return Ok(Digits::from_i64(value as i64));
        }
        Digits::parse(zmij::Buffer::new().format_finite(value))
    }

    pub fn from_u64(value: u64) -> Digits {
        Digits::from_integer_text(itoa::Buffer::new().format(value))
    }

    pub fn from_i64(value: i64) -> Digits {
        Digits::from_integer_text(itoa::Buffer::new().format(value))
    }

    fn from_integer_text(text: &str) -> Digits {
        let mut copy = [0; MAX_LEN];
        copy[..text.len()].copy_from_slice(text.as_bytes());
        Digits { len: text.len() as u8, text: copy }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub fn is_zero(&self) -> bool {
        let mantissa = self.as_bytes().iter().take_while(|b| !matches!(b, b'e' | b'E'));
        mantissa.filter(|b| b.is_ascii_digit()).all(|b| *b == b'0')
    }

    pub fn is_negative(&self) -> bool {
        self.text[0] == b'-' && !self.is_zero()
    }

    /// The value to calculate with; `None` where it does not fit 28 significant digits.
    pub fn to_decimal(&self) -> Option<Decimal> {
        let text = self.as_str();
        if self.as_bytes().iter().any(|b| matches!(b, b'e' | b'E')) { Decimal::from_scientific(text).ok() } else { Decimal::from_str_exact(text).ok() }
    }

    /// The digits of a calculated value; `None` where it has more of them than a venue would send.
    pub fn from_decimal(value: Decimal) -> Option<Digits> {
        Digits::parse(&value.normalize().to_string()).ok()
    }
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
fn check_grammar(bytes: &[u8]) -> Result<(), DigitsError> {
    let digits_from = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits_from(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return Err(DigitsError::NotANumber);
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits_from(at + 1);
        if fraction == 0 {
            return Err(DigitsError::NotANumber);
        }
        at += 1 + fraction;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let text = std::str::from_utf8(&bytes[at + 1..]).map_err(|_| DigitsError::NotANumber)?;
        let signless = text.strip_prefix(['+', '-']).unwrap_or(text);
        if signless.is_empty() || !signless.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DigitsError::NotANumber);
        }
        return match i32::from_str(text) {
            Ok(exponent) if exponent.abs() <= MAX_EXPONENT => Ok(()),
            _ => Err(DigitsError::Exponent),
        };
    }
    if at == bytes.len() { Ok(()) } else { Err(DigitsError::NotANumber) }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! number_newtype {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(Digits);

        impl $name {
            pub fn new(digits: Digits) -> Result<Self, DigitsError> {
                let check: fn(&Digits) -> Result<(), DigitsError> = $check;
                check(&digits)?;
                Ok(Self(digits))
            }

            pub fn digits(&self) -> &Digits {
                &self.0
            }

            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }

            pub fn to_decimal(&self) -> Option<Decimal> {
                self.0.to_decimal()
            }
        }

        impl FromStr for $name {
            type Err = DigitsError;

            fn from_str(text: &str) -> Result<Self, DigitsError> {
                Self::new(Digits::parse(text)?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

number_newtype!(
    /// A price somebody paid or would pay: above zero.
    Price,
    |digits| match digits {
        d if d.is_zero() => Err(DigitsError::Zero),
        d if d.is_negative() => Err(DigitsError::Negative),
        _ => Ok(()),
    }
);

number_newtype!(
    /// A size, a volume, or one side of a quote where zero says "nobody there": zero or above.
    Amount,
    |digits| if digits.is_negative() { Err(DigitsError::Negative) } else { Ok(()) }
);

impl Amount {
    pub const ZERO: Amount = Amount(Digits::ZERO);

    pub fn from_u64(value: u64) -> Amount {
        Amount(Digits::from_u64(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_the_venues_digits() {
        for text in ["0", "126.55", "105.89884750000001234", "1e-07", "-0.5", "150.00", "0.000045123456789"] {
            assert_eq!(Digits::parse(text).map(|d| d.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", "-", "01", "1.", ".5", "NaN", "Infinity", "1e", "1e+", "1e5x", "0x10", "1,5", " 1", "1_000", "--1", "+1", "1e++5"] {
            assert!(Digits::parse(text).is_err(), "{text:?} was taken for a number");
        }
        assert_eq!(Digits::parse("1e999"), Err(DigitsError::Exponent));
        assert_eq!(Digits::parse("1e-400"), Err(DigitsError::Exponent));
        assert_eq!(Digits::parse(&"9".repeat(400)), Err(DigitsError::TooLong));
        assert_eq!(Digits::from_f64(f64::NAN), Err(DigitsError::NotANumber));
    }

    #[test]
    fn a_price_is_above_zero_and_an_amount_not_below() {
        assert_eq!("0".parse::<Price>(), Err(DigitsError::Zero));
        assert_eq!("0e5".parse::<Price>(), Err(DigitsError::Zero));
        assert_eq!("-1".parse::<Price>(), Err(DigitsError::Negative));
        assert_eq!("-1".parse::<Amount>(), Err(DigitsError::Negative));
        assert!("0".parse::<Amount>().is_ok());
    }

    proptest! {
        #[test]
        fn decimals_survive_the_round_trip(mantissa in 0i64..10_000_000_000_000, scale in 0u32..9) {
            let value = Decimal::new(mantissa, scale);
            let digits = Digits::from_decimal(value).expect("thirteen digits fit");
            prop_assert_eq!(digits.to_decimal(), Some(value.normalize()));
        }

        #[test]
        fn floats_read_back_equal(value in 0.0001f64..1_000_000.0) {
            let digits = Digits::from_f64(value).expect("a finite float of that size fits");
            prop_assert_eq!(digits.as_str().parse::<f64>(), Ok(value));
        }
    }
}
