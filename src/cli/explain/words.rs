//! An update that a bot was told, in words. Pure.

use serde_json::Value;

/// Where something came from, as a person says it.
pub fn channel(source: &str) -> &str {
    match source {
        "http" => "HTTP",
        "replay" => "REST replay",
        "report" => "REST report",
        other => other,
    }
}

/// What an entry of the stream says.
pub fn of_entry(event: &str, entry: &str) -> String {
    let Ok(entry) = serde_json::from_str::<Value>(entry) else { return format!("{event}; its entry cannot be read") };
    let reply = entry["type"] == "order_reply";
    let mut said = vec![match (reply, entry["answer"] == true) {
        (true, _) => format!("answered {}: {}", text(&entry["action"]).unwrap_or_default(), text(&entry["result"]).unwrap_or_default()),
        (false, true) => format!("answered: {event}"),
        (false, false) => event.to_owned(),
    }];
    let mut say = |words: Option<String>| said.extend(words);
    say(text(&entry["qty"]).zip(text(&entry["price"])).map(|(qty, price)| format!("{qty} @ {price}")));
    let order = if reply { &entry["order"] } else { &entry["order_data"] };
    let asked = text(&order["qty"]).map(|qty| format!(" of {qty}")).unwrap_or_default();
    let average = text(&order["filled_avg_price"]).map(|price| format!(" at {price} on average")).unwrap_or_default();
    say(text(&order["filled_qty"]).filter(|filled| filled != "0").map(|filled| format!("{filled}{asked} filled{average}")));
    say(text(&order["status"]).filter(|status| status != event).map(|status| format!("order is {status}")));
    say(text(&entry["position_qty"]).map(|position| format!("position {position}")));
    say(text(&entry["execution_id"]).map(|id| format!("execution {id}")));
    for (flag, meaning) in [
        ("reconciled", "found by comparing with the venue"),
        ("late", "told late: the order's state did not go back"),
        ("estimated", "reckoned from the venue's totals, for want of its own account of it"),
        ("repeated", "placed before under this name"),
        ("sim", "simulated"),
    ] {
        say((entry[flag] == true).then(|| meaning.to_owned()));
    }
    say((entry["origin"] == "external").then(|| "not asked of this broker".to_owned()));
    say(text(&entry["reason"]).map(|reason| format!("because: {reason}")));
    said.join(", ")
}

/// The venue's own time of it.
pub fn venue_time(entry: &str) -> Option<String> {
    serde_json::from_str::<Value>(entry).ok().and_then(|entry| text(&entry["timestamp"]))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_told_in_words() {
        let entry = r#"{"type":"order","event":"partial_fill","qty":"3","price":"10.25","position_qty":"-3","execution_id":"e1","late":true,"reconciled":true,
            "order_data":{"qty":"10","filled_qty":"3","filled_avg_price":"10.25","status":"partially_filled"},"origin":"external"}"#;
        let expected = "partial_fill, 3 @ 10.25, 3 of 10 filled at 10.25 on average, order is partially_filled, position -3, execution e1, \
                        found by comparing with the venue, told late: the order's state did not go back, not asked of this broker";
        assert_eq!(of_entry("partial_fill", entry), expected);
        assert_eq!(of_entry("new", r#"{"event":"new","order_data":{"qty":"10","filled_qty":"0","status":"new"}}"#), "new");
        assert_eq!(of_entry("denied", r#"{"event":"denied","answer":true,"reason":"too large"}"#), "answered: denied, because: too large");
        assert_eq!(
            of_entry("order_reply", r#"{"type":"order_reply","action":"cancel","result":"rejected","reason":"filled"}"#),
            "answered cancel: rejected, because: filled"
        );
        assert_eq!(of_entry("fill", "{"), "fill; its entry cannot be read");
    }
}
