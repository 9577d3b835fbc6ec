use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Error, Message, WebSocket};

use super::*;
use crate::net::{DialLimits, Dialer, Interest, Transport, client_config, wait_ready};
use crate::runtime::promise::{kept, within};
use crate::sim::SimKey;
use crate::sim::codec::decode_msgpack;
use crate::sim::session::Stage;

mod admin;
mod client;
mod events;
mod frames;
mod keys;
mod orders;
mod streams;

use client::{Client, PATIENCE, call, start, text_of};

#[test]
fn data_goes_to_whom_it_concerns() {
    let sim = start(|_| {});
    let control = sim.control();
    let (mut one, mut other, mut crypto) = (Client::enter(&sim, "/v2/iex"), Client::enter(&sim, "/v2/sip"), Client::enter(&sim, "/v1beta3/crypto/us"));
    assert_eq!(one.subscribe("trades", &["AAPL"])[0]["trades"], json!(["AAPL"]));
    other.subscribe("trades", &["*"]);
    crypto.subscribe("quotes", &["*"]);
    control.trade("MSFT", "424.10", 3);
    control.quote("BTC/USD", "98000.5", 1, "98001", 2);
    control.trade("AAPL", "228.50", 7);
    let trade = one.hear();
    assert_eq!((&trade[0]["S"], &trade[0]["p"], &trade[0]["s"], trade.as_array().unwrap().len()), (&json!("AAPL"), &json!(228.5), &json!(7), 1));
    assert_eq!((&other.hear()[0]["S"], &other.hear()[0]["S"]), (&json!("MSFT"), &json!("AAPL")));
    assert_eq!(crypto.hear()[0]["bp"], json!(98000.5));
    control.raw_data("[{\"T\":");
    assert!(matches!(one.next(), Ok(Message::Text(text)) if text.as_str() == "[{\"T\":"));
    one.0.send(Message::Ping(b"hello".to_vec().into())).unwrap();
    assert!(matches!(one.next(), Ok(Message::Pong(payload)) if payload.as_ref() == b"hello"));
    let records = control.connections();
    assert_eq!((records.len(), records[0].symbols.as_slice(), records[0].subscribes), (3, &["AAPL".to_owned()][..], 1));
    assert!(records[0].messages_in[0].contains("\"secret\":\"***\""), "{:?}", records[0].messages_in);
    assert_eq!(control.accept_times().len(), 3);
}

