//! The numbers of an order: decimals above zero, bounded so that a price times a quantity always fits.
//!
//! Must not know what an order does with them.

use rust_decimal::Decimal;

/// Numbers of an order stay below this.
const BOUND: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);
/// And have at most so many decimals.
pub(super) const DECIMALS: u32 = 9;

/// Why a number cannot stand in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("must be above zero")]
    NotPositive,
    #[error("must be below {BOUND}")]
    TooLarge,
    #[error("has more than {DECIMALS} decimals")]
    TooFine,
    #[error("is no decimal number")]
    NotANumber,
}

macro_rules! positive {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Decimal);

        impl $name {
            pub fn new(value: Decimal) -> Result<$name, NumberError> {
                let value = value.normalize();
                if value <= Decimal::ZERO {
                    return Err(NumberError::NotPositive);
                }
                if value >= BOUND {
                    return Err(NumberError::TooLarge);
                }
                if value.scale() > DECIMALS {
                    return Err(NumberError::TooFine);
                }
                Ok($name(value))
            }

            pub fn value(self) -> Decimal {
                self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NumberError;

            fn from_str(text: &str) -> Result<$name, NumberError> {
                let parsed = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
                $name::new(parsed.map_err(|_| NumberError::NotANumber)?)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

positive!(
    /// How many units: above zero.
    Quantity
);
positive!(
    /// A price that an order names: above zero.
    OrderPrice
);
positive!(
    /// An amount of money: above zero.
    Money
);
positive!(
    /// A share of a price, in percent: above zero.
    Percent
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_an_order_are_bounded() {
        assert_eq!("0".parse::<Quantity>(), Err(NumberError::NotPositive));
        assert_eq!("-1".parse::<OrderPrice>(), Err(NumberError::NotPositive));
        assert_eq!("1000000000".parse::<Money>(), Err(NumberError::TooLarge));
        assert_eq!("0.0000000001".parse::<Quantity>(), Err(NumberError::TooFine));
        assert_eq!("ten".parse::<Quantity>(), Err(NumberError::NotANumber));
        assert_eq!("1.50".parse::<Quantity>().unwrap().to_string(), "1.5");
        assert_eq!("1e-3".parse::<Quantity>().unwrap().to_string(), "0.001");
    }
}
