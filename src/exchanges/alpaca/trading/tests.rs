use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::events::OrderSummary;
use crate::model::Digits;

const FILL: &str = include_str!("../../../../tests/fixtures/alpaca/update_fill.json");
const ACCEPTED: &str = include_str!("../../../../tests/fixtures/alpaca/update_accepted.json");
const AUTHORIZED: &str = r#"{"stream":"authorization","data":{"status":"authorized","action":"authenticate"}}"#;
const LISTENING: &str = r#"{"stream":"listening","data":{"streams":["trade_updates"]}}"#;

struct Desk {
    session: TradingSession,
    now: Instant,
    out: Effects<OrderEvent>,
}

impl Desk {
    fn new() -> Desk {
        let settings = TradingSettings { account: "paper".into(), key_id: Secret::new("PKTEST"), secret_key: Secret::new("hush-hush") };
        Desk { session: TradingSession::new(settings), now: Instant::now(), out: Effects::default() }
    }

    fn streaming() -> Desk {
        let mut desk = Desk::new();
        desk.open();
        desk.says(AUTHORIZED);
        desk.says(LISTENING);
        assert_eq!(desk.session.state(), StreamState::Streaming);
        desk.out = Effects::default();
        desk
    }

    fn open(&mut self) {
        self.session.opened(self.now, &mut self.out);
    }

    fn says(&mut self, text: &str) {
        self.session.received(self.now, Incoming::Text(text), &mut self.out);
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.session.timed_out(self.now, &mut self.out);
    }

    fn sent(&mut self) -> Vec<serde_json::Value> {
        let read = |message| match message {
            Outgoing::Text(text) => serde_json::from_str(&text).expect("JSON is sent"),
            Outgoing::Binary(_) => panic!("the order stream takes text"),
        };
        self.out.send.drain(..).map(read).collect()
    }

    fn end(&mut self) -> (Advice, String) {
        let end = self.out.end.take().expect("the session has ended");
        (end.advice, end.cause)
    }

    fn event(&mut self) -> OrderEvent {
        assert_eq!((self.out.events.len(), self.out.malformed), (1, 0));
        self.out.events.remove(0)
    }
}

