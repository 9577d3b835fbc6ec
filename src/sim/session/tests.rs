use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::Codec;

struct Doorman {
    answers: Vec<Result<Grant, u16>>,
}

impl Gate for Doorman {
    fn admit(&mut self, key: &str, secret: &str, _: Option<&DataPath>) -> Result<Grant, u16> {
        if (key, secret) != ("K", "S") {
            return Err(402);
        }
        self.answers.pop().unwrap_or_else(|| Ok(grant(None)))
    }
}

fn grant(symbol_limit: Option<usize>) -> Grant {
    Grant { account_id: "me".to_owned(), symbol_limit }
}

fn open(path: &str) -> (Session, Instant) {
    let now = Instant::now();
    let patience = Duration::from_secs(10);
    let session = DataPath::find(path).map(|path| Session::Data(DataSession::new(path, Codec::Json, now, patience)));
    (session.unwrap_or_else(|| Session::Trading(TradingSession::new(now, patience))), now)
}

fn say(session: &mut Session, gate: &mut Doorman, message: Value) -> Vec<Output> {
    let mut out = Vec::new();
    session.received(Instant::now(), Some(&message), gate, &mut out);
    out
}

fn sent(out: &[Output]) -> Vec<Value> {
    let read = |output: &Output| match output {
        Output::Send(value) => Some(value.clone()),
        Output::Subscribed(path, list) => Some(json!([list.lists(path.offers(), path.family).collect::<HashMap<_, _>>()])),
        _ => None,
    };
    out.iter().filter_map(read).collect()
}

fn code(out: &[Output]) -> Value {
    sent(out)[0][0]["code"].clone()
}

fn auth() -> Value {
    json!({"secret": "S", "action": "auth", "key": "K"})
}

#[test]
fn greets_authenticates_once_and_acknowledges_the_whole_list() {
    let (mut session, _) = open("/v2/iex");
    let mut gate = Doorman { answers: Vec::new() };
    let mut out = Vec::new();
    session.opened(None, &mut gate, &mut out);
    assert_eq!(out, [Output::Send(json!([{"T":"success","msg":"connected"}]))]);
    assert_eq!(code(&say(&mut session, &mut gate, json!({"action":"subscribe","trades":["AAPL"]}))), 401);
    let out = say(&mut session, &mut gate, auth());
    assert_eq!(out, [Output::Authenticated(grant(None)), Output::Send(json!([{"T":"success","msg":"authenticated"}]))]);
    assert_eq!(session.deadline(), None);
    assert_eq!(code(&say(&mut session, &mut gate, auth())), 403);
    say(&mut session, &mut gate, json!({"action":"subscribe","trades":["AAPL"],"quotes":[],"bars":null}));
    let out = say(&mut session, &mut gate, json!({"action":"subscribe","trades":["MSFT","AAPL"],"bars":["*"]}));
    let ack = &sent(&out)[0][0];
    assert_eq!((&ack["trades"], &ack["corrections"], &ack["bars"]), (&json!(["AAPL", "MSFT"]), &json!(["AAPL", "MSFT"]), &json!(["*"])));
    assert_eq!((&ack["quotes"], ack["lulds"].is_array(), ack.get("orderbooks")), (&json!([]), true, None));
    let out = say(&mut session, &mut gate, json!({"action":"unsubscribe","trades":["AAPL","NOPE"]}));
    assert_eq!(sent(&out)[0][0]["cancelErrors"], json!(["MSFT"]));
    let Output::Subscribed(_, list) = &out[0] else { panic!("{out:?}") };
    assert_eq!(list.channels().len(), 2);
}

