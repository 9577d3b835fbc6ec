//! Prices of the past and the latest ones over REST, the venue's clock and calendar, and what it trades.
//!
//! Questions only: nothing here changes anything at the venue. Must not know orders, sockets or bots.

mod assets;
mod facts;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use serde::Deserialize;

pub(super) use assets::AssetCache;
pub use facts::{Asset, PastBar, PastQuote, PastTrade, Snapshot, VenueClock, VenueDay};
use wire::{BarPage, Each, Quotes, Shot, Shots, Trades, present};

use super::rest::{Ask, Page, RestClient, Urgency, Verb, encode};
use crate::exchanges::BrokerError;
use crate::model::{Symbol, Timestamp};

/// So many names keep an address well below what servers take.
const SYMBOLS_A_PAGE: usize = 200;
/// The most that the venue puts on one page, over all symbols.
const BARS_A_PAGE: usize = 10_000;

/// Whose market data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastMarket<'a> {
    /// With the feed, such as `iex`; `None` for the best that the account may see.
    Stocks(Option<&'a str>),
    Crypto,
}

/// Which bars.
#[derive(Debug, Clone)]
pub struct BarsWanted<'a> {
    pub market: PastMarket<'a>,
    pub symbols: &'a [Symbol],
    /// Such as `1Min`, `1Hour`, `1Day`.
    pub timeframe: &'a str,
    pub from: Timestamp,
    /// The present where it is missing.
    pub to: Option<Timestamp>,
    /// The most over all symbols; those beyond are left out.
    pub most: usize,
}

impl PastMarket<'_> {
    fn path(self, stocks: &str, crypto: &str) -> String {
        match self {
            PastMarket::Stocks(_) => format!("/v2/stocks/{stocks}"),
            PastMarket::Crypto => format!("/v1beta3/crypto/us/{crypto}"),
        }
    }

    fn feed(self) -> String {
        match self {
            PastMarket::Stocks(Some(feed)) => format!("&feed={}", encode(feed)),
            PastMarket::Stocks(None) | PastMarket::Crypto => String::new(),
        }
    }
}

/// The end of a question of several pages.
struct Until(Instant);

impl Until {
    fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

impl RestClient {
    pub fn latest_trades(&self, market: PastMarket<'_>, symbols: &[Symbol], within: Duration) -> Result<BTreeMap<Symbol, PastTrade>, BrokerError> {
        self.of_each(market, ("trades/latest", "latest/trades"), symbols, within, |page| self.read::<Trades>(page).map(|read| present(read.trades)))
    }

    pub fn latest_quotes(&self, market: PastMarket<'_>, symbols: &[Symbol], within: Duration) -> Result<BTreeMap<Symbol, PastQuote>, BrokerError> {
        self.of_each(market, ("quotes/latest", "latest/quotes"), symbols, within, |page| self.read::<Quotes>(page).map(|read| present(read.quotes)))
    }

    pub fn snapshots(&self, market: PastMarket<'_>, symbols: &[Symbol], within: Duration) -> Result<BTreeMap<Symbol, Snapshot>, BrokerError> {
        self.of_each(market, ("snapshots", "snapshots"), symbols, within, |page| match market {
            PastMarket::Stocks(_) => self.read::<Each<Shot>>(page).map(present),
            PastMarket::Crypto => self.read::<Shots>(page).map(|read| present(read.snapshots)),
        })
    }

