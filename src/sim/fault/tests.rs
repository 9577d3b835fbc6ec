use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::Bytes;

use super::frames::Wrapping;
use super::*;

const DATA: Target<'_> = Target { trading: false, path: "/v2/iex" };
const TRADING: Target<'_> = Target { trading: true, path: "/stream" };

fn spec(text: &str) -> FaultSpec {
    text.parse().unwrap()
}

fn armed(texts: &[&str]) -> (Faults, Instant) {
    let (mut faults, now) = (Faults::default(), Instant::now());
    texts.iter().for_each(|text| faults.arm(spec(text), now));
    (faults, now)
}

#[test]
fn the_rows_stand_in_the_order_of_the_variants_and_names_differ() {
    for (at, entry) in ENTRIES.iter().enumerate() {
        assert_eq!(entry.fault as usize, at, "{}", entry.name);
        assert_eq!(Fault::from_name(entry.name), Some(entry.fault));
        assert!(!entry.sees.is_empty() && !entry.sees.ends_with('.'));
    }
}

#[test]
fn every_fault_is_written_as_it_is_read() {
    for fault in Fault::all() {
        assert_eq!(spec(&fault.example()), FaultSpec::usual(fault), "{fault}");
        assert_eq!(spec(fault.name()), FaultSpec::usual(fault), "{fault}");
    }
    for text in [
        "mute=30s",
        "mute=1500ms@data",
        "no-pongs=250us@/v2/iex",
        "close=1001@trading",
        "clock-skew=-3600s",
        "latency=5ms..50ms@/stream",
        "oversized-frame=17MiB",
        "oversized-frame=1000",
    ] {
        assert_eq!(spec(text).to_string(), text);
    }
    assert_eq!(spec("latency=20ms").measure, Measure::Spread(Duration::from_millis(20), Duration::from_millis(20)));
    assert_eq!(spec(" stall-reads=2m "), spec("stall-reads=120s"));
}

#[test]
fn what_is_no_fault_is_refused_with_what_to_do() {
    let refused = |text: &str| text.parse::<FaultSpec>().unwrap_err().to_string();
    assert!(refused("lose-update").contains("did you mean lose-trade-update?"));
    assert!(refused("mut=3s").contains("did you mean mute?"));
    assert!(refused("").contains("there is no fault"));
    assert!(refused("mute=soon").contains("write for example mute=30s"));
    for text in ["drop=2", "close=1006", "close=999", "mute=0s", "mute=25h", "auth-406=0", "latency=50ms..5ms", "oversized-frame=1TiB", "clock-skew=--1s"] {
        assert!(refused(text).contains("takes"), "{text}");
    }
    assert!(refused("mute=1s@stocks").contains("the scope is"));
    assert!(refused("auth-406@trading").contains("never concerns @trading"));
    assert!(refused("order-504@data").contains("never concerns @data"));
}

#[test]
fn counts_run_out_times_pass_and_the_rest_stays() {
    let (mut faults, now) = armed(&["swap-frames=2@data", "rest-429=10s", "slow-acks=1s", "slow-acks=3s"]);
    let later = now + Duration::from_secs(11);
    assert!(faults.strike(Fault::SwapFrames, &TRADING, now).is_none());
    assert!((0..2).all(|_| faults.strike(Fault::SwapFrames, &DATA, now).is_some()));
    assert!(faults.strike(Fault::SwapFrames, &DATA, now).is_none());
    assert_eq!(faults.until(Fault::Rest429, &TRADING, now), Some(now + Duration::from_secs(10)));
    let left: Vec<(String, Left)> = faults.list(now).into_iter().map(|active| (active.spec.to_string(), active.left)).collect();
    assert_eq!(left, [("rest-429=10s".to_owned(), Left::Time(Duration::from_secs(10))), ("slow-acks=3s".to_owned(), Left::UntilCleared)]);
    assert!(faults.until(Fault::Rest429, &TRADING, later).is_none());
    assert_eq!(faults.measure(Fault::SlowAcks, &DATA, later), Some(Measure::By(Duration::from_secs(3))));
    assert_eq!(faults.list(later).len(), 1);
    let flag = faults.armed();
    assert!(flag.load(std::sync::atomic::Ordering::Relaxed));
    faults.clear();
    assert!(!flag.load(std::sync::atomic::Ordering::Relaxed) && faults.list(later).is_empty());
}

fn update(n: u32) -> String {
    json!({"event": "new", "execution_id": n, "order": {"status": "new"}, "timestamp": "2026-11-20T14:30:00Z"}).to_string()
}

