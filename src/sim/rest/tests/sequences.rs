//! What the stream is told, in the sequences that the venue is known for.

use super::*;

const LATENCY: Duration = Duration::from_secs(10);

fn slow() -> Desk {
    Desk::with(Rules { latency: LATENCY, ..Rules::default() })
}

/// A resting order to buy, acknowledged.
fn resting(desk: &mut Desk, fields: Value) -> String {
    let mut wish = json!({"type": "limit", "limit_price": "90"});
    wish.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let order = desk.place(wish);
    desk.wait(LATENCY.as_secs() as i64);
    assert_eq!(events(&desk.frames()), ["pending_new", "new"]);
    text(&order, "id").to_owned()
}

#[test]
fn a_market_order_in_parts() {
    let mut desk = Desk::with(Rules { displayed: true, ..Rules::default() });
    desk.quote("AAPL", "9.99", "10.01", "30");
    let order = desk.place(json!({"qty": "100"}));
    assert_eq!((text(&order, "status"), text(&order, "filled_qty")), ("pending_new", "0"));
    desk.quote("AAPL", "10.00", "10.03", "70");
    let frames = desk.frames();
    assert_eq!(events(&frames), ["pending_new", "new", "partial_fill", "fill"]);
    assert!(frames[0]["execution_id"].is_null() && frames[0]["price"].is_null());
    let ids: Vec<&str> = frames[1..].iter().map(|frame| text(frame, "execution_id")).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let told = |frame: &Value| ["price", "qty", "position_qty"].map(|field| text(frame, field).to_owned());
    let state = |frame: &Value| ["status", "filled_qty", "filled_avg_price"].map(|field| text(&frame["order"], field).to_owned());
    assert_eq!((told(&frames[2]), state(&frames[2])), (["10.01", "30", "30"].map(str::to_owned), ["partially_filled", "30", "10.01"].map(str::to_owned)));
    assert_eq!((told(&frames[3]), state(&frames[3])), (["10.03", "70", "100"].map(str::to_owned), ["filled", "100", "10.024"].map(str::to_owned)));
    assert!(frames[3]["order"]["filled_at"].is_string());
}

#[test]
fn a_cancel_that_loses_the_race() {
    let mut desk = slow();
    let id = resting(&mut desk, json!({}));
    assert_eq!(desk.call("DELETE", &format!("/v2/orders/{id}"), "").0, 204);
    desk.quote("AAPL", "89.80", "89.90", "100");
    desk.wait(LATENCY.as_secs() as i64);
    let frames = desk.frames();
    assert_eq!(events(&frames), ["pending_cancel", "fill", "order_cancel_rejected"]);
    assert_eq!(text(&frames[2]["order"], "status"), "filled");
}

#[test]
fn a_cancel_after_a_part_keeps_the_part() {
    let mut desk = Desk::with(Rules { displayed: true, ..Rules::default() });
    desk.quote("AAPL", "9.99", "10.01", "30");
    let order = desk.place(json!({"qty": "100", "type": "limit", "limit_price": "10.01"}));
    assert_eq!(desk.call("DELETE", &format!("/v2/orders/{}", text(&order, "id")), "").0, 204);
    let frames = desk.frames();
    let last = frames.last().unwrap();
    assert_eq!((events(&frames)[2], text(last, "event"), text(&last["order"], "filled_qty")), ("partial_fill", "canceled", "30"));
    assert!(last["order"]["canceled_at"].is_string() && last["order"]["status"] == "canceled");
}

