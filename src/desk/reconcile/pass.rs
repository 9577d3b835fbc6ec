//! One look at one seat: its replay, its orders, its executions, its positions, in this order, and what of it nobody had told.
//!
//! Must not know when it is called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use crate::desk::ledger::{Ledger, Manner, Reported, Taken};
use crate::desk::seat::Seat;
use crate::events::OrderKey;
use crate::exchanges::BrokerError;
use crate::journal::{JournalError, Known};
use crate::model::{Fill, Order, OrderChange, Symbol, Timestamp, VenueOrderId};

/// A venue's clock and ours, and events on their way: the window begins this much earlier.
const MARGIN: Duration = Duration::from_secs(60);
/// How far back the very first look goes.
const FIRST_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// What happened to an order so lately is still on its way to us.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// So long the venue has to account for what it says is filled, before it is reckoned.
const ACCOUNTED_WITHIN: Duration = Duration::from_secs(10);
/// Executions asked for at once.
const FILLS: usize = 100;
/// Pages of executions in one look; the next one goes on.
const FILL_PAGES: usize = 200;
/// Open orders that are asked for one by one rather than as a list.
const ONE_BY_ONE: usize = 5;

/// Why a look did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// An update that nobody had told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    pub order_id: String,
    pub client_order_id: String,
    pub change: OrderChange,
    pub quantity: Option<Decimal>,
}

/// A position of which the venue says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    pub symbol: Symbol,
    pub ours: Decimal,
    pub venues: Decimal,
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    pub checked: usize,
    pub repaired: Vec<Repair>,
    pub replayed: usize,
    pub differ: Vec<Differs>,
    /// Something is not accounted for yet.
    pub again_soon: bool,
}

impl Findings {
    pub fn tell(&self, account: &str) {
        if self.replayed > 0 || !self.repaired.is_empty() {
            log::warn!(
                "account {account}: {} updates had been missed and were told now, {} of them found by comparing",
                self.replayed + self.repaired.len(),
                self.repaired.len()
            );
        }
        for Differs { symbol, ours, venues } in &self.differ {
            log::error!("account {account}: the position in {symbol} is {venues}, by the executions that we know it would be {ours}; the venue's word counts");
        }
    }
}

/// Looks at one seat, and remembers what it could not explain.
#[derive(Debug)]
pub struct Pass {
    seat: Arc<Seat>,
    ledger: Arc<Ledger>,
    /// Orders that are filled further than any execution accounts for, since when.
    unexplained: HashMap<VenueOrderId, Instant>,
    counted_once: bool,
}

impl Pass {
    pub fn new(seat: Arc<Seat>, ledger: Arc<Ledger>) -> Pass {
        Pass { seat, ledger, unexplained: HashMap::new(), counted_once: false }
    }

    pub fn has_open_orders(&self) -> bool {
        self.ledger.journal().open_orders(&self.seat.of.account, None).is_ok_and(|open| !open.is_empty())
    }

