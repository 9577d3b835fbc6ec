//! The auctions of each trading day: what its regular session opened and closed with, as its bar says.

use super::page::{Item, Piece, Series};
use super::query::{Range, Sort};
use super::timeframe::Timeframe;
use super::{Ask, write};
use crate::calendar::MarketDay;
use crate::model::Timestamp;
use crate::sim::market::{Listed, Sum, minute_of, time_of};

pub(super) struct Auctions;

/// The auctions of one day; the closing one once it was held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AuctionDay {
    day: MarketDay,
    sum: Sum,
    closed: bool,
}

impl AuctionDay {
    fn of(ask: &Ask<'_>, listed: &Listed, midnight: Timestamp) -> Option<AuctionDay> {
        let calendar = ask.market.calendar();
        let day = calendar.day(calendar.date_at(midnight)).filter(|day| day.open < ask.now)?;
        let sum = ask.market.total(listed, minute_of(day.open)..minute_of(day.close.min(ask.now)))?;
        Some(AuctionDay { closed: day.close <= ask.now, day, sum })
    }
}

impl Series for Auctions {
    type Item = AuctionDay;

    fn pieces<'a>(&'a self, ask: &'a Ask<'a>, listed: &'a Listed, range: Range) -> Box<dyn Iterator<Item = Piece<AuctionDay>> + 'a> {
        // A day belongs to a range that its date belongs to, whenever it opens.
        let whole = match range.sort {
            Sort::Ascending => Range { from: ask.market.calendar().midnight(ask.market.calendar().date_at(range.from)), ..range },
            Sort::Descending => range,
        };
        Box::new(Timeframe::Day.spans(ask, whole).map(move |span| {
            let items = AuctionDay::of(ask, listed, time_of(span.minutes.start)).into_iter().filter(|item| item.day.open <= range.to).collect();
            Piece { items, work: 390 }
        }))
    }
}

impl Item for AuctionDay {
    fn at(&self) -> Timestamp {
        self.day.open
    }

    fn write(&self, _: bool, out: &mut String) {
        write::auctions(&self.day.date.to_string(), (self.day.open, self.sum.open), self.closed.then_some((self.day.close, self.sum.close)), out);
    }
}
