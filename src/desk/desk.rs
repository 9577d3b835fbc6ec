//! The order desk: which broker a command is for, the check, the broker's answer in words.
//!
//! Called by many workers at once. Must not know Redis or threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::answer::{Answer, Verdict};
use super::asked::{Asked, too_late};
use super::halts::HaltFile;
use super::keeping::settled_key;
use super::ledger::Ledger;
use super::lookups::Bell;
use super::placing::Wanted;
use super::seat::Seat;
use super::seats::{Fate, Missing, Place, Seats};
use super::workers::client_order_id;
use crate::contract::{BadCommand, DeskCommand, HaltWord, OrderSetting, Scope, Wish, write_order};
use crate::events::{Command, MarketDataEvent, OrderKey};
use crate::journal::CommandState;
use crate::model::{ClientOrderId, ExchangeName, Order, OrderRequest, Position, Quantity, Side, Size, Symbol, Timestamp};
use crate::risk::{HaltScope, Sight};
use crate::runtime::{StopToken, crash};

/// How long an order waits for the first price of a symbol that nobody has listened to: right after a start its stream may
/// still be on its way.
const FIRST_PRICE: Duration = Duration::from_secs(5);
/// A command that lay longer is not carried out: prices have moved on.
pub const STALE_AFTER: Duration = Duration::from_secs(60);

/// Asks for the prices of a symbol.
pub type WantPrices = Box<dyn Fn(&ExchangeName, &Symbol) + Send + Sync>;

/// Whether nobody else may send in our place.
pub type MaySend = Box<dyn Fn() -> bool + Send + Sync>;

/// The desk.
pub struct Desk {
    pub(super) seats: Arc<Seats>,
    pub(super) ledger: Arc<Ledger>,
    want_prices: WantPrices,
    halts: Arc<HaltFile>,
    pub(super) may_send: MaySend,
    /// Ends every wait.
    pub(super) token: StopToken,
    pub(super) clock: fn() -> Timestamp,
    pub(super) unsettled: Bell,
}

impl Desk {
    /// At the stop of the token nothing is waited for any more.
    pub fn new(
        seats: Arc<Seats>,
        ledger: Arc<Ledger>,
        want_prices: WantPrices,
        halts: Arc<HaltFile>,
        may_send: MaySend,
        token: StopToken,
        clock: fn() -> Timestamp,
    ) -> Desk {
        halts.restore(&seats);
        Desk { seats, ledger, want_prices, halts, may_send, token, clock, unsettled: Bell::default() }
    }

    /// Whoever looks outcomes up may look at what is unsettled.
    pub(super) fn look_up(&self) {
        self.unsettled.ring();
    }

    /// What stands under the kill switch in Redis now.
    pub fn kill_switch(&self, text: Option<&str>) {
        if self.halts.switch(&self.seats, text, (self.clock)()) {
            self.wish_for_end_under(&HaltScope::All);
        }
    }

    /// A seat takes its place, before anybody hears of its account. Gives the halts that want cancelled what is open there,
    /// for [`Desk::cancel_owed`]; `None` when nobody awaits it.
    pub fn join(&self, seat: &Arc<Seat>) -> Option<Vec<HaltScope>> {
        let owed = self.halts.admit(&self.seats, seat);
        // What an earlier life has left unsettled there can be asked for now.
        self.look_up();
        owed
    }

    /// Does for a seat that has come late what halts before it wanted. Waits for its venue.
    pub fn cancel_owed(&self, seat: &Seat, owed: Vec<HaltScope>) {
        owed.iter().for_each(|scope| self.wish_for_end_at(seat, scope));
        self.halts.cancel_owed(seat, owed, &self.token);
    }

    /// A halt that cancels what is open means what turns out to be open as well.
    fn wish_for_end_under(&self, scope: &HaltScope) {
        self.seats.seated().iter().for_each(|seat| self.wish_for_end_at(seat, scope));
    }

    fn wish_for_end_at(&self, seat: &Seat, scope: &HaltScope) {
        self.wish_for_end_of_unknown(seat, |record| match scope {
            HaltScope::All => true,
            HaltScope::Broker(broker) => seat.of.broker == *broker,
            HaltScope::Account(account) => seat.of == *account,
            HaltScope::Bot(bot) => record.name.parse::<ClientOrderId>().is_ok_and(|name| name.bot() == Some(bot.as_ref())),
        });
    }

