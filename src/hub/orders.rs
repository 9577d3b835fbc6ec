//! Order updates into publications, and the queue that keeps them until Redis has confirmed each one. Pure.
//!
//! Must not know sockets or threads. Nothing leaves the queue unconfirmed: after a lost connection everything that was
//! sent without an answer is sent again, in order.

use std::collections::VecDeque;

use super::lanes::{OrderItem, OrderSource};
use crate::contract::channel::order_channel;
use crate::contract::{OrderMarks, encode_order, get_ticker_channel};
use crate::model::Symbol;
use crate::redis::resp;

/// What the queue may hold; beyond it the handler takes nothing more from its lane, so that the venue keeps it for us.
pub const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How orders are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderRules {
    /// Whether the ticker channel, which every listener of the symbol sees, carries orders.
    pub on_ticker_channel: bool,
    /// The same for what the desk's brokers tell: who listens to a symbol must not take a paper fill for a real one.
    pub desk_on_ticker_channel: bool,
    pub sim: bool,
}

/// One order update, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPublication {
    /// RESP commands.
    pub bytes: Vec<u8>,
    pub commands: u64,
}

/// Turns one order update into its copies for the bots. A symbol that is none (the parent of a multi-leg order has no
/// symbol) has no ticker channel; the account's channel gets every update.
pub fn handle_order_update(item: &OrderItem, rules: OrderRules) -> OrderPublication {
    let copies = encode_order(&item.event, &item.account_id, item.received, OrderMarks { source: "stream", sim: rules.sim, ..OrderMarks::default() });
    let mut publication = OrderPublication { bytes: Vec::with_capacity(copies.ticker.len() + copies.typed.len() + 128), commands: 0 };
    let on_ticker_channel = match item.source {
        OrderSource::Exchange => rules.on_ticker_channel,
        OrderSource::Desk => rules.desk_on_ticker_channel,
    };
    if on_ticker_channel && item.event.order.symbol.parse::<Symbol>().is_ok() {
        publication.publish(&get_ticker_channel(&item.event.order.symbol), &copies.ticker);
    }
    publication.publish(&order_channel(&item.account_id), &copies.typed);
    publication
}

impl OrderPublication {
    fn publish(&mut self, channel: &str, payload: &str) {
        resp::publish(&mut self.bytes, channel.as_bytes(), payload.as_bytes());
        self.commands += 1;
    }
}

/// Publications in order, each kept until Redis has answered all its commands.
#[derive(Debug, Default)]
pub struct OrderQueue {
    waiting: VecDeque<OrderPublication>,
    bytes: usize,
    /// How many of those at the front have been sent on the present connection.
    sent: usize,
    /// Answers that belong to the first one.
    answered: u64,
}

impl OrderQueue {
    pub fn push(&mut self, publication: OrderPublication) {
        self.bytes += publication.bytes.len();
        self.waiting.push_back(publication);
    }

    pub fn has_room(&self) -> bool {
        self.bytes < QUEUE_BYTES_MAX
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn has_unsent(&self) -> bool {
        self.sent < self.waiting.len()
    }

    /// Writes what has not been sent, up to a length of `limit`; says how many answers it will cause.
    pub fn send(&mut self, out: &mut Vec<u8>, limit: usize) -> usize {
        let mut commands = 0;
        while out.len() < limit {
            let Some(publication) = self.waiting.get(self.sent) else { break };
            out.extend_from_slice(&publication.bytes);
            commands += publication.commands as usize;
            self.sent += 1;
        }
        commands
    }

    /// Redis has answered so many commands, in order; says how many updates are done with that.
    pub fn confirm(&mut self, mut answers: u64) -> u64 {
        let mut done = 0;
        while answers > 0 && self.sent > 0 {
            let Some(first) = self.waiting.front() else { break };
            let missing = first.commands - self.answered;
            if answers < missing {
                self.answered += answers;
                break;
            }
            answers -= missing;
            self.answered = 0;
            self.sent -= 1;
            if let Some(publication) = self.waiting.pop_front() {
                self.bytes -= publication.bytes.len();
            }
            done += 1;
        }
        done
    }

    /// The connection is gone: whatever it did not answer is to be sent again.
    pub fn connection_lost(&mut self) {
        self.sent = 0;
        self.answered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{OrderEvent, OrderSummary};
    use crate::model::Timestamp;

    fn item(symbol: &str) -> OrderItem {
        let order = OrderSummary { id: "o1".into(), symbol: symbol.into(), status: "new".into(), ..OrderSummary::default() };
        let event = OrderEvent {
            account: "paper".into(),
            event: "new".into(),
            execution_id: None,
            price: None,
            qty: None,
            position_qty: None,
            timestamp: None,
            order,
            order_json: "{}".into(),
            extra: Vec::new(),
        };
        OrderItem { source: OrderSource::Exchange, account_id: "acc".into(), received: Timestamp::from_nanos(0), event }
    }

    fn rules(on_ticker_channel: bool) -> OrderRules {
        OrderRules { on_ticker_channel, desk_on_ticker_channel: false, sim: false }
    }

    #[test]
    fn a_paper_fill_is_not_shown_to_who_listens_to_the_symbol() {
        let item = OrderItem { source: OrderSource::Desk, ..item("AAPL") };
        let text = |rules| String::from_utf8(handle_order_update(&item, rules).bytes).unwrap();
        assert!(!text(rules(true)).contains("TICKER_UPDATES_AAPL") && text(rules(true)).contains("order:acc"));
        assert!(text(OrderRules { desk_on_ticker_channel: true, ..rules(true) }).contains("TICKER_UPDATES_AAPL"));
    }

    #[test]
    fn both_copies_unless_there_is_no_symbol_or_the_ticker_channel_is_off() {
        let text = |publication: OrderPublication| String::from_utf8(publication.bytes).unwrap();
        let both = handle_order_update(&item("AAPL"), rules(true));
        assert_eq!(both.commands, 2);
        assert!(text(both).contains("TICKER_UPDATES_AAPL"));
        for publication in
            [handle_order_update(&item("AAPL"), rules(false)), handle_order_update(&item(""), rules(true)), handle_order_update(&item("A\r\nB"), rules(true))]
        {
            assert_eq!(publication.commands, 1);
            assert!(text(publication).contains("order:acc"));
        }
    }

    #[test]
    fn nothing_leaves_unconfirmed_and_a_lost_connection_sends_again() {
        let mut queue = OrderQueue::default();
        for _ in 0..3 {
            queue.push(handle_order_update(&item("AAPL"), rules(true)));
        }
        let mut out = Vec::new();
        assert_eq!(queue.send(&mut out, usize::MAX), 6);
        assert_eq!(queue.confirm(3), 1);
        assert_eq!((queue.len(), queue.has_unsent()), (2, false));
        queue.connection_lost();
        let mut again = Vec::new();
        assert_eq!(queue.send(&mut again, usize::MAX), 4);
        assert_eq!(again.len(), out.len() / 3 * 2);
        assert_eq!(queue.confirm(4), 2);
        assert!(queue.is_empty() && queue.bytes == 0);
    }

    #[test]
    fn the_bound_is_said_before_memory_is_gone() {
        let mut queue = OrderQueue::default();
        while queue.has_room() {
            queue.push(OrderPublication { bytes: vec![0; 1024 * 1024], commands: 1 });
        }
        assert_eq!(queue.len(), 32);
    }
}
