use super::*;
use crate::model::{Amount, Bar, BarKind, Digits, FeedSet, Quote, Trade};
use proptest::prelude::*;

const STREAM: StreamId = StreamId(0);

fn both(feeds: FeedSet) -> Interest {
    Interest { ticker: feeds, typed: feeds }
}

fn ticker(feed: Feed) -> Interest {
    Interest { ticker: FeedSet::NONE.with(feed), typed: FeedSet::NONE }
}

fn book(interest: Interest) -> PriceBook {
    let mut book = PriceBook::new(Timestamp::from_nanos(1_000_000), false);
    for (id, name) in ["AAPL", "MSFT"].into_iter().enumerate() {
        book.set_interest(Instant::now(), SymbolId(id as u32), name, STREAM, interest);
    }
    book
}

fn trade(id: u32, price: &str, size: &str) -> MarketEvent {
    let kind = MarketKind::Trade(Trade { price: price.parse().unwrap(), size: size.parse().unwrap() });
    MarketEvent { symbol: SymbolId(id), at: Timestamp::from_nanos(0), kind }
}

fn quote(id: u32, bid: &str) -> MarketEvent {
    let one = Amount::from_u64(1);
    let kind = MarketKind::Quote(Quote { bid: bid.parse().unwrap(), bid_size: one, ask: "9".parse().unwrap(), ask_size: one });
    MarketEvent { symbol: SymbolId(id), at: Timestamp::from_nanos(0), kind }
}

fn bar(id: u32) -> MarketEvent {
    let d = Digits::parse("1").unwrap();
    let bar = Bar { kind: BarKind::Minute, open: d, high: d, low: d, close: d, volume: Amount::ZERO, vwap: None, trade_count: None };
    MarketEvent { symbol: SymbolId(id), at: Timestamp::from_nanos(0), kind: MarketKind::Fact(Box::new(Fact::Bar(bar))) }
}

/// Channel and payload of each PUBLISH, key and fields of each HSET.
fn read(bytes: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let mut commands = Vec::new();
    while let Some(head) = lines.next().filter(|line| !line.is_empty()) {
        let count: usize = head.strip_prefix('*').unwrap().parse().unwrap();
        let args = (0..count).map(|_| {
            let length: usize = lines.next().unwrap().strip_prefix('$').unwrap().parse().unwrap();
            let value = lines.next().unwrap();
            assert_eq!(value.len(), length);
            value.to_owned()
        });
        commands.push(args.collect());
    }
    commands
}

fn field(payload: &str, name: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(payload).unwrap()[name].clone()
}

#[test]
fn publishes_in_the_dialects_that_were_registered() {
    let mut book = book(both(FeedSet::NONE.with(Feed::Price)));
    let mut bytes = Vec::new();
    let mut out = Outbox::new(&mut bytes, 100_000);
    handle_price_update(&mut book, Instant::now(), trade(0, "150.25", "100"), &mut out);
    handle_price_update(&mut book, Instant::now(), quote(0, "150.24"), &mut out);
    assert_eq!(out.commands(), 2);
    let commands = read(&bytes);
    assert_eq!(commands[0][..2], ["PUBLISH", "TICKER_UPDATES_AAPL"]);
    assert_eq!(commands[1][..2], ["PUBLISH", "price:AAPL"]);
    assert_eq!(field(&commands[0][2], "seq"), 1_000);
    assert_eq!(book.take_counts(), PriceCounts { taken: 1, published: 1, unwanted: 1, ..PriceCounts::default() });
}

#[test]
fn folds_without_room_and_accounts_for_every_update() {
    let mut book = book(ticker(Feed::Price));
    let (mut none, now) = (Vec::new(), Instant::now());
    let mut closed = Outbox::new(&mut none, 0);
    for (price, size) in [("1", "10"), ("2", "20.5"), ("3", "0.25")] {
        handle_price_update(&mut book, now, trade(0, price, size), &mut closed);
    }
    handle_price_update(&mut book, now, trade(1, "7", "1"), &mut closed);
    assert!(book.is_waiting() && none.is_empty());
    let mut bytes = Vec::new();
    book.flush(now, &mut Outbox::new(&mut bytes, 100_000));
    let commands = read(&bytes);
    assert_eq!(commands.len(), 2);
    assert_eq!((field(&commands[0][2], "price"), field(&commands[0][2], "volume"), field(&commands[0][2], "merged")), (3.into(), 30.75.into(), 2.into()));
    assert_eq!(field(&commands[1][2], "merged"), serde_json::Value::Null);
    assert!(!book.is_waiting());
}

