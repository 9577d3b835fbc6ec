//! What the venue refuses.

use serde_json::json;

use super::*;

fn refused(desk: &mut Desk) -> Vec<(Vec<String>, String)> {
    let read = |notice| match notice {
        Notice::SymbolsRefused { symbols, reason } => Some((symbols.iter().map(|refused| refused.symbol.to_string()).collect(), reason)),
        _ => None,
    };
    desk.notices().into_iter().filter_map(read).collect()
}

fn names(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("S{n:02}")).collect()
}

fn wants(range: std::ops::Range<u32>, feeds: FeedSet) -> Vec<SymbolWant> {
    range.map(|n| want(&format!("S{n:02}"), n, feeds)).collect()
}

#[test]
fn a_limit_of_thirty_serves_thirty_of_thirty_five() {
    let mut venue = Venue { limit: Some(30), ..Venue::default() };
    let mut desk = Desk::stocks();
    desk.want(&wants(0..35, feeds(&[Feed::Price, Feed::Quote])));
    let mut desk = desk.live();
    venue.settle(&mut desk);
    assert_eq!((venue.list("trades").len(), venue.list("quotes").len()), (30, 30));
    let refusals = refused(&mut desk);
    let [(symbols, reason)] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!(*symbols, names(30..35));
    assert!(reason.contains("symbol limit") && reason.contains("405"), "{reason}");
    assert_eq!((desk.session.wanted_symbols(), desk.session.state()), (30, StreamState::Streaming));
    assert!(venue.asked <= 12, "asked {} times", venue.asked);

    desk.want(&wants(30..31, price()));
    venue.settle(&mut desk);
    assert_eq!(refused(&mut desk).len(), 1, "still full");
    desk.want(&wants(0..2, FeedSet::NONE));
    desk.want(&wants(33..35, price()));
    venue.settle(&mut desk);
    assert_eq!(refused(&mut desk), []);
    assert_eq!((venue.list("trades").len(), venue.list("trades").contains(&"S34")), (30, true));
}

#[test]
fn what_was_refused_is_not_asked_for_on_the_next_connection() {
    let mut venue = Venue { limit: Some(3), ..Venue::default() };
    let mut desk = Desk::stocks();
    desk.want(&wants(0..5, price()));
    let mut desk = desk.live();
    venue.settle(&mut desk);
    desk.session.lost();
    let mut desk = desk.live();
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["S00", "S01", "S02"]})]);
}

#[test]
fn more_feeds_of_a_served_symbol_may_be_refused_without_losing_the_rest() {
    let mut desk = Desk::stocks();
    desk.want(&wants(0..1, price()));
    let mut desk = desk.live();
    desk.sent();
    desk.acks(&["S00"]);
    desk.want(&wants(0..1, feeds(&[Feed::Price, Feed::Quote])));
    desk.sent();
    desk.error(405);
    assert_eq!(refused(&mut desk).len(), 1);
    assert!(desk.sent().is_empty());
    desk.says(&trade("S00", "7"));
    assert_eq!(desk.trades().len(), 1);
    assert_eq!(desk.session.wanted_symbols(), 1);
}

#[test]
fn changes_during_the_search_are_heard() {
    let mut venue = Venue { limit: Some(4), ..Venue::default() };
    let mut desk = Desk::stocks();
    desk.want(&wants(0..8, price()));
    let mut desk = desk.live();
    let request = desk.sent().remove(0);
    let answer = venue.answer(&request);
    desk.says(&answer);
    desk.want(&wants(0..7, FeedSet::NONE));
    desk.want(&[want("IBM", 99, price())]);
    venue.settle(&mut desk);
    assert_eq!(venue.list("trades"), ["IBM", "S07"]);
    assert_eq!(refused(&mut desk), []);
    assert!(!desk.session.has_unacknowledged());
}

#[test]
fn a_symbol_refused_first_and_granted_later_is_given_back() {
    let mut desk = Desk::stocks().live();
    for feeds in [price(), FeedSet::NONE, price()] {
        desk.want(&wants(0..1, feeds));
    }
    assert_eq!(desk.sent().len(), 3);
    desk.error(405);
    assert_eq!(refused(&mut desk).len(), 1);
    assert_eq!(desk.sent(), [json!({"action": "unsubscribe", "trades": ["S00"]})], "what is still in flight will be granted");
    desk.acks(&[]);
    desk.acks(&["S00"]);
    desk.acks(&[]);
    assert!(desk.sent().is_empty() && !desk.session.has_unacknowledged());
    assert_eq!(desk.session.wanted_symbols(), 0);
}

