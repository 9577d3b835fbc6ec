//! The tap on the price path for the order desk: prices of the few symbols that are traded, onto the event bus.
//!
//! Sees what came from the venue before anything is folded. Must not know brokers.

use rust_decimal::Decimal;

use super::registry::Instrument;
use crate::events::{Event, EventBus, MarketDataEvent, MarketSight};
use crate::model::{Amount, Fact, MarketEvent, MarketKind, Status, SymbolId};

/// Owned by the price handler.
#[derive(Debug)]
pub struct MarketTap {
    bus: EventBus,
    /// By number; `None` for a symbol that nobody trades.
    watched: Vec<Option<Instrument>>,
}

impl MarketTap {
    pub fn new(bus: EventBus) -> MarketTap {
        MarketTap { bus, watched: Vec::new() }
    }

    /// From now on this symbol's prices are told, until the process ends: who trades a symbol once may hold it for long.
    pub fn watch(&mut self, id: SymbolId, instrument: Instrument) {
        let at = id.0 as usize;
        if self.watched.len() <= at {
            self.watched.resize_with(at + 1, || None);
        }
        self.watched[at] = Some(instrument);
    }

    pub fn see(&self, events: &[MarketEvent]) {
        if self.watched.is_empty() {
            return;
        }
        for event in events {
            if let Some(Some(instrument)) = self.watched.get(event.symbol.0 as usize)
                && let Some(seen) = sight(&event.kind)
            {
                let (exchange, symbol) = (instrument.exchange.clone(), instrument.symbol.clone());
                self.bus.publish(&Event::Market(MarketDataEvent { exchange, symbol, at: event.at, seen }));
            }
        }
    }
}

fn sight(kind: &MarketKind) -> Option<MarketSight> {
    let of = |amount: &Amount| amount.to_decimal().unwrap_or(Decimal::ZERO);
    match kind {
        MarketKind::Trade(trade) => Some(MarketSight::Trade { price: trade.price.to_decimal()?, size: of(&trade.size) }),
        MarketKind::Quote(quote) => {
            Some(MarketSight::Quote { bid: of(&quote.bid), bid_size: of(&quote.bid_size), ask: of(&quote.ask), ask_size: of(&quote.ask_size) })
        }
        MarketKind::Fact(fact) => match &**fact {
            Fact::Status(status) => halt(status),
            Fact::Luld(luld) => Some(MarketSight::Limits { down: luld.limit_down.to_decimal()?, up: luld.limit_up.to_decimal()? }),
            Fact::Bar(_) | Fact::Correction(_) | Fact::Cancel(_) => None,
        },
    }
}

/// The letters mean different things on the tapes of New York (A, B) and of Nasdaq (C).
fn halt(status: &Status) -> Option<MarketSight> {
    match (status.tape.as_str(), status.code.as_str()) {
        ("A" | "B", "2") | ("C", "H" | "P") => Some(MarketSight::Halted),
        ("A" | "B", "3") | ("C", "T") => Some(MarketSight::Resumed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Topics;
    use crate::model::{Quote, Timestamp, Trade};

    fn trade(symbol: u32, price: &str) -> MarketEvent {
        let kind = MarketKind::Trade(Trade { price: price.parse().unwrap(), size: "3".parse().unwrap() });
        MarketEvent { symbol: SymbolId(symbol), at: Timestamp::from_nanos(7), kind }
    }

    fn status(tape: &str, code: &str) -> MarketKind {
        let of = |text: &str| text.to_owned();
        MarketKind::Fact(Box::new(Fact::Status(Status { code: of(code), message: of(""), reason_code: of(""), reason: of(""), tape: of(tape) })))
    }

    #[test]
    fn only_what_is_traded_is_told_and_with_every_digit() {
        let bus = EventBus::new();
        let heard = bus.subscribe(Topics::MARKET, 8);
        let mut tap = MarketTap::new(bus);
        tap.see(&[trade(1, "10")]);
        tap.watch(SymbolId(1), Instrument { exchange: "alpaca".parse().unwrap(), symbol: "AAPL".parse().unwrap() });
        let quote = Quote { bid: "9.99".parse().unwrap(), bid_size: "1".parse().unwrap(), ask: "0".parse().unwrap(), ask_size: "0".parse().unwrap() };
        let quoted = MarketEvent { symbol: SymbolId(1), at: Timestamp::from_nanos(8), kind: MarketKind::Quote(quote) };
        tap.see(&[trade(0, "1"), trade(1, "10.0001"), quoted, trade(2, "3")]);
        let seen: Vec<MarketSight> =
            heard.values.try_iter().map(|event| if let Event::Market(market) = event { market.seen } else { panic!("{event:?}") }).collect();
        let dec = |text: &str| text.parse::<Decimal>().unwrap();
        assert_eq!(
            seen,
            [
                MarketSight::Trade { price: dec("10.0001"), size: dec("3") },
                MarketSight::Quote { bid: dec("9.99"), bid_size: dec("1"), ask: dec("0"), ask_size: dec("0") }
            ]
        );
    }

    #[test]
    fn a_letter_means_what_its_tape_says() {
        for (tape, code, meaning) in [
            ("A", "2", Some(MarketSight::Halted)),
            ("B", "3", Some(MarketSight::Resumed)),
            ("C", "H", Some(MarketSight::Halted)),
            ("C", "P", Some(MarketSight::Halted)),
            ("C", "T", Some(MarketSight::Resumed)),
            ("C", "2", None),
            ("A", "H", None),
        ] {
            assert_eq!(sight(&status(tape, code)), meaning, "{tape} {code}");
        }
    }
}
