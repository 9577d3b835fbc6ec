//! Bars of any length, put together from minutes.

use super::page::{Item, Piece, Series};
use super::query::{Range, Sort};
use super::timeframe::{Span, Timeframe};
use super::{Ask, Bad, write};
use crate::model::Timestamp;
use crate::sim::market::{Listed, Sum, minute_of, time_of};

const ADJUSTMENTS: [&str; 5] = ["raw", "split", "dividend", "spin-off", "all"];

pub(super) struct Source(Timeframe);

/// A bar and when it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BarItem {
    pub at: Timestamp,
    pub sum: Sum,
}

impl Source {
    /// Nothing is ever split or paid out here, so that every adjustment leaves the prices as they are.
    pub(super) fn of(ask: &Ask<'_>) -> Result<Source, Bad> {
        let adjustment = ask.request.query("adjustment").unwrap_or("raw");
        if !adjustment.split(',').all(|name| ADJUSTMENTS.contains(&name)) {
            return Err(Bad::request(format!("invalid adjustment: {adjustment}")));
        }
        Timeframe::of(ask).map(Source)
    }

    /// The bars that begin in a span.
    fn bars(&self, ask: &Ask<'_>, listed: &Listed, span: &Span) -> Vec<BarItem> {
        let begun = span.minutes.start..span.minutes.end.min(minute_of(ask.now));
        let Timeframe::Minutes(length) = self.0 else {
            let total = ask.market.total(listed, begun);
            return total.into_iter().map(|sum| BarItem { at: time_of(span.minutes.start), sum }).collect();
        };
        let mut bars: Vec<BarItem> = Vec::new();
        ask.market.each_minute(listed, begun, |minute, sum| {
            let at = time_of(span.bucket(minute, length));
            match bars.last_mut().filter(|bar| bar.at == at) {
                Some(bar) => bar.sum.append(sum),
                None => bars.push(BarItem { at, sum: *sum }),
            }
        });
        bars
    }
}

impl Series for Source {
    type Item = BarItem;

    fn pieces<'a>(&'a self, ask: &'a Ask<'a>, listed: &'a Listed, range: Range) -> Box<dyn Iterator<Item = Piece<BarItem>> + 'a> {
        Box::new(self.0.spans(ask, range).map(move |span| {
            let mut items = self.bars(ask, listed, &span);
            items.retain(|bar| range.contains(bar.at));
            if range.sort == Sort::Descending {
                items.reverse();
            }
            let work = span.minutes.end - span.minutes.start;
            // Equities are traded in so many minutes of a day.
            Piece { items, work: if listed.pair { work } else { work * 390 / 1_440 } }
        }))
    }
}

impl Item for BarItem {
    fn at(&self) -> Timestamp {
        self.at
    }

    fn write(&self, _: bool, out: &mut String) {
        write::bar(self.at, &self.sum, out);
    }
}
