use std::collections::BTreeSet;

use super::*;

/// Every page of a direction, put together by their tokens.
fn all(desk: &mut Desk, query: &str) -> Vec<Value> {
    let (mut entries, mut token) = (Vec::new(), String::new());
    loop {
        let (status, page) = desk.call("GET", &format!("/v2/account/activities?page_size=3&page_token={token}&{query}"), "");
        assert_eq!(status, 200, "{page}");
        let page = page.as_array().unwrap().clone();
        let short = page.len() < 3;
        entries.extend(page);
        if short {
            return entries;
        }
        token = text(entries.last().unwrap(), "id").to_owned();
    }
}

fn ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| text(entry, "id")).collect()
}

#[test]
fn paging_by_token_gives_everything_once() {
    let mut desk = Desk::new();
    desk.frozen = true;
    for _ in 0..7 {
        desk.place(json!({}));
    }
    desk.frozen = false;
    for _ in 0..4 {
        desk.place(json!({"side": "sell"}));
    }
    let (up, mut down) = (all(&mut desk, "direction=asc"), all(&mut desk, ""));
    assert_eq!((up.len(), ids(&up).into_iter().collect::<BTreeSet<_>>().len()), (11, 11));
    down.reverse();
    assert_eq!(up, down);
    assert_eq!(all(&mut desk, "activity_types=FEE,DIV").len(), 0);
    assert_eq!(all(&mut desk, "category=non_trade_activity").len(), 0);
    assert_eq!(all(&mut desk, "category=trade_activity&direction=asc"), up);
    assert_eq!(desk.call("GET", "/v2/account/activities?page_token=nothing", "").0, 422);
    assert_eq!(desk.call("GET", "/v2/account/activities?page_size=101", "").0, 422);
    assert_eq!(desk.call("GET", "/v2/account/activities?category=x&activity_types=FILL", "").0, 422);
    assert!(desk.call_as("TWO", "GET", "/v2/account/activities", "").1.as_array().unwrap().is_empty());
}

#[test]
fn an_execution_in_parts_is_a_ledger() {
    let mut desk = Desk::with(Rules { displayed: true, ..Rules::default() });
    desk.quote("AAPL", "9.99", "10.01", "30");
    let order = desk.place(json!({"qty": "100"}));
    desk.quote("AAPL", "10.00", "10.03", "70");
    let frames = desk.frames();
    let (_, entries) = desk.call("GET", "/v2/account/activities/FILL?direction=asc", "");
    let row = |entry: &Value| ["type", "price", "qty", "leaves_qty", "cum_qty", "order_status", "side"].map(|field| text(entry, field).to_owned());
    assert_eq!(row(&entries[0]), ["partial_fill", "10.01", "30", "70", "30", "partially_filled", "buy"].map(str::to_owned));
    assert_eq!(row(&entries[1]), ["fill", "10.03", "70", "0", "100", "filled", "buy"].map(str::to_owned));
    assert_eq!(text(&entries[0], "order_id"), text(&order, "id"));
    let (stamp, uuid) = text(&entries[0], "id").split_once("::").unwrap();
    assert_eq!((stamp, uuid), ("20260921101322000", text(&frames[2], "execution_id")));
    assert!(text(&entries[0], "transaction_time").starts_with("2026-09-21T14:13:22"));
}

#[test]
fn entries_are_found_by_order_day_and_time() {
    let mut desk = Desk::new();
    let first = desk.place(json!({}));
    desk.clock += 86_400;
    let between = desk.now();
    desk.place(json!({}));
    let count = |desk: &mut Desk, query: &str| desk.call("GET", &format!("/v2/account/activities?{query}"), "").1.as_array().unwrap().len();
    assert_eq!(count(&mut desk, ""), 2);
    assert_eq!(count(&mut desk, &format!("order_id={}", text(&first, "id").replace('-', ""))), 1);
    assert_eq!(count(&mut desk, "date=2026-09-21"), 1);
    assert_eq!(count(&mut desk, "date=2026-09-20"), 0);
    assert_eq!(count(&mut desk, "after=2026-09-22"), 1);
    assert_eq!((count(&mut desk, &format!("after={between}")), count(&mut desk, &format!("until={between}"))), (1, 1));
    assert_eq!(desk.call("GET", "/v2/account/activities?date=2026-09-21&after=2026-09-21", "").0, 422);
}

#[test]
fn what_is_charged_stands_in_the_ledger() {
    let mut desk = Desk::with(Rules { fees: true, ..Rules::default() });
    desk.place(json!({"qty": "100"}));
    desk.place(json!({"qty": "100", "side": "sell"}));
    let (_, fees) = desk.call("GET", "/v2/account/activities/FEE", "");
    let fee = &fees[0];
    assert_eq!((fees.as_array().unwrap().len(), text(fee, "activity_type"), text(fee, "symbol")), (1, "FEE", "AAPL"));
    // 9,999 dollars at 20.60 a million, and 100 shares at 0.000195, each rounded up to the cent.
    assert_eq!((text(fee, "net_amount"), text(fee, "date"), text(fee, "status")), ("-0.23", "2026-09-21", "executed"));
    assert_eq!(all(&mut desk, "category=non_trade_activity").len(), 1);
    assert_eq!(desk.call("GET", "/v2/account", "").1["cash"], "99997.77");
}

#[test]
fn fees_are_hidden_with_the_fills_that_a_lagging_ledger_does_not_show() {
    let mut desk = Desk::with(Rules { fees: true, ..Rules::default() });
    desk.place(json!({"qty": "100"}));
    desk.place(json!({"qty": "100", "side": "sell"}));
    let until = desk.now();
    let (_, all) = desk.call("GET", "/v2/account/activities", "");
    assert!(all.as_array().unwrap().iter().any(|entry| entry["activity_type"] == "FEE"), "{all}");
    desk.clock += 10;
    desk.place(json!({"qty": "100"}));
    desk.place(json!({"qty": "100", "side": "sell"}));
    let query = [("page_size".to_owned(), "3".to_owned())];
    let credentials = Some(("SIM", "SIM-SECRET"));
    let mut request = Request { method: "GET", path: "/v2/account/activities", query: &query, credentials, body: b"", ledger_until: Some(until) };
    let now = desk.now();
    let page: Value = serde_json::from_slice(&respond(&mut desk.exchange, &desk.market, &desk.keys, &request, now).body).unwrap();
    assert_eq!(page.as_array().unwrap()[..], all.as_array().unwrap()[..3.min(all.as_array().unwrap().len())]);
    request.ledger_until = None;
    let page: Value = serde_json::from_slice(&respond(&mut desk.exchange, &desk.market, &desk.keys, &request, now).body).unwrap();
    assert_ne!(page[0], all[0]);
}
