//! Bad frames are counted, and nothing else changes.

use super::*;

fn listening() -> Desk {
    let mut desk = Desk::stocks();
    desk.want(&[want("AAPL", 1, FeedSet::ALL)]);
    let mut desk = desk.live();
    desk.sent();
    desk
}

fn object(fields: &str) -> String {
    format!("[{{{fields}}}]")
}

#[test]
fn whatever_arrives_is_counted_and_the_session_lives_on() {
    let time = r#""t":"2026-01-02T03:04:05Z""#;
    let head = format!(r#""T":"t","S":"AAPL",{time}"#);
    let nines = "9".repeat(400);
    let deep = "[".repeat(100_000);
    let deep_field = format!(r#"[{{{head},"p":{deep}"#);
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let valid = trade("AAPL", "1");
    let mut cases: Vec<(String, u64)> =
        ["", " ", "null", "{}", "[]", "[null]", "7", "\"x\"", "[[]]", "[7]", "[{}]", "[", "[{", "nonsense", "\u{feff}[]", &deep, &closed]
            .iter()
            .map(|text| ((*text).to_owned(), 1))
            .collect();
    cases.push((deep_field, 1));
    cases.push((format!("{valid}x"), 1));
    cases.push((valid.trim_end_matches(']').to_owned(), 1));
    cases.push((r#"["a",{"T":1},{"T":null},{"T":["t"]}]"#.to_owned(), 4));
    for price in ["NaN", "Infinity", "1e999", "-1", "0", "0.00", "-0", "1e-400", "\"1\"", "null", "true", "[1]", "{}", "01", "1.", &nines] {
        cases.push((object(&format!(r#"{head},"p":{price},"s":1"#)), 1));
    }
    for size in ["-1", "\"1\"", "null", "1e999", &nines] {
        cases.push((object(&format!(r#"{head},"p":1,"s":{size}"#)), 1));
    }
    for time in
        ["\"2026-01-02\"", "\"2026-01-02T03:04:05\"", "\"9999-12-31T23:59:59Z\"", "\"1969-12-31T23:59:59Z\"", "\"2026-02-30T00:00:00Z\"", "1767323045", "null"]
    {
        cases.push((object(&format!(r#""T":"t","S":"AAPL","p":1,"s":1,"t":{time}"#)), 1));
    }
    for fields in [
        r#""T":"t","S":"AAPL","s":1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"t","p":1,"s":1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"t","S":7,"p":1,"s":1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"t","S":"AAPL","p":1,"p":2,"s":1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"t","S":"AAPL","p":1,"\u0070":2,"s":1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"q","S":"AAPL","bp":1,"bs":1,"ap":1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"b","S":"AAPL","o":1,"h":1,"l":1,"c":1,"v":-1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"b","S":"AAPL","o":1,"h":1,"l":1,"c":1,"v":1,"n":-1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"b","S":"AAPL","o":1,"h":1,"l":1,"c":1,"v":1,"vw":"1","t":"2026-01-02T03:04:05Z""#,
        r#""T":"s","S":"AAPL","sc":7,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"x","S":"AAPL","i":1.5,"p":1,"s":1,"t":"2026-01-02T03:04:05Z""#,
        r#""T":"success""#,
    ] {
        cases.push((object(fields), 1));
    }
    for (frame, malformed) in cases {
        let mut desk = listening();
        let before = desk.session.state();
        desk.says(&frame);
        let shown: String = frame.chars().take(90).collect();
        assert_eq!(desk.out.malformed, malformed, "{shown}");
        assert!(desk.out.end.is_none() && desk.out.send.is_empty(), "{shown}");
        let served_before_the_break = usize::from(frame.starts_with(valid.trim_end_matches(']')));
        assert_eq!(desk.trades().len(), served_before_the_break, "{shown}");
        assert_eq!(desk.session.state(), before, "{shown}");
        desk.says(&trade("AAPL", "7"));
        assert_eq!(desk.trades(), [(1, "7".to_owned())], "after {shown}");
    }
}

#[test]
fn one_bad_message_does_not_take_its_neighbours_along() {
    let mut desk = listening();
    let (first, bad, last) = (trade("AAPL", "1"), trade("AAPL", "-1"), trade("AAPL", "2"));
    desk.says(&format!("[{},{},17,{}]", &first[1..first.len() - 1], &bad[1..bad.len() - 1], &last[1..last.len() - 1]));
    assert_eq!(desk.trades(), [(1, "1".to_owned()), (1, "2".to_owned())]);
    assert_eq!(desk.out.malformed, 2);
}

#[test]
fn leap_seconds_and_offsets_are_times() {
    let mut desk = listening();
    for time in ["2016-12-31T23:59:60Z", "1970-01-01T00:00:00Z", "2026-01-02T03:04:05.123456789-05:00"] {
        desk.says(&object(&format!(r#""T":"t","S":"AAPL","p":1,"s":1,"t":"{time}""#)));
    }
    assert_eq!((desk.out.events.len(), desk.out.malformed), (3, 0));
}

#[test]
fn unknown_fields_and_any_order_of_keys_are_taken() {
    let mut desk = listening();
    desk.says(r#" [ {"new":{"deep":[1,{"x":null}]}, "t":"2026-01-02T03:04:05Z" ,"s":1,"c":null,"p":5,"x":17,"\u0053":"AAP\u004c","T":"t","i":"?"} ] "#);
    assert_eq!(desk.trades(), [(1, "5".to_owned())]);
    assert_eq!(desk.out.malformed, 0);
}

#[test]
fn unknown_types_are_counted_and_told_once_a_minute() {
    let mut desk = listening();
    for _ in 0..3 {
        desk.says(r#"[{"T":"o","S":"AAPL"},{"T":"zz\r\n"},{"T":"n","headline":"x"},{"T":"i","S":"AAPL","p":1}]"#);
    }
    assert_eq!((desk.out.unknown, desk.out.malformed), (12, 0));
    let texts: Vec<String> = desk.notices().iter().map(|notice| format!("{notice:?}")).collect();
    assert_eq!(texts.len(), 4);
    assert!(texts[1].contains("zz??") && texts.iter().all(|text| !text.contains("\\r")), "{texts:?}");
    desk.passes(Duration::from_secs(61));
    desk.says(r#"[{"T":"o"}]"#);
    assert_eq!(desk.notices().len(), 1);
}

#[test]
fn data_that_nobody_wants_is_counted() {
    let mut desk = Desk::stocks();
    desk.want(&[want("AAPL", 1, price())]);
    let mut desk = desk.live();
    desk.says(&trade("MSFT", "1"));
    desk.says(r#"[{"T":"q","S":"AAPL","bp":1,"bs":1,"ap":1,"as":1,"t":"2026-01-02T03:04:05Z"}]"#);
    assert_eq!(desk.out.unwanted, 2);
    desk.want(&[want("AAPL", 1, FeedSet::NONE)]);
    desk.says(&trade("AAPL", "1"));
    assert_eq!((desk.out.unwanted, desk.out.events.len()), (3, 0));
}