fn told(faults: &mut Faults, now: Instant, n: u32) -> Vec<Value> {
    faults.told("me", &update(n), &TRADING, now).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn trade_updates_are_lost_repeated_swapped_and_estranged() {
    let (mut faults, now) = armed(&["lose-trade-update=1", "duplicate-trade-update=1", "null-trade-update=1"]);
    let ids = |told: Vec<Value>| told.iter().map(|value| value["execution_id"].clone()).collect::<Vec<_>>();
    assert!(told(&mut faults, now, 1).is_empty());
    assert_eq!(ids(told(&mut faults, now, 2)), [Value::Null, json!(2), json!(2), json!(2)]);
    assert_eq!(ids(told(&mut faults, now, 3)), [json!(3)]);
    faults.arm(spec("reorder-trade-updates=2"), now);
    let order: Vec<Value> = (4..=8).flat_map(|n| ids(told(&mut faults, now, n))).collect();
    assert_eq!(order, [5, 4, 7, 6, 8].map(Value::from));
    faults.arm(spec("reorder-trade-updates=1"), now);
    assert!(told(&mut faults, now, 9).is_empty());
    assert_eq!(faults.clear(), [("me".to_owned(), update(9))], "nothing held is lost");
    ["unknown-status", "unknown-event", "unknown-field", "clock-skew=-30s"].iter().for_each(|text| faults.arm(spec(text), now));
    let strange = &told(&mut faults, now, 10)[0];
    assert_eq!((&strange["order"]["status"], &strange["event"], &strange["execution_id"]), (&json!("entangled"), &json!("teleported"), &json!(10)));
    assert!(strange["zz_unknown"].is_object() && strange["order"]["zz_unknown"].is_number());
    assert_eq!(strange["timestamp"], "2026-11-20T14:29:30.000000000Z");
    assert_eq!(faults.told("me", "[1]", &TRADING, now), ["[1]"]);
}

#[test]
fn frames_are_cut_swapped_split_and_silenced() {
    let (mut faults, now) = armed(&["truncate-json", "swap-frames", "oversized-frame=100", "bad-utf8", "fragment-frames=1"]);
    let frame = Bytes::from_static(b"0123456789");
    let frames = faults.framed(true, frame.clone(), &DATA, now);
    assert_eq!(frames.iter().map(|f| f.bytes.len()).collect::<Vec<_>>(), [100, NO_UTF8_LENGTH, 5]);
    assert!(serde_json::from_slice::<Value>(&frames[0].bytes).is_ok() && frames[0].forced);
    assert!(std::str::from_utf8(&frames[1].bytes).is_err() && frames[1].text);
    assert!(frames[2].fragmented && !frames[2].text);
    let plain = Wrapping { text: true, bytes: frame.clone(), fragmented: false, forced: false };
    assert_eq!(faults.framed(true, frame.clone(), &DATA, now), [plain]);
    faults.arm(spec("mute=1s@data"), now);
    assert!(faults.framed(true, frame.clone(), &DATA, now).is_empty());
    assert_eq!(faults.framed(true, frame.clone(), &TRADING, now).len(), 1);
    assert_eq!(faults.framed(true, frame, &DATA, now + Duration::from_secs(2)).len(), 1);
}

const NO_UTF8_LENGTH: usize = 12;

#[test]
fn delays_have_the_median_and_the_tail_that_were_asked_for() {
    let (mut faults, now) = armed(&["latency=10ms..100ms"]);
    let mut late: Vec<Duration> = (0..10_000).map(|_| faults.latency(&DATA, now).unwrap()).collect();
    late.sort();
    let (median, worst) = (late[5_000], late[9_900]);
    assert!((Duration::from_micros(9_300)..Duration::from_micros(10_700)).contains(&median), "{median:?}");
    assert!((Duration::from_millis(80)..Duration::from_millis(120)).contains(&worst), "{worst:?}");
    assert!(faults.clear().is_empty() && faults.latency(&DATA, now).is_none());
}

#[test]
fn pings_are_erased_in_whatever_pieces_they_come() {
    let mut stream = Vec::new();
    for (opcode, length) in [(0x89_u8, 4_usize), (0x82, 130), (0x89, 0), (0x81, 70_000), (0x8a, 3), (0x89, 125)] {
        stream.push(opcode);
        match length {
            0..126 => stream.push(0x80 | length as u8),
            126..65_536 => stream.extend([0xfe, (length >> 8) as u8, length as u8]),
            _ => stream.extend([&[0xff][..], &(length as u64).to_be_bytes()].concat()),
        }
        stream.extend([1, 2, 3, 4]);
        // Payloads that look like heads of pings.
        stream.extend(std::iter::repeat_n(0x89, length));
    }
    for piece in [1, 2, 3, 7, 1_000, stream.len()] {
        let (mut deaf, mut heard) = (stream.clone(), stream.clone());
        let (mut one, mut other) = (PingEraser::default(), PingEraser::default());
        let count = |eraser: &mut PingEraser, bytes: &mut Vec<u8>, deaf| bytes.chunks_mut(piece).map(|part| eraser.pass(part, deaf)).sum::<u64>();
        assert_eq!((count(&mut one, &mut deaf, true), count(&mut other, &mut heard, false)), (3, 3));
        assert_eq!(heard, stream);
        let changed: Vec<(u8, u8)> = stream.iter().zip(&deaf).filter(|(a, b)| a != b).map(|(a, b)| (*a, *b)).collect();
        assert_eq!(changed, [(0x89, 0x8a); 3]);
    }
}

#[test]
fn ledgers_lag_behind_and_clocks_are_wrong() {
    let (mut faults, now) = armed(&["activities-lag=5s@/v2/account/activities", "clock-skew=1h"]);
    let wall: crate::model::Timestamp = "2026-11-20T14:30:10Z".parse().unwrap();
    let of = |path| Target { trading: true, path };
    for (path, shown) in [("/v2/clock", "2026-11-20T15:30:10Z"), ("/v3/clock/", "2026-11-20T15:30:10Z"), ("/v2/account", "2026-11-20T14:30:10Z")] {
        assert_eq!(faults.answered_at(wall, &of(path), now), shown.parse().unwrap(), "{path}");
    }
    let lags = ["/v2/account/activities", "/v2/account/activities/FILL", "/v2/orders"].map(|path| faults.lag(&of(path), now));
    assert_eq!(lags, [Some(Duration::from_secs(5)), Some(Duration::from_secs(5)), None]);
    assert_eq!(
        (before(wall, Duration::from_secs(10)), after(before(wall, Duration::MAX), Duration::ZERO)),
        ("2026-11-20T14:30:00Z".parse().unwrap(), before(wall, Duration::MAX))
    );
    faults.clear();
    assert_eq!((faults.answered_at(wall, &of("/v2/clock"), now), faults.lag(&of("/v2/account/activities"), now)), (wall, None));
}
