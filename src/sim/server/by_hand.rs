//! The market by hand, for `/admin`: prices, halts, price limits, the session that it is in, and what is told of an order.

use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Shared;
use super::admin::{shown, told};
use super::halts::{halted, limited, resumed};
use crate::model::{Amount, MarketSession, Price, Quote};
use crate::sim::config::Hours;
use crate::sim::exchange::Update;
use crate::sim::message::{SimBody, SimMessage};
use crate::sim::rest::Response;

/// Numbers may come as numbers or as texts, and are read from their digits either way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move<'a> {
    symbol: String,
    #[serde(borrow)]
    bid: Option<&'a RawValue>,
    #[serde(borrow)]
    ask: Option<&'a RawValue>,
    #[serde(borrow)]
    bid_size: Option<&'a RawValue>,
    #[serde(borrow)]
    ask_size: Option<&'a RawValue>,
    #[serde(borrow)]
    trade: Option<&'a RawValue>,
    #[serde(borrow)]
    size: Option<&'a RawValue>,
    halt: Option<bool>,
    /// Why it is halted, such as `LUDP`.
    reason: Option<String>,
    #[serde(borrow)]
    luld: Option<Limits<'a>>,
}

/// The prices between which a symbol may trade.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits<'a> {
    #[serde(borrow)]
    down: &'a RawValue,
    #[serde(borrow)]
    up: &'a RawValue,
}

const MOVE: &str = "the body is {\"symbol\",\"bid\",\"ask\",\"bid_size\",\"ask_size\"}, {\"symbol\",\"trade\",\"size\"}, {\"symbol\",\"halt\",\"reason\"} or \
                    {\"symbol\",\"luld\":{\"down\",\"up\"}}";
/// Why a halt is when nothing is said: information was requested.
const USUAL_REASON: &str = "T12";
const USUAL_SIZE: u64 = 100;

/// Lets the market say something.
pub(super) fn market(shared: &Shared, body: &[u8]) -> Response {
    let Ok(wish) = serde_json::from_slice::<Move<'_>>(body) else { return told(400, MOVE) };
    let Some(bodies) = bodies(shared, &wish) else { return told(422, MOVE) };
    if bodies.is_empty() {
        return told(400, MOVE);
    }
    let at = shared.now();
    let messages: Vec<SimMessage> = bodies.into_iter().map(|body| SimMessage { symbol: wish.symbol.as_str().into(), at, body }).collect();
    shared.emit(&messages);
    shown(200, &json!({"emitted": messages.len()}))
}

/// What the market is to say; `None` when a number is none.
fn bodies(shared: &Shared, wish: &Move<'_>) -> Option<Vec<SimBody>> {
    let digits = |raw: &RawValue| raw.get().trim_matches('"').to_owned();
    let amount = |raw: Option<&RawValue>| raw.map_or(Some(Amount::from_u64(USUAL_SIZE)), |raw| digits(raw).parse().ok());
    let mut bodies = Vec::new();
    match (wish.bid, wish.ask) {
        (Some(bid), Some(ask)) => {
            let quote =
                Quote { bid: digits(bid).parse().ok()?, bid_size: amount(wish.bid_size)?, ask: digits(ask).parse().ok()?, ask_size: amount(wish.ask_size)? };
            bodies.push(SimBody::Quote(quote));
        }
        (None, None) => {}
        _ => return None,
    }
    if let Some(trade) = wish.trade {
        let id = shared.next_trade.fetch_add(1, Ordering::Relaxed);
        bodies.push(SimBody::Trade { id, price: digits(trade).parse::<Price>().ok()?, size: amount(wish.size)? });
    }
    match (wish.halt, &wish.reason) {
        (Some(true), reason) => bodies.push(SimBody::Fact(halted(reason.as_deref().unwrap_or(USUAL_REASON)))),
        (Some(false), None) => bodies.push(SimBody::Fact(resumed())),
        (None, None) => {}
        (_, Some(_)) => return None,
    }
    if let Some(limits) = &wish.luld {
        let [down, up] = [limits.down, limits.up].map(|price| digits(price).parse::<Price>().ok());
        bodies.push(SimBody::Fact(limited(&down?.to_string(), &up?.to_string()).ok()?));
    }
    Some(bodies)
}

/// What the clock shows, how fast it runs, and which session it is.
pub(super) fn clock(shared: &Shared) -> Response {
    let now = shared.now();
    let hours = match shared.market.hours() {
        Hours::Always => "always",
        Hours::Calendar => "calendar",
    };
    shown(200, &json!({"timestamp": now.to_string(), "speed": shared.config.speed, "hours": hours, "session": shared.market.session_now(now).as_str()}))
}

/// Opens or closes the market of equities, where no calendar does.
pub(super) fn set_clock(shared: &Shared, body: &[u8]) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        session: String,
    }
    let all = [MarketSession::Closed, MarketSession::Pre, MarketSession::Regular, MarketSession::Post];
    let wish = serde_json::from_slice::<Wish>(body).ok();
    let Some(session) = wish.and_then(|wish| all.into_iter().find(|session| session.as_str() == wish.session)) else {
        return told(422, "the body is {\"session\"}: closed, pre, regular or post");
    };
    if shared.market.hours() == Hours::Calendar {
        return told(409, "the sessions follow the calendar; start the exchange with --hours always to set them by hand");
    }
    shared.market.set_session(session);
    shared.with_exchange(|exchange, now| exchange.set_session(session, now));
    clock(shared)
}

/// Tells the listeners of an account something about an order that the exchange itself does not do, such as a trade that is
/// taken back. Its own state stays as it is.
pub(super) fn order_update(shared: &Shared, body: &[u8]) -> Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish<'a> {
        /// The account of the first key when absent.
        account_id: Option<String>,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let Ok(wish) = serde_json::from_slice::<Wish<'_>>(body) else { return told(400, "the body is {\"account_id\",\"data\":{\"event\",\"order\"}}") };
    let Some(account) = wish.account_id.or_else(|| shared.config.keys.first().map(|key| key.account_id.clone())) else {
        return told(422, "there is no account");
    };
    let update = Update { account, data: wish.data.get().to_owned() };
    shared.hub.lock().deliver(&[update], shared.now());
    shown(200, &json!({"told": 1}))
}
