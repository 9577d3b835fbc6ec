use super::*;

#[test]
fn faults_are_put_in_force_listed_and_ended() {
    let sim = start(|_| {});
    let (status, armed) = call(&sim, "POST", "/admin/faults", r#"{"fault":"rest-503=3600s@/v2/account"}"#);
    assert_eq!((status, &armed["fault"]), (200, &json!("rest-503=3600s@/v2/account")));
    call(&sim, "POST", "/admin/faults", r#"{"fault":"lose-trade-update=2"}"#);
    assert_eq!(call(&sim, "GET", "/v2/account", "").0, 503);
    let (_, active) = call(&sim, "GET", "/admin/faults", "");
    assert!(active[0]["left"]["ms"].as_u64().is_some_and(|ms| ms > 3_500_000), "{active}");
    assert_eq!((&active[1]["fault"], &active[1]["left"]["times"]), (&json!("lose-trade-update=2"), &json!(2)));
    assert_eq!(call(&sim, "DELETE", "/admin/faults", "").0, 204);
    assert_eq!((call(&sim, "GET", "/admin/faults", "").1, call(&sim, "GET", "/v2/account", "").0), (json!([]), 200));
    let (status, refused) = call(&sim, "POST", "/admin/faults", r#"{"fault":"mutte=3s"}"#);
    assert!(status == 422 && refused["message"].as_str().unwrap().contains("did you mean mute?"));
    assert_eq!(call(&sim, "POST", "/admin/faults", "mute=3s").0, 400);
    assert_eq!((call(&sim, "PUT", "/admin/faults", "").0, call(&sim, "GET", "/admin/nothing", "").0), (405, 404));
    assert!(call(&sim, "GET", "/admin/help", "").1["faults"].as_array().unwrap().len() > 30);
}

#[test]
fn the_market_is_moved_and_halted_by_hand() {
    let sim = start(|_| {});
    let mut client = Client::enter(&sim, "/v2/iex");
    client.say(json!({"action":"subscribe","trades":["AAPL"],"quotes":["AAPL"],"statuses":["AAPL"]}));
    client.hear();
    let go = |body: &str| call(&sim, "POST", "/admin/market", body).0;
    assert_eq!(go(r#"{"symbol":"AAPL","bid":227.10,"ask":"227.20","bid_size":3}"#), 200);
    let quote = client.hear()[0].clone();
    assert_eq!((&quote["bp"], &quote["bs"], &quote["ap"], &quote["as"]), (&json!(227.1), &json!(3), &json!(227.2), &json!(100)));
    assert_eq!(call(&sim, "GET", "/v2/stocks/quotes/latest?symbols=AAPL", "").1["quotes"]["AAPL"]["ap"], json!(227.2));
    assert_eq!(go(r#"{"symbol":"AAPL","trade":"227.15","size":"7"}"#), 200);
    assert_eq!((client.hear()[0]["p"].clone(), go(r#"{"symbol":"AAPL","halt":true}"#)), (json!(227.15), 200));
    assert_eq!((client.hear()[0]["sc"].clone(), go(r#"{"symbol":"AAPL","halt":false}"#)), (json!("H"), 200));
    assert_eq!(client.hear()[0]["sc"], "T");
    for (body, status) in [("{}", 400), (r#"{"symbol":"AAPL"}"#, 400), (r#"{"symbol":"AAPL","bid":1}"#, 422), (r#"{"symbol":"AAPL","trade":"x"}"#, 422)] {
        assert_eq!(go(body), status, "{body}");
    }
}

#[test]
fn what_was_sent_and_received_is_counted_and_kept() {
    let sim = start(|config| config.record_bytes = 1 << 20);
    let mut client = Client::enter(&sim, "/v2/iex");
    client.subscribe("trades", &["AAPL"]);
    sim.control().trade("AAPL", "1", 1);
    client.hear();
    client.0.send(Message::Ping(Vec::new().into())).unwrap();
    client.next().unwrap();
    call(&sim, "GET", "/v2/orders/nothing?nested=true", "");
    let (_, counters) = call(&sim, "GET", "/admin/counters", "");
    for (name, wanted) in [("auths", 1), ("auths_refused", 0), ("subscribes", 1), ("unsubscribes", 0), ("pings", 1), ("frames_out", 1), ("connects", 3)] {
        assert_eq!(counters[name], json!(wanted), "{name} of {counters}");
    }
    assert_eq!((&counters["streams"]["/v2/iex"], &counters["rest"]["GET /v2/orders/*"], &counters["statuses"]["404"]), (&json!(1), &json!(1), &json!(1)));
    let (_, record) = call(&sim, "GET", "/admin/record", "");
    let all: Vec<&Value> = record.as_array().unwrap().iter().collect();
    let find = |direction: &str, kind: &str, part: &str| {
        all.iter()
            .position(|r| r["direction"] == direction && r["kind"] == kind && r["text"].as_str().unwrap().contains(part))
            .unwrap_or_else(|| panic!("{part}"))
    };
    let order = [
        find("in", "upgrade", "GET /v2/iex"),
        find("out", "response", "101"),
        find("out", "text", "connected"),
        find("in", "message", "\"action\":\"auth\""),
        find("out", "text", "authenticated"),
        find("in", "message", "subscribe"),
        find("out", "text", "subscription"),
        find("out", "text", "\"T\":\"t\""),
        find("in", "ping", "1"),
        find("in", "request", "GET /v2/orders/nothing?nested=true"),
        find("out", "response", "404 "),
    ];
    assert!(order.is_sorted(), "{order:?}");
    assert!(all.iter().map(|r| r["ns"].as_i64().unwrap()).is_sorted());
    assert!(!record.to_string().contains("SIM-SECRET"));
    call(&sim, "GET", "/admin/record", "");
    assert_eq!(call(&sim, "GET", "/admin/record", "").1.as_array().unwrap().len(), all.len(), "looking at it is not part of it");
    let since = all[order[9]]["ns"].as_i64().unwrap();
    let (_, later) = call(&sim, "GET", &format!("/admin/record?since={since}"), "");
    assert!(later[0]["text"].as_str().unwrap().contains("/v2/orders/nothing"));
    assert_eq!(call(&start(|_| {}), "GET", "/admin/record", "").0, 404, "nothing is kept unless wanted");
}

#[test]
fn web_pages_and_other_machines_are_kept_out() {
    let sim = start(|_| {});
    let status = |sim: &Sim, headers: &str| text_of(sim, "GET", "/admin/faults", headers, "")[9..12].to_owned();
    assert_eq!(status(&sim, "Host: localhost\r\n"), "200");
    assert_eq!(status(&sim, "Host: rebound.example\r\n"), "403");
    assert_eq!(status(&sim, "Host: localhost\r\nOrigin: http://localhost\r\n"), "403");
    // To port 0 of every address: reached over loopback here.
    let open = |admin| {
        start(|config| {
            config.listen = "0.0.0.0:0".parse().unwrap();
            config.admin = admin;
        })
    };
    let over_loopback = |sim: &Sim| {
        let mut tcp = TcpStream::connect(("127.0.0.1", sim.address().port())).unwrap();
        tcp.write_all(b"GET /admin/faults HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        text[9..12].to_owned()
    };
    assert_eq!((over_loopback(&open(false)).as_str(), over_loopback(&open(true)).as_str()), ("404", "200"));
}

#[test]
fn limits_reasons_and_sessions_are_set_by_hand() {
    let sim = start(|_| {});
    let mut client = Client::enter(&sim, "/v2/iex");
    client.say(json!({"action":"subscribe","statuses":["AAPL"],"lulds":["AAPL"]}));
    client.hear();
    let go = |body: &str| call(&sim, "POST", "/admin/market", body).0;
    assert_eq!(go(r#"{"symbol":"AAPL","luld":{"down":"217.08","up":239.93}}"#), 200);
    let luld = client.hear()[0].clone();
    assert_eq!((&luld["T"], &luld["d"], &luld["u"]), (&json!("l"), &json!(217.08), &json!(239.93)));
    assert_eq!(go(r#"{"symbol":"AAPL","halt":true,"reason":"LUDP"}"#), 200);
    let status = client.hear()[0].clone();
    assert_eq!((&status["sc"], &status["rc"], &status["rm"]), (&json!("H"), &json!("LUDP"), &json!("Volatility Trading Pause")));
    for body in [r#"{"symbol":"AAPL","reason":"LUDP"}"#, r#"{"symbol":"AAPL","halt":false,"reason":"T1"}"#, r#"{"symbol":"AAPL","luld":{"down":"x","up":"1"}}"#]
    {
        assert_eq!(go(body), 422, "{body}");
    }
    let (_, clock) = call(&sim, "GET", "/admin/clock", "");
    assert_eq!((&clock["session"], &clock["hours"], &clock["speed"]), (&json!("regular"), &json!("always"), &json!(1.0)));
    assert!(clock["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert_eq!(call(&sim, "POST", "/admin/clock", r#"{"session":"closed"}"#).1["session"], "closed");
    assert_eq!(call(&sim, "GET", "/v2/clock", "").1["is_open"], false);
    let order = r#"{"symbol":"MSFT","qty":"1","side":"buy","type":"market","time_in_force":"day","client_order_id":"night"}"#;
    assert_eq!(call(&sim, "POST", "/v2/orders", order).1["status"], "accepted");
    assert_eq!(call(&sim, "POST", "/admin/clock", r#"{"session":"regular"}"#).0, 200);
    sim.control().quote("MSFT", "424.00", 100, "424.10", 100);
    assert_eq!(call(&sim, "GET", "/v2/orders:by_client_order_id?client_order_id=night", "").1["status"], "filled");
    assert_eq!(call(&sim, "POST", "/admin/clock", r#"{"session":"lunch"}"#).0, 422);
    let by_calendar = start(|config| config.hours = crate::sim::Hours::Calendar);
    assert_eq!(call(&by_calendar, "POST", "/admin/clock", r#"{"session":"closed"}"#).0, 409);
}

#[test]
fn the_history_tells_every_order_and_event_though_nobody_listened() {
    let sim = start(|_| {});
    let order = r#"{"symbol":"AAPL","qty":"1","side":"buy","type":"limit","limit_price":"1","time_in_force":"day","client_order_id":"bot-1"}"#;
    let (_, placed) = call(&sim, "POST", "/v2/orders", order);
    assert_eq!(call(&sim, "POST", "/v2/orders", order).0, 422);
    let id = placed["id"].as_str().unwrap();
    assert_eq!(call(&sim, "DELETE", &format!("/v2/orders/{id}"), "").0, 204);
    let (_, page) = call(&sim, "GET", "/admin/history", "");
    let all = page["entries"].as_array().unwrap();
    let accepted: Vec<&Value> = all.iter().filter(|entry| entry["kind"] == "accepted").collect();
    assert_eq!((accepted.len(), &accepted[0]["client_order_id"], &accepted[0]["order_id"]), (1, &json!("bot-1"), &json!(id)));
    let events: Vec<&str> = all.iter().filter(|entry| entry["order_id"] == json!(id)).filter_map(|entry| entry["event"].as_str()).collect();
    assert_eq!(
        (events.first(), events.last(), page["last"].as_u64(), page["forgotten"].as_u64()),
        (Some(&"pending_new"), Some(&"canceled"), Some(all.len() as u64), Some(0))
    );
    let rest = call(&sim, "GET", &format!("/admin/history?after={}", all.len() - 1), "").1;
    assert_eq!(rest["entries"].as_array().unwrap(), &all[all.len() - 1..]);
    assert_eq!((call(&sim, "GET", "/admin/history?after=x", "").0, call(&sim, "POST", "/admin/history", "").0), (400, 405));
}

#[test]
fn a_trade_is_taken_back_by_hand() {
    let sim = start(|_| {});
    let body = r#"{"data":{"event":"trade_bust","execution_id":"e1","order":{"id":"o1","filled_qty":"0"}}}"#;
    assert_eq!((call(&sim, "POST", "/admin/order_update", body).0, call(&sim, "POST", "/admin/order_update", "{}").0), (200, 400));
    let entry = call(&sim, "GET", "/admin/history", "").1["entries"][0].clone();
    assert_eq!((&entry["event"], &entry["execution_id"], &entry["order_id"]), (&json!("trade_bust"), &json!("e1"), &json!("o1")));
}
