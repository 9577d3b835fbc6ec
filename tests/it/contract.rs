use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::schema::{contract, members};

#[test]
fn every_example_of_the_contract_is_what_it_says() {
    let contract = contract();
    let mut seen = 0;
    for (name, message) in members(&contract.document()["components"]["messages"]) {
        let examples = message["examples"].as_array().unwrap_or_else(|| panic!("{name} has no example"));
        for example in examples {
            seen += 1;
            contract.judge(&format!("/components/messages/{name}/payload"), &example["payload"]).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        }
    }
    for (name, key) in members(&contract.document()["x-keys"]) {
        let examples = key["examples"].as_array().unwrap_or_else(|| panic!("{name} has no example"));
        for example in examples {
            seen += 1;
            let value = example["value"].as_str().map_or_else(|| example["value"].to_string(), str::to_owned);
            let key = name.replace("{symbol}", "AAPL");
            contract.key(&key, example["field"].as_str(), &value).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        }
    }
    assert!(seen > 20, "only {seen} examples");
}

#[test]
fn every_reference_of_the_contract_leads_somewhere_and_every_part_is_used() {
    let document = contract().document();
    let mut used = BTreeSet::new();
    references(document, &mut used);
    for pointer in &used {
        assert!(document.pointer(pointer).is_some(), "{pointer} is not there");
    }
    for kind in ["messages", "schemas", "parameters"] {
        for (name, _) in members(&document["components"][kind]) {
            assert!(used.contains(&format!("/components/{kind}/{name}")), "nothing uses {kind}/{name}");
        }
    }
    for (name, _) in members(&document["channels"]) {
        assert!(used.contains(&format!("/channels/{name}")), "no operation uses the channel {name}");
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(pointer) = fields.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#')) {
                found.insert(pointer.to_owned());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn what_breaks_the_contract_is_noticed() {
    let judge = |channel: &str, payload: &str| contract().message(channel, &serde_json::from_str(payload).unwrap());
    let good = r#"{"type":"price_update","symbol":"AAPL","price":150.25,"timestamp":1628107200,"seq":7}"#;
    assert_eq!(judge("price:AAPL", good).as_deref(), Ok("PriceUpdate"));
    assert_eq!(judge("price:binance:BTCUSDT", good).as_deref(), Ok("PriceUpdate"));
    let fields = good.len();
    for (channel, payload) in [
        ("TICKER_UPDATES_AAPL", good.to_owned()),
        ("price:", good.to_owned()),
        ("price:../x", good.to_owned()),
        ("price:AAPL", good.replace("150.25", "\"150.25\"")),
        ("price:AAPL", good.replace(",\"seq\":7", "")),
        ("price:AAPL", format!("{},\"new\":1}}", &good[..fields - 1])),
        ("TICKER_UPDATES_AAPL", r#"{"type":"price","symbol":"AAPL","price":1,"volume":1,"timestamp":"2026-11-20T14:30:00Z","seq":7}"#.to_owned()),
        (
            "TICKER_UPDATES_AAPL",
            r#"{"type":"price","symbol":"AAPL","price":1,"volume":1,"timestamp":"2026-11-20T14:30:00.000000000Z","snapshot":true,"stale":false,"seq":7}"#
                .to_owned(),
        ),
        ("broker:replies:b1", good.to_owned()),
    ] {
        let verdict = judge(channel, &payload);
        assert!(verdict.is_err(), "{channel} {payload} passed as {verdict:?}");
    }
}
