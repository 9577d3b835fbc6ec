use super::*;

fn arm(sim: &Sim, text: &str) {
    sim.control().fault(text.parse().unwrap());
}

fn buy(id: &str) -> String {
    format!(r#"{{"symbol":"AAPL","qty":"1","side":"buy","type":"market","time_in_force":"day","client_order_id":"{id}"}}"#)
}

/// A market order is told in three updates.
fn updates(client: &mut Client, count: usize) -> Vec<Value> {
    (0..count).map(|_| client.hear()["data"].clone()).collect()
}

fn events(updates: &[Value]) -> Vec<&str> {
    updates.iter().map(|update| update["event"].as_str().unwrap_or("null")).collect()
}

#[test]
fn trade_updates_are_lost_repeated_and_reordered_on_the_stream() {
    let sim = start(|_| {});
    let mut client = Client::listen(&sim);
    let mut place = |faults: &[&str], id: &str, count| {
        faults.iter().for_each(|fault| arm(&sim, fault));
        assert_eq!(call(&sim, "POST", "/v2/orders", &buy(id)).0, 200);
        updates(&mut client, count)
    };
    assert_eq!(events(&place(&["lose-trade-update=2"], "a", 1)), ["fill"]);
    let told = place(&["lose-trade-update=1", "duplicate-trade-update=1"], "b", 4);
    assert_eq!(events(&told), ["new", "new", "new", "fill"]);
    assert!(told[..3].iter().all(|update| update["execution_id"].is_string() && update["execution_id"] == told[0]["execution_id"]));
    assert_eq!(events(&place(&["reorder-trade-updates=1"], "c", 3)), ["new", "pending_new", "fill"]);
    assert_eq!(events(&place(&["null-trade-update=1"], "d", 4)), ["null", "pending_new", "new", "fill"]);
    let strange = place(&["unknown-status", "unknown-event", "unknown-field"], "e", 3);
    assert_eq!((&strange[0]["order"]["status"], &strange[0]["event"]), (&json!("entangled"), &json!("teleported")));
    assert!(strange[0]["zz_unknown"].is_object() && strange[1]["order"]["status"] == "new");
    assert!(sim.control().faults().is_empty());
}

#[test]
fn a_held_update_is_told_when_faults_are_cleared() {
    let sim = start(|_| {});
    let mut client = Client::listen(&sim);
    arm(&sim, "reorder-trade-updates");
    sim.control().order_update(&SimKey::default().account_id, r#"{"event":"held"}"#);
    sim.control().clear_faults();
    assert_eq!(client.hear()["data"]["event"], "held");
}

#[test]
fn an_answer_to_an_order_may_be_wrong_about_it() {
    let sim = start(|_| {});
    let place = |fault: &str, id: &str| {
        arm(&sim, fault);
        let text = text_of(&sim, "POST", "/v2/orders", "", &buy(id));
        let lives = call(&sim, "GET", &format!("/v2/orders:by_client_order_id?client_order_id={id}"), "").0 == 200;
        (text.get(9..12).map(str::to_owned), lives)
    };
    assert_eq!(place("order-504", "a"), (Some("504".to_owned()), true));
    assert_eq!(place("order-500", "b"), (Some("500".to_owned()), true));
    assert_eq!(place("order-reset", "c"), (None, true));
    assert_eq!(place("order-lost", "d"), (Some("504".to_owned()), false));
    assert!(sim.control().faults().is_empty());
    arm(&sim, "order-504");
    assert_eq!(call(&sim, "POST", "/v2/orders", &buy("a")).0, 422, "an order that is refused is refused");
    assert_eq!(call(&sim, "POST", "/v2/orders", &buy("e")).0, 504);
}

#[test]
fn rest_is_refused_on_one_host_and_served_on_the_other() {
    let sim = start(|_| {});
    let status = |target: &str| call(&sim, "GET", target, "").0;
    arm(&sim, "rest-429=1h@trading");
    let text = text_of(&sim, "GET", "/v2/account", "", "");
    for part in ["HTTP/1.1 429", "X-RateLimit-Limit: 200", "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: ", "X-Request-ID: sim-", "42910000"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(status("/v2/stocks/quotes/latest?symbols=AAPL"), 200);
    arm(&sim, "rest-503=1h@/v2/stocks");
    assert_eq!(status("/v2/stocks/quotes/latest?symbols=AAPL"), 503);
    sim.control().clear_faults();
    assert_eq!((status("/v2/account"), status("/v2/stocks/quotes/latest?symbols=AAPL")), (200, 200));
}

#[test]
fn everything_is_closed_behind_the_cancels_however_long_they_take() {
    let sim = start(|config| config.order_latency = Duration::from_millis(30));
    let mut client = Client::listen(&sim);
    let place = |body: Value| assert_eq!(call(&sim, "POST", "/v2/orders", &body.to_string()).0, 200);
    place(json!({"symbol":"AAPL","qty":"5","side":"buy","type":"market","time_in_force":"day"}));
    while client.hear()["data"]["event"] != "fill" {}
    place(json!({"symbol":"AAPL","qty":"5","side":"sell","type":"limit","limit_price":"400","time_in_force":"gtc"}));
    // Its cancel cannot overtake it.
    place(json!({"symbol":"AAPL","qty":"1","side":"buy","type":"limit","limit_price":"100","time_in_force":"gtc"}));
    let (status, outcomes) = call(&sim, "DELETE", "/v2/positions?cancel_orders=true", "");
    assert_eq!((status, &outcomes[0]["status"], &outcomes[0]["body"]["qty"]), (207, &json!(200), &json!("5")), "{outcomes}");
    let mut told = Vec::new();
    while told.last().is_none_or(|event| event != "fill") {
        told.push(client.hear()["data"]["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(told.iter().filter(|event| *event == "canceled").count(), 2, "{told:?}");
    assert_eq!(call(&sim, "GET", "/v2/positions", "").1, json!([]));
}
