use std::time::Duration;

use alpaca_broker::config::Config;
use alpaca_broker::model::{Feed, FeedSet};
use alpaca_broker::sim::SimConfig;

use crate::support::bot::Bot;
use crate::support::rig::{PATIENCE, Rig, RigOptions, wait_until};

const MALFORMED: &str = "broker_stream_malformed_total";
const UNKNOWN: &str = "broker_stream_unknown_total";
const UNWANTED: &str = "broker_stream_unwanted_total";
const TIME: &str = r#""t":"2026-01-02T03:04:05Z""#;

/// A service that wants everything of AAPL, and a bot that hears all that is published.
fn listening() -> (Rig, Bot) {
    let config = Box::new(|config: &mut Config| {
        config.symbols = vec!["AAPL".parse().unwrap()];
        config.symbol_feeds = FeedSet::NONE.with(Feed::Price).with(Feed::Quote).with(Feed::Bar).with(Feed::Status);
    });
    let rig = Rig::with(RigOptions { config, ..RigOptions::default() });
    assert!(rig.exchange.wait_for(|all| all.iter().any(|c| c.symbols.contains(&"AAPL".to_owned())), PATIENCE));
    let bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_*", "price:*", "quote:*", "bar:*", "status:*", "order:*"]);
    (rig, bot)
}