#[test]
fn msgpack_and_fragmented_messages_are_understood() {
    let sim = start(|_| {});
    let mut client = Client::try_open(&sim, "/v2/iex", &[("Content-Type", "application/msgpack")]).unwrap();
    let hear = |client: &mut Client| match client.next().unwrap() {
        Message::Binary(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    assert_eq!(decode_msgpack(&hear(&mut client)), Some(json!([{"T":"success","msg":"connected"}])));
    for message in [json!({"action":"auth","key":"SIM","secret":"SIM-SECRET"}), json!({"trades":["AAPL"],"action":"subscribe"})] {
        let bytes = crate::sim::codec::write_value(crate::config::Codec::MsgPack, &message);
        let (first, second) = bytes.split_at(5);
        for (payload, code, last) in [(first, Data::Binary, false), (second, Data::Continue, false), (&[][..], Data::Continue, true)] {
            client.0.send(Message::Frame(Frame::message(payload.to_vec(), OpCode::Data(code), last))).unwrap();
        }
        hear(&mut client);
    }
    sim.control().trade("AAPL", "1.25", 7);
    let frame = hear(&mut client);
    assert_eq!((frame[0], frame[1], &frame[2..6]), (0x91, 0x89, &[0xa1, b'T', 0xa1, b't'][..]));
}

#[test]
fn an_order_is_placed_over_rest_and_told_on_the_stream() {
    let sim = start(|config| config.order_latency = Duration::from_millis(20));
    let mut client = Client::listen(&sim);
    let order = r#"{"symbol":"AAPL","qty":"2","side":"buy","type":"limit","limit_price":"228.40","time_in_force":"day","client_order_id":"bot-1"}"#;
    let (status, placed) = call(&sim, "POST", "/v2/orders", order);
    assert_eq!((status, &placed["status"]), (200, &json!("pending_new")));
    for event in ["pending_new", "new"] {
        assert_eq!(client.hear()["data"]["event"], event);
    }
    sim.control().quote("AAPL", "228.20", 100, "228.30", 100);
    let Ok(Message::Binary(bytes)) = client.next() else { panic!("the paper host sends binary frames") };
    let fill: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&fill["data"]["event"], &fill["data"]["price"], &fill["data"]["position_qty"]), (&json!("fill"), &json!("228.4"), &json!("2")));
    assert_eq!(call(&sim, "GET", "/v2/positions/AAPL", "").1["qty"], "2");
    assert_eq!(call(&sim, "POST", "/v2/orders", order), (422, json!({"code":40_010_001,"message":"client_order_id must be unique"})));
    sim.control().raw_order("{\"stream\":", false);
    assert!(matches!(client.next(), Ok(Message::Text(_))));
    sim.control().order_update(&SimKey::default().account_id, r#"{"event":"mystery"}"#);
    assert_eq!(client.hear(), json!({"stream":"trade_updates","data":{"event":"mystery"}}));
    let (status, body) = call(&sim, "GET", "/v2/clock", "");
    assert_eq!((status, &body["is_open"]), (200, &json!(true)));
}

#[test]
fn one_connection_an_endpoint_and_ghosts_linger() {
    let sim = start(|config| config.slot_linger = Duration::from_secs(60));
    let enter = |path: &str| {
        let mut client = Client::open(&sim, path);
        client.hear();
        client.say(json!({"action":"auth","key":"SIM","secret":"SIM-SECRET"}));
        let answer = client.hear()[0].clone();
        (client, answer)
    };
    let (mut first, answer) = enter("/v2/iex");
    assert_eq!(answer["msg"], "authenticated");
    assert_eq!(enter("/v2/iex").1["code"], 406);
    assert_eq!(enter("/v2/sip").1["msg"], "authenticated");
    first.0.close(None).unwrap();
    first.end();
    let closed = |wanted: usize| sim.control().wait_for(|all| all.iter().filter(|c| c.path == "/v2/iex" && !c.is_open()).count() == wanted, PATIENCE);
    assert!(closed(2));
    let (second, answer) = enter("/v2/iex");
    assert_eq!(answer["msg"], "authenticated");
    drop(second);
    assert!(closed(3));
    assert_eq!(enter("/v2/iex").1["code"], 406, "a ghost holds its slot");
}

#[test]
fn silence_wrong_keys_and_slow_readers_are_shown_out() {
    let sim = start(|config| {
        config.auth_timeout = Duration::from_millis(50);
        config.queue_bytes = 100_000;
    });
    let mut silent = Client::open(&sim, "/v2/iex");
    silent.hear();
    assert_eq!((silent.hear()[0]["code"].as_u64(), silent.end()), (Some(404), Some(1000)));
    let mut wrong = Client::open(&sim, "/stream");
    wrong.say(json!({"action":"auth","key":"SIM","secret":"no"}));
    assert_eq!((wrong.hear()["data"]["status"].as_str(), wrong.end()), (Some("unauthorized"), Some(1000)));
    let mut slow = Client::enter(&sim, "/v2/iex");
    slow.subscribe("trades", &["*"]);
    let spec = LoadSpec { symbols: vec!["AAPL".to_owned()], per_second: 0, per_frame: 500, total: 1_000_000 };
    let load = sim.control().load(spec).unwrap();
    assert!(sim.control().wait_for(|all| all.iter().all(|c| !c.is_open()), PATIENCE * 3));
    drop(load);
    assert!(Client::try_open(&sim, "/v2/nothing", &[]).is_err_and(|status| status == 404));
}

#[test]
fn faults_strike_at_their_stage() {
    let sim = start(|_| {});
    let control = sim.control();
    let arm = |stage, action| control.arm(StageFault { stage, action, path_contains: Some("iex".to_owned()), times: 1 });
    arm(Stage::Upgrade, FaultAction::Refuse { status: 429 });
    assert_eq!(Client::try_open(&sim, "/v2/iex", &[]).err(), Some(429));
    arm(Stage::Upgrade, FaultAction::Close);
    assert_eq!(Client::try_open(&sim, "/v2/iex", &[]).err(), Some(0));
    arm(Stage::Greeting, FaultAction::Close);
    assert_eq!(Client::open(&sim, "/v2/iex").end(), None);
    arm(Stage::Auth, FaultAction::Error { code: 406 });
    let mut client = Client::enter(&sim, "/v2/iex");
    client.say(json!({"action":"auth","key":"SIM","secret":"SIM-SECRET"}));
    assert_eq!(client.hear()[0]["msg"], "authenticated", "a second try is served");
    drop(client);
    arm(Stage::Ack, FaultAction::Error { code: 405 });
    let quiet = |all: &[ConnectionRecord]| all.iter().all(|c| !c.is_open());
    assert!(control.wait_for(quiet, PATIENCE));
    let mut client = Client::enter(&sim, "/v2/iex");
    assert_eq!(client.subscribe("trades", &["AAPL"])[0]["code"], 405);
    assert_eq!(client.subscribe("trades", &["AAPL"])[0]["T"], "subscription");
    drop(client);
    assert!(control.wait_for(quiet, PATIENCE));
    arm(Stage::Streaming, FaultAction::Close);
    let mut client = Client::enter(&sim, "/v2/iex");
    assert_eq!(client.subscribe("trades", &["AAPL"])[0]["T"], "subscription");
    assert_eq!(client.end(), None);
    assert!(control.wait_for(quiet, PATIENCE));
    arm(Stage::Streaming, FaultAction::Mute);
    let mut client = Client::enter(&sim, "/v2/iex");
    assert_eq!(client.subscribe("trades", &["AAPL"])[0]["T"], "subscription");
    control.trade("AAPL", "1", 1);
    client.0.send(Message::Ping(Vec::new().into())).unwrap();
    client.0.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(matches!(client.next(), Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock));
    control.arm(StageFault { stage: Stage::Upgrade, action: FaultAction::Refuse { status: 503 }, path_contains: Some("/v2/account".to_owned()), times: 1 });
    assert_eq!(call(&sim, "GET", "/v2/account", "").0, 503);
    assert_eq!(call(&sim, "GET", "/v2/account", "").0, 200);
}

#[test]
fn connections_are_cut_closed_and_silenced() {
    let sim = start(|_| {});
    let control = sim.control();
    let mut client = Client::enter(&sim, "/v2/iex");
    control.drop_connections();
    assert_eq!(client.end(), None);
    assert!(control.wait_for(|all| !all[0].is_open(), PATIENCE));
    let mut client = Client::listen(&sim);
    control.close_connections(1011);
    assert_eq!(client.end(), Some(1011));
    assert!(control.wait_for(|all| all.len() == 2 && !all[1].is_open(), PATIENCE));
    let mut client = Client::enter(&sim, "/v2/iex");
    control.mute_connections();
    control.raw_data("[]");
    client.0.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(matches!(client.next(), Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock));
    control.drop_connections();
    client.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.end(), None);
}