    /// A command that could not be read.
    pub fn refuse(&self, bad: &BadCommand) -> Answer {
        let action = bad.action.as_deref().unwrap_or("unknown");
        Answer { client_order_id: bad.client_order_id.clone(), advice: Some("fix_request"), ..Answer::denied(action, &bad.reason) }
    }

    /// How often an entry that was handed out before has been begun, this time included.
    pub fn begin_again(&self, entry: &str) -> u64 {
        // Without a journal nothing is carried out either.
        self.ledger.journal().try_again(entry, (self.clock)()).unwrap_or(1)
    }

    pub fn ended(&self, entry: &str) {
        if let Err(error) = self.ledger.journal().tried(entry) {
            log::warn!("entry {entry} may be taken for one that ends the broker: {error}");
        }
    }

    /// Answers a command that is not tried any more. Only what is kept before it is sent, and was not, is known not to have
    /// been sent; of all else the sender is told to look.
    pub fn give_up(&self, command: &DeskCommand, entry: &str, reason: &str) -> Answer {
        let name = client_order_id(command).map(ToString::to_string);
        let answer =
            |result| Answer { client_order_id: name.clone(), reason: Some(reason.to_owned()), advice: Some("look_up"), ..Answer::new(command.action, result) };
        let Ok(seat) = self.seats.find(command.exchange.as_ref(), command.account.as_deref()) else {
            // A halt needs no seat: it may be in force, or lifted.
            let needs_none = matches!(command.wish, Wish::Halt { .. } | Wish::Resume { .. });
            return answer(if needs_none { Verdict::Unknown } else { Verdict::Denied });
        };
        let seat = &*seat;
        let now = (self.clock)();
        let asked = Asked { action: command.action, seat, entry, again: true, taken: now, expires_at: None, untyped: false, now };
        let kept_as = match &command.wish {
            Wish::Order(Command::Place(request)) => Some(request.client_order_id.clone()),
            Wish::Order(Command::ClosePosition { client_order_id, .. }) => Some(client_order_id.clone()),
            Wish::Order(Command::Modify { order, change }) => change.client_order_id.clone().or_else(|| self.name_for(&asked, order)),
            Wish::Ask(_) | Wish::Reconcile { .. } => return self.told(&asked, answer(Verdict::Denied), "desk"),
            Wish::Order(Command::Cancel(_) | Command::CancelAll(_)) | Wish::Halt { .. } | Wish::Resume { .. } => None,
        };
        let verdict = match kept_as.map(|name| self.ledger.journal().command(&seat.of.account, name.as_str())) {
            Some(Ok(None)) => Verdict::Denied,
            Some(Ok(Some(kept))) => match kept.answer.filter(|_| kept.state == CommandState::Answered).and_then(|json| Answer::said(command.action, &json)) {
                Some(said) => return asked.complete(said),
                None => Verdict::Unknown,
            },
            Some(Err(_)) | None => Verdict::Unknown,
        };
        self.told(&asked, answer(verdict), "desk")
    }

    /// Carries out one command. `entry` is what brought it, `taken` when it was sent, `again` whether it was handed out before.
    /// `None` when the process stops before its outcome is kept: nobody is told, and it is not acknowledged.
    pub fn handle(&self, command: DeskCommand, entry: &str, taken: Timestamp, again: bool) -> Option<Answer> {
        let action = command.action;
        let now = (self.clock)();
        let found = self.seats.find(command.exchange.as_ref(), command.account.as_deref());
        let seat = &match found {
            Ok(seat) => seat,
            Err(missing) => return Some(self.handle_without_seat(command, taken, &missing, now)),
        };
        let DeskCommand { expires_at, untyped, .. } = command;
        let asked = Asked { action, seat, entry, again, taken, expires_at, untyped, now };
        let answer = match command.wish {
            Wish::Order(wish) => {
                crash::point("C1-received");
                match self.answered(&asked, &wish) {
                    Some(answer) => answer,
                    None => self.carry(&asked, wish)?,
                }
            }
            Wish::Halt { scope, mode, reason } => self.halt(&scope_of(&scope, seat), mode, reason, now),
            Wish::Ask(question) => self.answer(action, seat, &question, now).unwrap_or_else(|error| Answer::failed(action, &error)),
            Wish::Reconcile { dry_run } => self.reconcile(action, seat, dry_run),
            // Done once more after a restart, it would undo what was decided since.
            Wish::Resume { scope } => asked.too_late(STALE_AFTER, now).unwrap_or_else(|| self.halts.resume(&self.seats, &scope_of(&scope, seat))),
        };
        Some(asked.complete(answer))
    }

