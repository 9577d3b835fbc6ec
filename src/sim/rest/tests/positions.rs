use super::*;

#[test]
fn a_position_shows_what_it_is_worth_and_what_is_free() {
    let mut desk = Desk::new();
    desk.place(json!({"qty": "10"}));
    desk.place(json!({"qty": "4", "side": "sell", "type": "limit", "limit_price": "150"}));
    desk.quote("AAPL", "109.99", "110.01", "100");
    desk.exchange.traded("AAPL", "110".parse().unwrap(), Decimal::TEN, desk.now());
    let (_, position) = desk.call("GET", "/v2/positions/AAPL", "");
    let fields = ["qty", "qty_available", "side", "avg_entry_price", "market_value", "cost_basis", "unrealized_pl", "unrealized_plpc"];
    assert_eq!(fields.map(|field| text(&position, field)), ["10", "6", "long", "100.01", "1100", "1000.1", "99.9", "0.09989"]);
    let fields = ["current_price", "lastday_price", "change_today", "unrealized_intraday_pl", "exchange", "asset_class"];
    assert_eq!(fields.map(|field| text(&position, field)), ["110", "100", "0.1", "99.9", "NASDAQ", "us_equity"]);
    assert_eq!(desk.call("GET", &format!("/v2/positions/{}", text(&position, "asset_id")), "").1, position);
    // Over night the day's gain begins anew.
    desk.session(MarketSession::Closed);
    desk.session(MarketSession::Regular);
    let (_, position) = desk.call("GET", "/v2/positions/AAPL", "");
    assert_eq!((text(&position, "lastday_price"), text(&position, "unrealized_intraday_pl"), text(&position, "unrealized_pl")), ("110", "0", "99.9"));
}

#[test]
fn a_short_position_has_its_signs() {
    let mut desk = Desk::new();
    desk.place(json!({"qty": "10", "side": "sell"}));
    desk.place(json!({"qty": "3", "type": "limit", "limit_price": "50"}));
    let (_, position) = desk.call("GET", "/v2/positions/AAPL", "");
    let fields = ["qty", "qty_available", "side", "avg_entry_price", "cost_basis"];
    assert_eq!(fields.map(|field| text(&position, field)), ["-10", "-7", "short", "99.99", "-999.9"]);
}

#[test]
fn positions_are_closed_in_part_and_whole() {
    let mut desk = Desk::new();
    desk.place(json!({"qty": "10"}));
    let (status, order) = desk.call("DELETE", "/v2/positions/AAPL?qty=2", "");
    assert_eq!((status, text(&order, "qty"), text(&order, "side"), text(&order, "position_intent")), (200, "2", "sell", "sell_to_close"));
    assert_eq!(desk.call("DELETE", "/v2/positions/AAPL?percentage=25", "").1["qty"], "2");
    for query in ["qty=1&percentage=1", "qty=0", "percentage=101", "percentage=x"] {
        assert_eq!(desk.call("DELETE", &format!("/v2/positions/AAPL?{query}"), "").0, 422, "{query}");
    }
    let (status, refusal) = desk.call("DELETE", "/v2/positions/AAPL?qty=7", "");
    assert_eq!((status, text(&refusal, "existing_qty"), text(&refusal, "available")), (403, "6", "6"));
    assert_eq!(desk.call("DELETE", "/v2/positions/AAPL", "").1["qty"], "6");
    assert_eq!(desk.call("DELETE", "/v2/positions/AAPL", "").1, json!({"code": 40_410_000, "message": "position does not exist"}));
}

#[test]
fn everything_is_closed_at_once() {
    let mut desk = Desk::new();
    desk.place(json!({"qty": "10"}));
    desk.place(json!({"symbol": "MSFT", "qty": "5", "side": "sell"}));
    desk.place(json!({"symbol": "BTC/USD", "qty": "0.5", "time_in_force": "gtc"}));
    desk.place(json!({"qty": "10", "side": "sell", "type": "limit", "limit_price": "150"}));
    // Units that an open order has spoken for cannot be sold twice.
    let (status, outcomes) = desk.call("DELETE", "/v2/positions", "");
    let of = |outcomes: &Value, symbol: &str| outcomes.as_array().unwrap().iter().find(|outcome| outcome["symbol"] == symbol).unwrap().clone();
    assert_eq!((status, outcomes.as_array().unwrap().len()), (207, 3));
    assert_eq!((&of(&outcomes, "AAPL")["status"], &of(&outcomes, "AAPL")["body"]["code"]), (&json!(403), &json!(40_310_000)));
    assert_eq!((&of(&outcomes, "MSFT")["status"], &of(&outcomes, "MSFT")["body"]["side"]), (&json!(200), &json!("buy")));
    assert_eq!((&of(&outcomes, "BTCUSD")["body"]["qty"], &of(&outcomes, "BTCUSD")["body"]["time_in_force"]), (&json!("0.5"), &json!("gtc")));
    let (status, outcomes) = desk.call("DELETE", "/v2/positions?cancel_orders=true", "");
    assert_eq!((status, &outcomes[0]["status"], &outcomes[0]["body"]["status"]), (207, &json!(200), &json!("pending_new")));
    assert_eq!(desk.call("GET", "/v2/positions", "").1, json!([]));
}