#[test]
fn a_replacement_that_succeeds() {
    let mut desk = slow();
    let old = resting(&mut desk, json!({}));
    let (status, new) = desk.call("PATCH", &format!("/v2/orders/{old}"), r#"{"limit_price":91.5,"qty":"","client_order_id":"bot-b"}"#);
    assert_eq!((status, text(&new, "replaces"), text(&new, "limit_price"), text(&new, "client_order_id")), (200, old.as_str(), "91.5", "bot-b"));
    assert!(matches!(text(&new, "status"), "pending_new" | "accepted"));
    desk.wait(LATENCY.as_secs() as i64);
    let (frames, id) = (desk.frames(), text(&new, "id"));
    let told: Vec<_> = steps(&frames).into_iter().filter(|step| step.0 != "pending_new").collect();
    assert_eq!(told, [("pending_replace", old.as_str(), "pending_replace"), ("replaced", old.as_str(), "replaced"), ("new", id, "new")]);
    let replaced = frames.iter().find(|frame| frame["event"] == "replaced").unwrap();
    assert_eq!(text(&replaced["order"], "replaced_by"), id);
    assert_eq!(desk.call("PATCH", &format!("/v2/orders/{old}"), r#"{"limit_price":"92"}"#).1["code"], 42_210_000);
}

#[test]
fn a_replacement_that_loses_the_race() {
    let mut desk = slow();
    let old = resting(&mut desk, json!({}));
    assert_eq!(desk.call("PATCH", &format!("/v2/orders/{old}"), r#"{"limit_price":"91"}"#).0, 200);
    desk.quote("AAPL", "89.80", "89.90", "100");
    desk.wait(LATENCY.as_secs() as i64);
    let frames = desk.frames();
    let of_old: Vec<_> = steps(&frames).into_iter().filter(|step| step.1 == old).map(|step| step.0).collect();
    assert!(of_old.starts_with(&["pending_replace", "fill"]), "{of_old:?}");
    let lost = steps(&frames).into_iter().any(|step| step.0 == "rejected" && step.1 != old) || of_old.contains(&"order_replace_rejected");
    assert!(lost, "{:?}", steps(&frames));
}

#[test]
fn an_order_queued_out_of_hours() {
    let mut desk = Desk::new();
    desk.session(MarketSession::Closed);
    let order = desk.place(json!({}));
    assert_eq!(text(&order, "status"), "accepted");
    let frames = desk.frames();
    assert_eq!(events(&frames), ["accepted"]);
    assert!(frames[0]["execution_id"].is_null());
    assert_eq!(desk.call("PATCH", &format!("/v2/orders/{}", text(&order, "id")), r#"{"qty":"2"}"#).0, 422);
    desk.session(MarketSession::Pre);
    desk.session(MarketSession::Regular);
    desk.quote("AAPL", "100", "100.02", "100");
    let frames = desk.frames();
    assert_eq!(events(&frames), ["pending_new", "new", "fill"]);
}

#[test]
fn what_expires_at_the_close_and_what_never_rests() {
    let mut desk = Desk::new();
    let day = desk.place(json!({"type": "limit", "limit_price": "90"}));
    let lasting = desk.place(json!({"type": "limit", "limit_price": "90", "time_in_force": "gtc"}));
    desk.place(json!({"type": "limit", "limit_price": "90", "time_in_force": "ioc"}));
    desk.place(json!({"type": "limit", "limit_price": "90", "time_in_force": "fok"}));
    let frames = desk.frames();
    assert_eq!(events(&frames[frames.len() - 6..]), ["pending_new", "new", "canceled", "pending_new", "new", "canceled"]);
    desk.session(MarketSession::Post);
    desk.session(MarketSession::Closed);
    let frames = desk.frames();
    assert_eq!(steps(&frames), [("expired", text(&day, "id"), "expired")]);
    assert!(frames[0]["order"]["expired_at"].is_string());
    assert_eq!(desk.call("GET", &format!("/v2/orders/{}", text(&lasting, "id")), "").1["status"], "new");
}

#[test]
fn a_short_sale() {
    let mut desk = Desk::new();
    let order = desk.place(json!({"qty": "100", "side": "sell"}));
    assert_eq!(text(&order, "position_intent"), "sell_to_open");
    let frames = desk.frames();
    let fill = frames.last().unwrap();
    assert_eq!((text(fill, "event"), text(fill, "position_qty"), text(&fill["order"], "side")), ("fill", "-100", "sell"));
    let (_, activities) = desk.call("GET", "/v2/account/activities/FILL", "");
    assert_eq!((text(&activities[0], "side"), text(&activities[0], "price")), ("sell_short", "99.99"));
}
