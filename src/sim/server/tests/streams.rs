use super::*;

fn listening(client: &mut Client) -> bool {
    client.say(json!({"action":"listen","data":{"streams":["trade_updates"]}}));
    client.hear()["stream"] == "listening"
}

fn arm(sim: &Sim, text: &str) {
    sim.control().fault(text.parse().unwrap());
}

fn ping(client: &mut Client) {
    client.0.send(Message::Ping(b"there?".to_vec().into())).unwrap();
}

/// Nothing has come for a while.
fn silent(client: &mut Client) -> bool {
    client.0.get_ref().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let silent = matches!(client.next(), Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock);
    client.0.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

#[test]
fn open_streams_are_struck_at_once_in_their_scope_only() {
    let sim = start(|_| {});
    let (mut data, mut trading) = (Client::enter(&sim, "/v2/iex"), Client::listen(&sim));
    arm(&sim, "drop@data");
    assert_eq!(data.end(), None);
    assert!(listening(&mut trading) && sim.control().faults().is_empty());
    arm(&sim, "close=1001@trading");
    assert_eq!(trading.end(), Some(1001));
    assert!(sim.control().wait_for(|all| all.iter().all(|c| !c.is_open()), PATIENCE));
    let mut slow = Client::enter(&sim, "/v2/iex");
    arm(&sim, "slow-client");
    assert_eq!((slow.hear()[0]["code"].as_u64(), slow.end()), (Some(407), Some(1000)));
    let mut flooded = Client::enter(&sim, "/v2/sip");
    arm(&sim, "ping-flood=500@/v2/sip");
    assert!((0..500).all(|_| matches!(flooded.next(), Ok(Message::Ping(_)))));
    arm(&sim, "half-open");
    ping(&mut flooded);
    assert!(silent(&mut flooded));
}

#[test]
fn without_an_open_stream_the_next_one_is_struck_when_it_subscribes() {
    let sim = start(|_| {});
    let next = |fault: &str| {
        arm(&sim, fault);
        let mut client = Client::enter(&sim, "/v2/iex");
        assert_eq!(client.subscribe("trades", &["AAPL"])[0]["T"], "subscription", "{fault}");
        client
    };
    let over = || sim.control().wait_for(|all| all.iter().all(|c| !c.is_open()), PATIENCE);
    assert_eq!(next("drop").end(), None);
    assert!(over());
    assert_eq!(next("close=1011").end(), Some(1011));
    assert!(over());
    let mut slow = next("slow-client@data");
    assert_eq!((slow.hear()[0]["code"].as_u64(), slow.end()), (Some(407), Some(1000)));
    assert!(over());
    assert!(matches!(next("ping-flood=1").next(), Ok(Message::Ping(_))));
    assert!(over());
    let mut dead = next("half-open");
    ping(&mut dead);
    assert!(silent(&mut dead));
    sim.control().drop_connections();
    assert_eq!(dead.end(), None);
}

#[test]
fn a_stalled_exchange_reads_later_and_sends_on() {
    let sim = start(|_| {});
    let mut client = Client::enter(&sim, "/v2/iex");
    client.subscribe("trades", &["AAPL"]);
    arm(&sim, "stall-reads=1h");
    client.say(json!({"action":"subscribe","trades":["MSFT"]}));
    ping(&mut client);
    sim.control().trade("AAPL", "1", 1);
    assert_eq!(client.hear()[0]["S"], "AAPL");
    assert!(silent(&mut client));
    sim.control().clear_faults();
    let late = [client.next().unwrap(), client.next().unwrap()];
    assert!(late.iter().any(|message| matches!(message, Message::Text(text) if text.contains("MSFT"))), "{late:?}");
    assert!(late.iter().any(Message::is_pong), "{late:?}");
}

#[test]
fn pings_stay_unanswered_while_everything_else_is() {
    let sim = start(|_| {});
    let mut client = Client::enter(&sim, "/v2/iex");
    arm(&sim, "no-pongs=1h");
    ping(&mut client);
    client.say(json!({"action":"subscribe","trades":["AAPL"]}));
    assert!(matches!(client.next(), Ok(Message::Text(text)) if text.contains("subscription")));
    assert!(silent(&mut client));
    sim.control().clear_faults();
    ping(&mut client);
    assert!(matches!(client.next(), Ok(Message::Pong(payload)) if payload.as_ref() == b"there?"));
    assert_eq!(sim.control().counters().pings, 2, "heard or not, they are counted");
}

#[test]
fn a_mute_stream_answers_pings_and_requests_and_loses_its_data() {
    let sim = start(|_| {});
    let (mut data, mut trading) = (Client::enter(&sim, "/v2/iex"), Client::listen(&sim));
    data.subscribe("trades", &["AAPL"]);
    arm(&sim, "mute=1h@data");
    sim.control().trade("AAPL", "1", 1);
    sim.control().order_update(&SimKey::default().account_id, r#"{"event":"told"}"#);
    assert_eq!(trading.hear()["data"]["event"], "told");
    ping(&mut data);
    assert!(matches!(data.next(), Ok(Message::Pong(_))));
    assert_eq!(data.subscribe("trades", &["MSFT"])[0]["T"], "subscription");
    sim.control().clear_faults();
    sim.control().trade("AAPL", "2", 1);
    assert_eq!(data.hear()[0]["p"], json!(2));
}

#[test]
fn authentication_and_upgrade_are_refused_for_a_while() {
    let sim = start(|_| {});
    arm(&sim, "auth-406");
    let mut client = Client::open(&sim, "/v2/iex");
    client.hear();
    let mut auth = || {
        client.say(json!({"action":"auth","key":"SIM","secret":"SIM-SECRET"}));
        client.hear()[0].clone()
    };
    assert_eq!((auth()["code"].as_u64(), auth()["msg"].as_str()), (Some(406), Some("authenticated")));
    arm(&sim, "upgrade-429=1h@/v2/sip");
    assert_eq!(Client::try_open(&sim, "/v2/sip", &[]).err(), Some(429));
    assert!(Client::try_open(&sim, "/v2/test", &[]).is_ok());
    sim.control().clear_faults();
    assert!(Client::try_open(&sim, "/v2/sip", &[]).is_ok());
}

#[test]
fn answers_and_data_come_late() {
    let sim = start(|_| {});
    let mut client = Client::enter(&sim, "/v2/iex");
    let late = Duration::from_millis(60);
    let timed = |act: &mut dyn FnMut()| {
        let begun = Instant::now();
        act();
        begun.elapsed()
    };
    arm(&sim, "slow-acks=60ms");
    assert!(timed(&mut || drop(client.subscribe("trades", &["AAPL"]))) >= late);
    sim.control().clear_faults();
    arm(&sim, "latency=60ms");
    let took = timed(&mut || {
        sim.control().trade("AAPL", "1", 1);
        sim.control().trade("AAPL", "2", 1);
        assert_eq!((client.hear()[0]["p"].clone(), client.hear()[0]["p"].clone()), (json!(1), json!(2)));
    });
    assert!(took >= late, "{took:?}");
    assert!(timed(&mut || assert_eq!(call(&sim, "GET", "/v2/account", "").0, 200)) >= late);
}

#[test]
fn the_clock_is_wrong_wherever_it_shows() {
    let sim = start(|_| {});
    let mut data = Client::enter(&sim, "/v2/iex");
    data.subscribe("trades", &["AAPL"]);
    arm(&sim, "clock-skew=-2h");
    let behind = |value: &Value| {
        let at: Timestamp = value.as_str().unwrap().parse().unwrap();
        let nanos = wall_now().nanos() - at.nanos();
        (7_190_000_000_000..7_260_000_000_000).contains(&nanos)
    };
    sim.control().trade("AAPL", "1", 1);
    assert!(behind(&data.hear()[0]["t"]));
    let (_, clock) = call(&sim, "GET", "/v2/clock", "");
    assert!(behind(&clock["timestamp"]) && !clock["timestamp"].as_str().unwrap().ends_with('Z'), "{clock}");
    assert!(behind(&call(&sim, "GET", "/v3/clock?markets=NYSE", "").1["clocks"][0]["timestamp"]));
    let mut trading = Client::listen(&sim);
    call(&sim, "POST", "/v2/orders", r#"{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day"}"#);
    assert!(behind(&trading.hear()["data"]["timestamp"]));
}