    fn halt(&self, scope: &HaltScope, mode: HaltWord, reason: String, now: Timestamp) -> Answer {
        if mode != HaltWord::HaltAndCancel {
            return self.halts.halt(&self.seats, scope, mode, reason, now);
        }
        self.wish_for_end_under(scope);
        let answer = self.halts.halt(&self.seats, scope, mode, reason, now);
        // Again, for what had passed the check before, and for a seat that took its place before it was owed this.
        self.wish_for_end_under(scope);
        answer
    }

    /// A halt of an account of which nobody knew yet which it is.
    fn halt_awaited(&self, place: &Place, mode: HaltWord, reason: String, now: Timestamp) -> Answer {
        let answer = self.halts.halt_awaited(&self.seats, place, mode, reason, now);
        // It may have come meanwhile, and is owed nothing then.
        if mode == HaltWord::HaltAndCancel
            && let Ok(seat) = self.seats.find(Some(&place.exchange), Some(&place.account_name))
        {
            self.wish_for_end_at(&seat, &HaltScope::Broker(place.exchange.clone()));
        }
        answer
    }

    /// What becomes of a command before anybody begins it, and how many seats were there when that was decided.
    pub(super) fn fate(&self, command: &DeskCommand, again: bool) -> (usize, Fate) {
        let (there, found) = self.seats.look(command.exchange.as_ref(), command.account.as_deref());
        let fate = match found {
            _ if matches!(command.wish, Wish::Halt { .. } | Wish::Resume { .. }) => Fate::Goes,
            Ok(true) | Err(Missing::Unknown(_)) => Fate::Goes,
            Ok(false) => Fate::Waits,
            Err(missing) if missing.is_waited_for(again, Instant::now()) => Fate::Waits,
            Err(missing) => Fate::Denied(Box::new(without_seat(command, &missing))),
        };
        (there, fate)
    }

    /// A halt needs to know nobody's account, and is never put off. All else is denied.
    pub(super) fn handle_without_seat(&self, command: DeskCommand, taken: Timestamp, missing: &Missing, now: Timestamp) -> Answer {
        let Some(place) = missing.place() else { return without_seat(&command, missing) };
        let answer = match &command.wish {
            Wish::Halt { scope, mode, reason } => match scope_at(scope, &place.exchange) {
                Some(scope) => self.halt(&scope, *mode, reason.clone(), now),
                None => self.halt_awaited(place, *mode, reason.clone(), now),
            },
            Wish::Resume { scope } => match scope_at(scope, &place.exchange) {
                Some(scope) => {
                    let late = too_late(command.action, taken, command.expires_at, STALE_AFTER, now);
                    late.unwrap_or_else(|| self.halts.resume(&self.seats, &scope))
                }
                None => without_seat(&command, missing),
            },
            _ => without_seat(&command, missing),
        };
        Answer { broker: Some(place.exchange.to_string()), ..answer }
    }

    /// What was told of this very entry before: by an earlier life, which could not acknowledge it any more, or before Redis
    /// lost what was acknowledged and hands it out as new. The stream says so already, and nothing may say otherwise.
    fn answered(&self, asked: &Asked<'_>, wish: &Command) -> Option<Answer> {
        let about = match wish {
            // An order that is handed out as new is known by its name.
            Command::Place(_) | Command::ClosePosition { .. } if !asked.again => return None,
            Command::Cancel(key) | Command::Modify { order: key, .. } => client_id_of(key),
            Command::Place(_) | Command::ClosePosition { .. } | Command::CancelAll(_) => None,
        };
        let told = |key: &str| self.ledger.reply(&asked.seat.of.account, key).ok().flatten();
        let json = told(&settled_key(asked.entry)).or_else(|| told(asked.entry))?;
        // Whoever makes up ids of entries may have used this one before.
        let is_its_own = || {
            let kept: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
            kept["action"] == asked.action && kept["client_order_id"].as_str() == about.as_deref()
        };
        if asked.again || is_its_own() { Answer::said(asked.action, &json) } else { None }
    }

