//! Trades and quotes, one by one.

use super::page::{Item, Piece, Series};
use super::query::{Range, Sort};
use super::timeframe::Timeframe;
use super::{Ask, write};
use crate::model::Timestamp;
use crate::sim::market::{Listed, Offer, Print, minute_of};

pub(super) struct Trades;
pub(super) struct Quotes;

/// The items of a series of days, cut to the range and in its order.
fn days<'a, T: Item + 'a>(ask: &'a Ask<'a>, range: Range, read: impl Fn(std::ops::Range<i64>) -> Vec<T> + 'a) -> Box<dyn Iterator<Item = Piece<T>> + 'a> {
    Box::new(Timeframe::Minutes(1).spans(ask, range).map(move |span| {
        let among = span.minutes.start.max(minute_of(range.from))..span.minutes.end.min(minute_of(range.to) + 1);
        let work = among.end - among.start;
        let mut items = read(among);
        items.retain(|item| range.contains(item.at()));
        if range.sort == Sort::Descending {
            items.reverse();
        }
        Piece { items, work }
    }))
}

impl Series for Trades {
    type Item = Print;

    fn pieces<'a>(&'a self, ask: &'a Ask<'a>, listed: &'a Listed, range: Range) -> Box<dyn Iterator<Item = Piece<Print>> + 'a> {
        days(ask, range, move |among| ask.market.prints(listed, among))
    }
}

impl Series for Quotes {
    type Item = Offer;

    fn pieces<'a>(&'a self, ask: &'a Ask<'a>, listed: &'a Listed, range: Range) -> Box<dyn Iterator<Item = Piece<Offer>> + 'a> {
        days(ask, range, move |among| ask.market.offers(listed, among))
    }
}

impl Item for Print {
    fn at(&self) -> Timestamp {
        self.at
    }

    fn write(&self, pair: bool, out: &mut String) {
        write::trade(self, pair, out);
    }
}

impl Item for Offer {
    fn at(&self) -> Timestamp {
        self.at
    }

    fn write(&self, pair: bool, out: &mut String) {
        write::quote(self, pair, out);
    }
}
