use super::*;
use crate::sim::Plan;

fn with(key: SimKey) -> Sim {
    start(|config| config.keys = vec![key])
}

fn basic() -> SimKey {
    SimKey::of_plan("SIM", "SIM-SECRET", Plan::Basic)
}

fn auth(sim: &Sim, path: &str, key: &str, secret: &str) -> (Client, Value) {
    let mut client = Client::open(sim, path);
    client.hear();
    client.say(json!({"action":"auth","key":key,"secret":secret}));
    let answer = client.hear()[0].clone();
    (client, answer)
}

#[test]
fn the_basic_plan_ends_at_thirty_symbols_and_one_feed() {
    let sim = with(basic());
    assert_eq!(auth(&sim, "/v2/sip", "SIM", "SIM-SECRET").1["code"], 409);
    let mut client = Client::enter(&sim, "/v2/iex");
    let names: Vec<String> = (0..30).map(|n| format!("S{n}")).collect();
    client.say(json!({"action":"subscribe","trades":names[..15],"quotes":names[..]}));
    assert_eq!(client.hear()[0]["quotes"].as_array().unwrap().len(), 30);
    client.say(json!({"action":"subscribe","trades":["S0"],"quotes":["S30"]}));
    assert_eq!(client.hear()[0]["code"], 405);
    client.say(json!({"action":"subscribe","bars":["S30"]}));
    let ack = client.hear()[0].clone();
    assert_eq!((ack["quotes"].as_array().unwrap().len(), ack["trades"].as_array().unwrap().len()), (30, 15), "nothing of a refused request is kept");
    assert_eq!(client.subscribe("trades", &["*"])[0]["code"], 405);
}

#[test]
fn a_minute_of_requests_is_granted_and_told() {
    let told = |text: &str, name: &str| text.split(&format!("{name}: ")).nth(1).map(|rest| rest.split('\r').next().unwrap().to_owned());
    // Until no minute ends on the way.
    let texts = loop {
        let sim = with(SimKey { trading_per_minute: Some(2), ..basic() });
        let texts: Vec<String> = (0..3).map(|_| text_of(&sim, "GET", "/v2/account", "", "")).collect();
        assert!(text_of(&sim, "GET", "/v2/stocks/quotes/latest?symbols=AAPL", "", "").contains("X-RateLimit-Remaining: 199"));
        if told(&texts[0], "X-RateLimit-Reset") == told(&texts[2], "X-RateLimit-Reset") {
            break texts;
        }
    };
    let left: Vec<_> = texts.iter().map(|text| (text[9..12].to_owned(), told(text, "X-RateLimit-Remaining").unwrap())).collect();
    assert_eq!(left, [("200", "1"), ("200", "0"), ("429", "0")].map(|(status, left)| (status.to_owned(), left.to_owned())));
    assert!(texts[2].contains("\"code\":42910000") && texts[0].contains("X-RateLimit-Limit: 2"));
    let reset: i64 = told(&texts[0], "X-RateLimit-Reset").unwrap().parse().unwrap();
    assert!(reset % 60 == 0 && (0..=60).contains(&(reset - wall_now().seconds())));
    assert!(text_of(&start(|_| {}), "GET", "/v2/account", "", "").contains("X-RateLimit-Remaining: 1000000"), "the default key has no limit");
}

#[test]
fn tokens_open_what_keys_open() {
    let sim = start(|_| {});
    assert_eq!(auth(&sim, "/v2/iex", "oauth", "SIM-SECRET").1["msg"], "authenticated");
    assert_eq!(auth(&sim, "/v2/iex", "oauth", "wrong").1["code"], 402);
    let mut client = Client::try_open(&sim, "/v2/test", &[("Authorization", "Bearer SIM-SECRET")]).unwrap();
    assert_eq!((client.hear()[0]["msg"].clone(), client.hear()[0]["msg"].clone()), (json!("connected"), json!("authenticated")));
    let mut tcp = TcpStream::connect(sim.address()).unwrap();
    tcp.write_all(b"GET /v2/account HTTP/1.1\r\nAuthorization: Bearer SIM-SECRET\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
fn a_key_may_have_more_than_one_connection() {
    let sim = with(SimKey { connections: 2, ..SimKey::default() });
    let (first, one) = auth(&sim, "/v2/iex", "SIM", "SIM-SECRET");
    let (_second, two) = auth(&sim, "/v2/iex", "SIM", "SIM-SECRET");
    let (_third, three) = auth(&sim, "/v2/iex", "SIM", "SIM-SECRET");
    assert_eq!((&one["msg"], &two["msg"], &three["code"]), (&json!("authenticated"), &json!("authenticated"), &json!(406)));
    drop(first);
    assert!(sim.control().wait_for(|all| !all[0].is_open(), PATIENCE));
    assert_eq!(auth(&sim, "/v2/iex", "SIM", "SIM-SECRET").1["msg"], "authenticated");
}

#[test]
fn every_endpoint_has_its_own_channels() {
    let sim = start(|_| {});
    for path in ["/v2/iex", "/v2/sip", "/v2/delayed_sip", "/v2/test", "/v1beta1/boats", "/v1beta1/overnight"] {
        let mut client = Client::enter(&sim, path);
        assert_eq!(client.subscribe("news", &["AAPL"])[0]["code"], 410, "{path}");
        let ack = client.subscribe("statuses", &["AAPL"])[0].clone();
        assert!(ack["imbalances"].is_array() && ack["cancelErrors"].is_array() && ack.get("orderbooks").is_none(), "{path}");
    }
    for path in ["/v1beta3/crypto/us", "/v1beta3/crypto/us-1", "/v1beta3/crypto/eu-1"] {
        let mut client = Client::enter(&sim, path);
        assert_eq!(client.subscribe("statuses", &["BTC/USD"])[0]["code"], 410, "{path}");
        assert_eq!(client.subscribe("orderbooks", &["BTC/USD"])[0]["orderbooks"], json!(["BTC/USD"]), "{path}");
    }
    let mut news = Client::enter(&sim, "/v1beta1/news");
    assert_eq!(news.subscribe("trades", &["AAPL"])[0]["code"], 410);
    assert_eq!(news.subscribe("news", &["*"])[0], json!({"T":"subscription","news":["*"]}));
    for path in ["/v1beta1/indicative", "/v1beta1/opra"] {
        let mut json_client = Client::open(&sim, path);
        assert_eq!((json_client.hear()[0]["code"].as_u64(), json_client.end()), (Some(412), Some(1000)), "{path}");
        let mut client = Client::try_open(&sim, path, &[("Content-Type", "application/msgpack")]).unwrap();
        let mut ask = |message: Option<Value>| {
            if let Some(message) = message {
                client.say(message);
            }
            let Ok(Message::Binary(bytes)) = client.next() else { panic!("not binary") };
            decode_msgpack(&bytes).unwrap()[0].clone()
        };
        ask(None);
        ask(Some(json!({"action":"auth","key":"SIM","secret":"SIM-SECRET"})));
        assert_eq!(ask(Some(json!({"action":"subscribe","bars":["SPY261218C00600000"]})))["code"], 410);
        assert_eq!(ask(Some(json!({"action":"subscribe","quotes":["*"]})))["code"], 413);
        let ack = ask(Some(json!({"action":"subscribe","trades":["*"],"quotes":["SPY261218C00600000"]})));
        assert_eq!(ack, json!({"T":"subscription","trades":["*"],"quotes":["SPY261218C00600000"]}));
    }
    assert!(Client::listen(&sim).0.can_read() && Client::try_open(&sim, "/stream/", &[]).is_ok());
}
