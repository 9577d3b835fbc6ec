use std::net::TcpStream;
use std::path::PathBuf;

use crossbeam_channel::bounded;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::*;
use crate::runtime::Threads;
use crate::sim::{Sim, SimConfig, SimError};

const PATIENCE: Duration = Duration::from_secs(60);

fn try_start(change: impl FnOnce(&mut SimConfig)) -> Result<Sim, SimError> {
    let mut config = SimConfig::default();
    change(&mut config);
    Sim::start(config, &Threads::new(bounded(64).0))
}

fn start(change: impl FnOnce(&mut SimConfig)) -> Sim {
    try_start(change).unwrap()
}

fn recording() -> Option<PathBuf> {
    Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sim/replay.jsonl").into())
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A client of the stock stream who hears all of some symbols.
struct Ear(WebSocket<TcpStream>);

impl Ear {
    fn new(sim: &Sim, symbols: &[&str]) -> Ear {
        let tcp = TcpStream::connect(sim.address()).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut socket, _) = tungstenite::client(format!("ws://{}/v2/iex", sim.address()), tcp).unwrap();
        let kinds = ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds"];
        let mut wish = json!({"action":"subscribe"});
        kinds.iter().for_each(|kind| wish[*kind] = json!(symbols));
        socket.send(Message::text(r#"{"action":"auth","key":"SIM","secret":"SIM-SECRET"}"#)).unwrap();
        socket.send(Message::text(wish.to_string())).unwrap();
        let mut ear = Ear(socket);
        while !ear.text().contains("subscription") {}
        ear
    }

    fn text(&mut self) -> String {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return text.to_string();
            }
        }
    }

    /// Listens until a message fits, and returns it with its frame.
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> (Value, String) {
        loop {
            let text = self.text();
            let frame: Value = serde_json::from_str(&text).unwrap();
            if let Some(found) = frame.as_array().unwrap().iter().find(|message| fits(message)) {
                return (found.clone(), text);
            }
        }
    }
}

fn get(sim: &Sim, target: &str) -> Value {
    let http: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
    let url = format!("http://{}{target}", sim.address());
    let mut answer = http.get(url).header("APCA-API-KEY-ID", "SIM").header("APCA-API-SECRET-KEY", "SIM-SECRET").call().unwrap();
    serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
}

