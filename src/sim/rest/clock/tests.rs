use super::*;
use crate::sim::SimConfig;

fn get(hours: Hours, target: &str, now: &str) -> (u16, Value) {
    let now = now.parse().unwrap();
    let market = MarketData::new(&SimConfig { hours, ..SimConfig::default() }, now);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: Vec<(String, String)> = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let request = Request { method: "GET", path, query: &query, credentials: None, body: b"", ledger_until: None };
    let response = respond(&market, &request, &path.trim_matches('/').split('/').collect::<Vec<_>>(), now).unwrap();
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

#[test]
fn a_market_that_never_closes_is_open_and_names_the_coming_session() {
    // A Friday, 15:00 in New York, and the night before it.
    let wanted = json!({"timestamp":"2026-11-20T15:00:00.500000000-05:00","is_open":true,
        "next_close":"2026-11-20T16:00:00-05:00","next_open":"2026-11-23T09:30:00-05:00"});
    assert_eq!(get(Hours::Always, "/v2/clock", "2026-11-20T20:00:00.5Z"), (200, wanted));
    let (_, night) = get(Hours::Always, "/v2/clock", "2026-11-20T04:00:00Z");
    assert_eq!((&night["is_open"], &night["next_close"]), (&json!(true), &json!("2026-11-20T16:00:00-05:00")));
}

#[test]
fn by_the_calendar_the_clock_knows_nights_holidays_and_summer_time() {
    for (now, open, next_open, next_close) in [
        ("2026-11-20T20:00:00Z", true, "2026-11-23T09:30:00-05:00", "2026-11-20T16:00:00-05:00"),
        ("2026-11-20T04:00:00Z", false, "2026-11-20T09:30:00-05:00", "2026-11-20T16:00:00-05:00"),
        ("2026-11-26T15:00:00Z", false, "2026-11-27T09:30:00-05:00", "2026-11-27T13:00:00-05:00"),
        ("2026-07-02T21:00:00Z", false, "2026-07-06T09:30:00-04:00", "2026-07-06T16:00:00-04:00"),
    ] {
        let (_, clock) = get(Hours::Calendar, "/v2/clock", now);
        assert_eq!((&clock["is_open"], &clock["next_open"], &clock["next_close"]), (&json!(open), &json!(next_open), &json!(next_close)), "{now}");
    }
}

#[test]
fn the_calendar_has_its_two_formats_of_time() {
    let (_, days) = get(Hours::Always, "/v2/calendar?start=2026-11-25&end=2026-11-29", "2026-11-20T20:00:00Z");
    let wanted = json!([
        {"date":"2026-11-25","open":"09:30","close":"16:00","session_open":"0400","session_close":"2000","settlement_date":"2026-11-27"},
        {"date":"2026-11-27","open":"09:30","close":"13:00","session_open":"0400","session_close":"1700","settlement_date":"2026-11-30"},
    ]);
    assert_eq!(days, wanted);
    let (_, settled) = get(Hours::Always, "/v2/calendar?start=2026-11-30&end=2026-11-30&date_type=SETTLEMENT", "2026-11-20T20:00:00Z");
    assert_eq!((settled.as_array().unwrap().len(), &settled[0]["date"]), (1, &json!("2026-11-27")));
    assert!(get(Hours::Always, "/v2/calendar", "2026-11-20T20:00:00Z").1.as_array().unwrap().len() > 3_000);
    for bad in ["start=tomorrow", "start=2026-11-30&end=2026-11-29", "date_type=NONE"] {
        assert_eq!(get(Hours::Always, &format!("/v2/calendar?{bad}"), "2026-11-20T20:00:00Z").0, 422, "{bad}");
    }
}

#[test]
fn the_third_version_tells_phases_by_market() {
    let (_, clocks) = get(Hours::Calendar, "/v3/clock?markets=XNYS,nasdaq", "2026-11-20T13:00:00Z");
    let clock = &clocks["clocks"][1];
    assert_eq!((clocks["clocks"].as_array().unwrap().len(), &clock["market"]["mic"]), (2, &json!("XNAS")));
    assert_eq!((&clock["phase"], &clock["phase_until"], &clock["is_market_day"]), (&json!("pre"), &json!("2026-11-20T09:30:00-05:00"), &json!(true)));
    let (_, days) = get(Hours::Calendar, "/v3/calendar/XNYS?start=2026-11-27&end=2026-11-27&timezone=UTC", "2026-11-20T13:00:00Z");
    assert_eq!((&days["calendar"][0]["core_end"], &days["calendar"][0]["post_end"]), (&json!("2026-11-27T18:00:00Z"), &json!("2026-11-27T22:00:00Z")));
    assert_eq!(get(Hours::Calendar, "/v3/calendar/XLON", "2026-11-20T13:00:00Z").0, 404);
}
