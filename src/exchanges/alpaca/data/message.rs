//! From a record's letters to a fact of the market.
//!
//! Must not know sessions, subscriptions or which codec the record came in.

use crate::exchanges::alpaca::wire::{Field, Key, Record};
use crate::model::{Amount, Bar, BarKind, Correction, Digits, Fact, Feed, Luld, MarketKind, Price, Quote, Status, Timestamp, Trade, TradeCancel};

/// Longest code or message taken over into a fact.
const MAX_TEXT: usize = 256;

/// The kinds of data messages that somebody can want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Trade,
    Quote,
    Bar(BarKind),
    Status,
    Luld,
    Correction,
    Cancel,
}

impl Kind {
    pub fn of(letter: &str) -> Option<Kind> {
        Some(match letter {
            "t" => Kind::Trade,
            "q" => Kind::Quote,
            "b" => Kind::Bar(BarKind::Minute),
            "u" => Kind::Bar(BarKind::UpdatedMinute),
            "d" => Kind::Bar(BarKind::Day),
            "s" => Kind::Status,
            "l" => Kind::Luld,
            "c" => Kind::Correction,
            "x" => Kind::Cancel,
            _ => return None,
        })
    }

    pub fn feed(self) -> Feed {
        match self {
            Kind::Trade | Kind::Correction | Kind::Cancel => Feed::Price,
            Kind::Quote => Feed::Quote,
            Kind::Bar(_) => Feed::Bar,
            Kind::Status | Kind::Luld => Feed::Status,
        }
    }

    /// `None` when a field is missing, of the wrong kind or out of bounds.
    pub fn read<'a, F: Field<'a>>(self, record: &Record<F>) -> Option<(Timestamp, MarketKind)> {
        let kind = match self {
            Kind::Trade => MarketKind::Trade(Trade { price: Price::new(record.digits(Key::P)?).ok()?, size: amount(record, Key::S)? }),
            Kind::Quote => MarketKind::Quote(Quote {
                bid: amount(record, Key::Bp)?,
                bid_size: amount(record, Key::Bs)?,
                ask: amount(record, Key::Ap)?,
                ask_size: amount(record, Key::As)?,
            }),
            Kind::Bar(kind) => fact(Fact::Bar(bar(kind, record)?)),
            Kind::Status => fact(Fact::Status(Status {
                code: text(record, Key::Sc)?,
                message: optional_text(record, Key::Sm)?,
                reason_code: optional_text(record, Key::Rc)?,
                reason: optional_text(record, Key::Rm)?,
                tape: optional_text(record, Key::Z)?,
            })),
            Kind::Luld => fact(Fact::Luld(Luld {
                limit_up: record.digits(Key::U)?,
                limit_down: record.digits(Key::D)?,
                indicator: optional_text(record, Key::I)?,
                tape: optional_text(record, Key::Z)?,
            })),
            Kind::Correction => fact(Fact::Correction(Correction {
                original_id: record.integer(Key::Oi)?,
                original_price: record.digits(Key::Op)?,
                original_size: amount(record, Key::Os)?,
                corrected_id: record.integer(Key::Ci)?,
                corrected_price: record.digits(Key::Cp)?,
                corrected_size: amount(record, Key::Cs)?,
                exchange: optional_text(record, Key::X)?,
                tape: optional_text(record, Key::Z)?,
            })),
            Kind::Cancel => fact(Fact::Cancel(TradeCancel {
                id: record.integer(Key::I)?,
                price: record.digits(Key::P)?,
                size: amount(record, Key::S)?,
                action: optional_text(record, Key::A)?,
                exchange: optional_text(record, Key::X)?,
                tape: optional_text(record, Key::Z)?,
            })),
        };
        Some((record.time(Key::Time)?, kind))
    }
}

fn fact(fact: Fact) -> MarketKind {
    MarketKind::Fact(Box::new(fact))
}

fn bar<'a, F: Field<'a>>(kind: BarKind, record: &Record<F>) -> Option<Bar> {
    let vwap: Option<Digits> = if record.has(Key::Vw) { Some(record.digits(Key::Vw)?) } else { None };
    let trade_count = if record.has(Key::N) { Some(u64::try_from(record.integer(Key::N)?).ok()?) } else { None };
    Some(Bar {
        kind,
        open: record.digits(Key::O)?,
        high: record.digits(Key::H)?,
        low: record.digits(Key::L)?,
        close: record.digits(Key::C)?,
        volume: amount(record, Key::V)?,
        vwap,
        trade_count,
    })
}

fn amount<'a, F: Field<'a>>(record: &Record<F>, key: Key) -> Option<Amount> {
    Amount::new(record.digits(key)?).ok()
}

fn text<'a, F: Field<'a>>(record: &Record<F>, key: Key) -> Option<String> {
    let text = record.text(key)?;
    (text.len() <= MAX_TEXT).then(|| text.into_owned())
}

/// An absent text is empty; one of the wrong kind is a fault.
fn optional_text<'a, F: Field<'a>>(record: &Record<F>, key: Key) -> Option<String> {
    if record.has(key) { text(record, key) } else { Some(String::new()) }
}
