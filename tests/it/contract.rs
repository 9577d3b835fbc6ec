use std::collections::BTreeSet;
use std::time::Duration;

use alpaca_broker::config::Config;
use alpaca_broker::desk::{Answer, DifferenceView, ProfitView, ReconcileView, RepairView, Verdict};
use alpaca_broker::model::{Amount, Bar, BarKind, Correction, Digits, Fact, Luld, Status, TradeCancel};
use alpaca_broker::risk::Limits;
use alpaca_broker::runtime::wall_now;
use alpaca_broker::sim::{ConnectionRecord, SimBody, SimConfig, SimKey, SimMessage};
use serde_json::Value;

use crate::support::bot::{Bot, Message};
use crate::support::process::{ACCOUNT, service};
use crate::support::redis_server::RedisServer;
use crate::support::rig::{PATIENCE, Rig, RigOptions, paper_broker, wait_until};
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

fn amount(n: u64) -> Amount {
    Amount::from_u64(n)
}

fn digits(text: &str) -> Digits {
    Digits::parse(text).unwrap()
}

/// One of each kind of fact.
fn facts() -> Vec<Fact> {
    let bar = |kind| Bar {
        kind,
        open: digits("150.20"),
        high: digits("150.3"),
        low: digits("150.1"),
        close: digits("150.25"),
        volume: amount(4_200),
        vwap: Some(digits("150.22")),
        trade_count: Some(61),
    };
    let text = str::to_owned;
    vec![
        Fact::Bar(bar(BarKind::Minute)),
        Fact::Bar(bar(BarKind::UpdatedMinute)),
        Fact::Bar(bar(BarKind::Day)),
        Fact::Status(Status { code: text("H"), message: text("Trading Halt"), reason_code: text("T12"), reason: text("\"news\"\n"), tape: text("C") }),
        Fact::Luld(Luld { limit_up: digits("157.5"), limit_down: digits("142.5"), indicator: text("B"), tape: text("C") }),
        Fact::Correction(Correction {
            original_id: 1,
            original_price: digits("150.25"),
            original_size: amount(100),
            corrected_id: 2,
            corrected_price: digits("150.2"),
            corrected_size: amount(100),
            exchange: text("V"),
            tape: text("C"),
        }),
        Fact::Cancel(TradeCancel { id: 1, price: digits("150.25"), size: amount(100), action: text("C"), exchange: text("V"), tape: text("C") }),
    ]
}

/// Each hash field and key of ours that is in Redis, judged; the names of the schemas that they fit.
fn judge_keys(redis: &mut redis::Connection) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(redis).unwrap();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query(redis).unwrap();
        let values: Vec<(Option<String>, String)> = match kind.as_str() {
            "hash" => {
                let fields: Vec<(String, String)> = redis::cmd("HGETALL").arg(&key).query(redis).unwrap();
                fields.into_iter().map(|(field, value)| (Some(field), value)).collect()
            }
            "string" => vec![(None, redis::cmd("GET").arg(&key).query(redis).unwrap())],
            // What bots ask is theirs to write.
            "stream" if key == "broker:orders" => Vec::new(),
            "stream" if key.starts_with("broker:order_updates:") => {
                seen.extend(judge_updates(redis, &key));
                Vec::new()
            }
            "stream" => {
                let entries: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(redis).unwrap();
                entries.into_iter().flat_map(|(_, fields)| fields).map(|(field, value)| (Some(field), value)).collect()
            }
            other => panic!("{key} is a {other}, which the contract has none of"),
        };
        for (field, value) in values {
            seen.insert(contract().key(&key, field.as_deref(), &value).unwrap_or_else(|reason| panic!("{key} {field:?}: {reason}: {value}")));
        }
    }
    seen
}

/// Each entry of a stream of order updates, judged, and its number with it.
fn judge_updates(redis: &mut redis::Connection, key: &str) -> BTreeSet<String> {
    let entries: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(redis).unwrap();
    let judged = entries.into_iter().enumerate().map(|(at, (id, fields))| {
        let [(field, text)] = fields.as_slice() else { panic!("{key} {id} has the fields {fields:?}") };
        let body: Value = serde_json::from_str(text).unwrap();
        assert_eq!((field.as_str(), body["stream_id"].as_str()), ("event", Some(id.as_str())), "{key}: {text}");
        assert!(id.ends_with(&format!("-{}", at + 1)), "{key} has a gap before {id}");
        format!("{} of the stream", contract().message(key, &body).unwrap_or_else(|reason| panic!("{key} {id}: {reason}: {text}")))
    });
    judged.collect()
}

fn place_order(rig: &Rig, body: &str) -> Value {
    let url = format!("http://{}/v2/orders", rig.exchange_address());
    let mut answer = ureq::post(&url).header("APCA-API-KEY-ID", "SIM").header("APCA-API-SECRET-KEY", "SIM-SECRET").send(body).unwrap();
    serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
}

