use super::*;

#[test]
fn lists_filter_page_and_turn() {
    let mut desk = Desk::new();
    let placed: Vec<String> = (0..4).map(|_| desk.call("POST", "/v2/orders", REST).1["id"].as_str().unwrap().to_owned()).collect();
    desk.call("POST", "/v2/orders", BUY);
    let mut ids = |query: &str| -> Vec<String> {
        let list = desk.call("GET", &format!("/v2/orders?{query}"), "").1;
        list.as_array().unwrap_or_else(|| panic!("{list}")).iter().map(|o| o["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("direction=asc"), placed);
    assert_eq!(ids("limit=1"), placed[3..]);
    assert_eq!(ids("status=all").len(), 5);
    assert_eq!(ids("status=closed").len(), 1);
    assert_eq!(ids("direction=asc&limit=2"), placed[..2]);
    assert_eq!(ids(&format!("direction=asc&after_order_id={}&before_order_id={}", placed[0], placed[2])), placed[1..2]);
    assert!(ids("symbols=MSFT").is_empty() && ids("side=sell").is_empty() && ids("until=2020-01-01").is_empty());
    assert_eq!(ids("after=2020-01-01T00:00:00Z&symbols=AAPL,MSFT").len(), 4);
    assert_eq!(desk.call("GET", "/v2/orders?after=yesterday", "").0, 422);
}

fn listed(desk: &mut Desk, query: &str) -> Vec<String> {
    let (status, list) = desk.call("GET", &format!("/v2/orders?{query}"), "");
    assert_eq!(status, 200, "{list}");
    list.as_array().unwrap().iter().map(|order| text(order, "id").to_owned()).collect()
}

#[test]
fn cursors_page_through_orders_of_one_instant() {
    let mut desk = Desk::new();
    desk.frozen = true;
    let placed: Vec<String> = (0..10).map(|_| text(&desk.place(json!({"type": "limit", "limit_price": "90"})), "id").to_owned()).collect();
    let (mut up, mut down) = (listed(&mut desk, "direction=asc&limit=3"), listed(&mut desk, "limit=3"));
    for _ in 0..4 {
        let page = listed(&mut desk, &format!("direction=asc&limit=3&after_order_id={}", up.last().unwrap()));
        up.extend(page);
        let page = listed(&mut desk, &format!("limit=3&before_order_id={}", down.last().unwrap().replace('-', "")));
        down.extend(page);
    }
    down.reverse();
    assert_eq!((&up, &down), (&placed, &placed));
    let (status, answer) = desk.call("GET", &format!("/v2/orders?after_order_id={}&until=2030-01-01", placed[0]), "");
    assert_eq!((status, &answer["code"]), (422, &json!(42_210_000)));
    assert_eq!(desk.call("GET", "/v2/orders?after_order_id=nope", "").0, 404);
}

#[test]
fn lists_choose_by_class_side_and_pair() {
    let mut desk = Desk::new();
    let pair = desk.place(json!({"symbol": "BTCUSD", "qty": "0.01", "type": "limit", "limit_price": "40000", "time_in_force": "gtc"}));
    let stock = desk.place(json!({"type": "limit", "limit_price": "90"}));
    assert_eq!((text(&pair, "symbol"), text(&pair, "asset_class")), ("BTC/USD", "crypto"));
    let (pair, stock) = (text(&pair, "id").to_owned(), text(&stock, "id").to_owned());
    assert_eq!(listed(&mut desk, "asset_class=crypto"), std::slice::from_ref(&pair));
    assert_eq!(listed(&mut desk, "asset_class=us_equity"), std::slice::from_ref(&stock));
    assert_eq!(listed(&mut desk, "asset_class[]=us_equity&asset_class[]=crypto"), [stock, pair.clone()]);
    assert_eq!((listed(&mut desk, "symbols=BTC/USD"), listed(&mut desk, "symbols=BTCUSD,MSFT")), (vec![pair.clone()], vec![pair]));
    for query in ["side=short", "status=late", "direction=up", "limit=many", "until=soon"] {
        assert_eq!(desk.call("GET", &format!("/v2/orders?{query}"), "").0, 422, "{query}");
    }
}