    /// Oldest first for each symbol.
    pub fn bars(&self, wanted: &BarsWanted<'_>, within: Duration) -> Result<BTreeMap<Symbol, Vec<PastBar>>, BrokerError> {
        let until = Until(Instant::now() + within);
        let (mut found, mut count) = (BTreeMap::<Symbol, Vec<PastBar>>::new(), 0);
        for some in wanted.symbols.chunks(SYMBOLS_A_PAGE) {
            let (mut token, mut seen) = (None::<String>, BTreeSet::new());
            while count < wanted.most {
                let limit = (wanted.most - count).min(BARS_A_PAGE);
                let end = wanted.to.map(|to| format!("&end={}", encode(&to.to_string()))).unwrap_or_default();
                let resume = token.as_deref().map(|token| format!("&page_token={}", encode(token))).unwrap_or_default();
                let path = format!(
                    "{}?symbols={}&timeframe={}&start={}{end}&limit={limit}&sort=asc{}{resume}",
                    wanted.market.path("bars", "bars"),
                    names(some),
                    encode(wanted.timeframe),
                    encode(&wanted.from.to_string()),
                    wanted.market.feed(),
                );
                let read: BarPage = self.read(&self.ask_data(&question(&path, until.left()))?)?;
                for (symbol, bars) in present::<Vec<wire::Bar>, Bars>(read.bars.unwrap_or_default()) {
                    count += bars.0.len();
                    found.entry(symbol).or_default().extend(bars.0);
                }
                let Some(next) = read.next_page_token.filter(|next| !next.is_empty()) else { break };
                if !seen.insert(next.clone()) {
                    return Err(self.strange("bars whose pages go round in a circle"));
                }
                token = Some(next);
            }
        }
        Ok(found)
    }

    pub fn clock(&self, within: Duration) -> Result<VenueClock, BrokerError> {
        let page = self.ask(&question("/v2/clock", within))?;
        self.read::<wire::Clock>(&page).map(Into::into)
    }

    /// The trading days of a span, both ends included.
    pub fn calendar(&self, from: Date, to: Date, within: Duration) -> Result<Vec<VenueDay>, BrokerError> {
        let page = self.ask(&question(&format!("/v2/calendar?start={from}&end={to}"), within))?;
        let days: Option<Vec<VenueDay>> = self.read::<Vec<wire::Day>>(&page)?.iter().map(wire::Day::read).collect();
        days.ok_or_else(|| self.strange("a calendar with a day that is none"))
    }

    /// `None` where the venue does not know the symbol.
    pub fn asset(&self, symbol: &Symbol, within: Duration) -> Result<Option<Asset>, BrokerError> {
        let page = match self.ask(&question(&format!("/v2/assets/{}", encode(symbol.as_str())), within)) {
            // The venue has one code for all that is not found.
            Err(BrokerError::UnknownOrder(_)) => return Ok(None),
            answer => answer?,
        };
        self.read::<wire::Listing>(&page)?.read().map(Some).ok_or_else(|| self.strange("an asset without a symbol"))
    }

    fn of_each<T>(
        &self,
        market: PastMarket<'_>,
        (stocks, crypto): (&str, &str),
        symbols: &[Symbol],
        within: Duration,
        read: impl Fn(&Page) -> Result<BTreeMap<Symbol, T>, BrokerError>,
    ) -> Result<BTreeMap<Symbol, T>, BrokerError> {
        let until = Until(Instant::now() + within);
        let mut all = BTreeMap::new();
        for some in symbols.chunks(SYMBOLS_A_PAGE) {
            let path = format!("{}?symbols={}{}", market.path(stocks, crypto), names(some), market.feed());
            all.append(&mut read(&self.ask_data(&question(&path, until.left()))?)?);
        }
        Ok(all)
    }

    fn read<'a, T: Deserialize<'a>>(&self, page: &'a Page) -> Result<T, BrokerError> {
        serde_json::from_str(&page.body).map_err(|error| {
            // Only where: what stands there is the venue's and need not be safe to log.
            let request = page.request_id.as_deref().map(|id| format!(" (request {})", super::notices::clean(id, &[]))).unwrap_or_default();
            self.strange(&format!("JSON of another shape, line {} column {}{request}", error.line(), error.column()))
        })
    }

    fn strange(&self, what: &str) -> BrokerError {
        BrokerError::Unavailable { broker: self.broker().to_owned(), cause: format!("the answer is {what}") }
    }
}

struct Bars(Vec<PastBar>);

impl From<Vec<wire::Bar>> for Bars {
    fn from(bars: Vec<wire::Bar>) -> Bars {
        Bars(bars.into_iter().map(Into::into).collect())
    }
}

fn names(symbols: &[Symbol]) -> String {
    symbols.iter().map(|symbol| encode(symbol.as_str())).collect::<Vec<_>>().join(",")
}

fn question(path: &str, within: Duration) -> Ask<'_> {
    Ask { verb: Verb::Get, path, body: None, urgency: Urgency::Question, within }
}