    fn carry(&self, asked: &Asked<'_>, wish: Command) -> Option<Answer> {
        match wish {
            Command::Place(request) => self.place_once(asked, Wanted::Order(request)),
            Command::ClosePosition { client_order_id: id, symbol } => self.place_once(asked, Wanted::Close { id, symbol }),
            Command::Modify { order, change } => self.modify_once(asked, &order, change),
            // What takes risk away is never too late, and nothing checks it.
            Command::Cancel(key) => Some(self.cancel(asked, &key)),
            // Done once more after a restart, it would end what was placed since.
            Command::CancelAll(symbol) => Some(match asked.too_late(STALE_AFTER, asked.now) {
                Some(late) => self.told(asked, late, "desk"),
                None => self.cancel_all(asked, symbol.as_ref()),
            }),
        }
    }

    /// What the check may know, waiting a moment for the first price of a symbol that nobody has listened to.
    pub(super) fn sight(&self, seat: &Seat, symbol: &Symbol, now: Timestamp) -> Sight {
        (self.want_prices)(&seat.prices, symbol);
        let session = (seat.session_of)(symbol, now);
        let sight = seat.sights.of(&seat.prices, symbol, session);
        if sight.bid.is_some() || sight.ask.is_some() {
            return sight;
        }
        match seat.broker.latest_quote(symbol) {
            Ok(Some((seen, at))) => {
                let event = MarketDataEvent { exchange: seat.prices.clone(), symbol: symbol.clone(), at, seen };
                // As old as it is, even where the venue's clock is ahead.
                seat.sights.see(&event, at.min(now));
            }
            Ok(None) => {
                seat.sights.wait_for_quote(&seat.prices, symbol, FIRST_PRICE);
            }
            Err(error) => log::debug!("no quote of {symbol}: {error}"),
        }
        seat.sights.of(&seat.prices, symbol, session)
    }
}

fn scope_of(scope: &Scope, seat: &Seat) -> HaltScope {
    scope_at(scope, &seat.of.broker).unwrap_or_else(|| HaltScope::Account(seat.of.clone()))
}

/// `None` for an account: only its seat knows which it is.
fn scope_at(scope: &Scope, broker: &ExchangeName) -> Option<HaltScope> {
    match scope {
        Scope::All => Some(HaltScope::All),
        Scope::Broker => Some(HaltScope::Broker(broker.clone())),
        Scope::Bot(bot) => Some(HaltScope::Bot(bot.clone())),
        Scope::Account => None,
    }
}

fn without_seat(command: &DeskCommand, missing: &Missing) -> Answer {
    Answer { client_order_id: client_order_id(command).map(ToString::to_string), ..missing.answer(command.action) }
}

/// Whether two requests ask for the same; the type may differ, for the check may have put a limit to a market order.
pub(super) fn is_same(first: &OrderRequest, second: &OrderRequest) -> bool {
    (&first.symbol, first.side, first.class) == (&second.symbol, second.side, second.class)
        && (first.size == second.size || matches!(second.size, Size::Notional(_)))
}

/// What would take a position back; `None` when nothing is held.
pub(super) fn quantity_held(position: Option<&Position>) -> Option<(Side, Quantity)> {
    let held = position.map(|position| position.quantity).unwrap_or_default();
    let side = if held.is_sign_negative() { Side::Buy } else { Side::Sell };
    Quantity::new(held.abs()).ok().map(|quantity| (side, quantity))
}

pub(super) fn accepted(action: &str, order: &Order) -> Answer {
    Answer { client_order_id: Some(order.request.client_order_id.to_string()), order: shown(order), ..Answer::new(action, Verdict::Accepted) }
}

/// The order object: in the venue's own writing where there is one.
pub(super) fn order_text(order: &Order) -> String {
    match &order.text {
        Some(text) => text.to_string(),
        None => write_order(order, OrderSetting::plain("", asset_class(&order.request.symbol))),
    }
}

pub(super) fn shown(order: &Order) -> Option<Box<RawValue>> {
    RawValue::from_string(order_text(order)).ok()
}

/// As the order object names it.
pub fn asset_class(symbol: &Symbol) -> &'static str {
    if symbol.is_pair() { "crypto" } else { "us_equity" }
}

pub(super) fn name_of(key: &OrderKey) -> String {
    match key {
        OrderKey::Venue(id) => id.to_string(),
        OrderKey::Client(id) => id.to_string(),
    }
}

pub(super) fn client_id_of(key: &OrderKey) -> Option<String> {
    if let OrderKey::Client(id) = key { Some(id.to_string()) } else { None }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("seats", &self.seats).finish_non_exhaustive()
    }
}
