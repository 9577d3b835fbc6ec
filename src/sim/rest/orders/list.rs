//! Listing orders: every filter that the venue has, and its pages.

use std::sync::Arc;

use super::super::body::refuse;
use super::super::moment::moment;
use super::{Request, Response, nested};
use crate::model::{Order, Timestamp};
use crate::sim::exchange::{Exchange, Refusal};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// What a list is to hold.
struct Filter<'a> {
    open: Option<bool>,
    after: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Places in the list of all orders, both exclusive.
    from: Option<u64>,
    to: Option<u64>,
    symbols: Option<Vec<String>>,
    side: Option<&'a str>,
    classes: Vec<&'a str>,
}

/// Symbols are compared without the slash of a pair: clients write it or not.
fn bare(symbol: &str) -> String {
    symbol.replace('/', "")
}

impl<'a> Filter<'a> {
    fn read(exchange: &Exchange, account: &str, request: &'a Request<'a>) -> Result<Filter<'a>, Refusal> {
        let time = |name: &str| request.query(name).map(|text| moment(text).ok_or_else(|| refuse(format!("invalid {name}")))).transpose();
        // A cursor stands for the place of an order in the list, whatever else was submitted in the same instant.
        let place = |name: &str| -> Result<Option<u64>, Refusal> {
            let Some(id) = request.query(name) else { return Ok(None) };
            let wanted = &exchange.order(account, id)?.id;
            Ok(exchange.orders(account).find(|(_, order)| order.id == *wanted).map(|(seq, _)| seq))
        };
        let filter = Filter {
            open: match request.query("status").unwrap_or("open") {
                "open" => Some(true),
                "closed" => Some(false),
                "all" => None,
                _ => return Err(refuse("status must be open, closed or all")),
            },
            after: time("after")?,
            until: time("until")?,
            from: place("after_order_id")?,
            to: place("before_order_id")?,
            symbols: request.query("symbols").map(|list| list.split(',').map(|name| bare(name.trim())).collect()),
            side: request.query("side"),
            classes: request.all("asset_class").flat_map(|list| list.split(',')).collect(),
        };
        if filter.side.is_some_and(|side| side != "buy" && side != "sell") {
            return Err(refuse("side must be buy or sell"));
        }
        if (filter.from.is_some() || filter.to.is_some()) && (filter.after.is_some() || filter.until.is_some()) {
            return Err(refuse("before_order_id and after_order_id cannot be combined with after or until"));
        }
        Ok(filter)
    }

    fn takes(&self, exchange: &Exchange, seq: u64, order: &Order) -> bool {
        let submitted = order.times.submitted;
        let class = || exchange.asset(order.request.symbol.as_str()).map_or("", |asset| asset.class());
        self.after.is_none_or(|after| submitted > after)
            && self.until.is_none_or(|until| submitted < until)
            && self.from.is_none_or(|from| seq > from)
            && self.to.is_none_or(|to| seq < to)
            && self.symbols.as_ref().is_none_or(|names| names.contains(&bare(order.request.symbol.as_str())))
            && self.side.is_none_or(|side| order.request.side.as_str() == side)
            && (self.classes.is_empty() || self.classes.contains(&class()))
    }
}

pub(in crate::sim::rest) fn list(exchange: &Exchange, account: &str, request: &Request<'_>) -> Result<Response, Refusal> {
    let filter = Filter::read(exchange, account, request)?;
    let limit = request.query("limit").map_or(Ok(DEFAULT_LIMIT), str::parse::<usize>).map_err(|_| refuse("invalid limit"))?.min(MAX_LIMIT);
    let ascending = match request.query("direction").unwrap_or("desc") {
        "asc" => true,
        "desc" => false,
        _ => return Err(refuse("direction must be asc or desc")),
    };
    let rolled_up = nested(request);
    // A rolled-up order stands for its legs too: it is open as long as one of them is.
    let is_open = |order: &Order| order.status.is_open() || (rolled_up && exchange.legs(account, order).iter().any(|leg| leg.status.is_open()));
    let wanted = |(seq, order): &(u64, &Arc<Order>)| {
        let of_list = !rolled_up || order.parent.is_none();
        of_list && filter.takes(exchange, *seq, order) && filter.open.is_none_or(|open| is_open(order) == open)
    };
    let chosen = exchange.orders(account).filter(wanted);
    let text = |(_, order): (u64, &Arc<Order>)| exchange.order_text(account, order, rolled_up);
    let texts: Vec<String> = if ascending { chosen.take(limit).map(text).collect() } else { chosen.rev().take(limit).map(text).collect() };
    Ok(super::one(format!("[{}]", texts.join(","))))
}
