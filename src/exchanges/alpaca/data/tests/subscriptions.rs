//! Differences, acknowledgements, wildcards.

use std::cell::Cell;

use serde_json::json;

use super::*;

/// Streaming trades of AAPL and MSFT.
fn streaming() -> Desk {
    let mut desk = Desk::stocks();
    desk.want(&[want("AAPL", 1, price()), want("MSFT", 2, price())]);
    let mut desk = desk.live();
    desk.sent();
    desk.acks(&["AAPL", "MSFT"]);
    assert_eq!(desk.notices(), [Notice::StateChanged(StreamState::Streaming)]);
    desk
}

fn oddities(desk: &mut Desk) -> usize {
    desk.notices().iter().filter(|notice| matches!(notice, Notice::Oddity(_))).count()
}

#[test]
fn a_change_sends_the_difference_alone() {
    let mut desk = streaming();
    desk.want(&[want("IBM", 3, price()), want("AAPL", 1, FeedSet::NONE), want("MSFT", 2, feeds(&[Feed::Price, Feed::Quote]))]);
    let expected = [json!({"action": "unsubscribe", "trades": ["AAPL"]}), json!({"action": "subscribe", "trades": ["IBM"], "quotes": ["MSFT"]})];
    assert_eq!(desk.sent(), expected);
    desk.want(&[want("MSFT", 2, feeds(&[Feed::Price, Feed::Quote]))]);
    assert!(desk.sent().is_empty(), "nothing has changed");
    assert_eq!(desk.session.state(), StreamState::Streaming);
    desk.says(&trade("MSFT", "5"));
    assert_eq!(desk.trades().len(), 1, "data goes on while answers are out");
}

#[test]
fn changes_are_pipelined_and_nothing_is_compared_before_the_last_answer() {
    let mut desk = streaming();
    desk.want(&[want("IBM", 3, price())]);
    desk.want(&[want("IBM", 3, FeedSet::NONE)]);
    desk.want(&[want("QQQ", 4, price())]);
    assert_eq!(desk.sent().len(), 3);
    desk.acks(&["AAPL", "MSFT", "IBM"]);
    desk.acks(&["AAPL", "MSFT"]);
    assert!(desk.session.has_unacknowledged());
    desk.acks(&["AAPL", "MSFT", "QQQ"]);
    assert!(!desk.session.has_unacknowledged() && desk.sent().is_empty() && desk.notices().is_empty());
}

#[test]
fn a_change_may_come_back_while_its_answer_is_out() {
    let (mut desk, mut venue) = (streaming(), Venue::default());
    venue.lists.insert("trades".to_owned(), vec!["AAPL".to_owned(), "MSFT".to_owned()]);
    for feeds in [price(), FeedSet::NONE, price(), FeedSet::NONE, price()] {
        desk.want(&[want("IBM", 3, feeds)]);
    }
    venue.settle(&mut desk);
    assert_eq!(venue.list("trades"), ["AAPL", "IBM", "MSFT"]);
    assert_eq!(venue.asked, 5);
}

#[test]
fn a_short_list_is_asked_for_once_more_and_then_left() {
    let mut desk = streaming();
    desk.want(&[want("IBM", 3, price())]);
    desk.sent();
    desk.acks(&["AAPL"]);
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["IBM", "MSFT"]})]);
    desk.acks(&["AAPL", "MSFT"]);
    assert!(desk.sent().is_empty());
    assert_eq!(oddities(&mut desk), 1);
    assert!(desk.out.end.is_none() && !desk.session.has_unacknowledged());
    desk.want(&[want("QQQ", 4, price())]);
    assert_eq!(desk.sent().len(), 1);
    desk.acks(&["AAPL", "MSFT", "QQQ"]);
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["IBM"]})], "a change tries again");
}

