use std::io::{BufRead, BufReader};

use super::*;

/// A reader of server-sent events.
struct Events(BufReader<TcpStream>);

impl Events {
    /// Its stream stands: the head and the first comment have come.
    fn open(sim: &Sim, target: &str) -> Events {
        let mut tcp = TcpStream::connect(sim.address()).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let key = "APCA-API-KEY-ID: SIM\r\nAPCA-API-SECRET-KEY: SIM-SECRET\r\nAccept: text/event-stream\r\n";
        tcp.write_all(format!("GET {target} HTTP/1.1\r\n{key}\r\n").as_bytes()).unwrap();
        let mut events = Events(BufReader::new(tcp));
        let head: Vec<String> = std::iter::from_fn(|| events.line()).take_while(|line| !line.is_empty()).collect();
        assert!(head[0].contains("200") && head.iter().any(|line| line == "Content-Type: text/event-stream"), "{head:?}");
        assert_eq!(events.line().as_deref(), Some(": heartbeat"));
        events
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.0.read_line(&mut line).unwrap();
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; `None` at the end.
    fn next(&mut self) -> Option<Value> {
        loop {
            let line = self.line()?;
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.next().unwrap()).collect()
    }
}

fn buy(sim: &Sim) {
    let order = r#"{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day"}"#;
    assert_eq!(call(sim, "POST", "/v2/orders", order).0, 200);
}

fn id(event: &Value) -> &str {
    event["event_id"].as_str().unwrap()
}

#[test]
fn a_reader_resumes_by_id_without_loss_or_repetition() {
    let sim = start(|_| {});
    buy(&sim);
    let mut first = Events::open(&sim, "/v2/events/trades?since=2026-01-01");
    buy(&sim);
    let mut seen = first.take(4);
    drop(first);
    buy(&sim);
    let mut second = Events::open(&sim, &format!("/v2/events/trades?since_id={}", id(&seen[3])));
    buy(&sim);
    seen.extend(second.take(8));
    let told: Vec<&str> = seen.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["pending_new", "new", "fill"].repeat(4));
    assert!(seen.windows(2).all(|two| id(&two[0]) < id(&two[1]) && two[0]["at"].as_str() < two[1]["at"].as_str()));
    let orders: std::collections::BTreeSet<&str> = seen.iter().map(|event| event["order"]["id"].as_str().unwrap()).collect();
    assert_eq!(orders.len(), 4);
    let mut between = Events::open(&sim, &format!("/v2/events/trades?since_id={}&until_id={}", id(&seen[2]), id(&seen[5])));
    assert_eq!(between.take(3), seen[3..6]);
    assert_eq!(between.next(), None, "it ends where it was asked to");
    // The last time plus a nanosecond, as one client resumes.
    let last: Timestamp = seen[10]["at"].as_str().unwrap().parse().unwrap();
    let mut timed = Events::open(&sim, &format!("/v2/events/trades?since={}", Timestamp::from_nanos(last.nanos() + 1)));
    assert_eq!(timed.take(1), seen[11..]);
    let until = seen[1]["at"].as_str().unwrap();
    let mut past = Events::open(&sim, &format!("/v2/events/trades?since=2026-01-01&until={until}"));
    assert_eq!((past.take(2), past.next()), (seen[..2].to_vec(), None));
}

#[test]
fn a_reader_without_a_past_hears_what_comes_and_an_end_to_come_ends_it() {
    let sim = start(|_| {});
    buy(&sim);
    let mut live = Events::open(&sim, "/v2/events/trades");
    buy(&sim);
    assert_eq!(live.next().unwrap()["event"], "pending_new");
    let last = live.take(2)[1].clone();
    let above = format!("7ZZZZZZZZZ{}", &id(&last)[10..]);
    let mut open_end = Events::open(&sim, &format!("/v2/events/trades?since_id={}&until_id={above}", id(&last)));
    sim.control().fault("lose-trade-update=3".parse().unwrap());
    buy(&sim);
    assert_eq!(open_end.take(3)[2]["event"], "fill", "what the stream loses is told here");
    sim.control().fault("drop@/v2/events".parse().unwrap());
    assert_eq!((open_end.next(), live.take(3).len(), live.next()), (None, 3, None));
}

#[test]
fn fills_are_activities() {
    let sim = start(|_| {});
    let mut events = Events::open(&sim, "/v2beta1/events/activities");
    buy(&sim);
    let fill = events.next().unwrap();
    for (field, wanted) in [("activity_type", "FILL"), ("execution_type", "fill"), ("symbol", "AAPL"), ("cum_qty", "1"), ("leaves_qty", "0"), ("side", "buy")] {
        assert_eq!(fill[field], wanted, "{field} of {fill}");
    }
    assert!(fill["ref_id"].is_string() && fill["order_id"].is_string() && id(&fill).len() == 26);
}

