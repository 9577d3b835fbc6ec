//! What the market showed last, for an engine that has to begin anew in the middle of the day.
//!
//! Must not know orders.

use std::collections::BTreeMap;

use crate::events::MarketSight;
use crate::model::{MarketSession, Symbol, Timestamp};

/// The last sight of each kind.
#[derive(Debug, Default)]
pub(super) struct Sights {
    session: Option<MarketSession>,
    of: BTreeMap<Symbol, [Option<(Timestamp, MarketSight)>; 4]>,
}

impl Sights {
    pub fn note(&mut self, symbol: &Symbol, seen: MarketSight, at: Timestamp) {
        let kind = match seen {
            MarketSight::Trade { .. } => 0,
            MarketSight::Quote { .. } => 1,
            MarketSight::Halted | MarketSight::Resumed => 2,
            MarketSight::Limits { .. } => 3,
            MarketSight::Session(session) => return self.note_session(session),
        };
        match self.of.get_mut(symbol) {
            Some(known) => known[kind] = Some((at, seen)),
            None => {
                let mut first = [None; 4];
                first[kind] = Some((at, seen));
                self.of.insert(symbol.clone(), first);
            }
        }
    }

    pub fn note_session(&mut self, session: MarketSession) {
        self.session = Some(session);
    }

    pub fn session(&self) -> Option<MarketSession> {
        self.session
    }

    /// All of them, in the order in which they were seen.
    pub fn in_order(&self) -> Vec<(Timestamp, &Symbol, MarketSight)> {
        let mut all: Vec<_> = self.of.iter().flat_map(|(symbol, kinds)| kinds.iter().flatten().map(move |(at, seen)| (*at, symbol, *seen))).collect();
        all.sort_by_key(|(at, ..)| *at);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_kind_is_kept() {
        let mut sights = Sights::default();
        let (one, two): (Symbol, Symbol) = ("ONE".parse().unwrap(), "TWO".parse().unwrap());
        let trade = |price: i64| MarketSight::Trade { price: price.into(), size: 1.into() };
        let at = Timestamp::from_nanos;
        sights.note(&one, trade(1), at(1));
        sights.note(&one, MarketSight::Halted, at(2));
        sights.note(&two, trade(3), at(3));
        sights.note(&one, trade(4), at(4));
        sights.note(&one, MarketSight::Resumed, at(5));
        sights.note(&two, MarketSight::Session(MarketSession::Pre), at(6));
        assert_eq!(sights.in_order(), [(at(3), &two, trade(3)), (at(4), &one, trade(4)), (at(5), &one, MarketSight::Resumed)]);
        assert_eq!(sights.session(), Some(MarketSession::Pre));
    }
}
