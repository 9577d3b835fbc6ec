//! Which workers a command is for, and whose turn it takes there.
//!
//! # The order that is promised
//!
//! * Commands of one bot that are about orders are carried out one after the other, as they were sent: `place`,
//!   `close_position`, and `modify` and `cancel` by client order id. The bot is what stands before the first `-` of the
//!   client order id; without that, the whole id stands for a bot. So a `cancel` never overtakes the `place` it is about.
//! * A `modify` by the venue's order id keeps the order among those of the same id alone: its bot is not known.
//! * A `cancel_all` is its bot's when the answer goes to `broker:replies:{bot}`: it then keeps that bot's order too.
//! * Everything that takes risk away and has no known bot overtakes: a `cancel` by the venue's order id (which nobody knows
//!   before the `place` is answered) and a `cancel_all` without a bot. What still waits is carried out after them; who wants
//!   that not to happen sends a `halt` first.
//! * `halt` and `resume` overtake everything and keep their order among themselves, whoever sent them.
//! * What waits until it is known which account it is for keeps the order among what waits for the same account, and goes
//!   before whatever is sent there afterwards; what the bot sends elsewhere goes on meanwhile.
//! * Questions and comparisons with the venue overtake orders, and keep their order among those answered on one channel: who wants to see the effect of a
//!   command waits for its answer.

use std::borrow::Cow;

use crate::contract::channel::REPLIES;
use crate::contract::{BotName, DeskCommand, Wish};
use crate::events::{Command, OrderKey};
use crate::model::ClientOrderId;

/// Workers of their own, so that none waits for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Halts,
    Cancels,
    Questions,
    Orders,
    /// Commands that are refused unheard.
    Refusals,
}

impl Lane {
    pub const ALL: [Lane; 5] = [Lane::Halts, Lane::Cancels, Lane::Questions, Lane::Orders, Lane::Refusals];

    pub fn name(self) -> &'static str {
        match self {
            Lane::Halts => "desk-halts",
            Lane::Cancels => "desk-cancels",
            Lane::Questions => "desk-questions",
            Lane::Orders => "desk-orders",
            Lane::Refusals => "desk-refused",
        }
    }
}

/// The lane of a command, and the name under which it waits there.
pub(super) fn lane_of(command: &DeskCommand) -> (Lane, Cow<'_, str>) {
    let reply_to = command.reply_to.as_deref();
    match &command.wish {
        Wish::Halt { .. } | Wish::Resume { .. } => (Lane::Halts, "".into()),
        Wish::Ask(_) | Wish::Reconcile { .. } => (Lane::Questions, reply_to.unwrap_or_default().into()),
        Wish::Order(Command::Place(request)) => (Lane::Orders, bot_of(&request.client_order_id)),
        Wish::Order(Command::ClosePosition { client_order_id, .. }) => (Lane::Orders, bot_of(client_order_id)),
        Wish::Order(Command::Modify { order: OrderKey::Client(id), .. } | Command::Cancel(OrderKey::Client(id))) => (Lane::Orders, bot_of(id)),
        // No bot has a name with a colon.
        Wish::Order(Command::Modify { order: OrderKey::Venue(id), .. }) => (Lane::Orders, format!("venue:{id}").into()),
        Wish::Order(Command::Cancel(OrderKey::Venue(id))) => (Lane::Cancels, id.as_str().into()),
        Wish::Order(Command::CancelAll(_)) => reply_to.and_then(bot_behind).map_or((Lane::Cancels, "".into()), |bot| (Lane::Orders, bot.into())),
    }
}

fn bot_of(id: &ClientOrderId) -> Cow<'_, str> {
    id.bot().unwrap_or(id.as_str()).into()
}

/// The bot that listens on this channel.
fn bot_behind(reply_to: &str) -> Option<&str> {
    let bot = reply_to.strip_prefix(REPLIES)?.strip_prefix(':')?;
    bot.parse::<BotName>().is_ok().then_some(bot)
}

/// The client order id that the command names.
pub(in crate::desk) fn client_order_id(command: &DeskCommand) -> Option<&ClientOrderId> {
    match &command.wish {
        Wish::Order(Command::Place(request)) => Some(&request.client_order_id),
        Wish::Order(Command::ClosePosition { client_order_id: id, .. })
        | Wish::Order(Command::Modify { order: OrderKey::Client(id), .. } | Command::Cancel(OrderKey::Client(id))) => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::parse_command;

    fn lane(fields: &str) -> (Lane, String) {
        let command = parse_command(format!("{{{fields}}}").as_bytes()).unwrap();
        let (lane, key) = lane_of(&command);
        (lane, key.into_owned())
    }

    #[test]
    fn the_orders_of_a_bot_stay_together_and_nothing_waits_behind_them() {
        let order = r#""symbol":"AAPL","side":"buy","qty":"1""#;
        for (fields, expected) in [
            (format!(r#""action":"place","client_order_id":"scalper-1",{order}"#), (Lane::Orders, "scalper")),
            (format!(r#""action":"place","client_order_id":"Scalper-1",{order}"#), (Lane::Orders, "Scalper-1")),
            (r#""action":"close_position","client_order_id":"scalper-2","symbol":"AAPL""#.to_owned(), (Lane::Orders, "scalper")),
            (r#""action":"modify","client_order_id":"scalper-1","qty":"2""#.to_owned(), (Lane::Orders, "scalper")),
            (r#""action":"cancel","client_order_id":"scalper-1""#.to_owned(), (Lane::Orders, "scalper")),
            (r#""action":"cancel","client_order_id":"Scalper-1""#.to_owned(), (Lane::Orders, "Scalper-1")),
            (r#""action":"cancel_all","reply_to":"broker:replies:scalper""#.to_owned(), (Lane::Orders, "scalper")),
            (r#""action":"cancel_all","reply_to":"broker:replies:cli-12-ab""#.to_owned(), (Lane::Cancels, "")),
            (r#""action":"cancel_all""#.to_owned(), (Lane::Cancels, "")),
            (r#""action":"cancel","order_id":"v1""#.to_owned(), (Lane::Cancels, "v1")),
            (r#""action":"modify","order_id":"v1","qty":"2""#.to_owned(), (Lane::Orders, "venue:v1")),
            (r#""action":"positions","reply_to":"me""#.to_owned(), (Lane::Questions, "me")),
            (r#""action":"reconcile","dry_run":true,"reply_to":"me""#.to_owned(), (Lane::Questions, "me")),
            (r#""action":"halt","bot":"scalper""#.to_owned(), (Lane::Halts, "")),
            (r#""action":"resume","bot":"scalper""#.to_owned(), (Lane::Halts, "")),
        ] {
            assert_eq!(lane(&fields), (expected.0, expected.1.to_owned()), "{fields}");
        }
    }
}
