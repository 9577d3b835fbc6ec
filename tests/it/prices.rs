use crate::support::bot::Bot;
use crate::support::rig::{Rig, wait_until};

#[test]
fn a_bot_registers_in_the_ticker_dialect_and_sees_every_trade_digit_for_digit() {
    let rig = Rig::start();
    let mut bot = Bot::listening(&rig.redis.url(), &["TICKER_UPDATES_AAPL", "price:AAPL"]);
    bot.say("BROKER_REGISTRATION", r#"{"action":"subscribe","ticker":"AAPL"}"#);
    assert!(rig.exchange.wait_for(|all| all.iter().any(|c| c.symbols.contains(&"AAPL".to_owned())), crate::support::rig::PATIENCE));
    for n in 0..100 {
        rig.exchange.trade("AAPL", &format!("150.{n:02}0"), 100);
    }
    bot.until_heard(100);
    bot.assert_contiguous();
    let first = &bot.heard[0];
    assert_eq!((first.channel.as_str(), first.body["type"].as_str()), ("TICKER_UPDATES_AAPL", Some("price")));
    assert!(first.text.contains(r#""price":150.000,"#), "{}", first.text);
    assert_eq!(first.body["sim"], true);
    wait_until("the last value is kept", || {
        let last: Option<String> = redis::cmd("HGET").arg("broker:last:AAPL").arg("price").query(&mut rig.redis_client()).unwrap();
        last.is_some_and(|text| text.contains(r#""price":150.990,"#) && text.contains(r#""snapshot":true,"stale":false"#))
    });
}