    /// `whole`: everything since we last heard of the account, and the seat is counted anew. `dry`: nothing is kept or told.
    ///
    /// # Errors
    /// Those of the broker and of the journal: what was found until then is kept.
    pub fn run(&mut self, whole: bool, dry: bool, now: Timestamp, at: Instant) -> Result<Findings, PassError> {
        let (journal, account) = (self.ledger.journal(), &self.seat.of.account);
        let heard = journal.last_heard(account)?;
        // What happened before this journal began is kept, but nobody is told in a hurry.
        let first = heard.is_none();
        let back = |from: Timestamp, by: Duration| Timestamp::from_nanos(from.nanos().saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)));
        let since = match heard {
            Some(heard) if whole => back(heard, MARGIN),
            Some(_) => back(now, MARGIN + Duration::from_secs(30)),
            None => back(now, FIRST_WINDOW),
        };
        let mut findings = Findings::default();
        if whole && !dry {
            findings.replayed = self.replay(since, now)?;
        }
        let local = journal.open_orders(account, None)?;
        let orders = self.orders(since, &local)?;
        findings.checked = orders.len();
        let mut changed = Vec::new();
        for order in orders {
            if self.differs(&order, whole, now)? {
                changed.push(order);
            }
        }
        let fills = self.fills_for(&changed, &local, since)?;
        for order in &changed {
            let reported = self.report(order, fills.get(&order.id).map_or(&[], Vec::as_slice), first, dry, at)?;
            findings.again_soon |= reported.unexplained;
            findings.repaired.extend(reported.taken.iter().map(|update| Repair {
                order_id: update.order.id.to_string(),
                client_order_id: update.order.request.client_order_id.to_string(),
                change: update.change,
                quantity: update.fill.as_ref().map(|fill| fill.quantity),
            }));
        }
        if dry {
            findings.differ = self.positions_differ()?;
            return Ok(findings);
        }
        self.ledger.wake();
        if whole || !findings.repaired.is_empty() {
            if self.counted_once && findings.repaired.is_empty() && findings.replayed == 0 {
                findings.differ = self.positions_differ()?;
            }
            self.seat.count(&self.ledger)?;
            self.counted_once = true;
        }
        Ok(findings)
    }

    /// What the venue tells once more. How many of them are news.
    fn replay(&self, since: Timestamp, now: Timestamp) -> Result<usize, PassError> {
        let Some(updates) = self.seat.broker.replay(since, now)? else { return Ok(0) };
        let mut news = 0;
        for some in updates.chunks(256) {
            let taken = self.ledger.take(some)?;
            for (update, _) in some.iter().zip(&taken).filter(|(_, taken)| matches!(taken, Taken::New(_))) {
                self.seat.observe(update);
            }
            news += taken.iter().filter(|taken| !matches!(taken, Taken::Known(_))).count();
        }
        Ok(news)
    }

    /// Every order that may have changed: those of the window, and those that we believe open.
    fn orders(&self, since: Timestamp, local: &[Known]) -> Result<Vec<Order>, BrokerError> {
        let broker = &self.seat.broker;
        let mut orders = match broker.orders_since(since)? {
            Some(orders) => orders,
            None => broker.open_orders()?,
        };
        let mut seen: BTreeSet<VenueOrderId> = orders.iter().map(|order| order.id.clone()).collect();
        let missing = |seen: &BTreeSet<VenueOrderId>| -> Vec<VenueOrderId> {
            local.iter().filter_map(|known| known.id.parse().ok()).filter(|id| !seen.contains(id)).collect()
        };
        if missing(&seen).len() > ONE_BY_ONE {
            for order in broker.open_orders()? {
                if seen.insert(order.id.clone()) {
                    orders.push(order);
                }
            }
        }
        let keys: Vec<OrderKey> = missing(&seen).into_iter().map(OrderKey::Venue).collect();
        for (key, found) in keys.iter().zip(if keys.is_empty() { Vec::new() } else { broker.orders(&keys)? }) {
            match found {
                Some(order) => orders.push(order),
                None => log::error!(
                    "account {}: the venue does not know the order {key:?} any more, which it had taken; look at the account",
                    self.seat.account_name
                ),
            }
        }
        Ok(orders)
    }

    /// Whether the order is not as we know it. In a sweep what is happening at this moment is left alone.
    fn differs(&self, order: &Order, whole: bool, now: Timestamp) -> Result<bool, JournalError> {
        let Some(known) = self.ledger.journal().order(&self.seat.of.account, &OrderKey::Venue(order.id.clone()))? else {
            return Ok(whole || order.times.submitted.nanos() < now.nanos() - i64::try_from(ON_ITS_WAY.as_nanos()).unwrap_or(0));
        };
        let lately = now.nanos() - known.heard.nanos() < i64::try_from(ON_ITS_WAY.as_nanos()).unwrap_or(0);
        Ok((known.status != order.status || known.filled != order.filled) && (whole || !lately))
    }

    /// Executions of the orders that are filled further than we know, by order.
    fn fills_for(&self, changed: &[Order], local: &[Known], since: Timestamp) -> Result<BTreeMap<VenueOrderId, Vec<Fill>>, PassError> {
        let mut by_order: BTreeMap<VenueOrderId, Vec<Fill>> = BTreeMap::new();
        if !self.seat.broker.capabilities().fills {
            return Ok(by_order);
        }
        let mut from = None;
        for order in changed {
            let known = local.iter().find(|known| known.id == order.id.as_str());
            if order.filled > known.map_or(Decimal::ZERO, |known| known.filled) {
                // Nothing can have been filled before it was there.
                let start = order.times.submitted;
                from = Some(from.map_or(start, |earliest: Timestamp| earliest.min(start)));
            }
        }
        let Some(from) = from else { return Ok(by_order) };
        let margin = i64::try_from(MARGIN.as_nanos()).unwrap_or(0);
        let mut from = Timestamp::from_nanos(from.min(since.max(from)).nanos() - margin);
        let wanted: BTreeSet<&VenueOrderId> = changed.iter().map(|order| &order.id).collect();
        for _ in 0..FILL_PAGES {
            let page = self.seat.broker.fills(from, FILLS)?;
            let Some(last) = page.last() else { break };
            let (at, short) = (last.at, page.len() < FILLS);
            for fill in page.into_iter().filter(|fill| wanted.contains(&fill.order_id)) {
                by_order.entry(fill.order_id.clone()).or_default().push(fill);
            }
            if short || at <= from {
                break;
            }
            from = at;
        }
        Ok(by_order)
    }

    fn report(&mut self, order: &Order, fills: &[Fill], first: bool, dry: bool, at: Instant) -> Result<Reported, JournalError> {
        let patience = if self.seat.broker.capabilities().fills { ACCOUNTED_WITHIN } else { Duration::ZERO };
        let waited = self.unexplained.get(&order.id).is_some_and(|since| at.saturating_duration_since(*since) >= patience);
        let manner = Manner::quiet(first).estimating(waited || patience.is_zero());
        if dry {
            return self.ledger.would_report(&self.seat.of, order, fills, manner);
        }
        let reported = self.ledger.report(&self.seat.of, order, fills, manner)?;
        if reported.unexplained {
            self.unexplained.entry(order.id.clone()).or_insert(at);
        } else {
            self.unexplained.remove(&order.id);
        }
        Ok(reported)
    }

    /// Positions of which the venue says something else than the executions that we heard of, twice in a row.
    fn positions_differ(&self) -> Result<Vec<Differs>, BrokerError> {
        let look = || -> Result<Vec<Differs>, BrokerError> {
            let venues: BTreeMap<Symbol, Decimal> = self.seat.broker.positions()?.into_iter().map(|position| (position.symbol, position.quantity)).collect();
            let ours = self.seat.positions();
            let symbols: BTreeSet<&Symbol> = venues.keys().chain(ours.keys()).collect();
            let of = |book: &BTreeMap<Symbol, Decimal>, symbol: &Symbol| book.get(symbol).copied().unwrap_or_default();
            let differ = symbols.into_iter().map(|symbol| Differs { symbol: symbol.clone(), ours: of(&ours, symbol), venues: of(&venues, symbol) });
            Ok(differ.filter(|differs| differs.ours != differs.venues).collect())
        };
        let first = look()?;
        if first.is_empty() {
            return Ok(first);
        }
        let again = look()?;
        Ok(again.into_iter().filter(|differs| first.contains(differs)).collect())
    }
}
