//! From the greeting to streaming, and every way to end.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn state(state: StreamState) -> Notice {
    Notice::StateChanged(state)
}

fn end(desk: &mut Desk) -> (Advice, String) {
    let end = desk.out.end.take().expect("the session has ended");
    assert!(!end.cause.contains("PKTEST") && !end.cause.contains("hush"), "{}", end.cause);
    (end.advice, end.cause)
}

#[test]
fn a_session_greets_authenticates_subscribes_and_streams() {
    let mut desk = Desk::stocks();
    assert_eq!((desk.session.state(), desk.session.deadline()), (StreamState::Connecting, None));
    desk.want(&[want("MSFT", 2, feeds(&[Feed::Quote])), want("AAPL", 1, feeds(&[Feed::Price, Feed::Quote]))]);
    assert!(desk.sent().is_empty());
    desk.open();
    assert_eq!(desk.session.deadline(), Some(desk.now + 5 * SECOND));
    assert!(desk.sent().is_empty() && desk.notices().is_empty());

    desk.says(r#"[{"T":"success","msg":"connected"}]"#);
    assert_eq!(desk.sent(), [serde_json::json!({"action": "auth", "key": "PKTEST", "secret": "hush-hush"})]);
    assert_eq!(desk.notices(), [state(StreamState::Authenticating)]);

    desk.says(r#"[{"T":"success","msg":"authenticated"}]"#);
    assert_eq!(desk.sent(), [serde_json::json!({"action": "subscribe", "trades": ["AAPL"], "quotes": ["AAPL", "MSFT"]})]);
    assert_eq!(desk.notices(), [state(StreamState::Subscribing)]);
    assert!(desk.session.has_unacknowledged());

    desk.says(r#"[{"T":"subscription","trades":["AAPL"],"quotes":["AAPL","MSFT"],"bars":[]}]"#);
    assert_eq!(desk.notices(), [state(StreamState::Streaming)]);
    assert_eq!((desk.session.deadline(), desk.session.has_unacknowledged(), desk.session.wanted_symbols()), (None, false, 2));
    assert!(desk.sent().is_empty() && desk.out.end.is_none());
}

#[test]
fn without_symbols_an_authenticated_session_streams() {
    let mut desk = Desk::stocks();
    desk.open();
    desk.says(r#"[{"T":"success","msg":"connected"},{"T":"success","msg":"authenticated"}]"#);
    let expected = [StreamState::Authenticating, StreamState::Subscribing, StreamState::Streaming].map(state);
    assert_eq!(desk.notices(), expected);
    assert_eq!((desk.sent().len(), desk.session.deadline()), (1, None));
}

#[test]
fn a_session_that_the_upgrade_authenticated_sends_no_keys() {
    let mut desk = Desk::stocks();
    desk.open();
    desk.says(r#"[{"T":"success","msg":"authenticated"}]"#);
    assert!(desk.sent().is_empty());
    assert_eq!(desk.session.state(), StreamState::Streaming);
    desk.says(r#"[{"T":"success","msg":"connected"}]"#);
    assert!(desk.sent().is_empty() && desk.out.end.is_none());
}

#[test]
fn messages_travel_in_the_codec_of_the_stream() {
    let mut desk = Desk::of(Market::Stocks, Codec::MsgPack, FeedSet::NONE);
    desk.want(&[want("AAPL", 1, price())]);
    desk.open();
    desk.session.received(desk.now, Incoming::Binary(b"\x91\x82\xa1T\xa7success\xa3msg\xa9connected"), &mut desk.out);
    desk.session.received(desk.now, Incoming::Binary(b"\x91\x82\xa1T\xa7success\xa3msg\xadauthenticated"), &mut desk.out);
    assert!(matches!(desk.out.send[..], [Outgoing::Binary(_), Outgoing::Binary(_)]));
    desk.session.received(desk.now, Incoming::Binary(b"\x91\x82\xa1T\xacsubscription\xa6trades\x91\xa4AAPL"), &mut desk.out);
    assert_eq!(desk.session.state(), StreamState::Streaming);
    assert_eq!(crate::exchanges::alpaca::upgrade_headers(Codec::MsgPack), [("Content-Type", "application/msgpack")]);
    assert_eq!(crate::exchanges::alpaca::upgrade_headers(Codec::Json), [("Content-Type", "application/json")]);
}

#[test]
fn each_silent_step_ends_the_session_and_names_itself() {
    let mut desk = Desk::stocks();
    desk.want(&[want("AAPL", 1, price())]);
    let steps: [(&[&str], &str); 3] = [
        (&[], "greeting"),
        (&[r#"[{"T":"success","msg":"connected"}]"#], "keys"),
        (&[r#"[{"T":"success","msg":"connected"}]"#, r#"[{"T":"success","msg":"authenticated"}]"#], "subscription"),
    ];
    for (frames, named) in steps {
        desk.open();
        frames.iter().for_each(|frame| desk.says(frame));
        desk.passes(4 * SECOND);
        assert!(desk.out.end.is_none(), "too early at the {named}");
        desk.passes(SECOND);
        let (advice, cause) = end(&mut desk);
        assert_eq!(advice, Advice::Reconnect);
        assert!(cause.contains(named), "{cause}");
        assert_eq!(desk.session.deadline(), None);
        desk.session.lost();
    }
}

#[test]
fn answers_in_a_row_have_five_seconds_each() {
    let mut desk = Desk::stocks().live();
    desk.want(&[want("AAPL", 1, price())]);
    desk.want(&[want("MSFT", 2, price())]);
    desk.passes(4 * SECOND);
    desk.acks(&["AAPL"]);
    desk.passes(4 * SECOND);
    assert!(desk.out.end.is_none());
    desk.passes(SECOND);
    assert!(end(&mut desk).1.contains("subscription"));
}

#[test]
fn every_error_of_the_venue_has_its_answer() {
    let patient = Advice::ReconnectPatiently { first: Duration::from_secs(5), cap: Duration::from_secs(60) };
    for (code, advice, says) in [
        (402, Advice::Refuse, "keys"),
        (404, Advice::Reconnect, "in time"),
        (406, patient, "another program may use these keys"),
        (407, Advice::Reconnect, "too slowly"),
        (408, Advice::Refuse, "plan"),
        (409, Advice::Refuse, "plan"),
        (411, Advice::Refuse, "scope"),
        (412, Advice::Refuse, "msgpack"),
        (500, Advice::Reconnect, "inside Alpaca"),
    ] {
        let mut authenticating = Desk::stocks();
        authenticating.open();
        authenticating.says(r#"[{"T":"success","msg":"connected"}]"#);
        for mut desk in [authenticating, Desk::stocks().live()] {
            desk.sent();
            desk.error(code);
            let (given, cause) = end(&mut desk);
            assert_eq!(given, advice, "{code}");
            assert!(cause.contains(says) && cause.contains(&format!("error {code}: word of {code}")), "{cause}");
            desk.error(code);
            desk.passes(60 * SECOND);
            assert!(desk.out.end.is_none() && desk.out.send.is_empty(), "{code} after the end");
        }
    }
}

#[test]
fn errors_before_the_keys_are_taken_end_the_session_softly() {
    for code in [400, 401, 405, 410, 413, 414, 999] {
        let mut desk = Desk::stocks();
        desk.open();
        desk.says(r#"[{"T":"success","msg":"connected"}]"#);
        desk.error(code);
        assert_eq!(end(&mut desk).0, Advice::Reconnect, "{code}");
    }
}

#[test]
fn a_second_authentication_changes_nothing() {
    let mut desk = Desk::stocks();
    desk.open();
    desk.says(r#"[{"T":"success","msg":"connected"}]"#);
    desk.error(403);
    assert_eq!(desk.session.state(), StreamState::Streaming);
    desk.error(403);
    assert!(desk.out.end.is_none());
}

#[test]
fn a_venue_that_forgot_us_gets_the_keys_again_but_not_for_ever() {
    let mut desk = Desk::stocks();
    desk.want(&[want("AAPL", 1, price())]);
    let mut desk = desk.live();
    desk.sent();
    for _ in 0..2 {
        desk.error(401);
        assert_eq!(desk.sent()[0]["action"], "auth");
        desk.says(r#"[{"T":"success","msg":"authenticated"}]"#);
        assert_eq!(desk.sent(), [serde_json::json!({"action": "subscribe", "trades": ["AAPL"]})]);
    }
    desk.error(401);
    assert_eq!(end(&mut desk).0, Advice::Reconnect);
}

#[test]
fn a_venue_that_repeats_our_keys_does_not_make_us_log_them() {
    let mut desk = Desk::stocks().live();
    desk.says(r#"[{"T":"success","msg":"hello PKTEST"},{"T":"hush-hush"},{"T":"error","code":400,"msg":"PKTEST hush-hush\u001b[2J"}]"#);
    let shown = format!("{:?} {:?}", desk.notices(), desk.session);
    assert!(!shown.contains("PKTEST") && !shown.contains("hush") && !shown.contains("\\u{1b}"), "{shown}");
    desk.says(r#"[{"T":"error","code":402,"msg":"no such key PKTEST"}]"#);
    assert!(end(&mut desk).1.contains("no such key ***"));
}

#[test]
fn a_new_connection_asks_for_everything_again() {
    let mut desk = Desk::stocks();
    desk.want(&[want("AAPL", 1, price()), want("MSFT", 2, price())]);
    let mut desk = desk.live();
    desk.sent();
    desk.acks(&["AAPL", "MSFT"]);
    desk.want(&[want("IBM", 3, price()), want("AAPL", 1, FeedSet::NONE)]);
    assert_eq!(desk.sent().len(), 2);
    desk.session.lost();
    assert_eq!((desk.session.state(), desk.session.deadline(), desk.session.has_unacknowledged()), (StreamState::Connecting, None, false));
    desk.want(&[want("QQQ", 4, price())]);
    assert!(desk.sent().is_empty());
    let mut desk = desk.live();
    assert_eq!(desk.sent(), [serde_json::json!({"action": "subscribe", "trades": ["IBM", "MSFT", "QQQ"]})]);
    desk.acks(&["QQQ", "MSFT", "IBM"]);
    assert_eq!((desk.session.state(), desk.session.wanted_symbols()), (StreamState::Streaming, 3));
}
