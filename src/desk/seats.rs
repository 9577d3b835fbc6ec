//! Whom commands can be for, in the order of the configuration: seats, and accounts of which nobody knows yet which they are.
//!
//! A command means the same place whether its seat has come or not: nobody trades on another account because one is late.
//! Must not know how it becomes known which account it is.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

use super::answer::Answer;
use super::seat::{COUNTED_WITHIN, Seat};
use crate::events::AccountRef;
use crate::model::ExchangeName;
use crate::risk::HaltScope;

/// An account that is configured, as commands name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub exchange: ExchangeName,
    /// The account's configured name.
    pub account_name: String,
    /// The broker's type, as configured.
    pub kind: String,
    /// Real money moves.
    pub live: bool,
}

/// All places; seats come, and never go.
pub struct Seats {
    table: RwLock<Table>,
}

struct Table {
    rows: Vec<Row>,
    /// Those that have come, in the order of the rows.
    seated: Arc<[Arc<Seat>]>,
}

struct Row {
    place: Place,
    who: Who,
    /// When a seat that was awaited came.
    came: Option<Instant>,
}

enum Who {
    Seated(Arc<Seat>),
    /// It is not known yet which account it is. `owed` are the halts that want cancelled what is open there.
    Awaited {
        since: Instant,
        owed: Vec<HaltScope>,
    },
    /// It will not be known in this life, for this reason.
    Refused(String),
}

/// Why there is no seat for a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nobody is configured by that name.
    Unknown(String),
    Awaited {
        place: Place,
        since: Instant,
    },
    Refused {
        place: Place,
        cause: String,
    },
}

/// A place as it is shown.
pub(super) enum Standing {
    Seated(Arc<Seat>),
    Awaited(Place),
    Refused(Place, String),
}

/// What becomes of a command before anybody begins it.
#[derive(Debug)]
pub(super) enum Fate {
    Goes,
    /// Until it is known which account it is for.
    Waits,
    Denied(Box<Answer>),
}

impl Missing {
    pub fn place(&self) -> Option<&Place> {
        match self {
            Missing::Unknown(_) => None,
            Missing::Awaited { place, .. } | Missing::Refused { place, .. } => Some(place),
        }
    }

    pub fn answer(&self, action: &str) -> Answer {
        let (place, reason, advice) = match self {
            Missing::Unknown(reason) => return Answer { advice: Some("fix_request"), ..Answer::denied(action, reason) },
            Missing::Awaited { place, .. } => {
                let reason =
                    format!("{} has not said yet which account {} is, so nothing could be sent; it is asked until it does", place.exchange, place.account_name);
                (place, reason, "retry")
            }
            Missing::Refused { place, cause } => (place, format!("account {}: {cause}", place.account_name), "stop"),
        };
        Answer { broker: Some(place.exchange.to_string()), advice: Some(advice), rule: Some("not_ready".to_owned()), ..Answer::denied(action, reason) }
    }

    /// Whether a command waits for the seat. One that was read before may have been carried out, so it is never denied.
    pub fn is_waited_for(&self, again: bool, now: Instant) -> bool {
        match self {
            Missing::Unknown(_) => false,
            Missing::Refused { .. } => again,
            // As long as for an account that is not counted, and all who wait do so together.
            Missing::Awaited { since, .. } => again || now < *since + COUNTED_WITHIN,
        }
    }
}

impl Row {
    fn goes_by(&self, name: &str) -> bool {
        self.place.account_name == name || self.seat().is_some_and(|seat| seat.of.account.as_str() == name)
    }

    fn seat(&self) -> Option<&Arc<Seat>> {
        if let Who::Seated(seat) = &self.who { Some(seat) } else { None }
    }

    /// Whether its commands may go. For one that came late they wait for the first count, as all do at the start.
    fn is_there(&self, now: Instant) -> bool {
        self.seat().is_some_and(|seat| seat.is_counted() || self.came.is_none_or(|came| now >= came + COUNTED_WITHIN))
    }

    fn found(&self) -> Result<Arc<Seat>, Missing> {
        match &self.who {
            Who::Seated(seat) => Ok(Arc::clone(seat)),
            Who::Awaited { since, .. } => Err(Missing::Awaited { place: self.place.clone(), since: *since }),
            Who::Refused(cause) => Err(Missing::Refused { place: self.place.clone(), cause: cause.clone() }),
        }
    }
}

impl Table {
    /// The first of all is the default; a name that means two of them is no default.
    fn row(&self, exchange: Option<&ExchangeName>, account: Option<&str>) -> Result<&Row, String> {
        let there = |row: &&Row| exchange.is_none_or(|name| row.place.exchange == *name);
        let mut fitting = self.rows.iter().filter(there).filter(|row| account.is_none_or(|name| row.goes_by(name)));
        let Some(first) = fitting.next() else {
            // It may be the venue's own name of one that is not known yet.
            let nameless = self.rows.iter().filter(there).filter(|row| row.seat().is_none());
            let nameless = nameless.min_by_key(|row| matches!(row.who, Who::Refused(_)));
            return nameless.ok_or_else(|| format!("no broker of that name takes orders here; there is {}", self.in_words()));
        };
        if account.is_some() && fitting.next().is_some() {
            return Err(format!("more than one broker has an account of that name; name the exchange too: {}", self.in_words()));
        }
        Ok(first)
    }

    fn in_words(&self) -> String {
        let known: Vec<String> = self.rows.iter().map(|Row { place, .. }| format!("{} (account {})", place.exchange, place.account_name)).collect();
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    }