#[test]
fn a_load_arrives_whole_and_fast() {
    let sim = start(|_| {});
    let mut client = Client::enter(&sim, "/v2/iex");
    client.subscribe("trades", &["*"]);
    let spec = LoadSpec { symbols: vec!["AAPL".to_owned(), "MSFT".to_owned()], per_second: 50_000, per_frame: 50, total: 25_001 };
    let load = sim.control().load(spec).unwrap();
    let (mut got, mut volume) = (0, 0);
    while got < 25_001 {
        for trade in client.hear().as_array().unwrap() {
            got += 1;
            volume += trade["s"].as_u64().unwrap();
        }
    }
    let report = load.wait(PATIENCE).unwrap();
    assert_eq!((report.sent, report.symbols["AAPL"].count, report.symbols["MSFT"].count), (25_001, 12_501, 12_500));
    assert_eq!(report.symbols.values().map(|t| t.volume).sum::<u64>(), volume);
    println!("25,001 trades in {:?}", report.took);
}

#[test]
fn the_market_moves_by_itself() {
    let sim = start(|config| config.rate = 500.0);
    let mut client = Client::enter(&sim, "/v2/iex");
    client.say(json!({"action":"subscribe","trades":["*"],"quotes":["*"]}));
    client.hear();
    let mut kinds = std::collections::BTreeSet::new();
    while kinds.len() < 2 {
        kinds.extend(client.hear().as_array().unwrap().iter().map(|m| m["T"].as_str().unwrap().to_owned()));
    }
    let (_, latest) = call(&sim, "GET", "/v2/stocks/quotes/latest?symbols=AAPL", "");
    assert!(latest["quotes"]["AAPL"]["ap"].is_number());
}

