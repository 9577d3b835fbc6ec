//! Invented headlines, said to be so: one an hour, of a symbol that the hour decides.

use serde_json::{Value, json};

use super::query::{Sort, limit, moment};
use super::token::Position;
use super::{Ask, Bad, Response};
use crate::model::Timestamp;

const HOUR: i64 = 3_600_000_000_000;
const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 50;
/// Hours that news are looked back for when no start is given.
const LOOK_BACK: i64 = 30 * 24;
/// Hours looked at for one page.
const WORK: i64 = 100_000;
const KIND: &str = "news";

const HEADLINES: [&str; 6] = [
    "shares move on no news at all",
    "said to consider a new product, sources invented",
    "volume picks up in the built-in exchange",
    "analyst who does not exist keeps rating",
    "announces a date for its imaginary results",
    "trades in a narrow range",
];

pub(super) fn page(ask: &Ask<'_>) -> Result<Response, Bad> {
    let limit = limit(ask, Some(DEFAULT_LIMIT), Some(MAX_LIMIT))?;
    let to = moment(ask, "end", true)?.unwrap_or(ask.now).min(ask.now);
    let from = moment(ask, "start", false)?.unwrap_or(Timestamp::from_nanos((to.nanos() - LOOK_BACK * HOUR).max(0)));
    if to < from && ask.request.query("end").is_some() {
        return Err(Bad::request("end should not be before start"));
    }
    let sort = match ask.request.query("sort").unwrap_or("desc").to_ascii_lowercase().as_str() {
        "desc" => Sort::Descending,
        "asc" => Sort::Ascending,
        other => return Err(Bad::request(format!("invalid sort: {other}"))),
    };
    let resume = ask.request.query("page_token").map(|token| Position::read(token, KIND)).transpose()?;
    let (mut first, mut last) = (from.nanos().div_euclid(HOUR), to.nanos().div_euclid(HOUR));
    if let Some(position) = resume {
        let hour = position.at.nanos().div_euclid(HOUR);
        match sort {
            Sort::Ascending => first = first.max(hour + 1),
            Sort::Descending => last = last.min(hour - 1),
        }
    }
    let wanted: Option<Vec<&str>> = ask.request.query("symbols").map(|names| names.split(',').map(str::trim).collect());
    let with_content = ask.request.query("include_content") == Some("true");
    let mut hours: Box<dyn Iterator<Item = i64>> = match sort {
        Sort::Ascending => Box::new((first..=last).take(WORK as usize)),
        Sort::Descending => Box::new((first..=last).rev().take(WORK as usize)),
    };
    let mut items = hours.by_ref().filter_map(|hour| {
        let (symbol, at, item) = item(ask, hour, with_content)?;
        let fits = (from..=to).contains(&at) && wanted.as_ref().is_none_or(|wanted| wanted.contains(&symbol));
        fits.then_some((at, item))
    });
    let shown: Vec<(Timestamp, Value)> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    let next = shown.last().filter(|_| more).map(|(at, _)| Position { symbol: String::new(), at: *at, given: 1 }.token(KIND));
    Ok(Response::json(200, &json!({"news": shown.into_iter().map(|(_, item)| item).collect::<Vec<_>>(), "next_page_token": next})))
}

/// The news of an hour: whom it is about, when it came, what it says.
fn item<'a>(ask: &Ask<'a>, hour: i64, with_content: bool) -> Option<(&'a str, Timestamp, Value)> {
    let mut rng = fastrand::Rng::with_seed(ask.market.seed() ^ (hour.unsigned_abs() << 8));
    let count = ask.market.symbols().count();
    let symbol = ask.market.symbols().nth(rng.usize(..count.max(1)))?;
    let at = Timestamp::from_nanos(hour * HOUR + rng.i64(0..3_600) * 1_000_000_000);
    let headline = format!("{symbol} {}", HEADLINES[rng.usize(..HEADLINES.len())]);
    let time = format!("{}Z", &at.to_string()[..19]);
    let summary = "Invented by the simulated exchange.";
    let content = if with_content { format!("<p>{headline}.</p><p>{summary}</p>") } else { String::new() };
    let item = json!({
        "id": hour, "headline": headline, "summary": summary, "author": "Simulated Exchange", "created_at": time, "updated_at": time,
        "url": format!("https://example.com/simulated-news/{hour}"), "content": content, "images": [], "symbols": [symbol.replace('/', "")],
        "source": "simulated",
    });
    Some((symbol, at, item))
}
