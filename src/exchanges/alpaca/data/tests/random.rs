//! Whatever happens, the session does not panic, ends in what is wanted, and asks finitely often.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::exchanges::alpaca::data::book::Book;
use crate::exchanges::alpaca::data::channels::Ticker;

#[derive(Debug, Clone)]
enum Step {
    /// Wants of a symbol the feeds of these bits.
    Want(u8, u8),
    /// The venue answers the oldest request.
    Answer,
    Reconnect,
}

impl Book {
    /// A book that says so does agree.
    fn agreement_holds(&self) -> bool {
        let wanted = self.wanted.keys().cloned().map(Ticker::One);
        !self.agreed || wanted.chain(self.held.iter().map(|(ticker, _)| ticker.clone())).all(|ticker| self.dirty.contains(&ticker) || self.is_settled(&ticker))
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..12, 0u8..16).prop_map(|(symbol, bits)| Step::Want(symbol, bits)),
        5 => Just(Step::Answer),
        1 => Just(Step::Reconnect),
    ]
}

fn feeds_of(bits: u8) -> FeedSet {
    Feed::ALL.into_iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, feed)| feed).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_venue_ends_up_holding_what_is_wanted(steps in vec(step(), 1..60), limit in proptest::option::of(3usize..12), invalid in any::<bool>()) {
        let fresh = || Venue { limit, invalid: if invalid { vec!["S3".to_owned()] } else { vec![] }, ..Venue::default() };
        let mut venue = fresh();
        let mut desk = Desk::stocks().live();
        let mut requests = std::collections::VecDeque::new();
        for step in steps {
            match step {
                Step::Want(symbol, bits) => desk.want(&[want(&format!("S{symbol}"), u32::from(symbol), feeds_of(bits))]),
                Step::Answer => {
                    if let Some(request) = requests.pop_front() {
                        let answer = venue.answer(&request);
                        desk.says(&answer);
                    }
                }
                Step::Reconnect => {
                    desk.session.lost();
                    requests.clear();
                    desk.out.send.clear();
                    venue = fresh();
                    desk = desk.live();
                }
            }
            requests.extend(desk.sent());
            prop_assert!(desk.session.book.agreement_holds());
        }
        while let Some(request) = requests.pop_front() {
            let answer = venue.answer(&request);
            desk.says(&answer);
            requests.extend(desk.sent());
            prop_assert!(desk.session.book.agreement_holds());
            prop_assert!(venue.asked < 5_000, "the session asks for ever");
        }
        prop_assert!(!desk.session.has_unacknowledged() && desk.out.end.is_none());
        prop_assert_eq!(desk.session.state(), StreamState::Streaming);
        for (channel, feed) in [("trades", Feed::Price), ("quotes", Feed::Quote), ("dailyBars", Feed::Bar), ("lulds", Feed::Status)] {
            let mut wanted: Vec<&str> = desk.session.book.wanted.iter().filter(|(_, want)| want.feeds.contains(feed)).map(|(symbol, _)| symbol.as_str()).collect();
            wanted.sort_unstable();
            prop_assert_eq!(venue.list(channel), wanted);
        }
    }

    #[test]
    fn nothing_that_arrives_panics(
        frames in vec(prop_oneof![
            2 => vec(any::<u8>(), 0..80),
            1 => ".{0,60}".prop_map(String::into_bytes),
            4 => (0usize..8, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(which, at, byte)| damaged(which, at, byte)),
        ], 1..20),
        wildcard in any::<bool>(),
    ) {
        let mut desk = Desk::of(Market::Stocks, Codec::Json, if wildcard { FeedSet::ALL } else { FeedSet::NONE });
        desk.want(&[want("AAPL", 1, FeedSet::ALL), want("MSFT", 2, price())]);
        desk.open();
        for frame in frames {
            desk.session.received(desk.now, Incoming::Binary(&frame), &mut desk.out);
            if let Ok(text) = std::str::from_utf8(&frame) {
                desk.session.received(desk.now, Incoming::Text(text), &mut desk.out);
            }
            desk.passes(Duration::from_millis(300));
            for notice in desk.notices() {
                let text = match notice {
                    Notice::Oddity(text) | Notice::SymbolsRefused { reason: text, .. } => text,
                    Notice::StateChanged(_) => continue,
                };
                prop_assert!(!text.chars().any(char::is_control) && text.len() < 2_000 && !text.contains("hush-hush"));
            }
        }
    }
}

fn damaged(which: usize, at: prop::sample::Index, byte: u8) -> Vec<u8> {
    let frames = [
        r#"[{"T":"success","msg":"connected"}]"#.to_owned(),
        r#"[{"T":"success","msg":"authenticated"}]"#.to_owned(),
        r#"[{"T":"subscription","trades":["AAPL","*"],"quotes":[]}]"#.to_owned(),
        r#"[{"T":"error","code":405,"msg":"symbol limit exceeded"}]"#.to_owned(),
        r#"[{"T":"error","code":400,"msg":"invalid syntax"}]"#.to_owned(),
        r#"[{"T":"error","code":410,"msg":"invalid subscribe action for this feed"}]"#.to_owned(),
        trade("AAPL", "1.5"),
        trade("MSFT", "2"),
    ];
    let mut bytes = frames[which].clone().into_bytes();
    // Half of the frames stay whole, so that the session gets anywhere.
    if byte >= 128 {
        *at.get_mut(&mut bytes) = byte - 128;
    }
    bytes
}
