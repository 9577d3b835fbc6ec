//! Orders with exits, and stops that trail.

use super::*;

fn bracket() -> Value {
    json!({"qty": "10", "order_class": "bracket", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90", "limit_price": null}})
}

#[test]
fn a_bracket_takes_its_profit() {
    let mut desk = Desk::new();
    let parent = desk.place(bracket());
    let legs = parent["legs"].as_array().unwrap();
    let (profit, loss) = (&legs[0], &legs[1]);
    assert_eq!((text(&parent, "order_class"), text(profit, "order_class")), ("bracket", "bracket"));
    assert_eq!((text(profit, "type"), text(profit, "status"), text(profit, "limit_price"), text(profit, "side")), ("limit", "held", "110", "sell"));
    assert_eq!((text(loss, "type"), text(loss, "status"), text(loss, "stop_price")), ("stop", "held", "90"));
    let (parent, profit, loss) = (text(&parent, "id"), text(profit, "id").to_owned(), text(loss, "id").to_owned());
    let frames = desk.frames();
    let told: Vec<_> = steps(&frames).into_iter().filter(|step| !matches!(step.0, "pending_new" | "held")).collect();
    assert_eq!(told, [("new", parent, "new"), ("fill", parent, "filled"), ("new", profit.as_str(), "new"), ("new", loss.as_str(), "new")]);
    // The stream shows the exits as it has told them: they are still held when the entry is filled.
    let entry = frames.iter().find(|frame| frame["event"] == "fill").unwrap();
    let legs: Vec<&str> = entry["order"]["legs"].as_array().unwrap().iter().map(|leg| text(leg, "status")).collect();
    assert_eq!(legs, ["held", "held"]);
    // Open orders that belong together are one entry of a nested list, and are shown one by one in a plain one.
    assert_eq!(desk.call("GET", "/v2/orders", "").1.as_array().unwrap().len(), 2);
    let (_, nested) = desk.call("GET", "/v2/orders?nested=true", "");
    assert_eq!((nested.as_array().unwrap().len(), text(&nested[0], "id"), text(&nested[0]["legs"][1], "id")), (1, parent, loss.as_str()));
    assert_eq!(desk.call("GET", "/v2/orders?nested=true&status=closed", "").1, json!([]));
    assert!(desk.call("GET", &format!("/v2/orders/{parent}"), "").1["legs"].is_null());
    assert_eq!(desk.call("GET", &format!("/v2/orders/{parent}?nested=true"), "").1["legs"].as_array().unwrap().len(), 2);
    desk.quote("AAPL", "110.10", "110.20", "100");
    let frames = desk.frames();
    assert_eq!(steps(&frames), [("fill", profit.as_str(), "filled"), ("canceled", loss.as_str(), "canceled")]);
    assert_eq!(desk.call("GET", "/v2/positions/AAPL", "").0, 404);
    let count = |desk: &mut Desk, query: &str| desk.call("GET", &format!("/v2/orders?{query}"), "").1.as_array().unwrap().len();
    assert_eq!((count(&mut desk, "nested=true"), count(&mut desk, "nested=true&status=closed"), count(&mut desk, "status=closed")), (0, 1, 3));
}

#[test]
fn a_bracket_stops_its_loss() {
    let mut desk = Desk::new();
    let parent = desk.place(bracket());
    desk.frames();
    desk.quote("AAPL", "89.50", "89.60", "100");
    desk.exchange.traded("AAPL", "89.55".parse().unwrap(), Decimal::TEN, desk.now());
    desk.quote("AAPL", "89.50", "89.60", "100");
    let frames = desk.frames();
    let ends: Vec<_> = steps(&frames).into_iter().filter(|step| matches!(step.2, "filled" | "canceled")).collect();
    assert_eq!(ends, [("fill", text(&parent["legs"][1], "id"), "filled"), ("canceled", text(&parent["legs"][0], "id"), "canceled")]);
}

#[test]
fn one_cancels_the_other_on_a_position() {
    let mut desk = Desk::new();
    let oco = json!({"qty": "5", "side": "sell", "type": "limit", "time_in_force": "gtc", "order_class": "oco",
        "take_profit": {"limit_price": 120}, "stop_loss": {"stop_price": "80", "limit_price": "79.50"}});
    desk.place(json!({"qty": "5"}));
    desk.frames();
    let order = desk.place(oco);
    assert_eq!((text(&order, "order_class"), text(&order, "limit_price"), order["legs"].as_array().unwrap().len()), ("oco", "120", 1));
    assert_eq!((text(&order["legs"][0], "type"), text(&order["legs"][0], "limit_price")), ("stop_limit", "79.5"));
    desk.quote("AAPL", "121", "121.05", "100");
    let frames = desk.frames();
    let ends: Vec<_> = steps(&frames).into_iter().filter(|step| matches!(step.2, "filled" | "canceled")).collect();
    assert_eq!(ends, [("fill", text(&order, "id"), "filled"), ("canceled", text(&order["legs"][0], "id"), "canceled")]);
}

#[test]
fn one_triggers_the_other() {
    let mut desk = Desk::new();
    let order = desk.place(json!({"order_class": "oto", "stop_loss": {"stop_price": "95"}, "take_profit": null}));
    let leg = text(&order["legs"][0], "id");
    let (_, held) = desk.call("GET", &format!("/v2/orders/{leg}"), "");
    assert_eq!((text(&held, "status"), text(&held, "order_class"), text(&held, "stop_price")), ("new", "oto", "95"));
}

#[test]
fn a_trailing_stop_follows_the_price() {
    let mut desk = Desk::new();
    desk.place(json!({}));
    let order = desk.place(json!({"side": "sell", "type": "trailing_stop", "trail_percent": "10", "time_in_force": "gtc"}));
    let path = format!("/v2/orders/{}", text(&order, "id"));
    desk.exchange.traded("AAPL", "110".parse().unwrap(), Decimal::TEN, desk.now());
    let (_, moved) = desk.call("GET", &path, "");
    assert_eq!((text(&moved, "hwm"), text(&moved, "stop_price"), text(&moved, "trail_percent")), ("110", "99", "10"));
    assert_eq!(desk.call("PATCH", &path, r#"{"trail":"5"}"#).1["trail_percent"], "5");
}

#[test]
fn exits_on_the_wrong_side_are_refused() {
    let mut desk = Desk::new();
    for (fields, words, base) in [
        (json!({"order_class": "bracket", "take_profit": {"limit_price": "110"}}), "require take_profit.limit_price and stop_loss.stop_price", None),
        (json!({"order_class": "bracket", "take_profit": {"limit_price": "90"}, "stop_loss": {"stop_price": "95"}}), "beyond stop_loss", None),
        (json!({"order_class": "bracket", "take_profit": {"limit_price": "100"}, "stop_loss": {"stop_price": "95"}}), ">= base_price + 0.01", Some("100.01")),
        (
            json!({"order_class": "bracket", "type": "limit", "limit_price": "99", "take_profit": {"limit_price": "105"}, "stop_loss": {"stop_price": "99"}}),
            "stop_loss.stop_price must be <= base_price - 0.01",
            Some("99"),
        ),
        (json!({"order_class": "bracket", "take_profit": {"limit_price": "110.001"}, "stop_loss": {"stop_price": "95"}}), "sub-penny", None),
        (json!({"order_class": "bracket", "qty": "0.5", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"}}), "simple orders", None),
        (
            json!({"order_class": "bracket", "time_in_force": "ioc", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"}}),
            "DAY or GTC",
            None,
        ),
        (json!({"order_class": "oco", "take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "95"}}), "no limit or stop price", None),
        (json!({"order_class": "oto"}), "either take_profit or stop_loss", None),
        (json!({"order_class": "simple", "stop_loss": {"stop_price": "95"}}), "need order_class", None),
        (json!({"order_class": "mleg", "legs": []}), "no options are traded", None),
        (json!({"order_class": "bracket", "stop_loss": {"limit_price": "95"}}), "stop_loss.stop_price is required", None),
    ] {
        let (status, answer) = desk.try_place(fields.clone());
        assert_eq!((status, &answer["code"]), (422, &json!(42_210_000)), "{fields}: {answer}");
        assert!(text(&answer, "message").contains(words), "{fields}: {answer}");
        assert_eq!(answer["base_price"].as_str(), base, "{answer}");
    }
    assert!(desk.frames().is_empty());
}