/// Frames of the data stream, which counter each must raise, and by how much.
fn frames() -> Vec<(String, &'static str, u64)> {
    let head = format!(r#""T":"t","S":"AAPL",{TIME}"#);
    let trade = |price: &str| format!(r#"[{{{head},"p":{price},"s":1}}]"#);
    let nines = "9".repeat(400);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut all = Vec::new();
    let mut add = |text: String, counter, by| all.push((text, counter, by));
    for text in [
        "",
        " ",
        "null",
        "{}",
        "[]",
        "[null]",
        "7",
        "true",
        "\"x\"",
        "[[]]",
        "[7]",
        "[{}]",
        "[",
        "[{",
        "[{\"T\"",
        "[{\"T\":\"t\"",
        "nonsense",
        "\u{feff}[]",
        "[{\"T\":null}]",
        "[{\"T\":1}]",
        "[{\"T\":[\"t\"]}]",
        "\u{0}",
        "-",
        "\\",
    ] {
        add(text.to_owned(), MALFORMED, 1);
    }
    add(deep, MALFORMED, 1);
    add("[".repeat(50_000), MALFORMED, 1);
    add(r#"["a",{"T":1},{"T":null},{"T":{}}]"#.to_owned(), MALFORMED, 4);
    for price in ["NaN", "Infinity", "-Infinity", "1e999", "-1", "0", "0.00", "-0", "1e-400", "\"1\"", "null", "true", "[1]", "{}", "01", "1.", &nines] {
        add(trade(price), MALFORMED, 1);
    }
    for size in ["-1", "\"1\"", "null", "1e999", "NaN"] {
        add(format!(r#"[{{{head},"p":1,"s":{size}}}]"#), MALFORMED, 1);
    }
    for time in [
        "\"2026-01-02\"",
        "\"2026-01-02T03:04:05\"",
        "\"9999-12-31T23:59:59Z\"",
        "\"1969-12-31T23:59:59Z\"",
        "\"2026-02-30T00:00:00Z\"",
        "1767323045",
        "null",
        "\"\"",
    ] {
        add(format!(r#"[{{"T":"t","S":"AAPL","p":1,"s":1,"t":{time}}}]"#), MALFORMED, 1);
    }
    for fields in [
        r#""T":"t","S":"AAPL","s":1,TIME"#,
        r#""T":"t","p":1,"s":1,TIME"#,
        r#""T":"t","S":7,"p":1,"s":1,TIME"#,
        r#""T":"t","S":"AAPL","p":1,"p":2,"s":1,TIME"#,
        r#""T":"q","S":"AAPL","bp":1,"bs":1,"ap":1,TIME"#,
        r#""T":"b","S":"AAPL","o":1,"h":1,"l":1,"c":1,"v":-1,TIME"#,
        r#""T":"s","S":"AAPL","sc":7,TIME"#,
        r#""T":"success""#,
    ] {
        add(format!("[{{{}}}]", fields.replace("TIME", TIME)), MALFORMED, 1);
    }
    for kind in ["zz", "o", "news", "T\\r\\nERROR forged", "\\u001b[31m", "\\u202e"] {
        add(format!(r#"[{{"T":"{kind}","S":"AAPL","p":1}}]"#), UNKNOWN, 1);
    }
    for symbol in ["MSFT", "aapl", "../orders", "*", "AAPL\\r\\nPUBLISH x y", "", "\\u0000"] {
        add(format!(r#"[{{"T":"t","S":"{symbol}","p":1,"s":1,{TIME}}}]"#), UNWANTED, 1);
    }
    add(format!(r#"[{{"T":"t","S":"{}","p":1,"s":1,{TIME}}}]"#, "A".repeat(100_000)), UNWANTED, 1);
    all
}

#[test]
fn whatever_the_exchange_says_is_counted_and_nothing_else_changes() {
    let (rig, mut bot) = listening();
    let frames = frames();
    assert!(frames.len() >= 60, "{}", frames.len());
    for (n, (frame, counter, by)) in frames.iter().enumerate() {
        let shown: String = frame.chars().take(90).collect();
        let counts = || [MALFORMED, UNKNOWN, UNWANTED].map(|name| (name, rig.metric(name)));
        let before = counts();
        rig.exchange.raw_data(frame);
        let price = format!("{}.50", 100 + n);
        rig.exchange.trade("AAPL", &price, 1);
        let message = bot.until(&format!("the trade after {shown:?}"), |_| true);
        assert!(message.text.contains(&format!(r#""price":{price},"#)), "after {shown:?} came {}", message.text);
        bot.until("its other copy", |_| true);
        for ((name, was), (_, is)) in before.into_iter().zip(counts()) {
            let wanted = was + if name == *counter { *by as f64 } else { 0.0 };
            assert_eq!(is, wanted, "{name} after {shown:?}");
        }
    }
    // Binary frames: not UTF-8, MessagePack cut short, MessagePack of the wrong shape.
    for bytes in [&b"\xff\xfe\x00"[..], b"[\xff]", b"\x91", b"\x91\x81\xa1", b"\xdd\xff\xff\xff\xff", b"\x91\xc1", b""] {
        let before = rig.metric(MALFORMED);
        rig.exchange.raw_data_binary(bytes);
        wait_until("it is counted", || rig.metric(MALFORMED) > before);
    }
    rig.exchange.trade("AAPL", "999.00", 1);
    bot.until("the last trade", |message| message.text.contains(r#""price":999.00,"#));
    bot.assert_contiguous();
    assert_eq!(rig.metric("broker_stream_losses_total"), 0.0, "the connection was kept throughout");
    let mut client = rig.redis_client();
    wait_until("only AAPL's last values are kept", || {
        let keys: Vec<String> = redis::cmd("KEYS").arg("broker:last:*").query(&mut client).unwrap();
        keys == ["broker:last:AAPL"]
    });
}

#[test]
fn a_message_beyond_the_limit_costs_the_connection_and_no_more() {
    let (rig, mut bot) = listening();
    let giant = format!("[\"{}\"]", "x".repeat(4 * 1024 * 1024));
    let before = rig.exchange.connections().len();
    rig.exchange.raw_data(&giant);
    let back = || rig.exchange.wait_for(|all| all[before..].iter().any(|c| c.is_open() && c.symbols.contains(&"AAPL".to_owned())), PATIENCE);
    assert!(back());
    wait_until("the stream stands", || rig.broker.boards()[0].state().is_live() && rig.metric("broker_stream_losses_total") == 1.0);
    rig.exchange.trade("AAPL", "150.00", 1);
    bot.until("the trade", |message| message.text.contains(r#""price":150.00,"#));
}

#[test]
fn registrations_that_make_no_sense_are_refused_and_the_next_good_one_is_served() {
    let (rig, mut bot) = listening();
    let mut replies = Bot::listening(&rig.redis.url(), &["broker:replies"]);
    let long = format!(r#"{{"action":"subscribe","ticker":"{}"}}"#, "A".repeat(10_000));
    let giant = format!(r#"{{"action":"subscribe","ticker":"{}"}}"#, "A".repeat(1_000_000));
    let deep = format!("{}{}", "[".repeat(8_000), "]".repeat(8_000));
    let many = format!(r#"{{"action":"subscribe","tickers":[{}"a b"]}}"#, "\"x y\",".repeat(1_000));
    let messages: [&str; 46] = [
        "",
        " ",
        "null",
        "[]",
        "{}",
        "7",
        "true",
        "\"subscribe\"",
        "{\"action\"",
        "\u{0}",
        "1e999",
        "NaN",
        "\u{feff}{}",
        "{}{}",
        r#"{"action":"buy","ticker":"A"}"#,
        r#"{"action":"subscribe"}"#,
        r#"{"action":"SUBSCRIBE","ticker":"A"}"#,
        r#"{"action":null,"ticker":"A"}"#,
        r#"{"action":["subscribe"],"ticker":"A"}"#,
        r#"{"action":"subscribe","ticker":1}"#,
        r#"{"action":"subscribe","ticker":null}"#,
        r#"{"action":"subscribe","ticker":["A"]}"#,
        r#"{"action":"subscribe","tickers":"A"}"#,
        r#"{"action":"subscribe","tickers":[1]}"#,
        r#"{"action":"subscribe","tickers":[]}"#,
        r#"{"action":"subscribe","ticker":"A","ticker":"B"}"#,
        r#"{"action":"subscribe","ticker":"A","bot":"Bad Name"}"#,
        r#"{"action":"subscribe","ticker":"A","bot":"config"}"#,
        r#"{"action":"subscribe","ticker":"A","bot":"b","ttl_s":0}"#,
        r#"{"action":"subscribe","ticker":"A","bot":"b","ttl_s":86401}"#,
        r#"{"action":"subscribe","ticker":"A","bot":"b","ttl_s":-1}"#,
        r#"{"action":"subscribe","ticker":"A","bot":"b","ttl_s":1e99}"#,
        r#"{"action":"subscribe","ticker":"A","feeds":["news"]}"#,
        r#"{"action":"subscribe","ticker":"A","exchange":"../x"}"#,
        r#"{"action":"subscribe","ticker":"../orders"}"#,
        r#"{"action":"subscribe","ticker":"AAPL\r\nPUBLISH x y"}"#,
        r#"{"action":"subscribe","ticker":"*"}"#,
        r#"{"action":"subscribe","ticker":"{x}"}"#,
        r#"{"action":"subscribe","ticker":"AAPL:1"}"#,
        r#"{"action":"subscribe","ticker":"\u0000"}"#,
        r#"{"action":"subscribe","ticker":"\u202eLPAA"}"#,
        "{\"action\":\"subscribe\",\"ticker\":\"\u{1f600}\"}",
        &long,
        &giant,
        &deep,
        &many,
    ];
    let counted = |rig: &Rig| rig.metric("broker_registration_malformed_total") + rig.metric("broker_registration_refused_total");
    for message in messages {
        let (before, shown) = (counted(&rig), message.chars().take(90).collect::<String>());
        bot.say("BROKER_REGISTRATION", message);
        wait_until(&format!("{shown:?} is counted"), || counted(&rig) > before);
    }
    let mut client = rig.redis_client();
    let bytes: i64 = redis::cmd("PUBLISH").arg("broker:registration").arg(&b"\xff\xfe{}"[..]).query(&mut client).unwrap();
    assert_eq!(bytes, 1);
    assert_eq!(rig.status()["symbols"], 1, "AAPL alone");
    assert_eq!(rig.metric("broker_stream_cycles_total"), 0.0, "nothing was cycled for it");
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"MSFT"}"#);
    assert!(rig.exchange.wait_for(|all| all.iter().any(|c| c.symbols.contains(&"MSFT".to_owned())), PATIENCE));
    rig.exchange.trade("MSFT", "400.00", 1);
    bot.until("the trade", |message| message.text.contains(r#""price":400.00,"#));
    replies.until_quiet(Duration::from_millis(100));
    for reply in &replies.heard {
        assert!(!reply.text.contains(['\r', '\n', '\u{202e}', '\u{1b}']) && reply.text.len() < 256 * 1024, "{}", reply.text);
    }
    assert!(!replies.heard.is_empty());
}

#[test]
fn the_order_stream_passes_on_what_it_does_not_know_and_lives_on() {
    let (rig, mut bot) = listening();
    let account = SimConfig::default().keys[0].account_id.clone();
    let without_data = |text: &str| [r#"{"stream":"trade_updates"}"#, r#"{"stream":"trade_updates","data":null}"#].contains(&text);
    let order = |id: &str, status: &str| format!(r#"{{"id":"{id}","symbol":"AAPL","status":"{status}","side":"buy","filled_qty":"0"}}"#);
    for (n, text) in [
        "",
        "null",
        "[]",
        "7",
        "not json",
        "{\"stream\"",
        "{\"stream\":\"trade_updates\"}",
        "{\"stream\":\"trade_updates\",\"data\":null}",
        "{\"stream\":\"trade_updates\",\"data\":{}}",
        "{\"stream\":\"trade_updates\",\"data\":[]}",
        "{\"stream\":\"trade_updates\",\"data\":7}",
        "{\"stream\":\"trade_updates\",\"data\":{\"event\":\"fill\"}}",
        "{\"stream\":\"trade_updates\",\"data\":{\"event\":\"fill\",\"order\":null}}",
        "{\"stream\":7,\"data\":{}}",
    ]
    .iter()
    .enumerate()
    {
        let counts = || rig.metric(MALFORMED) + rig.metric(UNKNOWN);
        for binary in [false, true] {
            let before = counts();
            rig.exchange.raw_order(text, binary);
            // An update without data is how the venue may keep a quiet stream alive.
            if !without_data(text) {
                wait_until(&format!("{text:?} is counted"), || counts() > before);
            }
        }
        let id = format!("after-{n}");
        rig.exchange.order_update(&account, &format!(r#"{{"event":"new","order":{}}}"#, order(&id, "new")));
        let message = bot.until(&format!("the order after {text:?}"), |message| message.body["type"] == "order_update");
        assert_eq!(message.body["order_id"], *id);
    }
    for (event, status) in [("teleported", "new"), ("fill", "brand_new_status"), ("", ""), ("line\\r\\nbreak", "new")] {
        rig.exchange.order_update(&account, &format!(r#"{{"event":"{event}","later":{{"deep":[1.50]}},"order":{}}}"#, order("odd", status)));
        let copy = bot.until("its copy for the ticker", |message| message.body["type"] == "order");
        assert_eq!(copy.body["order_data"]["status"], status);
        assert!(copy.text.contains(r#""later":{"deep":[1.50]}"#), "{}", copy.text);
        let typed = bot.until("its copy for the account", |message| message.body["type"] == "order_update");
        assert_eq!((typed.body["status"].as_str(), typed.body["event"].as_str().map(str::len)), (Some(status), Some(event.replace("\\r\\n", "rn").len())));
    }
    assert_eq!(rig.metric("broker_stream_losses_total"), 0.0);
}