fn update(event: &str, order: &str, more: &str) -> String {
    format!(r#"{{"stream":"trade_updates","data":{{"event":"{event}","order":{order}{more}}}}}"#)
}

#[test]
fn a_session_authenticates_listens_and_streams() {
    let mut desk = Desk::new();
    assert_eq!((desk.session.state(), desk.session.deadline()), (StreamState::Connecting, None));
    desk.open();
    assert_eq!(desk.sent(), [serde_json::json!({"action": "authenticate", "data": {"key_id": "PKTEST", "secret_key": "hush-hush"}})]);
    assert_eq!(desk.session.deadline(), Some(desk.now + Duration::from_secs(5)));
    desk.says(AUTHORIZED);
    assert_eq!(desk.sent(), [serde_json::json!({"action": "listen", "data": {"streams": ["trade_updates"]}})]);
    desk.session.received(desk.now, Incoming::Binary(LISTENING.as_bytes()), &mut desk.out);
    let states = [StreamState::Authenticating, StreamState::Subscribing, StreamState::Streaming];
    assert_eq!(desk.out.notices, states.map(Notice::StateChanged));
    assert_eq!(desk.session.deadline(), None);
    desk.says(AUTHORIZED);
    desk.says(LISTENING);
    assert!(desk.sent().is_empty() && desk.out.end.is_none());
    desk.session.lost();
    assert_eq!(desk.session.state(), StreamState::Connecting);
    desk.open();
    assert_eq!(desk.sent().len(), 1, "a new connection starts anew");
}

#[test]
fn each_silent_step_ends_the_session_and_names_itself() {
    for (frames, named) in [(&[][..], "keys"), (&[AUTHORIZED][..], "order updates")] {
        let mut desk = Desk::new();
        desk.open();
        frames.iter().for_each(|frame| desk.says(frame));
        desk.passes(Duration::from_millis(4_999));
        assert!(desk.out.end.is_none());
        desk.passes(Duration::from_millis(1));
        let (advice, cause) = desk.end();
        assert_eq!(advice, Advice::Reconnect);
        assert!(cause.contains(named), "{cause}");
        assert_eq!(desk.session.deadline(), None);
    }
    let mut desk = Desk::streaming();
    desk.passes(Duration::from_secs(86_400));
    assert!(desk.out.end.is_none(), "a quiet day is no fault");
}

#[test]
fn refusals_end_the_session_with_the_right_advice() {
    let unauthorized = |action: &str| format!(r#"{{"stream":"authorization","data":{{"status":"unauthorized","action":"{action}"}}}}"#);
    let error = r#"{"action":"error","data":{"error_message":"no, PKTEST\r\n"}}"#.to_owned();
    let nothing = r#"{"stream":"listening","data":{"streams":[]}}"#.to_owned();
    for (frames, advice, says) in [
        (vec![unauthorized("authenticate")], Advice::Refuse, "refuses the keys"),
        (vec![unauthorized("auth")], Advice::Refuse, "refuses the keys"),
        (vec![AUTHORIZED.to_owned(), unauthorized("listen")], Advice::Reconnect, "does not know us"),
        (vec![AUTHORIZED.to_owned(), nothing.clone()], Advice::Refuse, "trade_updates"),
        (vec![AUTHORIZED.to_owned(), LISTENING.to_owned(), nothing], Advice::Reconnect, "stopped"),
        (vec![error.clone()], Advice::Reconnect, "no, ***??"),
        (vec![AUTHORIZED.to_owned(), error], Advice::Reconnect, "no, ***??"),
    ] {
        let mut desk = Desk::new();
        desk.open();
        frames.iter().for_each(|frame| desk.says(frame));
        let (given, cause) = desk.end();
        assert_eq!(given, advice, "{cause}");
        assert!(cause.contains(says), "{cause}");
    }
}

#[test]
fn an_error_while_streaming_is_told_and_no_more() {
    let mut desk = Desk::streaming();
    for _ in 0..3 {
        desk.says(r#"{"action":"error","data":{"error_message":"slow down"}}"#);
    }
    assert_eq!(desk.out.notices, [Notice::Oddity("Alpaca reports an error on the order stream: slow down".to_owned())]);
    assert!(desk.out.end.is_none());
}

#[test]
fn a_fill_is_read_in_whole() {
    let mut desk = Desk::streaming();
    desk.session.received(desk.now, Incoming::Binary(FILL.as_bytes()), &mut desk.out);
    let event = desk.event();
    let digits = |text| Digits::parse(text).ok();
    assert_eq!((event.account.as_ref(), event.event.as_str()), ("paper", "fill"));
    assert_eq!(event.execution_id.as_deref(), Some("2f63ea93-423d-4169-b3f6-3fdafc10c418"));
    assert_eq!((event.price, event.qty, event.position_qty), (digits("105.8988475"), digits("1790.86"), digits("0")));
    assert_eq!(event.timestamp.as_deref(), Some("2022-04-19T17:45:05.024916716Z"));
    assert_eq!((event.order.symbol.as_str(), event.order.status.as_str(), event.order.side.as_deref()), ("SOLUSD", "filled", Some("sell")));
    assert_eq!((event.order.filled_qty, event.order.filled_avg_price), (digits("1790.86"), digits("105.8988475")));
    assert_eq!(event.order.id, "edada91a-8b55-4916-a153-8c7a9817e708");
    assert!(event.extra.is_empty());
    let start = FILL.find(r#"{"id""#).expect("the order begins with its id");
    assert!(FILL[start..].starts_with(event.order_json.as_ref()), "the venue's own text");
}

#[test]
fn an_acceptance_has_no_execution() {
    let mut desk = Desk::streaming();
    desk.says(ACCEPTED);
    let event = desk.event();
    assert_eq!((event.execution_id, event.price, event.qty, event.position_qty), (None, None, None, None));
    assert_eq!((event.order.filled_qty, event.order.filled_avg_price), (Some(Digits::ZERO), None));
    assert_eq!(event.order.client_order_id.as_deref(), Some("5680c4bc-9ac1-4a12-a44c-df427ba53032"));
}

#[test]
fn every_event_is_passed_on_known_or_not() {
    let known = "accepted pending_new new partial_fill fill done_for_day canceled expired replaced rejected pending_cancel pending_replace \
                 order_cancel_rejected order_replace_rejected held stopped suspended calculated restated trade_bust trade_correct";
    let mut desk = Desk::streaming();
    for name in known.split_whitespace().chain(["teleported", ""]) {
        desk.says(&update(name, r#"{"id":"o","symbol":"AAPL","status":"brand_new_status"}"#, ""));
        let event = desk.event();
        assert_eq!((event.event.as_str(), event.order.status.as_str()), (name, "brand_new_status"));
    }
}

#[test]
fn fields_unknown_to_us_are_kept_as_they_came() {
    let mut desk = Desk::streaming();
    let more = r#","reason":"TRADE_BUST","legs":[{"qty":"1"}, null],"position_qtys":{"A":"1"},"event_id":"01","at":null"#;
    desk.says(&update("fill", r#"{ "id" : "o" ,"new":{"x":[1.50]}}"#, more));
    let event = desk.event();
    let extra: Vec<(&str, &str)> = event.extra.iter().map(|(name, json)| (name.as_str(), json.as_ref())).collect();
    let expected =
        [("at", "null"), ("event_id", "\"01\""), ("legs", r#"[{"qty":"1"}, null]"#), ("position_qtys", r#"{"A":"1"}"#), ("reason", "\"TRADE_BUST\"")];
    assert_eq!(extra, expected);
    assert_eq!(event.order_json.as_ref(), r#"{ "id" : "o" ,"new":{"x":[1.50]}}"#);
}

#[test]
fn numbers_may_be_texts_or_numbers_and_bad_ones_do_not_stop_an_event() {
    let mut desk = Desk::streaming();
    for (written, read) in [
        ("\"10.50\"", Some("10.50")),
        ("10.50", Some("10.50")),
        ("-3", Some("-3")),
        ("\"-3\"", Some("-3")),
        ("0", Some("0")),
        ("1e-7", Some("1e-7")),
        ("null", None),
        ("\"\"", None),
        ("\"NaN\"", None),
        ("true", None),
        ("[1]", None),
        ("1e999", None),
        ("\"1e-400\"", None),
        ("\"\\u0031\"", None),
    ] {
        let order = format!(r#"{{"id":"o","filled_qty":{written},"filled_avg_price":{written}}}"#);
        desk.says(&update("fill", &order, &format!(r#","price":{written},"qty":{written},"position_qty":{written}"#)));
        let event = desk.event();
        let digits = read.and_then(|text| Digits::parse(text).ok());
        assert_eq!([event.price, event.qty, event.position_qty, event.order.filled_qty, event.order.filled_avg_price], [digits; 5], "{written}");
    }
}

#[test]
fn a_multi_leg_parent_and_odd_kinds_are_passed_on() {
    let mut desk = Desk::streaming();
    let order = r#"{"id":7,"client_order_id":null,"symbol":"","side":"","status":null,"legs":[{"id":"leg"}]}"#;
    desk.says(&update("new", order, r#","execution_id":null,"timestamp":1650390305"#));
    let event = desk.event();
    let expected = OrderSummary { id: "7".to_owned(), side: Some(String::new()), ..OrderSummary::default() };
    assert_eq!((event.order, event.timestamp.as_deref(), event.execution_id), (expected, Some("1650390305"), None));
}

#[test]
fn heartbeats_and_empty_updates_are_nothing() {
    let mut desk = Desk::streaming();
    desk.session.received(desk.now, Incoming::Binary(&[1]), &mut desk.out);
    desk.says(r#"{"stream":"trade_updates","data":null}"#);
    desk.says(r#"{"stream":"trade_updates"}"#);
    assert!(desk.out.events.is_empty() && desk.out.notices.is_empty() && desk.out.malformed == 0);
}

#[test]
fn bad_frames_are_counted_and_the_session_lives_on() {
    let mut desk = Desk::streaming();
    let deep = "[".repeat(100_000);
    let deep_order = update("fill", &format!(r#"{{"legs":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000)), "");
    let twice = update("fill", r#"{"id":"o"}"#, r#","event":"new""#);
    let twice_in_order = update("fill", r#"{"id":"o","id":"p"}"#, "");
    let (no_order, null_order, text_order) = (
        r#"{"stream":"trade_updates","data":{"event":"fill"}}"#,
        r#"{"stream":"trade_updates","data":{"event":"fill","order":null}}"#,
        r#"{"stream":"trade_updates","data":{"event":"fill","order":"o"}}"#,
    );
    let no_event = r#"{"stream":"trade_updates","data":{"order":{"id":"o"}}}"#;
    for frame in [
        "",
        "null",
        "[]",
        "{}",
        "nonsense",
        "7",
        "[{\"T\":\"success\"}]",
        "{\"stream\":",
        &FILL[..FILL.len() / 2],
        &deep,
        &deep_order,
        &twice,
        &twice_in_order,
        no_order,
        null_order,
        text_order,
        no_event,
        r#"{"stream":"trade_updates","data":[]}"#,
        r#"{"stream":"trade_updates","data":"x"}"#,
        r#"{"stream":"listening","data":7}"#,
        r#"{"stream":"listening","data":{"streams":"trade_updates"}}"#,
        r#"{"stream":"authorization"}"#,
    ] {
        let before = desk.out.malformed;
        desk.says(frame);
        let shown: String = frame.chars().take(80).collect();
        assert_eq!(desk.out.malformed, before + 1, "{shown}");
        assert!(desk.out.end.is_none() && desk.out.events.is_empty(), "{shown}");
    }
    desk.session.received(desk.now, Incoming::Binary(b"\xff\xfe{}"), &mut desk.out);
    assert_eq!(desk.out.malformed, 23);
    let told = desk.out.notices.iter().filter(|notice| matches!(notice, Notice::Oddity(text) if text.contains("no order"))).count();
    assert_eq!(told, 1, "once a minute");
    desk.says(r#"{"stream":"account_updates","data":{}}"#);
    assert_eq!((desk.out.unknown, desk.out.malformed), (1, 23));
    desk.says(FILL);
    assert_eq!(desk.out.events.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_that_arrives_panics(
        bytes in vec(any::<u8>(), 0..100),
        text in ".{0,60}",
        which in 0usize..5,
        edits in vec((any::<Index>(), any::<u8>()), 0..4),
    ) {
        let mut desk = Desk::new();
        desk.open();
        let frames = [AUTHORIZED, LISTENING, FILL, ACCEPTED, r#"{"action":"error","data":{"error_message":"x"}}"#];
        let mut damaged = frames[which].as_bytes().to_vec();
        for (at, byte) in edits {
            *at.get_mut(&mut damaged) = byte;
        }
        for frame in [&bytes[..], text.as_bytes(), &damaged, AUTHORIZED.as_bytes(), &damaged, LISTENING.as_bytes(), &damaged] {
            desk.session.received(desk.now, Incoming::Binary(frame), &mut desk.out);
            desk.says(&String::from_utf8_lossy(frame));
        }
        for event in &desk.out.events {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&event.order_json).is_ok());
        }
    }
}