#[test]
fn requests_share_a_connection_and_garbage_ends_it() {
    let sim = start(|_| {});
    let mut tcp = TcpStream::connect(sim.address()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let get = "GET /v2/account HTTP/1.1\r\nHost: x\r\nAPCA-API-KEY-ID: SIM\r\nAPCA-API-SECRET-KEY: wrong\r\n";
    tcp.write_all(format!("{get}\r\n{get}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    assert_eq!((text.matches("HTTP/1.1 401").count(), text.matches("X-Request-ID: sim-").count()), (2, 2));
    let mut tcp = TcpStream::connect(sim.address()).unwrap();
    tcp.write_all(b"\x16\x03\x01\x02\x00\r\n\r\n").unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
}

#[test]
fn prices_of_pairs_need_no_key_but_a_wrong_one_is_no_key_at_all() {
    let sim = start(|_| {});
    let status = |path: &str, headers: &str| {
        let mut tcp = TcpStream::connect(sim.address()).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).unwrap().to_owned()
    };
    let pairs = "/v1beta3/crypto/us/latest/trades?symbols=BTC%2FUSD";
    assert_eq!(status(pairs, ""), "200");
    assert_eq!(status(pairs, "APCA-API-KEY-ID: SIM\r\nAPCA-API-SECRET-KEY: wrong\r\n"), "401");
    assert_eq!(status("/v2/stocks/trades/latest?symbols=AAPL", ""), "401");
}

#[test]
fn tls_and_plain_serve_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let alone = start(|config| config.tls = Some((chain.clone(), key.clone())));
    greeted_over_tls(alone.address().port(), &chain);
    let both = start(|config| {
        config.tls = Some((chain.clone(), key.clone()));
        config.listen_tls = Some("127.0.0.1:0".parse().unwrap());
    });
    assert_eq!((call(&both, "GET", "/v2/account", "").0, both.made_certificate()), (200, None));
    greeted_over_tls(both.tls_address().unwrap().port(), &chain);
}

#[test]
fn without_a_certificate_one_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let chain = folder.path().join("chain.pem");
    let sim = start(|config| config.listen_tls = Some("127.0.0.1:0".parse().unwrap()));
    let pem = call(&sim, "GET", "/admin/certificate", "").1["pem"].as_str().unwrap().to_owned();
    assert_eq!(sim.made_certificate(), Some(pem.as_str()));
    std::fs::write(&chain, pem).unwrap();
    greeted_over_tls(sim.tls_address().unwrap().port(), &chain);
}