#[test]
fn symbols_that_the_venue_calls_invalid_are_found_and_the_others_served() {
    let mut venue = Venue { invalid: vec!["S03".to_owned(), "S77".to_owned()], ..Venue::default() };
    let mut desk = Desk::stocks();
    desk.want(&wants(0..100, price()));
    let mut desk = desk.live();
    venue.settle(&mut desk);
    assert_eq!(venue.list("trades").len(), 98);
    let refusals = refused(&mut desk);
    let symbols: Vec<&str> = refusals.iter().flat_map(|(symbols, _)| symbols).map(String::as_str).collect();
    assert_eq!(symbols, ["S03", "S77"]);
    assert!(refusals[0].1.contains("invalid syntax"), "{refusals:?}");
    assert!(desk.out.end.is_none() && venue.asked < 40, "asked {} times", venue.asked);
}

#[test]
fn a_venue_that_calls_everything_invalid_is_not_asked_for_ever() {
    let all: Vec<String> = (0..3_000).map(|n| format!("X{n:04}")).collect();
    let changes: Vec<SymbolWant> = all.iter().zip(0..).map(|(symbol, id)| want(symbol, id, price())).collect();
    let mut venue = Venue { invalid: all, ..Venue::default() };
    let mut desk = Desk::stocks();
    desk.want(&changes);
    let mut desk = desk.live();
    venue.settle(&mut desk);
    assert!(venue.asked < 300, "asked {} times", venue.asked);
    assert_eq!(refused(&mut desk).iter().map(|(symbols, _)| symbols.len()).sum::<usize>(), 3_000);
    assert_eq!((desk.session.wanted_symbols(), desk.session.state()), (0, StreamState::Streaming));
}

#[test]
fn a_refusal_of_an_unknown_number_is_one_of_a_symbol() {
    let mut desk = Desk::stocks().live();
    desk.want(&wants(0..1, price()));
    desk.sent();
    desk.error(414);
    let refusals = refused(&mut desk);
    assert!(refusals[0].1.contains("error 414: word of 414"), "{refusals:?}");
    assert!(desk.out.end.is_none() && !desk.session.has_unacknowledged());
}

#[test]
fn a_channel_that_the_stream_lacks_is_dropped_and_the_others_served() {
    let mut desk = Desk::stocks();
    desk.want(&[want("A", 1, feeds(&[Feed::Price, Feed::Status])), want("B", 2, feeds(&[Feed::Status]))]);
    let mut desk = desk.live();
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["A"], "statuses": ["A", "B"], "lulds": ["A", "B"]})]);
    desk.error(410);
    assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["A"]})]);
    desk.says(r#"[{"T":"subscription","trades":["A"]}]"#);
    for channel in ["statuses", "lulds"] {
        assert_eq!(desk.sent(), [json!({"action": "subscribe", channel: ["A", "B"]})]);
        desk.error(410);
    }
    let notices = desk.notices();
    assert!(notices.iter().any(|notice| matches!(notice, Notice::SymbolsRefused { symbols, .. } if symbols.len() == 1 && symbols[0].symbol.as_str() == "B")));
    assert!(notices.iter().any(|notice| matches!(notice, Notice::Oddity(text) if text.contains("statuses"))));
    assert_eq!((desk.session.state(), desk.session.wanted_symbols()), (StreamState::Streaming, 1));
    desk.want(&[want("C", 3, feeds(&[Feed::Status]))]);
    assert!(desk.sent().is_empty());
    assert_eq!(refused(&mut desk).len(), 1);
}

#[test]
fn a_wildcard_that_is_not_allowed_gives_way_to_names() {
    for code in [413, 405, 400] {
        let mut desk = Desk::of(Market::Stocks, Codec::Json, feeds(&[Feed::Price]));
        desk.want(&[want("A", 1, feeds(&[Feed::Price, Feed::Quote])), want("B", 2, price())]);
        let mut desk = desk.live();
        assert_eq!(desk.sent(), [json!({"action": "subscribe", "trades": ["*"], "quotes": ["A"]})]);
        let mut venue = Venue { invalid: vec!["*".to_owned()], ..Venue::default() };
        desk.error(code);
        venue.settle(&mut desk);
        assert_eq!((venue.list("trades"), venue.list("quotes")), (vec!["A", "B"], vec!["A"]), "{code}");
        assert_eq!(refused(&mut desk), []);
        desk.says(&trade("Z", "1"));
        assert_eq!(desk.out.unwanted, 1);
    }
}

#[test]
fn refusals_that_answer_nothing_are_odd_and_no_more() {
    let mut desk = Desk::stocks().live();
    for code in [400, 405, 410, 413, 777] {
        desk.error(code);
    }
    assert_eq!(desk.notices().len(), 5);
    assert!(desk.out.end.is_none() && desk.out.send.is_empty());
    desk.want(&wants(0..1, price()));
    desk.sent();
    desk.acks(&["S00"]);
    desk.want(&wants(0..1, FeedSet::NONE));
    desk.sent();
    desk.error(400);
    assert_eq!(refused(&mut desk), []);
    assert!(!desk.session.has_unacknowledged() && desk.out.end.is_none());
}