#[test]
fn refuses_what_the_venue_refuses() {
    let mut gate = Doorman { answers: vec![Ok(grant(Some(2)))] };
    let (mut session, _) = open("/v1beta3/crypto/us");
    say(&mut session, &mut gate, auth());
    for (message, wanted) in [
        (json!({"action":"subscribe"}), 400),
        (json!({"action":"subscribe","trades":[]}), 400),
        (json!({"action":"subscribe","trades":["b a d"]}), 400),
        (json!({"action":"subscribe","trades":[7]}), 400),
        (json!({"action":"subscribe","trades":"BTC/USD"}), 400),
        (json!({"action":"subscribe","statuses":["BTC/USD"]}), 410),
        (json!({"action":"subscribe","trades":["A/USD","B/USD"],"quotes":["C/USD"]}), 405),
        (json!({"action":"dance"}), 400),
        (json!([1, 2]), 400),
    ] {
        let out = say(&mut session, &mut gate, message.clone());
        assert_eq!((code(&out), out.len()), (wanted.into(), 1), "{message}");
    }
    let out = say(&mut session, &mut gate, json!({"action":"subscribe","trades":["A/USD","B/USD"],"quotes":["A/USD"],"bars":["C/USD"]}));
    let ack = &sent(&out)[0][0];
    assert_eq!((&ack["trades"], ack.get("corrections"), &ack["orderbooks"]), (&json!(["A/USD", "B/USD"]), None, &json!([])));
    let mut out = Vec::new();
    session.received(Instant::now(), None, &mut gate, &mut out);
    assert_eq!(code(&out), 400);
}

#[test]
fn a_full_house_may_be_asked_again_and_silence_is_timed_out() {
    let (mut session, now) = open("/v2/sip");
    let mut gate = Doorman { answers: vec![Ok(grant(None)), Err(406)] };
    assert_eq!(session.deadline(), Some(now + Duration::from_secs(10)));
    let out = say(&mut session, &mut gate, auth());
    assert_eq!((code(&out), out.len()), (406.into(), 1), "the socket stays open");
    assert!(session.deadline() > Some(now + Duration::from_secs(10)));
    assert!(matches!(say(&mut session, &mut gate, auth())[0], Output::Authenticated(_)));

    let (mut session, _) = open("/v2/sip");
    let mut out = Vec::new();
    session.timed_out(&mut out);
    assert_eq!((code(&out), out.last(), session.deadline()), (404.into(), Some(&Output::Close), None));
    let (mut session, _) = open("/v2/sip");
    let out = say(&mut session, &mut gate, json!({"action":"auth","key":"K","secret":"wrong"}));
    assert_eq!((code(&out), out.last()), (402.into(), Some(&Output::Close)));
}

#[test]
fn headers_authenticate_both_streams() {
    for path in ["/v2/iex", "/stream"] {
        let (mut session, _) = open(path);
        let mut out = Vec::new();
        session.opened(Some(("K", "S")), &mut Doorman { answers: Vec::new() }, &mut out);
        assert!(out.contains(&Output::Authenticated(grant(None))), "{path}");
        assert_eq!(session.deadline(), None);
    }
}

#[test]
fn the_trading_stream_takes_both_forms_and_every_listen() {
    for form in [json!({"action":"authenticate","data":{"key_id":"K","secret_key":"S"}}), auth()] {
        let (mut session, _) = open("/stream");
        let mut gate = Doorman { answers: Vec::new() };
        let listen = |streams: &[&str]| json!({"action":"listen","data":{"streams":streams}});
        let early = say(&mut session, &mut gate, listen(&["trade_updates"]));
        assert_eq!(sent(&early), [json!({"stream":"authorization","data":{"status":"unauthorized","action":"listen"}})]);
        let out = say(&mut session, &mut gate, form);
        assert_eq!(sent(&out), [json!({"stream":"authorization","data":{"status":"authorized","action":"authenticate"}})]);
        for _ in 0..2 {
            let out = say(&mut session, &mut gate, listen(&["trade_updates", "account_updates"]));
            assert_eq!(out[0], Output::Listening(true));
            assert_eq!(sent(&out), [json!({"stream":"listening","data":{"streams":["trade_updates"]}})]);
        }
        assert_eq!(say(&mut session, &mut gate, listen(&[]))[0], Output::Listening(false));
        assert_eq!(sent(&say(&mut session, &mut gate, json!({"action":"x"})))[0]["action"], "error");
    }
    let (mut session, _) = open("/stream/");
    let out = say(&mut session, &mut Doorman { answers: Vec::new() }, json!({"action":"authenticate","data":{"key_id":"K","secret_key":"no"}}));
    assert_eq!((sent(&out)[0]["data"]["status"].as_str(), out.last()), (Some("unauthorized"), Some(&Output::Close)));
}

#[test]
fn secrets_are_blotted_out() {
    let message = json!({"action":"authenticate","data":{"key_id":"K","secret_key":"hunter2"},"secret":"hunter2"});
    let text = masked(&message).to_string();
    assert!(!text.contains("hunter2") && text.contains("\"key_id\":\"K\""), "{text}");
}