/// A line of the log as a bot hears it, which takes a process of its own: a process logs to one place.
fn hear_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start();
    let mut bot = Bot::listening(&redis.url(), &["broker:logs"]);
    let _service = service(folder.path(), &redis.url(), &[], &["--sim"]);
    let line = bot.until("a log line", |message| message.name == "Log");
    assert!(!line.body["message"].as_str().unwrap().is_empty(), "{}", line.text);
}

#[test]
fn profits_and_comparisons_are_written_as_the_contract_says() {
    let judge = |answer: Answer| contract().judge("/components/schemas/OrderReply", &serde_json::from_str(&answer.to_json()).unwrap()).unwrap();
    let text = str::to_owned;
    for bot in [Some(text("scalper")), None] {
        let profit = ProfitView { bot, realized_pl: text("40"), unrealized_pl: text("-1.5"), fees: text("0.2"), market_value: text("0") };
        judge(Answer { profit: Some(profit), ..Answer::new("balance", Verdict::Accepted) });
    }
    let compared = ReconcileView {
        checked: 2,
        repaired: vec![RepairView { order_id: text("v1"), client_order_id: text("scalper-17"), what: text("filled at the venue") }],
        fills_found: 1,
        positions_differ: vec![DifferenceView { symbol: text("AAPL"), ours: text("0"), venues: text("10") }],
        dry_run: true,
    };
    judge(Answer { reconcile: Some(compared), ..Answer::new("reconcile", Verdict::Accepted) });
    judge(Answer { reconcile: Some(ReconcileView::default()), ..Answer::new("reconcile", Verdict::Accepted) });
}