#[test]
fn of_quotes_without_room_the_newest_is_published_and_the_others_are_counted() {
    let mut book = book(both(FeedSet::NONE.with(Feed::Quote)));
    let now = Instant::now();
    let mut none = Vec::new();
    let mut closed = Outbox::new(&mut none, 0);
    for bid in ["1", "2", "3.50"] {
        handle_price_update(&mut book, now, quote(0, bid), &mut closed);
    }
    handle_price_update(&mut book, now, quote(1, "7"), &mut closed);
    let mut bytes = Vec::new();
    book.flush(now, &mut Outbox::new(&mut bytes, 100_000));
    let commands = read(&bytes);
    let channels: Vec<&str> = commands.iter().map(|command| command[1].as_str()).collect();
    assert_eq!(channels, ["TICKER_UPDATES_AAPL", "quote:AAPL", "TICKER_UPDATES_MSFT", "quote:MSFT"]);
    assert!(commands[0][2].contains(r#""bid":3.50,"#), "{}", commands[0][2]);
    assert_eq!((field(&commands[1][2], "merged"), field(&commands[3][2], "merged")), (2.into(), serde_json::Value::Null));
    assert_eq!(book.take_counts(), PriceCounts { taken: 4, published: 2, merged: 2, ..PriceCounts::default() });
    assert!(!book.is_waiting());
}

#[test]
fn what_waits_and_is_wanted_no_longer_is_let_go() {
    let mut book = book(ticker(Feed::Quote));
    let now = Instant::now();
    let mut none = Vec::new();
    handle_price_update(&mut book, now, quote(0, "1"), &mut Outbox::new(&mut none, 0));
    book.set_interest(now, SymbolId(0), "AAPL", STREAM, ticker(Feed::Price));
    let mut bytes = Vec::new();
    book.flush(now, &mut Outbox::new(&mut bytes, 100_000));
    assert!(bytes.is_empty(), "{bytes:?}");
}

#[test]
fn an_update_never_overtakes_one_that_waits() {
    let mut book = book(ticker(Feed::Price));
    let now = Instant::now();
    handle_price_update(&mut book, now, trade(0, "1", "1"), &mut Outbox::new(&mut Vec::new(), 0));
    let mut bytes = Vec::new();
    let mut open = Outbox::new(&mut bytes, 100_000);
    handle_price_update(&mut book, now, trade(0, "2", "1"), &mut open);
    book.flush(now, &mut open);
    let commands = read(&bytes);
    assert_eq!(commands.len(), 1);
    assert_eq!((field(&commands[0][2], "price"), field(&commands[0][2], "volume")), (2.into(), 2.into()));
}

#[test]
fn facts_are_queued_in_order_and_never_folded() {
    let mut book = book(ticker(Feed::Bar));
    let now = Instant::now();
    for _ in 0..3 {
        handle_price_update(&mut book, now, bar(0), &mut Outbox::new(&mut Vec::new(), 0));
    }
    let mut bytes = Vec::new();
    book.flush(now, &mut Outbox::new(&mut bytes, 100_000));
    let seqs: Vec<u64> = read(&bytes).iter().map(|command| field(&command[2], "seq").as_u64().unwrap()).collect();
    assert_eq!(seqs, [1_000, 1_001, 1_002]);
    for _ in 0..FACTS_MAX + 5 {
        handle_price_update(&mut book, now, bar(0), &mut Outbox::new(&mut Vec::new(), 0));
    }
    assert_eq!(book.take_counts().facts_dropped, 5);
}

#[test]
fn last_values_come_at_most_every_quarter_second_and_once_after_the_burst() {
    let mut book = book(both(FeedSet::ALL));
    let start = Instant::now();
    let mut hsets = Vec::new();
    let mut bytes = Vec::new();
    for ms in 0..2_000u64 {
        let now = start + Duration::from_millis(ms);
        bytes.clear();
        let mut out = Outbox::new(&mut bytes, 100_000);
        if ms < 1_000 {
            handle_price_update(&mut book, now, trade(0, &format!("{}", ms + 1), "1"), &mut out);
        }
        book.flush(now, &mut out);
        hsets.extend(read(&bytes).into_iter().filter(|command| command[0] == "HSET").map(|command| (ms, command)));
    }
    assert!(hsets.len() <= 5, "{} writes in a second", hsets.len());
    let (_, last) = hsets.last().unwrap();
    assert_eq!(last[1..3], ["broker:last:AAPL", "price"]);
    assert_eq!((field(&last[3], "price"), field(&last[3], "snapshot"), field(&last[3], "stale")), (1_000.into(), true.into(), false.into()));
}

#[test]
fn a_lost_stream_marks_last_values_stale_until_the_next_update() {
    let mut book = book(ticker(Feed::Price));
    let start = Instant::now();
    let mut bytes = Vec::new();
    handle_price_update(&mut book, start, trade(0, "5", "1"), &mut Outbox::new(&mut bytes, 100_000));
    let saved = |book: &mut PriceBook, ms: u64| {
        let mut bytes = Vec::new();
        book.flush(start + Duration::from_millis(ms), &mut Outbox::new(&mut bytes, 100_000));
        read(&bytes)
    };
    assert_eq!(saved(&mut book, 300).len(), 1);
    book.stream_lost(start + Duration::from_millis(400), STREAM);
    let stale = saved(&mut book, 700);
    assert_eq!(field(&stale[0][3], "stale"), true);
    handle_price_update(&mut book, start + Duration::from_millis(800), trade(0, "6", "1"), &mut Outbox::new(&mut bytes, 100_000));
    assert_eq!(field(&saved(&mut book, 1_100)[0][3], "stale"), false);
}

#[test]
fn an_ended_interest_keeps_the_sequence_for_its_return() {
    let mut book = book(ticker(Feed::Price));
    let now = Instant::now();
    let mut bytes = Vec::new();
    handle_price_update(&mut book, now, trade(0, "5", "1"), &mut Outbox::new(&mut bytes, 100_000));
    book.set_interest(now, SymbolId(0), "AAPL", STREAM, Interest::default());
    handle_price_update(&mut book, now, trade(0, "6", "1"), &mut Outbox::new(&mut bytes, 100_000));
    book.set_interest(now, SymbolId(0), "AAPL", STREAM, ticker(Feed::Price));
    handle_price_update(&mut book, now, trade(0, "7", "1"), &mut Outbox::new(&mut bytes, 100_000));
    let seqs: Vec<u64> = read(&bytes).iter().map(|command| field(&command[2], "seq").as_u64().unwrap()).collect();
    assert_eq!(seqs, [1_000, 1_001]);
}

#[test]
fn the_wildcard_serves_symbols_that_nobody_named() {
    let mut book = PriceBook::new(Timestamp::from_nanos(0), true);
    book.set_wildcard(ticker(Feed::Price), Box::new(|id| (id.0 == 9).then(|| "NEW".to_owned())));
    let mut bytes = Vec::new();
    let mut out = Outbox::new(&mut bytes, 100_000);
    handle_price_update(&mut book, Instant::now(), trade(9, "5", "1"), &mut out);
    handle_price_update(&mut book, Instant::now(), trade(8, "5", "1"), &mut out);
    let commands = read(&bytes);
    assert_eq!((commands.len(), commands[0][1].as_str()), (1, "TICKER_UPDATES_NEW"));
    assert_eq!(field(&commands[0][2], "sim"), true);
    book.set_interest(Instant::now(), SymbolId(9), "NEW", STREAM, Interest::default());
    bytes.clear();
    handle_price_update(&mut book, Instant::now(), trade(9, "6", "1"), &mut Outbox::new(&mut bytes, 100_000));
    assert_eq!(read(&bytes).len(), 1, "a bot that leaves takes nothing from the wildcard");
}

proptest! {
    #[test]
    fn whatever_the_room_nothing_is_unaccounted_for(steps in proptest::collection::vec((0u32..2, 1u64..100, any::<bool>()), 1..200)) {
        let mut book = book(ticker(Feed::Price));
        let now = Instant::now();
        let mut bytes = Vec::new();
        let mut volumes = [0u64; 2];
        let mut last = [0u64; 2];
        let mut updates = [0u64; 2];
        for (id, size, room) in steps {
            let mut out = Outbox::new(&mut bytes, if room { usize::MAX } else { 0 });
            handle_price_update(&mut book, now, trade(id, &size.to_string(), &size.to_string()), &mut out);
            if room {
                book.flush(now, &mut out);
            }
            volumes[id as usize] += size;
            last[id as usize] = size;
            updates[id as usize] += 1;
        }
        book.flush(now, &mut Outbox::new(&mut bytes, usize::MAX));
        for (id, name) in ["TICKER_UPDATES_AAPL", "TICKER_UPDATES_MSFT"].into_iter().enumerate() {
            let payloads: Vec<String> = read(&bytes).into_iter().filter(|command| command[1] == name).map(|mut command| command.remove(2)).collect();
            let sum = |name: &str| payloads.iter().map(|p| field(p, name).as_u64().unwrap_or(0)).sum::<u64>();
            prop_assert_eq!(sum("volume"), volumes[id]);
            prop_assert_eq!(payloads.len() as u64 + sum("merged"), updates[id]);
            let seqs: Vec<u64> = payloads.iter().map(|p| field(p, "seq").as_u64().unwrap()).collect();
            prop_assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1));
            prop_assert_eq!(payloads.last().map_or(0, |p| field(p, "price").as_u64().unwrap()), last[id]);
        }
    }
}