#[test]
fn a_long_list_is_shortened_once() {
    let mut desk = streaming();
    desk.want(&[want("IBM", 3, price())]);
    desk.sent();
    desk.acks(&["AAPL", "MSFT", "IBM", "TSLA", "no symbol"]);
    assert_eq!(desk.sent(), [json!({"action": "unsubscribe", "trades": ["TSLA"]})]);
    assert_eq!(oddities(&mut desk), 1, "for the text that is no symbol");
    desk.acks(&["AAPL", "MSFT", "IBM", "TSLA"]);
    assert!(desk.sent().is_empty());
    assert_eq!(oddities(&mut desk), 1);
}

#[test]
fn a_channel_without_a_list_says_nothing() {
    let mut desk = streaming();
    desk.want(&[want("IBM", 3, feeds(&[Feed::Price, Feed::Quote, Feed::Bar]))]);
    desk.sent();
    desk.says(r#"[{"T":"subscription","trades":["AAPL","MSFT","IBM"],"bars":null,"dailyBars":7}]"#);
    assert!(desk.sent().is_empty() && desk.notices().is_empty());
    desk.says(r#"[{"T":"subscription"}]"#);
    assert!(desk.sent().is_empty() && desk.notices().is_empty());
}

#[test]
fn an_unasked_acknowledgement_is_compared_too() {
    let mut desk = streaming();
    desk.acks(&["AAPL"]);
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["MSFT"]})]);
}

#[test]
fn many_symbols_go_in_messages_of_two_thousand_in_order() {
    let mut desk = Desk::stocks();
    let changes: Vec<SymbolWant> = (0..4_500).rev().map(|n| want(&format!("S{n:04}"), n, price())).collect();
    desk.want(&changes);
    let mut desk = desk.live();
    let sent = desk.sent();
    let sizes: Vec<usize> = sent.iter().map(|message| message["trades"].as_array().expect("trades").len()).collect();
    assert_eq!(sizes, [2_000, 2_000, 500]);
    assert_eq!((&sent[0]["trades"][0], &sent[2]["trades"][499]), (&json!("S0000"), &json!("S4499")));
    let mut venue = Venue::default();
    for message in &sent {
        let answer = venue.answer(message);
        desk.says(&answer);
    }
    assert_eq!(desk.session.state(), StreamState::Streaming);
    let gone: Vec<SymbolWant> = (0..4_500).map(|n| want(&format!("S{n:04}"), n, FeedSet::NONE)).collect();
    desk.want(&gone);
    venue.settle(&mut desk);
    assert!(venue.list("trades").is_empty());
}

/// An acknowledgement of trades that counts how many names were read of it.
struct Counted {
    trades: Vec<String>,
    read: Cell<usize>,
}

impl Lists for Counted {
    fn read(&self, channel: Channels, show: &mut dyn FnMut(&str)) -> bool {
        let listed = channel.names().eq(["trades"]);
        for text in self.trades.iter().filter(|_| listed) {
            self.read.set(self.read.get() + 1);
            show(text);
        }
        listed
    }
}

#[test]
fn a_symbol_beside_eleven_thousand_sends_one_and_the_expected_list_is_read_once() {
    let mut trades: Vec<String> = (0..11_000).map(|n| format!("S{n:05}")).collect();
    let changes: Vec<SymbolWant> = trades.iter().zip(0..).map(|(symbol, id)| want(symbol, id, price())).collect();
    let mut desk = Desk::stocks();
    desk.want(&changes);
    let mut desk = desk.live();
    for _ in desk.sent() {
        desk.acks(&trades.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert_eq!((desk.session.has_unacknowledged(), desk.sent().len()), (false, 0));
    let acknowledge = |desk: &mut Desk, trades: &[String]| {
        let lists = Counted { trades: trades.to_vec(), read: Cell::new(0) };
        desk.session.with_book(desk.now, &mut desk.out, |book, hands| book.acknowledged(&lists, hands));
        lists.read.get()
    };
    desk.want(&[want("X", 11_000, price())]);
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["X"]})]);
    trades.insert(7, "X".to_owned());
    trades.reverse();
    assert_eq!(acknowledge(&mut desk, &trades), 11_001);
    desk.want(&[want("S00005", 5, FeedSet::NONE)]);
    assert_eq!(desk.sent(), [json!({"action": "unsubscribe", "trades": ["S00005"]})]);
    trades.retain(|name| name != "S00005");
    assert_eq!(acknowledge(&mut desk, &trades), 11_000);
    desk.want(&[want("Y", 11_001, price())]);
    desk.sent();
    desk.error(400);
    desk.want(&[want("Z", 11_002, price())]);
    desk.sent();
    trades.push("Z".to_owned());
    assert_eq!(acknowledge(&mut desk, &trades), 11_001, "a symbol refused in between changes nothing");
    let _ = trades.pop();
    assert!(acknowledge(&mut desk, &trades) > 11_000, "one that is missing is found by name");
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["Z"]})]);
}