#[test]
fn a_recording_is_played_over_and_over_at_any_speed() {
    let sim = start(|config| (config.replay, config.replay_loop, config.speed) = (recording(), true, 600.0));
    let mut ear = Ear::new(&sim, &["AAPL"]);
    for kind in ["q", "t", "s", "l", "x", "b"] {
        ear.until(|message| message["T"] == kind);
    }
    let (_, text) = ear.until(|message| message["T"] == "t");
    assert!(text.contains(r#""p":228.50,"#) || text.contains(r#""p":228.65,"#), "{text}");
    // Its clock began at the first frame, and orders see its prices.
    let shown = get(&sim, "/v2/clock")["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(shown > time("2026-11-20T14:30:00Z") && shown < time("2026-11-23T00:00:00Z"), "{shown}");
    assert_eq!(get(&sim, "/v2/stocks/MSFT/trades/latest")["trade"]["p"], json!(424.1));
}

#[test]
fn a_recording_ends_and_the_exchange_stays() {
    let sim = start(|config| (config.replay, config.speed) = (recording(), 100_000.0));
    let begun = Instant::now();
    while get(&sim, "/v2/stocks/AAPL/trades/latest")["trade"]["p"] != json!(228.65) {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(get(&sim, "/v2/account")["id"].is_string());
}

#[test]
fn what_cannot_be_played_or_run_is_told_at_the_start() {
    let missing = try_start(|config| config.replay = Some("/nowhere/at/all.jsonl".into()));
    assert!(matches!(missing, Err(SimError::Replay(_))), "{missing:?}");
    let still = try_start(|config| config.speed = 0.0);
    assert!(matches!(still, Err(SimError::Speed(_))), "{still:?}");
}

#[test]
fn sessions_come_and_go_by_the_clock_of_the_exchange() {
    // Its clock runs at once, and may have passed the opening before we hear it.
    let (sim, mut bell) = std::iter::repeat_with(|| {
        let sim = start(|config| (config.start, config.hours, config.speed) = (Some(time("2026-11-20T14:29:00Z")), Hours::Calendar, 2_000.0));
        let bell = Bell::new(&sim.shared);
        (sim, bell)
    })
    .find(|(_, bell)| bell.session == MarketSession::Pre)
    .unwrap();
    let mut heard = vec![bell.session];
    let begun = Instant::now();
    while heard.len() < 2 {
        bell.ring(&sim.shared);
        if heard.last() != Some(&bell.session) {
            heard.push(bell.session);
        }
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(heard, [MarketSession::Pre, MarketSession::Regular]);
    assert_eq!(get(&sim, "/v2/clock")["is_open"], true);
    let always = start(|config| config.start = Some(time("2026-11-21T05:00:00Z")));
    let bell = Bell::new(&always.shared);
    assert_eq!((bell.session, bell.next), (MarketSession::Regular, None));
}

#[test]
fn orders_wait_for_the_opening() {
    let sim = start(|config| (config.start, config.hours, config.speed) = (Some(time("2026-11-20T14:29:30Z")), Hours::Calendar, 100.0));
    let control = sim.control();
    let order = r#"{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day","client_order_id":"early"}"#;
    let http: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().into();
    let url = format!("http://{}/v2/orders", sim.address());
    http.post(url).header("APCA-API-KEY-ID", "SIM").header("APCA-API-SECRET-KEY", "SIM-SECRET").send(order).unwrap();
    let state = || get(&sim, "/v2/orders:by_client_order_id?client_order_id=early");
    let begun = Instant::now();
    let filled_at = loop {
        control.quote("AAPL", "228.49", 100, "228.51", 100);
        let order = state();
        if order["status"] == "filled" {
            break order["filled_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "{order}");
    };
    assert!(filled_at >= time("2026-11-20T14:30:00Z"), "{filled_at}");
}

#[test]
fn a_fast_market_tells_bars_of_minutes_and_days() {
    let sim = start(|config| {
        (config.start, config.hours, config.speed, config.rate) = (Some(time("2026-11-20T15:00:00Z")), Hours::Calendar, 600.0, 2_000.0);
        config.symbols.truncate(3);
    });
    let mut ear = Ear::new(&sim, &["*"]);
    let (bar, _) = ear.until(|message| message["T"] == "b");
    assert!(bar["t"].as_str().unwrap().starts_with("2026-11-20T15:") && bar["t"].as_str().unwrap().ends_with(":00.000000000Z"), "{bar}");
    let (day, _) = ear.until(|message| message["T"] == "d" && message["S"] == bar["S"]);
    assert_eq!(day["t"], "2026-11-20T05:00:00.000000000Z");
    assert!(day["v"].as_u64() > bar["v"].as_u64());
    let (updated, _) = ear.until(|message| message["T"] == "u");
    let told = get(&sim, &format!("/v2/stocks/{}/bars?timeframe=1Min&start={}&limit=1", updated["S"].as_str().unwrap(), updated["t"].as_str().unwrap()));
    assert_eq!((&told["bars"][0]["v"], &told["bars"][0]["n"], &told["bars"][0]["vw"]), (&updated["v"], &updated["n"], &updated["vw"]));
}

#[test]
fn equities_are_silent_while_their_market_is_closed() {
    let sim = start(|config| (config.start, config.hours, config.rate) = (Some(time("2026-11-21T15:00:00Z")), Hours::Calendar, 1_000.0));
    let begun = Instant::now();
    let price = |sim: &Sim| get(sim, "/v1beta3/crypto/us/latest/quotes?symbols=BTC/USD")["quotes"]["BTC/USD"]["t"].clone();
    let first = price(&sim);
    while price(&sim) == first {
        assert!(begun.elapsed() < PATIENCE);
    }
    let quotes = get(&sim, "/v2/stocks/quotes/latest?symbols=AAPL,MSFT,SPY")["quotes"].clone();
    assert!(quotes.as_object().unwrap().values().all(|quote| quote["t"] == "2026-11-21T15:00:00.000000000Z"), "{quotes}");
}

#[test]
fn halts_and_price_limits_are_told_and_kept() {
    let sim = start(|config| {
        config.symbols.truncate(1);
        config.rate = 500.0;
    });
    let mut ear = Ear::new(&sim, &["AAPL"]);
    let control = sim.control();
    control.luld("AAPL", "217.08", "239.93").unwrap();
    assert!(control.luld("AAPL", "much", "239.93").is_err());
    let (luld, _) = ear.until(|message| message["T"] == "l");
    assert_eq!((&luld["d"], &luld["u"], &luld["i"]), (&json!(217.08), &json!(239.93), &json!("B")));
    control.halt("AAPL", "LUDP");
    let (status, _) = ear.until(|message| message["T"] == "s");
    assert_eq!((&status["sc"], &status["rc"], &status["z"]), (&json!("H"), &json!("LUDP"), &json!("C")));
    control.resume("AAPL");
    ear.until(|message| message["sc"] == "T");
    ear.until(|message| message["T"] == "t" || message["T"] == "q");
}

#[test]
fn orders_for_an_auction_are_refused_shortly_before_it() {
    let status = |begin: &str, time_in_force: &str| {
        let sim = start(|config| (config.start, config.hours) = (Some(time(begin)), Hours::Calendar));
        let order = json!({"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":time_in_force}).to_string();
        let http: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        let url = format!("http://{}/v2/orders", sim.address());
        http.post(url).header("APCA-API-KEY-ID", "SIM").header("APCA-API-SECRET-KEY", "SIM-SECRET").send(order).unwrap().status().as_u16()
    };
    for (begin, time_in_force, wanted) in [
        ("2026-11-20T14:26:00Z", "opg", 200),
        ("2026-11-20T14:28:00Z", "opg", 422),
        ("2026-11-20T20:48:00Z", "cls", 200),
        ("2026-11-20T20:50:00Z", "cls", 422),
        // The day after Thanksgiving ends at one.
        ("2026-11-27T17:48:00Z", "cls", 200),
        ("2026-11-27T17:50:00Z", "cls", 422),
    ] {
        assert_eq!(status(begin, time_in_force), wanted, "{time_in_force} at {begin}");
    }
}
