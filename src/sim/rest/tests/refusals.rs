use super::*;

#[test]
fn unreadable_and_unsupported_orders_are_refused_with_a_reason() {
    let mut desk = Desk::new();
    let with = |extra: &str| format!(r#"{{"symbol":"AAPL","side":"buy","time_in_force":"day",{extra}}}"#);
    for (body, code, word) in [
        ("{".to_owned(), 40_010_000, "decode"),
        (with(r#""type":"market""#), 40_010_001, "required"),
        (with(r#""type":"market","qty":1,"notional":5"#), 40_010_001, "only one"),
        (with(r#""type":"market","qty":"-1""#), 42_210_000, "> 0"),
        (with(r#""type":"market","qty":"1e40""#), 42_210_000, "> 0"),
        (with(r#""type":"stop","qty":1"#), 42_210_000, "stop orders require stop price"),
        (with(r#""type":"stop_limit","qty":1,"stop_price":5"#), 42_210_000, "both stop and limit price"),
        (with(r#""type":"trailing_stop","qty":1"#), 42_210_000, "either trail_price or trail_percent"),
        (with(r#""type":"trailing_stop","qty":1,"trail_price":1,"trail_percent":2"#), 42_210_000, "only one of trail_price"),
        (with(r#""type":"limit","qty":1,"limit_price":5,"trail_price":1"#), 42_210_000, "trailing_stop orders only"),
        (with(r#""type":"market","qty":1,"limit_price":5"#), 42_210_000, "no limit or stop price"),
        (with(r#""type":"hope","qty":1"#), 42_210_000, "type must be"),
        (with(r#""type":"market","qty":1,"position_intent":"buy"#), 40_010_000, "decode"),
        (with(r#""type":"market","qty":1,"position_intent":"buy""#), 42_210_000, "position_intent must be"),
        (with(r#""type":"market","qty":1,"position_intent":"sell_to_open""#), 42_210_000, "inferred: buy_to_open, specified: sell_to_open"),
        (with(r#""type":"market","qty":1,"client_order_id":"\u00e9""#), 42_210_000, "ASCII"),
        (with(&format!(r#""type":"market","qty":1,"client_order_id":"{}""#, "x".repeat(129))), 42_210_000, "no more than 128"),
        (with(r#""type":"market","qty":"0.0000000001""#), 42_210_000, "decimals"),
        (with(r#""type":"limit","qty":1"#), 42_210_000, "limit price"),
        (with(r#""type":"market","qty":1,"order_class":"bracket""#), 42_210_000, "bracket orders require"),
        (with(r#""type":"market","qty":1,"order_class":"all""#), 42_210_000, "order_class must be"),
        (with(r#""type":"market","qty":1,"side":"hold""#), 40_010_000, "decode"),
        (with(r#""type":"market","qty":1e6"#), 40_310_000, "buying power"),
    ] {
        let (_, answer) = desk.call("POST", "/v2/orders", &body);
        assert!(answer["code"] == code && answer["message"].as_str().unwrap().contains(word), "{body}: {answer}");
    }
}

/// What is refused, and the body that says so.
fn refused(desk: &mut Desk, fields: Value) -> (u16, Value) {
    let (status, body) = desk.try_place(fields.clone());
    assert!(status >= 400, "{fields}: {body}");
    (status, body)
}

#[test]
fn rules_of_form_are_told_in_the_venues_words() {
    let mut desk = Desk::new();
    for (fields, message) in [
        (json!({"type": "limit", "limit_price": "290.123"}), "invalid limit_price 290.123. sub-penny increment does not fulfill minimum pricing criteria"),
        (json!({"type": "stop", "stop_price": 0.12345}), "invalid stop_price 0.12345. sub-penny increment does not fulfill minimum pricing criteria"),
        (json!({"qty": "0.5", "time_in_force": "gtc"}), "fractional orders must be DAY orders"),
        (json!({"extended_hours": true}), "extended hours order must be DAY limit orders"),
        (json!({"notional": "50", "type": "limit", "limit_price": "100"}), "notional orders must be market orders"),
        (json!({"notional": 0.5}), "notional amount must be >= 1.00"),
        (json!({"type": "trailing_stop", "trail_price": "1", "time_in_force": "ioc"}), "trailing stop orders must be DAY or GTC orders"),
        (json!({"type": "stop", "stop_price": "120", "time_in_force": "opg"}), "opg orders must be market or limit orders"),
        (json!({"symbol": "BTC/USD", "qty": "1"}), "invalid crypto time_in_force"),
        (json!({"symbol": "BTC/USD", "qty": "1", "type": "stop", "stop_price": "1", "time_in_force": "gtc"}), "invalid order type for crypto order"),
        (json!({"symbol": "NOPE"}), "asset \"NOPE\" not found"),
        (json!({"time_in_force": "gtd"}), "time_in_force must be day, gtc, opg, cls, ioc or fok"),
    ] {
        let (status, body) = refused(&mut desk, fields);
        assert_eq!((status, body), (422, json!({"code": 42_210_000, "message": message})));
    }
    desk.place(json!({"type": "limit", "limit_price": "0.1234", "extended_hours": true}));
}

#[test]
fn means_are_told_with_their_numbers() {
    let mut desk = Desk::new();
    let (status, body) = refused(&mut desk, json!({"qty": "2000", "type": "limit", "limit_price": "101"}));
    let wanted = json!({"code": 40_310_000, "message": "insufficient buying power", "buying_power": "200000", "cost_basis": "202000"});
    assert_eq!((status, body), (403, wanted));
    desk.place(json!({"qty": "191"}));
    let rival = desk.place(json!({"qty": "190", "side": "sell", "type": "limit", "limit_price": "150"}));
    let (status, body) = refused(&mut desk, json!({"qty": "5", "side": "sell", "type": "limit", "limit_price": "150"}));
    let wanted = json!({"code": 40_310_000, "message": "insufficient qty available for order (requested: 5, available: 1)", "symbol": "AAPL",
        "existing_qty": "191", "held_for_orders": "190", "available": "1", "related_orders": [rival["id"]]});
    assert_eq!((status, body), (403, wanted));
    let (status, body) = refused(&mut desk, json!({"symbol": "BTC/USD", "qty": "0.0001", "time_in_force": "gtc"}));
    assert_eq!((status, text(&body, "message")), (403, "cost basis must be >= minimal amount of order 10"));
    assert_eq!((text(&body, "cost_basis"), &body["code"]), ("5.000001", &json!(40_310_000)));
    let (status, body) = refused(&mut desk, json!({"symbol": "BTC/USD", "qty": "1", "side": "sell", "time_in_force": "gtc"}));
    assert_eq!((status, &body["code"]), (403, &json!(40_310_000)));
}

#[test]
fn an_order_against_ones_own_is_refused() {
    let mut desk = Desk::new();
    desk.place(json!({"qty": "2"}));
    let own = desk.place(json!({"side": "sell", "type": "limit", "limit_price": "101"}));
    let (status, body) = refused(&mut desk, json!({"type": "limit", "limit_price": "102"}));
    assert_eq!((status, &body["code"], &body["existing_order_id"]), (403, &json!(40_310_000), &own["id"]));
    assert!(text(&body, "message").starts_with("potential wash trade detected. use complex orders") && body["reject_reason"].is_string(), "{body}");
}

#[test]
fn orders_that_are_not_there_or_not_open() {
    let mut desk = Desk::new();
    let filled = desk.place(json!({}));
    let gone = format!("/v2/orders/{}", text(&filled, "id"));
    let resting = desk.place(json!({"type": "limit", "limit_price": "90"}));
    let open = format!("/v2/orders/{}", text(&resting, "id"));
    for (method, path, body, status, code, message) in [
        ("DELETE", "/v2/orders/5eed", "", 404, 40_410_000, "order not found for 5eed"),
        ("PATCH", "/v2/orders/5eed", r#"{"qty":"2"}"#, 404, 40_410_000, "order not found for 5eed"),
        ("GET", "/v2/orders:by_client_order_id?client_order_id=x", "", 404, 40_410_000, "order not found for x"),
        ("DELETE", gone.as_str(), "", 422, 42_210_000, "order is already in \"filled\" state"),
        ("PATCH", gone.as_str(), r#"{"qty":"2"}"#, 422, 42_210_000, "cannot replace order in filled status"),
        ("PATCH", open.as_str(), r#"{"limit_price":"90.00","stop_price":null}"#, 422, 42_210_000, "order parameters are not changed"),
        ("PATCH", open.as_str(), r#"{"qty":"1.5"}"#, 422, 40_010_001, "qty must be integer"),
        ("PATCH", open.as_str(), "[]", 400, 40_010_000, "failed to decode request body"),
        (
            "PATCH",
            open.as_str(),
            r#"{"limit_price":"90.001"}"#,
            422,
            42_210_000,
            "invalid limit_price 90.001. sub-penny increment does not fulfill minimum pricing criteria",
        ),
    ] {
        let answer = desk.call(method, path, body);
        assert_eq!(answer, (status, json!({"code": code, "message": message})), "{method} {path} {body}");
    }
    let named = desk.place(json!({"client_order_id": "bot-1"}));
    assert_eq!(text(&named, "client_order_id"), "bot-1");
    let again = refused(&mut desk, json!({"client_order_id": "bot-1"}));
    assert_eq!(again, (422, json!({"code": 40_010_001, "message": "client_order_id must be unique"})));
}

#[test]
fn what_cannot_be_taken_is_said_and_not_pretended() {
    let mut desk = Desk::new();
    for (digits, part) in [("123456789012345678901234567890", "too many digits"), ("ten", "must be a number > 0"), ("1000000000", "must be below")] {
        let (status, body) = desk.try_place(json!({"qty": digits}));
        assert!(status == 422 && text(&body, "message").contains(part), "{digits}: {body}");
    }
    let (status, body) = desk.call("PATCH", "/v2/account/configurations", r#"{"max_margin_multiplier":"1"}"#);
    assert!(status == 422 && text(&body, "message").contains("cannot be changed"), "{body}");
    let own = desk.call("GET", "/v2/account/configurations", "").1["max_margin_multiplier"].clone();
    let same = json!({"max_margin_multiplier": own}).to_string();
    assert_eq!(desk.call("PATCH", "/v2/account/configurations", &same).0, 200);
}