#[test]
fn feeds_become_channels_of_the_market() {
    for (market, expected) in [
        (Market::Stocks, vec!["bars", "dailyBars", "lulds", "quotes", "statuses", "trades", "updatedBars"]),
        (Market::Crypto, vec!["bars", "dailyBars", "quotes", "trades", "updatedBars"]),
        (Market::Test, vec!["bars", "quotes", "trades"]),
    ] {
        let mut desk = Desk::of(market, Codec::Json, FeedSet::NONE);
        desk.want(&[want("FAKEPACA", 1, FeedSet::ALL)]);
        let mut desk = desk.live();
        let sent = desk.sent();
        let channels: Vec<&str> = sent[0].as_object().expect("an object").keys().map(String::as_str).filter(|key| *key != "action").collect();
        assert_eq!(channels, expected);
    }
}

#[test]
fn a_symbol_with_feeds_that_the_market_lacks_is_refused() {
    let mut desk = Desk::of(Market::Crypto, Codec::Json, FeedSet::NONE).live();
    desk.want(&[want("BTC/USD", 1, feeds(&[Feed::Status])), want("ETH/USD", 2, price())]);
    let notices = desk.notices();
    let [Notice::SymbolsRefused { symbols, reason }] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((symbols.len(), symbols[0].symbol.as_str()), (1, "BTC/USD"));
    assert!(reason.contains("does not carry"), "{reason}");
    assert_eq!((desk.session.wanted_symbols(), desk.sent().len()), (1, 1));
}

#[test]
fn a_wildcard_that_the_venue_does_not_list_is_asked_for_once_more() {
    let mut desk = Desk::of(Market::Stocks, Codec::Json, price()).live();
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["*"]})]);
    desk.acks(&[]);
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["*"]})]);
    desk.acks(&[]);
    assert!(desk.sent().is_empty());
    assert_eq!(oddities(&mut desk), 1);
}

#[test]
fn the_wildcard_brings_symbols_without_names() {
    let mut desk = Desk::of(Market::Stocks, Codec::Json, price());
    desk.want(&[want("AAPL", 1, feeds(&[Feed::Price, Feed::Quote]))]);
    let mut desk = desk.live();
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["*"], "quotes": ["AAPL"]})]);
    desk.says(r#"[{"T":"subscription","trades":["*"],"quotes":["AAPL"]}]"#);
    assert_eq!(desk.session.state(), StreamState::Streaming);
    for symbol in ["AAPL", "A", "B", "A", "C", "D", "not a symbol"] {
        desk.says(&trade(symbol, "1"));
    }
    let ids: Vec<u32> = desk.trades().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 1000, 1001, 1000, 1002], "the table has room for three");
    assert_eq!(desk.out.unwanted, 2);
    desk.says(r#"[{"T":"q","S":"A","bp":1,"bs":1,"ap":1,"as":1,"t":"2026-01-02T03:04:05Z"}]"#);
    assert_eq!(desk.out.unwanted, 3, "the wildcard is for trades alone");
    desk.want(&[want("AAPL", 1, FeedSet::NONE)]);
    assert_eq!(desk.sent(), [json!({"action": "unsubscribe", "quotes": ["AAPL"]})]);
}