#[test]
fn every_message_of_the_contract_is_seen_on_the_wire() {
    let sim = SimConfig { keys: vec![SimKey { symbol_limit: Some(3), ..SimKey::default() }], ..SimConfig::default() };
    let config = Box::new(|config: &mut Config| config.brokers.push(paper_broker(Limits { max_order_quantity: Some(5.into()), ..Limits::default() })));
    let rig = Rig::with(RigOptions { sim, config, ..RigOptions::default() });
    let all = ["TICKER_UPDATES_*", "price:*", "quote:*", "bar:*", "status:*", "order:*", "broker:*", "BROKER_REGISTRATION", "wire:answers"];
    let mut bot = Bot::listening(&rig.redis.url(), &all);

    // Both dialects, with and without a name, on both channels.
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"AAPL"}"#);
    bot.say("broker:registration", r#"{"action":"register","symbols":["AAPL"],"account_id":"any"}"#);
    let feeds = r#""feeds":["price","quote","bar","status"],"ttl_s":600,"reply_to":"wire:answers""#;
    bot.say("broker:registration", &format!(r#"{{"action":"subscribe","tickers":["AAPL"],"bot":"wire",{feeds}}}"#));
    bot.say("BROKER_REGISTRATION", &format!(r#"{{"action":"register","symbols":["AAPL","BRK.B"],"bot":"wire",{feeds}}}"#));
    let answer = bot.until("the second answer", |m| m.channel == "wire:answers" && m.body["accepted"].as_array().is_some_and(|all| all.len() == 2));
    assert_eq!((&answer.body["action"], &answer.body["bot"], &answer.body["refused"]), (&"register".into(), &"wire".into(), &serde_json::json!([])));
    let subscribed = |all: &[ConnectionRecord]| {
        all.iter().any(|c| ["trades", "quotes", "bars", "statuses"].iter().all(|list| c.channels.get(*list).is_some_and(|of| of.len() == 2)))
    };
    assert!(rig.exchange.wait_for(subscribed, PATIENCE), "{:?}", rig.exchange.connections());

    // The market, in both dialects.
    rig.exchange.trade("AAPL", "150.250", 100);
    rig.exchange.quote("AAPL", "150.24", 200, "150.26", 100);
    for fact in facts() {
        rig.exchange.emit(SimMessage { symbol: "AAPL".into(), at: wall_now(), body: SimBody::Fact(fact) });
    }
    for channel in ["TICKER_UPDATES_AAPL", "status:AAPL"] {
        bot.until("the last fact", |m| m.channel == channel && m.name == "Cancel");
    }
    // The facts have halted the symbol: nothing is filled before trading goes on at a new quote.
    rig.exchange.resume("AAPL");
    rig.exchange.quote("AAPL", "150.24", 200, "150.26", 100);

    // Orders: one that fills, and one that the venue words as nobody expects.
    let order = place_order(&rig, r#"{"symbol":"AAPL","qty":"2","side":"buy","type":"market","time_in_force":"day","client_order_id":"wire-1"}"#);
    let fill = bot.until("the fill", |m| m.name == "OrderUpdate" && m.body["event"] == "fill");
    assert_eq!((&fill.body["order_id"], fill.body["filled_qty"].as_f64()), (&order["id"], Some(2.0)));
    rig.exchange.order_update(ACCOUNT, r#"{"event":"rejected","order":{"id":"o2","symbol":"AAPL","status":"rejected","new":1},"reason":"new word"}"#);
    let odd = bot.until("the odd one", |m| m.name == "Order" && m.body["event"] == "rejected");
    assert_eq!((&odd.body["reason"], &odd.body["order_data"]["new"]), (&"new word".into(), &1.into()));

    // The order desk: an order that fills, one that is denied, a question, a halt.
    let ask = r#""exchange":"paper","reply_to":"wire:answers""#;
    bot.command(&format!(r#"{{"action":"place","client_order_id":"wire-2","symbol":"AAPL","side":"buy","qty":"2",{ask}}}"#));
    // The order waits for the first quote that comes after the desk has asked for prices.
    let fits = |m: &Message| m.channel == "wire:answers" && m.name == "OrderReply";
    while !bot.heard.iter().any(fits) {
        rig.exchange.quote("AAPL", "150.24", 200, "150.26", 100);
        bot.next_within(Duration::from_millis(20));
    }
    let placed = bot.heard.iter().find(|m| fits(m)).unwrap();
    assert_eq!((&placed.body["result"], &placed.body["client_order_id"]), (&"accepted".into(), &"wire-2".into()), "{}", placed.text);
    let fill = bot.since(0, "the paper fill", |m| m.channel == "order:paper-1" && m.body["event"] == "fill");
    // The ask and 0.05 % of it, rounded up to the next tick of 0.0001.
    assert_eq!(fill.body["filled_avg_price"].to_string(), "150.3352");
    let mark = bot.heard.len();
    bot.command(&format!(r#"{{"action":"place","client_order_id":"wire-3","symbol":"AAPL","side":"buy","qty":6,{ask}}}"#));
    let denied = bot.since(mark, "the denial", |m| m.channel == "wire:answers" && m.body["result"] == "denied");
    assert_eq!(denied.body["config_key"], "risk_limits.max_order_quantity");
    bot.since(mark, "the denial for everybody", |m| m.channel == "broker:replies" && m.body["client_order_id"] == "wire-3");
    bot.since(mark, "the denial as an order update", |m| m.channel == "order:paper-1" && m.body["event"] == "denied");
    for action in ["orders", "fills", "positions", "balance"] {
        bot.command(&format!(r#"{{"action":"{action}",{ask}}}"#));
        bot.until("the answer to a question", |m| m.channel == "wire:answers" && m.body["action"] == action && m.body["result"] == "accepted");
    }

    // Refusals: by the venue, whose plan has three symbols, of one symbol, and of a whole message. What is no registration
    // is said where this bot does not listen, which would refuse it too.
    bot.say("broker:registration", &format!(r#"{{"action":"register","symbols":["KO","PEP"],"bot":"wire",{feeds}}}"#));
    bot.until("the refusal by the venue", |m| m.channel == "wire:answers" && m.body["action"] == "refused");
    bot.close("BROKER_REGISTRATION");
    for bad in [
        r#"{"action":"register","symbols":["AAPL","b ad"],"bot":"wire","reply_to":"wire:answers"}"#,
        r#"{"action":"buy","ticker":"A","reply_to":"wire:answers"}"#,
    ] {
        bot.say("BROKER_REGISTRATION", bad);
        let everybody = bot.until("a refusal for everybody", |m| m.channel == "broker:replies");
        let answer = bot.until("the answer", |m| m.channel == "wire:answers");
        assert_eq!(everybody.text, answer.text);
    }

    // Health: the market data break off and come back.
    rig.exchange.drop_connections();
    bot.until("a loss of health", |m| m.name == "Health" && m.body["score"].as_f64() < Some(1.0));
    // Having been away for a good part of a short life is held against the account for a while.
    bot.until("health", |m| m.name == "Health" && m.body["state"] == "running");

    let kinds = ["Price", "Quote", "Bar", "Status", "Luld", "Correction", "Cancel"];
    let mut seen = BTreeSet::new();
    wait_until("every last value is kept", || {
        seen.extend(judge_keys(&mut rig.redis_client()));
        kinds.iter().all(|kind| seen.contains(&format!("{kind}Snapshot")))
    });
    let keys: Vec<&str> =
        ["StatusReport", "LeaseEnd", "Leader", "FenceToken", "Order of the stream"].into_iter().filter(|name| !seen.contains(*name)).collect();
    assert_eq!(keys, [""; 0], "not seen");
    contract().judge("/components/schemas/StatusReport", &rig.status()).unwrap();

    bot.say("broker:registration", r#"{"action":"unregister","symbols":["AAPL","BRK.B"],"bot":"wire","reply_to":"wire:answers"}"#);
    bot.until("the last answer", |m| m.channel == "wire:answers" && m.body["action"] == "unregister");
    hear_the_log();
    let mut heard: BTreeSet<&str> = bot.heard.iter().map(|message| message.name.as_str()).collect();
    heard.insert("Log");
    for (name, _) in members(&contract().document()["components"]["messages"]) {
        assert!(heard.contains(name.as_str()), "no {name} was seen on the wire; only {heard:?}");
    }
    bot.assert_contiguous();
}
