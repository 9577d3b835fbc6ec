//! Pages of a series over many symbols: symbols in order, a limit over all of them together.

use std::fmt::Write as _;

use super::query::{Range, Sort, limit, range, symbol, symbols};
use super::token::Position;
use super::{Ask, Bad, Kind, Response};
use crate::model::Timestamp;
use crate::sim::market::Listed;

/// Minutes looked at for one page; a page with long bars may be shorter than its limit.
const WORK: i64 = 500_000;

/// An item of a series.
pub(super) trait Item {
    fn at(&self) -> Timestamp;
    fn write(&self, pair: bool, out: &mut String);
}

/// A piece of a series, and how many minutes were looked at for it.
pub(super) struct Piece<T> {
    pub items: Vec<T>,
    pub work: i64,
}

/// Where the items of a symbol come from: pieces in the order of the range.
pub(super) trait Series {
    type Item: Item;
    fn pieces<'a>(&'a self, ask: &'a Ask<'a>, listed: &'a Listed, range: Range) -> Box<dyn Iterator<Item = Piece<Self::Item>> + 'a>;
}

/// The items of one symbol on a page.
struct Column {
    symbol: String,
    items: String,
}

struct Page {
    columns: Vec<Column>,
    next: Option<String>,
}

pub(super) fn respond<S: Series>(ask: &Ask<'_>, single: Option<&str>, kind: Kind, series: &S) -> Result<Response, Bad> {
    let wanted = match single {
        Some(name) => vec![symbol(ask, name)?],
        None => symbols(ask)?,
    };
    let page = collect(ask, &wanted, kind, series)?;
    let mut body = String::from("{");
    // Writing to a String cannot fail; symbols and tokens have no letter to escape.
    match single {
        Some(name) => {
            let _ = write!(body, r#""symbol":"{name}","{}":"#, kind.plural());
            match page.columns.first() {
                Some(column) => drop(write!(body, "[{}]", column.items)),
                None => body.push_str("null"),
            }
        }
        None => {
            let _ = write!(body, r#""{}":{{"#, kind.plural());
            for (at, column) in page.columns.iter().enumerate() {
                let _ = write!(body, r#"{}"{}":[{}]"#, if at > 0 { "," } else { "" }, column.symbol, column.items);
            }
            body.push('}');
        }
    }
    match page.next {
        Some(token) => drop(write!(body, r#","next_page_token":"{token}"}}"#)),
        None => body.push_str(r#","next_page_token":null}"#),
    }
    Ok(Response { status: 200, body: body.into_bytes() })
}

fn collect<S: Series>(ask: &Ask<'_>, wanted: &[String], kind: Kind, series: &S) -> Result<Page, Bad> {
    let (range, limit) = (range(ask)?, limit(ask, None, None)?);
    let resume = ask.request.query("page_token").map(|token| Position::read(token, kind.plural())).transpose()?;
    let mut page = Page { columns: Vec::new(), next: None };
    let (mut taken, mut work) = (0, 0);
    let mut last: Option<Position> = None;
    for name in wanted {
        let resume = match &resume {
            Some(position) if *name < position.symbol => continue,
            Some(position) if *name == position.symbol => Some(position),
            _ => None,
        };
        let Some(listed) = ask.market.listed(name) else { continue };
        let range = resume.map_or(range, |position| range.resumed(position.at));
        let mut column = Column { symbol: name.clone(), items: String::new() };
        let mut skip = resume.map_or(0, |position| position.given);
        let mut before = resume.cloned();
        for piece in series.pieces(ask, listed, range) {
            work += piece.work;
            for item in piece.items {
                let at = item.at();
                if skip > 0 && resume.is_some_and(|position| position.at == at) {
                    skip -= 1;
                    continue;
                }
                if taken == limit {
                    page.next = last.map(|position| position.token(kind.plural()));
                    page.push(column);
                    return Ok(page);
                }
                taken += 1;
                if !column.items.is_empty() {
                    column.items.push(',');
                }
                item.write(listed.pair, &mut column.items);
                let given = before.as_ref().filter(|position| position.at == at).map_or(1, |position| position.given + 1);
                let position = Position { symbol: name.clone(), at, given };
                before = Some(position.clone());
                last = Some(position);
            }
            if work > WORK && taken > 0 {
                page.next = last.map(|position| position.token(kind.plural()));
                page.push(column);
                return Ok(page);
            }
        }
        page.push(column);
    }
    Ok(page)
}

impl Page {
    /// A symbol without items has no place on a page.
    fn push(&mut self, column: Column) {
        if !column.items.is_empty() {
            self.columns.push(column);
        }
    }
}

impl Range {
    /// What is left of the range when the items up to `at` have been given; those of `at` itself are in it.
    fn resumed(self, at: Timestamp) -> Range {
        match self.sort {
            Sort::Ascending => Range { from: self.from.max(at), ..self },
            Sort::Descending => Range { to: self.to.min(at), ..self },
        }
    }

    pub(super) fn contains(&self, at: Timestamp) -> bool {
        (self.from..=self.to).contains(&at)
    }
}