#[test]
fn a_mixed_up_wish_is_refused() {
    let sim = start(|_| {});
    for (query, part) in [
        ("until=2026-01-01", "since is required"),
        ("until_id=01ARZ3NDEKTSV4RRFFQ69G5FAV", "since_id is required"),
        ("since=2026-01-01&since_id=01ARZ3NDEKTSV4RRFFQ69G5FAV", "cannot be mixed"),
        ("since=today", "RFC 3339"),
    ] {
        let (status, body) = call(&sim, "GET", &format!("/v2/events/trades?{query}"), "");
        assert!(status == 400 && body["message"].as_str().unwrap().contains(part), "{query}: {body}");
    }
}

#[test]
fn a_stop_ends_readers() {
    kept(|| {
        let sim = start(|_| {});
        let mut events = Events::open(&sim, "/v2/events/trades");
        let begun = Instant::now();
        sim.stop();
        assert_eq!(events.next(), None);
        within(JOIN, begun.elapsed())?;
        Ok(())
    });
}

#[test]
fn a_ledger_that_lags_shows_fees_and_events_later_too_and_whole_pages_all_the_same() {
    // An hour passes in a tenth of a second.
    let sim = start(|config| config.speed = 36_000.0);
    let rows = |query: &str| call(&sim, "GET", &format!("/v2/account/activities?{query}"), "").1.as_array().unwrap().len();
    (0..3).for_each(|_| buy(&sim));
    sim.control().fault("activities-lag=24h".parse().unwrap());
    let mut late = Events::open(&sim, "/v2beta1/events/activities?since=2026-01-01");
    assert_eq!((rows("page_size=2"), rows("")), (0, 0));
    let begun = Instant::now();
    while rows("page_size=2") < 2 {
        assert!(begun.elapsed() < PATIENCE);
    }
    let first = late.next().unwrap()["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(sim.control().now().nanos() - first.nanos() >= 86_400_000_000_000);
    buy(&sim);
    assert_eq!(rows("page_size=2"), 2, "what is hidden takes no place on a page");
    assert_eq!(late.take(3).len(), 3);
}

#[test]
fn a_reader_who_was_away_too_long_is_told_of_the_gap() {
    let sim = start(|_| {});
    let account = SimKey::default().account_id;
    let control = sim.control();
    control.order_update(&account, r#"{"event":"new"}"#);
    let mut events = Events::open(&sim, "/v2/events/trades?since=2026-01-01");
    let first = id(&events.next().unwrap()).to_owned();
    drop(events);
    (0..10_001).for_each(|_| control.order_update(&account, r#"{"event":"new"}"#));
    let (status, body) = call(&sim, "GET", &format!("/v2/events/trades?since_id={first}"), "");
    assert!(status == 410 && body["message"].as_str().unwrap().contains("missed"), "{body}");
    let mut oldest = Events::open(&sim, "/v2/events/trades?since=2026-01-01");
    let kept = id(&oldest.next().unwrap()).to_owned();
    Events::open(&sim, &format!("/v2/events/trades?since_id={kept}")).take(1);
}

#[test]
fn readers_of_events_are_silenced_and_closed_as_streams_are() {
    let sim = start(|_| {});
    let arm = |text: &str| sim.control().fault(text.parse().unwrap());
    let mut events = Events::open(&sim, "/v2/events/trades");
    arm("mute=3600s@trading");
    buy(&sim);
    sim.control().clear_faults();
    buy(&sim);
    let first = events.next().unwrap();
    let kept = Events::open(&sim, "/v2/events/trades?since=2026-01-01").take(6);
    assert_eq!(first, kept[3], "what came while it was mute is lost on the stream alone");
    events.take(2);
    assert_eq!(events.line().as_deref(), Some(""));
    arm("half-open@/v2/events");
    buy(&sim);
    events.0.get_ref().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(events.0.read_line(&mut String::new()).is_err(), "open, and nothing comes");
    let mut closed = Events::open(&sim, "/v2/events/trades");
    arm("close@trading");
    assert_eq!(closed.next(), None);
    // Without an open stream the next one is struck.
    drop((events, closed));
    let deadline = Instant::now() + PATIENCE;
    while sim.shared.hub.lock().has_watchers() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    arm("close@/v2/events");
    assert_eq!(Events::open(&sim, "/v2/events/trades").next(), None);
    assert!(sim.control().faults().is_empty());
}
