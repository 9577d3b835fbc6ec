//! One look at one seat: its replay, its orders, its executions, its positions, in this order, and what of it nobody had told.
//!
//! Must not know when it is called.

mod executions;
mod orders;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;

use self::executions::Executions;
use super::{Differs, Findings, Repair};
use crate::desk::asked::later;
use crate::desk::ledger::{Ledger, Manner, Reported, Taken};
use crate::desk::seat::Seat;
use crate::events::OrderKey;
use crate::exchanges::{Broker, BrokerError, Replayed};
use crate::journal::JournalError;
use crate::model::{Fill, Order, Symbol, Timestamp, VenueOrderId};
use crate::observe::Heartbeat;

/// A venue's clock and ours, and events on their way: the window begins this much earlier.
const MARGIN: Duration = Duration::from_secs(60);
/// So far a clock may be off, or be set, and no order is passed over.
const CLOCKS_APART: Duration = Duration::from_secs(600);
/// How far back the very first look goes.
const FIRST_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// What happened to an order so lately is still on its way to us.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// So long the venue has to account for what it says is filled, before it is reckoned.
const ACCOUNTED_WITHIN: Duration = Duration::from_secs(10);
/// Orders whose changes are kept in one go.
const TOGETHER: usize = 64;
/// Why a look did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What a look asks the venue for.
#[derive(Debug, Clone, Copy)]
struct Sought {
    since: Timestamp,
    whole: bool,
    dry: bool,
    at: Instant,
}

