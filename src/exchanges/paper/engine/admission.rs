//! Which orders are taken.
//!
//! Must not know what becomes of them.

use rust_decimal::Decimal;

use super::means::Means;
use super::refusal::Refusal;
use super::store::{Place, Seq};
use super::{Engine, Listed, form, instrument::Instrument};
use crate::model::{AccountId, MarketSession, OrderClass, OrderPrice, OrderRequest, OrderType, Side, TimeInForce, Timestamp, Trail};

/// No order for the opening is taken in the last two minutes before it.
const OPENING_CUTOFF: i64 = 120_000_000_000;
/// No order for the close is taken in the last ten minutes before it.
const CLOSING_CUTOFF: i64 = 600_000_000_000;

/// What was found out about an order that is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted {
    pub means: Means,
    /// It waits for a session in which it may trade.
    pub queued: bool,
    /// Where a trailing stop begins.
    pub high_water: Option<Decimal>,
}

impl Engine {
    pub(super) fn admit(&self, account: &AccountId, request: &OrderRequest) -> Result<Admitted, Refusal> {
        let ledger = self.accounts.get(account).ok_or(Refusal::UnknownAccount)?;
        if ledger.names.contains_key(&request.client_order_id) {
            return Err(Refusal::DuplicateClientId);
        }
        let listed = self.listed.get(&request.symbol).ok_or(Refusal::UnknownSymbol)?;
        if !listed.instrument.tradable {
            return Err(Refusal::NotTradable);
        }
        form::check(request, &listed.instrument, &self.settings)?;
        self.check_auction(request.time_in_force)?;
        let queued = !self.goes_now(&listed.instrument, request);
        if queued && matches!(request.time_in_force, TimeInForce::Ioc | TimeInForce::Fok) {
            return Err(Refusal::form("the market is closed; ioc and fok orders are taken while it is open"));
        }
        form::check_exits(request, listed.book.indication(request.side))?;
        self.check_wash_trade(account, request, None)?;
        let means = self.means(ledger, listed, request, None)?;
        Ok(Admitted { means, queued, high_water: high_water(listed, request)? })
    }

    /// Whether an order goes to the market in this phase of the day.
    pub(super) fn goes_now(&self, instrument: &Instrument, request: &OrderRequest) -> bool {
        match self.session() {
            _ if !instrument.is_equity() => true,
            MarketSession::Regular => true,
            MarketSession::Pre | MarketSession::Post => request.extended_hours && self.settings.extended_hours,
            MarketSession::Closed => false,
        }
    }

    /// Whether an auction still takes orders. Of one that lies ahead its time says so, else the phase of the day.
    pub(super) fn check_auction(&self, time: TimeInForce) -> Result<(), Refusal> {
        let session = self.session();
        let near = |auction: Timestamp, cutoff: i64| self.now.nanos() >= auction.nanos().saturating_sub(cutoff);
        let ahead = |auction: Option<Timestamp>| auction.filter(|auction| self.now < *auction);
        let late = match time {
            TimeInForce::Opg => {
                ahead(self.opening).map_or(matches!(session, MarketSession::Regular | MarketSession::Post), |opening| near(opening, OPENING_CUTOFF))
            }
            TimeInForce::Cls => ahead(self.closing).map_or(session == MarketSession::Post, |closing| near(closing, CLOSING_CUTOFF)),
            _ => false,
        };
        if late { Err(Refusal::AuctionClosed(time)) } else { Ok(()) }
    }

    /// A simple order must not be able to trade with another order of its account.
    pub(super) fn check_wash_trade(&self, account: &AccountId, request: &OrderRequest, instead: Option<Seq>) -> Result<(), Refusal> {
        if !self.settings.refuse_wash_trades || request.class != OrderClass::Simple {
            return Ok(());
        }
        let listed = self.listed.get(&request.symbol);
        // A trailing stop that is changed goes on from the best price that it has seen.
        let seen = instead.and_then(|seq| self.store.get(seq)).and_then(|old| old.order.high_water);
        let mine = listed.and_then(|listed| could_trade_at(listed, request, seen));
        for seq in self.store.open_of(request.symbol.as_str()).iter().filter(|seq| Some(**seq) != instead) {
            let Some(other) = self.store.get(*seq) else { continue };
            if other.account != *account || other.place == Place::Waiting || other.order.request.side == request.side {
                continue;
            }
            let theirs = listed.and_then(|listed| could_trade_at(listed, &other.order.request, other.order.high_water));
            let crosses = match (mine, theirs, request.side) {
                (Some(mine), Some(theirs), Side::Buy) => mine >= theirs,
                (Some(mine), Some(theirs), Side::Sell) => mine <= theirs,
                _ => true,
            };
            if crosses {
                return Err(Refusal::WashTrade { existing: other.order.id.clone() });
            }
        }
        Ok(())
    }
}

/// The price from which on an order could trade: its limit, else its stop as it stands, else what the market shows. A
/// trailing stop that has seen no price yet starts from what it would meet.
fn could_trade_at(listed: &Listed, request: &OrderRequest, seen: Option<Decimal>) -> Option<Decimal> {
    let named = request.kind.limit().or(request.kind.stop()).map(OrderPrice::value);
    let meets = || listed.book.indication(request.side);
    match request.kind {
        OrderType::TrailingStop { trail } => seen.or_else(meets).map(|best| trailing_stop(&listed.instrument, request.side, trail, best)),
        _ => named.or_else(meets),
    }
}

/// Where a trailing stop begins to trail.
fn high_water(listed: &Listed, request: &OrderRequest) -> Result<Option<Decimal>, Refusal> {
    match request.kind {
        OrderType::TrailingStop { .. } => listed.book.indication(request.side).map(Some).ok_or(Refusal::NoPrice),
        _ => Ok(None),
    }
}

/// The stop that trails `high_water`.
pub(super) fn trailing_stop(instrument: &Instrument, side: Side, trail: Trail, high_water: Decimal) -> Decimal {
    let distance = match trail {
        Trail::Price(price) => price.value(),
        Trail::Percent(percent) => high_water.saturating_mul(percent.value()) * Decimal::new(1, 2),
    };
    // A stop that sells lies below the best price, one that buys above.
    let stop = high_water + side.signed(distance);
    stop.max(Decimal::ZERO).round_dp(instrument.order_decimals(stop)).normalize()
}
