//! The ledger of an account, by pages: each begins after the entry that its token names, wherever that stands.

use jiff::civil::Date;

use super::body::refuse;
use super::moment::moment;
use super::{Request, Response};
use crate::model::Timestamp;
use crate::sim::exchange::{Activity, ActivityType, Exchange, Refusal};

const MAX_PAGE: usize = 100;

struct Filter<'a> {
    /// `None` takes every type.
    types: Option<Vec<String>>,
    trades: Option<bool>,
    order: Option<String>,
    day: Option<Date>,
    after: Option<Timestamp>,
    until: Option<Timestamp>,
    known_until: Option<Timestamp>,
    token: Option<&'a str>,
}

fn bare(id: &str) -> String {
    id.replace('-', "").to_ascii_lowercase()
}

impl<'a> Filter<'a> {
    fn read(request: &'a Request<'a>, kind: Option<&str>) -> Result<Filter<'a>, Refusal> {
        let time = |name: &str| request.query(name).map(|text| moment(text).ok_or_else(|| refuse(format!("invalid {name}")))).transpose();
        let listed = request.query("activity_types").or_else(|| request.query("activity_type"));
        if request.query("category").is_some() && (listed.is_some() || kind.is_some()) {
            return Err(refuse("category cannot be combined with activity_types"));
        }
        let filter = Filter {
            types: kind.or(listed).map(|list| list.split(',').map(|name| name.trim().to_ascii_uppercase()).collect()),
            trades: match request.query("category") {
                None => None,
                Some("trade_activity") => Some(true),
                Some("non_trade_activity") => Some(false),
                Some(_) => return Err(refuse("category must be trade_activity or non_trade_activity")),
            },
            order: request.query("order_id").map(bare),
            day: request.query("date").map(|text| day(text).ok_or_else(|| refuse("invalid date"))).transpose()?,
            after: time("after")?,
            until: time("until")?,
            known_until: request.ledger_until,
            token: request.query("page_token"),
        };
        if filter.day.is_some() && (filter.after.is_some() || filter.until.is_some()) {
            return Err(refuse("date cannot be combined with after or until"));
        }
        Ok(filter)
    }

    fn takes(&self, activity: &Activity) -> bool {
        let kind = activity.kind();
        self.types.as_ref().is_none_or(|types| types.iter().any(|name| name == kind.as_str()))
            && self.trades.is_none_or(|trades| trades == (kind == ActivityType::Fill))
            && self.order.as_ref().is_none_or(|wanted| activity.order_id().is_some_and(|id| bare(id) == *wanted))
            && self.day.is_none_or(|day| activity.day == day)
            && self.after.is_none_or(|after| activity.at > after)
            && self.until.is_none_or(|until| activity.at < until)
            && self.known_until.is_none_or(|until| activity.at <= until)
    }
}

/// A date, or the date that an instant begins with.
fn day(text: &str) -> Option<Date> {
    text.get(..10)?.parse().ok()
}

pub(super) fn list(exchange: &Exchange, account: &str, kind: Option<&str>, request: &Request<'_>) -> Result<Response, Refusal> {
    let filter = Filter::read(request, kind)?;
    let size = request.query("page_size").map_or(Ok(MAX_PAGE), str::parse::<usize>).map_err(|_| refuse("invalid page_size"))?;
    if !(1..=MAX_PAGE).contains(&size) {
        return Err(refuse(format!("page_size must be from 1 to {MAX_PAGE}")));
    }
    let ascending = match request.query("direction").unwrap_or("desc") {
        "asc" => true,
        "desc" => false,
        _ => return Err(refuse("direction must be asc or desc")),
    };
    let entries = exchange.customer(account)?.ledger.entries();
    let page = if ascending { page(entries, &filter, size)? } else { page(entries.rev(), &filter, size)? };
    let views: Vec<_> = page.into_iter().map(|activity| &activity.view).collect();
    Ok(Response::view(&views))
}

fn page<'a>(mut entries: impl Iterator<Item = &'a Activity>, filter: &Filter<'_>, size: usize) -> Result<Vec<&'a Activity>, Refusal> {
    if let Some(token) = filter.token
        && !entries.any(|activity| activity.id() == token)
    {
        return Err(refuse("invalid page_token"));
    }
    Ok(entries.filter(|activity| filter.takes(activity)).take(size).collect())
}
