use std::io::Write;

use super::*;
use crate::sim::message::SimBody;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sim/replay.jsonl");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn the_sample_is_told_in_its_order_and_digits() {
    let mut replay = Replay::open(Path::new(SAMPLE), false).unwrap();
    assert_eq!(replay.first(), at("2026-11-20T14:30:00.25Z"));
    let frames: Vec<Frame> = std::iter::from_fn(|| replay.next().unwrap()).collect();
    assert!(frames.windows(2).all(|pair| pair[0].due <= pair[1].due));
    let messages: Vec<&SimMessage> = frames.iter().flat_map(|frame| &frame.messages).collect();
    assert_eq!((frames.len(), messages.len()), (7, 10));
    let SimBody::Trade { id, price, size } = &messages[1].body else { panic!("{messages:?}") };
    assert_eq!((&*messages[1].symbol, *id, price.to_string().as_str(), size.to_string().as_str()), ("AAPL", 52_983_525_033_527, "228.50", "100"));
    assert_eq!(replay.next().unwrap(), None);
}

#[test]
fn a_repeated_recording_goes_on_in_whole_minutes() {
    let mut replay = Replay::open(Path::new(SAMPLE), true).unwrap();
    replay.begin_at(at("2027-01-04T15:00:00.5Z"));
    let frames: Vec<Frame> = (0..14).map(|_| replay.next().unwrap().unwrap()).collect();
    assert_eq!(frames[0].due, at("2027-01-04T15:00:00.25Z"));
    let period = frames[7].due.nanos() - frames[0].due.nanos();
    assert!(period > 0 && period % MINUTE == 0, "{period}");
    for n in 0..7 {
        assert_eq!(frames[n].due.nanos() + period, frames[n + 7].due.nanos());
        let bodies = |frame: &Frame| frame.messages.iter().map(|m| m.body.clone()).collect::<Vec<_>>();
        assert_eq!(bodies(&frames[n]), bodies(&frames[n + 7]));
    }
}

#[test]
fn without_times_of_receipt_the_messages_tell() {
    let lines = r#"
[{"T":"success","msg":"connected"}]
[{"T":"t","S":"BTC/USD","p":64201.235,"s":0.000310215,"t":"2024-03-12T10:38:50Z","i":1,"tks":"B"}]
[{"T":"d","S":"BTC/USD","o":1,"h":2,"l":1,"c":2,"v":0,"t":"2024-03-12T04:00:00Z"},{"T":"o","S":"BTC/USD"}]
[{"T":"b","S":"BTC/USD","o":1,"h":2,"l":1,"c":2,"v":0,"n":0,"vw":0,"t":"2024-03-12T10:38:00Z"}]
"#;
    let file = file(lines);
    let mut replay = Replay::open(file.path(), false).unwrap();
    let due: Vec<String> = std::iter::from_fn(|| replay.next().unwrap()).map(|frame| frame.due.to_string()[11..19].to_owned()).collect();
    assert_eq!(due, ["10:38:50", "10:38:50", "10:39:00"]);
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let good = r#"[{"T":"t","S":"AAPL","p":1,"s":1,"t":"2024-03-12T10:38:50Z"}]"#;
    for (bad, word) in [
        ("hello", "JSON array"),
        (r#"[{"T":"t","S":"AAPL","p":1,"s":1}]"#, "field t"),
        (r#"[{"T":"t","S":"AAPL","p":"1","s":1,"t":"2024-03-12T10:38:50Z"}]"#, "field p"),
        (r#"[{"T":"t","S":"a b","p":1,"s":1,"t":"2024-03-12T10:38:50Z"}]"#, "field S"),
        (r#"[{"T":"q","S":"AAPL","bp":-1,"bs":1,"ap":1,"as":1,"t":"2024-03-12T10:38:50Z"}]"#, "negative"),
        (r#"yesterday [{"T":"t"}]"#, "time before"),
        ("[{\"T\":", "no frame"),
        (r#"[{"S":"AAPL"}]"#, "field T"),
    ] {
        let file = file(&format!("# a comment\n{good}\n{bad}\n"));
        let error = Replay::open(file.path(), true).unwrap_err().to_string();
        assert!(error.contains(&format!("{}:3:", file.path().display())) && error.contains(word), "{bad}: {error}");
    }
    let empty = file("\n[{\"T\":\"success\"}]\n");
    assert!(matches!(Replay::open(empty.path(), true), Err(ReplayError::Empty { .. })));
    assert!(matches!(Replay::open(Path::new("/nowhere/at/all"), true), Err(ReplayError::Read { .. })));
}