/// By a client that trusts this certificate alone.
fn greeted_over_tls(port: u16, chain: &std::path::Path) {
    let dialer = Dialer::new(client_config(Some(chain)).unwrap(), DialLimits::default());
    let endpoint = format!("wss://localhost:{}/v2/iex", port).parse().unwrap();
    let stop = Stop::new().unwrap();
    let transport = dialer.dial(&endpoint, &stop.token()).unwrap();
    let mut shake = tungstenite::client(endpoint.ws_url().into_client_request().unwrap(), transport);
    let mut socket = loop {
        match shake {
            Ok((socket, _)) => break socket,
            Err(tungstenite::HandshakeError::Interrupted(waiting)) => {
                wait_ready(waiting.get_ref().get_ref(), Interest::Read, &stop.token(), Instant::now() + PATIENCE).unwrap();
                shake = waiting.handshake();
            }
            Err(error) => panic!("{error}"),
        }
    };
    let hear = |socket: &mut WebSocket<Transport>| loop {
        match socket.read() {
            Ok(Message::Text(text)) => return text.to_string(),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_ready(socket.get_ref(), Interest::Read, &stop.token(), Instant::now() + PATIENCE).unwrap();
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(hear(&mut socket).contains("connected"));
    socket.send(Message::text(r#"{"action":"auth","key":"SIM","secret":"SIM-SECRET"}"#)).unwrap();
    assert!(hear(&mut socket).contains("authenticated"));
}

#[test]
fn a_stop_is_quick_whatever_goes_on() {
    kept(|| {
        let sim = start(|config| config.rate = 1_000.0);
        let control = sim.control();
        let _idle = TcpStream::connect(sim.address()).unwrap();
        let mut half = TcpStream::connect(sim.address()).unwrap();
        half.write_all(b"POST /v2/orders HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc").unwrap();
        let mut streaming = Client::enter(&sim, "/v2/iex");
        streaming.subscribe("quotes", &["*"]);
        let _listening = Client::listen(&sim);
        control.arm(StageFault { stage: Stage::Greeting, action: FaultAction::Mute, path_contains: None, times: 1 });
        let _mute = Client::open(&sim, "/v2/sip");
        let load = control.load(LoadSpec { symbols: vec!["AAPL".to_owned()], per_second: 10, per_frame: 1, total: 1_000 }).unwrap();
        assert!(control.wait_for(|all| all.len() == 3, PATIENCE));
        let begun = Instant::now();
        let address = sim.address();
        sim.stop();
        within(Duration::from_millis(500), begun.elapsed())?;
        assert!(load.wait(PATIENCE).unwrap().sent < 1_000);
        assert!(control.connections().iter().all(|c| !c.is_open()));
        assert!(TcpStream::connect(address).is_err());
        Ok(())
    });
}

#[test]
fn the_longest_idle_connection_makes_room_for_another() {
    let sim = start(|_| {});
    let control = sim.control();
    let mut stream = Client::enter(&sim, "/v2/iex");
    let ask = |tcp: &mut TcpStream| {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(b"HEAD /v2/clock HTTP/1.1\r\nAPCA-API-KEY-ID: SIM\r\nAPCA-API-SECRET-KEY: SIM-SECRET\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(tcp.read(&mut byte).unwrap(), 1);
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    };
    let mut idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(sim.address()).unwrap()).collect();
    let mut last = idle.pop().unwrap();
    // Had there been a body, it would stand before the second head.
    let answers = [ask(&mut last), ask(&mut last)];
    assert!(answers.iter().all(|head| head.starts_with("HTTP/1.1 ") && head.contains("Content-Length: ")), "{answers:?}");
    idle[0].set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(idle[0].read(&mut [0]).unwrap(), 0, "the first has been closed");
    assert_eq!(stream.subscribe("trades", &["AAPL"])[0]["T"], "subscription", "who is busy stays");
    assert_eq!(control.accept_times().len(), 301);
}