    fn count(&mut self) {
        self.seated = self.rows.iter().filter_map(|row| row.seat().cloned()).collect();
    }

    fn awaited(&mut self, exchange: &ExchangeName, account_name: &str) -> Option<&mut Row> {
        let fits = |row: &&mut Row| row.place.exchange == *exchange && row.place.account_name == account_name && matches!(row.who, Who::Awaited { .. });
        self.rows.iter_mut().find(fits)
    }
}

impl Seats {
    /// In the order of the configuration: the first is the default. Who has no seat yet is awaited.
    pub fn new(places: impl IntoIterator<Item = (Place, Option<Arc<Seat>>)>) -> Seats {
        let since = Instant::now();
        let awaited = || Who::Awaited { since, owed: Vec::new() };
        let rows = places.into_iter().map(|(place, seat)| Row { place, who: seat.map_or_else(awaited, Who::Seated), came: None });
        let mut table = Table { rows: rows.collect(), seated: Arc::default() };
        table.count();
        Seats { table: RwLock::new(table) }
    }

    /// Those that have come.
    pub fn seated(&self) -> Arc<[Arc<Seat>]> {
        Arc::clone(&self.table.read().seated)
    }

    pub fn seat_of(&self, of: &AccountRef) -> Option<Arc<Seat>> {
        self.table.read().seated.iter().find(|seat| seat.of == *of).cloned()
    }

    pub(super) fn find(&self, exchange: Option<&ExchangeName>, account: Option<&str>) -> Result<Arc<Seat>, Missing> {
        self.table.read().row(exchange, account).map_err(Missing::Unknown)?.found()
    }

    /// Whether the seat that [`Seats::find`] finds is there, for who has just come is not yet; and how many were there at that
    /// very moment.
    pub(super) fn look(&self, exchange: Option<&ExchangeName>, account: Option<&str>) -> (usize, Result<bool, Missing>) {
        let (table, now) = (self.table.read(), Instant::now());
        let row = table.row(exchange, account);
        // Asked once: what goes and how many are there must not contradict each other.
        let is_there = row.as_ref().is_ok_and(|row| row.is_there(now));
        let is_another = |other: &&Row| !row.as_ref().is_ok_and(|row| std::ptr::eq(*row, *other));
        let others = table.rows.iter().filter(is_another).filter(|other| other.is_there(now)).count();
        let found = row.as_ref().map_err(|reason| Missing::Unknown(reason.clone())).and_then(|row| row.found());
        (others + usize::from(is_there), found.map(|_| is_there))
    }

    pub(super) fn standings(&self) -> Vec<Standing> {
        let standing = |row: &Row| match &row.who {
            Who::Seated(seat) => Standing::Seated(Arc::clone(seat)),
            Who::Awaited { .. } => Standing::Awaited(row.place.clone()),
            Who::Refused(cause) => Standing::Refused(row.place.clone(), cause.clone()),
        };
        self.table.read().rows.iter().map(standing).collect()
    }

    /// The seat takes its place. Gives the halts that wanted cancelled what is open there; `None` when nobody awaits it.
    pub(super) fn join(&self, seat: &Arc<Seat>) -> Option<Vec<HaltScope>> {
        let mut table = self.table.write();
        let row = table.awaited(&seat.of.broker, &seat.account_name)?;
        let before = std::mem::replace(&mut row.who, Who::Seated(Arc::clone(seat)));
        row.came = Some(Instant::now());
        table.count();
        if let Who::Awaited { owed, .. } = before { Some(owed) } else { None }
    }

    /// It will not come in this life.
    pub fn refuse(&self, exchange: &ExchangeName, account_name: &str, cause: String) {
        if let Some(row) = self.table.write().awaited(exchange, account_name) {
            row.who = Who::Refused(cause);
        }
    }

    /// Keeps for those that are awaited that what is open there is to be cancelled; gives their names.
    pub(super) fn owe(&self, scope: &HaltScope) -> Vec<String> {
        self.owe_where(scope, |place| match scope {
            HaltScope::All | HaltScope::Bot(_) => true,
            HaltScope::Broker(name) => place.exchange == *name,
            // One that is awaited has no name of the venue's.
            HaltScope::Account(_) => false,
        })
    }

    /// As [`Seats::owe`], for one place, whoever else the halt concerns.
    pub(super) fn owe_at(&self, scope: &HaltScope, wanted: &Place) -> Vec<String> {
        self.owe_where(scope, |place| place == wanted)
    }

    fn owe_where(&self, scope: &HaltScope, concerned: impl Fn(&Place) -> bool) -> Vec<String> {
        let mut names = Vec::new();
        for Row { place, who, .. } in &mut self.table.write().rows {
            if let Who::Awaited { owed, .. } = who
                && concerned(place)
            {
                names.push(place.account_name.clone());
                if !owed.contains(scope) {
                    owed.push(scope.clone());
                }
            }
        }
        names
    }

    /// The halt is over: what it wanted cancelled and could not reach stays.
    pub(super) fn forgive(&self, scope: &HaltScope) {
        for row in &mut self.table.write().rows {
            if let Who::Awaited { owed, .. } = &mut row.who {
                owed.retain(|other| other != scope);
            }
        }
    }
}

/// Where everybody has come.
impl FromIterator<Arc<Seat>> for Seats {
    fn from_iter<T: IntoIterator<Item = Arc<Seat>>>(seats: T) -> Seats {
        Seats::new(seats.into_iter().map(|seat| (seat.place(), Some(seat))))
    }
}

impl std::fmt::Debug for Seats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.table.read().rows.iter().map(|row| &row.place)).finish()
    }
}