fn back(from: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_nanos(from.nanos().saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
}

/// What each part of a look took: when one is slow, this says which.
struct Lap {
    began: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Lap {
    fn new() -> Lap {
        Lap { began: Instant::now(), parts: Vec::new() }
    }

    fn done(&mut self, part: &'static str) {
        let now = Instant::now();
        self.parts.push((part, now.saturating_duration_since(std::mem::replace(&mut self.began, now))));
    }

    fn told(&self) -> String {
        self.parts.iter().map(|(part, took)| format!("{part} {} ms", took.as_millis())).collect::<Vec<_>>().join(", ")
    }
}

/// Looks at one seat, and remembers what it could not explain.
#[derive(Debug)]
pub struct Pass {
    seat: Arc<Seat>,
    ledger: Arc<Ledger>,
    /// Orders that are filled further than any execution accounts for, since when.
    unexplained: HashMap<VenueOrderId, Instant>,
    /// Orders that the venue does not know any more, since when.
    gone: HashMap<VenueOrderId, Instant>,
    /// Orders that could not be looked up: said once.
    failing: BTreeSet<VenueOrderId>,
    /// With whom the looking up begins: with more than can be asked for everybody has a turn.
    turn: usize,
    counted_once: bool,
    /// Up to here a look that was cut short has had everything told once more: the next one goes on.
    replayed: Option<Timestamp>,
    /// Called with each question: a venue may take its time over every one of them.
    heartbeat: Option<Heartbeat>,
    began: Timestamp,
}

impl Pass {
    /// `began`: before that nobody listened to the account, or need not have.
    pub fn new(seat: Arc<Seat>, ledger: Arc<Ledger>, began: Timestamp) -> Pass {
        Pass {
            seat,
            ledger,
            unexplained: HashMap::new(),
            gone: HashMap::new(),
            failing: BTreeSet::new(),
            turn: 0,
            counted_once: false,
            replayed: None,
            heartbeat: None,
            began,
        }
    }

    /// On a thread that must not fall silent.
    pub fn beating(self, heartbeat: Heartbeat) -> Pass {
        Pass { heartbeat: Some(heartbeat), ..self }
    }

    /// The thread lives.
    pub fn beat(&self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.beat();
        }
    }

    /// Whom to ask; whoever asks lives.
    fn broker(&self) -> &dyn Broker {
        self.beat();
        &*self.seat.broker
    }

    /// Orders that may still be filled, or of which an execution was lost.
    pub fn has_open_orders(&self) -> bool {
        let account = &self.seat.of.account;
        let open = self.ledger.journal().open_orders(account, None).is_ok_and(|open| !open.is_empty());
        open || self.ledger.with_gaps(account).is_ok_and(|gaps| !gaps.is_empty())
    }

    /// `whole`: everything since we last heard of the account, and the seat is counted anew. `dry`: nothing is kept or told.
    ///
    /// # Errors
    /// Those of the broker and of the journal: what was found until then is kept.
    pub fn run(&mut self, whole: bool, dry: bool, now: Timestamp, at: Instant) -> Result<Findings, PassError> {
        let ledger = Arc::clone(&self.ledger);
        let (journal, account) = (ledger.journal(), &self.seat.of.account.clone());
        let compared = journal.compared(account)?;
        // What happened before this journal began is kept, but nobody is told in a hurry: save of an order that went on while
        // its stream was connected already, for what the stream tells of it is old news once we have found it.
        let first = compared.is_none();
        let since = compared.map_or_else(|| back(now, FIRST_WINDOW), |until| back(until.min(now), MARGIN));
        let mut findings = Findings::default();
        let mut lap = Lap::new();
        if whole && !dry {
            findings.replayed = self.replay(since, now, first)?;
        }
        lap.done("replay");
        let local = journal.open_orders(account, None)?;
        let gaps: BTreeSet<String> = ledger.with_gaps(account)?.into_iter().collect();
        let sought = Sought { since, whole, dry, at };
        let orders = self.orders(sought, &local, &gaps, &mut findings)?;
        let newest = orders.iter().map(|order| order.times.submitted).max().max(compared);
        findings.checked = orders.len();
        lap.done("orders");
        let mut changed = Vec::new();
        for order in orders {
            if self.differs(&order, gaps.contains(order.id.as_str()), whole, now)? {
                changed.push(order);
            }
        }
        lap.done("comparing");
        let fills = self.fills_for(&changed, &gaps)?;
        lap.done("executions");
        for some in changed.chunks(TOGETHER) {
            for reported in self.report(some, &fills, first, dry, at)? {
                findings.again_soon |= reported.unexplained;
                findings.repaired.extend(reported.taken.iter().map(Repair::of));
            }
        }
        if dry {
            findings.differ = self.positions_differ()?;
            return Ok(findings);
        }
        lap.done("telling");
        self.ledger.wake();
        // By the venue's clock rather than ours, of which nobody knows how far it is off.
        journal.has_compared(account, now.min(back(now, CLOCKS_APART).max(newest.unwrap_or(since))))?;
        self.replayed = None;
        if whole || !findings.repaired.is_empty() {
            if self.counted_once && findings.repaired.is_empty() && findings.replayed == 0 {
                findings.differ = self.positions_differ()?;
            }
            self.beat();
            self.seat.count(&self.ledger)?;
            self.counted_once = true;
        }
        lap.done("counting");
        log::debug!("account {}: {} orders looked at, {} not as known; {}", self.seat.account_name, findings.checked, changed.len(), lap.told());
        Ok(findings)
    }

    /// What the venue tells once more, piece by piece. How many of them are news.
    fn replay(&mut self, since: Timestamp, now: Timestamp, first: bool) -> Result<usize, PassError> {
        let mut from = self.replayed.map_or(since, |to| to.max(since));
        let mut news = 0;
        while from < now {
            let Some(Replayed { updates, to }) = self.broker().replay(from, now)? else { break };
            for some in updates.chunks(256) {
                let taken = self.ledger.take_as(some, |update| Manner::quiet(first && update.at < self.began))?;
                for (update, _) in some.iter().zip(&taken).filter(|(_, taken)| matches!(taken, Taken::New(_))) {
                    self.seat.observe(update);
                }
                news += taken.iter().filter(|taken| !matches!(taken, Taken::Known(_))).count();
            }
            if to <= from {
                break;
            }
            // By a clock that is behind ours something may still happen before our now; before what the venue has told it may not.
            self.replayed = Some(if to < now { to } else { back(now, CLOCKS_APART).max(from) });
            from = to;
        }
        Ok(news)
    }

    /// Whether the order is not as we know it. In a sweep what is happening at this moment is left alone.
    fn differs(&self, order: &Order, gap: bool, whole: bool, now: Timestamp) -> Result<bool, JournalError> {
        let Some(known) = self.ledger.journal().order(&self.seat.of.account, &OrderKey::Venue(order.id.clone()))? else {
            let submitted = order.times.submitted;
            // From the future is what a clock behind the venue's makes of an order of long ago.
            return Ok(whole || submitted < back(now, ON_ITS_WAY) || submitted > later(now, ON_ITS_WAY));
        };
        // The same of a clock that was set back since; while a look takes its time something may be heard.
        let lately = known.heard > back(now, ON_ITS_WAY) && known.heard < later(now, MARGIN);
        Ok((gap || known.status != order.status || known.filled != order.filled) && (whole || !lately))
    }

    /// Some orders in one go, each with its executions.
    fn report(&mut self, orders: &[Order], fills: &Executions, first: bool, dry: bool, at: Instant) -> Result<Vec<Reported>, JournalError> {
        let accounted = self.seat.broker.capabilities().fills;
        let asked: Vec<(&Order, &[Fill], Manner)> = orders
            .iter()
            .map(|order| {
                let waited = self.unexplained.get(&order.id).is_some_and(|since| at.saturating_duration_since(*since) >= ACCOUNTED_WITHIN);
                // What was not read to the end may still account for it.
                let manner = Manner::quiet(first && order.times.updated < self.began).estimating(!accounted || waited && fills.to_the_end);
                (order, fills.by_order.get(&order.id).map_or(&[][..], Vec::as_slice), manner)
            })
            .collect();
        if dry {
            return asked.into_iter().map(|(order, fills, manner)| self.ledger.would_report(&self.seat.of, order, fills, manner)).collect();
        }
        let reported = self.ledger.report(&self.seat.of, &asked)?;
        for (order, reported) in orders.iter().zip(&reported) {
            if reported.unexplained {
                self.unexplained.entry(order.id.clone()).or_insert(at);
            } else {
                self.unexplained.remove(&order.id);
            }
        }
        Ok(reported)
    }

    /// Positions of which the venue says something else than the executions that we heard of, twice in a row.
    fn positions_differ(&self) -> Result<Vec<Differs>, BrokerError> {
        let look = || -> Result<Vec<Differs>, BrokerError> {
            let venues: BTreeMap<Symbol, Decimal> = self.broker().positions()?.into_iter().map(|position| (position.symbol, position.quantity)).collect();
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
